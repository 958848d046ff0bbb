"""The rules, each at its limit, on told measurements; on real runs see test_verdicts.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from cnnsearch.diagnose import JUDGED, OK, RULES, at_start, diagnose
from cnnsearch.records import EpochResult, LayerProbe, Probe, State, Trial
from cnnsearch.study import attributes

GUESS = math.log(10)
FACTS = {
    "first_loss": 2.4, "chance": 0.1, "validation_images": 1000, "loss": math.nan, "limit": 6.9
}  # fmt: skip


def layer(name: str, **more: float | None) -> LayerProbe:
    given = {
        "mean": 0.1, "std": 0.5, "dead": 0.1, "saturated": None, "similarity": 0.05,
        "gradient_norm": 0.5, "update_ratio": 0.002,
    }  # fmt: skip
    units = 10 if name == "classifier" else 32
    return LayerProbe(name, units, **{**given, **more})  # type: ignore[arg-type]


def probe(highest: float | None = None, **more: float | None) -> Probe:
    """Three layers; what is given is that of the second."""
    layers = (layer("conv1"), layer("hidden1", **more), layer("classifier", dead=None))
    return Probe(2.4, layers, highest, 0.1)


def curve(*losses: float, **more: float | None) -> tuple[EpochResult, ...]:
    """Epochs whose validation follows the training; accuracy grows as the loss falls."""
    return tuple(
        EpochResult(
            epoch, 0.1, loss, max(0.1, 1 - loss / 2.5), loss, max(0.1, 1 - loss / 2.5), 1.0,
            probe(loss + 0.05, **more),
        )
        for epoch, loss in enumerate(losses, 1)
    )  # fmt: skip


def trial(
    epochs: tuple[EpochResult, ...], state: State = State.COMPLETE, first: Probe | None = None
) -> Trial:
    begun = Trial(0, 0, "0", 1, state, None, {}, len(epochs), None, 1.0, None, 0, None)
    if state is State.DIVERGED:
        begun = replace(begun, reason="loss nan at step 4 (epoch 1)")
    return replace(begun, facts=FACTS, curve=epochs, probe=first or probe())


GOOD = curve(1.5, 0.4, 0.2, 0.19, 0.19)


def findings(told: Trial) -> list[str]:
    diagnosis = diagnose(told)
    assert diagnosis is not None
    names = [finding.rule for finding in diagnosis.findings]
    assert diagnosis.verdict == (names[0] if names else OK)
    return names


def last(epochs: tuple[EpochResult, ...], **changes: float) -> tuple[EpochResult, ...]:
    return (*epochs[:-1], replace(epochs[-1], **changes))  # type: ignore[arg-type]


def test_nothing_wrong_is_ok() -> None:
    assert findings(trial(GOOD)) == []


@pytest.mark.parametrize("state", list(State))
def test_only_what_ended_by_itself_and_was_measured_is_judged(state: State) -> None:
    told = trial(GOOD, state)
    assert (diagnose(told) is None) == (state not in JUDGED)
    assert diagnose(replace(told, probe=None)) is None


Build = Callable[[float], Trial]
# Rule, what just triggers it, what just does not, and the trial with the one or the other.
AT_LIMITS: list[tuple[str, float, float, Build]] = [
    ("symmetric", 0.9995, 0.99,
     lambda x: trial(curve(2.3, 2.3, similarity=x), first=probe(similarity=1.0))),
    ("symmetric", 0.9995, 0.99,
     lambda x: trial(curve(2.3, 2.3, similarity=1.0), first=probe(similarity=x))),
    ("bad-init", 0.009, 0.011, lambda x: trial(curve(2.3, 2.29), first=probe(std=x))),
    ("bad-init", 10.1, 9.9, lambda x: trial(curve(2.3, 2.0), first=probe(std=x))),
    ("bad-init", 2.3, 2.25, lambda x: trial(curve(2.3, x, 1.9, 1.5))),
    ("bad-init", 1.9, 2.0, lambda x: trial(curve(2.3, 2.3, x))),
    ("lr-too-high", 4.2, 4.4,
     lambda x: replace(trial((), State.DIVERGED), facts={**FACTS, "first_loss": x})),
    ("lr-too-high", 2.8, 2.7, lambda x: trial((replace(
        curve(2.3)[0], val_accuracy=0.5, probe=probe(x)),))),
    ("lr-too-high", 0.025, 0.015, lambda x: trial((
        *curve(1.5), replace(curve(1.6)[0], epoch=2, probe=probe(2.4, update_ratio=x))))),
    ("lr-too-high", 0.95, 0.85,
     lambda x: trial(curve(2.3, 2.35, dead=x), first=probe(dead=0.1))),
    ("saturated", 0.51, 0.49, lambda x: trial(curve(1.5, 1.4, saturated=x))),
    ("dead-units", 0.86, 0.84, lambda x: trial(curve(1.5, 1.4, dead=x))),
    ("dead-units", 0.71, 0.69, lambda x: trial(curve(1.5, 1.4, dead=x), first=probe(dead=0.8))),
    ("dead-units", 0.71, 0.69, lambda x: trial((), State.DIVERGED, first=probe(dead=x))),
    ("lr-too-low", 2.9e-4, 3.1e-4, lambda x: trial(tuple(
        replace(e, probe=replace(e.probe or probe(), layers=tuple(
            replace(one, update_ratio=x) for one in (e.probe or probe()).layers)))
        for e in curve(2.39, 2.35)))),
    ("lr-too-low", 2.36, 2.34, lambda x: trial(last(curve(2.38, 2.37, x), val_accuracy=0.3))),
    ("not-learning", 0.118, 0.12, lambda x: trial(last(curve(2.0, 1.9), val_accuracy=x))),
    ("not-learning", 2.29, 2.27, lambda x: trial(last(curve(2.2, x), val_accuracy=0.5))),
    ("overfit", 1.33, 1.31, lambda x: trial(last(
        curve(1.5, 1.2, 0.1), val_loss=x, val_accuracy=0.5))),
    ("overfit", 0.85, 0.87, lambda x: trial(last(
        curve(1.5, 1.2, 0.1), val_loss=2.0, val_accuracy=x, train_accuracy=0.96))),
    ("overfit", 0.99, 0.97, lambda x: trial(last(
        curve(1.5, 0.9, 0.9, 0.01), val_loss=x * 0.9, val_accuracy=0.7, train_accuracy=1.0))),
    ("overfit", 0.995, 0.985, lambda x: trial(last(
        curve(1.5, 0.9, 0.9, 0.01), val_loss=0.95, val_accuracy=0.7, train_accuracy=x))),
    ("loud-init", 4.4, 4.2, lambda x: replace(trial(GOOD), facts={**FACTS, "first_loss": x})),
    ("undertrained", 0.96, 0.98, lambda x: trial(curve(1.5, 1.0, x))),
    ("undertrained", 2.38, 2.39, lambda x: trial(last(curve(2.0), val_loss=x))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "inside", "outside", "build"), AT_LIMITS)
def test_limits(rule: str, inside: float, outside: float, build: Build) -> None:
    assert rule in findings(build(inside))
    assert rule not in findings(build(outside))


def test_every_rule_has_a_limit_here() -> None:
    assert {row[0] for row in AT_LIMITS} == set(RULES)


@pytest.mark.parametrize("row", AT_LIMITS, ids=lambda row: str(row[0]))
def test_findings_tell_their_numbers_and_are_stored(row: tuple[str, float, float, Build]) -> None:
    rule, inside, _, build = row
    told = build(inside)
    diagnosis = diagnose(told)
    assert diagnosis is not None
    finding = next(one for one in diagnosis.findings if one.rule == rule)
    assert finding.message.endswith(".")
    assert any(char.isdigit() for char in finding.message)
    stored = attributes.of_end(replace(told, diagnosis=diagnosis))[attributes.RESULT]
    again = json.loads(json.dumps(stored, allow_nan=False))["diagnosis"]
    assert attributes.diagnosis_of(again) == diagnosis


def test_a_dying_signal_that_learned_within_an_epoch_is_no_finding() -> None:
    assert findings(trial(GOOD, first=probe(std=0.001))) == []


def test_growing_signals_of_bounded_functions_do_not_explode() -> None:
    grown = probe(std=20.0, saturated=0.0)
    grown = replace(grown, layers=(layer("conv1", saturated=0.0), *grown.layers[1:]))
    assert findings(trial(GOOD, first=grown)) == []


def test_a_loud_init_that_never_came_down_is_not_blamed_on_the_learning_rate() -> None:
    loud = replace(trial((), State.DIVERGED), facts={**FACTS, "first_loss": 30.0})
    assert findings(loud) == ["loud-init"]
    later = replace(loud, curve=curve(5.0, 2.0))
    assert findings(later) == ["lr-too-high", "loud-init"]


def test_a_swing_that_was_overcome_is_no_finding() -> None:
    swung = replace(curve(1.6)[0], epoch=2, probe=probe(2.4, update_ratio=0.1))
    assert findings(trial((*curve(1.5), swung, *curve(0.9)))) == ["undertrained"]


def test_a_vanished_gradient_is_no_matter_of_the_learning_rate() -> None:
    still = curve(2.4, 2.39, gradient_norm=0.0, update_ratio=0.0)
    layers = tuple(replace(one, gradient_norm=0.01, update_ratio=1e-6) for one in probe().layers)
    still = tuple(replace(e, probe=Probe(2.4, layers, 2.4, 0.1)) for e in still)
    assert "lr-too-low" not in findings(trial(still))


def test_one_unit_has_nothing_to_be_equal_to() -> None:
    alone = replace(layer("hidden1", similarity=1.0), units=1)
    assert findings(trial(GOOD, first=Probe(2.4, (alone, layer("classifier"))))) == []


def test_a_network_without_hidden_layers() -> None:
    bare = Probe(2.4, (layer("classifier", dead=None, similarity=1.0),))
    epochs = tuple(replace(e, probe=bare) for e in GOOD)
    assert findings(trial(epochs, first=bare)) == []


@pytest.mark.parametrize("number", [math.nan, math.inf, 0.0, 1e38])
def test_odd_numbers_never_raise(number: float) -> None:
    names = ("mean", "std", "dead", "saturated", "similarity", "gradient_norm", "update_ratio")
    odd = probe(number, **dict.fromkeys(names, number))
    epochs = tuple(EpochResult(e, 0.1, number, 0.1, number, 0.1, 1.0, odd) for e in range(1, 4))
    for state in JUDGED:
        told = replace(trial(epochs, state, odd), facts={**FACTS, "first_loss": number})
        assert diagnose(told) is not None
    assert isinstance(at_start(odd), tuple)


def test_a_pruned_trial_is_not_undertrained() -> None:
    falling = curve(2.0, 1.5, 1.0)
    assert findings(trial(falling)) == ["undertrained"]
    assert findings(trial(falling, State.PRUNED)) == []


def test_at_start() -> None:
    assert at_start(probe()) == ()
    wrong = replace(probe(std=100.0, dead=0.8), loss=9.0)
    assert [finding.rule for finding in at_start(wrong)] == ["bad-init", "dead-units", "loud-init"]
    assert [finding.rule for finding in at_start(probe(similarity=1.0))] == ["symmetric"]

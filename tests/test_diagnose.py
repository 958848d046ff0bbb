"""The rules, each at its limit, on told measurements; on real runs see test_verdicts.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from cnnsearch.diagnose import JUDGED, OK, RULES, at_start, diagnose
from cnnsearch.records import Diagnosis, EpochResult, Finding, LayerProbe, Probe, State, Trial
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


def began(told: Trial, first: float, seen: float | None = None) -> Trial:
    """The same with another first loss: of the first batch, and of the probe."""
    untrained = replace(told.probe or probe(), loss=first if seen is None else seen)
    return replace(told, facts={**told.facts, "first_loss": first}, probe=untrained)


def rates(epochs: tuple[EpochResult, ...], *told: float) -> tuple[EpochResult, ...]:
    """The same epochs with their learning rates told."""
    return tuple(replace(e, lr=lr) for e, lr in zip(epochs, told, strict=True))


def slow(epochs: tuple[EpochResult, ...], ratio: float = 1e-5) -> tuple[EpochResult, ...]:
    """The same epochs with short steps in every layer."""
    found = []
    for e in epochs:
        assert e.probe is not None
        layers = tuple(replace(one, update_ratio=ratio) for one in e.probe.layers)
        found.append(replace(e, probe=replace(e.probe, layers=layers)))
    return tuple(found)


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
     lambda x: began(trial((), State.DIVERGED), x)),
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
    ("lr-too-high", 2.8, 2.7, lambda x: began(trial((replace(
        curve(2.3)[0], val_accuracy=0.5, probe=probe(x)),)), 1.5, 2.4)),
    ("bad-init", 0.0029, 0.0031, lambda x: trial(
        curve(2.3, 2.0), first=replace(probe(std=x), layers=(
            layer("conv1", std=0.1), *probe(std=x).layers[1:])))),
    ("bad-init", 0.1, 0.05, lambda x: trial(rates(
        curve(2.3, 2.3, 2.3, 1.9), 0.05, x, 0.1, 0.1))),
    ("lr-too-low", 2.9e-4, 3.1e-4, lambda x: trial(slow(curve(2.39, 2.35), x))),
    ("lr-too-low", 0.04, 0.03, lambda x: replace(
        trial(rates(slow(curve(2.39)), x)), params={"lr": 0.1})),
    ("lr-too-low", 2.36, 2.34, lambda x: trial(last(curve(2.38, 2.37, x), val_accuracy=0.3))),
    ("not-learning", 0.118, 0.12,
     lambda x: trial(last(curve(2.0, 1.9), val_accuracy=x, val_loss=2.4))),
    ("not-learning", 2.2, 2.18,
     lambda x: trial(last(curve(2.0, 1.9), val_accuracy=0.1, val_loss=x))),
    ("not-learning", 0.11, 0.13, lambda x: replace(
        trial(last(curve(2.0), val_accuracy=0.1, val_loss=2.4, train_accuracy=x)),
        facts={**FACTS, "training_images": 1000})),
    ("not-learning", 2.29, 2.27, lambda x: trial(last(curve(2.2, x), val_accuracy=0.5))),
    ("overfit", 1.33, 1.31, lambda x: trial(last(
        curve(1.5, 1.2, 0.1), val_loss=x, val_accuracy=0.5))),
    ("overfit", 0.85, 0.87, lambda x: trial(last(
        curve(1.5, 1.2, 0.1), val_loss=2.0, val_accuracy=x, train_accuracy=0.96))),
    ("overfit", 0.99, 0.97, lambda x: trial(last(
        curve(1.5, 0.9, 0.9, 0.01), val_loss=x * 0.9, val_accuracy=0.7, train_accuracy=1.0))),
    ("overfit", 0.995, 0.985, lambda x: trial(last(
        curve(1.5, 0.9, 0.9, 0.01), val_loss=0.95, val_accuracy=0.7, train_accuracy=x))),
    ("loud-init", 4.4, 4.2, lambda x: began(trial(GOOD), x)),
    ("loud-init", 4.4, 4.2, lambda x: began(trial(GOOD), 30.0, x)),
    ("loud-init", 4.4, 4.2, lambda x: began(trial(GOOD), x, 30.0)),
    ("undertrained", 0.96, 0.98, lambda x: trial(curve(1.5, 1.0, x))),
    ("undertrained", 2.38, 2.39, lambda x: trial(last(curve(2.0), val_loss=x))),
    ("undertrained", 2.38, 2.39, lambda x: began(trial(last(curve(2.0), val_loss=x)), 4.0, 2.4)),
    ("undertrained", 2.358, 2.359, lambda x: trial(curve(2.39, 2.38, 2.37, x))),
]  # fmt: skip


STILL = slow(curve(2.39, 2.38))
IMBALANCED = {**FACTS, "chance": 0.95, "validation_images": 200}
# What looks like a fault and may be none: a rule that cannot be sure says nothing.
UNSURE: list[tuple[str, str, Trial]] = [
    ("lr-too-low", "the only epoch of a cosine, lr searched",
     replace(trial(rates(STILL[:1], 1e-4)), params={"lr": 0.1})),
    ("lr-too-low", "the only epoch, lr fixed: of a cosine perhaps", trial(STILL[:1])),
    ("lr-too-low", "a cosine that was fast enough in its first epoch",
     trial(rates((*slow(curve(2.39), 5e-4), *slow(curve(2.38))), 0.05, 1e-4))),
    ("lr-too-low", "pruned in the first epoch of a warm-up, lr fixed",
     trial(STILL[:1], State.PRUNED)),
    ("lr-too-low", "pruned in the first epoch of a warm-up, lr searched",
     replace(trial(rates(STILL[:1], 0.02), State.PRUNED), params={"lr": 0.1})),
    ("lr-too-low", "pruned while a warm-up went on",
     trial(rates(STILL, 0.02, 0.04), State.PRUNED)),
    ("lr-too-low", "crept in a warm-up that went on", trial(rates(
        last(curve(2.38, 2.37, 2.36), val_accuracy=0.3), 0.01, 0.02, 0.03), State.PRUNED)),
    ("bad-init", "flat in a warm-up only", trial(rates(
        curve(2.3, 2.3, 2.3, 1.9), 0.03, 0.06, 0.1, 0.1))),
    ("not-learning", "pruned after two epochs", trial(curve(2.3, 2.3), State.PRUNED)),
    ("not-learning", "pruned while a warm-up went on",
     trial(rates(curve(2.3, 2.3, 2.3), 0.01, 0.02, 0.03), State.PRUNED)),
    ("not-learning", "no accuracy could be above chance for certain", replace(
        trial(last(curve(0.5), val_accuracy=0.95)),
        facts={**FACTS, "chance": 0.95, "validation_images": 50})),
    ("not-learning", "always the frequent class, at a loss that was learned", replace(
        trial(last(curve(0.5, 0.2), val_accuracy=0.95)), facts=IMBALANCED)),
    ("lr-too-high", "a first batch that was lucky", began(
        trial(last((replace(curve(2.3)[0], probe=probe(2.7)),), val_accuracy=0.5)), 1.2, 2.4)),
    ("loud-init", "a first batch that was hard", began(trial(GOOD), 9.0, 2.4)),
    ("undertrained", "a first batch that was hard",
     began(trial(last(curve(2.4), val_loss=2.4)), 4.0, 2.4)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "told"), [(r, t) for r, _, t in UNSURE],
                         ids=[f"{rule}: {why}" for rule, why, _ in UNSURE])  # fmt: skip
def test_a_rule_that_cannot_be_sure_says_nothing(rule: str, told: Trial) -> None:
    assert rule not in findings(told)


def test_always_the_frequent_class_at_a_loss_that_was_not_learned() -> None:
    still = trial(last(curve(2.3, 2.3, 0.5), val_accuracy=0.95, val_loss=0.33))
    assert "not-learning" in findings(replace(still, facts=IMBALANCED))


def test_a_pruned_trial_that_never_learned() -> None:
    assert "not-learning" in findings(trial(curve(2.3, 2.3, 2.3), State.PRUNED))
    assert "lr-too-low" in findings(trial(STILL, State.PRUNED))


def test_the_limit_that_was_used() -> None:
    for epochs, limit in (((1.5, 1.0, 0.9), 0.97), ((2.39, 2.38, 2.37, 2.35), 0.995)):
        told = diagnose(trial(curve(*epochs)))
        assert told is not None
        [finding] = [one for one in told.findings if one.rule == "undertrained"]
        assert finding.limit == limit
        assert finding.measured is not None
        assert finding.measured <= limit
    told = diagnose(trial((), State.DIVERGED))
    assert told is not None
    assert (told.findings[0].measured, told.findings[0].limit) == (None, None), "nan has no limit"


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


def test_findings_and_probes_of_other_versions() -> None:
    """What is not known here is left out, and what was not known there is None."""
    told = replace(trial(GOOD), diagnosis=Diagnosis("ok", (Finding("lr-too-low", 1.0, 2.0, "x."),)))
    stored = json.loads(json.dumps(attributes.of_end(told)))
    finding = stored[attributes.RESULT]["diagnosis"]["findings"][0]
    del finding["limit"]
    finding["color"] = "red"
    found = attributes.diagnosis_of(stored[attributes.RESULT]["diagnosis"])
    assert found == Diagnosis("ok", (Finding("lr-too-low", 1.0, None, "x."),))
    columns, epochs = stored[attributes.PROBES], stored[attributes.CURVE]
    for name in ("update_ratio", "std", "highest_loss"):
        del columns[name]
    del epochs["seconds"]
    columns["entropy"] = epochs["entropy"] = [1.0] * 6
    bare = replace(told, curve=attributes.curve_of(epochs), probe=None)
    again = attributes.with_probes(bare, columns)
    assert [e.train_loss for e in again.curve] == [e.train_loss for e in GOOD]
    assert math.isnan(again.curve[0].seconds)
    probes = [e.probe for e in again.curve]
    assert all(p is not None and p.highest_loss is None for p in probes)
    assert again.probe is not None
    assert math.isnan(again.probe.layers[1].std)
    assert again.probe.layers[1].update_ratio is None
    assert diagnose(replace(again, facts={"color": "red"})) is not None


def test_a_dying_signal_that_learned_within_an_epoch_is_no_finding() -> None:
    assert findings(trial(GOOD, first=probe(std=0.001))) == []


def test_growing_signals_of_bounded_functions_do_not_explode() -> None:
    grown = probe(std=20.0, saturated=0.0)
    grown = replace(grown, layers=(layer("conv1", saturated=0.0), *grown.layers[1:]))
    assert findings(trial(GOOD, first=grown)) == []


def test_a_loud_init_that_never_came_down_is_not_blamed_on_the_learning_rate() -> None:
    loud = began(trial((), State.DIVERGED), 30.0)
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

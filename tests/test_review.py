"""What a study teaches, on trials that are told: chance, parts, edges, advice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

from cnnsearch import review
from cnnsearch.config import load
from cnnsearch.config.config import Config
from cnnsearch.diagnose import diagnose
from cnnsearch.records import (
    Diagnosis,
    EpochResult,
    Finding,
    LayerProbe,
    Params,
    Probe,
    State,
    Trial,
)
from cnnsearch.review import Advice, Edge
from cnnsearch.review.chance import at_least, binomial_tail, enriched
from cnnsearch.review.edges import extended
from cnnsearch.review.parts import roundest
from cnnsearch.space import Choice, Condition, Range, Space, random_point
from tests.builders import digits_config

LR = Range(1e-4, 10.0, log=True)
SPACE: Space = {
    "lr": LR,
    "init": Choice(("zeros", "he", "xavier", "normal:1.0")),
    "batchnorm": Choice((True, False)),
}
Ends = Callable[[Params], tuple[float | None, Sequence[str]]]


LAYERS = [LayerProbe(name, 10, 0.1, 0.5, 0.1, None, 0.05, 0.5, 0.002) for name in "ab"]
PROBE = Probe(2.4, tuple(LAYERS), 2.4, 0.1)
STILL = replace(PROBE, layers=tuple(replace(one, update_ratio=1e-6) for one in LAYERS))


def number(params: Params, name: str = "lr") -> float:
    value = params[name]
    assert isinstance(value, int | float)
    return float(value)


def trial(k: int, params: Params, value: float | None, rules: Sequence[str] = ()) -> Trial:
    """A trial; without a value it diverged."""
    findings = tuple(Finding(rule, 1.0, 0.5, "seen") for rule in rules)
    state = State.DIVERGED if value is None else State.COMPLETE
    diagnosis = Diagnosis(rules[0] if rules else "ok", findings)
    return Trial(k, k, str(k), 1, state, value, params, 2, 1, 1.0, None, k, None,
                 diagnosis=diagnosis)  # fmt: skip


def study(count: int, ends: Ends, space: Space = SPACE, seed: int = 0) -> list[Trial]:
    points = (random_point(space, seed, k) for k in range(count))
    return [trial(k, params, *ends(params)) for k, params in enumerate(points)]


def advised(
    trials: Sequence[Trial], space: Space = SPACE, direction: str = "maximize", **config: Any
) -> list[Advice]:
    settings: Config = digits_config("s", space, **config)
    assert settings.search is not None
    edges = review.edges(trials, space, direction, settings.search.sampler)
    return review.advise(trials, settings, direction, edges, review.coverage(trials, space))


def found_edges(
    trials: Sequence[Trial], space: Space, sampler: str = "random", direction: str = "maximize"
) -> list[Edge]:
    return review.edges(trials, space, direction, sampler)


# Chance


@pytest.mark.parametrize(
    ("inside", "part", "hits", "trials"),
    [(7, 10, 7, 40), (8, 8, 20, 40), (18, 19, 22, 28), (300, 400, 2500, 10_000), (1, 1, 1, 2)],
)
def test_enriched_is_fishers_exact_test(inside: int, part: int, hits: int, trials: int) -> None:
    table = [[inside, part - inside], [hits - inside, trials - part - hits + inside]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert enriched(inside, part, hits, trials) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_no_enrichment_is_certain() -> None:
    assert enriched(2, 10, 8, 40) == 1.0


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (2, 3), (8, 8), (18, 19), (500, 1000)])
def test_intervals_are_wilsons(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(method="wilson").low
    assert at_least(hits, trials) == pytest.approx(expected, abs=1e-9)
    assert at_least(0, 0) == 0.0


def test_binomial_tail() -> None:
    assert binomial_tail(4, 6, 0.25) == pytest.approx(stats.binom.sf(3, 6, 0.25))


@pytest.mark.parametrize(
    ("low", "high", "upper", "expected"),
    [
        (0.4993, 0.7216, False, 0.6),
        (0.0001, 0.0002, False, 0.0001),
        (0.0001, 0.0002, True, 0.0001),
        (0.0, 0.5, False, 0.2),
        (0.1234, 0.1235, False, 0.1234),
        (0.1234, 0.1235, True, 0.12345),
    ],
)
def test_borders_are_round(low: float, high: float, upper: bool, expected: float) -> None:
    found = roundest(low, high, upper)
    assert (low < found <= high) if upper else (low <= found < high)
    if low != 0.0001:
        assert found == expected


# Advice


def diverges(params: Params) -> tuple[float | None, Sequence[str]]:
    """Zeros never learn; a high lr diverges."""
    if params["init"] == "zeros":
        return 0.1, ("symmetric", "not-learning")
    if number(params) > 0.5:
        return None, ("lr-too-high",)
    return 0.9 - abs(number(params) - 0.05), ()


def test_a_value_and_an_end_are_left_out() -> None:
    trials = study(60, diverges)
    changes = {name: v for one in advised(trials) for name, v in one.change["space"].items()}
    assert changes["init"] == ["he", "xavier", "normal:1.0"]
    assert 0.2 < changes["lr"]["high"] < 1.0
    assert changes["lr"]["low"] == 1e-4
    assert len(changes) == 2


def test_an_end_is_raised() -> None:
    trials = study(60, lambda p: (0.2, ("lr-too-low",)) if number(p) < 1e-2 else (0.9, ()))
    [advice] = advised(trials)
    assert 3e-3 < advice.change["space"]["lr"]["low"] <= 1e-2
    assert advice.text.startswith("Raise the low end of lr: ")


@pytest.mark.parametrize("lost", [0.3, 0.75])
@pytest.mark.parametrize("count", [12, 20, 40])
def test_chance_is_not_sold(count: int, lost: float) -> None:
    """Trials that fail whatever their hyperparameters: of 60 studies at most 3 are advised."""
    wrong = 0
    for seed in range(60):
        rng = random.Random(seed)
        trials = study(
            count,
            lambda _, r=rng: (None, ("lr-too-high",)) if r.random() < lost else (r.random(), ()),  # type: ignore[misc]
            seed=seed,
        )
        wrong += any("wasted" in one.text or "Extend" in one.text for one in advised(trials))
    assert wrong <= 3


def test_two_of_three_is_no_finding() -> None:
    """A choice tried three times is not left out, whatever came of it."""
    trials = study(40, lambda _: (0.9, ()))
    he = [t.number for t in trials if t.params["init"] == "he"]
    assert len(he) > 3
    kept = [t for t in trials if t.number not in he[3:]]
    bad = [replace(t, state=State.DIVERGED, value=None) if t.number in he[:2] else t for t in kept]
    assert advised(bad) == []


def test_what_is_wasted_now_and_then_stays() -> None:
    """Of a high lr a third diverge, of a low one none: no chance, and no reason to leave it out."""

    def sometimes(params: Params) -> tuple[float | None, Sequence[str]]:
        if number(params) < 0.5:
            return 0.9, ()
        return (None, ("lr-too-high",)) if params["init"] == "he" else (0.8, ())

    space = {**SPACE, "init": Choice(("he", "xavier", "glorot"))}
    trials = study(120, sometimes, {**space, "lr": Range(0.01, 10.0, log=True)})
    assert review.failure_map(trials, space)[0].telling
    assert not any("lr" in one.change.get("space", {}) for one in advised(trials, space))


def test_the_best_is_never_left_out() -> None:
    """Of a high lr most diverge, but what does not is the best."""

    def risky(params: Params) -> tuple[float | None, Sequence[str]]:
        if number(params) < 0.5:
            return 0.5 - 1e-3 * number(params), ()
        return (0.99, ()) if 1.5 < number(params) < 3 else (None, ("lr-too-high",))

    trials = study(80, risky)
    best = max(number(t.params) for t in trials if t.value == 0.99)
    assert best > 0.5
    changes = [one.change["space"]["lr"]["high"] for one in advised(trials)]
    assert all(high >= best for high in changes), "what lies above it may go"


def test_part_of_a_part_is_told() -> None:
    """A high lr diverges without batch norm only."""
    trials = study(
        100,
        lambda p: (None, ("lr-too-high",)) if number(p) > 0.1 and not p["batchnorm"] else (0.9, ()),
    )
    entry = review.failure_map(trials, SPACE)[0]
    [telling] = [one for one in entry.telling if one.outcome == "diverged"]
    assert telling.within is not None
    assert (telling.within.part.name, telling.within.part.value) == ("batchnorm", False)
    assert telling.within.inside.hits == telling.within.inside.trials == telling.split.inside.hits
    assert "; of these, batchnorm false " in telling.text


def test_lower_values_are_better_with_a_loss() -> None:
    """With val_loss the trials near lr 0.5 are the best, and none of them is left out."""
    trials = study(
        60, lambda p: (None, ("lr-too-high",)) if number(p) > 0.5 else (1 - number(p), ())
    )
    [advice] = advised(trials, direction="minimize", objective="val_loss")
    assert advice.change["space"]["lr"]["high"] >= max(
        number(t.params) for t in trials if t.value is not None
    )


def test_what_depends_on_a_value_goes_with_it() -> None:
    space: Space = {
        "activation": Choice(("sigmoid", "relu", "elu")),
        "dropout": Range(0.0, 0.5, when=(Condition("activation", ("sigmoid",)),)),
    }
    trials = study(
        50, lambda p: (0.1, ("not-learning",)) if p["activation"] == "sigmoid" else (0.9, ()), space
    )
    advice = advised(trials, space)[0]
    assert advice.change == {}, "the line alone would not load"
    assert advice.text.endswith("With it goes dropout, which depends on it.")


def test_longer_training_where_the_best_still_improve() -> None:
    trials = study(
        40, lambda p: (0.5 + number(p) / 100, ("undertrained",)), {"lr": Range(0.1, 1.0)}
    )
    found = [
        one for one in advised(trials, {"lr": Range(0.1, 1.0)}, epochs=7) if "train" in one.change
    ]
    assert [one.change for one in found] == [{"train": {"epochs": 14}}]
    assert found[0].text.startswith("10 of the best 10: undertrained.")
    few = study(40, lambda p: (number(p), ("undertrained",) if number(p) < 0.5 else ()))
    assert not any("train" in one.change for one in advised(few))


def test_a_fault_of_all_trials() -> None:
    """Nothing to compare: the rule's own advice, and of lr another range."""
    space: Space = {"lr": Range(1e-6, 1e-5, log=True, points=4), "batchnorm": Choice((True, False))}
    [advice] = advised(study(12, lambda _: (0.12, ("lr-too-low",)), space), space)
    assert advice.change == {"space": {"lr": {"low": 1e-5, "high": 1e-2, "log": True, "points": 4}}}
    [advice] = advised(study(12, lambda _: (0.1, ("symmetric", "not-learning"))))[:1]
    assert advice.text.startswith("12 of the 12 trials: symmetric. ")
    assert advice.change == {}


WHEN = (Condition("batchnorm", (True,)),)


@pytest.mark.parametrize("sampler", ["random", "grid"])
@pytest.mark.parametrize(
    ("lr", "points"),
    [
        (Range(1e-6, 1e-5, log=True, points=4), 4),
        (Range(1e-6, 1e-5, step=3e-6), 4),
        (Range(1e-6, 1e-5, log=True, points=4, when=WHEN), 4),
        (Choice((1e-6, 3e-6, 1e-5)), 3),
        (Choice((1e-6, 1e-5), WHEN), 2),
        (None, 6),
    ],
)
@pytest.mark.parametrize("rule", ["lr-too-low", "lr-too-high"])
def test_another_range_of_lr_loads(
    rule: str, lr: Range | Choice | None, points: int, sampler: str, tmp_path: Path
) -> None:
    space: Space = {"batchnorm": Choice((True, False)), "init": Choice(("he", "xavier"))}
    space = {**space, "lr": lr} if lr else space
    trials = [
        t for t in study(60, lambda _: (0.12, (rule,)), space)
        if "lr" in t.params or not lr
    ]  # fmt: skip
    [advice] = [one for one in advised(trials, space, sampler=sampler) if one.change]
    plain = digits_config("s", space, sampler=sampler).plain()
    plain["space"] |= advice.change["space"]
    (tmp_path / "next.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    found = (load(str(tmp_path / "next.yaml")).space or {})["lr"]
    assert isinstance(found, Range)
    assert (found.log, found.step) == (True, None)
    assert found.when == (lr.when if lr else ())
    kept = isinstance(lr, Range) and lr.points is not None
    assert found.points == (points if sampler == "grid" or kept else None)
    end = 0.01 if lr is None else 1e-5 if rule == "lr-too-low" else 1e-6
    assert (found.low if rule == "lr-too-low" else found.high) == pytest.approx(end)


def test_one_change_a_hyperparameter() -> None:
    """A high lr diverges, and of what is left most were too high still: lr is told once."""

    def high(params: Params) -> tuple[float | None, Sequence[str]]:
        if number(params) > 0.1:
            return None, ("lr-too-high",)
        return 0.5 + number(params), ("lr-too-high",)

    space: Space = {"lr": Range(1e-3, 1.0, log=True)}
    trials = study(60, high, space)
    cuts = [
        one for one in advised(trials, space) if one.text.startswith("Lower the high end of lr")
    ]
    assert len(cuts) == 1, "else this tests nothing"
    names = [name for one in advised(trials, space) for name in one.change["space"]]
    assert names == ["lr"]


def test_lr_is_not_moved_where_its_end_works() -> None:
    """Most are too slow, but not those with the highest lr."""
    space: Space = {"lr": LR}
    points = [{"lr": 10.0 ** (-k / 4)} for k in range(16)]
    trials = [
        trial(k, params, 0.9 if k < 1 else 0.1, () if k < 1 else ("lr-too-low",))
        for k, params in enumerate(points)
    ]
    assert not any("Raise lr" in one.text for one in advised(trials, space))


def test_choices_of_which_too_little_is_known() -> None:
    trials = [t for t in study(40, lambda _: (0.9, ())) if t.params["init"] != "he"]
    [advice] = advised(trials)
    assert advice.text.endswith("tried fewer than 3 times: init he (never).")
    assert advised(trials, sampler="tpe") == [], "it avoids what is bad"
    axis = review.coverage(trials, SPACE)[1]
    assert axis.never == ["he"]
    assert review.coverage(trials[:1], SPACE)[1].few == [(trials[0].params["init"], 1)]


def test_at_most_five() -> None:
    names = ("conv", "hidden", "kernel", "stride", "pool_size", "crop", "batch_size")
    space: Space = {name: Choice((1, 2, 3, 4)) for name in names}

    def ends(params: Params) -> tuple[float | None, Sequence[str]]:
        bad = next((f"r{i}" for i, name in enumerate(names) if params[name] == 1), None)
        return (0.1, (bad, "not-learning")) if bad else (0.9, ("undertrained",))

    assert len(advised(study(2000, ends, space), space)) == 5


def test_what_crept_on_above_chance_is_not_wasted() -> None:
    """lr-too-low of a trial that is better than guessing: it learned, though slowly."""
    losses = enumerate((2.38, 2.37, 2.36), 1)
    epochs = tuple(EpochResult(e, 0.1, loss, 0.3, loss, 0.3, 1.0, PROBE) for e, loss in losses)
    facts = {"first_loss": 2.4, "chance": 0.1, "validation_images": 1000}
    crept = replace(trial(0, {"lr": 0.1}, 0.3), curve=epochs, probe=PROBE, facts=facts)
    diagnosis = diagnose(crept)
    assert diagnosis is not None
    assert diagnosis.verdict == "lr-too-low"
    assert not review.wasted(replace(crept, diagnosis=diagnosis))
    still = [replace(e, val_accuracy=0.1, probe=STILL) for e in epochs]
    lost = replace(crept, curve=tuple(still))
    assert review.wasted(replace(lost, diagnosis=diagnose(lost)))


# Edges


def rising(params: Params) -> tuple[float | None, Sequence[str]]:
    return number(params), ()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_at_an_end(direction: str) -> None:
    space: Space = {"lr": Range(1e-4, 1e-3, log=True), "batchnorm": Choice((True, False))}
    [edge] = found_edges(study(40, rising, space), space, direction=direction)
    side = "high" if direction == "maximize" else "low"
    assert (edge.name, edge.side) == ("lr", side)
    assert getattr(edge.extended, side) == (1e-2 if side == "high" else 1e-5)
    assert 2 * edge.near > edge.top


def test_the_best_in_the_middle_or_by_chance() -> None:
    space: Space = {"lr": Range(0.0, 1.0)}
    middle = study(40, lambda p: (-abs(number(p) - 0.5), ()), space)
    assert found_edges(middle, space) == []
    lucky = study(40, lambda p: (2.0 if number(p) > 0.95 else -abs(number(p) - 0.5), ()), space)
    assert max(number(t.params) for t in lucky if t.value == 2.0) > 0.95
    assert found_edges(lucky, space) == [], "one good trial at the end is no reason"


def test_too_few_trials_for_an_edge() -> None:
    space: Space = {"lr": Range(1e-4, 1e-3, log=True)}
    crowded = [trial(k, {"lr": 1e-3 - k / 1e6}, 1 - k / 10) for k in range(10)]
    assert found_edges(crowded[:9], space, "tpe") == []
    assert found_edges(crowded, space, "tpe") != []


def test_of_a_grid_the_outermost_value() -> None:
    space: Space = {
        "lr": Range(1e-4, 1.0, log=True, points=5),
        "init": Choice(("he", "xavier", "zeros")),
    }
    points: list[Params] = [
        {"lr": lr, "init": init} for lr in (1e-4, 1e-3, 0.01, 0.1, 1.0) for init in "abcdef"
    ]
    best_last = [trial(k, p, number(p)) for k, p in enumerate(points)]
    assert [edge.side for edge in found_edges(best_last, space, "grid")] == ["high"]
    best_inside = [trial(k, p, 1.0 if p["lr"] == 0.1 else 0.5) for k, p in enumerate(points)]
    assert found_edges(best_inside, space, "grid") == []


def test_a_sampler_that_learns_crowds_at_the_end() -> None:
    """Most trials of tpe lie where the best are; that is evidence, not chance."""
    space: Space = {"lr": Range(0.001, 1.0)}
    trials = [trial(k, {"lr": 0.99 - k / 500}, 1 - k / 100) for k in range(30)]
    trials += [trial(30 + k, {"lr": 0.1 * k + 0.1}, 0.1) for k in range(5)]
    assert [edge.side for edge in found_edges(trials, space, "tpe")] == ["high"]


@pytest.mark.parametrize("name", ["dropout", "momentum", "weight_decay", "warmup_epochs"])
def test_natural_limits_are_no_edges(name: str) -> None:
    space: Space = {name: Range(0.0, 0.5)}
    trials = study(40, lambda p: (-number(p, name), ()), space)
    assert found_edges(trials, space) == []
    away: Space = {name: Range(0.2, 0.7)}
    [edge] = found_edges(study(40, lambda p: (-number(p, name), ()), away), away)
    assert edge.extended.low == 0.0


@pytest.mark.parametrize(
    ("name", "old", "side", "expected"),
    [
        ("lr", Range(1e-3, 0.1, log=True), "high", 1.0),
        ("lr", Range(0.1, 0.2, log=True), "high", 0.4),
        ("momentum", Range(0.5, 0.9), "high", 0.95),
        ("dropout", Range(0.0, 0.5, step=0.1), "high", 0.7),
        ("dropout", Range(0.1, 0.6, step=0.1), "low", 0.0),
        ("epochs", Range(2, 10, integer=True), "high", 14),
        ("epochs", Range(2, 10, integer=True), "low", 1),
        ("epochs", Range(1, 10, integer=True), "low", None),
        ("kernel", Range(3, 7, step=2, integer=True), "high", 9),
        ("kernel", Range(3, 7, step=2, integer=True), "low", 1),
        ("step_factor", Range(0.1, 1.0), "high", None),
        ("batch_size", Range(16, 256, log=True, integer=True), "low", 2),
        ("lr", Range(0.1, 0.1), "high", None),
        ("lr", Range(0.1, 0.5, step=0.1), "high", 0.7),
    ],
)
def test_extended_ranges(name: str, old: Range, side: Any, expected: float | None) -> None:
    found = extended(name, old, side)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert getattr(found, side) == pytest.approx(expected)
        other = "low" if side == "high" else "high"
        assert getattr(found, other) == getattr(old, other)


def test_where_the_best_is_wasted_there_is_no_edge() -> None:
    space: Space = {"lr": Range(1e-4, 1e-3, log=True)}
    assert found_edges(study(40, lambda p: (number(p), ("lr-too-low",)), space), space) == []

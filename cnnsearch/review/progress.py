"""Searches side by side: what each had found after so many trials, and so many epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnnsearch import ranking
from cnnsearch.config import Config, from_plain
from cnnsearch.diagnose import JUDGED
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.review.chance import ALPHA
from cnnsearch.review.student import t_quantile
from cnnsearch.review.sureness import Source, Sureness, sureness
from cnnsearch.space import Parameter, Range

# What searches of one file may differ in, and what changes no number.
_FREE = {
    *("study", "seed", "data.root", "diagnose", "fuse"),
    *("checkpoint.every", "checkpoint.keep"),
    *(f"search.{name}" for name in ("sampler", "trials", "retries", "timeout")),
}


@dataclass(frozen=True, slots=True)
class Step:
    """How a search stood when a trial had ended.

    Args:
        trial: its number.
        trials: that had ended, this one included.
        epochs: that all of them had trained; those of every fold.
        best: value of the best so far; None before the first complete one.
    """

    trial: int
    trials: int
    epochs: int
    best: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The way of one search.

    Args:
        label: what it is called among the others: its sampler, or its study.
        trials: those that ended, in the order they began.
        steps: one a trial.
    """

    study: str
    sampler: str
    label: str
    trials: tuple[Trial, ...]
    steps: tuple[Step, ...]

    @property
    def epochs(self) -> int:
        """All that were trained."""
        return self.steps[-1].epochs if self.steps else 0

    def after_trials(self, count: int) -> float | None:
        """Best value after so many trials; None where it has fewer, or none complete."""
        return self.steps[count - 1].best if count <= len(self.steps) else None

    def within_epochs(self, count: int) -> float | None:
        """Best value of the trials that had ended after so many epochs; None where it has fewer."""
        return self.steps[done - 1].best if (done := self.done(count)) else None

    def done(self, epochs: int) -> int:
        """How many trials had ended after so many epochs; 0 where it has fewer epochs."""
        if epochs > self.epochs:
            return 0
        return sum(step.epochs <= epochs for step in self.steps)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which search found the better value with the same budget.

    Args:
        budget: trials or epochs that each of them had.
        unit: "trial" or "epoch".
        best: the search with the best value; likewise `other`, the one after it.
        value: of `best`; likewise `against`.
        noise: a difference is noise up to here: half the 95 % interval of a difference of two
            values, Student's t with the degrees of freedom of both errors; None where nothing
            tells. The best of as many trials of two equal searches differ by less, as the best of
            many vary less than one value; with unequal `trials` the more numerous have more luck.
        seeds: whether `noise` holds what other seeds change; else it is that of the images alone.
        trials: how many `best` and `other` had within the budget.
    """

    budget: int
    unit: str
    best: Progress
    other: Progress
    value: float
    against: float
    noise: float | None
    seeds: bool
    trials: tuple[int, int]

    @property
    def difference(self) -> float:
        """How much better, 0 or more."""
        return abs(self.value - self.against)

    @property
    def real(self) -> bool | None:
        """Whether that is more than noise; None where nothing tells."""
        return None if self.noise is None else self.difference > self.noise


def progress(
    study: str, config: Config, label: str, attempts: Sequence[Trial], direction: str
) -> Progress:
    """The way of a search.

    A failed trial and one stopped early count with the epochs they took. Hidden ones do not count.
    """
    trials = [t for t in ranking.shown(attempts) if t.state in (*JUDGED, State.FAILED)]
    better: Callable[..., float] = max if direction == "maximize" else min
    steps: list[Step] = []
    best: float | None = None
    epochs = 0
    for i, trial in enumerate(trials, 1):
        epochs += trial.facts.get("fold_epochs", trial.epochs)
        if trial.value is not None:
            best = trial.value if best is None else better(best, trial.value)
        steps.append(Step(trial.number, i, epochs, best))
    sampler = config.search.sampler if config.search else ""
    return Progress(study, sampler, label, tuple(trials), tuple(steps))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Searches side by side.

    Args:
        verdicts: by the unit of the budget, "trial" and "epoch".
        unlike: see `unlike`.
    """

    searches: Sequence[Progress]
    verdicts: Mapping[str, Verdict | None]
    unlike: Sequence[str]


def compared(studies: Sequence[tuple[StudySummary, Sequence[Trial]]], objective: str) -> Comparison:
    """Studies of one objective and the same images, each called by its sampler where that tells
    them apart.
    """
    configs = [from_plain(dict(summary.config)) for summary, _ in studies]
    samplers = [config.search.sampler if config.search else "" for config in configs]
    alone = len(set(samplers)) == len(samplers)
    searches = [
        progress(summary.name, config, sampler if alone else summary.name, attempts,
                 summary.direction)
        for (summary, attempts), config, sampler in zip(studies, configs, samplers, strict=True)
    ]  # fmt: skip
    direction = studies[0][0].direction
    verdicts = {
        unit: verdict(searches, unit, objective, direction)
        for unit in ("trial", "epoch")
        if all(one.steps for one in searches)
    }
    return Comparison(searches, verdicts, unlike(configs))


def budgets(most: int, least: int = 1) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... from `least` up to `most`, and `most` itself."""
    found = []
    for exponent in range(len(str(most))):
        found += [n for digit in (1, 2, 5) if least <= (n := digit * 10**exponent) < most]
    return [*found, most]


def verdict(
    searches: Sequence[Progress], unit: str, objective: str, direction: str
) -> Verdict | None:
    """Which of them is ahead with the budget that all have; None where fewer than two have a value.

    The noise of a difference is that of both values: see `cnnsearch.review.sureness`.

    Args:
        unit: "trial" or "epoch".
    """
    if unit == "trial":
        budget = min(len(one.steps) for one in searches)
        counts = [budget for _ in searches]
    else:
        budget = min(one.epochs for one in searches)
        counts = [one.done(budget) for one in searches]
    found: list[tuple[float, Progress, int, Sureness | None]] = []
    for one, count in zip(searches, counts, strict=True):
        value = one.steps[count - 1].best if count else None
        if value is not None:
            sure = sureness(one.trials[:count], objective, direction)
            found.append((value, one, count, sure))
    if len(found) < 2:
        return None
    found.sort(key=lambda row: row[0], reverse=direction == "maximize")
    (value, best, many, sure), (against, other, others, beside), *_ = found
    noise, seeds = None, False
    if sure is not None and beside is not None:
        noise = _noise(sure, beside)
        seeds = Source.IMAGES not in (sure.source, beside.source)
    return Verdict(budget, unit, best, other, value, against, noise, seeds, (many, others))


def _noise(one: Sureness, other: Sureness) -> float:
    """Half the 95 % interval of a difference (B. L. Welch 1947, F. E. Satterthwaite 1946)."""
    squares = [one.deviation**2, other.deviation**2]
    if not sum(squares):
        return 0.0
    spent = sum(
        square**2 / sure.freedom for square, sure in zip(squares, (one, other), strict=True)
    )
    freedom = sum(squares) ** 2 / spent if spent else math.inf
    return t_quantile(1 - ALPHA / 2, freedom) * math.sqrt(sum(squares))


def unlike(configs: Sequence[Config]) -> list[str]:
    """Paths of the settings, but for the sampler and its budget, in which searches differ."""
    flat = [_flat(config) for config in configs]
    paths = dict.fromkeys(path for one in flat for path in one)
    return [path for path in paths if any(one.get(path) != flat[0].get(path) for one in flat)]


def _flat(config: Config) -> dict[str, Any]:
    searched = set(config.space or ())
    found: dict[str, Any] = {}
    for name, value in config.plain().items():
        if name in ("space", "stages"):
            continue
        fields = value if isinstance(value, dict) else {"": value}
        for field, content in fields.items():
            path = f"{name}.{field}" if field else name
            if path not in _FREE and field not in searched:
                found[path] = content
    return found | {f"space.{name}": _axis(p) for name, p in (config.space or {}).items()}


def _axis(parameter: Parameter) -> Parameter:
    """Without what only a grid reads."""
    return replace(parameter, points=None) if isinstance(parameter, Range) else parameter

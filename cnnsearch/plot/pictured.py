"""What is drawn: the trials of a study, and what of them was asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnsearch.config import Config
from cnnsearch.objective import value
from cnnsearch.records import EpochResult, State, Trial
from cnnsearch.render.text import identity
from cnnsearch.review.importance import Importances
from cnnsearch.space import Space

MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_PARTS = {"train": "training", "val": "validation"}
# Of hyperparameters that have one; `value` and the like are told by `label`.
_UNITS = {
    "batch_size": "images",
    "crop": "pixels",
    "kernel": "pixels",
    "stride": "pixels",
    "padding": "pixels",
    "pool_size": "pixels",
    "warmup_epochs": "epochs",
    "step_every": "epochs",
    "conv": "channels of each layer",
    "hidden": "units of each layer",
}


@dataclass(frozen=True, slots=True)
class Histograms:
    """The activations of a trial's network at one time, layer by layer.

    Args:
        epoch: after which; 0: before its training.
        names: of the layers.
        shares: of each layer the share of its activations in each of equal parts of the range.
        low: lower end of the range; likewise `high`.
        inputs: how many images they are of.
    """

    epoch: int
    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    low: float
    high: float
    inputs: int


@dataclass(frozen=True, slots=True)
class Pictured:
    """A study as figures show it.

    Args:
        trials: each point's last attempt, without hidden ones, with their curves; or those that
            were chosen.
        config: of the study.
        direction: "maximize" or "minimize".
        layers: the trial whose layers are drawn, with its probes, where that is asked for.
        histograms: of that trial, before training and with the weights that were kept; none where
            its images are not there.
        importances: where that is asked for; None where they cannot be told.
        untold: why they cannot.
    """

    study: str
    trials: tuple[Trial, ...]
    config: Config
    direction: str
    layers: Trial | None = None
    histograms: tuple[Histograms, ...] = ()
    importances: Importances | None = None
    untold: str = ""

    @property
    def space(self) -> Space:
        """What the study searches."""
        return self.config.space or {}

    @property
    def objective(self) -> str:
        """Such as `val_accuracy`."""
        return self.config.search.objective if self.config.search else "val_accuracy"

    @property
    def names(self) -> list[str]:
        """The hyperparameters in the order of the space."""
        longest = sorted(self.trials, key=lambda trial: -len(trial.params))
        return list(dict.fromkeys([*self.space, *(n for trial in longest for n in trial.params)]))

    @property
    def varied(self) -> list[str]:
        """Those with more than one value among the trials; all where none has."""
        several = [
            name
            for name in self.names
            if len({identity(t.params[name]) for t in self.trials if name in t.params}) > 1
        ]
        return several or self.names

    def by_state(self) -> dict[State, list[Trial]]:
        """The trials of each state there is, in the order of ranking."""
        found = {state: [t for t in self.trials if t.state is state] for state in State}
        return {state: trials for state, trials in found.items() if trials}

    def height(self, trial: Trial) -> float | None:
        """A complete trial's value; of a pruned one what it had reached; None of the others."""
        if trial.state is State.PRUNED and self.config.search:
            curve = [r for r in trial.curve if math.isfinite(getattr(r, self.objective))]
            return value(curve, self.objective, self.config.search.at)
        return trial.value if trial.state is State.COMPLETE else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a kind of figure is wanted; None: what the kind takes by itself.

    Args:
        x: a hyperparameter, for param and map.
        y: another one, for map; for curves a measure of an epoch.
        color: "state", "trial" or a hyperparameter, for curves and param.
        most: so many hyperparameters at most, where none was named.
    """

    x: str | None = None
    y: str | None = None
    color: str | None = None
    most: int | None = None


def when(epoch: int) -> str:
    """After which epoch something was measured, in words; 0 is before training."""
    return f"after epoch {epoch}" if epoch else "before training"


def label(name: str) -> str:
    """What an axis shows, with its unit: `validation accuracy (0 to 1)`, `batch_size (images)`."""
    if name in MEASURES:
        part, _, what = name.partition("_")
        unit = "0 to 1" if what == "accuracy" else "cross-entropy, nats"
        return f"{_PARTS[part]} {what} ({unit})"
    return f"{name} ({_UNITS[name]})" if name in _UNITS else name


def finite(points: Sequence[tuple[Any, float]]) -> list[tuple[Any, float]]:
    """Points without those that cannot be drawn."""
    return [(x, y) for x, y in points if math.isfinite(y) and abs(y) < 1e300]


def measured(curve: Sequence[EpochResult], measure: str) -> list[tuple[Any, float]]:
    """A curve as points: (epoch, measure), the finite ones."""
    return finite([(result.epoch, getattr(result, measure)) for result in curve])

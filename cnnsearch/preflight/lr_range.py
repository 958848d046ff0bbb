"""The learning-rate range test: the rate grows step by step until the loss is lost.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section 3.3.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch.nn.functional as F
from torch import Generator

from cnnsearch import data, diagnose, runner
from cnnsearch.config import Config
from cnnsearch.data import TrialData
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.optimizer import make_optimizer
from cnnsearch.precision import autocast
from cnnsearch.preflight.combinations import FIELDS, Combination, combinations, spread
from cnnsearch.preflight.examine import Preflight
from cnnsearch.preflight.untrained import look
from cnnsearch.process import settle
from cnnsearch.records import Params, Value
from cnnsearch.space import Choice, Range
from cnnsearch.train import Batches

LOWEST, HIGHEST, STEPS = 1e-7, 100.0, 150
MOST = 4
"""Of many combinations so many are tested."""
# A look costs some hundredths of a second: 200 of them would be a long silence.
_MOST_LOOKED_AT = 24

# Where abort.loss_ratio is null.
_RATIO = 3.0
# A loss is read together with three before and three after it: a running mean would lag by half a
# decade of learning rates.
_AROUND = 3
# The first steps, up to a rate of 7e-6, change little: they show by how much batches differ.
_STILL = 30
_SURE, _LEARNED = 4.0, 0.05
_FALLEN = 0.1
# Trials of 1 to 8 epochs on digits, mnist and cifar10, 12 combinations in all, were best between a
# tenth of the rate at which the loss turns up and 1.5 times that rate; at 5 times, all were worse.
_ABOVE, _BELOW, _LEAST_BELOW = 2.0, 30.0, 10.0
_NARROWEST, _WIDEST = 100.0, 1000.0
_AGAIN = 1000.0


@dataclass(frozen=True)
class Sweep:
    """One combination, trained while its learning rate grew.

    Args:
        choices: what is searched of optimizer, init, activation and batch norm.
        guessing: ln(classes).
        rates: the learning rate of each step.
        losses: of the batch of each step, before it; the last one may not be finite.
        diverged: whether the guard ended it; else it came to the highest rate.
    """

    choices: Params
    guessing: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool

    @cached_property
    def smooth(self) -> list[float]:
        """The losses, each the median of itself and its neighbours."""
        finite = [loss if math.isfinite(loss) else math.inf for loss in self.losses]
        return [
            statistics.median(finite[max(0, i - _AROUND) : i + _AROUND + 1])
            for i in range(len(finite))
        ]

    @property
    def learns(self) -> bool:
        """Whether the loss came down below that of guessing, by more than batches differ."""
        still = [loss for loss in self.losses[:_STILL] if math.isfinite(loss)]
        noise = statistics.pstdev(still) / math.sqrt(2 * _AROUND + 1) if still else 0.0
        margin = max(_LEARNED * self.guessing, _SURE * noise)
        return min(self.smooth) < self._base - margin

    @property
    def falls(self) -> float:
        """The rate at which a tenth of what is learned in all was learned."""
        wanted = self._base - _FALLEN * (self._base - min(self.smooth))
        return next(
            rate for rate, loss in zip(self.rates, self.smooth, strict=True) if loss <= wanted
        )

    @property
    def steepest(self) -> float:
        """The rate at which the loss fell fastest, a decade being a decade."""
        smooth, last = self.smooth, self._turn
        first = self.rates.index(self.falls)
        falls = {
            i: smooth[max(0, i - _AROUND)] - smooth[min(i + _AROUND, last)]
            for i in range(first, last + 1)
        }
        return self.rates[max(falls, key=lambda i: falls[i])]

    @property
    def turns(self) -> float:
        """The rate at which the loss was lowest: from there on it rises."""
        return self.rates[self._turn]

    @property
    def lost(self) -> float | None:
        """The rate at which the guard ended it."""
        return self.rates[-1] if self.diverged else None

    @property
    def _turn(self) -> int:
        return self.smooth.index(min(self.smooth))

    @property
    def _base(self) -> float:
        # What falls from a loud start to the loss of guessing has learned nothing yet.
        return min(self.smooth[0], self.guessing)


def tested(config: Config, ready: Preflight) -> tuple[list[Combination], int]:
    """The combinations to test, at most `MOST`, and how many the space has.

    Left out are those that are lost before the first step, unless all are.
    """
    every = combinations(_least_decay(config), ("optimizer", *FIELDS))
    # Networks that differ in their optimizer alone begin in the same way.
    networks: dict[tuple[Value, ...], Combination] = {}
    for one in every:
        networks.setdefault(_beginning(one), one)
    settle(config.threads, config.train)
    looked_at = spread(list(networks.values()), _MOST_LOOKED_AT)
    sound = {_beginning(one) for one in looked_at if _is_sound(one, ready)}
    left = [one for one in every if _beginning(one) in sound]
    return spread(left or every, MOST), len(every)


def _beginning(combination: Combination) -> tuple[Value, ...]:
    return tuple(getattr(combination.config.model, name) for name in FIELDS)


def _is_sound(combination: Combination, ready: Preflight) -> bool:
    try:
        _, probe = look(combination.config, _images(combination, ready))
    except RuntimeError:  # out of memory among them
        return False
    return not diagnose.at_start(probe)


def sweep(combination: Combination, ready: Preflight) -> Sweep | None:
    """Train one combination while its learning rate grows, until the guard ends it.

    Where nothing was learned on the way the last three decades are gone through once more, three
    times as slowly: plain SGD from small weights (the lectures' two-layer network) needs that.
    None where it cannot be trained: out of memory, say.
    """
    try:
        first = _grown(combination, ready, LOWEST, HIGHEST)
        if first.learns:
            return first
        highest = first.rates[-1]
        again = _grown(combination, ready, highest / _AGAIN, highest)
    except RuntimeError:
        return None
    return again if again.learns else first


def _grown(combination: Combination, ready: Preflight, lowest: float, highest: float) -> Sweep:
    config, images = combination.config, _images(combination, ready)
    settle(config.threads, config.train)
    network = runner.make_network(config, images, images.device)
    optimizer = make_optimizer(network, config.train)
    guard = DivergenceGuard(images.classes, config.abort.loss_ratio or _RATIO, check_every=1)
    batches = _endless(images, config.train.batch_size, config.seed)
    network.train()
    rates, losses, diverged = list[float](), list[float](), False
    for step, (pixels, labels) in zip(range(STEPS), batches, strict=False):
        rates.append(lowest * (highest / lowest) ** (step / (STEPS - 1)))
        for group in optimizer.param_groups:
            group["lr"] = rates[-1]
        optimizer.zero_grad(set_to_none=True)
        with autocast(pixels.device, config.train.precision):
            loss = F.cross_entropy(network(pixels), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
        try:
            guard.look(losses[-1:], epoch=1)
        except Diverged:
            diverged = True
            break
    guessing = math.log(images.classes)
    return Sweep(combination.params, guessing, tuple(rates), tuple(losses), diverged)


def proposal(sweeps: Sequence[Sweep]) -> tuple[float, float] | None:
    """The range of learning rates to search: below what is best for each combination, and a little
    above what is too high for the last one.

    Two to three decades, more where the combinations are far apart. None where none of them learns.
    """
    turns = [sweep.turns for sweep in sweeps if sweep.learns]
    if not turns:
        return None
    high = _up(max(turns) * _ABOVE)
    low = max(min(turns) / _BELOW, high / _WIDEST)
    return _down(min(low, min(turns) / _LEAST_BELOW, high / _NARROWEST)), high


def document(sweeps: Sequence[Sweep], total: int, config: Config) -> dict[str, Any]:
    """All that the test found, as plain data with stable names: printed, and given as JSON."""
    found = proposal(sweeps)
    return {
        "study": config.study,
        "combinations_total": total,
        "batch_size": config.train.batch_size,
        "optimizer": config.train.optimizer,
        "guessing": sweeps[0].guessing if sweeps else None,
        "combinations": [_plain(sweep) for sweep in sweeps],
        "proposal": None if found is None else dict(zip(("low", "high"), found, strict=True)),
    }


def _plain(sweep: Sweep) -> dict[str, Any]:
    learns = sweep.learns
    return {
        "params": dict(sweep.choices),
        "learns": learns,
        "falls": sweep.falls if learns else None,
        "steepest": sweep.steepest if learns else None,
        "turns": sweep.turns if learns else None,
        "lost": sweep.lost,
        "lowest_loss": min(sweep.smooth),
        "lr": list(sweep.rates),
        "loss": list(sweep.losses),
        "smooth": sweep.smooth,
    }


def _up(value: float) -> float:
    """Rounded up to one digit: 0.0132 to 0.02."""
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.1g}")


def _down(value: float) -> float:
    """Rounded down to one digit: 0.0078 to 0.007."""
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.floor(value / unit + 1e-9) * unit:.1g}")


def _least_decay(config: Config) -> Config:
    """In the middle of a wide range weight decay may allow no learning at all."""
    decay = (config.space or {}).get("weight_decay")
    if not isinstance(decay, Range):
        return config
    least = Choice((decay.low,), decay.when)
    return replace(config, space={**(config.space or {}), "weight_decay": least})


def _images(combination: Combination, ready: Preflight) -> TrialData:
    return data.prepare(ready.images, combination.config.data, ready.device)


def _endless(images: TrialData, batch_size: int, seed: int) -> Batches:
    order = Generator().manual_seed(seed)
    while True:
        yield from images.batches(batch_size, order)

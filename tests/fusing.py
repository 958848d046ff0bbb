"""Groups of trials trained together and each alone, to be held against each other."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cnnsearch import catalog, runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Data, Model
from cnnsearch.data import TrialData, load, prepare
from cnnsearch.fused import Member, train_fused
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.records import EpochResult
from cnnsearch.train import Batches, train
from tests.builders import digits_config

NORMS: Mapping[str, Mapping[str, Any]] = {
    "none": {"batchnorm": False},
    "before": {"batchnorm": True},
    "after": {"batchnorm": True, "batchnorm_at": "after"},
}
INITS = [row.name + (":0.1" if row.parameter else "") for row in catalog.INIT_SCHEMES.values()]
CHOICES: Sequence[Sequence[str]] = (
    list(catalog.ACTIVATIONS),
    list(NORMS),
    INITS,
    list(catalog.OPTIMIZERS),
)
Case = tuple[str, ...]
EPOCHS, STEPS = 2, 10
"""So many steps an epoch: 20 in all."""


@dataclass(frozen=True)
class Typed:
    """A trial's data, in another floating-point type."""

    data: TrialData
    dtype: torch.dtype

    def steps(self, batch_size: int) -> int:
        return self.data.steps(batch_size)

    def batches(self, batch_size: int, generator: torch.Generator) -> Batches:
        return self._typed(self.data.batches(batch_size, generator))

    def epoch(self, batch_size: int, generators: Sequence[torch.Generator]) -> TypedEpoch:
        return TypedEpoch(self.data.epoch(batch_size, generators), self.dtype)

    def validation_batches(self, size: int | None = None) -> Batches:
        return self._typed(self.data.validation_batches(size))

    def _typed(self, batches: Batches) -> Batches:
        return ((images.to(self.dtype), labels) for images, labels in batches)


@dataclass(frozen=True)
class TypedEpoch:
    epoch: Any
    dtype: torch.dtype

    def batches(self) -> Batches:
        return ((images.to(self.dtype), labels) for images, labels in self.epoch.batches())

    def keep(self, trials: Tensor) -> None:
        self.epoch.keep(trials)


@dataclass(frozen=True)
class Trained:
    """What became of one trial."""

    model: nn.Module
    told: list[EpochResult | Diverged] = field(default_factory=list)


def case_config(case: Case, number: int, **train: Any) -> Config:
    """Trial `number` of a group: with values of its own."""
    activation, norm, init, optimizer = case
    values: dict[str, Any] = {
        # Small for Adam: from zeros some gradients are 0 but for rounding, which it divides by
        # its eps of 1e-8; with lr 0.006 tensors of one trial then differ by 1.7e-9.
        "lr": (0.01 if optimizer == "sgd" else 5e-5) * (1 + number),
        "momentum": (0.9, 0.0, 0.5)[number % 3],
        "weight_decay": (1e-3, 0.0)[number % 2],
        "schedule": ("constant", "cosine")[number % 2],
        "optimizer": optimizer,
        "epochs": EPOCHS,
        "batch_size": 16,
    }
    model = {"conv": [4], "hidden": [6], "activation": activation, "dropout": 0.2, **NORMS[norm]}
    # The scheme is a value: the others of the group have others.
    schemes = [*INITS[INITS.index(init) :], *INITS[: INITS.index(init)]]
    config = replace(
        digits_config(train={**values, **train}),
        data=Data(name="digits", limit=16 * STEPS, flip=True, crop=1),
        model=Model(**{**model, "init": schemes[number % len(schemes)]}),
    )
    return config.at({"dropout": (0.2, 0.4)[number % 2]}, seed=100 + number)


def digits(config: Config, dtype: torch.dtype = torch.float64) -> Typed:
    images = load(Data(name="digits"))
    return Typed(prepare(images, config.data, torch.device("cpu")), dtype)


def member(config: Config, data: Typed, probed: bool = False, ratio: float | None = 3.0) -> Member:
    model = runner.make_network(config, data.data, torch.device("cpu")).to(data.dtype)
    guard = DivergenceGuard(10, ratio, config.abort.check_every)
    order = torch.Generator().manual_seed(config.seed)
    return Member(model, config.train, guard, order)


def alone(config: Config, dtype: torch.dtype = torch.float64) -> Trained:
    """One trial by the loop for one."""
    data = digits(config, dtype)
    one = member(config, data)
    trained = Trained(one.model)
    try:
        for result in train(one.model, data, one.section, one.guard, one.generator):
            trained.told.append(result)
    except Diverged as lost:
        trained.told.append(lost)
    return trained


def together(
    configs: Sequence[Config],
    dtype: torch.dtype = torch.float64,
    stop: Mapping[int, Collection[int]] | None = None,
) -> list[Trained]:
    """Trials as one batched network.

    Args:
        stop: members that are sent back as stopped after an epoch.
    """
    data = digits(configs[0], dtype)
    members = [member(config, data) for config in configs]
    trained = [Trained(one.model) for one in members]
    group = train_fused(members, data)
    results = next(group, None)
    while results is not None:
        for number, told in results.items():
            trained[number].told.append(told)
        epoch = max(len(one.told) for one in trained)
        try:
            results = group.send((stop or {}).get(epoch))
        except StopIteration:
            results = None
    return trained


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().double() for name, tensor in model.state_dict().items()}


def departure(one: nn.Module, other: nn.Module) -> float:
    """Of each tensor the largest difference, in units of max(1, its largest element); the worst."""
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert all(tensor.isfinite().all() for tensor in mine.values())
    return max(
        ((mine[name] - theirs[name]).abs().max() / theirs[name].abs().max().clamp(min=1)).item()
        for name in mine
    )


def measured(told: Sequence[EpochResult | Diverged]) -> list[tuple[float, ...]]:
    """The numbers of the epochs."""
    return [
        (one.epoch, one.lr, one.train_loss, one.train_accuracy, one.val_loss, one.val_accuracy)
        for one in told
        if isinstance(one, EpochResult)
    ]


def all_pairs() -> Iterator[Case]:
    """Few cases in which every two choices of different kinds meet."""
    kinds = range(len(CHOICES))
    open_pairs = {
        ((i, a), (j, b))
        for i, j in itertools.combinations(kinds, 2)
        for a in CHOICES[i]
        for b in CHOICES[j]
    }

    def gained(case: Case) -> int:
        return sum(pair in open_pairs for pair in itertools.combinations(enumerate(case), 2))

    every = list(itertools.product(*CHOICES))
    while open_pairs:
        best = max(every, key=gained)
        open_pairs.difference_update(itertools.combinations(enumerate(best), 2))
        yield best

"""What is looked at before a search spends its budget: device, images, shapes, time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch

from cnnsearch import data, model, runner
from cnnsearch.config import Config, fitting, placed, structures
from cnnsearch.config.sections import Model, Train
from cnnsearch.errors import InputError
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.records import Params, Value
from cnnsearch.render.text import value_text
from cnnsearch.space import Range
from cnnsearch.train import Batches, train

# A trial's time is read off epochs of so many steps.
_TIMED_STEPS = (2, 6)
# Of impossible networks so many are told.
_MOST_TOLD = 20


@dataclass(frozen=True)
class Preflight:
    """What was found: the device, and the images."""

    device: torch.device
    images: data.Images


@dataclass(frozen=True)
class Network:
    """Networks of a space whose layers have equal sizes.

    Args:
        sections: they differ in what has no size, such as the activation.
        title: the fields in which they differ from the other networks of the space.
        memory_bytes: of a training step, without the images, at most, estimated.
    """

    sections: Sequence[Model]
    title: str
    measured: model.Measured
    memory_bytes: int


def examine(
    config: Config, say: Callable[[str], None], file: str, sets: Sequence[str] = ()
) -> Preflight:
    """Find what would make trials fail, before the first one.

    Args:
        say: gets what the user should know meanwhile, such as images that cannot be read.
        file: where the config was read, to place mistakes in it; likewise `sets`.

    Raises:
        InputError: with one line for each mistake.
    """
    try:
        return _examine(config, say)
    except InputError as error:
        raise type(error)(placed(file, sets, str(error))) from error


def _examine(config: Config, say: Callable[[str], None]) -> Preflight:
    device = runner.resolve_device(config.device)
    images = data.load(config.data, say)
    data.check_split(images, config.data)
    classes = len(images.classes)
    candidates = list(chain(fitting(config), structures(config)))
    wrong = (
        f"model: {_title([section], candidates)}: {error}"
        for section in candidates
        if (error := model.fits(section, images.shape, classes)) is not None
    )
    if told := list(dict.fromkeys(islice(wrong, _MOST_TOLD))):
        raise InputError("\n".join(told))
    return Preflight(device, images)


def default_jobs(device: torch.device, threads: int) -> int:
    """Workers where the user does not say: all cores on a CPU, one on an accelerator."""
    if device.type != "cpu":
        return 1
    usable = getattr(os, "sched_getaffinity", None)  # fewer than the machine's, in a container
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, cores // threads)


def estimate_seconds(configs: Sequence[Config], ready: Preflight) -> float | None:
    """Mean time of one trial's training, from a few steps of each of `configs`, single runs.

    None where not one of them can be trained. Divergence and pruning shorten a search, workers that
    share the machine lengthen it; neither is foreseen.
    """
    times = [seconds for config in configs if (seconds := _trial_seconds(config, ready))]
    return sum(times) / len(times) if times else None


def _trial_seconds(config: Config, ready: Preflight) -> float | None:
    """A line through the times of a short and a longer epoch: what is fixed, and what a step adds.

    Fixed is one batch of the validation split, for which all are counted.
    """
    whole = data.prepare(ready.images, config.data, ready.device)
    few, more = (_FewSteps(whole, steps) for steps in _TIMED_STEPS)
    short, long = (
        _epoch_seconds(config, few, ready.device),
        _epoch_seconds(config, more, ready.device),
    )
    if short is None or long is None:
        return None
    batch = config.train.batch_size
    added = more.steps(batch) - few.steps(batch)
    if not added:  # the whole epoch was timed
        return config.train.epochs * long
    step = max(0.0, long - short) / added
    fixed = max(0.0, long - step * more.steps(batch))
    validations = math.ceil(whole.validation_size / data.EVALUATION_BATCH)
    return config.train.epochs * (whole.steps(batch) * step + validations * fixed)


def _epoch_seconds(config: Config, few: _FewSteps, device: torch.device) -> float | None:
    """The faster of two epochs over a few steps, after one to warm up; None if it diverges."""
    harmless: Params = {"lr": 1e-6, "epochs": 3, "warmup_epochs": 0.0, "init": "he"}
    config = config.at(harmless, config.seed)
    guard = DivergenceGuard(few.whole.classes, None, 10**9)
    order = torch.Generator().manual_seed(config.seed)
    runner.settle(config.threads)
    try:
        network = runner.make_network(config, few.whole, device)
        epochs = list(train(network, few, config.train, guard, order))
    except (Diverged, RuntimeError):  # out of memory among them: the trial itself will say so
        return None
    return min(epoch.seconds for epoch in epochs[1:])


@dataclass(frozen=True)
class _FewSteps:
    """The first batches of a data set in the place of all, and one of the validation split."""

    whole: data.TrialData
    count: int

    def steps(self, batch_size: int) -> int:
        return min(self.count, self.whole.steps(batch_size))

    def batches(self, batch_size: int, generator: torch.Generator) -> Batches:
        return islice(self.whole.batches(batch_size, generator), self.count)

    def validation_batches(self) -> Batches:
        return islice(self.whole.validation_batches(), 1)


def networks(config: Config, ready: Preflight) -> list[Network]:
    """The networks that a space can produce, those with equal sizes together."""
    found = structures(config)
    trains = list(_hungriest(config))
    groups: dict[tuple[object, ...], tuple[list[Model], model.Measured]] = {}
    for section in found:
        measured = model.measure(section, ready.images.shape, len(ready.images.classes))
        key = tuple((row.shape, row.parameters) for row in measured.rows)
        groups.setdefault(key, ([], measured))[0].append(section)
    return [
        Network(
            sections,
            _title(sections, found),
            measured,
            max(measured.memory_bytes(train) for train in trains),
        )
        for sections, measured in groups.values()
    ]


def _title(sections: Sequence[Model], among: Sequence[Model]) -> str:
    """The fields in which networks differ from the others of their space."""
    parts = []
    for name in Model.model_fields:
        everywhere = {value_text(getattr(other, name)) for other in among}
        here = dict.fromkeys(value_text(getattr(section, name)) for section in sections)
        if len(everywhere) > 1:
            parts.append(f"{name} {' | '.join(here)}")
    return ", ".join(parts) or "the network"


def _hungriest(config: Config) -> Iterator[Train]:
    """The `train` sections that may need the most memory: largest batch, each optimizer."""
    batch = max(_numbers(config, "batch_size"))
    momentum = max(_numbers(config, "momentum"))
    for optimizer in _values(config, "optimizer"):
        yield config.train.model_copy(
            update={"batch_size": batch, "momentum": momentum, "optimizer": optimizer}
        )


def _values(config: Config, name: str) -> list[Value]:
    """What a field of `train` can be: fixed, searched, or either where it is conditional."""
    parameter = (config.space or {}).get(name)
    fixed: list[Value] = [getattr(config.train, name)]
    if parameter is None:
        return fixed
    ends = [parameter.low, parameter.high] if isinstance(parameter, Range) else parameter.choices
    return [*(fixed if parameter.when else []), *ends]


def _numbers(config: Config, name: str) -> list[int | float]:
    return [value for value in _values(config, name) if isinstance(value, int | float)]

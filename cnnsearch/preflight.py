"""What is looked at before a search spends its budget: device, images, shapes, time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from cnnsearch import data, model, runner
from cnnsearch.config import Config, placed, structures
from cnnsearch.config.sections import Model, Train
from cnnsearch.errors import InputError
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.records import Params
from cnnsearch.render.text import value_text
from cnnsearch.space import Range
from cnnsearch.train import Batches, train

# A trial's time is read off epochs of so many steps.
_TIMED_STEPS = (2, 6)
VALIDATION_BATCH = 1024


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Args:
        structures: every network that the space can produce, without duplicates.
        parameters: parameter count of each.
        memory: bytes of a training step of each, without the images, estimated.
    """

    device: torch.device
    images: data.Images
    structures: Sequence[Model]
    parameters: Sequence[int]
    memory: Sequence[int]


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
    found = structures(config)
    wrong = [
        f"model: {described([section], found)}: {error}"
        for section in found
        if (error := model.shape_error(section, images.shape, classes))
    ]
    if wrong:
        raise InputError("\n".join(dict.fromkeys(wrong)))
    counts = [model.parameter_count(section, images.shape, classes) for section in found]
    largest = _largest_batch(config)
    memory = [model.memory_bytes(section, largest, images.shape, classes) for section in found]
    return Preflight(device, images, found, counts, memory)


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
    validations = math.ceil(whole.validation_size / VALIDATION_BATCH)
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
        return islice(self.whole.validation_batches(VALIDATION_BATCH), 1)


def layer_tables(ready: Preflight) -> list[tuple[list[Model], list[model.LayerRow]]]:
    """The layers of each network; those that differ in nothing but names of layers are together."""
    tables: dict[tuple[object, ...], tuple[list[Model], list[model.LayerRow]]] = {}
    for section in ready.structures:
        rows = model.layer_table(section, ready.images.shape, len(ready.images.classes))
        key = tuple((row.shape, row.parameters) for row in rows)
        tables.setdefault(key, ([], rows))[0].append(section)
    return list(tables.values())


def described(sections: Sequence[Model], among: Sequence[Model]) -> str:
    """The fields in which networks differ from the others of their space."""
    parts = []
    for name in Model.model_fields:
        everywhere = {value_text(getattr(other, name)): None for other in among}
        here = {value_text(getattr(section, name)): None for section in sections}
        if len(everywhere) > 1:
            parts.append(f"{name} {' | '.join(here)}")
    return ", ".join(parts) or "the network"


def _largest_batch(config: Config) -> Train:
    """The `train` section with the largest batch and the hungriest optimizer of the space."""
    space = config.space or {}
    batch = space.get("batch_size")
    sizes = [config.train.batch_size]
    if isinstance(batch, Range):
        sizes = [int(batch.high)]
    elif batch is not None:
        sizes = [size for size in batch.choices if isinstance(size, int)]
    adam = "optimizer" in space or config.train.optimizer != "sgd"
    return config.train.model_copy(
        update={"batch_size": max(sizes), "optimizer": "adam" if adam else "sgd"}
    )

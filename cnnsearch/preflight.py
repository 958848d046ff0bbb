"""What is looked at before a search spends its budget: device, images, shapes, time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from cnnsearch import data, model, runner
from cnnsearch.config import Config, placed, structures
from cnnsearch.config.sections import Model, Train
from cnnsearch.errors import InputError
from cnnsearch.records import EpochResult, Params
from cnnsearch.render.text import value_text
from cnnsearch.space import Range

# A trial's time is read off epochs of so many steps.
_TIMED_STEPS = (2, 6)


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


def estimate_seconds(configs: Sequence[Config], ready: Preflight) -> float:
    """Mean time of one trial, from a few steps of each of `configs`, which are single runs.

    Divergence and pruning shorten a search, which this does not foresee.
    """
    return sum(_trial_seconds(config, ready) for config in configs) / len(configs)


def _trial_seconds(config: Config, ready: Preflight) -> float:
    """A line through the times of a short and a longer epoch: what is fixed, and what steps add."""
    batch = config.train.batch_size
    whole = data.prepare(ready.images, config.data, ready.device).train_size
    images = [min(steps * batch, whole) for steps in _TIMED_STEPS]
    times = [_epoch_seconds(config, count) for count in images]
    if images[0] == images[-1]:
        return config.train.epochs * times[-1]
    per_image = max(0.0, (times[-1] - times[0]) / (images[-1] - images[0]))
    return config.train.epochs * (times[-1] + per_image * (whole - images[-1]))


def _epoch_seconds(config: Config, images: int) -> float:
    """The faster of two epochs over so many images, after one to warm up."""
    harmless: Params = {"lr": 1e-6, "epochs": 3, "warmup_epochs": 0.0, "init": "he"}
    short = config.at(harmless, config.seed)
    short = replace(short, data=short.data.model_copy(update={"limit": images}))
    epochs = [item for item in runner.run(short) if isinstance(item, EpochResult)]
    return min(epoch.seconds for epoch in epochs[1:])


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

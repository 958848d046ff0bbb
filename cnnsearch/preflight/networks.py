"""The networks that a space can produce, by size, and the memory that they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cnnsearch import model
from cnnsearch.config import Config, structures
from cnnsearch.config.sections import Model, Train
from cnnsearch.preflight.examine import Preflight, network_title
from cnnsearch.records import Value
from cnnsearch.space import Range


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
            network_title(sections, found),
            measured,
            max(measured.memory_bytes(train) for train in trains),
        )
        for sections, measured in groups.values()
    ]


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

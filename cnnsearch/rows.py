"""What a row says in each of the tables of `cnnsearch.catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """What every row of every table has.

    Args:
        name: as written in a config.
        description: one line for `cnnsearch choices`.
    """

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Activation(Row):
    """An activation function.

    Args:
        target: import path of the module class.
        arguments: keyword arguments of its constructor.
        pieces: linear pieces the layer before it computes for each unit (maxout: 2).
        monotone: never falls, so that max pooling may be done before it.
        learned: trained values of its own in each layer (prelu: 1). Its module sets them in
            `reset_parameters`.
        limits: the values that it approaches on both sides and where its slope vanishes, or None.
        dies: it is exactly 0, and so is its slope, for all negative inputs.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pieces: int = 1
    monotone: bool = True
    learned: int = 0
    limits: tuple[float, float] | None = None
    dies: bool = False

    @property
    def title(self) -> str:
        """For the names of layers, which hold no dots."""
        return self.name.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class InitScheme(Row):
    """An init scheme; `normal` takes its standard deviation after a colon.

    Args:
        target: import path of the function that draws the weights of one layer.
        parameter: name of the positive number written after a colon, or None.
        rescale: import path of the function that then scales all layers on images, or None.
    """

    target: str
    parameter: str | None = None
    rescale: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset(Row):
    """A data set.

    Args:
        target: import path of torchvision's class, or of our own reader.
        shape: (C, H, W), or None where the images decide.
        classes: number of classes, or None where the folders decide.
        files: paths below `root` by which a cached copy is known to be of these very files: those
            named here, and all that lie beside them in a folder of the data set's own.
        extra: the extra of pyproject.toml that it needs.
    """

    target: str
    shape: tuple[int, int, int] | None
    classes: int | None
    files: tuple[str, ...] = ()
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Preprocessor(Row):
    """What is subtracted from an image and what it is divided by.

    Args:
        mean: over what the mean is taken: None, "image" (per pixel) or "channel".
        std: divide by the standard deviation per channel: of all its pixels around their one mean,
            whatever is subtracted.
    """

    mean: str | None
    std: bool = False


@dataclass(frozen=True, slots=True)
class Optimizer(Row):
    """An optimizer.

    Args:
        target: import path of torch's class.
        fused: import path of ours that does the same for many trials at once.
        fields: which fields of `train` it takes besides lr and weight_decay.
    """

    target: str
    fused: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Precision(Row):
    """With how many digits a network computes.

    Args:
        products: torch's `fp32_precision` of products and convolutions: "ieee" or "tf32".
        dtype: torch's name of the type that scores and losses are computed in where that pays
            (autocast); None for float32.
    """

    products: str
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Schedule(Row):
    """How the learning rate changes over a run.

    Args:
        target: import path of the function that gives the factor on lr at a step.
    """

    target: str


@dataclass(frozen=True, slots=True)
class Sampler(Row):
    """How points are chosen.

    Args:
        target: import path of the class in `cnnsearch.study.samplers`.
        finite: there are only so many points, each known by its parameters; the others need
            the number of trials.
        sequential: a point depends on the results before it.
    """

    target: str
    finite: bool = False
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class Evaluator(Row):
    """How the importance of hyperparameters is measured; of no config.

    Args:
        title: its name in sentences.
        by_rank: it asks which trials are best, and not by how much: a pruned trial has its place
            below the complete ones.
    """

    title: str
    by_rank: bool


@dataclass(frozen=True, slots=True)
class Pruner(Row):
    """How unpromising trials are stopped early.

    Args:
        target: import path of a class, Optuna's or of `cnnsearch.study.pruners`; None: no pruner.
        arguments: keyword arguments of its constructor.
    """

    target: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)

"""The sections of a config file, with the bounds of every field.

Only what one field can say by itself is checked here; what several fields say together is checked
in `cnnsearch.config.rules`, shapes in `cnnsearch.model`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from cnnsearch import catalog, own
from cnnsearch.records import STUDY_NAME, is_study_name
from cnnsearch.rows import Row


class Section(BaseModel):
    """A section of the file: unknown keys are refused, types are not converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


def _name_of(table: Mapping[str, Row]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in table:
            raise PydanticCustomError(
                "unknown_name", "unknown name", {"name": name, "known": sorted(table)}
            )
        return name

    return AfterValidator(check)


def _one_of(table: Mapping[str, Row]) -> WithJsonSchema:
    names = {"enum": sorted(table)}
    if isinstance(table, catalog.Table) and table.takes_own:
        return WithJsonSchema({"anyOf": [names, _OWN]})
    return WithJsonSchema(names)


_OWN = {"type": "string", "pattern": f"^{own.PATTERN}$"}


OWN_INIT = "own"
"""The init scheme of a network of the user's own that draws its weights itself."""
_NUMBER = re.compile(r"[0-9.eE+-]{1,40}")


def init_scheme(text: str) -> tuple[str, float | None]:
    """Split an init scheme as written ("normal:0.01") into its name and its number.

    Raises:
        ValueError: the name is unknown, or the number is missing, not wanted or not positive; its
            text says what to write.
    """
    if own.is_own(text) or text == OWN_INIT:
        return text, None
    name, colon, number = text.partition(":")
    row = catalog.INIT_SCHEMES.get(name)
    if row is None:
        raise ValueError(f"unknown init scheme {name!r}")
    if row.parameter is None:
        if colon:
            raise ValueError(f"{name} takes no number. Write {name}.")
        return name, None
    try:
        value = float(number) if _NUMBER.fullmatch(number) else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{row.parameter} must be a number above 0. Write {name}:0.01.")
    return name, value


def _check_init(text: str) -> str:
    if own.is_own(text) or text == OWN_INIT:
        return text
    name = text.partition(":")[0]
    if name not in catalog.INIT_SCHEMES:
        known = [r.name + (":0.01" if r.parameter else "") for r in catalog.INIT_SCHEMES.values()]
        raise PydanticCustomError("unknown_name", "unknown name", {"name": text, "known": known})
    init_scheme(text)
    return text


def _init_schema() -> WithJsonSchema:
    rows = catalog.INIT_SCHEMES.values()
    numbered = "|".join(row.name for row in rows if row.parameter)
    return WithJsonSchema(
        {
            "anyOf": [
                {"enum": sorted([*(r.name for r in rows if not r.parameter), OWN_INIT])},
                _OWN,
                {"type": "string", "pattern": rf"^({numbered}):[0-9.eE+-]+$"},
            ]
        }
    )


_DEVICE = r"auto|cpu|mps|cuda(:[0-9]{1,3})?"


def _check_device(text: str) -> str:
    if not re.fullmatch(_DEVICE, text):
        raise ValueError("Write auto, cpu, cuda, cuda:1 or mps.")
    return text


def _check_study(text: str) -> str:
    if not is_study_name(text):
        raise ValueError(
            "A study's name has letters, digits, dot, dash and underscore, begins with a letter or "
            f"digit and has at most 64 characters. Write study: {study_name(text)}."
        )
    return text


def study_name(text: str) -> str:
    """A valid study name that looks like `text`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return plain[:64].rstrip("-._") or "search"


def _check_folder(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("Write a folder, or delete the line.")
    return text


def _pattern(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


_DURATION = re.compile(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def duration(text: str) -> float:
    """Seconds of a duration such as "90s", "30m", "2h" or "1h30m".

    Raises:
        ValueError: not of that form, or zero; its text says what to write.
    """
    match = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total == 0:
        raise ValueError(f"{text[:40]!r} is no duration. Write 90s, 30m, 2h or 1h30m.")
    return float(total)


def _to_seconds(value: Any) -> Any:
    return duration(value) if isinstance(value, str) else value


def _check_own(text: str) -> str:
    if not own.is_own(text):
        raise ValueError("Write FILE.py:NAME, such as net.py:MyNet.")
    return text


Finite = Field(allow_inf_nan=False)
Own = Annotated[str, AfterValidator(_check_own), WithJsonSchema(_OWN)]
Activation = Annotated[str, _name_of(catalog.ACTIVATIONS), _one_of(catalog.ACTIVATIONS)]
Dataset = Annotated[str, _name_of(catalog.DATASETS), _one_of(catalog.DATASETS)]
Preprocess = Annotated[str, _name_of(catalog.PREPROCESSORS), _one_of(catalog.PREPROCESSORS)]
Optimizer = Annotated[str, _name_of(catalog.OPTIMIZERS), _one_of(catalog.OPTIMIZERS)]
Schedule = Annotated[str, _name_of(catalog.SCHEDULES), _one_of(catalog.SCHEDULES)]
Precision = Annotated[str, _name_of(catalog.PRECISIONS), _one_of(catalog.PRECISIONS)]
Sampler = Annotated[str, _name_of(catalog.SAMPLERS), _one_of(catalog.SAMPLERS)]
Pruner = Annotated[str, _name_of(catalog.PRUNERS), _one_of(catalog.PRUNERS)]
Init = Annotated[str, AfterValidator(_check_init), _init_schema()]
Device = Annotated[str, AfterValidator(_check_device), _pattern(_DEVICE)]
Study = Annotated[str, AfterValidator(_check_study), _pattern(STUDY_NAME)]
Folder = Annotated[str, AfterValidator(_check_folder)]
# The upper bounds keep products of sizes within 64 bits, far above what any machine can train.
Count = Annotated[int, Field(ge=1, le=10**9)]
Width = Annotated[int, Field(ge=1, le=10**6)]
Pixels = Annotated[int, Field(ge=1, le=10**4)]
Layers = Annotated[list[Width], Field(max_length=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(gt=0, lt=1), Finite]
Seconds = Annotated[
    float,
    Field(gt=0),
    Finite,
    BeforeValidator(_to_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": "^[0-9hms]+$"},
            ]
        }
    ),
]


def _check_off(switch: bool) -> bool:
    if switch:
        raise ValueError("Write auto, false or a number.")
    return switch


Off = Annotated[bool, AfterValidator(_check_off), WithJsonSchema({"const": False})]
Fuse = Literal["auto"] | Off | Annotated[int, Field(ge=2, le=4096)]


class Top(Section):
    """What stands at the top of the file, beside the sections."""

    study: Study
    """Name of the study; default: the file's name."""
    seed: Seed = 0
    """Of a search: its points and, by them, its trials; of a single run: the trial's own."""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """CPU threads of one trial."""
    diagnose: bool = True
    """Measure each layer after each epoch, for a verdict on the trial."""
    fuse: Fuse = "auto"
    """Train so many trials as one batched network; auto: on CUDA, as many as pay; false: none."""


class Folds(Section):
    """Cross-validation: each trial is trained once for each fold, on the images of the others."""

    folds: Annotated[int, Field(ge=2, le=100)]
    """Number of folds, stratified."""


def _folds_schema() -> WithJsonSchema:
    # Written out: a reference into definitions of its own would not hold in the whole schema.
    schema = Folds.model_json_schema()
    return WithJsonSchema({name: part for name, part in schema.items() if name != "title"})


class Data(Section):
    """Which images, how they are split and how they are prepared."""

    name: Dataset
    """The data set."""
    root: Folder | None = None
    """Folder of the data; default: $CNNSEARCH_DATA, else ~/.cache/cnnsearch."""
    limit: Count | None = None
    """Training images left after the validation split, same class balance; default: all."""
    validation: Fraction | Count | Annotated[Folds, _folds_schema()] = 0.1
    """Validation split: a fraction of the training images, a count, or {folds: 5}."""
    split_seed: Seed = 0
    """Seed of the validation split."""
    size: Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = None
    """image_folder: [height, width]; default: the size of the majority."""
    channels: Literal[1, 3] | None = None
    """image_folder: 1 or 3; default: 3 unless all images are grey."""
    pixels: Literal["unit", "raw"] = "unit"
    """unit: 0..1; raw: 0..255, the lectures' scale."""
    preprocess: Preprocess = "channel_mean"
    """What is subtracted from each image, from the training split only."""
    flip: bool = False
    """Flip each training image left to right with probability 1/2."""
    crop: Annotated[int, Field(ge=0, le=10**4)] = 0
    """Random crop after zero padding by so many pixels."""

    @property
    def folds(self) -> int:
        """How often a trial is trained: once, or once for each fold."""
        return self.validation.folds if isinstance(self.validation, Folds) else 1


class Model(Section):
    """The network: conv layers, fully connected layers, classifier."""

    conv: Layers = [32, 64]
    """Channels of each conv layer; [] is a fully connected network."""
    kernel: Pixels = 3
    """Height and width of the filters."""
    stride: Pixels = 1
    """Stride of the conv layers."""
    padding: Literal["same"] | Annotated[int, Field(ge=0, le=10**4)] = "same"
    """Zero padding of the conv layers: same, or pixels on each side."""
    pool: Literal["max", "avg", "none"] = "max"
    """Pooling after each conv layer, no padding."""
    pool_size: Annotated[int, Field(ge=2, le=10**4)] = 2
    """Height, width and stride of the pooling windows."""
    hidden: Layers = [128]
    """Units of each fully connected layer before the classifier."""
    dropout: Annotated[float, Field(ge=0, lt=1), Finite] = 0.0
    """Share of units dropped before each fully connected layer that does not see the image."""
    activation: Activation = "relu"
    """Activation function of every layer but the last."""
    init: Init = "he"
    """Init scheme of the weights; biases start at 0."""
    batchnorm: bool = False
    """Batch norm in every layer but the last."""
    batchnorm_at: Literal["before", "after"] = "before"
    """Batch norm before or after the activation."""
    module: Own | None = None
    """A network of one's own, FILE.py:NAME; it gets those of the fields above that it takes."""


class Train(Section):
    """Optimizer, learning rate and length of the run."""

    lr: Annotated[float, Field(gt=0), Finite] = 0.01
    """Learning rate."""
    epochs: Count = 2
    """Passes over the training images."""
    batch_size: Count = 128
    """Images of one step."""
    optimizer: Optimizer = "sgd"
    """The optimizer."""
    momentum: Annotated[float, Field(ge=0, lt=1), Finite] = 0.9
    """Momentum of sgd."""
    nesterov: bool = False
    """Nesterov's momentum, of sgd."""
    weight_decay: Annotated[float, Field(ge=0), Finite] = 0.0
    """Weight decay; not on biases, norm parameters and prelu slopes."""
    schedule: Schedule = "constant"
    """How the learning rate changes."""
    warmup_epochs: Annotated[float, Field(ge=0), Finite] = 0.0
    """The learning rate rises linearly over so many epochs first."""
    step_every: Count = 10
    """schedule step: epochs between steps."""
    step_factor: Annotated[float, Field(gt=0, le=1), Finite] = 0.1
    """schedule step: factor of each step."""
    precision: Precision = "fp32"
    """With how many digits the network computes."""


class Abort(Section):
    """When a trial is given up as diverged; a non-finite loss always ends it."""

    loss_ratio: Annotated[float, Field(gt=1), Finite] | None = 3.0
    """Limit on the mean loss of a window, in units of max(ln(classes), lowest loss so far)."""
    check_every: Count = 20
    """Steps of a window, and between looks at the loss."""


class Checkpoint(Section):
    """What a search keeps of its trials on the disk, beside their logs."""

    every: Count | None = None
    """Epochs between the checkpoints that a killed trial goes on from; default: none are kept."""
    keep: Literal["none", "best", "last"] = "none"
    """Weights of complete trials: of the epoch with the best objective, or of the last."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept of a trial, which is then trained alone."""
        return self.every is not None or self.keep != "none"


class Search(Section):
    """How points are chosen and what is compared."""

    sampler: Sampler = "random"
    """How points are chosen."""
    trials: Count | None = None
    """Number of points; a grid needs none and runs the whole product."""
    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """What is compared between trials."""
    at: Literal["best", "last"] = "best"
    """The value of a trial: the objective at its best or at its last epoch."""
    pruner: Pruner = "none"
    """How unpromising trials are stopped early."""
    retries: Annotated[int, Field(ge=0, le=10**9)] = 2
    """How often a point is tried again when its worker died."""
    timeout: Seconds | None = None
    """No trial is started after this time: 90s, 30m, 2h, or seconds."""

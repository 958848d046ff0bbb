"""The tables of everything a config can choose by name.

A new activation, init scheme, data set, optimizer, sampler or pruner is one new row here. Config
validation, `cnnsearch choices`, the help and the tests follow the tables. Objects of torch,
torchvision and optuna are named by import path ("module:name"), so that this module loads none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar


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


AnyRow = TypeVar("AnyRow", bound=Row)


def _table(rows: Iterable[AnyRow]) -> Mapping[str, AnyRow]:
    return MappingProxyType({row.name: row for row in rows})


ACTIVATIONS = _table(
    [
        Activation(
            "sigmoid",
            "1 / (1 + exp(-x)): saturates, not zero-centred",
            "torch.nn:Sigmoid",
            limits=(0.0, 1.0),
        ),
        Activation("tanh", "saturates, zero-centred", "torch.nn:Tanh", limits=(-1.0, 1.0)),
        Activation("relu", "max(0, x): fast, units can die", "torch.nn:ReLU", dies=True),
        Activation("leaky_relu", "max(0.01 x, x)", "torch.nn:LeakyReLU", {"negative_slope": 0.01}),
        # One learned slope a layer; it may turn negative, hence not monotone.
        Activation(
            "prelu", "max(a x, x), slope a learned", "torch.nn:PReLU", monotone=False, learned=1
        ),
        Activation("elu", "x above 0, exp(x) - 1 below", "torch.nn:ELU"),
        Activation(
            "maxout",
            "max of two linear pieces: twice the weights",
            "cnnsearch.model.activations:Maxout",
            pieces=2,
        ),
        Activation("selu", "elu scaled so that signals keep their variance", "torch.nn:SELU"),
        Activation(
            "gelu", "x times the normal distribution function", "torch.nn:GELU", monotone=False
        ),
        Activation("silu", "x times sigmoid(x)", "torch.nn:SiLU", monotone=False),
    ]
)

INIT_SCHEMES = _table(
    [
        InitScheme(
            "zeros", "all weights 0: every neuron stays the same", "cnnsearch.model.init:zeros"
        ),
        InitScheme(
            "normal", "N(0, STD²), written normal:0.01", "cnnsearch.model.init:normal", "STD"
        ),
        InitScheme("xavier", "N(0, 1/fan_in), the lectures' Xavier", "cnnsearch.model.init:xavier"),
        InitScheme("he", "N(0, 2/fan_in), for relu (He et al. 2015)", "cnnsearch.model.init:he"),
        InitScheme(
            "glorot", "N(0, 2/(fan_in + fan_out)), torch's Xavier", "cnnsearch.model.init:glorot"
        ),
        InitScheme("orthogonal", "orthonormal rows or columns", "cnnsearch.model.init:orthogonal"),
        InitScheme(
            "lsuv",
            "orthogonal, then each layer scaled to unit variance on data",
            "cnnsearch.model.init:orthogonal",
            rescale="cnnsearch.model.init:unit_variance",
        ),
    ]
)

DATASETS = _table(
    [
        Dataset(
            "digits",
            "UCI digits, 1,797 grey images of 8x8, bundled",
            "cnnsearch.data.digits:read",
            (1, 8, 8),
            10,
        ),
        Dataset(
            "mnist",
            "handwritten digits, 70,000 grey images of 28x28",
            "torchvision.datasets:MNIST",
            (1, 28, 28),
            10,
            ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/t10k-images-idx3-ubyte"),
        ),
        Dataset(
            "fashion_mnist",
            "articles of clothing, 70,000 grey images of 28x28",
            "torchvision.datasets:FashionMNIST",
            (1, 28, 28),
            10,
            ("FashionMNIST/raw/train-images-idx3-ubyte", "FashionMNIST/raw/t10k-images-idx3-ubyte"),
        ),
        Dataset(
            "cifar10",
            "60,000 colour images of 32x32 in 10 classes",
            "torchvision.datasets:CIFAR10",
            (3, 32, 32),
            10,
            ("cifar-10-batches-py/data_batch_1",),
        ),
        Dataset(
            "cifar100",
            "60,000 colour images of 32x32 in 100 classes",
            "torchvision.datasets:CIFAR100",
            (3, 32, 32),
            100,
            ("cifar-100-python/train",),
        ),
        Dataset(
            "svhn",
            "house numbers, 99,289 colour images of 32x32",
            "torchvision.datasets:SVHN",
            (3, 32, 32),
            10,
            ("train_32x32.mat", "test_32x32.mat"),
            "svhn",
        ),
        Dataset(
            "image_folder",
            "any folder of images, one folder a class",
            "cnnsearch.data.folder:read",
            None,
            None,
        ),
    ]
)

PREPROCESSORS = _table(
    [
        Preprocessor("none", "pixels as they are", None),
        Preprocessor("mean_image", "mean image subtracted (AlexNet)", "image"),
        Preprocessor("channel_mean", "mean per channel subtracted (VGG)", "channel"),
        Preprocessor(
            "standardize", "mean subtracted, divided by deviation, per channel", "channel", True
        ),
    ]
)

OPTIMIZERS = _table(
    [
        Optimizer(
            "sgd",
            "stochastic gradient descent",
            "torch.optim:SGD",
            "cnnsearch.fused.optimizers:SGD",
            ("momentum", "nesterov"),
        ),
        Optimizer(
            "adam",
            "adaptive moments (Kingma, Ba 2015)",
            "torch.optim:Adam",
            "cnnsearch.fused.optimizers:Adam",
        ),
        Optimizer(
            "adamw",
            "adam, weight decay decoupled",
            "torch.optim:AdamW",
            "cnnsearch.fused.optimizers:AdamW",
        ),
    ]
)

PRECISIONS = _table(
    [
        Precision("fp32", "float32 throughout", "ieee"),
        Precision("tf32", "products rounded to 10 bits where a GPU has that, else fp32", "tf32"),
        Precision("bf16", "signals in bfloat16, parameters in float32", "ieee", "bfloat16"),
    ]
)

SCHEDULES = _table(
    [
        Schedule("constant", "lr throughout", "cnnsearch.optimizer:constant"),
        Schedule("step", "times step_factor every step_every epochs", "cnnsearch.optimizer:step"),
        Schedule("cosine", "half a cosine from lr to 0", "cnnsearch.optimizer:cosine"),
    ]
)

SAMPLERS = _table(
    [
        Sampler(
            "random", "independent draws from the space", "cnnsearch.study.samplers:RandomSampler"
        ),
        Sampler(
            "grid",
            "every combination; ranges through `points`",
            "cnnsearch.study.samplers:GridSampler",
            finite=True,
        ),
        Sampler(
            "tpe",
            "Optuna's TPE: learns from the trials so far",
            "cnnsearch.study.samplers:TPESampler",
            sequential=True,
        ),
    ]
)

PRUNERS = _table(
    [
        Pruner("none", "every trial runs to its last epoch", None),
        Pruner(
            "median",
            "stops a trial below the median of the others at the same epoch",
            "optuna.pruners:MedianPruner",
        ),
        Pruner(
            "patient",
            "median, but only once a trial has not improved for 2 epochs",
            "cnnsearch.study.pruners:PatientPruner",
            {"patience": 2},
        ),
        Pruner(
            "asha",
            "after 1, 3, 9, ... epochs only the best third goes on (Li et al. 2020)",
            "cnnsearch.study.pruners:SuccessiveHalvingPruner",
        ),
        Pruner(
            "hyperband",
            "asha, begun at 1, at 3, ... epochs or not at all, by the point (Li et al. 2018)",
            "cnnsearch.study.pruners:HyperbandPruner",
        ),
    ]
)

EVALUATORS = _table(
    [
        Evaluator("ped-anova", "what separates the best trials from all", "PED-ANOVA", True),
        Evaluator("fanova", "shares of the variance over the whole space", "fANOVA", False),
    ]
)
# What hyperparameters may have mattered for.
TARGETS = _table(
    [
        Row("value", "the value"),
        Row("diverged", "whether a trial diverged"),
        Row("seconds", "the time that a trial took"),
    ]
)

# What a config can name.
TABLES: Mapping[str, Mapping[str, Row]] = MappingProxyType(
    {
        "dataset": DATASETS,
        "preprocess": PREPROCESSORS,
        "activation": ACTIVATIONS,
        "init": INIT_SCHEMES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "precision": PRECISIONS,
        "sampler": SAMPLERS,
        "pruner": PRUNERS,
    }
)

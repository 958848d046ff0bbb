"""The tables of everything a config can choose by name.

A new activation, init scheme, data set, optimizer, sampler or pruner is one new row here. Config
validation, `cnnsearch choices`, the help and the tests follow the tables. Objects of torch,
torchvision and optuna are named by import path ("module:name"), so that this module loads none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from cnnsearch.own import is_own
from cnnsearch.rows import (
    Activation,
    Dataset,
    Evaluator,
    InitScheme,
    Optimizer,
    Precision,
    Preprocessor,
    Pruner,
    Row,
    Sampler,
    Schedule,
)

AnyRow = TypeVar("AnyRow", bound=Row)


class Table(Mapping[str, AnyRow]):
    """Rows by name; where users may bring their own, also `FILE.py:NAME`, which no list holds."""

    def __init__(self, rows: Iterable[AnyRow], own: Callable[[str], AnyRow] | None = None) -> None:
        self._rows = {row.name: row for row in rows}
        self._own = own

    def __getitem__(self, name: str) -> AnyRow:
        if name not in self._rows and self._own is not None and is_own(name):
            return self._own(name)
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def takes_own(self) -> bool:
        """Whether users may bring their own."""
        return self._own is not None


_OWN = "of the user's own file"


ACTIVATIONS = Table(
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
            "prelu",
            "max(a x, x), slope a learned",
            "cnnsearch.model.activations:PReLU",
            monotone=False,
            learned=1,
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
    ],
    # What it does is not known: neither that it never falls, nor that its units can die.
    lambda name: Activation(name, _OWN, name, monotone=False),
)

INIT_SCHEMES = Table(
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
    ],
    lambda name: InitScheme(name, _OWN, name),
)

DATASETS = Table(
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
    ],
    lambda name: Dataset(name, _OWN, "cnnsearch.data.own:read", None, None),
)

PREPROCESSORS = Table(
    [
        Preprocessor("none", "pixels as they are", None),
        Preprocessor("mean_image", "mean image subtracted (AlexNet)", "image"),
        Preprocessor("channel_mean", "mean per channel subtracted (VGG)", "channel"),
        Preprocessor(
            "standardize", "mean subtracted, divided by deviation, per channel", "channel", True
        ),
    ]
)

OPTIMIZERS = Table(
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

PRECISIONS = Table(
    [
        Precision("fp32", "float32 throughout", "ieee"),
        Precision("tf32", "products rounded to 10 bits where a GPU has that, else fp32", "tf32"),
        Precision("bf16", "signals in bfloat16, parameters in float32", "ieee", "bfloat16"),
    ]
)

SCHEDULES = Table(
    [
        Schedule("constant", "lr throughout", "cnnsearch.optimizer:constant"),
        Schedule("step", "times step_factor every step_every epochs", "cnnsearch.optimizer:step"),
        Schedule("cosine", "half a cosine from lr to 0", "cnnsearch.optimizer:cosine"),
    ]
)

SAMPLERS = Table(
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

PRUNERS = Table(
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

EVALUATORS = Table(
    [
        Evaluator("ped-anova", "what separates the best trials from all", "PED-ANOVA", True),
        Evaluator("fanova", "shares of the variance over the whole space", "fANOVA", False),
    ]
)
# What hyperparameters may have mattered for.
TARGETS = Table(
    [
        Row("value", "the value"),
        Row("diverged", "whether a trial diverged"),
        Row("seconds", "the time that a trial took"),
    ]
)
# What `cnnsearch plot` draws.
FIGURES = Table(
    [
        Row("curves", "every trial over its epochs"),
        Row("progress", "best so far, over trials and over epochs"),
        Row("param", "value by hyperparameter, diverged trials on the axis"),
        Row("map", "two hyperparameters, the value as colour"),
        Row("parallel", "all hyperparameters as parallel axes"),
        Row("importance", "which hyperparameters mattered"),
        Row("layers", "signal of one trial layer by layer, with histograms"),
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

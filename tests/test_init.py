"""Init schemes: their formulas, and the lectures' ten-layer figures."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import Generator, Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import Model
from cnnsearch.model import build, initialise, weight_layers

IMAGE = (3, 16, 16)
SCHEMES = [name + (":0.05" if row.parameter else "") for name, row in catalog.INIT_SCHEMES.items()]
# Batch norm after the activation, so that all layers have biases to look at.
SECTION = Model(conv=[48], hidden=[80], batchnorm=True, batchnorm_at="after")


def drawn(
    scheme: str, section: Model = SECTION, seed: int = 0, garbage: float = math.nan
) -> nn.Sequential:
    """A network initialised on memory that held `garbage`."""
    model = build(section, IMAGE, 10)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(garbage if tensor.is_floating_point() else 7)
    initialise(model, scheme, Generator().manual_seed(seed), images())
    return model


def images() -> Tensor:
    return torch.rand(200, *IMAGE, generator=Generator().manual_seed(5)) - 0.5


@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_everything_is_set_from_the_generator_alone(scheme: str, activation: str) -> None:
    section = SECTION.model_copy(update={"activation": activation})
    first, again = drawn(scheme, section), drawn(scheme, section, garbage=1e9)
    other = drawn(scheme, section, seed=1)
    torch.manual_seed(99)
    for (name, tensor), same in zip(
        first.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, same), name
        assert tensor.isfinite().all(), name
    differs = not torch.equal(
        first.get_parameter("conv1.weight"), other.get_parameter("conv1.weight")
    )
    assert differs == (scheme != "zeros")


class Learned(nn.Module):
    """An activation with parameters of its own, as a row of the table may name one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))
        self.register_buffer("seen", torch.empty(1))
        self.inner = nn.PReLU()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, 2.0)
        self.get_buffer("seen").zero_()


def test_modules_with_parameters_of_their_own_are_set() -> None:
    model = build(SECTION, IMAGE, 10)
    model.set_submodule("conv1_relu", Learned())
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(7 if tensor.dtype == torch.int64 else math.nan)
    initialise(model, "he", Generator().manual_seed(0), images())
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert [t.item() for t in model.get_submodule("conv1_relu").state_dict().values()] == [
        2.0,
        0.0,
        0.25,
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_biases_slopes_and_norms(scheme: str) -> None:
    state = drawn(scheme, SECTION.model_copy(update={"activation": "prelu"})).state_dict()
    for name, value in {
        "conv1.bias": 0.0,
        "hidden1.bias": 0.0,
        "classifier.bias": 0.0,
        "conv1_prelu.weight": 0.25,
        "conv1_norm.weight": 1.0,
        "conv1_norm.bias": 0.0,
        "conv1_norm.running_mean": 0.0,
        "conv1_norm.running_var": 1.0,
        "hidden1_norm.num_batches_tracked": 0,
    }.items():
        assert (state[name] == value).all(), name


def expected_std(scheme: str, fan_in: int, fan_out: int) -> float:
    return {
        "zeros": 0.0,
        "normal:0.05": 0.05,
        "xavier": math.sqrt(1 / fan_in),
        "he": math.sqrt(2 / fan_in),
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
    }[scheme]


@pytest.mark.parametrize("activation", ["relu", "maxout"])
@pytest.mark.parametrize("scheme", ["zeros", "normal:0.05", "xavier", "he", "glorot"])
def test_standard_deviations(scheme: str, activation: str) -> None:
    """Fans are those of one linear piece, so that maxout draws like relu."""
    section = Model(conv=[48, 64], hidden=[80], activation=activation)
    [_, conv, hidden, classifier] = [layer for layer, _ in weight_layers(drawn(scheme, section))]
    for layer, fan_in, fan_out in [
        (conv, 48 * 9, 64 * 9),
        (hidden, 64 * 16, 80),
        (classifier, 80, 10),
    ]:
        weight = layer.weight
        std = expected_std(scheme, fan_in, fan_out)
        # Five standard errors of a standard deviation, and of a mean.
        assert weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * weight.numel()))
        assert abs(weight.mean().item()) <= 5 * std / math.sqrt(weight.numel())


@pytest.mark.parametrize("activation", ["relu", "maxout"])
def test_orthogonal_is_orthonormal_piece_by_piece(activation: str) -> None:
    model = drawn("orthogonal", Model(conv=[16, 16], hidden=[20], activation=activation))
    for layer, pieces in weight_layers(model):
        for piece in layer.weight.flatten(1).chunk(pieces):
            rows, columns = piece.shape
            product = piece @ piece.T if rows <= columns else piece.T @ piece
            torch.testing.assert_close(product, torch.eye(min(rows, columns)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "maxout"])
@pytest.mark.parametrize("batchnorm", [False, True])
def test_lsuv_gives_every_layer_unit_variance(activation: str, batchnorm: bool) -> None:
    section = Model(
        conv=[8, 8], hidden=[20, 20], activation=activation, batchnorm=batchnorm, dropout=0.5
    )
    model = drawn("lsuv", section).eval()
    signal, found = images(), []
    for layer in model:
        signal = layer(signal)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            found.append(signal.std().item())
    assert found == pytest.approx([1.0] * 5, rel=1e-4)
    plain = drawn("orthogonal", section)
    ratio = model.get_parameter("conv1.weight") / plain.get_parameter("conv1.weight")
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))


def test_lsuv_leaves_a_dead_signal_alone() -> None:
    model = build(Model(conv=[4], hidden=[]), IMAGE, 10)
    initialise(model, "lsuv", Generator().manual_seed(0), torch.zeros(8, *IMAGE))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


# Standard deviation of the activations at layers 1, 5 and 10 (CS231n, lecture 6).
TEN_LAYERS = [
    ("normal:0.01", "tanh", (0.21355, 0.000533, 0.0), 0.02),
    ("normal:1.0", "tanh", (0.98201, 0.98167, 0.98167), 0.02),
    ("xavier", "tanh", (0.62793, 0.32162, 0.22847), 0.02),
    ("xavier", "relu", (0.58382, 0.14596, 0.02580), 0.2),
    ("he", "relu", (0.82565, 0.82565, 0.82565), 0.2),
]


def ten_layers(scheme: str, activation: str, seed: int) -> list[Tensor]:
    """Activations of ten layers of 500 units on 1000 inputs of 500 normal values."""
    model = build(Model(conv=[], hidden=[500] * 10, activation=activation), (1, 1, 500), 10)
    generator = Generator().manual_seed(seed)
    signal = torch.randn(1000, 1, 1, 500, generator=generator)
    initialise(model, scheme, generator, signal)
    found = []
    with torch.no_grad():
        for name, layer in model.named_children():
            signal = layer(signal)
            if name.endswith(f"_{activation}"):
                found.append(signal)
    return found


@pytest.mark.parametrize(("scheme", "activation", "printed", "tolerance"), TEN_LAYERS)
def test_ten_layers(
    scheme: str, activation: str, printed: tuple[float, ...], tolerance: float
) -> None:
    signals = ten_layers(scheme, activation, seed=0)
    found = [signals[number - 1].std().item() for number in (1, 5, 10)]
    assert found == pytest.approx(printed, rel=tolerance, abs=1e-5)


@pytest.mark.parametrize(
    ("scheme", "printed"), [(row[0], row[2]) for row in TEN_LAYERS if row[1] == "relu"]
)
def test_ten_relu_layers_on_the_mean_of_20_seeds(scheme: str, printed: tuple[float, ...]) -> None:
    runs = [ten_layers(scheme, "relu", seed) for seed in range(20)]
    for layer, value in zip((1, 5, 10), printed, strict=True):
        mean = statistics.mean(run[layer - 1].std().item() for run in runs)
        assert mean == pytest.approx(value, rel=0.05)
    if scheme == "he":
        mean = statistics.mean(run[-1].mean().item() for run in runs)
        assert mean == pytest.approx(0.56419, rel=0.05)


def test_normal_with_one_saturates_tanh() -> None:
    last = ten_layers("normal:1.0", "tanh", seed=0)[-1]
    assert (last.abs() > 0.99).float().mean().item() > 0.85


def test_zeros_makes_all_units_the_same() -> None:
    """And keeps them so: after a step only the classifier's biases have moved."""
    model = drawn("zeros", Model(conv=[4], hidden=[6]))
    labels = torch.arange(10).repeat(20) // 2
    loss = nn.functional.cross_entropy(model(images()), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(math.log(10))
    moved = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert moved == ["classifier.bias"]

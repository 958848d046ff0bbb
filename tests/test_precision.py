"""With how many digits a trial computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cnnsearch import catalog, group, precision, runner
from cnnsearch.precision import autocast
from cnnsearch.records import EpochResult, Outcome, State
from tests.builders import digits_config

CPU = torch.device("cpu")


def curve(name: str) -> list[EpochResult]:
    config = digits_config(train={"precision": name, "epochs": 6, "lr": 0.05}).at({}, 3)
    config = replace(config, model=config.model.model_copy(update={"batchnorm": True}))
    return [item for item in runner.run(config) if isinstance(item, EpochResult)]


@pytest.mark.parametrize("name", catalog.PRECISIONS)
def test_every_precision_learns(name: str) -> None:
    exact, rounded = curve("fp32"), curve(name)
    assert rounded[-1].val_accuracy > 0.9
    assert rounded[0].train_loss == pytest.approx(exact[0].train_loss, rel=0.02)
    same = rounded[0].train_loss == exact[0].train_loss
    assert same is (catalog.PRECISIONS[name].dtype is None)  # no CPU has tf32


@pytest.mark.parametrize("name", catalog.PRECISIONS)
@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_every_activation_has_every_precision(activation: str, name: str) -> None:
    """Alone and fused."""
    config = digits_config(train={"precision": name, "epochs": 1}).at({}, 3)
    model = config.model.model_copy(update={"activation": activation, "conv": (4,)})
    config = replace(config, model=model)
    alone = [item for item in runner.run(config) if isinstance(item, Outcome)]
    fused = [item for told in group.run([config, config.at({"lr": 0.01}, 3)]) for _, item in told]
    for outcome in [*alone, *(item for item in fused if isinstance(item, Outcome))]:
        assert outcome.state is State.COMPLETE, outcome.reason


@pytest.mark.parametrize("name", catalog.PRECISIONS)
def test_products_are_rounded_only_where_that_is_asked_for(name: str) -> None:
    """Of cuDNN, too, which rounds unless it is told not to."""
    precision.allow(name)
    allowed = "tf32" if name == "tf32" else "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == allowed
    assert torch.backends.cudnn.conv.fp32_precision == allowed  # type: ignore[attr-defined]


def test_parameters_and_losses_stay_float32() -> None:
    layer, x = torch.nn.Linear(4, 3), torch.randn(5, 4)
    with autocast(CPU, "bf16"):
        scores = layer(x)
        loss = torch.nn.functional.cross_entropy(scores, torch.zeros(5, dtype=torch.int64))
    loss.backward()  # type: ignore[no-untyped-call]
    assert (scores.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    assert layer.weight.dtype is torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype is torch.float32

"""Optimizers and schedules: their formulas, and that the training loop uses them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import Train
from cnnsearch.optimizer import learning_rate, make_optimizer
from cnnsearch.train import l2_penalty
from tests.test_train import Images, fit, network


class TestOptimizer:
    def one_step(self, section: Train, model: nn.Sequential) -> dict[str, Tensor]:
        """How a step without gradients changes each parameter: by weight decay alone."""
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(1.0)
                parameter.grad = torch.zeros_like(parameter)
        make_optimizer(model, section).step()
        return {name: parameter.detach() for name, parameter in model.named_parameters()}

    @pytest.mark.parametrize("optimizer", catalog.OPTIMIZERS)
    def test_weight_decay_is_on_weights_only(self, optimizer: str) -> None:
        model = network(activation="prelu", batchnorm=True, batchnorm_at="after")
        section = Train(optimizer=optimizer, lr=0.1, weight_decay=0.5)
        after = self.one_step(section, model)
        moved = {name for name, value in after.items() if (value != 1).any()}
        assert moved == {"conv1.weight", "hidden1.weight", "classifier.weight"}
        unmoved = {"conv1.bias", "conv1_norm.weight", "conv1_norm.bias", "conv1_prelu.weight"}
        assert unmoved <= set(after)

    def test_sgd_decays_by_lr_times_weight_decay(self) -> None:
        after = self.one_step(Train(lr=0.1, weight_decay=0.5), network())
        torch.testing.assert_close(after["conv1.weight"], torch.full((4, 1, 3, 3), 0.95))

    def test_nesterov_without_momentum_is_plain_sgd(self) -> None:
        [nesterov, plain] = [
            fit(network(), Train(momentum=0.0, nesterov=flag, batch_size=20))
            for flag in (True, False)
        ]
        assert [r.val_loss for r in nesterov] == [r.val_loss for r in plain]

    @pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
    def test_sgd_formula(self, momentum: float, nesterov: bool) -> None:
        """v = momentum v + g; w = w - lr (g + momentum v, or v), channels last as on a CPU."""
        model = network()
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        section = Train(lr=0.1, momentum=momentum, nesterov=nesterov)
        optimizer, images = make_optimizer(model, section), Images()
        weights = [p.detach().clone() for p in model.parameters()]
        velocities = [torch.zeros_like(weight) for weight in weights]
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(images.pixels), images.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for weight, velocity, p in zip(weights, velocities, model.parameters(), strict=True):
                assert p.grad is not None
                velocity.mul_(momentum).add_(p.grad)
                weight -= 0.1 * (p.grad + momentum * velocity if nesterov else velocity)
        torch.testing.assert_close(list(model.parameters()), weights)

    @pytest.mark.parametrize(("optimizer", "decoupled"), [("adam", False), ("adamw", True)])
    def test_adam_formula(self, optimizer: str, decoupled: bool) -> None:
        """Kingma and Ba, algorithm 1, first step: lr in the direction of the gradient's sign."""
        model, images = network(), Images()
        before = model.get_parameter("conv1.weight").detach().clone()
        section = Train(optimizer=optimizer, lr=0.01, weight_decay=0.3)
        F.cross_entropy(model(images.pixels), images.labels).backward()  # type: ignore[no-untyped-call]
        gradient = model.get_parameter("conv1.weight").grad
        assert gradient is not None
        make_optimizer(model, section).step()
        if decoupled:
            expected = before * (1 - 0.01 * 0.3) - 0.01 * gradient.sign()
        else:
            expected = before - 0.01 * (gradient + 0.3 * before).sign()
        torch.testing.assert_close(
            model.get_parameter("conv1.weight").detach(), expected, rtol=1e-3, atol=1e-5
        )

    def test_l2_penalty_counts_weights_only(self) -> None:
        model = network(activation="prelu", batchnorm=True, batchnorm_at="after")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(2.0)
        weights = 4 * 9 + 16 * 8 + 8 * 2
        assert l2_penalty(model, 0.1) == pytest.approx(0.5 * 0.1 * weights * 4)


class TestLearningRate:
    STEPS = 10

    def rates(self, **section: Any) -> list[float]:
        config = Train(lr=0.5, **section)
        return [learning_rate(config, k, self.STEPS) for k in range(config.epochs * self.STEPS)]

    def test_constant(self) -> None:
        assert self.rates(epochs=3) == [0.5] * 30

    def test_step(self) -> None:
        rates = self.rates(epochs=5, schedule="step", step_every=2, step_factor=0.1)
        assert rates == pytest.approx([0.5] * 20 + [0.05] * 20 + [0.005] * 10)

    def test_cosine(self) -> None:
        rates = self.rates(epochs=4, schedule="cosine")
        assert rates[0] == 0.5
        assert rates[20] == pytest.approx(0.25)
        assert 0 < rates[-1] < 0.001
        assert all(after < before for before, after in itertools.pairwise(rates))

    @pytest.mark.parametrize("schedule", catalog.SCHEDULES)
    def test_warm_up(self, schedule: str) -> None:
        rates = self.rates(epochs=4, schedule=schedule, warmup_epochs=1.5)
        assert rates[:15] == pytest.approx([0.5 * k / 15 for k in range(1, 16)])
        assert rates[15] == 0.5

    def test_cosine_after_warm_up_still_ends_at_0(self) -> None:
        rates = self.rates(epochs=4, schedule="cosine", warmup_epochs=2)
        assert rates[30] == pytest.approx(0.25)
        assert rates[-1] < 0.005

    def test_warm_up_longer_than_the_run(self) -> None:
        assert self.rates(epochs=1, schedule="cosine", warmup_epochs=2)[-1] == pytest.approx(0.25)

    @pytest.mark.parametrize(
        "schedule", [{"schedule": "step", "step_every": 1}, {"schedule": "cosine"},
                     {"warmup_epochs": 2.5}]
    )  # fmt: skip
    def test_the_loop_uses_it_in_every_step(self, schedule: dict[str, Any]) -> None:
        """Against a loop written out: three steps an epoch, each with a rate of its own."""
        section = Train(lr=0.2, epochs=3, batch_size=20, momentum=0.0, **schedule)
        model, expected, images = network(), network(), Images()
        epochs = fit(model, section)
        order, rates = Generator().manual_seed(1), []
        for step in range(9):
            if step % 3 == 0:
                batches = images.batches(20, order)
            pixels, labels = next(batches)
            expected.zero_grad()
            F.cross_entropy(expected(pixels), labels).backward()  # type: ignore[no-untyped-call]
            rates.append(learning_rate(section, step, 3))
            with torch.no_grad():
                for parameter in expected.parameters():
                    assert parameter.grad is not None
                    parameter.sub_(rates[-1] * parameter.grad)
        assert [result.lr for result in epochs] == rates[2::3]
        torch.testing.assert_close(list(model.parameters()), list(expected.parameters()))


@pytest.mark.parametrize("name", catalog.OPTIMIZERS)
def test_a_trial_does_without_torch_compile(name: str) -> None:
    """It would load for a second and take 67 MB of each worker."""
    code = f"""
import sys
from cnnsearch import runner
from cnnsearch.config import from_plain
data = {{"name": "digits", "limit": 40, "validation": 20}}
train = {{"epochs": 1, "optimizer": {name!r}}}
*_, outcome = runner.run(from_plain({{"study": "s", "data": data, "train": train}}))
assert outcome.state == "complete", outcome
print({{"torch._dynamo", "sympy"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

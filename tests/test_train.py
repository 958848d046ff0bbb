"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnsearch import catalog
from cnnsearch.config.sections import Model, Train
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.model import build, initialise
from cnnsearch.probe import Prober
from cnnsearch.records import EpochResult
from cnnsearch.train import evaluate, train

Batch = tuple[Tensor, Tensor]


@dataclass
class Images:
    """Random images of two classes that differ in brightness."""

    count: int = 60
    noise: float = 1.0

    def __post_init__(self) -> None:
        generator = Generator().manual_seed(3)
        self.labels = torch.arange(self.count) % 2
        noise = torch.randn(self.count, 1, 4, 4, generator=generator) * self.noise
        self.pixels = noise + self.labels.view(-1, 1, 1, 1)

    def steps(self, batch_size: int) -> int:
        return math.ceil(self.count / batch_size)

    def batches(self, batch_size: int, generator: Generator) -> Iterator[Batch]:
        for rows in torch.split(torch.randperm(self.count, generator=generator), batch_size):
            yield self.pixels[rows], self.labels[rows]

    def validation_batches(self) -> Iterator[Batch]:
        yield self.pixels[:20], self.labels[:20]

    def pieces(self, size: int) -> Iterator[Batch]:
        return zip(torch.split(self.pixels, size), torch.split(self.labels, size), strict=True)


def network(seed: int = 0, **model: Any) -> nn.Sequential:
    section = Model(**{"conv": [4], "hidden": [8], **model})
    net = build(section, (1, 4, 4), 2)
    initialise(net, section.init, Generator().manual_seed(seed), Images().pixels)
    return net


def guard(check_every: int = 20, ratio: float | None = 3.0) -> DivergenceGuard:
    return DivergenceGuard(2, ratio, check_every)


def fit(
    model: nn.Module, section: Train, watch: DivergenceGuard | None = None
) -> list[EpochResult]:
    order = Generator().manual_seed(1)
    return list(train(model, Images(), section, watch or guard(), order))


@pytest.mark.parametrize("schedule", catalog.SCHEDULES)
@pytest.mark.parametrize("optimizer", catalog.OPTIMIZERS)
def test_every_optimizer_and_schedule_learns(optimizer: str, schedule: str) -> None:
    section = Train(
        lr=0.02, epochs=12, batch_size=20, optimizer=optimizer, schedule=schedule, step_every=6
    )
    epochs = fit(network(), section)
    assert [result.epoch for result in epochs] == list(range(1, 13))
    assert epochs[-1].train_loss < 0.6 * epochs[0].train_loss
    assert epochs[-1].val_accuracy > 0.85


def test_epoch_numbers_are_means_over_images() -> None:
    """60 images in batches of 50: the second batch counts a fifth of the first."""
    watch, lr = guard(), 1e-12
    [epoch] = fit(network(), Train(lr=lr, epochs=1, batch_size=50), watch)
    images, model = Images(), network()
    with torch.no_grad():
        scores = model(images.pixels)
    loss = F.cross_entropy(scores, images.labels).item()
    accuracy = (scores.argmax(1) == images.labels).float().mean().item()
    assert epoch.train_loss == pytest.approx(loss)
    assert epoch.train_accuracy == pytest.approx(accuracy)
    val_loss = F.cross_entropy(scores[:20], images.labels[:20]).item()
    assert epoch.val_loss == pytest.approx(val_loss)
    assert epoch.lr == lr
    assert epoch.seconds > 0


def test_first_loss_is_taken_before_any_update() -> None:
    watch, images = guard(), Images()
    fit(network(), Train(lr=0.1, batch_size=60), watch)
    expected = F.cross_entropy(network()(images.pixels), images.labels).item()
    assert watch.first_loss == pytest.approx(expected)


def test_equal_seeds_give_equal_numbers() -> None:
    section = Train(lr=0.05, epochs=3, batch_size=16)
    runs = [fit(network(), section) for _ in range(2)]
    different = fit(network(seed=1), section)

    def numbers(run: list[EpochResult]) -> list[tuple[float, ...]]:
        return [(r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy) for r in run]

    assert numbers(runs[0]) == numbers(runs[1])
    assert numbers(runs[0]) != numbers(different)


def test_does_nothing_before_the_caller_asks() -> None:
    begun: list[int] = []

    class Counted(Images):
        def batches(self, batch_size: int, generator: Generator) -> Iterator[Batch]:
            begun.append(len(begun) + 1)
            yield from super().batches(batch_size, generator)

    results = train(network(), Counted(), Train(epochs=9), guard(), Generator().manual_seed(1))
    assert begun == []
    assert [next(results).epoch, next(results).epoch] == begun == [1, 2]


class TestDivergence:
    def test_a_huge_learning_rate_is_caught_in_the_first_window(self) -> None:
        with pytest.raises(Diverged) as caught:
            fit(network(), Train(lr=1e9, epochs=50, batch_size=20), guard(check_every=5))
        assert caught.value.step <= 5

    def test_non_finite_loss_at_the_end_of_a_short_epoch(self) -> None:
        """Three steps an epoch: long before a window of 20 is full."""
        with pytest.raises(Diverged) as caught:
            fit(network(), Train(lr=1e30, epochs=50, batch_size=20))
        assert caught.value.epoch == 1
        assert not math.isfinite(caught.value.loss)

    def test_windows_run_on_across_epochs(self) -> None:
        looks: list[tuple[int, int]] = []

        class Watching(DivergenceGuard):
            def look(self, losses: Any, epoch: int) -> None:
                losses = list(losses)
                looks.append((epoch, len(losses)))
                super().look(losses, epoch)

        fit(network(), Train(lr=1e-3, epochs=3, batch_size=20), Watching(2, 3.0, 4))
        assert looks == [(1, 3), (2, 1), (2, 2), (3, 2), (3, 1)]

    def test_non_finite_weights_with_a_finite_loss(self) -> None:
        """The last step of an epoch breaks the weights, after the last loss was read."""
        model = network()
        with pytest.raises(Diverged, match=r"weights (nan|inf) at step 1 \(epoch 1\)") as caught:
            fit(model, Train(lr=3e38, batch_size=60, momentum=0.0, weight_decay=1e9))
        assert caught.value.step == 1

    def test_non_finite_running_averages(self) -> None:
        class Loud(Images):
            def __post_init__(self) -> None:
                super().__post_init__()
                self.pixels = self.pixels * 1e25

        model = network(conv=[], batchnorm=True)
        with pytest.raises(Diverged, match=r"at step 1 \(epoch 1\)"):
            list(train(model, Loud(), Train(batch_size=60), guard(), Generator().manual_seed(0)))

    def test_non_finite_validation_loss(self) -> None:
        class Odd(Images):
            def validation_batches(self) -> Iterator[Batch]:
                yield self.pixels * math.nan, self.labels

        results = train(network(), Odd(), Train(lr=1e-3), guard(), Generator().manual_seed(0))
        with pytest.raises(Diverged, match=r"validation loss nan at step 1 \(epoch 1\)"):
            next(results)

    def test_large_finite_weights_are_no_divergence(self) -> None:
        """Their squares overflow float32."""
        model = network(conv=[], hidden=[])
        with torch.no_grad():
            model.get_parameter("classifier.bias").fill_(1e30)
        assert fit(model, Train(lr=1e-3, epochs=1))


class _Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts reads of single numbers, each of which waits for the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "_local_scalar_dense" in str(func) or "nonzero" in str(func)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that bring numbers from the device, and so wait for it, as they are made."""
    made: list[str] = []

    def counted(name: str) -> Any:
        plain = getattr(Tensor, name)

        def read(tensor: Tensor, *arguments: Any, **named: Any) -> Any:
            made.append(name)
            return plain(tensor, *arguments, **named)

        return read

    for name in ("tolist", "numpy", "cpu", "item", "__float__", "__int__", "__bool__", "__array__"):
        monkeypatch.setattr(Tensor, name, counted(name))
    return made


@pytest.mark.parametrize("optimizer", catalog.OPTIMIZERS)
def test_inside_an_epoch_only_the_looks_wait_for_the_device(
    optimizer: str, reads: list[str]
) -> None:
    """Nine steps, a look after every fourth: one in the second epoch, one in the third."""
    during: list[list[str]] = []

    class Counted(Images):
        def batches(self, batch_size: int, generator: Generator) -> Iterator[Batch]:
            reads.clear()
            with _Waits() as waits:
                yield from super().batches(batch_size, generator)
            during.append(reads.copy())
            assert waits.count == 0

    with _Waits() as control:
        torch.ones(1).item()
        assert (reads, control.count) == (["item"], 1)
    model = network(batchnorm=True, dropout=0.5)
    section = Train(epochs=3, batch_size=20, optimizer=optimizer, schedule="cosine")
    images, watch = Counted(), guard(check_every=4)
    prober = Prober(model, "relu", (images.pixels, images.labels))
    assert list(train(model, images, section, watch, Generator().manual_seed(1), prober))
    assert during == [[], ["tolist"], ["tolist"]]


def test_every_epoch_trains_in_training_mode() -> None:
    """Evaluation ends each epoch in the other mode, where batch norm counts no batches."""
    model = network(batchnorm=True)
    fit(model, Train(lr=0.01, epochs=2, batch_size=20))
    assert model.get_buffer("conv1_norm.num_batches_tracked").item() == 2 * 3


class TestEvaluate:
    def test_running_averages_at_test_time(self) -> None:
        """One image alone gives the same scores as in a batch; training mode would not."""
        model = network(batchnorm=True)
        fit(model, Train(lr=0.01, epochs=3, batch_size=20))
        images = Images()
        averages = model.get_buffer("conv1_norm.running_mean").clone()
        assert (averages != 0).all()
        whole = evaluate(model, [(images.pixels, images.labels)])
        single = images.pieces(1)
        assert evaluate(model, single) == pytest.approx(whole, rel=1e-5)
        assert torch.equal(averages, model.get_buffer("conv1_norm.running_mean"))

    def test_running_averages_follow_torch(self) -> None:
        """0.9 of the old and 0.1 of the batch's own, from 0 and 1."""
        model = network(batchnorm=True)
        images = Images()
        with torch.no_grad():
            out = model.get_submodule("conv1")(images.pixels)
        fit(model, Train(lr=1e-9, epochs=1, batch_size=60))
        mean, var = out.mean((0, 2, 3)), out.var((0, 2, 3))
        torch.testing.assert_close(model.get_buffer("conv1_norm.running_mean"), 0.1 * mean)
        torch.testing.assert_close(model.get_buffer("conv1_norm.running_var"), 0.9 + 0.1 * var)

    def test_no_dropout(self) -> None:
        model, images = network(dropout=0.9), Images()
        batch = [(images.pixels, images.labels)]
        assert evaluate(model, batch) == evaluate(model, batch)

    def test_means_over_images(self) -> None:
        model, images = network(), Images()
        pieces = images.pieces(17)
        with torch.no_grad():
            scores = model(images.pixels)
        loss, accuracy = evaluate(model, pieces)
        assert loss == pytest.approx(F.cross_entropy(scores, images.labels).item())
        correct = (scores.argmax(1) == images.labels).float().mean().item()
        assert accuracy == pytest.approx(correct)

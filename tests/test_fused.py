"""Trials trained together: equal to each alone, whatever the group, the slot and the neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import Train
from cnnsearch.fused import network as fused_network
from cnnsearch.fused import optimizers as fused_optimizers
from cnnsearch.fused import train_fused
from cnnsearch.guard import Diverged
from cnnsearch.model import Maxout
from cnnsearch.probe import Prober
from cnnsearch.process import settle
from cnnsearch.records import EpochResult
from tests.fusing import (
    CHOICES,
    EPOCHS,
    INITS,
    NORMS,
    Case,
    Trained,
    all_pairs,
    alone,
    case_config,
    departure,
    digits,
    measured,
    member,
    state,
    together,
)

LIMIT = 1e-10
"""Of float64 after 20 steps, in units of max(1, a tensor's largest element)."""
LIMIT_32 = 1e-4
"""Of float32 after one step."""
PLAIN: Case = ("relu", "before", "he", "sgd")
GROUPS = [1, 2, 7]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    settle(1, Train())


def worst(cases: list[Case], size: int) -> float:
    """The largest departure of any trial of these cases from the same trial alone."""
    found = 0.0
    for case in cases:
        configs = [case_config(case, number) for number in range(size)]
        for one, other in zip(together(configs), map(alone, configs), strict=True):
            numbers = zip(measured(one.told), measured(other.told), strict=True)
            found = max(found, departure(one.model, other.model))
            for mine, theirs in numbers:
                assert mine[:2] == theirs[:2]
                found = max(found, *(abs(a - b) for a, b in zip(mine, theirs, strict=True)))
            assert len(one.told) == EPOCHS
    return found


def assert_same(one: Trained, other: Trained) -> None:
    """The numbers of all epochs, but for rounding."""
    mine, theirs = (torch.tensor(measured(t.told), dtype=torch.float64) for t in (one, other))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=LIMIT)


PAIRS = list(all_pairs())


def test_pairs_hold_every_two_choices() -> None:
    for i, some in enumerate(CHOICES):
        for j, others in enumerate(CHOICES[i + 1 :], i + 1):
            assert {(case[i], case[j]) for case in PAIRS} == {(a, b) for a in some for b in others}


@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_together_is_alone(activation: str) -> None:
    """Each tensor, running averages and slopes among them, and each number of each epoch: with
    data order, augmentation, dropout, weight decay, momentum and schedules of their own."""
    cases = [case for case in PAIRS if case[0] == activation]
    assert worst(cases, size=2) <= LIMIT


@pytest.mark.parametrize("size", GROUPS)
@pytest.mark.parametrize("norm", NORMS)
def test_groups_of_any_size(norm: str, size: int) -> None:
    assert worst([("prelu", norm, "xavier", "sgd")], size) <= LIMIT


@pytest.mark.parametrize("optimizer", catalog.OPTIMIZERS)
@pytest.mark.parametrize("activation", ["relu", "prelu", "maxout"])
def test_float32_after_one_step(activation: str, optimizer: str) -> None:
    case = (activation, "before", "he", optimizer)
    configs = [case_config(case, number, epochs=1, batch_size=160) for number in range(3)]
    found = together(configs, torch.float32)
    for one, config in zip(found, configs, strict=True):
        assert departure(one.model, alone(config, torch.float32).model) <= LIMIT_32


def test_the_slot_does_not_matter() -> None:
    configs = [case_config(("prelu", "before", "he", "adam"), number) for number in range(7)]
    forward, backward = together(configs), together(configs[::-1])[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert departure(one.model, other.model) <= LIMIT
        assert_same(one, other)


@pytest.mark.parametrize("optimizer", catalog.OPTIMIZERS)
@pytest.mark.parametrize("activation", ["relu", "prelu", "maxout"])
def test_a_lost_trial_leaves_its_neighbours_unchanged(activation: str, optimizer: str) -> None:
    """At lr 1e6 it diverges in the first window, or at least is far off; bit for bit, the others
    are as if a calm trial stood in its place."""
    case = (activation, "before", "he", optimizer)
    calm = [case_config(case, number) for number in range(3)]
    wild = [calm[0], case_config(case, 1, lr=1e6), calm[2]]
    quiet, loud = together(calm), together(wild)
    assert any(isinstance(told, Diverged) for told in loud[1].told) or optimizer != "sgd"
    for place in (0, 2):
        assert_same(loud[place], quiet[place])
        assert departure(loud[place].model, quiet[place].model) <= LIMIT


def test_divergence_is_told_as_alone() -> None:
    """The same step, epoch and reason; its numbers end there."""
    config = case_config(PLAIN, 0, lr=1e6)
    [one, _] = together([config, case_config(PLAIN, 1)])
    other = alone(config)
    assert [type(told) for told in one.told] == [type(told) for told in other.told]
    mine, theirs = one.told[-1], other.told[-1]
    assert isinstance(mine, Diverged)
    assert isinstance(theirs, Diverged)
    assert (mine.step, mine.epoch, mine.reason) == (theirs.step, theirs.epoch, theirs.reason)


def test_a_lost_trial_freezes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parameters stay as they were at the look, though its slot is kept for a while."""
    seen: list[Tensor] = []
    step = fused_optimizers.SGD.step

    def watched(self: Any, params: Any, grads: Any, lr: Tensor) -> None:
        step(self, params, grads, lr)
        seen.append(params["hidden1.weight"][0].clone())

    monkeypatch.setattr(fused_optimizers.SGD, "step", watched)
    monkeypatch.setattr("cnnsearch.fused.train._LEAVE_AT", 2.0)
    # Without batch norm it is finite at first: beyond the limit, at the end of a window of 5.
    case: Case = ("tanh", "none", "he", "sgd")
    trained = together([case_config(case, 0, lr=300.0), case_config(case, 1)])
    [lost] = trained[0].told
    assert isinstance(lost, Diverged)
    assert math.isfinite(lost.loss)
    assert all(torch.equal(seen[lost.step - 1], later) for later in seen[lost.step :])
    assert not torch.equal(seen[lost.step - 2], seen[lost.step - 1])


def test_all_lost_ends_the_epoch() -> None:
    case: Case = ("relu", "none", "he", "sgd")
    found = together([case_config(case, number, lr=1e9) for number in range(2)])
    assert [[type(told) for told in one.told] for one in found] == [[Diverged], [Diverged]]


@pytest.mark.parametrize("share", [0.01, 2.0], ids=["leaving", "staying"])
def test_stopped_trials_take_no_more_part(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they leave their slots or keep them, they are as they were; the others go on."""
    monkeypatch.setattr("cnnsearch.fused.train._LEAVE_AT", share)
    configs = [case_config(PLAIN, number, epochs=3) for number in range(4)]
    found = together(configs, stop={1: [1, 2]})
    assert [len(one.told) for one in found] == [3, 1, 1, 3]
    for place in (0, 3):
        assert departure(found[place].model, alone(configs[place]).model) <= LIMIT
    stopped = alone(case_config(PLAIN, 1, epochs=1, schedule="constant"))
    again = together([case_config(PLAIN, n, epochs=3, schedule="constant") for n in (0, 1)],
                     stop={1: [1]})  # fmt: skip
    mine, theirs = state(again[1].model), state(stopped.model)
    for name in mine:
        if "running" not in name and "num_batches" not in name and "dropout" not in name:
            torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=LIMIT)


def test_trials_of_fewer_epochs_end_earlier() -> None:
    configs = [case_config(PLAIN, number, epochs=1 + number) for number in range(3)]
    found = together(configs)
    assert [len(one.told) for one in found] == [1, 2, 3]
    for one, config in zip(found[1:], configs[1:], strict=True):
        assert departure(one.model, alone(config).model) <= LIMIT


def test_probes_are_those_of_each_alone() -> None:
    """Signals, gradients and the size of updates, through the module that shares the slot."""
    configs = [case_config(PLAIN, number) for number in range(2)]
    data = digits(configs[0])
    probed = []
    for groups in ([0, 1], [0], [1]):
        members = [member(configs[n], data) for n in groups]
        batch = data.data.probe(40)
        members = [
            type(one)(one.model, one.section, one.guard, one.generator,
                      Prober(one.model, "relu", (batch[0].double(), batch[1])))
            for one in members
        ]  # fmt: skip
        results = list(train_fused(members, data))
        probed.append([[r[place].probe for r in results] for place in range(len(groups))])  # type: ignore[union-attr]
    for mine, [theirs] in zip(probed[0], probed[1:], strict=True):
        for probe, other in zip(mine, theirs, strict=True):
            assert probe is not None
            assert other is not None
            assert probe.loss == pytest.approx(other.loss, abs=LIMIT)
            for layer, one in zip(probe.layers, other.layers, strict=True):
                assert layer.std == pytest.approx(one.std, abs=LIMIT)
                assert layer.gradient_norm == pytest.approx(one.gradient_norm, abs=LIMIT)
                assert layer.update_ratio == pytest.approx(one.update_ratio, abs=LIMIT)


def test_a_group_of_one_gives_the_epochs_of_train() -> None:
    config = case_config(PLAIN, 3)
    [one], other = together([config]), alone(config)
    assert_same(one, other)
    assert all(isinstance(t, EpochResult) and t.seconds > 0 for t in one.told)


@pytest.mark.parametrize("precision", catalog.PRECISIONS)
def test_every_precision_together_is_that_alone(precision: str) -> None:
    """Within its digits; bfloat16 has three, and shows that it was used."""
    configs = [case_config(PLAIN, n, precision=precision) for n in (0, 1)]
    for one, config in zip(together(configs, torch.float32), configs, strict=True):
        mine, theirs = measured(one.told), measured(alone(config, torch.float32).told)
        for epoch, other in zip(mine, theirs, strict=True):
            assert epoch[2] == pytest.approx(other[2], rel=0.02)  # the training loss
    exact = together([case_config(PLAIN, n) for n in (0, 1)], torch.float32)
    is_exact = measured(exact[1].told) == mine
    assert is_exact is (catalog.PRECISIONS[precision].dtype is None)


# Faults that a fused trainer can have, planted: each must show.


def _after_backward(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Do something to the network after each backward pass."""
    backward = fused_network.FusedNetwork.backward

    def changed(self: Any, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        found = backward(self, images, labels)
        change(self)
        return found

    monkeypatch.setattr(fused_network.FusedNetwork, "backward", changed)


def _shared_slope(monkeypatch: pytest.MonkeyPatch) -> Case:
    """One prelu slope for all slots."""

    def share(network: Any) -> None:
        for name, grad in network.grads.items():
            if "prelu" in name:
                network.grads[name] = grad.mean(0, keepdim=True).expand_as(grad)

    _after_backward(monkeypatch, share)
    return ("prelu", "none", "he", "sgd")


def _mean_loss(monkeypatch: pytest.MonkeyPatch) -> Case:
    """The mean of the trials' losses instead of their sum: gradients divided by T."""

    def average(network: Any) -> None:
        network.grads = {name: grad / len(grad) for name, grad in network.grads.items()}

    _after_backward(monkeypatch, average)
    return ("relu", "none", "he", "sgd")


def _shared_average(monkeypatch: pytest.MonkeyPatch) -> Case:
    """One running average for all slots."""

    def share(network: Any) -> None:
        for name, buffer in network.buffers.items():
            if "running" in name:
                buffer.copy_(buffer.mean(0, keepdim=True).expand_as(buffer))

    _after_backward(monkeypatch, share)
    return ("relu", "before", "he", "sgd")


def _shared_rate(monkeypatch: pytest.MonkeyPatch) -> Case:
    """One learning rate for all slots."""
    step = fused_optimizers.Adam.step

    def shared(self: Any, params: Any, grads: Any, lr: Tensor) -> None:
        step(self, params, grads, lr.mean().expand_as(lr))

    monkeypatch.setattr(fused_optimizers.Adam, "step", shared)
    return ("relu", "none", "he", "adam")


def _first_piece(monkeypatch: pytest.MonkeyPatch) -> Case:
    """Maxout's pieces cut out of the slots instead of the channels."""

    def forward(self: Maxout, x: Tensor) -> Tensor:
        return x.chunk(self.pieces, dim=1)[0]

    together_only = fused_network.FusedNetwork._scores

    def scores(self: Any, *arguments: Any) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(Maxout, "forward", forward)
            return together_only(self, *arguments)

    monkeypatch.setattr(fused_network.FusedNetwork, "_scores", scores)
    return ("maxout", "none", "he", "sgd")


@pytest.mark.parametrize(
    "plant", [_shared_slope, _mean_loss, _shared_average, _shared_rate, _first_piece]
)
def test_planted_faults_are_seen(
    plant: Callable[[pytest.MonkeyPatch], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = plant(monkeypatch)
    configs = [case_config(case, number) for number in range(2)]
    pairs: list[tuple[Trained, Trained]] = list(
        zip(together(configs), map(alone, configs), strict=True)
    )
    assert max(departure(one.model, other.model) for one, other in pairs) > 1000 * LIMIT


def test_modules_share_the_memory_of_their_slots() -> None:
    models = [nn.Sequential(nn.Linear(3, 2)) for _ in range(2)]
    group = fused_network.FusedNetwork(models, "fp32")
    group.params["0.weight"][1].fill_(5.0)
    weight = models[1].get_parameter("0.weight")
    assert torch.equal(weight, torch.full((2, 3), 5.0))
    group.keep([1], torch.tensor([1]))
    group.params["0.weight"][0].fill_(7.0)
    assert torch.equal(weight, torch.full((2, 3), 7.0))


def test_inits_are_all_there() -> None:
    assert {init.partition(":")[0] for init in INITS} == set(catalog.INIT_SCHEMES)

"""The divergence guard's rule, on plain numbers."""

from __future__ import annotations

import math

import pytest

from cnnsearch.config.sections import Abort
from cnnsearch.guard import Diverged, DivergenceGuard

GUESSING = math.log(10)


def guard(loss_ratio: float | None = 3.0, check_every: int = 4) -> DivergenceGuard:
    return DivergenceGuard(10, loss_ratio, check_every)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("ratio", [3.0, None])
def test_first_non_finite_step_is_named(loss: float, ratio: float | None) -> None:
    with pytest.raises(Diverged) as caught:
        guard(ratio).look([2.3, 2.2, loss, math.nan], epoch=1)
    assert (caught.value.step, caught.value.epoch) == (3, 1)
    assert caught.value.reason == f"loss {loss} at step 3 (epoch 1)"
    assert str(caught.value) == caught.value.reason


def test_first_loss_itself_may_be_non_finite() -> None:
    lost = guard()
    with pytest.raises(Diverged, match="loss nan at step 1"):
        lost.look([math.nan], epoch=1)
    assert math.isnan(lost.first_loss or 0.0)


def test_a_non_finite_loss_in_a_loud_window_is_reported_as_such() -> None:
    with pytest.raises(Diverged) as caught:
        guard().look([2.3, 1e9, 1e30, math.inf], epoch=1)
    assert (caught.value.step, caught.value.loss) == (4, math.inf)


def test_limit_of_the_lectures() -> None:
    """Break-out rule of the slide: 3 x the original cost of ten classes."""
    assert guard(Abort().loss_ratio).limit == pytest.approx(6.908, abs=1e-3)


def test_a_window_above_the_limit_ends_the_trial() -> None:
    with pytest.raises(Diverged) as caught:
        guard().look([2.0, 8.0, 9.0, 10.0], epoch=2)
    lost = caught.value
    assert (lost.step, lost.epoch, lost.loss) == (4, 2, 7.25)
    assert lost.limit == pytest.approx(3 * GUESSING)
    assert lost.reason == "loss 7.25 above limit 6.91 at step 4 (epoch 2)"


def test_a_window_at_the_limit_passes() -> None:
    patient = guard()
    patient.look([3 * GUESSING - 1e-6] * 4, epoch=1)
    assert patient.step == 4


def test_the_mean_counts_not_a_single_step() -> None:
    patient = guard()
    patient.look([2.0, 20.0, 2.0, 2.0], epoch=1)
    assert patient.step == 4


def test_reference_is_the_loss_before_any_update() -> None:
    """Had the first window's own mean been the reference, any learning rate would pass."""
    with pytest.raises(Diverged, match="at step 4"):
        guard().look([GUESSING, 1e5, 1e9, 1e9], epoch=1)


def test_a_loud_init_that_recovers_is_not_ended() -> None:
    patient = guard()
    patient.look([120.0, 200.0, 150.0, 90.0], epoch=1)
    assert patient.limit == pytest.approx(360.0)
    patient.look([40.0] * 4, epoch=1)
    assert patient.limit == pytest.approx(120.0)
    patient.look([2.0] * 4, epoch=1)
    assert patient.limit == pytest.approx(3 * GUESSING)


def test_a_late_spike_is_not_divergence() -> None:
    patient = guard()
    patient.look([2.3, 0.1, 0.01, 0.01] + [0.001] * 4, epoch=1)
    patient.look([6.0, 0.5, 3.0, 0.1], epoch=2)
    assert patient.step == 12


def test_windows_run_on_across_epoch_ends() -> None:
    running = guard()
    running.look([2.3, 2.3], epoch=1)
    running.look([9.0], epoch=1)  # the end of epoch 1: three steps, all finite
    with pytest.raises(Diverged) as caught:
        running.look([99.0], epoch=2)
    assert (caught.value.step, caught.value.epoch) == (4, 2)
    assert caught.value.loss == pytest.approx((2.3 + 2.3 + 9.0 + 99.0) / 4)


def test_an_epoch_end_looks_for_non_finite_losses_only() -> None:
    guard(check_every=20).look([2.3] + [1e9] * 10, epoch=1)


def test_without_a_ratio_only_non_finite_losses_count() -> None:
    open_ended = guard(None)
    open_ended.look([2.3] + [1e30] * 20, epoch=1)
    assert open_ended.limit is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_and_validation_are_looked_at(value: float) -> None:
    ended = guard()
    ended.look([2.3] * 3, epoch=1)
    ended.look_at_weights(1e30, epoch=1)
    ended.look_at_validation(1e30, epoch=1)
    with pytest.raises(Diverged, match=rf"weights {value} at step 3 \(epoch 1\)"):
        ended.look_at_weights(value, epoch=1)
    with pytest.raises(Diverged, match=rf"validation loss {value} at step 3 \(epoch 1\)"):
        ended.look_at_validation(value, epoch=1)


def test_first_loss_is_kept() -> None:
    fresh = guard()
    assert fresh.first_loss is None
    fresh.look([2.5, 2.4], epoch=1)
    fresh.look([1.0], epoch=1)
    assert fresh.first_loss == 2.5

"""The divergence guard: when a trial is lost, decided on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


class Diverged(Exception):  # noqa: N818  a trial's result, not an error
    """The training of a trial is lost.

    Args:
        step: counted from 1 over the whole run: the first step with a non-finite loss, else the
            last of the window.
        epoch: counted from 1.
        loss: the loss of that step, or the mean of the window; what the rule rejected.
        limit: what the mean loss of a window may not exceed; None without a ratio.
        reason: one short sentence for the user.
    """

    def __init__(
        self, step: int, epoch: int, loss: float, limit: float | None, reason: str
    ) -> None:
        super().__init__(reason)
        self.step = step
        self.epoch = epoch
        self.loss = loss
        self.limit = limit
        self.reason = reason


class DivergenceGuard:
    """Decides when a trial has diverged.

    A non-finite loss ends a trial. So does a window of `check_every` steps whose mean loss is above
    `loss_ratio` x max(ln(classes), lowest loss so far). The lowest loss so far starts with the very
    first loss, before any update, and then follows the means of the windows. Windows run on across
    the ends of epochs; there, the losses so far are checked for non-finite values only, and so are
    the weights and the validation loss.

    So a loud init that recovers is not ended, a late spike is not taken for divergence, and a
    learning rate of 1e9 is seen in the first window. ln(classes) is the loss of guessing (CS231n,
    lecture 6: stop when the cost is above 3 times the original cost).

    Args:
        classes: number of classes, for the loss of guessing.
        loss_ratio: None turns the rule on the windows off.
        check_every: steps of a window.
    """

    def __init__(self, classes: int, loss_ratio: float | None, check_every: int) -> None:
        self.check_every = check_every
        self.first_loss: float | None = None
        self.step = 0
        self._guessing = math.log(classes)
        self._ratio = loss_ratio
        self._lowest = 0.0
        self._window: list[float] = []

    @property
    def limit(self) -> float | None:
        """What the mean loss of the next window may not exceed; None without a ratio."""
        if self._ratio is None:
            return None
        return self._ratio * max(self._guessing, self._lowest)

    def look(self, losses: Iterable[float], epoch: int) -> None:
        """Take the losses of the steps since the last look, in order.

        Raises:
            Diverged: a loss is non-finite, or a window that ended here is above the limit.
        """
        for loss in losses:
            self.step += 1
            if self.first_loss is None:
                self.first_loss = loss
            if not math.isfinite(loss):
                raise self._diverged(epoch, loss, f"loss {loss:.3g}")
            if self.step == 1:
                self._lowest = loss
            self._window.append(loss)
            if len(self._window) == self.check_every:
                self._close_window(epoch)

    def look_at_weights(self, largest: float, epoch: int) -> None:
        """Check the weights at an epoch's end; their `largest` is nan where one of them is.

        Raises:
            Diverged: non-finite weights, although the losses were finite.
        """
        if not math.isfinite(largest):
            raise self._diverged(epoch, largest, f"weights {largest:.3g}")

    def look_at_validation(self, loss: float, epoch: int) -> None:
        """Check the validation loss at an epoch's end.

        Raises:
            Diverged: it is non-finite.
        """
        if not math.isfinite(loss):
            raise self._diverged(epoch, loss, f"validation loss {loss:.3g}")

    def state(self) -> dict[str, Any]:
        """What it goes on from, as plain values."""
        return {
            "step": self.step,
            "first_loss": self.first_loss,
            "lowest": self._lowest,
            "window": list(self._window),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` told."""
        self.step, self.first_loss = state["step"], state["first_loss"]
        self._lowest, self._window = state["lowest"], list(state["window"])

    def _close_window(self, epoch: int) -> None:
        mean = math.fsum(self._window) / len(self._window)
        self._window.clear()
        limit = self.limit
        if limit is not None and mean > limit:
            raise self._diverged(epoch, mean, f"loss {mean:.3g} above limit {limit:.3g}")
        self._lowest = min(self._lowest, mean)

    def _diverged(self, epoch: int, loss: float, what: str) -> Diverged:
        where = f"at step {self.step} (epoch {epoch})"
        return Diverged(self.step, epoch, loss, self.limit, f"{what} {where}")

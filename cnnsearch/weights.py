"""The weights of a trial that are kept: those after its best epoch, or after its last."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnsearch import drafts
from cnnsearch.errors import InputError
from cnnsearch.objective import DIRECTIONS, best_epoch, measured
from cnnsearch.records import EpochResult, KeptWeights


class Weights:
    """Those of one network while it is trained; reading them changes nothing of its training."""

    def __init__(self, plan: KeptWeights | None, model: nn.Module) -> None:
        """Nothing is copied yet.

        Args:
            plan: None: none are kept.
        """
        self._plan = plan
        self._model = model
        self._best: EpochResult | None = None
        self._copy: dict[str, Tensor] | None = None

    def look(self, result: EpochResult) -> None:
        """Copy the weights where the epoch that has ended is the best so far."""
        if self._plan is None or self._plan.objective is None:
            return
        objective = self._plan.objective
        sign = 1 if DIRECTIONS[objective] == "maximize" else -1
        if (
            self._best is not None
            and sign * (measured(result, objective) - measured(self._best, objective)) <= 0
        ):
            return
        self._best = result
        self._copy = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self._model.state_dict().items()
        }

    def state(self) -> dict[str, Any]:
        """What a later attempt has to know of the epochs before it, for a checkpoint."""
        return {} if self._copy is None else {"best": self._copy}

    def restore(self, state: Mapping[str, Any], curve: Sequence[EpochResult]) -> None:
        """Go on from a checkpoint.

        One that was written while no weights were kept has none: there are some again once an
        epoch is better than those before it.

        Args:
            curve: the epochs up to it.
        """
        if self._plan is None or self._plan.objective is None:
            return
        epoch = best_epoch(curve, self._plan.objective)
        self._best = next(result for result in curve if result.epoch == epoch)
        self._copy = dict(state["best"]) if "best" in state else None

    def write(self, last: int) -> dict[str, Any]:
        """Write them, after the last epoch; facts of the trial: the epoch that they are of, or why
        they could not be written.
        """
        if self._plan is None:
            return {}
        tensors = self._copy
        if tensors is None and self._plan.objective is not None:
            return {"weights_error": "its best epoch was trained when none were kept"}
        if tensors is None:
            tensors = {name: value.cpu() for name, value in self._model.state_dict().items()}
        try:
            save(tensors, Path(self._plan.file))
        except OSError as error:
            return {"weights_error": error.strerror or type(error).__name__}
        return {"weights_epoch": last if self._best is None else self._best.epoch}


def save(content: Mapping[str, Any], file: Path) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with drafts.replacing(file) as written:
        written.write(buffer.getbuffer())


def read(file: Path) -> dict[str, Any]:
    """Read what `save` wrote: tensors and plain values, and no code.

    Raises:
        InputError: it is something else.
        OSError: it cannot be read.
    """
    content = file.read_bytes()
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's many ways to say that it is none
        raise InputError(f"{file}: holds no weights, or is damaged.") from error
    if not isinstance(found, dict):
        raise InputError(f"{file}: holds no weights.")
    return found


def fill(layers: nn.Module, state: Mapping[str, Any], file: Path) -> None:
    """Give a network weights.

    Args:
        file: where they were read.

    Raises:
        InputError: they are those of another network.
    """
    try:
        layers.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: holds the weights of another network.") from error
    # As it was trained on a CPU: faster, and the same numbers to the last digit.
    layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

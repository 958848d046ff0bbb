"""torch's optimizers over stacked parameters, where each trial has its own numbers.

torch's own take one learning rate for all entries of a tensor. The formulas and their defaults are
theirs, the parameters [T, ...] hold one trial a slot, and what differs by trial is a tensor [T].
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from cnnsearch import catalog
from cnnsearch.config.sections import Train

Tensors = Mapping[str, Tensor]
# Of a parameter of one trial; vectors (biases, norms, slopes) are not pulled to 0.
_DECAYED_DIMENSIONS = 2


class FusedOptimizer(Protocol):
    """Changes stacked parameters in place, so that a CUDA graph can hold its step."""

    def step(self, params: Tensors, grads: Tensors, lr: Tensor) -> None:
        """Take one step.

        Args:
            params: [T, ...], changed in place.
            grads: likewise, left alone.
            lr: [T], 0 for a trial that is to stay as it is.
        """

    def keep(self, index: Tensor) -> None:
        """Go on with some slots only, int64 [T']."""


def make_fused_optimizer(params: Tensors, sections: Sequence[Train]) -> FusedOptimizer:
    """The optimizer of trials that have the same one, each with its own numbers."""
    row = catalog.OPTIMIZERS[sections[0].optimizer]
    optimizer: FusedOptimizer = pkgutil.resolve_name(row.fused)(params, sections)
    return optimizer


class _State:
    """Numbers by trial, and tensors of the parameters' shapes, that leave together."""

    def __init__(self, params: Tensors, sections: Sequence[Train], *kept: str) -> None:
        self._like = next(iter(params.values()))
        self._numbers = {"weight_decay": self._number(sections, "weight_decay")}
        self._decays = any(section.weight_decay for section in sections)
        self._kept = {name: _zeros(params) for name in kept}

    def keep(self, index: Tensor) -> None:
        """See `FusedOptimizer`."""
        self._numbers = {name: number[index] for name, number in self._numbers.items()}
        self._kept = {
            name: {one: tensor[index] for one, tensor in tensors.items()}
            for name, tensors in self._kept.items()
        }

    def _number(self, sections: Sequence[Train], field: str) -> Tensor:
        numbers = [float(getattr(section, field)) for section in sections]
        return torch.tensor(numbers, dtype=self._like.dtype, device=self._like.device)

    def _decay(self, param: Tensor) -> Tensor | None:
        """The weight decay of a parameter's slots, shaped like it; None where there is none."""
        if not self._decays or param.ndim - 1 < _DECAYED_DIMENSIONS:
            return None
        return shaped(self._numbers["weight_decay"], param)


class SGD(_State):
    """As `torch.optim.SGD` with momentum, nesterov and weight decay."""

    def __init__(self, params: Tensors, sections: Sequence[Train]) -> None:
        self._moves = any(section.momentum for section in sections)
        super().__init__(params, sections, *(["velocity"] if self._moves else []))
        self._numbers["momentum"] = self._number(sections, "momentum")
        self._nesterov = sections[0].nesterov

    def step(self, params: Tensors, grads: Tensors, lr: Tensor) -> None:
        """See `FusedOptimizer`."""
        for name, param in params.items():
            grad = grads[name]
            decay = self._decay(param)
            if decay is not None:
                grad = torch.addcmul(grad, decay, param)
            if self._moves:
                momentum = shaped(self._numbers["momentum"], param)
                # From 0, as torch's first velocity is the gradient itself.
                velocity = self._kept["velocity"][name].mul_(momentum).add_(grad)
                grad = torch.addcmul(grad, momentum, velocity) if self._nesterov else velocity
            param.addcmul_(shaped(lr, param), grad, value=-1)


class Adam(_State):
    """As `torch.optim.Adam`: weight decay is added to the gradient."""

    decoupled = False
    _BETAS = (0.9, 0.999)
    _EPS = 1e-8

    def __init__(self, params: Tensors, sections: Sequence[Train]) -> None:
        super().__init__(params, sections, "mean", "square")
        # float64: in float32 1 - 0.999 is wrong in the fifth digit.
        self._steps = torch.zeros((), dtype=torch.float64, device=self._like.device)

    def step(self, params: Tensors, grads: Tensors, lr: Tensor) -> None:
        """See `FusedOptimizer`."""
        self._steps.add_(1)
        first, second = ((1 - beta**self._steps).to(lr.dtype) for beta in self._BETAS)
        for name, param in params.items():
            grad, rate, decay = grads[name], shaped(lr, param), self._decay(param)
            if decay is not None and self.decoupled:
                param.mul_(1 - rate * decay)
            elif decay is not None:
                grad = torch.addcmul(grad, decay, param)
            mean = self._kept["mean"][name].lerp_(grad, 1 - self._BETAS[0])
            square = self._kept["square"][name].mul_(self._BETAS[1])
            square.addcmul_(grad, grad, value=1 - self._BETAS[1])
            root = (square / second).sqrt_().add_(self._EPS)
            param.addcdiv_(mean * (rate / first), root, value=-1)


class AdamW(Adam):
    """As `torch.optim.AdamW`: weight decay shrinks the weights beside the step."""

    decoupled = True


def shaped(numbers: Tensor, param: Tensor) -> Tensor:
    """Numbers [T] as [T, 1, ...], to go with a parameter [T, ...]."""
    return numbers.view(-1, *[1] * (param.ndim - 1))


def _zeros(params: Tensors) -> dict[str, Tensor]:
    return {name: torch.zeros_like(param) for name, param in params.items()}

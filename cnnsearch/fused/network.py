"""T networks of one structure as one: the same module, its parameters stacked."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from cnnsearch import catalog
from cnnsearch.precision import autocast
from cnnsearch.train import Batches


class FusedNetwork:
    """Stacked parameters and buffers of T modules, and what torch.func makes of them.

    Each slot has its own running averages, prelu slopes and dropout. The modules given are bound to
    their slots: they share memory with the stacks, so each is at any time the network that its
    slot has become, and can be looked at as if it were trained alone.

    Args:
        models: alike but for their values, on one device.
        precision: a row of `catalog.PRECISIONS`.

    Attributes:
        params: [T, ...] by name; likewise `buffers`, and `grads`, those of the last step.
    """

    def __init__(self, models: Sequence[nn.Module], precision: str) -> None:
        self.models = list(models)
        self._base = copy.deepcopy(models[0]).to("meta")
        self._precision = precision
        if catalog.PRECISIONS[precision].dtype is not None:
            _norms_in_float(self._base)
        self.params = _stacked([dict(model.named_parameters()) for model in models])
        self.buffers = _stacked([dict(model.named_buffers()) for model in models])
        self.grads: dict[str, Tensor] = {}
        self._bind()

    def train(self) -> None:
        """Batch statistics and dropout from here on."""
        self._base.train()

    def backward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Set `grads` to those of a batch for each slot; running averages go on.

        Args:
            images: [T, B, C, H, W].
            labels: [T, B].

        Returns:
            mean losses [T], and numbers of right guesses [T].
        """
        # Each slot differentiates its own mean loss, so that no trial's gradient is divided by T.
        gradients = vmap(grad_and_value(self._loss, has_aux=True))
        found = gradients(self.params, self.buffers, images, labels)
        self.grads, (losses, (correct, buffers)) = found
        for name, buffer in self.buffers.items():
            buffer.copy_(buffers[name])
        return losses, correct

    def _loss(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
        """Of one slot: its loss; its right guesses, and its buffers as the pass leaves them."""
        buffers = {name: buffer.clone() for name, buffer in buffers.items()}
        scores = self._scores(params, buffers, images)
        with autocast(images.device, self._precision):
            loss = F.cross_entropy(scores, labels)
        return loss, ((scores.argmax(1) == labels).sum(), buffers)

    def _scores(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor
    ) -> Tensor:
        with autocast(images.device, self._precision):
            scores: Tensor = functional_call(self._base, {**params, **buffers}, (images,))
        return scores

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> list[tuple[float, float]]:
        """Mean cross-entropy and accuracy (0..1) of each slot, as `cnnsearch.train.evaluate`.

        All slots see the same images, so the first layer is one convolution for all.
        """
        self._base.eval()
        scores_of = vmap(self._scores, in_dims=(0, 0, None))
        losses, correct, count = [], [], 0
        for images, labels in batches:
            scores = scores_of(self.params, self.buffers, images)
            each = labels.expand(len(scores), -1)
            with autocast(images.device, self._precision):
                loss = F.cross_entropy(scores.transpose(1, 2), each, reduction="none")
            losses.append(loss.sum(1))
            correct.append((scores.argmax(2) == each).sum(1))
            count += len(labels)
        if not count:
            return [(math.nan, math.nan)] * len(self.models)
        totals = torch.stack([torch.stack(losses).double().sum(0), torch.stack(correct).sum(0)])
        return [(loss / count, hits / count) for loss, hits in totals.T.tolist()]

    def largest(self) -> list[float]:
        """By slot the largest magnitude in parameters and running averages; nan where one is."""
        values = chain(self.params.values(), self.buffers.values())
        rows = [v.reshape(len(v), -1) for v in values if v.is_floating_point()]
        largest: list[float] = torch.stack([v.abs().amax(1) for v in rows]).amax(0).tolist()
        return largest

    def keep(self, slots: Sequence[int], index: Tensor) -> None:
        """Go on with some slots only; the modules of the others keep what they have.

        Args:
            index: the slots, int64 [T'], on the device.
        """
        self.models = [self.models[slot] for slot in slots]
        self.grads = {}
        for tensors in (self.params, self.buffers):
            for name, tensor in tensors.items():
                tensors[name] = tensor[index]
        self._bind()

    def show_gradients(self) -> None:
        """Give the modules the gradients of the last step, as autograd would have."""
        for slot, model in enumerate(self.models):
            for name, parameter in model.named_parameters():
                parameter.grad = self.grads[name][slot]

    def _bind(self) -> None:
        for slot, model in enumerate(self.models):
            for name, parameter in model.named_parameters():
                parameter.data = self.params[name][slot]
            for name, buffer in model.named_buffers():
                buffer.data = self.buffers[name][slot]


def _norms_in_float(model: nn.Module) -> None:
    """vmap's batch norm wants its input in the type of its parameters (torch 2.13); alone it takes
    bfloat16 as it is."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


def _stacked(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}

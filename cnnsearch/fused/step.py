"""One training step of a group; on a GPU recorded once and played back as a CUDA graph."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from cnnsearch.fused.network import FusedNetwork
from cnnsearch.fused.optimizers import FusedOptimizer

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images [T, B, C, H, W], labels [T, B] and learning rates [T] to losses and hits [T]."""

# Eager steps before a recording: libraries choose their algorithms and workspaces in the first.
_WARM_UP = 3


def make_step(network: FusedNetwork, optimizer: FusedOptimizer, graph: bool) -> Step:
    """The step of a network as it now stands; to be made anew when slots have left.

    Args:
        graph: record it on a GPU.
    """

    def step(images: Tensor, labels: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
        losses, correct = network.backward(images, labels)
        optimizer.step(network.params, network.grads, lr)
        return losses, correct

    on_gpu = next(iter(network.params.values())).device.type == "cuda"
    return RecordedStep(step) if graph and on_gpu else step


class RecordedStep:
    """A step whose kernels the GPU starts by itself: the CPU is too slow for those of small nets.

    Batches of another shape than the first, such as an epoch's last one, are taken eagerly. So is
    every step where the recording fails, which the log tells.
    """

    def __init__(self, step: Step) -> None:
        self._eager = step
        self._seen = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, Tensor] | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._fails = False

    def __call__(self, images: Tensor, labels: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step."""
        if not self._inputs:
            self._inputs = (images.clone(), labels.clone(), lr.clone())
        if self._fails or images.shape != self._inputs[0].shape:
            return self._eager(images, labels, lr)
        self._seen += 1
        if self._seen <= _WARM_UP:
            return self._beside(images, labels, lr)
        for kept, new in zip(self._inputs, (images, labels, lr), strict=True):
            kept.copy_(new)
        if self._graph is None:
            self._record()
        if self._graph is None or self._outputs is None:
            return self._eager(images, labels, lr)
        self._graph.replay()
        # The next replay writes over them.
        return self._outputs[0].clone(), self._outputs[1].clone()

    def _beside(self, images: Tensor, labels: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
        """An eager step on a stream of its own, as torch wants it before a recording."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses, correct = self._eager(images, labels, lr)
        torch.cuda.current_stream().wait_stream(stream)
        return losses, correct

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._outputs = self._eager(*self._inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._fails = True
            print(f"no CUDA graph, steps stay eager: {error}", file=sys.stderr)
        else:
            self._graph = graph

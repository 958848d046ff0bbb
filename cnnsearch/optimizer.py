"""The optimizer of a config's `train:` section, and the learning rate of each step."""

from __future__ import annotations

import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import torch
from torch import nn
from torch.optim import Optimizer

from cnnsearch import catalog
from cnnsearch.config.sections import Train


def make_optimizer(model: nn.Module, section: Train) -> Optimizer:
    """The optimizer over all parameters; weight decay on the weights only."""
    row = catalog.OPTIMIZERS[section.optimizer]
    arguments = {field: getattr(section, field) for field in row.fields}
    if not arguments.get("momentum"):
        # Without momentum there is no velocity to look ahead with, and torch refuses the pair.
        arguments.pop("nesterov", None)
    target = _without_dynamo(pkgutil.resolve_name(row.target))
    if "fused" in inspect.signature(target).parameters:
        # One pass over each parameter. A step of a small CNN on digits, batch 64, one thread:
        # adam 1.36 -> 1.24 ms, adamw 1.36 -> 1.13 ms, sgd the same.
        arguments["fused"] = True
    weights = list(decayed(model))
    chosen = {id(weight) for weight in weights}
    groups = [
        {"params": weights, "weight_decay": section.weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in chosen], "weight_decay": 0.0},
    ]
    optimizer = target(groups, lr=section.lr, **arguments)
    assert isinstance(optimizer, Optimizer)
    return optimizer


@cache
def _without_dynamo(target: type[Optimizer]) -> Callable[..., Optimizer]:
    """A class of torch's optimizers that does not load torch.compile, which nothing here uses.

    Its methods are wrapped to be left alone by torch._dynamo, and load it, with sympy and 800
    modules more, when they are first called: 1.3 s and 67 MB of every process.
    """
    methods = {name: getattr(target, name) for name in dir(target)}
    bare = {
        name: torch.no_grad()(inspect.unwrap(method))  # which the wrapper of `step` does too
        for name, method in methods.items()
        if inspect.isfunction(method) and hasattr(method, "__wrapped__")
    }
    return type(target.__name__, (target,), bare)


def decayed(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that weight decay pulls to 0: filters and matrices.

    Biases, scales and shifts of batch norm and prelu slopes are vectors, and are left alone.
    """
    return (parameter for parameter in model.parameters() if parameter.ndim > 1)


@lru_cache(maxsize=64)
def state_tensors(section: Train) -> int:
    """How many tensors of a weight's size the optimizer keeps beside it; found by trying."""
    layer = nn.Linear(3, 3, bias=False)
    layer.weight.grad = torch.zeros(3, 3)
    optimizer = make_optimizer(layer, section)
    optimizer.step()
    state = optimizer.state[layer.weight].values()
    return sum(isinstance(value, torch.Tensor) and value.shape == (3, 3) for value in state)


def learning_rate(section: Train, step: int, steps: int) -> float:
    """The learning rate of a step: linear warm-up, then the schedule.

    Args:
        step: counted from 0 over the whole run.
        steps: steps of an epoch.
    """
    warmup = warmup_steps(section, steps)
    if step < warmup:
        return section.lr * (step + 1) / warmup
    factor = pkgutil.resolve_name(catalog.SCHEDULES[section.schedule].target)(section, step, steps)
    return section.lr * float(factor)


def warmup_steps(section: Train, steps: int) -> int:
    """Steps over which the learning rate rises from near 0 to `lr`."""
    return round(section.warmup_epochs * steps)


def constant(section: Train, step: int, steps: int) -> float:  # noqa: ARG001
    """The factor 1 throughout."""
    return 1.0


def step(section: Train, step: int, steps: int) -> float:
    """`step_factor`, once more after every `step_every` epochs."""
    return section.step_factor ** (step // steps // section.step_every)


def cosine(section: Train, step: int, steps: int) -> float:
    """Half a cosine from 1 to 0 over the steps after warm-up (Loshchilov and Hutter 2017).

    Step by step; 0 itself would be reached one step after the last.
    """
    warmup = warmup_steps(section, steps)
    done = (step - warmup) / (section.epochs * steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))

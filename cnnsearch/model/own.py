"""Networks of the user's own: built from their file, and measured by running them once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import OWN_INIT, Model
from cnnsearch.errors import InputError, in_one_line
from cnnsearch.own import resolve

# The network gets these by the names of its parameters; `init` is drawn afterwards.
_NOT_GIVEN = ("module", "init")
_IMAGES = 2


def build(section: Model, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """Make the network `section.module` with the draws of a seed, on the CPU.

    It is called as `MyNet(shape, classes, **fields)`: of the fields of `model` with those that its
    parameters name; `activation` is a function that makes the module.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        InputError: its file cannot be executed, or it makes no network.
    """
    assert section.module is not None
    factory = resolve(section.module)
    given = {name: getattr(section, name) for name in taken(section)}
    if "activation" in given:
        given["activation"] = _maker(section.activation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = factory(shape, classes, **given)
        except Exception as error:
            raise InputError(f"{section.module}: {in_one_line(error)}") from error
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise InputError(f"{section.module}: gives {kind}, and not a torch.nn.Module.")
    return network


def taken(section: Model) -> list[str]:
    """The fields of `model` that its parameters name.

    Raises:
        InputError: it cannot be called with a shape and a number of classes.
    """
    assert section.module is not None
    factory = resolve(section.module)
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError) as error:
        raise InputError(f"{section.module}: is no class and no function.") from error
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(by_place) < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise InputError(
            f"{section.module}: takes no (shape, classes). Write def NAME(shape, classes, ...)."
        )
    rest = parameters[2:]
    fields = [name for name in Model.model_fields if name not in _NOT_GIVEN]
    unknown = [p.name for p in rest if p.default is p.empty and p.name not in fields
               and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]  # fmt: skip
    if unknown:
        raise InputError(
            f"{section.module}: its parameter {unknown[0]} is no field of model. Give it a default."
        )
    if any(p.kind is p.VAR_KEYWORD for p in rest):
        return fields
    return [p.name for p in rest if p.name in fields]


def check(section: Model, shape: tuple[int, int, int], classes: int) -> str | None:
    """Why the network cannot be trained on such images, in one sentence; None if it can."""
    assert section.module is not None
    try:
        network = build(section, shape, classes, 0).train()
        with torch.random.fork_rng(devices=[]), torch.no_grad(), called(network) as calls:
            scores = network(torch.zeros(_IMAGES, *shape))
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"{section.module}: of images {list(shape)}: {in_one_line(error)}"
    if not isinstance(scores, Tensor) or scores.shape != (_IMAGES, classes):
        found = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        return f"{section.module}: gives {found} for {_IMAGES} images, not {[_IMAGES, classes]}."
    if not any(isinstance(module, nn.Conv2d | nn.Linear) for _, module, _ in calls):
        return f"{section.module}: calls no nn.Conv2d and no nn.Linear, which verdicts are about."
    if section.init == "lsuv":
        return f"{section.module}: init: lsuv needs the built-in network. Write another scheme."
    return None


def draws_itself(section: Model) -> bool:
    """Whether its weights stay as its own code draws them."""
    return section.module is not None and section.init == OWN_INIT


@contextmanager
def called(network: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """Collects the modules without parts of their own as they are called: name, module, output."""
    found: list[tuple[str, nn.Module, Tensor]] = []
    seen: set[nn.Module] = set()

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if module not in seen and isinstance(output, Tensor):
                seen.add(module)
                found.append((name, module, output))

        return hook

    leaves = [(n, m) for n, m in network.named_modules() if not any(m.children())]
    handles = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _maker(activation: str) -> Callable[[], nn.Module]:
    row = catalog.ACTIVATIONS[activation]

    def make() -> nn.Module:
        module = resolve(row.target)(**row.arguments)
        assert isinstance(module, nn.Module)
        return module

    return make

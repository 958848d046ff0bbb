"""Waiting for what another process does, where no event tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_LOOK_S = 0.01


def until(condition: Callable[[], _T], what: str, seconds: float = 120) -> _T:
    """Wait until a condition is true, and give what it gave.

    Args:
        what: is said where it does not come true.
        seconds: a defect takes longer than that; what is right is over sooner on a loaded machine.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(_LOOK_S)
    return found

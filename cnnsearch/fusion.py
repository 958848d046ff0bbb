"""Which trials of a search can be trained together, as one batched network.

Point k is known in advance, so the points that wait are looked through for trials of the structure
of the one whose turn it is.
"""

from __future__ import annotations

from collections import deque

from cnnsearch.records import Params, Start

# Fields that a batched network has a value of for each trial. Anything else is the same for all.
VALUES = frozenset(
    [
        "lr",
        "epochs",
        "momentum",
        "weight_decay",
        "schedule",
        "warmup_epochs",
        "step_every",
        "step_factor",
        "dropout",
        "init",
    ]
)


def structure(params: Params, dropout: float) -> tuple[object, ...]:
    """Equal for points of one space whose trials can be trained together.

    Args:
        dropout: of trials that do not search it; a network with none has no layers for it.
    """
    fixed = ((name, repr(value)) for name, value in params.items() if name not in VALUES)
    return (*sorted(fixed), bool(params.get("dropout", dropout)))


def take_group(waiting: deque[Start], most: int, dropout: float) -> list[Start]:
    """Take the next point out of what waits, and at most `most` - 1 others of its structure.

    In their order; a space has few structures, so that what is skipped is soon taken.
    """
    first = waiting.popleft()
    group = [first]
    if most > 1:
        wanted, others = structure(first.params, dropout), deque[Start]()
        while waiting and len(group) < most:
            start = waiting.popleft()
            fits = structure(start.params, dropout) == wanted
            (group if fits else others).append(start)
        waiting.extendleft(reversed(others))
    return group

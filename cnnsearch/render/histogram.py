"""Histograms of one line each, in block characters; in ASCII where nothing else can be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cnnsearch.render import output

# The first for an empty part: a space would be lost in a table's cell.
_BLOCKS = "·▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*#%@"


def bars(shares: Sequence[float], columns: int) -> str:
    """A character for each part of the range.

    The height is the square root of a part's share, or tails could not be seen beside a peak; the
    highest part fills its line.

    Args:
        shares: of equal parts of a range, 0..1.
        columns: at most so many characters; neighbours are put together in twos, fours, ....
    """
    while len(shares) > columns:
        shares = [sum(shares[i : i + 2]) for i in range(0, len(shares), 2)]
    marks = _BLOCKS if output.speaks_utf8() else _ASCII
    most = max(shares, default=0.0)
    steps = len(marks) - 1
    return "".join(
        marks[max(1, round(steps * math.sqrt(share / most))) if share > 0 else 0]
        for share in shares
    )


def ends(low: str, high: str, columns: int) -> str:
    """What to write above such lines: the ends of the range."""
    return low + high.rjust(columns - len(low))

"""Text from outside made safe for a terminal, and how numbers, durations and ages are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnsearch.records import Value

# Whole sequences first, so that nothing readable of them is left behind: CSI, then the strings
# that run to ST or BEL (OSC can set the title and the clipboard; DCS, SOS, PM, APC), then the
# two-character ones. A string without an end is cut at its line's end.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\n\x07\x1b\x9c]*(?:\x07|\x9c|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 but tab and newline, DEL, C1
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # bidi: can show a text in another order
    r"|[\u2028\u2029\ufeff]"
)
# OWASP's list, the wide forms included, which a spreadsheet may take for the narrow ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# A bar ends a cell; code, links, pictures and HTML are no part of a table of ours.
_MARKDOWN = re.compile(r"[\\|`<]|(?<=\])\(")
_SURROGATES = re.compile(r"[\ud800-\udfff]")

MISSING = "-"


def clean(text: str) -> str:
    """Text without anything that could steer a terminal; newlines stay, tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text  # most cells are: 0.7 s of a list of 10,000 trials
    text = _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))
    return _SURROGATES.sub("?", text).expandtabs(4)


def one_line(text: str) -> str:
    """`clean` text for a table's cell."""
    return " ".join(clean(text).split())


def number(value: float) -> str:
    """A number in at most 10 characters: integers whole, others to 4 significant digits."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return f"{value:.4g}"


def measure(value: float | None) -> str:
    """A loss or an accuracy: 4 decimals, or 4 significant digits where those say nothing."""
    if value is None:
        return MISSING
    if not math.isfinite(value) or (value != 0 and not 1e-3 <= abs(value) < 1e5):
        return number(float(value))
    return f"{value:.4f}"


def value_text(value: Value) -> str:
    """A hyperparameter as a table shows it: `true`, `1e-05`, `[32, 64]`, `he`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return MISSING
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return one_line(str(value))


def counted(count: int, noun: str) -> str:
    """A number of things: `1 point`, `12 points`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def exact(value: Any) -> str:
    """A value for CSV and pipes: every digit, so that it can be read back; empty for None."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | Mapping):
        return json.dumps(strict(value), ensure_ascii=False)
    return one_line(str(value))


def identity(value: Any) -> tuple[str, Any]:
    """What makes two values equal to a person: 1 and 1.0 are, true and 1 are not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", float(value)
    return "text", exact(value)


def told_apart(values: Sequence[Any], show: Callable[[Any], str]) -> list[str]:
    """Values as `show` writes them; with more digits where different numbers would look equal."""
    texts = [show(value) for value in values]
    for digits in range(5, 18):
        if len(set(texts)) == len({identity(value) for value in values}):
            break
        texts = [
            f"{value:.{digits}g}" if isinstance(value, float) else show(value) for value in values
        ]
    return texts


def strict(value: Any) -> Any:
    """Plain data for strict JSON: a non-finite number is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def defused(cell: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: it begins with an apostrophe instead.

    Numbers stay as they are.
    """
    if not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def plain_markdown(cell: str) -> str:
    """A cell of a Markdown table that reads as it is written."""
    return _MARKDOWN.sub(r"\\\g<0>", cell)


def seconds_text(seconds: float | None) -> str:
    """A duration: `0.42s`, `38s`, `2m05s`, `3h12m`, `2d04h`."""
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.2g}s" if seconds < 1 else f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def age_text(then: float | None, now: float) -> str:
    """How long ago, in one unit: `just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    if then is None:
        return MISSING
    minutes = (now - then) / 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{int(minutes)} min ago"
    if minutes < 48 * 60:
        return f"{int(minutes // 60)} h ago"
    return f"{int(minutes // 1440)} d ago"

"""The way to stdout: every text of every reading verb passes here and is cleaned on it.

A line is a list of (text, style) pairs; styles are rich's. Only on a terminal is rich loaded, so
that a pipe costs nothing and holds no escape sequence.
"""

from __future__ import annotations

import json
import locale
import shutil
import sys
from collections.abc import Iterable
from typing import Any

import click

from cnnsearch.render.text import clean, strict

Line = list[tuple[str, str]]
# What our own descriptions hold beyond ASCII.
_TO_ASCII = str.maketrans({"²": "^2"})


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def width() -> int:
    """Columns of the terminal; 80 where there is none and $COLUMNS does not say."""
    return shutil.get_terminal_size((80, 24)).columns


def height() -> int:
    """Lines of the terminal; 24 where there is none and $LINES does not say."""
    return shutil.get_terminal_size((80, 24)).lines


def speaks_utf8() -> bool:
    """Whether line drawing and marks beyond ASCII can be shown.

    Python writes UTF-8 in the C locale too (PEP 540), which its terminal may not understand, so
    the locale is asked besides the stream.
    """
    encodings = (locale.getencoding(), getattr(sys.stdout, "encoding", None) or "ascii")
    return all(name.lower().replace("-", "") == "utf8" for name in encodings)


def write(text: str) -> None:
    """Write a text of one or more lines, cleaned."""
    click.echo(_encodable(clean(text)))


def write_raw(text: str) -> None:
    """Write a text that was made safe already and must keep every character: JSON, CSV."""
    click.echo(_encodable(text), nl=False)


def write_lines(lines: Iterable[Line], wrap: bool = False) -> None:
    """Write styled lines; the styles are for terminals, and $NO_COLOR is obeyed.

    Args:
        wrap: break long lines between words where a terminal is too narrow.
    """
    if not is_terminal():
        # In one piece: click's echo flushes, and 10,000 lines took 0.3 s.
        texts = [clean("".join(text for text, _ in line).rstrip()) for line in lines]
        if texts:
            click.echo(_encodable("\n".join(texts)))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    for line in lines:
        text = Text.assemble(*((_encodable(clean(part)), style) for part, style in line))
        if wrap:
            console.print(text)
        else:
            console.print(text, no_wrap=True, overflow="ignore", crop=False)


def write_json(data: Any) -> None:
    """Write strict JSON in ASCII: non-finite numbers are null, nothing can steer a terminal."""
    write_raw(json.dumps(strict(data), indent=2, allow_nan=False) + "\n")


def _encodable(text: str) -> str:
    """The text as the stream, and the terminal behind it, can take it; `?` for what they cannot."""
    if not speaks_utf8():
        text = text.translate(_TO_ASCII)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if is_terminal() and not speaks_utf8():
        encoding = "ascii"
    return text.encode(encoding, "replace").decode(encoding)

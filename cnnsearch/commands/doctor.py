"""`cnnsearch doctor`: what a report of a fault should say of the machine and the set-up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from cnnsearch.commands.options import json_option, storage_option

if TYPE_CHECKING:
    from cnnsearch.commands.health import Line

# Lines are whole in a pipe, as a report is pasted.
_WIDE = 10_000


@click.command("doctor")
@storage_option
@json_option
def command(storage: str, as_json: bool) -> int:
    """Tell versions, devices, storage, data and disk, for a report.

    A line with ! says what is wrong and what to do. Nothing is written, and no
    password is shown.

    Exit codes: 0 all is well, 1 something is not.

    \b
    Example:
      cnnsearch doctor --storage studies.db
    """
    from dataclasses import asdict

    from cnnsearch.commands import health
    from cnnsearch.render import output

    found = health.look(storage)
    if as_json:
        output.write_json([asdict(line) for line in found])
    else:
        width = shutil.get_terminal_size().columns if output.is_terminal() else _WIDE
        lines = [(text, line) for line in found for text in _lines(line, width)]
        output.write_lines([[(text, "" if line.well else "red")] for text, line in lines])
    return int(not all(line.well for line in found))


def _lines(line: Line, width: int) -> list[str]:
    """A finding, broken between words, what follows below what it begins with."""
    from textwrap import wrap

    from cnnsearch.render.text import clean

    head = f"{' ' if line.well else '!'} {line.part:11} "
    return wrap(clean(line.text), width, initial_indent=head, subsequent_indent=" " * len(head))

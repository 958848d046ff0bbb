"""`cnnsearch doctor`: what a report of a fault should say of the machine and the set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnsearch.commands.options import json_option, storage_option

if TYPE_CHECKING:
    from cnnsearch.commands.health import Line


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
        output.write_lines([[(_text(line), "" if line.well else "red")] for line in found])
    return int(not all(line.well for line in found))


def _text(line: Line) -> str:
    from cnnsearch.render.text import clean

    return f"{' ' if line.well else '!'} {line.part:11} {clean(line.text)}"

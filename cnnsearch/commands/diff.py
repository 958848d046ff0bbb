"""`cnnsearch diff`: what differs between two configs."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import click

from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import Studies, config_of, pick_one
from cnnsearch.errors import InputError
from cnnsearch.render import output
from cnnsearch.render.output import Line


@click.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@storage_option
def command(first: str, second: str, storage: str) -> None:
    """Show the unified diff of two trials' or files' configs.

    A and B are STUDY/TRIAL or config files. Files are compared by what they say, with every
    default written out; order and comments do not count.

    \b
    Examples:
      cnnsearch diff digits/best digits/3
      cnnsearch diff digits/best best.yaml
    """
    studies: Studies = {}
    before, after = (_text(name, storage, studies).splitlines() for name in (first, second))
    lines = list(unified_diff(before, after, first, second, lineterm=""))
    if not lines:
        click.echo(f"No difference between {first} and {second}.", err=True)
    output.write_lines(_coloured(line) for line in lines)


def _text(name: str, storage: str, studies: Studies) -> str:
    from cnnsearch.config import load, to_yaml

    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return to_yaml(load(path))
    if "/" not in name:
        raise InputError(f"{name!r}: no such file. Write a config file, or STUDY/TRIAL.")
    return to_yaml(config_of(pick_one(storage, [name], studies)))


def _coloured(line: str) -> Line:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    return [(line, "bold" if line.startswith(("---", "+++")) else styles.get(line[:1], ""))]

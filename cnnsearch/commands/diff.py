"""`cnnsearch diff`: what differs between two configs, and between what two trials ran on."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import click

from cnnsearch.commands.completing import configs_or_references
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import Studies, config_of, pick_one, with_curve
from cnnsearch.errors import InputError
from cnnsearch.records import Trial
from cnnsearch.render import output
from cnnsearch.render.environment import environment_changes, environment_of
from cnnsearch.render.output import Line
from cnnsearch.render.talk import say


@click.command("diff")
@click.argument("first", metavar="A", shell_complete=configs_or_references)
@click.argument("second", metavar="B", shell_complete=configs_or_references)
@storage_option
def command(first: str, second: str, storage: str) -> None:
    """Show the diff of two configs, and of what two trials ran on.

    A and B are STUDY/TRIAL or config files. Files are compared by what they say, with every
    default written out; order and comments do not count. Of two trials, versions, device,
    processor, threads, images (data) and the git commit of the working folder are compared too.

    \b
    Examples:
      cnnsearch diff digits/best digits/3
      cnnsearch diff digits/best best.yaml
    """
    studies: Studies = {}
    before, after = (_read(name, storage, studies) for name in (first, second))
    old, new = before.config.splitlines(), after.config.splitlines()
    lines = list(unified_diff(old, new, first, second, lineterm=""))
    ran_on = _ran_on(before, after)
    if ran_on:
        lines = [*(lines or [f"--- {first}", f"+++ {second}"]), *ran_on]
    if not lines:
        say(f"No difference between {first} and {second}.")
    output.write_lines(_coloured(line) for line in lines)


@dataclass(frozen=True, slots=True)
class _Side:
    """What is compared.

    Args:
        config: as YAML.
        trial: None of a file.
    """

    name: str
    config: str
    trial: Trial | None = None


def _read(name: str, storage: str, studies: Studies) -> _Side:
    from cnnsearch.config import load, to_yaml

    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return _Side(name, to_yaml(load(path)))
    if "/" not in name:
        raise InputError(f"{name!r}: no such file. Write a config file, or STUDY/TRIAL.")
    picked = with_curve(storage, pick_one(storage, [name], studies))
    return _Side(name, to_yaml(config_of(picked)), picked.trial)


def _ran_on(before: _Side, after: _Side) -> list[str]:
    """What the trials ran on, as far as it differs; where only one tells it, nothing but talk."""
    if before.trial is None or after.trial is None:
        return []
    silent = [one for one in (before, after) if one.trial and not environment_of(one.trial)]
    if len(silent) == 1:
        say(f"What {silent[0].name} ran on was not stored, so only the configs are compared.")
    if silent:
        return []
    lines = ["@@ what they ran on @@"]
    for name, old, new in environment_changes(before.trial, after.trial):
        lines += [f"-{name}: {old}"] if old is not None else []
        lines += [f"+{name}: {new}"] if new is not None else []
    return lines if len(lines) > 1 else []


def _coloured(line: str) -> Line:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    return [(line, "bold" if line.startswith(("---", "+++")) else styles.get(line[:1], ""))]

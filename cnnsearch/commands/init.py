"""`cnnsearch init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from cnnsearch.catalog import DATASETS
from cnnsearch.commands.files import write_target
from cnnsearch.commands.options import force_option, output_option
from cnnsearch.render.talk import say


@click.command()
@click.option(
    "--dataset",
    type=click.Choice(list(DATASETS)),
    default="digits",
    show_default=True,
    help="The data set to start with.",
)
@output_option()
@force_option
def command(dataset: str, target: str | None, force: bool) -> None:
    """Write a commented config to start with.

    \b
    Example:
      cnnsearch init --dataset cifar10 -o cifar.yaml
      cnnsearch run cifar.yaml
    """
    from cnnsearch.config import is_study_name, starter, study_name

    if target is None:
        click.echo(starter(dataset), nl=False)
        return
    stem = Path(target).stem
    text = starter(dataset, None if is_study_name(stem) else study_name(stem))
    write_target(Path(target), text, "search.yaml", force)
    # Where the images are only their owner knows.
    first = "" if DATASETS[dataset].shape else "set data.root in it, then "
    say(f"Wrote {target}. Next: {first}cnnsearch run {shlex.quote(target)}")

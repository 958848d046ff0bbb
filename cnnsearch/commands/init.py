"""`cnnsearch init`."""

from __future__ import annotations

from pathlib import Path

import click

from cnnsearch.catalog import DATASETS
from cnnsearch.errors import InputError


@click.command()
@click.option(
    "--dataset",
    type=click.Choice(list(DATASETS)),
    default="digits",
    show_default=True,
    help="The data set to start with.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write it; without, it is printed. An existing file is left alone.",
)
def command(dataset: str, output: Path | None) -> None:
    """Write a commented config to start with.

    \b
    Example:
      cnnsearch init --dataset cifar10 -o cifar.yaml
      cnnsearch run cifar.yaml
    """
    from cnnsearch.config import is_study_name, starter, study_name

    if output is None:
        click.echo(starter(dataset), nl=False)
        return
    stem = output.stem
    text = starter(dataset, None if is_study_name(stem) else study_name(stem))
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{output} exists already. Choose another name, or delete it.") from None
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}.") from None
    # Where the images are only their owner knows.
    first = "" if DATASETS[dataset].shape else "set data.root in it, then "
    click.echo(f"{output} is written. Next: {first}cnnsearch run {output}", err=True)

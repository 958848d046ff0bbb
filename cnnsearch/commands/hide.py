"""`cnnsearch hide`: leave trials out of lists and rankings."""

from __future__ import annotations

import click

from cnnsearch.commands.marking import mark
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import pick, references_argument


@click.command("hide")
@references_argument("STUDY TRIAL...")
@click.option("--undo", is_flag=True, help="Show them again.")
@storage_option
def command(references: tuple[str, ...], undo: bool, storage: str) -> None:
    """Leave trials out of lists and rankings.

    They are left out of list, best and top:N, compare --by and what diagnose teaches, also while
    the study runs. Nothing is deleted: hidden trials are counted, are not run again, and are what
    tpe and pruners learn from; export --csv holds them; by number they are found as before. list
    --hidden shows them too.

    \b
    Examples:
      cnnsearch hide digits 3,7
      cnnsearch hide digits 3 --undo
    """
    request = {"verb": "hide", "hidden": not undo}
    mark(storage, pick(storage, references), request, "shown again" if undo else "hidden")

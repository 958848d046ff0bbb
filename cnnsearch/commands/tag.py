"""`cnnsearch tag`: names for trials."""

from __future__ import annotations

import re

import click

from cnnsearch.commands.marking import mark
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import pick, references_argument
from cnnsearch.errors import InputError

_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_DONE = {"add": "tagged", "remove": "no longer tagged"}


@click.command("tag")
@references_argument("STUDY TRIAL...")
@click.option("--add", "added", multiple=True, metavar="NAMES", help="Give them: keep,to-rerun.")
@click.option("--remove", "removed", multiple=True, metavar="NAMES", help="Take them away.")
@storage_option
def command(
    references: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...], storage: str
) -> None:
    """Give trials tags, or take tags away.

    Also while the study runs. TRIAL is a number, best, last, top:5, 3,7,9, 4-8, or STUDY/TRIAL. A
    tag is of letters, digits, dashes, underscores and dots, at most 40. list shows tags, and
    chooses by them.

    \b
    Examples:
      cnnsearch tag digits top:3 --add finalist
      cnnsearch tag digits/12 mnist/4 --add keep --remove finalist
      cnnsearch list digits --tag finalist
    """
    names = {"add": _names("--add", added), "remove": _names("--remove", removed)}
    if not any(names.values()):
        raise InputError("tag: no tag. Write --add NAME or --remove NAME.")
    for name in names["add"]:
        if name in names["remove"]:
            raise InputError(f"tag: {name} is to be added and removed. Write one of them.")
    done = [f"{_DONE[key]} {', '.join(listed)}" for key, listed in names.items() if listed]
    mark(storage, pick(storage, references), {"verb": "tag", **names}, ", ".join(done))


def _names(option: str, words: tuple[str, ...]) -> list[str]:
    """The tags of an option, each once.

    Raises:
        InputError: one that is none.
    """
    names = [name.strip() for name in ",".join(words).split(",")] if words else []
    for name in names:
        if not _FORM.fullmatch(name):
            raise InputError(
                f"{option}: {name!r} is no tag. Write letters, digits, dashes, underscores and "
                "dots, at most 40."
            )
    return list(dict.fromkeys(names))

"""`cnnsearch note`: a sentence about a trial."""

from __future__ import annotations

import click

from cnnsearch.commands.completing import references
from cnnsearch.commands.marking import mark
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import pick_one
from cnnsearch.errors import InputError
from cnnsearch.render import output
from cnnsearch.render.talk import say
from cnnsearch.render.text import one_line

LONGEST = 1000


@click.command("note")
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="STUDY TRIAL [TEXT]",
    shell_complete=references,
)
@click.option("--clear", is_flag=True, help="Delete the note.")
@storage_option
def command(words: tuple[str, ...], clear: bool, storage: str) -> None:
    """Write a note about a trial, or print it.

    TEXT takes the place of the last note, also while the study runs; without TEXT the note is
    printed. It is one line of at most 1,000 characters; line breaks become spaces.

    \b
    Examples:
      cnnsearch note digits 12 "loss still falls, run longer"
      cnnsearch note digits/best
      cnnsearch note digits 12 --clear
    """
    named = 1 if "/" in words[0] else 2
    picked = pick_one(storage, words[:named])
    if not words[named:] and not clear:
        if picked.trial.note is None:
            say(f"{picked.label} has no note.")
        else:
            output.write(picked.trial.note)
        return
    if words[named:] and clear:
        raise InputError("note: TEXT and --clear together. Write one of them.")
    text = None if clear else _text(" ".join(words[named:]))
    request = {"verb": "note", "text": text}
    mark(storage, [picked], request, "note deleted" if text is None else "note written")


def _text(text: str) -> str:
    """The note as it is kept.

    Raises:
        InputError: it is empty or too long.
    """
    text = one_line(text)
    if not text:
        raise InputError("note: an empty text. Write --clear to delete the note.")
    if len(text) > LONGEST:
        raise InputError(f"note: {len(text)} characters are too many. Write at most {LONGEST}.")
    return text

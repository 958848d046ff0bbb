"""Talk on stderr: what a person is told beside the data on stdout."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

from cnnsearch.render.text import clean


def say(text: str) -> None:
    """Write a line to stderr, cleaned; on a terminal broken between words."""
    line = clean(text)
    if sys.stderr.isatty():
        line = "\n".join(map(_broken, line.split("\n")))
    click.echo(line, err=True)


def _broken(line: str) -> str:
    """With line breaks where the terminal would break it within a word."""
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        replace_whitespace=False,
        break_on_hyphens=False,
        break_long_words=False,
    )

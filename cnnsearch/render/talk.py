"""Talk on stderr: what a person is told beside the data on stdout."""

from __future__ import annotations

import click

from cnnsearch.render.text import clean


def say(text: str) -> None:
    """Write a line to stderr, cleaned."""
    click.echo(clean(text), err=True)

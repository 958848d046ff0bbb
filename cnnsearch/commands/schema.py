"""`cnnsearch schema`."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON Schema of config files, for editors.

    \b
    Example:
      cnnsearch schema > cnnsearch.schema.json
    and, as the first line of a config:
      # yaml-language-server: $schema=cnnsearch.schema.json
    """
    import json

    from cnnsearch.config import schema

    click.echo(json.dumps(schema(), indent=2, allow_nan=False))

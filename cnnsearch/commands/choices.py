"""`cnnsearch choices`: the names that a config may choose from."""

from __future__ import annotations

import click

from cnnsearch import catalog
from cnnsearch.commands.options import json_option
from cnnsearch.render import output
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.rows import InitScheme, Row


@click.command("choices")
@click.argument("kind", required=False, type=click.Choice(list(catalog.TABLES)), metavar="[KIND]")
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List the names that a config may choose from.

    KIND is one of them: activation, init, dataset, preprocess, optimizer, schedule, precision,
    sampler, pruner.

    An activation, an init scheme or a data set may also be one of your own, FILE.py:NAME, and
    model.module a network: see "Networks and data of your own" in the README.

    \b
    Examples:
      cnnsearch choices
      cnnsearch choices activation
    """
    tables = {kind: catalog.TABLES[kind]} if kind else catalog.TABLES
    if as_json:
        output.write_json(
            {
                name: [{"name": row.name, "description": row.description} for row in table.values()]
                for name, table in tables.items()
            }
        )
        return
    rows = [
        [name, written(row), row.description]
        for name, table in tables.items()
        for row in table.values()
    ]
    columns = (
        Column("kind", style=lambda _: "dim"),
        Column("name", style=lambda _: "bold"),
        Column("description", prose=True),
    )
    print_table(Table(columns, rows))


def written(row: Row) -> str:
    """A choice as it is written in a config: `relu`, `normal:STD`."""
    if isinstance(row, InitScheme) and row.parameter:
        return f"{row.name}:{row.parameter}"
    return row.name

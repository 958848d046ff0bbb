"""Options that several verbs share."""

from __future__ import annotations

import click

storage_option = click.option(
    "--storage",
    envvar="CNNSEARCH_STORAGE",
    default="cnnsearch.db",
    show_default=True,
    metavar="URL",
    help="Where studies are kept: a file or a database URL; also $CNNSEARCH_STORAGE.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
set_option = click.option(
    "-S",
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a value of the file: -S lr=0.01, -S data.root=DIR. May be repeated.",
)

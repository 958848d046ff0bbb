"""Options that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import click
from click.core import ParameterSource

from cnnsearch.commands.completing import files, storages
from cnnsearch.errors import InputError

_PASSWORD = re.compile(r"^[\w+]+://[^/?@]*:[^@]*@|[?&]\w*password=", re.ASCII)


def has_password(url: str) -> bool:
    """Whether a URL holds one."""
    return _PASSWORD.search(url) is not None


def _without_password(context: click.Context, parameter: click.Parameter, storage: str) -> str:
    """Refuse a password among the words of the command: every process of the machine sees them."""
    words: list[str] = context.find_root().obj or []
    # All that are given: click takes the last, and a study keeps the command it was begun with.
    given = [word for before, word in pairwise(words) if before == parameter.opts[0]]
    given += [word.partition("=")[2] for word in words if word.startswith(f"{parameter.opts[0]}=")]
    if any(map(has_password, given)):
        raise InputError(
            "--storage: a password on the command line is seen by all who are on this machine. "
            "Put the URL into $CNNSEARCH_STORAGE, or only the password into ~/.pgpass."
        )
    return storage


def given_storage() -> list[str]:
    """The option --storage as it was given, for commands that are proposed; nothing where the
    environment or the default tells the same.
    """
    context = click.get_current_context()
    given = context.get_parameter_source("storage") is ParameterSource.COMMANDLINE
    return ["--storage", str(context.params["storage"])] if given else []


storage_option = click.option(
    "--storage",
    callback=_without_password,
    shell_complete=storages,
    envvar="CNNSEARCH_STORAGE",
    default="cnnsearch.db",
    show_default=True,
    metavar="URL",
    help="Where studies are kept: a file or a database URL; also $CNNSEARCH_STORAGE.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
watch_option = click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="Show the view of cnnsearch watch while it runs; q closes it.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite FILE.")


def output_option(text: str = "Write to FILE instead of stdout.") -> Callable[..., Any]:
    """The option of the file that a verb writes, with its help."""
    return click.option("-o", "--output", "target", metavar="FILE", shell_complete=files, help=text)


def ray_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a Ray cluster."""
    for option in reversed(_RAY):
        command = option(command)
    return command


_RAY = (
    click.option("--ray", "on_ray", is_flag=True,
                 help="Run the trials on Ray: on the cluster of --ray-address, or "
                 "of $RAY_ADDRESS; else on this machine."),
    click.option("--ray-address", metavar="HOST:PORT", help="The cluster's head; or auto."),
    click.option("--cpus-per-trial", type=click.FloatRange(min=0, min_open=True), metavar="N",
                 help="Of a node, with --ray; default: the file's threads."),
    click.option("--gpus-per-trial", type=click.FloatRange(min=0), metavar="N",
                 help="Likewise; parts too: 0.25. Default: none."),
)  # fmt: skip

set_option = click.option(
    "-S",
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a value of the file: -S lr=0.01, -S data.root=DIR. May be repeated.",
)

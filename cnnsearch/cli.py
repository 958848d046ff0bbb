"""The click group, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from cnnsearch import __version__
from cnnsearch.errors import CnnsearchError

# In the order of a user's work. A new verb is one file in commands/ and one line here.
VERBS = (
    "init",
    "check",
    "run",
    "list",
    "show",
    "compare",
    "diff",
    "export",
    "train",
    "rm",
    "choices",
    "schema",
)


class _Verbs(click.Group):
    """Loads a verb's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"cnnsearch.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Verbs: {', '.join(VERBS)}."
            raise click.UsageError(f"no verb {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cnnsearch")
def group() -> None:
    """Choose hyperparameters of a convolutional network.

    A YAML file holds the search space; each trial trains a CNN and is stopped when its loss
    diverges.

    \b
    Start with:
      cnnsearch init -o digits.yaml
      cnnsearch run digits.yaml
      cnnsearch list digits
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    The traceback of an error that is not a defect is shown with CNNSEARCH_DEBUG=1 only.
    """
    try:
        result = group.main(
            args=None if arguments is None else list(arguments),
            prog_name="cnnsearch",
            standalone_mode=False,
            obj=list(sys.argv[1:] if arguments is None else arguments),
        )
    except click.ClickException as error:
        error.show()
        return 2
    except click.exceptions.Abort:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone (`cnnsearch list | head`); nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CnnsearchError as error:
        if os.environ.get("CNNSEARCH_DEBUG") == "1":
            traceback.print_exc()
        click.echo(_line(str(error)), err=True)
        return error.exit_code
    return result if isinstance(result, int) else 0


def _line(text: str) -> str:
    from cnnsearch.render.text import clean

    return "\n".join(clean(line) for line in text.splitlines())

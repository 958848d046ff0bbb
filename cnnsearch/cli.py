"""The click group, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import signal
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
    "layers",
    "run",
    "watch",
    "stop",
    "list",
    "show",
    "compare",
    "rerun",
    "diagnose",
    "importance",
    "plot",
    "narrow",
    "report",
    "diff",
    "export",
    "dashboard",
    "tag",
    "note",
    "hide",
    "train",
    "test",
    "rm",
    "choices",
    "schema",
    "completion",
    "doctor",
)
# Writing fails so where a disk or a quota is full, or a device is broken.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_BY_SIGNAL = (128 + signal.SIGINT, 128 + signal.SIGTERM)


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Whole summaries: where a terminal is too narrow they wrap (click cuts them)."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, verb.get_short_help_str(limit=1000)) for name, verb in commands if verb]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wrong = bool(args) and args[0] not in VERBS and not args[0].startswith("-")
        if wrong and not ctx.resilient_parsing:  # a shell that completes is told nothing
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
    if "_CNNSEARCH_COMPLETE" in os.environ:
        group.main(prog_name="cnnsearch")  # click answers the shell that completes a command line
    code = run(arguments)
    if code in _BY_SIGNAL:
        # One more would find Python taking its handlers down, and be told instead of this one.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; what it wrote has left it by then.

    The traceback of an error that is not a defect is shown with CNNSEARCH_DEBUG=1 only.
    """
    try:
        code = _answer(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`cnnsearch list | head`); nothing is wrong.
        _drop_unwritten()
        return 0
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return _name_too_long(error)
        if error.errno not in _FULL:
            raise
        _drop_unwritten()
        with contextlib.suppress(OSError):
            click.echo(f"cannot write: {error.strerror}. Make room, or write elsewhere.", err=True)
        return 1
    return code


def _answer(words: list[str]) -> int:
    try:
        # `group.main` would do this too, but it ends the process with 1 on a broken pipe.
        with group.make_context("cnnsearch", list(words), obj=words) as context:
            result = group.invoke(context)
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        _tell(_usage(error, words))
        return 2
    except (click.exceptions.Abort, EOFError, KeyboardInterrupt):
        click.echo(err=True)  # ends the line that shows ^C
        return 130
    except CnnsearchError as error:
        if os.environ.get("CNNSEARCH_DEBUG") == "1":
            traceback.print_exc()
        _tell(str(error))
        return error.exit_code
    return result if isinstance(result, int) else 0


def _name_too_long(error: OSError) -> int:
    """Of a path that the user wrote, wherever it was looked at first; its exit code."""
    _tell(f"{str(error.filename)[:60]}...: {error.strerror}. Shorten it.")
    return 2


def _drop_unwritten() -> None:
    """Let go of what cannot be written, or Python fails on it again when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _usage(error: click.ClickException, words: Sequence[str]) -> str:
    """A wrong command line in one line: verb, what is wrong, where to look."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    named = [word for word in words[:1] if word in VERBS]
    verb = context.command_path if context else " ".join(["cnnsearch", *named])
    if isinstance(error, click.NoSuchOption):
        text = f"no such option {error.option_name}.{_near_option(error)}"
    else:
        text = " ".join(error.format_message().split()).removeprefix("Invalid value for ")
        # click quotes the names of options and arguments; quotes are for what the user wrote.
        text = re.sub(r"'(--?[\w-]+|[A-Z[][A-Z []*\]?)\.*'", r"\1", text)
        if text[1:2].islower():  # not the name of an argument
            text = text[:1].lower() + text[1:]
    end = "" if text.endswith((".", "?")) else "."
    return f"{verb}: {text}{end} See {verb} --help."


def _near_option(error: click.NoSuchOption) -> str:
    from difflib import get_close_matches

    names = {option.lstrip("-"): option for option in error.possibilities or ()}
    near = get_close_matches(error.option_name.lstrip("-"), names, 1)
    return f" Did you mean {names[near[0]]}?" if near else ""


def _tell(text: str) -> None:
    """The lines of an error: one for each mistake, on a terminal broken between words."""
    from cnnsearch.render.talk import say

    for line in text.splitlines():
        say(line)

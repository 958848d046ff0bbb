"""`cnnsearch completion`: what a shell needs to complete command lines."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from cnnsearch.errors import InputError

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", required=False, type=click.Choice(_SHELLS), metavar="[SHELL]")
@click.pass_context
def command(context: click.Context, shell: str | None) -> None:
    """Print what makes a shell complete command lines of cnnsearch.

    SHELL is bash (4.4 or later), zsh or fish; without it, that of $SHELL. Verbs, options, studies,
    trials and config files are completed. Write the line of your shell into its file, and start a
    new shell.

    \b
    Example:
      eval "$(cnnsearch completion bash)"       in ~/.bashrc
      eval "$(cnnsearch completion zsh)"        in ~/.zshrc, after compinit
      cnnsearch completion fish | source        in ~/.config/fish/config.fish
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name)
    if kind is None or name not in _SHELLS:
        raise InputError(
            f"$SHELL is {name or 'not set'}. Write cnnsearch completion bash, zsh or fish."
        )
    root = context.find_root().command
    script = kind(root, {}, "cnnsearch", "_CNNSEARCH_COMPLETE").source()
    click.echo(script)

"""What a shell can complete: studies, trials, files. Quick, and silent whatever is wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Items = list[CompletionItem]

# A server that cannot be reached is waited for no longer: who pressed a key waits too.
_PATIENCE_S = 2.0
_TRIALS = ("best", "last")
_CONFIGS = (".yaml", ".yml")
_BESIDE = (".lock", "-journal")


def studies(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Names of the studies in the storage."""
    return _beginning(incomplete, _asked_of_storage(partial(_names, context)))


def trials(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Trials of the study that an argument before names."""
    question = partial(_trials, context, context.params["name"])
    return _beginning(incomplete, _asked_of_storage(question))


def references(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """`STUDY TRIAL...` or `STUDY/TRIAL...`: the study first, then its trials."""
    question = partial(_references, context, parameter, incomplete)
    return _beginning(incomplete, _asked_of_storage(question))


def configs(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Config files, and folders, which the shell completes itself."""
    return _files(incomplete, lambda name: name.endswith(_CONFIGS))


def storages(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Files, without those that stand beside a database, and folders."""
    return _files(incomplete, lambda name: not name.endswith(_BESIDE))


def configs_or_references(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> Items:
    """A config file, or `STUDY/TRIAL`."""
    found = _asked_of_storage(partial(_references, context, parameter, incomplete))
    return [*configs(context, parameter, incomplete), *_beginning(incomplete, found)]


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Any file, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Any folder, by the shell itself."""
    return [CompletionItem(incomplete, type="dir")]


def _beginning(incomplete: str, words: Iterable[str]) -> Items:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _asked(question: Callable[[], list[str]]) -> list[str]:
    """The answer; none where there is an error, or it takes too long."""
    found: list[str] = []

    def ask() -> None:
        # Whatever it is, a text of ours would stand in the line that is being written.
        with suppress(Exception):
            found.extend(question())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return list(found)


def _asked_of_storage(question: Callable[[], list[str]]) -> list[str]:
    """Likewise; loading what reads studies is no part of the wait, seconds on a busy machine."""
    with suppress(Exception):
        import cnnsearch.study.read  # noqa: F401
    return _asked(question)


def _storage(context: click.Context) -> str:
    given = context.params.get("storage") or os.environ.get("CNNSEARCH_STORAGE")
    return str(given or "cnnsearch.db")


def _names(context: click.Context) -> list[str]:
    from cnnsearch.study import read

    return read.study_names(_storage(context))


def _trials(context: click.Context, study: str) -> list[str]:
    from cnnsearch.study import read

    storage = _storage(context)
    found = read.trials(storage, read.resolve(storage, study))
    return [*_TRIALS, *(str(trial.number) for trial in found)] if found else []


def _references(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    study, slash, _ = incomplete.rpartition("/")
    if slash:
        return [f"{study}/{trial}" for trial in _trials(context, study)]
    before = context.params.get(parameter.name or "") or ()
    named = [word for word in before if "/" not in word] if isinstance(before, tuple) else []
    return _trials(context, named[0]) if named else _names(context)


def _files(incomplete: str, meant: Callable[[str], bool]) -> Items:
    """The files whose names are meant, and folders, which the shell completes itself."""
    found = _asked(lambda: _named(incomplete, meant))
    # First: bash forgets all that stands before it.
    return [CompletionItem(incomplete, type="dir"), *_beginning(incomplete, found)]


def _named(incomplete: str, meant: Callable[[str], bool]) -> list[str]:
    """In the folder that the word names so far, as the word would go on."""
    folder, slash, begun = incomplete.rpartition("/")
    names = sorted(
        entry.name
        for entry in os.scandir(Path(folder + slash or ".").expanduser())
        if meant(entry.name)
        and (begun.startswith(".") or not entry.name.startswith("."))
        and entry.is_file()
    )
    return [f"{folder}{slash}{name}" for name in names]

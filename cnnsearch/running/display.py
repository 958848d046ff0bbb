"""What `run` and `rerun` share: the folder of logs, the display of what runs, the way they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from cnnsearch.config import Config
from cnnsearch.errors import InputError, StorageGoneError
from cnnsearch.interruption import Interruption
from cnnsearch.objective import DIRECTIONS
from cnnsearch.records import Trial
from cnnsearch.render.display import Display, LineDisplay, LiveDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.running.view import WatchDisplay
from cnnsearch.study.location import study_folder
from cnnsearch.study.waiting import waiting_files


def make_folder(config: Config) -> None:
    """Make the folder of logs now: a study that cannot keep them does not begin.

    Raises:
        InputError: it cannot be made.
    """
    folder = study_folder(config.study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder.resolve()}: {error.strerror}. Logs are kept there; start in another folder."
        ) from error


@contextmanager
def ended_as_interrupted(study: str, interruption: Interruption) -> Iterator[None]:
    """A storage that is gone too does not change the exit code that an interruption has.

    Raises:
        StorageGoneError: with that code, and with where results wait.
    """
    try:
        yield
    except StorageGoneError as error:
        if not interruption.happened():
            raise
        files = ", ".join(map(str, waiting_files(study)))
        waits = f"; results wait in {files}, and the next run takes them in" if files else ""
        told = StorageGoneError(f"{error}\ninterrupted{waits}.")
        told.exit_code = interruption.exit_code
        raise told from error


def make_display(
    config: Config,
    before: Sequence[Trial],
    count: int,
    slots: int,
    storage: str | None = None,
) -> Display:
    """What shows a search on stderr.

    Args:
        before: all attempts so far.
        count: number of points in all.
        slots: trials that run at a time.
        storage: of the study, where the full-screen view is wanted; it needs a terminal.
    """
    assert config.search is not None
    assert config.space is not None
    objective = config.search.objective
    progress = SearchProgress(before, count, DIRECTIONS[objective], slots)
    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():  # console.is_terminal would also ask $FORCE_COLOR
        return LineDisplay(console, progress, objective)
    epochs = None if "epochs" in config.space else config.train.epochs * config.data.folds
    live = LiveDisplay(console, progress, objective, epochs)
    if storage is None or not sys.stdin.isatty() or os.environ.get("TERM") == "dumb":
        return live
    return WatchDisplay(console, progress, live, objective, (storage, config.study))

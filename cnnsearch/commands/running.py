"""What `run` and `rerun` share: workers, and the display of what they do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cnnsearch.config import Config
from cnnsearch.errors import InputError
from cnnsearch.executors import Executor
from cnnsearch.objective import DIRECTIONS
from cnnsearch.records import Trial
from cnnsearch.render.display import Display, LineDisplay, LiveDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.study.location import study_folder

if TYPE_CHECKING:
    from cnnsearch.preflight import Preflight


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


def number_of_jobs(asked: int | None, ready: Preflight, threads: int, waiting: int) -> int:
    """How many workers run so many trials; 0: none, they run in this process."""
    from cnnsearch.preflight import default_jobs

    return min(default_jobs(ready.device, threads) if asked is None else asked, waiting)


def begin_workers(jobs: int | None) -> None:
    """Let what workers need be loaded, while this process loads and looks at the same.

    Args:
        jobs: see `make_executor`; None: some.
    """
    from cnnsearch.executors import processes

    if jobs != 0:
        processes.prepare()


def make_executor(jobs: int, folder: Path) -> Executor:
    """Workers.

    Args:
        jobs: their number; 0: trials run in this process.
        folder: where they log what they print while they run no trial.
    """
    from cnnsearch.executors.inline import InlineExecutor
    from cnnsearch.executors.local import LocalExecutor

    return InlineExecutor() if jobs == 0 else LocalExecutor(jobs, folder)


def make_display(config: Config, before: Sequence[Trial], count: int, slots: int) -> Display:
    """What shows a search on stderr.

    Args:
        before: all attempts so far.
        count: number of points in all.
        slots: trials that run at a time.
    """
    assert config.search is not None
    assert config.space is not None
    objective = config.search.objective
    progress = SearchProgress(before, count, DIRECTIONS[objective], slots)
    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():  # console.is_terminal would also ask $FORCE_COLOR
        return LineDisplay(console, progress, objective)
    epochs = None if "epochs" in config.space else config.train.epochs * config.data.folds
    return LiveDisplay(console, progress, objective, epochs)

"""A progress bar on stderr, where stderr is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    title: str, total: int | None, of_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a bar; the value is a function to be called with each advance.

    Args:
        total: the end of the bar; None when it is not known.
        of_bytes: the bar counts bytes and shows their speed.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    counts: list[ProgressColumn] = [MofNCompleteColumn()]
    if of_bytes:
        counts = [DownloadColumn(), TransferSpeedColumn()]
    title_column = TextColumn("{task.description}", markup=False)
    columns = [title_column, BarColumn(), *counts, TimeRemainingColumn()]
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bars:
        task = bars.add_task(title, total=total)
        yield lambda count: bars.advance(task, count)

"""What `run --watch` shows: the full-screen view in a process of its own, on the same terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from cnnsearch.records import Event
from cnnsearch.render.display import LiveDisplay, told_line
from cnnsearch.render.progress import SearchProgress

# It restores the terminal when it is told to end; one that hangs is killed.
_PATIENCE_S = 5.0
# A shell, because a signal that is ignored stays so in what it runs: Ctrl-C before the view has the
# keyboard is for the search, and must not meet Python while it loads.
_DEAF = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")


class WatchDisplay:
    """Leaves the terminal to the view, and tells afterwards what came meanwhile.

    Where the view is closed while the search goes on, the usual display takes over. See `Display`.
    """

    def __init__(
        self,
        console: Console,
        progress: SearchProgress,
        live: LiveDisplay,
        objective: str,
        source: tuple[str, str],
    ) -> None:
        """Show a study.

        Args:
            progress: that of `live`, which takes over.
            source: storage and study.
        """
        self._console = console
        self._progress = progress
        self._live = live
        self._objective = objective
        self._source = source
        self._lines: list[Text] = []
        self._view: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        storage, study = self._source
        # -P: the console script does not look for modules in the folder of the command either.
        verb = [sys.executable, "-P", "-m", "cnnsearch", "watch", study, "--of", str(os.getpid())]
        self._view = subprocess.Popen(
            [*_DEAF, *verb],
            # It may hold a password, which words of a command would show to all.
            env={**os.environ, "CNNSEARCH_STORAGE": storage},
            stdout=sys.stderr.fileno(),  # ours may be a pipe; the view is no data
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._view is None:
            self._live.__exit__(kind, error, trace)
            return
        self._view.send_signal(signal.SIGTERM)
        try:
            self._view.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._view.kill()
            self._view.wait()
        self._tell()

    def show(self, event: Event) -> None:
        """See `Display`."""
        if self._view is not None and self._view.poll() is not None:
            self._view = None
            self._tell()
            self._live.__enter__()
        if self._view is None:
            self._live.show(event)
            return
        self._progress.take(event)
        line = told_line(event, self._objective)
        if line is not None:
            self._lines.append(line)

    def _tell(self) -> None:
        for line in self._lines:
            self._console.print(line)
        self._lines.clear()

"""What `run --watch` shows: the full-screen view in a process of its own, on the same terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from cnnsearch.records import Event
from cnnsearch.render.display import LiveDisplay, told_line
from cnnsearch.render.progress import SearchProgress

# It restores the terminal when it is told to end; one that hangs is killed.
_PATIENCE_S = 5.0
_KEYBOARD = 0
# What a view that was killed could not undo: a frame half drawn, pasting, long lines, sizes, the
# mouse, keys (before the screen, which has its own), the screen, the cursor, focus, colours.
_UNDONE = (
    b"\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)
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
        self._settings: list[Any] | None = None
        self.closed = False
        """Whether the user closed the view, or it died, before it was told to end."""

    def __enter__(self) -> Self:
        storage, study = self._source
        self._settings = _settings()
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
        self.closed = self._view.poll() is not None
        self._view.send_signal(signal.SIGTERM)
        try:
            self._view.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._view.kill()
            self._view.wait()
            self._restore()
        self.closed = self.closed or self._view.returncode == 0  # q was pressed just before
        self._after_the_view(self._view.returncode)

    def show(self, event: Event) -> None:
        """See `Display`."""
        if self._view is not None and self._view.poll() is not None:
            self._after_the_view(self._view.returncode)
            self._view, self.closed = None, True
            self._live.__enter__()
        if self._view is None:
            self._live.show(event)
            return
        self._progress.take(event)
        line = told_line(event, self._objective)
        if line is not None:
            self._lines.append(line)

    def _after_the_view(self, code: int) -> None:
        """Tell what came meanwhile, on a terminal as it was before."""
        # A signal ended it that it did not hear: where it had not begun there is nothing to undo.
        if code < 0 and _settings() != self._settings:
            self._restore()
        for line in self._lines:
            self._console.print(line)
        self._lines.clear()

    def _restore(self) -> None:
        """Give the terminal back in the place of a view that could not."""
        with suppress(OSError):  # it is gone
            os.write(sys.stderr.fileno(), _UNDONE)
        if self._settings is not None:
            with suppress(termios.error):
                termios.tcsetattr(_KEYBOARD, termios.TCSANOW, self._settings)
                termios.tcflush(_KEYBOARD, termios.TCIFLUSH)  # its keys are no commands


def _settings() -> list[Any] | None:
    """Those of the terminal that has the keyboard; None where it is none."""
    try:
        return list(termios.tcgetattr(_KEYBOARD))
    except termios.error:
        return None

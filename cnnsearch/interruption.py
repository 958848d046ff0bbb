"""Ctrl-C and SIGTERM: once to end in order, twice to end at once."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any


class Interruption:
    """Remembers the first signal; the second ends the process on the spot.

    Nothing is lost then either: what was running is found by the next `run`, and workers end when
    their coordinator is gone.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        assert self.signal is not None
        return 128 + self.signal

    def happened(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            if os.isatty(2):
                os.write(2, b"\x1b[?25h\n")  # the live display had hidden the cursor
            os._exit(128 + number)
        self.signal = signal.Signals(number)

"""Ctrl-C and SIGTERM: once to end in order, twice to end at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers the first signal; the second ends the process on the spot.

    A thread is told of the signals through a pipe: Python's own handlers wait until the main thread
    comes back from a call, which may wait ten seconds for a locked database.

    Nothing is lost when the process ends on the spot: what was running is found by the next `run`,
    and workers end when their coordinator is gone.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are the main thread's: a program's own affair
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()
        self._wakeup_before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, _leave_to_the_thread)
        self._tell = tell
        return self

    def __exit__(self, *_: object) -> None:
        if not self._before:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._tell)  # which ends the thread

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        assert self.signal is not None
        return 128 + self.signal

    def happened(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _listen(self, told: int) -> None:
        while number := os.read(told, 1):
            if number[0] not in _SIGNALS:
                continue
            if self.signal is not None:
                if os.isatty(2):
                    os.write(2, b"\x1b[?25h\n")  # the live display had hidden the cursor
                os._exit(128 + number[0])
            self.signal = signal.Signals(number[0])
        os.close(told)


def _leave_to_the_thread(_: int, __: FrameType | None) -> None:
    """A handler there must be, for the pipe to be written."""

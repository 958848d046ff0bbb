"""A process on a pseudo-terminal, to see what a person sees."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path


def on_terminal(
    arguments: Sequence[str],
    columns: int = 80,
    typed: bytes = b"",
    cwd: Path | None = None,
    **variables: str,
) -> str:
    """What `python ARGUMENTS` writes to a terminal on which `typed` was typed."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "", **variables}
    environment.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))  # from any folder
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
        cwd=cwd,
    ) as process:
        os.close(child)
        os.write(parent, typed)
        parts = []
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not part:
                break
            parts.append(part)
        os.close(parent)
    assert process.returncode is not None
    return b"".join(parts).decode().replace("\r\n", "\n")

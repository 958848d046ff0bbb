"""Files that are there whole or not at all, whenever the process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A draft to write, which takes a file's place once it is whole and on the disk.

    Where that fails, what stood there before stays; a process that dies leaves `NAME.PID.partial`.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise

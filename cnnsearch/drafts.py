"""Files that are there whole or not at all, whenever the process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cnnsearch.errors import InputError


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


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that there is the old one or the new one, whenever the process dies.

    What is no file (a device, a pipe) is written to as it is; of a link, the file behind it.

    Raises:
        InputError: it cannot be written.
    """
    behind = path.resolve()
    try:
        if behind.exists() and not behind.is_file():
            behind.write_bytes(encoded(content))
            return
        with replacing(behind) as file:
            file.write(encoded(content))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write another path.") from error


def encoded(content: str | bytes) -> bytes:
    """The content of a file; texts are in UTF-8."""
    return content.encode() if isinstance(content, str) else content

"""Files that are there whole or not at all, whenever the process dies."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cnnsearch.errors import InputError


@contextmanager
def replacing(path: Path, name: str | None = None) -> Iterator[BinaryIO]:
    """A draft to write, which takes a file's place, and its mode, once it is whole and on the disk.

    Where that fails, what stood there before stays; a process that dies leaves `NAME.PID.partial`.

    Args:
        name: instead of the file's, where others would take such a draft for the file.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    draft = path.with_name(f"{name or path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            draft.chmod(stat.S_IMODE(path.stat().st_mode))
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
    try:
        if path.exists() and not path.is_file():
            # Not by the name behind it: that of /dev/stdout into a pipe is no file's.
            path.write_bytes(encoded(content))
            return
        with replacing(path.resolve()) as file:
            file.write(encoded(content))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write another path.") from error


def encoded(content: str | bytes) -> bytes:
    """The content of a file; texts are in UTF-8."""
    return content.encode() if isinstance(content, str) else content

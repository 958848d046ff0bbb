"""Files that options of verbs name.

One that is there is overwritten with --force only; a database never. What is made at once and holds
the same as before may be written again, which loses nothing, see `write_target`.
"""

from __future__ import annotations

from pathlib import Path

from cnnsearch.drafts import encoded, write_whole
from cnnsearch.errors import InputError

_DATABASE = b"SQLite format 3\0"  # how its file begins


def check_place(path: Path, example: str) -> None:
    """Whether a file can be there, whatever it will hold.

    Args:
        example: the name of such a file, for the message.

    Raises:
        InputError: it is a folder or a database, or its folder is absent.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Write a file name, such as {path}/{example}.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: no folder {path.parent}. Make it, or write another path.")
    if path.is_file() and _begins(path, _DATABASE):
        raise InputError(f"{path}: is a database. Write another path.")


def check_target(path: Path, example: str, force: bool, option: str = "-o") -> None:
    """Whether a file can be written without loss, before what takes long to make is made.

    Args:
        option: that names it, for the message.

    Raises:
        InputError: it cannot be there, or is there already.
    """
    check_place(path, example)
    if path.is_file() and not force:
        raise _exists(path, option)


def write_target(path: Path, content: str | bytes, example: str, force: bool) -> None:
    """Write a file, whole or not at all; the content that it has already loses nothing.

    Raises:
        InputError: it cannot be there, is there with another content, or cannot be written.
    """
    check_place(path, example)
    if path.is_file() and not force and not _holds(path, encoded(content)):
        raise _exists(path, "-o")
    write_whole(path, content)


def _exists(path: Path, option: str) -> InputError:
    return InputError(
        f"{path}: exists. Write --force to overwrite it, or {option} with another name."
    )


def _begins(path: Path, content: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(content)) == content
    except OSError:
        return False


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False

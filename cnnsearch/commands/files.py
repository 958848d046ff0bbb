"""Files that verbs write."""

from __future__ import annotations

from pathlib import Path

from cnnsearch import drafts
from cnnsearch.errors import InputError


def check_target(path: Path, text: str, force: bool) -> None:
    """Whether a file can be written without loss; the same text loses nothing.

    Raises:
        InputError: it is a folder, its folder is absent, or it exists with another text.
    """
    if path.is_dir():
        raise InputError(f"-o {path}: is a folder. Write a file name, such as {path}/next.yaml.")
    if not path.parent.is_dir():
        raise InputError(f"-o {path}: no folder {path.parent}. Make it, or write another path.")
    if path.is_file() and not force and not _holds(path, text):
        raise InputError(f"{path}: exists. Write --force to overwrite it, or -o with another name.")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that there is the old one or the new one, whenever the process dies.

    What is no file (a device, a pipe) is written to as it is; of a link, the file behind it.

    Raises:
        InputError: it cannot be written.
    """
    path = path.resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        with drafts.replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write another path.") from error


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False

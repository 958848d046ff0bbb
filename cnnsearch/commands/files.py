"""Files that verbs write."""

from __future__ import annotations

from pathlib import Path

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


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False

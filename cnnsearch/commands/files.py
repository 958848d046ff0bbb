"""Files that verbs write."""

from __future__ import annotations

from pathlib import Path

from cnnsearch.drafts import encoded
from cnnsearch.errors import InputError


def check_target(path: Path, content: str | bytes, force: bool, example: str = "next.yaml") -> None:
    """Whether a file can be written without loss; the same content loses nothing.

    Args:
        example: the name of such a file, for the message.

    Raises:
        InputError: it is a folder, its folder is absent, or it exists with another content.
    """
    if path.is_dir():
        raise InputError(f"-o {path}: is a folder. Write a file name, such as {path}/{example}.")
    if not path.parent.is_dir():
        raise InputError(f"-o {path}: no folder {path.parent}. Make it, or write another path.")
    if path.is_file() and not force and not _holds(path, encoded(content)):
        raise InputError(f"{path}: exists. Write --force to overwrite it, or -o with another name.")


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False

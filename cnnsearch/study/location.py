"""Where studies and what belongs to them are kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from cnnsearch.errors import InputError


def database_file(storage: str) -> Path:
    """The SQLite file that `--storage` names: a path, or sqlite:///PATH.

    Resolved, so that one file has one lock however it is spelt.

    Raises:
        InputError: a database that is not supported.
    """
    scheme, separator, rest = storage.partition("://")
    if not separator:
        return Path(storage).expanduser().resolve()
    if scheme != "sqlite" or not rest.startswith("/") or len(rest) == 1:
        raise InputError(
            f"--storage: {storage!r} is not supported. "
            "Write a file such as cnnsearch.db, or sqlite:///DIR/cnnsearch.db."
        )
    return Path(rest[1:]).resolve()


def connect(storage: str, mode: str) -> sqlite3.Connection:
    """Open the file; by SQLite's own URI, since names may hold #, ? or %.

    Waits up to a minute for a lock of another process.

    Args:
        mode: SQLite's: "rw" cannot create the file, "rwc" can.
    """
    uri = f"file:{quote(str(database_file(storage)))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=60, check_same_thread=False)


def database_lock(storage: str) -> Path:
    """The file whose lock is held while tables are made."""
    path = database_file(storage)
    return path.with_name(f"{path.name}.lock")


def study_lock(storage: str, study: str) -> Path:
    """The file whose lock says that a coordinator owns the study."""
    path = database_file(storage)
    return path.with_name(f"{path.name}-{study}.lock")


def study_folder(study: str) -> Path:
    """Where the folders of a study's trials are, below the working folder."""
    return Path("runs") / study


def trial_folder(study: str, number: int) -> Path:
    """Where a trial's log and config are kept."""
    return study_folder(study) / str(number)


def workers_folder(study: str) -> Path:
    """Where workers log what they print while they run no trial."""
    return study_folder(study) / "workers"

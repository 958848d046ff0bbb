"""Where studies are kept: from what `--storage` says to a database URL and the files beside it."""

from __future__ import annotations

from pathlib import Path

from cnnsearch.errors import InputError


def url_of(storage: str) -> str:
    """The database URL of `--storage`: a URL stays, a path becomes one of SQLite.

    Raises:
        InputError: a database that is not supported.
    """
    scheme, separator, _ = storage.partition("://")
    if not separator:
        return f"sqlite:///{Path(storage).expanduser()}"
    if scheme != "sqlite":
        raise InputError(
            f"--storage: {scheme} databases are not supported. "
            "Write a file such as cnnsearch.db, or sqlite:///DIR/cnnsearch.db."
        )
    return storage


def database_file(url: str) -> Path:
    """The file of an SQLite URL."""
    return Path(url.removeprefix("sqlite:///"))


def lock_file(url: str, study: str) -> Path:
    """The file whose lock says that a coordinator owns the study."""
    database = database_file(url)
    return database.with_name(f"{database.name}-{study}.lock")

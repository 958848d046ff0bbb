"""The databases that studies can be kept in, and how each is opened, locked and shown.

An SQLite file is for one machine, PostgreSQL for those who share studies. Everything else in this
package is the same for both.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from cnnsearch.errors import CnnsearchError, InputError, StorageGoneError

_RESTORE = "Take a copy from before, or start anew with another file."
_WRITABLE = "Make it and its folder readable and writable, or write another path."
_ADVICE = {
    sqlite3.SQLITE_CANTOPEN: _WRITABLE,
    sqlite3.SQLITE_PERM: _WRITABLE,
    sqlite3.SQLITE_READONLY: _WRITABLE,
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_BUSY: "Another program keeps it. Try again.",
}


class Lock(Protocol):
    """A right that one process has at a time, and that is free again as soon as it has died."""

    def acquire(self, timeout_s: float) -> bool:
        """Take it; False where another process holds it for longer.

        Raises:
            InputError: it cannot be asked for.
        """
        ...

    def keep(self) -> bool:
        """Take it again where the database has forgotten who held it; False: another holds it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Backend(Protocol):
    """One database."""

    shown: str
    """As errors name it, without a password."""

    def exists(self) -> bool:
        """Whether it can hold anything yet.

        Raises:
            InputError: it never can, or may not be read.
        """
        ...

    def check(self) -> None:
        """Look whether it can be created, or written where it is there.

        Raises:
            InputError: neither.
        """
        ...

    def refuse_foreign(self) -> None:
        """Look whether it is another program's, before tables are made in it.

        Raises:
            InputError: it is.
            DBAPIError: it cannot be read.
        """
        ...

    def url(self) -> str:
        """For SQLAlchemy; what connects is among `arguments`."""
        ...

    def arguments(self, create: bool) -> dict[str, Any]:
        """Of `sqlalchemy.create_engine`.

        Args:
            create: a database that is not there may be made.
        """
        ...

    def reading(self) -> dict[str, Any]:
        """Of `sqlalchemy.create_engine` too: each attempt to write is refused by the database."""
        ...

    def prepare(self, engine: sqlalchemy.Engine) -> None:
        """Set how transactions begin on an engine that writes."""
        ...

    def exclusively(self) -> AbstractContextManager[object]:
        """Keep others out while tables are made or requests are left."""
        ...

    def lock(self, study: str) -> Lock:
        """The right to write a study."""
        ...

    def is_held(self, study: str) -> bool:
        """Whether a living process, this one included, owns a study."""
        ...

    def version(self, engine: sqlalchemy.Engine) -> int | None:
        """A number that changes when another connection than this thread's has written.

        None where it cannot be told, which means that it may have.
        """
        ...


def backend(storage: str) -> Backend:
    """The database that `--storage` names: a path, sqlite:///PATH or postgresql+psycopg://...

    Raises:
        InputError: a database that is not supported, or a URL that is none.
    """
    from cnnsearch.study.postgres import DRIVER, Postgres
    from cnnsearch.study.sqlite import Sqlite

    scheme, separator, rest = storage.partition("://")
    if not separator:
        return Sqlite(storage)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Sqlite(rest[1:])
    if scheme == DRIVER:
        return Postgres(storage)
    if scheme.partition("+")[0] in ("postgres", "postgresql"):
        raise InputError(f"--storage: {scheme}:// is not supported. Write {DRIVER}://...")
    raise InputError(
        f"--storage: {scheme}:// is not supported. Write a file such as cnnsearch.db, "
        f"sqlite:///DIR/cnnsearch.db or {DRIVER}://USER@HOST/DATABASE."
    )


def without_studies(place: Backend) -> str:
    """That there are no studies, and what to do; without a full stop.

    A file that is not there is mostly that of another folder.
    """
    if place.exists():
        return f"no studies in {place.shown}. Start one: cnnsearch run FILE"
    return (
        f"no studies: there is no {place.shown}. Go to the folder where run was called, or give "
        "--storage FILE; to start one: cnnsearch run FILE"
    )


def another_file(place: Backend) -> str:
    """A name for another file than this one."""
    usual = "cnnsearch.db"
    return usual if not place.shown.endswith(usual) else "studies.db"


def failure(place: Backend, error: BaseException, advice: str = "") -> CnnsearchError:
    """What a database says, in one line: gone, which may pass, or broken.

    Args:
        advice: what to do; default: what fits the reason.
    """
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    # What is not there, or no text, comes as an OperationalError of SQLite too.
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_NOTADB and not advice:
        return InputError(
            f"--storage: {place.shown} is no database. Write another file, such as "
            f"--storage {another_file(place)}."
        )
    broken = code == sqlite3.SQLITE_ERROR or reason.startswith("Could not decode")
    if not advice:
        advice = f". {_RESTORE}" if broken else _advice(code)
    passing = not broken and (
        isinstance(error, OperationalError | InterfaceError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
    )
    kind = StorageGoneError if passing else CnnsearchError
    return kind(f"--storage: {place.shown}: {reason}{advice}")


def _advice(code: int | None) -> str:
    """What to do about an error of SQLite, which may be told in more detail by its upper bits."""
    text = _ADVICE.get((code or 0) & 0xFF)
    return f". {text}" if text else ""


def damaged(place: Backend, error: Exception) -> CnnsearchError:
    """What is stored is not as cnnsearch writes it, in one line."""
    return CnnsearchError(f"--storage: {place.shown}: damaged: {error}. {_RESTORE}")

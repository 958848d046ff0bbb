"""Studies in an SQLite file, for one machine."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from filelock import FileLock, Timeout

from cnnsearch.errors import InputError
from cnnsearch.study.backends import another_file

# So long a writer waits for the lock of another program, and stands still meanwhile; then the
# storage is gone for now, and results wait while trials go on.
_PATIENCE_S = 10
# Optuna's tables, and one column by which each is told from another program's of that name.
_OPTUNAS = {
    "alembic_version": "version_num",
    "studies": "study_id",
    "study_directions": "study_id",
    "study_system_attributes": "study_id",
    "study_user_attributes": "study_id",
    "trial_heartbeats": "trial_id",
    "trial_intermediate_values": "trial_id",
    "trial_params": "trial_id",
    "trial_system_attributes": "trial_id",
    "trial_user_attributes": "trial_id",
    "trial_values": "trial_id",
    "trials": "trial_id",
    "version_info": "schema_version",
}
# So many tables of another program are named.
_NAMED = 3


class Sqlite:
    """The file, with the files of its locks beside it. See `Backend`.

    Rollback journal, not WAL (SQLite 3.7.0 to 3.51.2 can corrupt WAL databases); ten seconds' wait
    for the lock; BEGIN IMMEDIATE, so that what a transaction read still holds when it writes.
    """

    def __init__(self, path: str) -> None:
        """Resolve the path, so that one file has one lock however it is spelt."""
        try:
            self.path = Path(path).expanduser().resolve()
        except RuntimeError as error:  # of a loop of links, or of ~ without a home
            raise InputError(f"--storage: {path}: {error}. Write another path.") from error
        self.shown = str(self.path)

    def exists(self) -> bool:
        """See `Backend`."""
        self._check_place()
        if not self.path.exists():
            return False
        if not os.access(self.path, os.R_OK):
            raise self._denied("read")
        return True

    def check(self) -> None:
        """See `Backend`."""
        if self.exists() and not os.access(self.path, os.W_OK):
            raise self._denied("written")

    def refuse_foreign(self) -> None:
        """See `Backend`.

        Optuna's tables are Optuna's, also where some are not made yet; one with Optuna's version
        of them may hold others besides.
        """
        if not self.path.exists():
            return
        try:
            with closing(self.connect("rw")) as connection:  # see `arguments`
                found = _foreign(connection)
        except sqlite3.Error as error:
            told = sqlalchemy.exc.DBAPIError.instance("tables", None, error, sqlite3.Error)
            raise told from error
        if found:
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            raise InputError(
                f"--storage: {self.path} holds tables of another program "
                f"({', '.join(found[:_NAMED])}{more}). Write another file, such as "
                f"--storage {another_file(self)}."
            )

    def url(self) -> str:
        """See `Backend`."""
        return "sqlite://"

    def arguments(self, create: bool) -> dict[str, Any]:
        """See `Backend`."""
        if create:  # one connection a thread, kept
            return {"creator": partial(self.connect, "rwc"), "poolclass": sqlalchemy.QueuePool}
        # mode=rw, not ro: after a crash the journal has to be rolled back before anything is read.
        return {"creator": partial(self.connect, "rw"), "poolclass": sqlalchemy.NullPool}

    def reading(self) -> dict[str, Any]:
        """See `Backend`."""
        return {"creator": self._connect_to_read, "poolclass": sqlalchemy.NullPool}

    def _connect_to_read(self) -> sqlite3.Connection:
        connection = self.connect("rw")  # see `arguments`
        connection.execute("PRAGMA query_only = ON")
        return connection

    def connect(self, mode: str) -> sqlite3.Connection:
        """Open the file; by SQLite's own URI, since names may hold #, ? or %.

        Args:
            mode: SQLite's: "rw" cannot create the file, "rwc" can.
        """
        uri = f"file:{quote(os.fsencode(self.path))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, check_same_thread=False)

    def prepare(self, engine: sqlalchemy.Engine) -> None:
        """See `Backend`."""

        @sqlalchemy.event.listens_for(engine, "connect")
        def no_implicit_begin(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        @sqlalchemy.event.listens_for(engine, "begin")
        def begin_immediate(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        engine.dispose()  # connections from before the listeners

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """See `Backend`."""
        lock = SqliteLock(self.path.with_name(f"{self.path.name}.lock"))
        lock.acquire(-1)
        try:
            yield
        finally:
            lock.release()

    def lock(self, study: str) -> SqliteLock:
        """See `Backend`."""
        self._check_place()  # what locks the file would make its folder
        return SqliteLock(self._lock_file(study))

    def is_held(self, study: str) -> bool:
        """See `Backend`."""
        if not self._lock_file(study).exists():
            return False
        lock = FileLock(self._lock_file(study))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False

    def version(self, engine: sqlalchemy.Engine) -> int | None:
        """See `Backend`. It takes no lock, and 0.03 ms where any question takes 0.6 and more."""
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            try:
                return int(raw.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.OperationalError as error:  # as SQLAlchemy tells of a locked file
                raise sqlalchemy.exc.OperationalError("data_version", None, error) from error

    def _check_place(self) -> None:
        try:
            if self.path.is_dir():
                raise InputError(f"--storage: {self.path} is a folder. Write the path of a file.")
            if self.path.exists() and not self.path.is_file():
                # SQLite would take a device for an empty database, and change its mode.
                raise InputError(f"--storage: {self.path} is no file. Write the path of one.")
            if not self.path.parent.is_dir():
                raise InputError(
                    f"--storage: no folder {self.path.parent}. Make it, or write another path."
                )
        except PermissionError as error:
            raise self._denied("read") from error

    def _denied(self, done: str) -> InputError:
        able = {"read": "readable", "written": "writable"}[done]
        return InputError(
            f"--storage: {self.path} cannot be {done}. Make it {able}, or write another path."
        )

    def _lock_file(self, study: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{study}.lock")


def _foreign(connection: sqlite3.Connection) -> list[str]:
    """The tables of another program, by name."""
    names = [
        str(name)
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
        )
    ]
    ours = [name for name in names if _is_optunas(connection, name)]
    if "alembic_version" in ours:  # other programs number their tables so too
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if any(re.match(r"v\d", str(version)) for (version,) in versions):
            return []
    return [name for name in names if name not in ours]


def _is_optunas(connection: sqlite3.Connection, table: str) -> bool:
    column = _OPTUNAS.get(table)
    return column is not None and any(
        found[1] == column for found in connection.execute(f"PRAGMA table_info({table})")
    )


class SqliteLock:
    """The lock of a file, which the system frees when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self, timeout_s: float) -> bool:
        """See `Lock`; -1: for as long as it takes."""
        try:
            self._lock.acquire(timeout=timeout_s, poll_interval=0.02)
        except Timeout:
            return False
        except OSError as error:
            raise InputError(
                f"--storage: {self._lock.lock_file}: {error.strerror}. "
                "Make its folder writable, or write another path."
            ) from error
        return True

    def keep(self) -> bool:
        """See `Lock`."""
        return True

    def release(self) -> None:
        """See `Lock`."""
        self._lock.release()

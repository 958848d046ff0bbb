"""Optuna's storage as it is opened for writing, and its errors in one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.study.location import connect, database_file, database_lock

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_storage(storage: str) -> RDBStorage:
    """Optuna's storage in an SQLite file, created when absent.

    Rollback journal, not WAL (SQLite 3.7.0 to 3.51.2 can corrupt WAL databases); a minute's wait
    for the lock; BEGIN IMMEDIATE, so that what a transaction read still holds when it writes.

    Raises:
        CnnsearchError: the file cannot be opened, is no database or is of another version.
    """
    path = database_file(storage)
    if not path.parent.is_dir():
        raise InputError(f"--storage: no folder {path.parent}. Make it, or write another path.")
    try:
        with FileLock(database_lock(storage)):  # making the tables is no transaction
            database = RDBStorage(
                "sqlite://",
                engine_kwargs={
                    "creator": lambda: connect(storage, "rwc"),
                    "poolclass": sqlalchemy.QueuePool,  # one connection a thread, kept
                },
            )
    except (sqlalchemy.exc.DatabaseError, sqlite3.DatabaseError, OSError, RuntimeError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise CnnsearchError(f"--storage: {path}: {reason}") from error

    @sqlalchemy.event.listens_for(database.engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(database.engine, "begin")
    def begin_immediate(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    database.engine.dispose()  # connections from before the listeners
    return database


def version_of_others(database: RDBStorage) -> int:
    """A number that changes when another connection than this thread's has written the file.

    It takes no lock, and 0.03 ms where any question through Optuna takes 0.6 and more.
    """
    with database.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        return int(raw.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def one_transaction(database: RDBStorage) -> Iterator[None]:
    """All that is written through Optuna's API meanwhile, by this thread, is stored whole or not.

    Optuna commits after each call. Here its session is given a connection that has begun already,
    and SQLAlchemy leaves the commit to whoever began. Five reports and the end of a trial, nine
    calls: 15 -> 9 ms of CPU, and one wait for the disk instead of nine.
    """
    session = database.scoped_session()
    with database.engine.begin() as connection:
        session.bind = connection
        try:
            yield
        finally:
            session.bind = database.engine


@contextmanager
def told(storage: str) -> Iterator[None]:
    """Errors of the database in one line that names the file.

    Raises:
        CnnsearchError: the disk is full, the file is read-only or locked for more than a minute.
    """
    try:
        yield
    except (StorageInternalError, sqlalchemy.exc.DatabaseError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", cause)).splitlines()[0]
        path = database_file(storage)
        raise CnnsearchError(
            f"--storage: {path}: {reason}. What was stored so far is kept; mend it, run again."
        ) from error

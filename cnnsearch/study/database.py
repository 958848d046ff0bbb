"""Optuna's storage as it is opened for writing, and its errors in one line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.exc import DBAPIError

from cnnsearch.config import Config
from cnnsearch.errors import InputError, StorageGoneError
from cnnsearch.objective import DIRECTIONS
from cnnsearch.study import attributes
from cnnsearch.study.backends import Backend, backend, damaged, failure
from cnnsearch.study.stored import DamagedError

_ADVICE = ". What was stored so far is kept; mend it, run again."

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_storage(storage: str) -> RDBStorage:
    """Optuna's storage in a database, whose tables are made when absent.

    Raises:
        InputError: it is no database, or another program's.
        CnnsearchError: it cannot be opened or is of another version.
    """
    place = backend(storage)
    place.check()
    try:
        with place.exclusively():  # making the tables is no transaction
            place.refuse_foreign()
            database = RDBStorage(place.url(), engine_kwargs=place.arguments(create=True))
    except UnicodeDecodeError as error:  # SQLite repeats what it cannot read
        raise damaged(place, error) from error
    except (DBAPIError, sqlite3.DatabaseError, OSError, RuntimeError) as error:
        raise failure(place, error) from error
    place.prepare(database.engine)
    _tell_at_once(database.engine, place)
    return database


def _tell_at_once(engine: sqlalchemy.Engine, place: Backend) -> None:
    """Tell of a storage that is gone by an exception that Optuna does not know.

    Of its own it tries five times to create a trial: 28 s where a server could not be reached, five
    minutes where a file was locked, and nothing else is done meanwhile.
    """

    @sqlalchemy.event.listens_for(engine, "handle_error")
    def tell(context: sqlalchemy.ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if error is not None and not context.is_pre_ping:
            found = failure(place, error, _ADVICE)
            if isinstance(found, StorageGoneError):
                raise found from error


@contextmanager
def opened(storage: str) -> Iterator[RDBStorage]:
    """`open_storage`, for as long as it is needed."""
    database = open_storage(storage)
    try:
        yield database
    finally:
        database.engine.dispose()


def study_id(database: RDBStorage, config: Config) -> int:
    """The study's id; it is created when absent, and anew where its creation was cut short.

    Raises:
        InputError: it is another program's.
    """
    assert config.search is not None
    direction = StudyDirection[DIRECTIONS[config.search.objective].upper()]
    try:
        found = database.get_study_id_from_name(config.study)
    except KeyError:
        return database.create_new_study([direction], config.study)
    attrs = database.get_study_user_attrs(found)
    if attributes.VERSION in attrs:
        return found
    if database.get_n_trials(found) or (attrs and attributes.COORDINATOR not in attrs):
        raise InputError(
            f"study {config.study} was made by another program. Give yours a name: --name NAME."
        )
    database.delete_study(found)
    return database.create_new_study([direction], config.study)


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
    """Errors of the database in one line that names it.

    Raises:
        StorageGoneError: the server is gone, the disk is full, the file is locked for more than ten
            seconds or read-only: what may pass.
        CnnsearchError: it is broken.
    """
    try:
        yield
    except (StorageInternalError, DBAPIError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise failure(backend(storage), cause or error, _ADVICE) from error
    except DuplicatedStudyError as error:  # it is absent, as its owner has seen
        orphans = DamagedError("there are rows of a study that is not there")
        raise damaged(backend(storage), orphans) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:  # Optuna reads all of all trials
        raise damaged(backend(storage), error) from error

"""Studies in PostgreSQL, for those who share them. Needs psycopg."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from cnnsearch.errors import CnnsearchError, InputError, MissingExtraError, StorageGoneError

DRIVER = "postgresql+psycopg"
# A cut cable is seen within 10 s, silence on a connection and then on the next one; without these
# it blocked a writer for more than 40 s.
_PATIENCE = {
    "connect_timeout": 4,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}
_OF_SERVER = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 3,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
# The server sees within 20 s that a client is gone, and frees its locks; else in two hours.
_WATCHED = " ".join(f"SET {name} = {value};" for name, value in _OF_SERVER.items())
_POLL_S = 0.05
# So long a session takes to end that was told to.
_ENDING_S = 5.0


class Postgres:
    """A database of a server. See `Backend`.

    What the URL leaves out libpq finds, by PGHOST and its like, ~/.pgpass, or `?service=NAME`.
    """

    def __init__(self, storage: str) -> None:
        """Read the URL.

        Raises:
            InputError: it is none.
            MissingExtraError: psycopg is not installed.
        """
        try:
            import psycopg
        except ImportError:
            raise MissingExtraError(
                "--storage: PostgreSQL needs psycopg. pip install 'cnnsearch[postgres]'"
            ) from None
        try:
            url = sqlalchemy.make_url(storage)
        except (ArgumentError, ValueError):
            raise InputError(
                f"--storage: no URL of a database. Write {DRIVER}://USER@HOST/DATABASE."
            ) from None
        self.shown = _shown(url)
        self.error: type[Exception] = psycopg.Error
        self._connect = psycopg.connect
        _, named = url.get_dialect()().create_connect_args(url)
        self._named = {**_PATIENCE, **named}

    def gone(self, reason: Exception) -> StorageGoneError:
        """An error in one line that names the database."""
        return StorageGoneError(f"--storage: {self.shown}: {str(reason).strip().splitlines()[0]}")

    def exists(self) -> bool:
        """See `Backend`."""
        return True

    def check(self) -> None:
        """See `Backend`."""

    def refuse_foreign(self) -> None:
        """See `Backend`. A server's database may hold tables of several programs."""

    def url(self) -> str:
        """See `Backend`. Without name and password, which Optuna would keep and take braces in."""
        return f"{DRIVER}://"

    def arguments(self, create: bool) -> dict[str, Any]:
        """See `Backend`."""
        if create:
            return {"creator": self.connect, "pool_pre_ping": True}
        return {"creator": self.connect, "poolclass": sqlalchemy.NullPool}

    def reading(self) -> dict[str, Any]:
        """See `Backend`."""
        return {"creator": self._connect_to_read, "poolclass": sqlalchemy.NullPool}

    def _connect_to_read(self) -> Any:
        connection = self.connect()
        connection.read_only = True
        return connection

    def connect(self, **options: Any) -> Any:
        """A new connection of psycopg."""
        return self._connect(**{**self._named, **options})

    def prepare(self, engine: sqlalchemy.Engine) -> None:
        """See `Backend`. A coordinator alone writes its study: transactions begin as they do."""

        @sqlalchemy.event.listens_for(engine, "connect")
        def watched(connection: Any, _: Any) -> None:
            connection.execute(_WATCHED)
            connection.commit()

        engine.dispose()  # connections from before the listener

    def exclusively(self) -> AbstractContextManager[object]:
        """See `Backend`."""
        return self._exclusively()

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        lock = PostgresLock(self, "")
        if not lock.acquire(60.0):
            raise CnnsearchError(f"--storage: {self.shown}: another program keeps it. Try again.")
        try:
            yield
        finally:
            lock.release()

    def lock(self, study: str) -> PostgresLock:
        """See `Backend`."""
        return PostgresLock(self, study)

    def is_held(self, study: str) -> bool:
        """See `Backend`."""
        key = _key(study) % 2**64
        question = (
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND classid::bigint = %s AND objid::bigint = %s AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        try:
            with self.connect(autocommit=True) as connection:
                found = connection.execute(question, (key >> 32, key % 2**32)).fetchone()
        except self.error as reason:
            raise self.gone(reason) from reason
        return found is not None

    def version(self, engine: sqlalchemy.Engine) -> int | None:  # noqa: ARG002
        """See `Backend`. Untold: requests are looked for each time."""
        return None


class PostgresLock:
    """An advisory lock of a connection, which the server frees when that ends."""

    def __init__(self, database: Postgres, study: str) -> None:
        self._database = database
        self._key = _key(study)
        self._connection: Any = None
        self._session: Any = None  # its number at the server, and its beginning

    def acquire(self, timeout_s: float) -> bool:
        """See `Lock`."""
        try:
            self._connection = self._connect()
            taken = self._try(timeout_s)
        except self._database.error as reason:
            self.release()
            raise self._database.gone(reason) from reason
        if not taken:
            self.release()
        return taken

    def keep(self) -> bool:
        """See `Lock`. A server that was started anew has forgotten it; one whose cable was cut may
        not know yet that the session which held it is dead.
        """
        error = self._database.error
        if self._connection is not None:
            with suppress(error):
                self._connection.execute("SELECT 1")
                return True
        self.release()
        try:
            self._connection = self._connect()
            return self._try(_ENDING_S if self._end_former() else 0.0)
        except error as reason:
            raise self._database.gone(reason) from reason

    def release(self) -> None:
        """See `Lock`."""
        if self._connection is not None:
            with suppress(self._database.error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> Any:
        connection = self._database.connect(autocommit=True)
        connection.execute(_WATCHED)
        return connection

    def _end_former(self) -> bool:
        """End the session that held the lock, where it is still there."""
        ended = self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = %s AND backend_start = %s",
            self._session,
        )
        return ended.fetchone() is not None

    def _try(self, timeout_s: float) -> bool:
        """Take the lock, if not now then in so many seconds."""
        deadline = time.monotonic() + timeout_s
        question = "SELECT pg_try_advisory_lock(%s)"
        while not self._connection.execute(question, (self._key,)).fetchone()[0]:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        # The number alone may be another session's, once the server was started anew.
        question = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self._session = self._connection.execute(question).fetchone()
        return True


def _shown(url: sqlalchemy.URL) -> str:
    """The URL without its passwords: libpq takes some from the query too."""
    hidden = {key: "***" for key in url.query if key.lower().endswith("password")}
    shown = url.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("%2A%2A%2A", "***")


def _key(study: str) -> int:
    """The number of a study's lock, 64 bits with a sign; no study: that of the whole database."""
    digest = hashlib.sha256(f"cnnsearch {study}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)

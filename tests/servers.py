"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy

from tests.waiting import until

ABSENT = "no initdb on PATH or in /usr/lib/postgresql/*/bin: PostgreSQL is not tested"


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl; the newest version's where there are several."""
    found = shutil.which("pg_ctl") and shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=_version, default=None)


def _version(programs: Path) -> float:
    return float(programs.parent.name)


class Server:
    """Runs between `start` and `stop`; as root it runs as the user postgres, or nobody."""

    def __init__(
        self,
        programs: Path,
        port: int | None = None,
        address: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        """Make an empty cluster.

        Args:
            port: at `address`, beside the socket.
            within: what its commands begin with, to run elsewhere.
        """
        self._programs = programs
        self._port = port
        self._address = address
        self._within = within
        self.folder = Path(tempfile.mkdtemp(prefix="cnnsearch-pg-", dir="/tmp"))
        self._user = _other_user() if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._call("initdb", "-D", self._data, "-U", "tester", "-A", "trust", "--no-sync")
        with (self.folder / "data" / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {address}/24 trust\n")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Let it serve, if it does not."""
        where = f"-k {self.folder} -c listen_addresses='{self._address if self._port else ''}'"
        where += f" -p {self._port}" if self._port else ""
        log = str(self.folder / "log")

        def starts() -> bool:
            return self._can("status") or self._can("-l", log, "-w", "-o", where, "start")

        # After a crash the last processes of the one before may hold its memory for a moment.
        until(starts, "PostgreSQL", seconds=60)

    def _can(self, *words: str) -> bool:
        try:
            self._call("pg_ctl", "-D", self._data, *words)
        except subprocess.CalledProcessError:
            return False
        return True

    def stop(self, mode: str = "immediate") -> None:
        """End it; "immediate" is as a crash."""
        self._call("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Delete the cluster."""
        shutil.rmtree(self.folder)

    def url(self, database: str = "postgres") -> str:
        """For `--storage`."""
        port = f"&port={self._port}" if self._port else ""
        return f"postgresql+psycopg://tester@/{database}?host={self.folder}{port}"

    def create(self, database: str) -> str:
        """Make an empty database; its URL."""
        engine = sqlalchemy.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f'CREATE DATABASE "{database}"'))
        engine.dispose()
        return self.url(database)

    def _call(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        if self._user is not None:
            command = ["runuser", "-u", self._user, "--", *command]
        command = [*self._within, *command]
        null = subprocess.DEVNULL
        subprocess.run(command, check=True, cwd=self.folder, stdout=null, stderr=null)


def _other_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"

"""Files that are no storage, or another program's, or that may not be read or written."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from cnnsearch import cli
from cnnsearch.errors import InputError
from cnnsearch.study import read
from cnnsearch.study.backends import backend
from cnnsearch.study.database import open_storage
from cnnsearch.study.lock import StudyLock
from cnnsearch.study.sqlite import _OPTUNAS
from tests.builders import write_digits
from tests.studies import write_study
from tests.unprivileged import unprivileged

Capture = pytest.CaptureFixture[str]
VERBS = (["list"], ["run", "digits.yaml", "--dry-run"], ["run", "digits.yaml", "-j", "0"])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def refused(capsys: Capture, storage: str, told: str) -> None:
    """The verbs write one line and nothing else."""
    write_digits(Path())
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for words in VERBS:
        assert cli.run([*words, "--storage", storage]) == 2
        err = capsys.readouterr().err
        assert err == f"--storage: {told}\n"
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


FOREIGN = {
    "customers": ["CREATE TABLE customers (a)"],
    "t0, t1, t2 and 2 more": [f"CREATE TABLE t{k} (a)" for k in range(5)],
    # Names of Optuna's, and other columns.
    "studies": ["CREATE TABLE studies (a)"],
    "Trials": ["CREATE TABLE Trials (a)"],
    "orders": [
        "CREATE TABLE alembic_version (version_num TEXT)",
        "CREATE TABLE orders (a)",
    ],
}


@pytest.mark.parametrize("named", FOREIGN)
def test_tables_of_another_program(named: str, capsys: Capture, tmp_path: Path) -> None:
    path = made(tmp_path / "app.db", *FOREIGN[named])
    told = f"{path} holds tables of another program ({named}). Write another file, such as"
    refused(capsys, "app.db", f"{told} --storage cnnsearch.db.")
    with pytest.raises(InputError, match="holds tables"):
        open_storage("app.db")
    assert tables(path) == {statement.split()[2] for statement in FOREIGN[named]}


def test_another_name_is_told(tmp_path: Path) -> None:
    made(tmp_path / "cnnsearch.db", "CREATE TABLE customers (a)")
    with pytest.raises(InputError, match=r"such as --storage studies\.db\.$"):
        read.study_names("cnnsearch.db")


@pytest.fixture
def of_optuna(tmp_path: Path) -> Iterator[Path]:
    """A database of Optuna's with a study of another program."""
    path = tmp_path / "optuna.db"
    storage = RDBStorage(f"sqlite:///{path}")
    optuna.create_study(study_name="other", storage=storage)
    yield path
    storage.engine.dispose()


def test_databases_of_optuna(of_optuna: Path, tmp_path: Path) -> None:
    """Those of its other programs, with tables beside its own, and with nothing."""
    assert set(_OPTUNAS) == {name for name in tables(of_optuna) if "ix_" not in name
                             and not name.startswith("sqlite_")}  # fmt: skip
    made(of_optuna, "CREATE TABLE beside (a)")
    (tmp_path / "empty.db").touch()
    for name in ("optuna.db", "empty.db", "absent.db"):
        assert read.study_names(name) == []
        write_study(tmp_path / name)
        assert read.study_names(name) == ["digits"]


@pytest.mark.parametrize("count", range(1, 13, 3))
def test_a_creation_that_was_cut_short(count: int, of_optuna: Path, tmp_path: Path) -> None:
    """Some of Optuna's tables, and no version yet."""
    with closing(sqlite3.connect(of_optuna)) as connection:
        statements = [sql for (sql,) in connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name != 'sqlite_sequence'"
        )]  # fmt: skip
    made(tmp_path / "half.db", *statements[:count])
    assert read.study_names("half.db") == []
    write_study(tmp_path / "half.db")
    assert read.study_names("half.db") == ["digits"]


def test_no_database(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all")
    told = f"{tmp_path / 'notes.txt'} is no database. Write another file, such as"
    refused(capsys, "notes.txt", f"{told} --storage cnnsearch.db.")
    assert (tmp_path / "notes.txt").read_text() == "no database at all"


def test_a_file_that_was_cut(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    write_study(path)
    path.write_bytes(path.read_bytes()[:-9000])
    assert cli.run(["list", "--storage", "studies.db"]) == 1
    assert capsys.readouterr().err == (
        f"--storage: {path}: database disk image is malformed. Take a copy from before, or start "
        "anew with another file.\n"
    )


def test_a_pipe(capsys: Capture, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a device: SQLite would wait for it, or make a device's mode that of a file."""
    pipe = tmp_path_factory.mktemp("place") / "pipe"
    os.mkfifo(pipe)
    refused(capsys, str(pipe), f"{pipe} is no file. Write the path of one.")
    assert pipe.is_fifo()


def test_no_folder(capsys: Capture, tmp_path: Path) -> None:
    told = f"no folder {tmp_path / 'absent'}. Make it, or write another path."
    refused(capsys, "absent/studies.db", told)
    with pytest.raises(InputError, match="no folder"):
        StudyLock("absent/studies.db", "digits")
    assert not Path("absent").exists()


def closed(path: Path, mode: int) -> Path:
    """A database, or its folder, of a mode."""
    (path if path.suffix != ".db" else path.parent).mkdir()
    write_study(path if path.suffix == ".db" else path / "cnnsearch.db")
    for lock in Path().rglob("*.lock"):
        lock.unlink()
    path.chmod(mode)
    return path


def one_line(folder: Path, *words: str) -> str:
    done = unprivileged(folder, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = closed(tmp_path / "closed", 0o555)
    assert unprivileged(folder, "list").returncode == 0
    for words, lock in (
        (["tag", "digits", "0", "--add", "keep"], "cnnsearch.db.lock"),
        (["rm", "digits", "-y"], "cnnsearch.db-digits.lock"),
    ):
        assert one_line(folder, *words) == (
            f"--storage: {folder / lock}: Permission denied. Make its folder writable, or write "
            "another path."
        )
    folder.chmod(0o755)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = closed(tmp_path / "closed" / "cnnsearch.db", 0)
    told = f"--storage: {path} cannot be read. Make it readable, or write another path."
    assert one_line(path.parent, "list") == told
    assert one_line(path.parent, "tag", "digits", "0", "--add", "keep") == told


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    path = closed(tmp_path / "closed" / "cnnsearch.db", 0o444)
    assert unprivileged(path.parent, "list").returncode == 0
    told = f"--storage: {path} cannot be written. Make it writable, or write another path."
    assert one_line(path.parent, "tag", "digits", "0", "--add", "keep") == told


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    folder = closed(tmp_path / "closed", 0)
    path = folder / "cnnsearch.db"
    told = f"--storage: {path} cannot be read. Make it readable, or write another path."
    assert one_line(tmp_path, "list", "--storage", str(path)) == told
    folder.chmod(0o755)


def test_what_sqlite_says_comes_with_what_to_do() -> None:
    from sqlalchemy.exc import OperationalError

    from cnnsearch.study.backends import failure

    for code, advice in (
        (sqlite3.SQLITE_CANTOPEN, "Make it and its folder readable and writable"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "Make it and its folder readable and writable"),
        (sqlite3.SQLITE_BUSY, "Another program keeps it"),
    ):
        reason = sqlite3.OperationalError("a reason")
        reason.sqlite_errorcode = code
        found = failure(backend("a.db"), OperationalError("x", None, reason))
        assert found.exit_code == 4
        assert re.search(rf"a\.db: a reason\. {advice}", str(found))

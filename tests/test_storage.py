"""One contract for all databases, and a storage that is gone for a while."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.testing.pytest_storages import StorageTestCase

from cnnsearch import cli
from cnnsearch.config.config import Config
from cnnsearch.errors import InputError, StorageGoneError, StudyBusyError
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.interruption import Interruption
from cnnsearch.plan import remaining
from cnnsearch.records import Ended, Epoch, Event, Start, State, Tick, Trial
from cnnsearch.running import searching
from cnnsearch.search import Coordinator, Limits
from cnnsearch.study import read, sqlite, writer
from cnnsearch.study.backends import backend
from cnnsearch.study.database import open_storage
from cnnsearch.study.lock import StudyLock, is_held
from cnnsearch.study.store import Study
from cnnsearch.study.waiting import waiting_files
from tests.builders import digits_config, write_digits
from tests.servers import Server
from tests.test_search import FINGERPRINT
from tests.waiting import until

Capture = pytest.CaptureFixture[str]

HOLD = """
import sys
from cnnsearch.study.lock import StudyLock
lock = StudyLock(sys.argv[1], "held")
assert lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(storage: str, config: Config) -> tuple[Study, deque[Start]]:
    trials = config.search.trials if config.search else 0
    study = Study.claim(storage, config, FINGERPRINT, trials or 0)
    return study, deque(remaining(config, study.trials(), trials or 0))


def search(storage: str, config: Config, limits: Limits | None = None) -> list[Trial]:
    study, waiting = begun(storage, config)
    executor = InlineExecutor()
    try:
        for _ in Coordinator(study, config, executor, limits or Limits()).run(waiting):
            pass
    finally:
        executor.close()
        study.release()
    return read.trials(storage, config.study)


def told(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(t.point, t.state, t.params, t.value, t.epochs) for t in trials]


class TestOptunasOwn(StorageTestCase):
    """What Optuna asks of a storage, of ours as they are opened."""

    @pytest.fixture
    def storage(self, request: pytest.FixtureRequest, place: str) -> Iterator[BaseStorage]:
        database: RDBStorage = open_storage(place)
        yield database
        database.engine.dispose()

    @pytest.fixture(params=["sqlite", "postgres"])
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        if request.param == "sqlite":
            return str(tmp_path / "optuna.db")
        url: str = request.getfixturevalue("postgres")
        return url

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """It leaves the connections of the copy open."""
        super().test_pickle_storage(storage)
        gc.collect()


def test_a_search_is_stored_and_read(storage: str, tmp_path: Path) -> None:
    """The same in every database, both ways of reading it, and when it runs again."""
    assert read.study_names(storage) == []
    config = digits_config()
    found = search(storage, config)
    assert len(found) == 6
    assert told(found) == told(search(str(tmp_path / "other.db"), config))
    assert told(search(storage, config)) == told(found)
    whole = read.trial(storage, "digits", 0)
    assert len(whole.curve) == 2
    assert whole.probe is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "TABLES_VERSION", "another")
        assert read.trials(storage, "digits") == found


def test_a_study_has_one_owner(storage: str) -> None:
    """Until it lets go, or is killed."""
    open_storage(storage).engine.dispose()
    one, other = StudyLock(storage, "digits"), StudyLock(storage, "digits")
    assert not is_held(storage, "digits")
    assert one.acquire()
    assert is_held(storage, "digits")
    assert not is_held(storage, "another")
    assert not other.acquire()
    beside = StudyLock(storage, "another")
    assert beside.acquire()
    beside.release()
    one.release()
    assert other.acquire()
    other.release()
    command = [sys.executable, "-c", HOLD, storage]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = StudyLock(storage, "held")
        assert not lock.acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        while not lock.acquire():  # the server sees the end of a connection a moment later
            pass
    lock.release()


def test_an_owner_that_the_server_did_not_hear_of_again(postgres: str) -> None:
    """After a cut the server knows the old session still, and the new one is not refused."""
    lock, other = StudyLock(postgres, "digits"), StudyLock(postgres, "digits")
    assert lock.acquire()
    inner: Any = lock._lock
    unheard, inner._connection = inner._connection, backend(postgres).arguments(True)["creator"]()
    inner._connection.close()
    assert lock.keep()
    assert not other.acquire()
    lock.release()
    unheard.close()


def test_a_storage_that_is_gone_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna would try five times to begin a trial."""
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.1)
    study, waiting = begun(str(tmp_path / "studies.db"), digits_config())
    asked: list[str] = []

    @sqlalchemy.event.listens_for(study._database.engine, "before_cursor_execute")
    def ask(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    with closing(sqlite3.connect(tmp_path / "studies.db", isolation_level=None)) as locking:
        locking.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageGoneError, match="locked"):
            study.begin(waiting[0])
    assert asked == ["BEGIN IMMEDIATE"]
    study.release()


def test_the_verbs(storage: str, tmp_path: Path, capsys: Capture) -> None:
    file = str(write_digits(tmp_path))
    words = ["--storage", storage]
    assert cli.run(["run", file, "-j", "0", "-n", "2", *words]) == 0
    assert cli.run(["tag", "digits", "0", "--add", "keep", *words]) == 0
    capsys.readouterr()
    assert cli.run(["list", "digits", "--json", *words]) == 0
    trials = {one["number"]: one for one in json.loads(capsys.readouterr().out)}
    assert trials[0]["tags"] == ["keep"]
    assert cli.run(["rm", "digits", "--yes", *words]) == 0
    assert read.study_names(storage) == []


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("mysql://me@there/studies", "mysql:// is not supported. Write a file such as"),
        ("postgresql://me@there/studies", "Write postgresql+psycopg://..."),
        ("postgresql+psycopg://me@there:port/studies", "no URL of a database. Write postgresql+"),
    ],
)
def test_what_is_not_supported(storage: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        backend(storage)
    assert told in str(caught.value)


def test_no_server(capsys: Capture) -> None:
    """One line, and no word of the password."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNSEARCH_STORAGE", "postgresql+psycopg://me:s3cr{e}t@127.0.0.1:1/studies")
        assert cli.run(["list"]) == 4
    err = capsys.readouterr().err
    assert "me:***@127.0.0.1:1/studies" in err
    assert "s3cr" not in err
    assert err.count("\n") == 1


def test_passwords_in_the_query(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://me@127.0.0.1:1/db?password=s3cret&sslmode=prefer&sslpassword=s3"
    monkeypatch.setenv("CNNSEARCH_STORAGE", url)
    for verb in ("list", "doctor"):
        assert cli.run([verb]) != 0
        said = "".join(capsys.readouterr())
        assert "password=" in said
        assert "s3" not in said


def test_no_studies_yet_and_no_password(
    postgres: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNSEARCH_STORAGE", f"{postgres}&password=s3cret")
    assert cli.run(["list"]) == 0
    assert "s3cret" not in capsys.readouterr().err


def test_a_password_among_the_words(capsys: Capture) -> None:
    place = "postgresql+psycopg://"
    for rest in ("me:s3cret@there/db", "/db?password=s3", "/db?a=b&sslpassword=s3"):
        url = f"{place}{rest}"
        assert cli.run(["list", "--storage", url]) == 2
        err = capsys.readouterr().err
        assert "~/.pgpass" in err
        assert "s3" not in err
        for words in ([f"--storage={url}"], ["--storage", url, "--storage", "other.db"]):
            assert cli.run(["list", *words]) == 2, "a study would keep these words"
            assert "~/.pgpass" in capsys.readouterr().err


@pytest.fixture
def own_server(server: Server) -> Iterator[Server]:
    """The server, running again after the test."""
    yield server
    server.start()


@pytest.fixture(params=["sqlite", "postgres"])
def passing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Callable[[], None], Callable[[], None]]:
    """A storage, what makes it go, and what brings it back."""
    monkeypatch.setattr(writer, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(writer, "_LONGEST_PAUSE_S", 0.1)
    if request.param == "postgres":
        server: Server = request.getfixturevalue("own_server")
        return request.getfixturevalue("postgres"), server.stop, server.start
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.1)
    path = str(tmp_path / "studies.db")
    locking: list[sqlite3.Connection] = []

    def lock() -> None:
        locking.append(sqlite3.connect(path, isolation_level=None))
        locking[0].execute("BEGIN EXCLUSIVE")

    def unlock() -> None:
        locking.pop().close()

    return path, lock, unlock


def interrupted_search(
    storage: str, config: Config, go: Callable[[], None], back: Callable[[], None], limits: Limits
) -> list[Event]:
    """A search whose storage goes in trial 1's first epoch, and comes back once it has ended."""
    study, waiting = begun(storage, config)
    events: list[Event] = []
    gone = returned = False
    try:
        for event in Coordinator(study, config, InlineExecutor(), limits).run(waiting):
            events.append(event)
            if isinstance(event, Epoch) and event.trial.number == 1 and not gone:
                gone = True
                go()
            ended = any(isinstance(e, Ended) and e.trial.number == 1 for e in events)
            if isinstance(event, Tick) and event.gone and ended and not returned:
                returned = True
                back()
    finally:
        study.release()
    return events


def test_a_storage_that_is_gone_while_nothing_is_written(
    passing: tuple[str, Callable[[], None], Callable[[], None]],
) -> None:
    """Whatever is asked of it first: here, whether there are requests."""
    storage, go, back = passing
    study, _ = begun(storage, digits_config())
    try:
        go()
        study.apply_requests(0.0)
        assert study.gone is not None
        back()

        def is_back() -> bool:
            study.apply_requests(0.0)
            return study.gone is None

        until(is_back, "the storage")
    finally:
        study.release()


def test_results_wait_for_a_storage_that_is_gone(
    passing: tuple[str, Callable[[], None], Callable[[], None]], tmp_path: Path
) -> None:
    storage, go, back = passing
    config = digits_config()

    def kept_and_back() -> None:
        [file] = waiting_files("digits")  # already now: the process may be killed
        assert [one["number"] for one in json.loads(file.read_text())["trials"]] == [1]
        back()

    events = interrupted_search(storage, config, go, kept_and_back, Limits())
    assert any(isinstance(event, Tick) and event.gone for event in events)
    found = read.trials(storage, "digits")
    assert [trial.state for trial in found].count(State.KILLED) <= 1  # begun as it went
    ended = [trial for trial in found if trial.state is not State.KILLED]
    assert told(ended) == told(search(str(tmp_path / "other.db"), config))
    assert not waiting_files("digits")


def test_what_could_not_be_stored_is_taken_in(
    passing: tuple[str, Callable[[], None], Callable[[], None]], tmp_path: Path
) -> None:
    """Patience is at an end: the file keeps it, and nothing runs twice."""
    storage, go, back = passing
    config = digits_config()
    with pytest.raises(StorageGoneError) as caught:
        interrupted_search(storage, config, go, lambda: None, Limits(patience_s=0.3))
    assert "the next run takes them in" in str(caught.value)
    [file] = waiting_files("digits")
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept["storage"] == backend(storage).shown
    assert [one["number"] for one in kept["trials"] if one["state"]] == [1]
    back()
    # Another storage's search of the same name leaves them to the one that they belong to.
    whole = search(str(tmp_path / "other.db"), config)
    assert waiting_files("digits") == [file]
    found = search(storage, config)
    assert told(found) == told(whole)
    assert [trial.number for trial in found] == list(range(6))
    assert not waiting_files("digits")


def test_nor_can_the_file_be_written(
    passing: tuple[str, Callable[[], None], Callable[[], None]],
) -> None:
    """It is told with what the storage says, and the study is given back all the same."""
    storage, go, back = passing
    study, waiting = begun(storage, digits_config())
    trial = study.begin(waiting[0])
    file = Path(f"runs/digits/unstored-{study.run}.json")
    file.mkdir(parents=True)
    go()
    study.finish(replace(trial, state=State.DIVERGED, seconds=1.0))
    assert study.gone is not None
    with pytest.raises(StorageGoneError) as caught:
        study.release()
    assert str(caught.value).startswith(study.gone.message)
    assert f"cannot write {file}: Is a directory. 1 result could neither" in str(caught.value)
    assert list(file.parent.iterdir()) == [file]
    back()
    assert not is_held(storage, "digits")


def test_an_interruption_while_the_storage_is_gone(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is the interruption's, and where results wait is told."""
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.1)
    locking = sqlite3.connect("cnnsearch.db", isolation_level=None)

    def gone(_: object, __: object, study: Study, interruption: Interruption) -> None:
        trial = study.begin(remaining(study.config, [], 6)[0])
        locking.execute("BEGIN EXCLUSIVE")
        study.finish(replace(trial, state=State.DIVERGED, seconds=1.0))
        os.kill(os.getpid(), signal.SIGINT)
        while not interruption.happened():
            time.sleep(0.01)

    monkeypatch.setattr(searching, "_search", gone)
    with closing(locking):
        assert cli.run(["run", str(write_digits(tmp_path)), "-j", "0"]) == 130
    [file] = waiting_files("digits")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"interrupted; results wait in {file}, and the next run takes them in.")


def test_a_file_that_cannot_be_read_is_refused(storage: str) -> None:
    search(storage, digits_config())
    Path("runs/digits/unstored-1.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        search(storage, digits_config(trials=7))


def test_the_owner_is_another_one_when_the_server_is_back(
    postgres: str, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server forgets who owned a study: who comes first has it, and the other one stops."""
    monkeypatch.setattr(writer, "_FIRST_PAUSE_S", 0.05)
    others: list[StudyLock] = []

    def taken() -> None:
        own_server.start()
        others.append(StudyLock(postgres, "digits"))
        assert others[0].acquire()

    with pytest.raises(StudyBusyError):
        interrupted_search(postgres, digits_config(), own_server.stop, taken, Limits())
    others[0].release()
    found = search(postgres, digits_config())
    assert {trial.point for trial in found if trial.state is not State.KILLED} == set(range(6))

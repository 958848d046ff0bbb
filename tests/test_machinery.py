"""What the machinery costs and what that must not cost: transactions, readers' sight, counts."""

from __future__ import annotations

import io
import json
import random
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from rich.console import Console

from cnnsearch import ranking
from cnnsearch.config.config import Config
from cnnsearch.executors import Message
from cnnsearch.plan import remaining
from cnnsearch.records import Began, Diagnosis, Ended, Outcome, Start, State, Task, Tick, Trial
from cnnsearch.render import display as displays
from cnnsearch.render.display import LiveDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.render.verdicts import verdict_counts
from cnnsearch.search import Coordinator, Limits
from cnnsearch.study import attributes, read, requests, store, writer
from cnnsearch.study.database import open_storage
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import curve, write_study
from tests.test_display import trial as made

DATABASE = "cnnsearch.db"
START = Start(0, "0", 1, 7, {"lr": 0.01, "init": "he", "batchnorm": True})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Clock:
    """Time that passes only where a test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the study and of the display."""
    made = Clock()
    for module in (store, writer, displays):
        monkeypatch.setattr(module, "time", made)
    return made


class Quick:
    """An executor whose trials are over as soon as they are asked for."""

    slots = 2

    def __init__(self) -> None:
        self.tasks: deque[int] = deque()

    def submit(self, tasks: Sequence[Task]) -> None:
        self.tasks.extend(task.number for task in tasks)

    def wait(self, timeout: float) -> list[Message]:
        number = self.tasks.popleft()
        ended = Message(number, Outcome(State.COMPLETE))
        return [*(Message(number, result) for result in curve(0.5, 5)), ended]

    def answer(self, number: int, go_on: bool) -> None:
        pass

    def kill(self, number: int) -> None:
        pass

    def notices(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


def claimed(config: Config | None = None) -> Study:
    return Study.claim(DATABASE, config or digits_config(), "images", 6)


def reports() -> list[dict[int, float]]:
    """What another process reads of the epochs of each trial."""
    database = open_storage(DATABASE)
    try:
        study = optuna.load_study(study_name="digits", storage=database)
        return [found.intermediate_values for found in study.get_trials()]
    finally:
        database.engine.dispose()


def test_a_quick_trial_takes_three_transactions() -> None:
    study = claimed(digits_config(trials=20))
    commits: list[object] = []
    sqlalchemy.event.listen(study._database.engine, "commit", commits.append)
    starts = remaining(study.config, [], 20)
    study.apply_requests(0.0)
    for _ in Coordinator(study, study.config, Quick(), Limits(None)).run(starts):
        pass
    study.release()
    # Two that write, its begin and its end with all epochs, and a look at its number.
    assert 2 * 20 <= len(commits) <= 3 * 20 + 10
    assert reports() == [{e: 0.5 * e / 5 for e in range(1, 6)}] * 20
    assert [t.number for t in read.trials(DATABASE, "digits")] == list(range(20))


def test_readers_see_a_running_trial_within_a_second(clock: Clock) -> None:
    study = claimed()
    number = study.begin(START).number
    began = clock.now
    study.report(number, 1, 0.5)
    while not reports()[0]:
        assert clock.now - began < 1
        clock.now += 0.25  # a coordinator ticks four times a second
        study.apply_requests()
    assert reports() == [{1: 0.5}]
    study.release()


def test_pruners_see_a_report_at_once() -> None:
    study = claimed(digits_config(pruner="median"))
    number = study.begin(START).number
    study.report(number, 1, 0.5)
    assert reports() == [{1: 0.5}]
    study.release()


def test_a_trial_ends_whole_or_not_at_all(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    study = claimed()
    trial = study.begin(START)
    study.report(trial.number, 1, 0.5)

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(study._database, "set_trial_state_values", died)
        with pytest.raises(KeyboardInterrupt):
            study.finish(made(0, state=State.COMPLETE, value=0.5, curve=curve(0.5)))
    assert reports() == [{}]
    with closing(sqlite3.connect(study.storage)) as connection:
        keys = connection.execute("SELECT key FROM trial_user_attributes").fetchall()
        assert {key for (key,) in keys} == {attributes.BEGUN, attributes.CONFIG}
    study.report(trial.number, 1, 0.5)  # and writes as ever
    study.finish(made(0, state=State.COMPLETE, value=0.5, curve=curve(0.5)))
    study.release()
    assert reports() == [{1: 0.5}]
    assert read.trials(DATABASE, "digits")[0].state is State.COMPLETE


def test_a_number_that_another_program_took_is_not_ours() -> None:
    study = claimed()
    numbers = [study.begin(START).number]
    study._database.create_new_trial(study._id)
    numbers += [study.begin(START).number for _ in range(2)]
    study.release()
    assert numbers == [0, 2, 3]


def test_trials_of_version_0_1_are_read(tmp_path: Path) -> None:
    """Which kept each of what a trial begins with in an attribute of its own."""
    write_study(tmp_path / DATABASE)
    new = read.trials(DATABASE, "digits")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        rows = connection.execute(
            "SELECT trial_id, value_json FROM trial_user_attributes WHERE key = 'begun'"
        ).fetchall()
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'begun'")
        connection.executemany(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
            [(i, k, json.dumps(v)) for i, told in rows for k, v in json.loads(told).items()],
        )
    assert len(rows) == len(new) == 7
    assert read.trials(DATABASE, "digits") == new


def test_requests_are_looked_for_when_somebody_has_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = claimed()
    looks: list[int] = []
    study.begin(START)
    original = study._database.get_study_user_attrs

    def counted(study_id: int) -> dict[str, object]:
        looks.append(study_id)
        return original(study_id)

    monkeypatch.setattr(study._database, "get_study_user_attrs", counted)
    for step in range(5):
        study.report(0, step + 1, 0.5)
        study._writer.write()
        study.apply_requests(0.0)
    assert not looks
    other = open_storage(DATABASE)
    note = {"verb": "note", "trials": [0], "text": "see"}
    requests.leave(other, DATABASE, study._id, note)
    study.apply_requests(0.0)
    assert looks
    assert read.trials(DATABASE, "digits")[0].note == "see"
    other.engine.dispose()
    study.release()


def told(number: int, key: str, draw: random.Random) -> Trial:
    state = draw.choice((State.COMPLETE, State.DIVERGED, State.FAILED, State.KILLED))
    value = draw.choice((0.25, 0.5, 0.75)) if state is State.COMPLETE else None
    verdict = draw.choice(("ok", "overfit", None)) if state is not State.FAILED else None
    diagnosis = None if verdict is None else Diagnosis(verdict)
    return made(number, key=key, state=state, value=value, diagnosis=diagnosis)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_progress_equals_a_recount(seed: int, direction: str) -> None:
    draw = random.Random(seed)
    before = [told(i, str(i), draw) for i in range(10)]
    progress = SearchProgress(before, 30, direction, 2)
    ended = {t.key: t for t in before if t.state is not State.KILLED}
    for number in range(10, 80):
        key = str(draw.randrange(30))  # points are run again, those that are the best too
        progress.take(Began(made(number, key=key)))
        ended.pop(key, None)
        trial = told(number, key, draw)
        progress.take(Ended(trial))
        if trial.state is not State.KILLED:
            ended[key] = trial
        assert progress.done == len(ended)
        assert progress.best == ranking.best(ended.values(), direction)
        assert dict(progress.counts) == dict(ranking.counts(ended.values()))
        assert dict(progress.verdicts) == dict(verdict_counts(ended.values()))


def test_quick_trials_are_not_each_drawn(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    display = LiveDisplay(console, SearchProgress([], 300, "maximize", 2), "val_accuracy", 1)
    monkeypatch.setattr(display._live, "refresh", lambda: drawn.append(clock.now))
    began = clock.now
    for number in range(300):
        display.show(Began(made(number)))
        clock.now += 0.01
        display.show(Ended(made(number, state=State.COMPLETE, value=0.5, seconds=0.0)))
    assert 10 <= len(drawn) <= 1 + (clock.now - began) / 0.2
    assert drawn[-1] < clock.now
    clock.now += 0.25
    before = len(drawn)
    display.show(Tick())  # draws what was left out, and then nothing until something happens
    display.show(Tick())
    assert len(drawn) == before + 1

"""The coordinator over real studies: what runs, what is run again, what is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Data
from cnnsearch.data import load
from cnnsearch.errors import CnnsearchError, InputError, StudyBusyError
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.plan import planned, remaining
from cnnsearch.records import Ended, EpochResult, Event, Notice, Outcome, State, Task, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Choice, Grid, Range, point_key, random_point, trial_seed
from cnnsearch.study import attributes, read
from cnnsearch.study.database import open_storage
from cnnsearch.study.following import latest
from cnnsearch.study.store import Study, remove
from tests.builders import SPACE, digits_config

DATABASE = "cnnsearch.db"
FINGERPRINT = load(Data(name="digits")).fingerprint
Script = list[EpochResult | Outcome | Lost]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Scripted:
    """An executor whose trials end as they are told: for the coordinator's decisions alone."""

    slots = 2

    def __init__(self, script: dict[int, Script]) -> None:
        self.script = script
        self.tasks: list[Task] = []

    def submit(self, tasks: Sequence[Task]) -> None:
        self.tasks.extend(tasks)

    def wait(self, timeout: float) -> Sequence[Message]:
        messages = []
        for task in list(self.tasks):
            content = self.script.get(task.number, [epoch(1), Outcome(State.COMPLETE)])
            messages += [Message(task.number, item) for item in content]
            if isinstance(content[-1], Outcome | Lost):
                self.tasks.remove(task)
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        if not go_on:
            self.tasks = [task for task in self.tasks if task.number != number]

    def kill(self, number: int) -> None:
        pass

    def notices(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


def epoch(number: int, accuracy: float = 0.5, loss: float = 1.0) -> EpochResult:
    return EpochResult(number, 0.1, loss, accuracy, loss, accuracy, 0.01)


def search(
    config: Config,
    executor: InlineExecutor | Scripted | None = None,
    count: int | None = None,
    limits: Limits | None = None,
    retry_failed: bool = False,
) -> list[Event]:
    """Run what remains of a study, as the verb does."""
    count = count or planned(config)
    study = Study.claim(DATABASE, config, FINGERPRINT, count)
    try:
        waiting = remaining(config, study.trials(), count, retry_failed)
        coordinator = Coordinator(study, config, executor or InlineExecutor(), limits or Limits())
        return list(coordinator.run(waiting))
    finally:
        study.release()


def trials(study: str = "digits") -> list[Trial]:
    return read.trials(DATABASE, study)


def numbers(found: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(t.key, t.state, t.value, t.params, t.epochs, t.best_epoch, t.seed) for t in found]


def test_a_random_search_runs_its_points(tmp_path: Path) -> None:
    config = digits_config()
    search(config)
    found = trials()
    assert [t.params for t in found] == [random_point(SPACE, 0, k) for k in range(6)]
    assert [t.seed for t in found] == [trial_seed(0, k) for k in range(6)]
    assert {t.state for t in found} <= {State.COMPLETE, State.DIVERGED}
    for trial in found:
        folder = tmp_path / "runs" / "digits" / str(trial.number)
        assert "lr" in (folder / "config.yaml").read_text()
        curve = read.trial(DATABASE, "digits", trial.number).curve
        assert len(curve) == trial.epochs
        if trial.state is State.COMPLETE:
            assert trial.value == max(result.val_accuracy for result in curve)
    assert not list((tmp_path / "runs" / "digits").glob(".*"))


def test_running_twice_is_running_once() -> None:
    search(digits_config())
    before = trials()
    assert search(digits_config()) == []
    assert trials() == before


def test_more_trials_are_the_same_points_and_more() -> None:
    search(digits_config(trials=3))
    search(digits_config(trials=5))
    some = trials()
    search(digits_config("whole", trials=5))
    assert numbers(some) == numbers(trials("whole"))


def test_a_grid_runs_each_place_once_and_only_new_values_later() -> None:
    config = digits_config(sampler="grid", trials=None)
    search(config)
    first = trials()
    assert {t.key for t in first} == {point_key(Grid(SPACE)[i]) for i in range(12)}
    assert [t.seed for t in first] == [trial_seed(0, point_key(t.params)) for t in first]
    assert len(first) == 12
    grown = digits_config(
        sampler="grid", trials=None, space={**SPACE, "init": Choice(("he", "xavier", "glorot"))}
    )
    search(grown)
    assert trials()[:12] == first
    assert len(trials()) == 18
    assert {t.params["init"] for t in trials()[12:]} == {"glorot"}


def test_a_part_of_a_grid_is_shuffled_by_the_seed() -> None:
    search(digits_config(sampler="grid", trials=None), count=4)
    search(digits_config("other", sampler="grid", trials=None, seed=1), count=4)
    first, other = ({t.key for t in trials(name)} for name in ("digits", "other"))
    assert len(first) == len(other) == 4
    assert first != other


def test_tpe_runs_and_stores_optunas_params() -> None:
    search(digits_config(sampler="tpe", trials=12))
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    assert [t.params for t in study.trials] == [t.params for t in trials()]
    assert len({t.params["lr"] for t in study.trials}) == 12


@pytest.mark.parametrize("pruner", catalog.PRUNERS)
def test_pruners(pruner: str) -> None:
    """Trials far below the others are pruned where there is a pruner: of hyperband those whose
    bracket looks at them."""
    good: Script = [*(epoch(k, 0.9) for k in range(1, 10)), Outcome(State.COMPLETE)]
    bad: Script = [*(epoch(k, 0.1) for k in range(1, 10)), Outcome(State.COMPLETE)]
    script = dict.fromkeys(range(9), good) | dict.fromkeys(range(9, 18), bad)
    search(digits_config(trials=18, pruner=pruner, epochs=9), Scripted(script))
    pruned = [t for t in trials() if t.number >= 9 and t.state is State.PRUNED]
    if catalog.PRUNERS[pruner].target is None:
        assert not pruned
    elif pruner == "hyperband":
        assert 0 < len(pruned) < 9
    else:
        assert len(pruned) == 9
    for last in pruned:
        assert last.value is None
        assert "not promising" in (last.reason or "")


def test_states_in_optuna() -> None:
    """Diverged trials are PRUNED there, without a value that could be ranked."""
    script: dict[int, Script] = {
        0: [epoch(1), Outcome(State.COMPLETE)],
        1: [epoch(1, 0.99), Outcome(State.DIVERGED, "loss inf at step 9 (epoch 2)", {"step": 9})],
        2: [Outcome(State.FAILED, "ValueError: no", {"error": "ValueError: no", "where": "a:1"})],
    }
    search(digits_config(trials=3), Scripted(script))
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    states = [t.state.name for t in study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.best_trial.number == 0
    assert [t.state for t in trials()] == [State.COMPLETE, State.DIVERGED, State.FAILED]
    assert trials()[1].facts["step"] == 9


@pytest.mark.parametrize("retries", [0, 2])
def test_lost_workers_are_retried_and_then_failed(retries: int) -> None:
    lost: Script = [Lost("its worker was killed by SIGKILL")]
    script = dict.fromkeys(range(retries + 1), lost)
    search(digits_config(trials=1, retries=retries), Scripted(script))
    found = trials()
    assert [t.state for t in found] == [State.KILLED] * retries + [State.FAILED]
    assert [t.attempt for t in found] == list(range(1, retries + 2))
    assert "lost its worker" in (found[-1].reason or "")
    assert {t.key for t in found} == {"0"}
    assert {t.seed for t in found} == {found[0].seed}


def test_failed_points_run_again_only_when_asked() -> None:
    failed: Script = [Outcome(State.FAILED, "no", {"error": "no", "where": "a:1"})]
    search(digits_config(trials=2), Scripted({0: failed}))
    assert search(digits_config(trials=2), Scripted({})) == []
    search(digits_config(trials=2), Scripted({}), retry_failed=True)
    again = trials()[-1]
    assert (again.key, again.attempt, again.state) == ("0", 2, State.COMPLETE)


def test_five_equal_failures_in_a_row_stop_the_search() -> None:
    failed: Script = [
        Outcome(State.FAILED, "KeyError: 'x'", {"type": "KeyError", "where": "a.py:1"})
    ]
    script = dict.fromkeys(range(100), failed)
    with pytest.raises(CnnsearchError, match="5 trials in a row failed"):
        search(digits_config(trials=50), Scripted(script))
    states = [t.state for t in trials()]
    assert 5 <= states.count(State.FAILED) <= 6  # two end at a time
    assert len(states) <= 7


def failure(kind: str, where: str, text: str = "no") -> Script:
    return [Outcome(State.FAILED, text, {"type": kind, "where": where})]


def test_equal_failures_may_say_other_numbers() -> None:
    script = {n: failure("OutOfMemory", "a.py:1", f"no {n} GiB") for n in range(50)}
    with pytest.raises(CnnsearchError, match="5 trials in a row failed"):
        search(digits_config(trials=50), Scripted(script))


ODD_ONES: dict[str, Script] = {
    "another line": failure("KeyError", "a.py:2"),
    "another exception": failure("ValueError", "a.py:1"),
    "complete": [epoch(1), Outcome(State.COMPLETE)],
    "diverged": [Outcome(State.DIVERGED, "loss nan")],
}


@pytest.mark.parametrize("odd", ODD_ONES)
def test_failures_with_something_between_do_not_stop_it(odd: str) -> None:
    script = {n: ODD_ONES[odd] if n % 4 == 0 else failure("KeyError", "a.py:1") for n in range(20)}
    search(digits_config(trials=20), Scripted(script))
    assert len(trials()) == 20


def test_pruned_trials_between_failures_do_not_count_as_failures() -> None:
    bad: Script = [epoch(1, 0.1), epoch(2, 0.1), Outcome(State.COMPLETE)]
    good: Script = [epoch(1, 0.9), epoch(2, 0.9), Outcome(State.COMPLETE)]
    script: dict[int, Script] = dict.fromkeys(range(9), good)
    for n in range(9, 30):
        script[n] = bad if n % 3 == 0 else failure("KeyError", "a.py:1")
    search(digits_config(trials=30, pruner="median"), Scripted(script))
    assert [t.state for t in trials()].count(State.PRUNED) == 7


def test_what_arrived_with_the_fifth_failure_is_kept() -> None:
    script = {n: failure("KeyError", "a.py:1") for n in range(5)}
    with pytest.raises(CnnsearchError):
        search(digits_config(trials=9), Scripted(script))
    assert [t.state for t in trials()] == [State.FAILED] * 5 + [State.COMPLETE]


def test_a_worker_that_dies_of_the_interruption_costs_no_attempt() -> None:
    stop: list[bool] = []

    class Dying(Scripted):
        def wait(self, timeout: float) -> Sequence[Message]:
            stop.append(True)
            return [Message(task.number, Lost("killed by SIGTERM")) for task in self.tasks]

    config = digits_config(trials=1, retries=0)
    search(config, Dying({}), limits=Limits(interrupted=lambda: bool(stop)))
    assert [(t.state, t.reason) for t in trials()] == [(State.KILLED, "interrupted")]


@pytest.mark.parametrize("dies", [False, True])
def test_what_an_executor_has_to_say_is_an_event(dies: bool) -> None:
    """A display tells it when it can; nothing is printed beside it."""

    class Telling(Scripted):
        told = False

        def wait(self, timeout: float) -> Sequence[Message]:
            self.said = [] if self.told else ["node a gets no trials"]
            self.told = True
            if dies:
                raise CnnsearchError("no node takes trials")
            return super().wait(timeout)

        def notices(self) -> Sequence[str]:
            told, self.said = self.said, []
            return told

    config = digits_config(trials=2)
    study = Study.claim(DATABASE, config, FINGERPRINT, 2)
    events: list[Event] = []
    try:
        coordinator = Coordinator(study, config, Telling({}), Limits())
        events.extend(coordinator.run(remaining(config, [], 2)))
        assert not dies
    except CnnsearchError:
        assert dies
    finally:
        study.release()
    assert [one.text for one in events if isinstance(one, Notice)] == ["node a gets no trials"]


def test_folders_of_a_dead_coordinator_get_their_names(tmp_path: Path) -> None:
    left = tmp_path / "runs" / "digits" / ".7.partial"
    left.mkdir(parents=True)
    (left / "log.txt").write_text("what it printed")
    search(digits_config(trials=1))
    assert (left.parent / "7" / "log.txt").read_text() == "what it printed"


def test_n_is_the_total_of_a_grid_that_has_grown() -> None:
    def grid(*inits: str) -> Config:
        space = {"lr": Choice((0.1, 0.01, 0.001)), "init": Choice(inits)}
        return digits_config(sampler="grid", trials=None, space=space)

    search(grid("he", "xavier"), Scripted({}), count=4)
    search(grid("he", "xavier", "glorot"), Scripted({}), count=6)
    found = trials()
    assert len(found) == len({t.key for t in found}) == len({t.point for t in found}) == 6
    search(grid("he", "xavier", "glorot"), Scripted({}))
    assert len({t.key for t in trials()}) == len({t.point for t in trials()}) == 9


def test_a_grown_grid_keeps_unchanged_parameters_in_optuna() -> None:
    search(digits_config(sampler="grid", trials=None), Scripted({}))
    space = {**SPACE, "init": Choice(("he", "xavier", "glorot"))}
    search(digits_config(sampler="grid", trials=None, space=space), Scripted({}))
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    assert all({"lr", "batchnorm"} <= set(t.params) for t in study.trials)


def test_a_smaller_total_runs_nothing_more() -> None:
    search(digits_config(trials=4), Scripted({}))
    assert search(digits_config(trials=2), Scripted({})) == []
    assert read.summary(DATABASE, "digits").planned == 4


@pytest.mark.parametrize("name", ["a#b", "c?d", "50%41x", "braces{0}", "ä b"])
def test_odd_paths(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    storage = str(tmp_path / name / "x.db")
    study = Study.claim(storage, digits_config(), FINGERPRINT, 6)
    study.begin(remaining(digits_config(), [], 6)[0])
    study.release()
    assert Path(storage).is_file()
    assert read.study_names(storage) == ["digits"]
    assert len(read.trials(storage, "digits")) == 1
    assert [p.name for p in tmp_path.iterdir() if "xdg" not in p.name] == [name]


def test_a_link_to_the_database_has_the_same_lock() -> None:
    study = Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    try:
        Path("link.db").symlink_to(DATABASE)
        with pytest.raises(StudyBusyError):
            Study.claim("link.db", digits_config(), FINGERPRINT, 6)
    finally:
        study.release()


def test_several_first_runs_make_one_database() -> None:
    """Each makes the tables if there are none; started together, once they all have loaded."""
    code = (
        "import sys; from cnnsearch.study.database import open_storage;"
        "print('ready', flush=True); sys.stdin.readline(); open_storage('new.db')"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, error = process.communicate()
        assert process.returncode == 0, error


def test_a_creation_that_was_cut_short_is_done_anew() -> None:
    optuna.create_study(study_name="digits", storage=f"sqlite:///{DATABASE}", direction="minimize")
    search(digits_config(trials=1), Scripted({}))
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    assert study.direction.name == "MAXIMIZE"
    assert len(study.trials) == 1


def test_a_full_disk_is_one_line() -> None:
    config = digits_config(trials=3)
    study = Study.claim(DATABASE, config, FINGERPRINT, 3)
    with study._database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    study._database.engine.dispose()

    @sqlalchemy.event.listens_for(study._database.engine, "connect")
    def no_room(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    try:
        with pytest.raises(CnnsearchError, match="full") as raised:
            deque(map(study.begin, remaining(config, [], 3) * 50))
    finally:
        study.release()
    assert len(str(raised.value).splitlines()) == 1


def test_an_interruption_kills_what_runs_and_the_next_run_repeats_it() -> None:
    stop: list[bool] = []
    executor = Scripted({number: [epoch(1)] for number in range(1, 99)})
    study = Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    coordinator = Coordinator(
        study, digits_config(), executor, Limits(interrupted=lambda: bool(stop))
    )
    for event in coordinator.run(remaining(digits_config(), [], 6)):
        stop += [True] * isinstance(event, Ended)
    study.release()
    states = [t.state for t in trials()]
    assert states.count(State.KILLED) >= 1
    assert State.RUNNING not in states
    search(digits_config())
    search(digits_config("whole"))
    by_key = {t.key: t for t in trials()}
    for trial in trials("whole"):
        if by_key[trial.key].attempt > 1:
            assert numbers([by_key[trial.key]]) == numbers([trial])


def test_a_timeout_begins_no_trial_and_is_continued() -> None:
    assert search(digits_config(), limits=Limits(timeout_s=0.0)) == []
    search(digits_config())
    assert len(trials()) == 6


def test_what_a_dead_coordinator_left_running_is_killed_and_repeated() -> None:
    config = digits_config()
    study = Study.claim(DATABASE, config, FINGERPRINT, 6)
    begun = study.begin(remaining(config, [], 6)[0])
    assert trials()[0].state is State.RUNNING
    study.release()  # as the system does when a process dies
    assert trials()[0].state is State.KILLED
    again = Study.claim(DATABASE, config, FINGERPRINT, 6)
    assert trials()[0].state is State.KILLED  # for readers, and for any Optuna program too
    stored = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    assert stored.trials[0].state.name == "FAIL"
    again.release()
    search(config)
    assert trials()[0].state is State.KILLED
    last = next(t for t in trials() if t.key == begun.key and t.attempt == 2)
    assert last.state is not State.KILLED
    assert read.summary(DATABASE, "digits").counts.get(State.KILLED) is None


def test_a_second_coordinator_is_refused() -> None:
    config = digits_config()
    study = Study.claim(DATABASE, config, FINGERPRINT, 6)
    try:
        with pytest.raises(StudyBusyError, match=f"process {os.getpid()} on"):
            Study.claim(DATABASE, config, FINGERPRINT, 6)
        with pytest.raises(StudyBusyError):
            remove(DATABASE, "digits")
        other = Study.claim(DATABASE, digits_config("other"), FINGERPRINT, 6)
        other.release()
    finally:
        study.release()
    Study.claim(DATABASE, config, FINGERPRINT, 6).release()


CHANGES = {
    "seed": digits_config(seed=1),
    "space": digits_config(space={**SPACE, "lr": Range(1e-3, 2.0, log=True)}),
    "train": digits_config(train={"momentum": 0.5}),
    "sampler": digits_config(sampler="tpe"),
    "pruner": digits_config(pruner="median"),
    "objective": digits_config(objective="val_loss"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_config_is_refused(change: str) -> None:
    search(digits_config(trials=1))
    before = Path(DATABASE).read_bytes()
    with pytest.raises(InputError, match="--name"):
        Study.claim(DATABASE, CHANGES[change], FINGERPRINT, 6)
    assert Path(DATABASE).read_bytes() == before


def test_other_images_are_refused() -> None:
    search(digits_config(trials=1))
    with pytest.raises(InputError, match="other images"):
        Study.claim(DATABASE, digits_config(), "another", 6)


def test_retries_and_trials_may_change() -> None:
    search(digits_config(trials=1))
    Study.claim(DATABASE, digits_config(trials=9, retries=0), FINGERPRINT, 9).release()
    assert read.summary(DATABASE, "digits").config["search"]["retries"] == 0


def test_a_study_of_another_program_is_left_alone() -> None:
    study = optuna.create_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(InputError, match="another program"):
        Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    assert read.study_names(DATABASE) == []


def test_both_ways_of_reading_agree() -> None:
    search(digits_config(trials=4))
    with read._connection(DATABASE) as connection:
        assert connection is not None
        direct = list(read._rows(connection, "digits", attributes.LISTED, None))
    assert direct == list(read._rows_through_optuna(DATABASE, "digits", attributes.LISTED, None))


def test_values_follow_the_objective() -> None:
    rising: Script = [epoch(1, 0.9, 3.0), epoch(2, 0.4, 1.0), Outcome(State.COMPLETE)]
    expected = {
        ("val_accuracy", "best"): (0.9, 1),
        ("val_accuracy", "last"): (0.4, 1),
        ("val_loss", "best"): (1.0, 2),
        ("val_loss", "last"): (1.0, 2),
    }
    for (objective, at), (value, best) in expected.items():
        name = f"{objective}-{at}"
        search(
            digits_config(name, trials=1, objective=objective, at=at), Scripted({0: list(rising)})
        )
        trial = trials(name)[0]
        assert (trial.value, trial.best_epoch) == (value, best)


def test_an_empty_file_is_a_database_to_be() -> None:
    Path(DATABASE).touch()
    assert read.study_names(DATABASE) == []
    assert read.trials(DATABASE, "digits") == []
    search(digits_config(trials=1), Scripted({}))
    assert len(trials()) == 1


def test_a_database_is_empty_while_its_tables_are_made() -> None:
    """Another process makes them one by one; after each of its steps it is read."""
    found: list[object] = []

    def look(*event: Any) -> None:
        if event[2].split()[0] in ("CREATE", "INSERT"):
            found.append((read.study_names(DATABASE), read.summaries(DATABASE)))
            found.append((read.stages(DATABASE), read.study_attributes(DATABASE, "digits")))
            with pytest.raises(InputError, match="no studies in"):
                latest(DATABASE)

    sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", look)
    try:
        open_storage(DATABASE).engine.dispose()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "after_cursor_execute", look)
    assert found == [([], ([], {})), ({}, None)] * (len(found) // 2)
    assert len(found) > 20


def test_tables_without_a_version_are_read() -> None:
    """The program that made them died before it wrote their version."""
    search(digits_config(trials=2), Scripted({}))
    before = trials()
    with sqlite3.connect(DATABASE) as connection:
        connection.execute("DROP TABLE alembic_version")
    connection.close()
    assert trials() == before
    assert read.trials(DATABASE, "another") == []


def test_a_trial_on_other_images_than_the_studys_fails(tmp_path: Path) -> None:
    study = Study.claim(DATABASE, digits_config(trials=1), "of other images", 1)
    try:
        waiting = remaining(digits_config(trials=1), [], 1)
        list(Coordinator(study, digits_config(), InlineExecutor(), Limits()).run(waiting))
    finally:
        study.release()
    assert trials()[0].state is State.FAILED
    assert "others than when the study began" in (trials()[0].reason or "")


def test_a_result_without_its_state_does_not_count() -> None:
    """The coordinator died between writing the two: the trial was still running."""
    study = Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    begun = study.begin(remaining(digits_config(), [], 6)[0])
    result: dict[str, object] = {"state": "complete", "reason": None, "facts": {}}
    result |= {"epochs": 2, "best_epoch": 1}
    trial_id = study._writer.ids[begun.number]
    study._database.set_trial_user_attr(trial_id, attributes.RESULT, result)
    assert trials()[0].state is State.RUNNING
    study.release()
    assert (trials()[0].state, trials()[0].reason) == (State.KILLED, read.COORDINATOR_DIED)
    search(digits_config(), Scripted({}))
    assert [t.attempt for t in trials() if t.key == begun.key] == [1, 2]

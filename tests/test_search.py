"""The coordinator over real studies: what runs, what is run again, what is refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.errors import CnnsearchError, InputError, StudyBusyError
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.plan import planned, remaining
from cnnsearch.records import Ended, EpochResult, Event, Outcome, State, Task, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Choice, Grid, Range, point_key, random_point
from cnnsearch.study import attributes, read
from cnnsearch.study.store import Study, remove
from tests.builders import SPACE, digits_config

DATABASE = "cnnsearch.db"
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
        self.killed: list[int] = []

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

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
        self.killed.append(number)

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
    study = Study.claim(DATABASE, config, "fingerprint", count)
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
    """A trial far below the others is pruned at once where there is a pruner."""
    good: Script = [epoch(1, 0.9), epoch(2, 0.9), Outcome(State.COMPLETE)]
    script: dict[int, Script] = dict.fromkeys(range(9), good)
    bad: Script = [epoch(1, 0.1), epoch(2, 0.1), Outcome(State.COMPLETE)]
    script[9] = bad
    search(digits_config(trials=10, pruner=pruner), Scripted(script))
    last = next(t for t in trials() if t.number == 9)
    if pruner == "none":
        assert last.state is State.COMPLETE
    else:
        assert last.state is State.PRUNED
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
        Outcome(State.FAILED, "KeyError: 'x'", {"error": "KeyError: 'x'", "where": "a.py:1"})
    ]
    script = dict.fromkeys(range(100), failed)
    with pytest.raises(CnnsearchError, match="5 trials in a row failed"):
        search(digits_config(trials=50), Scripted(script))
    states = [t.state for t in trials()]
    assert states.count(State.FAILED) == 5
    assert len(states) <= 7


def test_failures_of_different_kinds_do_not_stop_it() -> None:
    script: dict[int, Script] = {
        n: [Outcome(State.FAILED, "no", {"error": "no", "where": f"a.py:{n % 2}"})]
        for n in range(20)
    }
    search(digits_config(trials=20), Scripted(script))
    assert len(trials()) == 20


def test_an_interruption_kills_what_runs_and_the_next_run_repeats_it() -> None:
    stop: list[bool] = []
    executor = Scripted({number: [epoch(1)] for number in range(1, 99)})
    study = Study.claim(DATABASE, digits_config(), "fingerprint", 6)
    coordinator = Coordinator(
        study, digits_config(), executor, Limits(interrupted=lambda: bool(stop))
    )
    for event in coordinator.run(remaining(digits_config(), [], 6)):
        stop += [True] * isinstance(event, Ended)
    study.release()
    states = [t.state for t in trials()]
    assert states.count(State.KILLED) >= 1
    assert State.RUNNING not in states
    assert executor.killed
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
    study = Study.claim(DATABASE, config, "fingerprint", 6)
    begun = study.begin(remaining(config, [], 6)[0])
    assert trials()[0].state is State.RUNNING
    study.release()  # as the system does when a process dies
    assert trials()[0].state is State.KILLED
    search(config)
    assert trials()[0].state is State.KILLED
    last = next(t for t in trials() if t.key == begun.key and t.attempt == 2)
    assert last.state is not State.KILLED
    assert read.summary(DATABASE, "digits").counts.get(State.KILLED) is None


def test_a_second_coordinator_is_refused() -> None:
    config = digits_config()
    study = Study.claim(DATABASE, config, "fingerprint", 6)
    try:
        with pytest.raises(StudyBusyError, match=f"process {os.getpid()} on"):
            Study.claim(DATABASE, config, "fingerprint", 6)
        with pytest.raises(StudyBusyError):
            remove(DATABASE, "digits")
        other = Study.claim(DATABASE, digits_config("other"), "fingerprint", 6)
        other.release()
    finally:
        study.release()
    Study.claim(DATABASE, config, "fingerprint", 6).release()


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
        Study.claim(DATABASE, CHANGES[change], "fingerprint", 6)
    assert Path(DATABASE).read_bytes() == before


def test_other_images_are_refused() -> None:
    search(digits_config(trials=1))
    with pytest.raises(InputError, match="other images"):
        Study.claim(DATABASE, digits_config(), "another", 6)


def test_retries_and_trials_may_change() -> None:
    search(digits_config(trials=1))
    Study.claim(DATABASE, digits_config(trials=9, retries=0), "fingerprint", 9).release()


def test_a_study_of_another_program_is_left_alone() -> None:
    study = optuna.create_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(InputError, match="another program"):
        Study.claim(DATABASE, digits_config(), "fingerprint", 6)
    assert read.study_names(DATABASE) == []


def test_both_ways_of_reading_agree() -> None:
    search(digits_config(trials=4))
    with read._connection(DATABASE) as connection:
        assert connection is not None
        direct = list(read._rows(connection, "digits", attributes.LISTED, None))
    through = list(read._rows_through_optuna(DATABASE, "digits", None))
    for one, other in zip(direct, through, strict=True):
        listed = {key: other[3][key] for key in one[3]}
        assert (*one[:3], one[3]) == (*other[:3], listed)


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

"""What must be true of a search once it was completed, whatever happened to it on the way."""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from optuna.trial import TrialState

from cnnsearch import runner
from cnnsearch.config import Config, from_plain
from cnnsearch.objective import value
from cnnsearch.records import EpochResult, Outcome, Params, State, Trial
from cnnsearch.study import read
from cnnsearch.study.database import opened
from faulting.plans import Like, Plan
from faulting.processes import FaultError, until
from faulting.scenario import Command, Scenario

ORPHANS_S = 10
_TOLD = 3


@dataclass(frozen=True)
class Ending:
    """A point's result: everything that must not depend on what happened on the way."""

    params: Params
    seed: int
    state: State
    value: float | None
    epochs: int
    best_epoch: int | None
    reason: str | None
    curve: tuple[EpochResult, ...]


@dataclass
class Found:
    """What faults did, one after another.

    Args:
        tried: how often the fault was made.
        lost: points without an end; `twice`: with several; `changed`: whose numbers differ.
        orphans: processes that outlived the search.
        killed: attempts that were lost, which is no loss.
        problems: in words, the first of each kind.
        notes: what else was measured.
    """

    tried: int = 0
    lost: int = 0
    twice: int = 0
    changed: int = 0
    orphans: int = 0
    killed: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take in what another scenario found."""
        self.tried += other.tried
        self.lost += other.lost
        self.twice += other.twice
        self.changed += other.changed
        self.orphans += other.orphans
        self.killed += other.killed
        self.problems += other.problems
        self.notes += other.notes

    def expect(self, true: object, problem: str) -> None:
        """Note a problem where something is not true."""
        if not true:
            self.problems.append(problem)


def endings(storage: str, study: str) -> dict[str, Ending]:
    """Each point's result, by its key."""
    curves = read.curves(storage, study)
    last = {trial.key: trial for trial in _by_attempt(read.trials(storage, study))}
    return {key: _ending(trial, curves[trial.number]) for key, trial in last.items()}


def check(
    scenario: Scenario,
    expected: Mapping[str, Ending],
    again: Collection[State] = (State.KILLED,),
) -> Found:
    """Hold a completed search against an undisturbed one.

    Args:
        expected: of the undisturbed run; empty where each trial is held against its own parameters.
        again: states of attempts that other attempts may follow.
    """
    found = Found()
    scenario.look()
    plan, study = scenario.plan, scenario.plan.name
    with opened(scenario.reached) as database:
        study_id = database.get_study_id_from_name(study)
        running = len(database.get_all_trials(study_id, states=(TrialState.RUNNING,)))
    found.expect(not running, f"{running} trials are left running")
    trials = _by_attempt(read.trials(scenario.reached, study))
    found.killed = sum(trial.state is State.KILLED for trial in trials)
    _ended_once(found, plan, trials, again)
    ends = endings(scenario.reached, study)
    _same(found, scenario, ends, expected)
    found.orphans = _orphans(scenario)
    found.expect(not found.orphans, f"{found.orphans} processes outlive the search by 10 s")
    changed = sorted(scenario.changed_files)
    found.expect(not changed, f"files of ended trials changed later: {', '.join(changed)}")
    for command in scenario.commands:
        found.expect(not _tracebacks(command), f"a traceback on stderr: {command.last}")
    return found


def completed(scenario: Scenario, expected: Mapping[str, Ending], *words: str) -> Found:
    """Continue a search to its end, and check it."""
    scenario.look()
    scenario.run(*words).done()
    return check(scenario, expected)


def rerun(scenario: Scenario) -> int:
    """How many attempts had trained before they were killed: work that was done again."""
    trials = read.trials(scenario.reached, scenario.plan.name)
    return sum(trial.state is State.KILLED and trial.epochs > 0 for trial in trials)


def _by_attempt(trials: Sequence[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: (trial.attempt, trial.number))


def _ending(trial: Trial, curve: Sequence[EpochResult]) -> Ending:
    return Ending(
        params=trial.params,
        seed=trial.seed,
        state=trial.state,
        value=trial.value,
        epochs=trial.epochs,
        best_epoch=trial.best_epoch,
        reason=trial.reason,
        curve=tuple(replace(one, seconds=0.0, probe=None) for one in curve),
    )


def _ended_once(
    found: Found, plan: Plan, trials: Sequence[Trial], again: Collection[State]
) -> None:
    """Each point has one attempt that ended it, the last one."""
    attempts: dict[str, list[Trial]] = {}
    for trial in trials:
        attempts.setdefault(trial.key, []).append(trial)
    lost = max(0, plan.trials - len(attempts))
    twice = []
    for key, ones in attempts.items():
        lost += ones[-1].state in (State.KILLED, State.RUNNING)
        if any(one.state not in again for one in ones[:-1]):
            twice.append(key)
    found.lost += lost
    found.twice += len(twice)
    found.expect(not lost, f"{lost} points have no end")
    found.expect(not twice, f"points {', '.join(twice[:_TOLD])} ended and were run again")
    found.expect(len(attempts) <= plan.trials, f"{len(attempts)} points of {plan.trials}")


def _same(
    found: Found, scenario: Scenario, ends: Mapping[str, Ending], expected: Mapping[str, Ending]
) -> None:
    """The numbers are those that they would have been."""
    plan, differ = scenario.plan, []
    config = from_plain(read.summary(scenario.reached, plan.name).config)
    step = max(1, len(ends) // plan.sample) if plan.sample else 1
    for key, end in list(ends.items())[::step]:
        if key in plan.losing:
            same = end.state is State.FAILED
        elif plan.like is Like.OWN:
            same = _is_its_own(config, end)
        else:
            same = key in expected and _is_like(plan.like, end, expected[key])
        if not same:
            differ.append(f"{key} ({end.state}, {end.value}, {end.epochs} epochs, {end.reason})")
    found.changed += len(differ)
    found.expect(not differ, f"other numbers than undisturbed: points {'; '.join(differ[:_TOLD])}")


def _is_like(like: Like, end: Ending, whole: Ending) -> bool:
    if like is Like.PREFIX and end.state is State.PRUNED:
        shorter = end.curve == whole.curve[: len(end.curve)]
        return shorter and (end.params, end.seed) == (whole.params, whole.seed)
    return end == whole


def _is_its_own(config: Config, end: Ending) -> bool:
    """A trial gives what its parameters give, run here."""
    assert config.search is not None
    items = list(runner.run(config.at(end.params, end.seed)))
    curve = tuple(
        replace(item, seconds=0.0, probe=None) for item in items if isinstance(item, EpochResult)
    )
    outcome = items[-1]
    assert isinstance(outcome, Outcome)
    own = value(curve, config.search.objective, config.search.at)
    own = own if outcome.state is State.COMPLETE else None
    return (curve, outcome.state, own) == (end.curve, end.state, end.value)


def _tracebacks(command: Command) -> int:
    """Those on stderr, without what Python's own forkserver prints where its client is killed in
    the moment that it asks for a process: the user's SIGKILL, and none of the program's errors."""
    count = command.talk.count("Traceback")
    if command.process.returncode == -signal.SIGKILL and "forkserver.py" in command.talk:
        count -= command.talk.count("EOFError: Ran out of input")
    return count


def _orphans(scenario: Scenario) -> int:
    try:
        until(lambda: not scenario.left(), ORPHANS_S, "the end of all processes")
    except FaultError:
        return len(scenario.left())
    return 0

"""Processes that die or stand still: workers, the coordinator, all at once."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from cnnsearch.config import load
from cnnsearch.errors import StudyBusyError
from cnnsearch.records import State
from cnnsearch.study import read
from cnnsearch.study.store import Study
from faulting.databases import is_whole
from faulting.invariants import Found, check
from faulting.plans import LONG, PLAN, Plan
from faulting.processes import FaultError, is_alive, until
from faulting.scenario import Command, Scenario
from faulting.setting import Setting

# So often one search is hit; then it is completed and looked at.
EACH = 10
_SIGNALS = (
    (signal.SIGTERM, 143, 1),
    (signal.SIGINT, 130, 1),
    (signal.SIGINT, 130, 2),
)
_END_S = 10
_TRIAL_TIMEOUT_S = 4


def worker_killed(setting: Setting, times: int, plan: Plan = PLAN) -> Found:
    """SIGKILL of a random worker, several times a search."""
    found = Found()
    setting.undisturbed(plan)
    while found.tried < times:
        scenario = setting.scenario(plan)
        command = scenario.run()
        for _ in range(min(EACH, times - found.tried)):
            if not scenario.moment(command, setting.draws, 0.8):
                break
            found.tried += kill_worker(setting, command)
            scenario.look()
        command.done()
        found.add(setting.check(scenario))
    return found


def kill_worker(setting: Setting, command: Command) -> bool:
    """SIGKILL a random worker and wait for its death; False where there was none."""
    workers = command.workers()
    if not workers:
        return False
    victim = setting.draws.choice(workers)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return False
    until(lambda: not is_alive(victim), 10, "the death of a worker")
    return True


def coordinator_killed(setting: Setting, times: int, plan: Plan = PLAN) -> Found:
    """SIGKILL of the coordinator, then `run` again; one in four at any moment of its start."""
    found = Found()
    setting.undisturbed(plan)
    while found.tried < times:
        scenario = setting.scenario(plan)
        for _ in range(min(EACH, times - found.tried)):
            command = scenario.run()
            if not _before_kill(setting, scenario, command):
                break
            command.kill()
            found.tried += 1
        found.add(setting.complete(scenario))
    return found


def _before_kill(setting: Setting, scenario: Scenario, command: Command) -> bool:
    """Wait for a moment; False where the search ended before."""
    if setting.draws.random() < 0.25:
        time.sleep(setting.draws.uniform(0, 5))
    else:
        scenario.moment(command, setting.draws)
    scenario.look()
    return command.runs


def everything_killed(setting: Setting, times: int) -> Found:
    """SIGKILL of everything, then the search goes on in a copy of its folder and its journal."""
    found, journals = Found(), 0
    setting.undisturbed(PLAN)
    while found.tried < times:
        scenario = setting.scenario(PLAN)
        for _ in range(min(EACH, times - found.tried)):
            command = scenario.run()
            scenario.moment(command, setting.draws)
            journal = scenario.folder / "cnnsearch.db-journal"
            if setting.draws.random() < 0.7:  # most moments have none
                _until_written(command, journal)
            if not command.runs:
                break
            scenario.kill_all()
            journals += journal.exists()
            found.expect(not scenario.left(), "a process is left")
            looked_at = scenario.copied(setting.folder("looked-at"))
            found.expect(is_whole(looked_at.storage), "integrity_check of a copy")
            scenario = scenario.copied(setting.folder("copy"))
            found.tried += 1
        found.add(setting.complete(scenario))
    found.notes.append(f"{journals} of {found.tried} copies with a journal")
    return found


def _until_written(command: Command, journal: Path) -> None:
    """Wait for a moment in which the database is written, at a shorter interval than `until`."""
    deadline = time.monotonic() + 60
    while command.runs and not journal.exists():
        if time.monotonic() > deadline:
            raise FaultError("no journal in 60 s")


def interrupted(setting: Setting, times: int) -> Found:
    """SIGTERM, SIGINT, and SIGINT twice, to the process or its group; then it is continued."""
    found = Found()
    setting.undisturbed(PLAN)
    slowest = 0.0
    while found.tried < times:
        scenario = setting.scenario(PLAN)
        for _ in range(EACH):
            command = scenario.run()
            if found.tried == times or not scenario.moment(command, setting.draws):
                break
            number, code, how_often = _SIGNALS[found.tried % len(_SIGNALS)]
            sent = time.monotonic()
            found.add(_interrupt(setting, scenario, command, (number, code, how_often)))
            slowest = max(slowest, time.monotonic() - sent)
        else:
            command = scenario.run()
        command.done()
        found.add(setting.check(scenario))
    found.notes.append(f"ended within {slowest:.1f} s")
    return found


def _interrupt(
    setting: Setting, scenario: Scenario, command: Command, how: tuple[signal.Signals, int, int]
) -> Found:
    """Interrupt a search, and look at what it leaves; nothing was tried where it ended first."""
    number, code, how_often = how
    found = Found(tried=1)
    group = setting.draws.random() < 0.5
    for left in reversed(range(how_often)):
        command.send(number, group)
        if left:
            time.sleep(setting.draws.uniform(0, 0.3))
    name = f"{number.name} {how_often}x"
    ended = command.code(_END_S)
    # Once the search is over, nothing catches the signal any more.
    over = f"[{scenario.plan.trials}/{scenario.plan.trials}]" in command.talk
    if over and ended in (0, -number):
        return Found()
    found.expect(ended == code, f"{name}: exit code {ended} instead of {code}: {command.last}")
    if how_often == 1:
        said = "To continue: cnnsearch run" in command.talk
        found.expect(said, f"{name}: no word of how to continue: {command.last}")
        states = {trial.state for trial in read.trials(scenario.storage, scenario.plan.name)}
        found.expect(State.RUNNING not in states, f"{name}: trials are left running")
        found.expect(
            State.KILLED in states or "killed" not in command.talk, f"{name}: killed, not stored"
        )
    scenario.look()
    return found


def second_coordinator(setting: Setting, times: int) -> Found:
    """Another `run` of a study that runs: refused within a second, with host and process."""
    found = Found()
    setting.undisturbed(LONG)
    slowest = 0.0
    while found.tried < times:
        scenario = setting.scenario(LONG)
        command = scenario.run()
        scenario.begun(command)
        while command.runs and found.tried < times:
            began = time.monotonic()
            said = _refused(scenario)
            slowest = max(slowest, time.monotonic() - began)
            other = scenario.run()
            code = other.code()
            if not command.runs:
                break  # it may have been right not to refuse
            owner = f"process {command.pid} on {socket.gethostname()}"
            found.expect(owner in said, f"claimed: {said}")
            found.expect(owner in other.last and code == 1, f"exit code {code}: {other.last}")
            found.tried += 1
        command.done()
        found.add(setting.check(scenario))
    found.expect(slowest <= 1, f"refused after {slowest:.2f} s")
    found.notes.append(f"refused within {slowest:.2f} s")
    return found


def _refused(scenario: Scenario) -> str:
    """What is said to this process where it wants to have the study."""
    config = load(scenario.folder / "search.yaml")
    attrs = read.study_attributes(scenario.reached, config.study) or {}
    try:
        study = Study.claim(scenario.reached, config, attrs["fingerprint"], scenario.plan.trials)
    except StudyBusyError as busy:
        return str(busy)
    study.release()
    return "it was given"


def stopped_worker(setting: Setting, times: int) -> Found:
    """SIGSTOP of a worker past --trial-timeout, then SIGCONT; `--retry failed` makes it good."""
    found = Found()
    setting.undisturbed(PLAN)
    while found.tried < times:
        scenario = setting.scenario(PLAN)
        command = scenario.run("--trial-timeout", f"{_TRIAL_TIMEOUT_S}s")
        failures = 0
        for _ in range(min(2, times - found.tried)):
            if not scenario.moment(command, setting.draws, 0.8) or not command.workers():
                break
            failures += _stop(setting, command, failures)
        command.done()
        scenario.look()
        found.tried += failures
        trials = read.trials(scenario.storage, scenario.plan.name)
        failed = [trial for trial in trials if trial.state is State.FAILED]
        reasons = {trial.reason for trial in failed}
        allowed = {f"told nothing for {_TRIAL_TIMEOUT_S} s, which --trial-timeout allows"}
        found.expect(len(failed) == failures, f"{len(failed)} failed of {failures} stopped")
        found.expect(reasons <= allowed, f"failed as {reasons}")
        scenario.run("--retry", "failed").done()
        again = (State.KILLED, State.FAILED)
        found.add(check(scenario, setting.undisturbed(scenario.plan), again))
    return found


def _stop(setting: Setting, command: Command, before: int) -> bool:
    """Stop a worker until its trial has failed; False where none of its trials did."""
    victim = setting.draws.choice(command.workers())
    os.kill(victim, signal.SIGSTOP)
    failed = "told nothing for"
    until(
        lambda: command.talk.count(failed) > before or not command.runs,
        60,
        "a stopped trial to fail",
    )
    if is_alive(victim):
        os.kill(victim, signal.SIGCONT)
    return command.talk.count(failed) > before


def soak(setting: Setting, _: int) -> Found:
    """Every few seconds SIGKILL of a worker or the coordinator, search after search."""
    found = Found()
    setting.undisturbed(PLAN)
    workers = coordinators = searches = 0
    deadline = time.monotonic() + 60 * setting.minutes
    while time.monotonic() < deadline and not found.problems:
        scenario, searches = setting.scenario(PLAN), searches + 1
        command = scenario.run()
        while time.monotonic() < deadline and scenario.moment(command, setting.draws, 4.0):
            if setting.draws.random() < 0.5:
                workers += kill_worker(setting, command)
            else:
                command.kill()
                coordinators += 1
                command = scenario.run()
            scenario.look()
        command.done()
        found.add(setting.check(scenario))
    found.tried = workers + coordinators
    told = f"{workers} workers and {coordinators} coordinators killed in {searches} searches"
    found.notes.append(told)
    return found

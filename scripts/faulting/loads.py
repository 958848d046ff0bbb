"""Too little memory, and very many trials."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import time
import urllib.request
from collections.abc import Mapping

from cnnsearch.config import from_plain
from cnnsearch.plan import remaining
from cnnsearch.records import State
from cnnsearch.study import read
from faulting.invariants import Found
from faulting.plans import grid_search, tiny_search
from faulting.processes import children
from faulting.scenario import Command
from faulting.setting import Setting

# A process that has loaded torch takes 2 to 4 GB of addresses.
_ADDRESSES = 8 * 2**30
_JOBS = 16
_SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
_ON_A_TERMINAL = (sys.executable, "-c", _SPAWN)


def out_of_memory(setting: Setting, times: int) -> Found:
    """One trial in the middle needs more than there is: tried again alone, then failed."""
    found = Found()
    plan = grid_search()
    setting.undisturbed(plan)
    for _ in range(times):
        scenario = setting.scenario(plan)
        scenario.run(limits=_limited).done()
        found.tried += 1
        found.add(setting.check(scenario))
        trials = read.trials(scenario.storage, plan.name)
        huge = [trial for trial in trials if trial.key in plan.losing]
        states = [trial.state for trial in huge]
        right = states == [State.KILLED, State.FAILED]
        found.expect(right, f"the huge trial is {', '.join(states)}")
        reasons = " ".join(trial.reason or "" for trial in huge)
        said = "to be tried again alone" in reasons and "alone too" in reasons
        found.expect(said, f"the huge trial: {reasons}")
        found.expect(len(trials) == plan.trials + 1, f"{len(trials)} attempts")
    return found


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))


def many(setting: Setting, _: int) -> Found:
    """Thousands of trials by 16 workers, with all that only looks open beside them."""
    plan = tiny_search(setting.trials)
    scenario = setting.scenario(plan)
    began = time.monotonic()
    command = scenario.run("-j", str(_JOBS))
    scenario.begun(command)
    found, readings, seen = Found(tried=1), 0, 0
    lines = scenario.start("watch", plan.name)
    view = scenario.start("watch", plan.name, through=_ON_A_TERMINAL)
    dashboard = scenario.start("dashboard", "--port", "0")
    dashboard.told("/dashboard")
    pages = re.findall(r"http://\S+(?=/dashboard)", dashboard.talk)[0]
    while command.runs:
        with urllib.request.urlopen(f"{pages}/api/studies", timeout=120) as answer:
            names = [study["study_name"] for study in json.load(answer)["study_summaries"]]
        found.expect(plan.name in names, f"optuna-dashboard knows {names}")
        reader = scenario.start("list", plan.name, "--json")
        reader.done(seconds=120)
        count = len(json.loads(reader.out))
        found.expect(count >= seen, f"list: {count} trials after {seen}")
        readings, seen = readings + 1, count
        scenario.commands.remove(reader)
    command.done()
    seconds = time.monotonic() - began
    lines.done()
    _close(found, {"watch": view, "optuna-dashboard": dashboard})
    scenario.commands = [command]
    found.add(setting.check(scenario))
    config = from_plain(read.summary(scenario.storage, plan.name).config)
    drawn = {start.key: (start.params, start.seed) for start in remaining(config, [], plan.trials)}
    trials = read.trials(scenario.storage, plan.name)
    right = {trial.key: (trial.params, trial.seed) for trial in trials} == drawn
    found.expect(right, "other points than drawn")
    rate = f"{plan.trials} trials in {seconds:.0f} s: {plan.trials / seconds:.1f} a second"
    told = sum(line.startswith("[") for line in lines.out.splitlines())
    found.expect(told == plan.trials, f"watch told of {told} trials")
    found.notes.append(f"{rate}; list and optuna-dashboard asked {readings} times; watch open")
    return found


def _close(found: Found, looking: Mapping[str, Command]) -> None:
    """End what looks on, which must have met no error."""
    for name, command in looking.items():
        found.expect(command.runs, f"{name} ended: {command.last}")
        # On a terminal of its own it is a child of what made that; SIGINT and SIGHUP are ignored by
        # what a script began in the background.
        for pid in children(command.pid) or [command.pid]:
            os.kill(pid, signal.SIGTERM)
        command.code(60)
        told = command.talk + command.out
        found.expect("Traceback" not in told and "Error" not in told, f"{name}: {command.last}")

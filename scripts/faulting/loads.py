"""Too little memory, and very many trials."""

from __future__ import annotations

import json
import resource
import time

from cnnsearch.config import from_plain
from cnnsearch.plan import remaining
from cnnsearch.records import State
from cnnsearch.study import read
from faulting.invariants import Found
from faulting.plans import grid_search, tiny_search
from faulting.setting import Setting

# A process that has loaded torch takes 2 to 4 GB of addresses.
_ADDRESSES = 8 * 2**30
_JOBS = 16


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
    """Thousands of trials by 16 workers, while another process reads them again and again."""
    plan = tiny_search(setting.trials)
    scenario = setting.scenario(plan)
    began = time.monotonic()
    command = scenario.run("-j", str(_JOBS))
    scenario.begun(command)
    found, readings, seen = Found(tried=1), 0, 0
    while command.runs:
        reader = scenario.start("list", plan.name, "--json")
        reader.done(seconds=120)
        count = len(json.loads(reader.out))
        found.expect(count >= seen, f"list: {count} trials after {seen}")
        readings, seen = readings + 1, count
        scenario.commands.remove(reader)
    command.done()
    seconds = time.monotonic() - began
    found.add(setting.check(scenario))
    config = from_plain(read.summary(scenario.storage, plan.name).config)
    drawn = {start.key: (start.params, start.seed) for start in remaining(config, [], plan.trials)}
    trials = read.trials(scenario.storage, plan.name)
    right = {trial.key: (trial.params, trial.seed) for trial in trials} == drawn
    found.expect(right, "other points than drawn")
    rate = f"{plan.trials} trials in {seconds:.0f} s: {plan.trials / seconds:.1f} a second"
    found.notes.append(f"{rate}; list {readings} times")
    return found

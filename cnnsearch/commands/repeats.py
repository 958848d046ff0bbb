"""What `rerun --seeds N` does: repeat trials with new seeds, in a study of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from cnnsearch import ranking
from cnnsearch.commands.request import again
from cnnsearch.commands.rerun import Request
from cnnsearch.config import (
    Config,
    from_plain,
    is_study_name,
    study_name,
    with_values,
)
from cnnsearch.errors import InputError
from cnnsearch.interruption import Interruption
from cnnsearch.preflight import Preflight, examine
from cnnsearch.records import Start, State, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.rerun import Repeated, print_repeats, repeats_object
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted
from cnnsearch.review.noise import Finalist
from cnnsearch.review.sureness import images_of
from cnnsearch.running.display import ended_as_interrupted, make_folder
from cnnsearch.running.work import Work, carry_out
from cnnsearch.running.workers import LocalWorkers, Workers
from cnnsearch.search import Limits
from cnnsearch.space import point_key, repeat_seed
from cnnsearch.study import attributes, read
from cnnsearch.study.resuming import check_resume
from cnnsearch.study.store import Study

_AGAIN = (State.KILLED, State.RUNNING, State.FAILED)
_TOLD = frozenset(State) - {State.KILLED, State.RUNNING}
# What may differ from the search without another meaning of the values.
_NEUTRAL = frozenset({"device", "threads", "diagnose", "root", "retries", "timeout", "trials"})


@dataclass(frozen=True)
class _Plan:
    """What is to be repeated.

    Args:
        parent: the study that the finalists are of.
        finalists: those with other hyperparameters than all before them: with the same seeds equal
            ones would give equal numbers.
        equals: the others, by number the finalist that each equals.
        config: of the study of repeats.
        seeds: how many; they are numbered from 1.
        watched: show the full-screen view while they run.
    """

    storage: str
    parent: StudySummary
    finalists: Sequence[Trial]
    equals: Mapping[int, int]
    config: Config
    seeds: int
    watched: bool

    @property
    def kind(self) -> dict[str, Any]:
        """What the study of repeats keeps of where it comes from, see `attributes.RERUN`."""
        kept = read.study_attributes(self.storage, self.config.study) or {}
        before = kept.get(attributes.RERUN, {}).get("trials", [])
        numbers = sorted({*before, *(trial.number for trial in self.finalists), *self.equals})
        return {"study": self.parent.name, "trials": numbers}


def repeat(request: Request, seeds: int, name: str | None) -> int:
    """Train the finalists with new seeds, as far as that was not done, and tell what came.

    Returns:
        the exit code.
    """
    plan = _plan(request, seeds, name)
    check_resume(plan.storage, plan.config, repeats=plan.kind)
    workers = LocalWorkers(request.jobs)
    with workers.begun():
        ready = _examined(plan)
        with Interruption() as interruption:
            if _waiting(plan, read.trials(plan.storage, plan.config.study)):
                make_folder(plan.config)
                with ended_as_interrupted(plan.config.study, interruption):
                    _run(plan, ready, workers, interruption)
    with ended_as_interrupted(plan.config.study, interruption):
        found = _repeated(plan, request.values)
    if request.as_json:
        output.write_json(repeats_object(found))
    else:
        print_repeats(found)
    if interruption.happened():
        say(f"interrupted. To continue: {again()}")
        return interruption.exit_code
    return 0 if any(one.finished for one in found.finalists) else 3


def _plan(request: Request, seeds: int, name: str | None) -> _Plan:
    parents = {one.summary.name: one.summary for one in request.picked}
    if len(parents) > 1:
        raise InputError(
            f"trials of {len(parents)} studies ({', '.join(parents)}). "
            "Repeat those of one study at a time."
        )
    (parent,) = parents.values()
    name = f"{parent.name}-rerun" if name is None else name
    if not is_study_name(name):
        raise InputError(f"--name: {name!r} is no study name. Write --name {study_name(name)}.")
    first: dict[str, Trial] = {}
    equals = {}
    for one in request.picked:
        finalist = first.setdefault(point_key(one.trial.params), one.trial)
        if finalist is not one.trial:
            equals[one.trial.number] = finalist.number
    config = _config(parent, name, request.values, seeds * len(first))
    found = list(first.values())
    return _Plan(request.storage, parent, found, equals, config, seeds, request.watched)


def _config(parent: StudySummary, name: str, values: Mapping[str, Any], trials: int) -> Config:
    """The parent's config with other values; without a pruner, as each repeat is to have a value.

    Raises:
        InputError: a value does not fit, or is searched.
    """
    config = from_plain(dict(parent.config))
    searched = [value for value in values if value in (config.space or {})]
    if searched:
        raise InputError(
            f"{searched[0]} is searched by {parent.name}: each of its trials has its own. "
            f"Leave {searched[0]} out."
        )
    own = {"study": name, "trials": trials, "pruner": "none", "timeout": None}
    return with_values(config, {**own, **values}, "-S")


def _examined(plan: _Plan) -> Preflight:
    """Find what would make repeats fail; the images are those of the parent.

    Raises:
        InputError: with what is wrong.
    """
    where = f"study {plan.config.study}"
    found = [examine(plan.config.at(t.params, t.seed), say, where) for t in plan.finalists]
    stored = read.study_attributes(plan.storage, plan.parent.name) or {}
    if stored.get(attributes.FINGERPRINT) not in (None, found[0].images.fingerprint):
        raise InputError(
            f"data.root: holds other images than when {plan.parent.name} was started. "
            "Bring them back, or search again."
        )
    return found[0]


def _key(trial: Trial, number: int) -> str:
    """The identity of a repeat: hyperparameters and seed, whichever trial was named."""
    return f"{point_key(trial.params)}, seed {number}"


def _waiting(plan: _Plan, before: Sequence[Trial]) -> deque[Start]:
    """The repeats that have not ended, seed by seed, so that what there is can be compared.

    Those that failed are run again: whoever gives the command again has mended what failed.
    """
    last = {trial.key: trial for trial in ranking.last_attempts(before)}
    free = count(max((trial.point for trial in before), default=-1) + 1)
    starts: deque[Start] = deque()
    for number in range(1, plan.seeds + 1):
        seed = repeat_seed(plan.config.seed, number)
        for trial in plan.finalists:
            key = _key(trial, number)
            old = last.get(key)
            if old is None:
                starts.append(Start(next(free), key, 1, seed, trial.params))
            elif old.state in _AGAIN:
                starts.append(Start(old.point, key, old.attempt + 1, seed, trial.params))
    return starts


def _run(plan: _Plan, ready: Preflight, workers: Workers, interruption: Interruption) -> None:
    """Claim the study and run what waits."""
    config = plan.config
    points = _points(plan, read.trials(plan.storage, config.study))
    fingerprint = ready.images.fingerprint
    study = Study.claim(plan.storage, config, fingerprint, points, plan.kind, again())
    try:
        before = study.trials()
        waiting = _waiting(plan, before)
        jobs = workers.number(config, ready, len(waiting) * config.data.folds)
        say(_opening(plan, len(waiting), workers.where(jobs, ready)))
        runs = [config.at(start.params, start.seed) for start in waiting]
        work = Work(study, waiting, before, points, lambda: runs, plan.watched)
        carry_out(work, workers, ready, Limits(interrupted=interruption.happened))
    finally:
        study.release()


def _points(plan: _Plan, before: Sequence[Trial]) -> int:
    """How many repeats the study is to have, those of earlier commands included."""
    new = [start for start in _waiting(plan, before) if start.attempt == 1]
    return len(ranking.last_attempts(before)) + len(new)


def _opening(plan: _Plan, waiting: int, where: str) -> str:
    finalists, total = len(plan.finalists), plan.seeds * len(plan.finalists)
    text = f"{plan.config.study}: {counted(finalists, 'trial')} of {plan.parent.name}"
    already = f", {total - waiting} already done" if total > waiting else ""
    return f"{text}, {counted(plan.seeds, 'seed')} each{already}; {where}"


def _repeated(plan: _Plan, values: Mapping[str, Any]) -> Repeated:
    """What the repeats of the finalists gave, beside what the search did."""
    trials = ranking.last_attempts(read.trials(plan.storage, plan.config.study))
    by_key = {trial.key: trial for trial in trials if trial.state in _TOLD}
    changed = {name: value for name, value in values.items() if name not in _NEUTRAL}
    finalists = []
    for trial in plan.finalists:
        keys = {number: _key(trial, number) for number in range(1, plan.seeds + 1)}
        told = {number: by_key[key].value for number, key in keys.items() if key in by_key}
        finalists.append(Finalist(trial.number, None if changed else trial.value, told))
    search = plan.config.search
    assert search is not None
    measured_on = [count for trial in trials if (count := images_of(trial))]
    shares = measured_on and search.objective == "val_accuracy"
    return Repeated(
        study=plan.config.study,
        parent=plan.parent,
        finalists=finalists,
        params={trial.number: trial.params for trial in plan.finalists},
        equals=plan.equals,
        searched={} if changed else _searched(plan),
        resolution=1 / min(measured_on) if shares else 0.0,
        changed=changed,
    )


def _searched(plan: _Plan) -> dict[str, list[float]]:
    """The values of the search's complete trials, by their hyperparameters."""
    found: dict[str, list[float]] = {}
    for trial in ranking.shown(read.trials(plan.storage, plan.parent.name)):
        if trial.state is State.COMPLETE and trial.value is not None:
            found.setdefault(point_key(trial.params), []).append(trial.value)
    return found

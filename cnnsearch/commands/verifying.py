"""What `rerun --verify` does: run trials again as they were run, and compare."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnsearch import catalog
from cnnsearch.commands.references import Picked, config_of, with_curve
from cnnsearch.commands.rerun import Request
from cnnsearch.config import Config, with_values
from cnnsearch.ending import ended, of_folds
from cnnsearch.environment import commit, with_commit
from cnnsearch.errors import InputError
from cnnsearch.executors import Executor, Lost, Message
from cnnsearch.preflight import examine
from cnnsearch.records import EpochResult, Outcome, Prepared, State, Task, Trial
from cnnsearch.render import output
from cnnsearch.render.rerun import verification_lines, verification_object
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted
from cnnsearch.running.workers import LocalWorkers
from cnnsearch.space import repeat_seed, trial_seed
from cnnsearch.study import attributes, read
from cnnsearch.verification import Change, Verification, settings, verification

_WAIT_S = 1.0
COMPARED = (State.COMPLETE, State.PRUNED, State.DIVERGED)


@dataclass(slots=True)
class _Rerun:
    """One stored trial while it is run again, whole or fold by fold.

    Args:
        picked: the stored trial, with its curve.
        config: what is run.
        curves: of each fold, as far as it came; likewise `outcomes`.
        lost: why its worker died, if it did.
    """

    picked: Picked
    config: Config
    curves: list[list[EpochResult]] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    prepared: Prepared | None = None
    lost: str | None = None

    @property
    def folds(self) -> int:
        """How many of the folds the stored trial came to."""
        return len(self.picked.trial.folds) or 1

    @property
    def stops_after(self) -> int | None:
        """The epoch after which the pruner ended it; None where it ended by itself."""
        trial = self.picked.trial
        cut = trial.state is State.PRUNED and self.config.data.folds == 1
        return trial.epochs if cut else None

    @property
    def has_ended(self) -> bool:
        return self.lost is not None or len(self.outcomes) == self.folds


def verify(request: Request) -> int:
    """Run the trials again, tell of each whether it gave the same numbers.

    Returns:
        0 where all did, 1 where one did not.
    """
    reruns = _reruns(request)
    workers, config = LocalWorkers(request.jobs), reruns[0].config
    found: list[Verification] = []
    with workers.begun(), tempfile.TemporaryDirectory(prefix="cnnsearch-") as folder:
        ready = examine(config, say, f"study {reruns[0].picked.summary.name}")
        tasks = sum(rerun.folds for rerun in reruns)
        jobs = workers.number(config, ready, tasks)
        say(f"running {counted(len(reruns), 'trial')} again, {workers.where(jobs, ready)}")
        executor = workers.executor(tasks, Path(folder), config, ready)
        try:
            for rerun in _in_order(reruns, executor, folder):
                found.append(_verified(request.storage, rerun))
                if not request.as_json:
                    label = rerun.picked.label
                    output.write_lines(verification_lines(label, found[-1]), wrap=True)
        finally:
            executor.close()
    if request.as_json:
        labels = [rerun.picked for rerun in reruns]
        output.write_json(
            [
                verification_object(picked.summary.name, one)
                for picked, one in zip(labels, found, strict=True)
            ]
        )
    return 0 if all(one.identical for one in found) else 1


def _reruns(request: Request) -> list[_Rerun]:
    """What is to be run; trials that gave no numbers are left out, and told."""
    chosen = [one for one in request.picked if one.trial.state in COMPARED]
    for one in request.picked:
        if one not in chosen:
            say(f"{one.label} is {one.trial.state}: there are no numbers to compare.")
    if not chosen:
        raise InputError("nothing to verify. Write a trial that is complete, pruned or diverged.")
    whole = [with_curve(request.storage, one) for one in chosen]
    return [_Rerun(one, _config(one, request.values)) for one in whole]


def _config(picked: Picked, values: Mapping[str, Any]) -> Config:
    """The config that was run, with other values.

    Raises:
        InputError: they do not fit, or make another number of folds.
    """
    config = config_of(picked)
    if not values:
        return config
    changed = with_values(config, values, "-S")
    if changed.data.folds != config.data.folds:
        had = "a single split" if config.data.folds == 1 else f"{config.data.folds} folds"
        raise InputError(
            f"-S validation: {picked.label} was run with {had}, and its numbers compare with no "
            "others. Leave validation out."
        )
    return changed


def _in_order(reruns: Sequence[_Rerun], executor: Executor, folder: str) -> Iterator[_Rerun]:
    """Run all on the executor; each as soon as it and those before it have ended."""
    places = [(rerun, fold) for rerun in reruns for fold in range(rerun.folds)]
    for rerun in reruns:
        rerun.curves = [[] for _ in range(rerun.folds)]
    running: set[int] = set()
    waiting, told = 0, 0
    while told < len(reruns):
        while waiting < len(places) and len(running) < executor.slots:
            rerun, fold = places[waiting]
            waits = rerun.stops_after is not None
            log = str(Path(folder) / str(waiting))
            executor.submit([Task(waiting, rerun.config.plain(), log, waits, fold=fold)])
            running.add(waiting)
            waiting += 1
        for message in executor.wait(_WAIT_S):
            if _take(*places[message.number], message, executor):
                running.discard(message.number)
        while told < len(reruns) and reruns[told].has_ended:
            yield reruns[told]
            told += 1


def _take(rerun: _Rerun, fold: int, message: Message, executor: Executor) -> bool:
    """Follow a message; whether it is the task's last."""
    content = message.content
    if isinstance(content, Prepared):
        rerun.prepared = rerun.prepared or content
        return False
    if isinstance(content, EpochResult):
        rerun.curves[fold].append(content)
        if rerun.stops_after is None:
            return False
        stop = content.epoch >= rerun.stops_after
        executor.answer(message.number, not stop)
        if stop:
            rerun.outcomes[fold] = Outcome(State.PRUNED)
        return stop
    if isinstance(content, Lost):
        rerun.lost = rerun.lost or content.reason
    else:
        rerun.outcomes[fold] = content
    return True


def _verified(storage: str, rerun: _Rerun) -> Verification:
    """What the comparison of an ended rerun gives."""
    stored = rerun.picked.trial
    if rerun.lost is not None:
        return Verification(stored, lost=rerun.lost)
    kept = read.study_attributes(storage, rerun.picked.summary.name) or {}
    if not stored.facts.get("environment"):  # a trial of cnnsearch 0.1
        known = {"data": kept.get(attributes.FINGERPRINT)}
        stored = replace(stored, facts={**stored.facts, "environment": known})
    others = settings(config_of(rerun.picked).plain(), rerun.config.plain())
    found = verification(stored, _again(rerun), others)
    told = {change.name for change in found.changes}
    if found.identical or "seed" in told:
        return found
    return replace(found, changes=[*found.changes, *_seed_change(rerun, attributes.RERUN in kept)])


def _again(rerun: _Rerun) -> Trial:
    """The rerun as a trial, ended as the coordinator would have."""
    search = rerun.picked.summary.config["search"]
    begun = replace(rerun.picked.trial, curve=(), folds=(), facts={}, probe=None, diagnosis=None)
    outcomes = [one for _, one in sorted(rerun.outcomes.items())]
    lost = [place for place, one in enumerate(outcomes) if one.state is not State.COMPLETE]
    count, folds = lost[0] + 1 if lost else len(outcomes), rerun.config.data.folds
    outcome = outcomes[0] if folds == 1 else of_folds(outcomes[:count], folds)
    curves = rerun.curves[:count]
    prepared = rerun.prepared and with_commit(rerun.prepared, commit(Path.cwd()))
    return ended(begun, outcome, prepared, curves, search["objective"], search["at"])


def _seed_change(rerun: _Rerun, repeats: bool) -> list[Change]:
    """The seed that was run beside the one that the study gives the trial, where they differ.

    Args:
        repeats: whether the study holds repeats, see `cnnsearch.commands.repeats`.
    """
    config, trial = rerun.picked.summary.config, rerun.picked.trial
    run = config_of(rerun.picked).seed
    finite = catalog.SAMPLERS[config["search"]["sampler"]].finite
    if repeats:
        given = repeat_seed(config["seed"], int(trial.key.rpartition(" ")[2]))
    else:
        given = trial_seed(config["seed"], trial.key if finite else trial.point)
    return [] if given == run else [Change("seed", given, run)]

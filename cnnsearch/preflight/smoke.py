"""A search tried out before it spends its budget: what will not learn, and how long it will take.

Everything is measured in as many processes as `run` will use, so that they are in each other's way
as they will be then.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from cnnsearch import data, diagnose, runner
from cnnsearch.config import Config, from_plain
from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import processes
from cnnsearch.executors.worker import end_with_parent
from cnnsearch.preflight.combinations import Combination, combinations, largest_decay, spread
from cnnsearch.preflight.overfit import Try, overfit
from cnnsearch.preflight.pace import Pace, pace
from cnnsearch.preflight.untrained import Penalty, lasting, look, penalty
from cnnsearch.process import settle
from cnnsearch.records import EpochResult, Finding, LayerProbe, Probe, Start, State, Trial

_WRITTEN = 3
# Of many epochs so many are reported, 10 ms each; the others take as long.
_REPORTED = 20
# So many trials are timed in any case, and then others for so long, as chance is large in few.
_TIMED = 12
_ENOUGH_S = 10.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One combination, tried out.

    Args:
        guessing: the loss of guessing, ln(classes), that the first loss should be near.
        tries: on a few images, one for each learning rate, until one was enough.
        findings: of the untrained network.
        lasting: those of them that the shallowest and the deepest network of the space show too.
    """

    probe: Probe
    guessing: float
    penalty: Penalty
    tries: Sequence[Try]
    findings: Sequence[Finding]
    lasting: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Cost:
    """How long a search takes.

    Args:
        start_s: until the workers train, from the start of the command.
        storage_s: of a trial, in the coordinator.
        jobs: how many trials run at a time.
        paces: of a sample of its trials.
    """

    count: int
    jobs: int
    start_s: float
    storage_s: float
    paces: Sequence[Pace]

    @property
    def trial_s(self) -> float:
        """Of a trial, on average, with what is written of it."""
        return statistics.fmean(pace.seconds for pace in self.paces) + self.storage_s

    @property
    def seconds(self) -> float:
        """Of the whole search; at its end the last worker runs alone for half a trial or so."""
        alone = 0.5 * self.trial_s * (self.jobs - 1) / self.jobs
        return self.start_s + self.trial_s * self.count / self.jobs + alone

    @property
    def diverged(self) -> int:
        """Trials of the sample that diverged in their first steps."""
        return sum(pace.diverged is not None for pace in self.paces)


@dataclass(frozen=True, slots=True)
class Smoke:
    """What was found.

    Args:
        every: the combinations of the space.
        tried: those that were tried out; None where one could not be (out of memory, say).
        pruner: of the search, which the cost does not foresee; "none" where there is none.
    """

    every: Sequence[Combination]
    tried: Sequence[tuple[Combination, Tried | None]]
    cost: Cost | None
    pruner: str = "none"


def chosen(config: Config) -> tuple[list[Combination], list[Combination]]:
    """All combinations of a space, and those that would be tried out."""
    every = combinations(config)
    return every, spread(every)


def smoke(config: Config, points: Sequence[Config], count: int, jobs: int) -> Smoke:
    """Try a search out.

    Args:
        points: single runs, a sample of the search's trials, ordered by cost.
        count: of its trials.
        jobs: processes, as many as `run` will use.

    Raises:
        CnnsearchError: a process died.
    """
    every, some = chosen(config)
    decay = largest_decay(config)
    # What this process did so far `run` does too: to load torch and look at the file.
    opening_s, started = time.process_time(), time.time()
    try:
        with _processes(jobs) as pool:
            # The tries come last: until the last step is timed, no process has nothing to do.
            with processes.beginning():
                paces = [pool.submit(_pace, point.plain()) for point in _mixed(points)]
            tries = [
                pool.submit(
                    _try_out, c.config.plain(), [end.plain() for end in c.ends], c.rates, decay
                )
                for c in some
            ]
            storage_s = _storage_seconds(config, points)
            found = _collected(paces, max(_TIMED, jobs), started + _ENOUGH_S)
            tried = [(c, future.result()) for c, future in zip(some, tries, strict=True)]
    except BrokenProcessPool:
        raise CnnsearchError(
            "a process of the check died, of too little memory perhaps. "
            "Try a smaller batch_size, or less beside it."
        ) from None
    cost = _cost(found, opening_s, started, storage_s, count, jobs)
    return Smoke(every, tried, cost, config.search.pruner if config.search else "none")


def _mixed(points: Sequence[Config]) -> list[Config]:
    """The points in an order of which every beginning is spread over all (golden ratio)."""
    places = sorted(range(len(points)), key=lambda i: i * (5**0.5 - 1) / 2 % 1)
    order = sorted(range(len(points)), key=places.__getitem__)
    return [points[i] for i in order]


def _collected(paces: Sequence[Future[Pace | None]], least: int, deadline: float) -> list[Pace]:
    """The first paces, and those of the others that are there by the deadline."""
    found = []
    for i, future in enumerate(paces):
        if i >= least and time.time() > deadline and future.cancel():
            continue
        one = future.result()
        if one is not None:
            found.append(one)
    return found


def _cost(
    paces: Sequence[Pace],
    opening_s: float,
    started: float,
    storage_s: float,
    count: int,
    jobs: int,
) -> Cost | None:
    if not paces:
        return None
    first: dict[int, float] = {}
    for each in paces:
        first[each.process] = min(each.ready, first.get(each.process, math.inf))
    # Without the opening, the 22 s of configs/digits.yaml were told as 11 s.
    start_s = opening_s + statistics.fmean(first.values()) - started
    return Cost(count, jobs, start_s, storage_s, paces)


def _pace(plain: Mapping[str, Any]) -> Pace | None:
    """See `pace`; None where the trial would fail."""
    try:
        return pace(plain, os.getpid())
    except RuntimeError:  # out of memory among them: the trial itself will say so
        return None


def _try_out(
    plain: Mapping[str, Any],
    ends: Sequence[Mapping[str, Any]],
    rates: Sequence[float],
    decay: float,
) -> Tried | None:
    """Try one combination out; None where its network cannot be trained.

    Args:
        ends: see `Combination.ends`.
    """
    config = from_plain(plain)
    settle(config.threads, config.train)
    images = _images(config)
    try:
        network, probe = look(config, images)
        added = penalty(network, config.model.init, decay)
        tries = overfit(config, images, rates)
        findings = diagnose.at_start(probe)
        others = (diagnose.at_start(look(end, _images(end))[1]) for end in map(from_plain, ends))
        left = lasting(chain([findings], others))
    except RuntimeError:
        return None
    return Tried(probe, math.log(images.classes), added, tries, findings, left)


def _images(config: Config) -> data.TrialData:
    device = runner.resolve_device(config.device)
    return data.prepare(data.load(config.data, lambda _: None), config.data, device)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes like the workers of `run`; none of them outlives this."""
    pool = ProcessPoolExecutor(
        jobs, processes.context(), initializer=_serve, initargs=(processes.environment(),)
    )
    try:
        yield pool
        pool.shutdown()
    finally:
        before = multiprocessing.active_children()
        pool.shutdown(wait=False, cancel_futures=True)
        for child in before:
            child.kill()


def _serve(environment: Mapping[str, str]) -> None:
    processes.settle_in(environment)
    threading.Thread(target=end_with_parent, daemon=True).start()


def _storage_seconds(config: Config, points: Sequence[Config]) -> float:
    """What it takes to write a trial, with its curve and probes, into a new SQLite file."""
    from cnnsearch.study.store import Study

    if config.space is None or not points:
        return 0.0
    point = points[len(points) // 2]
    reports = point.train.epochs if point.data.folds == 1 else point.data.folds
    with tempfile.TemporaryDirectory(prefix="cnnsearch-check-") as folder:
        study = Study.claim(str(Path(folder) / "study.db"), config, "", _WRITTEN)
        try:
            reported_s, started = 0.0, time.perf_counter()
            for k in range(_WRITTEN):
                trial = study.begin(Start(k, str(k), 1, 0, {}))
                before = time.perf_counter()
                for step in range(min(reports, _REPORTED)):
                    study.report(trial.number, step + 1, 0.5)
                reported_s += time.perf_counter() - before
                study.finish(_like_a_real_one(trial, point))
            others_s = time.perf_counter() - started - reported_s
            return (others_s + reported_s * max(1.0, reports / _REPORTED)) / _WRITTEN
        finally:
            study.release()


def _like_a_real_one(trial: Trial, point: Config) -> Trial:
    """Ended, with a curve and probes as large as its own would be, of numbers of all digits."""
    x, layers = 1 / 3, len(point.model.conv) + len(point.model.hidden) + 1
    layer = LayerProbe("hidden1", 10, x, x, x, x, x, x, x)
    probe = Probe(x, (layer,) * layers, x, x) if point.diagnose else None
    epochs = range(1, point.train.epochs + 1)
    curve = tuple(EpochResult(epoch, x, x, x, x, x, x, probe) for epoch in epochs)
    folds = (curve,) * point.data.folds if point.data.folds > 1 else ()
    return replace(trial, state=State.PRUNED, curve=curve, folds=folds, probe=probe)

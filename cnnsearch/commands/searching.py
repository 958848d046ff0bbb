"""Running a search to its end, or to Ctrl-C: what `run`, `narrow --run` and stages share."""

from __future__ import annotations

import os
import shlex
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from cnnsearch import ranking
from cnnsearch.commands.running import ended_as_interrupted, make_display, make_folder
from cnnsearch.commands.workers import LocalWorkers, RayWorkers, Workers
from cnnsearch.config import Config, duration, is_study_name, load, study_name
from cnnsearch.errors import InputError
from cnnsearch.interruption import Interruption
from cnnsearch.plan import planned, remaining, samples
from cnnsearch.records import Start, State, StudySummary, Trial
from cnnsearch.render.summary import closing, is_estimated, opening
from cnnsearch.render.talk import say
from cnnsearch.render.trials import trial_object
from cnnsearch.review.savings import savings
from cnnsearch.study import read
from cnnsearch.study.location import workers_folder
from cnnsearch.study.store import Study, check_resume

if TYPE_CHECKING:
    from cnnsearch.preflight import Preflight


@dataclass(frozen=True)
class Request:
    """What the command line asks for, beyond the config.

    Args:
        file: where the config was read; `sets`: what the command line set in it.
        count: number of points in all.
        timeout_s: no trial begins after so many seconds.
        trial_timeout_s: a trial that tells nothing for so long has failed.
        patience_s: so long a storage that is gone is waited for.
        stage: the study's place in a chain, see `cnnsearch.stages.Chain.place`.
        again: the command that continues.
    """

    file: str
    sets: Sequence[str]
    storage: str
    config: Config
    count: int
    workers: Workers = field(default_factory=LocalWorkers)
    timeout_s: float | None = None
    trial_timeout_s: float | None = None
    patience_s: float = 600.0
    retry_failed: bool = False
    stage: Mapping[str, Any] | None = None
    again: str = field(
        default_factory=lambda: shlex.join(["cnnsearch", *click.get_current_context().obj])
    )


@dataclass(frozen=True)
class Found:
    """A study after it was run, or was found done.

    Args:
        left: number of points that are asked for and have not ended.
    """

    summary: StudySummary
    trials: Sequence[Trial]
    code: int
    left: int


def read_request(
    file: str,
    trials: int | None,
    name: str | None,
    sets: Sequence[str],
    storage: str,
) -> Request:
    """Read and check a file with what the command line says of it."""
    if name is not None and not is_study_name(name):
        raise InputError(f"--name: {name!r} is no study name. Write --name {study_name(name)}.")
    config = load(file, [*sets, f"study={name}"] if name is not None else sets, trials)
    if config.search is None or config.space is None:
        raise InputError(
            f"{file}: has no space, so this is a single run. Write cnnsearch train {file}."
        )
    count = planned(config, trials)
    return Request(file, sets, storage, config, count, timeout_s=config.search.timeout)


def with_options(
    request: Request,
    jobs: int | None,
    timeout: str | None,
    trial_timeout: str | None,
    storage_patience: str,
    retry: str | None,
    **ray: Any,
) -> Request:
    """With what the command line says of how the search is to run."""
    given: dict[str, Any] = {}
    if timeout is not None:
        given["timeout_s"] = seconds("--timeout", timeout)
    if trial_timeout is not None:
        given["trial_timeout_s"] = seconds("--trial-timeout", trial_timeout)
    return replace(
        request,
        workers=workers_of(request.config, jobs, **ray),
        patience_s=seconds("--storage-patience", storage_patience),
        retry_failed=retry == "failed",
        **given,
    )


def workers_of(
    config: Config,
    jobs: int | None,
    on_ray: bool,
    ray_address: str | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
) -> Workers:
    """Where the command line says that trials run.

    Raises:
        InputError: options that do not go together.
    """
    if not on_ray:
        given = {
            "--ray-address": ray_address,
            "--cpus-per-trial": cpus_per_trial,
            "--gpus-per-trial": gpus_per_trial,
        }
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option}: it is of a Ray cluster. Write --ray too.")
        return LocalWorkers(jobs)
    if jobs == 0:
        raise InputError("-j 0: that is without workers. Leave it out, or leave out --ray.")
    for option, share in (("--cpus", cpus_per_trial), ("--gpus", gpus_per_trial)):
        if share is not None and share > 1 and share != int(share):
            raise InputError(f"{option}-per-trial {share:g}: above 1 write a whole number.")
    gpus = gpus_per_trial or 0.0
    if config.device not in ("auto", "cuda" if gpus else "cpu"):
        fit = "cuda" if gpus else "cpu, or give --gpus-per-trial"
        raise InputError(
            f"device: {config.device}: on Ray a trial has the devices that it is given. "
            f"Write auto or {fit}."
        )
    address = ray_address or os.environ.get("RAY_ADDRESS")
    cpus = float(config.threads) if cpus_per_trial is None else cpus_per_trial
    return RayWorkers(jobs, address, cpus, gpus)


def seconds(option: str, text: str) -> float:
    """What an option says, such as 90s.

    Raises:
        InputError: it is no duration.
    """
    try:
        return duration(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def run(request: Request) -> Found:
    """Run the search and tell how it ended."""
    check_resume(request.storage, request.config)
    with request.workers.begun():
        ready = examined(request)
        announce(request, ready)
        with Interruption() as interruption:
            found = search(request, ready, interruption)
    interrupted = interruption.happened()
    told = closing(found.summary, found.trials, request.count, request.again, interrupted)
    for line in told:
        say(line)
    return found


def search(request: Request, ready: Preflight, interruption: Interruption) -> Found:
    """Run what remains of a search, without a last word.

    Raises:
        StorageGoneError: the storage is gone; with the interruption's exit code where one came.
    """
    fingerprint = ready.images.fingerprint
    study = Study.claim(request.storage, request.config, fingerprint, request.count)
    with ended_as_interrupted(request.config.study, interruption):
        try:
            if request.stage is not None:
                study.keep_stage(request.stage)
            _search(request, ready, study, interruption)
        finally:
            study.release()
        found = as_found(request)
    return replace(found, code=interruption.exit_code) if interruption.happened() else found


def as_found(request: Request) -> Found:
    """The study as it stands in the storage."""
    summary, trials = read.summary_and_trials(request.storage, request.config.study)
    # The stored number of points may be that of an earlier command, which asked for more.
    left = len(remaining(request.config, trials, request.count))
    return Found(summary, trials, 0 if summary.counts.get(State.COMPLETE) else 3, left)


def examined(request: Request) -> Preflight:
    """Everything that can be found wrong before anything is written."""
    from cnnsearch.preflight import examine

    if sys.stderr.isatty():
        say(f"{request.config.study}: looking at the images and the networks ...")
    return examine(request.config, say, request.file, request.sets)


def waiting(request: Request) -> deque[Start]:
    """What would run, as the storage stands now."""
    before = read.trials(request.storage, request.config.study)
    return remaining(request.config, before, request.count, request.retry_failed)


def document(found: Found) -> dict[str, Any]:
    """What `run --json` prints."""
    summary = found.summary
    best = ranking.best(found.trials, summary.direction)
    saved = savings(summary, found.trials)
    return {
        "study": summary.name,
        "counts": {str(state): count for state, count in summary.counts.items()},
        "epochs": {
            "full": saved.full,
            "run": saved.run,
            "saved": saved.saved,
            "pruned": saved.pruned,
            "diverged": saved.diverged,
        },
        "best": trial_object(best) if best else None,
    }


def announce(request: Request, ready: Preflight) -> None:
    """Say what is about to run, and make its folder; nothing else is written before."""
    from cnnsearch.preflight import estimate_seconds, warnings

    starts = waiting(request)
    left = len(starts)
    tasks = left * request.config.data.folds
    if left:
        request.workers.examine(request.config, ready)
    jobs = request.workers.number(request.config, ready, tasks)
    seconds = None
    if left and is_estimated(request.config):
        each = estimate_seconds(samples(request.config, request.count), ready)
        seconds = None if each is None else each * left / max(1, jobs)
    where = request.workers.where(jobs, ready) if left else "nothing left to run"
    say(opening(request.config, request.count, request.count - left, where, seconds))
    if left and request.config.diagnose:
        for line in warnings(request.config, ready, [start.params for start in starts]):
            say(line)
    make_folder(request.config)


def _search(request: Request, ready: Preflight, study: Study, interruption: Interruption) -> None:
    from cnnsearch.preflight import fused_size, unfused
    from cnnsearch.search import Coordinator, Limits

    config = request.config
    before = study.trials()
    starts = remaining(config, before, request.count, request.retry_failed)
    if not starts:
        return
    tasks = len(starts) * config.data.folds
    jobs = request.workers.number(config, ready, tasks)
    fused = 1
    if request.workers.can_fuse(config):
        size = fused_size(lambda: samples(config, request.count), config, ready, jobs)
        fused = min(size, len(starts))
    reason = unfused(config, ready)
    if reason is not None:
        say(reason)
    if fused > 1:
        say(f"{config.study}: up to {fused} trials are trained as one batched network")
    executor = request.workers.executor(tasks, workers_folder(config.study), config, ready)
    try:
        limits = Limits(
            request.timeout_s,
            request.trial_timeout_s,
            request.patience_s,
            fused,
            interruption.happened,
        )
        coordinator = Coordinator(study, config, executor, limits)
        with make_display(config, before, request.count, jobs * fused) as display:
            for event in coordinator.run(starts):
                display.show(event)
    finally:
        executor.close()

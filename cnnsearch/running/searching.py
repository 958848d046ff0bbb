"""Running a search to its end, or to Ctrl-C."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnsearch import ranking
from cnnsearch.config import Config
from cnnsearch.interruption import Interruption
from cnnsearch.plan import remaining, samples
from cnnsearch.records import Start, State, StudySummary, Trial
from cnnsearch.render.summary import closing, is_estimated, opening
from cnnsearch.render.talk import say
from cnnsearch.render.trials import trial_object
from cnnsearch.review.savings import savings
from cnnsearch.running.display import ended_as_interrupted, make_folder
from cnnsearch.running.work import Done, Work, carry_out
from cnnsearch.running.workers import LocalWorkers, Workers
from cnnsearch.study import read
from cnnsearch.study.resuming import check_resume
from cnnsearch.study.store import Study

if TYPE_CHECKING:
    from cnnsearch.preflight import Preflight


@dataclass(frozen=True)
class Request:
    """What is asked for, beyond the config.

    Args:
        file: where the config was read; `sets`: what the command line set in it.
        count: number of points in all.
        timeout_s: no trial begins after so many seconds.
        trial_timeout_s: a trial that tells nothing for so long has failed.
        patience_s: so long a storage that is gone is waited for.
        stage: the study's place in a chain, see `cnnsearch.stages.Chain.place`.
        watched: show the full-screen view.
        again: what continues it, for the one who is told that something is left.
        storage_words: name the storage, for commands that are proposed.
    """

    file: str
    sets: Sequence[str]
    storage: str
    config: Config
    count: int
    again: str
    workers: Workers = field(default_factory=LocalWorkers)
    timeout_s: float | None = None
    trial_timeout_s: float | None = None
    patience_s: float = 600.0
    retry_failed: bool = False
    stage: Mapping[str, Any] | None = None
    watched: bool = False
    storage_words: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """A study after it was run, or was found done.

    Args:
        left: number of points that are asked for and have not ended.
        stopped: by `cnnsearch stop`.
        closed: the user closed the view, or it died, before the end.
    """

    summary: StudySummary
    trials: Sequence[Trial]
    code: int
    left: int
    stopped: bool = False
    closed: bool = False

    def document(self) -> dict[str, Any]:
        """What `run --json` prints."""
        summary = self.summary
        best = ranking.best(self.trials, summary.direction)
        saved = savings(summary, self.trials)
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


def run(request: Request) -> Found:
    """Run the search and tell how it ended."""
    check_resume(request.storage, request.config)
    with request.workers.begun():
        ready = examined(request)
        announce(request, ready)
        with Interruption() as interruption:
            found = search(request, ready, interruption)
    interrupted = interruption.happened()
    told = closing(
        found.summary,
        found.trials,
        request.count,
        request.again,
        interrupted,
        request.storage_words,
    )
    for line in told:
        say(line)
    return found


def search(request: Request, ready: Preflight, interruption: Interruption) -> Found:
    """Run what remains of a search, without a last word.

    Raises:
        StorageGoneError: the storage is gone; with the interruption's exit code where one came.
    """
    fingerprint = ready.images.fingerprint
    study = Study.claim(
        request.storage, request.config, fingerprint, request.count, command=request.again
    )
    with ended_as_interrupted(request.config.study, interruption):
        try:
            if request.stage is not None:
                study.keep_stage(request.stage)
            done = _search(request, ready, study, interruption)
        finally:
            study.release()
        found = replace(as_found(request), stopped=done.stopped, closed=done.closed)
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


def _search(request: Request, ready: Preflight, study: Study, interruption: Interruption) -> Done:
    from cnnsearch.search import Limits

    config = request.config
    before = study.trials()
    limits = Limits(
        request.timeout_s,
        request.trial_timeout_s,
        request.patience_s,
        interrupted=interruption.happened,
    )
    work = Work(
        study,
        remaining(config, before, request.count, request.retry_failed),
        before,
        request.count,
        lambda: samples(config, request.count),
        request.watched,
    )
    return carry_out(work, request.workers, ready, limits)

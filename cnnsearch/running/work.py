"""Running the points that a study still lacks, with whatever workers there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnsearch.config import Config
from cnnsearch.records import Start, Trial
from cnnsearch.render.talk import say
from cnnsearch.running.display import make_display
from cnnsearch.running.view import WatchDisplay
from cnnsearch.running.workers import Workers
from cnnsearch.study.location import workers_folder
from cnnsearch.study.store import Study

if TYPE_CHECKING:
    from cnnsearch.preflight import Preflight
    from cnnsearch.search import Limits


@dataclass(frozen=True)
class Work:
    """What is to be run of a study that this process owns.

    Args:
        before: all attempts so far.
        count: number of points of the study, those that have ended included.
        samples: configs of trials such as these, for the choice of how many to fuse.
        watched: show the full-screen view while it runs.
    """

    study: Study
    starts: deque[Start]
    before: Sequence[Trial]
    count: int
    samples: Callable[[], Sequence[Config]]
    watched: bool = False


@dataclass(frozen=True)
class Done:
    """How it went.

    Args:
        stopped: `stop` asked for its end.
        closed: the user closed the view, or it died, before the end.
    """

    stopped: bool = False
    closed: bool = False


def carry_out(work: Work, workers: Workers, ready: Preflight, limits: Limits) -> Done:
    """Run it, and show it while it runs.

    Args:
        limits: but for how many trials are fused, which is chosen here.
    """
    from cnnsearch.preflight import fused_size, unfused
    from cnnsearch.search import Coordinator

    if not work.starts:
        return Done()
    config = work.study.config
    tasks = len(work.starts) * config.data.folds
    jobs = workers.number(config, ready, tasks)
    fused = 1
    if workers.can_fuse(config):
        fused = min(fused_size(work.samples, config, ready, jobs), len(work.starts))
    reason = unfused(config, ready)
    if reason is not None:
        say(reason)
    if fused > 1:
        say(f"{config.study}: up to {fused} trials are trained as one batched network")
    executor = workers.executor(tasks, workers_folder(config.study), config, ready)
    try:
        coordinator = Coordinator(work.study, config, executor, replace(limits, fused=fused))
        storage = work.study.storage if work.watched else None
        with make_display(config, work.before, work.count, jobs * fused, storage) as display:
            for event in coordinator.run(work.starts):
                display.show(event)
        closed = isinstance(display, WatchDisplay) and display.closed
        return Done(coordinator.stopped, closed)
    finally:
        executor.close()

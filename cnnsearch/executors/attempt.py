"""A task as an executor runs it, wherever that is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from cnnsearch.errors import CnnsearchError
from cnnsearch.records import EpochResult, Outcome, Prepared, State, Task


def attempt(task: Task) -> Iterator[Prepared | EpochResult | Outcome]:
    """Run a task's trial: what it begins with, its epochs, and last how it ended.

    What is the user's mistake in a single run (images that have gone, say) is a failed trial here.
    """
    from cnnsearch import runner
    from cnnsearch.config import from_plain

    started = time.perf_counter()
    try:
        config = from_plain(task.config)
        for item in runner.run(config, fingerprint=task.fingerprint, fold=task.fold):
            if isinstance(item, Outcome):
                yield replace(item, seconds=time.perf_counter() - started)
            else:
                yield item
    except CnnsearchError as error:
        seconds = time.perf_counter() - started
        facts = {"type": type(error).__name__, "where": "input"}
        yield Outcome(State.FAILED, str(error), facts, seconds)

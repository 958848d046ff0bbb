"""Tasks as an executor runs them, wherever that is."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace

from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Message
from cnnsearch.own import check_unchanged
from cnnsearch.records import EpochResult, Outcome, State, Task


def attempt(tasks: Sequence[Task]) -> Generator[list[Message], Collection[int] | None, None]:
    """Run a task, or several as one batched network.

    What is the user's mistake in a single run (images that have gone, say) is a failed trial here.

    Yields:
        what came of some tasks: what they begin with, their epochs, and last how they ended. The
        caller sends the numbers of those to stop after an epoch; nothing more comes of them.
    """
    from cnnsearch import group
    from cnnsearch.config import from_plain

    started = time.perf_counter()
    left = {task.number for task in tasks}
    stopped: Collection[int] | None = None
    try:
        configs = [from_plain(task.config) for task in tasks]
        first = tasks[0]
        for config in configs:
            check_unchanged(config.own_names(), first.own_files)
        items = group.run(configs, first.fingerprint, first.fold, first.checkpoints)
        while True:
            places = [i for i, task in enumerate(tasks) if task.number in (stopped or ())]
            try:
                found = items.send(places or None)
            except StopIteration:
                return
            messages = [Message(tasks[place].number, content) for place, content in found]
            messages = [_timed(message, started) for message in messages]
            left -= {m.number for m in messages if isinstance(m.content, Outcome)}
            stopped = yield messages
            left.difference_update(stopped or ())
    except CnnsearchError as error:
        facts = {"type": type(error).__name__, "where": "input"}
        outcome = Outcome(State.FAILED, str(error), facts)
        yield [_timed(Message(number, outcome), started) for number in sorted(left)]


def print_failures(messages: Sequence[Message]) -> None:
    """Print why trials have failed, for their logs."""
    for content in (message.content for message in messages):
        if isinstance(content, Outcome) and content.state is State.FAILED:
            print(content.facts.get("traceback", content.reason), file=sys.stderr, flush=True)


def asked(tasks: Sequence[Task], messages: Sequence[Message]) -> list[int]:
    """Numbers of the tasks that wait for an answer after these messages."""
    waiting = {task.number for task in tasks if task.waits}
    return [
        m.number for m in messages if isinstance(m.content, EpochResult) and m.number in waiting
    ]


def _timed(message: Message, started: float) -> Message:
    if not isinstance(message.content, Outcome):
        return message
    earlier = message.content.facts.get("earlier_seconds", 0.0)
    seconds = time.perf_counter() - started + earlier
    return replace(message, content=replace(message.content, seconds=seconds))

"""Trials in actors of a Ray cluster, which live on from trial to trial.

Ray places, isolates and watches the actors. Each runs a submission an epoch at a time, called on
ahead of what was told last, so that it does not wait for the coordinator.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cnnsearch import drafts
from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.attempt import asked
from cnnsearch.executors.cluster import Cluster, in_short, unfit
from cnnsearch.executors.remote import Needs, Node, Told, Worker
from cnnsearch.executors.worker import LOG
from cnnsearch.records import Outcome, State, Task

_GIVE_UP_STARTS, _TOGETHER_S = 3, 1.0
_LEAVE_S = 2.0
# Nodes may come and go; so long a search waits for one that takes trials.
_PATIENCE_S = 60.0
_AHEAD = 2


class _Actor:
    """One actor with the calls that it has not answered, and its tasks that have not ended."""

    def __init__(self, handle: Any, looking: Any) -> None:
        self.handle = handle
        self.calls: list[Any] = [looking]
        self.node: str | None = None
        self.tasks: dict[int, Task] = {}
        self.submission: Sequence[Task] = ()
        self.asked: set[int] = set()
        self.stopped: list[int] = []
        self.failed = False

    @property
    def is_ready(self) -> bool:
        return self.node is not None

    @property
    def waits(self) -> bool:
        """Whether it is told after epochs how to go on."""
        return any(task.waits for task in self.submission)


class RayExecutor:
    """As many actors as there is room for; one that dies is replaced, or whose trial failed."""

    def __init__(
        self,
        cluster: Cluster,
        jobs: int,
        needs: Needs,
    ) -> None:
        """Start the actors.

        Args:
            jobs: at most so many.
            needs: of the search, which each node has to have.
        """
        self._cluster = cluster
        self._ray = cluster.ray
        self._jobs = jobs
        self._needs = needs
        self._notices: list[str] = []
        self._full = False
        self._said = False
        self._dead_starts = 0
        self._died = -math.inf
        self._had_room = self._waiting_since = time.monotonic()
        self._actors: list[_Actor] = []
        self._fill()

    @property
    def slots(self) -> int:
        """See `Executor`: as many as are there by now."""
        return sum(actor.is_ready for actor in self._actors)

    def submit(self, tasks: Sequence[Task]) -> None:
        """See `Executor`."""
        actor = next(actor for actor in self._actors if actor.is_ready and not actor.tasks)
        actor.tasks = {task.number: task for task in tasks}
        actor.submission, actor.asked, actor.stopped = tasks, set(), []
        actor.calls = [actor.handle.advance.remote([], list(tasks), _earlier(tasks[0]))]
        self._call(actor)

    def wait(self, timeout: float) -> Sequence[Message]:
        """See `Executor`.

        Raises:
            CnnsearchError: the head is gone, no node takes trials, or actors cannot start.
        """
        self._cluster.check_head()
        messages = self._bury_cut_off()
        self._fill()
        self._note_room()
        # Of each actor its first call alone: a large answer can come after the one that follows it.
        calls = {actor.calls[0]: actor for actor in self._actors if actor.calls}
        if not calls:
            time.sleep(timeout)
            return messages
        answered, _ = self._ray.wait(list(calls), timeout=0 if messages else timeout)
        if answered and len(calls) > 1:
            answered, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        for call in answered:
            messages += self._receive(calls[call])
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        actor = self._running(number)
        if actor is None:
            return
        actor.asked.discard(number)
        if not go_on:
            actor.stopped.append(number)
            del actor.tasks[number]
        self._call(actor)

    def kill(self, number: int) -> None:
        """See `Executor`."""
        actor = self._running(number)
        if actor is not None:
            self._end([actor])

    def notices(self) -> Sequence[str]:
        """See `Executor`: nodes that get no trials, no room for a worker, a full disk."""
        told, self._notices = self._notices, []
        return told

    def close(self) -> None:
        """See `Executor`. What does nothing leaves by itself, and nothing on its node."""
        idle = [actor for actor in self._actors if actor.is_ready and not actor.calls]
        with suppress(Exception):  # gone, or too slow
            leaving = [actor.handle.leave.remote() for actor in idle]
            self._ray.get(leaving, timeout=_LEAVE_S)
        self._end(list(self._actors))

    def _fill(self) -> None:
        """Start actors while there is room.

        Raises:
            CnnsearchError: there is none for a minute.
        """
        room = self._cluster.room
        if room:
            self._had_room = time.monotonic()
        elif time.monotonic() - self._had_room > _PATIENCE_S:
            raise CnnsearchError(
                f"--ray: no node takes trials for {_PATIENCE_S:.0f} s. The search stops; "
                "run it again to continue."
            )
        while len(self._actors) < min(room, self._jobs):
            gpus = self._cluster.share.gpus > 0
            handle = self._cluster.actor(Worker, gpus, self._needs.folder)
            self._actors.append(_Actor(handle, handle.look.remote(self._needs)))

    def _call(self, actor: _Actor) -> None:
        """Let an actor go on: with what it is to stop, where it waits to be told, else ahead."""
        while actor.tasks and not actor.asked and len(actor.calls) < (1 if actor.waits else _AHEAD):
            actor.calls.append(actor.handle.advance.remote(actor.stopped))
            actor.stopped = []

    def _receive(self, actor: _Actor) -> list[Message]:
        try:
            answer: Node | Told = self._ray.get(actor.calls.pop(0))
        except Exception as error:  # Ray's many ways to say that it is gone
            return self._bury(actor, in_short(error), is_out_of_memory(error))
        if isinstance(answer, Node):
            self._settle(actor, answer)
            return []
        messages = [message for message in answer.messages if message.number in actor.tasks]
        for task in list(actor.tasks.values())[:1]:  # of a group the first whose folder is there
            self._keep(task, answer)
        for message in messages:
            if isinstance(message.content, Outcome):
                del actor.tasks[message.number]
                actor.failed |= message.content.state is State.FAILED
        actor.asked = set(asked(actor.submission, messages)) & actor.tasks.keys()
        self._call(actor)
        if not actor.tasks:
            actor.calls = []  # what it was called for ahead comes to nothing
            if actor.failed:
                self._end([actor])  # whatever it left behind in that process
        return messages

    def _settle(self, actor: _Actor, node: Node) -> None:
        """Give an actor trials, unless it came to a node that is not fit."""
        reason = unfit(node, self._needs)
        self._dead_starts = 0
        if reason is None:
            actor.node = node.id
            return
        self._notices.append(self._cluster.refuse(node.id, reason))
        self._end([actor])

    def _bury_cut_off(self) -> list[Message]:
        """Give up the actors of nodes that are gone; Ray itself may find them out much later."""
        messages = []
        for actor in list(self._actors):
            if actor.node is not None and not self._cluster.lives(actor.node):
                messages += self._bury(actor, f"node {self._cluster.name(actor.node)} is gone")
        return messages

    def _bury(self, actor: _Actor, reason: str, out_of_memory: bool = False) -> list[Message]:
        if not actor.is_ready:
            self._count_dead_start(reason)
        self._end([actor])
        lost = Lost(f"its worker was lost: {reason}", out_of_memory)
        return [Message(number, lost) for number in actor.tasks]

    def _count_dead_start(self, reason: str) -> None:
        """Those that die together, as with their node, count once.

        Raises:
            CnnsearchError: some did, one after the other, and none began meanwhile.
        """
        now = time.monotonic()
        if now - self._died > _TOGETHER_S:
            self._dead_starts += 1
        self._died = now
        if self._dead_starts >= _GIVE_UP_STARTS:
            raise CnnsearchError(f"--ray: workers die on start: {reason}")

    def _note_room(self) -> None:
        """Say once that no worker begins, as where others use the cluster."""
        if self.slots or not self._actors:
            self._waiting_since = time.monotonic()
        elif not self._said and time.monotonic() - self._waiting_since > _PATIENCE_S:
            self._said = True
            self._notices.append(
                "--ray: no worker could begin yet; the cluster may have no room now. Waiting."
            )

    def _end(self, actors: Iterable[_Actor]) -> None:
        for actor in actors:
            self._actors.remove(actor)
            actor.calls = []
            self._ray.kill(actor.handle)

    def _keep(self, task: Task, answer: Told) -> None:
        """Keep what a worker printed, its checkpoint and weights, where they are of a local one."""
        try:
            if answer.printed:
                with (Path(task.folder) / LOG).open("a", encoding="utf-8") as file:
                    file.write(answer.printed)
            plan = task.checkpoints
            if answer.checkpoint is not None and plan is not None:
                with drafts.replacing(Path(plan.file)) as kept:
                    kept.write(answer.checkpoint)
            if answer.weights is not None and plan is not None and plan.weights is not None:
                with drafts.replacing(Path(plan.weights.file)) as kept:
                    kept.write(answer.weights)
        except OSError as error:  # a full disk: the training goes on
            if not self._full and error.errno != errno.ENOENT:
                self._full = True
                self._notices.append(
                    f"{task.folder}: {error.strerror}: what its worker sends is not kept"
                )

    def _running(self, number: int) -> _Actor | None:
        return next((actor for actor in self._actors if number in actor.tasks), None)


def _earlier(task: Task) -> list[bytes]:
    """The checkpoints that it may go on from, the latest attempt's first."""
    found = []
    for file in task.checkpoints.earlier if task.checkpoints else ():
        with suppress(OSError):  # most attempts did not come so far
            found.append(Path(file).read_bytes())
    return found


def is_out_of_memory(error: Exception) -> bool:
    """Whether Ray killed the worker to have its memory. Where Linux did, Ray cannot tell."""
    return "OutOfMemory" in type(error).__name__ or "running low on memory" in str(error)

"""Trials of one structure run together: from resolved configs to their outcomes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Generator, Sequence

import torch

from cnnsearch import runner
from cnnsearch.config.config import Config
from cnnsearch.data import prepare
from cnnsearch.errors import CnnsearchError
from cnnsearch.fused import Member, train_fused
from cnnsearch.guard import Diverged
from cnnsearch.process import settle
from cnnsearch.records import Checkpointing, EpochResult, Outcome, Prepared, State

Item = tuple[int, Prepared | EpochResult | Outcome]
Items = Generator[list[Item], Collection[int] | None, None]


def run(
    configs: Sequence[Config],
    fingerprint: str | None = None,
    fold: int = 0,
    checkpoints: Checkpointing | None = None,
) -> Items:
    """Run trials together: what they begin with, their epochs as they end, and how they ended.

    One alone is run by `cnnsearch.runner`; of several each gives what it gives alone, but for
    rounding. A group that the device has no memory for, or that fails in another way, is halved and
    begun again; what was told of its trials is not told twice. So a trial that fails does so alone.

    Args:
        configs: single runs, alike but for values, see `cnnsearch.fusion`.
        fingerprint: see `cnnsearch.runner.run`.
        fold: of a trial with several, which is run alone.
        checkpoints: of a trial that keeps some, which is run alone.

    Yields:
        what came of some trials, by their numbers, places in `configs`. In answer to epochs the
        caller sends the numbers of trials to stop, of which nothing comes any more.

    Raises:
        CnnsearchError: see `cnnsearch.runner.run`.
    """
    group = _Group(configs, fingerprint, fold, checkpoints)
    yield from group.run(range(len(configs)))


class _Group:
    """What was told of each trial so far, so that a halved group goes on from there."""

    def __init__(
        self,
        configs: Sequence[Config],
        fingerprint: str | None,
        fold: int,
        checkpoints: Checkpointing | None,
    ) -> None:
        assert checkpoints is None or len(configs) == 1
        self._configs = configs
        self._fingerprint = fingerprint
        self._fold = fold
        self._checkpoints = checkpoints
        self._ended: set[int] = set()
        self._begun: set[int] = set()
        self._epochs = dict.fromkeys(range(len(configs)), 0)

    def run(self, numbers: Sequence[int]) -> Items:
        """Run some of the trials, halved as often as it takes."""
        if len(numbers) > 1:
            failed = yield from self._attempt(numbers)
        elif numbers:
            yield from self._told(self._alone(numbers[0]))
            return
        else:
            return
        if not failed:
            return
        # Outside of the except clause, whose traceback holds all tensors of the group.
        gc.collect()
        torch.cuda.empty_cache()
        left = [number for number in numbers if number not in self._ended]
        half = (len(left) + 1) // 2
        yield from self.run(left[:half])
        yield from self.run(left[half:])

    def _attempt(
        self, numbers: Sequence[int]
    ) -> Generator[list[Item], Collection[int] | None, bool]:
        """Run trials as one network; whether that failed."""
        try:
            yield from self._told(self._together(numbers))
        except CnnsearchError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            print(f"{len(numbers)} fused trials failed, halved: {what}", file=sys.stderr)
            return True
        return False

    def _told(self, items: Items) -> Items:
        """Pass on what is new, and the answers back."""
        stopped: Collection[int] | None = None
        while True:
            try:
                found = items.send(stopped)
            except StopIteration:
                return
            new = [item for item in found if self._is_new(*item)]
            stopped = (yield new) if new else None
            self._ended.update(stopped or ())

    def _is_new(self, number: int, content: Prepared | EpochResult | Outcome) -> bool:
        if isinstance(content, Prepared):
            new = number not in self._begun
            self._begun.add(number)
        elif isinstance(content, EpochResult):
            new = content.epoch > self._epochs[number]
            self._epochs[number] = max(content.epoch, self._epochs[number])
        else:
            new = number not in self._ended
            self._ended.add(number)
        return new

    def _alone(self, number: int) -> Items:
        for item in runner.run(
            self._configs[number],
            fingerprint=self._fingerprint,
            fold=self._fold,
            checkpoints=self._checkpoints,
        ):
            stopped = yield [(number, item)]
            if stopped:
                return

    def _together(self, numbers: Sequence[int]) -> Items:
        config = self._configs[numbers[0]]
        settle(config.threads, config.train)
        images = runner.expected_images(config, self._fingerprint)
        data = prepare(images, config.data, runner.resolve_device(config.device))
        members = []
        for number in numbers:
            config = self._configs[number]
            members.append(runner.make_member(config, data))
            yield [(number, runner.prepared(config, data, members[-1], fused=len(numbers)))]
        group = train_fused(members, data)
        stopped: set[int] = set()
        while True:
            try:
                results = group.send(stopped or None)
            except StopIteration:
                return
            answer = yield [
                (numbers[place], _content(members[place], told)) for place, told in results.items()
            ]
            stopped = {place for place in results if numbers[place] in (answer or ())}
            ended: list[Item] = [
                (numbers[place], Outcome(State.COMPLETE, None, _facts(members[place])))
                for place, told in results.items()
                if place not in stopped and _is_last(members[place], told)
            ]
            if ended:
                yield ended


def _content(member: Member, told: EpochResult | Diverged) -> EpochResult | Outcome:
    if isinstance(told, Diverged):
        return runner.diverged(told, _facts(member))
    return told


def _facts(member: Member) -> dict[str, float | None]:
    return {"first_loss": member.guard.first_loss}


def _is_last(member: Member, told: EpochResult | Diverged) -> bool:
    return isinstance(told, EpochResult) and told.epoch >= member.section.epochs

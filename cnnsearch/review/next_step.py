"""What to do next with a study: the one place that decides it, for `list` and for `run`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from cnnsearch import ranking
from cnnsearch.config import from_plain
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.review.advice import FEWEST
from cnnsearch.review.edges import Edge, edges
from cnnsearch.review.sureness import Sureness
from cnnsearch.review.verdicts import ended, top, wasted
from cnnsearch.space import Choice, Space

# From so large a share of wasted trials on, finding out why comes before anything finer.
_MUCH = 1 / 3
# Of the complete trials, for which narrowing makes room.
_TOP = 0.2
_FINALISTS, _SEEDS = 5, 5


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and why it is worth it; a few words, or none.

    Args:
        asks: the storage, so that it has to be told which; what goes on with the search is whole.
    """

    command: str
    why: str = ""
    asks: bool = True

    def text(self, storage: Sequence[str]) -> str:
        """The command with the words that name the storage, and why."""
        words = f"{self.command} {shlex.join(storage)}" if storage and self.asks else self.command
        return f"{words} ({self.why})" if self.why else words


def next_steps(
    summary: StudySummary,
    attempts: Sequence[Trial],
    sure: Sureness | None,
    again: str | None = None,
    storage: Sequence[str] = (),
) -> list[str]:
    """How to go on, the most useful first; at most two lines.

    Args:
        attempts: all of the study.
        sure: of its trials that are not hidden.
        again: the command that continues the search, for the one who has just run it.
        storage: words that name the storage, for commands that ask it.
    """
    name = summary.name
    judged = any(trial.diagnosis for trial in attempts)
    steps = [*_unfinished(summary, attempts, again), *_lessons(summary, attempts, sure)]
    looks = [f"cnnsearch list {name}"] if again else []
    looks += [f"cnnsearch show {name} best"] if summary.best is not None else []
    looks += [f"cnnsearch diagnose {name}"] if judged else []
    told = {step.command for step in steps[:2]}
    others = [Step(look) for look in looks if look not in told]
    second = [steps[1], *others[:1]] if len(steps) > 1 else others
    lines = ["; ".join(step.text(storage) for step in line) for line in (steps[:1], second) if line]
    return lines or ["cnnsearch run FILE with more trials, or with other ranges"]


def _unfinished(summary: StudySummary, attempts: Sequence[Trial], again: str | None) -> list[Step]:
    """What the search itself still lacks."""
    gone_on = (State.KILLED, State.RUNNING)
    done = sum(count for state, count in summary.counts.items() if state not in gone_on)
    left = (summary.planned or 0) - done
    steps = []
    if summary.counts.get(State.RUNNING):
        steps.append(Step(f"cnnsearch watch {summary.name}", "it is running now"))
    elif left > 0:
        why = f"runs the {_counted(left, 'point')} left"
        steps.append(Step(again or summary.command, why, asks=False))
    failed = [trial for trial in ranking.shown(attempts) if trial.state is State.FAILED]
    if failed:
        command = f"cnnsearch show {summary.name} {failed[-1].number}"
        steps.append(Step(command, "tells why it failed"))
    return steps


def _lessons(summary: StudySummary, attempts: Sequence[Trial], sure: Sureness | None) -> list[Step]:
    """What the trials that ended ask for."""
    if summary.repeats:  # the search that they are of may ask for more, not they
        return []
    name, trials = summary.name, ended(attempts)
    lost = sum(wasted(trial) for trial in trials)
    steps = []
    if len(trials) >= FEWEST and lost >= _MUCH * len(trials):
        why = f"tells why {lost} of {_counted(len(trials), 'trial')} were wasted"
        steps.append(Step(f"cnnsearch diagnose {name}", why))
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    rerun, narrow = _rerun(name, sure), _narrow(summary, trials, complete)
    if sure is None or not _blurred(sure, complete, summary.direction):
        return [*steps, *narrow, *rerun]
    at_edge = narrow and narrow[0].why
    return [*steps, *(narrow if at_edge else []), *rerun, *([] if at_edge else narrow)]


def _blurred(sure: Sureness, complete: Sequence[Trial], direction: str) -> bool:
    """Whether the noise is as large as what narrowing would look at: the differences on top."""
    return sure.lucky or sure.within + 1 >= len(top(complete, direction, _TOP))


def _rerun(name: str, sure: Sureness | None) -> list[Step]:
    """Repeat the finalists where it is open which of them is the best."""
    if sure is None or sure.within == 0:
        return []
    count = min(_FINALISTS, sure.within + 1)
    command = f"cnnsearch rerun {name} top:{count} --seeds {_SEEDS}"
    return [Step(command, "tells better from lucky")]


def _narrow(
    summary: StudySummary, trials: Sequence[Trial], complete: Sequence[Trial]
) -> list[Step]:
    """Search again where the best are; or beyond, where they lie at an end."""
    config = from_plain(dict(summary.config))
    space = config.space or {}
    if len(complete) < FEWEST or summary.stage or not _is_open(space):
        return []
    sampler = config.search.sampler if config.search else "random"
    found: list[Edge] = edges(trials, space, summary.direction, sampler)
    end = f"the best {found[0].name} lies near the {found[0].side}" if found else ""
    why = f"{end} end of its range" if found else ""
    return [Step(f"cnnsearch narrow {summary.name} -o {summary.name}-fine.yaml", why)]


def _is_open(space: Space) -> bool:
    """Whether there is anything to choose."""
    return any(not isinstance(one, Choice) or len(one.choices) > 1 for one in space.values())


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""What to do next with a study: the one place that decides it, for `list` and for `run`."""

from __future__ import annotations

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
    """A command, and why it is worth it; a few words, or none."""

    command: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.command} ({self.why})" if self.why else self.command


def next_steps(
    summary: StudySummary,
    attempts: Sequence[Trial],
    sure: Sureness | None,
    again: str | None = None,
) -> list[str]:
    """How to go on, the most useful first; at most two lines.

    Args:
        attempts: all of the study.
        sure: of its trials that are not hidden.
        again: the command that continues the search, for the one who has just run it.
    """
    name = summary.name
    judged = any(trial.diagnosis for trial in attempts)
    steps = [*_unfinished(summary, attempts, again), *_lessons(summary, attempts, sure)]
    looks = [f"cnnsearch list {name}"] if again else []
    looks += [f"cnnsearch show {name} best"] if summary.best is not None else []
    looks += [f"cnnsearch diagnose {name}"] if judged else []
    told = {step.command for step in steps[:2]}
    looks = [look for look in looks if look not in told]
    second = [str(steps[1]), *looks[:1]] if len(steps) > 1 else looks
    lines = [*map(str, steps[:1]), "; ".join(second)]
    return [line for line in lines if line] or [
        "cnnsearch run FILE with more trials, or with other ranges"
    ]


def _unfinished(summary: StudySummary, attempts: Sequence[Trial], again: str | None) -> list[Step]:
    """What the search itself still lacks."""
    gone_on = (State.KILLED, State.RUNNING)
    done = sum(count for state, count in summary.counts.items() if state not in gone_on)
    left = (summary.planned or 0) - done
    steps = []
    if summary.counts.get(State.RUNNING):
        steps.append(Step("it is running now"))
    elif left > 0:
        steps.append(Step(again or summary.command, f"runs the {_counted(left, 'point')} left"))
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

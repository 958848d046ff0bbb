"""What `run` says before it begins and after it has ended."""

from __future__ import annotations

from collections.abc import Sequence

from cnnsearch import catalog, ranking
from cnnsearch.config import Config
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render.text import counted, measure, seconds_text
from cnnsearch.render.trials import counts_text, objective, params_text
from cnnsearch.render.verdicts import verdict_counts, verdicts_text


def opening(config: Config, count: int, done: int, where: str, seconds: float | None) -> str:
    """One line: how much is to run, on what, where, and for how long if that is known."""
    assert config.search is not None
    already = f", {done} already done" if done else ""
    text = f"{config.study}: {counted(count, 'trial')} ({config.search.sampler}{already})"
    text += f" on {config.data.name}, {where}"
    return text if seconds is None else f"{text}, about {seconds_text(seconds)}"


def workers(jobs: int, device: str) -> str:
    """Where trials run: `2 workers on cpu`."""
    if jobs == 0:
        return f"in this process on {device}"
    return f"{jobs} worker{'' if jobs == 1 else 's'} on {device}"


def closing(
    summary: StudySummary, trials: Sequence[Trial], count: int, again: str, interrupted: bool
) -> list[str]:
    """Counts of states and verdicts, the best trial and what to do next.

    Args:
        count: number of points that the study is to have.
        again: the command that continues.
    """
    lines = [f"{summary.name}: {counts_text(summary.counts) or 'no trial yet'}"]
    verdicts = verdict_counts(trials)
    if verdicts:
        lines.append(f"verdicts: {verdicts_text(verdicts)}")
    best = ranking.best(trials, summary.direction)
    if best is not None:
        value = f"{objective(summary)} {measure(best.value)}"
        lines.append(f"best: trial {best.number}, {value}; {params_text(best.params)}")
    ended = sum(
        number
        for state, number in summary.counts.items()
        if state not in (State.KILLED, State.RUNNING)
    )
    if interrupted:
        return [*lines, f"interrupted. To continue: {again}"]
    if ended < count:
        lines.append(f"{counted(count - ended, 'trial')} left. To continue: {again}")
    if best is None:
        verb = "diagnose" if verdicts else "list"
        return [*lines, f"no trial completed. See why: cnnsearch {verb} {summary.name}"]
    verbs = [f"list {summary.name}", f"show {summary.name} best"]
    verbs += [f"diagnose {summary.name}"] if verdicts else []
    return [*lines, "next: " + "; ".join(f"cnnsearch {verb}" for verb in verbs)]


def is_estimated(config: Config) -> bool:
    """Whether the time is told before the start: for a grid, whose size the user did not write."""
    assert config.search is not None
    return catalog.SAMPLERS[config.search.sampler].finite

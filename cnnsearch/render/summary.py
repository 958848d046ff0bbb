"""What `run` says before it begins and after it has ended, and `list` of a whole study."""

from __future__ import annotations

from collections.abc import Sequence

from cnnsearch import catalog, ranking
from cnnsearch.config import Config
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render.output import Line
from cnnsearch.render.sureness import sure_text
from cnnsearch.render.text import counted, measure, seconds_text
from cnnsearch.render.trials import counts_text, objective, objective_text, params_text
from cnnsearch.render.verdicts import verdict_counts, verdicts_text
from cnnsearch.review.next_step import Step, next_steps
from cnnsearch.review.savings import Savings, savings
from cnnsearch.review.sureness import sureness


def opening(config: Config, count: int, done: int, where: str, seconds: float | None) -> str:
    """One line: how much is to run, on what, where, and for how long if that is known."""
    assert config.search is not None
    already = f", {done} already done" if done else ""
    text = f"{config.study}: {counted(count, 'trial')} ({config.search.sampler}{already})"
    text += f" on {config.data.name}, {where}"
    return text if seconds is None else f"{text}, about {seconds_text(seconds)}"


def closing(
    summary: StudySummary,
    trials: Sequence[Trial],
    count: int,
    again: str,
    interrupted: bool,
    storage: Sequence[str] = (),
) -> list[str]:
    """Counts of states and verdicts, epochs saved, the best trial, how sure it is, what to do next.

    Args:
        count: number of points that the study is to have.
        again: the command that continues.
        storage: words that name the storage, for commands that are proposed.
    """
    lines = [f"{summary.name}: {counts_text(summary.counts) or 'no trial yet'}"]
    verdicts = verdict_counts(trials)
    if verdicts:
        lines.append(f"verdicts: {verdicts_text(verdicts)}")
    saved = saved_text(savings(summary, trials))
    if saved:
        lines.append(f"saved {saved}")
    best = ranking.best(trials, summary.direction)
    if best is not None:
        value = f"{objective(summary)} {measure(best.value)}"
        lines.append(f"best: trial {best.number}, {value}; {params_text(best.params)}")
    sure = sureness(ranking.shown(trials), objective(summary), summary.direction)
    if sure is not None and not interrupted:
        lines.append(f"how sure: {sure_text(sure)}")
    if interrupted:
        return [*lines, f"interrupted. To continue: {again}"]
    if best is None:
        ended = sum(
            number
            for state, number in summary.counts.items()
            if state not in (State.KILLED, State.RUNNING)
        )
        left = counted(count - ended, "trial")
        lines += [f"{left} left. To continue: {again}"] if ended < count else []
        see = Step(f"cnnsearch {'diagnose' if verdicts else 'list'} {summary.name}").text(storage)
        return [*lines, f"no trial completed. See why: {see}"]
    steps = next_steps(summary, trials, sure, again, storage)
    return [*lines, *(f"next: {step}" for step in steps)]


def standing(
    summary: StudySummary, attempts: Sequence[Trial], storage: Sequence[str] = ()
) -> list[Line]:
    """How a study stands: counts, best trial, how sure it is, verdicts, epochs saved, what is next.

    Args:
        attempts: all of the study.
        storage: words that name the storage, for commands that are proposed.
    """
    points = sum(summary.counts.values())
    of = f"{points} of " if summary.planned else ""
    counts = f": {counts_text(summary.counts)}" if points else ""
    lines: list[Line] = [
        [
            (summary.name, "bold"),
            (f": {of}{counted(summary.planned or points, 'point')}{counts}", ""),
            (f" ({objective_text(summary)})", ""),
        ]
    ]
    shown = ranking.shown(attempts)
    best = ranking.best(shown, summary.direction)
    sure = sureness(shown, objective(summary), summary.direction)
    verdicts = verdict_counts(attempts)
    told = {
        "best": f"trial {best.number}, {measure(best.value)} ({params_text(best.params)})"
        if best
        else "",
        "how sure": sure_text(sure) if sure else "",
        "verdicts": verdicts_text(verdicts),
    }
    steps = next_steps(summary, attempts, sure, storage=storage)
    saved = saved_text(savings(summary, attempts))
    return [
        *lines,
        *([(label, "bold"), (f": {text}", "")] for label, text in told.items() if text),
        *([[("saved", "bold"), (f" {saved}", "")]] if saved else []),
        *([("next", "bold"), (f": {step}", "")] for step in steps),
    ]


def saved_text(saved: Savings) -> str:
    """`47 % of the epochs: 31 % pruned, 16 % diverged`; empty where it is less than half of one."""
    share = round(100 * saved.saved / saved.full) if saved.full else 0
    if not share:
        return ""
    pruned = round(100 * saved.pruned / saved.full)
    # The rest, so that both add up to the whole.
    parts = {"pruned": pruned, "diverged": share - pruned}
    told = ", ".join(f"{part} % {name}" for name, part in parts.items() if part)
    return f"{share} % of the epochs: {told}"


def is_estimated(config: Config) -> bool:
    """Whether the time is told before the start: for a grid, whose size the user did not write."""
    assert config.search is not None
    return catalog.SAMPLERS[config.search.sampler].finite

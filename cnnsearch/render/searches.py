"""How `cnnsearch compare --by sampler` is told: searches side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cnnsearch import ranking
from cnnsearch.records import State
from cnnsearch.render import output
from cnnsearch.render.curves import Curve, beside, legend, plot
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table
from cnnsearch.render.text import counted, measure
from cnnsearch.review.progress import Progress, Step, Verdict, budgets

# More curves in one picture of 80 columns cannot be told apart.
MOST_CURVES = 4


def searches_table(searches: Sequence[Progress], direction: str) -> Table:
    """A row a search: what it took and what it found."""
    columns = (
        Column("study", style=lambda _: "bold"),
        Column("sampler"),
        Column("trials", right=True),
        Column("complete", right=True),
        Column("epochs", right=True),
        Column("best", measure, right=True),
        Column("best trial", right=True),
    )
    rows = []
    for one in searches:
        best = ranking.best(one.trials, direction)
        value, number = (best.value, best.number) if best else (None, None)
        complete = sum(trial.state is State.COMPLETE for trial in one.trials)
        row = [one.study, one.sampler, len(one.trials), complete, one.epochs, value, number]
        rows.append(row)
    return Table(columns, rows)


def trials_table(searches: Sequence[Progress]) -> Table:
    """The best value after so many trials."""
    most = max(len(one.steps) for one in searches)
    ends = [len(one.steps) for one in searches]
    rows = [[n, *(one.after_trials(n) for one in searches)] for n in _budgets(most, ends)]
    return Table(_columns("best after trials", searches), rows)


def epochs_table(searches: Sequence[Progress]) -> Table:
    """The best value of the trials that had ended after so many epochs."""
    most = max(one.epochs for one in searches)
    ends = [one.epochs for one in searches]
    rows = [[n, *(one.within_epochs(n) for one in searches)] for n in _budgets(most, ends)]
    told = [row for row in rows if any(value is not None for value in row[1:])]
    return Table(_columns("best after epochs", searches), told)


def _budgets(most: int, ends: Sequence[int]) -> list[int]:
    """Those of 1, 2, 5, 10, ..., and where a search ends."""
    return sorted({*budgets(most), *ends}) if most else []


def _columns(first: str, searches: Sequence[Progress]) -> tuple[Column, ...]:
    return (
        Column(first, right=True),
        *(Column(one.label, measure, right=True) for one in searches),
    )


def distinct_table(names: Sequence[str], searches: Sequence[Progress]) -> Table:
    """How many different values of each hyperparameter were tried."""
    rows = [[name, *(distinct(one, name) for one in searches)] for name in names]
    columns = (
        Column("distinct values", style=lambda _: "bold"),
        *(Column(one.label, right=True) for one in searches),
    )
    return Table(columns, rows)


def distinct(search: Progress, name: str) -> int:
    """How many different values of a hyperparameter a search tried."""
    return len({repr(trial.params[name]) for trial in search.trials if name in trial.params})


def verdict_texts(trials: Verdict | None, epochs: Verdict | None) -> list[str]:
    """Which found the better value with the same budget, and whether that is more than noise.

    One sentence where trials and epochs tell the same.
    """
    found = [(told, _budget(told)) for told in (trials, epochs) if told is not None]
    if not found:
        return ["With the same budget fewer than two of them had a complete trial."]
    if len(found) == 2 and _same(found[0][0], found[1][0]):
        (told, budget), (_, other) = found
        found = [(told, f"{budget}, or {other},")]
    return [_verdict_text(told, budget) for told, budget in found]


def _budget(found: Verdict) -> str:
    return counted(found.budget, found.unit)


def _same(one: Verdict, other: Verdict) -> bool:
    return (one.best, one.other, one.value, one.against, one.real) == (
        other.best, other.other, other.value, other.against, other.real
    )  # fmt: skip


def _verdict_text(found: Verdict, budget: str) -> str:
    one, other = found.best.label, found.other.label
    if found.difference == 0:
        return f"With {budget} each, {one} and {other} found the same: {measure(found.value)}."
    text = (
        f"With {budget} each, {one} found {measure(found.value)} and {other} "
        f"{measure(found.against)}: {measure(found.difference)} better, "
    )
    if found.noise is None:
        return text + "and nothing tells how large the noise of a value is."
    if not found.real:
        return text + (
            f"within the noise of the two ({measure(found.noise)}), so neither is told to be "
            f"better.{_luck(found)}"
        )
    if found.seeds:
        return text + f"more than the noise of the two ({measure(found.noise)}).{_luck(found)}"
    return text + (
        f"more than the error of the validation images ({measure(found.noise)}); how much seeds "
        f"matter is not known.{_luck(found)}"
    )


def _luck(found: Verdict) -> str:
    """That a search with more trials was also luckier; nothing where they had as many."""
    best, other = found.trials
    if best == other:
        return ""
    more, its, fewer = found.best, best, other
    if other > best:
        more, its, fewer = found.other, other, best
    return f" {more.label} had {counted(its, 'trial')} in it, not {fewer}, so more luck as well."


def picture(searches: Sequence[Progress], objective: str, direction: str) -> list[Line]:
    """The best value so far over trials and over epochs, of the best searches."""
    having = [one for one in searches if any(step.best is not None for step in one.steps)]
    if not having:
        return []
    sign = -1.0 if direction == "maximize" else 1.0
    order = sorted(having, key=lambda one: sign * (one.steps[-1].best or 0.0))[:MOST_CURVES]
    drawn = [one for one in having if one in order]
    width = min(output.width(), 160)
    wide = width >= 72
    size = (width // 2 - 1, 13) if wide else (width, 12)
    pictures = [
        plot(
            f"best {objective} by {unit}",
            [Curve(one.label, _stairs(one.steps, unit)) for one in drawn],
            size,
        )
        for unit in ("trials", "epochs")
    ]
    left_out = [one.label for one in searches if one not in drawn]
    note: list[Line] = [[(f"not drawn: {', '.join(left_out)}", "dim")]] if left_out else []
    one, other = pictures
    lines = beside(one, other, width // 2 + 1) if wide else [*one, [], *other]
    return [*lines, legend([one.label for one in drawn]), *note]


def _stairs(steps: Sequence[Step], unit: str) -> list[tuple[float, float]]:
    """Corners: a value holds until the next trial has ended."""
    points: list[tuple[float, float]] = []
    for step in steps:
        if step.best is not None:
            place = float(getattr(step, unit))
            points += [(place, points[-1][1])] if points else []
            points.append((place, step.best))
    return points


def states(search: Progress) -> dict[str, int]:
    """How many of its trials ended in each state."""
    found = Counter(trial.state for trial in search.trials)
    return {str(state): found[state] for state in State if found[state]}

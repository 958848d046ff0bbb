"""How `cnnsearch importance` is told: what was asked of which trials, a table with bars, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnsearch.catalog import EVALUATORS
from cnnsearch.records import State
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table
from cnnsearch.render.text import counted, value_text
from cnnsearch.render.trials import counts_text
from cnnsearch.review.importance import NEEDED, Cases, Effect, Importances
from cnnsearch.review.tried import Axes

# With the longest names of hyperparameters a row takes 78 columns.
NOT_TOLD = "may be chance"
_BAR = 14


def heading(found: Importances, study: str, objective: str) -> Line:
    """What was asked, of how many trials."""
    cases = found.cases
    asked = {
        "value": objective,
        "diverged": "whether a trial diverges",
        "seconds": "the time that a trial takes",
    }[cases.target]
    return [
        (f"{study}: what mattered for {asked}", "bold"),
        (f"; {counted(len(cases.trials), 'trial')}: {counts_text(cases.counts)}", ""),
    ]


def question(found: Importances, objective: str) -> list[str]:
    """What the evaluator measures, and how trials without a value of their own count."""
    cases = found.cases
    title = EVALUATORS[found.evaluator].title
    if found.evaluator == "fanova":
        what = {
            "value": objective,
            "diverged": "diverging",
            "seconds": "the time",
        }[cases.target]
        lines = [
            f"{title}: what share of the variance of {what} over the whole space each "
            f"hyperparameter explains alone. {_trust(found.explained or 0.0)}"
        ]
    else:
        lines = [f"{title}: which hyperparameters separate {_top(found)} from all of them."]
    return lines + _counting(cases, EVALUATORS[found.evaluator].by_rank)


def _trust(explained: float) -> str:
    if explained <= 0:
        return "Its forest predicts nothing of trials that it has not seen: do not rely on it."
    return f"Its forest predicts {explained:.0%} of the variance of trials that it has not seen."


def _top(found: Importances) -> str:
    cases, top = found.cases, found.top or 0
    if cases.target == "seconds":
        return f"the {top} longest trials"
    if cases.target == "value":
        return f"the {top} best trials"
    diverged = cases.counts.get(State.DIVERGED, 0)
    return f"the {top} trials that {'diverged' if diverged == top else 'did not diverge'}"


def _counting(cases: Cases, by_rank: bool) -> list[str]:
    if cases.target == "seconds":
        left = sum(cases.left_out.values())
        others = f"{counted(left, 'other trial')} ended early and {'is' if left == 1 else 'are'}"
        return [f"Of complete trials only: {others} left out."] if left else []
    if cases.target != "value":
        return []
    lines = []
    lost = [state for state in (State.PRUNED, State.DIVERGED) if cases.counts.get(state)]
    if lost:
        kinds = " and ".join(str(state).capitalize() if not i else state
                             for i, state in enumerate(lost))  # fmt: skip
        as_what = "worse than complete ones" if by_rank else "the worst value of a complete one"
        lines.append(f"{kinds} trials count as {as_what}.")
    if cases.left_out:
        lines.append(f"Left out: {counts_text(cases.left_out)}, which have no value.")
    return lines


def effects_table(effects: Sequence[Effect], all_trials: int, name: str) -> Table:
    """A row each, with a bar as long as its share.

    Args:
        all_trials: how many there are; where a row rests on fewer, a column tells.
        name: header of the first column.
    """
    some = any(effect.trials < all_trials for effect in effects)
    doubts = not all(effect.told for effect in effects)
    columns = (
        Column(name, style=lambda _: "bold"),
        Column("importance", lambda share: f"{share:.2f}", right=True),
        Column("", _bar, style=lambda _: "cyan"),
        Column("95% interval", lambda ends: f"{ends[0]:.2f} to {ends[1]:.2f}"),
        *([Column("trials", right=True)] if some else []),
        *([Column("", lambda told: "" if told else NOT_TOLD, style=_dim)] if doubts else []),
    )
    rows = [
        [
            " x ".join(effect.names),
            effect.share,
            effect.share,
            (effect.low, effect.high),
            *([effect.trials] if some else []),
            *([effect.told] if doubts else []),
        ]
        for effect in effects
    ]
    return Table(columns, rows)


def _dim(_: bool) -> str:
    return "dim"


def _bar(share: float) -> str:
    mark = "█" if output.speaks_utf8() else "#"
    return mark * round(share * _BAR)


def notes(found: Importances, pairs: Importances | None, axes: Axes) -> list[str]:
    """What is not in the table, and what it does not tell."""
    lines = []
    if found.effects and not any(effect.told for effect in found.effects):
        together = pairs is not None and pairs.pairs
        text = "Alone, each of them" if together else "All of it"
        lines.append(f"{text} may be chance{'' if together else ': run more trials'}.")
    parts = [f"{name} (always {value_text(value)})" for name, value in axes.constant]
    parts += [f"{name} (active in {trials}, it takes {NEEDED})" for name, trials in axes.few]
    return [*lines, f"not judged: {', '.join(parts)}"] if parts else lines


def pairs_heading(pairs: Importances | None, installed: bool) -> list[str]:
    """What is said of interactions above their table, or instead of it."""
    if not installed:
        return ["Interactions of two need scikit-learn: pip install 'cnnsearch[fanova]'."]
    if pairs is None:
        return [f"Interactions of two take {NEEDED} trials with a number."]
    judged = counted(pairs.pairs_judged, "pair")
    if not pairs.pairs_judged:
        return []
    if not pairs.pairs:
        return [f"interactions (fANOVA): {judged}, all {NOT_TOLD}"]
    others = pairs.pairs_judged - len(pairs.pairs)
    rest = f" {counted(others, 'other pair')} {NOT_TOLD}." if others else ""
    return [
        "interactions (fANOVA): share of the variance that two explain together, beyond what each "
        f"explains alone.{rest}"
    ]


def plain(effect: Effect) -> Mapping[str, object]:
    """An effect for JSON."""
    return {
        "importance": effect.share,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "told_from_chance": effect.told,
        "trials": effect.trials,
    }

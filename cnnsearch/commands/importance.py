"""`cnnsearch importance`: which hyperparameters mattered, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.catalog import EVALUATORS, TARGETS
from cnnsearch.commands.completing import studies
from cnnsearch.commands.options import json_option, storage_option
from cnnsearch.commands.references import study as read_study
from cnnsearch.errors import InputError
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import print_table
from cnnsearch.render.trials import objective

if TYPE_CHECKING:
    from cnnsearch.review.importance import Importances
    from cnnsearch.review.tried import Axes
    from cnnsearch.space import Space


@click.command("importance")
@click.argument("study", shell_complete=studies)
@click.option(
    "--target",
    type=click.Choice(list(TARGETS)),
    default="value",
    show_default=True,
    help="What they mattered for.",
)
@click.option(
    "--evaluator",
    type=click.Choice(list(EVALUATORS)),
    default="ped-anova",
    show_default=True,
    help="How it is measured, see above.",
)
@json_option
@storage_option
def command(study: str, target: str, evaluator: str, as_json: bool, storage: str) -> None:
    """Tell which hyperparameters of a study mattered.

    ped-anova asks which of them separate the best trials (a fifth, at least 5; or the diverged, or
    the longest) from all. fanova asks what share of the variance over the whole space each
    explains; it needs scikit-learn (pip install 'cnnsearch[fanova]'), as do interactions of two.
    Both take 20 trials.

    The interval comes from draws of half the trials. "May be chance" stands where as strong a tie
    between trials and any hyperparameter appears in more than one of twenty studies in which there
    is none.

    \b
    Examples:
      cnnsearch importance digits
      cnnsearch importance digits --target diverged
      cnnsearch importance digits --evaluator fanova --json
    """
    from cnnsearch.study.kinds import check_search

    summary, attempts = read_study(storage, study)
    check_search(summary, "importance")
    found, pairs, judged, installed = _evaluated(summary, attempts, target, evaluator)
    if as_json:
        output.write_json(_object(summary, found, pairs, judged))
        return
    _print(summary, found, pairs, judged, installed)


def measured(
    summary: StudySummary, attempts: Sequence[Trial], target: str, evaluator: str
) -> tuple[Importances, Axes, Space]:
    """What was found, what was judged at all, and the space.

    Raises:
        InputError: too few trials, or nothing differs.
        MissingExtraError: the evaluator needs scikit-learn.
    """
    from cnnsearch.config import from_plain
    from cnnsearch.review import ended
    from cnnsearch.review.importance import NEEDED, cases
    from cnnsearch.review.tried import axes
    from cnnsearch.study.fanova import check_installed, fanova

    space = from_plain(dict(summary.config)).space or {}
    if evaluator == "fanova":
        check_installed()
    trials, name = ended(attempts), summary.name
    of = cases(trials, target, summary.direction, EVALUATORS[evaluator].by_rank, name)
    judged = axes(of.trials, space, NEEDED)
    if not judged.judged:
        raise InputError(
            f"{name}: no hyperparameter has two values in {NEEDED} trials, so none can be judged. "
            "Search more of them."
        )
    if evaluator == "fanova":
        return fanova(of, space, judged.judged), judged, space
    from cnnsearch.study.importance import ped_anova

    return ped_anova(of, space, judged.judged), judged, space


def _evaluated(
    summary: StudySummary, attempts: Sequence[Trial], target: str, evaluator: str
) -> tuple[Importances, Importances | None, Axes, bool]:
    """What was found, the interactions where they could be looked for, what was judged at all, and
    whether scikit-learn is there; see `measured`.
    """
    from cnnsearch.review import ended
    from cnnsearch.study.fanova import installed

    found, judged, space = measured(summary, attempts, target, evaluator)
    if evaluator == "fanova":
        return found, found, judged, True
    there = installed()
    pairs = _pairs(ended(attempts), target, summary, space) if there else None
    return found, pairs, judged, there


def _pairs(
    trials: Sequence[Trial], target: str, summary: StudySummary, space: Space
) -> Importances | None:
    """The interactions; None where too few trials have a number."""
    from cnnsearch.review.importance import NEEDED, cases
    from cnnsearch.review.tried import axes
    from cnnsearch.study.fanova import fanova

    try:
        of = cases(trials, target, summary.direction, by_rank=False, study=summary.name)
    except InputError:
        return None
    return fanova(of, space, axes(of.trials, space, NEEDED).judged, alone=False)


def _print(
    summary: StudySummary,
    found: Importances,
    pairs: Importances | None,
    judged: Axes,
    installed: bool,
) -> None:
    from cnnsearch.render import importance as told

    goal, count = objective(summary), len(found.cases.trials)
    output.write_lines([told.heading(found, summary.name, goal)], wrap=True)
    output.write_lines([[(line, "")] for line in told.question(found, goal)], wrap=True)
    output.write_lines([[]])
    print_table(told.effects_table(found.effects, count, "name"))
    output.write_lines([[(line, "dim")] for line in told.notes(found, pairs, judged)], wrap=True)
    heading = told.pairs_heading(pairs, installed)
    output.write_lines([[], *([(line, "")] for line in heading)] if heading else [], wrap=True)
    if pairs is not None and pairs.pairs:
        print_table(told.effects_table(pairs.pairs, len(pairs.cases.trials), "pair"))


def _object(
    summary: StudySummary, found: Importances, pairs: Importances | None, judged: Axes
) -> dict[str, Any]:
    from cnnsearch.render.importance import plain
    from cnnsearch.review.importance import NEEDED

    states = {str(state): found.cases.counts.get(state, 0) for state in State}
    return {
        "study": summary.name,
        "target": found.cases.target,
        "objective": objective(summary),
        "evaluator": found.evaluator,
        "trials": len(found.cases.trials),
        "needed": NEEDED,
        "states": {name: count for name, count in states.items() if count},
        "left_out": {str(state): count for state, count in found.cases.left_out.items()},
        "top": found.top,
        "explained": found.explained,
        "importances": [{"name": one.names[0], **plain(one)} for one in found.effects],
        "constant": [{"name": name, "value": value} for name, value in judged.constant],
        "too_few": [{"name": name, "trials": count} for name, count in judged.few],
        "interactions": pairs and [{"names": one.names, **plain(one)} for one in pairs.pairs],
        "pairs_judged": pairs and pairs.pairs_judged,
    }

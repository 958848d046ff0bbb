"""`cnnsearch compare STUDY STUDY --by sampler`: whole searches side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cnnsearch.commands.references import study as read_study
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import Form, print_table
from cnnsearch.render.trials import objective, parameters, searched

if TYPE_CHECKING:
    from cnnsearch.review.progress import Progress, Verdict

FEWEST, MOST = 2, 8
# What decides which images a value is measured on, beside their fingerprint.
_MEASURED_ON = ("name", "validation", "split_seed", "size", "channels")


def compare_searches(storage: str, names: Sequence[str], as_json: bool, form: Form) -> None:
    """Print studies side by side: best so far by trials and epochs, distinct values, who is ahead.

    Raises:
        InputError: not 2 to 8 studies, or such whose values cannot be compared.
    """
    from cnnsearch.review.progress import compared

    found = _studies(storage, names)
    mismatch = incomparable(storage, [summary for summary, _ in found])
    if mismatch:
        raise InputError(f"--by sampler: {mismatch}")
    first = found[0][0]
    of = compared(found, objective(first))
    for one in of.searches:
        if not one.steps:
            raise InputError(f"study {one.study}: no trial has ended yet. Run it first.")
    axes = _axes(found)
    if as_json:
        output.write_json(_object(first, of.searches, of.verdicts, axes, of.unlike))
        return
    _print(first, of.searches, of.verdicts, axes, of.unlike, form)


def _studies(storage: str, names: Sequence[str]) -> list[tuple[StudySummary, list[Trial]]]:
    example = "Write cnnsearch compare STUDY_A STUDY_B --by sampler."
    if not FEWEST <= len(names) <= MOST:
        raise InputError(
            f"--by sampler: takes {FEWEST} to {MOST} studies, not {len(names)}. {example}"
        )
    for name in names:
        if "/" in name:
            raise InputError(
                f"--by sampler: {name} is a trial; whole studies are wanted. {example}"
            )
    found = [read_study(storage, name) for name in names]
    full = [summary.name for summary, _ in found]
    for name in full:
        if full.count(name) > 1:
            raise InputError(f"--by sampler: study {name} is named twice. {example}")
    return found


def incomparable(storage: str, summaries: Sequence[StudySummary]) -> str | None:
    """Why the values of studies do not measure the same, and what to do; None where they do."""
    from cnnsearch.config.writing import flow
    from cnnsearch.study import attributes, read

    first = summaries[0]
    prints = [
        (read.study_attributes(storage, one.name) or {}).get(attributes.FINGERPRINT)
        for one in summaries
    ]
    for one, fingerprint in zip(summaries[1:], prints[1:], strict=True):
        pair = f"{first.name} and {one.name}"
        for field in ("objective", "at"):
            values = [summary.config["search"].get(field) for summary in (first, one)]
            if values[0] != values[1]:
                return (
                    f"{pair} differ in search.{field} ({values[0]}, {values[1]}): their values "
                    "cannot be compared. Name studies of one objective."
                )
        for field in _MEASURED_ON:
            values = [summary.config["data"].get(field) for summary in (first, one)]
            if values[0] != values[1]:
                told = ", ".join(map(flow, values))
                return (
                    f"{pair} differ in data.{field} ({told}): their values are "
                    "measured on other images. Name studies of the same data."
                )
        if None not in (fingerprint, prints[0]) and fingerprint != prints[0]:
            return (
                f"{pair} were run on other images of {first.config['data']['name']}. Name studies "
                "of the same data."
            )
    return None


def _axes(found: Sequence[tuple[StudySummary, Sequence[Trial]]]) -> list[str]:
    """All hyperparameters, in the order of the spaces."""
    names = [
        name.removeprefix("params.")
        for summary, attempts in found
        for name in parameters(attempts, searched(summary))
    ]
    return list(dict.fromkeys(names))


def _print(
    first: StudySummary,
    searches: Sequence[Progress],
    verdicts: Mapping[str, Verdict | None],
    axes: Sequence[str],
    unlike: Sequence[str],
    form: Form,
) -> None:
    from cnnsearch.render import searches as told

    tables = [
        told.searches_table(searches, first.direction),
        told.trials_table(searches),
        told.epochs_table(searches),
        told.distinct_table(axes, searches),
    ]
    for i, table in enumerate(tables):
        if table.rows:
            output.write_lines([[]] if i else [])
            print_table(table, form)
    if form is Form.COLUMNS:
        drawn = told.picture(searches, objective(first), first.direction)
        output.write_lines([[], *drawn] if drawn else [])
    output.write_lines([[]])
    lines = told.verdict_texts(verdicts["trial"], verdicts["epoch"])
    output.write_lines([[(line, "bold")] for line in lines], wrap=True)
    if unlike:
        text = f"Not one file: they differ in {', '.join(unlike)} too."
        output.write_lines([[(text, "yellow")]], wrap=True)


def _object(
    first: StudySummary,
    searches: Sequence[Progress],
    verdicts: Mapping[str, Verdict | None],
    axes: Sequence[str],
    unlike: Sequence[str],
) -> dict[str, Any]:
    from cnnsearch.render.searches import distinct, states

    return {
        "objective": objective(first),
        "direction": first.direction,
        "studies": [
            {
                "study": one.study,
                "sampler": one.sampler,
                "trials": len(one.trials),
                "states": states(one),
                "epochs": one.epochs,
                "best": one.steps[-1].best,
                "distinct": {name: distinct(one, name) for name in axes},
                "steps": [asdict(step) for step in one.steps],
            }
            for one in searches
        ],
        "same_trials": _verdict_object(verdicts["trial"]),
        "same_epochs": _verdict_object(verdicts["epoch"]),
        "differ_in": list(unlike),
    }


def _verdict_object(found: Verdict | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "budget": found.budget,
        "best": found.best.study,
        "value": found.value,
        "other": found.other.study,
        "against": found.against,
        "difference": found.difference,
        "noise": found.noise,
        "beyond_noise": found.real,
        "seeds_in_noise": found.seeds,
        "trials": {found.best.study: found.trials[0], found.other.study: found.trials[1]},
    }

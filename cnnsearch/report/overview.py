"""The head of a page of several studies: what each found, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnsearch.records import State
from cnnsearch.render import searches as told
from cnnsearch.render.table import Column, Table
from cnnsearch.render.text import measure
from cnnsearch.render.trials import objective, params_text
from cnnsearch.report.figures import progress_figure
from cnnsearch.report.markup import Html, table_element, tag
from cnnsearch.report.material import Material, Overview
from cnnsearch.report.sections import figure

_UNITS = ("trials", "epochs")


def overview_parts(materials: Sequence[Material], overview: Overview) -> list[Html]:
    """A table of all studies; of those that can be compared, which is ahead."""
    parts = [tag("h2", "Overview"), table_element(_studies(materials))]
    if overview.mismatch:
        parts.append(tag("p", f"Not compared: {overview.mismatch}"))
    compared = overview.compared
    if compared is None:
        return parts
    verdicts = compared.verdicts
    sentences = told.verdict_texts(verdicts.get("trial"), verdicts.get("epoch"))
    parts += [tag("p", tag("b", sentence)) for sentence in sentences]
    if compared.unlike:
        text = f"Not one file: they differ in {', '.join(compared.unlike)} too."
        parts.append(tag("p", text, class_="note"))
    plots = [figure(f"progress-{unit}", None, f"Best value so far, by {unit}") for unit in _UNITS]
    tables = [told.trials_table(compared.searches), told.epochs_table(compared.searches)]
    parts.append(tag("div", *plots, class_="grid"))
    parts.append(tag("div", *map(table_element, tables), class_="grid"))
    return parts


def overview_figures(overview: Overview) -> dict[str, Any]:
    """The figures of the overview, by the names of their places."""
    if overview.compared is None:
        return {}
    searches = overview.compared.searches
    return {
        f"progress-{unit}": progress_figure(searches, unit, overview.objective) for unit in _UNITS
    }


def _studies(materials: Sequence[Material]) -> Table:
    states = [state for state in State if any(one.summary.counts.get(state) for one in materials)]
    staged = any(one.source.stage for one in materials)
    columns = (
        Column("study"),
        *([Column("stage")] if staged else []),
        Column("sampler"),
        *(Column(str(state), right=True) for state in states),
        Column("objective"),
        Column("best", measure, right=True),
        Column("best trial", right=True),
        Column("its hyperparameters"),
    )
    rows = []
    for one in materials:
        search, best = one.source.config.search, one.best
        rows.append(
            [
                one.summary.name,
                *([one.source.stage] if staged else []),
                search.sampler if search else None,
                *(one.summary.counts.get(state, 0) for state in states),
                objective(one.summary),
                best.value if best else None,
                best.number if best else None,
                params_text(best.params) if best else None,
            ]
        )
    return Table(columns, rows)

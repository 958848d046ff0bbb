"""The page as a whole: head, tabs, what the scripts are given, and what they are allowed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from typing import Any

from cnnsearch import __version__
from cnnsearch.render.trials import objective_text
from cnnsearch.report.colours import LINES, MARKS
from cnnsearch.report.figures import importance_figure
from cnnsearch.report.markup import Html, script_data, tag
from cnnsearch.report.material import Material, Overview
from cnnsearch.report.overview import overview_figures, overview_parts
from cnnsearch.report.rows import study_data
from cnnsearch.report.sections import study_parts

# In the order in which they need each other.
_SCRIPTS = ("base.js", "figures.js", "table.js", "start.js")


def page(
    materials: Sequence[Material], overview: Overview | None, plotly: str, made: datetime
) -> str:
    """An HTML document that needs nothing else.

    Args:
        overview: of several studies; None for one.
        plotly: the text of plotly's JavaScript.
        made: when, with its time zone.
    """
    scripts = [_script(plotly), _script(_ours())]
    title = materials[0].summary.name if len(materials) == 1 else _title(materials)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title}: cnnsearch"),
        tag("style", Html(_file("page.css"))),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", _about(materials, made), class_="note")),
        tag("noscript", tag("p", "Figures, sorting and filters need JavaScript.")),
        *_contents(materials, overview),
        tag("script", script_data(_data(materials, overview)), type="application/json", id="data"),
        tag("script", Html(scripts[0]), type="text/plain", id="plotly"),
        tag("script", Html(scripts[1])),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _title(materials: Sequence[Material]) -> str:
    names = ", ".join(one.summary.name for one in materials)
    return f"{len(materials)} studies: {names}"


def _about(materials: Sequence[Material], made: datetime) -> str:
    when = made.strftime("%Y-%m-%d %H:%M %Z").strip()
    goal = f"{objective_text(materials[0].summary)}; " if len(materials) == 1 else ""
    return f"{goal}written {when} by cnnsearch {__version__}"


def _contents(materials: Sequence[Material], overview: Overview | None) -> list[Html]:
    if overview is None:
        return [tag("main", *study_parts(materials[0], 0), id="study-0", data_study=0)]
    names = {"overview": "Overview"} | {
        f"study-{place}": one.summary.name for place, one in enumerate(materials)
    }
    tabs = [
        tag("a", name, href=f"#{key}", role="tab", id=f"tab-{key}", aria_controls=key)
        for key, name in names.items()
    ]
    panels = [_panel("overview", overview_parts(materials, overview))]
    panels += [
        _panel(
            f"study-{place}",
            [tag("h2", one.summary.name), tag("p", objective_text(one.summary), class_="note"),
             *study_parts(one, place)],
            place,
        )
        for place, one in enumerate(materials)
    ]  # fmt: skip
    return [tag("nav", *tabs, role="tablist", aria_label="Studies"), tag("main", *panels)]


def _panel(key: str, parts: Sequence[Html], study: int | None = None) -> Html:
    return tag(
        "section", *parts, id=key, role="tabpanel", aria_labelledby=f"tab-{key}", data_study=study
    )


def _data(materials: Sequence[Material], overview: Overview | None) -> dict[str, Any]:
    studies = [study_data(one) for one in materials]
    for data, one in zip(studies, materials, strict=True):
        found = one.source.importance
        data["figures"] = (
            {} if isinstance(found, str) else {"importance": importance_figure(found[0])}
        )
    return {
        "states": {str(state): mark for state, mark in MARKS.items()},
        "lines": LINES,
        "figures": overview_figures(overview) if overview else {},
        "studies": studies,
    }


def _file(name: str) -> str:
    return resources.files("cnnsearch.report").joinpath(name).read_text(encoding="utf-8")


def _ours() -> str:
    """Our own scripts as one, whose names are seen by nobody else."""
    parts = "\n".join(map(_file, _SCRIPTS))
    return f'"use strict";\n{{\n{parts}}}\n'


def _script(text: str) -> str:
    """As a browser reads it, so that its hash is the same."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _policy(scripts: Sequence[str]) -> str:
    """Only our own scripts run, and nothing is loaded from anywhere.

    plotly writes styles into elements, so those cannot be told by hashes as well; pictures that it
    saves are `data:` and `blob:`.
    """
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    ]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )

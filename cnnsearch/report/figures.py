"""Figures that do not change while a page is read, as plotly takes them: plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnsearch.render.importance import NOT_TOLD
from cnnsearch.report.colours import BLUE, LINES
from cnnsearch.report.rows import rounded
from cnnsearch.review.importance import Importances
from cnnsearch.review.progress import Progress

Figure = dict[str, Any]
_DASHES = ("solid", "dash", "dot", "dashdot")


def importance_figure(found: Importances) -> Figure:
    """A bar a hyperparameter with its 95 % interval, the longest at the top; hatched where chance
    makes as much.
    """
    effects = list(reversed(found.effects))
    names = [effect.names[0] + ("" if effect.told else f"<br>({NOT_TOLD})") for effect in effects]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": [rounded(effect.share) for effect in effects],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(effect.high - effect.share) for effect in effects],
            "arrayminus": [rounded(effect.share - effect.low) for effect in effects],
        },
        "marker": {
            "color": BLUE,
            "pattern": {"shape": ["" if effect.told else "/" for effect in effects]},
        },
        "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
    }
    axis = {"title": {"text": "importance (line: 95 % interval)"}, "range": [0, 1.02]}
    return {"data": [bars], "layout": {"xaxis": axis, "showlegend": False}}


def progress_figure(searches: Sequence[Progress], unit: str, objective: str) -> Figure:
    """The best value so far over trials or epochs, a line a study."""
    lines = []
    for place, one in enumerate(searches):
        steps = [step for step in one.steps if step.best is not None]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": one.label,
                "x": [getattr(step, unit) for step in steps],
                "y": [rounded(step.best) for step in steps],
                "line": {
                    "shape": "hv",
                    "color": LINES[place % len(LINES)],
                    "dash": _DASHES[place % len(_DASHES)],
                },
            }
        )
    axes = {
        "xaxis": {"title": {"text": f"{unit} that had ended" if unit == "trials" else unit}},
        "yaxis": {"title": {"text": f"best {objective} so far"}},
    }
    return {"data": lines, "layout": {**axes, "showlegend": True}}

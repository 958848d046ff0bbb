"""What a learning-rate range test found: a table, curves, and the line to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnsearch.config import Config
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.config.writing import flow
from cnnsearch.render import output
from cnnsearch.render.curves import Curve, legend, plot
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.render.text import MISSING, counted, measure, value_text
from cnnsearch.review.proposed import logarithmic
from cnnsearch.space import Parameter, Range

# Losses above so many times the start or guessing would flatten the rest of the picture.
_CLIPPED = 1.3
_PICTURE = (100, 16)


def print_lr_range(found: Mapping[str, Any], config: Config, curves: bool) -> None:
    """Write all of it, last the line to paste.

    Args:
        found: `cnnsearch.preflight.lr_range.document`.
        config: of the file.
        curves: draw the loss against the learning rate, too.
    """
    if not found["combinations"]:
        text = "No network could be trained here; too little memory is the usual cause."
        output.write_lines([[(text, "yellow")]], wrap=True)
        return
    _print_table(found["combinations"])
    if curves:
        output.write_lines([[], *_picture(found)])
    output.write("")
    output.write_lines(_proposed(found, config), wrap=True)


def yaml_line(low: float, high: float, config: Config) -> str:
    """The proposed range as it is written below `space:`, with what else the search needs."""
    proposed = logarithmic(_lr(config), low, high, config)
    return f"lr: {flow(parameter_to_plain(proposed))}"


def _lr(config: Config) -> Parameter | float:
    """Searched, or fixed."""
    return (config.space or {}).get("lr", config.train.lr)


def _print_table(combinations: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for one in combinations for name in one["params"]))
    columns = (
        *(Column(name) for name in names),
        Column("falls from", _rate, right=True),
        Column("steepest", _rate, right=True, spare=True),
        Column("turns at", _rate, right=True),
        Column("lost at", _rate, right=True),
        Column("lowest loss", measure, right=True, spare=True),
    )
    rows = [
        [
            *(one["params"].get(name) for name in names),
            *(one[name] for name in ("falls", "steepest", "turns", "lost", "lowest_loss")),
        ]
        for one in combinations
    ]
    print_table(Table(columns, rows))


def _rate(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2g}"


def _picture(found: Mapping[str, Any]) -> list[Line]:
    curves = []
    for one in found["combinations"]:
        highest = _CLIPPED * max(one["smooth"][0], found["guessing"])
        points = [p for p in zip(one["lr"], one["smooth"], strict=True) if p[1] <= highest]
        named = [f"{name} {value_text(value)}" for name, value in one["params"].items()]
        curves.append(Curve(", ".join(named), points))
    size = (min(output.width(), _PICTURE[0]), _PICTURE[1])
    lines = plot("loss by learning rate", curves, size, log_x=True)
    if len(curves) == 1:
        return lines
    # A line each, as labels are long.
    marked = legend([curve.label for curve in curves])
    return [*lines, *(marked[i : i + 2] for i in range(0, len(marked), 2))]


def _proposed(found: Mapping[str, Any], config: Config) -> list[Line]:
    """What the file has, and the line to paste into it."""
    if found["proposal"] is None:
        text = "No learning rate is proposed: no combination learned anything. "
        advice = "Look at init, activation and preprocess first: cnnsearch layers FILE."
        return [[(text, "yellow"), (advice, "")]]
    lr = _lr(config)
    learned = sum(one["learns"] for one in found["combinations"])
    tested = len(found["combinations"])
    which = f" for the {learned} of {counted(tested, 'combination')} that learn"
    now = f"{lr.low:g} to {lr.high:g}" if isinstance(lr, Range) else _fixed(lr)
    text = f"Proposed{which if learned < tested else ''} (now {now}):"
    return [[(text, "")], [(f"  {yaml_line(**found['proposal'], config=config)}", "bold")]]


def _fixed(lr: Parameter | float) -> str:
    return ", ".join(map(value_text, [lr] if isinstance(lr, float | int) else lr.grid()))

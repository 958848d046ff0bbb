"""What `check --smoke` found: the layers, the combinations, what is wrong, and the time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.render.text import MISSING, counted, measure, number, seconds_text

_LABEL = 10


def print_smoke(found: Mapping[str, Any]) -> None:
    """Write what was found, details first, as a screen shows the last.

    Args:
        found: as in JSON, see `cnnsearch.preflight.report`.
    """
    tried = [one for one in found["combinations"] if one["tried"]]
    if not tried:
        return
    output.write("untrained networks, layer by layer")
    print_table(_layers(tried))
    output.write("")
    output.write_lines([[(_headline(found), "")]], wrap=True)
    print_table(_combinations(tried))
    output.write("")


def problem_lines(found: Mapping[str, Any]) -> list[Line]:
    """What is wrong, most severe first, in sentences; one line where nothing is."""
    if not found["problems"]:
        return [[("smoke     ", ""), ("nothing found wrong", "green")]]
    lines: list[Line] = []
    for problem in found["problems"]:
        lines.append([(problem["problem"], "bold yellow"), (f": {problem['where']}", "bold")])
        text = textwrap.wrap(problem["message"], max(40, min(output.width(), 100)) - _LABEL)
        lines += [[(" " * _LABEL + piece, "")] for piece in text]
    return lines


def penalty_lines(found: Mapping[str, Any]) -> list[str]:
    """How weight decay raises the first loss; nothing where no scheme says by how much."""
    checked = [
        one for one in found["combinations"] if one["tried"] and one["penalty_expected"] is not None
    ]
    if not checked:
        return []
    decay = number(checked[0]["weight_decay"])
    right = sum(one["penalty_right"] for one in checked)
    share = f"{right} of {len(checked)}"
    without = sum(one["tried"] for one in found["combinations"]) - len(checked)
    if without:
        share += f"; {without} without a formula"
    return [f"decay     weight_decay {decay} raises the first loss as it should in {share}"]


def time_lines(time: Mapping[str, Any] | None, device: str) -> list[str]:
    """How long the whole search will take, and what that rests on."""
    if time is None:
        return ["time      unknown: no network could be trained for a few steps"]
    text = f"time      about {seconds_text(time['seconds'])} on {device}"
    if time["trials"] > 1:
        text += f": {seconds_text(time['trial_seconds'])} a trial, {time['jobs']} at a time"
    text += f", {seconds_text(time['start_seconds'])} to start"
    if time["pruner"] != "none":
        text += f", without pruning ({time['pruner']} will stop some earlier)"
    if not time["sampled_diverged"]:
        return [text]
    lost = f"{time['sampled_diverged']} of {time['sampled']} trials tried diverged"
    steps = f"within {time['steps_tried']} steps and count as that short"
    return [text, f"          {lost} {steps}"]


def _headline(found: Mapping[str, Any]) -> str:
    count, total = len(found["combinations"]), found["combinations_total"]
    these = [one for one in found["combinations"] if one["tried"]]
    guessing = f"guessing has a loss of {measure(these[0]['guessing_loss'])}"
    which = f"{counted(count, 'combination')} of init, activation and batchnorm"
    sample = f", a sample of {total} that holds every choice" if count < total else ""
    return f"{which}{sample}; {guessing}"


def _names(tried: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in tried for name in one["params"]))


def _combinations(tried: Sequence[Mapping[str, Any]]) -> Table:
    names = _names(tried)
    rows = []
    for one in tried:
        hidden = one["layers"][:-1]
        first, last = (hidden[i]["std"] if hidden else None for i in (0, -1))
        rows.append(
            [
                *(one["params"].get(name) for name in names),
                one["first_loss"],
                first,
                last,
                _most(hidden, "dead"),
                _most(hidden, "saturated"),
                (one["accuracy"], one["learned"]),
                one["lr"],
                ", ".join(finding["rule"] for finding in one["findings"]) or MISSING,
            ]
        )
    columns = (
        *(Column(name) for name in names),
        Column("loss", measure, right=True),
        Column("std first", _short, right=True, spare=True),
        Column("std last", _short, right=True, spare=True),
        Column("dead", _share, right=True, spare=True),
        Column("saturated", _share, right=True, spare=True),
        Column("20 images", lambda v: f"{v[0]:.2f}", right=True, style=_learned_style),
        Column("at lr", number, right=True, spare=True),
        Column("findings", style=lambda text: "yellow" if text != MISSING else ""),
    )
    return Table(columns, rows)


def _layers(tried: Sequence[Mapping[str, Any]]) -> Table:
    names = _names(tried)
    rows = [
        [
            *(one["params"].get(name) for name in names),
            *(layer[key] for key in ("name", "mean", "std", "dead", "saturated", "similarity")),
        ]
        for one in tried
        for layer in one["layers"]
    ]
    columns = (
        *(Column(name) for name in names),
        Column("layer"),
        Column("mean", _short, right=True),
        Column("std", _short, right=True),
        Column("dead", _share, right=True),
        Column("saturated", _share, right=True),
        Column("alike", _share, right=True, spare=True),
    )
    return Table(columns, rows)


def _most(layers: Sequence[Mapping[str, Any]], key: str) -> float | None:
    shares = [layer[key] for layer in layers if layer[key] is not None]
    return max(shares, default=None)


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.0f}%"


def _learned_style(value: tuple[float, bool]) -> str:
    return "green" if value[1] else "red"

"""The failure map as a table with bars: where trials diverge, and where they learn nothing."""

from __future__ import annotations

from cnnsearch.grouping import Group
from cnnsearch.records import State
from cnnsearch.render.text import counted
from cnnsearch.render.trials import group_text
from cnnsearch.render.verdicts import verdicts_text
from cnnsearch.report.markup import Html, joined, tag
from cnnsearch.report.material import Material
from cnnsearch.review import NO_VERDICT, MapEntry, verdicts, wasted

_KINDS = ("kept", "nothing", "diverged")
_LEGEND = {"kept": "learned", "nothing": "learned nothing", "diverged": "diverged"}


def failure_section(material: Material) -> Html:
    """What chance cannot explain, then a row a value or interval of each hyperparameter."""
    if not material.failure_map:
        return joined([])
    lost = sum(wasted(trial) for trial in material.ended)
    share = f"{lost} of {counted(len(material.ended), 'ended trial')} wasted"
    told = [one.text for entry in material.failure_map for one in entry.telling]
    parts = [tag("ul", *(tag("li", text) for text in told))] if told else []
    legend = [
        tag("span", tag("span", class_=f"key {kind}"), text) for kind, text in _LEGEND.items()
    ]
    names = ("name", "value", "trials", "", "diverged", "wasted", "verdicts")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = [row for entry in material.failure_map for row in _rows(entry)]
    filled = tag("table", tag("thead", head), tag("tbody", *rows), class_="failures")
    return tag(
        "section",
        tag("h3", "Failure map"),
        tag("p", f"{share}: they diverged, or learned nothing."),
        *parts,
        tag("p", *legend, class_="legend"),
        tag("div", filled, class_="scroll"),
    )


def _rows(entry: MapEntry) -> list[Html]:
    return [_row(entry.name, place, group) for place, group in enumerate(entry.groups)]


def _row(name: str, place: int, group: Group) -> Html:
    count = len(group.trials)
    diverged = sum(trial.state is State.DIVERGED for trial in group.trials)
    lost = sum(wasted(trial) for trial in group.trials)
    shares = {"kept": count - lost, "nothing": lost - diverged, "diverged": diverged}
    bars = [
        tag("span", class_=f"bar {kind}", style=f"width:{100 * shares[kind] / count:.4g}%")
        for kind in _KINDS
        if shares[kind]
    ]
    found = {name: n for name, n in verdicts(group.trials).items() if name != NO_VERDICT}
    return tag(
        "tr",
        tag("th", "" if place else name, scope="row"),
        tag("td", group_text(group)),
        tag("td", str(count), class_="right"),
        tag("td", tag("div", *bars, class_="bars"), class_="bar-cell"),
        tag("td", f"{diverged / count:.0%}", class_="right"),
        tag("td", f"{lost / count:.0%}", class_="right"),
        tag("td", verdicts_text(found), class_="words"),
        class_=None if place else "first",
    )

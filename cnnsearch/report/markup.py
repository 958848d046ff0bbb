"""HTML from texts: whatever is not marked as HTML is escaped where it is put in."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from cnnsearch.render.output import Line
from cnnsearch.render.table import Table
from cnnsearch.render.text import clean, strict

_VOID = frozenset({"input", "meta"})


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def escaped(part: str) -> Html:
    """HTML as it is; any other text without what steers a terminal or a browser."""
    return part if isinstance(part, Html) else Html(html.escape(clean(part)))


def joined(parts: Iterable[str]) -> Html:
    """Parts one after another, each escaped if it is no HTML."""
    return Html("".join(map(escaped, parts)))


def tag(name: str, /, *parts: str, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        parts: its content, see `escaped`.
        attributes: `class_` is class, `data_sort` is data-sort; without those that are None or
            False, and True is an attribute without a value.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{written}>{joined(parts)}{end}")


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def table_element(table: Table, class_: str | None = None) -> Html:
    """A table as the listings show it: columns aligned as there."""
    sides = ["right" if column.right else None for column in table.columns]
    head = [
        tag("th", column.name, class_=side, scope="col")
        for column, side in zip(table.columns, sides, strict=True)
    ]
    rows = [
        tag("tr", *(
            tag("td", column.show(value), class_=side)
            for column, side, value in zip(table.columns, sides, row, strict=True)
        ))
        for row in table.rows
    ]  # fmt: skip
    filled = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_=class_)
    return tag("div", filled, class_="scroll")


def line_element(line: Line) -> Html:
    """A line of a listing as a paragraph; what is bold there is bold here."""
    return tag("p", *(tag("b", text) if "bold" in style else text for text, style in line))


def script_data(data: Any) -> Html:
    """Plain data for a script element: strict JSON in ASCII that cannot end the element."""
    text = json.dumps(strict(data), allow_nan=False, separators=(",", ":"))
    for sign in "<>&":  # only in texts
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)

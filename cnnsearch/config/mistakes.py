"""Mistakes in a config: one line each, with its place and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cnnsearch.config.synonyms import SYNONYMS
from cnnsearch.errors import InputError

_SHOWN = 60  # characters of a value that a message repeats
_LINES = 100  # mistakes that are printed
_MOST = 1_000  # mistakes that are looked for: 5,000 with their hints took more than a second
_REMEDY = " Write "  # begins a list of names, see `suggestion`
_LONG = 60  # characters of such a list; a longer one is not repeated from line to line
_NAMES = 260  # characters of a list of names: all that can be searched


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written.

    Args:
        line: of the file, counted from 1; 0 where there is no line.
        option: the command line's words ("-S lr=abc") where the value comes from there.
    """

    line: int = 0
    option: str = ""


class Mistake(Exception):  # noqa: N818
    """One mistake of the user's.

    Args:
        path: dotted name of what is wrong, "" for the file as a whole.
        text: the value and what to write instead.
    """

    def __init__(self, place: Place, path: str, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.path = path
        self.text = text


class Mistakes:
    """Gathers mistakes, so that all are told at once; a flood of them ends the reading.

    Args:
        file: begins each line that is told.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Mistake] = []

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Keep a mistake raised in the body and go on behind it."""
        try:
            yield
        except Mistake as mistake:
            self._keep(mistake)

    def add(self, place: Place, path: str, text: str) -> None:
        """Keep one mistake."""
        self._keep(Mistake(place, path, text))

    def _keep(self, mistake: Mistake) -> None:
        self.found.append(mistake)
        if len(self.found) == _MOST:
            self.raise_any()

    def raise_any(self) -> None:
        """Raise all that were found.

        Raises:
            InputError: one line per mistake, in the order of the file, the command line's last.
        """
        if self.found:
            raise InputError(report(self.file, self.found))


def report(file: str, mistakes: Sequence[Mistake]) -> str:
    """One line per mistake, in the order of the file, the command line's last."""
    ordered = sorted(mistakes, key=lambda m: (m.place.option != "", m.place.line))
    told = list(dict.fromkeys((m.place, m.path, m.text) for m in ordered))
    texts = _lists_once([text for _, _, text in told])
    lines = [line(file, *what[:2], text) for what, text in zip(told, texts, strict=True)]
    if len(lines) > _LINES:
        at_least = "at least " if len(mistakes) >= _MOST else ""
        lines[_LINES:] = [f"{cleaned(file)}: {at_least}{len(lines) - _LINES} more mistakes."]
    return "\n".join(lines)


def _lists_once(texts: Sequence[str]) -> list[str]:
    """The texts, with a long list of what to write in the first of them only."""
    seen: set[str] = set()
    found = []
    for text in texts:
        begin, _, names = text.partition(_REMEDY)
        found.append(f"{begin} See above." if names in seen else text)
        if len(names) > _LONG:
            seen.add(names)
    return found


def line(file: str, place: Place, path: str, text: str) -> str:
    """A message with its place: "coarse.yaml:14: space.lr: TEXT", or "-S lr=abc: TEXT"."""
    if place.option:
        return cleaned(f"{shortened(place.option)}: {text}")
    where = f"{file}:{place.line}" if place.line else file
    return cleaned(": ".join(part for part in (where, path, text) if part))


def cleaned(text: str) -> str:
    """`text` on one line: what a terminal would act upon is written as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def shortened(text: str, length: int = _SHOWN) -> str:
    """`text`, its tail replaced by dots where it is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def shown(value: Any) -> str:
    """A value as it is repeated in a message: as YAML writes it, texts in quotes."""
    return shortened(inline(value, quoted))


def inline(value: Any, text: Callable[[str], str] = str) -> str:
    """A value on one line in YAML's flow style.

    Args:
        text: how a text is written; as it is, unless told otherwise.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return text(value)
        case dict():
            return "{" + ", ".join(f"{k}: {inline(v, text)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(inline(v, text) for v in value) + "]"
        case _:
            # Python's shortest text of a float reads back to the same bits.
            return repr(value)


def quoted(text: str) -> str:
    """A text in Python's quotes; a long one is cut first: a megabyte need not be escaped."""
    return repr(text[: 2 * _SHOWN])


def listed(names: Iterable[str], last: str = "or") -> str:
    """ "a, b or c"."""
    words = list(names)
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name: the nearest, or all there are."""
    known = list(known)
    near = nearest(name, known)
    if near:
        return f"Did you mean {near}?"
    names = listed(known)
    if len(names) > _NAMES:
        names = names[:_NAMES].rpartition(", ")[0] + ", ..."
        return f"Write {names}"
    return f"Write {names}."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant: a synonym, one that begins with `name`, or looks alike."""
    # A long name has no near neighbour, and difflib takes its time to say so.
    return _nearest(name.lower(), tuple(known)) if len(name) <= _SHOWN else None


@lru_cache
def _nearest(written: str, known: tuple[str, ...]) -> str | None:
    if (meant := SYNONYMS.get(written)) in known:
        return meant
    # Asked more than once of one name, 0.1 to 0.3 ms each time, and a file may hold thousands.
    begun = [word for word in known if len(written) > 1 and word.startswith(written)]
    near = sorted(begun, key=len) or get_close_matches(written, known, 1, 0.6)
    return near[0] if near else None

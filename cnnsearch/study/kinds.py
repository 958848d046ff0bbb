"""What kind of study it is: a search, or repeats of another study's trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary


def check_kind(
    name: str, stored: Mapping[str, Any] | None, repeats: Mapping[str, Any] | None, other: str
) -> None:
    """A search goes on as a search, and repeats as repeats of the same study.

    Args:
        name: of the study.
        stored: its attribute `rerun`, see `cnnsearch.study.attributes`; None of a search.
        repeats: what that is to be; likewise.
        other: how to start another study.

    Raises:
        InputError: they differ.
    """
    parent = None if repeats is None else repeats["study"]
    found = None if stored is None else stored["study"]
    if found == parent:
        return
    if found is None:
        raise InputError(f"study {name} is a search, not repeats of {parent}. {other}")
    then = f"To go on with them: cnnsearch rerun {found} TRIAL..."
    raise InputError(f"study {name} holds repeats of trials of {found}. {then} {other}")


def check_search(summary: StudySummary, verb: str) -> None:
    """Refuse a study of repeats, of which only the search they come from can tell something.

    Raises:
        InputError: it names that search.
    """
    if summary.repeats is not None:
        raise InputError(
            f"study {summary.name} holds repeats of a few trials of {summary.repeats}, no search. "
            f"Write cnnsearch {verb} {summary.repeats}."
        )

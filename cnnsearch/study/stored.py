"""The form of stored attributes, checked as they are read: disks and programs change them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import UnionType
from typing import Any

from cnnsearch.study import attributes
from cnnsearch.study.states import OPTUNA_STATES


class DamagedError(Exception):
    """Something stored is not as cnnsearch writes it; the text names it."""


@dataclass(frozen=True, slots=True)
class Each:
    """A mapping whose values have all one form."""

    form: Form


@dataclass(frozen=True, slots=True)
class Maybe:
    """Null, or something of a form."""

    form: Form


Form = type | UnionType | Each | Maybe | list["Form"] | Mapping[str, "Form"]
"""A mapping needs all its keys, but for those with a question mark; a list is of one form."""

_NUMBER = int | float
_TEXT = str | None
_CURVE = Each([_NUMBER | None])
_OF_BEGUN: Mapping[str, Form] = {
    attributes.POINT: int,
    attributes.KEY: str,
    attributes.ATTEMPT: int,
    attributes.SEED: int,
    attributes.PARAMS: Each(bool | int | float | str | list | None),
}
_OF_STUDY: Mapping[str, Form] = {
    attributes.CONFIG: {
        **dict.fromkeys(("data", "model", "train", "abort", "space"), dict),
        "search": {"objective": str, "sampler": str},
    },
    attributes.FINGERPRINT: str,
    attributes.OWN_FILES: Each(str),
    attributes.COORDINATOR: {"pid": int, "host": str},
    attributes.PLANNED: int,
    attributes.COMMAND: str,
    attributes.VERSION: str,
    attributes.MARKS: Each({"tags?": [str], "note?": _TEXT, "hidden?": bool, "tests?": [dict]}),
    attributes.STAGE: Maybe({"family": str, "stage": int, "of": int, "parent": _TEXT}),
    attributes.RERUN: Maybe({"study": str}),
}
_REQUEST: Form = Maybe({"verb": str, "trials": [int], "name": str, "order": int, "now?": bool})
_OF_TRIAL: Mapping[str, Form] = {
    **_OF_BEGUN,
    attributes.BEGUN: {**_OF_BEGUN, "started?": Maybe(_NUMBER)},
    attributes.STARTED: Maybe(_NUMBER),
    attributes.RUN: str,
    attributes.CONFIG: dict,
    attributes.CURVE: _CURVE,
    attributes.FOLDS: [_CURVE],
    attributes.PROBES: Each(list),
    attributes.RESULT: Maybe(
        {
            "state": str,
            "reason": _TEXT,
            "epochs": int,
            "best_epoch": int | None,
            "seconds?": _NUMBER | None,
            "facts": dict,
            "diagnosis?": Maybe({"verdict": str, "findings?": [{"rule": str}]}),
        }
    ),
}


def of_study(key: str, text: Any) -> Any:
    """An attribute of a study.

    Args:
        text: as it is stored, JSON.

    Raises:
        DamagedError: it is no JSON, or has not the form of that attribute.
    """
    # SQLite gives whatever is there: a name need not be a text.
    asks = str(key).startswith(attributes.REQUEST)
    form = _REQUEST if asks else _OF_STUDY.get(key)
    return _checked("the study's", key, _decoded("the study's", key, text), form)


def of_trial(key: str, text: Any) -> Any:
    """An attribute of a trial; likewise."""
    return _checked("a trial's", key, _decoded("a trial's", key, text), _OF_TRIAL.get(key))


def checked_of_trial(key: str, value: Any) -> Any:
    """An attribute of a trial that was decoded already."""
    return _checked("a trial's", key, value, _OF_TRIAL.get(key))


def is_row(row: tuple[Any, ...]) -> bool:
    """Whether number, state and value of a trial are what Optuna writes."""
    number, state, value = row[:3]
    names = (*OPTUNA_STATES.values(), "WAITING")
    return (
        isinstance(number, int) and number >= 0 and state in names and _fits(value, Maybe(_NUMBER))
    )


@contextmanager
def whole(what: str) -> Iterator[None]:
    """What is made of stored parts in the body needs them all, and needs them to fit together.

    Raises:
        DamagedError: they do not.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"{what} is not whole") from error


def _decoded(whose: str, key: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, TypeError, ValueError) as error:
        raise DamagedError(f"{whose} attribute {key} is no JSON") from error


def _checked(whose: str, key: str, value: Any, form: Form | None) -> Any:
    if form is not None and not _fits(value, form):
        raise DamagedError(f"{whose} attribute {key} has another form")
    return value


def _fits(value: Any, form: Form) -> bool:
    match form:
        case Maybe(inner):
            return value is None or _fits(value, inner)
        case Each(inner):
            return isinstance(value, dict) and all(_fits(one, inner) for one in value.values())
        case list():
            return isinstance(value, list) and all(_fits(one, form[0]) for one in value)
        case Mapping():
            return isinstance(value, dict) and all(
                _fits(value[key], inner) if (key := name.rstrip("?")) in value else key != name
                for name, inner in form.items()
            )
    return isinstance(value, form)

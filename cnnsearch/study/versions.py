"""Versions of Optuna's tables: which the installed Optuna reads, and what to do with the others."""

from __future__ import annotations

from importlib.metadata import files, version

from cnnsearch.errors import InputError
from cnnsearch.study.backends import Backend

TABLES = frozenset({
    "studies", "study_user_attributes", "trials", "trial_user_attributes", "trial_values",
    "trial_intermediate_values",
})  # fmt: skip
"""Those that are read; Optuna makes them one by one, and then writes their version."""
_STEPS = "optuna/storages/_rdb/alembic/versions"


def known() -> list[str]:
    """All versions up to the installed Optuna's own, the last: it ships a step from each to the
    next. Optuna is not imported.
    """
    steps = [path for path in files("optuna") or () if str(path.parent) == _STEPS]
    names = [path.stem.rstrip("_") for path in steps if path.suffix == ".py"]
    return sorted(name for name in names if name.startswith("v"))


def check(place: Backend, found: str) -> None:
    """Refuse tables of another version than the installed Optuna's.

    Raises:
        InputError: with both versions and what to do.
    """
    names = known()
    if not names or found == names[-1]:
        return
    if found in names:
        url = f"sqlite:///{place.shown}" if place.url() == "sqlite://" else place.shown
        remedy = f"Keep a copy and run: optuna storage upgrade --storage {url}"
    else:
        remedy = "Update cnnsearch and optuna to those that wrote it, or write another --storage"
    raise InputError(
        f"--storage: {place.shown}: its tables are of version {found[:40]}, and the installed "
        f"Optuna {version('optuna')} reads {names[-1]}. {remedy}."
    )

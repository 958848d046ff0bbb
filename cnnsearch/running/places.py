"""Whether the studies that bear the names of a chain's stages are its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cnnsearch.errors import InputError
from cnnsearch.stages import Chain

Place = Mapping[str, Any]
_OTHER = "or start another chain: --name NAME."


def check_family(
    chain: Chain, places: Mapping[str, Place], is_begun: Callable[[str], bool]
) -> None:
    """Refuse a stage without the one before it, and a study that is none of the chain's stages.

    Args:
        places: see `cnnsearch.study.read.stages`.
        is_begun: whether there is a study of that name.

    Raises:
        InputError: with what to do.
    """
    missing = None
    for number in range(1, chain.length + 1):
        study = chain.study(number)
        if not is_begun(study):
            missing = missing or study
            continue
        if not _is_of(chain, number, places.get(study, {})):
            raise InputError(
                f"study {study} is not stage {number} of {chain.family}, and has its name. Delete "
                f"it: cnnsearch rm {study}, {_OTHER}"
            )
        if missing is not None:
            raise InputError(
                f"study {study} is there, and {missing} before it is not. Delete it: cnnsearch rm "
                f"{study}, {_OTHER}"
            )


def _is_of(chain: Chain, number: int, stored: Place) -> bool:
    own = chain.place(number)
    return all(stored.get(name) == own[name] for name in ("family", "stage", "parent"))


def check_place(study: str, stored: Place, place: Place) -> None:
    """Refuse a stage that was made in another way than the file says, or of other trials.

    Raises:
        InputError: with what to do.
    """
    for name in ("top", "pad"):
        if name in stored and stored[name] != place.get(name):
            raise InputError(
                f"study {study} was begun with {name}: {stored[name]}, and the file has "
                f"{place.get(name)}. Write it as it was, {_OTHER}"
            )
    name = "parent_results"
    if name in stored and stored[name] != place.get(name):
        raise InputError(
            f"study {study} was begun from other trials than {stored['parent']} has now. Delete "
            f"it: cnnsearch rm {study}, {_OTHER}"
        )

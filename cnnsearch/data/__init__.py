"""Images: read, downloaded, decoded, cached, split, and served in batches.

`load` and `check_split` need no torch. What `cnnsearch.data.trial` gives does; it is brought in
when it is first asked for.
"""

from __future__ import annotations

import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from cnnsearch import catalog
from cnnsearch.config.sections import Data
from cnnsearch.data.images import Images, Say, default_root, root_of
from cnnsearch.data.split import check_split
from cnnsearch.own import is_own

if TYPE_CHECKING:
    from cnnsearch.data.trial import TrialData, prepare

__all__ = [
    "Images",
    "Say",
    "TrialData",
    "check_split",
    "default_root",
    "load",
    "prepare",
    "root_of",
]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def load(section: Data, say: Say = _to_stderr, expected: str | None = None) -> Images:
    """Read a data set: from the cache of decoded images, else decoded, else downloaded.

    Args:
        say: gets a line for the user: the start of a download, files that were skipped.
        expected: the fingerprint of the images that are wanted: a reader of the user's own is not
            called again for those that it has given.

    Raises:
        DataError: the images are missing, broken or too few; one line.
        MissingExtraError: the data set needs an optional dependency.
    """
    row = catalog.DATASETS[section.name]
    if row.target.startswith("torchvision."):
        from cnnsearch.data import vision

        return vision.read(row, root_of(section), say)
    if is_own(row.name):
        from cnnsearch.data import own

        return own.read(section, say, expected)
    images = pkgutil.resolve_name(row.target)(section, say)
    assert isinstance(images, Images)
    return images


def __getattr__(name: str) -> Any:
    if name in ("TrialData", "prepare"):
        from cnnsearch.data import trial

        return getattr(trial, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Data sets of the user's own: read by a function of their file, cached by what it gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnsearch.config.sections import Data
from cnnsearch.data import cache
from cnnsearch.data.images import Images, Labels, Pixels, Say, fingerprint, root_of
from cnnsearch.errors import DataError, InputError, in_one_line
from cnnsearch.own import resolve, whole

_CHANNELS = (1, 3)


def read(section: Data, say: Say, expected: str | None = None) -> Images:
    """What the function `section.name` gives for the folder `data.root`.

    It is called as `NAME(root)` and returns the training and the test set, or None for the latter;
    each a pair of images and labels, or a data set as torchvision has them: of pairs of an image
    and its label, with or without `classes`. Images are uint8, or float of 0 to 1.

    Raises:
        DataError: it fails, or gives something else.
    """
    place = ("own", whole(section.name), str(root_of(section)))
    if expected is not None:
        found = cache.find(cache.key(place, [(expected, 0, 0)]), say)
        if found is not None:
            return found
    (train, labels), test, classes = _called(section)
    parts = (train, labels, *(test if test is not None else (None, None)))
    key = cache.key(place, [(fingerprint(parts, classes), 0, 0)])

    def write(entry: cache.Entry) -> None:
        entry.add("train", train, labels)
        if test is not None:
            entry.add("test", *test)
        entry.describe(classes, [])

    return cache.find(key, say) or cache.build(key, write, say)


Part = tuple[Pixels, Labels]


def _called(section: Data) -> tuple[Part, Part | None, tuple[str, ...]]:
    name = section.name
    try:
        return _checked(name, resolve(name)(root_of(section)))
    except DataError:
        raise
    except InputError as error:
        raise DataError(f"data.name: {error}") from error
    except Exception as error:  # of its code, or of arrays as odd as one can make them
        raise DataError(f"data.name: {name}: {in_one_line(error)}") from error


def _checked(name: str, given: Any) -> tuple[Part, Part | None, tuple[str, ...]]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise DataError(f"data.name: {name}: returns no pair. Return train, test (or None).")
    train = _part(name, "train", given[0])
    test = None if given[1] is None else _part(name, "test", given[1])
    count = 1 + max(int(part[1].max()) for part in (train, test) if part is not None)
    named = getattr(given[0], "classes", None)
    classes = list(range(count) if named is None else named)
    if len(classes) < count:
        raise DataError(f"data.name: {name}: label {count - 1}, and {len(classes)} classes.")
    if test is not None and test[0].shape[1:] != train[0].shape[1:]:
        raise DataError(f"data.name: {name}: the images of train and test differ in their shape.")
    return train, test, tuple(map(str, classes))


def _part(name: str, which: str, given: Any) -> Part:
    where = f"data.name: {name}: {which}"
    if isinstance(given, tuple | list) and len(given) == 2:
        images, labels = _array(given[0]), _array(given[1])
    else:
        images, labels = _items(where, given)
    fit = images.ndim in (3, 4) and labels.ndim == 1 and len(images) == len(labels) > 0
    if not fit:
        raise DataError(
            f"{where}: images {list(images.shape)} and labels {list(labels.shape)} do not fit. "
            "Give [N, H, W], [N, H, W, C] or [N, C, H, W], and [N]."
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(f"{where}: labels are whole numbers from 0 on.")
    return _pixels(where, images), labels.astype(np.int64)


def _items(where: str, given: Sequence[Any]) -> tuple[Any, Any]:
    try:
        pairs = [given[i] for i in range(len(given))]
        return np.stack([_array(image) for image, _ in pairs]), np.array([int(y) for _, y in pairs])
    except Exception as error:
        raise DataError(
            f"{where}: is no data set of pairs of an image and its label, all of one size: "
            f"{type(error).__name__}: {error}"
        ) from error


def _array(given: Any) -> Any:
    """A numpy array of an array, an image of Pillow, or a tensor on the CPU."""
    return np.asarray(given)


def _pixels(where: str, images: Any) -> Pixels:
    """uint8 [N, C, H, W]."""
    if images.dtype.kind == "f":
        if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
            raise DataError(
                f"{where}: images of floats have values of 0 to 1. Give uint8, or those."
            )
        images = np.rint(images * 255)
    elif images.dtype != np.uint8:
        raise DataError(f"{where}: images are {images.dtype}. Give uint8, or floats of 0 to 1.")
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in _CHANNELS:
        images = np.moveaxis(images, 3, 1)
    if images.shape[1] not in _CHANNELS:
        raise DataError(f"{where}: images have {images.shape[1]} channels, and not 1 or 3.")
    return np.ascontiguousarray(images, dtype=np.uint8)

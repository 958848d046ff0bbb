"""The validation split: stratified, by a seed, always taken from the training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnsearch.config.sections import Data
from cnnsearch.data.images import Images, Labels
from cnnsearch.errors import DataError

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """How the training images are divided: the fields of a data section that decide it."""

    validation: float | int
    limit: int | None
    seed: int

    @classmethod
    def of(cls, section: Data) -> Split:
        """From a data section."""
        return cls(section.validation, section.limit, section.split_seed)

    def count(self, total: int) -> int:
        """Validation images of `total` training images, at least one."""
        asked = self.validation
        return asked if isinstance(asked, int) else max(1, round(asked * total))


def split(images: Images, how: Split) -> tuple[Index, Index]:
    """Choose the validation and the training part.

    The validation part depends on `validation` and the seed only, so trials with another `limit`
    are measured on the same images.

    Returns:
        indices into `images.train`: validation, ascending; training, in an order drawn by the
        seed, so that its first images are of all classes.

    Raises:
        DataError: see `check_split`.
    """
    _check(images, how)
    return divide(images.train_labels, how.count(len(images.train)), how.limit, how.seed)


def check_split(images: Images, section: Data) -> None:
    """Check that the training images can be divided as a data section says.

    Raises:
        DataError: the parts are larger than what there is, or leave a class without a training
            image; one line that names the values.
    """
    _check(images, Split.of(section))


def _check(images: Images, how: Split) -> None:
    total = len(images.train_labels)
    count = how.count(total)
    place = f"data.validation: {how.validation} of {total} training images"
    if count >= total:
        raise DataError(f"{place}. Write a smaller number.")
    sizes = np.bincount(images.train_labels, minlength=len(images.classes))
    left = sizes - apportion(count, sizes)
    _refuse_empty(left, images, place, "a smaller number")
    if how.limit is None:
        return
    place = f"data.limit: {how.limit} of {total - count} images left after the validation split"
    if how.limit > total - count:
        raise DataError(f"{place}. Write a smaller number, or null for all.")
    _refuse_empty(apportion(how.limit, left), images, place, "a larger number")


def _refuse_empty(sizes: Index, images: Images, place: str, remedy: str) -> None:
    empty = [images.classes[index] for index in np.flatnonzero(sizes == 0)]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise DataError(
            f"{place} leaves no training image for class {empty[0]!r}{more}. Write {remedy}."
        )


def divide(labels: Labels, first: int, second: int | None, seed: int) -> tuple[Index, Index]:
    """Draw two disjoint parts with the class balance of the whole.

    Args:
        labels: int64 [N].
        first: size of the first part.
        second: size of the second part; None: all that is left.

    Returns:
        indices of the first part, ascending, and of the second, in the order drawn.
    """
    # Of NumPy's generators only the raw stream is promised to stay the same in all versions.
    draws = np.random.PCG64(seed).random_raw(len(labels))
    order = np.argsort(draws, kind="stable")
    drawn = labels[order]
    sizes = np.bincount(labels)
    ones = apportion(first, sizes)
    twos = sizes - ones if second is None else apportion(second, sizes - ones)
    one = np.zeros(len(labels), bool)
    two = np.zeros(len(labels), bool)
    for label, (a, b) in enumerate(zip(ones, twos, strict=True)):
        places = np.flatnonzero(drawn == label)
        one[places[:a]] = True
        two[places[a : a + b]] = True
    return np.sort(order[one]), order[two]


def apportion(count: int, sizes: Index) -> Index:
    """Spread `count` over classes in proportion to their sizes, by the largest remainder.

    Args:
        sizes: int64 [K], images of each class; `count` is at most their sum.

    Returns:
        int64 [K], summing to `count`; of equal remainders the first class gets the image.
    """
    total = int(sizes.sum())
    assert 0 <= count <= total
    shares, remainders = np.divmod(count * sizes, max(total, 1))
    fullest = np.argsort(-remainders, kind="stable")
    shares[fullest[: count - int(shares.sum())]] += 1
    return shares

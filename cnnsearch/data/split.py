"""The validation split: stratified, by a seed, always taken from the training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnsearch.config.sections import Data, Folds
from cnnsearch.data.images import Images, Labels
from cnnsearch.errors import DataError

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """How the training images are divided: the fields of a data section that decide it.

    Args:
        validation: of the training images, a fraction or a count; without effect where there are
            several folds.
        fold: which of the folds is validated on, from 0.
        whole: what is validated on is trained on too, and nothing is validated on.
    """

    validation: float | int
    limit: int | None
    seed: int
    folds: int = 1
    fold: int = 0
    whole: bool = False

    @classmethod
    def of(cls, section: Data, fold: int = 0, whole: bool = False) -> Split:
        """From a data section."""
        assert fold < section.folds
        asked = section.validation
        fraction = 1 / asked.folds if isinstance(asked, Folds) else asked
        return cls(fraction, section.limit, section.split_seed, section.folds, fold, whole)

    def count(self, total: int) -> int:
        """Validation images of `total` training images, at least one."""
        if self.folds > 1:
            return len(range(self.fold, total, self.folds))
        asked = self.validation
        return asked if isinstance(asked, int) else max(1, round(asked * total))

    def __str__(self) -> str:
        return f"{{folds: {self.folds}}}" if self.folds > 1 else str(self.validation)


def split(images: Images, how: Split) -> tuple[Index, Index]:
    """Choose the validation and the training part.

    The validation part depends on `validation` and the seed only, so trials with another `limit`
    are measured on the same images. Over all folds each image is validated on once.

    Returns:
        indices into `images.train`: validation, ascending; training, in an order drawn by the
        seed, so that its first images are of all classes.

    Raises:
        DataError: see `check_split`.
    """
    _check(images, how)
    labels = images.train_labels
    if how.folds > 1:
        validation, train = deal(labels, how.folds, how.fold, how.limit, how.seed)
    else:
        validation, train = divide(labels, how.count(len(labels)), how.limit, how.seed)
    if not how.whole:
        return validation, train
    order = _drawn(len(labels), how.seed)
    taken = np.zeros(len(labels), bool)
    taken[validation] = taken[train] = True
    return validation[:0], order[taken[order]]


def check_split(images: Images, section: Data) -> None:
    """Check that the training images can be divided as a data section says.

    Raises:
        DataError: the parts are larger than what there is, or leave a class without a training
            image; one line that names the values.
    """
    for fold in range(section.folds):
        _check(images, Split.of(section, fold))


def _check(images: Images, how: Split) -> None:
    total = len(images.train_labels)
    count = how.count(total)
    place = f"data.validation: {how} of {total} training images"
    if count >= total or count == 0:
        raise DataError(f"{place}. Write a smaller number.")
    sizes = np.bincount(images.train_labels, minlength=len(images.classes))
    left = sizes - _validated(how, count, sizes)
    _refuse_empty(left, images, place, "a smaller number")
    if how.limit is None:
        return
    place = f"data.limit: {how.limit} of {total - count} images left after the validation split"
    if how.limit > total - count:
        raise DataError(f"{place}. Write a smaller number, or null for all.")
    _refuse_empty(apportion(how.limit, left), images, place, "a larger number")


def _validated(how: Split, count: int, sizes: Index) -> Index:
    """Images of each class in the validation part, of `count` images."""
    if how.folds == 1:
        return apportion(count, sizes)
    ends = np.cumsum(sizes)
    # Places fold, fold + folds, ... of all images in the order of their classes, see `deal`.
    below = (ends - how.fold + how.folds - 1) // how.folds
    return np.diff(np.maximum(below, 0), prepend=0)


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
    order = _drawn(len(labels), seed)
    sizes = np.bincount(labels)
    ones = apportion(first, sizes)
    one = _first(labels[order], ones)
    rest = order[~one]
    return np.sort(order[one]), _limited(labels, rest, second)


def deal(
    labels: Labels, folds: int, fold: int, limit: int | None, seed: int
) -> tuple[Index, Index]:
    """One of several folds, and what is trained on beside it.

    Shuffled images are sorted by class and dealt out in turn, so that the folds have the same
    number of images, overall and of each class, to one more or less.

    Args:
        labels: int64 [N].
        limit: size of the second part; None: all that is left.

    Returns:
        indices of the fold, ascending, and of the second part, in the order drawn.
    """
    order = _drawn(len(labels), seed)
    one = np.zeros(len(labels), bool)
    one[np.argsort(labels[order], kind="stable")[fold::folds]] = True
    return np.sort(order[one]), _limited(labels, order[~one], limit)


def _drawn(count: int, seed: int) -> Index:
    """0 to `count` - 1 in an order drawn by a seed."""
    # Of NumPy's generators only the raw stream is promised to stay the same in all versions.
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def _limited(labels: Labels, index: Index, limit: int | None) -> Index:
    """`limit` of some images with their class balance, in their order; all where it is None."""
    if limit is None:
        return index
    drawn = labels[index]
    return index[_first(drawn, apportion(limit, np.bincount(drawn, minlength=labels.max() + 1)))]


def _first(labels: Labels, counts: Index) -> NDArray[np.bool_]:
    """Which are among the first so many of their class."""
    taken = np.zeros(len(labels), bool)
    for label, count in enumerate(counts):
        taken[np.flatnonzero(labels == label)[:count]] = True
    return taken


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

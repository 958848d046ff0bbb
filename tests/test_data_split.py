"""The validation split: stratified, seeded, and refused when it cannot be."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from cnnsearch.config.sections import Data
from cnnsearch.data import Images, check_split, load
from cnnsearch.data.images import fingerprint
from cnnsearch.data.split import Split, apportion, divide, split
from cnnsearch.errors import DataError


def images_of(counts: list[int]) -> Images:
    """Blank 2x2 images, so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = np.zeros((len(labels), 1, 2, 2), np.uint8)
    classes = tuple("abcdefgh"[: len(counts)])
    digest = fingerprint((pixels, labels, None, None), classes)
    return Images(pixels, labels, None, None, classes, digest)


def data(**fields: object) -> Data:
    return Data.model_validate({"name": "digits", **fields})


def divided(images: Images, section: Data) -> tuple[np.ndarray, np.ndarray]:
    return split(images, Split.of(section))


def test_the_digits_have_every_fifth_image_as_test_set() -> None:
    digits = load(data())
    assert digits.train.shape == (1437, 1, 8, 8)
    assert digits.test is not None
    assert digits.test_labels is not None
    assert digits.test.shape == (360, 1, 8, 8)
    assert digits.train.dtype == np.uint8
    assert (digits.train.min(), digits.train.max()) == (0, 255)
    assert digits.classes == tuple("0123456789")
    both = np.bincount(digits.train_labels) + np.bincount(digits.test_labels)
    assert both.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.abs(np.bincount(digits.test_labels) - both * 360 / 1797).max() < 1
    # Distinct images in both parts: nothing was drawn twice and nothing lost.
    every = np.concatenate([digits.train, digits.test]).reshape(1797, -1)
    assert len(np.unique(every, axis=0)) == 1797
    assert digits.fingerprint == load(data()).fingerprint


def test_the_digits_are_recognisable() -> None:
    digits = load(data())
    assert digits.test is not None
    train, test = (
        part.reshape(len(part), -1).astype(float) for part in (digits.train, digits.test)
    )
    means = np.stack([train[digits.train_labels == digit].mean(0) for digit in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == digits.test_labels).mean() > 0.85


@pytest.mark.parametrize(
    ("validation", "expected"), [(0.1, 144), (0.5, 718), (300, 300), (0.0001, 1)]
)
def test_the_parts_are_disjoint_and_balanced(validation: float, expected: int) -> None:
    digits = load(data())
    held, train = divided(digits, data(validation=validation))
    assert (len(held), len(train)) == (expected, 1437 - expected)
    assert sorted([*held, *train]) == list(range(1437))
    share = np.bincount(digits.train_labels) * expected / 1437
    assert np.abs(np.bincount(digits.train_labels[held], minlength=10) - share).max() < 1


def test_limit_takes_from_what_is_left_and_keeps_the_validation_part() -> None:
    digits = load(data())
    held, train = divided(digits, data(validation=0.2))
    held_limited, limited = divided(digits, data(validation=0.2, limit=100))
    assert held.tolist() == held_limited.tolist()
    assert len(limited) == 100
    assert set(limited) < set(train)
    share = np.bincount(digits.train_labels[train]) * 100 / len(train)
    assert np.abs(np.bincount(digits.train_labels[limited]) - share).max() < 1


def test_the_seed_decides_the_split() -> None:
    digits = load(data())
    first, again, other = (divided(digits, data(split_seed=seed)) for seed in (3, 3, 4))
    assert first[0].tolist() == again[0].tolist()
    assert first[1].tolist() == again[1].tolist()
    assert first[0].tolist() != other[0].tolist()


def test_the_draws_are_the_same_everywhere() -> None:
    # These numbers belong to users' studies: with others, a study cannot be continued.
    held, train = divide(np.arange(20) % 2, 4, 6, 0)
    assert held.tolist() == [2, 3, 11, 18]
    assert train.tolist() == [13, 15, 1, 8, 6, 0]


def test_the_first_training_images_are_of_all_classes() -> None:
    _, train = divided(images_of([100, 100, 100]), data())
    assert len(set((train[:20] // 100).tolist())) == 3


@pytest.mark.parametrize(
    ("count", "sizes", "shares"),
    [
        (3, [10, 10, 10], [1, 1, 1]),
        (4, [10, 10, 10], [2, 1, 1]),
        (5, [30, 10, 10], [3, 1, 1]),
        (7, [1, 1, 10], [1, 0, 6]),
        (0, [4, 4], [0, 0]),
        (8, [4, 4], [4, 4]),
    ],
)
def test_apportion(count: int, sizes: list[int], shares: list[int]) -> None:
    assert apportion(count, np.array(sizes)).tolist() == shares


@pytest.mark.parametrize(
    ("counts", "fields", "message"),
    [
        ([50, 50], {"validation": 5000}, "data.validation: 5000 of 100 training images. Write a"),
        ([50, 50], {"validation": 100}, "data.validation: 100 of 100 training images. Write a"),
        ([50, 50], {"validation": 0.999}, "data.validation: 0.999 of 100 training images. Write"),
        ([50, 2], {"validation": 0.9}, "data.validation: 0.9 of 52 training images leaves no"),
        ([50, 50], {"limit": 91}, "data.limit: 91 of 90 images left after the validation split."),
        (
            [50, 50],
            {"limit": 1},
            "data.limit: 1 of 90 images left after the validation split leaves",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(
    counts: list[int], fields: dict[str, object], message: str
) -> None:
    images, section = images_of(counts), data(**fields)
    for refuse in (check_split, divided):
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            refuse(images, section)
        assert "\n" not in str(caught.value)


def test_the_edge_of_what_can_be_divided() -> None:
    check_split(images_of([50, 50]), data(validation=98))
    check_split(images_of([50, 50]), data(limit=90))


def test_loading_and_checking_need_no_torch() -> None:
    program = (
        "import sys; from cnnsearch.data import check_split, load;"
        "from cnnsearch.config.sections import Data; section = Data(name='digits');"
        "check_split(load(section), section);"
        "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

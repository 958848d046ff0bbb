"""The bundled UCI digits; DIGITS.md beside this file tells where they come from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np

from cnnsearch.config.sections import Data
from cnnsearch.data.images import Images, Say, fingerprint
from cnnsearch.data.split import divide

TEST_SEED = 20
TEST_SIZE = 360  # every fifth of 1,797 images


def read(section: Data, say: Say) -> Images:  # noqa: ARG001 - every reader is called alike
    """The digits: uint8 [1437, 1, 8, 8] for training, [360, 1, 8, 8] as the test set."""
    return _digits()


@cache
def _digits() -> Images:
    """Kept from trial to trial: to unpack and divide them takes 0.8 ms."""
    with (files("cnnsearch.data") / "digits.npz").open("rb") as file:
        arrays = np.load(file)
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    classes = tuple(str(digit) for digit in range(10))
    test, train = divide(labels, TEST_SIZE, None, TEST_SEED)
    train = np.sort(train)
    parts = (images[train], labels[train], images[test], labels[test])
    return Images(*parts, classes, fingerprint(parts, classes))

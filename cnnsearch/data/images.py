"""A decoded data set, and where data sets lie on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnsearch.config.sections import Data

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Images:
    """A decoded data set; two are equal when their content is.

    Args:
        train: uint8 [N, C, H, W], 0..255, possibly a memory map.
        train_labels: int64 [N], indices into `classes`.
        test: uint8 [M, C, H, W], or None without a test set.
        test_labels: int64 [M], or None.
        classes: the classes' names.
        fingerprint: see `fingerprint`.
    """

    train: Pixels
    train_labels: Labels
    test: Pixels | None
    test_labels: Labels | None
    classes: tuple[str, ...]
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.train.shape
        return channels, height, width

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Images) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def fingerprint(parts: Sequence[Pixels | Labels | None], classes: tuple[str, ...]) -> str:
    """SHA-256 (hex) over the decoded content, the same wherever the files lie.

    Args:
        parts: train, train_labels, test, test_labels as in `Images`.
    """
    shapes = [None if part is None else part.shape for part in parts]
    digest = hashlib.sha256(json.dumps([shapes, classes]).encode())
    for part in parts:
        if part is not None:
            little_endian = part.dtype.newbyteorder("<")
            digest.update(np.ascontiguousarray(part, little_endian).data)
    return digest.hexdigest()


def default_root() -> Path:
    """Where data sets are looked for: $CNNSEARCH_DATA, else ~/.cache/cnnsearch."""
    named = os.environ.get("CNNSEARCH_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "cnnsearch"


def root_of(section: Data) -> Path:
    """The folder of a data section, absolute, `~` expanded."""
    root = default_root() if section.root is None else Path(section.root).expanduser()
    return root.resolve()

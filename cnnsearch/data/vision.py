"""torchvision's data sets, through the cache of decoded images.

Only the process that decodes (or downloads) imports torchvision: opening what is cached needs
neither it nor torch.
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import sys
import warnings
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnsearch.data import cache, fetch
from cnnsearch.data.images import Images, Labels, Pixels, Say
from cnnsearch.errors import DataError, MissingExtraError
from cnnsearch.rows import Dataset


def read(row: Dataset, root: Path, say: Say) -> Images:
    """One of torchvision's data sets.

    Args:
        row: of `catalog.DATASETS`.
        root: the folder of `data.root`.

    Raises:
        DataError: the files are absent and cannot be downloaded, or are broken.
        MissingExtraError: the data set needs an optional dependency.
    """
    images = cache.find(_key(row, root), say)
    if images is not None:
        return images
    if row.extra is not None and importlib.util.find_spec("scipy") is None:
        raise MissingExtraError(
            f"data.name: {row.name} needs scipy. Run: pip install 'cnnsearch[{row.extra}]'"
        )
    dataset = dataset_class(row)
    wanted = fetch.archives(dataset)
    with cache.lock(f"{_key(row, root).place}-files", say):
        fetch.complete(wanted, row.name, root, say)
    return cache.build(_key(row, root), partial(_decode, row, root, dataset), say)


def _key(row: Dataset, root: Path) -> cache.Key:
    files = []
    for path in sorted(_files(row, root)):
        status = path.stat()
        files.append((str(path.relative_to(root)), status.st_size, status.st_mtime_ns))
    return cache.key((row.name, str(root)), files)


def _files(row: Dataset, root: Path) -> set[Path]:
    """The files named in the table and those that lie beside them in the data set's own folder."""
    found: set[Path] = set()
    for expected in map(Path, row.files):
        own = expected.parent != Path()
        beside = (root / expected.parent).glob("*") if own else [root / expected]
        found.update(path for path in beside if path.is_file())
    return found


def _decode(row: Dataset, root: Path, dataset: Any, entry: cache.Entry) -> None:
    classes: tuple[str, ...] = ()
    for part in ("train", "test"):
        opened = _open(row, root, dataset, part)
        pixels = _pixels(opened.data, row)
        labels = _labels(opened)
        classes = tuple(getattr(opened, "classes", None) or map(str, range(row.classes or 0)))
        known = labels.size > 0 and 0 <= labels.min() <= labels.max() < len(classes)
        if len(pixels) != len(labels) or not known:
            raise DataError(
                f"data.root: {row.name} in {root}: {len(pixels)} {part} images and {len(labels)}"
                f" labels do not fit together. Delete the files to download them again."
            )
        entry.add(part, pixels, labels)
    entry.describe(classes, [])


def _open(row: Dataset, root: Path, dataset: Any, part: str) -> Any:
    """torchvision's object of one part. CIFAR and SVHN check their sums before they unpickle."""
    by_split = "split" in inspect.signature(dataset).parameters
    which = {"split": part} if by_split else {"train": part == "train"}
    try:
        with warnings.catch_warnings():
            # NumPy 2.4.0 to 2.4.4 warn of types as CIFAR's old pickles hold them:
            # https://github.com/numpy/numpy/pull/31177
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            return dataset(str(root), download=False, **which)
    except Exception as error:  # a broken file shows as almost any exception
        paths = [path for archive in fetch.archives(dataset) for path, _ in archive.files]
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"data.root: {row.name} in {root} cannot be read: {reason}"
            f" (files: {', '.join(paths)}). Delete them to download them again."
        ) from error


def _pixels(data: Any, row: Dataset) -> Pixels:
    """Images as uint8 [N, C, H, W], from [N, H, W], [N, H, W, C] or [N, C, H, W]."""
    pixels = np.asarray(data, dtype=np.uint8)
    assert row.shape is not None
    channels, height, width = row.shape
    if pixels.shape[1:] == (height, width) and channels == 1:
        return pixels[:, None]
    if pixels.shape[1:] == (height, width, channels):
        return np.moveaxis(pixels, 3, 1)
    if pixels.shape[1:] == row.shape:
        return pixels
    raise DataError(
        f"data.root: images of {row.name} are {pixels.shape[1:]} instead of {row.shape}."
        " Delete the files to download them again."
    )


def _labels(opened: Any) -> Labels:
    """Labels of one of torchvision's data sets, int64 [N]."""
    found = opened.targets if hasattr(opened, "targets") else opened.labels
    return np.asarray(found, dtype=np.int64)


def dataset_class(row: Dataset) -> Any:
    """torchvision's class of a row."""
    try:
        return pkgutil.resolve_name(row.target)
    except RuntimeError as error:
        # The package index has torchvision built for CUDA; beside a CPU-only torch its operators
        # cannot be loaded, and it fails where it describes two of them to torch.
        if "torchvision::nms" not in str(error):
            raise
    for loaded in [key for key in sys.modules if key.partition(".")[0] == "torchvision"]:
        del sys.modules[loaded]
    _declare_operators()
    return pkgutil.resolve_name(row.target)


@once
def _declare_operators() -> Any:
    """Declare the two operators; what is returned (and so kept) keeps them declared."""
    import torch

    library: Any = torch.library.Library(  # type: ignore[no-untyped-call]
        "torchvision", "DEF"
    )
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library

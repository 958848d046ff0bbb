"""image_folder: any folder of images, one folder a class, with `train/` and `test/` or without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnnsearch.config.sections import Data
from cnnsearch.data import cache
from cnnsearch.data.decode import Form, decode_all, form_of
from cnnsearch.data.images import Images, Say, root_of
from cnnsearch.errors import DataError

ENDINGS = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
_BATCH = 512


@dataclass(frozen=True)
class File:
    """An image file.

    Args:
        path: below the root, with forward slashes.
        label: index of its class.
        bytes: its size.
        mtime: time of its last change, in ns.
    """

    path: str
    label: int
    bytes: int
    mtime: int


@dataclass(frozen=True)
class Listing:
    """What a root holds: the files of each part, in the order of their paths."""

    classes: tuple[str, ...]
    train: list[File]
    test: list[File]
    notes: list[str]

    @property
    def parts(self) -> list[tuple[str, list[File]]]:
        """The parts that have files."""
        named = [("train", self.train), ("test", self.test)]
        return [(name, files) for name, files in named if files]


def read(section: Data, say: Say) -> Images:
    """A folder of images, from the cache or decoded.

    Grey, RGB, RGBA and palette images may mix. Transparency is laid over white; 16-bit greys keep
    their upper 8 bits; JPEG photographs are turned as their camera says; of an animation the first
    frame counts. An image of another size is resized (bilinear), whatever its proportions.

    Without `train/`, all images are for training and there is no test set.

    Raises:
        DataError: no such folder, no classes, too few images, too many unreadable ones.
    """
    if section.root is None and not os.environ.get("CNNSEARCH_DATA"):
        raise DataError("data.root: image_folder has no default folder. Write root: FOLDER.")
    root = root_of(section)
    listing = list_images(root)
    files = [(file.path, file.bytes, file.mtime) for _, part in listing.parts for file in part]
    key = cache.key(("image_folder", str(root), section.size, section.channels), files)
    images = cache.find(key, say)
    if images is None:
        images = cache.build(key, partial(_decode, root, section, listing), say)
    return images


def list_images(root: Path) -> Listing:
    """List a root's images; 60,000 files take 0.3 s.

    Raises:
        DataError: no such folder, or no classes with images as `read` needs them.
    """
    if not root.exists():
        raise DataError(f"data.root: {root} does not exist. Write the folder of the images.")
    if not root.is_dir():
        raise DataError(f"data.root: {root} is a file. Write the folder of the images.")
    try:
        return _list(root)
    except OSError as error:
        raise DataError(
            f"data.root: {error.filename or root} cannot be read: {error.strerror or error}."
        ) from error


def _list(root: Path) -> Listing:
    # A class may be called "train" too; what makes a part is that it holds folders itself.
    parts = [name for name in ("train", "test") if (root / name).is_dir() and _folders(root / name)]
    if parts == ["test"]:
        raise DataError(f"data.root: {root} has test/ but no train/. Add train/ with its classes.")
    if not parts:
        classes = _classes(root)
        return Listing(classes, _part(root, "", classes), [], _strays(root))
    classes = _classes(root / "train")
    notes = _strays(root / "train")
    ignored = [name for name in _folders(root) if name not in parts]
    if ignored:
        notes.append(f"{root}: only train/ and test/ are read; not {', '.join(ignored)}.")
    if "test" not in parts:
        return Listing(classes, _part(root, "train/", classes), [], notes)
    _same_classes(root, set(classes), set(_folders(root / "test")))
    test = _part(root, "test/", classes)
    return Listing(classes, _part(root, "train/", classes), test, notes)


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _classes(folder: Path) -> tuple[str, ...]:
    classes = _folders(folder)
    if len(classes) < 2:
        found = f"only one class folder, {classes[0]!r}" if classes else "no class folders"
        raise DataError(
            f"data.root: {folder} has {found}. Write the folder that holds one folder for each"
            " of at least two classes."
        )
    return tuple(classes)


def _same_classes(root: Path, train: set[str], test: set[str]) -> None:
    differences = [
        f"{', '.join(repr(name) for name in sorted(names))} only in {part}/"
        for part, names in (("train", train - test), ("test", test - train))
        if names
    ]
    if differences:
        raise DataError(
            f"data.root: {root}: train/ and test/ have different classes:"
            f" {'; '.join(differences)}. Give both the same folders."
        )


def _strays(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        count = sum(_is_image(entry) for entry in entries)
    if not count:
        return []
    return [f"{folder}: images that lie in no class folder are not read: {count}."]


def _is_image(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_file():
        return False
    return os.path.splitext(entry.name)[1].lower() in ENDINGS  # noqa: PTH122 - 60,000 times


def _part(root: Path, prefix: str, classes: tuple[str, ...]) -> list[File]:
    """The files of one part, class by class, each class by path; none may be empty."""
    files = []
    for label, name in enumerate(classes):
        found = sorted(_walk(root, f"{prefix}{name}", label), key=lambda file: file.path)
        _enough(root, f"{prefix}{name}", len(found), prefix == "test/")
        files += found
    return files


def _enough(root: Path, folder: str, count: int, testing: bool) -> None:
    """A class needs one image to test on; two to train on, as one may go to validation."""
    if count == 0:
        raise DataError(
            f"data.root: the class folder {root / folder} holds no images"
            f" ({', '.join(sorted(ENDINGS))}). Add images or delete the folder."
        )
    if count == 1 and not testing:
        raise DataError(
            f"data.root: the class folder {root / folder} holds one image; training and validation"
            " need two. Add images or delete the folder."
        )


def _walk(root: Path, folder: str, label: int) -> Iterator[File]:
    """The image files of a class folder and of the folders in it; links to folders end there."""
    pending = [folder]
    while pending:
        here = pending.pop()
        with os.scandir(root / here) as entries:
            for entry in entries:
                path = f"{here}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        pending.append(path)
                elif _is_image(entry):
                    status = entry.stat()
                    yield File(path, label, status.st_size, status.st_mtime_ns)


def _decode(root: Path, section: Data, listing: Listing, entry: cache.Entry) -> None:
    """Decode all files into a cache entry."""
    files = {file.path: file for _, part in listing.parts for file in part}
    form, broken = form_of(root, list(files), section.size, section.channels)
    readable = set(files) - set(broken)
    for name, part in listing.parts:
        sound = [file for file in part if file.path in readable]
        broken += _decode_part(root, form, name, sound, entry)
    notes = list(listing.notes)
    if broken:
        notes.append(_skipped(root, broken, len(files)))
    lost = set(broken)
    for name, part in listing.parts:
        kept = [file.label for file in part if file.path not in lost]
        counts = np.bincount(kept, minlength=len(listing.classes))
        for label, count in zip(listing.classes, counts, strict=True):
            _enough(root, f"{name}/{label}" if listing.test else label, int(count), name == "test")
    entry.describe(listing.classes, notes)


def _decode_part(
    root: Path, form: Form, name: str, files: list[File], entry: cache.Entry
) -> list[str]:
    """Decode one part; returns the paths that could not be read."""
    broken = []
    labels = {file.path: file.label for file in files}
    for paths, images in decode_all(root, list(labels), form, _BATCH):
        good = [image for image in images if image is not None]
        if good:
            kept = [
                labels[path] for path, image in zip(paths, images, strict=True) if image is not None
            ]
            entry.add(name, np.stack(good), np.array(kept, np.int64))
        broken += [path for path, image in zip(paths, images, strict=True) if image is None]
    return broken


def _skipped(root: Path, broken: list[str], total: int) -> str:
    """The warning of files that were skipped.

    Raises:
        DataError: they are more than 1 %.
    """
    named = ", ".join(sorted(broken)[:5])
    more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    found = f"{len(broken)} of {total} images in {root} cannot be read: {named}{more}"
    if len(broken) * 100 > total:
        raise DataError(f"data.root: {found}. More than 1 % is too many: repair or delete them.")
    return f"{found}. Skipped."

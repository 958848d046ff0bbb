"""Decoded images on disk: decoded once, memory-mapped ever after, shared by all processes.

An entry is a folder with the raw bytes of its arrays and a JSON file that describes them. It is
written under another name and renamed, so what has an entry's name is whole; what was damaged
later (sizes differ from the description) counts as absent and is decoded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from cnnsearch.data.images import Images, Labels, Pixels, Say, fingerprint
from cnnsearch.errors import DataError

FORMAT = 1
_DESCRIPTION = "images.json"


@dataclass(frozen=True)
class Key:
    """What an entry was decoded from.

    Args:
        place: name of the source: data set, folder, options.
        content: digest of its files; an entry of the same place with another content is stale.
    """

    place: str
    content: str

    @property
    def name(self) -> str:
        """The entry's folder."""
        return f"{self.place}-{self.content}"


def key(source: Iterable[object], files: Iterable[tuple[str, int, int]]) -> Key:
    """The key of a source (name, root, options) and its files (path, bytes, mtime in ns)."""
    place, *options = source
    where = hashlib.sha256(json.dumps([FORMAT, place, *options], default=str).encode())
    # A path may hold bytes that are no UTF-8; surrogateescape gives them back.
    lines = "\n".join(f"{path}\0{size}\0{mtime}" for path, size, mtime in files)
    content = hashlib.sha256(lines.encode("utf-8", "surrogateescape"))
    return Key(f"{place}-{where.hexdigest()[:12]}", content.hexdigest()[:20])


def folder() -> Path:
    """Where entries lie: $XDG_CACHE_HOME/cnnsearch/decoded, else ~/.cache/cnnsearch/decoded."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "cnnsearch" / "decoded"


class Entry:
    """An entry while it is written: images are appended part by part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, BinaryIO] = {}
        self._shapes: dict[str, list[int]] = {}

    def add(self, part: str, images: Pixels, labels: Labels) -> None:
        """Append images [n, C, H, W] and labels [n] to "train" or "test"."""
        assert len(images) == len(labels)
        for name, array in ((part, images), (f"{part}_labels", labels)):
            if name not in self._files:
                self._files[name] = (self._path / f"{name}.bin").open("wb")
                self._shapes[name] = [0, *array.shape[1:]]
            assert self._shapes[name][1:] == list(array.shape[1:])
            self._files[name].write(np.ascontiguousarray(array).data)
            self._shapes[name][0] += len(array)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def describe(self, classes: tuple[str, ...], notes: list[str]) -> None:
        """Write the description, after which the entry is whole; `notes` are said at each use."""
        self.close()
        arrays = {name: _map(self._path, name, shape) for name, shape in self._shapes.items()}
        parts = [arrays.get(name) for name in ("train", "train_labels", "test", "test_labels")]
        description = {
            "format": FORMAT,
            "shapes": self._shapes,
            "classes": classes,
            "notes": notes,
            "fingerprint": fingerprint(parts, classes),
        }
        (self._path / _DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")


def find(key: Key, say: Say) -> Images | None:
    """The entry of a key, memory-mapped; None when it is absent or damaged."""
    path = folder() / key.name
    try:
        description = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
        arrays = {name: _map(path, name, shape) for name, shape in description["shapes"].items()}
        images = Images(
            arrays["train"],
            arrays["train_labels"],
            arrays.get("test"),
            arrays.get("test_labels"),
            tuple(description["classes"]),
            description["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for note in description["notes"]:
        say(note)
    return images


def build(key: Key, decode: Callable[[Entry], None], say: Say) -> Images:
    """Decode once, however many processes ask: the others wait and find the entry.

    Args:
        decode: adds all images to the entry and describes it.

    Raises:
        DataError: the cache cannot be written; or what `decode` raises.
    """
    with lock(key.place, say):
        images = find(key, say)
        if images is not None:
            return images
        # The lock is ours: a draft that lies here was left by a process that died.
        draft = folder() / f"{key.place}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            _write(draft, decode)
            for stale in folder().glob(f"{key.place}-*"):
                shutil.rmtree(stale, ignore_errors=True)
            draft.rename(folder() / key.name)
        except OSError as error:
            raise _unwritable(error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        images = find(key, say)
    assert images is not None
    return images


@contextmanager
def lock(name: str, say: Say) -> Iterator[None]:
    """Hold the lock of a place in the cache; tells the user when another process has it.

    Raises:
        DataError: the cache cannot be written.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        held = FileLock(folder() / f"{name}.lock")
        try:
            held.acquire(timeout=0)
        except Timeout:
            say("Another process is reading the same images: waiting for it.")
            held.acquire()
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield
    finally:
        held.release()


def _write(draft: Path, decode: Callable[[Entry], None]) -> None:
    draft.mkdir()
    entry = Entry(draft)
    try:
        decode(entry)
    finally:
        entry.close()


def _unwritable(error: OSError) -> DataError:
    return DataError(
        f"{folder()}: decoded images cannot be written: {error.strerror or error}."
        " Free some space, or set XDG_CACHE_HOME to another folder."
    )


def _map(path: Path, name: str, shape: list[int]) -> Any:
    """Map an array; ValueError when the file is shorter or longer than its shape says."""
    file = path / f"{name}.bin"
    dtype = np.dtype("<i8") if name.endswith("_labels") else np.dtype(np.uint8)
    if file.stat().st_size != dtype.itemsize * int(np.prod(shape)):
        raise ValueError(f"{file}: its size does not fit {shape}")
    # Copy-on-write: processes share the pages, and torch takes it without a warning, as it may be
    # written to; what is written never reaches the file.
    return np.memmap(file, dtype, mode="c", shape=tuple(shape))

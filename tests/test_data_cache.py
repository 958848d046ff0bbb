"""The cache of decoded images: found again, never stale, repaired when damaged, shared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cnnsearch.config.sections import Data
from cnnsearch.data import Images, cache, load
from cnnsearch.errors import DataError
from tests.imagefolders import make_folder, picture
from tests.waiting import until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"train/a": 4, "train/b": 4, "test/a": 1, "test/b": 1})


def read(root: Path, **fields: object) -> Images:
    return load(Data.model_validate({"name": "image_folder", "root": str(root), **fields}))


def entry() -> Path:
    """The only entry."""
    (found,) = (path for path in cache.folder().iterdir() if path.is_dir())
    return found


def test_images_come_from_the_cache_the_second_time(root: Path) -> None:
    first = read(root)
    (entry() / "train.bin").write_bytes(bytes(first.train.size))
    second = read(root)
    assert isinstance(second.train, np.memmap)
    assert second.train.max() == 0
    assert second.fingerprint == first.fingerprint
    assert second == first
    assert second.classes == first.classes
    assert second.train_labels.tolist() == first.train_labels.tolist()
    assert second.test_labels is not None
    assert second.test_labels.tolist() == [0, 1]


def test_writing_to_the_images_does_not_reach_the_cache(root: Path) -> None:
    before = (read(root).train).copy()
    read(root).train[:] = 0
    assert (read(root).train == before).all()


def test_nothing_is_written_inside_root(root: Path) -> None:
    before = sorted(root.rglob("*"))
    read(root)
    assert sorted(root.rglob("*")) == before
    assert not cache.folder().is_relative_to(root)


def add_a_file(root: Path) -> None:
    picture(99).save(root / "train" / "a" / "new.png")


def change_a_file(root: Path) -> None:
    path = root / "train" / "a" / "0000.png"
    before = path.stat()
    size = len(path.read_bytes())
    picture(99).save(path)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def remove_a_file(root: Path) -> None:
    (root / "train" / "a" / "0000.png").unlink()


def move_to_another_class(root: Path) -> None:
    (root / "train" / "a" / "0000.png").rename(root / "train" / "b" / "moved.png")


@pytest.mark.parametrize(
    "change", [add_a_file, change_a_file, remove_a_file, move_to_another_class]
)
def test_a_changed_folder_is_decoded_again(root: Path, change: object) -> None:
    first = read(root)
    assert callable(change)
    change(root)
    second = read(root)
    assert second != first
    assert second.fingerprint != first.fingerprint
    assert entry().is_dir()  # and the entry of before is gone


def test_sizes_and_channels_have_entries_of_their_own(root: Path) -> None:
    shapes = [read(root, **fields).shape for fields in ({}, {"size": [4, 4]}, {"channels": 1})]
    assert shapes == [(3, 8, 8), (3, 4, 4), (1, 8, 8)]
    assert sum(path.is_dir() for path in cache.folder().iterdir()) == 3


def test_the_fingerprint_is_of_the_content(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert read(copy) == read(root)
    (copy / "train" / "b").rename(copy / "train" / "c")
    (copy / "test" / "b").rename(copy / "test" / "c")
    assert read(copy) != read(root)


@pytest.mark.parametrize("name", ["images.json", "train.bin", "train_labels.bin", "test.bin"])
@pytest.mark.parametrize("damage", ["gone", "short", "long", "empty"])
def test_a_damaged_entry_is_built_again(root: Path, name: str, damage: str) -> None:
    expected = read(root).train.copy()
    path = entry() / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"short": content[:-1], "long": content + b"?", "empty": b""}[damage])
    images = read(root)
    assert (images.train == expected).all()
    assert images.test is not None
    assert len(images.test) == 2
    assert path.read_bytes() == content


def test_what_a_killed_process_left_is_cleared(root: Path) -> None:
    read(root)
    draft = entry().with_name(entry().name.rpartition("-")[0] + ".draft")
    entry().rename(draft)
    (draft / "images.json").unlink()
    assert len(read(root).train) == 8
    assert not draft.exists()


def test_a_failed_decoding_leaves_nothing(root: Path) -> None:
    for path in (root / "train" / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        read(root)
    assert not [path for path in cache.folder().iterdir() if path.is_dir()]


def test_the_others_wait_for_the_one_that_decodes(root: Path) -> None:
    read(root)
    place = entry().name.rpartition("-")[0]
    shutil.rmtree(entry())
    said: list[str] = []
    section = Data(name="image_folder", root=str(root))
    with cache.lock(place, said.append):
        waiting = threading.Thread(target=load, args=(section, said.append))
        waiting.start()
        until(lambda: said, "a word")
        assert said == ["Another process is reading the same images: waiting for it."]
        assert waiting.is_alive()
        assert not [path for path in cache.folder().iterdir() if path.is_dir()]
    waiting.join(200)
    assert entry().is_dir()


def test_who_waited_does_not_decode() -> None:
    key = cache.key(("any",), [("file", 1, 2)])
    decoded = []

    def decode(entry: cache.Entry) -> None:
        decoded.append(entry)
        entry.add("train", np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 1]))
        entry.describe(("a", "b"), [])

    first, second = (cache.build(key, decode, print) for _ in range(2))
    assert len(decoded) == 1
    assert first == second
    assert second.test is None


def test_a_cache_that_cannot_be_written_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"images cannot be written.*XDG_CACHE_HOME"):
        read(root)


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.folder() == Path("/home/somebody/.cache/cnnsearch/decoded")


def test_60000_cached_images_open_within_a_second(cifar_root: Path) -> None:
    read(cifar_root)
    program = (
        "import sys, time; from cnnsearch.config.sections import Data\n"
        "from cnnsearch.data import load\n"
        "section = Data(name='image_folder', root=sys.argv[1])\n"
        "times = []\n"
        "for _ in range(3):\n"
        "    start = time.process_time(); images = load(section)\n"
        "    times.append(time.process_time() - start)\n"
        "print(min(times), len(images.train), len(images.test), len(images.classes))"
    )
    command = [sys.executable, "-c", program, str(cifar_root)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, *counts = result.stdout.split()
    assert counts == ["50000", "10000", "10"]
    assert float(seconds) < 1

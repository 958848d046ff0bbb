"""torchvision's data sets: downloaded from a real server, checked, decoded, cached."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnsearch import catalog
from cnnsearch.config.sections import Data
from cnnsearch.data import Images, cache, fetch, load, vision
from cnnsearch.errors import DataError, MissingExtraError
from cnnsearch.rows import Dataset
from tests.archives import COUNTS, PUT, CutShort, Site, content, put_cifar, put_tar, served

ROWS = [row for row in catalog.DATASETS.values() if row.target.startswith("torchvision.")]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with served(tmp_path / "site") as site:
        yield site


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def put(row: Dataset, site: Site, patch: pytest.MonkeyPatch) -> Any:
    dataset = vision.dataset_class(row)
    PUT[row.name](site, dataset, patch)
    return dataset


def read(name: str, root: Path) -> tuple[Images, list[str]]:
    said: list[str] = []
    return load(Data(name=name, root=str(root)), said.append), said


def refused(name: str, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(name, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@each_row
def test_downloaded_decoded_and_cached(
    row: Dataset, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(row, site, monkeypatch)
    images, said = read(row.name, root)
    assert row.shape is not None
    assert row.classes is not None
    assert images.shape == row.shape
    assert len(images.classes) == row.classes
    for part, got, labels in (
        ("train", images.train, images.train_labels),
        ("test", images.test, images.test_labels),
    ):
        expected, their_labels = content(part, row.shape, row.classes)
        assert got is not None
        assert labels is not None
        assert (got == expected).all()
        assert (labels == their_labels).all()
        assert len(got) == COUNTS[part]
    assert any(line.startswith(f"Downloading {site.url}") for line in said)
    assert all((root / path).is_file() for path in row.files)
    assert not list(root.glob(".cnnsearch-*"))

    for path in site.folder.iterdir():
        path.unlink()
    again, said = read(row.name, root)
    assert again == images
    assert said == []


@each_row
def test_files_that_are_there_are_read_without_a_download(
    row: Dataset, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(row, site, monkeypatch)
    images, _ = read(row.name, root)
    for path in site.folder.iterdir():
        path.unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "another-cache"))
    again, said = read(row.name, root)
    assert again == images
    assert said == []


@each_row
def test_nothing_there_and_nothing_reachable(
    row: Dataset, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = put(row, site, monkeypatch)
    for path in site.folder.iterdir():
        path.unlink()
    text = refused(row.name, root)
    assert f"{row.name} is not in {root} (looked for " in text
    wanted = [path for archive in fetch.archives(dataset) for path in archive.missing(root)]
    assert set(row.files) <= set(wanted)
    more = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
    assert f"(looked for {wanted[0]}{more}) and the download failed" in text
    assert "HTTP status 404" in text
    assert "name their folder in data.root or $CNNSEARCH_DATA" in text
    assert list(root.iterdir()) == []


@each_row
def test_a_wrong_checksum_is_refused_and_the_next_try_works(
    row: Dataset, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(row, site, monkeypatch)
    right = {path: path.read_bytes() for path in site.folder.iterdir()}
    last = max(right)
    last.write_bytes(right[last][:-1] + b"?")
    assert "checksum" in refused(row.name, root)
    assert not list(root.glob(".cnnsearch-*"))
    last.write_bytes(right[last])
    assert len(read(row.name, root)[0].train) == COUNTS["train"]


def test_a_download_cut_short_is_refused_and_the_next_try_works(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    row = catalog.DATASETS["cifar10"]
    with served(tmp_path / "site", CutShort) as site:
        put(row, site, monkeypatch)
        assert "the download failed" in refused(row.name, root)
        assert list(root.iterdir()) == []
    with served(tmp_path / "site") as site:
        put(row, site, monkeypatch)
        assert len(read(row.name, root)[0].train) == COUNTS["train"]


def test_an_archive_that_lies_in_root_is_unpacked(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = put(catalog.DATASETS["cifar10"], site, monkeypatch)
    root.mkdir()
    (site.folder / dataset.filename).rename(root / dataset.filename)
    images, said = read("cifar10", root)
    assert len(images.train) == COUNTS["train"]
    assert said == []
    assert (root / dataset.filename).is_file()


def test_only_what_is_missing_is_downloaded(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog.DATASETS["mnist"], site, monkeypatch)
    images, _ = read("mnist", root)
    (root / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    again, said = read("mnist", root)
    assert again == images
    assert [line.split()[1].rpartition("/")[2] for line in said] == [
        "train-labels-idx1-ubyte.gz"
    ] * 2


class Mark:
    """Unpickled, it makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_batch_with_a_wrong_sum_is_never_unpickled(
    name: str, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog.DATASETS["cifar10"], site, monkeypatch)
    read("cifar10", root)
    mark = root / "mark"
    (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Mark(str(mark))))
    text = refused("cifar10", root)
    assert "cannot be read" in text
    assert "Delete them to download them again" in text
    assert not mark.exists()


def test_an_archive_cannot_write_outside_its_folder(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = vision.dataset_class(catalog.DATASETS["cifar10"])
    put_cifar(site, dataset, monkeypatch)
    files = dict.fromkeys([name for name, _ in dataset.train_list + dataset.test_list], b"x")
    put_tar(site, dataset, {**files, "batches.meta": b"x"}, monkeypatch, prefix="../../evil/")
    assert "cannot be unpacked" in refused("cifar10", root)
    assert not list(root.parent.rglob("evil"))


def test_an_archive_without_the_batches_is_refused(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = vision.dataset_class(catalog.DATASETS["cifar10"])
    put_cifar(site, dataset, monkeypatch)
    monkeypatch.setattr(dataset, "base_folder", "another-folder")
    assert "does not hold the another-folder/data_batch_1 of cifar10" in refused("cifar10", root)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", b"not IDX at all"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x05"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x14" + b"\x0a" * 20),
    ],
    ids=["empty", "other", "too few labels", "labels out of range"],
)
def test_broken_files_are_said(
    name: str, body: bytes, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog.DATASETS["mnist"], site, monkeypatch)
    read("mnist", root)
    (root / "MNIST" / "raw" / name).write_bytes(body)
    text = refused("mnist", root)
    assert f"mnist in {root}" in text
    assert "to download them again" in text


def test_a_root_that_cannot_be_written_is_said(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog.DATASETS["mnist"], site, monkeypatch)
    (tmp_path / "file").write_text("")
    assert "mnist cannot be stored there" in refused("mnist", tmp_path / "file" / "below")


def test_svhn_needs_scipy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cnnsearch\[svhn\]'"):
        read("svhn", root)


def test_cached_images_need_neither_torchvision_nor_torch(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog.DATASETS["mnist"], site, monkeypatch)
    images, _ = read("mnist", root)
    program = (
        "import sys; from cnnsearch.config.sections import Data\n"
        "from cnnsearch.data import load\n"
        "print(load(Data(name='mnist', root=sys.argv[1])).fingerprint)\n"
        "print('torch' in sys.modules, 'torchvision' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(root)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.split() == [images.fingerprint, "False", "False"]
    assert result.stderr == ""


def test_torchvision_imports_beside_any_torch() -> None:
    program = (
        "from cnnsearch.data.vision import dataset_class; from cnnsearch.catalog import DATASETS\n"
        "print(dataset_class(DATASETS['mnist']).__name__)\n"
        "import torchvision.datasets, torchvision.transforms"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"MNIST\n"


def test_the_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cnnsearch.data import default_root

    monkeypatch.setenv("CNNSEARCH_DATA", "~/images")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / "images"
    monkeypatch.delenv("CNNSEARCH_DATA")
    assert default_root() == tmp_path / ".cache" / "cnnsearch"


def test_the_real_mnist(mnist_root: Path) -> None:
    images, _ = read("mnist", mnist_root)
    assert images.train.shape == (60000, 1, 28, 28)
    assert images.test is not None
    assert images.test.shape == (10000, 1, 28, 28)
    assert np.bincount(images.train_labels)[:3].tolist() == [5923, 6742, 5958]
    assert float(images.train.mean()) == pytest.approx(33.318, abs=0.001)
    assert isinstance(images.train, np.memmap)
    assert cache.folder() not in mnist_root.parents

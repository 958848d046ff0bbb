"""Small archives of the true layouts of MNIST, CIFAR and SVHN, and a server for them."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from cnnsearch.data.images import Labels, Pixels

COUNTS = {"train": 40, "test": 20}


@dataclass(frozen=True)
class Site:
    """A folder served over HTTP."""

    folder: Path
    url: str

    def put(self, name: str, content: bytes) -> str:
        """Serve a file; returns its MD5."""
        (self.folder / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class CutShort(_Quiet):
    """Promises the whole file and hangs up in the middle."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2])


@contextmanager
def served(folder: Path, handler: type[SimpleHTTPRequestHandler] = _Quiet) -> Iterator[Site]:
    """Serve a folder on 127.0.0.1."""
    folder.mkdir(exist_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


def content(part: str, shape: tuple[int, int, int], classes: int) -> tuple[Pixels, Labels]:
    """What the archives of a data set hold: images [N, C, H, W] and labels [N]."""
    count = COUNTS[part]
    draws = np.random.default_rng(count)
    return draws.integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % classes


def put_mnist(site: Site, dataset: Any, patch: pytest.MonkeyPatch) -> None:
    """The four compressed IDX files."""
    resources = []
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = content(part, (1, 28, 28), 10)
        header = struct.pack(">IIII", 0x803, len(images), 28, 28)
        bodies = {
            f"{prefix}-images-idx3-ubyte.gz": header + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte.gz": struct.pack(">II", 0x801, len(labels))
            + labels.astype(np.uint8).tobytes(),
        }
        resources += [
            (name, site.put(name, gzip.compress(body, mtime=0))) for name, body in bodies.items()
        ]
    patch.setattr(dataset, "mirrors", ["http://127.0.0.1:9/", site.url])
    patch.setattr(dataset, "resources", resources)


class _OldType:
    """A type as NumPy pickled it in 2009: integers where NumPy 2.4 wants truth values."""

    def __reduce__(self) -> Any:
        return np.dtype, ("u1", 0, 1)


class _OldArray:
    """An array that is pickled with such a type."""

    def __init__(self, array: Pixels) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return _rebuild, (self.array.tobytes(), _OldType(), self.array.shape)


def _rebuild(content: bytes, dtype: Any, shape: tuple[int, ...]) -> Any:
    return np.frombuffer(content, dtype).reshape(shape)


def put_cifar(site: Site, dataset: Any, patch: pytest.MonkeyPatch) -> None:
    """One tar archive of pickled batches."""
    hundred = dataset.base_folder == "cifar-100-python"
    classes = 100 if hundred else 10
    files: dict[str, bytes] = {}
    for part, names in (("train", dataset.train_list), ("test", dataset.test_list)):
        images, labels = content(part, (3, 32, 32), classes)
        pieces = zip(
            np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True
        )
        for (name, _), (some, theirs) in zip(names, pieces, strict=True):
            key = "fine_labels" if hundred else "labels"
            batch = {"data": _OldArray(some.reshape(len(some), -1)), key: theirs.tolist()}
            files[name] = pickle.dumps(batch, protocol=2)
    names_of_classes = [f"class {number}" for number in range(classes)]
    files[dataset.meta["filename"]] = pickle.dumps({dataset.meta["key"]: names_of_classes})
    put_tar(site, dataset, files, patch)


def put_tar(
    site: Site, dataset: Any, files: dict[str, bytes], patch: pytest.MonkeyPatch, prefix: str = ""
) -> None:
    """Serve the archive of CIFAR with these files, and make their sums the expected ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(f"{prefix}{dataset.base_folder}/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    sums = {name: hashlib.md5(body).hexdigest() for name, body in files.items()}
    for listing in ("train_list", "test_list"):
        listed = [[name, sums[name]] for name, _ in getattr(dataset, listing)]
        patch.setattr(dataset, listing, listed)
    meta = dataset.meta["filename"]
    patch.setattr(dataset, "meta", {**dataset.meta, "md5": sums[meta]})
    patch.setattr(dataset, "tgz_md5", site.put(dataset.filename, buffer.getvalue()))
    patch.setattr(dataset, "url", site.url + dataset.filename)


def put_svhn(site: Site, dataset: Any, patch: pytest.MonkeyPatch) -> None:
    """Two MATLAB files, in which the digit 0 has the label 10."""
    from scipy.io import savemat

    splits = {}
    for part in ("train", "test"):
        images, labels = content(part, (3, 32, 32), 10)
        buffer = io.BytesIO()
        matrix = {
            "X": images.transpose(2, 3, 1, 0),
            "y": np.where(labels == 0, 10, labels)[:, None],
        }
        savemat(buffer, matrix)
        name = f"{part}_32x32.mat"
        splits[part] = [site.url + name, name, site.put(name, buffer.getvalue())]
    patch.setattr(dataset, "split_list", splits)


PUT: dict[str, Callable[[Site, Any, pytest.MonkeyPatch], None]] = {
    "mnist": put_mnist,
    "fashion_mnist": put_mnist,
    "cifar10": put_cifar,
    "cifar100": put_cifar,
    "svhn": put_svhn,
}

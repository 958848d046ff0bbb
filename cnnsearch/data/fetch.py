"""Downloads: from the addresses and with the checksums that torchvision carries.

Fetching and unpacking are our own: torchvision unpacks tar archives without a filter, and leaves a
broken download in place. Here everything happens in a temporary folder; a file gets its place when
its checksum is right.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import shutil
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cnnsearch.data.images import Say
from cnnsearch.data.progress import progress
from cnnsearch.errors import DataError

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 30
# Of a download, and of an archive unpacked: the largest hold 190 MB.
MAX_BYTES = 1 << 29
# Not OSError as a whole: a full disk is no failure of the network.
_BROKEN_OFF = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


class _TooMuchError(Exception):
    """A stream gives more than any data set holds."""


# tarfile meets a broken header with almost any of these.
_NO_ARCHIVE = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    _TooMuchError,
)


class _Capped(io.RawIOBase):
    """A stream of at most `MAX_BYTES`: a bomb fills neither the disk nor the memory."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._left = MAX_BYTES

    def read(self, size: int = -1, /) -> bytes:
        """As of a file; with an error where there is more.

        Raises:
            _TooMuchError: more than `MAX_BYTES` were given.
        """
        chunk: bytes = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise _TooMuchError(f"it holds more than {MAX_BYTES >> 20} MiB")
        return chunk


@dataclass(frozen=True)
class Archive:
    """A file to be downloaded and what it holds.

    Args:
        urls: where it is to be had, tried in this order.
        name: its file name; .tar.gz and .gz are unpacked, anything else is kept as it is.
        md5: its checksum.
        folder: where its content belongs, below the root.
        files: path below the folder, and checksum where there is one, of each file it gives.
    """

    urls: tuple[str, ...]
    name: str
    md5: str
    folder: str
    files: tuple[tuple[str, str | None], ...]

    def missing(self, root: Path) -> list[str]:
        """Paths below root that are not there."""
        paths = [str(Path(self.folder) / path) for path, _ in self.files]
        return [path for path in paths if not (root / path).is_file()]


@dataclass(frozen=True)
class Target:
    """What is to be completed: a data set below a folder.

    Args:
        name: the data set, for messages.
        archives: all that it is made of.
    """

    name: str
    root: Path
    archives: list[Archive]

    def missing(self) -> list[str]:
        """Paths below root that are not there."""
        return [path for archive in self.archives for path in archive.missing(self.root)]


def archives(dataset: Any) -> list[Archive]:
    """The archives of one of torchvision's data set classes, read from its attributes."""
    if hasattr(dataset, "resources"):  # MNIST and its kind: one compressed file an array
        return [
            Archive(
                tuple(f"{mirror}{name}" for mirror in dataset.mirrors),
                name,
                md5,
                f"{dataset.__name__}/raw",
                ((name.removesuffix(".gz"), None),),
            )
            for name, md5 in dataset.resources
        ]
    if hasattr(dataset, "split_list"):  # SVHN: one file a split
        splits = [dataset.split_list[split] for split in ("train", "test")]
        return [Archive((url,), name, md5, "", ((name, md5),)) for url, name, md5 in splits]
    # CIFAR: all batches in one archive
    listed = [*dataset.train_list, *dataset.test_list]
    listed.append((dataset.meta["filename"], dataset.meta["md5"]))
    files = tuple((f"{dataset.base_folder}/{name}", md5) for name, md5 in listed)
    return [Archive((dataset.url,), dataset.filename, dataset.tgz_md5, "", files)]


def complete(wanted: list[Archive], name: str, root: Path, say: Say) -> None:
    """Download and unpack what is missing below `root`; does nothing when all is there.

    An archive that already lies where torchvision would put it is unpacked without a download.

    Args:
        name: the data set, for messages.

    Raises:
        DataError: nothing reachable, a wrong checksum, or a folder that cannot be written.
    """
    absent = [archive for archive in wanted if archive.missing(root)]
    if not absent:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cnnsearch-", dir=root) as draft:
            for archive in absent:
                _complete(archive, Path(draft), Target(name, root, wanted), say)
    except OSError as error:
        raise DataError(
            f"data.root: {root}: {name} cannot be stored there: {error.strerror or error}."
            " Name another folder in data.root or $CNNSEARCH_DATA."
        ) from error


def _complete(archive: Archive, draft: Path, target: Target, say: Say) -> None:
    name, root = target.name, target.root
    here = root / archive.folder / archive.name
    if not (here.is_file() and md5_of(here) == archive.md5):
        here = draft / archive.name
        _download(archive, here, target, say)
    unpacked = draft / "unpacked"
    unpacked.mkdir(exist_ok=True)
    try:
        _unpack(here, unpacked)
    except _NO_ARCHIVE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"data.name: {archive.name} of {name} cannot be unpacked: {reason}."
            " Unpack it by hand, or get the data elsewhere."
        ) from error
    for path, md5 in archive.files:
        source, place = unpacked / path, root / archive.folder / path
        if not source.is_file() or (md5 is not None and md5_of(source) != md5):
            raise DataError(f"data.name: {archive.name} does not hold the {path} of {name}.")
        place.parent.mkdir(parents=True, exist_ok=True)
        source.replace(place)


def _download(archive: Archive, file: Path, target: Target, say: Say) -> None:
    reasons = []
    for url in archive.urls:
        say(f"Downloading {url} to {target.root}")
        try:
            got = _fetch(url, file)
        except urllib.error.HTTPError as error:
            reasons.append(f"{url}: HTTP status {error.code}")
            error.close()
            continue
        except (*_BROKEN_OFF, _TooMuchError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        if got == archive.md5:
            return
        reasons.append(f"{url}: checksum {got} instead of {archive.md5}")
    failures = " ".join("; ".join(reasons).split())
    first, *others = target.missing()
    more = f" and {len(others)} more" if others else ""
    raise DataError(
        f"data.root: {target.name} is not in {target.root} (looked for {first}{more})"
        f" and the download failed ({failures})."
        " Put the files there, or name their folder in data.root or $CNNSEARCH_DATA."
    )


def _fetch(url: str, target: Path) -> str:
    """Download a file; returns its MD5, which also tells a download that was cut short."""
    if not url.startswith(("http://", "https://")):
        raise urllib.error.URLError("not an address of the web")
    request = urllib.request.Request(url, headers={"User-Agent": "cnnsearch"})  # noqa: S310
    digest = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response,  # noqa: S310
        target.open("wb") as file,
        progress(target.name, response.length, of_bytes=True) as advance,
    ):
        capped = _Capped(response)
        while chunk := capped.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _unpack(archive: Path, target: Path) -> None:
    """Unpack an archive whose checksum was right; no member can leave the target folder."""
    if archive.name.endswith((".tar.gz", ".tgz")):
        with gzip.open(archive) as source, tarfile.open(fileobj=_Capped(source), mode="r|") as tar:
            for member in tar:
                _check_member(member)
                tar.extract(member, target, filter="data")
    elif archive.suffix == ".gz":
        with gzip.open(archive) as source, (target / archive.stem).open("wb") as file:
            shutil.copyfileobj(_Capped(source), file, _CHUNK)
    else:
        shutil.copyfile(archive, target / archive.name)


def _check_member(member: tarfile.TarInfo) -> None:
    """Refuse whatever is no plain file or folder below the archive's own.

    tarfile's filter alone lets a chain of links out before Python 3.11.13 (CVE-2025-4517).
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name!r} lies outside of it")
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise tarfile.TarError(f"{member.name!r} is neither a file nor a folder")


def md5_of(path: Path) -> str:
    """MD5 of a file, hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

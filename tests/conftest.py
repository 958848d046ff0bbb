"""What all tests share: folders of their own, and real images where they are present."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from cnnsearch.executors.cluster import Cluster, Share
from tests.servers import ABSENT, Server, postgres_programs

KEPT = Path.home() / ".cache" / "cnnsearch-test"
"""What is kept between runs of the tests: the unpacked and the decoded real images."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that CNNSEARCH_DATA names."""
    root = os.environ.get("CNNSEARCH_DATA")
    if not root:
        pytest.skip("CNNSEARCH_DATA names no folder of real images")
    return Path(root)


@pytest.fixture(scope="session")
def unpacked_cifar(real_data: Path) -> Path:
    """CIFAR-10 as a folder of images, unpacked once a machine."""
    kept, archive = KEPT / "cifar10-images", real_data / "cifar10-images.tar.xz"
    for root in (real_data / "cifar10-images", kept):
        if root.is_dir():
            return root
    if not archive.is_file():
        pytest.skip(f"no cifar10-images and no {archive.name} in {real_data}")
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / "unpack.lock"):
        if not kept.is_dir():
            with tempfile.TemporaryDirectory(dir=KEPT) as draft, tarfile.open(archive) as tar:
                tar.extractall(draft, filter="data")
                shutil.move(Path(draft) / "cifar10-images", kept)
    return kept


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and caches of a test are its own."""
    folder = tmp_path_factory.mktemp("xdg")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))


@pytest.fixture
def kept_cache(own_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images are kept between runs of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(KEPT))


@pytest.fixture
def cifar_root(unpacked_cifar: Path, kept_cache: None) -> Path:
    """A folder of the images of CIFAR-10; what was decoded of it is kept."""
    return unpacked_cifar


@pytest.fixture
def mnist_root(real_data: Path, kept_cache: None) -> Path:
    """A root with MNIST/raw below it; what was decoded of it is kept."""
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw in {real_data}")
    return real_data


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, one for each process of the tests."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip(ABSENT)
    found = Server(programs)
    found.start()
    yield found
    found.stop()
    found.remove()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Ray on this machine, with room for four trials a core."""
    found = Cluster(None, Share(cpus=0.25))
    yield found
    found.close()


@pytest.fixture
def postgres(server: Server) -> str:
    """The URL of an empty database."""
    return server.create(f"test-{uuid.uuid4().hex}")


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database, empty."""
    if request.param == "sqlite":
        return str(tmp_path / "studies.db")
    url: str = request.getfixturevalue("postgres")
    return url

"""What `cnnsearch doctor` looks at, part by part."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cnnsearch import __version__, catalog, ranking
from cnnsearch.environment import cpu_name
from cnnsearch.errors import CnnsearchError
from cnnsearch.render.text import counted

_PACKAGES = ("torch", "torchvision", "numpy", "optuna", "sqlalchemy", "pydantic", "click", "rich")
_EXTRAS = (
    "scipy",
    "scikit-learn",
    "psycopg",
    "ray",
    "matplotlib",
    "plotly",
    "optuna-dashboard",
    "tensorboard",
    "mlflow-skinny",
    "onnx",
)
# Below this a decoded CIFAR-10 and a search's checkpoints do not fit.
_LITTLE_GB = 1.0
_SLOW_S = 0.5


@dataclass(frozen=True)
class Line:
    """One finding.

    Args:
        well: whether it is as it should be; else the text says what to do.
    """

    part: str
    text: str
    well: bool = True


def look(storage: str) -> list[Line]:
    """Look at everything; what cannot be looked at is a line too."""
    parts: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("versions", _versions),
        ("machine", _machine),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("storage", lambda: _storage(storage)),
        ("data", _data),
        ("disk", _disk),
        ("leftovers", lambda: _leftovers(storage)),
    ]
    found: list[Line] = []
    for name, part in parts:
        try:
            found += part()
        except CnnsearchError as error:
            found.append(Line(name, str(error), well=False))
        except Exception as error:  # a broken installation is what this verb is for
            found.append(Line(name, f"{type(error).__name__}: {error}", well=False))
    return found


def _versions() -> Iterator[Line]:
    yield Line("cnnsearch", __version__)
    system = f"Python {platform.python_version()}, {platform.platform()}"
    yield Line("system", system)
    packages = [f"{name} {_version(name) or 'absent'}" for name in _PACKAGES]
    yield Line("packages", ", ".join([*packages, f"SQLite {sqlite3.sqlite_version}"]))
    yield Line("extras", ", ".join(f"{name} {_version(name) or 'absent'}" for name in _EXTRAS))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _machine() -> Iterator[Line]:
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    yield Line("processor", f"{cpu_name()}, {counted(cores, 'core')}{_memory()}")


def _memory() -> str:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):
        return ""
    return f", {pages * size / 1e9:.1f} GB of memory, {free * size / 1e9:.1f} GB unused"


def _torch() -> Iterator[Line]:
    from cnnsearch.preflight import devices

    for part, text in devices():
        yield Line(part, text)


def _torchvision() -> Iterator[Line]:
    from cnnsearch.data.vision import dataset_class

    dataset_class(catalog.DATASETS["mnist"])
    yield Line("torchvision", "its data sets can be read")


def _storage(storage: str) -> Iterator[Line]:
    from cnnsearch.study import read
    from cnnsearch.study.backends import backend

    place = backend(storage)
    place.check()
    if not place.exists():
        yield Line("storage", f"{place.shown}: nothing there yet")
        return
    started = time.perf_counter()
    names = read.study_names(storage)
    seconds = time.perf_counter() - started
    count = "1 study" if len(names) == 1 else f"{len(names)} studies"
    told = f"{place.shown}: {count}, read in {1000 * seconds:.0f} ms"
    if seconds > _SLOW_S:
        told += ". That is slow: each trial waits for it. Bring the storage nearer."
    yield Line("storage", told, well=seconds <= _SLOW_S)


def _data() -> Iterator[Line]:
    from cnnsearch.data import cache, default_root

    root = default_root()
    said = "by CNNSEARCH_DATA" if os.environ.get("CNNSEARCH_DATA") else "by default"
    there = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    holds = ", ".join(there[:8]) if there else "nothing yet; data sets are downloaded to it"
    yield Line("data", f"{root} ({said}): {holds}")
    decoded = cache.folder()
    count = sum(1 for _ in decoded.iterdir()) if decoded.is_dir() else 0
    yield Line("decoded", f"{decoded}: {counted(count, 'data set')}")


def _disk() -> Iterator[Line]:
    from cnnsearch.data import cache

    places = {
        "here": Path.cwd(),
        "cache": cache.folder(),
        "tmp": Path(tempfile.gettempdir()),
    }
    for name, place in places.items():
        there = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e9
        writable = os.access(there, os.W_OK)
        told = f"{place}: {free:.1f} GB free"
        told += "" if writable else ", and it cannot be written. Start in another folder."
        told += ". Make room." if free < _LITTLE_GB else ""
        yield Line(f"disk, {name}", told, well=writable and free >= _LITTLE_GB)


def _leftovers(storage: str) -> Iterator[Line]:
    from cnnsearch.records import State
    from cnnsearch.study import read
    from cnnsearch.study.location import study_folder
    from cnnsearch.study.lock import is_held
    from cnnsearch.study.waiting import waiting_files

    try:
        names = read.study_names(storage)
    except CnnsearchError:  # what is wrong and what to do stands at the storage
        yield Line("leftovers", "not known, as the storage cannot be read")
        return
    found = []
    for name in names:
        try:
            trials = ranking.last_attempts(read.trials(storage, name))
        except CnnsearchError as error:
            yield Line("leftovers", f"{name}: {error}", well=False)
            continue
        dead = [t for t in trials if t.state is State.KILLED and t.reason == read.COORDINATOR_DIED]
        unended = sum(trial.seconds is None for trial in dead)
        if unended and not is_held(storage, name):
            found.append(f"{name}: {counted(unended, 'trial')} of a dead coordinator")
        found += [f"{name}: results that wait in {path}" for path in waiting_files(name)]
        partial = list(study_folder(name).glob(".*.partial"))
        if partial and not is_held(storage, name):
            found.append(f"{name}: {counted(len(partial), 'folder')} of trials that were cut short")
    for text in found:
        yield Line("leftovers", f"{text}. To go on: cnnsearch run FILE.", well=False)
    if not found:
        yield Line("leftovers", "none")

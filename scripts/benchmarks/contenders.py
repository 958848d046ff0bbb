"""The programs that are compared, each started as a user starts it, on the same work."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.equal import Run, Trained, UnequalError
from cnnsearch.config import from_plain
from cnnsearch.data import load
from cnnsearch.data.split import Split, split
from cnnsearch.records import State
from cnnsearch.study import read

ACTIVATIONS = ["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "maxout"]
SCRIPTS = Path(__file__).resolve().parents[1]
STUDY = "bench"


@dataclass(frozen=True)
class Workload:
    """A data set and the network that is trained on it.

    Args:
        data: as in a config.
        rates: learning rates at which no activation diverges, with batch norm or without.
    """

    title: str
    data: str
    conv: tuple[int, ...]
    hidden: tuple[int, ...]
    rates: tuple[float, ...]


WORKLOADS = {
    "mnist": Workload("MNIST", "mnist", (16, 32), (64,), (0.001, 0.003)),
    "cifar10": Workload("CIFAR-10 images", "image_folder", (32, 64), (128,), (0.0005, 0.002)),
}


@dataclass(frozen=True)
class Work:
    """What every contender is to do.

    Args:
        root: folder of the images.
        images: trained on; a tenth of that is validated on.
        jobs: trials at once, where a contender runs several.
        decoded: the plain script decodes its images once; without effect on MNIST.
        reuse: Ray Tune keeps its processes from trial to trial, which is not its default.
        precision: of cnnsearch; the others compute in float32.
    """

    workload: Workload
    root: Path
    images: int
    epochs: int
    rates: tuple[float, ...]
    jobs: int = 2
    decoded: bool = False
    reuse: bool = False
    precision: str = "fp32"

    @property
    def validation(self) -> int:
        """Images validated on."""
        return max(1, self.images // 10)

    @property
    def grid(self) -> dict[str, list[Any]]:
        """The space, as all of them are told it."""
        return {"lr": [*self.rates], "activation": ACTIVATIONS, "batchnorm": [False, True]}

    @property
    def trials(self) -> int:
        """Points of the grid."""
        return len(self.rates) * len(ACTIVATIONS) * 2

    def config(self) -> dict[str, Any]:
        """The config file of the search."""
        data = {"name": self.workload.data, "root": str(self.root), "preprocess": "standardize"}
        return {
            "study": STUDY,
            "device": "cpu",
            "data": {**data, "limit": self.images, "validation": self.validation},
            "model": {"conv": [*self.workload.conv], "hidden": [*self.workload.hidden]},
            "train": {"epochs": self.epochs, "precision": self.precision},
            "search": {"sampler": "grid", "at": "last"},
            "space": self.grid,
        }

    def for_scripts(self) -> dict[str, Any]:
        """What the plain script and Ray Tune get: the same images, validated on the same."""
        section = from_plain(self.config()).data
        images = load(section)
        validation, train = split(images, Split.of(section))
        folder = "decoded" if self.decoded else "folder"
        return {
            "data": "mnist" if self.workload.data == "mnist" else folder,
            "root": str(self.root),
            "train": train.tolist(),
            "validation": validation.tolist(),
            "classes": len(images.classes),
            "conv": [*self.workload.conv],
            "hidden": [*self.workload.hidden],
            "batch_size": from_plain(self.config()).train.batch_size,
            "epochs": self.epochs,
            "grid": self.grid,
            "at_once": self.jobs,
            "reuse_actors": self.reuse,
        }


def cnnsearch(work: Work, folder: Path) -> Run:
    """`cnnsearch run FILE -j JOBS` in a new folder, which holds its storage too."""
    (folder / "search.yaml").write_text(json.dumps(work.config()), encoding="utf-8")
    words = ["-m", "cnnsearch", "run", "search.yaml", "-j", str(work.jobs)]
    seconds = _timed([*words, "--storage", "bench.db"], folder)
    trials = []
    for trial in read.trials(str(folder / "bench.db"), STUDY):
        if trial.state is not State.COMPLETE:
            told = f"{dict(trial.params)} is {trial.state}: {trial.reason}"
            raise UnequalError(f"cnnsearch: {told}")
        assert trial.value is not None
        assert trial.seconds is not None
        trained, validated = (
            trial.epochs * int(trial.facts[name])
            for name in ("training_images", "validation_images")
        )
        trials.append(
            Trained(trial.params, trial.epochs, trained, validated, trial.value, trial.seconds)
        )
    lower = "" if work.precision == "fp32" else f", {work.precision}"
    return Run(f"cnnsearch run -j {work.jobs}{lower}", seconds, work.jobs, tuple(trials))


def plain(work: Work, folder: Path) -> Run:
    """The plain script: one trial after the other, with torch's own number of threads."""
    return _script("plain script", [str(SCRIPTS / "benchmarks" / "plain.py")], 1, work, folder)


def ray_tune(work: Work, folder: Path) -> Run:
    """Ray Tune with the plain script's training function."""
    return _script("Ray Tune", ["-m", "benchmarks.ray_tune"], work.jobs, work, folder)


def has_ray() -> bool:
    """Whether Ray is installed."""
    return importlib.util.find_spec("ray") is not None


CONTENDERS: dict[str, Callable[[Work, Path], Run]] = {"plain": plain, "ray": ray_tune}


def _script(name: str, words: list[str], at_once: int, work: Work, folder: Path) -> Run:
    (folder / "work.json").write_text(json.dumps(work.for_scripts()), encoding="utf-8")
    seconds = _timed([*words, "work.json", "results.json"], folder)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return Run(name, seconds, at_once, tuple(Trained(**one) for one in results))


def _timed(words: list[str], folder: Path) -> float:
    """Wall time of a Python command in a folder.

    Raises:
        UnequalError: it failed; with the last of what it said.
    """
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, *words]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise UnequalError(f"{' '.join(words)} ended with {done.returncode}: {said}")
    return seconds

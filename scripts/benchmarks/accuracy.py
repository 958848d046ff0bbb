"""The time to an accuracy: `cnnsearch run -j 2` with asha, against the plain script in full.

Both search the same 27 points of one seed in the same order, 9 epochs of 5,000 images, over the
space of configs/mnist.yaml or configs/cifar10.yaml. The accuracy asked for is the best that the
plain script found, less two standard errors of one value. The clock runs from the start of each
command to the end of the epoch that reached it; the time to the end of the search stands beside it.

    scripts/bench accuracy mnist
    scripts/bench accuracy cifar10 --root FOLDER
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contenders import SCRIPTS
from benchmarks.efficiency import CNNSEARCH, CONFIGS, EPOCHS, IMAGES, NOISES, TRIALS, VALIDATION
from cnnsearch.config import Config, load
from cnnsearch.data import default_root
from cnnsearch.data import load as load_images
from cnnsearch.data.split import Split, split
from cnnsearch.plan import remaining
from cnnsearch.space import Choice
from cnnsearch.study import read

WANTED = {"mnist": 8.0, "cifar10": 5.0}
SEED = 0


@dataclass(frozen=True)
class Reached:
    """How accurate a search was when.

    Args:
        epochs: seconds since its start and accuracy of each epoch, by time.
        seconds: of the whole search.
    """

    epochs: Sequence[tuple[float, float]]
    seconds: float

    @property
    def best(self) -> float:
        """The best accuracy of any epoch; of one that is not a number, none."""
        return max(accuracy for _, accuracy in self.epochs)

    def to(self, accuracy: float) -> float:
        """Seconds to an accuracy; inf where it was not reached."""
        return min((at for at, found in self.epochs if found >= accuracy), default=math.inf)


def sets(root: Path | None) -> list[str]:
    """What is set in the config."""
    images = [] if root is None else ["data.name=image_folder", f"data.root={root.resolve()}"]
    sizes = [f"epochs={EPOCHS}", f"limit={IMAGES}", f"validation={VALIDATION}", f"seed={SEED}"]
    return [*sizes, *images, "data.preprocess=standardize", f"trials={TRIALS}"]


def ours(file: Path, given: Sequence[str], folder: Path) -> Reached:
    """`cnnsearch run` with asha."""
    words = ["run", str(file), "--name", "asha", "-j", "2", "-S", "pruner=asha"]
    words += [word for one in given for word in ("-S", one)]
    began, seconds = _timed([*CNNSEARCH, *words], folder)
    storage, epochs = str(folder / "cnnsearch.db"), []
    for number in (trial.number for trial in read.trials(storage, "asha")):
        trial = read.trial(storage, "asha", number)
        assert trial.started is not None
        at = trial.started - began
        for result in trial.curve:
            at += result.seconds
            epochs.append((at, result.val_accuracy))
    return Reached(sorted(epochs), seconds)


def plain(config: Config, data: str, folder: Path) -> Reached:
    """The plain script on the same points."""
    images = load_images(config.data)
    validation, train = split(images, Split.of(config.data))
    space = config.space or {}
    work = {
        "data": data,
        "root": config.data.root or str(default_root()),
        "train": train.tolist(),
        "validation": validation.tolist(),
        "classes": len(images.classes),
        "conv": config.model.conv,
        "hidden": config.model.hidden,
        "batch_size": config.train.batch_size,
        "epochs": EPOCHS,
        "grid": {name: list(p.choices) for name, p in space.items() if isinstance(p, Choice)},
        "points": [dict(start.params) for start in remaining(config, [], TRIALS)],
    }
    (folder / "work.json").write_text(json.dumps(work), encoding="utf-8")
    script = str(SCRIPTS / "benchmarks" / "plain.py")
    began, seconds = _timed([sys.executable, script, "work.json", "results.json"], folder)
    results: list[dict[str, Any]] = json.loads((folder / "results.json").read_text("utf-8"))
    if [one["params"] for one in results] != work["points"]:
        raise SystemExit("the plain script searched other points")
    epochs = [(at - began, accuracy) for one in results for at, accuracy in one["reached"]]
    return Reached(sorted(epochs), seconds)


def _timed(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """When a command began, since 1970, and how long it took."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])}
    began, started = time.time(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return began, time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Search twice, print both times, and fail where the ratio is below what is wanted."""
    parser = argparse.ArgumentParser(
        "bench accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=WANTED)
    parser.add_argument("--root", type=Path, help="folder of the CIFAR-10 images")
    given = parser.parse_args(arguments)
    if (given.data == "cifar10") is (given.root is None):
        parser.error("cifar10 takes --root FOLDER, mnist lies in $CNNSEARCH_DATA")
    file = CONFIGS / f"{given.data}.yaml"
    config = load(str(file), sets(given.root))
    load_images(config.data)  # decoded before any clock runs
    print(machine.describe())
    with tempfile.TemporaryDirectory() as place:
        fast = ours(file, sets(given.root), Path(place))
        slow = plain(config, "mnist" if given.root is None else "folder", Path(place))
    noise = math.sqrt(slow.best * (1 - slow.best) / VALIDATION)
    target = slow.best - NOISES * noise
    print(f"{given.data}: {TRIALS} trials of {EPOCHS} epochs of {IMAGES} images, seed {SEED}")
    for name, one in (("cnnsearch, asha", fast), ("plain script", slow)):
        print(
            f"{name:16} best {one.best:.4f}, {len(one.epochs)} epochs; to {target:.4f} in"
            f" {one.to(target):.1f} s, to its end in {one.seconds:.1f} s"
        )
    ratio, whole = slow.to(target) / fast.to(target), slow.seconds / fast.seconds
    wanted = WANTED[given.data]
    print(f"time to the accuracy {ratio:.1f}x shorter (wanted {wanted:g}), to the end {whole:.1f}x")
    return int(not ratio >= wanted)


if __name__ == "__main__":
    raise SystemExit(main())

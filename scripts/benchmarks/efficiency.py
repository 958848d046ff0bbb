"""What asha saves: one wide search with the pruner and without it, three seeds, guard on in both.

    python scripts/benchmarks/efficiency.py --mnist
    python scripts/benchmarks/efficiency.py --cifar FOLDER

27 trials of 9 epochs on 5,000 images, over the space of configs/mnist.yaml or
configs/cifar10.yaml; FOLDER holds the CIFAR-10 images (train/airplane/...), MNIST lies in
$CNNSEARCH_DATA. On two cores MNIST takes about twelve minutes. Exit code 1 where

- asha runs more than 45 % of the epochs that the full searches run, the three seeds together;
- its best accuracy is below the full search's by more than two standard errors of one value (of a
  share of the validation images, without the noise of seeds), with any seed;
- the two do not search the same points.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRIALS, EPOCHS, IMAGES, VALIDATION = 27, 9, 5000, 5000
SEEDS = (0, 1, 2)
MOST = 0.45
NOISES = 2.0
CONFIGS = Path(__file__).parents[2] / "configs"
CNNSEARCH = [sys.executable, "-m", "cnnsearch"]


@dataclass(frozen=True)
class Searched:
    """What one search did.

    Args:
        run: epochs run by trials that ended by themselves.
        best: validation accuracy of the best complete trial.
        points: hyperparameters, by point.
        states: number of trials by state.
    """

    run: int
    best: float
    points: Sequence[Any]
    states: dict[str, int]


@dataclass(frozen=True)
class Pair:
    """The full search and that with asha, of one seed."""

    seed: int
    full: Searched
    asha: Searched

    @property
    def noise(self) -> float:
        """Standard error of one accuracy as good as the best."""
        return math.sqrt(self.full.best * (1 - self.full.best) / VALIDATION)

    @property
    def is_as_good(self) -> bool:
        """Whether asha's best is no worse than the noise of a value makes it."""
        return self.full.best - self.asha.best <= NOISES * self.noise


def called(folder: Path, *words: str) -> Any:
    """The JSON that a verb prints."""
    done = subprocess.run(
        [*CNNSEARCH, *words, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"cnnsearch {' '.join(words)} ended with {done.returncode}:\n{done.stderr}"
        )
    return json.loads(done.stdout)


def searched(folder: Path, config: str, sets: Sequence[str], seed: int, pruner: str) -> Searched:
    """Run one search.

    Args:
        sets: what is set in the config besides the sizes.
    """
    name = f"{pruner}-{seed}"
    given = [
        f"epochs={EPOCHS}",
        f"limit={IMAGES}",
        f"validation={VALIDATION}",
        f"seed={seed}",
        f"pruner={pruner}",
        *sets,
    ]
    words = ["run", str(CONFIGS / config), "--name", name, "-n", str(TRIALS), "-j", "2"]
    told = called(folder, *words, *(word for one in given for word in ("-S", one)))
    trials = sorted(called(folder, "list", name), key=lambda trial: int(trial["point"]))
    points = [trial["params"] for trial in trials]
    return Searched(told["epochs"]["run"], told["best"]["value"], points, told["counts"])


def line(pair: Pair) -> str:
    """What was found with one seed."""
    full, asha = pair.full, pair.asha
    states = ", ".join(f"{count} {state}" for state, count in asha.states.items())
    return (
        f"seed {pair.seed}: {full.run} epochs in full, {asha.run} with asha, "
        f"{asha.run / full.run:.0%}; best {full.best:.4f} and {asha.best:.4f}, "
        f"noise of one {pair.noise:.4f}; {states}"
    )


def wrong(pairs: Sequence[Pair]) -> list[str]:
    """What does not hold."""
    found = [
        f"seed {pair.seed}: other points" for pair in pairs if pair.full.points != pair.asha.points
    ]
    found += [
        f"seed {pair.seed}: asha's best is worse beyond noise"
        for pair in pairs
        if not pair.is_as_good
    ]
    if share(pairs) > MOST:
        found.append(f"asha ran {share(pairs):.0%} of the epochs, at most {MOST:.0%} are allowed")
    return found


def share(pairs: Sequence[Pair]) -> float:
    """Epochs run with asha, of those of the full searches."""
    return sum(pair.asha.run for pair in pairs) / sum(pair.full.run for pair in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the searches, print what they did, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--mnist", action="store_true")
    images.add_argument("--cifar", metavar="FOLDER", type=Path)
    given = parser.parse_args(arguments)
    config, sets = "mnist.yaml", list[str]()
    if given.cifar is not None:
        config = "cifar10.yaml"
        sets = ["data.name=image_folder", f"data.root={given.cifar.resolve()}"]
    pairs = []
    with tempfile.TemporaryDirectory() as place:
        for seed in SEEDS:
            full, asha = (
                searched(Path(place), config, sets, seed, pruner) for pruner in ("none", "asha")
            )
            pairs.append(Pair(seed, full, asha))
            print(line(pairs[-1]), flush=True)
    print(f"together: {share(pairs):.0%} of the epochs")
    faults = wrong(pairs)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())

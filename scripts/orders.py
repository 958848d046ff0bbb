"""Three orders that papers report, looked for on the CIFAR-10 images with five seeds each.

- batch norm allows a higher learning rate (Ioffe and Szegedy 2015: 5 to 30 times);
- deep tanh networks learn better from xavier than from normal:0.01 (Glorot and Bengio 2010);
- a 20-layer relu network needs he, not xavier (He et al. 2015).

Prints a Markdown table of what was found, whichever way it falls, and the runs behind it.

    python scripts/orders.py FOLDER [--seeds 5] [--jobs 2]

FOLDER is an image folder (train/airplane/...), see `image_folder` in the README. About ten minutes
on two cores.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from cnnsearch import runner
from cnnsearch.config import from_plain
from cnnsearch.objective import value
from cnnsearch.records import EpochResult, Outcome, Params, State

DATA = {"name": "image_folder", "limit": 5000}
CONV: dict[str, object] = {"conv": [16, 32], "hidden": [64]}
# An accuracy that is at least so much of the way from guessing to the best one is usable.
USABLE = 0.75
GUESSING, LEARNED = 0.1, 0.05


@dataclass(frozen=True)
class Question:
    """Two variants of a network, each at several learning rates."""

    title: str
    model: dict[str, object]
    epochs: int
    variants: tuple[tuple[str, Params], tuple[str, Params]]
    rates: tuple[float, ...]


QUESTIONS = (
    Question(
        "conv 16-32, relu, he, 2 epochs",
        CONV,
        2,
        (("without batch norm", {"batchnorm": False}), ("with batch norm", {"batchnorm": True})),
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    ),
    Question(
        "5 layers of 100 tanh units, 5 epochs",
        {"conv": [], "hidden": [100] * 5, "activation": "tanh"},
        5,
        (("normal:0.01", {"init": "normal:0.01"}), ("xavier", {"init": "xavier"})),
        (0.003, 0.01, 0.03, 0.1, 0.3),
    ),
    Question(
        "20 layers of 100 relu units, 5 epochs",
        {"conv": [], "hidden": [100] * 20},
        5,
        (("xavier", {"init": "xavier"}), ("he", {"init": "he"})),
        (0.001, 0.003, 0.01, 0.03, 0.1),
    ),
)


def accuracy(root: str, question: Question, params: Params, seed: int) -> float | None:
    """The best validation accuracy of one run; None where it diverged."""
    plain = {
        "study": "orders",
        "device": "cpu",
        "data": {**DATA, "root": root},
        "model": question.model,
        "train": {"epochs": question.epochs},
        "diagnose": False,
    }
    items = list(runner.run(from_plain(plain).at(params, seed)))
    assert isinstance(items[-1], Outcome)
    if items[-1].state is State.DIVERGED:
        return None
    assert items[-1].state is State.COMPLETE, items[-1].reason
    return value([e for e in items if isinstance(e, EpochResult)], "val_accuracy", "best")


def mean(found: Sequence[float | None]) -> float:
    """A diverged run counts as guessing."""
    return statistics.fmean(GUESSING if one is None else one for one in found)


def told(found: Sequence[float | None]) -> str:
    """Mean and standard deviation; how many diverged."""
    lost = sum(one is None for one in found)
    numbers = [GUESSING if one is None else one for one in found]
    spread = f" ± {statistics.stdev(numbers):.3f}" if numbers[1:] else ""
    return f"{mean(found):.3f}{spread}" + (f", {lost} of {len(found)} diverged" if lost else "")


def highest_usable(by_rate: dict[float, list[float | None]]) -> float | None:
    """The highest learning rate at which every seed comes near the best mean accuracy."""
    best = max(map(mean, by_rate.values()))
    if best < GUESSING + LEARNED:
        return None
    least = GUESSING + USABLE * (best - GUESSING)
    fine = [
        rate
        for rate, found in by_rate.items()
        if all(one is not None and one >= least for one in found)
    ]
    return max(fine, default=None)


def answer(question: Question, found: dict[tuple[str, float], list[float | None]]) -> list[str]:
    """The rows of the table, and the runs behind them."""
    runs, rows, finest = [], [], []
    for name, _ in question.variants:
        by_rate = {rate: found[name, rate] for rate in question.rates}
        best = max(by_rate, key=lambda rate: mean(by_rate[rate]))
        usable = highest_usable(by_rate)
        finest.append(by_rate[best])
        runs += [f"  {name}, lr {rate:g}: {told(by_rate[rate])}" for rate in question.rates]
        rows.append(
            f"| {question.title} | {name} | {told(by_rate[best])} | {best:g} | "
            f"{'none' if usable is None else f'{usable:g}'} |"
        )
    pairs = zip(*([GUESSING if a is None else a for a in one] for one in finest), strict=True)
    better = [second - first for first, second in pairs]
    names = [name for name, _ in question.variants]
    runs.append(
        f"  {names[1]} minus {names[0]}, each at its best lr, by seed: "
        + ", ".join(f"{one:+.3f}" for one in better)
    )
    return [*rows, *runs]


def main() -> None:
    """Run all, print the table, then the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        futures = {
            (place, name, rate): [
                pool.submit(accuracy, given.folder, question, {**params, "lr": rate}, seed)
                for seed in range(given.seeds)
            ]
            for place, question in enumerate(QUESTIONS)
            for name, params in question.variants
            for rate in question.rates
        }
        lines = [
            line
            for place, question in enumerate(QUESTIONS)
            for line in answer(
                question,
                {
                    (name, rate): [one.result() for one in runs]
                    for (where, name, rate), runs in futures.items()
                    if where == place
                },
            )
        ]
    print("| network | variant | best accuracy | at lr | highest usable lr |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(line for line in lines if line.startswith("|")))
    print(f"\nAccuracy on the validation images, mean ± deviation over {given.seeds} seeds:")
    print("\n".join(line for line in lines if not line.startswith("|")))


if __name__ == "__main__":
    main()

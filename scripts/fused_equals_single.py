"""Prove that trials trained together are the trials each alone: the full product of choices.

For every activation x batch norm x init scheme x optimizer, groups of 1, 2 and 7 trials are trained
in float64 for 20 steps and each trial alone, and all tensors, running averages and measured
numbers are compared: each within 1e-10 x max(1, its largest element). Then float32 after one step,
within 1e-4.

    python scripts/fused_equals_single.py [--sizes 1 2 7] [--jobs 2]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from cnnsearch.config.sections import Train
from cnnsearch.guard import Diverged
from cnnsearch.process import settle
from tests.fusing import CHOICES, Case, Trained, alone, case_config, departure, measured, together

LIMIT, LIMIT_32 = 1e-10, 1e-4


def compare(case: Case, sizes: list[int]) -> tuple[Case, float, float]:
    """The worst departure of a case: in float64 over all sizes, in float32 of the last size."""
    settle(1, Train())
    configs = [case_config(case, number) for number in range(max(sizes))]
    each = [alone(config) for config in configs]
    exact = max(
        of_trial(one, each[number])
        for size in sizes
        for number, one in enumerate(together(configs[:size]))
    )
    short = [case_config(case, n, epochs=1, batch_size=160) for n in range(min(3, max(sizes)))]
    one_step = zip(together(short, torch.float32), short, strict=True)
    single = max(
        departure(one.model, alone(config, torch.float32).model) for one, config in one_step
    )
    return case, exact, single


def of_trial(one: Trained, other: Trained) -> float:
    """Over tensors and over the numbers of each epoch; of one that diverged, over the latter."""
    epochs = zip(measured(one.told), measured(other.told), strict=True)
    numbers = [abs(a - b) for mine, theirs in epochs for a, b in zip(mine, theirs, strict=True)]
    mine, theirs = one.told[-1], other.told[-1]
    if isinstance(mine, Diverged) and isinstance(theirs, Diverged):
        assert (mine.step, mine.epoch) == (theirs.step, theirs.epoch)
        return max(numbers, default=0.0)
    return max(departure(one.model, other.model), *numbers)


def cases() -> Iterator[Case]:
    """The full product."""
    yield from itertools.product(*CHOICES)


def main() -> None:
    """Compare all, and tell the worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 7])
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    started, every = time.monotonic(), list(cases())
    context = multiprocessing.get_context("spawn")
    beyond, worst, worst_32 = 0, 0.0, 0.0
    with ProcessPoolExecutor(given.jobs, context) as pool:
        found = pool.map(partial(compare, sizes=given.sizes), every, chunksize=4)
        for count, (case, exact, single) in enumerate(found, 1):
            worst, worst_32 = max(worst, exact), max(worst_32, single)
            if exact > LIMIT or single > LIMIT_32:
                beyond += 1
                print(f"{', '.join(case)}: {exact:.1e} in float64, {single:.1e} in float32")
            if count % 100 == 0:
                print(f"{count} of {len(every)}, worst so far {worst:.1e} and {worst_32:.1e}")
    print(
        f"{len(every)} combinations, groups of {given.sizes}: worst {worst:.1e} in float64 after 20"
        f" steps (limit {LIMIT:g}), {worst_32:.1e} in float32 after one (limit {LIMIT_32:g});"
        f" {beyond} beyond; {time.monotonic() - started:.0f} s"
    )
    raise SystemExit(bool(beyond))


if __name__ == "__main__":
    main()

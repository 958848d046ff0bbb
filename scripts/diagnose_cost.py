"""What `diagnose: true` costs: CPU time of one trial with and without it, in turns.

Each row is a point of a config's search, trained whole: one warm-up, then `--pairs` pairs of a
trial without and one with it, by process CPU time. The cost is the median over the pairs; beside a
busy machine's other work it swings by some percent. `looks` is what the looks themselves took, over
all the rest of the same trial (median): steady, and without what they leave cold in the caches.

    python scripts/diagnose_cost.py configs/mnist.yaml
    python scripts/diagnose_cost.py configs/cifar10.yaml -S data.name=image_folder \\
        -S data.root=FOLDER
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

from cnnsearch import runner
from cnnsearch.config import Config, load
from cnnsearch.probe import Prober
from cnnsearch.records import Outcome, Params, Probe, State
from cnnsearch.render.table import Column, Table, print_table

POINTS: dict[str, Params] = {
    "relu, he": {"activation": "relu", "init": "he", "batchnorm": False},
    "tanh, xavier, batchnorm": {"activation": "tanh", "init": "xavier", "batchnorm": True},
}
COLUMNS = (
    Column("config"),
    Column("point"),
    Column("without", lambda s: f"{s:.2f}s", right=True),
    Column("with", lambda s: f"{s:.2f}s", right=True),
    Column("cost", lambda share: f"{share:.1%}", right=True),
    Column("from", lambda share: f"{share:.1%}", right=True),
    Column("to", lambda share: f"{share:.1%}", right=True),
    Column("looks", lambda share: f"{share:.2%}", right=True),
)


class Timed(Prober):
    """Adds up the CPU time of all looks."""

    seconds = 0.0

    def look(self, losses: Sequence[float] = ()) -> Probe:
        """See `Prober`."""
        started = time.process_time()
        probe = super().look(losses)
        Timed.seconds += time.process_time() - started
        return probe

    def remember(self) -> None:
        """See `Prober`."""
        started = time.process_time()
        super().remember()
        Timed.seconds += time.process_time() - started


def seconds(config: Config) -> float:
    """CPU time of one whole trial; `Timed.seconds` tells that of its looks."""
    started, Timed.seconds = time.process_time(), 0.0
    with mock.patch.object(runner, "Prober", Timed):
        *_, outcome = runner.run(config)
    assert isinstance(outcome, Outcome)
    if outcome.state is not State.COMPLETE:
        raise SystemExit(f"the trial is {outcome.state}: {outcome.reason}")
    return time.process_time() - started


def measured(config: Config, pairs: int) -> tuple[float, ...]:
    """Median seconds without and with, and the share that is added: median, least, most, looks."""
    off, on = (replace(config, diagnose=diagnose) for diagnose in (False, True))
    seconds(on)
    before, after, looks = [], [], []
    for _ in range(pairs):
        before.append(seconds(off))
        after.append(seconds(on))
        looks.append(Timed.seconds / (after[-1] - Timed.seconds))
    shares = [b / a - 1 for a, b in zip(before, after, strict=True)]
    medians = [statistics.median(numbers) for numbers in (before, after, shares, looks)]
    return (*medians[:3], min(shares), max(shares), medians[3])


def main() -> None:
    """Measure both points of each config."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("-S", "--set", dest="sets", action="append", default=[])
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    rows = []
    for file in given.files:
        config = replace(load(file, given.sets), device="cpu", threads=1)
        for name, params in POINTS.items():
            single = config.at({**params, "lr": 0.01}, 0)
            rows.append([config.study, name, *measured(single, given.pairs)])
    print_table(Table(COLUMNS, rows))


if __name__ == "__main__":
    main()

"""Trials an hour: `cnnsearch run -j 2` against the script a user would write and against Ray Tune.

All train the same points (7 activations, with and without batch norm, two learning rates) for the
same epochs on the same images, one contender after the other in one command, which fails when they
did not do equal work. Seconds of the whole space are those of the whole command, its start
included; those of a row are a trial's own, over how many run at once. cnnsearch decodes a data set
once and keeps it; that time is printed and not counted.

    scripts/bench throughput mnist [--root FOLDER]
    scripts/bench throughput cifar10 --root FOLDER [--decoded]

The folder for cifar10 holds the images by class, `train/airplane/...`. The plain script reads the
files as ImageFolder does; with --decoded it decodes them once, as torchvision's CIFAR10 has them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders, equal, machine
from benchmarks.contenders import ACTIVATIONS, CONTENDERS, WORKLOADS, Work
from benchmarks.equal import Run
from cnnsearch.config import from_plain
from cnnsearch.data import default_root, load
from cnnsearch.render.table import Column, Table, print_table

QUICK_IMAGES, QUICK_EPOCHS = 200, 1
LEAST = {
    ("mnist", "plain"): "at least 3.5, aim 5",
    ("mnist", "ray"): "at least 2",
    ("cifar10", "plain"): "at least 2.5, aim 3",
    ("cifar10", "ray"): "at least 2",
}


def seconds(value: float) -> str:
    """With three digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def times(ratio: float) -> str:
    """As it is said: 3.1x."""
    return f"{ratio:.1f}x"


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        "bench throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--root", type=Path, help="folder of the images")
    parser.add_argument("--images", type=int, default=5000, help="trained on (5000)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1, help="repeat all, take medians")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--against", choices=CONTENDERS, nargs="+", default=list(CONTENDERS))
    parser.add_argument("--decoded", action="store_true", help="the plain script decodes once")
    parser.add_argument("--reuse", action="store_true", help="Ray Tune keeps its processes")
    parser.add_argument("--precision", default="fp32", help="of cnnsearch; fp32 is equal work")
    parser.add_argument("--quick", action="store_true", help="few images, one learning rate")
    given = parser.parse_args(arguments)
    if given.root is None and given.workload == "cifar10":
        parser.error("cifar10 needs --root FOLDER, the images by class below train/")
    return given


def work_of(given: argparse.Namespace) -> Work:
    """What is to be done."""
    workload = WORKLOADS[given.workload]
    return Work(
        workload,
        (given.root or default_root()).resolve(),
        min(given.images, QUICK_IMAGES) if given.quick else given.images,
        QUICK_EPOCHS if given.quick else given.epochs,
        workload.rates[:1] if given.quick else workload.rates,
        given.jobs,
        given.decoded,
        given.reuse,
        given.precision,
    )


def one_round(work: Work, against: Sequence[str]) -> list[Run]:
    """All contenders, one after the other.

    Raises:
        equal.UnequalError: they did not do equal work.
    """
    runs = []
    for contender in (contenders.cnnsearch, *(CONTENDERS[name] for name in against)):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(contender(work, Path(folder)))
    equal.check(runs)
    return runs


def decode_once(work: Work) -> float:
    """Fill cnnsearch's cache of decoded images; the seconds it took."""
    started = time.perf_counter()
    load(from_plain(work.config()).data)
    return time.perf_counter() - started


def whole_space(rounds: Sequence[Sequence[Run]], least: Sequence[str]) -> Table:
    """One line a contender; medians over the rounds, the accuracy of the first one."""
    columns = (
        Column("whole space"),
        Column("trials", right=True),
        Column("epochs", right=True),
        Column("images", right=True),
        Column("accuracy", lambda a: f"{a:.3f}", right=True),
        Column("seconds", seconds, right=True),
        Column("trials/h", lambda n: f"{n:.0f}", right=True),
        Column("cnnsearch is", lambda r: times(r) if r else "", right=True),
        Column("wanted"),
    )
    rows = []
    for place, run in enumerate(rounds[0]):
        spent = statistics.median(runs[place].seconds for runs in rounds)
        ratio = statistics.median(runs[place].seconds / runs[0].seconds for runs in rounds)
        count = len(run.trials)
        accuracy = statistics.fmean(trial.accuracy for trial in run.trials)
        epochs, trained = (
            sum(getattr(t, name) for t in run.trials) for name in ("epochs", "trained")
        )
        told = [ratio, least[place - 1]] if place else [None, ""]
        hourly = 3600 * count / spent
        rows.append([run.name, count, epochs, trained, accuracy, spent, hourly, *told])
    return Table(columns, rows)


def by_row(rounds: Sequence[Sequence[Run]]) -> Table:
    """Seconds a trial for each activation, with and without batch norm; medians over the rounds."""
    names = [run.name for run in rounds[0]]
    columns = [Column("activation"), Column("batchnorm")]
    columns += [Column(f"{name}, s", seconds, right=True) for name in names]
    columns += [Column(f"of {name}", times, right=True) for name in names[1:]]
    rows = []
    for row in [(activation, norm) for activation in ACTIVATIONS for norm in (False, True)]:
        taken = [[run.seconds_of(row) for run in runs] for runs in rounds]
        spent = [statistics.median(some) for some in zip(*taken, strict=True)]
        ratios = [
            statistics.median(some[place] / some[0] for some in taken)
            for place in range(1, len(names))
        ]
        rows.append([*row, *spent, *ratios])
    return Table(tuple(columns), rows)


def main(arguments: Sequence[str]) -> int:
    """Run all contenders and print what they took."""
    given = parsed(arguments)
    work = work_of(given)
    against = [name for name in given.against if name != "ray" or contenders.has_ray()]
    print(machine.describe())
    print(
        f"work: {work.workload.title}, conv {'-'.join(map(str, work.workload.conv))}:"
        f" {work.trials} trials of {work.epochs} epochs of {work.images} images, batch 128,"
        f" validated on {work.validation} after each; lr {', '.join(map(str, work.rates))}"
    )
    if against != given.against:
        print("Ray Tune is not compared: ray is not installed. pip install 'cnnsearch[bench]'")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        print(f"cnnsearch decoded all images once, in {seconds(decode_once(work))} s", flush=True)
        try:
            rounds = [one_round(work, against) for _ in range(given.rounds)]
        except equal.UnequalError as difference:
            print(f"not equal work: {difference}")
            return 1
    least = ["" if given.quick else LEAST[given.workload, name] for name in against]
    print()
    print_table(whole_space(rounds, least))
    print()
    print_table(by_row(rounds))
    print("\nequal work: the same points, epochs and images; accuracies equal within their noise")
    return 0

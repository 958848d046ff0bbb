"""Steps wasted on trials that diverge: 50 of them, half on MNIST, half on digits.

Points are drawn from a space of learning rates from 0.1 to 1,000 until enough of them have
diverged. Each runs as a trial of its own; the optimizer's steps are counted by torch. A trial may
take at most `check_every` steps more than the step that it reports. The share is that of the steps
that they would have taken to their last epoch.

    scripts/bench diverging [--root FOLDER]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import machine
from benchmarks.contenders import ACTIVATIONS
from cnnsearch import runner
from cnnsearch.config import Config, from_plain
from cnnsearch.data import default_root, load, prepare
from cnnsearch.records import Outcome, Params, State
from cnnsearch.render.table import Column, Table, print_table

EACH = 25
INITS = ("xavier", "he", "normal:1.0")
MODEL = {"conv": [16, 32], "hidden": [64]}
SETUPS: dict[str, dict[str, Any]] = {
    "mnist": {"limit": 5000, "validation": 500},
    "digits": {},
}
COLUMNS = (
    Column("data"),
    Column("lr", lambda lr: f"{lr:.3g}"),
    Column("init"),
    Column("activation"),
    Column("batchnorm"),
    Column("reported", right=True),
    Column("taken", right=True),
    Column("whole run", right=True),
)


@dataclass
class Counter:
    """Optimizer steps since they were last set to 0."""

    steps: int = 0


@contextmanager
def counted() -> Iterator[Counter]:
    """Count every step of every optimizer."""
    counter = Counter()

    def hook(*_: Any) -> None:
        counter.steps += 1

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield counter
    finally:
        handle.remove()


def config_of(data: str, root: Path, epochs: int) -> Config:
    """A single run, its point still to be set."""
    return from_plain(
        {
            "study": "diverging",
            "device": "cpu",
            "data": {"name": data, "root": str(root), **SETUPS[data]},
            "model": MODEL,
            "train": {"epochs": epochs, "batch_size": 64 if data == "digits" else 128},
        }
    )


def drawn(seed: int) -> Params:
    """A point whose learning rate is too high, if not always so high that it diverges."""
    draws = random.Random(seed)
    return {
        "lr": 10 ** draws.uniform(-1, 3),
        "init": draws.choice(INITS),
        "activation": draws.choice(ACTIVATIONS),
        "batchnorm": draws.choice((True, False)),
    }


def diverged(config: Config, counter: Counter, wanted: int) -> tuple[list[list[Any]], int]:
    """The rows of so many trials that diverged, and how many were drawn for them."""
    data = prepare(load(config.data), config.data, runner.resolve_device("cpu"))
    whole = data.steps(config.train.batch_size) * config.train.epochs
    first = 1000 * list(SETUPS).index(config.data.name)  # other points for other data
    rows = []
    for seed in count(first):
        params, counter.steps = drawn(seed), 0
        *_, outcome = runner.run(config.at(params, seed))
        assert isinstance(outcome, Outcome)
        if outcome.state is State.DIVERGED:
            reported = int(outcome.facts["step"])
            rows.append([config.data.name, *params.values(), reported, counter.steps, whole])
        if len(rows) == wanted:
            return rows, seed + 1 - first
    raise AssertionError


def main(arguments: Sequence[str]) -> int:
    """Run the trials and hold their steps against what is allowed."""
    parser = argparse.ArgumentParser(
        "bench diverging",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, help="folder of MNIST")
    parser.add_argument("--data", nargs="+", choices=SETUPS, default=list(SETUPS))
    parser.add_argument("--each", type=int, default=EACH, help=f"trials of each ({EACH})")
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args(arguments)
    print(machine.describe())
    rows: list[list[Any]] = []
    with counted() as counter:
        for data in given.data:
            config = config_of(data, given.root or default_root(), given.epochs)
            found, tried = diverged(config, counter, given.each)
            rows += found
            print(f"{data}: {len(found)} of {tried} points diverged")
    print()
    print_table(Table(COLUMNS, rows))
    return told(rows, config.abort.check_every)


def told(rows: Sequence[Sequence[Any]], check_every: int) -> int:
    """Print what was wasted; 1 where a trial took more steps than it may."""
    reported, taken, whole = ([int(row[place]) for row in rows] for place in (-3, -2, -1))
    after = [took - said for said, took in zip(reported, taken, strict=True)]
    print(
        f"\n{len(rows)} diverging trials took {sum(taken)} of {sum(whole)} steps"
        f" ({sum(taken) / sum(whole):.1%} of their budget); after the step reported {max(after)} at"
        f" most, {sum(after) / len(after):.1f} on average, {check_every} allowed"
    )
    return 1 if max(after) > check_every or min(after) < 0 else 0

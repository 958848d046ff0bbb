"""The share of the machine's matrix product rate that a training step reaches, on one thread.

The rate is that of a 1024x1024 float32 product. The step is the real one: a batch is indexed from
uint8 images and preprocessed, then `cnnsearch.train` does the rest. Its work is counted from the
shapes of the convolutions and matrices alone: 2 FLOPs a multiply-add, the forward pass and twice
that for the backward pass, without the gradient of the images, which nobody needs. Activations,
batch norm, pools and the optimizer count as no work, though they take time. Both times are CPU
time, which on one thread is the wall time of a machine that does nothing else.

    scripts/bench step
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Generator, nn

from benchmarks import machine
from benchmarks.contenders import ACTIVATIONS, WORKLOADS
from cnnsearch import runner
from cnnsearch.config import Config, from_plain
from cnnsearch.config.sections import Train
from cnnsearch.data import Images, prepare
from cnnsearch.guard import DivergenceGuard
from cnnsearch.model.shapes import layer_table
from cnnsearch.process import settle
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.train import train

SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
CLASSES, BATCH, STEPS = 10, 128, 5
COLUMNS = (
    Column("network"),
    Column("activation"),
    Column("batchnorm"),
    Column("GFLOP", lambda n: f"{n:.2f}", right=True),
    Column("ms a step", lambda n: f"{n:.1f}", right=True),
    Column("share", lambda n: f"{n:.2f}", right=True),
)


def flops(config: Config, shape: tuple[int, int, int]) -> int:
    """Of one training step, counted from the layers' shapes [C, H, W]."""
    total, first = 0, True
    rows = layer_table(config.model, shape, CLASSES)
    inputs: tuple[int, ...] = shape
    for row in rows:
        if row.kind in ("Conv2d", "Linear"):
            each = inputs[0] * config.model.kernel**2 if row.kind == "Conv2d" else math.prod(inputs)
            forward = 2 * BATCH * math.prod(row.shape) * each
            total += forward * (2 if first else 3)
            first = False
        inputs = row.shape
    return total


def noise(shape: tuple[int, int, int]) -> Images:
    """Images of noise for a few steps."""
    draws, count = np.random.default_rng(0), BATCH * STEPS
    pixels = draws.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    return Images(pixels, labels, None, None, tuple(map(str, range(CLASSES))), f"noise {shape}")


def step_seconds(config: Config, images: Images) -> float:
    """CPU seconds of a step: the median over epochs of a few steps each, nothing validated."""
    data = prepare(images, config.data, runner.resolve_device("cpu"), whole=True)
    model: nn.Module = runner.make_network(config, data, data.device)
    guard = DivergenceGuard(CLASSES, None, config.abort.check_every)
    taken, started = [], time.process_time()
    for _ in train(model, data, config.train, guard, Generator().manual_seed(0)):
        taken.append(time.process_time() - started)
        started = time.process_time()
    return statistics.median(taken[1:]) / STEPS  # the first epoch warms up


def measured(name: str, epochs: int) -> list[list[Any]]:
    """The rows of one network."""
    workload, shape = WORKLOADS[name], SHAPES[name]
    images = noise(shape)
    rows: list[list[Any]] = []
    for activation in ACTIVATIONS:
        for batchnorm in (False, True):
            model = {"conv": [*workload.conv], "hidden": [*workload.hidden]}
            config = from_plain(
                {
                    "study": "step",
                    "data": {"name": "digits", "validation": CLASSES},
                    "model": {**model, "activation": activation, "batchnorm": batchnorm},
                    "train": {"lr": 1e-4, "batch_size": BATCH, "epochs": 1 + epochs},
                }
            )
            work, seconds = flops(config, shape), step_seconds(config, images)
            # The rate beside each row, as it changes with the machine's clock and its other work.
            share = work / seconds / machine.matrix_rate()
            network = f"conv {'-'.join(map(str, workload.conv))}, {shape[1]}x{shape[2]}x{shape[0]}"
            rows.append([network, activation, batchnorm, work / 1e9, 1000 * seconds, share])
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure all networks."""
    parser = argparse.ArgumentParser(
        "bench step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=7, help=f"measured, of {STEPS} steps each")
    given = parser.parse_args(arguments)
    settle(1, Train())
    print(machine.describe())
    print(f"work: batch {BATCH}, one thread, median of {given.epochs} times {STEPS} steps\n")
    for name in WORKLOADS:
        rows = measured(name, given.epochs)
        print_table(Table(COLUMNS, rows))
        shares = [row[-1] for row in rows]
        print(f"mean share {statistics.fmean(shares):.2f}, highest {max(shares):.2f}\n")
    return 0

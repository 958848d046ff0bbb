"""Many trials on one GPU: fused, against one by one and against processes that share it.

64 trials of the MNIST conv 16-32 network. Counted are model-epochs a second: epochs of training,
each with its validation, over all trials. Every way trains the same trials on the same images, and
their accuracies are held against each other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch

from cnnsearch import runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Train
from cnnsearch.data import TrialData, load, prepare
from cnnsearch.fused import train_fused
from cnnsearch.process import settle
from cnnsearch.records import EpochResult
from cnnsearch.train import train

EPOCHS = 3
"""The first one warms up and is not timed."""
GOAL_ALONE, GOAL_PROCESSES = 10.0, 5.0
# Of accuracies: trials are the same but for rounding, which training amplifies.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Way:
    """What one way of running trials did.

    Args:
        rate: model-epochs a second.
        epochs: that were timed.
        accuracies: of the trials, after their last epoch, by number.
    """

    rate: float
    epochs: int
    accuracies: dict[int, float]


def config(number: int, device: str, limit: int | None) -> Config:
    """One of the trials: they differ in learning rate, momentum, decay, init scheme and seed."""
    return Config(
        study="gpu",
        seed=number,
        device=device,
        threads=1,
        data=Data(name="mnist", limit=limit),
        model=Model(
            conv=[16, 32], hidden=[64], init=("he", "xavier", "glorot")[number % 3], batchnorm=True
        ),
        train=Train(
            lr=0.005 * (1 + number % 8),
            momentum=(0.9, 0.8)[number % 2],
            weight_decay=(0.0, 1e-4)[number % 2],
            epochs=EPOCHS,
            batch_size=128,
        ),
        abort=Abort(),
    )


def one_by_one(numbers: Sequence[int], device: str, limit: int | None) -> Way:
    """Each trial by the loop for one."""
    accuracies, seconds = {}, 0.0
    for number in numbers:
        given = config(number, device, limit)
        one = runner.make_member(given, images(given))
        epochs = list(
            train(one.model, images(given), one.section, one.guard, one.generator, one.prober)
        )
        accuracies[number] = epochs[-1].val_accuracy
        seconds += sum(epoch.seconds for epoch in epochs[1:])
    timed = len(numbers) * (EPOCHS - 1)
    return Way(timed / seconds, timed, accuracies)


def fused(count: int, device: str, limit: int | None, graph: bool) -> Way:
    """All trials as one batched network."""
    configs = [config(number, device, limit) for number in range(count)]
    data = images(configs[0])
    members = [runner.make_member(given, data) for given in configs]
    accuracies, seconds = {}, 0.0
    began = time.perf_counter()
    for epoch, results in enumerate(train_fused(members, data, graph)):
        torch.cuda.synchronize()
        now = time.perf_counter()
        seconds += (now - began) if epoch else 0.0
        began = now
        for number, result in results.items():
            assert isinstance(result, EpochResult), result
            accuracies[number] = result.val_accuracy
    timed = count * (EPOCHS - 1)
    return Way(timed / seconds, timed, accuracies)


def sharing(count: int, processes: int, device: str, limit: int | None) -> Way:
    """Processes with one trial each at a time, as `run -j N` has them; their start left out."""
    context = multiprocessing.get_context("spawn")
    parts = [list(range(count))[k::processes] for k in range(processes)]
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _wait_for, (barrier,)) as pool:
        ways = list(pool.map(partial(_part, device=device, limit=limit), parts))
    began, ended = min(way[0] for way in ways), max(way[1] for way in ways)
    accuracies = {number: value for way in ways for number, value in way[2].items()}
    return Way(count * EPOCHS / (ended - began), count * EPOCHS, accuracies)


_barrier: object = None


def _wait_for(barrier: object) -> None:
    global _barrier
    _barrier = barrier


def _part(
    numbers: Sequence[int], device: str, limit: int | None
) -> tuple[float, float, dict[int, float]]:
    """When the trials began and ended, after one epoch to warm up and a meeting of all."""
    settle(1, Train())
    given = config(numbers[0], device, limit)
    one = runner.make_member(given, images(given))
    next(iter(train(one.model, images(given), one.section, one.guard, one.generator)))
    _barrier.wait()  # type: ignore[attr-defined]
    began = time.time()
    accuracies = one_by_one(numbers, device, limit).accuracies
    return began, time.time(), accuracies


def images(given: Config) -> TrialData:
    """On the device, kept from trial to trial."""
    return prepare(load(given.data), given.data, runner.resolve_device(given.device))


def check(ways: dict[str, Way]) -> list[str]:
    """What differs in the work of the ways, or in what came of it."""
    wrong = []
    for name, way in ways.items():
        shared = sorted(ways["one by one"].accuracies.keys() & way.accuracies.keys())
        mine = statistics.fmean(way.accuracies[n] for n in shared)
        theirs = statistics.fmean(ways["one by one"].accuracies[n] for n in shared)
        if abs(mine - theirs) > _TOLERANCE:
            wrong.append(f"{name}: mean accuracy {mine:.4f}, one by one {theirs:.4f}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and fail where work differs or a goal is missed."""
    parser = argparse.ArgumentParser(prog="bench gpu")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--alone", type=int, default=6, help="trials timed one by one")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--limit", type=int, help="training images; default: all of MNIST")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return 0
    settle(1, Train())
    device, count = "cuda", given.trials
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {count} trials of MNIST")
    measures: dict[str, Callable[[], Way]] = {
        "one by one": lambda: one_by_one(range(given.alone), device, given.limit),
        f"{given.processes} processes": lambda: sharing(
            count, given.processes, device, given.limit
        ),
        "fused": lambda: fused(count, device, given.limit, graph=False),
        "fused, CUDA graph": lambda: fused(count, device, given.limit, graph=True),
    }
    ways: dict[str, Way] = {}
    for name, measure in measures.items():
        ways[name] = measure()
        ratio = ways[name].rate / ways["one by one"].rate
        accuracy = statistics.fmean(ways[name].accuracies.values())
        print(
            f"{name:18} {ways[name].rate:9.2f} model-epochs a second, {ratio:6.2f} x one by one;"
            f" {ways[name].epochs} epochs timed, mean accuracy {accuracy:.4f}",
            flush=True,
        )
    best = max(way.rate for name, way in ways.items() if name.startswith("fused"))
    alone, shared = (best / ways[n].rate for n in ("one by one", f"{given.processes} processes"))
    print(f"fused against one by one: {alone:.1f} (goal {GOAL_ALONE:g}),", end=" ")
    print(f"against {given.processes} processes: {shared:.1f} (goal {GOAL_PROCESSES:g})")
    wrong = check(ways)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(bool(wrong) or alone < GOAL_ALONE or shared < GOAL_PROCESSES)


if __name__ == "__main__":
    raise SystemExit(main())

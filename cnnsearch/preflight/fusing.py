"""How many trials of a search are trained together as one batched network."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cnnsearch import catalog, data, runner
from cnnsearch.config import Config
from cnnsearch.fused import train_fused
from cnnsearch.preflight.examine import Preflight
from cnnsearch.preflight.timing import FewSteps
from cnnsearch.process import settle
from cnnsearch.records import EpochResult, Params
from cnnsearch.train import train

_SIZES = (4, 16, 64, 256)
# A larger group has to be so many times as fast: it is held up by its last trials.
_PAYS = 1.15
# Of the device's memory, which several workers share; what is measured here is not all there is.
_FILLED = 0.8
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Timed:
    """What a group of trials costs.

    Args:
        seconds: of one step of all of them.
        memory: bytes on the device at the most.
    """

    seconds: float
    memory: int


def fused_size(
    runs: Callable[[], Sequence[Config]], search: Config, ready: Preflight, jobs: int
) -> int:
    """At most so many trials are to be trained together; 1 for each alone.

    As many as the config says; where it says `auto`, on CUDA, what a short timing of one of its
    trials shows to pay, and never more than there are. On a CPU it never pays. Folds, and trials
    that keep checkpoints or weights, are trained one by one, and points of tpe come one by one.

    Args:
        runs: gives single runs that stand for the search, drawn only where one is timed.
        search: its config.
        jobs: workers that share the device.
    """
    if not _can_fuse(search, ready.device) or search.checkpoint.keeps:
        return 1
    if search.fuse != "auto":
        return search.fuse
    configs = runs()
    config = configs[len(configs) // 2]
    memory, _ = torch.cuda.mem_get_info(ready.device)
    limit = int(_FILLED * memory / max(1, jobs))
    return best_size(lambda size: timed(config, ready, size), limit)


def _can_fuse(search: Config, device: torch.device) -> bool:
    """Whether trials may be trained together, checkpoints aside."""
    assert search.search is not None
    one_by_one = catalog.SAMPLERS[search.search.sampler].sequential or search.data.folds > 1
    one_by_one = one_by_one or any(name != search.data.name for name in search.own_names())
    if search.fuse is False or one_by_one:
        return False
    return search.fuse != "auto" or device.type == "cuda"


def unfused(search: Config, ready: Preflight) -> str | None:
    """One line where checkpoints, or weights that are kept, are why trials are not fused."""
    if search.search is None or not search.checkpoint.keeps:
        return None
    if not _can_fuse(search, ready.device):
        return None
    what = "checkpoints" if search.checkpoint.every is not None else "weights"
    return f"{search.study}: trials are not fused, as they keep {what}"


def best_size(measure: Callable[[int], Timed | None], limit: int) -> int:
    """The number of trials together at which each costs the least.

    Args:
        measure: what so many cost, or None where the memory was too small.
        limit: bytes that a group may take.
    """
    best, alone = 1, measure(1)
    if alone is None:
        return 1
    fastest = alone.seconds
    for size in _SIZES:
        found = measure(size)
        if found is None or found.memory > limit or found.seconds / size * _PAYS > fastest:
            break
        best, fastest = size, found.seconds / size
    return best


def timed(config: Config, ready: Preflight, size: int) -> Timed | None:
    """Time an epoch of a few steps of so many trials, after one to warm up.

    None where the device has too little memory.
    """
    settle(config.threads, config.train)
    harmless: Params = {"lr": 1e-6, "epochs": 2, "warmup_epochs": 0.0, "init": "he"}
    on_gpu = ready.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(ready.device)
    try:
        seconds = _epoch_seconds([config.at(harmless, seed) for seed in range(size)], ready)
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
    memory = torch.cuda.max_memory_allocated(ready.device) if on_gpu else 0
    return Timed(seconds, memory)


def _epoch_seconds(configs: Sequence[Config], ready: Preflight) -> float:
    """Of a step, with one batch of the validation split."""
    whole = data.prepare(ready.images, configs[0].data, ready.device)
    steps = min(_STEPS, whole.steps(configs[0].train.batch_size))
    few = FewSteps(whole, steps)
    members = [runner.make_member(config, whole) for config in configs]
    if len(members) > 1:
        epochs = [result for results in train_fused(members, few) for result in results.values()]
    else:
        one = members[0]
        epochs = list(train(one.model, few, one.section, one.guard, one.generator))
    last = [e.seconds for e in epochs if isinstance(e, EpochResult) and e.epoch > 1]
    return max(last, default=math.inf) / steps

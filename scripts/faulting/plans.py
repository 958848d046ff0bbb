"""The searches that are disturbed: networks so small that a trial takes less than a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cnnsearch.space import point_key

# Wide enough that some trials diverge: their state must stay what it is, too.
_SPACE = """\
  lr: {low: 1e-3, high: 100.0, log: true}
  init: [he, xavier]
  batchnorm: [true, false]
"""
_REST = """\
device: cpu
data: {name: digits, limit: 400}
model: {conv: [8], hidden: [16]}
train: {epochs: 8, batch_size: 32}
abort: {check_every: 5}
"""


class Like(StrEnum):
    """What an undisturbed run has to say about a disturbed one."""

    EQUAL = "equal"
    """Points, states, values and curves are the same."""
    PREFIX = "prefix"
    """A pruner depends on the order of trials: curves are the same as far as they go."""
    OWN = "own"
    """A sampler depends on it: each trial gives the numbers of its own parameters."""


@dataclass(frozen=True)
class Plan:
    """A search, and what it is to be compared with.

    Args:
        text: of its config file.
        trials: so many points.
        like: see `Like`; the undisturbed run is that of `whole`, where there is one.
        losing: keys of points that must fail, and are not in the undisturbed run of `whole`.
        sample: of each trial's own numbers so many are looked at; None for all.
    """

    name: str
    text: str
    trials: int
    like: Like = Like.EQUAL
    whole: Plan | None = None
    losing: frozenset[str] = frozenset()
    sample: int | None = None


def _plan(name: str, trials: int, search: str, like: Like, whole: Plan | None = None) -> Plan:
    section = f"search: {{{search}, trials: {trials}, retries: 100}}\n"
    text = f"study: {name}\n{_REST}{section}space:\n{_SPACE}"
    return Plan(name, text, trials, like, whole)


def _slow(plan: Plan) -> Plan:
    text = plan.text.replace("epochs: 8", "epochs: 300").replace("high: 100.0", "high: 1.0")
    return replace(plan, text=text)


PLAN = _plan("plan", 20, "sampler: random", Like.EQUAL)
"""The plan of most faults."""
LONG = _plan("long", 120, "sampler: random", Like.EQUAL)
"""Runs still when another command has started meanwhile."""
SLOW = _slow(_plan("slow", 8, "sampler: random", Like.EQUAL))
"""Trials of some seconds: for workers that take some to be replaced."""
ASHA = _plan("asha", PLAN.trials, "sampler: random, pruner: asha", Like.PREFIX, PLAN)
TPE = _plan("tpe", 16, "sampler: tpe", Like.OWN)
TINY = """\
study: many
device: cpu
data: {name: digits, limit: 100}
model: {conv: [], hidden: []}
train: {epochs: 1, batch_size: 64}
diagnose: false
search: {sampler: random, trials: 10, retries: 100}
space:
  lr: {low: 1e-3, high: 1.0, log: true}
  init: [he, xavier]
"""


def tiny_search(trials: int) -> Plan:
    """As many trials as possible in little time; some of them are looked at."""
    text = TINY.replace("trials: 10", f"trials: {trials}")
    return Plan("many", text, trials, Like.OWN, sample=20)


def grid_search() -> Plan:
    """A grid of sizes of the hidden layers; in the middle one that no machine has room for."""
    small = [[8 + size] for size in range(6)]
    huge = [100_000, 100_000]
    whole = Plan("grid", _grid(small), len(small))
    text = _grid([*small[:3], huge, *small[3:]])
    losing = frozenset({point_key({"hidden": huge})})
    return Plan("grid", text, len(small) + 1, whole=whole, losing=losing)


def _grid(hidden: Sequence[Sequence[int]]) -> str:
    choices = ", ".join(map(str, hidden))
    search = "search: {sampler: grid, retries: 100}\n"
    return f"study: grid\n{_REST}{search}space: {{hidden: [{choices}]}}\n"

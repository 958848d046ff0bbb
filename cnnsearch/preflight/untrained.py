"""What networks show before their first step, and words on what will go wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from cnnsearch import data, diagnose, runner
from cnnsearch.config import Config
from cnnsearch.data import TrialData
from cnnsearch.model import expected_squares
from cnnsearch.preflight.combinations import (
    Combination,
    among,
    combinations,
    count,
    described,
    spread,
    words,
)
from cnnsearch.preflight.examine import Preflight
from cnnsearch.process import settle
from cnnsearch.records import Finding, Params, Probe
from cnnsearch.render.text import counted
from cnnsearch.train import l2_penalty

_MOST_WARNINGS = 3
# Without training it is cheap: 24 networks of configs/cifar10.yaml take 1.3 s.
_MOST_LOOKED_AT = 24
# Of the sum of squared weights, in its standard deviations: one in 16,000 healthy draws is further.
_DEVIATIONS = 4.0
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Penalty:
    """How much weight decay adds to the first loss.

    Args:
        weight_decay: the lambda of 0.5 * lambda * sum of the squared weights.
        added: by the weights as they were drawn.
        expected: by the init scheme's formula; None where it has none.
        tolerance: how far chance may take the two apart.
    """

    weight_decay: float
    added: float
    expected: float | None
    tolerance: float | None

    @property
    def right(self) -> bool:
        """Whether the loss rises as the formula says, or there is none."""
        if self.expected is None or self.tolerance is None:
            return True
        return abs(self.added - self.expected) <= self.tolerance


def penalty(network: nn.Module, init: str, weight_decay: float) -> Penalty:
    """Measure what weight decay adds to the loss, and hold it against the init scheme."""
    added = l2_penalty(network, weight_decay)
    squares = expected_squares(network, init)
    if squares is None:
        return Penalty(weight_decay, added, None, None)
    expected, deviation = (0.5 * weight_decay * value for value in squares)
    tolerance = _DEVIATIONS * deviation + _ROUNDING * expected
    return Penalty(weight_decay, added, expected, tolerance)


def look(config: Config, images: TrialData) -> tuple[nn.Module, Probe]:
    """A run's network as it begins, and what a few images show of it."""
    network = runner.make_network(config, images, images.device)
    return network, runner.make_prober(config, images, network).look()


def warnings(config: Config, ready: Preflight, waiting: Sequence[Params]) -> list[str]:
    """At most three lines on what will go wrong, from a few untrained networks of the space.

    Args:
        waiting: the points to be run, to count them; empty ones where they are not known yet.
    """
    settle(config.threads, config.train)
    every, known = combinations(config), all(waiting)
    points = [among(config, params) for params in waiting] if known else []
    running = [c for c in every if not known or c.params in points]
    looked_at, found = list[Combination](), list[Sequence[Finding]]()
    for combination in spread(running, _MOST_LOOKED_AT):
        runs = (combination.config, *combination.ends)
        try:
            found.append(lasting(_at_start(run, ready) for run in runs))
        except RuntimeError:  # out of memory among them: the trials themselves will say so
            continue
        looked_at.append(combination)
    lines = []
    for rule, choices in problems(every, looked_at, found):
        share = f" ({count(points, choices)} of {counted(len(points), 'trial')})" if known else ""
        lines.append(f"{words(choices)}{share}: {rule}. {diagnose.RULES[rule].meaning}")
    return lines[:_MOST_WARNINGS]


def _at_start(run: Config, ready: Preflight) -> Sequence[Finding]:
    _, probe = look(run, data.prepare(ready.images, run.data, ready.device))
    return diagnose.at_start(probe)


def lasting(found: Iterable[Sequence[Finding]]) -> Sequence[Finding]:
    """The findings of the first network that all others have too; where it has none, the others
    are not looked at.
    """
    left: Sequence[Finding] | None = None
    for findings in found:
        rules = {finding.rule for finding in findings}
        left = [one for one in (findings if left is None else left) if one.rule in rules]
        if not left:
            break
    return left or ()


def problems(
    every: Sequence[Combination],
    looked_at: Sequence[Combination],
    findings: Sequence[Sequence[Finding]],
) -> list[tuple[str, list[Params]]]:
    """Rules with the choices that they apply to, most severe first.

    A combination counts under the most severe of its findings only.

    Args:
        findings: of each of those looked at.
    """
    found: dict[str, list[Params]] = {}
    for combination, theirs in zip(looked_at, findings, strict=True):
        if theirs:
            found.setdefault(theirs[0].rule, []).append(combination.params)
    params, seen = ([c.params for c in some] for some in (every, looked_at))
    rules = [rule for rule in diagnose.RULES if rule in found]
    return [(rule, described(found[rule], seen, params)) for rule in rules]

"""The failure map: for each hyperparameter, where trials diverge and where which verdict falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cnnsearch.diagnose import OK
from cnnsearch.grouping import Group, groups
from cnnsearch.records import State, Trial
from cnnsearch.review.chance import ALPHA
from cnnsearch.review.parts import Split, splits
from cnnsearch.review.verdicts import NO_VERDICT, verdict, verdicts
from cnnsearch.space import Parameter, Range, Space

_MOST_TELLING = 2
# Verdicts that are no fault of the place where they fall.
_HARMLESS = frozenset({OK, NO_VERDICT, "undertrained"})


@dataclass(frozen=True, slots=True)
class Telling:
    """A part of the study in which something happens far more often than elsewhere.

    Args:
        outcome: "diverged", or a verdict.
        within: the part of it in which it happens more often still; None where chance could
            make it.
    """

    outcome: str
    split: Split
    within: Split | None

    @property
    def text(self) -> str:
        """`lr > 0.5: 7 of 10 diverged, 0 of 30 elsewhere; there, with batchnorm false 6 of 6`."""
        inside, outside = self.split.inside, self.split.outside
        text = f"{self.split.part.text}: {inside.text} {self.outcome}, {outside.text} elsewhere"
        return text + within_text(self.within)


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One hyperparameter.

    Args:
        groups: trials by its values or intervals; those in which it is inactive last.
        telling: the most telling first, at most two.
    """

    name: str
    groups: Sequence[Group]
    telling: Sequence[Telling]


def failure_map(trials: Sequence[Trial], space: Space) -> list[MapEntry]:
    """All hyperparameters in the order of the space.

    Args:
        trials: those that ended, see `cnnsearch.review.verdicts.ended`.
    """
    found = _telling(trials, space)
    return [
        MapEntry(name, groups(trials, name, _even(parameter)), _strongest(found, name))
        for name, parameter in space.items()
        if any(name in trial.params for trial in trials)
    ]


def narrower(
    trials: Sequence[Trial], hit: Callable[[Trial], bool], split: Split, space: Space
) -> Split | None:
    """Inside a part: the part by another hyperparameter that explains it, if there is one."""
    inside = [trial for trial in trials if split.part.holds(trial.params)]
    others = {name: parameter for name, parameter in space.items() if name != split.part.name}
    found = splits(inside, [hit(trial) for trial in inside], others)
    best = min(found, key=lambda one: one.p, default=None)
    return best if best is not None and best.p < ALPHA else None


def within_text(within: Split | None) -> str:
    """What a `Telling.within` adds to a sentence."""
    if within is None:
        return ""
    return f"; of these, {within.part.text} {within.inside.text}, the others {within.outside.text}"


def _outcomes(trials: Sequence[Trial]) -> Mapping[str, Callable[[Trial], bool]]:
    found: dict[str, Callable[[Trial], bool]] = {
        str(State.DIVERGED): lambda trial: trial.state is State.DIVERGED
    }
    for name in verdicts(trials):
        if name not in _HARMLESS:
            found[name] = lambda trial, name=name: verdict(trial) == name  # type: ignore[misc]
    return found


def _telling(trials: Sequence[Trial], space: Space) -> list[Telling]:
    """The best part by each hyperparameter and outcome, if chance cannot make it."""
    found = []
    for outcome, hit in _outcomes(trials).items():
        judged = [t for t in trials if outcome == State.DIVERGED or t.diagnosis is not None]
        best: dict[str, Split] = {}
        for split in splits(judged, [hit(trial) for trial in judged], space):
            name = split.part.name
            if split.p < ALPHA and (name not in best or split.p < best[name].p):
                best[name] = split
        found += [
            Telling(outcome, split, narrower(judged, hit, split, space)) for split in best.values()
        ]
    return found


def _even(parameter: Parameter) -> tuple[float, float] | None:
    if isinstance(parameter, Range) and not parameter.log:
        return parameter.low, parameter.high
    return None


def _strongest(found: Sequence[Telling], name: str) -> list[Telling]:
    """Those by one hyperparameter, each part once: what diverged may be the same as a verdict."""
    of_name = [telling for telling in found if telling.split.part.name == name]
    parts: dict[tuple[str, str], Telling] = {}
    for telling in sorted(of_name, key=lambda telling: telling.split.p):
        parts.setdefault((telling.split.part.text, telling.split.inside.text), telling)
    return list(parts.values())[:_MOST_TELLING]

"""Importance of hyperparameters and of their pairs by functional ANOVA, with how sure it is.

Needs scikit-learn, see `cnnsearch.study.forest`. A conditional hyperparameter, and its pairs, are
judged on the trials in which it is active, with a forest of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cnnsearch.errors import MissingExtraError
from cnnsearch.review import association
from cnnsearch.review.chance import ALPHA
from cnnsearch.review.importance import (
    HALVES,
    Cases,
    Effect,
    Importances,
    interval,
    p_values,
)
from cnnsearch.review.tried import axes, tried
from cnnsearch.space import Space

if TYPE_CHECKING:
    from cnnsearch.study.forest import Decomposition, Forest, Numbers

# Worlds without interactions: one that none of 39 reaches has p 0.025. A world is a forest: 20 ms
# of 40 trials, 50 ms of 1,000.
_PERMUTED = 39
Pair = tuple[str, str]


def installed() -> bool:
    """Whether scikit-learn is."""
    return importlib.util.find_spec("sklearn") is not None


def check_installed() -> None:
    """Refuse without scikit-learn.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    if not installed():
        raise MissingExtraError(
            "--evaluator fanova needs scikit-learn. Run: pip install 'cnnsearch[fanova]'"
        )


def fanova(cases: Cases, space: Space, names: Sequence[str], alone: bool = True) -> Importances:
    """How much of the variance over the whole space each hyperparameter and each pair explains.

    Args:
        names: hyperparameters to judge, see `cnnsearch.review.tried.axes`.
        alone: judge single hyperparameters too, not pairs only.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    check_installed()
    parts = _parts(cases, space, names)
    return Importances(
        "fanova",
        cases,
        tuple(_singles(parts, cases)) if alone else (),
        tuple(_pairs(parts)),
        pairs_judged=sum(len(part.pairs) for part in parts),
        explained=parts[0].whole.explained if parts else None,
    )


@dataclass(frozen=True)
class _Part:
    """Hyperparameters that are active in the same trials.

    Args:
        forest: of those trials and of all hyperparameters active in every one of them.
        scores: of those trials.
        members: the hyperparameters it is here for.
        whole: from all those trials.
    """

    forest: Forest
    scores: Numbers
    members: tuple[str, ...]
    whole: Decomposition

    @cached_property
    def halves(self) -> list[Decomposition]:
        """From draws of half of the trials; not made where nothing is told from chance."""
        import numpy as np

        draws, count = np.random.default_rng(0), len(self.scores)
        return [
            self.forest.decompose(self.scores, seed, draws.permutation(count)[: count // 2])
            for seed in range(1, HALVES + 1)
        ]

    @property
    def pairs(self) -> list[Pair]:
        """Those with one of its own members."""
        return [pair for pair in self.whole.pairs if set(pair) & set(self.members)]


def _parts(cases: Cases, space: Space, names: Sequence[str]) -> list[_Part]:
    """The part of what is active in all trials first."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        active = tuple(i for i, trial in enumerate(cases.trials) if name in trial.params)
        groups.setdefault(active, []).append(name)
    return [_part(cases, space, active, groups[active]) for active in sorted(groups, key=_size)]


def _size(active: Sequence[int]) -> int:
    return -len(active)


def _part(cases: Cases, space: Space, active: Sequence[int], members: Sequence[str]) -> _Part:
    import numpy as np

    from cnnsearch.study.forest import Forest

    trials = [cases.trials[i] for i in active]
    beside = axes(trials, space, needed=len(trials)).judged
    scores = np.array([cases.scores[i] for i in active])
    forest = Forest(trials, tried(trials, space, beside))
    return _Part(forest, scores, tuple(members), forest.decompose(scores, 0))


def _singles(parts: Sequence[_Part], cases: Cases) -> list[Effect]:
    """The effects of hyperparameters, the largest first."""
    owners = {name: part for part in parts for name in part.members}
    params = [trial.params for trial in cases.trials]
    effects = []
    chance = association.p_values(params, cases.scores, list(owners))
    for (name, part), p in zip(owners.items(), chance, strict=True):
        effects.append(_effect(part, (name,), p))
    return sorted(effects, key=_falling)


def _pairs(parts: Sequence[_Part]) -> list[Effect]:
    """The interactions that are told from chance, the largest first.

    A forest finds some in anything, so each is held against those in worlds without any.
    """
    names = [(part, pair) for part in parts for pair in part.pairs]
    if not names:
        return []
    # Variances, not shares: of noise alone one pair may have a large share of little.
    found = [part.whole.pairs[pair] for part, pair in names]
    null = [
        [world.pairs[pair] for part, world in zip(parts, draw, strict=True) for pair in part.pairs]
        for draw in zip(*map(_without_pairs, parts), strict=True)
    ]
    effects = [
        _effect(part, pair, p)
        for (part, pair), p in zip(names, p_values(found, null), strict=True)
        if p < ALPHA
    ]
    return sorted(effects, key=_falling)


def _effect(part: _Part, names: tuple[str, ...], p: float) -> Effect:
    share = _share(part.whole, names)
    low, high = interval(share, [_share(half, names) for half in part.halves])
    return Effect(names, share, low, high, p, len(part.scores))


def _falling(effect: Effect) -> float:
    return -effect.share


def _share(found: Decomposition, names: tuple[str, ...]) -> float:
    if found.total == 0:
        return 0.0
    made = found.singles[names[0]] if len(names) == 1 else found.pairs[names[0], names[1]]
    return min(1.0, made / found.total)


def _without_pairs(part: _Part) -> list[Decomposition]:
    """Forests of worlds without interactions: what single hyperparameters do not explain changes
    places among the trials (D. Freedman and D. Lane 1983)."""
    import numpy as np

    draws, kept = np.random.default_rng(1), part.whole.additive
    return [
        part.forest.decompose(kept + draws.permutation(part.scores - kept), seed)
        for seed in range(1, _PERMUTED + 1)
    ]

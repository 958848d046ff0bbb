"""What a page is made of: studies as they were read, and what was found out about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnsearch import ranking, review
from cnnsearch.config import Config
from cnnsearch.records import EpochResult, StudySummary, Trial
from cnnsearch.render.trials import objective
from cnnsearch.review import Advice, Edge, MapEntry
from cnnsearch.review.importance import Importances
from cnnsearch.review.progress import Comparison
from cnnsearch.review.sureness import Sureness, sureness
from cnnsearch.review.tried import Axes
from cnnsearch.review.verdicts import verdict

MOST_LAYERED = 200
"""Of so many trials the layers are in the page: each costs some kilobytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """A study as it was read.

    Args:
        attempts: all of it, without curves.
        config: the study's.
        curves: by trial number.
        probed: some trials with their probes, by number, see `to_probe`.
        importance: what was found and what was judged; or why nothing was.
        best_config: YAML of the best trial's single run; None without one.
        stage: `2 of 3` of a stage of a chain.
    """

    summary: StudySummary
    attempts: Sequence[Trial]
    config: Config
    curves: Mapping[int, Sequence[EpochResult]]
    probed: Mapping[int, Trial]
    importance: tuple[Importances, Axes] | str
    best_config: str | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """A study and what its trials teach.

    Args:
        trials: the points' results that are not hidden, best first.
        ended: those of them that count: complete, pruned and diverged.
    """

    source: Source
    trials: Sequence[Trial]
    best: Trial | None
    sure: Sureness | None
    ended: Sequence[Trial]
    failure_map: Sequence[MapEntry]
    edges: Sequence[Edge]
    advice: Sequence[Advice]

    @property
    def summary(self) -> StudySummary:
        """The study's."""
        return self.source.summary


@dataclass(frozen=True, slots=True)
class Overview:
    """What is told of several studies together.

    Args:
        compared: those of them whose values measure the same; None where fewer than two do.
        objective: theirs; likewise `direction`.
        mismatch: why others are not compared.
    """

    compared: Comparison | None = None
    objective: str = ""
    direction: str = ""
    mismatch: str | None = None


def material(source: Source) -> Material:
    """What the trials of a study teach."""
    summary, config = source.summary, source.config
    space, direction = config.space or {}, summary.direction
    shown = ranking.shown(source.attempts)
    ended = review.ended(source.attempts)
    edges = review.edges(ended, space, direction, config.search.sampler if config.search else "")
    coverage = review.coverage(ended, space)
    return Material(
        source,
        ranking.ranked(shown, direction),
        ranking.best(shown, direction),
        sureness(shown, objective(summary), direction),
        ended,
        review.failure_map(ended, space),
        edges,
        review.advise(ended, config, direction, edges, coverage),
    )


def to_probe(attempts: Sequence[Trial], direction: str) -> list[int]:
    """Numbers of the trials whose layers are shown: of each verdict in turn the next best."""
    by_verdict: dict[str, list[int]] = {}
    for trial in ranking.ranked(ranking.shown(attempts), direction):
        if trial.diagnosis is not None:
            by_verdict.setdefault(verdict(trial), []).append(trial.number)
    turns = max(map(len, by_verdict.values()), default=0)
    order = [
        numbers[i] for i in range(turns) for numbers in by_verdict.values() if i < len(numbers)
    ]
    return sorted(order[:MOST_LAYERED])

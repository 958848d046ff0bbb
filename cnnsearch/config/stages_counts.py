"""Whether a stage has as many trials as the next one needs to be narrowed to the best of them."""

from __future__ import annotations

from collections.abc import Sequence

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.document import Item
from cnnsearch.config.mistakes import Mistakes
from cnnsearch.config.stages_section import FEWEST, Stage
from cnnsearch.space import Grid


def number_of_points(config: Config, stages: Sequence[Stage]) -> int | None:
    """How many points a stage has; None of a grid that is known only when it is narrowed.

    Args:
        config: of the stage, over the whole space; `stages`: those up to it.
    """
    assert config.search is not None
    assert config.space is not None
    if not catalog.SAMPLERS[config.search.sampler].finite:
        return config.search.trials
    told = [stage.trials for stage in stages if stage.trials is not None][-1:]
    size = [Grid(config.space).size] if len(stages) == 1 else []
    return min([*told, *size], default=None)


def check_counts(entries: Sequence[Item], number: int, before: int, mistakes: Mistakes) -> None:
    """Tell of too few trials before a stage, at the line where their number stands.

    Args:
        entries: the stages as written.
        before: number of points of the stage before the one of this number.
    """
    entry, last = entries[number - 1].value, entries[number - 2]
    if before < FEWEST:
        place = last.value.get("trials", last).place
        text = (
            f"{before} before another stage, and narrowing takes {FEWEST} complete ones. "
            "Write more of them."
        )
        mistakes.add(place, f"stages.{number - 1}.trials", text)
        return
    top = entry["top"].plain() if "top" in entry else None
    if isinstance(top, int) and top > before:
        text = (
            f"{top} does not fit: the stage before has {before} trials. Write at most "
            f"{before}, or a share such as 20%."
        )
        mistakes.add(entry["top"].place, f"stages.{number}.top", text)

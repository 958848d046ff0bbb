"""How sure the best trial of a study is, in a sentence."""

from __future__ import annotations

from cnnsearch.render.text import counted, measure
from cnnsearch.review.sureness import Source, Sureness

_SOURCES = {
    Source.REPEATS: "seen among trials of equal hyperparameters",
    Source.FOLDS: "seen among the folds of each trial",
    Source.IMAGES: "from the number of validation images, without that of seeds",
}


def sure_text(found: Sureness) -> str:
    """Whether the best is better than the rest, and how large the noise of a value is."""
    noise = f"{measure(found.deviation)} is the noise of one value, {_SOURCES[found.source]}"
    if found.complete < 2:
        return f"no other trial is complete; {noise}"
    if found.distinct and found.source is Source.IMAGES:
        return (
            "the best is better than the rest by more than the error of the validation images "
            f"({measure(found.deviation)}); how much seeds matter is not known: cnnsearch rerun "
            "tells"
        )
    if found.distinct:
        return f"the best is better than the rest, beyond the noise; {noise}"
    if found.lucky:
        return (
            f"the best is not better than the rest: of {found.complete} equal trials the luckiest "
            f"would have about {measure(found.expected)}; {noise}"
        )
    others = f"{counted(found.within, 'other')} of {found.complete - 1}"
    return f"the best cannot be told from {others}; {noise}"

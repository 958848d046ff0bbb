"""What a request to stop does, in words."""

from __future__ import annotations

from collections.abc import Sequence

from cnnsearch.render.text import counted


def stop_text(trials: Sequence[int], now: bool) -> str:
    """What becomes of a search, or of some of its trials, once it is asked to stop.

    Args:
        trials: that were asked for; none: the search.
        now: without waiting for an epoch, or for a trial, to end.
    """
    if not trials:
        return "the search ends" + ("" if now else " when its running trials have ended")
    if len(trials) > 1:
        return f"{counted(len(trials), 'trial')} end" + (
            "" if now else " after their current epochs"
        )
    return f"trial {trials[0]} ends" + ("" if now else " after its current epoch")

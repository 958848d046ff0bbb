"""A file with a section `stages` added, for the one who has a coarse search."""

from __future__ import annotations

from pathlib import Path

from cnnsearch.config.config import Config
from cnnsearch.config.document import parse
from cnnsearch.config.mistakes import Mistake
from cnnsearch.errors import InputError

_TEXT = """\

# From coarse to fine: `cnnsearch run FILE` runs each stage as a study of its own,
# NAME.1, NAME.2, ..., over what was best in the one before, and writes the best
# of the last to runs/NAME/best.yaml. What a stage does not say stays as it was.
#   top: which trials of the stage before it is narrowed to
#   pad: margin at each end of a range, of what they span; default 0.25
#   set: any other field
# The training takes about {times:.0f} times that of the first stage alone.
stages:
  - {coarse:<{width}}  # what works at all
  - {fine:<{width}}  # longer
  - {final:<{width}}  # how sure is it
"""
# Of the file's: epochs and trials of the stages after the first.
_LONGER = (3, 5)
_FEWER = (2, 5)
_FEWEST = (10, 5)
_FOLDS = 3


def with_stages(file: str, config: Config, trials: int) -> str:
    """The text of a file with a section `stages` behind it.

    Args:
        config: what the file says.
        trials: how many it runs.

    Raises:
        InputError: nothing can be added to the file as text.
    """
    text = Path(file).read_text(encoding="utf-8-sig")
    counts = [trials]
    for fewer, fewest in zip(_FEWER, _FEWEST, strict=True):
        counts.append(min(trials, max(fewest, trials // fewer)))
    searched = "epochs" in (config.space or {})
    epochs = [config.train.epochs * times for times in (1, *_LONGER)]
    entries = [[] if searched else [f"epochs: {one}"] for one in epochs]
    for entry, count in zip(entries, counts, strict=True):
        entry.append(f"trials: {count}")
    for entry in entries[1:]:
        entry.append("top: 20%")
    if "schedule" not in (config.space or {}) and config.train.schedule == "constant":
        entries[1].append("set: {schedule: cosine}")
    folds = _FOLDS if config.data.folds == 1 else 1
    if folds > 1:
        entries[2].append(f"folds: {folds}")
    cost = [count * (1 if searched else e) for count, e in zip(counts, epochs, strict=True)]
    coarse, fine, final = ("{" + ", ".join(entry) + "}" for entry in entries)
    added = _TEXT.format(
        times=(cost[0] + cost[1] + cost[2] * folds) / cost[0],
        coarse=coarse,
        fine=fine,
        final=final,
        width=max(map(len, (coarse, fine, final))),
    )
    return _checked(text.rstrip() + "\n" + added, file)


def _checked(text: str, file: str) -> str:
    try:
        root = parse(text)
    except Mistake:
        root = None
    if root is None or not isinstance(root.value, dict) or "stages" not in root.value:
        raise InputError(
            f"{file}: stages cannot be added to a file in braces. Write data:, space: and the "
            "other sections each on a line of its own."
        )
    return text

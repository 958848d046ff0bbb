"""The layers of a trial for `cnnsearch plot`: what was measured of them, and their activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnsearch import ranking
from cnnsearch.commands.kept import kept_weights
from cnnsearch.commands.references import Picked, config_of, with_curve
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.config import Config
    from cnnsearch.data.trial import TrialData
    from cnnsearch.plot.pictured import Histograms, Pictured
    from cnnsearch.preflight import Preflight


def with_layers(
    storage: str, pictured: Pictured, summary: StudySummary, attempts: Sequence[Trial]
) -> Pictured:
    """The probes of the one trial whose layers are drawn, and histograms of its network."""
    chosen = list(pictured.trials)
    if len(chosen) > 1:
        best = ranking.best(chosen, summary.direction)
        if best is None:
            raise InputError(
                f"{summary.name}: which trial? None is complete. "
                f"Write for example: cnnsearch plot {summary.name} {chosen[0].number} -k layers."
            )
        chosen = [best]
        say(f"layers: of trial {best.number}, the best")
    picked = with_curve(storage, Picked(summary, chosen[0], attempts))
    return replace(pictured, layers=picked.trial, histograms=_histograms(picked))


def _histograms(picked: Picked) -> tuple[Histograms, ...]:
    """Of the trial's network as it was initialised, and with the weights that were kept; fewer,
    and why, where it cannot be made.
    """
    from cnnsearch import data
    from cnnsearch.preflight import examine

    config = config_of(picked)
    if config.own_names():  # a picture executes no files
        say("layers: without histograms, as the network or the images are of your own files.")
        return ()
    try:
        ready = examine(config, say, picked.label)
    except InputError as error:
        say(f"layers: without histograms. {error}")
        return ()
    images = data.prepare(ready.images, config.data, ready.device)
    seen = partial(_seen, config, ready, images)
    epoch = picked.trial.facts.get("weights_epoch")
    found = [seen(0)]
    if epoch is not None:
        try:
            found.append(seen(epoch, kept_weights(picked)))
        except InputError as error:
            say(f"layers: without histograms after training. {error}")
    return tuple(one for one in found if one is not None)


def _seen(
    config: Config, ready: Preflight, images: TrialData, epoch: int, file: Path | None = None
) -> Histograms | None:
    """The activations after an epoch; None, and why, where they are not finite.

    Args:
        file: of the weights; None: as they are initialised.

    Raises:
        InputError: it is damaged, or of another network.
    """
    from cnnsearch.plot.pictured import Histograms, when
    from cnnsearch.preflight.layers import look
    from cnnsearch.weights import read

    weights = None if file is None else (read(file), file)
    found = look(config, images, ready.device, weights=weights)
    if not found.histograms:
        say(f"layers: without histograms {when(epoch)}: not all activations are finite.")
        return None
    names = tuple(row.name for row in found.rows)
    return Histograms(epoch, names, found.histograms, found.low, found.high, found.inputs)

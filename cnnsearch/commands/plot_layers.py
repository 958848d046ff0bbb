"""The layers of a trial for `cnnsearch plot`: what was measured of them, and their activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnsearch import ranking
from cnnsearch.commands.kept import kept_weights
from cnnsearch.commands.references import Picked, config_of, with_curve
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.plot.pictured import Histograms, Pictured


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
    from cnnsearch.plot.pictured import Histograms
    from cnnsearch.preflight import examine
    from cnnsearch.preflight.layers import look
    from cnnsearch.weights import read

    config = config_of(picked)
    if config.own_names():  # a picture executes no files
        say("layers: without histograms, as the network or the images are of your own files.")
        return ()
    told, kept = [], _kept(picked)
    try:
        ready = examine(config, say, picked.label)
        images = data.prepare(ready.images, config.data, ready.device)
        for epoch, file in ((0, None), *kept.items()):
            weights = None if file is None else (read(file), file)
            found = look(config, images, ready.device, weights=weights)
            if found.histograms:
                names = tuple(row.name for row in found.rows)
                told.append(
                    Histograms(epoch, names, found.histograms, found.low, found.high, found.inputs)
                )
            else:
                when = f"after epoch {epoch}" if epoch else "before training"
                say(f"layers: without histograms {when}: not all activations are finite.")
    except InputError as error:
        say(f"layers: without histograms. {error}")
    return tuple(told)


def _kept(picked: Picked) -> Mapping[int, Path]:
    """The file of the trial's weights, by the epoch after which they were kept; none, and why,
    where it is gone.
    """
    epoch = picked.trial.facts.get("weights_epoch")
    if epoch is None:
        return {}
    try:
        return {epoch: kept_weights(picked)}
    except InputError as error:
        say(f"layers: without histograms after training. {error}")
        return {}

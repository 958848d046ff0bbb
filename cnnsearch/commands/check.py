"""`cnnsearch check`: what a file would run, before it runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.options import json_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.preflight import Network, Preflight


@click.command("check")
@click.argument("file")
@click.option("-n", "--trials", type=int, metavar="TOTAL",
              help="As of run: number of trials in all.")  # fmt: skip
@set_option
@json_option
def command(file: str, trials: int | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Check FILE and tell its trials, networks, memory and time.

    Every network that the space can produce is built without computing it, so
    that a shape that cannot work is found before the first trial.

    \b
    Example:
      cnnsearch check configs/cifar10.yaml
    """
    from cnnsearch.config import load_with_notes
    from cnnsearch.preflight import estimate_seconds, examine, networks
    from cnnsearch.render import output
    from cnnsearch.render.talk import say

    config, notes = load_with_notes(file, sets, trials)
    for note in notes:
        say(note)
    ready = examine(config, say, file, sets)
    found = networks(config, ready)
    seconds = estimate_seconds(_samples(config, trials), ready)
    if as_json:
        output.write_json(_document(config, ready, found, seconds, trials))
        return
    for network in found:
        _print_network(network)
    for line in _summary(config, ready, found, seconds, trials):  # last: what a screen still shows
        output.write(line)


def _samples(config: Config, trials: int | None) -> Sequence[Config]:
    from cnnsearch.plan import planned, samples

    return [config] if config.space is None else samples(config, planned(config, trials))


def _summary(
    config: Config,
    ready: Preflight,
    found: Sequence[Network],
    seconds: float | None,
    trials: int | None,
) -> Sequence[str]:
    from cnnsearch import data
    from cnnsearch.plan import planned
    from cnnsearch.preflight import default_jobs
    from cnnsearch.render.text import counted

    split = data.prepare(ready.images, config.data, ready.device)
    shape = "x".join(str(side) for side in ready.images.shape)
    lines = [
        f"data      {config.data.name}: images of {shape}, {split.classes} classes; "
        f"{split.train_size} to train, {split.validation_size} to validate, "
        f"{split.test_size} to test"
    ]
    if config.search is None or config.space is None:
        lines.insert(0, f"run       {config.study}: one trial of {config.train.epochs} epochs")
        lines.append(f"time      {_time(seconds, 1, 1)} on {ready.device}")
    else:
        count = planned(config, trials)
        jobs = min(default_jobs(ready.device, config.threads), count)
        what = f"{counted(count, 'trial')}, {config.search.sampler} over {', '.join(config.space)}"
        lines.insert(0, f"search    {config.study}: {what}")
        lines.append(f"time      {_time(seconds, count, jobs)} on {ready.device}")
    counts = [network.measured.parameters for network in found]
    several = f"{min(counts):,} to {max(counts):,}" if len(counts) > 1 else f"{counts[0]:,}"
    lines.append(f"networks  {len(found)} by size, of {several} parameters")
    memory = max(network.memory_bytes for network in found)
    lines.append(f"memory    about {memory / 2**20:,.0f} MiB a trial at most, "
                 "beside the images and torch")  # fmt: skip
    return lines


def _time(seconds: float | None, count: int, jobs: int) -> str:
    from cnnsearch.render.text import seconds_text

    if seconds is None:
        return "unknown: no network could be trained for a few steps"
    total = f"about {seconds_text(seconds * count / jobs)} of training"
    return total if count == 1 else f"{total}: {seconds_text(seconds)} a trial, {jobs} at a time"


def _print_network(network: Network) -> None:
    from cnnsearch.render import output
    from cnnsearch.render.table import Column, Table, print_table

    output.write(network.title)
    columns = (
        Column("layer"),
        Column("kind"),
        Column("output", lambda shape: "x".join(str(side) for side in shape), right=True),
        Column("parameters", lambda count: f"{count:,}", right=True),
    )
    print_table(
        Table(columns, [[r.name, r.kind, r.shape, r.parameters] for r in network.measured.rows])
    )
    output.write("")


def _document(
    config: Config,
    ready: Preflight,
    found: Sequence[Network],
    seconds: float | None,
    trials: int | None,
) -> dict[str, Any]:
    from cnnsearch.plan import planned

    return {
        "study": config.study,
        "trials": planned(config, trials) if config.space is not None else 1,
        "device": str(ready.device),
        "classes": len(ready.images.classes),
        "shape": list(ready.images.shape),
        "networks": [
            {
                "models": [section.model_dump() for section in network.sections],
                "parameters": network.measured.parameters,
                "memory_bytes": network.memory_bytes,
                "layers": [asdict(row) for row in network.measured.rows],
            }
            for network in found
        ],
        "memory_bytes": max(network.memory_bytes for network in found),
        "trial_seconds": None if seconds is None else round(seconds, 3),
    }

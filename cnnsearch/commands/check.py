"""`cnnsearch check`: what a file would run, before it runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import configs
from cnnsearch.commands.options import json_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.preflight import Network, Preflight

# Of so many trials at most --smoke takes the time.
_SAMPLED = 40


@click.command("check")
@click.argument("file", shell_complete=configs)
@click.option("-n", "--trials", type=int, metavar="TOTAL",
              help="As of run: number of trials in all.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N",
              help="As of run: worker processes, for the estimate.")  # fmt: skip
@click.option("--smoke", is_flag=True,
              help="Try the search out: will it learn, and how long will it take?")  # fmt: skip
@click.option("--lr-range", is_flag=True,
              help="Find the range of learning rates to search, instead.")  # fmt: skip
@click.option("--plot", is_flag=True,
              help="With --lr-range: draw the loss by learning rate.")  # fmt: skip
@set_option
@json_option
def command(
    file: str,
    trials: int | None,
    jobs: int | None,
    smoke: bool,
    lr_range: bool,
    plot: bool,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check FILE and tell its trials, networks, memory and time.

    Every network that the space can produce is built without computing it, so
    that a shape that cannot work is found before the first trial.

    --smoke trains a little, for each combination of init, activation and batch
    norm, or a sample of 12: is the first loss that of guessing, does weight
    decay raise it as it should, what do the layers pass on, can 20 images be
    learned by heart? Then steps of real trials are timed, with as many
    processes as run will use. It warns, and never refuses.

    --lr-range trains up to four combinations for at most 150 steps, while the
    learning rate grows from 1e-7 to 100 (Smith 2017), and proposes the line to
    paste below `space:`.

    \b
    Example:
      cnnsearch check configs/cifar10.yaml
      cnnsearch check configs/digits.yaml --smoke
      cnnsearch check configs/digits.yaml --lr-range --plot
    """
    from cnnsearch.config import load_with_notes
    from cnnsearch.render.talk import say
    from cnnsearch.running.workers import LocalWorkers

    _check_together(smoke, lr_range, plot)
    config, notes = load_with_notes(file, sets, trials)
    with LocalWorkers(jobs if smoke else 0).begun():
        from cnnsearch.preflight import examine, networks, unfused

        for note in notes:
            say(note)
        ready = examine(config, say, file, sets)
        reason = unfused(config, ready) if config.fuse == "auto" else None  # else it is a note
        if reason is not None:
            say(reason)
        if config.stages:
            trials = _examine_stages(config, file)
        if lr_range:
            return _lr_range(config, ready, plot, as_json)
        found = networks(config, ready)
        show = _smoke if smoke else _shapes
        return show(config, ready, found, (trials, jobs), as_json)


def _shapes(
    config: Config,
    ready: Preflight,
    found: Sequence[Network],
    asked: tuple[int | None, int | None],
    as_json: bool,
) -> None:
    """The check that computes nothing but a few steps, to tell the time.

    Args:
        asked: how many trials and jobs the command line says.
    """
    from cnnsearch.preflight import estimate_seconds
    from cnnsearch.render import output

    trials, jobs = asked
    seconds = estimate_seconds(_samples(config, trials), ready)
    if as_json:
        output.write_json(_document(config, ready, found, seconds, trials))
        return
    for network in found:
        _print_network(network)
    count, at_once = _count_and_jobs(config, ready, trials, jobs)
    time = f"time      {_time(seconds, count, at_once)} on {ready.device}"
    time += _stages_time(config, ready, jobs)
    lines = _summary(config, ready, found, trials, [time])
    output.write_lines([[(line, "")] for line in lines], wrap=True)  # what a screen still shows


def _check_together(smoke: bool, lr_range: bool, plot: bool) -> None:
    if smoke and lr_range:
        raise click.UsageError("--smoke and --lr-range exclude each other. Give one at a time")
    if plot and not lr_range:
        raise click.UsageError("--plot is of --lr-range. Write --lr-range --plot")


def _lr_range(config: Config, ready: Preflight, plot: bool, as_json: bool) -> None:
    """The check that lets the learning rate grow."""
    from cnnsearch.preflight import lr_range
    from cnnsearch.render import output
    from cnnsearch.render.lr_range import print_lr_range
    from cnnsearch.render.talk import say
    from cnnsearch.render.text import counted

    chosen, total = lr_range.tested(config, ready)
    say(f"{config.study}: the learning rate grows over {lr_range.STEPS} steps, for "
        f"{len(chosen)} of {counted(total, 'combination')} ...")  # fmt: skip
    every = [lr_range.sweep(combination, ready) for combination in chosen]
    sweeps = [sweep for sweep in every if sweep is not None]
    if len(sweeps) < len(every):
        say(f"{counted(len(every) - len(sweeps), 'combination')} could not be trained here; too "
            "little memory is the usual cause")  # fmt: skip
    found = lr_range.document(sweeps, total, config)
    if as_json:
        output.write_json(found)
        return
    print_lr_range(found, config, plot)


def _smoke(
    config: Config,
    ready: Preflight,
    found: Sequence[Network],
    wanted: tuple[int | None, int | None],
    as_json: bool,
) -> None:
    """The check that trains: what is printed last is what a screen still shows.

    Args:
        wanted: trials and jobs, as the command line asks for them.
    """
    from cnnsearch.preflight import smoke, smoke_document
    from cnnsearch.render import output
    from cnnsearch.render.smoke import penalty_lines, print_smoke, problem_lines, time_lines
    from cnnsearch.render.talk import say

    trials, _ = wanted
    count, jobs = _count_and_jobs(config, ready, *wanted)
    points = _samples(config, trials, max(_SAMPLED, 2 * jobs))
    say(f"{config.study}: trying it out, this may take a minute or two ...")
    told = smoke_document(smoke(config, points, count, jobs))
    if as_json:
        seconds = told["time"] and told["time"]["trial_seconds"]
        output.write_json({**_document(config, ready, found, seconds, trials), "smoke": told})
        return
    print_smoke(told)
    lasts = time_lines(told["time"], str(ready.device))
    lines = [*_summary(config, ready, found, trials, lasts), *penalty_lines(told)]
    output.write_lines([[(line, "")] for line in lines], wrap=True)
    output.write_lines(problem_lines(told), wrap=True)


def _samples(config: Config, trials: int | None, most: int = 3) -> Sequence[Config]:
    from cnnsearch.plan import planned, samples

    return [config] if config.space is None else samples(config, planned(config, trials), most)


def _count_and_jobs(
    config: Config, ready: Preflight, trials: int | None, jobs: int | None = None
) -> tuple[int, int]:
    """Trials in all, and at a time; `jobs` as run has it, where 0 is one after the other."""
    from cnnsearch.plan import planned
    from cnnsearch.preflight import default_jobs

    count = 1 if config.space is None else planned(config, trials)
    if jobs is None:
        jobs = default_jobs(ready.device, config.threads)
    return count, max(1, min(jobs, count))


def _summary(
    config: Config,
    ready: Preflight,
    found: Sequence[Network],
    trials: int | None,
    time: Sequence[str],
) -> Sequence[str]:
    from cnnsearch import data
    from cnnsearch.render.text import counted

    split = data.prepare(ready.images, config.data, ready.device)
    shape = "x".join(str(side) for side in ready.images.shape)
    lines = [
        f"data      {config.data.name}: images of {shape}, {split.classes} classes; "
        f"{split.train_size} to train, {split.validation_size} to validate, "
        f"{split.test_size} to test{_in_folds(config)}"
    ]
    if config.search is None or config.space is None:
        lines.insert(0, f"run       {config.study}: one trial of {config.train.epochs} epochs")
    else:
        count, _ = _count_and_jobs(config, ready, trials)
        what = f"{counted(count, 'trial')}, {config.search.sampler} over {', '.join(config.space)}"
        lines.insert(0, f"search    {config.study}: {what}")
        lines[1:1] = _stages(config)
    lines.extend(time)
    counts = [network.measured.parameters for network in found]
    several = f"{min(counts):,} to {max(counts):,}" if len(counts) > 1 else f"{counts[0]:,}"
    lines.append(f"networks  {len(found)} by size, of {several} parameters")
    memory = max(network.memory_bytes for network in found)
    lines.append(f"memory    about {memory / 2**20:,.0f} MiB a trial at most, "
                 "beside the images and torch")  # fmt: skip
    return lines


def _examine_stages(config: Config, file: str) -> int | None:
    """Find what would make trials of later stages fail; the first one's number of trials."""
    from cnnsearch.preflight import examine
    from cnnsearch.stages import Chain

    first, *others = Chain(config).outlines()
    for outline in others:
        if (outline.data, outline.model) != (first.data, first.model):
            examine(outline, lambda _: None, file)
    return config.stages[0].trials


def _stages_time(config: Config, ready: Preflight, jobs: int | None) -> str:
    """What all stages take; the ranges are narrower then, which changes little."""
    from cnnsearch.plan import samples
    from cnnsearch.preflight import estimate_seconds
    from cnnsearch.render.text import seconds_text
    from cnnsearch.stages import Chain

    chain, total = Chain(config), 0.0
    for number, outline in enumerate(chain.outlines() if config.stages else [], 1):
        count = chain.planned(number, outline)
        _, at_once = _count_and_jobs(outline, ready, count, jobs)
        total += (estimate_seconds(samples(outline, count), ready) or 0.0) * count / at_once
    return f"; all stages about {seconds_text(total)}" if total else ""


def _stages(config: Config) -> list[str]:
    """The plan of a chain; what else is told is of its first stage."""
    from cnnsearch.stages import Chain, plan_lines

    if not config.stages:
        return []
    first, *others = plan_lines(Chain(config))
    return [f"stages    {first}", *(f"          {line}" for line in others)]


def _in_folds(config: Config) -> str:
    return f"; {config.data.folds} folds, each validated on once" if config.data.folds > 1 else ""


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

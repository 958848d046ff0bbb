"""`cnnsearch run`: run or continue a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cnnsearch.commands.options import json_option, set_option, storage_option
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.executors import Executor
    from cnnsearch.interruption import Interruption
    from cnnsearch.preflight import Preflight
    from cnnsearch.records import StudySummary, Trial
    from cnnsearch.render.display import Display
    from cnnsearch.study.store import Study


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, beyond the config."""

    file: str
    storage: str
    config: Config
    count: int
    jobs: int | None
    timeout_s: float | None
    retry_failed: bool


@click.command("run")
@click.argument("file")
@click.option("-n", "--trials", type=click.IntRange(min=1), metavar="TOTAL",
              help="Number of trials in all, not in addition.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N",
              help="Worker processes; default: one a core, one on a GPU. "
              "0 runs the trials in this process, to debug.")  # fmt: skip
@click.option("--name", metavar="STUDY", help="Name of the study instead of the file's.")
@set_option
@storage_option
@click.option("--timeout", metavar="TIME", help="Begin no trial after this time: 90s, 30m, 2h.")
@click.option("--retry", type=click.Choice(["failed"]), help="Run failed trials again.")
@click.option("--dry-run", is_flag=True, help="Say what would run; write nothing.")
@json_option
def command(  # noqa: D417
    file: str,
    trials: int | None,
    jobs: int | None,
    name: str | None,
    sets: tuple[str, ...],
    storage: str,
    timeout: str | None,
    retry: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run the search that FILE describes, or continue it.

    Trials that have ended are not run again; what a crash or Ctrl-C left is.
    Ctrl-C once ends in order, twice at once. Nothing is lost either way.

    A trial diverges when its loss is not finite, or when the mean loss of
    abort.check_every steps exceeds abort.loss_ratio times the larger of
    ln(classes) and the lowest loss so far: the first loss, before any update,
    then the means. A loud init that recovers is not stopped, nor a spike.

    \b
    Exit codes: 0 done, or --timeout reached; 1 error while running, or the
    study runs elsewhere; 2 bad input; 3 no trial complete; 130 Ctrl-C;
    143 SIGTERM.

    \b
    Example:
      cnnsearch run configs/digits.yaml -n 20 -j 2 -S epochs=5
    """
    request = _request(file, trials, name, sets, storage, jobs, timeout, retry)
    if dry_run:
        return _say_what_would_run(request)
    return _run(request, as_json)


def _request(
    file: str,
    trials: int | None,
    name: str | None,
    sets: Sequence[str],
    storage: str,
    jobs: int | None,
    timeout: str | None,
    retry: str | None,
) -> _Request:
    from cnnsearch.config import duration, load
    from cnnsearch.errors import InputError
    from cnnsearch.search import planned

    given = [*sets, f"study={name}"] if name is not None else sets
    config = load(file, given, trials)
    if config.search is None or config.space is None:
        raise InputError(
            f"{file}: no `space:`, so this is a single run. Write cnnsearch train {file}."
        )
    try:
        timeout_s = config.search.timeout if timeout is None else duration(timeout)
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from None
    count = planned(config, trials)
    return _Request(file, storage, config, count, jobs, timeout_s, retry == "failed")


def _run(request: _Request, as_json: bool) -> int:
    from cnnsearch.interruption import Interruption
    from cnnsearch.study import read
    from cnnsearch.study.store import Study, check_resume

    config = request.config
    check_resume(request.storage, config)
    with Interruption() as interruption:
        ready = _examine(request)
        study = Study.claim(request.storage, config, ready.images.fingerprint, request.count)
        try:
            _search(request, ready, study, interruption)
        finally:
            study.release()
    summary = read.summary(request.storage, config.study)
    trials = read.trials(request.storage, config.study)
    if as_json:
        _print_json(summary, trials)
    return _conclude(request, summary, trials, interruption)


def _examine(request: _Request) -> Preflight:
    """Everything that can be found wrong before anything is written."""
    from cnnsearch.preflight import examine

    return examine(request.config, say)


def _search(request: _Request, ready: Preflight, study: Study, interruption: Interruption) -> None:
    from cnnsearch.preflight import default_jobs
    from cnnsearch.search import Coordinator, Limits, remaining

    config = request.config
    before = study.trials()
    waiting = remaining(config, before, request.count, request.retry_failed)
    if not waiting:
        return
    jobs = request.jobs
    if jobs is None:
        jobs = min(default_jobs(ready.device, config.threads), len(waiting))
    _announce(request, ready, len(waiting), jobs)
    executor = _executor(jobs, config)
    try:
        limits = Limits(request.timeout_s, interruption.happened)
        coordinator = Coordinator(study, config, executor, limits)
        with _display(request, before, executor.slots) as display:
            for event in coordinator.run(waiting):
                display.show(event)
    finally:
        executor.close()


def _executor(jobs: int, config: Config) -> Executor:
    from cnnsearch.executors.inline import InlineExecutor
    from cnnsearch.executors.local import LocalExecutor
    from cnnsearch.study.store import trial_folder

    if jobs == 0:
        return InlineExecutor()
    return LocalExecutor(jobs, trial_folder(config.study, 0).with_name("workers"))


def _display(request: _Request, before: Sequence[Trial], slots: int) -> Display:
    from rich.console import Console

    from cnnsearch.objective import DIRECTIONS
    from cnnsearch.render.display import LineDisplay, LiveDisplay
    from cnnsearch.render.progress import SearchProgress

    config = request.config
    assert config.search is not None
    assert config.space is not None
    objective = config.search.objective
    progress = SearchProgress(before, request.count, DIRECTIONS[objective], slots)
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        return LineDisplay(console, progress, objective)
    epochs = None if "epochs" in config.space else config.train.epochs
    return LiveDisplay(console, progress, objective, epochs)


def _announce(request: _Request, ready: Preflight, waiting: int, jobs: int) -> None:
    """What is about to run: how much, where, and for a grid how long."""
    from cnnsearch import catalog
    from cnnsearch.render.text import seconds_text

    config = request.config
    assert config.search is not None
    workers = f"{jobs} worker" + ("" if jobs == 1 else "s") if jobs else "this process"
    done = request.count - waiting
    already = f", {done} already done" if done else ""
    text = f"{config.study}: {request.count} trials ({config.search.sampler}{already})"
    text += f" on {config.data.name}, {workers}, {ready.device}"
    if catalog.SAMPLERS[config.search.sampler].finite:
        text += f", about {seconds_text(_estimate(request, ready, waiting, jobs))}"
    say(text)


def _estimate(request: _Request, ready: Preflight, waiting: int, jobs: int) -> float:
    from cnnsearch.preflight import estimate_seconds
    from cnnsearch.search import samples

    each = estimate_seconds(samples(request.config, request.count), ready)
    return each * waiting / max(1, jobs)


def _say_what_would_run(request: _Request) -> int:
    from cnnsearch.render.trials import params_text
    from cnnsearch.search import remaining
    from cnnsearch.study import read
    from cnnsearch.study.store import check_resume

    config = request.config
    check_resume(request.storage, config)
    ready = _examine(request)
    before = read.trials(request.storage, config.study)
    waiting = remaining(config, before, request.count, request.retry_failed)
    shown = 20
    for start in list(waiting)[:shown]:
        params = params_text(start.params) or "(chosen by tpe from the trials before)"
        click.echo(f"point {start.point}, attempt {start.attempt}: {params}")
    if len(waiting) > shown:
        click.echo(f"... and {len(waiting) - shown} more")
    say(
        f"{config.study}: would run {len(waiting)} of {request.count} trials on "
        f"{config.data.name}, {ready.device}; nothing was written"
    )
    return 0


def _conclude(
    request: _Request,
    summary: StudySummary,
    trials: Sequence[Trial],
    interruption: Interruption,
) -> int:
    """The last lines on stderr, and the exit code."""
    from cnnsearch import ranking
    from cnnsearch.records import State
    from cnnsearch.render.trials import params_text
    from cnnsearch.render.text import measure

    counts = ", ".join(f"{count} {state}" for state, count in summary.counts.items())
    say(f"{summary.name}: {counts or 'no trial yet'}")
    best = ranking.best(trials, summary.direction)
    assert request.config.search is not None
    if best is not None:
        objective = request.config.search.objective
        say(f"best: trial {best.number}, {objective} {measure(best.value)}; "
             f"{params_text(best.params)}")  # fmt: skip
    if interruption.happened():
        say(f"interrupted. To continue: {_again()}")
        return interruption.exit_code
    ended = sum(count for state, count in summary.counts.items()
                if state not in (State.KILLED, State.RUNNING))  # fmt: skip
    if ended < request.count:
        say(f"{request.count - ended} trials left. To continue: {_again()}")
    if best is None:
        say(f"no trial completed. See why: cnnsearch list {summary.name}")
        return 3
    say(f"next: cnnsearch list {summary.name}; cnnsearch show {summary.name} best")
    return 0


def _again() -> str:
    import shlex

    return shlex.join(["cnnsearch", *click.get_current_context().obj])


def _print_json(summary: StudySummary, trials: Sequence[Trial]) -> None:
    from cnnsearch import ranking
    from cnnsearch.render import output
    from cnnsearch.render.trials import trial_object

    best = ranking.best(trials, summary.direction)
    output.write_json(
        {
            "study": summary.name,
            "counts": {str(state): count for state, count in summary.counts.items()},
            "best": trial_object(best) if best else None,
        }
    )

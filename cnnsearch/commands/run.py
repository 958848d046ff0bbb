"""`cnnsearch run`: run or continue a search."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cnnsearch.commands.options import json_option, set_option, storage_option
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.executors import Executor
    from cnnsearch.interruption import Interruption
    from cnnsearch.preflight import Preflight
    from cnnsearch.records import Start, StudySummary, Trial
    from cnnsearch.render.display import Display
    from cnnsearch.study.store import Study


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, beyond the config."""

    file: str
    sets: Sequence[str]
    storage: str
    config: Config
    count: int
    jobs: int | None
    timeout_s: float | None
    retry_failed: bool


@click.command("run")
@click.argument("file")
@click.option("-n", "--trials", type=int, metavar="TOTAL",
              help="Number of trials in all, not in addition.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N",
              help="Worker processes; default: one a core, one on a GPU. "
              "0 runs the trials in this process, to debug.")  # fmt: skip
@click.option("--name", metavar="STUDY", help="Name of the study instead of the file's.")
@set_option
@storage_option
@click.option("--timeout", metavar="TIME", help="Begin no trial after this time: 90s, 30m, 2h.")
@click.option("--retry", type=click.Choice(["failed"]), help="Run failed trials again.")
@click.option("--dry-run", is_flag=True, help="Say what would run; write no study.")
@json_option
def command(
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
        return _say_what_would_run(request, as_json)
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
    from cnnsearch.config import duration, is_study_name, load, study_name
    from cnnsearch.errors import InputError
    from cnnsearch.plan import planned

    if name is not None and not is_study_name(name):
        raise InputError(f"--name: {name!r} is no study name. Write --name {study_name(name)}.")
    config = load(file, [*sets, f"study={name}"] if name is not None else sets, trials)
    if config.search is None or config.space is None:
        raise InputError(
            f"{file}: has no space, so this is a single run. Write cnnsearch train {file}."
        )
    try:
        timeout_s = config.search.timeout if timeout is None else duration(timeout)
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from None
    count = planned(config, trials)
    return _Request(file, sets, storage, config, count, jobs, timeout_s, retry == "failed")


def _run(request: _Request, as_json: bool) -> int:
    from cnnsearch.interruption import Interruption
    from cnnsearch.records import State
    from cnnsearch.render.summary import closing
    from cnnsearch.study import read
    from cnnsearch.study.store import Study, check_resume

    config = request.config
    check_resume(request.storage, config)
    ready = _examine(request)
    _announce(request, ready)
    _make_folder(config)
    with Interruption() as interruption:
        study = Study.claim(request.storage, config, ready.images.fingerprint, request.count)
        try:
            _search(request, ready, study, interruption)
        finally:
            study.release()
    summary, trials = read.summary_and_trials(request.storage, config.study)
    if as_json:
        _print_json(summary, trials)
    again = shlex.join(["cnnsearch", *click.get_current_context().obj])
    interrupted = interruption.happened()
    for line in closing(summary, trials, request.count, again, interrupted):
        say(line)
    if interrupted:
        return interruption.exit_code
    return 0 if summary.counts.get(State.COMPLETE) else 3


def _make_folder(config: Config) -> None:
    """Make the folder of logs now: a study that cannot keep them does not begin."""
    from cnnsearch.errors import InputError
    from cnnsearch.study.location import study_folder

    folder = study_folder(config.study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder.resolve()}: {error.strerror}. Logs are kept there; start in another folder."
        ) from error


def _examine(request: _Request) -> Preflight:
    """Everything that can be found wrong before anything is written."""
    from cnnsearch.preflight import examine

    if sys.stderr.isatty():
        say(f"{request.config.study}: looking at the images and the networks ...")
    return examine(request.config, say, request.file, request.sets)


def _announce(request: _Request, ready: Preflight) -> None:
    """Say what is about to run, before anything is written."""
    from cnnsearch.plan import samples
    from cnnsearch.preflight import estimate_seconds, warnings
    from cnnsearch.render.summary import is_estimated, opening, workers

    starts = _remaining(request)
    waiting = len(starts)
    jobs = _jobs(request, ready, waiting)
    seconds = None
    if waiting and is_estimated(request.config):
        each = estimate_seconds(samples(request.config, request.count), ready)
        seconds = None if each is None else each * waiting / max(1, jobs)
    where = workers(jobs, str(ready.device)) if waiting else "nothing left to run"
    say(opening(request.config, request.count, request.count - waiting, where, seconds))
    if waiting and request.config.diagnose:
        for line in warnings(request.config, ready, [start.params for start in starts]):
            say(line)


def _remaining(request: _Request) -> deque[Start]:
    """What would run, as the storage stands now."""
    from cnnsearch.plan import remaining
    from cnnsearch.study import read

    before = read.trials(request.storage, request.config.study)
    return remaining(request.config, before, request.count, request.retry_failed)


def _jobs(request: _Request, ready: Preflight, waiting: int) -> int:
    from cnnsearch.preflight import default_jobs

    jobs = request.jobs
    if jobs is None:
        jobs = default_jobs(ready.device, request.config.threads)
    return min(jobs, waiting)


def _search(request: _Request, ready: Preflight, study: Study, interruption: Interruption) -> None:
    from cnnsearch.plan import remaining
    from cnnsearch.search import Coordinator, Limits

    config = request.config
    before = study.trials()
    waiting = remaining(config, before, request.count, request.retry_failed)
    if not waiting:
        return
    executor = _executor(_jobs(request, ready, len(waiting)), config)
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
    from cnnsearch.study.location import workers_folder

    if jobs == 0:
        return InlineExecutor()
    return LocalExecutor(jobs, workers_folder(config.study))


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
    if not sys.stderr.isatty():  # console.is_terminal would also ask $FORCE_COLOR
        return LineDisplay(console, progress, objective)
    epochs = None if "epochs" in config.space else config.train.epochs
    return LiveDisplay(console, progress, objective, epochs)


def _say_what_would_run(request: _Request, as_json: bool) -> int:
    from dataclasses import asdict

    from cnnsearch.render import output
    from cnnsearch.render.trials import params_text
    from cnnsearch.study.store import check_resume

    config = request.config
    check_resume(request.storage, config)
    ready = _examine(request)
    waiting = _remaining(request)
    if as_json:
        output.write_json([asdict(start) for start in waiting])
    else:
        for start in waiting:
            params = params_text(start.params) or "(chosen by tpe from the trials before)"
            output.write(f"point {start.point}, attempt {start.attempt}: {params}")
    say(
        f"{config.study}: would run {len(waiting)} of {request.count} trials on "
        f"{config.data.name}, {ready.device}; nothing was written"
    )
    return 0


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

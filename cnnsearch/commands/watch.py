"""`cnnsearch watch`: a study seen while it runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import studies
from cnnsearch.commands.options import json_option, storage_option

if TYPE_CHECKING:
    from cnnsearch.watch.standing import Standing


@click.command("watch")
@click.argument("study", required=False, shell_complete=studies)
@click.option("--once", is_flag=True, help="Print how it stands now, and end.")
@json_option
@click.option("--of", "process", type=int, hidden=True)  # of `run --watch`: who gets Ctrl-C
@storage_option
def command(
    study: str | None, once: bool, as_json: bool, process: int | None, storage: str
) -> int | None:
    """Watch STUDY run, full-screen: time left, curves, ranking.

    Without STUDY it is the one whose trial began last. The view only reads the
    storage, so it works from another shell or machine, while the search runs
    and after it, and closing it changes nothing. Press ? for its keys: they
    sort and page, mark trials to compare their curves, and stop a trial.

    Where the output is no terminal, a line is printed for each trial that has
    ended, until the search is over. --json is a form of --once.

    \b
    Examples:
      cnnsearch watch
      cnnsearch watch digits
      cnnsearch watch digits --once
    """
    from cnnsearch.render import output
    from cnnsearch.study import read
    from cnnsearch.study.following import latest

    name = latest(storage) if study is None else read.resolve(storage, study)
    chain = name != study
    if once or as_json:
        _print_once(storage, name, as_json)
        return None
    if not (sys.stdin.isatty() and output.is_terminal()) or os.environ.get("TERM") == "dumb":
        from cnnsearch.watch.lines import follow

        follow(storage, name, chain)
        return None
    from cnnsearch.watch.app import Source, show

    return show(Source(storage, name, chain, process), output.speaks_utf8())


def _print_once(storage: str, study: str, as_json: bool) -> None:
    import time

    from cnnsearch.render import output
    from cnnsearch.study.following import Follower
    from cnnsearch.watch.standing import standing
    from cnnsearch.watch.texts import snapshot_lines

    now = standing(Follower(storage, study).look(), time.time())
    if as_json:
        output.write_json(_document(now))
    else:
        width = output.width() if output.is_terminal() else None
        output.write_lines(snapshot_lines(now, output.speaks_utf8(), width=width), wrap=True)


def _document(now: Standing) -> dict[str, Any]:
    from dataclasses import asdict

    from cnnsearch.render.trials import trial_object

    best = now.tally.best
    return {
        "study": now.study,
        "planned": now.total,
        "done": now.tally.done,
        "counts": {str(state): count for state, count in now.tally.counts.items()},
        "verdicts": dict(now.tally.verdicts),
        "best": None if best is None else trial_object(best),
        "running": [
            {
                "number": one.trial.number,
                "params": dict(one.trial.params),
                now.steps + "s": one.of,
                "reported": [list(point) for point in one.points],
                "seconds": one.seconds,
            }
            for one in now.running
        ],
        **asdict(now.rates),
        "is_running": now.held,
        "coordinator": None if now.coordinator is None else asdict(now.coordinator),
    }

"""`cnnsearch run`: run or continue a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import configs
from cnnsearch.commands.options import (
    json_option,
    ray_options,
    set_option,
    storage_option,
    watch_option,
)
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.running.searching import Request


@click.command("run")
@click.argument("file", shell_complete=configs)
@click.option("-n", "--trials", type=int, metavar="TOTAL",
              help="Number of trials in all, not in addition.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N",
              help="Worker processes; default: one a core, one on a GPU. "
              "0 runs the trials in this process, to debug.")  # fmt: skip
@ray_options
@click.option("--name", metavar="STUDY", help="Name of the study instead of the file's.")
@set_option
@storage_option
@click.option("--timeout", metavar="TIME", help="Begin no trial after this time: 90s, 30m, 2h.")
@click.option("--trial-timeout", metavar="TIME",
              help="A trial that tells nothing for so long has failed.")  # fmt: skip
@click.option("--storage-patience", metavar="TIME", default="10m", show_default=True,
              help="So long a storage that is gone is waited for.")  # fmt: skip
@click.option("--retry", type=click.Choice(["failed"]), help="Run failed trials again.")
@watch_option
@click.option("--dry-run", is_flag=True, help="Say what would run; write no study.")
@json_option
def command(
    file: str,
    trials: int | None,
    name: str | None,
    sets: tuple[str, ...],
    storage: str,
    dry_run: bool,
    as_json: bool,
    **how: Any,
) -> int:
    """Run the search that FILE describes, or continue it.

    Trials that have ended are not run again; what a crash or Ctrl-C left is.
    Ctrl-C once ends in order, twice at once. Nothing is lost either way.

    A FILE with stages runs as a chain of studies, NAME.1, NAME.2, ..., each
    narrowed to what was best in the one before; what each runs is written to
    runs/NAME/stage-2.yaml and so on, the best of the last to
    runs/NAME/best.yaml. See cnnsearch narrow --stages.

    With --ray the trials run on a Ray cluster, where $CNNSEARCH_DATA of each
    node, or data.root, names the images. The study stays with this process.

    A trial diverges when its loss is not finite, or when the mean loss of
    abort.check_every steps exceeds abort.loss_ratio times the larger of
    ln(classes) and the lowest loss so far: the first loss, before any update,
    then the means. A loud init that recovers is not stopped, nor a spike.

    \b
    Exit codes: 0 done, stopped, or --timeout reached; 1 error while running,
    or the study runs elsewhere; 2 bad input; 3 no trial complete; 4 the
    storage is gone for longer than --storage-patience; 130 Ctrl-C;
    143 SIGTERM.

    \b
    Examples:
      cnnsearch run configs/digits.yaml -n 20 -j 2 -S epochs=5
      cnnsearch run cifar.yaml --ray --ray-address 10.0.0.1:6379 -j 8
    """
    from cnnsearch.commands.request import read_request, with_options
    from cnnsearch.render import output
    from cnnsearch.running import chain, searching

    request = with_options(read_request(file, trials, name, sets, storage), **how)
    if dry_run:
        return _say_what_would_run(request, as_json)
    found = chain.run(request) if request.config.stages else searching.run(request)
    if as_json:
        output.write_json(found.document())
    return found.code


def _say_what_would_run(request: Request, as_json: bool) -> int:
    from dataclasses import asdict

    from cnnsearch.render import output
    from cnnsearch.render.trials import params_text
    from cnnsearch.running import chain, searching
    from cnnsearch.study.resuming import check_resume

    if request.config.stages:
        request = chain.current(request)
    config = request.config
    check_resume(request.storage, config)
    ready = searching.examined(request)
    waiting = searching.waiting(request)
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

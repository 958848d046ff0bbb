"""`cnnsearch rerun`: repeat trials, with other seeds or to the last digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.options import json_option, set_option, storage_option, watch_option
from cnnsearch.commands.references import pick, references_argument
from cnnsearch.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnsearch.commands.references import Picked

SEEDS = 3


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Args:
        values: of `-S` and `--epochs`, by the bare names of fields.
        jobs: None where it does not say.
        watched: show the full-screen view while it runs.
    """

    storage: str
    picked: Sequence[Picked]
    values: Mapping[str, Any]
    jobs: int | None
    as_json: bool
    watched: bool


@click.command("rerun")
@references_argument("STUDY TRIAL...")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N",
              help=f"Train each trial with N new seeds; default {SEEDS}.")  # fmt: skip
@click.option("--verify", is_flag=True, help="Run as it was run; say whether the numbers are.")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Instead of the study's.")
@set_option
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N",
              help="Worker processes; default: one a core, one on a GPU. 0: in this "
              "process.")  # fmt: skip
@click.option("--name", metavar="STUDY", help="Name of the study of repeats: STUDY-rerun.")
@watch_option
@json_option
@storage_option
def command(
    references: tuple[str, ...],
    seeds: int | None,
    verify: bool,
    epochs: int | None,
    sets: tuple[str, ...],
    jobs: int | None,
    name: str | None,
    watched: bool,
    as_json: bool,
    storage: str,
) -> int:
    """Repeat trials: with new seeds, or to the last digit (--verify).

    With new seeds, the same for all trials, the repeats are a study of their own. The table has
    mean, standard deviation (std) and shrink, the value in the search minus the mean; below it
    the differences between the trials, with intervals that hold all of them in 95 of 100 such
    studies (Student's t, paired over seeds, corrected by Bonferroni). The top of a search is
    partly luck: how much is expected of it is told below. The same command again continues, and
    adds trials and seeds.

    With --verify each trial is run again from its stored config and compared epoch by epoch,
    with ==: losses, accuracies, learning rates. Nothing is written. -S KEY=VALUE runs it with
    another value, to see what that changes.

    \b
    Exit codes: 0 done, all identical; 1 --verify found a number that departs,
    or an error while running; 2 bad input; 3 no repeat complete; 130 Ctrl-C.

    \b
    Examples:
      cnnsearch rerun digits top:5 --seeds 5
      cnnsearch rerun digits best --epochs 50 --name digits-long
      cnnsearch rerun digits best --verify
    """
    from cnnsearch.config import values_of

    values = values_of([*sets, *([f"epochs={epochs}"] if epochs is not None else [])])
    if verify:
        _refuse(seeds=seeds, epochs=epochs, name=name, watch=watched or None)
    request = Request(storage, pick(storage, references), values, jobs, as_json, watched)
    if "study" in values:
        raise InputError("-S study: write --name STUDY for the name of the study of repeats.")
    if verify:
        from cnnsearch.commands.verifying import verify as run_verification

        return run_verification(request)
    from cnnsearch.commands.repeats import repeat

    return repeat(request, SEEDS if seeds is None else seeds, name)


def _refuse(**options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"--verify and {given[0]} together: it runs a trial as it was run. Drop one of them."
        )

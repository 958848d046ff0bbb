"""`cnnsearch show`: everything about one trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

import click

from cnnsearch.commands.options import json_option, storage_option
from cnnsearch.commands.references import (
    Picked,
    config_of,
    pick_one,
    references_argument,
    with_curve,
)
from cnnsearch.records import EpochResult, State, Trial
from cnnsearch.render import output
from cnnsearch.render.environment import environment_texts
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted, measure, number, seconds_text, value_text
from cnnsearch.render.trials import classes, full_object, objective, probes_of, state_style
from cnnsearch.render.verdicts import verdict_lines

# Of a long table the first and the last epochs are shown.
HEAD, TAIL = 5, 10


@click.command("show")
@references_argument("STUDY TRIAL")
@click.option("--layers", is_flag=True, help="Only the verdict and what each layer measured.")
@click.option("--all", "every", is_flag=True, help="Every epoch, however many there are.")
@json_option
@storage_option
def command(
    references: tuple[str, ...], layers: bool, every: bool, as_json: bool, storage: str
) -> None:
    """Show one trial: state, verdict, hyperparameters, curves, config.

    TRIAL is a number, best, last or top:1; STUDY/TRIAL is understood too. The verdict says what
    was seen, what it means and what to try.

    --layers shows, before training and after the last epoch: mean and standard deviation (std) of
    each layer's activations; the share of units that are dead (0 on every image), or of activations
    that are saturated; how similar the weights of its units are (1: all the same); the norm of the
    last gradient; and the update, the last step's change of the weights over the weights.

    \b
    Examples:
      cnnsearch show digits best
      cnnsearch show digits/12 --layers
      cnnsearch show digits/12 --json
    """
    picked = with_curve(storage, pick_one(storage, references))
    config = config_of(picked)
    if as_json:
        output.write_json(full_object(picked.trial, config.plain()))
        return
    trial = picked.trial
    head = [*_head(picked), *_marks(trial), *verdict_lines(trial.diagnosis)]
    output.write_lines(head, wrap=True)
    if layers:
        _print_layers(picked)
        return
    from cnnsearch.config import to_yaml

    output.write_lines([[], *_facts(picked)] if trial.diagnosis else _facts(picked), wrap=True)
    output.write_lines(_section("hyperparameters", bool(trial.params)))
    width = max((len(name) for name in trial.params), default=0)
    for name, value in trial.params.items():
        output.write_lines([[(f"  {name.ljust(width)}  ", ""), (value_text(value), "bold")]])
    if trial.curve:
        from cnnsearch.render.curves import curve_lines

        output.write_lines([[], *curve_lines(trial.curve)])
        output.write_lines(_section("epochs", True))
        _print_epochs(picked, every)
    traceback = trial.facts.get("traceback")
    if traceback:
        output.write_lines(_section("traceback", True))
        output.write(str(traceback).rstrip())
    output.write_lines(_section("config", True))
    output.write(to_yaml(config).rstrip())


def _print_layers(picked: Picked) -> None:
    """Pictures first, to see the shape; then the numbers. A line where nothing was measured."""
    from cnnsearch.render.layers import heading, layers_table, pictures

    probes = probes_of(picked.trial)
    if not probes:
        say(_why_no_layers(picked))
        return
    output.write_lines([[], *pictures(probes)], wrap=True)
    for epoch, probe in [probes[0], *probes[1:][-1:]]:
        output.write_lines(_section(heading(epoch, probe), True))
        print_table(layers_table(probe))


def _why_no_layers(picked: Picked) -> str:
    if picked.trial.state in (State.RUNNING, State.KILLED):
        return (
            f"Trial {picked.trial.number} is {picked.trial.state}: what its layers measured is "
            "written when a trial ends."
        )
    if not picked.summary.config.get("diagnose", True):
        return "No layer was measured: the study has diagnose: false."
    return "No layer was measured: the trial failed before, or is of cnnsearch 0.1."


def _section(title: str, there: bool) -> list[Line]:
    return [[], [(title, "bold")]] if there else []


def _head(picked: Picked) -> list[Line]:
    """State, value and reason: what is wanted first; the verdict comes below."""
    trial = picked.trial
    line: Line = [
        (f"trial {trial.number}", "bold"),
        (f" of {picked.summary.name}: ", ""),
        (str(trial.state), state_style(trial.state)),
    ]
    if trial.value is not None:
        at = f" at epoch {trial.best_epoch}" if trial.best_epoch else ""
        line.append((f", {objective(picked.summary)} {measure(trial.value)}{at}", "bold"))
    return [line, *([[(trial.reason, state_style(trial.state))]] if trial.reason else [])]


def _marks(trial: Trial) -> list[Line]:
    """What the user said of it."""
    told = {
        "tags": ", ".join(trial.tags),
        "note": trial.note,
        "hidden": "left out of lists and rankings" if trial.hidden else "",
    }
    return [[(name, "bold"), (f": {text}", "")] for name, text in told.items() if text]


def _facts(picked: Picked) -> list[Line]:
    """Timing, attempts, first loss, size of the network."""
    trial = picked.trial
    epochs = counted(trial.epochs, "epoch")
    facts = [f"{epochs} in {seconds_text(trial.seconds)}" if trial.seconds else epochs]
    facts.append(f"point {trial.point}, attempt {trial.attempt}, seed {trial.seed}")
    folds = trial.facts.get("fold_values")
    if folds:
        spread = measure(trial.facts.get("fold_deviation"))
        told = ", ".join(map(measure, folds))
        facts.append(f"mean of {len(folds)} folds, standard deviation {spread}: {told}")
    others = [t for t in picked.attempts if t.key == trial.key and t.number != trial.number]
    if others:
        told = ", ".join(f"trial {t.number} (attempt {t.attempt}, {t.state})" for t in others)
        facts.append(f"other attempts of the point: {told}")
    after = trial.facts.get("continued_after")
    if after is not None:
        facts.append(f"continued after epoch {after} of an earlier attempt, from its checkpoint")
    kept = trial.facts.get("weights_epoch")
    if kept is not None:
        told = f"cnnsearch export {picked.summary.name} {trial.number} --model FILE writes them"
        facts.append(f"weights of epoch {kept} are kept: {told}")
    first = trial.facts.get("first_loss")
    if isinstance(first, int | float):
        count = classes(picked.summary, trial)
        guess = f"; guessing among {count} classes costs {math.log(count):.4g}" if count else ""
        facts.append(f"loss before any update {measure(first)}{guess}")
    if trial.probe is not None:
        facts.append("measured layer by layer: --layers shows it")
    size = trial.facts.get("parameters")
    if isinstance(size, int):
        facts.append(f"{size:,} learned parameters")
    limit = trial.facts.get("limit")
    if isinstance(limit, int | float) and trial.state is State.DIVERGED:
        loss = trial.facts.get("loss")
        shown = number(float(loss)) if isinstance(loss, int | float) else "not finite"
        facts.append(f"step {trial.facts.get('step')}: loss {shown}, limit {number(float(limit))}")
    where = trial.facts.get("where")
    if where:
        facts.append(f"raised at {where}")
    facts += environment_texts(trial)
    return [[(fact, "")] for fact in facts]


def epochs_table(curve: Sequence[EpochResult], best_epoch: int | None) -> Table:
    """A row an epoch; the best is marked with a star. Fits 80 columns."""
    columns = (
        Column("epoch", right=True),
        Column("", style=lambda _: "green"),
        Column("lr", number, right=True),
        *(
            Column(name, measure, right=True)
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        ),
        Column("seconds", seconds_text, right=True),
    )
    rows = [
        [
            result.epoch,
            "*" if result.epoch == best_epoch else "",
            result.lr,
            result.train_loss,
            result.train_accuracy,
            result.val_loss,
            result.val_accuracy,
            result.seconds,
        ]
        for result in curve
    ]
    return Table(columns, rows)


def _print_epochs(picked: Picked, every: bool) -> None:
    """The table of epochs; on a terminal the middle of a long one is left out, and said so."""
    curve, best = picked.trial.curve, picked.trial.best_epoch
    if every or not output.is_terminal() or len(curve) <= HEAD + TAIL + 5:
        print_table(epochs_table(curve, best))
        return
    shown = [r for r in curve if r.epoch <= HEAD or r.epoch > len(curve) - TAIL or r.epoch == best]
    print_table(epochs_table(shown, best))
    left_out = len(curve) - len(shown)  # at least 5
    output.write_lines([[(f"{left_out} epochs are left out: --all shows every one.", "dim")]])

"""`cnnsearch train`: one run without a search."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnsearch.commands.completing import configs
from cnnsearch.commands.options import json_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.records import EpochResult, Outcome, Prepared, Trial

# What a single run compares its epochs by, as searches do unless told otherwise.
_OBJECTIVE, _AT = "val_accuracy", "best"
_HEADER = (
    "   epoch",
    "        lr",
    "  train_loss",
    "  train_accuracy",
    "    val_loss",
    "  val_accuracy",
    "    time",
)


@click.command("train")
@click.argument("file", shell_complete=configs)
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the file's.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Run with N seeds, the file's and those after it; give mean and spread.",
)
@set_option
@click.option("--test", is_flag=True, help="Read the test set once, at the end; it is counted.")
@json_option
def command(
    file: str, epochs: int | None, seeds: int, sets: tuple[str, ...], test: bool, as_json: bool
) -> int:
    """Train the network that FILE describes, without a search.

    A trial's exported file gives the trial's numbers again, to the last digit
    on the same machine and number of threads.

    \b
    Example:
      cnnsearch export digits best -o best.yaml
      cnnsearch train best.yaml --test
    """
    from cnnsearch.config import load_with_notes
    from cnnsearch.errors import InputError
    from cnnsearch.preflight import examine
    from cnnsearch.render import output
    from cnnsearch.render.talk import say
    from cnnsearch.render.trials import full_object

    given = [*sets, f"train.epochs={epochs}"] if epochs is not None else list(sets)
    config, notes = load_with_notes(file, given)
    if config.space is not None:
        raise InputError(
            f"{file}: has a `space:`, so this is a search. Write cnnsearch run {file}, "
            "or cnnsearch export STUDY TRIAL for one of its trials."
        )
    if test and config.data.folds > 1:
        raise InputError(
            "--test: with folds there is no one network to test. Write -S validation=0.1, or for a "
            "trial cnnsearch test STUDY TRIAL."
        )
    for note in notes:
        say(note)
    examine(config, say, file, given)
    runs = [config.at({}, config.seed + i) for i in range(seeds)]
    trials = [_train(run, number, test, seeds) for number, run in enumerate(runs)]
    if as_json:
        documents = [
            full_object(trial, run.plain()) | _test_fields(trial)
            for trial, run in zip(trials, runs, strict=True)
        ]
        output.write_json(documents[0] if seeds == 1 else documents)
    else:
        _print(trials)
    return _exit_code(trials)


def _train(config: Config, number: int, test: bool, seeds: int) -> Trial:
    """Run one seed, with a line an epoch on stderr."""
    from cnnsearch.ending import ended, of_folds
    from cnnsearch.environment import commit, with_commit
    from cnnsearch.records import State, Trial
    from cnnsearch.render.talk import say

    started, folds = time.time(), list[_Fold]()
    if seeds > 1:
        say(f"seed {config.seed}")
    say("".join(_HEADER))
    for fold in range(config.data.folds):
        if config.data.folds > 1:
            say(f"fold {fold + 1} of {config.data.folds}")
        folds.append(_run(config, test, fold))
        if folds[-1].outcome.state is not State.COMPLETE:
            break
    outcome = folds[0].outcome
    if config.data.folds > 1:
        outcome = of_folds([one.outcome for one in folds], config.data.folds)
    begun = Trial(
        number=number,
        point=0,
        key=str(number),
        attempt=1,
        state=State.RUNNING,
        value=None,
        params={},
        epochs=0,
        best_epoch=None,
        seconds=None,
        reason=None,
        seed=config.seed,
        started=started,
    )
    prepared = folds[0].prepared and with_commit(folds[0].prepared, commit(Path.cwd()))
    return ended(begun, outcome, prepared, [one.curve for one in folds], _OBJECTIVE, _AT)


@dataclass(frozen=True)
class _Fold:
    """What a run, or a fold of it, gave."""

    prepared: Prepared | None
    curve: list[EpochResult]
    outcome: Outcome


def _run(config: Config, test: bool, fold: int) -> _Fold:
    """Run it, or one fold of it."""
    from cnnsearch import runner
    from cnnsearch.records import EpochResult, Prepared
    from cnnsearch.render.talk import say

    started, prepared, outcome, curve = time.time(), None, None, []
    for item in runner.run(config, test, fold=fold):
        if isinstance(item, EpochResult):
            curve.append(item)
            say(_epoch_line(item, config.train.epochs))
        elif isinstance(item, Prepared):
            prepared = item
        else:
            outcome = replace(item, seconds=time.time() - started)
    assert outcome is not None
    return _Fold(prepared, curve, outcome)


def _epoch_line(result: EpochResult, epochs: int) -> str:
    from cnnsearch.render.text import measure, number, seconds_text

    cells = [
        f"{result.epoch}/{epochs}",
        number(result.lr),
        measure(result.train_loss),
        measure(result.train_accuracy),
        measure(result.val_loss),
        measure(result.val_accuracy),
        seconds_text(result.seconds),
    ]
    return "".join(cell.rjust(len(name)) for cell, name in zip(cells, _HEADER, strict=True))


def _print(trials: Sequence[Trial]) -> None:
    from cnnsearch.records import State
    from cnnsearch.render import output
    from cnnsearch.render.curves import curve_lines
    from cnnsearch.render.text import measure
    from cnnsearch.render.trials import state_style
    from cnnsearch.render.verdicts import verdict_lines, verdict_style

    for trial in trials:
        told = f", {_OBJECTIVE} {measure(trial.value)} at epoch {trial.best_epoch}"
        if trial.state is not State.COMPLETE:
            told = f": {trial.reason}"
        seed, state = f"seed {trial.seed}: ", (str(trial.state), state_style(trial.state))
        line = [(seed, ""), state, (told, "bold")]
        if len(trials) > 1 and trial.diagnosis is not None:
            verdict = trial.diagnosis.verdict
            line += [("; ", ""), (verdict, verdict_style(verdict))]
        output.write_lines([line])
        if "test_accuracy" in trial.facts:
            output.write(_test_line(trial))
    if len(trials) > 1:
        _print_spread(trials)
        return
    output.write_lines(verdict_lines(trials[0].diagnosis))
    if trials[0].curve:
        output.write_lines([[], *curve_lines(trials[0].curve)])


def _test_line(trial: Trial) -> str:
    from cnnsearch.render.text import measure

    readings = trial.facts["test_readings"]
    times = "once" if readings == 1 else f"{readings} times"
    return (
        f"test set: accuracy {measure(trial.facts['test_accuracy'])}, "
        f"loss {measure(trial.facts['test_loss'])}; read {times} so far"
    )


def _print_spread(trials: Sequence[Trial]) -> None:
    """Mean and standard deviation over seeds; the lost runs are counted, not averaged."""
    import statistics

    from cnnsearch.render import output
    from cnnsearch.render.text import measure

    values = [trial.value for trial in trials if trial.value is not None]
    if not values:
        return
    spread = f", standard deviation {measure(statistics.stdev(values))}" if values[1:] else ""
    output.write(
        f"{len(values)} of {len(trials)} seeds complete: {_OBJECTIVE} mean "
        f"{measure(statistics.fmean(values))}{spread}, "
        f"from {measure(min(values))} to {measure(max(values))}"
    )


def _test_fields(trial: Trial) -> dict[str, object]:
    names = ("test_accuracy", "test_loss", "test_readings")
    return {name: trial.facts[name] for name in names if name in trial.facts}


def _exit_code(trials: Sequence[Trial]) -> int:
    from cnnsearch.records import State
    from cnnsearch.render.talk import say

    if any(trial.state is State.FAILED for trial in trials):
        for trial in trials:
            if trial.state is State.FAILED:
                say(str(trial.facts.get("traceback", "")))
        return 1
    return 0 if any(trial.state is State.COMPLETE for trial in trials) else 3

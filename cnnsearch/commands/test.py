"""`cnnsearch test`: a trial's final number, on images that no choice was made with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.options import json_option, storage_option
from cnnsearch.commands.references import (
    Picked,
    config_of,
    pick_one,
    references_argument,
    with_curve,
)
from cnnsearch.errors import InputError
from cnnsearch.records import EpochResult, Outcome, Prepared, State
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted, measure, number, seconds_text

if TYPE_CHECKING:
    from cnnsearch.config import Config

_HEADER = ("    epoch", "        lr", "  train_loss", "  train_accuracy", "    time")


@click.command("test")
@references_argument("STUDY TRIAL")
@storage_option
@json_option
def command(references: tuple[str, ...], storage: str, as_json: bool) -> int:
    """Train a trial on all images but the test set; read that once.

    Validation images are trained on too: nothing is chosen any more. The config is the trial's, and
    so is the number of epochs. How often the test set of these images was read, by this verb and by
    train --test, is counted for your user, stored with the trial and shown: a test set that is read
    again and again becomes a validation set.

    \b
    Exit codes: 0 done; 1 error; 2 bad input; 3 the training diverged, and the
    test set was not read.

    \b
    Example:
      cnnsearch test digits best
    """
    picked = with_curve(storage, pick_one(storage, references))
    if picked.trial.state is not State.COMPLETE:
        raise InputError(f"{picked.label}: {picked.trial.state}. Choose a complete trial.")
    config = replace(config_of(picked), diagnose=False)
    _say_how_often(picked, storage, config)
    outcome, prepared = _trained(config, _fingerprint(storage, picked))
    if outcome.state is not State.COMPLETE:
        say(str(outcome.facts.get("traceback", "")) or f"{outcome.state}: {outcome.reason}")
        return 3 if outcome.state is State.DIVERGED else 1
    assert prepared is not None
    told = _told(outcome, prepared, config)
    # Printed first: the reading is spent, and a storage that fails now must not hide what it gave.
    if as_json:
        from cnnsearch.render import output

        output.write_json({"study": picked.summary.name, "trial": picked.trial.number, **told})
    else:
        _print(picked, told)
    _store(storage, picked, told)
    return 0


def _fingerprint(storage: str, picked: Picked) -> str | None:
    from cnnsearch.study import attributes, read

    found = read.study_attributes(storage, picked.summary.name) or {}
    return found.get(attributes.FINGERPRINT)


def _say_how_often(picked: Picked, storage: str, config: Config) -> None:
    """Before anything is trained: how often the test set was read already."""
    from cnnsearch.data.readings import readings

    before = readings(_fingerprint(storage, picked) or "")
    words = "was not read yet" if not before else f"was read {counted(before, 'time')} before"
    say(f"{picked.label}: {counted(config.train.epochs, 'epoch')} on all training images of "
        f"{config.data.name}; its test set {words}")  # fmt: skip


def _trained(config: Config, fingerprint: str | None) -> tuple[Outcome, Prepared | None]:
    from cnnsearch import runner

    outcome, prepared, started = None, None, time.time()
    for item in runner.run(config, test=True, fingerprint=fingerprint, whole=True):
        if isinstance(item, EpochResult):
            say(_epoch_line(item, config.train.epochs))
        elif isinstance(item, Prepared):
            prepared = item
            say("".join(_HEADER))
        else:
            outcome = replace(item, seconds=time.time() - started)
    assert outcome is not None
    return outcome, prepared


def _epoch_line(result: EpochResult, epochs: int) -> str:
    cells = (
        f"{result.epoch}/{epochs}",
        number(result.lr),
        measure(result.train_loss),
        measure(result.train_accuracy),
        seconds_text(result.seconds),
    )
    return "".join(cell.rjust(len(name)) for cell, name in zip(cells, _HEADER, strict=True))


def _told(outcome: Outcome, prepared: Prepared, config: Config) -> dict[str, Any]:
    facts = outcome.facts
    return {
        "test_accuracy": facts["test_accuracy"],
        "test_loss": facts["test_loss"],
        "test_images": facts["test_images"],
        "test_readings": facts["test_readings"],
        "training_images": prepared.training_images,
        "epochs": config.train.epochs,
        "seconds": round(outcome.seconds or 0.0, 3),
        "at": round(time.time(), 3),
        "environment": dict(prepared.environment),
    }


def _store(storage: str, picked: Picked, told: Mapping[str, Any]) -> None:
    """Keep the result with the trial, whoever owns the study."""
    from cnnsearch.study import attributes, requests

    result = attributes.strict(told)
    request = {"verb": "test", "trials": [picked.trial.number], "result": result}
    if not requests.ask(storage, picked.summary.name, request):
        say("the running search is busy and stores the result when it can")


def _print(picked: Picked, told: Mapping[str, Any]) -> None:
    from cnnsearch.render import output
    from cnnsearch.render.trials import objective
    from cnnsearch.review.chance import wilson

    images, accuracy = told["test_images"], told["test_accuracy"]
    low, high = wilson(round(accuracy * images), images)
    output.write(
        f"{picked.label}: test accuracy {measure(accuracy)}, loss {measure(told['test_loss'])}"
    )
    output.write(f"on {images:,} images, so 95 % sure from {low:.4f} to {high:.4f}")
    count = sum(picked.summary.counts.values())
    best = f", the best of {count}" if picked.summary.best == picked.trial.value else ""
    output.write(f"in the search: {objective(picked.summary)} {measure(picked.trial.value)}{best}")
    output.write(f"the test set was read {counted(told['test_readings'], 'time')} so far")

"""What pruner and guard saved, told at the end of `run`, in its JSON and above `list STUDY`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.config import Config
from cnnsearch.config.sections import Folds
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render.summary import closing, saved_text, standing
from cnnsearch.review.savings import Savings, savings
from tests.builders import digits_config, write_digits
from tests.test_list_summary import summary, trial


def ended(number: int, state: State, epochs: int, **facts: Any) -> Trial:
    """A trial that finished so many epochs."""
    value = 0.5 if state is State.COMPLETE else None
    made = replace(trial(number, value, 0.1, state), epochs=epochs, facts=facts)
    return replace(made, params={"lr": 0.1})


def study(found: list[Trial], epochs: int = 10, folds: int = 1) -> StudySummary:
    config: Config = digits_config(epochs=epochs)
    if folds > 1:
        validation = Folds(folds=folds)
        config = replace(config, data=config.data.model_copy(update={"validation": validation}))
    return replace(summary(found), config=config.plain())


def test_epochs_that_were_not_run() -> None:
    """The epoch in which a trial diverged counts as run."""
    found = [
        ended(0, State.COMPLETE, 10),
        ended(1, State.PRUNED, 3),
        ended(2, State.DIVERGED, 0),
        ended(3, State.DIVERGED, 9),
        ended(4, State.FAILED, 2),
        ended(5, State.KILLED, 2),
        ended(6, State.RUNNING, 2),
    ]
    saved = savings(study(found), found)
    assert saved == Savings(full=40, pruned=7, diverged=9)
    assert (saved.run, saved.saved) == (24, 16)
    assert saved_text(saved) == "40 % of the epochs: 18 % pruned, 22 % diverged"


def test_a_point_counts_once() -> None:
    first = replace(ended(0, State.FAILED, 1), key="0")
    again = replace(ended(1, State.PRUNED, 1), key="0", attempt=2)
    assert savings(study([first, again]), [first, again]) == Savings(10, pruned=9)


def test_epochs_that_were_searched() -> None:
    found = [replace(ended(0, State.PRUNED, 1), params={"epochs": 4})]
    assert savings(study(found), found) == Savings(4, pruned=3)


def test_epochs_of_folds() -> None:
    """Of three folds of ten epochs each."""
    found = [
        ended(0, State.COMPLETE, 10, fold_epochs=30),
        ended(1, State.PRUNED, 10, fold_epochs=10),
        ended(2, State.DIVERGED, 4, fold_epochs=14, fold=2),
    ]
    assert savings(study(found, folds=3), found) == Savings(90, pruned=20, diverged=15)


@pytest.mark.parametrize(
    ("saved", "text"),
    [
        (Savings(), ""),
        (Savings(100), ""),
        (Savings(1000, pruned=4), ""),
        (Savings(100, diverged=16), "16 % of the epochs: 16 % diverged"),
        (Savings(100, pruned=31), "31 % of the epochs: 31 % pruned"),
        # 31.4 and 15.4 make 46.8: what is rounded adds up all the same.
        (Savings(500, 157, 77), "47 % of the epochs: 31 % pruned, 16 % diverged"),
    ],
)
def test_text(saved: Savings, text: str) -> None:
    assert saved_text(saved) == text


def test_the_end_of_run_and_list_tell_it() -> None:
    found = [ended(0, State.COMPLETE, 10), ended(1, State.PRUNED, 1)]
    line = "saved 45 % of the epochs: 45 % pruned"
    assert line in closing(study(found), found, 2, "again", interrupted=False)
    assert line in ["".join(text for text, _ in one) for one in standing(study(found), found)]
    whole = [ended(0, State.COMPLETE, 10)]
    lines = closing(study(whole), whole, 1, "again", interrupted=False)
    assert not any(one.startswith("saved") for one in lines)


def test_run_with_asha(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_digits(
        tmp_path,
        search="search: {trials: 8, pruner: asha}",
        train="train: {epochs: 3}",
        **{"  lr": "  lr: {low: 1e-3, high: 1e3, log: true}"},
    )
    assert cli.run(["run", str(path), "-j", "0", "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert cli.run(["list", "digits", "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)
    lost = [one["state"] == "diverged" for one in trials]
    run = sum(one["epochs"] for one in trials) + sum(lost)
    epochs = document["epochs"]
    assert list(epochs) == ["full", "run", "saved", "pruned", "diverged"]
    assert (epochs["full"], epochs["run"]) == (24, run)
    assert epochs["saved"] == 24 - run == epochs["pruned"] + epochs["diverged"]
    assert document["counts"]["pruned"] > 0
    share = f"saved {round(100 * epochs['saved'] / 24)} % of the epochs: "
    assert sum(line.startswith(share) for line in told.err.splitlines()) == 1

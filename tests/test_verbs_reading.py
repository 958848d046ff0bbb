"""The verb list, and what all verbs that read have in common, on a real storage."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnsearch.records import Outcome, State
from cnnsearch.render.trials import FIELDS
from tests.studies import Told, complete, curve, multiply, point, write_study
from tests.terminals import on_terminal
from tests.verbs import Found, call, storage

__all__ = ["call", "storage"]  # fixtures

ALL_COLUMNS = [*(name for name in FIELDS if name not in ("params", "reason", "seed")),
               "lr", "init", "batchnorm", "dropout", "seed", "reason"]  # fmt: skip
READING = ("list", "show", "compare", "diff", "export", "choices", "rm")


def numbers(found: Found) -> list[str]:
    return [row[0] for row in found.rows[1:]]


def test_list_studies(call: Any) -> None:
    found = call("list")
    assert found.rows == [
        ["study", "complete", "diverged", "failed", "best", "last", "change"],
        ["digits", "4", "1", "1", "0.9500", "just", "now"],
        ["digits-wide", "2", "0", "0", "0.6000", "just", "now"],
    ]
    assert found.err == ""


def test_list_studies_as_json(call: Any) -> None:
    studies = json.loads(call("list", "--json").out)
    assert [study["study"] for study in studies] == ["digits", "digits-wide"]
    assert studies[0]["counts"] == {
        "complete": 4, "pruned": 0, "diverged": 1, "failed": 1, "killed": 0, "running": 0
    }  # fmt: skip
    assert studies[0]["planned"] == 8
    assert studies[0]["direction"] == "maximize"


def test_no_database(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    found = call("list", "--storage", str(path))
    assert found == Found(
        0,
        "",
        f"No studies: there is no {path}. Go to the folder where run was called, or give --storage "
        "FILE; to start one: cnnsearch run FILE\n",
    )
    assert call("list", "--json", "--storage", str(path)).out == "[]\n"
    shown = call("show", "digits", "1", "--storage", str(path))
    assert shown.code == 2
    assert shown.err.startswith(f"study 'digits': there is no {path}. Go to the folder where")
    assert not path.exists()
    path.touch()
    found = call("list", "--storage", str(path))
    assert found == Found(0, "", f"No studies in {path}. Start one: cnnsearch run FILE\n")


def test_list_trials_best_first_with_reasons(call: Any) -> None:
    found = call("list", "digits")
    assert found.code == 0
    assert numbers(found) == ["1", "6", "0", "4", "2", "3"]
    header = found.rows[0]
    assert header[:3] == ["number", "state", "value"]
    assert header[-4:] == ["lr", "init", "batchnorm", "reason"], "dropout does not vary"
    assert "loss 21.34 above 6.908 at step 40" in found.out
    assert "RuntimeError: shape [/red]abc" in found.out
    assert "\x1b" not in found.out
    assert "\u202e" not in found.out


def test_summary_is_talk_in_a_pipe(call: Any) -> None:
    found = call("list", "digits")
    lines = found.err.splitlines()
    assert lines[0] == (
        "digits: 6 of 8 points: 4 complete, 1 diverged, 1 failed (val_accuracy, higher is better)"
    )
    assert lines[1] == (
        "best: trial 1, 0.9500 (lr 0.1, init normal:0.01, batchnorm false, dropout 0)"
    )
    assert lines[2] == "saved 13 % of the epochs: 13 % diverged"
    assert lines[3] == (
        "next: cnnsearch run FILE, with the file it was started from (runs the 2 points left)"
    )
    assert lines[4] == (
        "next: cnnsearch show digits 3 (tells why it failed); cnnsearch show digits best"
    )
    assert "digits:" not in found.out


@pytest.mark.parametrize("form", ["--json", "--csv", "--md"])
def test_only_data_in_data_formats(call: Any, form: str) -> None:
    assert call("list", "digits", form).err == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--top", "2"], ["1", "6"]),
        (["--sort", "lr"], ["4", "0", "6", "1", "3", "2"]),
        (["--sort", "-lr"], ["2", "3", "1", "6", "0", "4"]),
        (["--sort", "value"], ["4", "0", "6", "1", "2", "3"]),
        (["--sort", "-value", "--top", "1"], ["1"]),
        (["--sort", "init"], ["6", "0", "4", "2", "1", "3"]),
        (["--sort", "number"], ["0", "1", "2", "3", "4", "6"]),
        (["--state", "failed,diverged"], ["2", "3"]),
        (["--state", "failed", "--state", "diverged"], ["2", "3"]),
        (["--where", "lr < 0.05 and batchnorm"], ["6", "0", "4"]),
        (["--where", "init == 'normal:0.01'"], ["1", "3"]),
        (["--all-attempts"], ["1", "6", "0", "4", "2", "3", "5"]),
        (["--all-attempts", "--state", "killed"], ["5"]),
        (["--state", "pruned"], []),
    ],
    ids=str,
)
def test_choice_and_order_of_trials(call: Any, arguments: list[str], expected: list[str]) -> None:
    assert numbers(call("list", "digits", *arguments)) == expected


@pytest.mark.parametrize(
    ("cols", "header"),
    [
        ("lr,seconds", ["number", "lr", "seconds"]),
        ("dropout", ["number", "dropout"]),
        ("params.lr, lr", ["number", "lr"]),
        ("all", ALL_COLUMNS),
    ],
)
def test_columns(call: Any, cols: str, header: list[str]) -> None:
    assert call("list", "digits", "--cols", cols).rows[0] == header


def test_all_attempts_tell_point_and_attempt(call: Any) -> None:
    rows = call("list", "digits", "--all-attempts").rows
    assert rows[0][:3] == ["number", "point", "attempt"]
    assert ["5", "5", "1", "killed"] in [row[:4] for row in rows]


def test_a_hyperparameter_named_like_a_field(call: Any) -> None:
    rows = call("list", "digits-wide").rows
    assert [name for name in rows[0] if name != "seconds"] == [
        "number", "state", "value", "epochs", "params.epochs"
    ]  # fmt: skip
    assert (rows[1][3], rows[1][-1]) == ("3", "3")
    assert numbers(call("list", "digits-wide", "--where", "params.epochs == 2")) == ["0"]


def test_trial_objects(call: Any) -> None:
    trials = json.loads(call("list", "digits", "--json").out)
    assert [trial["number"] for trial in trials] == [1, 6, 0, 4, 2, 3]
    assert all(tuple(trial) == FIELDS for trial in trials)
    assert FIELDS == (
        "number", "point", "attempt", "state", "verdict", "value", "params", "epochs",
        "best_epoch", "seconds", "findings", "tags", "note", "hidden", "reason", "seed",
    )  # fmt: skip
    best = trials[0]
    assert best["params"] == {"lr": 0.1, "init": "normal:0.01", "batchnorm": False, "dropout": 0.0}
    assert (best["state"], best["value"], best["reason"]) == ("complete", 0.95, None)


def test_list_as_csv_and_markdown(call: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(call("list", "digits", "--csv").out)))
    assert rows[0]["value"] == "0.95"
    assert rows[-1]["state"] == "failed"
    lines = call("list", "digits", "--md").out.splitlines()
    assert lines[0].startswith("| number | state | value |")
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "digit", "--top", "0"], "0"),
        (["list", "dig"], "study 'dig' is ambiguous. Write one of: digits, digits-wide."),
        (["list", "dgits"], "Studies: digits, digits-wide."),
        (["list", "digits", "--sort", "lrr"], "--sort: unknown name 'lrr'. Did you mean lr?"),
        (["list", "digits", "--cols", "lr,sconds"], "Did you mean seconds?"),
        (["list", "digits", "--state", "divergd"], "Did you mean diverged?"),
        (["list", "digits", "--where", "lr <"], "not a condition"),
        (["list", "--top", "3"], "options that choose trials need a study"),
        (["list", "digits", "--json", "--csv"], "--json and --csv together. Write one of them."),
        (["list", "digits", "--md", "--csv"], "--csv and --md together. Write one of them."),
        (["list", "digits", "--md", "--csv", "--json"], "--json and --csv and --md together."),
        (["list", "digits", "--json", "--cols", "lr"], "JSON holds every field"),
        (["list", "digits", "--sort", "val_loss"], "--sort: unknown name 'val_loss'"),
        (["show", "digits"], "digits: which trial? Write digits best"),
        (["show", "digits", "99"], "study digits has no trial 99. It has trials 0 to 6."),
        (["show", "digits", "top:2"], "one trial is wanted, not 2"),
        (["show", "digits", "bets"], "Did you mean best?"),
        (["compare", "digits", "1"], "compare takes 2 to 8 trials, not 1 trial"),
        (["compare", "digits", "1,1,1"], "compare takes 2 to 8 trials, not 1 trial"),
        (["compare", "digits", "1", "best", "digits/1"], "not 1 trial"),
        (["compare", "digits", "--by", "inti"], "Did you mean init?"),
        (["compare", "digits/1", "digits-wide/0", "--by", "lr"], "one study"),
        (["compare", "digits", "0,1", "--md", "--json"], "Write one of them"),
        (["diff", "digits", "digits/1"], "no such file"),
        (["diff", "absent.yaml", "digits/1"], "absent.yaml"),
        (["export", "digits", "top:2"], "one trial is wanted"),
        (["export", "digits", "best", "--all-attempts"], "write one of --csv, --curves, "),
        (["export", "digits", "1", "--all-attempts", "--model", "x.pt"], "write one of --csv, "),
        (["export", "digits/1", "digits-wide/0", "--csv"], "one study"),
        (["export", "digits/1", "digits-wide/0", "--curves"], "one study"),
        (["export", "digits", "--csv", "--curves"], "--csv and --curves together"),
        (["export", "digits", "1", "--csv"], "--csv is for all trials of one study"),
        (["export", "digits", "1", "--curves", "--all-attempts"], "--all-attempts is for all"),
        (["choices", "activations"], "activation"),
        (["rm", "digits-w", "-y"], "Write it in full: digits-wide."),
        (["rm", "digits"], "Write -y"),
        (["rm", "nothing", "-y"], "no study 'nothing'"),
    ],
    ids=str,
)
def test_wrong_input(call: Any, storage: Path, arguments: list[str], told: str) -> None:
    before = storage.read_bytes()
    found = call(*arguments)
    assert (found.code, found.out) == (2, "")
    assert told in found.err
    assert len(found.err.splitlines()) == 1
    assert storage.read_bytes() == before


def test_a_study_without_a_trial(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    write_study(path, "empty", ())
    found = call("list", "empty", "--storage", str(path))
    assert (found.code, found.out) == (0, "")
    assert found.err.startswith("empty: 0 of 8 points (val_accuracy")
    assert "no trials yet" in call("show", "empty", "best", "--storage", str(path)).err
    assert call("list", "empty", "--json", "--storage", str(path)).out == "[]\n"


def test_no_trial_complete(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "lost.db"
    write_study(path, "lost", (Told(point(9.0), Outcome(State.DIVERGED, "too loud")),))
    found = call("show", "lost", "best", "--storage", str(path))
    assert found.code == 2
    assert "no trial of study lost is complete" in found.err
    assert call("list", "lost", "--storage", str(path)).code == 0


def test_many_epochs_are_all_in_a_pipe(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "long.db"
    long = Told(point(0.1), Outcome(State.COMPLETE), curve(0.9, 40))
    write_study(path, "long", (long,))
    out = call("show", "long", "best", "--storage", str(path)).out
    table = out[out.index("\nepochs\n") : out.index("\nconfig\n")]
    assert len(table.strip().splitlines()) == 42


@pytest.mark.parametrize("verb", READING)
def test_help_holds_an_example(call: Any, verb: str) -> None:
    found = call(verb, "--help")
    assert found.code == 0
    assert re.search(rf"Examples?:\n +cnnsearch {verb}", found.out)


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "digits"], ["list", "digits", "--where", "lr < 1"], ["list", "--json"],
     ["compare", "digits", "--by", "init"], ["export", "digits", "--csv"], ["choices"]],
    ids=str,
)  # fmt: skip
def test_listings_load_neither_torch_nor_optuna(storage: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom cnnsearch.cli import run\n"
        f"code = run({arguments!r})\n"
        "loaded = {'torch', 'torchvision', 'optuna', 'plotext', 'PIL'} & set(sys.modules)\n"
        "sys.exit(code or (f'loaded: {loaded}' if loaded else 0))\n"
    )
    environment = {**os.environ, "CNNSEARCH_STORAGE": str(storage)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert found.returncode == 0, found.stderr


def test_show_loads_neither_torch_nor_optuna(storage: Path) -> None:
    code = (
        "import sys\nfrom cnnsearch.cli import run\nrun(['show', 'digits', 'best'])\n"
        "sys.exit(bool({'torch', 'optuna'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "CNNSEARCH_STORAGE": str(storage)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert found.returncode == 0


def test_a_thousand_trials_are_listed_quickly(tmp_path: Path) -> None:
    """Under 1.5 s; of processor time, because other tests run beside it (measured: 0.4 s)."""
    path = tmp_path / "big.db"
    told = tuple(complete(0.5 + k / 40, point(10.0 ** (-k / 5))) for k in range(10))
    write_study(path, "big", told)
    multiply(path, 1000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(
        [sys.executable, "-m", "cnnsearch", "list", "big", "--storage", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    assert len(found.stdout.splitlines()) == 1001
    assert len({line.split()[0] for line in found.stdout.splitlines()}) == 1001


def plain(text: str) -> list[str]:
    """Lines of a terminal without their colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def test_list_on_a_terminal_of_80_columns(storage: Path) -> None:
    shown = on_terminal(["-m", "cnnsearch", "list", "digits", "--storage", str(storage)])
    lines = plain(shown)
    assert all(len(line) <= 80 for line in lines)
    header = next(i for i, line in enumerate(lines) if line.startswith("number"))
    assert lines[0].startswith("digits: 6 of 8 points")
    assert lines[header - 1] == "", "the summary stands above the table"
    assert lines[header + 1].split()[:3] == ["1", "complete", "0.9500"]
    assert "\x1b[32mcomplete" in shown
    assert "\x1b]" not in shown


def test_long_tables_of_epochs_are_thinned_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "long.db"
    write_study(path, "long", (Told(point(0.1), Outcome(State.COMPLETE), curve(0.9, 40)),))
    show = ["-m", "cnnsearch", "show", "long", "0", "--storage", str(path)]
    assert "25 epochs are left out: --all shows every one." in plain(on_terminal(show))
    assert len(plain(on_terminal([*show, "--all"]))) == len(plain(on_terminal(show))) + 24


def header(found: Found) -> list[str]:
    return found.out.splitlines()[0].split(",")


def test_csv_has_always_the_same_columns(call: Any) -> None:
    every = header(call("list", "digits", "--csv"))
    assert {"dropout", "batchnorm", "best_epoch", "seed"} <= set(every)
    for choice in (["--top", "1"], ["--state", "failed"], ["--all-attempts"], ["--cols", "all"]):
        assert header(call("list", "digits", "--csv", *choice)) == every
    assert header(call("export", "digits", "--csv")) == every
    assert header(call("list", "digits", "--csv", "--cols", "lr")) == ["number", "lr"]


def test_csv_of_studies_has_every_state(call: Any) -> None:
    assert header(call("list", "--csv"))[1:7] == [str(state) for state in State]


def test_csv_has_hyperparameters_that_no_trial_has(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    write_study(path, "part", (complete(0.9, {"lr": 0.1}),))
    assert "dropout" in header(call("list", "part", "--csv", "--storage", str(path)))
    assert call("list", "part", "--where", "dropout < 1", "--storage", str(path)).code == 0


def test_columns_do_not_depend_on_top(call: Any) -> None:
    """Trials 1 and 6 differ in batchnorm, the first two of `--sort lr` do not."""
    for form in ((), ("--md",)):
        shown = call("list", "digits", "--sort", "lr", "--top", "2", *form).out
        assert "batchnorm" in shown.splitlines()[0]


def test_the_name_of_the_objective_stands_for_the_value(call: Any) -> None:
    assert numbers(call("list", "digits", "--where", "val_accuracy > 0.9")) == ["1", "6"]
    assert numbers(call("list", "digits", "--sort", "val_accuracy"))[0] == "4"
    assert call("list", "digits", "--cols", "val_accuracy").rows[0] == ["number", "value"]


def test_studies_are_listed_where_they_are_few(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    for k in range(9):
        write_study(path, f"study{k}" if k else "mine", ())
        if k in (7, 8):
            told = call("list", "other", "--storage", str(path)).err
            assert ("Studies: mine, study1" in told) == (k == 7)
    assert told.endswith("See them all: cnnsearch list.\n")
    near = call("list", "mnie", "--storage", str(path)).err
    assert near.endswith("Nearest: mine.\n")


def test_one_thing_is_told_in_the_singular(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    write_study(path, "most", tuple(complete(0.5, point(0.1 / (k + 1))) for k in range(7)))
    assert "(runs the 1 point left)" in call("list", "most", "--storage", str(path)).err
    write_study(path, "one", (complete(0.5, point(0.1)),))
    found = call("list", "one", "--where", "lr > 1", "--storage", str(path))
    assert "None of the 1 trial meets the conditions." in found.err


def test_what_does_not_meet_is_counted_in_points(call: Any) -> None:
    assert "None of the 6 trials" in call("list", "digits", "--where", "lr > 100").err
    found = call("list", "digits", "--where", "lr > 100", "--all-attempts")
    assert "None of the 7 attempts" in found.err

"""The verbs that read, on a real storage: list, show, compare, diff, export, choices, rm."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import catalog, cli
from cnnsearch.config import load
from cnnsearch.records import Outcome, State
from cnnsearch.render.trials import FIELDS
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import SEVEN, SPACE, Told, complete, curve, multiply, point, write_study
from tests.terminals import on_terminal

ALL_COLUMNS = [*(name for name in FIELDS if name not in ("params", "reason", "seed")),
               "lr", "init", "batchnorm", "dropout", "seed", "reason"]  # fmt: skip
READING = ("list", "show", "compare", "diff", "export", "choices", "rm")


@dataclass(frozen=True)
class Found:
    """What a call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the printed table."""
        return [line.split() for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds `digits` (see `SEVEN`) and `digits-wide` (two trials)."""
    path = tmp_path_factory.mktemp("reading") / "studies.db"
    write_study(path)
    space: Space = {"lr": Range(1e-3, 1.0), "epochs": Choice((2, 3)), "kernel": Choice((1, 3))}
    told = tuple(
        complete(0.5 + k / 10, {"lr": 0.1, "epochs": 2 + k, "kernel": 3}, 2 + k) for k in range(2)
    )
    write_study(path, "digits-wide", told, space)
    return path


@pytest.fixture
def call(storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the program on the storage."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))

    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


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
    assert found == Found(0, "", f"No studies in {path}. Start one: cnnsearch run FILE\n")
    assert call("list", "--json", "--storage", str(path)).out == "[]\n"
    assert call("show", "digits", "1", "--storage", str(path)).code == 2
    assert not path.exists()


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
    assert lines[2] == "next: cnnsearch run FILE (runs the 2 points left)"
    assert lines[3] == "next: cnnsearch show digits 3 (tells why it failed)"
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
        "number", "point", "attempt", "state", "value", "params", "epochs", "best_epoch",
        "seconds", "reason", "seed",
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
        (["list", "dgits"], "Nearest: digits"),
        (["list", "digits", "--sort", "lrr"], "--sort: unknown name 'lrr'. Did you mean lr?"),
        (["list", "digits", "--cols", "lr,sconds"], "Did you mean seconds?"),
        (["list", "digits", "--state", "divergd"], "Did you mean diverged?"),
        (["list", "digits", "--where", "lr <"], "not a condition"),
        (["list", "--top", "3"], "options that choose trials need a study"),
        (["list", "digits", "--json", "--csv"], "Write one of them"),
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
        (["export", "digits", "best", "--all-attempts"], "--csv or --curves"),
        (["export", "digits/1", "digits-wide/0", "--csv"], "one study"),
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
    assert storage.read_bytes() == before


def test_show_begins_with_what_matters(call: Any) -> None:
    lines = call("show", "digits", "best").out.splitlines()
    assert lines[0] == "trial 1 of digits: complete, val_accuracy 0.9500 at epoch 3"
    assert "guessing among 10 classes costs 2.303" in "\n".join(lines[:6])
    assert "12,345 learned parameters" in lines
    order = [lines.index(title) for title in ("hyperparameters", "epochs", "config")]
    assert order == sorted(order)
    assert any("accuracy" in line and "loss" in line for line in lines), "curves"
    row = next(line.split() for line in lines if line.split()[:2] == ["3", "*"])
    assert row == ["3", "*", "0.1", "0.6667", "0.9500", "0.8333", "0.9500", "0.5s"]


def test_show_a_diverged_trial(call: Any) -> None:
    found = call("show", "digits/2")
    assert found.out.startswith("trial 2 of digits: diverged\nloss 21.34 above 6.908 at step 40\n")
    assert "step 40: loss 21.34, limit 6.908" in found.out


def test_show_a_failed_trial_with_its_traceback(call: Any) -> None:
    out = call("show", "digits", "3").out
    assert "raised at network.py:7" in out
    assert "traceback\nTraceback\n  File x\nshape [/red]abc\n" in out
    assert "\x1b" not in out


def test_show_tells_of_other_attempts(call: Any) -> None:
    assert (
        "other attempts of the point: trial 5 (attempt 1, killed)" in call("show", "digits/6").out
    )
    assert "other attempts" not in call("show", "digits/1").out


def test_show_as_json(call: Any) -> None:
    shown = json.loads(call("show", "digits", "1", "--json").out)
    assert tuple(shown) == (*FIELDS, "curve", "config")
    assert list(shown["curve"][0]) == [
        "epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"
    ]  # fmt: skip
    assert [result["epoch"] for result in shown["curve"]] == [1, 2, 3]
    assert shown["config"]["train"]["lr"] == 0.1
    assert shown["config"]["seed"] == shown["seed"] == 1001
    assert "space" not in shown["config"]


def test_compare_shows_what_differs(call: Any) -> None:
    found = call("compare", "digits", "0,1,2")
    rows = {line[:20].strip(): line.split() for line in found.out.splitlines() if line.strip()}
    assert found.out.split()[:3] == ["#0", "#1", "#2"]
    assert rows["lr"][1:] == ["0.01", "0.1", "8.5"]
    assert rows["state"][1:] == ["complete", "complete", "diverged"]
    assert rows["best val_accuracy"][2:] == ["0.9000", "0.9500", "-"]
    assert "dropout" not in rows
    assert "#2: loss 21.34 above 6.908 at step 40" in found.out
    assert "#2 (no epoch finished)" in found.out
    assert "dropout" in call("compare", "digits", "0,1", "--all-rows").out


def test_compare_of_two_studies_shows_their_settings(call: Any) -> None:
    out = call("compare", "digits/1", "digits-wide/best", "--md").out
    assert "| digits/1 | digits-wide/1 |" in out
    assert "| kernel |" not in out, "3 in both, searched in one"
    assert "| init | normal:0.01 | he |" in out
    assert "validation" not in out, "no curves in Markdown"


def test_compare_as_json(call: Any) -> None:
    trials = json.loads(call("compare", "digits/1", "digits-wide/0", "--json").out)
    assert [(t["study"], t["number"]) for t in trials] == [("digits", 1), ("digits-wide", 0)]
    assert len(trials[1]["curve"]) == 2


@pytest.mark.parametrize("count", [8, 9])
def test_compare_takes_at_most_eight(call: Any, tmp_path: Path, count: int) -> None:
    path = tmp_path / "many.db"
    told = tuple(complete(0.5 + k / 100, point(10.0 ** (-k / 3))) for k in range(count))
    write_study(path, "many", told)
    found = call("compare", "many", "top:9", "--storage", str(path))
    assert found.code == (0 if count == 8 else 2)


def test_compare_by_groups(call: Any) -> None:
    rows = call("compare", "digits", "--by", "init").rows
    assert rows[0] == ["init", "trials", "complete", "mean", "best", "best", "trial", "diverged"]
    assert rows[1:] == [
        ["he", "4", "3", "0.8933", "0.9300", "6", "25%"],
        ["normal:0.01", "2", "1", "0.9500", "0.9500", "1", "0%"],
    ]
    groups = json.loads(call("compare", "digits", "--by", "init", "--json").out)
    assert groups[0]["diverged"] == 0.25
    assert [group["value"] for group in groups] == ["he", "normal:0.01"]


def test_diff(call: Any) -> None:
    found = call("diff", "digits/0", "digits/1")
    changed = [line for line in found.out.splitlines() if re.match(r"[+-] ", line)]
    assert [line.split(":")[0].strip() for line in changed] == [
        "-  init", "-  batchnorm", "+  init", "+  batchnorm", "-  lr", "+  lr"
    ]  # fmt: skip
    assert found.out.startswith("--- digits/0\n+++ digits/1\n@@")


def test_diff_of_equals(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(call("export", "digits", "best").out)
    found = call("diff", "digits/best", str(path))
    assert (found.code, found.out) == (0, "")
    assert "No difference" in found.err


def test_export_reads_back_as_the_same_trial(call: Any, storage: Path, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    found = call("export", "digits", "best", "-o", str(path))
    assert (found.code, found.out) == (0, "")
    text = path.read_text()
    assert text.startswith("# Trial 1 of study digits (complete, val_accuracy 0.9500), exported by")
    trial = read.trial(str(storage), "digits", 1)
    assert load(path) == digits_config("digits", SPACE, 3).at(trial.params, trial.seed)


def test_export_does_not_overwrite(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "kept.yaml"
    path.write_text("mine")
    assert call("export", "digits", "1", "-o", str(path)).code == 2
    assert path.read_text() == "mine"
    assert call("export", "digits", "1", "-o", str(path), "--force").code == 0
    assert path.read_text() != "mine"
    assert call("export", "digits", "1", "-o", str(tmp_path)).code == 2
    assert call("export", "digits", "1", "-o", str(tmp_path / "no" / "x.yaml")).code == 2


def test_export_all_trials(call: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(call("export", "digits", "--csv").out)))
    fields = [name for name in FIELDS if name != "params"]
    assert list(rows[0]) == [*fields, "lr", "init", "batchnorm", "dropout"]
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4", "6"]
    assert rows[2]["value"] == ""
    every = csv.DictReader(io.StringIO(call("export", "digits", "--csv", "--all-attempts").out))
    assert len(list(every)) == 7


def test_export_all_epochs(call: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(call("export", "digits", "--curves").out)))
    assert list(rows[0])[:4] == ["number", "point", "attempt", "epoch"]
    assert len(rows) == 4 * 3
    assert rows[3] == {
        "number": "1", "point": "1", "attempt": "1", "epoch": "1", "lr": "0.1",
        "train_loss": "2.0", "train_accuracy": str(0.95 / 3), "val_loss": "2.5",
        "val_accuracy": str(0.95 / 3), "seconds": "0.5",
    }  # fmt: skip
    one = csv.DictReader(io.StringIO(call("export", "digits", "6", "--curves").out))
    assert {(row["number"], row["attempt"]) for row in one} == {("6", "2")}


@pytest.mark.parametrize("kind", catalog.TABLES)
def test_choices_hold_every_row(call: Any, kind: str) -> None:
    out = call("choices", kind).out
    for row in catalog.TABLES[kind].values():
        line = rf"^{kind} +{row.name}\S* +{re.escape(row.description)}$"
        assert re.search(line, out, re.MULTILINE), row.name
    rows = json.loads(call("choices", "--json").out)[kind]
    assert [row["name"] for row in rows] == list(catalog.TABLES[kind])


def test_rm(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    write_study(path, "gone", SEVEN[:1])
    write_study(path, "kept", SEVEN[:1])
    found = call("rm", "gone", "-y", "--storage", str(path))
    assert (found.code, found.out, found.err) == (0, "", "Deleted study gone (1 complete).\n")
    assert read.study_names(str(path)) == ["kept"]


def test_rm_of_a_running_study_is_refused(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    write_study(path, "busy", SEVEN[:1])
    study = Study.claim(str(path), digits_config("busy", SPACE, 3), "images", 8)
    try:
        found = call("rm", "busy", "-y", "--storage", str(path))
    finally:
        study.release()
    assert found.code == 1
    assert str(os.getpid()) in found.err
    assert read.study_names(str(path)) == ["busy"]


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


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["gone"]), (b"y\n", [])])
def test_rm_asks_on_a_terminal(tmp_path: Path, answer: bytes, left: list[str]) -> None:
    path = tmp_path / "own.db"
    write_study(path, "gone", SEVEN[:1])
    shown = on_terminal(["-m", "cnnsearch", "rm", "gone", "--storage", str(path)], typed=answer)
    assert "Delete study gone (1 complete)? [y/N]" in shown
    assert read.study_names(str(path)) == left

"""The verbs on single trials and on whole studies: show, compare, diff, export, choices, rm."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import catalog, cli
from cnnsearch.config import load
from cnnsearch.ending import ended
from cnnsearch.records import Start
from cnnsearch.render.trials import FIELDS
from cnnsearch.study import read
from cnnsearch.study.lock import StudyLock, is_held
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import SEVEN, SPACE, complete, point, write_study
from tests.terminals import on_terminal
from tests.verbs import call, storage

__all__ = ["call", "storage"]  # fixtures


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
    assert tuple(shown) == (*FIELDS, "curve", "probes", "facts", "config")
    assert shown["facts"]["parameters"] == 12345
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


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["gone"]), (b"y\n", [])])
def test_rm_asks_on_a_terminal(tmp_path: Path, answer: bytes, left: list[str]) -> None:
    path = tmp_path / "own.db"
    write_study(path, "gone", SEVEN[:1])
    shown = on_terminal(["-m", "cnnsearch", "rm", "gone", "--storage", str(path)], typed=answer)
    assert "Delete study gone (1 complete)? [y/N]" in shown
    assert read.study_names(str(path)) == left


def test_compare_tells_close_numbers_apart(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "close.db"
    told = tuple(complete(value, point(lr)) for value, lr in ((0.9, 0.0123412), (0.90001, 0.01234)))
    write_study(path, "close", told)
    rows = [
        line.split()
        for line in call("compare", "close", "0,1", "--storage", str(path)).out.splitlines()
    ]
    assert ["lr", "0.012341", "0.01234"] in rows
    assert ["val_accuracy", "0.9", "0.90001"] in rows
    assert ["best", "val_accuracy", "0.9", "0.90001"] in rows
    assert not any(row[:1] == ["init"] for row in rows)


def test_compare_draws_the_four_best(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    values = (0.5, 0.9, 0.6, 0.8, 0.4, 0.7)
    write_study(path, "many", tuple(complete(value, point(value)) for value in values))
    out = call("compare", "many", "0-5", "--storage", str(path)).out
    assert re.sub(r"[^#0-9 ]", "", out.splitlines()[-2]).split() == ["#1", "#2", "#3", "#5"]
    assert out.splitlines()[-1] == "not drawn: #0, #4"


@pytest.mark.parametrize("words", [["show", "digits", "best"], ["diff", "digits/0", "digits/1"]])
def test_a_study_is_read_once(call: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    original = read.summary_and_trials

    def counting(storage: str, name: str) -> Any:
        times.append(name)
        return original(storage, name)

    monkeypatch.setattr(read, "summary_and_trials", counting)
    assert call(*words).code == 0
    assert times == ["digits"]


def test_export_writes_the_folder_of_the_data_in_full(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.db"
    config = digits_config("rooted", SPACE, 3)
    config = replace(config, data=config.data.model_copy(update={"root": "imgs"}))
    study = Study.claim(str(path), config, "images", 8)
    begun, told = study.begin(Start(0, "0", 1, 7, point(0.1))), SEVEN[0]
    study.finish(ended(begun, told.outcome, None, [told.curve], "val_accuracy", "best"))
    study.release()
    call("export", "rooted", "best", "-o", "best.yaml", "--storage", str(path))
    assert load(tmp_path / "best.yaml").data.root == str(tmp_path / "imgs")


@pytest.mark.parametrize("yes", [[], ["-y"]])
def test_rm_does_not_wait_for_a_run_to_end(
    call: Any, tmp_path: Path, yes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends within the time the lock is waited for keeps its study."""
    path = tmp_path / "own.db"
    write_study(path, "busy", SEVEN[:1])
    study = Study.claim(str(path), digits_config("busy", SPACE, 3), "images", 8)
    acquire = StudyLock.acquire

    def ended_meanwhile(lock: StudyLock) -> bool:
        study.release()
        return acquire(lock)

    monkeypatch.setattr(StudyLock, "acquire", ended_meanwhile)
    try:
        found = call("rm", "busy", *yes, "--storage", str(path))
        assert is_held(str(path), "busy")
    finally:
        study.release()
    assert (found.code, found.out) == (1, "")
    assert "is running" in found.err
    assert read.study_names(str(path)) == ["busy"]


def test_rm_keeps_a_study_that_changes_while_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.db"
    write_study(path, "asked", SEVEN[:1])

    def confirm(*_: object, **__: object) -> bool:
        write_study(path, "asked", SEVEN[1:2])
        return True

    monkeypatch.setattr("click.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert cli.run(["rm", "asked", "--storage", str(path)]) == 1
    assert read.study_names(str(path)) == ["asked"]


LOCALE = [
    "list", "list digits", "show digits best", "show digits 3", "compare digits 0,1,6",
    "diff digits/0 digits/1", "export digits 1", "export digits --curves", "choices", "list --help",
]  # fmt: skip


@pytest.mark.parametrize("words", LOCALE)
def test_ascii_in_the_c_locale(storage: Path, words: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "cnnsearch", *words.split()],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C", "CNNSEARCH_STORAGE": str(storage)},
    )
    assert found.stdout.isascii()
    assert found.stderr.isascii()
    assert b"?" not in found.stdout

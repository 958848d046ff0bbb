"""The verb diagnose on studies in a real storage whose trials are told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli, ending
from cnnsearch.config import from_plain
from cnnsearch.records import Diagnosis, Finding, Outcome, Params, Start, State
from cnnsearch.space import Choice, Condition, Range, Space, random_point
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import curve
from tests.terminals import on_terminal

SPACE: Space = {
    "lr": Range(1e-4, 10.0, log=True, points=6),
    "init": Choice(("zeros", "xavier", "he")),
    "conv": Choice(([8], [8, 16])),
    "batchnorm": Choice((True, False)),
    "dropout": Range(0.0, 0.5, when=(Condition("batchnorm", (False,)),)),
    "kernel": Range(1, 5, integer=True),
}
NAMES = [
    "study", "trials", "wasted", "states", "verdicts", "failure_map", "edges", "coverage", "advice"
]  # fmt: skip


def outcome(params: Params) -> tuple[Outcome, float, tuple[str, ...]]:
    """What a trial at a point comes to: outcome, accuracy, findings."""
    lr = params["lr"]
    assert isinstance(lr, float)
    if params["init"] == "zeros":
        return Outcome(State.COMPLETE), 0.1, ("symmetric", "not-learning")
    if lr > 0.5:
        return Outcome(State.DIVERGED, "loss nan at step 4"), 0.1, ("lr-too-high",)
    return Outcome(State.COMPLETE), 0.9 + lr / 10, ("undertrained",) if lr < 1e-3 else ()


def write(path: Path, count: int, space: Space = SPACE, judged: bool = True, **config: Any) -> None:
    """A study of `count` random points of a space that end as `outcome` tells."""
    study = Study.claim(
        str(path), replace(digits_config("told", space, 3), diagnose=judged, **config), "images", 99
    )
    points = [random_point(space, 0, k) for k in range(count)]
    try:
        for k, params in enumerate(points):
            how, accuracy, rules = outcome(params)
            trial = study.begin(Start(k, str(k), 1, k, params))
            done = ending.ended(trial, how, None, [curve(accuracy)], "val_accuracy", "best")
            findings = tuple(Finding(rule, 1.0, 0.5, "seen") for rule in rules)
            verdict = rules[0] if rules else "ok"
            told = Diagnosis(verdict, findings) if judged else None
            study.finish(replace(done, diagnosis=told))
    finally:
        study.release()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "studies.db"
    write(path, 60)
    return path


def diagnose(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    code = cli.run(["diagnose", "told", "--storage", str(path), *options])
    found = capsys.readouterr()
    assert (code, found.err) == (0, "")
    return found.out


def test_what_was_wasted_stands_first(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [random_point(SPACE, 0, k) for k in range(60)]
    outcomes = [outcome(params) for params in points]
    diverged = sum(how.state is State.DIVERGED for how, *_ in outcomes)
    zeros = sum(params["init"] == "zeros" for params in points)
    lines = diagnose(told, capsys).splitlines()
    share = (diverged + zeros) / 60
    assert lines[:2] == [
        f"told: {diverged + zeros} of 60 ended trials wasted ({share:.0%}): "
        f"{diverged} diverged, {zeros} learned nothing",
        f"60 of 99 points: {60 - diverged} complete, {diverged} diverged",
    ]
    rows = {line.split()[0]: line.split()[1:] for line in lines[4:8]}
    assert rows["symmetric"] == [str(zeros), f"{zeros / 60:.0%}", "0", "0.1000"]
    assert rows["lr-too-high"] == [str(diverged), f"{diverged / 60:.0%}", str(diverged), "-"]
    order = ["what to change", "failure map", "coverage"]
    assert [line for line in lines if line in order] == order


def test_advice_names_evidence_and_lines_that_load(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = json.loads(diagnose(told, capsys, "--json"))["advice"]
    assert advice[0]["change"] == {"space": {"init": ["xavier", "he"]}}
    assert "(22 symmetric)" in advice[0]["text"]
    [lr] = [
        one["change"]["space"]["lr"] for one in advice if "lr" in one["change"].get("space", {})
    ]
    assert 0.1 < lr["high"] <= 0.6
    assert (lr["low"], lr["log"], lr["points"]) == (1e-4, True, 6)
    assert len(advice) <= 5
    config = digits_config("told", SPACE, 3).plain()
    for one in advice:
        config["space"] |= one["change"].get("space", {})
    assert from_plain(config).space is not None
    text = diagnose(told, capsys)
    assert "   in space:  init: [xavier, he]\n" in text


def test_failure_map_tells_splits_and_groups(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = {e["name"]: e for e in json.loads(diagnose(told, capsys, "--json"))["failure_map"]}
    assert list(entries) == list(SPACE)
    zeros = next(group for group in entries["init"]["groups"] if group["value"] == "zeros")
    assert zeros["trials"] == zeros["wasted"] == zeros["verdicts"]["symmetric"]
    telling = {one["outcome"]: one for one in entries["lr"]["telling"]}["diverged"]
    assert telling["where"]["sign"] == ">"
    assert telling["outside"]["hits"] == 0
    assert telling["within"]["where"]["name"] == "init", "zeros never diverge"
    intervals = [group["interval"] for group in entries["dropout"]["groups"][:-1]]
    assert intervals == [[0.0, 0.125], [0.125, 0.25], [0.25, 0.375], [0.375, 0.5]]
    inactive = entries["dropout"]["groups"][-1]
    assert (inactive["value"], inactive["interval"]) == (None, None)
    assert [group["value"] for group in entries["conv"]["groups"]] == [[8, 16], [8]]
    assert entries["conv"]["telling"] == entries["kernel"]["telling"] == []


def test_coverage(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = {axis["name"]: axis for axis in json.loads(diagnose(told, capsys, "--json"))["coverage"]}
    assert axes["lr"]["distinct"] == 60
    assert axes["lr"]["tried"] is None
    assert axes["kernel"]["distinct"] == 5
    assert axes["dropout"]["trials"] == axes["batchnorm"]["tried"][1]["trials"]
    assert sum(one["trials"] for one in axes["conv"]["tried"]) == 60


def test_json_names_are_stable(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(diagnose(told, capsys, "--json"))
    assert list(found) == NAMES
    assert found["trials"] == sum(found["verdicts"].values()) == 60
    assert sum(found["states"].values()) == 60


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_few_trials(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "few.db", count)
    text = diagnose(tmp_path / "few.db", capsys)
    trials = "1 trial" if count == 1 else f"{count} trials"
    assert f"No advice yet: {trials} ended, and it takes 10." in text
    assert ("no trial has ended yet" in text) is (count == 0)
    found = json.loads(diagnose(tmp_path / "few.db", capsys, "--json"))
    assert (found["trials"], found["advice"]) == (count, [])


def test_without_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Diverged trials are known all the same."""
    space = {**SPACE, "init": Choice(("he", "xavier"))}
    write(tmp_path / "blind.db", 30, space, judged=False)
    text = diagnose(tmp_path / "blind.db", capsys)
    assert "The trials have no verdicts (diagnose: false)" in text
    assert "learned nothing" not in text
    found = json.loads(diagnose(tmp_path / "blind.db", capsys, "--json"))
    assert found["verdicts"] == {"none": 30}
    assert found["wasted"] == found["states"]["diverged"]
    assert any("lr" in one["change"].get("space", {}) for one in found["advice"])


def test_all_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space: Space = {"lr": Range(1.0, 10.0, log=True), "init": Choice(("he", "xavier"))}
    write(tmp_path / "lost.db", 12, space)
    found = json.loads(diagnose(tmp_path / "lost.db", capsys, "--json"))
    assert found["wasted"] == 12
    assert [one["change"] for one in found["advice"]] == [
        {"space": {"lr": {"low": 0.001, "high": 1.0, "log": True}}}
    ]
    assert "12 of the 12 trials: lr-too-high" in found["advice"][0]["text"]


def test_edges_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best lr is the highest."""
    space: Space = {"lr": Range(1e-3, 0.5, log=True), "init": Choice(("he", "xavier"))}
    write(tmp_path / "edge.db", 25, space)
    text = diagnose(tmp_path / "edge.db", capsys)
    assert "edges: extend, do not narrow\nlr: trial " in text
    [edge] = json.loads(diagnose(tmp_path / "edge.db", capsys, "--json"))["edges"]
    assert (edge["name"], edge["side"]) == ("lr", "high")
    assert edge["extended"] == {"low": 0.001, "high": 5.0, "log": True}


def test_running_and_killed_trials_are_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "running.db"
    study = Study.claim(str(path), digits_config("told", SPACE, 3), "images", 8)
    try:
        first = study.begin(Start(0, "0", 1, 0, random_point(SPACE, 0, 0)))
        study.finish(
            ending.ended(first, Outcome(State.KILLED, "lost"), None, (), "val_accuracy", "best")
        )
        for point, attempt in ((0, 2), (1, 1)):
            study.begin(Start(point, str(point), attempt, 0, random_point(SPACE, 0, point)))
        text = diagnose(path, capsys)
        assert text.startswith("told: no trial has ended yet (2 of 8 points: 2 running).\n")
    finally:
        study.release()
    assert "2 killed" in diagnose(path, capsys), "their coordinator is gone"


def test_on_a_narrow_terminal_no_word_is_cut(told: Path) -> None:
    shown = on_terminal(
        ["-m", "cnnsearch", "diagnose", "told", "--storage", str(told)], 80, NO_COLOR="1"
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("lr-") for line in lines)
    assert any(re.fullmatch(r" {40,}\d+ ok", line) for line in lines), "verdicts go on below"


def test_it_loads_neither_torch_nor_optuna(told: Path) -> None:
    code = (
        "import sys\nfrom cnnsearch.cli import run\n"
        f"code = run(['diagnose', 'told', '--storage', {str(told)!r}])\n"
        "sys.exit(code or bool({'torch', 'optuna', 'plotext'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_no_such_study(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diagnose", "other", "--storage", str(told)]) == 2
    assert capsys.readouterr().err.startswith("no study 'other' in ")

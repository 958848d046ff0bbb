"""`cnnsearch rerun --seeds`: repeats in a study of their own, and what they tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.records import State, Trial, Value
from cnnsearch.render.rerun import Repeated, print_repeats, repeats_object
from cnnsearch.review.noise import Finalist
from cnnsearch.space import repeat_seed
from cnnsearch.study import read
from tests.builders import write_digits
from tests.held import start, wait_for
from tests.terminals import on_terminal

Capture = pytest.CaptureFixture[str]
DATABASE = "cnnsearch.db"
NOTHING_ELSE = {"  lr": "", "  init": "", "  batchnorm": ""}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)


def search(space: str, trials: int = 4, **lines: str) -> Path:
    """Run a search of one epoch a trial; its file."""
    path = write_digits(
        Path(), space=f"space: {space}",
        **{"search": f"search: {{trials: {trials}}}",
           "train": "train: {epochs: 1, batch_size: 32}", **lines}, **NOTHING_ELSE,
    )  # fmt: skip
    assert cli.run(["run", str(path), "-j", "0"]) == 0
    return path


def repeated(capsys: Capture, *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert cli.run(["rerun", "digits", *words, "-j", "0", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def told(capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.run([*words]) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def trials(study: str = "digits-rerun") -> list[Trial]:
    return read.trials(DATABASE, study)


def test_40_equal_configs_have_no_best(capsys: Capture) -> None:
    search("{lr: [0.05]}", 40)
    assert "the best is not better than the rest" in told(capsys, "list", "digits")
    out = told(capsys, "rerun", "digits", "top:5", "--seeds", "5", "-j", "0")
    assert re.search(r"best: trial \d+ is not better than the rest: all have the same", out)
    assert "have the hyperparameters of trial" in out
    assert len(trials()) == 5
    found = repeated(capsys, "top:5", "--seeds", "5")
    (finalist,) = found["finalists"]
    assert len(finalist["equals"]) == 4
    luck = found["shrink"]
    assert luck["freedom"] == 4 + 39
    # The best of 40 equal ones lies about 2.2 deviations too high.
    assert 1.5 < luck["expected"] / luck["noise"] < 4
    assert finalist["shrink"] == pytest.approx(luck["expected"], abs=luck["noise"])


def test_configs_that_are_equal_in_effect_have_no_best(capsys: Capture) -> None:
    """Other hyperparameters, but none that matters."""
    search("{step_every: {low: 1, high: 100000}}", 12, train="train: {epochs: 1, lr: 0.05}")
    assert "the best is better" not in told(capsys, "list", "digits")
    out = told(capsys, "rerun", "digits", "top:3", "--seeds", "3", "-j", "0")
    assert "is not better than the rest: no difference from it is larger" in out
    assert len(trials()) == 9


def test_a_real_difference_is_told(capsys: Capture) -> None:
    search("{lr: [1.0e-6, 0.1], batchnorm: [true]}", 8, device="device: cpu\nseed: 2",
           train="train: {epochs: 3, batch_size: 32}")  # fmt: skip
    assert "the best is better than the rest" in told(capsys, "list", "digits")
    out = told(capsys, "rerun", "digits", "0-7", "--seeds", "5", "-j", "0")
    assert re.search(r"best: trial \d+ is better than the rest, beyond the noise", out)
    found = repeated(capsys, "0-7", "--seeds", "5")
    assert len(found["finalists"]) == 2
    (difference,) = found["differences"]
    assert difference["larger"]
    assert difference["low"] > 0
    assert found["better_than"] == [difference["second"]]
    assert found["not_told_from"] == []


def test_the_same_seeds_for_all_and_new_ones(capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1}}")
    repeated(capsys, "1", "3", "--seeds", "2")
    seeds = [repeat_seed(0, 1), repeat_seed(0, 2)]
    parents = trials("digits")
    assert [t.seed for t in trials()] == [seeds[0], seeds[0], seeds[1], seeds[1]]
    assert [t.params for t in trials()] == [parents[1].params, parents[3].params] * 2
    assert not set(seeds) & {trial.seed for trial in parents}
    assert len({trial.value for trial in trials()}) > 1


def test_only_what_is_new_runs(capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1}}")
    first = repeated(capsys, "1", "--seeds", "1")
    assert len(trials()) == 1
    assert repeated(capsys, "1", "--seeds", "1") == first
    assert len(trials()) == 1
    more = repeated(capsys, "1", "2", "--seeds", "2")
    assert len(trials()) == 4
    assert sorted(trial.point for trial in trials()) == [0, 1, 2, 3]
    by_number = {one["trial"]: one for one in more["finalists"]}
    assert by_number[1]["values"][0] == first["finalists"][0]["values"][0]
    attrs = read.study_attributes(DATABASE, "digits-rerun")
    assert attrs is not None
    assert attrs["rerun"] == {"study": "digits", "trials": [1, 2]}
    repeated(capsys, "3", "--seeds", "1")
    assert read.summary(DATABASE, "digits-rerun").planned == len(trials()) == 5
    assert read.study_attributes(DATABASE, "digits-rerun")["rerun"]["trials"] == [1, 2, 3]  # type: ignore[index]


def test_a_killed_rerun_goes_on(capsys: Capture) -> None:
    """`kill -9` in the fifth repeat, and again; the values are those of one left alone."""
    search("{lr: {low: 0.01, high: 0.1}}")
    words = ["rerun", "digits", "0-2", "--seeds", "3", "-j", "1"]
    with start(*words, held_at=("digits-rerun", "4")) as process:
        wait_for(process, "held")
        process.kill()
    assert [trial.state for trial in trials()][-1] is State.KILLED
    assert len(trials()) == 5
    killed = repeated(capsys, "0-2", "--seeds", "3")
    alone = repeated(capsys, "0-2", "--seeds", "3", "--name", "alone")
    assert killed["finalists"] == alone["finalists"]
    assert sum(trial.state is State.COMPLETE for trial in trials()) == 9


@pytest.mark.parametrize(
    "line", ["{sampler: tpe, trials: 4}", "{sampler: grid}", "{trials: 6, pruner: median}"]
)
def test_finalists_of_all_samplers(line: str, capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1, points: 4}}", search=f"search: {line}",
           train="train: {epochs: 2, batch_size: 32}")  # fmt: skip
    found = repeated(capsys, "top:2", "--seeds", "2")
    assert {trial.state for trial in trials()} == {State.COMPLETE}
    config = read.summary(DATABASE, "digits-rerun").config
    assert config["search"]["pruner"] == "none", "each repeat is to have a value"
    for one in found["finalists"]:
        assert one["params"] == dict(trials("digits")[one["trial"]].params)
        assert one["lost"] == 0
    for words in (["list", "digits-rerun"], ["diagnose", "digits-rerun"],
                  ["compare", "digits-rerun", "top:2"]):  # fmt: skip
        assert cli.run(words) == 0
    assert cli.run(["rerun", "digits-rerun", "0-3", "--verify", "-j", "0"]) == 0


def test_other_epochs_are_not_compared_with_the_search(capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1}}")
    found = repeated(capsys, "0", "1", "--seeds", "2", "--epochs", "2", "-S", "momentum=0.5")
    assert found["changed"] == {"momentum": 0.5, "epochs": 2}
    assert found["shrink"] is None
    assert [one["searched"] for one in found["finalists"]] == [None, None]
    assert {trial.epochs for trial in trials()} == {2}
    err = told(capsys, "rerun", "digits", "0", "--seeds", "2", "-j", "0", code=2)
    assert "+ train.epochs: 1" in err
    assert "--name NAME" in err
    out = told(capsys, "rerun", "digits", "0", "--seeds", "1", "-j", "0", "--epochs", "2",
               "-S", "momentum=0.5")  # fmt: skip
    assert "The repeats ran with momentum 0.5, epochs 2" in out


def test_repeats_that_diverge(capsys: Capture) -> None:
    search("{lr: [0.05, 1.0e+9]}", 6, device="device: cpu\nseed: 2")
    states = {trial.state: trial.number for trial in trials("digits")}
    diverged, complete = states[State.DIVERGED], states[State.COMPLETE]
    found = repeated(capsys, str(diverged), str(complete), "--seeds", "2")
    assert [one["trial"] for one in found["finalists"]] == [complete, diverged]
    assert found["finalists"][1]["lost"] == 2
    assert found["finalists"][1]["mean"] is None
    assert found["not_told_from"] == [diverged]
    out = told(capsys, "rerun", "digits", str(diverged), "--seeds", "1", "-j", "0", code=3)
    assert "no repeat has a value" in out
    assert "lost repeats have no value: cnnsearch list digits-rerun" in out


def test_run_does_not_go_on_with_repeats(capsys: Capture) -> None:
    path = search("{lr: {low: 0.01, high: 0.1}}")
    repeated(capsys, "0", "--seeds", "1")
    err = told(capsys, "run", str(path), "--name", "digits-rerun", "-j", "0", code=2)
    assert "study digits-rerun holds repeats of trials of digits" in err
    assert "cnnsearch rerun digits TRIAL" in err
    err = told(capsys, "rerun", "digits", "0", "--name", "digits", code=2)
    assert "study digits is a search" in err
    assert len(trials()) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["0", "-S", "lr=0.1"], "lr is searched by digits"),
        (["0", "-S", "study=x"], "write --name STUDY"),
        (["0", "-S", "momentum=2"], "-S momentum=2"),
        (["0", "--name", "a b"], "no study name. Write --name a-b."),
        (["0", "--seeds", "0"], "--seeds"),
        (["9"], "has no trial 9"),
        (["0", "--verify", "--watch"], "--verify and --watch together"),
        ([], "which trial?"),
        (["0", "other/0"], "trials of 2 studies (digits, other)"),
    ],
)
def test_bad_input(words: list[str], line: str, capsys: Capture) -> None:
    path = search("{lr: {low: 0.01, high: 0.1}}", 1)
    assert cli.run(["run", str(path), "--name", "other", "-j", "0"]) == 0
    err = told(capsys, "rerun", "digits", *words, code=2)
    assert line in err
    assert len(err.splitlines()) == 1
    assert read.study_names(DATABASE) == ["digits", "other"]


def finalists(count: int, lost: bool = False) -> Repeated:
    """Made-up repeats of `count` finalists."""
    names: dict[str, Value] = {"init": "normal:0.01", "activation": "leaky_relu"}
    told = [
        Finalist(100 + n, 0.9, {s: None if lost and s == n == 1 else 0.8 + 0.003 * ((7 * n + s) % 5)
                                for s in range(1, 6)})
        for n in range(count)
    ]  # fmt: skip
    read_summary = read.summary(DATABASE, "digits")
    return Repeated(
        study="digits-rerun",
        parent=read_summary,
        finalists=told,
        params={one.number: {**names, "lr": 0.01 * one.number} for one in told},
        equals={},
        searched={str(n): [0.9 - 0.01 * n] for n in range(40)},
        resolution=1 / 144,
        changed={},
    )


def test_many_finalists_are_compared_with_the_best(capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1}}", 1)
    capsys.readouterr()
    print_repeats(finalists(8, lost=True))
    out = capsys.readouterr().out
    assert out.count(" yes") + out.count("  no\n") == 7
    assert "21 pairs without the best one are left out: --json" in out
    assert "lost repeats have no value" in out
    assert len(repeats_object(finalists(8))["differences"]) == 28
    print_repeats(finalists(1))
    out = capsys.readouterr().out
    assert "is the only one" in out
    assert "differences" not in out


def test_it_fits_80_columns(capsys: Capture) -> None:
    search("{lr: {low: 0.01, high: 0.1}}", 3)
    repeated(capsys, "0-2", "--seeds", "2")
    words = ["-m", "cnnsearch", "rerun", "digits", "0-2", "--seeds", "2"]
    shown = on_terminal(words, PYTHONPATH=str(Path(__file__).parents[1]), NO_COLOR="1")
    assert "differences, paired over seeds" in shown
    assert "Too narrow" not in shown
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
    assert max(map(len, lines)) <= 80

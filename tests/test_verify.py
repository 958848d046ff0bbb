"""`cnnsearch rerun --verify`: equal numbers, and the causes of others."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli, runner
from cnnsearch.records import EpochResult, State, Trial
from cnnsearch.study import read
from cnnsearch.verification import agreeing, changes, departure, settings
from tests.builders import write_digits
from tests.imagefolders import make_folder, picture

Capture = pytest.CaptureFixture[str]
# A learning rate of 1e9 diverges; a median pruner needs some trials before it.
SPACE = "space: {lr: [0.001, 0.03, 0.1, 0.3, 1.0e+9]}"
ONLY_LR = {"  lr": "", "  init": "", "  batchnorm": ""}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a storage: studies by random with a pruner, by grid and by tpe."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("CNNSEARCH_STORAGE", raising=False)
        for name, search in (
            ("random", "search: {trials: 14, pruner: median}"),
            ("grid", "search: {sampler: grid}"),
            ("tpe", "search: {sampler: tpe, trials: 3}"),
        ):
            path = write_digits(
                folder, f"{name}.yaml", search=search, space=SPACE,
                train="train: {epochs: 3, batch_size: 32}", **ONLY_LR,
            )  # fmt: skip
            assert cli.run(["run", str(path), "-j", "0"]) == 0
        path = write_digits(folder, "folds.yaml", search="search: {trials: 1}",
                            data="data: {name: digits, validation: {folds: 2}}",
                            space="space: {lr: [0.1]}", **ONLY_LR)  # fmt: skip
        assert cli.run(["run", str(path), "-j", "0"]) == 0
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of its own."""
    shutil.copy(searched / "cnnsearch.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)
    return tmp_path


def verified(capsys: Capture, *words: str, code: int) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.run(["rerun", *words, "--verify", "--json"]) == code
    return list(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("jobs", ["0", "1", "2"])
def test_trials_of_all_samplers_are_identical(jobs: str, folder: Path, capsys: Capture) -> None:
    states = {trial.state for trial in read.trials("cnnsearch.db", "random")}
    assert states == {State.COMPLETE, State.PRUNED, State.DIVERGED}
    before = (folder / "cnnsearch.db").read_bytes()
    trials = ["random/0-13", "grid/0-4", "tpe/0-2", "folds/0"]
    found = verified(capsys, *trials, "-j", jobs, code=0)
    assert len(found) == 23
    for one in found:
        assert one["identical"], one
        stored = read.trial("cnnsearch.db", one["study"], one["trial"])
        assert one["epochs"] == len(stored.curve)
        assert one["state"] == stored.state
        assert [change["name"] for change in one["changes"]] == []
    assert (folder / "cnnsearch.db").read_bytes() == before
    written = {path.name for path in folder.iterdir() if "xdg" not in path.name}
    assert written == {"cnnsearch.db"}, "nothing is written"


def test_in_words(folder: Path, capsys: Capture) -> None:
    assert cli.run(["rerun", "grid", "0", "--verify", "-j", "0"]) == 0
    assert capsys.readouterr().out == "grid/0: identical (3 epochs, to the last digit)\n"
    words = ["rerun", "grid", "best", "--verify", "-j", "0"]
    assert cli.run([*words, "-S", "seed=5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    best = cli_best("grid")
    assert lines[0] == f"grid/{best.number}: departs before training, in first_loss"
    assert lines[1] == f"  then {best.facts['first_loss']}"
    assert lines[2].startswith("  now  ")
    assert lines[3] == f"  differs: seed: {best.seed} then, 5 now"
    assert len(lines) == 4


def cli_best(study: str) -> Trial:
    complete = [t for t in read.trials("cnnsearch.db", study) if t.value is not None]
    return max(complete, key=lambda trial: trial.value or 0.0)


def test_another_number_of_threads_is_found(folder: Path, capsys: Capture) -> None:
    (found,) = verified(capsys, "grid", "best", "-S", "threads=2", "-j", "0", code=1)
    assert found["departure"]["digits"] >= 4
    assert found["changes"] == [{"name": "threads", "stored": 1, "again": 2}]


def test_another_value_is_found(folder: Path, capsys: Capture) -> None:
    (found,) = verified(capsys, "grid", "best", "-S", "momentum=0.5", "-j", "0", code=1)
    assert found["departure"]["epoch"] == 1
    assert found["departure"]["quantity"] == "train_loss"
    assert found["changes"] == [{"name": "train.momentum", "stored": 0.9, "again": 0.5}]


@pytest.mark.parametrize("study", ["random", "grid", "tpe"])
def test_an_altered_seed_is_found(study: str, folder: Path, capsys: Capture) -> None:
    trial = cli_best(study)
    config = json.loads(stored(study, trial.number, "config"))
    alter(study, trial.number, "config", json.dumps({**config, "seed": 99}))
    (found,) = verified(capsys, study, str(trial.number), "-j", "0", code=1)
    assert found["changes"] == [{"name": "seed", "stored": trial.seed, "again": 99}]


def test_the_config_stored_with_the_trial_is_run(folder: Path, capsys: Capture) -> None:
    trial = cli_best("grid")
    config = json.loads(stored("grid", trial.number, "config"))
    config["train"]["momentum"] = 0.5
    alter("grid", trial.number, "config", json.dumps(config))
    (found,) = verified(capsys, "grid", str(trial.number), "-j", "0", code=1)
    assert found["departure"]["quantity"] == "train_loss"
    for words in (["export", "grid", "best"], ["show", "grid", "best"]):
        assert cli.run(words) == 0
        assert "momentum: 0.5" in capsys.readouterr().out
    assert cli.run(["diff", "grid/best", "random/0"]) == 0
    assert "-  momentum: 0.5" in capsys.readouterr().out


def test_a_trial_without_a_config_runs_that_of_its_study(folder: Path, capsys: Capture) -> None:
    with closing(sqlite3.connect("cnnsearch.db")) as connection, connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'config'")
    (found,) = verified(capsys, "grid", "best", "-j", "0", code=0)
    assert found["identical"]


def test_one_fold_is_found(folder: Path, capsys: Capture) -> None:
    """Of folds whose changes cancel out in the mean."""
    folds = json.loads(stored("folds", 0, "folds"))
    for fold, change in zip(folds, (0.25, -0.25), strict=True):
        fold["val_loss"][-1] += change
    alter("folds", 0, "folds", json.dumps(folds))
    epochs = len(folds[0]["epoch"])
    (found,) = verified(capsys, "folds", "0", "-j", "0", code=1)
    assert (found["departure"]["epoch"], found["departure"]["fold"]) == (epochs, 1)
    assert cli.run(["rerun", "folds", "0", "--verify", "-j", "0"]) == 1
    assert f"departs at epoch {epochs} of fold 1, in val_loss" in capsys.readouterr().out


def test_a_rerun_that_fails_tells_why(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(runner, "prepare", broken)
    assert cli.run(["rerun", "folds", "0", "--verify", "-j", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["folds/0: departs at its end, in state", "  then complete"]
    assert lines[2].startswith("  now  failed: fold 1 of 2: ")
    assert "no such thing" in " ".join(lines)


def test_an_altered_number_has_no_known_cause(folder: Path, capsys: Capture) -> None:
    trial = read.trial("cnnsearch.db", "grid", 0)
    losses = [result.val_loss for result in trial.curve]
    changed = [*losses[:2], math.nextafter(losses[2], 9.0)]
    columns = json.loads(stored("grid", 0, "curve"))
    alter("grid", 0, "curve", json.dumps({**columns, "val_loss": changed}))
    assert cli.run(["rerun", "grid", "0", "--verify", "-j", "0"]) == 1
    out = capsys.readouterr().out
    assert "departs at epoch 3, in val_loss" in out
    assert f"then {changed[2]}\n" in out
    assert f"now  {losses[2]}; they agree to 15 digits" in out
    assert "nothing known differs" in out


def test_a_pruned_trial_is_compared_up_to_its_last_epoch(folder: Path, capsys: Capture) -> None:
    trials = read.trials("cnnsearch.db", "random")
    pruned = next(trial for trial in trials if trial.state is State.PRUNED)
    assert pruned.epochs < 3
    assert cli.run(["rerun", "random", str(pruned.number), "--verify", "-j", "0"]) == 0
    epochs = f"{pruned.epochs} epoch{'s' if pruned.epochs > 1 else ''}"
    assert f"identical ({epochs}, to the last digit)" in capsys.readouterr().out


def test_a_changed_training_image_is_found(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = make_folder(tmp_path / "images", {"train/cat": 30, "train/dog": 30})
    path = write_digits(tmp_path, data=f"data: {{name: image_folder, root: {root}}}",
                        space="space: {lr: [0.01]}", **ONLY_LR)  # fmt: skip
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) == 0
    verified(capsys, "digits", "0", "-j", "0", code=0)
    image = root / "train" / "cat" / "0003.png"
    changed = picture(3)
    changed.paste((0, 0, 0), (2, 2, 4, 4))
    changed.save(image)
    (found,) = verified(capsys, "digits", "0", "-j", "0", code=1)
    assert found["departure"]["epoch"] <= 1
    assert [change["name"] for change in found["changes"]] == ["data"]
    assert cli.run(["rerun", "digits", "0", "--verify", "-j", "0"]) == 1
    assert "differs: data: other images than the study's" in capsys.readouterr().out
    assert cli.run(["rerun", "digits", "0", "--seeds", "1"]) == 2
    assert "other images than when digits was started" in capsys.readouterr().err


def test_what_cannot_be_verified(folder: Path, capsys: Capture) -> None:
    result = json.loads(stored("grid", 0, "result"))
    alter("grid", 0, "result", json.dumps({**result, "state": "failed"}))
    with closing(sqlite3.connect("cnnsearch.db")) as connection, connection:
        connection.execute(
            "UPDATE trials SET state = 'FAIL' WHERE number = 0 AND study_id = "
            "(SELECT study_id FROM studies WHERE study_name = 'grid')"
        )
    assert cli.run(["rerun", "grid", "0", "--verify"]) == 2
    assert "grid/0 is failed" in capsys.readouterr().err
    found = verified(capsys, "grid", "0-1", "-j", "0", code=0)
    assert [one["trial"] for one in found] == [1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "2"], "--verify and --seeds together"),
        (["--epochs", "2"], "--verify and --epochs together"),
        (["--name", "x"], "--verify and --name together"),
        (["-S", "momentum=2"], "-S momentum=2"),
        (["-S", "nothing=2"], "unknown name"),
        (["-S", "objective=val_loss"], "-S: search.objective: a single run has no search."),
        (["-S", "trials=3"], "-S: search.trials: a single run has no search."),
        (["-S", "validation={folds: 3}"], "-S validation: grid/"),
    ],
)
def test_bad_input(words: list[str], told: str, folder: Path, capsys: Capture) -> None:
    assert cli.run(["rerun", "grid", "best", "--verify", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]


def stored(study: str, number: int, key: str) -> str:
    with closing(sqlite3.connect("cnnsearch.db")) as connection:
        (value,) = connection.execute(
            "SELECT a.value_json FROM trial_user_attributes a JOIN trials t USING (trial_id)"
            " JOIN studies s USING (study_id)"
            " WHERE s.study_name = ? AND t.number = ? AND a.key = ?",
            (study, number, key),
        ).fetchone()
    return str(value)


def alter(study: str, number: int, key: str, value: str) -> None:
    with closing(sqlite3.connect("cnnsearch.db")) as connection, connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = ? AND trial_id = "
            "(SELECT t.trial_id FROM trials t JOIN studies s USING (study_id)"
            " WHERE s.study_name = ? AND t.number = ?)",
            (value, key, study, number),
        )


TOLD = Trial(
    number=0, point=0, key="0", attempt=1, state=State.DIVERGED, value=None, params={}, epochs=1,
    best_epoch=1, seconds=1.0, reason="loss 9 above 6.9 at step 40", seed=0, started=0.0,
    facts={"first_loss": 2.3, "step": 40, "loss": 9.0, "limit": 6.9, "environment": {
        "threads": 1, "torch": "2.13", "commit": "abc"}},
    curve=(EpochResult(1, 0.1, 2.0, 0.3, 2.1, 0.2, 1.0),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "others", "where"),
    [
        ({}, {}, None),
        ({"step": 41}, {}, (None, "step")),
        ({"loss": math.nan}, {}, (None, "loss")),
        ({"first_loss": None}, {}, (0, "first_loss")),
        ({}, {"reason": "loss 8"}, (None, "reason")),
        ({}, {"state": State.COMPLETE}, (None, "state")),
        ({}, {"curve": ()}, (None, "epochs")),
        ({}, {"seconds": 9.0, "started": 9.0}, None),
        ({}, {"curve": (replace(TOLD.curve[0], lr=0.2, val_loss=3.0),)}, (1, "lr")),
        ({}, {"curve": (replace(TOLD.curve[0], val_accuracy=0.25),)}, (1, "val_accuracy")),
        ({}, {"curve": (replace(TOLD.curve[0], seconds=9.0),)}, None),
    ],
)
def test_the_first_difference(
    facts: dict[str, Any], others: dict[str, Any], where: tuple[int | None, str] | None
) -> None:
    found = departure(TOLD, replace(TOLD, facts={**TOLD.facts, **facts}, **others))
    assert (found and (found.epoch, found.quantity)) == where


def test_folds_are_compared_one_by_one() -> None:
    two = replace(TOLD, folds=(TOLD.curve, TOLD.curve), facts={**TOLD.facts, "fold": 2})
    assert departure(two, two) is None
    first = departure(two, replace(two, facts={**two.facts, "fold": 1}))
    assert first is not None
    assert (first.quantity, first.stored, first.again) == ("fold", 2, 1)
    other = (TOLD.curve, (replace(TOLD.curve[0], val_loss=3.0),))
    found = departure(two, replace(two, folds=other))
    assert found is not None
    assert (found.epoch, found.quantity, found.fold) == (1, "val_loss", 2)


def test_a_failure_comes_before_all_numbers() -> None:
    failed = replace(TOLD, state=State.FAILED, facts={}, curve=(), reason="ValueError: x")
    found = departure(TOLD, failed)
    assert found is not None
    assert (found.quantity, found.again, found.reason) == ("state", "failed", "ValueError: x")


def test_numbers_that_are_not_finite_are_equal() -> None:
    lost = replace(TOLD, curve=(replace(TOLD.curve[0], val_loss=math.nan),))
    assert (
        departure(lost, replace(lost, curve=(replace(lost.curve[0], val_loss=math.inf),))) is None
    )


@pytest.mark.parametrize(
    ("one", "other", "digits"),
    [(0.12345, 0.12346, 4), (1.0, 2.0, 0), (1.0, -1.0, 0), (0.0, 1e-9, 0), (1e20, 1e20 + 2e4, 15)],
)
def test_digits_that_agree(one: float, other: float, digits: int) -> None:
    assert agreeing(one, other) == agreeing(other, one) == digits
    assert agreeing(one, math.nan) is agreeing(None, other) is None


def test_environments_are_compared_as_far_as_both_are_known() -> None:
    environment = {"threads": 2, "torch": "2.13", "processor": "x"}
    (found,) = changes(TOLD, replace(TOLD, facts={"environment": environment}))
    assert (found.name, found.stored, found.again) == ("threads", 1, 2)
    assert changes(TOLD, replace(TOLD, facts={})) == []
    (change,) = settings({"a": {"b": [1], "c": 2}}, {"a": {"b": [1], "c": 3}})
    assert (change.name, change.stored, change.again) == ("a.c", 2, 3)

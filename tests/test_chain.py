"""What a chain refuses to go on with, and what it goes on with: two stages that have run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.config import from_plain
from cnnsearch.interruption import Interruption
from cnnsearch.records import State
from cnnsearch.running import chain as chain_of_stages
from cnnsearch.running import searching
from cnnsearch.stages import results_of
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.verbs import Found

DATABASE = "cnnsearch.db"
TWO = "stages:\n  - {epochs: 1, trials: 6}\n  - {epochs: 1, trials: 3, top: 3}\n"
HEAD = """\
device: cpu
data: {name: digits, limit: 100, validation: 60}
model: {conv: [], hidden: [16]}
train: {epochs: 1, batch_size: 32}
search: {sampler: random}
space:
  lr: {low: 1e-3, high: 1.0, log: true}
  activation: [relu, tanh]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)


def write(text: str = HEAD + TWO) -> str:
    Path("chain.yaml").write_text(text, encoding="utf-8")
    return "chain.yaml"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Found:
        capsys.readouterr()
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a chain of two stages was run."""
    folder = tmp_path_factory.mktemp("two")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert cli.run(["run", write(HEAD + TWO), "-j", "0"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def own(two: Path, tmp_path: Path) -> Path:
    """A copy of it, and the current folder."""
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(call: Any, *words: str) -> str:
    """The one line with which a command is refused, the dry run too; nothing is written."""
    before = Path(DATABASE).read_bytes()
    lines = set()
    for more in ([], ["--dry-run"]):
        found = call("run", "chain.yaml", "-j", "0", *words, *more)
        assert (found.code, found.out) == (2, "")
        lines.add(found.err)
    [line] = lines
    assert line.count("\n") == 1
    assert Path(DATABASE).read_bytes() == before
    return str(line)


def forget(study: str, key: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute(
            "DELETE FROM study_user_attributes WHERE key = ? AND study_id ="
            " (SELECT study_id FROM studies WHERE study_name = ?)",
            (key, study),
        )


def test_a_stage_without_the_one_before_is_refused(own: Path, call: Any) -> None:
    assert cli.run(["rm", "chain.1", "-y"]) == 0
    call("list")
    write((HEAD + TWO).replace("1e-3", "1e-2").replace("epochs: 1, trials: 3", "trials: 3"))
    assert refused(call) == (
        "study chain.2 is there, and chain.1 before it is not. Delete it: cnnsearch rm chain.2, "
        "or start another chain: --name NAME.\n"
    )


def test_a_study_that_only_has_the_name_of_a_stage_is_refused(own: Path, call: Any) -> None:
    """Of an ordinary search; one that is cut short before its first trial is begun again."""
    text = "study chain.{} is not stage {} of chain, and has its name. Delete it: cnnsearch rm "
    forget("chain.2", "stage")
    assert refused(call).startswith(text.format(2, 2) + "chain.2, or start another chain")
    forget("chain.1", "stage")
    assert refused(call).startswith(text.format(1, 1))


def test_a_stage_killed_before_its_place_was_kept_is_begun_again(own: Path, call: Any) -> None:
    config = from_plain(dict(read.summary(DATABASE, "chain.2").config))
    fingerprint = str((read.study_attributes(DATABASE, "chain.2") or {})["fingerprint"])
    best = Path("runs/chain/best.yaml").read_text()
    assert cli.run(["rm", "chain.2", "-y"]) == 0
    Study.claim(DATABASE, config, fingerprint, 3).release()
    assert "chain.2" not in read.stages(DATABASE)
    assert call("run", "chain.yaml", "-j", "0").code == 0
    assert read.stages(DATABASE)["chain.2"]["stage"] == 2
    assert Path("runs/chain/best.yaml").read_text() == best


def test_a_stage_of_other_trials_than_there_are_is_refused(own: Path, call: Any) -> None:
    """Stage 1 was deleted, and searched again by a file that had no stage 2 then."""
    assert cli.run(["rm", "chain.1", "-y"]) == 0
    write(HEAD + "stages: [{epochs: 1, trials: 7}]\n")
    assert call("run", "chain.yaml", "-j", "0").code == 0
    write(HEAD + TWO)
    assert refused(call).startswith(
        "study chain.2 was begun from other trials than chain.1 has now. Delete it: cnnsearch rm "
    )


def test_a_stage_that_is_done_is_looked_at_too(own: Path, call: Any) -> None:
    """Other images than the stages were made with are refused, though nothing is left to run."""
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = '\"other\"' WHERE key = 'fingerprint'"
        )
    found = call("run", "chain.yaml", "-j", "0")
    assert found.code == 2
    assert "study chain.1 was started with other images than data.root holds now." in found.err


def test_a_stage_may_have_fewer_trials_than_were_planned_once(own: Path, call: Any) -> None:
    """The number that is stored stays that of the command which wanted the most."""
    assert cli.run(["rm", "chain.2", "-y"]) == 0
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '40' WHERE key='planned'")
    found = call("run", "chain.yaml", "-j", "0")
    assert found.code == 0
    assert "time is up" not in found.err
    assert "runs/chain/best.yaml: the best of chain.2" in found.err


def test_the_time_may_end_between_two_stages(
    own: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter((0.0, 0.0, 5.0))  # of the start and of each stage
    monkeypatch.setattr(chain_of_stages, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    assert cli.run(["rm", "chain.2", "-y"]) == 0
    found = call("run", "chain.yaml", "-j", "0", "--timeout", "1s")
    assert found.code == 0
    assert "time is up at stage 2 of 2, all of it left. To continue: cnnsearch run" in found.err


def fail(study: str, point: int) -> None:
    """Make a trial one that failed."""
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        [trial_id] = connection.execute(
            "SELECT t.trial_id FROM trials t JOIN studies s ON s.study_id = t.study_id"
            " WHERE s.study_name = ? AND t.number = ?",
            (study, point),
        ).fetchone()
        connection.execute("UPDATE trials SET state = 'FAIL' WHERE trial_id = ?", (trial_id,))
        connection.execute("DELETE FROM trial_values WHERE trial_id = ?", (trial_id,))
        connection.execute(
            "UPDATE trial_user_attributes SET value_json ="
            " json_set(value_json, '$.state', 'failed') WHERE key = 'result' AND trial_id = ?",
            (trial_id,),
        )


def test_failed_trials_run_again_in_the_last_stage_that_has_begun(own: Path, call: Any) -> None:
    fail("chain.2", 1)
    found = call("run", "chain.yaml", "-j", "0", "--retry", "failed")
    assert found.code == 0
    assert [t.attempt for t in read.trials(DATABASE, "chain.2")] == [1, 1, 1, 2]
    assert read.summary(DATABASE, "chain.2").counts == {State.COMPLETE: 3}


def test_failed_trials_of_a_stage_that_is_over_stay_so(own: Path, call: Any) -> None:
    fail("chain.1", 1)
    place = json.dumps({**read.stages(DATABASE)["chain.2"], "parent_results":
                        results_of(read.trials(DATABASE, "chain.1"))})  # fmt: skip
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'stage'"
            " AND value_json LIKE '%parent_results%'",
            (place,),
        )
    text = "chain.1: a stage was begun from it, so its failed trials stay as they are"
    assert refused(call, "--retry", "failed").startswith(f"--retry failed: {text}. Leave it out")
    assert call("run", "chain.yaml", "-j", "0").code == 0
    fail("chain.2", 0)
    found = call("run", "chain.yaml", "-j", "0", "--retry", "failed")
    assert found.code == 0
    assert text in found.err.splitlines()
    assert read.summary(DATABASE, "chain.2").counts == {State.COMPLETE: 3}


def test_ctrl_c_while_a_stage_is_found_done(
    own: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Interruption] = []

    class Kept(Interruption):
        def __enter__(self) -> Interruption:
            begun.append(self)
            return super().__enter__()

    def interrupted(request: searching.Request) -> searching.Found:
        os.kill(os.getpid(), signal.SIGINT)
        while not begun[0].happened():
            pass
        return as_found(request)

    as_found = searching.as_found
    monkeypatch.setattr(chain_of_stages, "Interruption", Kept)
    monkeypatch.setattr(searching, "as_found", interrupted)
    found = call("run", "chain.yaml", "-j", "0")
    assert found.code == 130
    assert "interrupted at stage 1 of 2. To continue: cnnsearch run chain.yaml" in found.err


def test_hiding_a_trial_changes_no_later_stage(own: Path, call: Any) -> None:
    expected = Path("runs/chain/stage-2.yaml").read_text()
    assert cli.run(["rm", "chain.2", "-y"]) == 0
    assert cli.run(["hide", "chain.1", "top:2"]) == 0
    assert call("run", "chain.yaml", "-j", "0").code == 0
    assert Path("runs/chain/stage-2.yaml").read_text() == expected


def test_what_was_saved_is_told_once_over_all_stages(call: Any) -> None:
    stages = "stages:\n  - {epochs: 3, trials: 14}\n  - {epochs: 3, trials: 3, top: 3}\n"
    text = HEAD.replace("high: 1.0", "high: 100.0") + "abort: {check_every: 2}\n" + stages
    found = call("run", write(text), "-j", "0", "--json")
    epochs = [one["epochs"] for one in json.loads(found.out)["stages"]]
    assert epochs[0]["diverged"] > 0
    share = round(100 * sum(one["saved"] for one in epochs) / (3 * 17))
    told = [line for line in found.err.splitlines() if line.startswith("saved")]
    assert told == [f"saved {share} % of the epochs: {share} % diverged"]

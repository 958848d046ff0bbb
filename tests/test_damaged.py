"""Damaged databases, a few; `scripts/damaged_files.py` makes hundreds."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from cnnsearch.errors import InputError
from cnnsearch.study import read, stored, versions
from cnnsearch.study.attributes import RESULT
from cnnsearch.study.stored import DamagedError
from tests.damaged import KINDS, Answer, answers, damage, whole
from tests.studies import write_study
from tests.verbs import call

__all__ = ["call"]  # fixture


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("damaged") / "good")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Where `call` looks."""
    return tmp_path / "studies.db"


def given(path: Path) -> list[Answer]:
    found = list(answers(path))
    assert [answer for answer in found if answer.fault] == []
    return found


def changed(good: Path, folder: Path, *statements: str) -> Path:
    shutil.copytree(good.parent, folder)
    with closing(sqlite3.connect(folder / good.name)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return folder / good.name


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_answered_or_refused(kind: str, good: Path, tmp_path: Path) -> None:
    assert len(given(damage(good, tmp_path / "damaged", kind, 0))) == 4


def test_a_whole_file_is_answered(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good.parent, tmp_path / "whole")
    assert [answer.code for answer in given(tmp_path / "whole" / good.name)] == [0, 0, 0, 0]


def test_a_hot_journal_is_rolled_back(good: Path, tmp_path: Path) -> None:
    path = damage(good, tmp_path / "hot", "hot journal", 0)
    assert path.read_bytes() != good.read_bytes()
    assert [answer.code for answer in given(path)] == [0, 0, 0, 0]
    assert not path.with_name(f"{path.name}-journal").exists()


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("v9.9.9.a", "Update cnnsearch and optuna to those that wrote it, or write another"),
        ("v3.0.0.a", "Keep a copy and run: optuna storage upgrade --storage sqlite:///"),
    ],
)
def test_another_version_is_named_with_what_to_do(
    version: str, remedy: str, good: Path, tmp_path: Path
) -> None:
    path = changed(
        good,
        tmp_path / "other",
        f"UPDATE alembic_version SET version_num = '{version}'",
    )
    for answer in given(path):
        assert answer.code == 2
        assert f"are of version {version}, and the installed Optuna" in answer.line
        assert f"Optuna {optuna.__version__} reads {read.TABLES_VERSION}. " in answer.line
        assert remedy in answer.line


def test_the_versions_known_end_with_that_which_is_read() -> None:
    assert versions.known()[-1] == read.TABLES_VERSION
    assert "v2.6.0.a" in versions.known()


def test_a_newer_version_without_the_table_of_studies(good: Path, tmp_path: Path) -> None:
    path = changed(
        good,
        tmp_path / "other",
        "UPDATE alembic_version SET version_num = 'v9.9.9.a'",
        "ALTER TABLE studies RENAME TO searches",
    )
    assert {answer.code for answer in given(path)} == {2}


TOLD = {
    "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'result'":
        "damaged: a trial's attribute result is no JSON.",
    "UPDATE trial_user_attributes SET value_json = '[1]' WHERE key = 'result'":
        "damaged: a trial's attribute result has another form.",
    "UPDATE trial_user_attributes SET value_json = json_set(value_json, '$.state', 'x')"
    " WHERE key = 'result'":
        "damaged: trial 0 is not whole.",
    "UPDATE study_user_attributes SET value_json = '{\"search\": 1}' WHERE key = 'config'":
        "damaged: the study's attribute config has another form.",
    "UPDATE trials SET number = 'x' WHERE number = 2":
        "damaged: a trial has the number 'x', state 'COMPLETE'",
    "DROP TABLE studies":
        "damaged: the table studies is missing.",
    "DROP TABLE trials":
        "no such table: trials",
}  # fmt: skip


@pytest.mark.parametrize("statement", TOLD)
def test_what_is_damaged_is_named(statement: str, good: Path, tmp_path: Path) -> None:
    told = given(changed(good, tmp_path / "damaged", statement))
    assert {answer.code for answer in told} == {1}
    for answer in told:
        assert TOLD[statement] in answer.line
        assert str(tmp_path / "damaged" / good.name) in answer.line


def test_a_damaged_study_hides_no_other(storage: Path, call: Any) -> None:
    """Nor does one of another program, whatever its attributes are."""
    for name in ("one", "broken", "two"):
        write_study(storage, name)
    other = optuna.create_study(study_name="other", storage=f"sqlite:///{storage}")
    other.set_user_attr("config", "resnet.yaml")
    other.set_user_attr("stage", 3)
    with closing(sqlite3.connect(storage)) as connection, connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = '3' WHERE key = 'config'"
            " AND study_id = (SELECT study_id FROM studies WHERE study_name = 'broken')"
        )
    listed = call("list")
    assert listed.code == 1
    assert [row[0] for row in listed.rows[1:]] == ["one", "two"]
    assert "study broken is left out: --storage: " in listed.err
    assert "the study's attribute config has another form" in listed.err
    assert call("show", "two", "1").code == 0
    assert "damaged" in call("show", "broken", "1").err
    with pytest.raises(InputError, match="another program"):
        write_study(storage, "other")
    assert optuna.load_study(study_name="other", storage=f"sqlite:///{storage}").user_attrs["stage"]


def test_rows_without_their_study(good: Path, tmp_path: Path) -> None:
    path = changed(good, tmp_path / "orphans", "DELETE FROM studies")
    *readers, run = given(path)
    assert run.code == 1
    assert "damaged: there are rows of a study that is not there." in run.line
    assert [answer.code for answer in readers] == [0, 2, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good.parent, tmp_path / "closed")
    path = tmp_path / "closed" / good.name
    path.chmod(0)
    assert {answer.code for answer in answers(path)} <= {1, 2, 4}


@pytest.mark.parametrize(
    "text",
    ["", "{", None, 7.5, b"\xff", "[" * 100_000, "1", '{"state": "complete"}', '{"epochs": 1e300}'],
)
def test_forms(text: object) -> None:
    with pytest.raises(DamagedError, match=r"a trial's attribute result (is no JSON|has another)"):
        stored.of_trial(RESULT, text)


ENDED: dict[str, object] = {
    "state": "complete",
    "reason": None,
    "epochs": 8,
    "best_epoch": 3,
    "facts": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"state": 1}, {"reason": 1.5}, {"epochs": 1e300}, {"epochs": None}, {"best_epoch": "x"},
        {"facts": []}, {"facts": None}, {"seconds": "x"}, {"diagnosis": []},
        {"diagnosis": {"verdict": None}}, {"diagnosis": {"verdict": "ok", "findings": [1]}},
    ],
    ids=str,
)  # fmt: skip
def test_forms_of_parts(change: dict[str, object]) -> None:
    assert stored.of_trial(RESULT, json.dumps(ENDED)) == ENDED
    with pytest.raises(DamagedError, match="another form"):
        stored.of_trial(RESULT, json.dumps({**ENDED, **change}))


def test_what_has_no_form_of_ours_is_taken_as_it_is() -> None:
    assert stored.of_trial("another program's", "[1]") == [1]
    assert stored.of_study("another program's", '"x"') == "x"


def test_looking_at_forms_takes_little(tmp_path: Path) -> None:
    """10,000 trials are to be listed in about a second."""
    write_study(tmp_path / "studies.db")
    begun = time.process_time()
    text = json.dumps(ENDED)
    for _ in range(10_000):
        stored.of_trial(RESULT, text)
    assert time.process_time() - begun < 0.5
    assert len(read.trials(str(tmp_path / "studies.db"), "digits")) == 7

"""`cnnsearch doctor`: one page for a report of a fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from cnnsearch import __version__, cli
from cnnsearch.commands import health
from cnnsearch.plan import remaining
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.test_search import FINGERPRINT, Scripted, search

Capture = pytest.CaptureFixture[str]
DATABASE = "cnnsearch.db"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def page(capsys: Capture, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and each part's finding."""
    capsys.readouterr()
    code = cli.run(["doctor", "--json", *words])
    return code, {line["part"]: line for line in json.loads(capsys.readouterr().out)}


def test_what_a_report_needs(capsys: Capture) -> None:
    code, found = page(capsys)
    assert code == 0
    assert found["cnnsearch"]["text"] == __version__
    assert f"optuna {optuna.__version__}" in found["packages"]["text"]
    assert torch.__version__ in found["torch"]["text"]
    assert "nothing there yet" in found["storage"]["text"]
    assert "can be read" in found["torchvision"]["text"]
    assert found["leftovers"]["text"] == "none"
    assert not Path(DATABASE).exists()
    assert cli.run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"  cnnsearch   {__version__}"
    assert len(lines) == len(found)


def test_leftovers(capsys: Capture) -> None:
    """What a dead coordinator leaves is named, with what to do; not what a living one has."""
    study = Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    study.begin(remaining(digits_config(), [], 6)[0])
    partial = Path("runs/digits/.0.partial")
    partial.mkdir(parents=True)
    assert page(capsys)[0] == 0
    study._writer.close()
    study._database.engine.dispose()
    study._lock.release()
    Path("runs/digits/unstored.json").write_text("{}")
    assert cli.run(["doctor"]) == 1
    said = capsys.readouterr().out
    assert (
        "! leftovers   digits: 1 trial of a dead coordinator. To go on: cnnsearch run FILE." in said
    )
    assert "digits: results that wait in runs/digits/unstored.json" in said
    assert "digits: 1 folder of trials that were cut short" in said


def test_what_was_run_again_is_no_leftover(capsys: Capture) -> None:
    config = digits_config(trials=1)
    study = Study.claim(DATABASE, config, FINGERPRINT, 1)
    study.begin(remaining(config, [], 1)[0])
    study.release()
    assert page(capsys)[1]["leftovers"]["text"].startswith("digits: 1 trial of a dead")
    search(config, Scripted({}))
    assert page(capsys)[1]["leftovers"]["text"] == "none"


def test_a_storage_that_cannot_be_reached(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is whole all the same, and holds no password."""
    url = "postgresql+psycopg://me:s3cret@127.0.0.1:1/studies"
    monkeypatch.setenv("CNNSEARCH_STORAGE", url)
    code, found = page(capsys)
    assert code == 1
    assert not found["storage"]["well"]
    assert "me:***@127.0.0.1:1/studies" in found["storage"]["text"]
    assert "s3cret" not in json.dumps(found)
    assert found["disk, here"]["well"]


def test_a_file_that_is_no_database(capsys: Capture) -> None:
    """It is told once, with what to do."""
    Path("notes.txt").write_text("no database at all")
    code, found = page(capsys, "--storage", "notes.txt")
    assert code == 1
    assert found["storage"]["text"].endswith(
        "notes.txt is no database. Write another file, such as --storage cnnsearch.db."
    )
    assert [part for part, line in found.items() if not line["well"]] == ["storage"]
    assert found["leftovers"]["text"] == "not known, as the storage cannot be read"


def test_little_room(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LITTLE_GB", 1e9)
    code, found = page(capsys)
    assert code == 1
    assert found["disk, here"]["text"].endswith("GB free. Make room.")

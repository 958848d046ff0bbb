"""The count of readings of test sets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnsearch.data.readings import add_reading, readings
from cnnsearch.errors import DataError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_readings_are_counted_by_data_set() -> None:
    assert readings("a") == 0
    assert [add_reading("a"), add_reading("a"), add_reading("b")] == [1, 2, 1]
    assert (readings("a"), readings("b"), readings("c")) == (2, 1, 0)


def test_no_reading_is_lost_among_processes() -> None:
    program = (
        "from cnnsearch.data.readings import add_reading\nfor _ in range(50): add_reading('a')"
    )
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert readings("a") == 150


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', "{", "\x00"])
def test_a_broken_file_is_said(state: Path, content: str) -> None:
    path = state / "cnnsearch" / "test-readings.json"
    path.parent.mkdir()
    path.write_text(content)
    for read in (add_reading, readings):
        with pytest.raises(DataError, match=r"test-readings\.json: not the counts"):
            read("a")
    assert path.read_text() == content


def test_a_folder_that_cannot_be_written_is_said(state: Path) -> None:
    (state / "cnnsearch").write_text("a file")
    with pytest.raises(DataError, match="set XDG_STATE_HOME"):
        add_reading("a")

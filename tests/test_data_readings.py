"""The count of readings of test sets."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

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
        "import sys; from cnnsearch.data.readings import add_reading\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(100): add_reading('a')"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", program], **pipes))
            for _ in range(3)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait() for process in running] == [0, 0, 0]
    assert readings("a") == 300


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

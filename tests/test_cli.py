"""The command line as a whole: what it loads, how fast, and how errors leave it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnsearch import cli

HEAVY = ("torch", "torchvision", "optuna", "plotext", "sqlalchemy", "pydantic")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["choices"]])
def test_help_is_light(words: list[str]) -> None:
    """Measured with sys.modules, in a process of its own."""
    code = (
        "import sys; from cnnsearch import cli; code = cli.run(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_help_is_fast() -> None:
    """Under 0.3 s on a quiet machine; the best of five, with room for a busy one."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cnnsearch", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - started)
    assert min(times) < 0.6


def test_a_misspelt_verb_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lst"]) == 2
    assert "Did you mean list?" in capsys.readouterr().err


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_are_for_defects(
    debug: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "cnnsearch", "run", "nowhere.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env={"CNNSEARCH_DEBUG": "1" if debug else "", "PATH": "", "HOME": str(tmp_path)},
    )
    assert ("Traceback" in done.stderr) == debug
    assert "nowhere.yaml" in done.stderr
    assert done.returncode == 2
    if not debug:
        assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m cnnsearch schema | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout == "{\n"

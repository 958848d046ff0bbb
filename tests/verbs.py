"""Fixtures of the tests of verbs: a storage with studies, and the program called on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.space import Choice, Range, Space
from tests.studies import complete, write_study


@dataclass(frozen=True)
class Found:
    """What a call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the printed table."""
        return [line.split() for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds `digits` (see `SEVEN`) and `digits-wide` (two trials)."""
    path = tmp_path_factory.mktemp("reading") / "studies.db"
    write_study(path)
    space: Space = {"lr": Range(1e-3, 1.0), "epochs": Choice((2, 3)), "kernel": Choice((1, 3))}
    told = tuple(
        complete(0.5 + k / 10, {"lr": 0.1, "epochs": 2 + k, "kernel": 3}, 2 + k) for k in range(2)
    )
    write_study(path, "digits-wide", told, space)
    return path


_CUT = """\
import resource, signal, sys
from cnnsearch import cli
signal.signal(signal.SIGXFSZ, signal.{0})
resource.setrlimit(resource.RLIMIT_FSIZE, ({1}, {1}))
sys.exit(cli.run(sys.argv[1:]))
"""


def cut(size: int, ended: str, storage: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own that cannot write larger files than so many bytes.

    Args:
        ended: what becomes of it then: SIG_DFL, the kernel kills it; SIG_IGN, its write fails.
    """
    environment = {**os.environ, "CNNSEARCH_STORAGE": str(storage)}
    program = [sys.executable, "-B", "-c", _CUT.format(ended, size), *words]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def call(storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the program on the storage."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))

    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run

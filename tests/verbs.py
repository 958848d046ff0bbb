"""Fixtures of the tests of verbs: a storage with studies, and the program called on it."""

from __future__ import annotations

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


@pytest.fixture
def call(storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the program on the storage."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))

    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run

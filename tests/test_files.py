"""Files that verbs write: one rule for all verbs, and one wording."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch.commands.files import write_target
from tests.studies import SEVEN, complete, point, write_study
from tests.verbs import call, cut

__all__ = ["call"]  # a fixture
# The words of each verb, and the name of a file that it writes.
WRITING: Sequence[tuple[str, str]] = [
    ("init -o", "search.yaml"),
    ("narrow digits -o", "next.yaml"),
    ("plot digits -k curves -o", "curves.png"),
    ("report digits -o", "report.html"),
    ("export digits best -o", "best.yaml"),
    ("export digits --csv -o", "best.yaml"),
    ("export digits best --model", "best.pt"),
]
each = pytest.mark.parametrize(("words", "name"), WRITING, ids=[one[0] for one in WRITING])


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study that is finished, and complete enough for `narrow`."""
    path = tmp_path_factory.mktemp("files") / "studies.db"
    last = (replace(complete(0.8, point(1.0)), point=6), complete(0.91, point(0.05)))
    write_study(path, told=(*SEVEN, *last))
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of relative names are the test's own."""
    monkeypatch.chdir(tmp_path)


@each
def test_a_folder(call: Any, words: str, name: str) -> None:
    Path(name).mkdir()
    found = call(*words.split(), name, "--force")
    assert (found.code, found.out) == (2, "")
    assert found.err == f"{name}: is a folder. Write a file name, such as {name}/{name}.\n"


@each
def test_a_folder_that_is_absent(call: Any, words: str, name: str) -> None:
    found = call(*words.split(), f"no/{name}")
    assert (found.code, found.out) == (2, "")
    assert found.err == f"no/{name}: no folder no. Make it, or write another path.\n"


@each
def test_what_is_there_is_left(call: Any, words: str, name: str) -> None:
    Path(name).write_text("mine")
    found = call(*words.split(), name)
    option = words.split()[-1]
    assert (found.code, found.out) == (2, "")
    assert found.err == (
        f"{name}: exists. Write --force to overwrite it, or {option} with another name.\n"
    )
    assert Path(name).read_text() == "mine"


@each
def test_a_database_is_never_overwritten(call: Any, storage: Path, words: str, name: str) -> None:
    shutil.copy(storage, name)
    found = call(*words.split(), name, "--force")
    assert (found.code, found.out) == (2, "")
    assert found.err == f"{name}: is a database. Write another path.\n"
    assert Path(name).read_bytes() == storage.read_bytes()


@pytest.mark.parametrize(("words", "name"), WRITING[:-1], ids=[one[0] for one in WRITING[:-1]])
def test_force_overwrites(call: Any, words: str, name: str) -> None:
    Path(name).write_text("mine")
    assert call(*words.split(), name, "--force").code == 0
    assert not Path(name).read_bytes().startswith(b"mine")
    assert [one.name for one in Path().iterdir()] == [name]


@pytest.mark.parametrize(("words", "name"), [*WRITING[:3], *WRITING[4:6]])
def test_the_same_content_loses_nothing(call: Any, words: str, name: str) -> None:
    for _ in range(2):
        assert call(*words.split(), name).code == 0


# matplotlib writes a cache of its own.
without_plot = [one for one in WRITING[:-1] if not one[0].startswith("plot")]


@pytest.mark.parametrize(("words", "name"), without_plot, ids=[one[0] for one in without_plot])
def test_killed_in_the_middle(storage: Path, words: str, name: str) -> None:
    Path(name).write_text("mine")
    found = cut(100, "SIG_DFL", storage, *words.split(), name, "--force")
    assert found.returncode == -signal.SIGXFSZ, found.stderr
    assert Path(name).read_text() == "mine"
    [left] = Path().glob(f"{name}.*.partial")
    assert left.stat().st_size == 100


def test_a_disk_that_takes_no_more(storage: Path) -> None:
    Path("best.yaml").write_text("mine")
    words = ("export", "digits", "best", "-o", "best.yaml", "--force")
    found = cut(100, "SIG_IGN", storage, *words)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "best.yaml: File too large. Write another path.\n"
    assert [one.name for one in Path().iterdir()] == ["best.yaml"]
    assert Path("best.yaml").read_text() == "mine"


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    """A pipe or a device is written to, and a link is followed: none of them is replaced."""
    pipe, link, text = tmp_path / "pipe", tmp_path / "link", "study: a\n"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    link.symlink_to(tmp_path / "file")
    for path in (pipe, link):
        write_target(path, text, "x.yaml", force=False)
    assert os.read(reader, 100).decode() == (tmp_path / "file").read_text() == text
    os.close(reader)
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_to_stdout_by_its_name() -> None:
    """Into a pipe, where the name behind it is that of no file."""
    code = "from cnnsearch.drafts import *; write_whole(Path('/dev/stdout'), 'study: a\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "study: a\n"


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    write_target(path, "new", "x.yaml", force=True)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)

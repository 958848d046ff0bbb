"""Completion, as the shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnsearch import cli
from tests.studies import complete, point, write_study

Capture = pytest.CaptureFixture[str]
PATIENT = """
from cnnsearch import cli
from cnnsearch.commands import completing
completing._PATIENCE_S = 120
cli.main()
"""
"""The program for a loaded machine, where reading a small file may take more than two seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two studies, two config files, and the program by its name."""
    path = tmp_path_factory.mktemp("completion")
    write_study(path / "cnnsearch.db")
    write_study(path / "cnnsearch.db", "mnist", (complete(0.5, point(0.1)),))
    (path / "configs").mkdir()
    for name in (
        "digits.yaml",
        "data.txt",
        "configs/mnist.yml",
        ".hidden.db",
        "cnnsearch.db-journal",
    ):
        (path / name).touch()
    program = path / "bin" / "cnnsearch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PATIENT}" "$@"\n')
    program.chmod(0o755)
    return path


def asked(
    folder: Path, line: str, shell: str = "zsh", code: str = PATIENT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What the program answers to a shell; a line that ends in a space begins a new word."""
    words = line.split()
    last = "" if line.endswith(" ") else words[-1]
    place = str(len(words) - (last != "")) if shell != "fish" else last
    told = {"_CNNSEARCH_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": place}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder, env={**os.environ, **told, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def of_zsh(folder: Path, line: str, **environment: str) -> list[str]:
    """Three lines a completion: type, value, help."""
    done = asked(folder, line, **environment)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.strip("\n").splitlines()  # click writes an empty line for nothing
    kinds, values = lines[::3], lines[1::3]
    return [value for kind, value in zip(kinds, values, strict=True) if kind == "plain"]


TRIALS = ["best", "last", "0", "1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cnnsearch di", ["diagnose", "diff"]),
        ("cnnsearch show ", ["digits", "mnist"]),
        ("cnnsearch show d", ["digits"]),
        ("cnnsearch show digits ", TRIALS),
        ("cnnsearch show dig ", TRIALS),
        ("cnnsearch compare digits 1 mnist/", ["mnist/best", "mnist/last", "mnist/0"]),
        ("cnnsearch stop ", ["digits", "mnist"]),
        ("cnnsearch stop mnist ", ["best", "last", "0"]),
        ("cnnsearch list m", ["mnist"]),
        ("cnnsearch report digits m", ["mnist"]),
        ("cnnsearch rm ", ["digits", "mnist"]),
        ("cnnsearch run ", ["digits.yaml"]),
        ("cnnsearch run configs/", ["configs/mnist.yml"]),
        ("cnnsearch list --storage ", ["cnnsearch.db", "data.txt", "digits.yaml"]),
        ("cnnsearch list --storage bin/", ["bin/cnnsearch"]),
        ("cnnsearch list --storage .", [".hidden.db"]),
        ("cnnsearch diff digits.yaml ", ["digits.yaml", "digits", "mnist"]),
        ("cnnsearch export digits best --mod", ["--model"]),
        ("cnnsearch importance mnist --target ", ["value", "diverged", "seconds"]),
        ("cnnsearch show --storage nowhere.db ", []),
        ("cnnsearch nothing ", list(cli.VERBS)),
    ],
)
def test_words(line: str, found: list[str], folder: Path) -> None:
    assert of_zsh(folder, line) == found


def test_the_storage_of_the_environment(folder: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "other.db", "elsewhere", (complete(0.5, point(0.1)),))
    environment = {"CNNSEARCH_STORAGE": str(tmp_path / "other.db")}
    assert of_zsh(folder, "cnnsearch show ", **environment) == ["elsewhere"]
    line = f"cnnsearch show --storage {folder / 'cnnsearch.db'} "
    assert of_zsh(folder, line, **environment) == ["digits", "mnist"]


@pytest.mark.parametrize(
    "storage",
    ["broken.db", "absent.db", "mysql://x", "", "postgresql+psycopg://me:s3cret@127.0.0.1:1/db"],
)
def test_a_broken_storage_completes_nothing(storage: str, tmp_path: Path) -> None:
    """And says nothing, which would stand in the user's line."""
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    for line in ("cnnsearch show ", "cnnsearch show digits ", "cnnsearch stop digits "):
        assert of_zsh(tmp_path, line, CNNSEARCH_STORAGE=storage) == []
    assert [one.name for one in tmp_path.iterdir()] == ["broken.db"]


def test_a_storage_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """As a pipe, which nobody writes to; nor is a program that completes for ever kept."""
    os.mkfifo(tmp_path / "slow.db")
    code = "from cnnsearch import cli; cli.main()"
    storage = str(tmp_path / "slow.db")
    assert of_zsh(tmp_path, "cnnsearch show ", code=code, CNNSEARCH_STORAGE=storage) == []


def test_loading_is_no_part_of_the_wait(folder: Path) -> None:
    """It takes seconds where a machine is busy, and who waits for that is to get an answer."""
    code = """
import sys
from cnnsearch import cli
from cnnsearch.commands import completing
asked = completing._asked
def seen(question):
    print("cnnsearch.study.read" in sys.modules, file=sys.stderr)
    return asked(question)
completing._asked = seen
cli.main()
"""
    for words in ("show ", "show digits ", "compare "):
        assert asked(folder, f"cnnsearch {words}", code=code).stderr == "True\n"


def test_fish(folder: Path) -> None:
    done = asked(folder, "cnnsearch show digits ", "fish")
    assert [line.split(",")[-1].split("\t")[0] for line in done.stdout.splitlines()] == TRIALS
    assert "dir" in asked(folder, "cnnsearch run c", "fish").stdout


def test_it_is_light(folder: Path) -> None:
    code = (
        "import sys\nfrom cnnsearch import cli\ntry:\n    cli.main()\nfinally:\n"
        "    print([n for n in ('torch', 'optuna', 'rich') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True,
        env={
            **os.environ, "_CNNSEARCH_COMPLETE": "zsh_complete",
            "COMP_WORDS": "cnnsearch show digits ", "COMP_CWORD": "3",
        },
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert "best" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["cnnsearch", "show", ""], ["digits", "mnist"]),
        (["cnnsearch", "show", "digits", "b"], ["best"]),
        (["cnnsearch", "run", ""], ["digits.yaml"]),
        (["cnnsearch", "run", "conf"], []),  # readline then completes folders
        (["cnnsearch", "list", "--storage", "c"], ["cnnsearch.db"]),
    ],
)
def test_in_bash(words: list[str], found: list[str], folder: Path) -> None:
    """Through the script that it is given, with the program found by its name."""
    script = f"""
    eval "$(cnnsearch completion bash)"
    complete -p cnnsearch >&2 || exit 1
    compopt() {{ echo "asked for $2" >&2; }}  # it works while a key is pressed only
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
    COMP_CWORD={len(words) - 1}
    _cnnsearch_completion cnnsearch
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == found
    assert "_cnnsearch_completion cnnsearch" in done.stderr
    assert ("asked for dirnames" in done.stderr) == (words[1] in ("run", "list"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run(["completion", shell]) == 0
    told = capsys.readouterr()
    assert f"_CNNSEARCH_COMPLETE={shell}_complete" in told.out
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert cli.run(["completion"]) == 0
    assert capsys.readouterr() == told


def test_another_shell(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert cli.run(["completion"]) == 2
    assert capsys.readouterr().err.startswith("$SHELL is tcsh. Write cnnsearch completion bash")

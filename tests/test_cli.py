"""The command line as a whole: what it loads, how fast, and how errors leave it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cnnsearch import catalog, cli
from tests.studies import write_study

HEAVY = (
    "torch",
    "torchvision",
    "optuna",
    "plotext",
    "plotly",
    "sqlalchemy",
    "pydantic",
    "matplotlib",
)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["run", "--help"], ["report", "--help"], ["choices"]]
)
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
    """Under 0.3 s on a quiet machine; of processor time, as other tests run beside it."""
    times = []
    for _ in range(5):
        before = spent()
        subprocess.run(
            [sys.executable, "-m", "cnnsearch", "--help"], capture_output=True, check=True
        )
        times.append(spent() - before)
    assert min(times) < 0.6


def spent() -> float:
    """The processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


@pytest.mark.parametrize("words", ["list", "--help", "list --json", "choices", "schema"])
def test_a_full_disk_is_one_line(words: str, tmp_path: Path) -> None:
    write_study(tmp_path / "cnnsearch.db")
    done = subprocess.run(
        f"{sys.executable} -m cnnsearch {words} > /dev/full",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "cannot write: No space left on device. Make room, or write elsewhere.\n"
    )


@pytest.mark.parametrize("words", ["list", "list digits --csv", "show digits best", "--help"])
def test_a_reader_that_leaves_ends_no_verb_with_an_error(words: str, tmp_path: Path) -> None:
    """The reader is gone before the first line, so that every verb meets it."""
    write_study(tmp_path / "cnnsearch.db")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cnnsearch", *words.split()],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            cwd=tmp_path,
        )
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert b"Error" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("list --foo", "cnnsearch list: no such option --foo. See cnnsearch list --help."),
        (
            "list --csw",
            "cnnsearch list: no such option --csw. Did you mean --csv? See cnnsearch list --help.",
        ),
        ("--foo", "cnnsearch: no such option --foo. See cnnsearch --help."),
        ("show", "cnnsearch show: missing argument STUDY TRIAL. See cnnsearch show --help."),
        (
            "compare",
            "cnnsearch compare: missing argument STUDY TRIAL. See cnnsearch compare --help.",
        ),
        (
            "list digits --top 0",
            "cnnsearch list: --top: 0 is not in the range x>=1. See cnnsearch list --help.",
        ),
        (
            "list --top",
            "cnnsearch list: option --top requires an argument. See cnnsearch list --help.",
        ),
        ("lst", "cnnsearch: no verb 'lst'. Did you mean list? See cnnsearch --help."),
        ("rm a b", "cnnsearch rm: got unexpected extra argument (b). See cnnsearch rm --help."),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words.split()) == 2
    assert capsys.readouterr() == ("", told + "\n")


def test_a_wrong_choice_names_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["choices", "foo"]) == 2
    assert capsys.readouterr().err.startswith("cnnsearch choices: [KIND]: 'foo' is not one of ")


def test_the_help_of_choices_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["choices", "--help"]) == 0
    listed = capsys.readouterr().out.partition("KIND is one of them: ")[2].partition(".")[0]
    assert sorted(listed.replace(",", " ").split()) == sorted(catalog.TABLES)


@pytest.mark.parametrize("columns", [40, 80])
def test_summaries_of_verbs_are_whole(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.run(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert "..." not in "".join(lines)
    assert [line.split()[0] for line in lines if line[2] != " "] == list(cli.VERBS)
    if columns == 80:
        assert len(lines) == len(cli.VERBS), "a line each"


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("show", "STUDY TRIAL"),
        ("compare", "STUDY TRIAL..."),
        ("export", "STUDY [TRIAL]"),
        ("choices", "[KIND]"),
        ("list", "[STUDY]"),
    ],
)
def test_usage_lines(verb: str, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    usage = capsys.readouterr().out.splitlines()[0]
    assert usage == f"Usage: cnnsearch {verb} [OPTIONS] {arguments}"


def test_ctrl_c_at_a_question_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.group, "invoke", interrupted)
    assert cli.run(["choices"]) == 130

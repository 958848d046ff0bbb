"""The README's tour: its commands, in their order, in an empty folder, with short trials."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from cnnsearch import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = README.partition("\n## A tour of five minutes\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^\$ (.*)$", TOUR, flags=re.MULTILINE)


def shortened(command: str) -> list[str]:
    """The words of a command, with fewer trials, seeds and epochs than the reader sees."""
    words = shlex.split(command)
    match words[1:3]:
        case ["run", "configs/digits.yaml"]:
            return [*words, "-n", "20", "-S", "epochs=2"]
        case ["check", _] if "--smoke" in words:
            return [*words, "-j", "1", "-n", "4"]
        case ["rerun", _] if "--seeds" in words:
            return [*words[:-1], "2"]
    return words


def shorten(chain: Path) -> None:
    """The stages of a file, with few trials of few epochs."""
    text = chain.read_text(encoding="utf-8")
    trials = iter((8, 6, 2))
    text = re.sub(r"epochs: \d+, trials: \d+", lambda _: f"epochs: 2, trials: {next(trials)}", text)
    chain.write_text(text, encoding="utf-8")


def test_the_commands_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        words = shortened(command)
        if words[0] != "cnnsearch":
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            continue
        if words[1:] == ["run", "chain.yaml"]:
            shorten(Path("chain.yaml"))
        departs = "threads=2" in words
        assert cli.run(words[1:]) == int(departs), f"{command}: {capsys.readouterr().err}"
        said = capsys.readouterr()
        assert said.out or said.err, command
        assert "Traceback" not in said.err, command


def test_the_lines_that_are_not_run_here_exist() -> None:
    shell = "".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))
    for line in (
        ".venv/bin/pip install -q -e . && .venv/bin/cnnsearch run configs/digits.yaml",
        "pip install -q -e '.[dev]' && scripts/check",
        "ray start --head",
        "ray start --address",
        "--ray --ray-address",
    ):
        assert line in shell, line

"""The README is true: verbs, fields, commands and files that it names exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnnsearch import catalog, cli
from cnnsearch.config import load
from cnnsearch.config.sections import Abort, Checkpoint, Data, Model, Search, Section, Train
from cnnsearch.rows import Row

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[Section]] = {
    "data": Data,
    "model": Model,
    "train": Train,
    "abort": Abort,
    "checkpoint": Checkpoint,
    "search": Search,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_is_told(verb: str) -> None:
    assert f"| `{verb}" in README


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"cnnsearch {verb}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("section", SECTIONS)
def test_the_reference_holds_every_field_with_its_default(section: str) -> None:
    reference = yaml.safe_load(blocks("yaml")[1])[section]
    fields = SECTIONS[section].model_fields
    assert list(reference) == list(fields)
    for name, field in fields.items():
        if (section, name) not in {("data", "name"), ("data", "root"), ("search", "trials")}:
            assert reference[name] == field.default, name


def test_the_reference_loads(tmp_path: Path) -> None:
    path = tmp_path / "reference.yaml"
    text = blocks("yaml")[1].replace("root: ~/data", "root: null")
    path.write_text(text, encoding="utf-8")
    assert load(path).study == "cifar-coarse"


def test_the_tour_shows_the_file_that_it_runs() -> None:
    shown = blocks("yaml")[0]
    assert (ROOT / "configs" / "digits.yaml").read_text(encoding="utf-8").endswith(shown)


CHOICES: dict[str, Mapping[str, Row]] = {
    "name": catalog.DATASETS,
    "preprocess": catalog.PREPROCESSORS,
    "activation": catalog.ACTIVATIONS,
    "init": catalog.INIT_SCHEMES,
    "optimizer": catalog.OPTIMIZERS,
    "schedule": catalog.SCHEDULES,
    "sampler": catalog.SAMPLERS,
    "pruner": catalog.PRUNERS,
}


@pytest.mark.parametrize("field", CHOICES)
def test_the_reference_names_only_choices_that_exist(field: str) -> None:
    """A new row need not be named here, as `cnnsearch choices` lists all."""
    reference = blocks("yaml")[1].partition("\nspace:")[0]
    [line] = re.findall(rf"^  {field}: (.*)$", reference, flags=re.MULTILINE)
    default, _, comment = line.partition("#")
    listed = comment.split(",")[0].split("|") if "|" in comment else []
    names = {name.partition(":")[0].strip() for name in [default, *listed]}
    assert names <= set(CHOICES[field]), names - set(CHOICES[field])


def test_ci_runs_the_readmes_test_command() -> None:
    after = README.split("<!-- the test command -->")[1]
    command = next(line for line in after.splitlines() if line.startswith("python3 "))
    assert "scripts/check" in command
    assert "the test command" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_only_the_agreed_entries_stand_at_the_top() -> None:
    names = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")}
    made = {"runs", "build", "cnnsearch.egg-info"}
    kept = {name for name in names if not name.startswith("cnnsearch.db")} - made
    assert kept == {"README.md", "pyproject.toml", "cnnsearch", "configs", "tests", "scripts"}


def test_the_lines_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = [block for block in blocks("python") if "run_search(" in block]
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    assert len(found["losses"]) == 4
    assert found["study"].best.value > 0.5

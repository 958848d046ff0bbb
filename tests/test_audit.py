"""What cnnsearch depends on is declared, used and in range; nothing is looked up here."""

from __future__ import annotations

import json
from pathlib import Path

import audit_dependencies as audit
import pytest
from packaging.requirements import Requirement

GROUPS = {
    "": [Requirement("numpy>=2"), Requirement("pyyaml")],
    "fanova": [Requirement("scikit-learn")],
    "dev": [Requirement("pytest")],
}


def undeclared(source: str, early: tuple[str, ...] = ("cnnsearch.a",)) -> list[str]:
    return list(audit.undeclared(list(audit.uses(source, "cnnsearch/a.py")), GROUPS, early))


def test_nothing_is_wrong() -> None:
    assert audit.audit() == []


@pytest.mark.parametrize(
    "source",
    ["import numpy.random", "from yaml import load", "def f():\n    import sklearn",
     "x = 'normal:x'", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sklearn"],
)  # fmt: skip
def test_what_is_declared(source: str) -> None:
    third = [use for use in audit.uses(source, "a.py") if use.module != "typing"]
    assert list(audit.undeclared(third, GROUPS, ("a",))) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_such", "cnnsearch/a.py:1: nothing_such is imported and not declared in "),
        ("def f():\n    import click", "cnnsearch/a.py:2: click is imported and not declared"),
        ("import pytest", "cnnsearch/a.py:1: pytest is imported and not declared"),
        ("x = 'torch.nn:ReLU'", "cnnsearch/a.py:1: torch is imported and not declared"),
        ("find_spec('scipy')", "cnnsearch/a.py:1: scipy is imported and not declared"),
        ("import sklearn", "cnnsearch/a.py:1: sklearn is of an extra. Import it inside a function"),
    ],
)
def test_what_is_not(source: str, told: str) -> None:
    (line,) = undeclared(source)
    assert line.startswith(told)


def test_a_module_that_is_loaded_late_may_import_an_extra() -> None:
    assert undeclared("import sklearn", early=()) == []


def test_what_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "cnnsearch").mkdir()
    (tmp_path / "cnnsearch" / "a.py").write_text("import numpy")
    assert list(audit.unused(GROUPS, tmp_path)) == [
        "dependencies: pyyaml is declared and not used in cnnsearch/",
        "extra fanova: scikit-learn is declared and not used in cnnsearch/",
    ]


def test_what_is_out_of_range_or_absent() -> None:
    groups = {
        "": [Requirement("numpy<1"), Requirement("no-such-thing")],
        "more": [Requirement("no-such-extra"), Requirement("torch>=2.11,<99")],
    }
    (low, _), *absent = audit.out_of_range(groups)
    assert low.startswith("dependencies: numpy<1 is declared, ")
    assert absent == [
        ("dependencies: no-such-thing is not installed", True),
        ("extra more: no-such-extra is not installed", False),
    ]


def package(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


def test_the_answer_of_pip_audit() -> None:
    flaw = {"id": "CVE-1", "fix_versions": ["1.1"]}
    answer = json.dumps({"dependencies": [package("a", vulns=[flaw]), package("b")]})
    assert audit.judged(answer, "") == (["a 1.0: CVE-1, mended in 1.1"], "")
    answer = json.dumps({"dependencies": [package("a"), {"name": "b", "skip_reason": "not found"}]})
    assert audit.judged(answer, "") == (
        [],
        "1 of 2 packages are not known where pip-audit asks: b",
    )
    assert audit.judged("", "log\nno network") == ([], "pip-audit could not ask: no network")


def test_installed_leaves_out_builds_and_this_package() -> None:
    lines = audit.installed().splitlines()
    assert any(line.startswith("torch==") for line in lines)
    assert not any("+" in line or line.startswith("cnnsearch==") for line in lines)


@pytest.mark.parametrize(
    ("wrong", "flaws", "why", "code"),
    [
        ([], [], "", 0),
        (["x"], [], "", 1),
        ([], ["x"], "", 1),
        ([], [], "no network", 3),
        (["x"], [], "no network", 1),
    ],
)
def test_exit_codes(
    wrong: list[str],
    flaws: list[str],
    why: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["audit_dependencies.py"])
    monkeypatch.setattr(audit, "audit", lambda: list(wrong))
    monkeypatch.setattr(audit, "vulnerabilities", lambda: (flaws, why))
    assert audit.main() == code
    told = capsys.readouterr().out
    assert ("were not looked up: no network." in told) == bool(why)
    assert ("No known vulnerability." in told) == (code == 0)

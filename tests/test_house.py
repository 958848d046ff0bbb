"""The house: which part may import which, and how large its rooms are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnsearch

ROOT = Path(cnnsearch.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# From the roof down; imports go down only, and within a floor where it is listed in BESIDE.
FLOORS = [
    ["__main__"],
    ["cli"],
    ["commands"],
    ["running"],
    ["stages", "watch"],
    ["search", "plan", "preflight", "interruption"],
    ["attempts", "folders", "ongoing"],
    ["executors"],
    ["group"],
    ["runner"],
    ["fused"],
    ["train", "exported"],
    ["probe"],
    ["model", "data", "losses", "process"],
    ["guard", "optimizer", "precision", "checkpoint", "weights", "study", "exports"],
    ["plot", "report"],
    ["render"],
    ["review"],
    ["config"],
    ["ending", "verification", "space", "selection", "grouping", "fusion"],
    ["catalog", "environment", "ranking", "objective", "diagnose", "drafts"],
    ["own"],
    ["records", "rows", "errors", ""],
]
BESIDE = {("", "running")}  # what `from cnnsearch import ...` gives, loaded when asked for
TRAINING = {"runner", "train", "probe", "model", "data", "losses", "process", "guard", "optimizer"}
TRAINING |= {"precision", "fused", "group", "checkpoint", "weights", "exported"}
TORCH = {"torch", "torchvision"}


def part_of(module: Path) -> str:
    first = module.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def floor_of(part: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if part in floor)


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: write the whole path"
            if node.module == "cnnsearch":
                yield from (f"cnnsearch.{alias.name}" for alias in node.names)
            else:
                yield node.module


def names(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_imports_go_down_only(module: Path) -> None:
    part = part_of(module)
    for imported in imports(module):
        top, _, rest = imported.partition(".")
        if top != "cnnsearch":
            continue
        target = rest.split(".")[0]
        if not (ROOT / target).is_dir() and not (ROOT / f"{target}.py").exists():
            target = ""  # a name of cnnsearch/__init__.py
        if target == part:
            continue
        lower = floor_of(target) > floor_of(part)
        assert lower or (part, target) in BESIDE, f"{names(module)} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_two_towers(module: Path) -> None:
    """Study knows Optuna, training knows torch, and neither knows the other."""
    part = part_of(module)
    for imported in imports(module):
        parts = imported.split(".")
        if parts[0] == "optuna":
            assert part == "study", f"{names(module)} imports {imported}"
        if parts[0] in TORCH:
            assert part in TRAINING | {"preflight"}, f"{names(module)} imports {imported}"
        if part == "study":
            assert parts[0] not in TORCH
            assert not (parts[0] == "cnnsearch" and len(parts) > 1 and parts[1] in TRAINING)
        if part in TRAINING and parts[0] == "cnnsearch":
            assert "study" not in parts, f"{names(module)} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_rooms_are_small(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{names(module)} is long"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"{names(module)}:{node.lineno} {node.name} has {lines} lines"


def test_every_part_has_a_floor() -> None:
    parts = {part_of(module) for module in MODULES}
    assert parts == {part for floor in FLOORS for part in floor}

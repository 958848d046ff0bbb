"""Audit what cnnsearch depends on: declared, used, in range, and free of known vulnerabilities.

- Each module of others that cnnsearch/ imports, or names in a table ("torch.nn:ReLU"), belongs to a
  requirement of pyproject.toml; one of an extra is imported inside functions only.
- Each requirement is used.
- The installed versions are in the declared ranges.
- pip-audit, where it is installed and reaches its service, knows of no vulnerability in what is
  installed.

Exit codes: 0 all is well; 1 something is not; 3 all else is well, but known vulnerabilities were
not looked up.

    python scripts/audit_dependencies.py [--offline]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import (
    PackageNotFoundError,
    distributions,
    packages_distributions,
    version,
)
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
WRONG, NOT_LOOKED_UP = 1, 3
# Where the requirements of a group are used; of "dev" most are programs.
USERS = {"": "cnnsearch", "bench": "scripts"}
UNUSED = ("dev",)
_ROOTS = ("cnnsearch.cli", "cnnsearch.__main__", "cnnsearch.commands")
_NAMED = re.compile(r"([a-z_][\w]*)(\.\w+)*:\w+")
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Use:
    """A module of others in a file of ours.

    Args:
        module: its first name.
        late: it is loaded when a function is called, or by name.
    """

    module: str
    place: str
    late: bool


def uses(source: str, place: str) -> Iterator[Use]:
    """Everything that a file imports, or names for `pkgutil.resolve_name` or `find_spec`."""
    tree = ast.parse(source)
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(function, ast.If) and "TYPE_CHECKING" in ast.unparse(function.test))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_spec"):
            names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = _NAMED.fullmatch(node.value)
            names = [named[1]] if named else []
        loads = isinstance(node, ast.Import | ast.ImportFrom)
        for name in names:
            line = f"{place}:{getattr(node, 'lineno', 0)}"
            yield Use(name.partition(".")[0], line, not loads or id(node) in late)


@cache
def all_uses(folder: Path) -> list[Use]:
    """Those of a folder's files that are neither Python's own nor this repository's."""
    ours = {"cnnsearch", "tests", *(path.stem for path in (ROOT / "scripts").iterdir())}
    return [
        use
        for path in sorted(folder.rglob("*.py"))
        for use in uses(path.read_text(encoding="utf-8"), str(path.relative_to(folder.parent)))
        if use.module not in ours and use.module not in sys.stdlib_module_names
    ]


def loaded_early(folder: Path) -> set[str]:
    """Our modules that loading the program and its verbs loads, outside of functions."""
    imports = {
        _module(f"{path.relative_to(folder.parent)}:0"): set(_imported(path))
        for path in folder.rglob("*.py")
    }
    left = [name for name in imports if name.startswith(_ROOTS)]
    found: set[str] = set()
    while left:
        name = left.pop()
        if name in imports and name not in found:
            found.add(name)
            left += [*imports[name], name.rpartition(".")[0]]
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def declared(project: Mapping[str, object]) -> dict[str, list[Requirement]]:
    """The requirements by their extra, "" for those that are always installed."""
    base, extras = project["dependencies"], project.get("optional-dependencies", {})
    assert isinstance(base, list)
    assert isinstance(extras, dict)
    return {
        group: [Requirement(text) for text in texts]
        for group, texts in {"": base, **extras}.items()
    }


@cache
def installed_modules() -> Mapping[str, list[str]]:
    """What installed each module."""
    return packages_distributions()


def owners_of(module: str) -> set[str]:
    """What installed the module; of one that is not installed its own name."""
    found = installed_modules().get(module, [module])
    return {canonicalize_name(name) for name in found}


def undeclared(
    found: list[Use], groups: Mapping[str, list[Requirement]], early: Collection[str]
) -> Iterator[str]:
    """Imports that no requirement covers, and those of an extra that run where it is absent.

    Args:
        early: see `loaded_early`; a module that is not among them may import an extra at its top.
    """
    names = {group: {canonicalize_name(r.name) for r in some} for group, some in groups.items()}
    extras = set().union(*(some for group, some in names.items() if group not in ("", *UNUSED)))
    owners = {use.module: owners_of(use.module) for use in found}
    for use in found:
        owner = owners[use.module]
        if owner & names[""]:
            continue
        if not owner & extras:
            # A text such as "normal:x" in a table names no module.
            if use.module in installed_modules() or not use.late:
                yield f"{use.place}: {use.module} is imported and not declared in pyproject.toml"
        elif not use.late and _module(use.place) in early:
            yield f"{use.place}: {use.module} is of an extra. Import it inside a function"


def unused(groups: Mapping[str, list[Requirement]], root: Path = ROOT) -> Iterator[str]:
    """Requirements that nothing imports."""
    for group, some in groups.items():
        if group in UNUSED:
            continue
        folder = USERS.get(group, USERS[""])
        found = {name for use in all_uses(root / folder) for name in owners_of(use.module)}
        for requirement in some:
            if canonicalize_name(requirement.name) not in found:
                yield f"{_where(group)}: {requirement.name} is declared and not used in {folder}/"


def out_of_range(groups: Mapping[str, list[Requirement]]) -> Iterator[tuple[str, bool]]:
    """What is installed in another version than declared, or absent; and whether that is wrong."""
    for group, some in groups.items():
        for requirement in some:
            try:
                here = version(requirement.name)
            except PackageNotFoundError:
                yield f"{_where(group)}: {requirement.name} is not installed", group == ""
                continue
            if not requirement.specifier.contains(here, prereleases=True):
                yield f"{_where(group)}: {requirement} is declared, {here} installed", True


def installed() -> str:
    """All that is installed beside cnnsearch, a line each; 2.13.0+cpu is a build of 2.13.0."""
    found = {canonicalize_name(one.name): Version(one.version).public for one in distributions()}
    return "".join(f"{name}=={v}\n" for name, v in sorted(found.items()) if name != "cnnsearch")


def vulnerabilities() -> tuple[list[str], str]:
    """What pip-audit knows of the installed packages, and why it was not asked, if it was not."""
    if importlib.util.find_spec("pip_audit") is None:
        return [], "pip-audit is not installed"
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "installed.txt").write_text(installed(), encoding="utf-8")
        words = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
        words += ["--no-deps", "--disable-pip", "-r", str(file)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return [], f"pip-audit gave no answer in {_TIMEOUT_S} s"
    return judged(done.stdout, done.stderr)


def judged(answer: str, errors: str) -> tuple[list[str], str]:
    """What pip-audit's answer says; packages that it does not know were not looked up."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        last = (errors.strip() or "no answer").splitlines()[-1]
        return [], f"pip-audit could not ask: {last[:200]}"
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    why = f"{len(unknown)} of {len(packages)} packages are not known where pip-audit asks"
    return [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ], f"{why}: {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}" if unknown else ""


def _module(place: str) -> str:
    path = Path(place.rpartition(":")[0]).with_suffix("")
    return ".".join(path.parts).removesuffix(".__init__")


def _where(group: str) -> str:
    return f"extra {group}" if group else "dependencies"


def audit() -> list[str]:
    """Everything that can be told without a network; notes are printed, what is wrong returned."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    groups = declared(project)
    found = all_uses(ROOT / "cnnsearch")
    wrong = [*undeclared(found, groups, loaded_early(ROOT / "cnnsearch")), *unused(groups)]
    for text, is_wrong in out_of_range(groups):
        if is_wrong:
            wrong.append(text)
        else:
            print(f"note: {text}")
    python = ".".join(map(str, sys.version_info[:3]))
    if python not in SpecifierSet(project["requires-python"]):
        wrong.append(f"requires-python {project['requires-python']}, and this is {python}")
    counts = ", ".join(f"{len(some)} {_where(group)}" for group, some in groups.items())
    print(f"{len({use.module for use in found})} modules of others; requirements: {counts}")
    return wrong


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offline", action="store_true", help="Look no vulnerabilities up.")
    wrong = audit()
    asked_not = "--offline" if parser.parse_args().offline else ""
    if not asked_not:
        flaws, asked_not = vulnerabilities()
        wrong += flaws
    for text in wrong:
        print(f"wrong: {text}")
    if asked_not:
        print(f"Known vulnerabilities were not looked up: {asked_not}.")
    elif not wrong:
        print("No known vulnerability.")
    return WRONG if wrong else NOT_LOOKED_UP if asked_not else 0


if __name__ == "__main__":
    sys.exit(main())

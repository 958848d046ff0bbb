"""Choosing trials of a study: references such as `best` or `4-8`, and the conditions of --where.

Conditions are parsed with `ast` and walked by the few rules below; nothing is ever evaluated by
Python.
"""

from __future__ import annotations

import ast
import itertools
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from cnnsearch import catalog, diagnose, ranking
from cnnsearch.errors import InputError
from cnnsearch.records import State, Trial

# Fields of a trial that a condition may name.
NAMES = (
    "number",
    "point",
    "attempt",
    "state",
    "verdict",
    "value",
    "epochs",
    "best_epoch",
    "seconds",
    "findings",
    "tags",
    "note",
    "hidden",
    "seed",
)
VERDICTS = (*diagnose.RULES, diagnose.OK)
"""Most severe first."""
EXAMPLE = 'Write for example: --where "lr < 1e-3 and batchnorm".'
_LONGEST = 1000
_FORMS = "Write a number, best, last, top:5, 3,7,9, 4-8 or STUDY/TRIAL."
# What Python reads as one name or number.
_PYTHON = re.compile(r"[^\W\d]\w*|params\..*|[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_CONSTANTS = {"true": True, "false": False, "True": True, "False": False}


def split(reference: str) -> tuple[str | None, str]:
    """The study (None without one) and the trial of `STUDY/TRIAL` or `TRIAL`."""
    study, slash, trial = reference.rpartition("/")
    return (study if slash else None), trial


def refer(trials: Sequence[Trial], reference: str, direction: str, study: str) -> list[Trial]:
    """The trials that a reference names, in its order, each once.

    Args:
        trials: all attempts of the study.
        direction: "maximize" or "minimize", for `best` and `top:N`.
        study: its name, for the messages.

    Raises:
        InputError: no reference, or no such trial.
    """
    if not trials:
        raise InputError(f"trial {reference!r}: study {study} has no trials yet.")
    found: dict[int, Trial] = {}
    for part in reference.split(","):
        for trial in _refer_one(trials, part.strip(), direction, study):
            found.setdefault(trial.number, trial)
    return list(found.values())


def _refer_one(trials: Sequence[Trial], part: str, direction: str, study: str) -> list[Trial]:
    if part == "last":
        return [max(trials, key=lambda trial: trial.number)]
    if part == "best":
        return _top(trials, 1, direction, part, study)
    if match := re.fullmatch(r"top:(\d{1,9})", part):
        return _top(trials, int(match[1]), direction, part, study)
    if match := re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part, re.ASCII):
        return _range(trials, int(match[1]), int(match[2] or match[1]), study)
    near = get_close_matches(part, ["best", "last", "top:5"], 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise InputError(f"trial {part!r}: no such reference. {hint}{_FORMS}")


def _top(trials: Sequence[Trial], count: int, direction: str, part: str, study: str) -> list[Trial]:
    if count == 0:
        raise InputError(f"trial {part!r}: top of none. Write top:1 or more.")
    results = ranking.shown(trials)
    complete = [trial for trial in results if trial.state is State.COMPLETE]
    if not complete:
        hidden = " that is not hidden" if any(trial.hidden for trial in trials) else ""
        raise InputError(
            f"trial {part!r}: no trial of study {study}{hidden} is complete. "
            "Write a number, or last."
        )
    return ranking.ranked(complete, direction)[:count]


def _range(trials: Sequence[Trial], first: int, last: int, study: str) -> list[Trial]:
    if first > last:
        raise InputError(f"trial '{first}-{last}': runs backwards. Write {last}-{first}.")
    by_number = {trial.number: trial for trial in trials}
    highest = max(by_number)
    if last > highest:
        raise InputError(f"study {study} has no trial {last}. It has trials 0 to {highest}.")
    if first == last and first not in by_number:
        raise InputError(f"study {study} has no trial {first}.")
    return [by_number[number] for number in range(first, last + 1) if number in by_number]


def where(
    trials: Sequence[Trial], condition: str, parameters: Sequence[str], objective: str = "value"
) -> list[Trial]:
    """The trials that meet a condition such as `lr < 1e-3 and activation in (relu, tanh)`.

    A comparison with something that a trial does not have (an inactive hyperparameter, the value
    of a trial that did not complete) is not met.

    A hyperparameter that has the name of a field (`epochs`) is written `params.epochs`. Verdicts
    and tags need no quotes, with dashes and all: `verdict == lr-too-high`, `overfit in findings`,
    `to-keep in tags`; but a tag that is also a name (`lr`) or looks like a number does.

    Args:
        parameters: names of the study's hyperparameters.
        objective: what the study compares; its name stands for `value`.

    Raises:
        InputError: not a condition, an unknown name, or values that cannot be compared.
    """
    tree = _parse(condition, {tag for trial in trials for tag in trial.tags})
    names = list(dict.fromkeys([*NAMES, objective, *parameters]))
    names += [f"params.{name}" for name in parameters]
    rules = _Rules(condition, names, _words(trials))
    try:
        rules.check(tree)
        return [
            trial for trial in trials if rules.truth(tree, {**_row(trial), objective: trial.value})
        ]
    except RecursionError as error:
        raise InputError(f"--where: nested too deeply. {EXAMPLE}") from error


def _row(trial: Trial) -> dict[str, Any]:
    long = {f"params.{name}": value for name, value in trial.params.items()}
    return {**trial.params, **long, **{name: field(trial, name) for name in NAMES}}


def field(trial: Trial, name: str) -> Any:
    """A field of a trial as listings and conditions have it; None where it has none."""
    if name == "verdict":
        return trial.diagnosis.verdict if trial.diagnosis else None
    if name == "findings":
        return [one.rule for one in trial.diagnosis.findings] if trial.diagnosis else None
    if name == "tags":
        return list(trial.tags)
    return getattr(trial, name)


def _name(node: ast.expr) -> str | None:
    """What `lr` or `params.lr` names; None of anything else."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute(value=ast.Name(id="params")):
            return f"params.{node.attr}"
    return None


def _words(trials: Iterable[Trial]) -> set[str]:
    """Texts that may be written without quotes."""
    words = {name for table in catalog.TABLES.values() for name in table}
    words |= {
        value for trial in trials for value in trial.params.values() if isinstance(value, str)
    }
    words |= {tag for trial in trials for tag in trial.tags}
    return words | {str(state) for state in State} | set(VERDICTS)


def _parse(condition: str, tags: Iterable[str]) -> ast.expr:
    if len(condition) > _LONGEST:
        raise InputError(
            f"--where: {len(condition)} characters are too many. Write at most {_LONGEST}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(_quoted(condition.strip(), tags), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if scheme := re.search(r"(?<!['\"\w])\w+:[\w.]+", condition):
            hint = f"Quote texts that hold a colon: '{scheme[0]}'."
        elif re.search(r"(?<![=<>!])=(?!=)", condition):
            hint = "Equality is written ==."
        elif "&" in condition or "|" in condition:
            hint = "Write and, or, not."
        else:
            hint = EXAMPLE
        raise InputError(f"--where {condition!r}: not a condition. {hint}") from error


def _quoted(condition: str, tags: Iterable[str]) -> str:
    """The condition with quotes around the verdicts and tags that Python would take apart.

    It would read `lr-too-high` as a difference, `v1.2` as an attribute, and `not-learning` as no
    condition at all. What reads as a number stays one.
    """
    odd = [word for word in (*VERDICTS, *tags) if not _PYTHON.fullmatch(word)]
    longest_first = "|".join(map(re.escape, sorted(odd, key=len, reverse=True)))
    pattern = rf"""'[^']*'|"[^"]*"|(?<![\w.'"-])(?:{longest_first})(?![\w.-])"""
    return re.sub(
        pattern, lambda found: found[0] if found[0][0] in "'\"" else repr(found[0]), condition
    )


def _dashed(node: ast.expr) -> str | None:
    """What `lr-to-high` was meant for: words with dashes between; None of anything else."""
    match node:
        case ast.Name():
            return node.id
        case ast.BinOp(op=ast.Sub()):
            left, right = _dashed(node.left), _dashed(node.right)
            return f"{left}-{right}" if left and right else None
    return None


_ORDERINGS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class _Rules:
    """What a condition may hold, and what it means for a trial."""

    def __init__(self, condition: str, names: Sequence[str], words: set[str]) -> None:
        self._condition = condition
        self._names = names
        self._words = words

    def check(self, node: ast.expr) -> None:
        """Refuse what is no condition, before any trial is looked at."""
        match node:
            case ast.BoolOp():
                for part in node.values:
                    self.check(part)
            case ast.UnaryOp(op=ast.Not()):
                self.check(node.operand)
            case ast.Compare():
                for sign in node.ops:
                    if isinstance(sign, ast.Is | ast.IsNot):
                        self._refuse("is", "Write == or !=.")
                for operand in (node.left, *node.comparators):
                    self._check_operand(operand)
            case ast.Name() | ast.Attribute(value=ast.Name(id="params")):
                name = _name(node)
                if name not in self._names and name not in _CONSTANTS:
                    self._unknown(str(name))
            case ast.Constant(value=bool()):
                pass
            case _:
                self._refuse(ast.unparse(node), f"Only comparisons, and, or, not, in. {EXAMPLE}")

    def _check_operand(self, node: ast.expr) -> None:
        match node:
            case ast.Name() | ast.Attribute(value=ast.Name(id="params")):
                name = _name(node)
                if name not in self._names and name not in _CONSTANTS and name not in self._words:
                    self._unknown(str(name))
            case ast.Constant(value=bool() | int() | float() | str()):
                pass
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float())
            ):
                pass
            case ast.Tuple() | ast.List():
                for element in node.elts:
                    self._check_operand(element)
            case ast.BinOp() if (word := _dashed(node)) is not None:
                self._unknown(word)
            case ast.Constant(value=None):
                self._refuse("None", "What a trial does not have meets no comparison.")
            case _:
                self._refuse(
                    ast.unparse(node), f"Compare names, numbers, texts and lists. {EXAMPLE}"
                )

    def truth(self, node: ast.expr, row: Mapping[str, Any]) -> bool:
        """Whether the trial `row` meets a checked condition."""
        match node:
            case ast.BoolOp(op=ast.And()):
                return all(self.truth(part, row) for part in node.values)
            case ast.BoolOp():
                return any(self.truth(part, row) for part in node.values)
            case ast.UnaryOp():
                return not self.truth(node.operand, row)
            case ast.Compare():
                sides = itertools.pairwise((node.left, *node.comparators))
                return all(
                    self._compare(sign, self._operand(left, row), self._right(sign, right, row))
                    for sign, (left, right) in zip(node.ops, sides, strict=True)
                )
        value = self._operand(node, row)
        if value is not None and not isinstance(value, bool):
            self._refuse(
                ast.unparse(node), f"It is no switch; compare it, as in {ast.unparse(node)} == ..."
            )
        return bool(value)

    def _right(self, sign: ast.cmpop, node: ast.expr, row: Mapping[str, Any]) -> Any:
        """The right side of a comparison: `in (relu)` is a list of one, comma or not."""
        value = self._operand(node, row)
        listed = isinstance(node, ast.Tuple | ast.List) or _name(node) in self._names
        return [value] if isinstance(sign, ast.In | ast.NotIn) and not listed else value

    def _operand(self, node: ast.expr, row: Mapping[str, Any]) -> Any:
        name = _name(node)
        if name is not None:
            return row.get(name) if name in self._names else _CONSTANTS.get(name, name)
        match node:
            case ast.Constant():
                return node.value
            case ast.UnaryOp(operand=ast.Constant(value=int() | float() as number)):
                return -number if isinstance(node.op, ast.USub) else number
            case ast.Tuple() | ast.List():
                return [self._operand(element, row) for element in node.elts]
        raise AssertionError("check() lets nothing else through")

    def _compare(self, sign: ast.cmpop, left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if isinstance(sign, ast.Eq | ast.NotEq):
            return _same(left, right) is isinstance(sign, ast.Eq)
        if isinstance(sign, ast.In | ast.NotIn):
            return self._contains(left, right) is isinstance(sign, ast.In)
        if isinstance(left, bool) or isinstance(right, bool) or not _comparable(left, right):
            self._refuse(
                f"{_written(left)} and {_written(right)}", "They have no order; use == or !=."
            )
        return _ORDERINGS[type(sign)](left, right)

    def _contains(self, left: Any, right: Any) -> bool:
        if isinstance(right, list):
            return any(_same(left, element) for element in right)
        if isinstance(right, str) and isinstance(left, str):
            return left in right
        return self._refuse(_written(right), "After in stands a list: lr in (0.1, 0.01).")

    def _unknown(self, name: str) -> NoReturn:
        known = [*self._names, *sorted(self._words)]
        near = get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Names: {', '.join(self._names)}."
        raise InputError(f"--where {self._condition!r}: unknown name {name!r}. {hint}")

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise InputError(f"--where {self._condition!r}: {what}: {hint}")


def _same(left: Any, right: Any) -> bool:
    # A switch is no number: dropout == false is not met by dropout 0.0.
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _comparable(left: Any, right: Any) -> bool:
    return (isinstance(left, str) and isinstance(right, str)) or (
        isinstance(left, int | float) and isinstance(right, int | float)
    )


def _written(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str) else str(value)

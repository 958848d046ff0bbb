"""What reruns showed: repeats with other seeds, and repeats to the last digit."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cnnsearch.records import Params, StudySummary
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.render.text import counted, exact, measure, value_text
from cnnsearch.render.trials import objective
from cnnsearch.review.noise import (
    Difference,
    Finalist,
    Shrink,
    differences,
    ranked,
    shrink,
    worse_by,
)
from cnnsearch.space import point_key
from cnnsearch.verification import Change, Departure, Verification

# Of more pairs of finalists only those with the best one are shown.
_MOST_PAIRS = 10
_FEW_SEEDS = 3
_COMMIT_DIGITS = 12


@dataclass(frozen=True)
class Repeated:
    """The finalists of a search with what their repeats gave.

    Args:
        study: of the repeats.
        parent: the study of the search.
        params: of each finalist, by its number.
        equals: trials that were named too, by number the finalist whose hyperparameters each has.
        searched: values of all complete trials of the search, by their hyperparameters as
            `cnnsearch.space.point_key` writes them; none where `changed`.
        resolution: see `cnnsearch.review.noise.differences`.
        changed: what the repeats ran with instead of the search's values.
    """

    study: str
    parent: StudySummary
    finalists: Sequence[Finalist]
    params: Mapping[int, Params]
    equals: Mapping[int, int]
    searched: Mapping[str, Sequence[float]]
    resolution: float
    changed: Mapping[str, Any]

    @property
    def ranked(self) -> list[Finalist]:
        """The best mean first."""
        return ranked(self.finalists, self.parent.direction)

    @property
    def differences(self) -> list[Difference]:
        """Of all pairs, the better mean first."""
        return differences(self.ranked, self.resolution)

    @property
    def shrink(self) -> Shrink | None:
        """How much of the search's best value is luck; equal trials of the search are repeats.

        None where the best was not repeated: the noise of others may be another.
        """
        keys = {point_key(params) for params in self.params.values()}
        choose = max if self.parent.direction == "maximize" else min
        tops = {key: choose(values) for key, values in self.searched.items() if values}
        if not tops or choose(tops, key=lambda key: tops[key]) not in keys:
            return None
        repeats = [one.finished for one in self.finalists]
        repeats += [list(values) for key, values in self.searched.items() if key in keys]
        searched = list(self.searched.values())
        return shrink(repeats, searched, self.parent.direction, self.resolution)

    @property
    def told(self) -> tuple[list[int], list[int]]:
        """The finalists that the best mean beats beyond noise, and those it does not."""
        best = self.ranked[0].number
        beaten = {d.second for d in self.differences if d.first == best and d.larger}
        others = [one.number for one in self.ranked[1:]]
        return [n for n in others if n in beaten], [n for n in others if n not in beaten]


def print_repeats(found: Repeated) -> None:
    """The table of finalists, their differences, and what both mean."""
    print_table(_finalists_table(found))
    pairs = found.differences
    if pairs:
        best = found.ranked[0].number
        shown = [d for d in pairs if d.first == best] if len(pairs) > _MOST_PAIRS else pairs
        title = f"differences, paired over seeds; intervals: 95 % for all {len(pairs)} together"
        title = "difference, paired over seeds; interval: 95 %" if len(pairs) == 1 else title
        output.write_lines([[], [(title, "bold")]])
        print_table(_differences_table(shown))
        if len(shown) < len(pairs):
            rest = f"{len(pairs) - len(shown)} pairs without the best one are left out: --json"
            output.write_lines([[(rest, "dim")]])
    output.write_lines([[], *_meaning(found)], wrap=True)


def _finalists_table(found: Repeated) -> Table:
    finalists, direction = found.ranked, found.parent.direction
    lost = any(one.lost for one in finalists)
    names = _varying([found.params[one.number] for one in finalists])
    columns = (
        Column("trial", right=True),
        *([] if found.changed else [Column("in search", measure, right=True)]),
        Column("seeds", right=True),
        Column("mean", measure, right=True, style=lambda _: "bold"),
        Column("std", measure, right=True),
        Column("lowest", measure, right=True, spare=True),
        Column("highest", measure, right=True, spare=True),
        *([] if found.changed else [Column("shrink", _signed, right=True)]),
        *(
            [Column("lost", right=True, style=lambda count: "yellow" if count else "")]
            if lost
            else []
        ),
        *(Column(name, spare=True) for name in names),
    )
    rows = [
        [
            one.number,
            *([] if found.changed else [one.searched]),
            len(one.values),
            one.mean,
            one.deviation,
            min(one.finished, default=None),
            max(one.finished, default=None),
            *([] if found.changed else [worse_by(one, direction)]),
            *([one.lost] if lost else []),
            *(found.params[one.number].get(name) for name in names),
        ]
        for one in finalists
    ]
    return Table(columns, rows)


def _varying(params: Sequence[Params]) -> list[str]:
    names = dict.fromkeys(name for one in params for name in one)
    return [name for name in names if len({exact(one.get(name)) for one in params}) > 1]


def _signed(number: float | None) -> str:
    # Means of equal values differ in their last digits.
    number = None if number is None else round(number, 6) + 0.0
    text = measure(number)
    return f"+{text}" if number is not None and number > 0 else text


def _differences_table(shown: Sequence[Difference]) -> Table:
    columns = (
        Column("trials"),
        Column("seeds", right=True),
        Column("difference", _signed, right=True),
        Column("from", _signed, right=True),
        Column("to", _signed, right=True),
        Column("larger than noise", style=lambda word: "green" if word == "yes" else ""),
    )
    rows = [
        [f"{d.first} - {d.second}", d.seeds, d.mean, d.low, d.high, "yes" if d.larger else "no"]
        for d in shown
    ]
    return Table(columns, rows)


def _meaning(found: Repeated) -> list[Line]:
    """What the tables say, in sentences."""
    lines: list[Line] = [[("best", "bold"), (f": {_best_text(found)}", "")]]
    lines += [[(text, "")] for text in _equals_texts(found)]
    if found.changed:
        values = ", ".join(f"{name} {value_text(value)}" for name, value in found.changed.items())
        lines.append([(f"The repeats ran with {values}: values of the search do not compare.", "")])
    luck = found.shrink
    if luck is not None:
        lines.append([("shrink", "bold"), (f": {_shrink_text(found, luck)}", "")])
    falls = [worse_by(one, found.parent.direction) for one in found.finalists]
    seen = [fall for fall in falls if fall is not None]
    if seen:
        mean = statistics.fmean(seen)
        word = "worse" if mean >= 0 else "better"
        them = "the trial was" if len(seen) == 1 else f"the {len(seen)} trials were on average"
        lines.append(
            [("seen", "bold"), (f": {them} {measure(abs(mean))} {word} than in the search", "")]
        )
    if any(one.lost for one in found.finalists):
        told = f"lost repeats have no value: cnnsearch list {found.study}"
        lines.append([(told, "yellow")])
    return lines


def _best_text(found: Repeated) -> str:
    best = found.ranked[0]
    if best.mean is None:
        return "no repeat has a value"
    trial = f"trial {best.number}"
    beaten, open_ones = found.told
    if not beaten and not open_ones:
        if not found.equals:
            return f"{trial} is the only one; name several to compare them"
        return (
            f"{trial} is not better than the rest: all have the same hyperparameters, and only "
            "their seeds differ"
        )
    seeds = max(len(one.finished) for one in found.finalists)
    more = f"; {counted(seeds, 'seed')} tell little, try --seeds 5" if seeds < _FEW_SEEDS else ""
    if not beaten:
        return (
            f"{trial} is not better than the rest: no difference from it is larger than the "
            f"noise{more}"
        )
    if not open_ones:
        return f"{trial} is better than the rest, beyond the noise"
    return f"{trial} is better than {_trials(beaten)}, but cannot be told from {_trials(open_ones)}"


def _equals_texts(found: Repeated) -> list[str]:
    """Which trials one was run for."""
    texts = []
    for finalist in dict.fromkeys(found.equals.values()):
        others = [number for number, equal in found.equals.items() if equal == finalist]
        have = "has" if len(others) == 1 else "have"
        texts.append(
            f"{_trials(others).capitalize()} {have} the hyperparameters of trial {finalist}, "
            "which was repeated for all."
        )
    return texts


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _shrink_text(found: Repeated, luck: Shrink) -> str:
    sign = -1 if found.parent.direction == "maximize" else 1
    to = measure(luck.value + sign * luck.expected)
    return (
        f"with other seeds the best value of the search, {measure(luck.value)}, is expected to be "
        f"{measure(luck.expected)} worse, {to}, judged by all {counted(luck.trials, 'trial')}: as "
        f"the best of them it was chosen for its luck too, and the noise of one value is "
        f"{measure(luck.noise)}"
    )


def repeats_object(found: Repeated) -> dict[str, Any]:
    """The same as plain data."""
    beaten, open_ones = found.told
    best = found.ranked[0]
    luck = found.shrink
    return {
        "study": found.study,
        "parent": found.parent.name,
        "objective": objective(found.parent),
        "direction": found.parent.direction,
        "changed": dict(found.changed),
        "finalists": [
            {
                "trial": one.number,
                "params": dict(found.params[one.number]),
                "equals": [n for n, equal in found.equals.items() if equal == one.number],
                "searched": one.searched,
                "mean": one.mean,
                "std": one.deviation,
                "shrink": worse_by(one, found.parent.direction),
                "lost": one.lost,
                "values": [{"seed": seed, "value": value} for seed, value in one.values.items()],
            }
            for one in found.ranked
        ],
        "differences": [asdict(one) for one in found.differences],
        "confidence": 0.95,
        "correction": "bonferroni",
        "best": None if best.mean is None else best.number,
        "better_than": beaten,
        "not_told_from": open_ones,
        "shrink": None if luck is None else asdict(luck),
    }


def verification_lines(label: str, found: Verification) -> list[Line]:
    """What running one trial again showed.

    Args:
        label: `STUDY/NUMBER`.
    """
    name: Line = [(label, "bold"), (": ", "")]
    if found.lost is not None:
        return [[*name, (f"not verified: {found.lost}", "red")]]
    reasons = [_change_text(change) for change in found.changes]
    if found.departure is None:
        epochs = counted(len(found.stored.curve), "epoch")
        lines: list[Line] = [[*name, (f"identical ({epochs}, to the last digit)", "green")]]
        return [*lines, *([[(f"  though {text}", "")] for text in reasons])]
    lines = [[*name, (f"departs {_where(found.departure)}", "yellow")]]
    lines += [[(f"  {text}", "")] for text in _both(found.departure)]
    lines += [[("  differs: ", "bold"), (text, "")] for text in reasons]
    return lines if reasons else [*lines, [("  nothing known differs", "bold"), *_perhaps(found)]]


def _where(departure: Departure) -> str:
    fold = "" if departure.fold is None else f" of fold {departure.fold}"
    if departure.epoch is None:
        return f"at {f'the end{fold}' if fold else 'its end'}, in {departure.quantity}"
    if departure.epoch == 0:
        return f"before training, in {departure.quantity}"
    return f"at epoch {departure.epoch}{fold}, in {departure.quantity}"


def _both(departure: Departure) -> list[str]:
    agree = ""
    if departure.digits is not None:
        agree = f"; they agree to {counted(departure.digits, 'digit')}"
    stored, again = (_whole(one) for one in (departure.stored, departure.again))
    why = f": {departure.reason}" if departure.reason else ""
    return [f"then {stored}", f"now  {again}{agree}{why}"]


def _whole(value: Any) -> str:
    """Every digit of a number."""
    return "none" if value is None else str(value)


def _perhaps(found: Verification) -> Line:
    device = str(found.stored.facts.get("device", "cpu"))
    if device == "cpu":
        return []
    return [(f"; on {device} equal runs may differ in their last digits", "")]


def _change_text(change: Change) -> str:
    if change.name == "data":
        return "data: other images than the study's"
    then, now = (_short(change.name, one) for one in (change.stored, change.again))
    return f"{change.name}: {then} then, {now} now"


def _short(name: str, value: Any) -> str:
    text = exact(value) or "none"
    if name != "commit":
        return text
    digits, dash, rest = text.partition("-")
    return digits[:_COMMIT_DIGITS] + dash + rest


def verification_object(study: str, found: Verification) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "study": study,
        "trial": found.stored.number,
        "state": str(found.stored.state),
        "epochs": len(found.stored.curve),
        "identical": found.identical,
        "departure": None if found.departure is None else asdict(found.departure),
        "changes": [asdict(change) for change in found.changes],
        "lost": found.lost,
    }

"""At most five lines of advice for the next search, each with its evidence.

A wrong advice is worse than none: with fewer than 10 ended trials nothing is said, and nothing that
chance could explain, or that would leave out one of the best trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnnsearch.catalog import SAMPLERS
from cnnsearch.config.config import Config
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.diagnose import OK, RULES
from cnnsearch.records import State, Trial
from cnnsearch.review.chance import ALPHA, at_least
from cnnsearch.review.coverage import Axis
from cnnsearch.review.edges import Edge
from cnnsearch.review.failure_map import narrower, within_text
from cnnsearch.review.parts import FEWEST as PART
from cnnsearch.review.parts import Part, Share, Split, as_number, splits, written
from cnnsearch.review.proposed import logarithmic
from cnnsearch.review.verdicts import NO_VERDICT, cause, causes, has, top, verdicts, wasted
from cnnsearch.space import Choice, Parameter, Range, Space

FEWEST = 10
MOST = 5
# A part of the space is left out where more than half of its trials are wasted, for certain.
_MOSTLY = 0.5
_TOP = 0.25
# An lr at which nothing works is moved by this factor.
_FAR = 1000.0
_OF_LR = {"lr-too-high": "Lower lr", "lr-too-low": "Raise lr"}
_OF_THE_BEST = ("undertrained", "overfit")


@dataclass(frozen=True, slots=True)
class Advice:
    """One line.

    Args:
        text: what to do and why, with the numbers.
        change: what to write, by section and name, as plain data; empty where there is nothing.
    """

    text: str
    change: Mapping[str, Mapping[str, Any]]


def advise(
    trials: Sequence[Trial],
    config: Config,
    direction: str,
    edges: Sequence[Edge],
    coverage: Sequence[Axis],
) -> list[Advice]:
    """The advice, most useful first; none with fewer than `FEWEST` trials.

    Args:
        trials: those that ended, see `cnnsearch.review.verdicts.ended`.
        config: of the search.
    """
    if len(trials) < FEWEST:
        return []
    space = config.space or {}
    cuts, rest, smaller = _cuts(trials, space, direction)
    best = [trial for trial in top(trials, direction, _TOP) if not wasted(trial)]
    found = [
        *_changes(cuts, edges, space, len(trials)),
        *_everywhere(rest, replace(config, space=smaller), len(trials)),
        *_of_the_best(best, config),
        *_too_few(coverage, config),
    ]
    return _one_change_a_name(found)[:MOST]


def _one_change_a_name(found: Sequence[Advice]) -> list[Advice]:
    """Without what would write again what an advice before it wrote, and differently perhaps."""
    kept, written_already = list[Advice](), set[str]()
    for advice in found:
        names = {name for section in advice.change.values() for name in section}
        if not names & written_already:
            kept.append(advice)
            written_already |= names
    return kept


@dataclass(frozen=True, slots=True)
class _Cut:
    """A part of the space to leave out.

    Args:
        left: number of trials that were looked at: without those of the cuts before.
        why: of the wasted ones inside.
        within: see `Telling`.
    """

    split: Split
    left: int
    why: str
    within: Split | None


def _cuts(
    trials: Sequence[Trial], space: Space, direction: str
) -> tuple[list[_Cut], list[Trial], Space]:
    """The parts to leave out, the surest first, each among the trials left by the ones before; the
    trials and the space that are left.
    """
    best = [trial for trial in top(trials, direction, _TOP) if not wasted(trial)]
    rest, found, smaller = list(trials), list[_Cut](), dict(space)
    while len(found) < MOST and best:
        candidates = [
            split
            for split in _wasteful(rest, smaller)
            if not any(split.part.holds(trial.params) for trial in best)
            and _without(smaller[split.part.name], split.part) is not None
        ]
        if not candidates:
            break
        split = min(candidates, key=lambda one: one.p)
        part = split.part
        inside = [trial for trial in rest if part.holds(trial.params)]
        within = narrower(rest, wasted, split, smaller)
        found.append(_Cut(split, len(rest), causes(inside), within))
        rest = [trial for trial in rest if not part.holds(trial.params)]
        parameter = _without(smaller[part.name], part)
        assert parameter is not None
        smaller[part.name] = parameter
    return found, rest, smaller


def _wasteful(trials: Sequence[Trial], space: Space) -> list[Split]:
    """Parts whose trials are mostly wasted, where one way of being so is telling.

    One way alone may tell: that 8 of 8 are symmetric and 0 of 32 elsewhere is no chance, though
    elsewhere half are wasted in other ways.
    """
    lost = [wasted(trial) for trial in trials]
    whys = [cause(trial) if one else "" for trial, one in zip(trials, lost, strict=True)]
    flags = [lost, *([why == way for why in whys] for way in sorted({*whys} - {""}))]
    surest: dict[str, tuple[Part, float]] = {}
    for hits in flags:
        for split in splits(trials, hits, space):
            p = split.p * len(flags)
            if p < min(ALPHA, surest.get(split.part.text, (split.part, 1.0))[1]):
                surest[split.part.text] = split.part, p
    found = []
    for part, p in surest.values():
        inside, outside = _shares(trials, lost, part)
        sure = at_least(inside.hits, inside.trials) >= _MOSTLY
        if sure and inside.hits * outside.trials > outside.hits * inside.trials:
            found.append(Split(part, inside, outside, p))
    return found


def _shares(trials: Sequence[Trial], lost: Sequence[bool], part: Part) -> tuple[Share, Share]:
    """How many are wasted in a part, and outside."""
    counts = {True: [0, 0], False: [0, 0]}
    for trial, one in zip(trials, lost, strict=True):
        if part.name in trial.params:
            count = counts[part.holds(trial.params)]
            count[0] += one
            count[1] += 1
    return Share(*counts[True]), Share(*counts[False])


def _without(parameter: Parameter, part: Part) -> Parameter | None:
    """A hyperparameter's range or choices without a part; None where nothing would be left."""
    if isinstance(parameter, Choice):
        choices = tuple(value for value in parameter.choices if repr(value) != repr(part.value))
        return replace(parameter, choices=choices) if choices else None
    border = as_number(part.value)
    number: float = round(border) if parameter.integer else border
    cut = replace(parameter, low=number) if part.sign == "<" else replace(parameter, high=number)
    if not cut.low < cut.high or (cut.log and cut.low <= 0):
        return None
    if cut.step is not None and cut.step > cut.high - cut.low:
        return None
    return cut


def _changes(cuts: Sequence[_Cut], edges: Sequence[Edge], space: Space, count: int) -> list[Advice]:
    """One line a hyperparameter: what to leave out of it, and where to extend it."""
    found = []
    names = dict.fromkeys([*(cut.split.part.name for cut in cuts), *(edge.name for edge in edges)])
    for name in names:
        parameter, texts = space[name], []
        for cut in cuts:
            part = cut.split.part
            smaller = _without(parameter, part) if part.name == name else None
            if smaller is not None:
                parameter = smaller
                texts.append(_cut_text(cut, count))
        for edge in edges:
            if edge.name == name and isinstance(parameter, Range):
                end = getattr(edge.extended, edge.side)
                parameter = replace(parameter, **{edge.side: end})
                texts.append(f"Extend {name}: {edge_text(edge)}")
        dependent = _dependents(space, name, parameter)
        if dependent:
            texts.append(f"With it goes {dependent}, which depends on it.")
        change = {} if dependent else {"space": {name: parameter_to_plain(parameter)}}
        found.append(Advice(" ".join(texts), change))
    return found


def _cut_text(cut: _Cut, count: int) -> str:
    part, inside, outside = cut.split.part, cut.split.inside, cut.split.outside
    what = {">": "Lower the high end of", "<": "Raise the low end of", "=": "Leave out"}[part.sign]
    named = part.text if part.sign == "=" else part.name
    left = "" if cut.left == count else f"of the {cut.left} trials then left, "
    return (
        f"{what} {named}: {left}{inside.text} with {part.text} were wasted ({cut.why}), of the "
        f"others {outside.text}{within_text(cut.within)}."
    )


def edge_text(edge: Edge) -> str:
    """Where the best trials lie, in a sentence: what a range should be extended for."""
    return (
        f"trial {edge.trial}, the best, has {written(edge.value)}, and {edge.near} of the best "
        f"{edge.top} lie near the {edge.side} end of its range."
    )


def _dependents(space: Space, name: str, parameter: Parameter) -> str:
    """Hyperparameters that only a value left out makes active."""
    if not isinstance(parameter, Choice):
        return ""
    kept = {repr(value) for value in parameter.choices}
    return ", ".join(
        other
        for other, one in space.items()
        for condition in one.when
        if condition.parent == name and any(repr(value) not in kept for value in condition.values)
    )


def _everywhere(rest: Sequence[Trial], config: Config, count: int) -> list[Advice]:
    """A fault of most trials, wherever they lie, once what was advised already is left out."""
    if len(rest) < FEWEST:
        return []
    among = f"{len(rest)} trials" + ("" if len(rest) == count else " then left")
    common, with_it = next(iter(verdicts(rest).items()))
    if common == NO_VERDICT:
        diverged = sum(trial.state is State.DIVERGED for trial in rest)
        evidence = f"{diverged} of the {among} diverged"
        faulty = at_least(diverged, len(rest)) >= _MOSTLY
        return _moved("Lower lr", evidence, rest, config) if faulty else []
    if common in (OK, *_OF_THE_BEST) or at_least(with_it, len(rest)) < _MOSTLY:
        return []
    evidence = f"{with_it} of the {among}: {common}"
    if common in _OF_LR:
        return _moved(_OF_LR[common], evidence, rest, config)
    rule = RULES.get(common)
    return [Advice(f"{evidence}. {rule.advice}", {})] if rule else []


def _moved(what: str, evidence: str, rest: Sequence[Trial], config: Config) -> list[Advice]:
    """Another range of lr, beside the one in which most failed, if all failed next to it too.

    Args:
        config: with the space in which they lie.
    """
    sign = -1 if what == "Lower lr" else 1
    numbers = {trial.number: _lr(trial, config) for trial in rest}
    nearest = sorted(rest, key=lambda trial: sign * numbers[trial.number], reverse=True)
    if not all(_fails(trial, sign) for trial in nearest[:PART]):
        return []
    old = (config.space or {}).get("lr", config.train.lr)
    end = numbers[nearest[0].number]
    if isinstance(old, Range):
        end = old.low if sign < 0 else old.high
    far = float(f"{end * _FAR**sign:.3g}")
    new = logarithmic(old, min(end, far), max(end, far), config)
    low, high = min(numbers.values()), max(numbers.values())
    tried = f"lr {written(low)}" + (f" to {written(high)}" if low < high else "")
    return [Advice(f"{what}: {evidence}, at {tried}.", {"space": {"lr": parameter_to_plain(new)}})]


def _fails(trial: Trial, sign: int) -> bool:
    """Whether lr was too high (sign -1) or too low in a trial."""
    if sign > 0:
        return has(trial, "lr-too-low")
    return trial.state is State.DIVERGED or has(trial, "lr-too-high")


def _lr(trial: Trial, config: Config) -> float:
    return as_number(trial.params["lr"]) if "lr" in trial.params else config.train.lr


def _of_the_best(best: Sequence[Trial], config: Config) -> list[Advice]:
    """What most of the best trials lack."""
    found = []
    for rule in _OF_THE_BEST:
        count = sum(has(trial, rule) for trial in best)
        if at_least(count, len(best)) < _MOSTLY or rule not in RULES:
            continue
        change = {}
        if rule == "undertrained":
            if "epochs" in (config.space or {}):
                continue
            change = {"train": {"epochs": 2 * config.train.epochs}}
        text = f"{count} of the best {len(best)}: {rule}. {RULES[rule].advice}"
        found.append(Advice(text, change))
    return found


def _too_few(coverage: Sequence[Axis], config: Config) -> list[Advice]:
    """Choices of which too little is known, where it was left to chance how often they came."""
    sampler = SAMPLERS[config.search.sampler] if config.search else None
    if sampler is None or sampler.finite or sampler.sequential:
        return []
    told = [
        f"{axis.name} {written(value)} ({count or 'never'})"
        for axis in coverage
        for value, count in [*((value, 0) for value in axis.never), *axis.few]
    ]
    if not told:
        return []
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    text = (
        f"Run more trials before judging what was tried fewer than 3 times: {', '.join(told[:4])}"
    )
    return [Advice(f"{text}{more}.", {})]

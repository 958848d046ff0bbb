"""All studies, the stages of one chain together; and one chain. For `list`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.records import State, StudySummary
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Form, Table, print_table
from cnnsearch.render.talk import say
from cnnsearch.render.text import MISSING, age_text, counted, measure, value_text
from cnnsearch.render.trials import objective_text, state_style

# The places of studies in chains, by the names of the studies.
Places = Mapping[str, Mapping[str, Any]]


def list_studies(storage: str, as_json: bool, form: Form) -> None:
    """Print all studies; above the stages of a chain stands the chain.

    Raises:
        CnnsearchError: some are damaged; the others are printed.
    """
    from cnnsearch.study import read

    summaries, broken = read.summaries(storage)
    places = read.stages(storage)
    if summaries or not broken:
        _print_studies(summaries, places, storage, as_json, form)
    if broken:
        raise CnnsearchError(
            "\n".join(f"study {name} is left out: {error}" for name, error in broken.items())
        )


def _print_studies(
    summaries: Sequence[StudySummary], places: Places, storage: str, as_json: bool, form: Form
) -> None:
    if as_json:
        output.write_json([_study_object(summary, places) for summary in summaries])
        return
    if not summaries:
        from cnnsearch.study.backends import backend, without_studies

        text = without_studies(backend(storage))
        say(text[:1].upper() + text[1:])
        if form is Form.COLUMNS:
            return
    rows = summaries if form is Form.CSV else _grouped(summaries, places)
    _print_table(rows, places, form)


def list_chain(storage: str, prefix: str, chooses: bool, as_json: bool, form: Form) -> bool:
    """Print the stages of the chain that `prefix` names; False where it names none.

    Args:
        chooses: there are options that choose trials.

    Raises:
        InputError: it does, and there are such options.
    """
    from cnnsearch.study import read

    places = read.stages(storage)
    names = stages_of(storage, prefix, places)
    if not names:
        return False
    family = places[names[0]]["family"]
    if chooses:
        raise InputError(
            f"{family} is a chain of studies, and these options choose trials of one. "
            f"Write one of: {', '.join(names)}."
        )
    summaries = [read.summary(storage, name) for name in names]
    if as_json:
        output.write_json([_study_object(summary, places) for summary in summaries])
        return True
    if form is Form.COLUMNS:
        _print_head(family, summaries, places)
    _print_table(summaries, places, form)
    if form is Form.COLUMNS:
        _print_spaces(summaries)
    return True


def stages_of(storage: str, prefix: str, places: Places) -> list[str]:
    """The studies of the chain that `prefix` names; none where it names no chain."""
    from cnnsearch.study import read

    family = _family(prefix, read.study_names(storage) if places else [], places)
    return [name for name, place in places.items() if place["family"] == family]


def _family(prefix: str, names: Sequence[str], places: Places) -> str | None:
    """The chain that is meant: by its whole name, or by the beginning of its studies' alone."""
    if prefix in names or not prefix:
        return None
    if any(place["family"] == prefix for place in places.values()):
        return prefix
    begun = [name for name in names if name.startswith(prefix)]
    families = {places[name]["family"] if name in places else None for name in begun}
    return families.pop() if len(begun) > 1 and len(families) == 1 else None


def _grouped(summaries: Sequence[StudySummary], places: Places) -> list[StudySummary]:
    """The studies, each chain as a whole where its first stage stands, with its stages below."""
    rows, seen = [], set()
    for summary in summaries:
        place = places.get(summary.name)
        if place is None:
            rows.append(summary)
        elif place["family"] not in seen:
            seen.add(place["family"])
            stages = _stages(place["family"], summaries, places)
            rows += [_whole(place["family"], stages), *stages]
    return rows


def _stages(family: str, summaries: Sequence[StudySummary], places: Places) -> list[StudySummary]:
    of_it = [s for s in summaries if places.get(s.name, {}).get("family") == family]
    return sorted(of_it, key=lambda summary: int(places[summary.name]["stage"]))


def _whole(family: str, stages: Sequence[StudySummary]) -> StudySummary:
    """A chain as one row: the sum of its stages, the best of all."""
    first = stages[0]
    values = [stage.best for stage in stages if stage.best is not None]
    best = (max if first.direction == "maximize" else min)(values, default=None)
    counts = {state: sum(s.counts.get(state, 0) for s in stages) for state in State}
    moments = [moment for s in stages if (moment := s.updated or s.started) is not None]
    return StudySummary(
        family, counts, best, first.direction, first.started, max(moments, default=None), None,
        first.config, first.command,
    )  # fmt: skip


def _print_table(rows: Sequence[StudySummary], places: Places, form: Form) -> None:
    states = [
        state for state in State if form is Form.CSV or any(r.counts.get(state) for r in rows)
    ]
    csv = form is Form.CSV  # its columns are always the same
    stage = [Column("stage", str)] if csv or any(row.name in places for row in rows) else []
    columns = (
        Column("study"),
        *([] if csv else stage),
        *(Column(str(state), right=True, style=_count_style(state)) for state in states),
        Column("best", measure, right=True),
        Column("last change", _age, _moment),
        *(stage if csv else []),
    )
    cells = [
        [
            row.name,
            *([_stage_text(row.name, places)] if stage and not csv else []),
            *(row.counts.get(state, 0) for state in states),
            row.best,
            row.updated or row.started,
            *([_stage_text(row.name, places)] if csv else []),
        ]
        for row in rows
    ]
    print_table(Table(columns, cells), form)


def _stage_text(name: str, places: Places) -> str:
    """`2 of 3` of a stage, `all` of a chain."""
    if name in places:
        return f"{places[name]['stage']} of {places[name]['of']}"
    return "all" if any(place["family"] == name for place in places.values()) else MISSING


def _print_head(family: str, stages: Sequence[StudySummary], places: Places) -> None:
    """The chain in a line or two: above the table on a terminal, else on stderr."""
    from cnnsearch.render.narrow import other_images

    whole, last = _whole(family, stages), stages[-1]
    of = places[last.name]["of"]
    lines: list[Line] = [
        [
            (family, "bold"),
            (f": {len(stages)} of {counted(of, 'stage')} begun ({objective_text(last)})", ""),
        ]
    ]
    if whole.best is not None:
        at = next(stage for stage in reversed(stages) if stage.best == whole.best)
        text = f": {measure(whole.best)}, in {at.name}{other_images(at, last)}"
        lines.append([("best", "bold"), (text, "")])
        lines.append([("next", "bold"), (f": cnnsearch list {last.name}", "")])
    if output.is_terminal():
        output.write_lines([*lines, []], wrap=True)
        return
    for line in lines:
        say("".join(text for text, _ in line))


def _print_spaces(stages: Sequence[StudySummary]) -> None:
    """Each hyperparameter's way through the stages."""
    names = dict.fromkeys(name for stage in stages for name in stage.config.get("space") or ())
    rows = []
    for name in names:
        texts = [_plain_text((stage.config.get("space") or {}).get(name)) for stage in stages]
        rows.append([name, " -> ".join(texts)])
    output.write_lines([[]])
    columns = (
        Column("name", style=lambda _: "bold"),
        Column("searched, by stage", str, prose=True),
    )
    print_table(Table(columns, rows))


def _plain_text(parameter: Any) -> str:
    """A hyperparameter as it is stored: `0.001 to 1`, `he, xavier`."""
    if parameter is None:
        return MISSING
    if isinstance(parameter, Mapping) and "low" in parameter:
        return f"{value_text(parameter['low'])} to {value_text(parameter['high'])}"
    choices = parameter["choices"] if isinstance(parameter, Mapping) else parameter
    return ", ".join(map(value_text, choices))


def _study_object(summary: StudySummary, places: Places) -> dict[str, Any]:
    place = places.get(summary.name)
    stage = None if place is None else {n: place[n] for n in ("family", "stage", "of", "parent")}
    return {
        "study": summary.name,
        "counts": {str(state): summary.counts.get(state, 0) for state in State},
        "planned": summary.planned,
        "best": summary.best,
        "direction": summary.direction,
        "started": summary.started,
        "updated": summary.updated,
        "stage": stage,
    }


def _count_style(state: State) -> Any:
    return lambda count: state_style(state) if count else "dim"


def _age(then: float | None) -> str:
    return age_text(then, time.time())


def _moment(then: float | None) -> str:
    return "" if then is None else datetime.fromtimestamp(then, UTC).isoformat(timespec="seconds")

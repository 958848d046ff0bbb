"""The parts of a page that tell of one study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnsearch.catalog import EVALUATORS
from cnnsearch.config import to_yaml
from cnnsearch.config.writing import flow
from cnnsearch.diagnose import OK, RULES
from cnnsearch.records import State, Trial
from cnnsearch.render import importance as told
from cnnsearch.render.environment import environment_texts
from cnnsearch.render.summary import standing
from cnnsearch.render.sureness import sure_text
from cnnsearch.render.text import counted, measure, seconds_text, value_text
from cnnsearch.render.trials import cell, objective, parameters, searched
from cnnsearch.report.failures import failure_section
from cnnsearch.report.markup import Html, joined, line_element, table_element, tag
from cnnsearch.report.material import Material
from cnnsearch.report.rows import MEASURES, column_names
from cnnsearch.review import FEWEST, edge_text
from cnnsearch.review.verdicts import NO_VERDICT, verdict, verdicts
from cnnsearch.space import Range

_RIGHT = frozenset({"number", "value", "epochs", "seconds"})
# What the best trial's line says in larger letters already.
_IN_HERO = ("best", "how sure")
_MOST_TRACEBACKS = 20


def hero(material: Material) -> Html:
    """The best trial, its value and its parameters, and how sure that is: what is asked first."""
    summary, best = material.summary, material.best
    if best is None:
        text = "No trial is complete yet." if material.trials else "No trial has begun yet."
        return tag("div", tag("p", text, class_="none"), class_="hero")
    params = [
        tag("div", tag("dt", name), tag("dd", value_text(value)))
        for name, value in best.params.items()
    ]
    number = [
        tag("span", measure(best.value), class_="value"),
        tag("span", objective(summary), class_="unit"),
    ]
    epoch = f", epoch {best.best_epoch} of {best.epochs}" if best.best_epoch else ""
    sure = [tag("p", "How sure: ", sure_text(material.sure), ".")] if material.sure else []
    return tag(
        "div",
        tag("p", *number),
        tag("p", f"best: trial {best.number}{epoch}", class_="which"),
        tag("dl", *params, class_="params"),
        *sure,
        class_="hero",
    )


def standing_section(material: Material) -> Html:
    """Counts, verdicts, what was saved, and what to do next."""
    lines = standing(material.summary, material.source.attempts)
    kept = [line for line in lines if line[0][0] not in _IN_HERO]
    return tag("div", *map(line_element, kept), class_="standing")


def advice_section(material: Material) -> Html:
    """What to change in the next search, each with its evidence."""
    ended = len(material.ended)
    parts: list[Html] = [tag("h3", "What to change")]
    if ended < FEWEST:
        text = f"No advice yet: {counted(ended, 'trial')} ended, and it takes {FEWEST}."
        parts.append(tag("p", text))
    elif not material.advice:
        parts.append(tag("p", "Nothing stands out that chance could not explain."))
    items = []
    for one in material.advice:
        lines = [
            tag("div", f"in {section}: ", tag("code", f"{name}: {flow(value)}"))
            for section, values in one.change.items()
            for name, value in values.items()
        ]
        items.append(tag("li", one.text, *lines))
    parts += [tag("ol", *items)] if items else []
    if material.edges:
        told_edges = [tag("li", f"{edge.name}: {edge_text(edge)}") for edge in material.edges]
        parts += [tag("p", tag("b", "Edges: extend, do not narrow")), tag("ul", *told_edges)]
    return tag("section", *parts, class_="advice")


def trials_section(material: Material, study: int) -> Html:
    """Curves of the chosen trials, and the table that chooses them."""
    if not material.trials:
        return joined([])
    options = [tag("option", name, value=name) for name in _measures(material)]
    controls = tag(
        "p",
        tag("label", "Curves of ", tag("select", *options, class_="measure")),
        tag("button", "best 5", type="button", class_="best"),
        tag("button", "none", type="button", class_="none"),
        tag("span", class_="chosen-count", role="status"),
        class_="controls",
    )
    names = column_names(material)
    return tag(
        "section",
        tag("h3", "Trials and their curves"),
        tag("p", "Click rows, or points in a figure, to choose trials and compare their curves."),
        controls,
        figure("curves", study, "Curves of the chosen trials, epoch by epoch"),
        tag("p", class_="left-out", role="status"),
        _filters(material),
        tag("div", _trials_table(material, names), class_="scroll trials", tabindex=0),
        class_="choosing",
    )  # fmt: skip


def _measures(material: Material) -> list[str]:
    """What curves show, the objective first."""
    goal = objective(material.summary)
    return sorted(MEASURES, key=lambda name: name != goal)


def _filters(material: Material) -> Html:
    present = [state for state in State if any(one.state is state for one in material.trials)]
    boxes = [
        tag("label", tag("input", type="checkbox", checked=True, value=str(state)),
            _badge(state), class_="state")
        for state in present
    ]  # fmt: skip
    hint = "words, or lr<0.01 state=complete"
    return tag(
        "p",
        tag("label", "Filter ", tag("input", type="search", class_="filter", placeholder=hint,
                                    spellcheck="false")),
        *boxes,
        tag("span", class_="count", role="status"),
        class_="controls",
    )  # fmt: skip


def _badge(state: State) -> Html:
    return tag("span", str(state), class_=f"badge {state}")


def _trials_table(material: Material, names: Sequence[str]) -> Html:
    space = material.source.config.space or {}
    right = _RIGHT | {name for name in names if isinstance(space.get(name), Range)}
    sides = {name: "right" if name in right else None for name in names}
    head = [tag("th", tag("span", "choose", class_="hidden"), scope="col")]
    head += [
        tag("th", tag("button", name, type="button"), scope="col", data_column=name,
            class_=sides[name])
        for name in names
    ]  # fmt: skip
    rows = [
        tag("tr", _choice(trial), *(_cell(trial, name, side) for name, side in sides.items()),
            data_row=row)
        for row, trial in enumerate(material.trials)
    ]  # fmt: skip
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))


def _choice(trial: Trial) -> Html:
    box = tag("input", type="checkbox", aria_label=f"choose trial {trial.number}")
    return tag("td", box, tag("span", class_="swatch"))


def _cell(trial: Trial, name: str, side: str | None) -> Html:
    value = cell(trial, name)
    if name == "state":
        return tag("td", _badge(trial.state))
    if name in ("tags", "note", "reason"):
        text = ", ".join(value) if name == "tags" else value or ""
        return tag("td", text, class_="words")
    show = {"value": measure, "seconds": seconds_text}.get(name, value_text)
    return tag("td", show(value), class_=side)


def figure(kind: str, study: int | None, label: str, **attributes: str | int | None) -> Html:
    """The place of a figure that the script draws when it comes into view."""
    data: dict[str, Any] = {"data_figure": kind, "data_study": study, **attributes}
    plot = tag("div", class_="plot", role="img", aria_label=label, **data)
    return tag("figure", plot, tag("figcaption", label))


def figures_section(material: Material, study: int) -> Html:
    """Value over trials, over each hyperparameter, and all axes in one."""
    if not material.trials:
        return joined([])
    goal = objective(material.summary)
    slices = [
        figure("slice", study, f"{goal} by {name}{_active(material, name)}", data_param=place)
        for place, name in enumerate(parameters(material.trials, searched(material.summary)))
    ]
    together = [
        figure("parallel", study, "All hyperparameters, a line a trial; those filtered out of the "
               "table are left out")
    ] if len(slices) > 1 else []  # fmt: skip
    return tag(
        "section",
        tag("h3", "Values"),
        tag("p", "Trials without a value stand below the axis, by their state."),
        figure("history", study, f"{goal} of each trial, in the order they began"),
        tag("div", *slices, class_="grid"),
        *together,
    )


def _active(material: Material, name: str) -> str:
    """Of a hyperparameter that depends on another one, in how many trials it is active."""
    having = sum(cell(trial, name) is not None for trial in material.trials)
    of = len(material.trials)
    return "" if having == of else f" (active in {having} of {of} trials)"


def importance_section(material: Material, study: int) -> Html:
    """Which hyperparameters mattered; or why that cannot be told."""
    found, goal = material.source.importance, objective(material.summary)
    if isinstance(found, str):
        return tag("section", tag("h3", "Importance"), tag("p", found))
    importances, axes = found
    count = len(importances.cases.trials)
    table = told.effects_table(importances.effects, count, "name")
    bars = [i for i, column in enumerate(table.columns) if i != 2]  # the figure has them
    return tag(
        "section",
        tag("h3", f"Importance ({EVALUATORS[importances.evaluator].title})"),
        line_element(told.heading(importances, material.summary.name, goal)),
        *(tag("p", line) for line in told.question(importances, goal)),
        tag("div", figure("importance", study, "Importance of each hyperparameter"),
            table_element(table.only(bars)), class_="pair"),
        *(tag("p", line, class_="note") for line in told.notes(importances, None, axes)),
    )  # fmt: skip


def verdicts_section(material: Material) -> Html:
    """What was wrong with how many trials, what that means and what to try."""
    found = verdicts(material.ended)
    if not set(found) - {NO_VERDICT}:
        return joined([])
    names = ("verdict", "trials", "diverged", "best", "means", "try")
    rows = []
    for name, count in found.items():
        rule = RULES.get(name)
        having = [trial for trial in material.ended if verdict(trial) == name]
        values = [trial.value for trial in having if trial.value is not None]
        best = (max if material.summary.direction == "maximize" else min)(values, default=None)
        meaning = "no rule found anything wrong" if name == OK else ""
        told_rule = (rule.meaning, rule.advice) if rule else (meaning, "")
        diverged = sum(trial.state is State.DIVERGED for trial in having)
        cells = [str(count), str(diverged), measure(best)]
        rows.append(
            tag("tr", tag("th", "(none)" if name == NO_VERDICT else name, scope="row"),
                *(tag("td", text, class_="right", data_name=column)
                  for text, column in zip(cells, names[1:4], strict=True)),
                *(tag("td", text, class_="words") for text in told_rule))
        )  # fmt: skip
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    filled = tag("table", tag("thead", head), tag("tbody", *rows), class_="verdicts")
    return tag("section", tag("h3", "Verdicts"), tag("div", filled, class_="scroll"))


def layers_section(material: Material, study: int) -> Html:
    """What was measured layer by layer of the chosen trials."""
    if not material.source.probed:
        why = "No layer was measured of any trial that ended."
        return tag("section", tag("h3", "Layers"), tag("p", why))
    count, ended = len(material.source.probed), len(material.ended)
    part = f" The page holds those of {count} of {ended} trials." if count < ended else ""
    return tag(
        "section",
        tag("h3", "Layers"),
        tag("p", "Of the chosen trials, as a few training images show them: dotted before "
            f"training, solid after the last epoch.{part}"),
        tag("p", tag("label", "Show ", tag("select", class_="quantity")), class_="controls"),
        figure("layers", study, "The chosen trials layer by layer"),
        tag("p", tag("label", "Numbers of ", tag("select", class_="layered")), class_="controls"),
        tag("div", class_="layer-table"),
        class_="layers",
    )  # fmt: skip


def failed_section(material: Material) -> Html:
    """Why trials failed, with what was raised."""
    failed = [trial for trial in material.trials if trial.state is State.FAILED]
    items = []
    for trial in failed[:_MOST_TRACEBACKS]:
        where = trial.facts.get("where")
        head = f"trial {trial.number}: {trial.reason or 'failed'}" + (
            f" ({where})" if where else ""
        )
        trace = tag("pre", str(trial.facts.get("traceback") or "no traceback was kept").rstrip())
        items.append(tag("details", tag("summary", head), trace))
    left = len(failed) - len(items)
    rest = [tag("p", f"{left} more failed: cnnsearch show {material.summary.name} NUMBER")]
    return tag("section", tag("h3", "Failed trials"), *items, *(rest if left else [])) \
        if items else joined([])  # fmt: skip


def config_section(material: Material) -> Html:
    """The config and the commands that repeat the search and its best trial."""
    summary, best = material.summary, material.best
    name = summary.name
    if summary.repeats:
        first = (f"More repeats of trials of {summary.repeats}:",
                 [f"cnnsearch rerun {summary.repeats} TRIAL... --name {name}"])  # fmt: skip
    else:
        first = (f"The search, from its config as {name}.yaml:", [f"cnnsearch run {name}.yaml"])
    parts = [
        tag("h3", "Config, and how to repeat it"),
        _commands(*first),
        _file(f"{name}.yaml", to_yaml(material.source.config)),
    ]
    if best is None or material.source.best_config is None:
        return tag("section", *parts)
    file = f"{name}-best.yaml"
    again = [f"cnnsearch export {name} {best.number} -o {file}", f"cnnsearch train {file}"]
    again += [] if summary.repeats else [f"cnnsearch rerun {name} {best.number} --seeds 5"]
    parts += [_commands("The best trial:", again), _file(file, material.source.best_config)]
    parts += [tag("p", text, class_="note") for text in environment_texts(best)]
    return tag("section", *parts)


def _commands(what: str, commands: Sequence[str]) -> Html:
    return tag("div", tag("p", what), tag("pre", "\n".join(commands)))


def _file(name: str, text: str) -> Html:
    return tag("details", tag("summary", name), tag("pre", text.rstrip()))


def study_parts(material: Material, study: int) -> list[Html]:
    """All parts, in the order in which they are asked for."""
    return [
        hero(material),
        standing_section(material),
        advice_section(material),
        trials_section(material, study),
        figures_section(material, study),
        importance_section(material, study),
        failure_section(material),
        verdicts_section(material),
        layers_section(material, study),
        failed_section(material),
        config_section(material),
    ]

"""`cnnsearch plot`: figures of a study as files, or as text in the terminal."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnsearch import ranking
from cnnsearch.catalog import FIGURES
from cnnsearch.commands.files import check_place, write_target
from cnnsearch.commands.options import force_option, output_option, storage_option
from cnnsearch.commands.plot_layers import with_layers
from cnnsearch.commands.references import is_study, pick, references_argument
from cnnsearch.commands.references import study as read_study
from cnnsearch.errors import InputError, MissingExtraError
from cnnsearch.records import StudySummary
from cnnsearch.render import output
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.plot.pictured import Asked, Pictured

FORMATS = ("png", "svg", "pdf")
OVERVIEW = ("curves", "progress", "param", "importance")
# Which kinds an option is for.
_FOR: Mapping[str, Sequence[str]] = {
    "-x": ("param", "map"),
    "-y": ("map", "curves"),
    "--color": ("curves", "param"),
}
# What other verbs write as text.
_INSTEAD = {"importance": "importance {0}", "layers": "show {0} best --layers"}


@click.command("plot")
@references_argument("STUDY [TRIAL...]")
@click.option(
    "-k",
    "--kind",
    "kinds",
    type=click.Choice(list(FIGURES)),
    multiple=True,
    help="What is drawn, see above. May be repeated: on one page.",
)
@click.option("-x", "x", metavar="NAME", help="A hyperparameter: of param, or across a map.")
@click.option(
    "-y",
    "y",
    metavar="NAME",
    help="Up a map, a hyperparameter; of curves val_loss, val_accuracy, "
    "train_loss or train_accuracy.",
)
@click.option(
    "--color",
    metavar="NAME",
    help="Of curves and param: state, or a hyperparameter; of curves also trial.",
)
@output_option(
    "FILE.png, FILE.svg or FILE.pdf. [default: STUDY-KIND.png; with TRIAL STUDY-trials-KIND.png]"
)
@force_option
@click.option(
    "--show", is_flag=True, help="Open it; as text in the terminal where there is no display."
)
@storage_option
def command(
    references: tuple[str, ...],
    kinds: tuple[str, ...],
    x: str | None,
    y: str | None,
    color: str | None,
    target: str | None,
    force: bool,
    show: bool,
    storage: str,
) -> None:
    """Draw a study as PNG, SVG or PDF: curves, values, importance.

    \b
    curves      every trial over its epochs
    progress    best so far, over trials and over epochs
    param       value by hyperparameter, diverged trials on the axis
    map         two hyperparameters, the value as colour
    parallel    all hyperparameters as parallel axes
    importance  which hyperparameters mattered
    layers      signal of one trial layer by layer, with histograms

    Without -k: param for -x, a map for -x and -y, curves for TRIAL, else curves,
    progress, param and importance on one page. With TRIAL only these trials are
    drawn; layers is of TRIAL, else of the best.

    The end of FILE is the format. Equal trials give equal files. It needs
    matplotlib (pip install 'cnnsearch[plot]'); text does not.

    \b
    Examples:
      cnnsearch plot digits
      cnnsearch plot digits -x lr --color activation -o lr.svg
      cnnsearch plot digits top:5 --show
    """
    chosen = _kinds(kinds, references, x, y)
    _check_options(chosen, {"-x": x, "-y": y, "--color": color})
    path = None if target is None else Path(target)
    if path is not None:
        _check_path(path)
    as_text = show and not has_display()
    if not as_text or path is not None:
        _check_installed(references)
    from cnnsearch.plot.pictured import Asked

    drawn = _as_text(chosen, references[0]) if as_text else ()
    pictured = read_pictured(storage, references, chosen if path or not as_text else drawn)
    asked = Asked(x, y, color)
    _check_names(pictured, chosen, asked)
    if as_text:
        _draw_text(pictured, drawn, asked)
    if path is None and not as_text:
        kind = "-".join(chosen) if chosen != OVERVIEW else "overview"
        what = "" if is_study(references) else "trials-"
        path = Path(f"{pictured.study}-{what}{kind}.png")
    if path is not None:
        _write(pictured, chosen, asked, path, force)
        if show and not as_text and click.launch(str(path.resolve())) != 0:
            say(f"No viewer was found. Open {path} yourself.")


def _kinds(
    kinds: Sequence[str], references: Sequence[str], x: str | None, y: str | None
) -> tuple[str, ...]:
    if kinds:
        return tuple(dict.fromkeys(kinds))
    if x is not None:
        return ("param",) if y is None else ("map",)
    return OVERVIEW if is_study(references) and y is None else ("curves",)


def _check_options(kinds: Sequence[str], given: Mapping[str, str | None]) -> None:
    """Refuse an option that no kind takes."""
    for option, value in given.items():
        if value is not None and not set(kinds) & set(_FOR[option]):
            takes = " or ".join(f"-k {kind}" for kind in _FOR[option])
            raise InputError(f"{option} {value}: {kinds[0]} takes no {option}. Write {takes}.")


def _check_path(path: Path) -> None:
    """Before anything is read: the format is known, and the file can be there."""
    form = path.suffix[1:].lower()
    if form not in FORMATS:
        ends = f"ends in .{form}" if form else "has no ending"
        raise InputError(f"-o {path}: {ends}. Write .png, .svg or .pdf.")
    check_place(path, "curves.png")


def _check_installed(references: Sequence[str]) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "plot needs matplotlib. Run: pip install 'cnnsearch[plot]', or draw it as text: "
            f"cnnsearch plot {' '.join(references)} --show, where there is no display."
        )


def has_display() -> bool:
    """Whether a window can be opened: there is a display (X11 may come through ssh)."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def read_pictured(storage: str, references: Sequence[str], kinds: Sequence[str]) -> Pictured:
    """What is drawn, read from the storage.

    Raises:
        InputError: trials of several studies, none at all, or what a kind needs is not there.
    """
    from cnnsearch.config import from_plain
    from cnnsearch.plot.pictured import Pictured
    from cnnsearch.study import read

    if is_study(references):
        summary, attempts = read_study(storage, references[0])
        trials = ranking.shown(attempts)
        if not trials:
            there = "has no trials yet" if not attempts else "has hidden trials only"
            raise InputError(f"study {summary.name} {there}. Look: cnnsearch list {summary.name}.")
    else:
        picked = pick(storage, references)
        if len({one.summary.name for one in picked}) > 1:
            raise InputError("a picture holds the trials of one study. Write them without others.")
        summary, attempts = picked[0].summary, list(picked[0].attempts)
        trials = [one.trial for one in picked]
    curves = read.curves(storage, summary.name)
    config = from_plain(dict(summary.config))
    pictured = Pictured(
        summary.name,
        tuple(replace(trial, curve=curves.get(trial.number, ())) for trial in trials),
        config,
        summary.direction,
    )
    if "layers" in kinds:
        pictured = with_layers(storage, pictured, summary, attempts)
    if "importance" in kinds:
        pictured = _with_importances(pictured, summary, alone=len(kinds) == 1)
    return pictured


def _with_importances(pictured: Pictured, summary: StudySummary, alone: bool) -> Pictured:
    from cnnsearch.commands.importance import measured
    from cnnsearch.study.kinds import check_search

    try:
        check_search(summary, "importance")
        found, _, _ = measured(summary, pictured.trials, "value", "ped-anova")
    except InputError as error:
        if alone:
            raise
        return replace(pictured, untold=str(error))
    return replace(pictured, importances=found)


def _check_names(pictured: Pictured, kinds: Sequence[str], asked: Asked) -> None:
    """Whether what is to stand on axes and in colours is there.

    Raises:
        InputError: with the nearest names.
    """
    from cnnsearch.plot.pictured import MEASURES

    names = pictured.names
    _known("-x", asked.x, names)
    up = [*(names if "map" in kinds else ()), *(MEASURES if "curves" in kinds else ())]
    _known("-y", asked.y, up)
    _known("--color", asked.color, ["state", *(["trial"] if "curves" in kinds else []), *names])
    if asked.x is not None and asked.x == asked.y:
        raise InputError(f"-x {asked.x} -y {asked.y}: a map takes two hyperparameters.")
    most = 8
    if asked.color == "trial" and sum(bool(trial.curve) for trial in pictured.trials) > most:
        raise InputError(
            f"--color trial: {len(pictured.trials)} trials cannot be told apart by colours. "
            f"Write at most {most}, for example: cnnsearch plot {pictured.study} top:{most}."
        )


def _known(option: str, name: str | None, names: Sequence[str]) -> None:
    from cnnsearch.config.mistakes import nearest

    if name is None or name in names:
        return
    near = nearest(name, names)
    hint = f"Did you mean {near}?" if near else f"Write one of: {', '.join(names)}."
    raise InputError(f"{option} {name}: no such name. {hint}")


def _as_text(kinds: Sequence[str], study: str) -> Sequence[str]:
    """Those kinds that can be drawn as text; of the others it is said what to write instead.

    Raises:
        InputError: none can.
    """
    from cnnsearch.plot.text import DRAWN

    drawn = [kind for kind in kinds if kind in DRAWN]
    others = [kind for kind in kinds if kind not in DRAWN]
    name = study.partition("/")[0]
    lines = [
        f"{kind}: no text, and there is no display. Write: cnnsearch "
        + _INSTEAD.get(kind, "plot {0} -k {1} -o {0}-{1}.png").format(name, kind)
        for kind in others
    ]
    if not drawn:
        raise InputError("\n".join(lines))
    for line in lines:
        say(line)
    return drawn


def _draw_text(pictured: Pictured, kinds: Sequence[str], asked: Asked) -> None:
    from cnnsearch.plot.text import DRAWN

    for place, kind in enumerate(kinds):
        output.write_lines([*([[]] if place else []), *DRAWN[kind](pictured, asked)])


def _write(pictured: Pictured, kinds: Sequence[str], asked: Asked, path: Path, force: bool) -> None:
    from cnnsearch.plot.page import page
    from cnnsearch.plot.paper import saved

    content = saved(page(pictured, kinds, asked), path.suffix[1:].lower())
    write_target(path, content, "curves.png", force)
    say(f"Wrote {path}.")

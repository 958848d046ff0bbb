"""`cnnsearch report`: studies as a page for a browser, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands import completing
from cnnsearch.commands.files import check_target
from cnnsearch.commands.options import force_option, output_option, storage_option
from cnnsearch.drafts import write_whole
from cnnsearch.errors import InputError, MissingExtraError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render.talk import say
from cnnsearch.render.trials import objective

if TYPE_CHECKING:
    from cnnsearch.report.material import Overview, Source
    from cnnsearch.review.importance import Importances
    from cnnsearch.review.tried import Axes


@click.command("report")
@click.argument(
    "studies", nargs=-1, required=True, metavar="STUDY...", shell_complete=completing.studies
)
@output_option("Default: STUDY.html; of several studies report.html.")
@force_option
@storage_option
def command(studies: tuple[str, ...], target: str | None, force: bool, storage: str) -> None:
    """Write studies as a page for a browser, in one file.

    It needs no network, and holds the best trial and how sure it is, advice for
    the next search, all trials in a table to sort and to filter, curves of the
    trials you click, every hyperparameter against the value, parallel
    coordinates, importance, the failure map, what was measured layer by layer,
    and the config with the commands that repeat it. Hidden trials are left out.
    Of several studies, or of a chain by its name, an overview compares them.

    Writing it needs plotly: pip install 'cnnsearch[report]'.

    \b
    Examples:
      cnnsearch report digits
      cnnsearch report random grid tpe -o samplers.html
    """
    plotly = _plotly()
    names = _names(storage, studies)
    path = Path(target or f"{names[0] if len(names) == 1 else _family(studies)}.html")
    _check_ending(path)
    check_target(path, "report.html", force)
    from cnnsearch.report.material import material
    from cnnsearch.report.page import page

    sources = [_source(storage, name) for name in names]
    overview = _overview(storage, sources) if len(sources) > 1 else None
    text = page([material(one) for one in sources], overview, plotly, datetime.now().astimezone())
    write_whole(path, text)
    size = len(text.encode()) / 1e6
    say(f"Wrote {path} ({size:.1f} MB). Open it in a browser: {path.resolve().as_uri()}")


def _check_ending(path: Path) -> None:
    """Refuse a file that a browser would show as text; a pipe may have any name."""
    if path.suffix.lower() in (".html", ".htm") or (path.exists() and not path.is_file()):
        return
    ends = f"ends in {path.suffix}" if path.suffix else "has no ending"
    raise InputError(f"-o {path}: {ends}. Write .html.")


def _family(prefixes: Sequence[str]) -> str:
    """What several studies are called: a chain by what was written, others by no name."""
    return prefixes[0] if len(prefixes) == 1 else "report"


def _plotly() -> str:
    """The text of plotly's JavaScript.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError(
            "report needs plotly. Run: pip install 'cnnsearch[report]'"
        ) from None
    return str(get_plotlyjs())


def _names(storage: str, prefixes: Sequence[str]) -> list[str]:
    """The studies, each once; of the name of a chain all its stages."""
    from cnnsearch.commands.overview import stages_of
    from cnnsearch.study import read

    places = read.stages(storage)
    found = [
        name
        for prefix in prefixes
        for name in stages_of(storage, prefix, places) or [read.resolve(storage, prefix)]
    ]
    return list(dict.fromkeys(found))


def _source(storage: str, name: str) -> Source:
    from cnnsearch import ranking
    from cnnsearch.commands.references import Picked, config_of
    from cnnsearch.config import from_plain, to_yaml
    from cnnsearch.report.material import Source, to_probe
    from cnnsearch.study import read

    summary, attempts = read.summary_and_trials(storage, name)
    best = ranking.best(ranking.shown(attempts), summary.direction)
    wanted = to_probe(attempts, summary.direction)
    if best is not None and best.number not in wanted:
        wanted.append(best.number)
    whole = read.whole(storage, name, wanted)
    best_config = None
    if best is not None:
        picked = Picked(summary, whole.get(best.number, best), attempts)
        best_config = to_yaml(config_of(picked))
    return Source(
        summary,
        attempts,
        from_plain(dict(summary.config)),
        read.curves(storage, name),
        {number: trial for number, trial in whole.items() if trial.probe is not None},
        _importance(summary, attempts),
        best_config,
        _stage_text(read.stages(storage).get(name)),
    )


def _importance(summary: StudySummary, attempts: Sequence[Trial]) -> tuple[Importances, Axes] | str:
    """As the verb `importance` tells it, by PED-ANOVA; or why it cannot."""
    from cnnsearch.commands.importance import measured
    from cnnsearch.study.kinds import check_search

    try:
        check_search(summary, "importance")
        found, axes, _ = measured(summary, attempts, "value", "ped-anova")
    except InputError as error:
        return str(error)
    return found, axes


def _stage_text(place: Mapping[str, Any] | None) -> str | None:
    return f"{place['stage']} of {place['of']}" if place else None


def _overview(storage: str, sources: Sequence[Source]) -> Overview:
    """The searches side by side, as `compare --by sampler` shows them: as many as can be."""
    from cnnsearch.report.material import Overview
    from cnnsearch.review import ended
    from cnnsearch.review.progress import compared

    searches = [
        (one.summary, one.attempts)
        for one in sources
        if not one.summary.repeats and ended(one.attempts)
    ]
    if len(searches) < 2:
        return Overview(mismatch="fewer than two of them are searches with a trial that ended.")
    first, kept, mismatch = max(
        (_alike(storage, summary, searches) for summary, _ in searches),
        key=lambda found: len(found[1]),
    )
    if len(kept) < 2:
        return Overview(mismatch=mismatch)
    goal = objective(first)
    return Overview(compared(kept, goal), goal, first.direction, mismatch)


_Search = tuple[StudySummary, Sequence[Trial]]


def _alike(
    storage: str, first: StudySummary, searches: Sequence[_Search]
) -> tuple[StudySummary, Sequence[_Search], str | None]:
    """Those whose values measure the same as the first's, and why another one's do not."""
    from cnnsearch.commands.compare_searches import incomparable

    kept, mismatch = list[_Search](), None
    for search in searches:
        why = incomparable(storage, [first, search[0]])
        mismatch = why or mismatch
        kept += [] if why else [search]
    return first, kept, mismatch

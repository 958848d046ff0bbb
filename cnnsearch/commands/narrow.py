"""`cnnsearch narrow`: the config of the next search, from the best trials of the last one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import studies
from cnnsearch.commands.files import write_target
from cnnsearch.commands.options import (
    force_option,
    given_storage,
    json_option,
    output_option,
    set_option,
    storage_option,
)
from cnnsearch.errors import InputError
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.config import Config
    from cnnsearch.records import StudySummary, Trial
    from cnnsearch.review.narrowing import Narrowing


@dataclass(frozen=True)
class _Next:
    """The next search.

    Args:
        title: to what it was narrowed, in a line.
        text: the file.
    """

    parent: str
    config: Config
    narrowing: Narrowing
    title: str
    text: str


@click.command("narrow")
@click.argument("study", metavar="STUDY", shell_complete=studies)
@click.option("--top", metavar="SHARE", help="The best trials: 20% of the complete ones, or their "
              "number.  [default: 20%]")  # fmt: skip
@click.option("--pad", type=click.FloatRange(min=0, max=10), metavar="SHARE",
              help="Margin at each end of a range, as a share of what the best span.  "
              "[default: 0.25]")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Epochs of each trial.")
@click.option("-n", "--trials", type=click.IntRange(min=1), metavar="TOTAL",
              help="Number of trials.")  # fmt: skip
@click.option("--folds", type=click.IntRange(min=2, max=100), metavar="K",
              help="Cross-validate each trial on K folds.")  # fmt: skip
@set_option
@click.option(
    "--name",
    metavar="STUDY",
    help="Name of the next study.  [default: coarse-2 of coarse, or the next that is free]",
)
@output_option()
@force_option
@click.option("--run", "runs", is_flag=True, help="Run it now; without -o its file is NAME.yaml.")
@click.option("-j", "--jobs", type=click.IntRange(min=0), metavar="N", help="As of run.")
@click.option(
    "--stages", "staged", is_flag=True, help="STUDY is a file: add stages to it, which run follows."
)
@json_option
@storage_option
def command(
    study: str,
    target: str | None,
    force: bool,
    runs: bool,
    jobs: int | None,
    staged: bool,
    as_json: bool,
    storage: str,
    **options: Any,
) -> int:
    """Write the next search, around the best trials of STUDY.

    Ranges shrink to what the best trials span, with a margin; where the best
    lie at the end of a range, it is extended there instead. Of lists, values
    that were tried 3 times or more and are in none of the best are dropped.
    The evidence is printed old beside new: with -o to stdout, else to stderr.

    The next search has the next seed, so that it does not repeat the draws.
    At least 5 trials must be complete. Trials that learned nothing are not
    counted among the best; trials equal to the last of the best are.

    With --stages, STUDY is a config file. It is written with a section
    `stages:`, so that one run does it all, from coarse to fine.

    \b
    Examples:
      cnnsearch narrow coarse --epochs 12 -S schedule=cosine -o fine.yaml
      cnnsearch narrow coarse --top 10 -n 30 --run
      cnnsearch narrow --stages coarse.yaml -o chain.yaml
    """
    if staged:
        _refuse_with_stages(options, runs, as_json, jobs)
        return _add_stages(study, target, force)
    if jobs is not None and not runs:
        raise click.UsageError("-j is of --run. Write --run -j N, or leave it out")
    found = _next(storage, study, **options)
    path = Path(target) if target else Path(f"{found.config.study}.yaml") if runs else None
    if path is not None:
        write_target(path, found.text, "next.yaml", force)
    document = _document(found, path)
    told = given_storage()
    if not as_json:
        _print(found, path, None if runs else told)
    code = 0
    if runs:
        assert path is not None
        code, document["run"] = _run(path, storage, jobs, told)
    if as_json:
        from cnnsearch.render import output

        output.write_json(document)
    return code


def _next(
    storage: str,
    prefix: str,
    top: str | None,
    pad: float | None,
    name: str | None,
    sets: Sequence[str],
    epochs: int | None,
    trials: int | None,
    folds: int | None,
) -> _Next:
    """The next search, or an error that says what is wrong with the options or the study."""
    from cnnsearch.commands.references import study as read_study
    from cnnsearch.config import from_plain, to_yaml
    from cnnsearch.render.narrow import evidence_comment, head
    from cnnsearch.review.narrowing import PAD, TOP, Options
    from cnnsearch.stages import following, next_names
    from cnnsearch.study.kinds import check_search

    wanted = _values(sets, {"epochs": epochs, "trials": trials, "validation": folds, "study": name})
    options = Options(TOP if top is None else _top(top), PAD if pad is None else pad)
    summary, attempts = read_study(storage, prefix)
    check_search(summary, "narrow")
    config = from_plain(dict(summary.config))
    _check_values(config, wanted)
    _warn_of_unfinished(summary, attempts)
    values = {"study": next(next_names(summary.name)), **wanted}
    try:
        found, narrowing = following(config, attempts, values, options)
    except InputError as error:
        raise InputError(f"{summary.name}: {str(error).replace('STUDY', summary.name)}") from error
    if "study" not in wanted:
        found = replace(found, study=_free_name(storage, summary.name, found))
    assert config.search is not None
    title = head(narrowing, summary.name, config.search.objective)
    words = shlex.join(["cnnsearch", *click.get_current_context().obj])
    comment = [f"{found.study}: {title}.", f"Written by: {words}", *evidence_comment(narrowing)]
    return _Next(summary.name, found, narrowing, title, to_yaml(found, "\n".join(comment)))


def _free_name(storage: str, parent: str, config: Config) -> str:
    """The first name after the parent's that no other search has; the same search goes on."""
    from cnnsearch.stages import next_names

    names = next_names(parent)
    return next(name for name in names if _goes_on(storage, replace(config, study=name)))


def _goes_on(storage: str, config: Config) -> bool:
    """Whether `run` would begin or continue a study of that name with this config."""
    from cnnsearch.study.resuming import check_resume

    try:
        check_resume(storage, config)
    except InputError:
        return False
    return True


def _values(sets: Sequence[str], own: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line sets, plain, by the names of the fields."""
    from cnnsearch.config import is_study_name, study_name, values_of

    name = own["study"]
    if name is not None and not is_study_name(name):
        raise InputError(f"--name: {name!r} is no study name. Write --name {study_name(name)}.")
    found = values_of(sets)
    options = {"epochs": "--epochs", "trials": "-n", "validation": "--folds", "study": "--name"}
    for field, value in own.items():
        if value is None:
            continue
        if field in found:
            raise InputError(f"{options[field]} and -S {field} together. Write one of them.")
        found[field] = {"folds": value} if field == "validation" else value
    return found


def _top(text: str) -> str | int:
    from cnnsearch.config import top_of

    try:
        return top_of(int(text) if text.isascii() and text.isdigit() else text)
    except ValueError as error:
        raise InputError(f"--top: {str(error).removeprefix('top ')}") from None


def _check_values(config: Config, values: Mapping[str, Any]) -> None:
    """Refuse what the search before, or its sampler, has no place for."""
    from cnnsearch.catalog import SAMPLERS

    assert config.search is not None
    for name in values:
        if name in (config.space or {}):
            raise InputError(
                f"{name} is searched, and its range is narrowed like the others. Leave it out, or "
                "change it in the file that is written."
            )
    sampler = str(values.get("sampler", config.search.sampler))
    if "trials" in values and SAMPLERS[sampler].finite:
        raise InputError(
            f"-n: a {sampler} runs its whole product. Leave it out, or add -S sampler=random."
        )


def _warn_of_unfinished(summary: StudySummary, attempts: Sequence[Trial]) -> None:
    from cnnsearch import ranking
    from cnnsearch.records import State
    from cnnsearch.render.text import counted

    going = (State.KILLED, State.RUNNING)
    ended = [trial for trial in ranking.last_attempts(attempts) if trial.state not in going]
    left = (summary.planned or 0) - len(ended)
    if left > 0:
        say(f"{summary.name} is not finished: {counted(left, 'point')} left, so the best may "
            "still change.")  # fmt: skip


def _print(found: _Next, path: Path | None, following: Sequence[str] | None) -> None:
    """The evidence on stdout, or beside the config on stderr.

    Args:
        following: options of the `run` that follows; None where it runs at once.
    """
    from cnnsearch.render import output
    from cnnsearch.render.narrow import print_evidence, say_evidence

    title = f"{found.config.study}: {found.title}"
    if path is None:
        say_evidence(found.narrowing, title, output.width() if sys.stderr.isatty() else None)
        output.write_raw(found.text)
        return
    print_evidence(found.narrowing, title)
    then = "" if following is None else f" Next: {_run_words(path, following)}"
    say(f"Wrote {path}.{then}")


def _run_words(path: Path, options: Sequence[str]) -> str:
    return shlex.join(["cnnsearch", "run", str(path), *options])


def _document(found: _Next, path: Path | None) -> dict[str, Any]:
    from cnnsearch.render.narrow import narrowing_object

    return {
        "study": found.config.study,
        "parent": found.parent,
        **narrowing_object(found.narrowing),
        "config": found.config.plain(),
        "file": None if path is None else str(path),
    }


def _run(
    path: Path, storage: str, jobs: int | None, options: Sequence[str]
) -> tuple[int, dict[str, Any]]:
    """Run the file that was written, as `run` would.

    Args:
        options: of the command that continues, but for the jobs.
    """
    from cnnsearch.commands.request import read_request
    from cnnsearch.running import searching
    from cnnsearch.running.workers import LocalWorkers

    request = read_request(str(path), None, None, (), storage)
    again = _run_words(path, [*options, *([] if jobs is None else ["-j", str(jobs)])])
    found = searching.run(replace(request, workers=LocalWorkers(jobs), again=again))
    return found.code, found.document()


def _refuse_with_stages(
    options: Mapping[str, Any], runs: bool, as_json: bool, jobs: int | None
) -> None:
    given = [name for name, value in options.items() if value not in (None, ())]
    given += [name for name, on in (("run", runs), ("json", as_json)) if on]
    given += ["jobs"] if jobs is not None else []
    if given:
        names = {"sets": "-S", "trials": "-n", "jobs": "-j"}
        told = ", ".join(names.get(name, f"--{name}") for name in given)
        raise click.UsageError(f"--stages takes no {told}: change what it writes")


def _add_stages(file: str, target: str | None, force: bool) -> int:
    """Write a file with a section `stages`."""
    from cnnsearch.config import load
    from cnnsearch.config.stages_starter import with_stages
    from cnnsearch.plan import planned
    from cnnsearch.render import output

    config = load(file)
    if config.space is None:
        raise InputError(f"{file}: has no space, so there is nothing to narrow.")
    if config.stages:
        raise InputError(f"{file}: has stages already. Run it: cnnsearch run {file}.")
    text = with_stages(file, config, planned(config))
    if target is None:
        output.write_raw(text)
        return 0
    write_target(Path(target), text, "next.yaml", force)
    say(f"Wrote {target}. Next: cnnsearch check {shlex.quote(target)}")
    return 0

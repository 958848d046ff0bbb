"""cnnsearch as a library: what `from cnnsearch import ...` gives, and the verbs stand on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnsearch import config as configs
from cnnsearch import ranking
from cnnsearch.config import Config
from cnnsearch.errors import InputError
from cnnsearch.records import EpochResult, StudySummary, Trial

if TYPE_CHECKING:
    from cnnsearch.running.searching import Request
    from cnnsearch.running.workers import Workers

_STORAGE = "cnnsearch.db"


@dataclass(frozen=True)
class StudyResults:
    """A study as the storage holds it: a picture of one moment.

    Args:
        summary: its name, counts by state, direction, config.
        attempts: all, those that were lost and run again included, by number.
        storage: where it was read.
    """

    summary: StudySummary
    attempts: Sequence[Trial]
    storage: str

    @property
    def trials(self) -> list[Trial]:
        """The last attempt of each point that is not hidden, best first, without curves."""
        return ranking.ranked(ranking.shown(self.attempts), self.summary.direction)

    @property
    def best(self) -> Trial | None:
        """The best complete trial that is not hidden."""
        return ranking.best(ranking.shown(self.attempts), self.summary.direction)

    def trial(self, number: int) -> Trial:
        """A trial with its curve, its probes and its config.

        Raises:
            InputError: there is none of that number.
        """
        from cnnsearch.study import read

        return read.trial(self.storage, self.summary.name, number)

    def curves(self) -> dict[int, tuple[EpochResult, ...]]:
        """What each epoch measured, by the number of the trial."""
        from cnnsearch.study import read

        return read.curves(self.storage, self.summary.name)

    def rows(self) -> list[dict[str, Any]]:
        """The trials as plain dictionaries, as `list --json` prints them: for a data frame."""
        from cnnsearch.render.trials import trial_object

        return [trial_object(trial) for trial in self.trials]


def load_config(
    source: str | Path | Mapping[str, Any],
    sets: Sequence[str] = (),
    trials: int | None = None,
) -> Config:
    """Read and check a config.

    Args:
        source: a YAML file, or what such a file holds; then `study` has to be among it.
        sets: values to set in a file, as `run -S` takes them: "lr=0.01", "data.limit=5000".
        trials: number of points in all.

    Raises:
        InputError: one line for each mistake.
    """
    if not isinstance(source, Mapping):
        return configs.load(str(source), list(sets), trials)
    config = configs.from_plain(dict(source), "the config")
    values = configs.values_of([*sets, *([] if trials is None else [f"trials={trials}"])])
    return configs.with_values(config, values, "sets") if values else config


def run_search(
    config: Config,
    *,
    trials: int | None = None,
    storage: str | None = None,
    jobs: int | None = None,
) -> StudyResults:
    """Run a search, or what remains of it, as `cnnsearch run` does; talk goes to stderr.

    What was lost by a crash is run again; what has ended is not. Of a config with stages all run,
    and the last one's study is what is returned.

    Args:
        trials: number of points in all; default: the config's.
        storage: a file or a database URL; default: $CNNSEARCH_STORAGE, else cnnsearch.db.
        jobs: worker processes; default: one a core, one on a GPU; 0: in this process.

    Raises:
        InputError: a mistake in the config, or another than the study was started with.
        CnnsearchError: it could not go on; what has ended is stored.
        KeyboardInterrupt: it was interrupted, and ended in order.
    """
    from cnnsearch.running import chain, searching
    from cnnsearch.running.workers import LocalWorkers

    place = _place(storage)
    config = config if trials is None else _with_trials(config, trials)
    again = "run_search with the same config"
    request = requested(config, config.study, (), place, trials, again, LocalWorkers(jobs))
    if config.stages:
        stages = chain.run(request)
        code, name = stages.code, stages.stages[-1].summary.name if stages.stages else config.study
    else:
        code, name = searching.run(request).code, config.study
    if code > 128:
        raise KeyboardInterrupt
    return read_study(name, place)


def read_study(name: str, storage: str | None = None) -> StudyResults:
    """Read a study, also while it runs; nothing is locked.

    Args:
        name: or an unambiguous beginning of it; of a chain the last stage.
        storage: see `run_search`.

    Raises:
        InputError: no such study, or several.
    """
    from cnnsearch.study import read

    place = _place(storage)
    return StudyResults(*read.summary_and_trials(place, read.resolve(place, name)), place)


def requested(
    config: Config,
    file: str,
    sets: Sequence[str],
    storage: str,
    trials: int | None,
    again: str,
    workers: Workers,
) -> Request:
    """The request to run a config, for `cnnsearch.running`.

    Args:
        file: what messages call the config; `sets`: what was set in it.
        again: what continues the search, for messages.

    Raises:
        InputError: it is no search, or asks for more points than there are.
    """
    from cnnsearch.plan import planned
    from cnnsearch.running.searching import Request

    if config.search is None or config.space is None:
        raise InputError(
            f"{file}: has no space, so this is a single run. Write cnnsearch train {file}."
        )
    count = planned(config, trials)
    timeout = config.search.timeout
    return Request(file, sets, storage, config, count, again, workers, timeout_s=timeout)


def _with_trials(config: Config, trials: int) -> Config:
    if trials < 1 or config.stages:
        wrong = "each stage has its own" if config.stages else "write a number of at least 1"
        raise InputError(f"trials: {trials}: {wrong}.")
    return configs.with_values(config, {"trials": trials}) if config.search else config


def _place(storage: str | None) -> str:
    return os.environ.get("CNNSEARCH_STORAGE", _STORAGE) if storage is None else storage

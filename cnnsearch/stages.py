"""From coarse to fine: the config of the next search, made of the one before and what it gave."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from cnnsearch import ranking
from cnnsearch.config import Config, Stage, with_values
from cnnsearch.config.fields import OWNER, SECTIONS
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.errors import InputError, TooFewError
from cnnsearch.objective import DIRECTIONS
from cnnsearch.plan import planned, size_of_grid
from cnnsearch.records import State, Trial
from cnnsearch.render.narrow import stage_text
from cnnsearch.render.text import value_text
from cnnsearch.review.narrowing import PAD, TOP, Narrowing, Options, narrowed
from cnnsearch.space import Space

_LONGEST = 64  # characters of a study's name
_SEEDS = 2**63


def next_names(study: str) -> Iterator[str]:
    """Names of the search after one, the first to be taken if it is free: of `coarse` `coarse-2`,
    `coarse-3` and so on.

    Only numbers from 2 to 9 count on: `cifar-10` is a name.
    """
    match = re.fullmatch(r"(.+)-([2-9])", study)
    stem, number = (match[1], int(match[2]) + 1) if match else (study, 2)
    for i in count(number):
        end = f"-{i}"
        yield stem[: _LONGEST - len(end)].rstrip("-._") + end


def following(
    config: Config, trials: Sequence[Trial], values: Mapping[str, Any], options: Options
) -> tuple[Config, Narrowing]:
    """The config of the next search: a narrower space, the next seed, and other values.

    The next seed, because the same one would draw the same places of the narrower ranges again.

    Args:
        config: of the search before.
        trials: all its attempts.
        values: plain, by the bare names of fields; the study's name among them.

    Raises:
        InputError: too few trials are complete, or the values do not fit.
    """
    assert config.search is not None
    assert config.space is not None
    direction = DIRECTIONS[config.search.objective]
    narrowing = narrowed(trials, config.space, direction, config.search.sampler, options)
    own = {"seed": _next_seed(config), **values, "space": _plain(narrowing.space)}
    try:
        found = with_values(config, own)
    except InputError:
        if not narrowing.extended:
            raise
        # A range made wider may meet a limit that follows from other fields.
        return following(config, trials, values, replace(options, extend=False))
    return _without_overridden(found), narrowing


def _plain(space: Space) -> dict[str, Any]:
    return {name: parameter_to_plain(one) for name, one in space.items()}


def _next_seed(config: Config) -> int:
    return (config.seed + 1) % _SEEDS


def _without_overridden(config: Config) -> Config:
    """The config with defaults where `space` overrides a fixed value in every trial anyway."""
    always = [name for name, one in (config.space or {}).items() if not one.when]
    for section in {OWNER[name] for name in always}:
        fields = SECTIONS[section].model_fields
        defaults = {name: fields[name].default for name in always if name in fields}
        changed = getattr(config, section).model_copy(update=defaults)
        config = replace(config, **{section: changed})
    return config


@dataclass(frozen=True)
class Chain:
    """The searches of a file with `stages`. Stages count from 1.

    Args:
        config: the file's; it is the first stage's, but for its name.
    """

    config: Config

    @property
    def family(self) -> str:
        """Name of the whole."""
        return self.config.study

    @property
    def length(self) -> int:
        """Number of stages."""
        return len(self.config.stages)

    def study(self, number: int) -> str:
        """Name of a stage's study."""
        return f"{self.family}.{number}"

    def stage(self, number: int) -> Stage:
        """What the file says of a stage."""
        return self.config.stages[number - 1]

    def options(self, number: int) -> Options:
        """How a stage's space is narrowed from that of the stage before."""
        stage = self.stage(number)
        return Options(
            TOP if stage.top is None else stage.top, PAD if stage.pad is None else stage.pad
        )

    def first(self) -> Config:
        """The config of the first stage."""
        return replace(self.config, study=self.study(1), stages=())

    def after(
        self, number: int, config: Config, trials: Sequence[Trial]
    ) -> tuple[Config, Narrowing]:
        """The config of a stage after the first.

        Hidden trials count like the others: hiding changes what is shown, and no search.

        Args:
            config: of the stage before, with all its attempts.

        Raises:
            InputError: see `following`; it names the study.
        """
        values = {**self.stage(number).values, "study": self.study(number)}
        every = [replace(trial, hidden=False) for trial in trials]
        try:
            return following(config, every, values, self.options(number))
        except TooFewError as error:
            raise InputError(f"{config.study}: {error.fact}{self._more(number - 1)}") from error
        except InputError as error:
            raise InputError(f"{config.study}: {error}") from error

    def _more(self, number: int) -> str:
        """What to do about too few trials of a stage; the end of a sentence, and another."""
        if number == 1 and self.planned(1, self.config) == size_of_grid(self.config):
            return ", and its grid has no other points. Search another space, with --name NAME."
        return (
            f". Raise trials of stage {number} in the file and run it again; what has ended is "
            "kept."
        )

    def continued(self, number: int, config: Config, stored: Config) -> Config:
        """The config of a stage that has begun, as the file has it now, but for its space.

        Args:
            config: of the stage before.
            stored: what the stage was begun with.
        """
        own = {"study": self.study(number), "space": _plain(stored.space or {})}
        values = {"seed": _next_seed(config), **self.stage(number).values, **own}
        return _without_overridden(with_values(config, values))

    def outlines(self) -> list[Config]:
        """The stages' configs as they are known beforehand: each over the whole space."""
        found = [self.first()]
        for number in range(2, self.length + 1):
            values = {**self.stage(number).values, "study": self.study(number)}
            found.append(with_values(found[-1], values))
        return found

    def planned(self, number: int, config: Config) -> int:
        """How many points a stage has; of a grid, as many as `trials` says."""
        told = [stage.trials for stage in self.config.stages[:number] if stage.trials is not None]
        return planned(config, told[-1] if told else None)

    def place(self, number: int, trials: Sequence[Trial] = ()) -> dict[str, Any]:
        """What a stage's study keeps of the chain.

        Args:
            trials: all attempts of the stage before.
        """
        whole = {"family": self.family, "stage": number, "of": self.length}
        if number == 1:
            return {**whole, "parent": None}
        options = self.options(number)
        narrowing = {"top": options.top, "pad": options.pad, "parent_results": results_of(trials)}
        return {**whole, "parent": self.study(number - 1), **narrowing}


def results_of(trials: Sequence[Trial]) -> str:
    """A short text that is another one where a search gave other results."""
    rows = [
        (trial.key, trial.seed, trial.params, str(trial.state), trial.epochs, trial.value)
        for trial in ranking.last_attempts(trials)
        if trial.state not in (State.KILLED, State.RUNNING)
    ]
    text = json.dumps(sorted(rows, key=lambda row: row[0]), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_lines(chain: Chain) -> list[str]:
    """What a chain will run, a line a stage."""
    lines = []
    for number, config in enumerate(chain.outlines(), 1):
        text = f"{config.study}: {stage_text(config, chain.planned(number, config))}"
        text += "".join(f", {k} {value_text(v)}" for k, v in chain.stage(number).set.items())
        if number > 1:
            options = chain.options(number)
            text += f"; around the best {options.top} of {chain.study(number - 1)}"
        lines.append(text)
    return lines

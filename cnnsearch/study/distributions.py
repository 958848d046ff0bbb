"""Between parameters of a space and Optuna's distributions."""

from __future__ import annotations

import json
import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from cnnsearch.records import Value
from cnnsearch.space import Choice, Parameter, Range


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter; lists among choices become JSON text."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution([to_optuna(value) for value in parameter.choices])
    high = parameter.high
    if parameter.step is not None:
        # Optuna warns when the last step is not `high`; so name the last step.
        steps = math.floor((high - parameter.low) / parameter.step + 1e-9)
        high = float(f"{parameter.low + steps * parameter.step:.12g}")
    if parameter.integer:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(high), log=parameter.log, step=step)
    return FloatDistribution(parameter.low, high, log=parameter.log, step=parameter.step)


def parameter_of(distribution: BaseDistribution) -> Parameter:
    """The parameter of one of Optuna's distributions."""
    if isinstance(distribution, CategoricalDistribution):
        return Choice(tuple(distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    integer = isinstance(distribution, IntDistribution)
    step = distribution.step
    return Range(
        distribution.low,
        distribution.high,
        log=distribution.log,
        step=None if integer and step == 1 else step,
        integer=integer,
    )


def to_optuna(value: Value) -> Any:
    """A value as Optuna stores it: its choices cannot be lists."""
    return json.dumps(value) if isinstance(value, list) else value


def from_optuna(value: Any, parameter: Parameter) -> Value:
    """The value of a parameter that `to_optuna` made."""
    if isinstance(parameter, Choice):
        for choice in parameter.choices:
            if to_optuna(choice) == value and type(to_optuna(choice)) is type(value):
                return choice
    result: Value = value
    return result

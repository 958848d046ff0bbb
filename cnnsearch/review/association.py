"""Whether a number has anything to do with each hyperparameter, or chance would do as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cnnsearch.records import Params, Value
from cnnsearch.review.tried import identity

Numbers = npt.NDArray[np.float64]
# Draws with permuted numbers, all at once: 0.1 s of 1,000 trials.
_DRAWS = 999
# Of more distinct numbers than this, groups would be too small.
_GROUPS = 5


def p_values(
    params: Sequence[Params], numbers: Sequence[float], names: Sequence[str]
) -> list[float]:
    """Probability that chance ties the numbers to any hyperparameter as it seems to be to each.

    How much the numbers' means differ between the values of a hyperparameter (of many, how well a
    parabola over their ranks fits), held against the same with permuted numbers. Corrected for the
    number of hyperparameters by the minP of P. H. Westfall and S. S. Young (1993): a study of many
    does not tell more of them by mistake than one of few. Of a conditional one only the trials
    change places in which it is active, or what it depends on would count as its own.

    Args:
        params: of each trial.
        numbers: of each trial.
        names: each active in some of them.
    """
    found = np.empty((_DRAWS + 1, len(names)))
    drawn: dict[tuple[int, ...], Numbers] = {}
    for column, name in enumerate(names):
        active = tuple(i for i, one in enumerate(params) if name in one)
        if active not in drawn:
            drawn[active] = _permuted(np.array([numbers[i] for i in active]))
        basis = _basis([params[i][name] for i in active])
        found[:, column] = _explained(drawn[active], basis)
    return _corrected(found)


def ranks(numbers: Sequence[float]) -> list[float]:
    """The rank of each number, equal ones with their mean rank."""
    order = np.sort(np.array(numbers))
    low = np.searchsorted(order, numbers, side="left")
    high = np.searchsorted(order, numbers, side="right")
    return [float(rank) for rank in (low + high - 1) / 2]


def _permuted(numbers: Numbers) -> Numbers:
    """The numbers [draws + 1, N], as they are in the first row."""
    rows = np.tile(numbers, (_DRAWS + 1, 1))
    rows[1:] = np.random.default_rng(0).permuted(rows[1:], axis=1)
    return rows


def _basis(values: Sequence[Value]) -> Numbers:
    """Orthonormal columns [N, C] of what the numbers may follow."""
    distinct = {key: i for i, key in enumerate(dict.fromkeys(map(identity, values)))}
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) and len(distinct) > _GROUPS:
        # Along an axis values rise, fall, or have one top in between.
        ranks = np.argsort(np.argsort(numbers)) / len(numbers) - 0.5
        columns = np.stack([np.ones_like(ranks), ranks, ranks**2], axis=1)
        return np.linalg.qr(columns)[0][:, 1:]
    member = np.eye(len(distinct))[[distinct[identity(value)] for value in values]]
    return np.asarray(member / np.sqrt(member.sum(axis=0)))


def _explained(rows: Numbers, basis: Numbers) -> Numbers:
    """The sum of squares [draws + 1] that follows the basis."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    explained: Numbers = ((centred @ basis) ** 2).sum(axis=1)
    return explained


def _corrected(found: Numbers) -> list[float]:
    """From statistics [draws + 1, K] to a p-value for each of the first row."""
    # Sums that only rounding tells apart are equal.
    found = np.round(found, 12)
    order = np.sort(found, axis=0)
    each = np.empty_like(found)
    for column in range(found.shape[1]):
        below = np.searchsorted(order[:, column], found[:, column], side="left")
        each[:, column] = (len(found) - below) / len(found)
    least = each.min(axis=1)
    return [float(np.mean(least <= p)) for p in each[0]]

"""Dropout: its share, its draws, and that they follow from the seed alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cnnsearch.model import Dropout

ROWS, UNITS = 2000, 1000


def dropped(seed: int, rate: float = 0.3, calls: int = 1) -> Tensor:
    """Which of [2000, 1000] are dropped at the last of so many calls."""
    layer = Dropout(rate)
    layer.reset_parameters(seed)
    for _ in range(calls):
        out: Tensor = layer(torch.ones(ROWS, UNITS))
    return out == 0


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]).float())[0, 1])


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    shares = dropped(5, rate).float()
    deviation = (rate * (1 - rate)) ** 0.5
    assert shares.mean().item() == pytest.approx(rate, abs=4 * deviation / (ROWS * UNITS) ** 0.5)
    for axis, count in ((0, ROWS), (1, UNITS)):
        spread = shares.mean(axis).std().item()
        assert spread == pytest.approx(deviation / count**0.5, rel=0.1)


def test_draws_are_independent() -> None:
    """Of neighbours, of calls, of seeds: correlations within 4 standard errors."""
    first = dropped(7)
    limit = 4 / (ROWS * UNITS) ** 0.5
    pairs = {
        "rows": (first[1:], first[:-1]),
        "units": (first[:, 1:], first[:, :-1]),
        "calls": (first, dropped(7, calls=2)),
        "seeds": (first, dropped(8)),
    }
    for what, pair in pairs.items():
        assert abs(correlation(*pair)) < limit, what


def test_no_two_units_are_dropped_together() -> None:
    """The largest correlation of 499,500 pairs of units is that of independent draws, about 5."""
    draws = dropped(3).float()
    draws = (draws - draws.mean(0)) / draws.std(0)
    pairs = (draws.T @ draws / ROWS).fill_diagonal_(0) * ROWS**0.5
    assert pairs.abs().max() < 6
    assert pairs.std().item() == pytest.approx(1, abs=0.02)


def test_what_is_kept_is_scaled_up() -> None:
    layer = Dropout(0.75)
    layer.reset_parameters(1)
    x = torch.ones(50, 40, requires_grad=True)
    out = layer(x)
    assert set(out.unique().tolist()) == {0.0, 4.0}
    out.sum().backward()
    assert torch.equal(x.grad, out)  # type: ignore[arg-type]


def test_draws_follow_from_the_seed_alone() -> None:
    first = dropped(7)
    torch.rand(3)
    assert torch.equal(dropped(7), first)
    assert torch.equal(dropped(7)[:, :10], first[:, :10])


def test_in_evaluation_it_passes_on_and_counts_no_call() -> None:
    layer, x = Dropout(0.5).eval(), torch.ones(2, 3)
    assert layer(x) is x
    assert layer.calls == 0

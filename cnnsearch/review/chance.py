"""How likely a count is by chance alone."""

from __future__ import annotations

import math

# A statement is made where chance would make it in less than one study of twenty.
ALPHA = 0.05
# Two-sided 95 % of a normal distribution.
_Z = 1.959963984540054


def enriched(inside: int, part: int, hits: int, trials: int) -> float:
    """Probability of at least `inside` hits in a part drawn without looking at them.

    The one-sided exact test of R. A. Fisher (1935): a hypergeometric tail. 1 where there are no
    more hits than the part's share of them.

    Args:
        inside: hits among the part.
        part: trials of the part.
        hits: hits among all trials.
        trials: all trials.
    """
    if inside * trials <= part * hits:
        return 1.0
    first = _log_choose(hits, inside) + _log_choose(trials - hits, part - inside)
    term = math.exp(first - _log_choose(trials, part))
    total, k = term, inside
    # The terms fall from here on; of 10,000 trials only a few hundred matter.
    while term > total * 1e-15 and k < min(part, hits):
        term *= (hits - k) * (part - k) / ((k + 1) * (trials - hits - part + k + 1))
        total, k = total + term, k + 1
    return min(total, 1.0)


def binomial_tail(at_least: int, trials: int, share: float) -> float:
    """Probability of at least so many hits in independent trials that hit with `share`."""
    return math.fsum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(max(at_least, 0), trials + 1)
    )


def at_least(hits: int, trials: int) -> float:
    """Lower end of the 95 % interval of a share; 0 without trials."""
    return wilson(hits, trials)[0]


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson 1927); 0 to 1 without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = hits / trials, _Z * _Z
    middle = share + z2 / (2 * trials)
    spread = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    whole = 1 + z2 / trials
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

"""How other tools write a search space, so that a mistake can be answered with the line to write.

Known: Weights & Biases (distribution, min, max, q, values), NNI (_type, _value), Determined (type,
minval, maxval, vals), Ax (type, bounds, log_scale), KerasTuner (min_value, max_value, sampling) and
plain habits (lower, upper, start, stop, options).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from cnnsearch.config.mistakes import inline, shortened

_LOWS = ("min", "minval", "min_value", "lower", "low", "start", "from")
_HIGHS = ("max", "maxval", "max_value", "upper", "high", "stop", "end", "to")
_VALUES = ("values", "vals", "_value", "choices", "options", "categories", "value", "val")
_KINDS = ("distribution", "_type", "type", "sampling", "scale", "prior")
_STEPS = ("q", "step")
_BOUNDS = ("bounds", "range", "_value")
_LOGS = ("log_scale", "log")

_OWN = {"low", "high", "log", "step", "points", "choices", "when"}
FOREIGN = {*_LOWS, *_HIGHS, *_VALUES, *_KINDS, *_STEPS, *_BOUNDS, *_LOGS} - _OWN


def translated(name: str, written: Mapping[str, Any], whole: bool) -> str:
    """The line of our grammar that says what `written` says, with the user's own numbers.

    Args:
        written: a parameter's mapping in another tool's spelling.
        whole: the field takes whole numbers.
    """
    kind = " ".join(str(written[key]).lower() for key in _KINDS if key in written)
    low, high = _first(written, _LOWS), _first(written, _HIGHS)
    bounds = _first(written, _BOUNDS)
    if low is None and isinstance(bounds, list) and len(bounds) >= 2 and "choice" not in kind:
        low, high = bounds[:2]
    if _is_number(low) and _is_number(high):
        return f"{name}: {inline(_range(written, kind, low, high, whole))}"
    values = _first(written, _VALUES)
    if values is None:
        return f"{name}: {{low: LOW, high: HIGH}}, or a list of values"
    return f"{name}: {shortened(inline(values if isinstance(values, list) else [values]))}"


def _range(
    written: Mapping[str, Any], kind: str, low: float, high: float, whole: bool
) -> dict[str, Any]:
    log = "log" in kind or any(written.get(key) is True for key in _LOGS)
    base = _exponent_base(written, kind)
    if base and -300 < low <= high < 300:
        low, high = (float(f"{base**exponent:.3g}") for exponent in (low, high))
    if whole and float(low).is_integer() and float(high).is_integer():
        low, high = int(low), int(high)
    step = _first(written, _STEPS)
    kept = {"log": True} if log else {"step": step} if _is_number(step) else {}
    return {"low": low, "high": high, **kept}


def _exponent_base(written: Mapping[str, Any], kind: str) -> float | None:
    """The base where bounds are exponents: Determined's log, Weights & Biases' old log_uniform."""
    if kind == "log" and "minval" in written:
        base = written.get("base", 10)
        return float(base) if _is_number(base) and 1 < base <= 10 else None
    return math.e if kind in ("log_uniform", "q_log_uniform") and "min" in written else None


def _first(written: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((written[name] for name in names if name in written), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

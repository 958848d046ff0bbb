"""The translation between a trial's state and Optuna's: here and nowhere else.

Optuna knows COMPLETE, PRUNED, FAIL and RUNNING. What it cannot say stands in the trial's attribute
`result`. A diverged trial is PRUNED there: samplers learn from pruned trials, and rank them below
the complete ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnsearch.records import State

OPTUNA_STATES = {
    State.COMPLETE: "COMPLETE",
    State.PRUNED: "PRUNED",
    State.DIVERGED: "PRUNED",
    State.FAILED: "FAIL",
    State.KILLED: "FAIL",
    State.RUNNING: "RUNNING",
}


def state_of(optuna_state: str, result: Mapping[str, Any] | None, owned: bool) -> State:
    """The state of a stored trial.

    Args:
        optuna_state: the name of Optuna's state.
        result: the trial's attribute `result`, if it was written.
        owned: a living coordinator owns the study; without one, a running trial was killed.
    """
    if optuna_state in ("RUNNING", "WAITING"):
        return State.RUNNING if owned else State.KILLED
    if result is not None:
        return State(result["state"])
    # Ended by another program.
    return {"COMPLETE": State.COMPLETE, "PRUNED": State.PRUNED}.get(optuna_state, State.FAILED)

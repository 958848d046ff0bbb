"""What a smoke test found, as plain data with stable names: printed, and given as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cnnsearch import diagnose
from cnnsearch.preflight.combinations import Combination, described, words
from cnnsearch.preflight.overfit import IMAGES, STEPS, best
from cnnsearch.preflight.smoke import Cost, Smoke, Tried
from cnnsearch.preflight.untrained import problems
from cnnsearch.records import Params
from cnnsearch.render.text import measure, number

NOT_LEARNED = "not-learned"
WRONG_PENALTY = "wrong-penalty"
NOT_TRIED = "not-tried"


def document(smoke: Smoke) -> dict[str, Any]:
    """All that a smoke test found."""
    return {
        "combinations_total": len(smoke.every),
        "combinations": [_combination(c, tried) for c, tried in smoke.tried],
        "problems": [
            {"problem": name, "where": where, "message": message}
            for name, where, message in _problems(smoke)
        ],
        "time": None if smoke.cost is None else _time(smoke.cost, smoke.pruner),
    }


def _combination(combination: Combination, tried: Tried | None) -> dict[str, Any]:
    plain: dict[str, Any] = {"params": dict(combination.params)}
    if tried is None:
        return plain | {"tried": False}
    added, top = tried.penalty, best(tried.tries)
    return plain | {
        "tried": True,
        "first_loss": tried.probe.loss,
        "guessing_loss": tried.guessing,
        "weight_decay": added.weight_decay,
        "penalty": added.added,
        "penalty_expected": added.expected,
        "penalty_tolerance": added.tolerance,
        "penalty_right": added.right,
        "learned": top.learned,
        "lr": top.lr,
        "steps": top.steps,
        "accuracy": top.accuracy,
        "tries": [asdict(one) for one in tried.tries],
        "layers": [asdict(layer) for layer in tried.probe.layers],
        "findings": [asdict(finding) for finding in tried.findings],
    }


def _time(cost: Cost, pruner: str) -> dict[str, Any]:
    return {
        "seconds": round(cost.seconds, 3),
        "trials": cost.count,
        "jobs": cost.jobs,
        "pruner": pruner,
        "trial_seconds": round(cost.trial_s, 3),
        "start_seconds": round(cost.start_s, 3),
        "storage_seconds": round(cost.storage_s, 3),
        "sampled": len(cost.paces),
        "sampled_diverged": cost.diverged,
        "steps_tried": max(pace.tried for pace in cost.paces),
        "step_ms": [round(1e3 * pace.step_s, 3) for pace in cost.paces],
    }


def _problems(smoke: Smoke) -> list[tuple[str, str, str]]:
    """What is wrong: its name, with which choices, and in a sentence."""
    there = [(c, tried) for c, tried in smoke.tried if tried is not None]
    combinations = [c for c, _ in there]
    findings = [tried.lasting for _, tried in there]
    found = [
        (rule, words(choices), f"{diagnose.RULES[rule].meaning} {diagnose.RULES[rule].advice}")
        for rule, choices in problems(smoke.every, combinations, findings)
    ]
    failed = [(c, tried) for c, tried in there if not best(tried.tries).learned]
    if failed:
        found.append((NOT_LEARNED, _where(smoke, [c for c, _ in failed]), _failure(failed)))
    wrong = [(c, tried) for c, tried in there if not tried.penalty.right]
    if wrong:
        penalty = wrong[0][1].penalty
        told = (
            f"With weight_decay {number(penalty.weight_decay)} the first loss rises by "
            f"{measure(penalty.added)}, the formula of the init scheme gives "
            f"{measure(penalty.expected)}."
        )
        found.append((WRONG_PENALTY, _where(smoke, [c for c, _ in wrong]), told))
    untried = [c for c, tried in smoke.tried if tried is None]
    if untried:
        told = "These networks cannot be trained here; too little memory is the usual cause."
        found.append((NOT_TRIED, _where(smoke, untried), told))
    return found


def _where(smoke: Smoke, some: Sequence[Combination]) -> str:
    looked_at = [c.params for c, _ in smoke.tried]
    every = [c.params for c in smoke.every]
    affected: list[Params] = [c.params for c in some]
    return words(described(affected, looked_at, every))


def _failure(failed: Sequence[tuple[Combination, Tried]]) -> str:
    tops = [best(tried.tries) for _, tried in failed]
    low, high = (f"{f(top.accuracy for top in tops):.2f}" for f in (min, max))
    accuracy = low if low == high else f"{low} to {high}"
    rates = sorted({number(one.lr) for _, tried in failed for one in tried.tries}, key=float)
    return (
        f"{IMAGES} images are not learned by heart in {STEPS} steps: accuracy {accuracy}, at "
        f"the best of lr {', '.join(rates)}.{_held(failed[0][0])}"
    )


def _held(combination: Combination) -> str:
    """What else is searched of the network, and was tried at one value only."""
    held = combination.held if combination.ends else {}
    return f" Only {words([held])} was tried." if held else ""

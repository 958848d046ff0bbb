"""What is told of a trial, whatever the other program is."""

from __future__ import annotations

from cnnsearch.records import Params, StudySummary, Trial
from cnnsearch.render.text import clean, measure, one_line, value_text
from cnnsearch.render.trials import objective

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")
"""What is told of each epoch: fields of `EpochResult`."""


def plain_params(params: Params) -> dict[str, bool | int | float | str]:
    """Hyperparameters as other programs take them: lists as texts, such as `[16, 32]`."""
    return {
        name: value if isinstance(value, bool | int | float) else value_text(value)
        for name, value in params.items()
    }


def states(trial: Trial) -> dict[str, str]:
    """How a trial ended, and what its verdict is where it has one."""
    verdict = {} if trial.diagnosis is None else {"verdict": trial.diagnosis.verdict}
    return {"state": str(trial.state), **verdict}


def description(summary: StudySummary, trial: Trial) -> str:
    """What there is to say of a trial, a line each."""
    value = f", {objective(summary)} {measure(trial.value)}" if trial.value is not None else ""
    at = f" at epoch {trial.best_epoch}" if value and trial.best_epoch else ""
    lines = [f"trial {trial.number} of {summary.name}: {trial.state}{value}{at}"]
    lines += [f"reason: {one_line(trial.reason)}"] if trial.reason else []
    lines += [f"seed: {trial.seed}, attempt: {trial.attempt}"]
    lines += [f"tags: {one_line(', '.join(trial.tags))}"] if trial.tags else []
    lines += [f"note: {one_line(trial.note)}"] if trial.note else []
    found = trial.diagnosis.findings if trial.diagnosis else ()
    lines += [f"{one.rule}: {one_line(one.message)}" for one in found]
    return clean("\n".join(lines))

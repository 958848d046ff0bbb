"""What a long search keeps of its trials while it runs."""

from __future__ import annotations

from dataclasses import replace

from cnnsearch.records import (
    Began,
    Diagnosis,
    Ended,
    EpochResult,
    LayerProbe,
    Probe,
    State,
    Trial,
)
from cnnsearch.render.progress import SearchProgress

PROBE = Probe(2.3, (LayerProbe("classifier", 10, 0.0, 1.0, None, None, 0.1),))
CURVE = (EpochResult(1, 0.1, 2.0, 0.3, 2.0, 0.3, 1.0, PROBE),)


def trial(number: int) -> Trial:
    return Trial(
        number, number, str(number), 1, State.COMPLETE, 0.3, {"lr": 0.1}, 1, 1, 1.0, None, 0, None,
        curve=CURVE, folds=(CURVE, CURVE), probe=PROBE, diagnosis=Diagnosis("ok"),
    )  # fmt: skip


def test_of_ended_trials_no_curve_is_kept() -> None:
    progress = SearchProgress([trial(0)], 3, "maximize", 1)
    progress.take(Began(replace(trial(1), state=State.RUNNING)))
    progress.take(Ended(trial(1)))
    assert progress.done == 2
    assert progress.verdicts == {"ok": 2}
    best = progress.best
    assert best is not None
    assert best.value == 0.3
    kept = repr(list(progress._ended.values()))
    assert "EpochResult" not in kept
    assert "LayerProbe" not in kept

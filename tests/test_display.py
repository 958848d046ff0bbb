"""What `run` shows: progress read off events, drawn on terminals of different kinds."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cnnsearch.records import Began, Ended, Epoch, EpochResult, State, Trial
from cnnsearch.render.display import LineDisplay, LiveDisplay, bar
from cnnsearch.render.progress import SearchProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def trial(number: int, **changes: object) -> Trial:
    made = Trial(
        number=number,
        point=number,
        key=str(number),
        attempt=1,
        state=State.RUNNING,
        value=None,
        params={"lr": 0.01, "init": "normal:0.01", "activation": "leaky_relu", "batchnorm": True},
        epochs=0,
        best_epoch=None,
        seconds=None,
        reason=None,
        seed=7,
        started=0.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def epoch(number: int) -> EpochResult:
    return EpochResult(number, 0.01, 0.5, 0.8, 0.6, 0.75, 1.0)


def complete(number: int, value: float) -> Trial:
    return trial(number, state=State.COMPLETE, value=value, seconds=4.0)


def progress_of(total: int, clock: Clock, before: list[Trial] | None = None) -> SearchProgress:
    return SearchProgress(before or [], total, "maximize", 2, clock)


def test_time_left_is_from_the_trials_that_ended_in_this_run() -> None:
    clock = Clock()
    progress = progress_of(6, clock, [complete(0, 0.5)])
    assert progress.done == 1
    for number in (1, 2):
        progress.take(Began(trial(number)))
    assert progress.seconds_left() is None
    clock.now += 10
    progress.take(Ended(complete(1, 0.7)))
    progress.take(Ended(trial(2, state=State.DIVERGED, reason="loss nan", seconds=1.0)))
    assert progress.seconds_left() == pytest.approx(3 * 10 / 2)  # 3 wait, 2 at a time
    progress.take(Began(trial(3)))
    clock.now += 4
    assert progress.seconds_left() == pytest.approx((2 * 10 + 6) / 2)
    for number in (4, 5):
        progress.take(Began(trial(number)))
        progress.take(Ended(complete(number, 0.1)))
    progress._seconds = [100.0]
    assert progress.seconds_left() == pytest.approx(96)  # one runs, the other worker is idle
    assert progress.best is not None
    assert progress.best.number == 1
    assert progress.counts == {State.COMPLETE: 4, State.DIVERGED: 1}


def test_a_killed_attempt_is_not_an_ended_point() -> None:
    progress = progress_of(2, Clock(), [trial(0, state=State.KILLED)])
    assert progress.done == 0
    progress.take(Began(trial(1)))
    progress.take(Ended(trial(1, state=State.KILLED, reason="worker died")))
    assert progress.done == 0


def test_a_point_that_runs_again_is_open_again() -> None:
    progress = progress_of(1, Clock(), [trial(0, state=State.FAILED)])
    assert progress.done == 1
    progress.take(Began(trial(1, key="0", attempt=2)))
    assert progress.done == 0


def drawn(width: int, encoding: str = "utf-8", *, before_the_first: bool = False) -> str:
    """What a live display shows in the middle of a search."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    display = LiveDisplay(console, progress_of(9, Clock()), "val_accuracy", 4)
    if not before_the_first:
        display.show(Began(trial(0)))
        display.show(Ended(complete(0, 0.9123)))
    for number in (1, 2):
        display.show(Began(trial(number)))
    display.show(Epoch(trial(1), epoch(3)))
    with console.capture() as captured:
        console.print(display._drawn())
    return captured.get()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_display_keeps_to_the_width(width: int) -> None:
    lines = drawn(width).splitlines()
    assert max(map(len, lines)) <= width - len("^C") - 1
    assert lines[0].startswith("1 of 9 trials: 1 complete; about")
    assert lines[1].startswith("best: trial 0, val_accuracy 0.9123")
    assert lines[3].split()[:3] == ["1", "━━━━━━━━╌╌", "3/4"]
    assert "0.7500" in drawn(80)
    assert drawn(200).splitlines()[3].split()[-2:] == ["leaky_relu", "true"]


def test_the_live_display_before_the_first_end() -> None:
    assert "none complete yet" in drawn(80, before_the_first=True)


def test_bars_are_ascii_where_the_terminal_is() -> None:
    assert drawn(60, "ascii").isascii()
    assert bar(1, 2, utf8=False) == "#####-----"
    assert bar(0, 0, utf8=True) == "╌" * 10


def test_a_pipe_gets_a_line_a_trial() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80)
    with LineDisplay(console, progress_of(10, Clock()), "val_accuracy") as display:
        for number in (0, 1):
            display.show(Began(trial(number)))
        display.show(Epoch(trial(0), epoch(1)))
        display.show(Ended(complete(0, 0.5)))
        reason = "loss nan at step 3 (epoch 1)[/]\x1b[31m"
        display.show(Ended(trial(1, state=State.DIVERGED, reason=reason, seconds=1.0)))
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("[ 1/10] trial 0 complete: val_accuracy 0.5000, 4.0s; lr 0.01")
    assert lines[1].startswith("[ 2/10] trial 1 diverged: loss nan at step 3 (epoch 1)[/], 1.0s")
    assert "\x1b" not in file.getvalue()

"""What `watch` makes of a study: counts, rates, time left, orders, the window over a list."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch.records import Diagnosis, Params, Start, State, Trial
from cnnsearch.study import read, requests
from cnnsearch.study.following import Coordinator, Follower, Snapshot, latest
from cnnsearch.study.lock import is_held
from cnnsearch.study.store import Study, remove
from cnnsearch.watch.ordering import NEWEST, RANK, ordered, orders
from cnnsearch.watch.paging import Window
from cnnsearch.watch.standing import Standing, standing
from cnnsearch.watch.texts import columns, curve_lines, head_lines, owner_text, snapshot_lines
from tests.builders import digits_config
from tests.studies import SEVEN, complete, point, write_study

BEGUN = 1000.0
CONFIG = {
    "search": {"objective": "val_accuracy"},
    "train": {"epochs": 10},
    "data": {"validation": 0.1},
    "space": {"lr": {}, "init": {}},
}


def trial(number: int, state: State = State.COMPLETE, **changes: Any) -> Trial:
    """A trial that began when the search did and took 10 s."""
    params: Params = {"lr": 10.0**-number, "init": "he"}
    given: dict[str, Any] = {
        "value": 0.5 + number / 100 if state is State.COMPLETE else None,
        "epochs": 10,
        "seconds": None if state is State.RUNNING else 10.0,
        "started": BEGUN,
    }
    base = Trial(number, number, str(number), 1, state, None, params, 0, None, None, None, 7, None)
    return replace(base, **given | changes)


def stands(
    trials: list[Trial], now: float, planned: int = 10, held: bool = True, **more: Any
) -> Standing:
    snapshot = Snapshot(
        study="digits",
        config=more.pop("config", CONFIG),
        direction="maximize",
        planned=planned,
        coordinator=Coordinator("here", 7, BEGUN),
        held=held,
        family=None,
        stage=more.pop("stage", None),
        command="cnnsearch run digits.yaml -j 2",
        trials=trials,
        reports=more.pop("reports", {}),
    )
    return standing(snapshot, now)


def test_time_left_of_a_steady_search() -> None:
    """Two at a time, 10 s each: 4 done after 20 s, two just begun, 4 wait."""
    done = [trial(k, started=BEGUN + 10 * (k // 2)) for k in range(4)]
    run = [trial(k, State.RUNNING, started=BEGUN + 20) for k in (4, 5)]
    now = stands([*done, *run], BEGUN + 20)
    assert now.rates.left_s == pytest.approx((4 * 10 + 2 * 10) / 2)
    assert now.rates.trials_per_minute == pytest.approx(12)
    assert now.rates.epochs_per_second == pytest.approx(2)
    later = stands([*done, *run], BEGUN + 25, reports={4: ((5, 0.1),), 5: ((5, 0.2),)})
    assert later.rates.left_s == pytest.approx((4 * 10 + 2 * 5) / 2)
    assert later.rates.epochs_per_second == pytest.approx(50 / 25)


def test_early_ends_make_it_shorter_but_no_trial_that_runs_is_forgotten() -> None:
    early = [trial(k, State.DIVERGED, started=BEGUN + 2 * k, seconds=2.0) for k in range(4)]
    assert stands(early, BEGUN + 8).rates.left_s == pytest.approx(6 * 2)
    run = trial(4, State.RUNNING, started=BEGUN + 8)
    now = stands([*early, run], BEGUN + 28, reports={4: ((5, 0.1),)})  # half of 40 s
    mean = (4 * 2 + 40) / 5
    assert now.rates.left_s == pytest.approx(5 * mean + 20)
    # However many workers are idle beside it, its own end is waited for.
    last = stands([*early, run], BEGUN + 28, planned=5, reports={4: ((5, 0.1),)})
    assert last.rates.left_s == pytest.approx(20)


def test_no_time_left_is_made_up() -> None:
    run = trial(0, State.RUNNING)
    assert stands([run], BEGUN + 5).rates.left_s is None
    assert stands([run], BEGUN + 5, reports={0: ((1, 0.1),)}).rates.left_s is not None
    ended = stands([trial(0), trial(1)], BEGUN + 500, held=False)
    assert ended.rates.left_s is None
    assert ended.rates.trials_per_minute == pytest.approx(12), "of the time that it ran"
    before = [trial(0, started=BEGUN - 50)]
    assert stands(before, BEGUN + 5).rates.left_s is None, "not from an earlier run's"


def test_a_clock_that_is_behind() -> None:
    """The machine that runs the search may be ahead of this one."""
    now = stands([trial(0), trial(1, State.RUNNING, started=BEGUN + 10)], BEGUN - 100)
    assert now.running[0].seconds == 0
    assert now.rates.trials_per_minute == pytest.approx(6)


def test_counts_leave_out_what_is_run_again_and_folds_are_told() -> None:
    lost = trial(0, State.KILLED, key="a")
    again = trial(1, State.RUNNING, key="a", attempt=2)
    verdicts = [Diagnosis("ok"), Diagnosis("symmetric"), Diagnosis("symmetric")]
    others = [trial(k + 2, diagnosis=one) for k, one in enumerate(verdicts)]
    hidden = trial(9, value=0.99, hidden=True)
    config = {**CONFIG, "data": {"validation": {"folds": 5}}}
    now = stands(
        [lost, again, *others, hidden], BEGUN + 20, config=config, reports={1: ((2, 0.5),)}
    )
    assert now.tally.counts == {State.COMPLETE: 4, State.RUNNING: 1}
    assert now.tally.verdicts == {"symmetric": 2, "ok": 1}
    assert now.tally.best is not None
    assert now.tally.best.number == 4
    assert now.tally.done == 4
    [run] = now.running
    assert (run.done, run.of, run.value, now.steps) == (2, 5, 0.5, "fold")
    text = "\n".join("".join(part for part, _ in line) for line in snapshot_lines(now, False))
    assert "trial  folds " in text
    assert "2/5" in text
    assert text.isascii()


def test_a_count_of_verdicts_is_not_parted_from_its_verdict() -> None:
    verdicts = ["symmetric"] * 3 + ["ok"] * 2 + ["lr-too-high"] * 2 + ["bad-init", "saturated"]
    done = [trial(k, diagnosis=Diagnosis(one)) for k, one in enumerate(verdicts)]
    for width in range(30, 80):
        lines = [line[0][0] for line in head_lines(stands(done, BEGUN + 20), True, width)[3:-1]]
        assert all(len(line) <= width for line in lines)
        assert not any(line[-1].isdigit() for line in lines)


def test_who_goes_on_with_it_is_named() -> None:
    done = [trial(0)]
    nobody = owner_text(stands(done, BEGUN, held=False))
    assert nobody == "nobody runs it; to continue: cnnsearch run digits.yaml -j 2"
    running = owner_text(stands(done, BEGUN, stage=(2, 3)))
    assert running == "stage 2 of 3; running on here, process 7"
    between = stands(done, BEGUN, planned=1, held=False, stage=(2, 3))
    assert owner_text(between).startswith("stage 2 of 3 is done, and no other runs; ")
    expected = replace(between, next_expected=True)
    assert owner_text(expected) == "stage 2 of 3 is done; the next is being made"
    last = stands(done, BEGUN, planned=1, held=False, stage=(3, 3))
    assert owner_text(last) == "stage 3 of 3; nobody runs it; all is done"


def test_the_head_keeps_long_verdicts_to_two_lines() -> None:
    rules = [f"verdict-number-{k}" for k in range(20)]
    now = stands([trial(k, diagnosis=Diagnosis(rule)) for k, rule in enumerate(rules)], BEGUN + 5)
    found = head_lines(now, True, 80)
    assert len(found) == 6
    texts = ["".join(part for part, _ in line) for line in found]
    assert max(map(len, texts[3:5])) <= 80
    assert texts[0].startswith("digits ━")


def test_the_head_has_the_command_to_continue_whole() -> None:
    storage = "postgresql+psycopg://ann@db.example.org:5432/studies"
    command = f"cnnsearch run configs/digits.yaml --storage {storage} -n 60"
    now = replace(stands([trial(0)], BEGUN, held=False), command=command)

    def owner(shown: Standing, utf8: bool = True) -> list[str]:
        return [line[0][0] for line in head_lines(shown, utf8, 80)[3:]]

    assert " ".join(owner(now)) == owner_text(now), "no word is broken"
    assert len(owner(now)) == 2
    assert all(len(line) <= 80 for line in owner(now))
    assert [line[0][0] for line in head_lines(now, True)[3:]] == [owner_text(now)]
    far = replace(now, command=f"cnnsearch run {'x' * 300}")
    for utf8, more in ((True, "x…"), (False, "x...")):
        lines = owner(far, utf8)
        assert len(lines) == 3
        assert all(len(line) <= 80 for line in lines)
        assert lines[-1].endswith(more)


def test_orders() -> None:
    trials = [trial(0), trial(1), trial(2, State.DIVERGED), trial(3, params={"init": "he"})]
    assert orders(["lr", "epochs"])[:5] == [RANK, NEWEST, "value", "lr", "params.epochs"]
    assert ordered(trials, RANK, "maximize", backwards=False) == [3, 1, 0, 2]
    assert ordered(trials, RANK, "minimize", backwards=True) == [2, 3, 1, 0]
    assert ordered(trials, NEWEST, "maximize", backwards=False) == [3, 2, 1, 0]
    assert ordered(trials, "value", "maximize", backwards=False) == [3, 1, 0, 2]
    assert ordered(trials, "value", "maximize", backwards=True) == [0, 1, 3, 2]
    assert ordered(trials, "value", "minimize", backwards=False) == [0, 1, 3, 2]
    assert ordered(trials, "lr", "maximize", backwards=False) == [2, 1, 0, 3]
    assert ordered(trials, "lr", "maximize", backwards=True) == [0, 1, 2, 3], "without lr: last"


def of(window: Window) -> tuple[int | None, list[int]]:
    return window.chosen, list(window.seen)


def test_the_chosen_trial_stays_chosen_while_rows_move() -> None:
    window = Window()
    assert of(window) == (None, [])
    window.move(1)
    window.resize(3)
    window.fill([1, 2, 3, 4, 5])
    assert of(window) == (1, [1, 2, 3])
    window.move(3)
    assert of(window) == (4, [2, 3, 4])
    window.fill([9, 8, 1, 2, 3, 4, 5])
    assert of(window) == (4, [2, 3, 4])
    window.page(1)
    assert of(window) == (5, [3, 4, 5])
    window.fill([9, 8])
    assert of(window) == (8, [9, 8])
    window.end(last=False)
    window.fill([7, 9, 8])
    assert of(window)[0] == 7, "at the head it stays at the head"
    window.end(last=True)
    assert of(window)[0] == 8


def test_curves_beyond_eight_are_left_out_and_none_is_said() -> None:
    curves = [(str(k), ((1, 0.1), (2, 0.1 * k))) for k in range(12)]
    found = curve_lines("val_accuracy", curves, (60, 12), utf8=False)
    assert len(found) == 12
    text = "\n".join("".join(part for part, _ in line) for line in found)
    assert text.isascii()
    assert "& 7 " in text
    assert " 8 " not in text.splitlines()[0]
    [[(said, _)]] = curve_lines("val_accuracy", [("0", ())], (60, 12), utf8=True)
    assert said == "val_accuracy by epoch: none has ended yet"


def test_columns_are_aligned() -> None:
    found = columns(["a", "long"], [[("1234", ""), ("x", "")]])
    texts = ["".join(part for part, _ in line) for line in found]
    assert [text.index(word) for text, word in zip(texts, ["long", "x"], strict=True)] == [6, 6]


def test_columns_fit_a_narrow_terminal() -> None:
    """Closer together, then without what is told least."""
    row = [("1234", ""), ("20s", ""), ("x", "")]
    for width, told in ((13, "1234  20s   x"), (12, "1234 20s  x"), (10, "1234 x")):
        _, line = columns(["a", "time", "b"], [row], width)
        assert "".join(part for part, _ in line) == told


def test_what_has_ended_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "studies.db"
    write_study(path)
    follower = Follower(str(path), "digits")
    first = follower.look()
    assert list(first.trials) == read.trials(str(path), "digits")
    assert not first.held
    assert first.coordinator is not None
    assert (first.coordinator.host, first.coordinator.pid) == (socket.gethostname(), os.getpid())
    asked: list[Any] = []
    real = read._trials

    def counted(*arguments: Any) -> list[Trial]:
        asked.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(read, "_trials", counted)
    assert follower.look().trials is first.trials
    assert asked == []
    write_study(path, "other", (complete(0.5, point(0.1)),))
    asked.clear()
    assert follower.look().trials is first.trials, "another study is no news"
    requests.ask(str(path), "digits", {"verb": "tag", "trials": [1], "add": ["a"], "remove": []})
    tagged = follower.look().trials
    assert tagged[1].tags == ("a",)
    assert asked == []
    requests.ask(str(path), "digits", {"verb": "tag", "trials": [1], "add": [], "remove": ["a"]})
    assert follower.look().trials == first.trials
    points = follower.curves([0, 4])
    assert [value for _, value in points[0]] == pytest.approx([0.3, 0.6, 0.9])
    remove(str(path), "digits")
    write_study(path, "digits", SEVEN[:2])
    assert len(follower.look().trials) == 2


def test_running_trials_are_followed_to_their_end(storage: str) -> None:
    study = Study.claim(storage, digits_config(pruner="median"), "images", 3)
    follower = Follower(storage, "digits")
    assert follower.look().trials == ()
    assert latest(storage) == "digits", "it runs, though no trial has begun"
    params: Params = {"lr": 0.1, "init": "he", "batchnorm": True}
    for place in range(2):
        study.begin(Start(place, str(place), 1, 7, params))
    study.report(0, 1, 0.25)
    study.report(0, 2, float("inf"))
    seen = follower.look()
    assert seen.held
    assert [trial.state for trial in seen.trials] == [State.RUNNING] * 2
    assert seen.reports == {0: ((1, 0.25),)}
    assert seen.trials[0].started == pytest.approx(time.time(), abs=60)
    study.finish(replace(seen.trials[1], state=State.FAILED, reason="told", seconds=1.0))
    assert [trial.state for trial in follower.look().trials] == [State.RUNNING, State.FAILED]
    study.release()
    lost = follower.look()
    assert not lost.held
    assert [trial.reason for trial in lost.trials] == [read.COORDINATOR_DIED, "told"]


def test_a_search_that_ends_between_two_questions_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "studies.db")
    study = Study.claim(path, digits_config(), "images", 1)
    study.begin(Start(0, "0", 1, 7, {"lr": 0.1, "init": "he", "batchnorm": True}))
    follower = Follower(path, "digits")

    def held(storage: str, name: str) -> bool:
        answer = is_held(storage, name)
        study.release()
        return answer

    monkeypatch.setattr("cnnsearch.study.following.is_held", held)
    assert follower.look().trials[0].state is State.RUNNING
    assert follower.look().trials[0].state is State.KILLED


def test_another_version_of_the_tables_is_read_through_optuna(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "studies.db")
    study = Study.claim(path, digits_config(pruner="median"), "images", 3)
    study.begin(Start(0, "0", 1, 7, {"lr": 0.1, "init": "he", "batchnorm": True}))
    study.report(0, 1, 0.25)
    directly = Follower(path, "digits").look()
    monkeypatch.setattr(read, "_version", lambda _: "v9")
    monkeypatch.setattr(read, "TABLES_VERSION", "v8")
    monkeypatch.setattr("cnnsearch.study.versions.check", lambda *_: None)
    assert Follower(path, "digits").look() == directly
    study.release()

"""What stands above `list STUDY` and at the end of `run`: how sure the best is, what to do next.

Also what made the numbers, in `show` and `diff`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from cnnsearch import cli, ranking
from cnnsearch.commands.references import config_of
from cnnsearch.records import Diagnosis, Outcome, Prepared, State, StudySummary, Trial
from cnnsearch.render.environment import environment_changes, environment_texts
from cnnsearch.render.summary import closing, standing
from cnnsearch.review.next_step import next_steps
from cnnsearch.review.sureness import sureness
from tests.builders import digits_config
from tests.studies import SPACE, Told, curve, point, write_study
from tests.terminals import on_terminal
from tests.verbs import call

__all__ = ["call"]  # fixture

IMAGES = 1000
COMMAND = "cnnsearch run digits.yaml --name other -S epochs=4"
# The standard error of 0.9 on so many images is 0.0095.
CLOSE = (0.90, 0.901, 0.899, 0.898, 0.902, 0.897, 0.9, 0.903, 0.896, 0.9)
SPREAD = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15)


def trial(number: int, value: float | None, lr: float, state: State = State.COMPLETE) -> Trial:
    return Trial(
        number=number, point=number, key=str(number), attempt=1, state=state, value=value,
        params={"lr": lr, "init": "he"}, epochs=3, best_epoch=3, seconds=1.0, reason=None,
        seed=number, started=0.0, facts={"validation_images": IMAGES},
        diagnosis=Diagnosis("ok"),
    )  # fmt: skip


def trials(values: Sequence[float], lrs: Sequence[float] | None = None) -> list[Trial]:
    """Complete ones; lr in the middle of its range, the best in no order of it."""
    lrs = lrs or [10.0 ** (-2 + 0.1 * ((7 * k) % len(values))) for k in range(len(values))]
    return [trial(k, value, lr) for k, (value, lr) in enumerate(zip(values, lrs, strict=True))]


def summary(found: Sequence[Trial], planned: int | None = None, **more: Any) -> StudySummary:
    best = ranking.best(found, "maximize")
    return StudySummary(
        name="digits",
        counts=ranking.counts(found),
        best=best.value if best else None,
        direction="maximize",
        started=0.0,
        updated=1.0,
        planned=len(found) if planned is None else planned,
        config=digits_config("digits", SPACE).plain(),
        command=COMMAND,
        **more,
    )


def steps(found: Sequence[Trial], planned: int | None = None, **more: Any) -> list[str]:
    sure = sureness(ranking.shown(found), "val_accuracy", "maximize")
    lines = next_steps(summary(found, planned, **more), found, sure)
    assert len(lines) <= 2
    for line in lines:
        _is_a_command(line)
    return lines


def _is_a_command(line: str) -> None:
    """What is proposed can be typed in, but for the words in brackets and what nobody knows."""
    for part in re.sub(r" \(.*?\)", "", line).split("; "):
        if "FILE" in part:
            continue
        program, verb, *words = shlex.split(part)
        assert program == "cnnsearch"
        command = cli.group.get_command(click.Context(cli.group), verb)
        assert command is not None
        command.make_context(verb, words)


NARROW = "cnnsearch narrow digits -o digits-fine.yaml"
LOOK = "cnnsearch show digits best"


class TestNextSteps:
    def test_a_search_that_is_not_done_is_finished_first(self) -> None:
        assert steps(trials(SPREAD), planned=12) == [
            f"{COMMAND} (runs the 2 points left)",
            f"{NARROW}; {LOOK}",
        ]

    def test_a_running_search(self) -> None:
        found = [*trials(SPREAD[:3]), trial(3, None, 0.1, State.RUNNING)]
        assert steps(found, planned=9) == [
            "cnnsearch watch digits (it is running now)",
            f"{LOOK}; cnnsearch diagnose digits",
        ]

    def test_the_storage_is_named_where_it_was(self) -> None:
        """In what asks it; the command that goes on is whole."""
        found = trials(SPREAD)
        lines = next_steps(summary(found, 12), found, None, storage=["--storage", "a b.db"])
        assert lines == [
            f"{COMMAND} (runs the 2 points left)",
            f"{NARROW} --storage 'a b.db'; {LOOK} --storage 'a b.db'",
        ]

    def test_a_failed_trial(self) -> None:
        found = [*trials(SPREAD[:3]), trial(3, None, 0.1, State.FAILED)]
        assert steps(found)[0] == "cnnsearch show digits 3 (tells why it failed)"
        hidden = [*found[:3], replace(found[3], hidden=True)]
        assert steps(hidden) == [f"{LOOK}; cnnsearch diagnose digits"], "the user knows"

    @pytest.mark.parametrize(("lost", "told"), [(3, False), (6, True)])
    def test_much_that_was_wasted(self, lost: int, told: bool) -> None:
        found = trials(SPREAD)
        found += [trial(10 + k, None, 5.0, State.DIVERGED) for k in range(lost)]
        why = f"cnnsearch diagnose digits (tells why {lost} of {10 + lost} trials were wasted)"
        assert (steps(found)[0] == why) is told

    def test_a_best_that_stands_alone_is_narrowed_to(self) -> None:
        assert steps(trials(SPREAD)) == [NARROW, f"{LOOK}; cnnsearch diagnose digits"]

    def test_two_that_cannot_be_told_apart_are_repeated_after_narrowing(self) -> None:
        assert steps(trials((0.895, *SPREAD[:9]))) == [
            NARROW,
            f"cnnsearch rerun digits top:2 --seeds 5 (tells better from lucky); {LOOK}",
        ]

    def test_equal_trials_are_repeated_first(self) -> None:
        """Narrowing to the luckiest would be narrowing to noise."""
        assert steps(trials(CLOSE)) == [
            "cnnsearch rerun digits top:5 --seeds 5 (tells better from lucky)",
            f"{NARROW}; {LOOK}",
        ]

    def test_the_end_of_a_range_comes_before_repeats(self) -> None:
        lrs = [9.0 / 1.5**k for k in range(10)] + [0.001 * 1.5**k for k in range(10)]
        found = trials([0.9 - k / 1000 for k in range(10)] + [0.5] * 10, lrs)
        assert steps(found)[0] == f"{NARROW} (the best lr lies near the high end of its range)"

    def test_too_few_to_narrow(self) -> None:
        assert steps(trials(SPREAD[:9])) == [f"{LOOK}; cnnsearch diagnose digits"]

    def test_where_nothing_tells_the_noise(self) -> None:
        found = [replace(one, facts={}) for one in trials(CLOSE)]
        assert steps(found) == [NARROW, f"{LOOK}; cnnsearch diagnose digits"]

    def test_stages_narrow_by_themselves(self) -> None:
        assert steps(trials(SPREAD), stage=True) == [f"{LOOK}; cnnsearch diagnose digits"]

    def test_repeats_ask_for_nothing_but_their_end(self) -> None:
        assert steps(trials(CLOSE), planned=12, repeats="parent") == [
            f"{COMMAND} (runs the 2 points left)",
            f"{LOOK}; cnnsearch diagnose digits",
        ]

    def test_nothing_is_left_to_do(self) -> None:
        assert steps([]) == ["cnnsearch run FILE with more trials, or with other ranges"]


class TestHowSure:
    def lines(self, found: Sequence[Trial]) -> list[str]:
        return ["".join(text for text, _ in line) for line in standing(summary(found), found)]

    def test_equal_trials(self) -> None:
        [line] = [line for line in self.lines(trials(CLOSE)) if line.startswith("how sure: ")]
        assert "the best is not better than the rest" in line
        assert "0.0094 is the noise of one value" in line

    def test_hidden_trials_do_not_count(self) -> None:
        found = trials(SPREAD)
        assert "better than the rest" in "\n".join(self.lines(found))
        rival = replace(trial(10, 0.899, 0.02), hidden=True)
        assert self.lines([*found, rival])[1:3] == self.lines(found)[1:3]
        told = self.lines([*found, replace(rival, hidden=False)])[2]
        assert "cannot be told from 1 other of 10" in told

    def test_not_a_word_where_it_is_unknown(self) -> None:
        found = [replace(one, facts={}) for one in trials(SPREAD)]
        assert not any("how sure" in line for line in self.lines(found))

    def test_run_ends_with_the_same(self) -> None:
        found = trials(CLOSE)
        told = closing(summary(found, 12), found, 12, "cnnsearch run x.yaml", interrupted=False)
        assert told[-3].startswith("how sure: the best is not better than the rest")
        assert told[-2:] == [
            "next: cnnsearch run x.yaml (runs the 2 points left)",
            "next: cnnsearch rerun digits top:5 --seeds 5 (tells better from lucky); "
            "cnnsearch list digits",
        ]
        stopped = closing(summary(found, 12), found, 12, "again", interrupted=True)
        assert stopped[-1] == "interrupted. To continue: again"
        assert not any(line.startswith(("how sure", "next")) for line in stopped)


ENVIRONMENT = {
    "cnnsearch": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "device": "cpu",
    "processor": "Some CPU \x1b[31m", "threads": 2, "data": "0123456789abcdef",
    "commit": "fedcba9876543210aaaa-dirty",
}  # fmt: skip


class TestWhatMadeTheNumbers:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Path:
        """Four trials: two that differ in what they ran on, one of folds, one of an old version."""
        path = tmp_path / "made.db"
        other = {**ENVIRONMENT, "threads": 1, "torch": "2.12.0"}
        del other["commit"]
        folds = {"fold_values": [0.9, 0.94, 0.92], "fold_deviation": 0.02}
        told = [
            Told(point(0.1), Outcome(State.COMPLETE, None, facts), curve(0.9), prepared=prepared)
            for facts, prepared in (
                ({}, prepared_in(ENVIRONMENT)),
                ({}, prepared_in(other)),
                (folds, prepared_in(ENVIRONMENT)),
                ({}, None),
            )
        ]
        write_study(path, "made", tuple(told))
        return path

    def test_diff(self, call: Any) -> None:
        found = call("diff", "made/0", "made/1")
        assert found.code == 0
        lines = found.out.splitlines()
        at = lines.index("@@ what they ran on @@")
        assert lines[at + 1 :] == [
            "-torch: 2.13.0", "+torch: 2.12.0", "-threads: 2", "+threads: 1",
            "-commit: fedcba987654-dirty",
        ]  # fmt: skip
        assert [line for line in lines[:at] if line.startswith(("-seed", "+seed"))] == [
            "-seed: 1000", "+seed: 1001"
        ]  # fmt: skip

    def test_diff_of_equals_and_of_what_is_not_known(self, call: Any) -> None:
        assert "ran on" not in call("diff", "made/0", "made/2").out
        found = call("diff", "made/0", "made/3")
        assert "ran on" not in found.out
        assert found.err.startswith("What made/3 ran on was not stored")
        assert call("diff", "made/3", "made/3").err.startswith("No difference")

    def test_diff_of_the_environment_alone_has_a_head(
        self, call: Any, storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from cnnsearch.commands import diff

        monkeypatch.setattr(diff, "config_of", lambda picked: replace(config_of(picked), seed=7))
        assert call("diff", "made/0", "made/1").out.splitlines()[:3] == [
            "--- made/0", "+++ made/1", "@@ what they ran on @@"
        ]  # fmt: skip

    def test_show(self, call: Any) -> None:
        out = call("show", "made", "0").out
        assert "\ncpu, Some CPU, 2 threads\n" in out
        assert (
            "\ncnnsearch 0.1.0, python 3.11.2, torch 2.13.0, images 0123456789ab, "
            "commit fedcba987654-dirty\n"
        ) in out
        assert "\x1b" not in out
        assert "images" not in call("show", "made", "3").out

    def test_show_of_folds(self, call: Any) -> None:
        told = "mean of 3 folds, standard deviation 0.0200: 0.9000, 0.9400, 0.9200"
        assert told in call("show", "made", "2").out
        assert "folds" not in call("show", "made", "1").out.partition("config")[0]

    def test_as_json(self, call: Any) -> None:
        facts = json.loads(call("show", "made", "0", "--json").out)["facts"]
        assert facts["environment"]["data"] == "0123456789abcdef", "in full"

    def test_it_fits_a_terminal(self, storage: Path) -> None:
        shown = on_terminal(["-m", "cnnsearch", "show", "made", "0", "--storage", str(storage)], 80)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
        assert max(map(len, lines)) <= 80

    def test_partial_facts(self) -> None:
        one = replace(trial(0, 0.5, 0.1), facts={"environment": {"torch": "2", "commit": None}})
        assert environment_texts(one) == ["torch 2"]
        assert environment_texts(replace(one, facts={})) == []
        odd = replace(one, facts={"environment": "unreadable"})
        assert environment_changes(one, odd) == [("torch", "2", None)]


def prepared_in(environment: dict[str, Any]) -> Prepared:
    return Prepared("cpu", 10, 1234, 1000, IMAGES, 0.1, None, environment)

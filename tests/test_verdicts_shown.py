"""What verbs show of verdicts and of layers: listings, sentences, bars, JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.console import Console

from cnnsearch import cli
from cnnsearch.diagnose import RULES
from cnnsearch.records import (
    Began,
    Diagnosis,
    Ended,
    EpochResult,
    Finding,
    LayerProbe,
    Outcome,
    Prepared,
    Probe,
    Start,
    State,
    Trial,
)
from cnnsearch.render import layers, output
from cnnsearch.render.display import LineDisplay, LiveDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.render.summary import closing
from cnnsearch.render.trials import probes_of
from cnnsearch.render.verdicts import verdict_counts
from cnnsearch.selection import VERDICTS
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.studies import SPACE, Told, complete, curve, point, write_study
from tests.terminals import on_terminal
from tests.verbs import Found

SEEN = "the steps overshoot by 31 %"
DEAD = "62 % of the units of conv1 are dead"


def probe(scale: float, after: bool = True, dead: float | None = 0.25) -> Probe:
    """Three layers, each with half the signal of the one before."""
    return Probe(
        2.3 * scale,
        tuple(
            LayerProbe(
                name, 8, 0.1, scale / 2**i, dead if i < 2 else None, None, 0.2,
                0.5 if after else None, 1e-3 * scale if after else None,
            )
            for i, name in enumerate(("conv1", "hidden1", "classifier"))
        ),
    )  # fmt: skip


def probed(epochs: int, value: float = 0.9) -> tuple[EpochResult, ...]:
    told = curve(value, epochs)
    return tuple(replace(one, probe=probe(0.5**one.epoch)) for one in told)


PREPARED = Prepared("cpu", 10, 1234, 1000, 20, 0.1, probe(1.0, after=False))
HIGH = Diagnosis(
    "lr-too-high",
    (Finding("lr-too-high", 1.31, 1.0, SEEN), Finding("dead-units", 0.62, 0.4, DEAD)),
)
LONG = "loss 21.34 above 6.908 at step 40"
JUDGED = (
    replace(complete(0.9, point(0.01)), diagnosis=Diagnosis("ok"), curve=probed(6),
            prepared=PREPARED),
    Told(point(8.5), Outcome(State.DIVERGED, LONG), (), prepared=PREPARED, diagnosis=HIGH),
    replace(complete(0.5, point(0.001)), diagnosis=Diagnosis("overfit", (
        Finding("overfit", None, 1.0, "val_loss rose"),))),
    Told(point(0.3, "normal:0.01"), Outcome(State.FAILED, "RuntimeError: bad shape")),
    Told(point(0.2, "normal:0.01"), Outcome(State.DIVERGED, "loss nan at step 3")),
    replace(complete(0.4, point(0.1)), diagnosis=Diagnosis("of-another-version", (
        Finding("of-another-version", 1.0, 1.0, "nobody knows"),))),
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study `digits` whose trials have verdicts, and `plain` whose trials have none."""
    path = tmp_path_factory.mktemp("judged") / "studies.db"
    write_study(path, "digits", JUDGED)
    write_study(path, "plain", (complete(0.9, point(0.1)), complete(0.8, point(0.2))))
    return path


@pytest.fixture
def call(judged: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the program on the storage."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(judged))

    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


def trials_of(*told: Told) -> list[Trial]:
    """What the storage tells of these trials."""
    with TemporaryDirectory() as folder:
        write_study(Path(folder) / "own.db", "own", told)
        return read.trials(str(Path(folder) / "own.db"), "own")


def plain(text: str) -> list[str]:
    """Lines of a terminal without their colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def numbers(found: Found) -> list[str]:
    return [row[0] for row in found.rows[1:]]


class TestList:
    def test_a_word_behind_the_state(self, call: Any) -> None:
        rows = call("list", "digits").rows
        assert rows[0][:4] == ["number", "state", "verdict", "value"]
        assert [row[2] for row in rows[1:]] == [
            "ok", "overfit", "of-another-version", "lr-too-high", "-", "-"
        ]  # fmt: skip

    def test_no_column_where_no_trial_has_a_verdict(self, call: Any) -> None:
        found = call("list", "plain")
        assert "verdict" not in found.rows[0]
        assert "verdict" not in found.err
        assert "diagnose" not in found.err

    def test_counts_and_the_next_step_stand_above(self, call: Any) -> None:
        lines = call("list", "digits").err.splitlines()
        assert "verdicts: 1 ok, 1 lr-too-high, 1 overfit, 1 of-another-version" in lines
        assert (
            "next: cnnsearch show digits 3 (tells why it failed); cnnsearch show digits best"
            in lines
        )

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--where", "verdict == lr-too-high"], ["1"]),
            (["--where", "dead-units in findings"], ["1"]),
            (["--where", "verdict != ok"], ["2", "5", "1"]),
            (["--sort", "verdict", "--where", "verdict != 'of-another-version'"], ["0", "2", "1"]),
            (["--sort", "-verdict", "--where", "verdict in (ok, overfit)"], ["2", "0"]),
            (["--sort", "verdict"], ["0", "2", "1", "5", "4", "3"]),
        ],
        ids=str,
    )
    def test_chosen_and_sorted_by_verdict(
        self, call: Any, arguments: list[str], expected: list[str]
    ) -> None:
        """Sorted from ok to the most severe; what has no verdict comes last."""
        assert numbers(call("list", "digits", *arguments)) == expected

    def test_in_csv_and_as_columns(self, call: Any) -> None:
        rows = list(csv.DictReader(io.StringIO(call("list", "digits", "--csv").out)))
        told = {row["number"]: (row["verdict"], row["findings"]) for row in rows}
        assert told["0"] == ("ok", "")
        assert told["1"] == ("lr-too-high", "lr-too-high, dead-units")
        assert told["3"] == ("", "")
        shown = call("list", "digits", "--cols", "verdict,findings", "--state", "diverged").rows
        assert shown[1] == ["1", "lr-too-high", "lr-too-high,", "dead-units"]

    def test_in_json(self, call: Any) -> None:
        trials = {one["number"]: one for one in json.loads(call("list", "digits", "--json").out)}
        assert trials[1]["verdict"] == "lr-too-high"
        assert trials[1]["findings"] == [
            {"rule": "lr-too-high", "measured": 1.31, "limit": 1.0, "message": SEEN},
            {"rule": "dead-units", "measured": 0.62, "limit": 0.4, "message": DEAD},
        ]
        assert (trials[0]["verdict"], trials[0]["findings"]) == ("ok", [])
        assert (trials[3]["verdict"], trials[3]["findings"]) == (None, None)
        assert trials[2]["findings"][0]["measured"] is None


def listed(judged: Path, columns: int, *more: str) -> list[str]:
    """The table on a terminal, below the summary."""
    words = ["-m", "cnnsearch", "list", "digits", "--storage", str(judged), *more]
    lines = plain(on_terminal(words, columns))
    return lines[lines.index("") + 1 :]


class TestListOnATerminal:
    def test_a_wide_one_shows_everything(self, judged: Path) -> None:
        header, *rows = listed(judged, 160)
        assert header.split()[:4] == ["number", "state", "verdict", "value"]
        assert any(LONG in row for row in rows)
        assert len(rows) == 6

    def test_a_narrow_one_does_not_say_it_twice(self, judged: Path) -> None:
        """The verdict stands for the reason, and a state for the value that is not there."""
        header, *rows = listed(judged, 60)
        assert header.split() == ["number", "value", "verdict", "lr", "init"]
        text = "\n".join(rows)
        assert LONG not in text
        assert "RuntimeError: bad shape" in text, "a failed trial has no verdict"
        assert "loss nan at step 3" in text, "nor has this one"
        row = next(row.split() for row in rows if row.split()[0] == "1")
        assert row[1:3] == ["diverged", "lr-too-high"]
        assert max(map(len, rows)) <= 60

    def test_columns_that_were_asked_for_stay(self, judged: Path) -> None:
        header = listed(judged, 50, "--cols", "state,verdict,value,reason")[0]
        assert header.split()[:4] == ["number", "state", "verdict", "value"]

    def test_a_verdict_is_coloured(self, judged: Path) -> None:
        words = ["-m", "cnnsearch", "list", "digits", "--storage", str(judged)]
        shown = on_terminal(words, 160)
        assert "\x1b[32mok" in shown
        assert "\x1b[33mlr-too-high" in shown
        assert "\x1b[36moverfit" in shown


class TestShow:
    def test_seen_meaning_and_advice_below_the_head(self, call: Any) -> None:
        rule, other = RULES["lr-too-high"], RULES["dead-units"]
        lines = call("show", "digits", "1").out.splitlines()
        assert lines[:9] == [
            "trial 1 of digits: diverged",
            LONG,
            "verdict: lr-too-high",
            f"  seen  {SEEN}",
            f"  means {rule.meaning}",
            f"  try   {rule.advice}",
            "also: dead-units",
            f"  seen  {DEAD}",
            f"  try   {other.advice}",
        ]

    def test_ok(self, call: Any) -> None:
        lines = call("show", "digits", "0").out.splitlines()
        assert lines[1] == "verdict: ok; no rule found anything wrong"

    @pytest.mark.parametrize("reference", ["digits/3", "plain/0"])
    def test_nothing_without_a_verdict(self, call: Any, reference: str) -> None:
        assert "verdict" not in call("show", reference).out
        document = json.loads(call("show", reference, "--json").out)
        assert (document["verdict"], document["findings"]) == (None, None)
        assert document["probes"] == []

    def test_a_rule_of_another_version(self, call: Any) -> None:
        lines = call("show", "digits", "5").out.splitlines()
        assert lines[1:4] == ["verdict: of-another-version", "  seen  nobody knows", ""]

    def test_on_a_narrow_terminal_a_sentence_is_indented(self, judged: Path) -> None:
        words = ["-m", "cnnsearch", "show", "digits", "1", "--storage", str(judged)]
        lines = plain(on_terminal(words, 40))
        first = next(i for i, line in enumerate(lines) if line.startswith("  means "))
        assert lines[first + 1].startswith(" " * 8)
        assert all(len(line) <= 40 for line in lines[: first + 4])

    def test_probes_in_json(self, call: Any) -> None:
        document = json.loads(call("show", "digits", "0", "--json").out)
        assert [one["epoch"] for one in document["probes"]] == list(range(7))
        first, last = document["probes"][0], document["probes"][-1]
        assert list(first) == ["epoch", *(field.name for field in fields(Probe))]
        assert first["layers"][0]["update_ratio"] is None
        assert last["layers"][2] == {
            "name": "classifier", "units": 8, "mean": 0.1, "std": 0.003906, "dead": None,
            "saturated": None, "similarity": 0.2, "gradient_norm": 0.5, "update_ratio": 1.563e-05,
        }  # fmt: skip
        assert "probe" not in document["curve"][0]


class TestLayers:
    def test_shape_then_numbers(self, call: Any) -> None:
        found = call("show", "digits", "0", "--layers")
        lines = found.out.splitlines()
        assert lines[0].startswith("trial 0 of digits")
        assert lines[1].startswith("verdict: ok")
        assert lines[3].split() == ["std", "dead", "update"]
        assert lines[4].split() == ["before", "epoch", "6", "before", "epoch", "6", "epoch", "6"]
        assert "config" not in lines
        titles = ["before training: loss 2.3000", "after epoch 6: loss 0.0359"]
        at = [next(i for i, line in enumerate(lines) if line.startswith(t)) for t in titles]
        assert lines[at[0] + 1].split() == ["layer", "units", "mean", "std", "dead", "similarity"]
        assert lines[at[0] + 4].split() == ["classifier", "8", "0.1", "0.25", "-", "0.2"]
        assert lines[at[1] + 2].split() == [
            "conv1", "8", "0.1", "0.0156", "25%", "0.2", "0.5", "1.56e-05"
        ]  # fmt: skip
        assert any(line.startswith("by epoch, from before training to epoch 6") for line in lines)

    def test_before_the_first_epoch_there_is_no_after(self, call: Any) -> None:
        out = call("show", "digits", "1", "--layers").out
        assert "before training" in out
        assert "after epoch" not in out
        assert "update" not in out

    @pytest.mark.parametrize("reference", ["plain/0", "digits/3"])
    def test_without_probes_it_says_so_in_a_line(self, call: Any, reference: str) -> None:
        found = call("show", reference, "--layers")
        assert found.code == 0
        assert found.err.startswith("No layer was measured: the trial")
        assert len(found.err.splitlines()) == 1

    def test_diagnose_false_is_named(self, call: Any, tmp_path: Path) -> None:
        path = tmp_path / "off.db"
        config = replace(digits_config("off", SPACE), diagnose=False)
        study = Study.claim(str(path), config, "images", 2)
        ended = study.begin(Start(0, "0", 1, 7, point(0.1)))
        study.finish(replace(ended, state=State.COMPLETE, value=0.5))
        study.begin(Start(1, "1", 1, 8, point(0.2)))
        study.release()
        told = call("show", "off", "0", "--layers", "--storage", str(path)).err
        assert told == "No layer was measured: the study has diagnose: false.\n"
        told = call("show", "off", "1", "--layers", "--storage", str(path)).err
        assert told.startswith("Trial 1 is killed: what its layers measured is written when")

    @pytest.mark.parametrize("columns", [64, 80, 160])
    def test_it_keeps_to_the_width(self, judged: Path, columns: int) -> None:
        words = ["-m", "cnnsearch", "show", "digits", "0", "--layers", "--storage", str(judged)]
        lines = plain(on_terminal(words, columns))
        assert max(map(len, lines)) <= columns
        header = [line.split() for line in lines if line.startswith("layer ")][-1]
        assert ("units" in header) is (columns > 64), "they go before any measure"
        assert header[-1] == "update"

    def test_ascii_in_the_c_locale(self, judged: Path) -> None:
        words = ["-m", "cnnsearch", "show", "digits", "0", "--layers", "--storage", str(judged)]
        shown = on_terminal(words, LC_ALL="C", PYTHONUTF8="0")
        assert shown.isascii()
        assert "?" not in shown


def drawn(*probes: Probe) -> list[str]:
    """The lines of the pictures without their colours, and without trailing spaces."""
    lines = layers.pictures(list(enumerate(probes)))
    return ["".join(text for text, _ in line).rstrip() for line in lines]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "width", lambda: 80)
    monkeypatch.setattr(output, "speaks_utf8", lambda: False)


@pytest.mark.usefixtures("narrow")
class TestBars:
    def test_their_length_is_the_logarithm(self) -> None:
        lines = drawn(probe(1.0, after=False), probe(1e-3))
        bars = [line.split()[1:3] for line in lines[2:5]]
        assert [len(bar[0]) for bar in bars] == sorted((len(b[0]) for b in bars), reverse=True)
        # 1 to 1e-4: three quarters of it are three decades.
        assert len(bars[0][0]) - len(bars[0][1]) == round(0.75 * len(bars[0][0]))

    def test_an_update_of_1e_3_is_in_the_middle(self) -> None:
        axes = [drawn(probe(1.0), probe(scale))[2].split()[-1] for scale in (1.0, 0.1, 10, 1e9)]
        middle = len(axes[0]) // 2
        assert axes[0].index("o") == middle
        assert axes[1].index("o") < axes[1].index("+") == middle
        assert axes[2].index("o") > middle
        assert axes[3].endswith("o")

    def test_what_is_not_finite_or_not_there(self) -> None:
        odd = probe(1.0, dead=0.0)
        broken = replace(odd.layers[0], std=math.nan, update_ratio=None)
        rows = drawn(probe(1.0, after=False), replace(odd, layers=(broken, *odd.layers[1:])))[2:5]
        assert rows[0].split()[2:] == ["nan", "###", "0", "-"]
        assert rows[2].split()[3:5] == ["-", "-"]

    def test_a_signal_that_is_gone(self) -> None:
        gone = replace(probe(1.0), layers=tuple(
            replace(one, std=0.0) for one in probe(1.0).layers))  # fmt: skip
        assert [line.split()[1] for line in drawn(gone)[2:5]] == ["0", "0", "0"]

    def test_a_course_rises_where_its_values_rise(self) -> None:
        lines = drawn(*(probe(10.0 ** (k - 5)) for k in range(6)))
        at = next(i for i, line in enumerate(lines) if line.startswith("by epoch"))
        std = lines[at + 2].split()[1]
        levels = ["_.:-=+*#".index(sign) for sign in std]
        assert levels == sorted(levels)
        assert levels[-1] - levels[0] >= 5

    def test_a_long_course_is_thinned(self) -> None:
        lines = drawn(*(probe(1.0) for _ in range(200)))
        at = next(i for i, line in enumerate(lines) if line.startswith("by some epochs"))
        assert lines[at].endswith("to epoch 199")
        assert max(map(len, lines[:-1])) <= 80


class TestOtherVerbs:
    def test_compare_has_a_row(self, call: Any) -> None:
        rows = {row[0]: row[1:] for row in call("compare", "digits", "0,1,3").rows if row}
        assert rows["verdict"] == ["ok", "lr-too-high", "-"]
        assert rows["val_accuracy"] == ["0.9000", "-", "-"]
        assert not any(row[:1] == ["verdict"] for row in call("compare", "plain", "0,1").rows)

    def test_compare_is_coloured(self, judged: Path) -> None:
        words = ["-m", "cnnsearch", "compare", "digits", "0,1", "--storage", str(judged)]
        assert "\x1b[33mlr-too-high" in on_terminal(words)

    def test_exported_curves_have_no_probes(self, call: Any) -> None:
        rows = list(csv.DictReader(io.StringIO(call("export", "digits", "--curves").out)))
        assert list(rows[0])[-1] == "seconds"

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_train(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: int) -> None:
        file = write_digits(tmp_path, search="seed: 4", space="")
        file.write_text(file.read_text().split("  lr:")[0])
        words = ["train", str(file), "--seeds", str(seeds), "-S", "lr=1e-7"]
        assert cli.run([*words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        trials = told if seeds > 1 else [told]
        assert all(trial["verdict"] in VERDICTS for trial in trials)
        assert all(len(trial["probes"]) == 3 for trial in trials)
        assert cli.run(words) == 0
        out = capsys.readouterr().out
        verdict = trials[0]["verdict"]
        assert (f"verdict: {verdict}" if seeds == 1 else f"; {verdict}\n") in out


class TestRunTells:
    def test_closing_counts_verdicts(self, judged: Path) -> None:
        summary, trials = read.summary_and_trials(str(judged), "digits")
        lines = closing(summary, trials, 6, "again", interrupted=False)
        assert lines[1] == "verdicts: 1 ok, 1 lr-too-high, 1 overfit, 1 of-another-version"
        assert lines[-1].endswith("(tells why it failed); cnnsearch list digits")
        summary, trials = read.summary_and_trials(str(judged), "plain")
        assert "verdict" not in "".join(closing(summary, trials, 2, "again", interrupted=False))

    def test_a_point_counts_once(self) -> None:
        tried = Told(point(0.1), Outcome(State.COMPLETE), curve(0.5), 0, diagnosis=HIGH)
        assert verdict_counts(trials_of(tried, replace(tried, attempt=2))) == {"lr-too-high": 1}

    def test_where_nothing_completed(self, judged: Path) -> None:
        summary, trials = read.summary_and_trials(str(judged), "digits")
        lines = closing(summary, [trials[1]], 1, "again", interrupted=False)
        assert lines[-1] == "no trial completed. See why: cnnsearch diagnose digits"

    def test_each_ended_trial(self, judged: Path) -> None:
        trials = read.trials(str(judged), "digits")
        progress = SearchProgress(trials[1:], 6, "maximize", 1)
        file = io.StringIO()
        with LineDisplay(Console(file=file, width=80), progress, "val_accuracy") as display:
            display.show(Began(trials[0]))
            display.show(Ended(trials[0]))
            display.show(Began(trials[1]))
            display.show(Ended(trials[1]))
        lines = file.getvalue().splitlines()
        assert "trial 0 complete, ok: val_accuracy 0.9000" in lines[0]
        assert f"trial 1 diverged, lr-too-high: {LONG}" in lines[1]
        assert progress.verdicts["lr-too-high"] == 1

    def test_the_live_display_counts_them(self, judged: Path) -> None:
        console = Console(file=io.StringIO(), width=50, force_terminal=True, color_system=None)
        progress = SearchProgress(read.trials(str(judged), "digits"), 6, "maximize", 1)
        display = LiveDisplay(console, progress, "val_accuracy", 3)
        with console.capture() as captured:
            console.print(display._drawn())
        lines = captured.get().splitlines()
        assert lines[1].startswith("verdicts: 1 ok, 1 lr-too-high")
        assert max(map(len, lines)) <= 47


def test_probes_of_a_trial_are_told_with_their_epochs(judged: Path) -> None:
    trial = read.trial(str(judged), "digits", 0)
    assert [epoch for epoch, _ in probes_of(trial)] == list(range(7))
    assert probes_of(replace(trial, probe=None, curve=())) == []

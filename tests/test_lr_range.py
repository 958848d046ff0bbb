"""`cnnsearch check --lr-range`: the loss while the learning rate grows, and the range to search."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import cli, runner
from cnnsearch.config import load
from cnnsearch.config.config import Config
from cnnsearch.data import TrialData
from cnnsearch.preflight import examine, lr_range
from cnnsearch.preflight.lr_range import Sweep, proposal
from cnnsearch.preflight.untrained import look
from cnnsearch.render.curves import Curve, plot
from cnnsearch.render.lr_range import yaml_line
from cnnsearch.render.text import clean
from cnnsearch.space import Range
from tests.terminals import on_terminal

Capture = pytest.CaptureFixture[str]
SEARCH = """\
data: {name: digits}
model: {conv: [8], hidden: [32]}
train: {batch_size: 64, epochs: 3}
search: {sampler: grid}
space:
  lr: {low: 1e-5, high: 10.0, log: true, points: 3}
  init: [zeros, he]
  batchnorm: [true, false]
"""
SINGLE = """\
data: {name: digits}
model: {conv: [8], hidden: [32]}
train: {batch_size: 64, epochs: 3}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def file(text: str = SEARCH) -> str:
    Path("small.yaml").write_text(text, encoding="utf-8")
    return "small.yaml"


def outcome(capsys: Capture, *words: str) -> Any:
    capsys.readouterr()
    assert cli.run(["check", *words, "--lr-range", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def lacks(inits: list[str]) -> Any:
    """A `make_network` for whose networks of these inits the memory is too small."""
    make = runner.make_network

    def made(config: Config, *arguments: Any) -> Any:
        if config.model.init in inits:
            raise torch.OutOfMemoryError("out of memory")
        return make(config, *arguments)

    return made


def printed(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert cli.run(["check", *words, "--lr-range"]) == 0
    return capsys.readouterr().out


def accuracy(capsys: Capture, lr: float, *words: str) -> float:
    """The best validation accuracy of a short real training; 0 where it diverged."""
    capsys.readouterr()
    code = cli.run(["train", file(SINGLE), "-S", f"lr={lr!r}", *words, "--json"])
    assert code in (0, 3)
    document = json.loads(capsys.readouterr().out)
    return float(document["value"] or 0.0)


class TestTest:
    def test_the_rate_grows_until_the_guard_ends_it(self, capsys: Capture) -> None:
        document = outcome(capsys, file())
        for one in document["combinations"]:
            rates = one["lr"]
            assert rates[0] == 1e-7
            assert len(rates) == len(one["loss"]) <= 150
            growth = [later / former for former, later in itertools.pairwise(rates)]
            assert growth == pytest.approx([1e9 ** (1 / 149)] * len(growth))
            assert one["falls"] <= one["steepest"] <= one["turns"] < one["lost"] == rates[-1]
            last = one["loss"][-1]
            assert last is None or last > 3 * math.log(10)
            assert all(loss < 3 * one["loss"][0] for loss in one["loss"][:-1])

    def test_what_cannot_learn_is_left_out(self, capsys: Capture) -> None:
        document = outcome(capsys, file())
        params = [one["params"] for one in document["combinations"]]
        assert document["combinations_total"] == 4
        assert params == [{"init": "he", "batchnorm": b} for b in (True, False)]

    def test_each_optimizer_is_tested(self, capsys: Capture) -> None:
        more = SEARCH + "  optimizer: [sgd, adam, adamw]\n"
        params = [one["params"] for one in outcome(capsys, file(more))["combinations"]]
        assert len(params) == 4
        assert {p["optimizer"] for p in params} == {"sgd", "adam", "adamw"}
        assert {p["batchnorm"] for p in params} == {True, False}

    def test_an_optimizer_is_tested_where_it_is_active(self, capsys: Capture) -> None:
        more = SEARCH + "  optimizer: {choices: [sgd, adam], when: {batchnorm: true}}\n"
        document = outcome(capsys, file(more))
        assert document["combinations_total"] == 6
        assert [one["params"] for one in document["combinations"]] == [
            {"optimizer": optimizer, "init": "he", "batchnorm": norm}
            for optimizer, norm in (("sgd", True), ("adam", True), ("sgd", False))
        ]

    def test_of_many_networks_few_are_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        many = SEARCH.replace("[zeros, he]", "[zeros, he, xavier, glorot, orthogonal]")
        many += "  activation: [relu, tanh, elu, gelu, silu, prelu]\n  optimizer: [sgd, adam]\n"
        looked: list[Config] = []

        def counted(config: Config, images: TrialData) -> Any:
            looked.append(config)
            return look(config, images)

        monkeypatch.setattr("cnnsearch.preflight.lr_range.look", counted)
        config = load(file(many))
        chosen, total = lr_range.tested(config, examine(config, print, "small.yaml"))
        assert (len(chosen), total, len(looked)) == (4, 120, 24)
        assert len({repr(one.model) for one in looked}) == 24, "each network once"
        assert all(one.params["init"] != "zeros" for one in chosen)

    @pytest.mark.parametrize("lacking", [["he"], ["zeros", "he"]])
    def test_what_cannot_be_trained_is_left_out(
        self, lacking: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cnnsearch.runner.make_network", lacks(lacking))
        document = outcome(capsys, file())
        assert {one["params"]["init"] for one in document["combinations"]} == {"zeros", "he"} - {
            *lacking
        }
        if len(lacking) > 1:
            assert cli.run(["check", file(), "--lr-range"]) == 0
            told = capsys.readouterr()
            assert "No network could be trained here" in told.out
            assert "4 combinations could not be trained here" in told.err

    @pytest.mark.parametrize(
        ("field", "tamer", "wilder", "place"),
        [
            ("momentum", "0.0", "0.95", "turns"),
            ("optimizer", "sgd", "adam", "falls"),
            ("batch_size", "256", "4", "turns"),
        ],
    )
    def test_the_training_of_the_file_is_used(
        self, field: str, tamer: str, wilder: str, place: str, capsys: Capture
    ) -> None:
        """What makes longer or noisier steps needs a lower learning rate."""
        tame, wild = (
            outcome(capsys, file(SINGLE), "-S", f"{field}={value}")["combinations"][0][place]
            for value in (tamer, wilder)
        )
        assert wild < tame

    def test_the_same_numbers_twice(self, capsys: Capture) -> None:
        assert outcome(capsys, file()) == outcome(capsys, file())

    def test_slow_starters_are_tried_again(self, capsys: Capture, cifar_root: Path) -> None:
        """The lectures' two-layer network: best at 1e-3, at 3e-3 it swings."""
        two = (
            f"data: {{name: image_folder, root: {cifar_root}, limit: 2000, pixels: raw, "
            "preprocess: mean_image}\n"
            "model: {conv: [], hidden: [50], init: 'normal:0.0001'}\n"
            "train: {batch_size: 100, momentum: 0.0}\n"
        )
        document = outcome(capsys, file(two))
        [one] = document["combinations"]
        assert one["learns"]
        assert one["lr"][0] > 1e-6, "the first sweep, from 1e-7, learned nothing"
        assert 5e-4 < one["turns"] < 6e-3
        assert document["proposal"]["low"] < 1e-4
        assert 2e-3 < document["proposal"]["high"] < 2e-2


class TestProposal:
    def test_the_middle_is_good_and_the_upper_edge_is_not(self, capsys: Capture) -> None:
        found = outcome(capsys, file(SINGLE))["proposal"]
        low, high = found["low"], found["high"]
        middle = accuracy(capsys, math.sqrt(low * high))
        assert middle > 0.85
        assert accuracy(capsys, low) < middle - 0.1
        assert accuracy(capsys, 2 * high) < middle - 0.1

    def test_the_line_can_be_pasted(self, capsys: Capture) -> None:
        line = printed(capsys, file()).splitlines()[-1].strip()
        assert line.startswith("lr: {low: ")
        text = "".join(
            f"  {line}\n" if old.startswith("  lr:") else old
            for old in SEARCH.splitlines(keepends=True)
        )
        found = outcome(capsys, file())["proposal"]
        space = load(file(text)).space
        assert space is not None
        assert space["lr"] == Range(found["low"], found["high"], log=True, points=3)

    def test_nothing_is_proposed_where_nothing_learns(self, capsys: Capture) -> None:
        words = (file(SINGLE), "-S", "init=zeros")
        document = outcome(capsys, *words)
        assert document["proposal"] is None
        [one] = document["combinations"]
        assert not one["learns"]
        assert one["turns"] is None
        text = printed(capsys, *words)
        assert "No learning rate is proposed: no combination learned anything." in text
        assert "lr: {" not in text

    @pytest.mark.parametrize(
        ("turns", "low", "high"),
        [
            ([0.1], 0.002, 0.2),
            ([0.3, 0.04], 0.001, 0.6),
            ([1.2, 0.02], 0.002, 3.0),
            ([0.3, 3e-4], 3e-5, 0.6),
            ([10.0], 0.2, 20.0),
        ],
    )
    def test_the_range_covers_what_was_tested(
        self, turns: list[float], low: float, high: float
    ) -> None:
        assert proposal([swept(turn) for turn in turns]) == (low, high)

    def test_what_does_not_learn_does_not_count(self) -> None:
        still = Sweep({}, math.log(10), (1e-3, 1e-2), (2.3, 2.3), True)
        assert proposal([still]) is None
        assert proposal([still, swept(0.1)]) == proposal([swept(0.1)])


def swept(turn: float) -> Sweep:
    """A loss whose running median falls from 1/50 of a rate on, and rises after that rate."""
    rates = [turn * 10 ** ((i + 3) / 10) for i in range(-40, 11)]
    losses = [2.3 if i < -20 else 1.3 - i / 20 if i <= 0 else 1.3 + i for i in range(-40, 11)]
    return Sweep({}, math.log(10), tuple(rates), tuple(losses), True)


class TestSweep:
    def test_places(self) -> None:
        found = swept(1.0)
        assert found.learns
        assert found.falls == pytest.approx(10**-1.5)
        assert found.turns == pytest.approx(1.0)
        assert found.falls < found.steepest < found.turns
        assert found.lost == found.rates[-1]

    def test_batches_that_differ_are_not_learning(self) -> None:
        losses = [2.3 + (0.5 if i % 3 else -0.5) for i in range(60)]
        losses[40:47] = [1.7] * 7
        assert not Sweep({}, 2.3, tuple(range(1, 61)), tuple(losses), False).learns
        calm = [2.3] * 40 + [1.7] * 7 + [2.3] * 13
        assert Sweep({}, 2.3, tuple(range(1, 61)), tuple(calm), False).learns

    def test_falling_to_the_loss_of_guessing_is_not_learning(self) -> None:
        losses = [50.0 - i for i in range(47)] + [2.3] * 10
        assert not Sweep({}, math.log(10), tuple(range(1, 58)), tuple(losses), False).learns

    def test_a_loss_that_is_not_finite(self) -> None:
        found = swept(1.0)
        cut = Sweep({}, 2.3, found.rates, (*found.losses[:-1], math.nan), True)
        assert cut.turns == found.turns
        assert math.isinf(Sweep({}, 2.3, (1.0,), (math.inf,), True).smooth[0])


class TestPrint:
    def test_the_table_and_what_the_file_has(self, capsys: Capture) -> None:
        lines = printed(capsys, file()).splitlines()
        assert lines[0].split()[:4] == ["init", "batchnorm", "falls", "from"]
        assert [line.split()[:2] for line in lines[1:3]] == [["he", "true"], ["he", "false"]]
        assert lines[-2] == "Proposed (now 1e-05 to 10):"
        single = printed(capsys, file(SINGLE), "-S", "lr=0.02").splitlines()
        assert single[-2] == "Proposed (now 0.02):"

    @pytest.mark.parametrize("columns", [60, 80, 160])
    def test_the_picture_fits(self, columns: int) -> None:
        words = ["-m", "cnnsearch", "check", file(), "--lr-range", "--plot"]
        text = on_terminal(words, columns, NO_COLOR="1")
        lines = [clean(line) for line in text.splitlines()][1:]  # without what stderr says
        assert max(map(len, lines)) <= columns
        assert "● init he, batchnorm true" in text
        assert "1e-07" in text

    def test_ascii(self) -> None:
        words = ["-m", "cnnsearch", "check", file(SINGLE), "--lr-range", "--plot"]
        assert on_terminal(words, LC_ALL="C", PYTHONUTF8="0", NO_COLOR="1").isascii()

    def test_options_that_do_not_go_together(self, capsys: Capture) -> None:
        assert cli.run(["check", file(), "--plot"]) == 2
        assert "Write --lr-range --plot" in capsys.readouterr().err
        assert cli.run(["check", file(), "--smoke", "--lr-range"]) == 2
        assert "exclude each other" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "search", ["{trials: 4}", "{sampler: grid}", "{trials: 4, sampler: tpe}"]
    )
    @pytest.mark.parametrize(
        ("lr", "points"),
        [
            ("lr: {low: 1e-5, high: 1.0, log: true, points: 9}", 9),
            ("lr: {low: 0.1, high: 0.5, step: 0.2}", 3),
            ("lr: [0.1, 0.2, 0.3, 0.4]", 4),
            ("lr: [0.1]", 2),
            ("lr: {choices: [0.1, 0.2, 0.3], when: {batchnorm: true}}", 3),
            ("", 6),
        ],
    )
    def test_the_line_loads(self, search: str, lr: str, points: int) -> None:
        text = f"data: {{name: digits}}\nsearch: {search}\nspace:\n  batchnorm: [true, false]\n"
        now = load(file(f"{text}  {lr}\n"))
        line = yaml_line(1e-4, 0.1, now)
        space = load(file(f"{text}  {line}\n")).space
        assert space is not None
        found = space["lr"]
        assert isinstance(found, Range)
        assert (found.low, found.high, found.log, found.step) == (1e-4, 0.1, True, None)
        assert bool(found.when) == ("when" in lr)
        kept = points if "grid" in search or "points" in lr else None
        assert found.points == kept
        if not lr:
            grid = ", points: 6" if kept else ""
            assert line == f"lr: {{low: 0.0001, high: 0.1, log: true{grid}}}"


def axis(points: list[tuple[float, float]]) -> list[str]:
    lines = plot("loss", [Curve("a", points)], (60, 12), log_x=True)
    return (
        "".join(text for text, _ in lines[-1])
        .replace("└", "")
        .replace("─", "")
        .replace("┘", "")
        .split()
    )


@pytest.mark.parametrize(
    ("points", "ticks"),
    [
        ([(1e-7, 2.3), (1e-3, 1.0), (100.0, 2.0)], ["1e-07", "1e-05", "0.001", "0.1", "10"]),
        ([(0.02, 1.0), (5.0, 2.0)], ["0.1", "1"]),
        ([(0.02, 1.0), (0.05, 2.0)], []),
        ([(0.1, 1.0)], ["0.1"]),
    ],
)
def test_a_logarithmic_axis_shows_decades(
    points: list[tuple[float, float]], ticks: list[str]
) -> None:
    assert axis(points) == ticks

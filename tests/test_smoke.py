"""`cnnsearch check --smoke`, and the warnings of `run` from untrained networks."""

from __future__ import annotations

import json
import math
import multiprocessing
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import catalog, cli
from cnnsearch.config import load
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Folds
from cnnsearch.data import TrialData, prepare
from cnnsearch.data import load as load_images
from cnnsearch.plan import samples
from cnnsearch.preflight.combinations import (
    MOST,
    among,
    combinations,
    described,
    largest_decay,
    spread,
    words,
)
from cnnsearch.preflight.overfit import STEPS, best, overfit
from cnnsearch.preflight.pace import Pace, pace
from cnnsearch.preflight.smoke import Cost, _like_a_real_one
from cnnsearch.preflight.untrained import Penalty, look, penalty
from cnnsearch.process import settle
from cnnsearch.records import Params, State, Trial
from cnnsearch.render.smoke import penalty_lines, print_smoke, time_lines
from cnnsearch.space import Choice, Condition, Range, Space
from cnnsearch.study import attributes
from tests.builders import digits_config

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
HEAD = """\
device: cpu
data: {name: digits, limit: 200}
model: {conv: [8], hidden: [16]}
train: {epochs: 1, batch_size: 32}
"""
ZEROS = """\
search: {trials: 6}
space:
  lr: {low: 1e-2, high: 1.0, log: true}
  init: [zeros, he]
"""
MANY = """\
search: {sampler: grid}
space:
  init: [zeros, normal:0.01, normal:5.0, he]
  activation: [tanh, relu, sigmoid]
  batchnorm: [true, false]
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(folder: Path, rest: str) -> str:
    path = folder / "digits.yaml"
    path.write_text(HEAD + rest, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def images() -> TrialData:
    settle(1, digits_config().train)
    section = digits_config().data
    return prepare(load_images(section), section, torch.device("cpu"))


def single(**model: Any) -> Config:
    """A network of one conv and one hidden layer on 200 digits."""
    config = digits_config().at({}, seed=0)
    return replace(config, model=config.model.model_copy(update=model))


class TestCombinations:
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
    def test_a_sample_holds_every_choice(self, path: Path) -> None:
        every = combinations(load(str(path)))
        some = spread(every)
        assert some == spread(every)
        assert len(some) == min(MOST, len(every))
        assert {item for c in some for item in c.params.items()} == {
            item for c in every for item in c.params.items()
        }

    def test_a_sample_holds_as_many_pairs_as_it_can(self) -> None:
        space: Space = {
            "init": Choice(("zeros", "he", "xavier", "glorot")),
            "activation": Choice(("relu", "tanh", "elu")),
            "batchnorm": Choice((True, False)),
        }
        some = spread(combinations(digits_config(space=space)))
        assert len({(c.params["init"], c.params["activation"]) for c in some}) >= 9
        assert len({(c.params["init"], c.params["batchnorm"]) for c in some}) == 8

    def test_a_single_run_is_one(self) -> None:
        (one,) = combinations(single())
        assert (one.params, one.rates) == ({}, (single().train.lr,))

    def test_an_inactive_parameter_has_its_fixed_value(self) -> None:
        space: Space = {
            "activation": Choice(("relu", "tanh")),
            "batchnorm": Choice((True,), (Condition("activation", ("tanh",)),)),
        }
        config = digits_config(space=space)
        found = [dict(c.params) for c in combinations(config)]
        assert found == [
            {"activation": "relu", "batchnorm": False},
            {"activation": "tanh", "batchnorm": True},
        ]
        assert among(config, {"activation": "relu"}) == found[0]

    @pytest.mark.parametrize(("lr", "rates"), [
        (Range(1e-4, 1e2, log=True), (1e-1, 1e-3, 1e1)),
        (Range(1e-4, 1e2), (1e-1, 1e-3, 1e1)),
        (Choice((3.0, 1.0, 2.0, 5.0, 4.0)), (3.0, 1.0, 5.0)),
        (Choice((2.0, 1.0)), (2.0, 1.0)),
    ])  # fmt: skip
    def test_learning_rates_lie_inside_the_space(
        self, lr: Range | Choice, rates: Sequence[float]
    ) -> None:
        (one,) = combinations(digits_config(space={"lr": lr}))
        assert one.rates == pytest.approx(rates)

    def test_the_ends_of_a_searched_structure(self) -> None:
        space: Space = {
            "hidden": Choice(([32, 16], [8], [8, 8, 8], [64])),
            "kernel": Choice((3, 5)),
            "dropout": Choice((0.0, 0.5)),
            "init": Choice(("he", "zeros")),
            "preprocess": Choice(("none", "standardize"), (Condition("init", ("zeros",)),)),
        }
        he, zeros = combinations(digits_config(space=space))
        assert he.held == {"hidden": [32, 16], "kernel": 3}
        ends = [(end.model.hidden, end.model.kernel, end.model.init) for end in he.ends]
        assert ends == [([8], 3, "he"), ([8, 8, 8], 5, "he")]
        assert [end.data.preprocess for end in zeros.ends] == ["none", "standardize"]
        (fixed,) = combinations(digits_config(space={"dropout": Choice((0.0, 0.5))}))
        assert (fixed.ends, fixed.held) == ((), {})

    def test_an_inactive_optimizer_is_the_fixed_one(self) -> None:
        space: Space = {
            "batchnorm": Choice((True, False)),
            "optimizer": Choice(("sgd", "adam"), (Condition("batchnorm", (True,)),)),
        }
        found = combinations(digits_config(space=space), ("optimizer", "batchnorm"))
        assert [(c.params, c.config.train.optimizer, c.config.model.batchnorm) for c in found] == [
            ({"optimizer": name, "batchnorm": norm}, name, norm)
            for name, norm in (("sgd", True), ("adam", True), ("sgd", False))
        ]

    @pytest.mark.parametrize(("decay", "expected"), [
        (None, 1.0), (Choice((0.0,)), 1.0), (Range(1e-5, 1e3, log=True), 1e3),
        (Choice((0.1, 0.01)), 0.1),
    ])  # fmt: skip
    def test_the_largest_weight_decay(self, decay: Range | Choice | None, expected: float) -> None:
        space = {"weight_decay": decay} if decay else {"lr": Range(0.1, 1.0)}
        assert largest_decay(digits_config(space=space)) == expected
        assert largest_decay(digits_config(train={"weight_decay": 0.3})) == 0.3


EVERY: list[Params] = [
    {"init": init, "batchnorm": norm}
    for init in ("zeros", "he", "xavier")
    for norm in (True, False)
]


@pytest.mark.parametrize(("affected", "looked_at", "text"), [
    (EVERY[:2], EVERY, "init zeros"),
    (EVERY[:1], EVERY, "init zeros, batchnorm true"),
    (EVERY[:1], EVERY[:1] + EVERY[2:], "init zeros, batchnorm true"),
    (EVERY[::2], EVERY, "batchnorm true"),
    ([*EVERY[:2], EVERY[3]], EVERY, "init zeros; init he, batchnorm false"),
    ([*EVERY[:2], EVERY[2], EVERY[5]], EVERY, "init zeros; init he, batchnorm true; and 1 more"),
    (EVERY, EVERY, "every network"),
])  # fmt: skip
def test_choices_stand_for_their_combinations(
    affected: Sequence[Params], looked_at: Sequence[Params], text: str
) -> None:
    """Where all of a choice that were looked at are affected, and more than one was."""
    assert words(described(affected, looked_at, EVERY)) == text


class TestPenalty:
    @pytest.mark.parametrize("activation", ["relu", "maxout"])
    @pytest.mark.parametrize("scheme", catalog.INIT_SCHEMES)
    def test_every_scheme_draws_what_its_formula_says(
        self, scheme: str, activation: str, images: TrialData
    ) -> None:
        init = f"{scheme}:0.3" if catalog.INIT_SCHEMES[scheme].parameter else scheme
        network, _ = look(single(init=init, activation=activation), images)
        found = penalty(network, init, 0.1)
        assert found.right
        assert (found.expected is None) == (scheme == "lsuv")
        if found.expected:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.mul_(1.2)
            assert not penalty(network, init, 0.1).right

    def test_the_lectures_two_layers(self) -> None:
        """Slide: 2.302612 rises to 3.068597 with 1e3: by 0.766; the formula says 0.7705."""
        from cnnsearch.model import build, initialise

        model = single(conv=[], hidden=[50]).model
        network = build(model, (3, 32, 32), 10)
        initialise(network, "normal:0.0001", torch.Generator().manual_seed(0), torch.empty(0))
        found = penalty(network, "normal:0.0001", 1e3)
        assert found.expected == pytest.approx(0.7705)
        assert found.tolerance == pytest.approx(0.0112, rel=0.01)
        assert found.right
        assert found.expected is not None
        assert not Penalty(1e3, found.expected * 1.02, found.expected, found.tolerance).right


class TestOverfit:
    def test_zeros_fails(self, images: TrialData) -> None:
        tries = overfit(single(init="zeros"), images, (0.1, 0.01, 1.0))
        assert [one.lr for one in tries] == [0.1, 0.01, 1.0]
        assert not best(tries).learned
        assert best(tries).accuracy < 0.6
        assert {one.steps for one in tries} == {STEPS}

    def test_the_first_rate_that_is_enough_is_the_last(self, images: TrialData) -> None:
        tries = overfit(single(), images, (1e-7, 0.1, 0.01))
        assert [(one.lr, one.learned) for one in tries] == [(1e-7, False), (0.1, True)]
        assert tries[1].steps < 100
        assert tries[1].loss < 0.1

    def test_without_dropout_and_weight_decay(self, images: TrialData) -> None:
        config = single(dropout=0.9)
        config = replace(config, train=config.train.model_copy(update={"weight_decay": 10.0}))
        assert overfit(config, images, (0.1,)) == overfit(single(), images, (0.1,))

    def test_a_loss_that_is_not_finite_ends_a_try(self, images: TrialData) -> None:
        (one,) = overfit(single(), images, (1e12,))
        assert one.steps < STEPS
        assert not math.isfinite(one.loss)
        assert not one.learned


class TestTime:
    def test_a_diverged_trial_counts_as_far_as_it_came(self) -> None:
        whole = Pace(1.0, 0.1, 0.5, 10, 3, 20, None, 0.0, 1)
        assert whole.seconds == pytest.approx(1.0 + 30 * 0.1 + 3 * 0.5)
        assert replace(whole, diverged=12).seconds == pytest.approx(1.0 + 12 * 0.1 + 0.5)

    def test_a_search_is_its_trials_over_its_workers(self) -> None:
        one = Pace(1.0, 0.1, 0.0, 10, 1, 10, None, 0.0, 1)
        cost = Cost(9, 3, 4.0, 0.5, [one, replace(one, step_s=0.3)])
        assert cost.trial_s == pytest.approx(3.5)
        assert cost.seconds == pytest.approx(4 + 3.5 * 3 + 3.5 / 3)
        assert replace(cost, jobs=1).seconds == pytest.approx(4 + 9 * 3.5)

    def test_a_rate_far_too_high_is_seen_to_diverge(self) -> None:
        found = [
            pace(replace(single(), train=single().train.model_copy(update={"lr": lr})).plain(), 7)
            for lr in (0.1, 1e6)
        ]
        assert found[0].diverged is None
        assert found[1].diverged
        assert replace(found[0], diverged=found[1].diverged).seconds < found[0].seconds
        assert (found[0].steps, found[0].epochs, found[0].process) == (7, 2, 7)
        assert 0 < found[0].step_s < 1

    def test_samples_are_spread_over_what_decides_the_cost(self) -> None:
        space: Space = {"epochs": Choice((1, 2, 5, 9)), "lr": Range(0.1, 1.0)}
        some = samples(digits_config(space=space, trials=400), 400, 40)
        epochs = [config.train.epochs for config in some]
        assert len(some) == 40
        assert epochs == sorted(epochs)
        assert all(8 <= epochs.count(value) <= 12 for value in (1, 2, 5, 9))
        assert len(samples(digits_config(trials=2), 2, 40)) == 2

    def test_what_is_written_is_as_large_as_a_real_trial(self) -> None:
        config = digits_config(space={"lr": Range(0.1, 1.0)}, epochs=7)
        run = config.at({}, 0)
        run = replace(run, data=run.data.model_copy(update={"validation": Folds(folds=3)}))
        begun = Trial(0, 0, "0", 1, State.RUNNING, None, {}, 0, None, None, None, 0, None)
        written = attributes.of_end(_like_a_real_one(begun, run))
        assert len(written[attributes.CURVE]["val_loss"]) == 7
        assert [len(fold["val_loss"]) for fold in written[attributes.FOLDS]] == [7, 7, 7]
        assert len(written[attributes.PROBES]["loss"]) == 8
        assert len(written[attributes.PROBES]["std"][0]) == 3
        without = attributes.of_end(_like_a_real_one(begun, replace(run, diagnose=False)))
        assert attributes.PROBES not in without

    def test_jobs_are_those_that_run_would_be_given(self, tmp_path: Path, capsys: Capture) -> None:
        path = written(tmp_path, ZEROS)
        for jobs in ("1", "3", "0"):
            assert cli.run(["check", path, "-j", jobs]) == 0
            assert f"{max(1, int(jobs))} at a time on cpu" in capsys.readouterr().out
        assert cli.run(["check", path, "--smoke", "-j", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["smoke"]["time"]["jobs"] == 1

    def test_a_pruner_is_not_foreseen_and_that_is_said(self) -> None:
        time: dict[str, Any] = {
            "seconds": 60.0, "trials": 4, "jobs": 1, "trial_seconds": 9.0, "start_seconds": 1.0,
            "sampled_diverged": 0, "pruner": "median",
        }  # fmt: skip
        [line] = time_lines(time, "cpu")
        assert line.endswith(", without pruning (median will stop some earlier)")
        assert "pruning" not in time_lines({**time, "pruner": "none"}, "cpu")[0]


@pytest.mark.parametrize(("expected", "right", "told"), [
    ((1.0, 1.0, None), (True, True, True), "in 2 of 2; 1 without a formula"),
    ((1.0, 1.0, 1.0), (True, False, True), "in 2 of 3"),
    ((None, None, None), (True, True, True), None),
])  # fmt: skip
def test_a_scheme_without_a_formula_is_no_failure(
    expected: Sequence[float | None], right: Sequence[bool], told: str | None
) -> None:
    combinations = [
        {"tried": True, "penalty_expected": one, "penalty_right": ok, "weight_decay": 1.0}
        for one, ok in zip(expected, right, strict=True)
    ]
    lines = penalty_lines({"combinations": [*combinations, {"tried": False}]})
    assert bool(lines) == (told is not None)
    if told is not None:
        assert told in lines[0]
        assert ("formula" in lines[0]) == ("formula" in told)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The JSON of a smoke test over zeros and he."""
    path = written(tmp_path_factory.mktemp("smoke"), ZEROS)
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("cnnsearch.render.output.write_raw", lines.append)
        assert cli.run(["check", path, "--smoke", "--json"]) == 0
    assert not multiprocessing.active_children()
    return json.loads("".join(lines))


class TestCheck:
    def test_zeros_fails_and_he_does_not(self, found: Any) -> None:
        zeros, he = found["smoke"]["combinations"]
        assert (zeros["params"], he["params"]) == ({"init": "zeros"}, {"init": "he"})
        assert (zeros["learned"], he["learned"]) == (False, True)
        assert (zeros["accuracy"] < 1, he["accuracy"]) == (True, 1.0)
        assert (zeros["first_loss"], zeros["guessing_loss"]) == pytest.approx([math.log(10)] * 2)
        assert zeros["findings"][0]["rule"] == "symmetric"
        problems = {p["problem"]: p["where"] for p in found["smoke"]["problems"]}
        assert problems["symmetric"] == problems["not-learned"] == "init zeros"
        assert "wrong-penalty" not in problems

    def test_80_columns_hold_the_findings_in_whole_words(
        self, found: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
    ) -> None:
        wide = {"init": "normal:0.01", "activation": "leaky_relu", "batchnorm": False}
        many = {
            "combinations": [one | {"params": wide} for one in found["smoke"]["combinations"]],
            "combinations_total": 60,
        }
        monkeypatch.setattr("cnnsearch.render.output.is_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        print_smoke(many)
        told = capsys.readouterr().out.partition("\n\n")[2]
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in told.splitlines()]
        assert max(map(len, lines)) <= 80
        assert "a sample of 60 that holds every choice" in " ".join(map(str.strip, lines))
        assert any(line.rstrip().endswith("20 images  findings") for line in lines), told
        assert "symmetric" in told

    def test_json_has_the_layers_and_the_penalty(self, found: Any) -> None:
        zeros, he = found["smoke"]["combinations"]
        assert [layer["name"] for layer in he["layers"]] == ["conv1", "hidden1", "classifier"]
        assert he["layers"][0]["std"] > 0 == zeros["layers"][0]["std"]
        assert he["penalty_expected"] == pytest.approx(he["penalty"], rel=0.3)
        assert (zeros["penalty"], zeros["penalty_expected"]) == (0, 0)
        assert (he["weight_decay"], he["penalty_right"]) == (1.0, True)

    def test_json_has_the_time(self, found: Any) -> None:
        time = found["smoke"]["time"]
        assert time["trials"] == found["trials"] == 6
        assert time["sampled"] == 6
        assert found["trial_seconds"] == time["trial_seconds"]
        assert 0 < time["start_seconds"] < time["seconds"]
        assert time["storage_seconds"] > 0

    def test_a_single_run_in_words(self, tmp_path: Path, capsys: Capture) -> None:
        path = written(tmp_path, "")
        assert cli.run(["check", path, "--smoke", "-S", "init=zeros", "-S", "lr=0.1"]) == 0
        out, talk = capsys.readouterr()
        assert (
            "1 combination of init, activation and batchnorm; guessing has a loss of 2.3026" in out
        )
        assert "not-learned: every network\n" in out
        assert "20 images are not learned by heart in 300 steps" in out
        assert "symmetric: every network\n" in out
        assert "time      about" in out
        assert len(talk.splitlines()) == 1
        assert [p.name for p in tmp_path.iterdir() if "xdg" not in p.name] == ["digits.yaml"]

    def test_of_a_searched_depth_only_what_holds_for_all_is_claimed(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        deep = [24] * 6
        path = written(
            tmp_path,
            f"""\
search: {{trials: 4, pruner: median}}
space: {{init: [he, normal:0.05], hidden: [{deep}, [16]]}}
""",
        )
        assert cli.run(["check", path, "--smoke", "-S", "conv=[]", "-S", "lr=0.05", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["smoke"]
        _, small = found["combinations"]
        assert [one["rule"] for one in small["findings"]] == ["bad-init"]
        problems = {one["problem"]: one for one in found["problems"]}
        assert "bad-init" not in problems, "[16] has it not"
        assert problems["not-learned"]["where"] == "init normal:0.05"
        assert problems["not-learned"]["message"].endswith(f" Only hidden {deep} was tried.")
        assert found["time"]["pruner"] == "median"

    def test_a_mistake_is_still_refused(self, tmp_path: Path, capsys: Capture) -> None:
        path = written(tmp_path, "search: {trials: 2}\nspace: {conv: [[8, 8, 8, 8, 8]]}\n")
        assert cli.run(["check", path, "--smoke"]) == 2
        assert "trying it out" not in capsys.readouterr().err


def warned(capsys: Capture, *words: str) -> list[str]:
    """The lines of a run between its opening and its first trial."""
    capsys.readouterr()
    assert cli.run(["run", *words, "-j", "0"]) in (0, 3)
    lines = capsys.readouterr().err.splitlines()
    start = next(i for i, line in enumerate(lines) if " trials (" in line)
    return [line for line in lines[start + 1 :] if any(f": {rule}. " in line for rule in RULES)]


RULES = ("symmetric", "bad-init", "saturated", "dead-units", "loud-init")


class TestRun:
    def test_zeros_is_told_with_its_trials_and_runs_all_the_same(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        path = written(tmp_path, ZEROS)
        config = load(path)
        zeros = sum(c.model.init == "zeros" for c in samples(config, 6, 6))
        assert 0 < zeros < 6
        (line,) = warned(capsys, path)
        assert line.startswith(f"init zeros ({zeros} of 6 trials): symmetric. All units of")
        assert warned(capsys, path) == []  # nothing left to run

    def test_not_with_diagnose_false(self, tmp_path: Path, capsys: Capture) -> None:
        path = written(tmp_path, ZEROS)
        assert warned(capsys, path, "-S", "diagnose=false") == []

    @pytest.mark.parametrize(("hidden", "told"), [
        ("[[16, 16], [8, 8, 8, 8, 8, 8, 8, 8]]", False),
        ("[[8, 8, 8, 8, 8, 8, 8, 8], [16, 16]]", False),
        ("[[16, 16, 16, 16, 16, 16], [8, 8, 8, 8, 8, 8, 8, 8]]", True),
    ])  # fmt: skip
    def test_only_what_holds_for_all_depths_is_claimed(
        self, hidden: str, told: bool, tmp_path: Path, capsys: Capture
    ) -> None:
        """normal:0.05 dies away in many layers, not in two."""
        rest = f"search: {{sampler: grid}}\nspace: {{init: [he, normal:0.05], hidden: {hidden}}}\n"
        lines = warned(capsys, written(tmp_path, rest), "-S", "conv=[]")
        claimed = [line for line in lines if "init normal:0.05 (2 of 4 trials): bad-init." in line]
        assert bool(claimed) == told

    def test_what_cannot_be_looked_at_ends_nothing(
        self, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lacking(config: Config, images: TrialData) -> Any:
            if config.model.init == "he":
                raise torch.OutOfMemoryError("out of memory")
            return look(config, images)

        monkeypatch.setattr("cnnsearch.preflight.untrained.look", lacking)
        (line,) = warned(capsys, written(tmp_path, ZEROS))
        assert line.startswith("init zeros (")

    def test_three_lines_at_most(self, tmp_path: Path, capsys: Capture) -> None:
        lines = warned(capsys, written(tmp_path, MANY), "-S", "hidden=[8, 8, 8]")
        assert len(lines) == 3
        assert lines[0].startswith("init zeros (6 of 24 trials): symmetric.")

"""The pruners: rungs reckoned by hand, in any Optuna program and in searches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.trial import TrialState, create_trial

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.executors import Lost
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.plan import remaining
from cnnsearch.records import Epoch, Outcome, Start, State, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Range, Space, random_point
from cnnsearch.study import attributes, read
from cnnsearch.study.pruners import (
    HyperbandPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
    make_pruner,
)
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.test_search import DATABASE, FINGERPRINT, Script, Scripted, epoch, numbers, search

PRUNERS = [name for name, row in catalog.PRUNERS.items() if row.target is not None]
Direction = Literal["maximize", "minimize"]
SIGNS: dict[Direction, float] = {"maximize": 1.0, "minimize": -1.0}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study_with(pruner: BasePruner, direction: Direction = "maximize") -> optuna.Study:
    return optuna.create_study(direction=direction, pruner=pruner)


def run(study: optuna.Study, values: Sequence[float], seed: int | None = None) -> int | None:
    """Run a trial with these values; after which step it was pruned."""
    trial = study.ask()
    if seed is not None:
        begun = attributes.of_begin(Start(0, "0", 1, seed, {}), "run", 0.0)
        trial.set_user_attr(attributes.BEGUN, begun)
    for step, value in enumerate(values, 1):
        trial.report(value, step)
        if step < len(values) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return step
    study.tell(trial, values[-1])
    return None


def end(
    study: optuna.Study, state: State, values: Sequence[float], steps: int = 9, folds: int = 1
) -> None:
    """Add a trial of a search that ended so."""
    optuna_state = {State.COMPLETE: TrialState.COMPLETE, State.FAILED: TrialState.FAIL,
                    State.KILLED: TrialState.FAIL}.get(state, TrialState.PRUNED)  # fmt: skip
    trial = create_trial(
        state=optuna_state,
        value=values[-1] if state is State.COMPLETE else None,
        intermediate_values=dict(enumerate(values, 1)),
        user_attrs={**stored(steps, folds), attributes.RESULT: {"state": str(state)}},
    )
    study.add_trial(trial)


def stored(steps: int, folds: int = 1, seed: int = 0) -> dict[str, Any]:
    """What a search stores with a trial and the pruners read."""
    validation = 0.1 if folds == 1 else {"folds": folds}
    config = {"data": {"validation": validation}, "train": {"epochs": steps}}
    begun = attributes.of_begin(Start(0, "0", 1, seed, {}), "run", 0.0)
    return {attributes.BEGUN: begun, attributes.CONFIG: config}


@pytest.mark.parametrize("direction", SIGNS)
class TestAsha:
    def run_all(
        self, direction: Direction, values: Sequence[float], steps: int = 9
    ) -> list[int | None]:
        """Trials whose value stays the same; after which step each was pruned."""
        study = study_with(SuccessiveHalvingPruner(steps), direction)
        return [run(study, [SIGNS[direction] * value] * steps) for value in values]

    def test_the_best_third_goes_on(self, direction: Direction) -> None:
        """With fewer than three values the best; of equals the earlier one."""
        found = self.run_all(direction, [0.5, 0.4, 0.6, 0.55, 0.3, 0.58, 0.6])
        # At step 1 the second, fourth and fifth are not the best of 2, 4 and 5; the sixth is one of
        # the best two of six, but second of three at step 3, as is the last, the equal of the best.
        assert found == [None, 1, None, 1, 1, 3, 3]

    def test_trials_that_guess_do_not_pull_each_other_up(self, direction: Direction) -> None:
        assert self.run_all(direction, [0.1] * 12) == [None] + [1] * 11

    def test_the_value_is_that_of_the_rung(self, direction: Direction) -> None:
        """Not the best so far: a peak before the rung is no help."""
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        assert run(study, [sign * 0.5] * 9) is None
        assert run(study, [sign * v for v in (0.6, 0.9, 0.4, *[0.9] * 6)]) == 3

    @pytest.mark.parametrize(
        ("steps", "rungs"),
        [(1, []), (2, [1]), (3, [1]), (5, [1]), (6, [1, 3]), (9, [1, 3]), (10, [1, 3]),
         (17, [1, 3]), (18, [1, 3, 9]), (27, [1, 3, 9])],
    )  # fmt: skip
    def test_rungs_fit_the_steps(self, direction: Direction, steps: int, rungs: list[int]) -> None:
        """A value that is low at one step only is seen where a rung stands."""
        sign, found = SIGNS[direction], []
        for low in range(1, steps):
            study = study_with(SuccessiveHalvingPruner(steps), direction)
            run(study, [sign] * steps)
            values = [sign * (0.0 if step == low else 2.0) for step in range(1, steps + 1)]
            found += [low] if run(study, values) == low else []
        assert found == rungs

    @pytest.mark.parametrize(("values", "ended"), [([0.9], 2), ([0.9, 0.9, 0.9], 4), ([], 1)])
    def test_a_diverged_trial_is_the_worst(
        self, direction: Direction, values: list[float], ended: int
    ) -> None:
        """Wherever it was; it diverged in the epoch after its last value."""
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        assert len(values) == ended - 1
        end(study, State.DIVERGED, [sign * value for value in values])
        assert run(study, [sign * 0.5] * 9) is None

    @pytest.mark.parametrize(
        ("lost", "pruned"), [([0.9], None), ([0.9, 0.9], None), ([], 3), ([0.9] * 3, None)]
    )
    def test_and_counts_at_the_rung_that_it_was_lost_on_the_way_to(
        self, direction: Direction, lost: list[float], pruned: int | None
    ) -> None:
        """Second best of six at step 3 goes on, of five not; at step 1 it is the best."""
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        for value in (0.8, 0.7, 0.6, 0.5):
            end(study, State.COMPLETE, [sign * v for v in (0.1, 0.1, *[value] * 7)])
        end(study, State.DIVERGED, [sign * v for v in lost])
        assert run(study, [sign * v for v in (0.9, 0.9, *[0.75] * 7)]) == pruned

    @pytest.mark.parametrize("state", [State.FAILED, State.KILLED])
    def test_failed_and_killed_trials_count_for_nothing(
        self, direction: Direction, state: State
    ) -> None:
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        end(study, state, [sign * 0.9] * 5)
        assert run(study, [sign * 0.5] * 9) is None
        for _ in range(3):  # second of two: with the others it would be second of six
            end(study, state, [sign * 0.1] * 5)
        assert run(study, [sign * 0.4] * 9) == 1

    @pytest.mark.parametrize("value", [0.9, 0.5])
    def test_a_trial_that_runs_beside_counts(self, direction: Direction, value: float) -> None:
        """Of equals the one reported first is better."""
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        beside, other = study.ask(), study.ask()
        beside.report(sign * value, 1)
        assert not beside.should_prune()
        other.report(sign * 0.5, 1)
        assert other.should_prune()
        study.tell(beside, state=TrialState.FAIL)
        assert not other.should_prune(), "it counts for nothing any more"

    def test_a_report_every_few_steps(self, direction: Direction) -> None:
        """Judged at the first report from a rung on, once."""
        study, sign = study_with(SuccessiveHalvingPruner(20), direction), SIGNS[direction]
        run(study, [sign * 0.5] * 20)
        trial = study.ask()
        for step, value, pruned in ((2, 0.6, False), (4, 0.4, True), (6, 0.4, False)):
            trial.report(sign * value, step)
            assert trial.should_prune() is pruned, step

    def test_the_steps_of_a_trial_are_those_of_its_config(self, direction: Direction) -> None:
        """Epochs, or folds where it has several."""
        study, sign = study_with(SuccessiveHalvingPruner(), direction), SIGNS[direction]
        end(study, State.COMPLETE, [sign * 0.9] * 3, steps=3)
        for steps, folds, at in ((2, 1, 1), (9, 2, 1), (1, 1, None), (9, 6, 1)):
            trial = study.ask()
            for name, value in stored(steps, folds).items():
                trial.set_user_attr(name, value)
            trial.report(sign * 0.5, 1)
            assert trial.should_prune() is (at == 1), (steps, folds)
            study.tell(trial, state=TrialState.FAIL)

    def test_not_a_number_is_the_worst(self, direction: Direction) -> None:
        study, sign = study_with(SuccessiveHalvingPruner(9), direction), SIGNS[direction]
        assert run(study, [math.nan] * 9) == 1
        assert run(study, [sign * 0.1] * 9) is None


def test_ended_trials_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Counter[int]()
    counted = SuccessiveHalvingPruner._counted

    def counting(self: SuccessiveHalvingPruner, trial: Any, sign: float) -> Any:
        looked[trial.number] += 1
        return counted(self, trial, sign)

    monkeypatch.setattr(SuccessiveHalvingPruner, "_counted", counting)
    study = study_with(SuccessiveHalvingPruner(9))
    for k in range(50):
        run(study, [k % 7 / 7] * 9)
    assert set(looked.values()) == {1}
    assert len(looked) >= 49


class TestHyperband:
    def test_shares_of_the_brackets(self) -> None:
        """Trials that are all equal, after the first of each bracket: 9, 5 and 3 of 17."""
        study = study_with(HyperbandPruner(9))
        found = Counter(run(study, [0.5] * 9) for _ in range(510))
        assert found[1] == pytest.approx(270, abs=35)
        assert found[3] == pytest.approx(150, abs=35)
        assert found[None] == pytest.approx(90, abs=35)

    def test_the_bracket_follows_from_the_trials_seed(self) -> None:
        """Not from the study's name, nor from the trial's number."""
        one, other = (study_with(HyperbandPruner(9)) for _ in range(2))
        seeds = range(1000, 1060)
        for seed in range(20):  # the first of each bracket
            run(one, [0.9] * 9, seed)
            run(other, [0.9] * 9, seed)
        found = [run(one, [0.5] * 9, seed) for seed in seeds]
        again = [run(other, [0.5] * 9, seed) for seed in reversed(seeds)]
        assert found == again[::-1]
        assert set(found) == {1, 3, None}

    def test_brackets_do_not_compete(self) -> None:
        study = study_with(HyperbandPruner(9))
        by_bracket: dict[int | None, list[int]] = {}
        for seed in range(100):
            by_bracket.setdefault(run(study, [0.5] * 9, seed), []).append(seed)
        assert len(by_bracket[1]) > len(by_bracket[3]) > 5
        # All of the second bracket are worse than any of the first was.
        fresh = study_with(HyperbandPruner(9))
        for seed in by_bracket[1]:
            run(fresh, [0.9] * 9, seed)
        assert run(fresh, [0.5] * 9, by_bracket[3][0]) is None
        assert run(fresh, [0.4] * 9, by_bracket[3][1]) == 3

    def test_without_steps_there_is_one_bracket(self) -> None:
        study = study_with(HyperbandPruner())
        assert {run(study, [0.5] * 9) for _ in range(30)} == {None, 1}


@pytest.mark.parametrize("direction", SIGNS)
class TestPatient:
    @pytest.mark.parametrize(
        ("values", "pruned"),
        [
            ([0.1] * 9, 3),
            ([0.3, 0.2, 0.1, 0.1], 3),
            ([0.1 + step / 100 for step in range(9)], None),
            ([0.1, 0.1, 0.2, 0.2, 0.2, 0.2], 5),
            ([0.7] * 9, None),
        ],
    )
    def test_two_epochs_without_a_better_one(
        self, direction: Direction, values: list[float], pruned: int | None
    ) -> None:
        """And then below the median; equal is not better."""
        study, sign = study_with(PatientPruner(2), direction), SIGNS[direction]
        for _ in range(5):
            run(study, [sign * 0.5] * 9)
        assert run(study, [sign * value for value in values]) == pruned


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("direction", SIGNS)
def test_any_optuna_program_can_use_them(name: str, direction: Direction) -> None:
    sign, pruner = SIGNS[direction], make_pruner(name)
    assert pruner is not None

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(1, 10):
            trial.report(sign * x * min(step, 3), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return sign * x * 3

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=40)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.PRUNED] >= 10
    assert states.total() == 40
    best = max(study.trials, key=lambda trial: trial.params["x"])
    assert best.state is TrialState.COMPLETE
    assert study.best_trial.number == best.number


def test_none_is_no_pruner() -> None:
    assert make_pruner("none") is None


# The highest learning rates diverge, with the lowest a trial only guesses.
WIDE: Space = {"lr": Range(1e-6, 1e2, log=True), "momentum": Range(0.0, 0.9)}


def config(study: str, pruner: str, **more: Any) -> Config:
    """12 trials of 6 epochs."""
    made = digits_config(study, WIDE, epochs=6, pruner=pruner, trials=12, **more)
    return replace(made, diagnose=False)


def curves(study: str) -> dict[int, list[float]]:
    found = read.curves(DATABASE, study)
    return {number: [result.val_loss for result in curve] for number, curve in found.items()}


@pytest.fixture(scope="module")
def unpruned(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[float]]:
    """The curves of a search without a pruner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("unpruned"))
        search(config("none", "none"))
        return curves("none")


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_points_and_curves_up_to_the_pruned_epoch_are_those_without(
    name: str, objective: str, unpruned: dict[int, list[float]]
) -> None:
    search(config(name, name, objective=objective))
    found = read.trials(DATABASE, name)
    assert [t.params for t in found] == [random_point(WIDE, 0, k) for k in range(12)]
    for number, curve in curves(name).items():
        assert curve == unpruned[number][: len(curve)]
    states = {trial.state for trial in found}
    assert State.DIVERGED in states
    assert State.COMPLETE in states
    assert (State.PRUNED in states) or name == "patient"


@pytest.mark.parametrize("name", PRUNERS)
def test_a_search_that_goes_on_judges_as_if_uninterrupted(name: str) -> None:
    """Ended after some trials, and in the middle of one that is run again."""
    search(config("whole", name))
    whole = numbers(read.trials(DATABASE, "whole"))
    parts = config("parts", name)
    search(parts, count=5)
    _search_until(parts, epochs=8)
    search(parts)
    found = read.trials(DATABASE, "parts")
    assert State.KILLED in {trial.state for trial in found}
    assert numbers([t for t in found if t.state is not State.KILLED]) == whole


def _search_until(config: Config, epochs: int) -> None:
    """Go on with a search and end it after so many epochs, in the middle of a trial."""
    study = Study.claim(DATABASE, config, FINGERPRINT, 12)
    try:
        events = Coordinator(study, config, InlineExecutor(), Limits()).run(
            remaining(config, study.trials(), 12)
        )
        for event in events:
            epochs -= isinstance(event, Epoch)
            if epochs <= 0 and isinstance(event, Epoch) and event.result.epoch in (1, 2):
                break
        events.close()  # type: ignore[attr-defined]  # it is a generator
    finally:
        study.release()


class TestScripted:
    """In the coordinator, one trial after the other."""

    def search(self, script: Sequence[Script], **more: Any) -> list[Trial]:
        executor = Scripted(dict(enumerate(script)))
        executor.slots = 1
        search(digits_config("told", epochs=9, pruner="asha", **more), executor)
        return read.trials(DATABASE, "told")

    def test_reasons_and_epochs(self) -> None:
        found = self.search([told(0.5), told(0.4), told(0.6)], trials=3)
        assert [(t.state, t.epochs) for t in found] == [
            (State.COMPLETE, 9), (State.PRUNED, 1), (State.COMPLETE, 9)
        ]  # fmt: skip
        assert found[1].reason == "val_accuracy 0.4 after epoch 1: not promising"

    def test_the_next_attempt_does_not_compete_with_the_last(self) -> None:
        lost: Script = [*told(0.9)[:4], Lost("its worker died")]
        found = self.search([lost, told(0.5)], trials=1)
        assert [t.state for t in found] == [State.KILLED, State.COMPLETE]

    def test_one_that_diverged_does_not_prune_others(self) -> None:
        gone: Script = [*told(0.9)[:4], Outcome(State.DIVERGED, "loss nan", {"epoch": 5})]
        found = self.search([gone, told(0.5)], trials=2)
        assert [t.state for t in found] == [State.DIVERGED, State.COMPLETE]


def told(accuracy: float) -> Script:
    """Nine epochs of one accuracy."""
    return [*(epoch(k, accuracy) for k in range(1, 10)), Outcome(State.COMPLETE)]

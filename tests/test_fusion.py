"""Which trials are trained together, how many, and what a search makes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import catalog, group, runner
from cnnsearch.config.config import Config
from cnnsearch.config.fields import SEARCHABLE
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.fused import train_fused
from cnnsearch.fusion import VALUES, structure, take_group
from cnnsearch.plan import remaining
from cnnsearch.preflight import examine
from cnnsearch.preflight.fusing import Timed, best_size, fused_size, timed
from cnnsearch.records import EpochResult, Outcome, Params, Prepared, Start, State, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.test_search import DATABASE, FINGERPRINT, Scripted

SPACE: Space = {
    "lr": Range(1e-3, 1e-1, log=True),
    "init": Choice(("he", "xavier")),
    "activation": Choice(("relu", "tanh")),
    "dropout": Choice((0.0, 0.2, 0.5)),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start(point: int, **params: Any) -> Start:
    return Start(point, str(point), 1, point, params)


def test_every_value_is_a_field() -> None:
    assert set(SEARCHABLE) > VALUES


def test_structures() -> None:
    base: Params = {"lr": 0.1, "init": "he", "activation": "relu"}
    assert structure(base, 0.0) == structure({**base, "lr": 3.0, "init": "zeros"}, 0.0)
    assert structure(base, 0.0) != structure({**base, "activation": "tanh"}, 0.0)
    assert structure({**base, "dropout": 0.2}, 0.0) == structure({**base, "dropout": 0.5}, 0.0)
    assert structure({**base, "dropout": 0.2}, 0.0) != structure({**base, "dropout": 0.0}, 0.0)
    assert structure(base, 0.3) == structure({**base, "dropout": 0.2}, 0.0)
    assert structure({"batchnorm": True}, 0.0) != structure({"batchnorm": 1}, 0.0)


def test_a_group_is_taken_out_of_what_waits() -> None:
    names = ["relu", "tanh", "relu", "relu", "tanh", "relu"]
    waiting = deque(start(k, activation=name) for k, name in enumerate(names))
    assert [s.point for s in take_group(waiting, 3, 0.0)] == [0, 2, 3]
    assert [s.point for s in waiting] == [1, 4, 5]
    assert [s.point for s in take_group(waiting, 3, 0.0)] == [1, 4]
    assert [s.point for s in take_group(waiting, 1, 0.0)] == [5]
    assert not waiting


def searched(config: Config, fused: int, executor: Any = None) -> list[Trial]:
    study = Study.claim(DATABASE, config, FINGERPRINT, 8)
    try:
        waiting = remaining(config, study.trials(), 8)
        limits = Limits(fused=fused)
        for _ in Coordinator(study, config, executor or InlineExecutor(), limits).run(waiting):
            pass
    finally:
        study.release()
    found = read.trials(DATABASE, config.study)
    return [read.trial(DATABASE, config.study, trial.number) for trial in found]


def test_a_fused_search_finds_what_a_plain_one_does() -> None:
    """The same points, once each; numbers but for rounding; each says with how many it ran."""
    config = digits_config("plain", space=SPACE, trials=8)
    plain = {t.point: t for t in searched(config, 1)}
    fused = {t.point: t for t in searched(replace(config, study="fused"), 4)}
    assert plain.keys() == fused.keys() == set(range(8))
    sizes = set()
    for point, one in fused.items():
        other = plain[point]
        assert (one.params, one.seed, one.state) == (other.params, other.seed, other.state)
        assert one.curve[0].train_loss == pytest.approx(other.curve[0].train_loss, rel=1e-3)
        assert one.facts["first_loss"] == pytest.approx(other.facts["first_loss"], rel=1e-5)
        assert one.diagnosis is not None
        assert one.probe is not None
        assert other.facts["environment"]["fused"] == 1
        sizes.add(one.facts["environment"]["fused"])
    assert max(sizes) > 1


@pytest.mark.parametrize("pruner", [name for name in catalog.PRUNERS if name != "none"])
def test_pruned_trials_leave_their_group(pruner: str) -> None:
    config = digits_config("pruned", space={"lr": Range(1e-6, 1e-1, log=True)}, trials=8,
                           pruner=pruner, epochs=4)  # fmt: skip
    found = searched(config, 8)
    assert {t.state for t in found} <= {State.COMPLETE, State.PRUNED}
    assert all(len(t.curve) == t.epochs for t in found)
    assert all(t.epochs == 4 for t in found if t.state is State.COMPLETE)


class Counted(Scripted):
    """Counts what is submitted together, and what runs at a time."""

    slots = 2

    def __init__(self) -> None:
        super().__init__({})
        self.sizes: list[int] = []
        self.most = 0

    def submit(self, tasks: Sequence[Any]) -> None:
        self.sizes.append(len(tasks))
        super().submit(tasks)
        self.most = max(self.most, len(self.tasks))


def test_a_group_takes_one_slot() -> None:
    executor = Counted()
    searched(digits_config("slots", space={"lr": Range(1e-3, 1e-1)}, trials=8), 3, executor)
    assert executor.sizes == [3, 3, 2]
    assert executor.most == 6


@pytest.mark.parametrize("change", [{"sampler": "tpe"}, {}], ids=["tpe", "folds"])
def test_tpe_and_folds_are_not_fused(change: dict[str, Any]) -> None:
    config = digits_config("alone", space={"lr": Range(1e-3, 1e-1)}, trials=8, **change)
    if not change:
        folds = type(config.data).model_validate({"name": "digits", "validation": {"folds": 2}})
        config = replace(config, data=folds)
    executor = Counted()
    searched(config, 3, executor)
    assert set(executor.sizes) == {1}
    ready = examine(config, lambda _: None, "x")
    assert fused_size(lambda: [config.at({}, 0)], replace(config, fuse=4), ready, 1) == 1


def singles(count: int, **train: Any) -> list[Config]:
    config = digits_config(train=train)
    return [config.at({}, seed) for seed in range(count)]


def items(configs: Sequence[Config]) -> Iterator[group.Item]:
    for found in group.run(configs):
        yield from found


class TestHalving:
    def told(self, configs: Sequence[Config]) -> dict[int, list[object]]:
        kept: dict[int, list[object]] = {}
        for number, content in items(configs):
            kept.setdefault(number, []).append(content)
        return kept

    def kinds(self, contents: Sequence[object]) -> list[object]:
        return [c.epoch if isinstance(c, EpochResult) else type(c) for c in contents]

    @pytest.mark.parametrize("fits", [1, 2, 3])
    def test_a_group_too_large_is_halved(
        self, fits: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Until it fits, from its beginning or in an epoch; nothing is told twice."""
        fused, sizes = train_fused, []

        def limited(members: Sequence[Any], data: Any) -> Iterator[Any]:
            sizes.append(len(members))
            epochs = fused(members, data)
            yield next(epochs)
            if len(members) > fits:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            yield from epochs

        monkeypatch.setattr(group, "train_fused", limited)
        kept = self.told(singles(5))
        assert sorted(kept) == list(range(5))
        assert all(self.kinds(c) == [Prepared, 1, 2, Outcome] for c in kept.values())
        assert all(c[-1].state is State.COMPLETE for c in kept.values())  # type: ignore[attr-defined]
        assert sizes == {1: [5, 3, 2, 2], 2: [5, 3, 2, 2], 3: [5, 3, 2]}[fits]
        assert "5 fused trials failed, halved: OutOfMemoryError" in capsys.readouterr().err

    def test_one_that_fails_fails_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = runner.make_network

        def failing(config: Config, *rest: Any) -> Any:
            if config.seed == 2:
                raise ValueError("no")
            return made(config, *rest)

        monkeypatch.setattr("cnnsearch.runner.make_network", failing)
        kept = self.told(singles(4))
        ends = [kept[number][-1] for number in range(4)]
        states = [end.state for end in ends if isinstance(end, Outcome)]
        assert states == [State.COMPLETE, State.COMPLETE, State.FAILED, State.COMPLETE]


def test_the_size_that_costs_least() -> None:
    costs = {1: 1.0, 4: 1.2, 16: 2.0, 64: 6.0, 256: 23.0}
    assert best_size(lambda n: Timed(costs[n], n), 1000) == 64
    assert best_size(lambda n: Timed(costs[n], n), 20) == 16
    assert best_size(lambda n: Timed(costs[n], n) if n < 16 else None, 1000) == 4
    assert best_size(lambda n: Timed(float(n), n), 1000) == 1
    assert best_size(lambda _: None, 1000) == 1


def test_sizes_of_a_config() -> None:
    """On a CPU only where the config says so."""
    config = digits_config()
    ready = examine(config, lambda _: None, "x")

    def runs() -> list[Config]:
        return [config.at({}, 0)]

    assert fused_size(runs, replace(config, fuse="auto"), ready, 1) == 1
    assert fused_size(runs, replace(config, fuse=False), ready, 1) == 1
    assert fused_size(runs, replace(config, fuse=7), ready, 1) == 7


@pytest.mark.parametrize("size", [1, 3])
def test_a_group_is_timed(size: int) -> None:
    config = digits_config()
    found = timed(config.at({}, 0), examine(config, lambda _: None, "x"), size)
    assert found is not None
    assert 0 < found.seconds < 100

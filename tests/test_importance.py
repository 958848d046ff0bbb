"""The verb importance on studies whose hyperparameters are known to matter, or not to."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.records import Params, Start, State
from cnnsearch.space import Choice, Condition, Range, Space, random_point
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import multiply
from tests.terminals import on_terminal

SPACE: Space = {
    "lr": Range(1e-5, 1.0, log=True, points=6),
    "init": Choice(("zeros", "xavier", "he")),
    "conv": Choice(([8], [16, 32])),
    "batchnorm": Choice((True, False)),
    "dropout": Range(0.0, 0.5, when=(Condition("batchnorm", (False,)),)),
    "kernel": Choice((3,)),
}
NAMES = [
    "study", "target", "objective", "evaluator", "trials", "needed", "states", "left_out", "top",
    "explained", "importances", "constant", "too_few", "interactions", "pairs_judged",
]  # fmt: skip


@dataclass(frozen=True)
class End:
    """How a trial is told to have ended."""

    value: float | None = None
    state: State = State.COMPLETE
    seconds: float = 1.0


Teller = Callable[[Params, random.Random], End]


def write(
    path: Path,
    name: str,
    told: Teller,
    points: Sequence[Params],
    space: Space = SPACE,
    **search: Any,
) -> None:
    """A study in a real storage whose trials end as `told` tells of their hyperparameters."""
    study = Study.claim(str(path), digits_config(name, space, 3, **search), "images", len(points))
    draws = random.Random(0)
    first = len(study.trials())
    try:
        for k, params in enumerate(points, first):
            trial = study.begin(Start(k, str(k), 1, k, params))
            end = told(params, draws)
            study.finish(
                replace(trial, state=end.state, value=end.value, epochs=3, seconds=end.seconds)
            )
    finally:
        study.release()


def points(count: int, space: Space = SPACE) -> list[dict[str, Any]]:
    return [random_point(space, 0, k) for k in range(count)]


def decades(params: Params) -> float:
    """How many decades lr lies from 0.01."""
    lr = params["lr"]
    assert isinstance(lr, float)
    return abs(math.log10(lr) + 2)


def by_lr(params: Params, draws: random.Random) -> End:
    """The value hangs on lr, divergence on init alone, the time on conv."""
    seconds = 2.0 if params["conv"] == [8] else 5.0
    if params["init"] == "zeros" and draws.random() < 0.6:
        return End(None, State.DIVERGED)
    return End(0.9 - 0.2 * decades(params) + draws.gauss(0, 0.02), seconds=seconds + draws.random())


def by_pair(params: Params, draws: random.Random) -> End:
    """What counts is lr beside batchnorm; neither tells anything alone."""
    low = decades(params) > 0.5 and params["lr"] < 0.01  # type: ignore[operator]
    return End(0.5 + 0.3 * (low is params["batchnorm"]) + draws.gauss(0, 0.03))


def by_dropout(params: Params, draws: random.Random) -> End:
    """Where dropout is active it decides, and nothing else does."""
    dropout = params.get("dropout")
    assert dropout is None or isinstance(dropout, float)
    value = 0.5 if dropout is None else 0.2 + 1.2 * dropout
    return End(value + draws.gauss(0, 0.02))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("importance") / "studies.db"
    write(path, "lr", by_lr, points(60))
    write(path, "few", by_lr, points(12))
    write(path, "tiny", by_lr, [{"lr": p["lr"], "init": "he", "conv": [8]} for p in points(24)])
    write(path, "equal", lambda params, draws: End(0.5), points(20))
    return path


@pytest.fixture
def call(storage: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(study: str, *options: str, path: Path = storage) -> tuple[int, str, str]:
        code = cli.run(["importance", study, "--storage", str(path), *options])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


Call = Callable[..., tuple[int, str, str]]


ASKED: dict[tuple[Any, ...], str] = {}


def told(call: Call, study: str, *options: str, **more: Any) -> dict[str, Any]:
    """What a study tells, asked once."""
    asked = (study, options, *more.items())
    if asked not in ASKED:
        code, out, err = call(study, "--json", *options, **more)
        assert (code, err) == (0, "")
        ASKED[asked] = out
    found = json.loads(ASKED[asked])
    assert list(found) == NAMES
    assert isinstance(found, dict)
    return found


def ranking(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["importances"]]


def telling(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["importances"] if one["told_from_chance"]]


class TestWhatMattered:
    def test_for_the_value(self, call: Call) -> None:
        found = told(call, "lr")
        assert ranking(found)[0] == "lr"
        # Zeros diverge, so they are never among the best.
        assert telling(found) in (["lr"], ["lr", "init"])
        assert found["importances"][0]["importance"] > 0.5
        assert found["states"]["diverged"] > 5
        assert found["trials"] == 60
        assert found["constant"] == [{"name": "kernel", "value": 3}]
        assert math.fsum(one["importance"] for one in found["importances"]) == pytest.approx(1)

    def test_for_diverging(self, call: Call) -> None:
        found = told(call, "lr", "--target", "diverged")
        assert telling(found) == ["init"]
        assert found["top"] == found["states"]["diverged"]

    def test_for_the_time_of_complete_trials(self, call: Call) -> None:
        """`conv` is a choice of lists, which Optuna keeps as texts."""
        found = told(call, "lr", "--target", "seconds")
        assert telling(found) == ["conv"]
        assert found["states"] == {"complete": found["trials"]}
        assert found["left_out"] == {"diverged": 60 - found["trials"]}

    def test_by_fanova(self, call: Call) -> None:
        found = told(call, "lr", "--evaluator", "fanova")
        assert telling(found)[0] == "lr"
        assert set(telling(found)) <= {"lr", "init"}
        assert found["explained"] > 0.25
        assert told(call, "lr", "--evaluator", "fanova", "--target", "diverged")["importances"][0][
            "name"
        ] == "init"  # fmt: skip

    def test_intervals_hold_what_they_are_of(self, call: Call) -> None:
        for one in told(call, "lr")["importances"]:
            assert 0 <= one["low"] <= one["importance"] <= one["high"] <= 1

    def test_two_calls_tell_the_same(self, call: Call) -> None:
        before = told(call, "lr")
        assert json.loads(call("lr", "--json")[1]) == before


def test_an_interaction_of_two_is_found(call: Call, tmp_path: Path) -> None:
    space = {name: SPACE[name] for name in ("lr", "init", "batchnorm")}
    write(tmp_path / "pair.db", "pair", by_pair, points(80, space), space)
    found = told(call, "pair", path=tmp_path / "pair.db")
    assert found["interactions"][0]["names"] == ["lr", "batchnorm"]
    assert len(found["interactions"]) == 1
    assert found["interactions"][0]["importance"] > 0.4
    assert found["pairs_judged"] == 3
    assert "batchnorm" not in telling(found)
    out = call("pair", path=tmp_path / "pair.db")[1]
    assert "\nlr x batchnorm  " in out
    assert "2 other pairs may be chance" in out


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conditional") / "studies.db"
    write(path, "conditional", by_dropout, points(70))
    return path


class TestConditional:
    @pytest.mark.parametrize("evaluator", ["ped-anova", "fanova"])
    def test_is_judged_where_it_is_active(self, call: Call, path: Path, evaluator: str) -> None:
        found = told(call, "conditional", "--evaluator", evaluator, path=path)
        assert "dropout" in telling(found)
        assert set(telling(found)) <= {"dropout", "batchnorm"}
        [dropout] = [one for one in found["importances"] if one["name"] == "dropout"]
        active = sum("dropout" in params for params in points(70))
        assert dropout["trials"] == active < 70
        assert all(o["trials"] == 70 for o in found["importances"] if o["name"] != "dropout")

    def test_is_not_judged_where_it_hardly_ever_is(self, call: Call, path: Path) -> None:
        rare = path.parent / "rare.db"
        chosen = [p for p in points(70) if "dropout" not in p][:20]
        chosen += [p for p in points(70) if "dropout" in p][:4]
        write(rare, "rare", by_lr, chosen)
        found = told(call, "rare", path=rare)
        assert found["too_few"] == [{"name": "dropout", "trials": 4}]
        assert "dropout" not in ranking(found)
        assert "dropout (active in 4, it takes 20)" in call("rare", path=rare)[1]


def test_a_grid_that_has_grown(call: Call, tmp_path: Path) -> None:
    """Optuna's trials lack a choice that the grid has gained; the trials' own attribute has it."""
    path = tmp_path / "grown.db"
    small: Space = {"init": Choice(("zeros", "xavier")), "epochs": Choice((1, 2, 3, 4, 5, 6))}
    large: Space = {**small, "init": Choice(("zeros", "xavier", "he"))}

    def by_init(params: Params, draws: random.Random) -> End:
        return End(0.9 if params["init"] == "he" else 0.3 + 0.01 * draws.random())

    def grid(inits: Sequence[str]) -> list[Params]:
        return [{"init": init, "epochs": n} for init in inits for n in range(1, 7)]

    write(path, "grown", by_init, grid(("zeros", "xavier")), small, sampler="grid")
    write(path, "grown", by_init, grid(("he",)) + grid(("he",)), large, sampler="grid")
    found = told(call, "grown", path=path)
    assert found["trials"] == 24
    assert telling(found) == ["init"]


class TestRefused:
    def refused(self, call: Call, study: str, *options: str, **more: Any) -> str:
        code, out, err = call(study, *options, **more)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        return err

    def test_too_few_trials(self, call: Call) -> None:
        line = self.refused(call, "few")
        assert "few: 12 ended trials; importance takes 20." in line
        assert "Run more: cnnsearch run FILE -n 40." in line
        assert "12 ended" in self.refused(call, "few", "--target", "diverged")
        assert "importance takes 20" in self.refused(call, "few", "--target", "seconds")

    def test_values_that_are_all_equal(self, call: Call) -> None:
        assert "the value is the same in all 20 trials" in self.refused(call, "equal")

    def test_diverged_where_none_did(self, call: Call) -> None:
        line = self.refused(call, "equal", "--target", "diverged")
        assert "0 of 20 trials of equal diverged" in line
        assert "Write --target value." in line

    def test_a_study_that_searched_nothing(self, call: Call, tmp_path: Path) -> None:
        space: Space = {"lr": Choice((0.1,))}
        write(tmp_path / "one.db", "one", by_lr_only, [{"lr": 0.1}] * 20, space)
        assert "no hyperparameter has two" in self.refused(call, "one", path=tmp_path / "one.db")

    def test_fanova_without_scikit_learn(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sklearn", None)
        line = self.refused(call, "lr", "--evaluator", "fanova")
        assert "pip install 'cnnsearch[fanova]'" in line
        code, out, _ = call("lr")
        assert code == 0
        assert out.endswith(
            "Interactions of two need scikit-learn: pip install 'cnnsearch[fanova]'.\n"
        )
        assert json.loads(call("lr", "--json")[1])["interactions"] is None

    @pytest.mark.parametrize("option", ["--target", "--evaluator"])
    def test_a_word_that_is_none_of_them(self, call: Call, option: str) -> None:
        assert option in self.refused(call, "lr", option, "vlaue")


def by_lr_only(params: Params, draws: random.Random) -> End:
    return End(draws.random())


def test_a_thousand_trials(call: Call, storage: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    write(path, "many", by_lr, points(30))
    multiply(path, 1000)
    begun = time.process_time()
    found = told(call, "many", path=path)
    assert time.process_time() - begun < 15  # 4 s where nothing else runs
    assert found["trials"] == 1000
    assert ranking(found)[0] == "lr"


class TestOutput:
    def test_the_table(self, call: Call) -> None:
        code, out, err = call("lr")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].startswith("lr: what mattered for val_accuracy; 60 trials: ")
        assert lines[1] == (
            "PED-ANOVA: which hyperparameters separate the 12 best trials from all of them."
        )
        assert lines[2] == "Diverged trials count as worse than complete ones."
        assert lines[4].split() == ["name", "importance", "95%", "interval", "trials"]
        assert lines[5].startswith("lr ")
        assert "█" in lines[5]
        assert "may be chance" not in lines[5]
        assert any("may be chance" in line for line in lines[6:9])
        assert "not judged: kernel (always 3)" in lines
        assert any(line.startswith("interactions") for line in lines)

    def test_a_terminal_of_eighty_columns(self, storage: Path) -> None:
        text = on_terminal(["-m", "cnnsearch", "importance", "lr", "--storage", str(storage)])
        assert "\x1b[36m" in text
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 80

    def test_ascii(self, storage: Path) -> None:
        words = ["-m", "cnnsearch", "importance", "tiny", "--storage", str(storage)]
        text = on_terminal(words, NO_COLOR="1", LC_ALL="C", PYTHONIOENCODING="ascii")
        assert text.isascii()
        assert "\x1b[36m" not in text
        assert "###" in text

    def test_nothing_is_written(self, call: Call, storage: Path) -> None:
        before = read.summary_and_trials(str(storage), "lr")
        size = storage.read_bytes()
        call("lr", "--evaluator", "fanova")
        assert read.summary_and_trials(str(storage), "lr") == before
        assert storage.read_bytes() == size

    def test_torch_is_not_loaded(self, storage: Path) -> None:
        code = (
            "import sys; from cnnsearch import cli;"
            f"assert cli.run(['importance', 'few', '--storage', {str(storage)!r}]) == 2;"
            f"assert cli.run(['importance', 'lr', '--storage', {str(storage)!r}]) == 0;"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_real_search_over_the_learning_rate(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On digits nothing else matters where lr spans eight decades."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real.yaml").write_text(
        "device: cpu\n"
        "data: {name: digits, limit: 200}\n"
        "model: {conv: [], hidden: [16]}\n"
        "train: {epochs: 1, batch_size: 32}\n"
        "search: {sampler: random, trials: 24}\n"
        "space:\n"
        "  lr: {low: 1e-6, high: 10.0, log: true}\n"
        "  weight_decay: {low: 1e-7, high: 1e-5, log: true}\n",
        encoding="utf-8",
    )
    assert cli.run(["run", "real.yaml", "-j", "0"]) == 0
    capsys.readouterr()
    found = told(call, "real", path=tmp_path / "cnnsearch.db")
    assert telling(found) == ["lr"]

"""From the best trials to the next space: on trials that are told, and the verb."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.config import from_plain, load, load_with_notes, with_values
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.config.stages_section import FEWEST
from cnnsearch.errors import InputError
from cnnsearch.records import Diagnosis, Finding, Params, State, Trial
from cnnsearch.render.text import clean
from cnnsearch.review.narrowing import Narrowing, Options, narrowed
from cnnsearch.running import searching
from cnnsearch.space import Choice, Condition, Parameter, Range, Space, random_point
from cnnsearch.stages import following, next_names
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import complete, point, write_study
from tests.terminals import on_terminal
from tests.verbs import Found

LR = Range(1e-4, 1.0, log=True)


def trial(k: int, params: Params, value: float | None, *rules: str) -> Trial:
    """A trial; without a value it diverged."""
    findings = tuple(Finding(rule, 1.0, 0.5, "seen") for rule in rules)
    state = State.DIVERGED if value is None else State.COMPLETE
    diagnosis = Diagnosis(rules[0] if rules else "ok", findings)
    return Trial(k, k, str(k), 1, state, value, params, 2, 1, 1.0, None, k, None,
                 diagnosis=diagnosis)  # fmt: skip


def one_range(numbers: Sequence[float], values: Sequence[float], name: str = "lr") -> list[Trial]:
    return [trial(k, {name: n}, v) for k, (n, v) in enumerate(zip(numbers, values, strict=True))]


def narrow(
    trials: Sequence[Trial], space: Space, sampler: str = "random", **options: Any
) -> Narrowing:
    return narrowed(trials, space, "maximize", sampler, Options(**options))


def of_one(old: Parameter, numbers: Sequence[float], best: Sequence[float], **options: Any) -> Any:
    """What becomes of a range when the trials at `best` are the best."""
    values = [1.0 if n in best else 0.0 for n in numbers]
    count = sum(n in best for n in numbers)
    options = {"top": count, "extend": False} | options
    found = narrow(one_range(numbers, values), {"lr": old}, **options)
    return found.space["lr"], found.evidence[0].why


LOG = [10 ** (-4 + 4 * i / 40) for i in range(41)]


def test_a_log_range_shrinks_to_the_best_with_a_margin_in_its_own_scale() -> None:
    best = [n for n in LOG if 0.99e-3 < n < 1.01e-2]
    new, why = of_one(LR, LOG, best)
    # One decade, and a quarter of one at each end.
    assert new.low == pytest.approx(10**-3.25, rel=0.01)
    assert new.high == pytest.approx(10**-1.75, rel=0.01)
    assert new.log
    assert why == "the best 11 have 0.001 to 0.01"
    new, _ = of_one(LR, LOG, best, pad=0)
    assert (new.low, new.high) == (0.001, 0.01)


def test_a_linear_range() -> None:
    numbers = [i / 20 for i in range(21)]
    new, _ = of_one(Range(0.0, 1.0), numbers, [0.4, 0.5, 0.6])
    assert (new.low, new.high) == (0.35, 0.65)


@pytest.mark.parametrize("best", [[LOG[-1]], [LOG[-2], LOG[-1]], LOG[30:]])
def test_a_margin_ends_at_the_old_range(best: Sequence[float]) -> None:
    new, _ = of_one(LR, LOG, best)
    assert new.high == 1.0
    assert new.low < min(best)


def test_one_best_value_keeps_a_tenth_of_the_range() -> None:
    new, why = of_one(LR, LOG, [LOG[20]])
    assert new.high / new.low == pytest.approx(10**0.4, rel=0.02)
    assert new.low < LOG[20] < new.high
    assert why == "the best has 0.01: too close, 10% of the range kept"


def test_of_few_values_the_neighbours_stay_inside() -> None:
    """A grid of 5 values: the best between two neighbours that were worse."""
    numbers = [0.0, 0.25, 0.5, 0.75, 1.0]
    new, _ = of_one(Range(0.0, 1.0, points=5), numbers, [0.5])
    assert (new.low, new.high, new.points) == (0.25, 0.75, 5)
    new, _ = of_one(Range(0.0, 1.0, points=5), numbers, [0.0])
    assert (new.low, new.high) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("old", "best", "low", "high"),
    [
        (Range(0.0, 0.5, step=0.1), [0.2, 0.3], 0.1, 0.4),
        (Range(0.0, 0.55, step=0.1), [0.5], 0.3, 0.55),
        (Range(16, 64, integer=True, step=16), [32, 48], 16, 64),
        (Range(1, 9, integer=True), [4, 6], 3, 7),
        (Range(1, 2, integer=True), [1], 1, 2),
        (Range(1, 1000, log=True, integer=True), [10, 20], 8, 24),
    ],
)
def test_steps_and_whole_numbers(
    old: Range, best: Sequence[float], low: float, high: float
) -> None:
    count = int((old.high - old.low) / (old.step or 1)) + 1
    tried = [round(old.low + i * (old.step or 1), 6) for i in range(count)]
    tried *= 3  # each value three times, the best ones too
    new, _ = of_one(old, tried, best)
    assert (new.low, new.high) == (low, high)
    assert (new.step, new.integer) == (old.step, old.integer)
    assert isinstance(new.low, int) is isinstance(old.low, int)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_trials_the_new_range_holds_the_best_and_lies_in_the_old(seed: int) -> None:
    rng = random.Random(seed)
    space: Space = {
        "lr": Range(1e-6, 10 ** rng.uniform(-5, 0), log=True),
        "momentum": Range(0.0, rng.uniform(0.1, 0.99)),
        "batch_size": Range(8, 8 + rng.randrange(1, 200), integer=True),
        "hidden": Choice(([16], [32], [64])),
        "dropout": Range(0.0, 0.5, step=0.1, when=(Condition("hidden", ([16], [64])),)),
    }
    count = rng.randrange(5, 60)
    trials = [trial(k, random_point(space, seed, k), round(rng.random(), 1)) for k in range(count)]
    found = narrow(trials, space, extend=False, top=f"{rng.randrange(1, 100)}%")
    order = sorted(trials, key=lambda t: (-(t.value or 0.0), t.point))[: found.top]
    for name, new in found.space.items():
        assert (
            all(t.params[name] in new.choices for t in order)
            if isinstance(new, Choice)
            else (
                all(new.low <= t.params[name] <= new.high for t in order if name in t.params)  # type: ignore[operator]
            )
        )
        old = space[name]
        if isinstance(old, Range) and isinstance(new, Range):
            assert old.low <= new.low < new.high <= old.high
            if old.step is None and not old.integer:
                assert new != replace(old, low=new.high)
    # The config's own rules accept it.
    config = digits_config("s", space)
    plain = {name: parameter_to_plain(one) for name, one in found.space.items()}
    assert with_values(config, {"space": plain}).space == found.space


def peak(params: Params, at: float = 0.9) -> float:
    lr = params["lr"]
    assert isinstance(lr, float)
    return 1.0 - abs(lr - at) / 10


def drawn(count: int, value: Callable[[Params], float | None], space: Space) -> list[Trial]:
    points = [random_point(space, 0, k) for k in range(count)]
    return [trial(k, params, value(params)) for k, params in enumerate(points)]


def test_the_best_at_an_edge_extend_the_range_there() -> None:
    trials = drawn(40, peak, {"lr": LR})
    found = narrow(trials, {"lr": LR})
    new = found.space["lr"]
    assert isinstance(new, Range)
    assert new.high == 10.0
    assert 0.05 < new.low < 1.0
    [one] = found.evidence
    assert one.extended
    assert "; extended: the best has " in one.why
    assert one.why.endswith("lie near the high end")
    still = narrow(trials, {"lr": LR}, extend=False).space["lr"]
    assert isinstance(still, Range)
    assert still.high <= 1.0


def test_what_the_images_must_fit_is_not_extended() -> None:
    space: Space = {"kernel": Range(1, 9, integer=True)}
    trials = drawn(60, lambda p: float(p["kernel"]), space)  # type: ignore[arg-type]
    assert narrow(trials, space).space["kernel"] == Range(7, 9, integer=True)


def test_an_extension_that_another_field_forbids_is_left_out() -> None:
    space: Space = {"batch_size": Range(2, 64, log=True, integer=True)}
    config = digits_config("s", space)
    trials = drawn(40, lambda p: -float(p["batch_size"]), space)  # type: ignore[arg-type]
    new, narrowing = following(config, trials, {}, Options())
    assert new.space is not None
    assert new.space["batch_size"].low == 1  # type: ignore[union-attr]
    assert narrowing.extended
    normed = replace(config, model=config.model.model_copy(update={"batchnorm": True}))
    new, narrowing = following(normed, trials, {}, Options())
    assert new.space is not None
    assert new.space["batch_size"].low == 2  # type: ignore[union-attr]
    assert not narrowing.extended


ACTIVATIONS = Choice(("relu", "tanh", "elu", "gelu", "selu"))


def test_choices_without_a_best_trial_are_dropped_unless_hardly_tried() -> None:
    tried = {"relu": 5, "tanh": 4, "elu": 2, "gelu": 3}
    trials = [
        trial(k, {"activation": name}, 0.9 if name == "relu" else 0.5)
        for k, name in enumerate(name for name, times in tried.items() for _ in range(times))
    ]
    found = narrow(trials, {"activation": ACTIVATIONS}, top=3)
    assert found.space["activation"] == Choice(("relu", "elu", "selu"))
    assert [(one.kept, one.why) for one in found.evidence[0].values] == [
        (True, "5 of the best 5, tried 5 times"),
        (False, "none of the best 5, tried 4 times"),
        (True, "kept: tried only 2 times"),
        (False, "none of the best 5, tried 3 times"),
        (True, "kept: never tried"),
    ]


def test_diverged_trials_count_as_tried() -> None:
    trials = [trial(k, {"activation": "relu"}, 0.9) for k in range(6)]
    trials += [trial(6 + k, {"activation": "elu"}, None) for k in range(3)]
    found = narrow(trials, {"activation": Choice(("relu", "elu"))})
    assert found.space["activation"] == Choice(("relu",))


CONDITIONAL: Space = {
    "activation": Choice(("relu", "leaky_relu", "maxout")),
    "dropout": Range(0.0, 0.5, when=(Condition("activation", ("leaky_relu", "maxout")),)),
    "momentum": Choice((0.0, 0.9), when=(Condition("activation", ("maxout",)),)),
    "hidden": Choice(([8], [16])),
}


def test_conditions_lose_the_values_that_are_dropped() -> None:
    def value(params: Params) -> float:
        return {"relu": 0.5, "leaky_relu": 0.9, "maxout": 0.1}[str(params["activation"])]

    found = narrow(drawn(40, value, CONDITIONAL), CONDITIONAL)
    assert found.space["activation"] == Choice(("leaky_relu",))
    assert found.space["dropout"].when == (Condition("activation", ("leaky_relu",)),)
    assert "momentum" not in found.space
    [gone] = [one for one in found.evidence if one.name == "momentum"]
    assert (gone.new, gone.why) == (None, "left out: needs activation maxout")
    config = digits_config("s", CONDITIONAL)
    plain = {name: parameter_to_plain(one) for name, one in found.space.items()}
    assert with_values(config, {"space": plain}).space == found.space


def test_what_is_active_in_none_of_the_best_is_kept() -> None:
    space: Space = {
        "activation": Choice(("relu", "maxout")),
        "momentum": Range(0.1, 0.9, when=(Condition("activation", ("maxout",)),)),
    }
    trials = [trial(k, {"activation": "relu"}, 0.9) for k in range(6)]
    trials += [trial(6 + k, {"activation": "maxout", "momentum": 0.5}, 0.1) for k in range(2)]
    found = narrow(trials, space)
    assert found.space == space
    assert found.evidence[1].why == "kept: in none of the best 6"


def test_equals_of_the_last_best_are_among_the_best() -> None:
    trials = one_range(LOG[:10], [0.5] * 10)
    assert narrow(trials, {"lr": LR}, top=3).top == 10


@pytest.mark.parametrize(("top", "expected"), [("20%", 8), ("1%", 3), ("100%", 40), (1, 1), (7, 7)])
def test_how_many_are_the_best(top: str | int, expected: int) -> None:
    trials = one_range(LOG[:40], [k / 40 for k in range(40)])
    assert narrow(trials, {"lr": LR}, top=top).top == expected


def test_trials_that_learned_nothing_are_not_the_best() -> None:
    trials = [trial(k, {"lr": LOG[k]}, 0.1, "not-learning") for k in range(30)]
    with pytest.raises(InputError, match="not one of the best 30 trials has learned anything"):
        narrow(trials, {"lr": LR})
    trials += [trial(30, {"lr": 0.5}, 0.3)]
    found = narrow(trials, {"lr": LR}, top=2)
    assert found.top == 1
    assert found.evidence[0].why.startswith("the best has 0.5")


@pytest.mark.parametrize(("count", "top", "needed"), [(0, "20%", 5), (4, "20%", 5), (6, 7, 7)])
def test_too_few_trials(count: int, top: str | int, needed: int) -> None:
    trials = [trial(k, {"lr": LOG[k]}, 0.5) for k in range(count)]
    trials += [trial(count + k, {"lr": 0.9}, None) for k in range(10)]
    with pytest.raises(InputError, match=f"narrowing takes {needed} at least"):
        narrow(trials, {"lr": LR}, top=top)
    assert FEWEST == 5


def test_numbers_and_lost_attempts_make_no_difference() -> None:
    """Killed and continued, the points have other numbers; equal values are common."""
    # The best are equal, and only some of them lie at the end that is to be extended.
    trials = drawn(30, lambda p: 1.0 if peak(p, 1.0) > 0.92 else peak(p, 1.0), {"lr": LR})
    expected = narrow(trials, {"lr": LR})
    assert expected.extended
    later = [replace(t, number=t.number + 100) if t.point < 20 else t for t in trials]
    lost = [
        replace(t, number=50 + t.point, attempt=1, state=State.KILLED, value=None)
        for t in trials[:5]
    ]
    again = [replace(t, attempt=2) if t.point < 5 else t for t in later]
    for seed in range(5):
        mixed = [*lost, *again]
        random.Random(seed).shuffle(mixed)
        assert narrow(mixed, {"lr": LR}) == expected


def test_lower_is_better_too() -> None:
    trials = one_range(LOG, [abs(i - 10) / 10 for i in range(41)])
    found = narrowed(trials, {"lr": LR}, "minimize", "random", Options(top=3))
    assert (found.best, found.worst) == (0.0, 0.1)
    assert found.space["lr"].low < LOG[10] < found.space["lr"].high  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("study", "name"),
    [
        ("coarse", "coarse-2"),
        ("coarse-2", "coarse-3"),
        ("x-9", "x-10"),
        ("cifar-10", "cifar-10-2"),
        ("a" * 64, "a" * 62 + "-2"),
        ("dig.1", "dig.1-2"),
    ],
)
def test_names(study: str, name: str) -> None:
    assert next(next_names(study)) == name


# The verb


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 trials of `coarse`, best at lr 0.1 with he; 2 of `few`."""
    path = tmp_path_factory.mktemp("narrow") / "studies.db"
    rng = random.Random(1)
    told = []
    for k in range(30):
        lr, init = 10 ** rng.uniform(-5, 1), ("he", "normal:0.01")[k % 2]
        value = (
            0.9 - 0.05 * abs(len(f"{lr:.9f}".split(".")[1].rstrip("0")) % 2) - abs(lr - 0.1) / 20
        )
        told.append(complete(value - 0.4 * (k % 2), point(lr, init, k % 3 > 0)))
    write_study(path, "coarse", tuple(told))
    write_study(path, "few", tuple(told[:2]))
    return path


@pytest.fixture
def call(
    storage: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Run the program on the storage, in a folder of its own."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


def test_the_config_goes_to_stdout_and_the_evidence_to_stderr(call: Any, tmp_path: Path) -> None:
    found = call("narrow", "coarse", "--epochs", "7", "-n", "9", "-S", "schedule=cosine",
                 "--folds", "3")  # fmt: skip
    assert found.code == 0
    path = tmp_path / "next.yaml"
    path.write_text(found.out)
    config, notes = load_with_notes(path)
    assert notes == []
    assert (config.study, config.seed) == ("coarse-2", 1)
    assert (config.train.epochs, config.train.schedule, config.data.folds) == (7, "cosine", 3)
    assert config.search is not None
    assert config.search.trials == 9
    assert config.space is not None
    assert config.space["init"] == Choice(("he",))
    first, second = found.out.splitlines()[:2]
    assert first.startswith("# coarse-2: narrowed to the best 6 of 30 complete trials of coarse")
    assert second == ("# Written by: cnnsearch narrow coarse --epochs 7 -n 9 -S schedule=cosine "
                      "--folds 3")  # fmt: skip
    rows = [line.split() for line in found.err.splitlines()]
    assert "coarse is not finished" not in found.err
    assert ["name", "old", "new", "why"] in rows
    assert any(row[:4] == ["lr", "1e-05", "to", "10"] for row in rows)
    assert any(row[:2] == ["normal:0.01", "-"] for row in rows)


def test_o_writes_the_file_and_prints_the_table(call: Any, tmp_path: Path) -> None:
    found = call("narrow", "coarse", "-o", "fine.yaml", "--name", "fine")
    assert found.code == 0
    assert found.out.startswith("fine: narrowed to the best 6 of 30")
    assert "Wrote fine.yaml. Next: cnnsearch run fine.yaml\n" in found.err
    assert load(tmp_path / "fine.yaml").study == "fine"
    other = call("narrow", "coarse", "-o", "fine.yaml", "--name", "other")
    assert (other.code, other.out) == (2, "")
    assert (
        other.err == "fine.yaml: exists. Write --force to overwrite it, or -o with another name.\n"
    )
    assert load(tmp_path / "fine.yaml").study == "fine"
    assert call("narrow", "coarse", "-o", "fine.yaml", "--name", "other", "--force").code == 0
    assert load(tmp_path / "fine.yaml").study == "other"


def test_json(call: Any) -> None:
    found = json.loads(call("narrow", "coarse", "--json").out)
    assert (found["study"], found["parent"], found["file"]) == ("coarse-2", "coarse", None)
    assert (found["top"], found["complete"]) == (6, 30)
    lr, init, *_ = found["parameters"]
    assert lr["old"] == {"low": 1e-5, "high": 10.0, "log": True}
    assert 1e-5 < lr["new"]["low"] < 0.1 < lr["new"]["high"] <= 10
    assert [one["kept"] for one in init["values"]] == [True, False]
    assert from_plain(found["config"]).space is not None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["few"], "few: 2 trials are complete, and narrowing takes 5 at least."),
        (["coarse", "--top", "0"], "--top: 0 does not fit. Write a share such as 20%"),
        (["coarse", "--top", "0.2"], "--top: '0.2' does not fit."),
        (["coarse", "--top", "101%"], "--top: '101%' does not fit."),
        (["coarse", "--pad", "-1"], "--pad"),
        (["coarse", "-S", "lr=0.1"], "lr is searched"),
        (["coarse", "-S", "lrr=0.1"], "-S lrr=0.1: unknown name 'lrr'. Did you mean lr?"),
        (["coarse", "-S", "epochs=x"], "-S epochs=x: 'x' does not fit."),
        (["coarse", "-S", "epochs=2", "--epochs", "3"], "--epochs and -S epochs together."),
        (["coarse", "-S", "warmup_epochs=9"], "coarse: train.warmup_epochs: a warm-up of 9 of 3"),
        (["coarse", "-n", "3", "-S", "sampler=grid"], "-n: a grid runs its whole product."),
        (["coarse", "--name", "a b"], "--name: 'a b' is no study name. Write --name a-b."),
        (["coarse", "-o", "no/x.yaml"], "no/x.yaml: no folder no."),
        (["coarse", "-j", "1"], "-j is of --run."),
        (["absent"], "no study 'absent'"),
        (["--stages", "absent.yaml"], "absent.yaml: no such file."),
        (["--stages", "x.yaml", "--top", "3"], "--stages takes no --top"),
    ],
)
def test_wrong_input(call: Any, tmp_path: Path, words: Sequence[str], told: str) -> None:
    found = call("narrow", *words)
    assert found.code == 2
    assert told in found.err
    assert len([line for line in found.err.splitlines() if "not finished" not in line]) == 1
    assert found.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_study_is_told(call: Any, storage: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    write_study(path, "half", tuple(complete(0.5 + k / 10, point(0.1)) for k in range(5)))
    found = call("narrow", "half", "--storage", str(path))
    assert found.code == 0
    assert found.err.startswith(
        "half is not finished: 3 points left, so the best may still change."
    )


def test_run_at_once(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command twice goes on with what it began; `--json` is one document."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(tmp_path / "own.db"))
    rng = random.Random(3)
    told = tuple(complete(rng.random(), point(10 ** rng.uniform(-3, -1))) for _ in range(8))
    write_study(tmp_path / "own.db", "coarse", told)
    words = ("narrow", "coarse", "-n", "2", "--epochs", "1", "--run", "-j", "0")
    found = call(*words)
    assert found.code == 0
    assert "coarse-2: 2 trials (random) on digits" in found.err
    assert "Wrote coarse-2.yaml.\n" in found.err, "without what to do next: it is being done"
    assert "nothing left to run" in call(*words).err
    again = json.loads(call(*words, "--force", "--json").out)
    assert again["file"] == "coarse-2.yaml"
    assert again["run"]["counts"] == {"complete": 2}


def test_a_second_narrowing_takes_a_name_of_its_own(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same search, which went on: `run` would refuse the name of the first."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(tmp_path / "own.db"))
    told = tuple(complete(0.5 + k / 20, point(10 ** (-k / 4))) for k in range(8))
    write_study(tmp_path / "own.db", "coarse", told)
    words = ("narrow", "coarse", "-n", "1", "--run", "-j", "0", "--json", "--epochs")
    studies = [json.loads(call(*words, epochs).out)["study"] for epochs in "1213"]
    assert studies == ["coarse-2", "coarse-3", "coarse-2", "coarse-4"]


def test_the_command_that_follows_is_in_the_same_storage(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is told after the file was written, and after Ctrl-C."""
    told = tuple(complete(0.5 + k / 20, point(10 ** (-k / 4))) for k in range(8))
    write_study(tmp_path / "own.db", "coarse", told)
    words = ("narrow", "coarse", "-n", "2", "--epochs", "1", "--storage", "own.db")
    found = call(*words, "-o", "a b.yaml")
    assert "Next: cnnsearch run 'a b.yaml' --storage own.db\n" in found.err
    asked = []

    def interrupted(request: searching.Request) -> searching.Found:
        asked.append(request.again)
        return searching.as_found(replace(request, config=replace(request.config, study="coarse")))

    monkeypatch.setattr(searching, "run", interrupted)
    call(*words, "--run", "-j", "0")
    monkeypatch.setenv("CNNSEARCH_STORAGE", "own.db")
    call(*words[:-2], "--run", "--force")
    assert asked == [
        "cnnsearch run coarse-2.yaml --storage own.db -j 0",
        "cnnsearch run coarse-2.yaml",
    ]


@pytest.mark.parametrize("verb", ["narrow", "importance"])
def test_repeats_are_no_search(tmp_path: Path, call: Any, verb: str) -> None:
    path = str(tmp_path / "own.db")
    kind = {"study": "coarse", "trials": [1]}
    config = digits_config("coarse-rerun", {"lr": LR}, 3)
    Study.claim(path, config, "images", 3, kind).release()
    assert read.summary(path, "coarse-rerun").command == (
        "cnnsearch rerun coarse ..., as it was started"
    )
    found = call(verb, "coarse-rerun", "--storage", path)
    assert (found.code, found.out) == (2, "")
    assert found.err == (
        "study coarse-rerun holds repeats of a few trials of coarse, no search. "
        f"Write cnnsearch {verb} coarse.\n"
    )


@pytest.mark.parametrize("to_file", [True, False])
def test_on_a_terminal_of_80_columns(storage: Path, tmp_path: Path, to_file: bool) -> None:
    # By a short name: commands to write next tell it, and are not wrapped.
    shutil.copy(storage, tmp_path / "studies.db")
    words = ["-m", "cnnsearch", "narrow", "coarse", "--storage", "studies.db"]
    shown = on_terminal([*words, "-o", "x.yaml"] if to_file else words, cwd=tmp_path)
    told = [line for line in clean(shown).splitlines() if not line.startswith("#")]
    assert any("normal:0.01" in line for line in told)
    assert all(len(line) <= 80 for line in told)

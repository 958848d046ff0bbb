"""`compare --by sampler`: whole searches side by side."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.config import Config
from cnnsearch.records import Params, Start, State
from cnnsearch.render.searches import verdict_texts
from cnnsearch.review.progress import Progress, budgets, progress, unlike, verdict
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.terminals import on_terminal

SPACE: Space = {"lr": Range(1e-3, 1.0, log=True, points=3), "init": Choice(("he", "xavier"))}
IMAGES = 100


def config(name: str, sampler: str = "random", **more: Any) -> Config:
    points = {} if sampler == "grid" else {"trials": 6}
    return digits_config(name, SPACE, 3, **{"sampler": sampler, **points, **more})


def write(
    path: Path,
    told: Config,
    values: list[float | State],
    epochs: int = 3,
    fingerprint: str = "images",
) -> None:
    """A study whose trials end with these values, or in these states after one epoch."""
    study = Study.claim(str(path), told, fingerprint, len(values))
    grid = told.search is not None and told.search.sampler == "grid"
    try:
        for k, value in enumerate(values):
            lr = 10.0 ** -(k % 3) if grid else 0.001 * (k + 1)
            params: Params = {"lr": lr, "init": ("he", "xavier")[k % 2]}
            trial = study.begin(Start(k, str(k), 1, k, params))
            facts = {"validation_images": IMAGES}
            if isinstance(value, State):
                ended = replace(trial, state=value, epochs=1, seconds=1.0, facts=facts)
            else:
                ended = replace(
                    trial, state=State.COMPLETE, value=value, epochs=epochs, seconds=1.0,
                    facts=facts,
                )  # fmt: skip
            study.finish(ended)
    finally:
        study.release()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "studies.db"
    write(path, config("told-random"), [0.3, State.DIVERGED, 0.8, 0.7, State.PRUNED, 0.9])
    write(path, config("told-grid", "grid"), [0.4, 0.5, 0.5, 0.6])
    write(path, config("other-random", seed=1), [0.35, 0.55, 0.85])
    write(path, config("by-loss", objective="val_loss"), [0.3, 0.4])
    write(path, config("new-images"), [0.3, 0.4], fingerprint="others")
    write(path, config("at-last", at="last"), [0.3])
    split = config("split")
    write(path, replace(split, data=split.data.model_copy(update={"validation": 0.2})), [0.3])
    longer = config("longer")
    write(path, replace(longer, train=longer.train.model_copy(update={"epochs": 9})), [0.3], 9)
    write(path, config("empty"), [])
    return path


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(storage: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, str, str]:
        code = cli.run(["compare", *words, "--by", "sampler", "--storage", str(storage)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins so."""
    after = text.split(f"{first}  ", 1)[1].splitlines()[1:]
    return [line.split() for line in after[: after.index("")]]


class TestSideBySide:
    def test_what_each_had_found_after_so_many_trials(self, call: Call) -> None:
        code, out, err = call("told-random", "told-grid")
        assert (code, err) == (0, "")
        assert rows(out, "best after trials") == [
            ["1", "0.3000", "0.4000"],
            ["2", "0.3000", "0.5000"],
            ["4", "0.8000", "0.6000"],
            ["5", "0.8000", "-"],
            ["6", "0.9000", "-"],
        ]

    def test_a_trial_that_ended_early_counts_with_the_epochs_it_took(self, call: Call) -> None:
        """Random: 3, 4, 7, 10, 11, 14 epochs; grid: 3, 6, 9, 12."""
        assert rows(call("told-random", "told-grid")[1], "best after epochs") == [
            ["5", "0.3000", "0.4000"],
            ["10", "0.8000", "0.5000"],
            ["12", "0.8000", "0.6000"],
            ["14", "0.9000", "-"],
        ]

    def test_random_finds_more_distinct_values(self, call: Call) -> None:
        assert rows(call("told-random", "told-grid")[1], "distinct values") == [
            ["lr", "6", "3"],
            ["init", "2", "2"],
        ]

    def test_what_they_took(self, call: Call) -> None:
        out = call("told-random", "told-grid")[1]
        assert [" ".join(line.split()) for line in out.splitlines()[1:3]] == [
            "told-random random 6 4 14 0.9000 5",
            "told-grid grid 4 4 12 0.6000 3",
        ]

    def test_the_sentence(self, call: Call) -> None:
        """Of 104 images 0.79 and 0.6 have errors of 0.040 and 0.048: 1.96 of both are 0.12."""
        last = call("told-random", "told-grid")[1].splitlines()[-1]
        assert last == (
            "With 4 trials, or 12 epochs, each, random found 0.8000 and grid 0.6000: 0.2000 "
            "better, more than the error of the validation images (0.1227); how much seeds matter "
            "is not known."
        )

    def test_two_of_one_sampler_are_called_by_their_names(self, call: Call) -> None:
        out = call("told-random", "other-random")[1]
        assert rows(out, "best after trials")[-1] == ["6", "0.9000", "-"]
        last = out.splitlines()[-1]
        assert "other-random found 0.8500 and told-random 0.8000" in last
        assert "within the noise of the two" in last
        assert "neither is told to be better" in last

    def test_more_than_two(self, call: Call) -> None:
        code, out, _ = call("told-random", "told-grid", "other-random")
        assert code == 0
        assert rows(out, "distinct values")[0] == ["lr", "6", "3", "3"]
        assert "other-random found 0.8500 and told-random 0.8000" in out.splitlines()[-1]

    def test_what_else_they_differ_in_is_said(self, call: Call) -> None:
        assert "differ" not in call("told-random", "told-grid", "other-random")[1]
        out = call("told-random", "longer")[1]
        assert out.endswith("Not one file: they differ in train.epochs too.\n")

    def test_json(self, call: Call) -> None:
        code, out, err = call("told-random", "told-grid", "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert list(found) == [
            "objective", "direction", "studies", "same_trials", "same_epochs", "differ_in"
        ]  # fmt: skip
        first = found["studies"][0]
        assert list(first) == [
            "study", "sampler", "trials", "states", "epochs", "best", "distinct", "steps"
        ]  # fmt: skip
        assert first["steps"][1] == {"trial": 1, "trials": 2, "epochs": 4, "best": 0.3}
        assert first["states"] == {"complete": 4, "pruned": 1, "diverged": 1}
        assert first["distinct"] == {"lr": 6, "init": 2}
        assert found["same_trials"]["best"] == "told-random"
        assert found["same_trials"]["budget"] == 4
        assert found["same_trials"]["beyond_noise"] is True
        assert found["same_trials"]["seeds_in_noise"] is False
        assert found["same_epochs"]["trials"] == {"told-random": 5, "told-grid": 4}
        assert found["same_epochs"]["budget"] == 12
        assert found["differ_in"] == []

    def test_markdown_has_the_tables_alone(self, call: Call) -> None:
        out = call("told-random", "told-grid", "--md")[1]
        assert "| best after trials | random | grid |" in out
        assert "┌" not in out

    def test_the_picture_fits_a_terminal(self, storage: Path) -> None:
        words = ["-m", "cnnsearch", "compare", "told-random", "told-grid", "--by", "sampler"]
        text = on_terminal([*words, "--storage", str(storage)])
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert max(map(len, plain.splitlines())) <= 80
        assert "best val_accuracy by trials" in plain
        assert "● random   ▲ grid" in plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["told-random"], "takes 2 to 8 studies, not 1"),
        (["told-random"] * 2, "study told-random is named twice"),
        (["told-random/1", "told-grid"], "told-random/1 is a trial"),
        (["told-random", "by-loss"], "differ in search.objective (val_accuracy, val_loss)"),
        (["told-random", "at-last"], "differ in search.at (best, last)"),
        (["told-random", "split"], "differ in data.validation (0.1, 0.2)"),
        (["told-random", "new-images"], "were run on other images of digits"),
        (["told-random", "empty"], "study empty: no trial has ended yet"),
        (["told-random", "tolt"], "no study 'tolt'"),
    ],
)
def test_what_cannot_be_compared(call: Call, words: list[str], message: str) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_by_a_hyperparameter_still_takes_one_study(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compare", "told-grid", "--by", "init", "--storage", str(storage)]) == 0
    assert "he" in capsys.readouterr().out


def test_a_real_file_by_random_and_by_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path)
    write_digits(tmp_path, "grid.yaml", search="search: {sampler: grid}")
    assert cli.run(["run", "digits.yaml", "-j", "0", "--name", "random", "-n", "6"]) == 0
    assert cli.run(["run", "grid.yaml", "-j", "0", "--name", "grid", "-n", "6"]) == 0
    capsys.readouterr()
    assert cli.run(["compare", "random", "grid", "--by", "sampler", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differ_in"] == []
    drawn, grid = found["studies"]
    assert (drawn["sampler"], grid["sampler"]) == ("random", "grid")
    assert drawn["distinct"]["lr"] == 6
    assert grid["distinct"]["lr"] <= 3
    assert found["same_trials"]["budget"] == 6
    assert found["same_trials"]["noise"] > 0
    assert cli.run(["compare", "random", "grid", "--by", "sampler"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("With ")
    best = max(one["best"] for one in found["studies"])
    assert f"{best:.4f}" in out


class TestProgress:
    def test_budgets(self) -> None:
        assert budgets(1) == [1]
        assert budgets(20) == [1, 2, 5, 10, 20]
        assert budgets(120) == [1, 2, 5, 10, 20, 50, 100, 120]

    def test_of_a_loss_lower_is_better(self, storage: Path) -> None:
        trials = read.trials(str(storage), "told-random")
        found = progress("x", config("x"), "x", trials, "minimize")
        assert [step.best for step in found.steps] == [0.3] * 6

    def test_folds_count_with_all_their_epochs(self, storage: Path) -> None:
        trials = [
            replace(trial, facts={**trial.facts, "fold_epochs": 9})
            for trial in read.trials(str(storage), "told-grid")
        ]
        assert progress("x", config("x"), "x", trials, "maximize").epochs == 36

    def test_nothing_tells_the_noise_of_a_loss(self, storage: Path) -> None:
        searches = [
            progress(name, config(name), name, read.trials(str(storage), name), "minimize")
            for name in ("told-random", "other-random")
        ]
        found = verdict(searches, "trial", "val_loss", "minimize")
        assert found is not None
        assert (found.noise, found.real) == (None, None)
        assert found.best.study == "told-random"

    def test_few_repeats_make_a_wide_noise(self, storage: Path) -> None:
        """Of two repeats each, Student's t with 2 degrees of freedom: 4.30, not 1.96."""
        found = verdict(self.repeated(storage, 2, 2), "trial", "val_loss", "minimize")
        assert found is not None
        assert found.noise == pytest.approx(4.3027 * 0.1 * math.sqrt(2), rel=1e-4)
        assert (found.seeds, found.trials) == (True, (2, 2))

    def test_the_longer_search_had_more_luck(self, storage: Path) -> None:
        long, short = self.repeated(storage, 4, 2)
        short = replace(short, steps=tuple(replace(s, epochs=2 * s.epochs) for s in short.steps))
        found = verdict([long, short], "epoch", "val_loss", "minimize")
        assert found is not None
        assert found.trials in ((4, 2), (2, 4))
        (text,) = verdict_texts(None, found)
        assert text.endswith("long had 4 trials in it, not 2, so more luck as well.")
        same = verdict([long, short], "trial", "val_loss", "minimize")
        assert "luck" not in verdict_texts(same, None)[0]

    def repeated(self, storage: Path, *counts: int) -> list[Progress]:
        """Searches of equal hyperparameters with losses 0.1 apart, in standard deviation."""
        one = next(t for t in read.trials(str(storage), "told-grid") if t.value == 0.6)
        one = replace(one, diagnosis=None, state=State.COMPLETE)
        apart = math.sqrt(0.02)
        return [
            progress(
                label,
                config(label),
                label,
                [
                    replace(one, number=n, key=str(n), value=1 + place + n % 2 * apart)
                    for n in range(count)
                ],
                "minimize",
            )
            for place, (label, count) in enumerate(zip(("long", "short"), counts, strict=True))
        ]

    def test_what_only_a_grid_reads_is_no_difference(self) -> None:
        plain: Space = {**SPACE, "lr": Range(1e-3, 1.0, log=True)}
        one = replace(config("one"), space=plain)
        assert unlike([one, config("two", "grid", seed=3)]) == []
        narrow: Space = {**SPACE, "lr": Range(1e-2, 1.0, log=True)}
        assert unlike([one, replace(one, space=narrow, threads=2)]) == ["threads", "space.lr"]

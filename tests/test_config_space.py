"""What follows from a config: what a resume refuses, which networks its space can produce."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnsearch.config import Config, differences, load, structures

SINGLE = "data: {name: digits}\n"
SEARCH = f"{SINGLE}search: {{trials: 5}}\n"


def read(folder: Path, text: str) -> Config:
    path = folder / "file.yaml"
    path.write_text(text)
    return load(path)


GROWING = f"{SINGLE}search: {{sampler: grid}}\nspace:\n  lr: [0.1, 0.2]\n  init: [he]\n"
RANDOM = f"{SEARCH}train: {{batch_size: 64}}\nspace:\n  lr: [0.1, 0.2]\n"


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (RANDOM, RANDOM.replace("trials: 5", "trials: 9, retries: 0, timeout: 1h"), []),
        (RANDOM, f"{RANDOM}study: other\n", []),
        (RANDOM, RANDOM.replace("digits", "digits, root: x"), []),
        (RANDOM, RANDOM.replace("64", "64, lr: 0.3"), []),
        (RANDOM, RANDOM.replace("64", "32"), ["- train.batch_size: 64", "+ train.batch_size: 32"]),
        (RANDOM, f"{RANDOM}seed: 1\n", ["- seed: 0", "+ seed: 1"]),
        (RANDOM, f"{RANDOM}threads: 2\n", ["- threads: 1", "+ threads: 2"]),
        (RANDOM, f"{RANDOM}  init: [he]\n", ["- model.init: he", "+ space.init: [he]"]),
        (RANDOM, RANDOM.replace("0.2]", "0.2, 0.3]"),
         ["- space.lr: [0.1, 0.2]", "+ space.lr: [0.1, 0.2, 0.3]"]),
        (RANDOM, RANDOM.replace("trials: 5", "trials: 5, at: last"),
         ["- search.at: best", "+ search.at: last"]),
        (RANDOM, RANDOM.replace("[0.1, 0.2]", "{low: 0.1, high: 0.2}"),
         ["- space.lr: [0.1, 0.2]", "+ space.lr: {low: 0.1, high: 0.2}"]),
        (RANDOM, RANDOM.split("space")[0].replace("search: {trials: 5}", ""),
         ["- search.sampler: random", "- search.objective: val_accuracy", "- search.at: best",
          "- search.pruner: none", "+ train.lr: 0.01", "- space.lr: [0.1, 0.2]"]),
        (GROWING, GROWING.replace("[0.1, 0.2]", "[0.3, 0.2, 0.1]"), []),
        (GROWING, GROWING.replace("[he]", "[he, xavier]"), []),
        (GROWING, GROWING.replace("[0.1, 0.2]", "{low: 0.1, high: 0.3, step: 0.1}"), []),
        (GROWING, GROWING.replace("0.2]", "0.3]"),
         ["- space.lr: [0.1, 0.2]", "+ space.lr: [0.1, 0.3]"]),
        (GROWING, GROWING.replace("init: [he]", "init: {choices: [he], when: {lr: 0.1}}"),
         ["- space.init: [he]", "+ space.init: {choices: [he], when: {lr: 0.1}}",
          "+ model.init: he"]),
        (GROWING, f"{GROWING}  batchnorm: [true]\n",
         ["- model.batchnorm: false", "+ space.batchnorm: [true]"]),
    ],
)  # fmt: skip
def test_what_a_resume_refuses(old: str, new: str, lines: list[str], tmp_path: Path) -> None:
    assert sorted(differences(read(tmp_path, old), read(tmp_path, new))) == sorted(lines)


def test_the_fixed_value_under_a_condition_counts(tmp_path: Path) -> None:
    text = f"{SEARCH}train: {{momentum: 0.5}}\nspace:\n  optimizer: [sgd, adam]\n"
    text += "  momentum: {choices: [0.1], when: {optimizer: sgd}}\n"
    lines = differences(read(tmp_path, text), read(tmp_path, text.replace("0.5", "0.6")))
    assert lines == ["- train.momentum: 0.5", "+ train.momentum: 0.6"]


def space(text: str) -> str:
    return f"{SEARCH}space:\n" + "".join(f"  {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        ("lr: [0.1, 0.2]", 1),
        ("conv: [[4], [8]]\nbatchnorm: [true, false]", 4),
        ("kernel: {low: 1, high: 64}", 64),
        ("kernel: {low: 1, high: 64, step: 3}", 22),
        ("kernel: {low: 1, high: 65}", 3),
        ("optimizer: [sgd, adam]\npool: {choices: [avg], when: {optimizer: sgd}}", 2),
        ("conv: [[], [8]]\npool: {choices: [max, avg], when: {conv: [[8]]}}", 1 + 2),
        # The whole product is too large: the last four only add one network each.
        ("kernel: {low: 1, high: 64}\nhidden: [[1], [2]]\nactivation: [relu, maxout]\n"
         "batchnorm: [true, false]\nbatchnorm_at: [before, after]\npool: [max, avg]\n"
         "stride: [1, 2]",
         64 * 2 * 2 + 4),
    ],
)  # fmt: skip
def test_structures(entries: str, count: int, tmp_path: Path) -> None:
    found = structures(read(tmp_path, space(entries)))
    assert len({repr(model) for model in found}) == len(found) == count


def test_structures_hold_the_extremes(tmp_path: Path) -> None:
    config = read(tmp_path, space("kernel: {low: 1, high: 999}\nconv: [[4], [4, 4]]"))
    found = {(model.kernel, len(model.conv)) for model in structures(config)}
    assert found == {(kernel, depth) for kernel in (1, 500, 999) for depth in (1, 2)}


def test_a_single_run_has_one_structure(tmp_path: Path) -> None:
    config = read(tmp_path, SINGLE)
    assert structures(config) == [config.model]

"""Damaged config files, a few hundred; `scripts/fuzz_config.py` makes thousands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fuzz_config import fuzz

from tests.mutations import SEEDS, WHOLE_FILES, Mutant, judge, tree_of, written

MANY = "[" + ", ".join(str(i / 10_000) for i in range(1, 1001)) + "]"
# Each took more than a second once.
SLOW = {
    "a grid of many blocks and a long axis": f"""\
data: {{name: digits}}
search: {{sampler: grid}}
space:
  momentum: {MANY}
  activation: [relu, tanh, elu, sigmoid, maxout, prelu, leaky_relu]
  lr: {{low: 1e-9, high: 1, log: true, points: 10000}}
  dropout: {{choices: [0.1, 0.2], when: {{momentum: 0.001, activation: relu}}}}
""",
    "many choices that are misspelt": "data: {name: digits}\nspace:\n  init: ["
    + ", ".join(f"normol:{i}" for i in range(9_000))
    + "]\nsearch: {trials: 3}\n",
    "many names that are misspelt": "".join(f"entri{i}: 1\n" for i in range(4_900)),
    "many lines": "a\n" * 490_000,
}


def test_damaged_files_are_read_or_refused() -> None:
    found = Counter(judged.refusal is None for judged in fuzz(300, 5))
    # Neither half of the property is empty.
    assert found[True] > 20
    assert found[False] > 100


@pytest.mark.parametrize("text", SEEDS)
def test_seeds_are_valid_as_they_are_and_as_they_are_written_again(
    text: str, tmp_path: Path
) -> None:
    for blocks in range(4):
        content = written(tree_of(text), blocks).encode()
        assert judge(Mutant(content), tmp_path).refusal is None
    assert judge(Mutant(text.encode()), tmp_path).refusal is None


@pytest.mark.parametrize("content", WHOLE_FILES, ids=lambda content: repr(content[:10]))
def test_whole_files_of_something_else(content: bytes, tmp_path: Path) -> None:
    assert judge(Mutant(content), tmp_path).refusal is not None


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_no_file_takes_long(text: str, tmp_path: Path) -> None:
    assert judge(Mutant(text.encode()), tmp_path).refusal is not None

"""Which networks a space can produce, and whether all of them fit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cnnsearch import catalog
from cnnsearch.config import Config, fitting, load, structures
from cnnsearch.config.sections import Model
from cnnsearch.model import fits, measure
from cnnsearch.records import Value
from cnnsearch.space import Choice, Range

IMAGE = (3, 12, 10)


def read(folder: Path, space: str, model: str = "") -> Config:
    path = folder / "file.yaml"
    path.write_text(f"data: {{name: digits}}\n{model}search: {{trials: 5}}\nspace:\n{space}")
    return load(path)


def every(config: Config) -> list[Model]:
    """The whole product of a space without conditions."""
    assert config.space is not None
    axes: list[list[Value]] = []
    for parameter in config.space.values():
        if isinstance(parameter, Range):
            axes.append(list(range(int(parameter.low), int(parameter.high) + 1)))
        else:
            axes.append(list(parameter.choices))
    return [
        config.model.model_copy(update=dict(zip(config.space, values, strict=True)))
        for values in itertools.product(*axes)
    ]


SPACES = [
    "  conv: [[4], [4, 4], [4, 4, 4]]\n  kernel: {low: 1, high: 5}\n  padding: [0, 1]\n",
    "  pool: [max, none]\n  pool_size: {low: 2, high: 11}\n  stride: [1, 2, 3]\n",
    "  kernel: {low: 1, high: 200}\n  conv: [[], [4]]\n",
    "  kernel: {low: 1, high: 10}\n  padding: [0, 3]\n  pool: [none]\n",
]


@pytest.mark.parametrize("limit", [100_000, 0])
@pytest.mark.parametrize("model", ["", "model: {padding: 0, pool: none}\n"])
@pytest.mark.parametrize("space", SPACES)
def test_fitting_finds_what_the_whole_product_holds(
    space: str, model: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed in full, and with ends only."""
    monkeypatch.setattr("cnnsearch.config.reachable._MAX_FITTING", limit)
    config = read(tmp_path, space, model)
    impossible = any(fits(section, IMAGE) for section in every(config))
    found = list(fitting(config))
    assert any(fits(section, IMAGE) for section in found) == impossible
    assert len({repr(section) for section in found}) == len(found)


def test_beyond_what_can_be_listed_the_ends_are_enough(tmp_path: Path) -> None:
    """Two conv depths, 60 values in each of four fields: 26 million networks."""
    ranges = "".join(
        f"  {name}: {{low: {low}, high: {high}}}\n"
        for name, low, high in [("kernel", 1, 60), ("stride", 1, 60), ("pool_size", 2, 61)]
    )
    space = f"  conv: [[4], [4, 4]]\n{ranges}  padding: {list(range(60))}\n"
    found = list(fitting(read(tmp_path, space)))
    assert len(found) == 2 * 2**4
    # Padded to 178 pixels, of which a stride of 60 leaves three: too few for the pool of 61.
    wide = [section for section in found if section.padding == 59 and section.kernel == 1]
    assert {fits(section, (1, 60, 60)) is None for section in wide} == {True, False}


def test_only_what_the_image_meets_is_varied(tmp_path: Path) -> None:
    space = "  activation: [relu, tanh]\n  batchnorm: [true, false]\n  lr: [0.1, 0.2]\n"
    assert len(list(fitting(read(tmp_path, space)))) == 1
    unpooled = "  pool: [none]\n  pool_size: [2, 3, 4]\n"
    assert len(list(fitting(read(tmp_path, unpooled)))) == 1
    assert len(list(fitting(read(tmp_path, "  kernel: [2, 3]\n", "model: {conv: []}\n")))) == 1


def test_what_the_space_overrides_does_not_count(tmp_path: Path) -> None:
    model = "model: {conv: [], hidden: [1000000, 1000000]}\n"
    [section] = fitting(read(tmp_path, "  hidden: [[4]]\n", model))
    assert fits(section, IMAGE) is None
    [section] = fitting(read(tmp_path, "  lr: [0.1]\n", model))
    assert "hidden layer 2" in (fits(section, IMAGE) or "")


def test_conditions_are_kept(tmp_path: Path) -> None:
    space = "  optimizer: [sgd, adam]\n  kernel: {choices: [25], when: {optimizer: adam}}\n"
    kernels = [section.kernel for section in fitting(read(tmp_path, space))]
    assert kernels == [3, 25]


def test_structures_differ_in_size(tmp_path: Path) -> None:
    """The first activation stands for those that make the same layers."""
    names = ", ".join(catalog.ACTIVATIONS)
    found = structures(read(tmp_path, f"  activation: [{names}]\n"))
    kinds = {(r.pieces, r.monotone, r.learned) for r in catalog.ACTIVATIONS.values()}
    assert len(found) == len(kinds)
    assert found[0].activation == next(iter(catalog.ACTIVATIONS))
    counts = {measure(Model(activation=name), IMAGE, 10).parameters for name in catalog.ACTIVATIONS}
    assert {measure(section, IMAGE, 10).parameters for section in found} == counts


def test_fields_without_effect_make_no_structures(tmp_path: Path) -> None:
    space = "  batchnorm: [false]\n  batchnorm_at: [before, after]\n  pool: [none]\n"
    assert len(structures(read(tmp_path, f"{space}  pool_size: [2, 3]\n"))) == 1


def test_choices_of_numbers_keep_their_ends() -> None:
    from cnnsearch.config.reachable import _ends

    assert _ends(Choice((3, 9, 5, 1))) == (1, 9)
    assert _ends(Choice((True, False))) == (True, False)
    assert _ends(Range(2, 9, step=3, integer=True)) == (2, 8)

"""The files in configs/: each loads, and says what it answers and how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnsearch.config import from_plain, load_with_notes

FOLDER = Path(__file__).parent.parent / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))
WANTED = {
    "digits", "mnist", "fashion_mnist", "cifar10", "cifar10-grid", "lecture-two-layer",
    "image_folder",
}  # fmt: skip


def test_all_are_there() -> None:
    assert {path.stem for path in FILES} >= WANTED


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path: Path) -> None:
    config, notes = load_with_notes(path)
    assert config.study == path.stem
    assert config.space
    assert notes == []
    assert from_plain(config.plain()) == config
    comment = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert "minute" in comment
    assert "two cores" in comment


def test_one_file_serves_random_and_grid() -> None:
    for name in WANTED - {"cifar10-grid"}:
        config, _ = load_with_notes(FOLDER / f"{name}.yaml", ["sampler=grid"])
        assert config.search is not None
        assert config.search.sampler == "grid"


def test_the_lectures_network() -> None:
    config, _ = load_with_notes(FOLDER / "lecture-two-layer.yaml")
    assert (config.model.conv, config.model.hidden, config.train.momentum) == ([], [50], 0.0)
    assert (config.data.pixels, config.data.preprocess) == ("raw", "mean_image")

"""Small real configs and studies for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Search, Train
from cnnsearch.space import Choice, Range, Space

SPACE: Space = {
    "lr": Range(1e-3, 1.0, log=True, points=3),
    "init": Choice(("he", "xavier")),
    "batchnorm": Choice((True, False)),
}


def digits_config(
    study: str = "digits",
    space: Space = SPACE,
    epochs: int = 2,
    seed: int = 0,
    train: dict[str, Any] | None = None,
    **search: Any,
) -> Config:
    """A search over a small network on 200 digits: about 0.1 s a trial."""
    return Config(
        study=study,
        seed=seed,
        device="cpu",
        threads=1,
        data=Data(name="digits", limit=200),
        model=Model(conv=[8], hidden=[16]),
        train=Train(**{"epochs": epochs, "batch_size": 32, **(train or {})}),
        abort=Abort(check_every=5),
        search=Search(**{"trials": 6, **search}),
        space=space,
    )


DIGITS_YAML = """\
device: cpu
data: {name: digits, limit: 200}
model: {conv: [8], hidden: [16]}
train: {epochs: 2, batch_size: 32}
abort: {check_every: 5}
search: {sampler: random, trials: 6}
space:
  lr: {low: 1e-3, high: 1.0, log: true, points: 3}
  init: [he, xavier]
  batchnorm: [true, false]
"""


def write_digits(folder: Path, name: str = "digits.yaml", **replacements: str) -> Path:
    """Write the search of `DIGITS_YAML` into a folder; `replacements` are lines by their key."""
    lines = DIGITS_YAML.splitlines()
    for key, line in replacements.items():
        lines = [line if old.startswith(f"{key}:") else old for old in lines]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""From the file to a config and back."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import catalog, cli
from cnnsearch.config import (
    Config,
    duration,
    from_plain,
    is_study_name,
    load,
    load_with_notes,
    schema,
    starter,
    to_yaml,
)
from cnnsearch.config.document import parse, scalar
from cnnsearch.config.fields import OWNER, SEARCHABLE, SECTIONS, path_of, words
from cnnsearch.config.sections import Model, Top, Train, study_name
from cnnsearch.errors import InputError
from cnnsearch.rows import InitScheme, Row
from cnnsearch.space import Choice, Condition, Range

SINGLE = "data: {name: digits}\n"
SEARCH = f"{SINGLE}search: {{trials: 5}}\n"
FULL = """\
study: full.1
seed: 7
device: cuda:1
threads: 2
data:
  name: image_folder
  root: "~/a: b/\\u202e"
  limit: 100
  validation: 30
  size: [8, 9]
  channels: 1
  flip: true
model: {conv: [], hidden: [50], padding: 1, pool: none, init: normal:1e-4}
train: {lr: 1e-3, epochs: 30, weight_decay: 0.1, schedule: cosine, warmup_epochs: 1}
abort: {loss_ratio: null}
search: {sampler: random, trials: 5, timeout: 1h30m, objective: val_loss}
space:
  optimizer: [sgd, adam]
  momentum: {choices: [0, 0.9], when: {optimizer: sgd}}
  lr: {low: 1e-5, high: 0.30000000000000004, log: true, points: 3}
  conv: [[], [16], [16, 32]]
  hidden: {choices: [[], [64]], when: {conv: [[16], [16, 32]]}}
  dropout: {low: 0, high: 0.5, step: 0.1, when: {conv: [16]}}
  batch_size: {low: 16, high: 64}
  init: [zeros, normal:0.01]
  batchnorm: [true, false]
"""


def write(folder: Path, text: str, name: str = "file.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str, *sets: str, trials: int | None = None) -> Config:
    return load(write(folder, text), sets, trials)


def test_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, SINGLE)
    assert (config.study, config.seed, config.device, config.threads) == ("file", 0, "auto", 1)
    assert (config.train, config.model) == (Train(), Model())
    assert config.search is None
    assert config.space is None


def test_every_value_of_a_full_file(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    assert (config.study, config.seed, config.device, config.threads) == ("full.1", 7, "cuda:1", 2)
    assert config.data.root == "~/a: b/\u202e"
    assert (config.data.validation, config.data.size) == (30, [8, 9])
    assert config.train.lr == 0.001
    assert config.abort.loss_ratio is None
    assert config.search is not None
    assert config.search.timeout == 5400.0
    sgd = (Condition("optimizer", ("sgd",)),)
    assert config.space == {
        "optimizer": Choice(("sgd", "adam")),
        "momentum": Choice((0.0, 0.9), sgd),
        "lr": Range(1e-5, 0.30000000000000004, log=True, points=3),
        "conv": Choice(([], [16], [16, 32])),
        "hidden": Choice(([], [64]), (Condition("conv", ([16], [16, 32])),)),
        "dropout": Range(0.0, 0.5, step=0.1, when=(Condition("conv", ([16],)),)),
        "batch_size": Range(16, 64, integer=True),
        "init": Choice(("zeros", "normal:0.01")),
        "batchnorm": Choice((True, False)),
    }
    assert next(iter(config.space)) == "optimizer"
    # In a field of numbers 0 and 0.9 are both floats.
    assert [type(value) for value in config.space["momentum"].grid()] == [float, float]


@pytest.mark.parametrize("text", [SINGLE, FULL], ids=["single", "full"])
def test_plain_and_yaml_lead_back(text: str, tmp_path: Path) -> None:
    config = read(tmp_path, text)
    plain = json.loads(json.dumps(config.plain(), allow_nan=False))
    assert from_plain(plain) == config
    written = to_yaml(config, "two\nlines \x1b[2J")
    assert written.startswith("# two\n# lines \\x1B[2J\nstudy: ")
    again = read(tmp_path, written)
    assert again == config
    assert to_yaml(again) == to_yaml(config)
    assert list(plain) == [
        name for name in [*Top.model_fields, *SECTIONS, "space"] if name in plain
    ]


@pytest.mark.parametrize("seed", range(20))
def test_floats_come_back_to_the_last_bit(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    lr, decay = 10 ** draw.uniform(-300, 300), draw.random() * 2.0**-1000
    config = read(tmp_path, SINGLE, f"lr={lr!r}", f"weight_decay={decay!r}")
    again = read(tmp_path, to_yaml(config))
    assert (again.train.lr, again.train.weight_decay) == (lr, decay)


@pytest.mark.parametrize(
    "text",
    ["true", "1e5", "null", "~", "a: b", "a #b", "- x", "é", "a\nb", 'q"\\', " x ", "\x7f", "😀"],
)
def test_odd_texts_come_back(text: str, tmp_path: Path) -> None:
    config = read(tmp_path, SINGLE)
    odd = from_plain({**config.plain(), "data": {**config.plain()["data"], "root": text}})
    assert read(tmp_path, to_yaml(odd)).data.root == text


def test_a_point_becomes_a_single_run(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    run = config.at({"lr": 0.5, "conv": [4], "batchnorm": True}, seed=9)
    assert (run.train.lr, run.model.conv, run.model.batchnorm, run.seed) == (0.5, [4], True, 9)
    assert run.search is None
    assert run.space is None
    assert read(tmp_path, to_yaml(run)) == run
    assert config.train.lr == 0.001


def test_stored_config_of_another_version() -> None:
    with pytest.raises(InputError, match=r"^the study's config: train\.lrr: unknown name"):
        from_plain({"study": "a", "data": {"name": "digits"}, "train": {"lrr": 1}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), ("1.", 1.0), (".5", 0.5), ("-0.5", -0.5), ("12", 12),
        ("+3", 3), ("1:30", "1:30"), ("0o17", "0o17"), ("0x1f", "0x1f"), ("017", "017"),
        ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("on", "on"), ("yes", "yes"), ("y", "y"),
        ("True", True), ("false", False), ("null", None), ("~", None), ("", None), ("nan", "nan"),
        ("-.inf", float("-inf")), ("9" * 30, 1e30), ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_scalars_read_in_one_way(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quotes_make_a_text() -> None:
    item = parse("['1', \"true\", 1]")
    assert item is not None
    assert item.plain() == ["1", "true", 1]


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfdata:\r\n  name: digits\r\n")
    assert load(path).data.name == "digits"


@pytest.mark.parametrize(
    ("setting", "section", "value"),
    [
        ("lr=1e-3", "train", 0.001),
        ("train.lr=1", "train", 1.0),
        ("init=normal:0.01", "model", "normal:0.01"),
        ("conv=[4, 8]", "model", [4, 8]),
        ("data.root=~/my data", "data", "~/my data"),
        ("batchnorm=true", "model", True),
        ("loss_ratio=null", "abort", None),
        ("loss_ratio=", "abort", None),
        ("search.trials=9", "search", 9),
    ],
)
def test_set_on_the_command_line(setting: str, section: str, value: Any, tmp_path: Path) -> None:
    config = read(tmp_path, f"{SEARCH}space: {{momentum: [0.0, 0.9]}}", setting)
    name = setting.partition("=")[0].rpartition(".")[2]
    found = getattr(getattr(config, section), name)
    assert found == value
    assert type(found) is type(value)


def test_set_at_the_top_and_in_an_absent_section(tmp_path: Path) -> None:
    config = read(tmp_path, "model:\n", "name=digits", "seed=3", "study=other", "batchnorm=true")
    assert (config.study, config.seed, config.model.batchnorm) == ("other", 3, True)


def test_set_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^-S lr=2: lr is set twice\. Give one -S lr=VALUE\.$"):
        read(tmp_path, SINGLE, "train.lr=1", "lr=2")


def test_points_of_the_command_line(tmp_path: Path) -> None:
    without = f"{SINGLE}space: {{lr: [0.1, 0.2]}}"
    config = read(tmp_path, without, trials=7)
    assert config.search is not None
    assert config.search.trials == 7
    large = f"{SINGLE}search: {{sampler: grid}}\nspace:\n  epochs: {{low: 1, high: 200}}\n"
    large += "  batch_size: {low: 2, high: 200}\n"
    assert read(tmp_path, large, trials=5).search is not None
    for sets in ((), ("trials=5",)):
        with pytest.raises(InputError, match="a grid of 39,800 points"):
            read(tmp_path, large, *sets)
    # Stored without the number asked for: it was checked when the search began.
    assert from_plain(read(tmp_path, large, trials=5).plain()).space


GRID_TRIALS = "search.trials is not used by a grid, which runs its whole product; -n limits it."


@pytest.mark.parametrize("trials", [None, 1])
def test_notes_of_trials_of_a_grid(trials: int | None, tmp_path: Path) -> None:
    path = write(tmp_path, f"{SEARCH}space: {{lr: [0.1, 0.2]}}\n")
    assert load_with_notes(path, (), trials)[1] == []
    assert load_with_notes(path, ["sampler=grid"], trials)[1] == [f"{path}:2: {GRID_TRIALS}"]
    told = load_with_notes(path, ["sampler=grid", "trials=7"], trials)[1]
    assert told == [f"-S trials=7: {GRID_TRIALS}"]
    path = write(tmp_path, f"{SINGLE}search: {{sampler: grid}}\nspace: {{lr: [0.1, 0.2]}}\n")
    assert load_with_notes(path, (), trials)[1] == []


def test_notes_of_what_space_overrides(tmp_path: Path) -> None:
    text = f"{SEARCH}train:\n  lr: 0.1\n  momentum: 0.5\nspace:\n  optimizer: [sgd, adam]\n"
    text += "  lr: [1, 2]\n  momentum: {choices: [0.1, 0.2], when: {optimizer: sgd}}\n"
    path = write(tmp_path, text)
    assert load_with_notes(path)[1] == [
        f"{path}:4: train.lr: space.lr overrides the fixed 0.1.",
        f"{path}:5: train.momentum: space.momentum overrides the fixed 0.5 where it is active.",
    ]


def test_a_single_run_is_not_fused(tmp_path: Path) -> None:
    path = write(tmp_path, f"{SINGLE}fuse: 16\n")
    config, notes = load_with_notes(path)
    assert config.fuse == "auto"
    assert notes == [f"{path}:2: fuse: is not used: a single run is trained alone."]
    assert read(tmp_path, to_yaml(config)) == config


def test_field_names_are_unique() -> None:
    names = [*Top.model_fields, *(name for s in SECTIONS.values() for name in s.model_fields)]
    assert len(names) == len(set(names)) == len(OWNER)


@pytest.mark.parametrize("name", list(OWNER))
def test_every_field_can_say_what_fits(name: str) -> None:
    assert words(name).strip()
    assert path_of(name).rpartition(".")[2] == name


CHOSEN: dict[str, Mapping[str, Row]] = {
    "model.activation": catalog.ACTIVATIONS,
    "train.optimizer": catalog.OPTIMIZERS,
    "train.schedule": catalog.SCHEDULES,
    "search.sampler": catalog.SAMPLERS,
    "search.pruner": catalog.PRUNERS,
    "data.name": catalog.DATASETS,
    "data.preprocess": catalog.PREPROCESSORS,
}


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, table in CHOSEN.items() for name in table]
)
def test_every_row_of_the_tables_can_be_written(path: str, name: str, tmp_path: Path) -> None:
    text = f"{SEARCH}space: {{lr: [0.1, 0.2]}}"
    section, _, field = path.partition(".")
    config = read(tmp_path, text, f"{path}={name}")
    assert getattr(getattr(config, section), field) == name


@pytest.mark.parametrize("row", catalog.INIT_SCHEMES.values(), ids=lambda row: row.name)
def test_every_init_scheme_can_be_written(row: InitScheme, tmp_path: Path) -> None:
    written = f"{row.name}:0.5" if row.parameter else row.name
    other = row.name if row.parameter else f"{row.name}:0.5"
    assert read(tmp_path, SINGLE, f"init={written}").model.init == written
    with pytest.raises(InputError, match=f"Write {row.name}"):
        read(tmp_path, SINGLE, f"init={other}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m5s", 5405)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "1:30", "2 h", "h", "-1s", "30m2h", "1.5h", "9" * 400 + "h"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


@pytest.mark.parametrize("text", ["a b", "", "-x", "é", "../x", "a" * 80, "x\n", ".yaml", "a/b"])
def test_study_names(text: str) -> None:
    assert not is_study_name(text)
    assert is_study_name(study_name(text))


def test_schema_has_every_field_and_its_default() -> None:
    found = schema()["properties"]
    for name, section in SECTIONS.items():
        assert list(found[name]["properties"]) == list(section.model_fields)
        assert found[name]["additionalProperties"] is False
        assert all(field["description"] for field in found[name]["properties"].values())
    assert found["data"]["required"] == ["name"]
    assert found["train"]["properties"]["lr"]["default"] == 0.01
    assert set(found["space"]["properties"]) == set(SEARCHABLE)
    forms = [len(found["space"]["properties"][name]["anyOf"]) for name in ("lr", "activation")]
    assert forms == [3, 2]
    names, _ = found["model"]["properties"]["activation"]["anyOf"]  # or one of the user's own
    assert names["enum"] == sorted(catalog.ACTIVATIONS)


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


@pytest.mark.parametrize("dataset", list(catalog.DATASETS))
def test_starter_files_load(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "start.yaml"
    assert cli.run(["init", "--dataset", dataset, "-o", str(path)]) == 0
    config, notes = load_with_notes(path)
    assert (config.data.name, config.study, notes) == (dataset, "start", [])
    row = catalog.DATASETS[dataset]
    told = "from the folder where cnnsearch is started" in path.read_text()
    assert told is (row.shape is None or bool(row.files))
    for table in (catalog.PREPROCESSORS, catalog.OPTIMIZERS, catalog.SAMPLERS):
        assert all(name in path.read_text() for name in table)
    capsys.readouterr()
    assert cli.run(["init", "--dataset", dataset]) == 0
    assert capsys.readouterr().out == path.read_text() == starter(dataset)


def test_a_starter_file_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "mine")
    assert cli.run(["init", "-o", str(path)]) == 2
    assert "exists. Write --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert cli.run(["init", "-o", str(path), "--force"]) == 0
    assert load(path).data.name == "digits"


def test_a_starter_file_names_its_study_where_the_file_cannot(tmp_path: Path) -> None:
    assert cli.run(["init", "-o", str(tmp_path / "my digits.yaml")]) == 0
    assert load(tmp_path / "my digits.yaml").study == "my-digits"

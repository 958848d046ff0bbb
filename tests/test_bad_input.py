"""Every mistake of a user's gets one line with its place and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnsearch import cli
from cnnsearch.config import load, placed
from cnnsearch.config.fields import OWNER, SECTIONS
from cnnsearch.config.synonyms import SYNONYMS
from cnnsearch.errors import InputError
from tests.bad_files import ALL
from tests.bad_spaces import GRID, HEAD, Bad


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, bad: Bad) -> str:
    content = bad.text if isinstance(bad.text, bytes) else bad.text.encode()
    (folder / bad.file).write_bytes(content)
    return bad.file


def test_ids_are_unique() -> None:
    assert len({bad.id for bad in ALL}) == len(ALL)


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.id)
def test_one_line_exit_2_and_no_database(
    bad: Bad, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["run", write(folder, bad), *bad.options])
    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    # One line: a mistake must not drag others along.
    (line,) = told.err.splitlines()
    assert line.startswith(bad.line)
    assert len(line) < 350
    assert [path.name for path in folder.iterdir()] == [bad.file]


def test_directory(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^\.: this is a directory\. Give a YAML file\.$"):
        load(".")


def test_no_such_file(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^none\.yaml: no such file\."):
        load("none.yaml")


def test_name_no_file_can_have() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load("a\0b.yaml")


def test_all_mistakes_at_once_in_the_order_of_the_file(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "data: {name: digits}\nspace:\n  lr: 0.1\n  init: [hee]\ntrain: {epochs: 0}\n"
    )
    with pytest.raises(InputError) as error:
        load("bad.yaml", ["seed=x"])
    assert [line.split(" ")[:2] for line in str(error.value).splitlines()] == [
        ["bad.yaml:2:", "search.trials:"],
        ["bad.yaml:3:", "space.lr:"],
        ["bad.yaml:4:", "space.init:"],
        ["bad.yaml:5:", "train.epochs:"],
        ["-S", "seed=x:"],
    ]


def test_a_long_list_of_names_is_told_once(folder: Path) -> None:
    (folder / "bad.yaml").write_text("yyyy: 1\nzzzz: 2\ndata: {name: digits}\nwwww: 3\n")
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    first, *others = str(error.value).splitlines()
    assert first.startswith("bad.yaml:1: yyyy: unknown name. Write study, seed, ")
    assert others == [
        "bad.yaml:2: zzzz: unknown name. See above.",
        "bad.yaml:4: wwww: unknown name. See above.",
    ]


def test_names_of_other_tools_are_fields_and_not_ours() -> None:
    assert set(SYNONYMS.values()) <= OWNER.keys()
    assert not SYNONYMS.keys() & {*OWNER, *SECTIONS}
    assert all(name == name.lower() for name in SYNONYMS)


NUMBER = "does not fit. Write a number above 0."
MANY = {
    "lr: [.nan, .inf, -1, 0.1]": [f"nan {NUMBER}", f"inf {NUMBER}", f"-1 {NUMBER}"],
    "init: [normal, normal:-1, heh]": ["'normal': STD", "'normal:-1': STD", "unknown init 'heh'."],
    "activation: [reluu, relu, foo]": ["unknown activation 'reluu'", "unknown activation 'foo'"],
    "batchnorm: [on, off]": ["'on' does not fit", "'off' does not fit"],
    "momentum: [0.1, fast, 0.1, 2]": ["numbers and texts", "0.1 is listed twice", "2 does not fit"],
    "conv: [16, [2], [-1]]": ["lists and numbers in one list (16)", "[-1] does not fit"],
    "lr: {low: tiny, high: .inf}": ["low 'tiny' is no number", "inf does not fit"],
    "lr: {low: 0.1, high: 1, log: on, points: 0}": ["log: 'on'", "points 0 does not fit"],
    "lr: {low: 0.1, hihg: 1, points: 1, what: 2}": ["unknown key 'hihg'", "unknown key 'what'"],
    "lr: {low: 2, high: 1, when: {pool: max}}": ["when names 'pool'", "low 2.0 is greater"],
    "lr: {choices: [0], when: {pool: max, kernel: 1}}": [
        "when names 'pool'",
        "when names 'ker",
        "0",
    ],
}


@pytest.mark.parametrize(("entry", "texts"), MANY.items(), ids=lambda value: str(value)[:40])
def test_each_mistake_of_one_parameter(entry: str, texts: list[str], folder: Path) -> None:
    (folder / "bad.yaml").write_text(f"{HEAD}space:\n  {entry}\n")
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    start = f"bad.yaml:4: space.{entry.partition(':')[0]}: "
    lines = str(error.value).splitlines()
    assert len(lines) == len(texts), lines
    for line, text in zip(lines, texts, strict=True):
        assert line.startswith(start + text)


def test_fields_together_are_checked_beside_other_mistakes(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "study: a b\n"
        "data: {name: digits, channels: 1}\n"
        "model: {batchnorm: true}\n"
        "train: {batch_size: 1, epochs: 0, warmup_epochs: 9, lrr: 1}\n"
        "search: {sampler: grid}\n"
        "space:\n"
        "  lr: {low: 0.1, high: 1}\n"
        "  init: [hee]\n"
        "  momentum: {choices: [0.1], when: {init: he}}\n"
    )
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    # Nothing of the warm-up and of momentum: what they depend on is not known.
    assert [line.split(" ")[:2] for line in str(error.value).splitlines()] == [
        ["bad.yaml:1:", "study:"],
        ["bad.yaml:2:", "data.channels:"],
        ["bad.yaml:4:", "train.epochs:"],
        ["bad.yaml:4:", "train.lrr:"],
        ["bad.yaml:4:", "train.batch_size:"],
        ["bad.yaml:7:", "space.lr:"],
        ["bad.yaml:8:", "space.init:"],
    ]


def test_what_depends_on_a_mistake_is_left_alone(folder: Path) -> None:
    entries = "  init: [hee]\n  batch_size: {choices: [1], when: {init: he}}\n"
    (folder / "bad.yaml").write_text(f"{HEAD}model: {{batchnorm: true}}\nspace:\n{entries}")
    with pytest.raises(InputError, match=r"^bad\.yaml:5: space\.init: [^\n]*$"):
        load("bad.yaml")


def test_a_flood_of_mistakes_is_cut(folder: Path) -> None:
    (folder / "bad.yaml").write_text("\n".join(f"entry{i}: 1" for i in range(500)))
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "bad.yaml: 401 more mistakes."


def test_a_flood_without_end_is_not_read_to_its_end(folder: Path) -> None:
    (folder / "bad.yaml").write_text("\n".join(f"entry{i}: 1" for i in range(1500)))
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "bad.yaml: at least 900 more mistakes."


def test_what_a_terminal_acts_upon_is_escaped(folder: Path) -> None:
    (folder / "bad.yaml").write_text('data: {name: digits}\n"\\e[2J\\u202e": 1\n')
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    assert str(error.value).isprintable()
    with pytest.raises(InputError) as error:
        load("bad.yaml", ["\x1b[2J=1"])
    assert all(line.isprintable() for line in str(error.value).splitlines())


def test_a_grid_too_large_even_for_a_part_of_it(folder: Path) -> None:
    wide = "[" + ", ".join(str(i / 10_000) for i in range(1, 1001)) + "]"
    names = ("lr", "momentum", "dropout", "weight_decay", "warmup_epochs", "step_factor")
    entries = "".join(f"  {name}: {wide}\n" for name in names)
    (folder / "a.yaml").write_text(f"{GRID}space:\n{entries}  epochs: [1, 2]\n")
    with pytest.raises(InputError, match=r"^a\.yaml:3: space: a grid of 2e\+18 points\. Write few"):
        load("a.yaml", trials=5)


def test_a_grid_with_too_many_conditions(folder: Path) -> None:
    wide = "[" + ", ".join(str(i / 10_000) for i in range(1, 1001)) + "]"
    entries = f"  lr: {wide}\n  momentum: {wide}\n"
    entries += "  dropout: {choices: [0.5], when: {lr: 0.001, momentum: 0.001}}\n"
    (folder / "a.yaml").write_text(f"{GRID}space:\n{entries}")
    with pytest.raises(InputError, match=r"^a\.yaml:3: space: conditions on more than 10,000 comb"):
        load("a.yaml", trials=5)


@pytest.mark.parametrize("trials", [0, -3])
def test_no_points_asked_for(trials: int, folder: Path) -> None:
    (folder / "a.yaml").write_text(f"{HEAD}space: {{lr: [1, 2]}}")
    with pytest.raises(InputError, match=f"^-n {trials}: write a number of points of at least 1.$"):
        load("a.yaml", trials=trials)


def test_points_asked_of_a_single_run(folder: Path) -> None:
    (folder / "a.yaml").write_text("data: {name: digits}")
    with pytest.raises(InputError, match=r"^-n 3: the file has no space: there is nothing to sea"):
        load("a.yaml", trials=3)


SMALL = """data: {name: digits, limit: 100}
model: {conv: [4], hidden: []}
train: {epochs: 1}
search: {trials: 2}
space: {lr: [0.01, 0.1]}
"""
# What only the images, the machine or the study can tell.
LATE = [
    Bad("cuda without CUDA", f"{SMALL}device: cuda", "device: cuda is not there"),
    Bad("image smaller than the pools", SMALL.replace("[4]", "[4, 4, 4, 4]"), "conv layer 4: "),
    Bad("validation larger than the data", SMALL.replace("limit: 100", "validation: 5000"),
        "data.validation: 5000 of 1437 training images."),
    Bad("data set missing", SMALL.replace("digits, limit: 100", "cifar10, root: empty"),
        "empty (looked for cifar-10-batches-py/data_batch_1"),
]  # fmt: skip


@pytest.mark.parametrize("bad", LATE, ids=lambda bad: bad.id)
def test_found_before_the_first_trial(
    bad: Bad, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if "cuda" in bad.id and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    # Nobody listens there: the download of what is missing fails at once.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    code = cli.run(["run", write(folder, bad), "-j", "0"])
    assert code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "Downloading" not in line]
    assert len(lines) == 1
    assert bad.line in lines[0]
    assert not (folder / "cnnsearch.db").exists()


def test_a_study_is_not_changed_by_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "small.yaml").write_text(SMALL)
    assert cli.run(["run", "small.yaml", "-j", "0"]) == 0
    before = (folder / "cnnsearch.db").read_bytes()
    (folder / "small.yaml").write_text(SMALL.replace("0.1]", "0.2]"))
    rows = {
        ("run", "small.yaml", "-j", "0"): ["- space.lr: [0.01, 0.1]", "+ space.lr: [0.01, 0.2]"],
        ("list", "smalk"): ["no study 'smalk' in ", "small."],
        ("show", "small", "17"): ["study small has no trial 17. It has trials 0 to 1."],
    }
    capsys.readouterr()
    for words, lines in rows.items():
        assert cli.run(words) == 2
        told = capsys.readouterr().err
        assert all(line in told for line in lines), told
    assert (folder / "cnnsearch.db").read_bytes() == before


def test_late_mistakes_get_their_line(folder: Path) -> None:
    (folder / "a.yaml").write_text("data:\n  name: digits\n  root: x\ndevice: cuda\n")
    message = "device: cuda is not there\ndata.root: no\nmodel: no\ndata.limit: no\nother: no"
    assert placed("a.yaml", [], message).splitlines() == [
        "a.yaml:4: device: cuda is not there",
        "a.yaml:3: data.root: no",
        "a.yaml: model: no",
        "a.yaml:1: data.limit: no",
        "other: no",
    ]
    (folder / "b.yaml").write_text("data: {name: digits}\nspace:\n  lr: [1]\n")
    assert placed("b.yaml", [], "space.lr: no") == "b.yaml:3: space.lr: no"
    assert placed("a.yaml", ["limit=3"], "data.limit: no") == "-S limit=3: data.limit: no"

"""Every mistake of a user's gets one line with its place and what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnsearch import cli
from cnnsearch.config import load, placed
from cnnsearch.errors import InputError


@dataclass(frozen=True)
class Bad:
    """A file that is refused.

    Args:
        id: what is wrong with it.
        text: the file's content.
        line: the whole error line, without the folder.
        options: further words of the command line.
        file: the file's name; None: the folder itself.
    """

    id: str
    text: str | bytes
    line: str
    options: tuple[str, ...] = ()
    file: str = "bad.yaml"


HEAD = "data: {name: digits}\nsearch: {sampler: random, trials: 3}\n"
GRID = "data: {name: digits}\nsearch: {sampler: grid}\n"


def in_space(id: str, entry: str, text: str, line: int = 4) -> Bad:
    name = re.split(r"[:\s]", entry, maxsplit=1)[0]
    return Bad(id, f"{HEAD}space:\n  {entry}\n", f"bad.yaml:{line}: space.{name}: {text}")


def in_grid(id: str, entry: str, text: str) -> Bad:
    name = entry.partition(":")[0]
    return Bad(id, f"{GRID}space:\n  {entry}\n", f"bad.yaml:4: space.{name}: {text}")


def single(id: str, entry: str, text: str, line: int = 2) -> Bad:
    return Bad(id, f"data: {{name: digits}}\n{entry}\n", f"bad.yaml:{line}: {text}")


def option(id: str, setting: str, text: str) -> Bad:
    file = f"{HEAD}space:\n  lr: [0.1, 0.2]\n"
    return Bad(id, file, f"-S {setting}: {text}", ("-S", setting))


RANGES = [
    in_space(
        "low above high",
        "lr: {low: 0.1, high: 1e-6}",
        "low 0.1 is greater than high 1e-06. Swap them.",
    ),
    in_space(
        "low equals high",
        "lr: {low: 0.1, high: 0.1}",
        "low and high are both 0.1. Write lr: [0.1].",
    ),
    in_space(
        "log with low 0",
        "weight_decay: {low: 0, high: 0.1, log: true}",
        "log needs low above 0, and low is 0. Write a small low, or leave log out.",
    ),
    in_space(
        "log bounds that look like exponents",
        "lr: {low: -6, high: -1, log: true}",
        "bounds are values, not exponents, and low is -6. Write low: 1e-06, high: 0.1.",
    ),
    in_space(
        "log with step",
        "lr: {low: 0.1, high: 1.0, log: true, step: 0.1}",
        "log and step exclude each other. Delete one.",
    ),
    in_space("log no switch", "lr: {low: 0.1, high: 1, log: on}", "log: 'on'. Write log: true or "),
    in_space(
        "step 0",
        "lr: {low: 0.1, high: 1, step: 0}",
        "step 0 does not fit. Write a number above 0, up to 0.9.",
    ),
    in_space(
        "step beyond the range",
        "epochs: {low: 1, high: 4, step: 5}",
        "step 5 does not fit. Write a whole number above 0, up to 3.",
    ),
    in_space("tiny step", "lr: {low: 0.1, high: 1, step: 1e-300}", "step 1e-300 cuts the range"),
    *[
        in_space(
            f"points {points}",
            f"lr: {{low: 0.1, high: 1.0, points: {points}}}",
            f"points {points} does not fit. Write a whole number of at least 2.",
        )
        for points in (0, 1, 2.5)
    ],
    in_space(
        "int with float bounds",
        "batch_size: {low: 16.0, high: 64}",
        "low 16.0: batch_size takes whole numbers. Write low: 16.",
    ),
    in_space(
        "bound outside the field",
        "dropout: {low: 0.1, high: 1.5}",
        "1.5 does not fit. Write a number of at least 0 and below 1.",
    ),
    in_space("bound no number", "lr: {low: tiny, high: 1}", "low 'tiny' is no number. Write low: 0"),
    in_space("bound nan", "lr: {low: .nan, high: 1}", "nan does not fit. Write a number above 0."),
    in_space("high missing", "lr: {low: 0.1}", "high is missing. Write lr: {low: LOW, high: HIGH}."),
    in_space(
        "range of names", "activation: {low: 1, high: 2}", "takes no range. Write a list: elu, gelu"
    ),
    in_space("unknown key of a range", "lr: {low: 0.1, high: 1, pionts: 3}", "unknown key 'pionts'. Did you "),
    in_grid(
        "grid without points",
        "lr: {low: 0.1, high: 1.0}",
        "a grid takes a range of numbers by points. Write points: 6, or a step.",
    ),
    in_grid(
        "too many values for a grid",
        "batch_size: {low: 2, high: 1000000}",
        "999,999 values for a grid, 10,000 at most. Write points: 6.",
    ),
    Bad(
        "grid above 10,000 points without -n",
        f"{GRID}space:\n  lr: {{low: 0.1, high: 1, points: 200}}\n"
        "  momentum: {low: 0, high: 0.9, points: 51}\n",
        "bad.yaml:3: space: a grid of 10,200 points. Give -n to run some of them, or fewer values.",
    ),
]

LR = "another tool's spelling. Write lr: {low: 1e-05, high: 0.1, log: true}."
SPELLINGS = [
    in_space("wandb", "lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}",
             f"distribution, min and max: {LR}"),
    in_space("nni", "lr: {_type: loguniform, _value: [1e-5, 0.1]}", f"_type and _value: {LR}"),
    in_space("min, max", "lr: {min: 1e-5, max: 0.1, log: true}", f"min and max: {LR}"),
    in_space("lower, upper", "lr: {lower: 1e-5, upper: 0.1, log: true}", f"lower and upper: {LR}"),
    in_space("determined", "lr: {type: log, base: 10, minval: -5, maxval: -1}",
             f"type, minval and maxval: {LR}"),
    in_space("type loguniform", "lr: {type: loguniform, low: 1e-5, high: 0.1}", f"type: {LR}"),
    in_space("ax", "lr: {type: range, bounds: [1e-5, 0.1], log_scale: true}",
             f"type, bounds and log_scale: {LR}"),
    in_space("values", "activation: {values: [relu, tanh]}",
             "values: another tool's spelling. Write activation: [relu, tanh]."),
    in_space("nni choice", "batch_size: {_type: choice, _value: [16, 32]}",
             "_type and _value: another tool's spelling. Write batch_size: [16, 32]."),
    in_space("quantised", "epochs: {distribution: q_uniform, min: 2, max: 8, q: 2}",
             "distribution, min, max and q: another tool's spelling. "
             "Write epochs: {low: 2, high: 8, step: 2}."),
    in_space("value", "lr: {value: 0.1}", "value: another tool's spelling. Write lr: [0.1]."),
]  # fmt: skip

CHOICES = [
    in_space("scalar in space", "lr: 0.01",
             "0.01 is a single value. Write lr: [0.01], or set train.lr."),
    in_space("nothing", "lr:", "the line is empty. Write lr: followed by a list or"),
    in_space("mixed types", "lr: [0.1, fast]", "numbers and texts in one list ('fast'). Write"),
    in_space("mixed padding", "padding: [same, 1]", "texts and numbers in one list (1). Write"),
    in_space("unknown choice", "activation: [relu, tahn]", "unknown activation 'tahn'. Did you mean t"),
    in_space("switch as name", "activation: [relu, off]", "unknown activation 'off'. Write elu,"),
    in_space("on and off", "batchnorm: [on, off]", "'on' does not fit. Write true or false."),
    in_space("float for int", "batch_size: [16, 32.0]", "32.0 does not fit. Write a whole number"),
    in_space("empty list", "lr: []", "the list is empty. Write values: a number above 0."),
    in_space("repeated", "lr: [1, 0.1, 1.0]", "1.0 is listed twice. Delete one."),
    in_space("repeated init", "init: [normal:0.1, normal:1e-1]", "'normal:1e-1' is listed twice."),
    in_space("init no number", "init: [he, normal:abc]",
             "'normal:abc': STD must be a number above 0. Write normal:0.01."),
    in_space("init below 0", "init: [normal:-1]",
             "'normal:-1': STD must be a number above 0. Write normal:0.01."),
    in_space("init with a space", "init: [normal: 0.01]",
             "{normal: 0.01} is a mapping. Write normal:0.01, without a space."),
    in_space("conv no lists", "conv: [16, 32]",
             "each choice is a list itself. Write conv: [[16, 32]]."),
    in_space("choices no list", "lr: {choices: 0.1}", "choices must be a list. Write choices: [0.1]."),
    in_space("dotted name", "train.lr: [0.1]", "write the bare name lr, without its section."),
    in_space("not searchable", "limit: [10, 20]", "data.limit cannot be searched. Set it outside"),
    in_space("unknown hyperparameter", "learning_rate: [0.1]", "unknown hyperparameter. `cnnsearch schema` lists"),
    in_space("near name", "actvation: [relu]", "unknown hyperparameter. Did you mean activation?"),
    in_space("value on its own line", "activation:\n    - relu\n    - tahn", "unknown activation 'tahn'.",
             line=6),
    Bad("space empty", f"{HEAD}space: {{}}\n", "bad.yaml:3: space: is empty. Write a line such as"),
    Bad("space a list", f"{HEAD}space: [lr]\n", "bad.yaml:3: space: ['lr'] is no mapping. Write"),
]  # fmt: skip


def when(id: str, condition: str, text: str) -> Bad:
    entries = (
        "  activation: [relu, tanh]\n  lr: {low: 0.1, high: 1.0}\n  batchnorm: [true, false]\n"
        f"  momentum: {{choices: [0.0, 0.9], when: {condition}}}\n  init: [he, xavier]\n"
    )
    return Bad(id, f"{HEAD}space:\n{entries}", f"bad.yaml:7: space.momentum: {text}")


CONDITIONS = [
    when("when on unknown", "{optimizer: sgd}", "when names 'optimizer', which is not in space. Write"),
    when("when on near", "{activaton: relu}", "when names 'activaton', which is not in space. Did you"),
    when("when on later", "{init: he}", "when names init, which stands below. Move it above."),
    when("when on numeric", "{lr: 0.1}", "when names lr, which is a range. Name a parameter with"),
    when("when on itself", "{momentum: 0.9}", "when names the parameter itself. Name an earlier one."),
    when("when never", "{activation: elu}", "activation is never 'elu' in this space. Write relu or tan"),
    when("when empty", "{activation: []}", "when: {activation: []} is never true. Write a value."),
    when("when a name", "activation", "when 'activation' does not fit. Write when: {NAME: VALUE}."),
]  # fmt: skip
CONDITIONS += [
    Bad("when true for 1", c.text, "bad.yaml:7: space.momentum.when.batchnorm: 1 does not fit. Write")
    for c in [when("", "{batchnorm: 1}", "")]
]

FIELDS = [
    single("epochs 0", "train: {epochs: 0}", "train.epochs: 0 does not fit. Write a whole number"),
    single("seed -1", "seed: -1", "seed: -1 does not fit. Write a whole number of at least 0."),
    single("lr nan", "train: {lr: nan}", "train.lr: 'nan' does not fit. Write a number above 0."),
    single("lr .nan", "train: {lr: .nan}", "train.lr: nan does not fit. Write a number above 0."),
    single("lr .inf", "train: {lr: .inf}", "train.lr: inf does not fit. Write a number above 0."),
    single("lr text", "train: {lr: '0.1'}", "train.lr: '0.1' does not fit. Write a number above 0."),
    single("epochs switch", "train: {epochs: true}", "train.epochs: true does not fit. Write a whole"),
    single("off where a name belongs", "model: {activation: off}", "model.activation: unknown activa"),
    single("on where a switch belongs", "model: {batchnorm: yes}",
           "model.batchnorm: 'yes' does not fit. Write true or false."),
    single("number where a switch belongs", "model: {batchnorm: 1}",
           "model.batchnorm: 1 does not fit. Write true or false."),
    single("unknown pool", "model: {pool: maxx}", "model.pool: unknown pool 'maxx'. Did you mean max?"),
    single("unknown name", "model: {activation: tahn}",
           "model.activation: unknown activation 'tahn'. Did you mean tanh?"),
    single("conv no list", "model: {conv: 3}", "model.conv: 3 does not fit. Write a list of whole num"),
    single("conv 0", "model:\n  conv:\n  - 1\n  - 0", "model.conv: [1, 0] does not fit. Write a lis", 5),
    single("unknown key", "train: {batch_sise: 3}",
           "train.batch_sise: unknown name. Did you mean batch_size?"),
    single("key of another section", "model: {batch_size: 3}",
           "model.batch_size: belongs to the section train. Move it there."),
    single("seed in a section", "train: {seed: 3}", "train.seed: belongs to the top of the file. Mo"),
    single("key without section", "lr: 0.1", "lr: belongs to the section train. Move it there."),
    single("unknown section", "modle: {}", "modle: unknown name. Did you mean model?"),
    single("near key without section", "batchsize: 3", "batchsize: unknown name. Did you mean train.ba"),
    single("section no mapping", "train: 3", "train: 3 is no mapping. Write train: and its fields b"),
    single("device", "device: gpu", "device: 'gpu': Write auto, cpu, cuda, cuda:1 or mps."),
    single("study name", "study: a b", "study: 'a b': A study's name has letters"),
    single("study number", "study: 12", "study: 12 does not fit. Write a name in letters and digits,"),
    single("batch norm with batch size 1", "model: {batchnorm: true}\ntrain: {batch_size: 1}",
           "train.batch_size: batch norm needs at least 2 images a batch. Write 2 or more, or", 3),
    single("warm-up too long", "train: {epochs: 2, warmup_epochs: 2}",
           "train.warmup_epochs: a warm-up of 2 of 2 epochs. Write fewer than there are epochs."),
    single("search without space", "search: {trials: 3}",
           "search: there is no space to search. Write a section space, or delete this one."),
    Bad("size of a known data set", "data: {name: digits, size: [8, 8]}",
        "bad.yaml:1: data.size: the images of digits have their own. Delete the line."),
    Bad("channels of a known data set", "data:\n  name: digits\n  channels: 1",
        "bad.yaml:3: data.channels: the images of digits have their own. Delete the line."),
    Bad("validation too large a share", "data: {name: digits, validation: 1.5}",
        "bad.yaml:1: data.validation: 1.5 does not fit. Write a number above 0 and below 1 or"),
    Bad("no data", "train: {lr: 0.1}", "bad.yaml: data.name: is missing. Write data: {name: digits}"),
    Bad("no data set", "data: {flip: true}", "bad.yaml:1: data.name: is missing. Write data: {name"),
    Bad("timeout as YAML 1.1 reads it", f"{HEAD[:-2]}, timeout: 1:30}}\nspace: {{lr: [1, 2]}}",
        "bad.yaml:2: search.timeout: '1:30' is no duration. Write 90s, 30m, 2h or 1h30m."),
    Bad("trials 0", "data: {name: digits}\nsearch: {trials: 0}\nspace: {lr: [1, 2]}",
        "bad.yaml:2: search.trials: 0 does not fit. Write a whole number"),
    Bad("no trials", "data: {name: digits}\nspace: {lr: [1, 2]}",
        "bad.yaml:2: search.trials: is missing. Write search: {trials: 20}, or give -n 20."),
    Bad("batch norm reaches batch size 1",
        f"{HEAD}space:\n  batchnorm: [false, true]\n  batch_size: {{low: 1, high: 64}}",
        "bad.yaml:5: space.batch_size: batch norm needs at least 2 images a batch. Write 2 or"),
    Bad("file name no study", "data: {name: digits}",
        "my file.yaml:1: study: the file's name 'my file' is no study name. Write study: my-file.",
        file="my file.yaml"),
]  # fmt: skip

YAML = [
    Bad("tab", "data:\n\tname: digits\n", "bad.yaml:2: a tab in the indentation. Write spaces."),
    Bad("broken", "data: {name: digits\n", "bad.yaml:2: broken YAML: expected ',' or '}'"),
    Bad("colon", "data: name: digits", "bad.yaml:1: broken YAML: a second colon on the line, or"),
    Bad("empty", "", "bad.yaml: the file is empty. `cnnsearch init` writes one to start with."),
    Bad("comment only", "# nothing\n", "bad.yaml: the file is empty."),
    Bad("list at top", "- lr\n", "bad.yaml:1: the file holds a list. Write sections, first data:."),
    Bad("text at top", "lr", "bad.yaml:1: the file holds a single value. Write sections, first data:"),
    Bad("not UTF-8", b"data: {name: digits}\n# caf\xe9\n",
        "bad.yaml:2: byte 0xe9 is not UTF-8. Save the file as UTF-8."),
    Bad("control character", "data:\n  name: di\x07gits", "bad.yaml:2: the character U+0007 is not al"),
    Bad("escape that is no character", 'study: "\\UFFFFFFFF"', "bad.yaml:1: broken YAML: "),
    Bad("escape of half a character", 'study: "\\ud800"', "bad.yaml:1: '\\ud800' holds what no text"),
    Bad("above 1 MB", "# " + "x" * 1_000_000, "bad.yaml: the file is larger than 1 MB. A config is"),
    Bad("too many values", "data: [" + "1," * 10_001 + "]", "bad.yaml:1: more than 10,000 values."),
    Bad("too deep", "data: " + "[" * 5_000, "bad.yaml:1: nested deeper than 12 levels."),
    Bad("anchor", "data: &d {name: digits}", "bad.yaml:1: '&d': anchors and aliases are refused."),
    Bad("alias", "data: {name: digits}\nmodel: *d", "bad.yaml:2: '*d': anchors and aliases are re"),
    Bad("tag", "data: {name: !!python/name:os.system digits}", "bad.yaml:1: the tag 'tag:yaml.org,"),
    Bad("merge key", "data:\n  <<: {name: digits}", "bad.yaml:2: merge keys (<<) are refused."),
    Bad("two documents", "data: {name: digits}\n---\ndata: {}", "bad.yaml:2: a second document begins"),
    Bad("list as a name", "? [a]\n: 1", "bad.yaml:1: a name must be a plain word"),
    Bad("duplicate key", "data: {name: digits}\ntrain:\n  lr: 0.1\n  epochs: 2\n  lr: 0.2\n",
        "bad.yaml:5: 'lr' is written twice; it stands on line 3 too. Delete one."),
]  # fmt: skip

OPTIONS = [
    option("-S without value", "momentum", "no value. Write -S KEY=VALUE, such as -S lr=0.01."),
    option("-S unknown", "momentun=0.1", "unknown name 'momentun'. Did you mean momentum?"),
    option("-S wrong section", "model.momentum=0.1", "unknown name 'model.momentum'. Did you mean t"),
    option("-S bad value", "epochs=two", "'two' does not fit. Write a whole number from 1"),
    option("-S section", "data={}", "data is a section. Write -S data.NAME=VALUE."),
    option("-S space", "space.lr=[1]", "the space is changed in the file, not on the command line."),
    option("-S broken", "epochs=[", "broken YAML: expected the node content, but found '<stream end"),
    option("-S alias", "epochs=*a", "'*a': anchors and aliases are refused. Write the value out."),
    option(
        "-S of a name in space",
        "lr=0.1",
        "lr stands in space (bad.yaml:4). Delete that line, or write lr: [0.1] there.",
    ),
]

ALL = [*RANGES, *SPELLINGS, *CHOICES, *CONDITIONS, *FIELDS, *YAML, *OPTIONS]


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
    assert len(line) < 250
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
    assert [line.split(" ")[0] for line in str(error.value).splitlines()] == [
        "bad.yaml:3:",
        "bad.yaml:4:",
        "bad.yaml:5:",
        "-S",
    ]


def test_a_flood_of_mistakes_is_cut(folder: Path) -> None:
    (folder / "bad.yaml").write_text("\n".join(f"name{i}: 1" for i in range(500)))
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "bad.yaml: 401 more mistakes."


def test_what_a_terminal_acts_upon_is_escaped(folder: Path) -> None:
    (folder / "bad.yaml").write_text('data: {name: digits}\n"\\e[2J\\u202e": 1\n')
    with pytest.raises(InputError) as error:
        load("bad.yaml")
    assert str(error.value).isprintable()


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
        "data.root: cifar10 is not in empty (looked for cifar-10-batches-py/data_batch_1"),
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
        ("list", "smalk"): ["no study 'smalk' in cnnsearch.db. Nearest: small."],
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
    assert placed("a.yaml", ["limit=3"], "data.limit: no") == "-S limit=3: data.limit: no"

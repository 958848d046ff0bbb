"""Chains of searches in one file: what the file may say, and runs that are killed at any stage."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.config import Stage, differences, from_plain, load, schema, to_yaml
from cnnsearch.errors import InputError
from cnnsearch.records import State
from cnnsearch.render.text import clean
from cnnsearch.stages import Chain
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.held import start, wait_for
from tests.terminals import on_terminal
from tests.verbs import Found
from tests.waiting import until

DATABASE = "cnnsearch.db"
HEAD = """\
device: cpu
data: {name: digits, limit: 100, validation: 60}
model: {conv: [], hidden: [16]}
train: {epochs: 9, batch_size: 32}
search: {sampler: random}
space:
  lr: {low: 1e-3, high: 1.0, log: true}
  init: [he, zeros]
  activation: [relu, tanh]
"""
STAGES = """\
stages:
  - {epochs: 1, trials: 12}
  - {epochs: 2, trials: 7, top: 50%, set: {schedule: cosine}}
  - {trials: 5, top: 3, pad: 0.5, folds: 2}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)


def write(text: str = HEAD + STAGES, name: str = "chain.yaml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Found:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


# The file


def test_the_config_is_that_of_the_first_stage() -> None:
    config = load(write())
    assert config.train.epochs == 1
    assert config.search is not None
    assert config.search.trials == 12
    assert config.stages == (
        Stage(epochs=1, trials=12),
        Stage(epochs=2, trials=7, top="50%", set={"schedule": "cosine"}),
        Stage(trials=5, top=3, pad=0.5, folds=2),
    )
    chain = Chain(config)
    first, second, third = chain.outlines()
    assert [one.study for one in (first, second, third)] == ["chain.1", "chain.2", "chain.3"]
    assert [one.train.epochs for one in (first, second, third)] == [1, 2, 2]
    assert [one.train.schedule for one in (first, second, third)] == ["constant", *["cosine"] * 2]
    assert [one.data.folds for one in (first, second, third)] == [1, 1, 2]
    assert all(one.stages == () for one in (first, second, third))
    assert config.at({"lr": 0.1}, 3).stages == ()


def test_there_and_back() -> None:
    config = load(write())
    plain = json.loads(json.dumps(config.plain()))
    assert list(plain)[-1] == "stages"
    assert from_plain(plain) == config
    text = to_yaml(config)
    assert "\n  - {epochs: 2, trials: 7, top: 50%, set: {schedule: cosine}}\n" in text
    assert load(write(text, "again.yaml"), ["study=chain"]) == config


def test_stages_are_no_difference_of_a_study() -> None:
    config = load(write())
    other = load(write(HEAD + STAGES.replace("trials: 5", "trials: 9"), "other.yaml"))
    assert differences(Chain(config).first(), Chain(other).first()) == []
    assert differences(config, other) == []


def test_the_schema_knows_stages() -> None:
    found = schema()
    entry = found["properties"]["stages"]["items"]
    assert list(entry["properties"]) == ["epochs", "trials", "top", "pad", "folds", "set"]
    assert found["dependentRequired"]["stages"] == ["space"]
    assert "schedule" in entry["properties"]["set"]["properties"]
    assert "$ref" not in json.dumps(entry)


WRONG = [
    ("stages: 3", "stages: 3 is no list of stages."),
    ("stages: []", "stages: [] is no list of stages."),
    ("stages: [3]", "stages.1: 3 is no stage. Write at least one of epochs, trials, top"),
    ("stages: [{}]", "stages.1: {} is no stage."),
    ("stages: [{epoch: 3}]", "stages.1.epoch: unknown key. Did you mean epochs?"),
    ("stages: [{schedule: cosine}]", "unknown key. Write set: {schedule: VALUE}."),
    ("stages: [{top: 20%}]", "stages.1.top: the first stage searches the whole space."),
    ("stages: [{pad: 0.1}]", "stages.1.pad: the first stage searches the whole space."),
    ("stages: [{trials: 9}, {top: 0.2}]", "stages.2.top: 0.2 does not fit. Write a share such as"),
    ("stages: [{trials: 9}, {top: 0}]", "stages.2.top: 0 does not fit."),
    ("stages: [{trials: 9}, {top: true}]", "stages.2.top: true does not fit."),
    ("stages: [{trials: 9}, {pad: -1}]", "stages.2.pad: -1 does not fit. Write a share from 0"),
    ("stages: [{trials: 9}, {folds: 1}]", "stages.2.folds: 1 does not fit. Write a whole number"),
    ("stages: [{trials: 9}, {epochs: 0}]", "stages.2.epochs: 0 does not fit. Write a whole"),
    ("stages: [{trials: 9}, {set: {}}]", "stages.2.set: {} sets nothing."),
    ("stages: [{trials: 9}, {set: {epochs: 3}}]", "write epochs beside set, not in it."),
    ("stages: [{trials: 9}, {set: {lr: 3}}]", "stages.2.set.lr: lr stands in space"),
    ("stages: [{trials: 9}, {set: {objective: val_loss}}]", "all stages have the same search.obj"),
    ("stages: [{trials: 9}, {set: {scedule: cosine}}]", "Did you mean schedule?"),
    ("stages: [{trials: 9}, {set: {schedule: cosin}}]", "unknown schedule 'cosin'. Did you mean"),
    ("stages: [{trials: 9, folds: 2, set: {validation: 9}}]", "folds are a validation too."),
    ("stages: [{epochs: 2}]", "search.trials: is missing."),
    (
        "stages: [{trials: 9}, {set: {warmup_epochs: 9}}]",
        "stages.2: train.warmup_epochs: a warm-up of 9 of 9 epochs.",
    ),
]


@pytest.mark.parametrize(("line", "told"), WRONG)
def test_mistakes_have_their_line(line: str, told: str) -> None:
    path = write(HEAD + line + "\n")
    with pytest.raises(InputError) as error:
        load(path)
    [message] = str(error.value).splitlines()
    assert told in message
    assert message.startswith(f"{path}:{5 if 'missing' in told else 10}: ")


def test_stages_need_a_space() -> None:
    with pytest.raises(InputError, match=r"^x\.yaml:2: stages: there is no space to narrow\."):
        load(write("data: {name: digits}\nstages: [{epochs: 2}]\n", "x.yaml"))


def test_the_command_line_does_not_contradict_stages(call: Any) -> None:
    path = write()
    for words, told in (
        (["-n", "5"], "-n 5: each stage has its own trials. Change them in the file."),
        (["-S", "epochs=5"], "-S epochs=5: stages.1 sets epochs. Change it in the file."),
        (["-S", "stages=5"], "-S stages=5: stages are changed in the file"),
        (["--name", "a" * 63], "stages are named such as"),
    ):
        found = call("run", path, *words)
        assert (found.code, found.out) == (2, "")
        assert told in found.err
        assert len(found.err.splitlines()) == 1
    assert load(path, ["batch_size=16"]).train.batch_size == 16
    assert sorted(p.name for p in Path().iterdir() if "xdg" not in p.name) == [path]


# The chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the chain was run undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    before = Path.cwd()
    os.chdir(folder)
    try:
        write()
        assert cli.run(["run", "chain.yaml", "-j", "0"]) == 0
    finally:
        os.chdir(before)
    return folder


FILES = ("stage-1.yaml", "stage-2.yaml", "stage-3.yaml", "best.yaml")


def files(folder: Path) -> dict[str, str]:
    return {name: (folder / "runs" / "chain" / name).read_text() for name in FILES}


def wait_for_a_running_trial(study: str) -> None:
    until(
        lambda: any(t.state is State.RUNNING for t in read.trials(DATABASE, study)),
        "a running trial",
    )


def test_killed_at_each_stage_the_final_file_is_the_same(chain: Path) -> None:
    """Killed among the trials of a stage, or before its first, and finished by two workers."""
    path = write()
    for number, point in ((1, 5), (2, 0), (3, 3)):
        with start("run", path, "-j", "0", held_at=(f"chain.{number}", str(point))) as process:
            wait_for(process, f"stage {number} of 3: ")
            wait_for(process, "held")
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not Path("runs/chain/best.yaml").exists()
    with start("run", path, "-j", "2") as process:
        process.communicate()
    assert process.returncode == 0
    assert files(Path()) == files(chain)
    # The killed attempts are kept.
    assert sum(len(read.trials(DATABASE, f"chain.{k}")) for k in (1, 2, 3)) > 12 + 7 + 5


def test_what_each_stage_is(chain: Path) -> None:
    storage = str(chain / DATABASE)
    assert read.study_names(storage) == ["chain.1", "chain.2", "chain.3"]
    places = {name: dict(place) for name, place in read.stages(storage).items()}
    assert places["chain.1"] == {"family": "chain", "stage": 1, "of": 3, "parent": None}
    assert len(places["chain.3"].pop("parent_results")) == 16
    assert places["chain.3"] == {
        "family": "chain", "stage": 3, "of": 3, "parent": "chain.2", "top": 3, "pad": 0.5,
    }  # fmt: skip
    texts = files(chain)
    for number in (1, 2, 3):
        stored = from_plain(dict(read.summary(storage, f"chain.{number}").config))
        Path("stage.yaml").write_text(texts[f"stage-{number}.yaml"])
        assert load("stage.yaml") == stored
        assert stored.seed == number - 1
    assert "zeros" not in texts["stage-2.yaml"].split("\nspace:")[1]
    assert texts["stage-2.yaml"].startswith("# Stage 2 of 3 of chain, narrowed to the best ")


def test_the_final_file_is_the_best_of_the_last_stage(chain: Path) -> None:
    texts = files(chain)
    Path("best.yaml").write_text(texts["best.yaml"])
    best = load("best.yaml")
    trials = read.trials(str(chain / DATABASE), "chain.3")
    top = max(trials, key=lambda t: (t.value or 0.0, -t.point))
    assert (best.seed, best.space, best.data.folds) == (top.seed, None, 2)
    assert best.train.lr == top.params["lr"]
    assert texts["best.yaml"].startswith(f"# The best of chain after 3 stages: point {top.point} ")


def test_run_twice_is_run_once(chain: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    before = files(chain)
    found = call("run", "chain.yaml", "-j", "0", "--json")
    assert found.code == 0
    document = json.loads(found.out)
    assert [one["study"] for one in document["stages"]] == ["chain.1", "chain.2", "chain.3"]
    assert document["file"] == "runs/chain/best.yaml"
    assert document["best"]["study"].startswith("chain.")
    assert files(chain) == before
    assert found.err.count("; done before") == 3
    [best] = [line for line in found.err.splitlines() if line.startswith("best over 3 stages: ")]
    elsewhere = "chain.3/" not in best  # without its folds
    assert (" (on other images than chain.3); " in best) is elsewhere
    head = call("list", "chain").err
    assert (" (on other images than chain.3)\n" in head) is elsewhere
    refused = call("rm", "chain", "-y").err
    assert refused == "chain is a chain. Write one of its studies: chain.1, chain.2, chain.3.\n"
    assert "runs/chain/best.yaml: the best of chain.3" in found.err


def test_what_has_begun_is_not_changed(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run refuses it too, and nothing is written by either."""
    monkeypatch.chdir(chain)
    database = Path(DATABASE).read_bytes()
    text = HEAD + STAGES
    for old, new, line in (
        ("trials: 12", "trials: 14", "stages.1: chain.1 is over, as chain.2 was begun from it"),
        ("top: 50%", "top: 40%", "study chain.2 was begun with top: 50%, and the file has 40%."),
        ("pad: 0.5", "pad: 0.4", "study chain.3 was begun with pad: 0.5, and the file has 0.4."),
        ("epochs: 2", "epochs: 3", "study chain.2 was started with other values"),
        ("high: 1.0", "high: 2.0", "study chain.1 was started with other values"),
    ):
        path = write(text.replace(old, new), "changed.yaml")
        for more in ([], ["--dry-run"]):
            with pytest.raises(InputError, match=r"."):
                _raising("run", path, "--name", "chain", "-j", "0", *more)
            with pytest.raises(InputError) as error:
                _raising("run", path, "--name", "chain", "-j", "0", *more)
            assert line in str(error.value)
    assert Path(DATABASE).read_bytes() == database


def _raising(*words: str) -> None:
    """Run a verb so that its error is seen."""
    from cnnsearch.cli import group

    with group.make_context("cnnsearch", list(words), obj=list(words)) as context:
        group.invoke(context)


def test_later_stages_may_change_and_ctrl_c_ends_in_order(call: Any) -> None:
    path = write(HEAD + STAGES.replace("epochs: 2", "epochs: 100000"))
    with start("run", path, "-j", "0") as process:
        wait_for(process, "chain.2: 7 trials")
        wait_for_a_running_trial("chain.2")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert f"interrupted at stage 2 of 3. To continue: cnnsearch run {path}" in rest
    assert "Traceback" not in rest
    cli.run(["rm", "chain.2", "--yes"])
    call("list")
    write(HEAD + STAGES.replace("trials: 5", "trials: 4"))
    found = call("run", path, "-j", "0")
    assert found.code == 0
    assert "chain.1: 12 complete" in found.err
    assert "[4/4]" in found.err
    with Path(path).open("a") as stream:
        stream.write("  - {epochs: 3, trials: 2, top: 100%}\n")
    found = call("run", path, "-j", "0")
    assert "stages.3.trials: 4 before another stage, and narrowing takes 5" in found.err
    assert found.code == 2


def test_the_time_is_for_the_whole_chain(call: Any) -> None:
    path = write()
    more = ("-S", "limit=null", "-S", "hidden=[900]")
    found = call("run", path, "-j", "0", "--timeout", "1s", *more)
    assert found.code == 0
    assert re.search(r"time is up at stage \d of 3, .* left\. To continue: cnnsearch", found.err)
    assert not Path("runs/chain/best.yaml").exists()


def test_a_stage_in_which_nothing_completes_ends_the_chain(call: Any) -> None:
    text = HEAD.replace("low: 1e-3, high: 1.0", "low: 1e8, high: 1e9").replace(", zeros", "")
    found = call("run", write(text + "stages: [{trials: 5}, {trials: 2}]\n"), "-j", "0")
    assert found.code == 3
    assert "no trial of chain.1 completed. See why: cnnsearch diagnose chain.1" in found.err
    assert read.study_names(DATABASE) == ["chain.1"]


def test_a_stage_of_which_too_few_complete_is_given_more_trials(call: Any) -> None:
    """Said in the words of the file; then the chain goes on from where it was."""
    text = HEAD.replace("low: 1e-3, high: 1.0", "low: 1e-3, high: 3e2").replace(", zeros", "")
    path = write(text + "stages: [{trials: 8}, {trials: 2}]\n")
    found = call("run", path, "-j", "0")
    assert found.code == 2
    told = (
        r"chain\.1: \d trials are complete, and narrowing takes 5 at least\. "
        r"Raise trials of stage 1 in the file and run it again; what has ended is kept\.\n"
    )
    assert re.search(told, found.err)
    before = read.trials(DATABASE, "chain.1")
    write(text + "stages: [{trials: 20}, {trials: 2}]\n")
    assert call("run", path, "-j", "0").code == 0
    assert read.trials(DATABASE, "chain.1")[:8] == before
    assert len(read.trials(DATABASE, "chain.2")) == 2


def test_a_grid_of_which_too_few_complete_has_no_more(call: Any) -> None:
    """More trials would not help: all its points have ended."""
    space = "low: 1e-3, high: 1e5, log: true, points: 5"
    text = HEAD.replace("low: 1e-3, high: 1.0, log: true", space).replace(", zeros", "")
    text = text.replace("sampler: random", "sampler: grid").replace("[relu, tanh]", "[relu]")
    found = call("run", write(text + "stages: [{epochs: 9}, {trials: 2}]\n"), "-j", "0")
    assert "its grid has no other points. Search another space, with --name NAME.\n" in found.err


def test_a_busy_stage_is_refused(chain: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    config = from_plain(dict(read.summary(DATABASE, "chain.3").config))
    fingerprint = str((read.study_attributes(DATABASE, "chain.3") or {})["fingerprint"])
    study = Study.claim(DATABASE, config, fingerprint, 5)
    try:
        path = write(HEAD + STAGES.replace("trials: 5", "trials: 6"), "more.yaml")
        found = call("run", path, "--name", "chain", "-j", "0")
    finally:
        study.release()
    assert found.code == 1
    assert f"study chain.3 is running: process {os.getpid()}" in found.err


# What other verbs show


def test_list_shows_a_chain_as_one_family(
    chain: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    rows = call("list").rows
    assert rows[0][:3] == ["study", "stage", "complete"]
    assert [row[0] for row in rows[1:]] == ["chain", "chain.1", "chain.2", "chain.3"]
    assert rows[1][1:3] == ["all", "24"]
    assert rows[2][1:4] == ["1", "of", "3"]
    best = max(read.summary(DATABASE, f"chain.{k}").best or 0.0 for k in (1, 2, 3))
    assert rows[1][3] == f"{best:.4f}"
    stages = json.loads(call("list", "--json").out)
    assert [one["stage"]["stage"] for one in stages] == [1, 2, 3]
    assert json.loads(call("list", "chain", "--json").out) == stages


@pytest.mark.parametrize("prefix", ["chain", "cha"])
def test_list_of_a_family_shows_its_stages(
    prefix: str, chain: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    found = call("list", prefix)
    assert found.code == 0
    assert "chain: 3 of 3 stages begun" in found.err
    assert re.search(r"^lr +0\.001 to 1 -> [\d.]+ to [\d.]+ -> ", found.out, re.MULTILINE)
    assert re.search(r"^init +he, zeros -> he -> he$", found.out, re.MULTILINE)
    refused = call("list", prefix, "--top", "3")
    assert refused.code == 2
    assert "Write one of: chain.1, chain.2, chain.3." in refused.err
    assert call("list", "chain.2", "--top", "1").rows[1][1] == "complete"


def test_dry_run_and_check_tell_the_plan(call: Any) -> None:
    path = write()
    plan = [
        "chain.1: 12 trials of 1 epoch",
        "chain.2: 7 trials of 2 epochs, schedule cosine; around the best 50% of chain.1",
        "chain.3: 5 trials of 2 epochs in 2 folds; around the best 3 of chain.2",
    ]
    dry = call("run", path, "--dry-run")
    assert dry.err.splitlines()[:3] == plan
    assert dry.out.count("attempt 1") == 12
    assert not Path(DATABASE).exists()
    checked = call("check", path).out
    assert all(line in checked for line in plan)
    assert re.search(r"time .* a trial, .*; all stages about ", checked)


def test_check_finds_what_a_later_stage_cannot_do(call: Any) -> None:
    path = write(HEAD + "stages: [{trials: 5}, {set: {limit: 999999}}]\n")
    for verb in ("check", "run"):
        found = call(verb, path)
        assert found.code == 2
        assert "limit" in found.err.splitlines()[-1]
    assert not Path(DATABASE).exists()


def test_stages_are_added_to_a_file(call: Any) -> None:
    text = "# why\n" + HEAD.replace("random}", "random, trials: 40}   # kept")
    path = write(text, "coarse.yaml")
    found = call("narrow", "--stages", path, "-o", "staged.yaml")
    assert (found.code, found.out) == (0, "")
    written = Path("staged.yaml").read_text()
    assert written.startswith(text)
    config = load("staged.yaml")
    assert [one.plain() for one in config.stages] == [
        {"epochs": 9, "trials": 40},
        {"epochs": 27, "trials": 20, "top": "20%", "set": {"schedule": "cosine"}},
        {"epochs": 45, "trials": 8, "top": "20%", "folds": 3},
    ]
    assert call("narrow", path, "--stages").out == written
    twice = call("narrow", "--stages", "staged.yaml")
    assert twice.err == "staged.yaml: has stages already. Run it: cnnsearch run staged.yaml.\n"
    flow = write("{data: {name: digits}, search: {trials: 3}, space: {lr: [1, 2]}}", "flow.yaml")
    assert "cannot be added to a file in braces" in call("narrow", "--stages", flow).err
    single = write("data: {name: digits}\n", "single.yaml")
    assert "single.yaml: has no space" in call("narrow", "--stages", single).err


def test_a_grid_runs_as_many_points_as_its_stage_says(call: Any) -> None:
    text = HEAD.replace("random", "grid").replace("log: true", "log: true, points: 6")
    path = write(text + "stages: [{epochs: 1, trials: 9}, {trials: 4, top: 5}]\n")
    found = call("run", path, "-j", "0")
    assert found.code == 0
    assert [len(read.trials(DATABASE, f"chain.{k}")) for k in (1, 2)] == [9, 4]
    assert "9 trials (grid)" in found.err


def test_on_a_terminal_of_80_columns(chain: Path) -> None:
    for words in (["list"], ["list", "chain"]):
        shown = clean(on_terminal(["-m", "cnnsearch", *words], cwd=chain))
        assert "chain.3" in shown
        assert all(len(line) <= 80 for line in shown.splitlines())


# What is no stage of the chain


def test_a_stage_without_the_one_before_it_is_refused(
    chain: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last stage of an older chain would be taken for that of the new one."""
    shutil.copytree(chain, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert cli.run(["rm", "chain.1", "--yes"]) == 0
    before = files(tmp_path / "copy")
    found = call("run", "chain.yaml", "-j", "0")
    assert found.code == 2
    assert "study chain.2 is there, and chain.1 before it is not." in found.err
    assert "cnnsearch rm chain.2" in found.err
    assert files(tmp_path / "copy") == before
    assert read.study_names(DATABASE) == ["chain.2", "chain.3"]


def test_a_study_of_another_making_is_no_stage(call: Any) -> None:
    assert call("run", write(HEAD, "own.yaml"), "-j", "0", "-n", "2", "--name", "chain.2").code == 0
    found = call("run", write(), "-j", "0")
    assert found.code == 2
    assert "study chain.2 is not stage 2 of chain, and has its name." in found.err
    assert read.study_names(DATABASE) == ["chain.2"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("trials: 12", "trials: 4", "stages.1.trials: 4 before another stage, and narrowing takes"),
        ("top: 3", "top: 8", "stages.3.top: 8 does not fit: the stage before has 7 trials."),
    ],
)
def test_too_few_trials_to_narrow_are_told_before_anything_runs(
    old: str, new: str, told: str, call: Any
) -> None:
    assert old in STAGES
    found = call("check", write(HEAD + STAGES.replace(old, new)))
    assert found.code == 2
    assert re.match(r"chain.yaml:\d+: " + re.escape(told), found.err)


def test_the_last_stage_answers_to_the_name_of_the_chain(
    chain: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    found = json.loads(call("show", "chain", "best", "--json").out)
    assert found == json.loads(call("show", "chain.3", "best", "--json").out)

"""Trials on a Ray cluster: the same numbers, and what happens when parts of it go."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from cnnsearch import cli, executors
from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Message
from cnnsearch.executors import cluster as clusters
from cnnsearch.executors.cluster import Cluster, unfit
from cnnsearch.executors.ray import RayExecutor
from cnnsearch.executors.remote import Needs, Node, versions
from cnnsearch.records import Checkpointing, EpochResult, Outcome, State, Task, Trial
from cnnsearch.study import read
from tests.builders import digits_config, write_digits
from tests.clusters import Nodes, on_ray, run
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("ray")
Capture = pytest.CaptureFixture[str]
DATABASE = "cnnsearch.db"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    found = Nodes()
    found.add()
    yield found
    found.close()


def told(trials: list[Trial]) -> list[tuple[object, ...]]:
    """What is the same however often trials were lost."""
    ended = [trial for trial in trials if trial.state is not State.KILLED]
    return sorted((t.point, str(t.state), str(t.params), t.value, t.epochs) for t in ended)


def test_the_numbers_of_this_machine(nodes: Nodes, tmp_path: Path) -> None:
    """And what workers print is kept with their trials."""
    file = str(write_digits(tmp_path))
    other = str(tmp_path / "other.db")
    assert cli.run(["run", file, "-j", "0", "--storage", other]) == 0
    with run(nodes, tmp_path, file) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "1 worker on 1 node of Ray" in said
    assert "Traceback" not in said
    assert told(read.trials(DATABASE, "digits")) == told(read.trials(other, "digits"))
    assert (tmp_path / "runs" / "digits" / "0" / "config.yaml").exists()


def test_lost_trials_run_again(nodes: Nodes, tmp_path: Path) -> None:
    """A worker is killed, then a whole node; the other node takes over."""
    file = str(write_digits(tmp_path, train="train: {epochs: 60}"))
    other = str(tmp_path / "other.db")
    words = [file, "-n", "4", "-S", "retries=100"]
    assert cli.run(["run", *words, "-j", "0", "--storage", other]) in (0, 3)
    second = nodes.add()
    killed = removed = False
    with run(nodes, tmp_path, *words) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[1/") and not killed:
                killed = True
                os.kill(nodes.workers()[0], signal.SIGKILL)
            if line.startswith("[2/") and not removed:
                removed = True
                nodes.kill(second)
    assert process.returncode in (0, 3)
    found = read.trials(DATABASE, "digits")
    assert told(found) == told(read.trials(other, "digits"))
    assert any(t.state is State.KILLED and "was lost" in (t.reason or "") for t in found)


def test_a_lost_trial_goes_on_from_its_checkpoint(nodes: Nodes, tmp_path: Path) -> None:
    """Wherever it goes on: the file came back with what was told, and goes out with the task."""
    sections = {"train": "train: {epochs: 300}\ncheckpoint: {every: 1}", "  lr": "  lr: [0.01]"}
    file = str(write_digits(tmp_path, **sections))
    other = str(tmp_path / "other.db")
    words = [file, "-n", "1"]
    assert cli.run(["run", *words, "-j", "0", "--storage", other]) == 0
    (tmp_path / "runs").rename(tmp_path / "other")
    with run(nodes, tmp_path, *words) as process:
        until((tmp_path / "runs/digits/.0.partial/checkpoint.pt").exists, "a checkpoint")
        os.kill(nodes.workers()[0], signal.SIGKILL)
        assert process.stderr is not None
        process.stderr.read()
    assert process.returncode == 0
    *lost, found = read.trials(DATABASE, "digits")
    assert {trial.state for trial in lost} == {State.KILLED}
    log = tmp_path / f"runs/digits/{found.number}/log.txt"
    assert "continues after epoch" in log.read_text()
    assert found.facts["continued_after"] >= 1
    whole, again = read.trial(other, "digits", 0), read.trial(DATABASE, "digits", found.number)
    plain = [(r.epoch, r.train_loss, r.val_loss, r.val_accuracy) for r in whole.curve]
    assert plain == [(r.epoch, r.train_loss, r.val_loss, r.val_accuracy) for r in again.curve]
    assert not list(tmp_path.glob("runs/digits/*/checkpoint.pt"))


def test_workers_end_with_their_coordinator(nodes: Nodes, tmp_path: Path) -> None:
    file = str(write_digits(tmp_path, train="train: {epochs: 1000}"))
    with run(nodes, tmp_path, file) as process:
        until((tmp_path / "runs/digits/.0.partial").exists, "a trial")
        until(nodes.workers, "a worker")
        process.kill()
    until(lambda: not nodes.workers(), "the end of its workers")
    assert nodes.workers() == []


def test_unfit_nodes_get_no_trials(nodes: Nodes, tmp_path: Path) -> None:
    """Another torch, other images: told by name, and the others run the search."""
    fake = tmp_path / "path" / "torch-9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    node = nodes.add(env={"PYTHONPATH": f"{fake.parent}{os.pathsep}{os.environ['PYTHONPATH']}"})
    try:
        with run(nodes, tmp_path, str(write_digits(tmp_path)), "-n", "2") as process:
            assert process.stderr is not None
            said = process.stderr.read()
    finally:
        nodes.kill(node)
    assert process.returncode in (0, 3), said
    assert f"node {os.uname().nodename} ({node.node_id[:8]}) gets no trials" in said
    assert "torch 9.9 instead of" in said
    assert "1 worker on 1 node of Ray" in said


def test_files_of_ones_own(nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder of the command, wherever Ray was started; a node without it is named."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def net(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    elsewhere = tmp_path / "path"
    elsewhere.mkdir()
    code = "import os\nos.chdir = lambda path: None\n"  # as where there is no such folder
    (elsewhere / "sitecustomize.py").write_text(code)
    with monkeypatch.context() as patch:
        patch.chdir(elsewhere)
        node = nodes.add(env={"PYTHONPATH": f"{elsewhere}{os.pathsep}{os.environ['PYTHONPATH']}"})
    file = tmp_path / "own.yaml"
    file.write_text(
        "study: own\ndata: {name: digits}\nmodel: {module: 'net.py:net'}\ntrain: {epochs: 1}\n"
        "search: {sampler: random, trials: 2}\nspace: {lr: [0.01, 0.1]}\n"
    )
    try:
        with run(nodes, tmp_path, str(file)) as process:
            assert process.stderr is not None
            said = process.stderr.read()
    finally:
        nodes.kill(node)
    assert process.returncode == 0, said
    assert f"({node.node_id[:8]}) gets no trials: no {tmp_path / 'net.py'} there" in said
    assert {trial.state for trial in read.trials(DATABASE, "own")} == {State.COMPLETE}


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"images": "other"}, "other images in data.root there. Put the same there."),
        ({"images": "no such folder"}, "no such folder in data.root there."),
        ({"files": {}}, "no /there/net.py there. Put the same there."),
        ({"files": {"net.py": "b"}}, "another /there/net.py there. Put the same there."),
        ({"versions": {}}, "it has Python absent instead of"),
        ({}, None),
    ],
)
def test_what_makes_a_node_unfit(there: dict[str, Any], told: str | None) -> None:
    needs = Needs({}, "/there", "images", {"net.py": "a"})
    same: dict[str, Any] = {"versions": versions(), "images": "images", "files": {"net.py": "a"}}
    found = unfit(Node("id", "host", **{**same, **there}), needs)
    assert found == told or (told is not None and found is not None and found.startswith(told))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ray-address", "there:1"], "--ray-address: it is of a Ray cluster. Write --ray too."),
        (["--gpus-per-trial", "1"], "--gpus-per-trial: it is of a Ray cluster. Write --ray too."),
        (["--ray", "--gpus-per-trial", "1.5"], "--gpus-per-trial 1.5: above 1 write a whole"),
        (["--ray", "--ray-address", "ray://there:1"], "ray://there:1: write HOST:PORT of"),
        (["--ray", "-j", "0"], "-j 0: that is without workers."),
        (["--ray", "-S", "device=cuda:1"], "device: cuda:1: on Ray a trial has the devices"),
    ],
)
def test_options_that_do_not_fit(
    words: list[str], told: str, tmp_path: Path, capsys: Capture
) -> None:
    assert cli.run(["run", str(write_digits(tmp_path)), *words]) == 2
    assert told in capsys.readouterr().err
    assert not Path(DATABASE).exists()


def test_a_trial_that_is_too_large(nodes: Nodes, tmp_path: Path) -> None:
    with run(nodes, tmp_path, str(write_digits(tmp_path)), "--cpus-per-trial", "99") as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 2
    assert "no node has 99 CPUs and 0 GPUs for a trial" in said
    assert not Path(DATABASE).exists()


def test_no_cluster_there(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told at once, where Ray itself would wait for a minute."""
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("it is Ray that waits"))
    words = ["--ray", "--ray-address", "127.0.0.1:1"]
    assert cli.run(["run", str(write_digits(tmp_path)), *words]) == 2
    assert "--ray-address: 127.0.0.1:1: nothing answers there" in capsys.readouterr().err


def test_a_head_that_is_silent(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.check_head()
    monkeypatch.setattr(clusters, "_HEAD_PATIENCE_S", -1.0)
    with pytest.raises(CnnsearchError, match="the cluster's head at this machine tells nothing"):
        cluster.check_head()


def test_a_cluster_that_others_reach_needs_a_token(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_with_token", lambda: False)
    assert cluster.warning() is None
    monkeypatch.setattr(cluster, "address", "there:6379")
    hosts = {node["NodeManagerAddress"] for node in cluster.ray.nodes()}
    monkeypatch.setattr(clusters, "_LOOPBACK", hosts)
    assert cluster.warning() is None
    monkeypatch.setattr(clusters, "_LOOPBACK", set())
    assert "~/.ray/auth_token" in (cluster.warning() or "")
    monkeypatch.setattr(clusters, "_with_token", lambda: True)
    assert cluster.warning() is None


def test_what_it_says_of_nodes_waits_until_it_is_asked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    """Printed at once it would stand in the full-screen view."""
    monkeypatch.setattr(cluster, "_refused", set())
    needs = Needs(digits_config().plain(), str(Path.cwd()), "other images", {})
    executor = RayExecutor(cluster, 1, needs)
    try:
        until(lambda: not executor.wait(0.1) and cluster._refused, "the answer of its worker")
        [line] = executor.notices()
        assert "gets no trials: " in line
        assert executor.notices() == []
    finally:
        executor.close()
    told = capfd.readouterr()
    assert "gets no trials" not in told.out + told.err


class LastFirst:
    """Ray, with the answers that are there in another order."""

    def wait(self, calls: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        answered, others = ray.wait(calls, **{**options, "num_returns": len(calls), "timeout": 1})
        return answered[::-1], others

    def __getattr__(self, name: str) -> Any:
        return getattr(ray, name)


def test_answers_are_taken_in_their_order(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one, which comes through the object store, before the small one that follows it."""
    executor = on_ray(cluster)
    try:
        while not executor.slots:
            executor.wait(1)
        [actor] = executor._actors
        config = digits_config(train={"epochs": 3}).at({}, seed=0)
        kept = Checkpointing(1, str(tmp_path / "checkpoint.pt"), (), after_last=True)
        executor.submit([Task(0, config.plain(), str(tmp_path), checkpoints=kept)])
        ray.wait(actor.calls, num_returns=len(actor.calls), timeout=200)
        monkeypatch.setattr(executor, "_ray", LastFirst())
        messages: list[Message] = []
        while not messages or not isinstance(messages[-1].content, Outcome):
            messages += executor.wait(1)
        told = [m.content.epoch for m in messages if isinstance(m.content, EpochResult)]
        assert told == [1, 2, 3]
        assert (tmp_path / "checkpoint.pt").exists()
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("error", "reason", "memory"),
    [
        (
            RuntimeError("x\nThe actor is dead because its node died. Please"),
            "its node died",
            False,
        ),
        (RuntimeError("killed due to the node running low on memory"), "low on memory", True),
        (RuntimeError(""), "RuntimeError", False),
        (
            RuntimeError("its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit"),
            "its worker process has died",
            False,
        ),
    ],
)
def test_why_a_worker_was_lost(error: Exception, reason: str, memory: bool) -> None:
    told = clusters.in_short(error)
    assert reason in told
    assert "exit type" not in told
    assert executors.ray.is_out_of_memory(error) is memory

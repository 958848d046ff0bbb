"""The benchmarks: a short comparison of real contenders, and that unequal work is refused."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import diverging, memory, step
from benchmarks.contenders import ACTIVATIONS, WORKLOADS, Work
from benchmarks.equal import Run, Trained, UnequalError, check
from benchmarks.throughput import parsed, work_of

from cnnsearch.config import from_plain
from tests.imagefolders import make_folder

ROOT = Path(__file__).parents[1]
CLASSES = 2


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    # As scripts/bench does, with this Python.
    command = [sys.executable, str(ROOT / "scripts" / "benchmarks"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def quick(root: Path, against: str) -> str:
    """A comparison on pictures of noise; what it printed."""
    make_folder(root, {f"train/{name}": 30 for name in "ab"})
    done = bench(
        "throughput", "cifar10", "--root", str(root), "--quick", "--images", "40",
        "--against", against,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_cnnsearch_and_the_plain_script_do_equal_work(tmp_path: Path) -> None:
    out = quick(tmp_path / "images", "plain")
    assert out.startswith("machine: ")
    assert "work: CIFAR-10 images, conv 32-64: 14 trials of 1 epochs of 40 images" in out
    lines = out.splitlines()
    for name in ("cnnsearch run -j 2", "plain script"):
        [line] = [one for one in lines if one.startswith(f"{name} ")]
        assert line.removeprefix(name).split()[:3] == ["14", "14", "560"]
    assert sum(line.split()[0] in ACTIVATIONS for line in lines if line) == 14
    assert lines[-1].startswith("equal work: ")


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="ray[tune] is not installed")
def test_ray_tune_does_equal_work(tmp_path: Path) -> None:
    assert "Ray Tune" in quick(tmp_path / "images", "ray")


def run(name: str, change: Callable[[Trained], Trained] = lambda trial: trial) -> Run:
    """28 trials, the last one changed."""
    trials = [
        Trained({"lr": lr, "activation": activation, "batchnorm": norm}, 2, 10_000, 1000, 0.9, 3.0)
        for lr in (0.001, 0.005)
        for activation in ACTIVATIONS
        for norm in (False, True)
    ]
    return Run(name, 60.0, 2, (*trials[:-1], change(trials[-1])))


def all_at(accuracy: float) -> Run:
    whole = run("other")
    return replace(whole, trials=tuple(replace(one, accuracy=accuracy) for one in whole.trials))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (run("other", lambda t: replace(t, epochs=1)), "epochs is 2 with cnnsearch and 1 with"),
        (run("other", lambda t: replace(t, trained=9_872)), "trained is 10000 with"),
        (run("other", lambda t: replace(t, validated=500)), "validated is 1000 with"),
        (run("other", lambda t: replace(t, accuracy=0.1)), "maxout with batch norm: mean accuracy"),
        (run("other", lambda t: replace(t, params={**t.params, "lr": 0.1})), "2 points were run"),
        (replace(run("other"), trials=run("other").trials[:-1]), "28 trials and other 27"),
        (all_at(0.8), "all trials: mean accuracy is 0.900 with cnnsearch and 0.800 with other"),
    ],
    ids=["epochs", "trained", "validated", "row", "point", "trials", "accuracy"],
)  # fmt: skip
def test_unequal_work_is_refused(other: Run, says: str) -> None:
    check([run("cnnsearch"), run("other"), all_at(0.89)])
    with pytest.raises(UnequalError, match=says):
        check([run("cnnsearch"), run("fine"), other])


def test_no_name_lists_the_benchmarks() -> None:
    done = bench()
    assert done.returncode == 0
    assert "  throughput  trials an hour" in done.stdout
    assert bench("nothing").returncode == 2


def test_the_plain_script_gets_cnnsearchs_split(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", {f"train/{name}": 30 for name in "ab"})
    work = Work(WORKLOADS["cifar10"], root, 40, 1, (0.001,))
    given = work.for_scripts()
    assert (len(given["train"]), len(given["validation"])) == (40, 4)
    assert not set(given["train"]) & set(given["validation"])


def test_flops_of_a_step_are_those_counted_by_hand() -> None:
    given = parsed(["mnist"])
    model = {"conv": [*work_of(given).workload.conv], "hidden": [64]}
    config = from_plain({"study": "a", "data": {"name": "mnist"}, "model": model})
    conv1 = 2 * 28 * 28 * 16 * 9  # no gradient of the images: twice, not three times
    conv2, hidden, last = 2 * 14 * 14 * 32 * 9 * 16, 2 * 32 * 7 * 7 * 64, 2 * 64 * 10
    assert step.flops(config, (1, 28, 28)) == 128 * (2 * conv1 + 3 * (conv2 + hidden + last))
    maxout = {**model, "activation": "maxout"}
    twice = from_plain({"study": "a", "data": {"name": "mnist"}, "model": maxout})
    pieces = 128 * (2 * 2 * conv1 + 3 * (2 * conv2 + 2 * hidden + last))
    assert step.flops(twice, (1, 28, 28)) == pieces


def test_steps_after_the_reported_one_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert diverging.main(["--data", "digits", "--each", "2", "--epochs", "1"]) == 0
    assert "2 diverging trials took" in capsys.readouterr().out
    assert diverging.told([["digits", 3, 24, 240]], 20) == 1
    assert diverging.told([["digits", 3, 23, 240]], 20) == 0


_TAKES_MEMORY = """
import sys
import numpy as np
print("before", flush=True)
sys.stdin.readline()
images = np.memmap(sys.argv[1], np.uint8, mode="c")
assert int(images.sum()) == 0
block = np.ones(200_000_000, np.uint8)
print("after", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc")
def test_memory_of_a_process_is_read(tmp_path: Path) -> None:
    """Of one without torch: its share of what others have loaded too moves as those come and go."""
    kept = tmp_path / "cnnsearch" / "decoded"
    kept.mkdir(parents=True)
    (kept / "train.bin").write_bytes(bytes(8_000_000))
    with subprocess.Popen(
        [sys.executable, "-c", _TAKES_MEMORY, str(kept / "train.bin")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        before = memory.reading(process.pid)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "after\n"
        after = memory.reading(process.pid)
        print(file=process.stdin, flush=True)
    assert after.shared - before.shared == pytest.approx(8, abs=0.2)
    assert after.own - before.own == pytest.approx(200, abs=10)

"""Prove that SIGKILL loses nothing: one search three times, whole and killed, to the same points.

Runs 30 digits trials with -j 1, with -j 2, and with -j 2 killed twice and continued, and compares
points, states and values to the last digit.

    python scripts/kill_and_continue.py [--trials 30]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SEARCH = """\
data: {name: digits}
model: {conv: [16, 32], hidden: [64]}
train: {epochs: 6}
search: {sampler: random, trials: 30}
space:
  lr: {low: 1e-4, high: 1.0, log: true}
  init: [he, xavier, normal:0.01]
  activation: [relu, tanh, prelu]
  batchnorm: [true, false]
"""
CNNSEARCH = [sys.executable, "-m", "cnnsearch"]


def run(folder: Path, trials: int, study: str, jobs: int, kill_after: int | None = None) -> None:
    """Run or continue the search; with `kill_after`, SIGKILL it once so many trials have ended."""
    words = ["run", "search.yaml", "-n", str(trials), "-j", str(jobs), "--name", study]
    with subprocess.Popen(
        [*CNNSEARCH, *words], cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        ended = 0
        for line in process.stderr:
            ended += line.startswith("[")
            if kill_after is not None and ended >= kill_after:
                os.kill(process.pid, signal.SIGKILL)  # its workers have to notice by themselves
                break
    if kill_after is None and process.returncode != 0:
        raise SystemExit(f"run ended with {process.returncode}")


def results(folder: Path, study: str) -> list[dict[str, Any]]:
    """Each point's result, by point."""
    done = subprocess.run(
        [*CNNSEARCH, "list", study, "--json"], cwd=folder, capture_output=True, check=True
    )
    trials: list[dict[str, Any]] = json.loads(done.stdout)
    kept = ("point", "state", "value", "params", "epochs", "best_epoch", "reason", "seed")
    rows = [{name: trial[name] for name in kept} for trial in trials]
    return sorted(rows, key=lambda row: int(row["point"]))


def main() -> None:
    """Run the three searches and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "search.yaml").write_text(SEARCH, encoding="utf-8")
        run(folder, trials, "one", 1)
        run(folder, trials, "two", 2)
        run(folder, trials, "killed", 2, kill_after=trials // 4)
        run(folder, trials, "killed", 2, kill_after=trials // 3)
        run(folder, trials, "killed", 2)
        one, two, killed = (results(folder, study) for study in ("one", "two", "killed"))
    for name, other in (("-j 2", two), ("-j 2, killed twice", killed)):
        equal = one == other
        print(f"-j 1 and {name}: {len(other)} points, {'equal' if equal else 'DIFFERENT'}")
        if not equal:
            raise SystemExit(1)
    if len(one) != trials:
        raise SystemExit(f"{len(one)} points instead of {trials}")


if __name__ == "__main__":
    main()

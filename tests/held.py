"""The program as a process, halted in a point of a study if that is wanted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HELD = """
import sys, time
from cnnsearch import cli
from cnnsearch.study.store import Study
begin = Study.begin
def held(study, start):
    is_here = [study.name, str(start.point)] == sys.argv[1:3]
    trial = None if is_here and start.point == 0 else begin(study, start)
    if is_here:
        print("held", file=sys.stderr, flush=True)
        time.sleep(600)
    return trial
Study.begin = held
sys.exit(cli.run(sys.argv[3:]))
"""
"""The program, halted in a point of a study, its first two arguments; in the first: before it."""


def start(*words: str, held_at: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start it.

    Args:
        held_at: study and point, if it is to be halted.
    """
    program = ["-c", HELD, *held_at] if held_at else ["-m", "cnnsearch"]
    return subprocess.Popen(
        [sys.executable, *program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what the process says until it says the line, a regular expression."""
    assert process.stderr is not None
    for text in process.stderr:
        if re.match(line, text):
            return
    pytest.fail(f"never said: {line}")

"""What beside its config decides a trial's numbers: versions, machine, threads, images."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cnnsearch import __version__
from cnnsearch.records import Prepared

_GIT_S = 10


def environment(
    device: str, processor: str, threads: int, fingerprint: str, fused: int = 1
) -> dict[str, str | int]:
    """Plain values by name, to be stored with each trial.

    Args:
        device: "cpu", "cuda:1".
        processor: what computes: the name of the CPU or GPU, and what torch makes of it.
        fingerprint: of the images.
        fused: how many trials trained together as one batched network.
    """
    return {
        "cnnsearch": __version__,
        "python": platform.python_version(),
        "torch": _torch_version(),
        "device": device,
        "processor": processor,
        "threads": threads,
        "fused": fused,
        "data": fingerprint,
    }


@cache
def _torch_version() -> str:
    """Read once: 1 ms, a quarter of what a worker does for a trial of one small step."""
    return version("torch")


@cache
def cpu_name() -> str:
    """The CPU's model, as the system tells it; else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def commit(folder: Path) -> str | None:
    """The git commit of a folder, with "-dirty" where tracked files differ from it.

    None where it is no git repository, or git is not there or too slow.
    """
    found = _git(folder, "rev-parse", "HEAD")
    if not found:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{found}-dirty" if changed != "" else found


def with_commit(prepared: Prepared, found: str | None) -> Prepared:
    """What a trial begins with, and the commit of the working folder where there is one."""
    if found is None:
        return prepared
    return replace(prepared, environment={**prepared.environment, "commit": found})


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_S, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

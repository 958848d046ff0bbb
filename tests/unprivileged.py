"""The program as one for whom files that may not be read or written are so, whoever runs tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Root reads and writes everything by these.
_RIGHTS = "--bounding-set=-dac_override,-dac_read_search"


def unprivileged(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call it in a folder; skips the test where root cannot be without its rights."""
    before: list[str] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root needs setpriv, of util-linux")
        before = [setpriv, _RIGHTS]
    return subprocess.run(
        [*before, sys.executable, "-m", "cnnsearch", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

"""How often each data set's test set was read: a test set read too often is a validation set."""

from __future__ import annotations

import json
import os
from pathlib import Path

from filelock import FileLock

from cnnsearch import drafts
from cnnsearch.errors import DataError


def add_reading(fingerprint: str) -> int:
    """Count one more reading of a data set's test set; returns how many there are now.

    Args:
        fingerprint: of `Images`.

    Raises:
        DataError: the file of counts is broken or cannot be written.
    """
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=30):
            counts = _read(path)
            counts[fingerprint] = counts.get(fingerprint, 0) + 1
            with drafts.replacing(path) as file:
                file.write(json.dumps(counts, indent=1).encode())
    except OSError as error:
        raise DataError(
            f"{path}: the count of test set readings cannot be written: {error.strerror or error}."
            " Make the folder writable, or set XDG_STATE_HOME to another."
        ) from error
    return counts[fingerprint]


def readings(fingerprint: str) -> int:
    """How often the test set of a data set was read.

    Raises:
        DataError: the file of counts is broken.
    """
    return _read(_path()).get(fingerprint, 0)


def _path() -> Path:
    home = os.environ.get("XDG_STATE_HOME")
    state = Path(home) if home else Path.home() / ".local" / "state"
    return state / "cnnsearch" / "test-readings.json"


def _read(path: Path) -> dict[str, int]:
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        counts = None
    if not isinstance(counts, dict) or not all(type(n) is int for n in counts.values()):
        raise DataError(f"{path}: not the counts that cnnsearch writes. Delete the file.")
    return counts

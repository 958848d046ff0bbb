"""Where what belongs to studies is kept, beside the storage."""

from __future__ import annotations

from pathlib import Path


def study_folder(study: str) -> Path:
    """Where the folders of a study's trials are, below the working folder."""
    return Path("runs") / study


def trial_folder(study: str, number: int) -> Path:
    """Where a trial's log and config are kept."""
    return study_folder(study) / str(number)


def workers_folder(study: str) -> Path:
    """Where workers log what they print while they run no trial."""
    return study_folder(study) / "workers"

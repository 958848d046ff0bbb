"""One coordinator a study: the lock of a file beside the database.

The operating system frees the lock when its holder dies, however it dies: no timer, no leftover
to clean up. Who holds it stands in the study's attribute `coordinator`.
"""

from __future__ import annotations

from filelock import FileLock, Timeout

from cnnsearch.errors import InputError
from cnnsearch.study.location import study_lock


class StudyLock:
    """The right to write a study, from `acquire` to `release`."""

    def __init__(self, storage: str, study: str) -> None:
        self._lock = FileLock(study_lock(storage, study))

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it for longer than half a second.

        Raises:
            InputError: the folder is not writable.

        Half a second, because a reader that asks whether a coordinator lives holds it for a moment.
        """
        try:
            self._lock.acquire(timeout=0.5, poll_interval=0.02)
        except Timeout:
            return False
        except OSError as error:
            raise InputError(
                f"--storage: {self._lock.lock_file}: {error.strerror}. "
                "Make its folder writable, or write another path."
            ) from error
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


def is_held(storage: str, study: str) -> bool:
    """Whether a living process, this one included, owns the study."""
    if not study_lock(storage, study).exists():
        return False
    lock = FileLock(study_lock(storage, study))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False

"""One coordinator a study: a lock that is free as soon as its holder has died.

No timer, no leftover to clean up. Who holds it stands in the study's attribute `coordinator`.
"""

from __future__ import annotations

from cnnsearch.study.backends import backend

# A reader that asks whether a coordinator lives may hold it for a moment.
_PATIENCE_S = 0.5


class StudyLock:
    """The right to write a study, from `acquire` to `release`."""

    def __init__(self, storage: str, study: str) -> None:
        self._lock = backend(storage).lock(study)

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it for longer than half a second.

        Raises:
            CnnsearchError: it cannot be asked for.
        """
        return self._lock.acquire(_PATIENCE_S)

    def keep(self) -> bool:
        """Take it again where the database has forgotten it; False where another has it now."""
        return self._lock.keep()

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


def is_held(storage: str, study: str) -> bool:
    """Whether a living process, this one included, owns the study."""
    return backend(storage).is_held(study)

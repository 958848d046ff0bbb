"""The exceptions that reach the user as one line and an exit code; all others are defects."""

from __future__ import annotations


class CnnsearchError(Exception):
    """Something went wrong that is not a defect of the program; its text is the whole message."""

    exit_code = 1


class InputError(CnnsearchError):
    """The user's input is wrong: a file, an option, a name. Nothing was written.

    The text holds one line per mistake: place, value, what to write instead.
    """

    exit_code = 2


class DataError(InputError):
    """A data set is missing, broken or too small for what was asked."""


class TooFewError(InputError):
    """Too few trials are complete to narrow to the best of them.

    Args:
        fact: how many, without what to do about it.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact}. Run more trials first.")
        self.fact = fact


class StudyBusyError(CnnsearchError):
    """Another living process owns the study."""


class StorageGoneError(CnnsearchError):
    """The storage cannot be reached or written now, and may be back later."""

    exit_code = 4


class NothingCompleteError(CnnsearchError):
    """The command ran, but not one trial completed."""

    exit_code = 3


class MissingExtraError(InputError):
    """An optional dependency is absent; the text names the extra to install."""


def in_one_line(error: BaseException) -> str:
    """Its type, and the first line of what it says where it says anything."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__

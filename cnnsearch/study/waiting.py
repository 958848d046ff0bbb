"""What could not be stored yet: reports and ends of trials that wait for the storage.

Kept in the order of time, and in a file until the storage is back: the process may end first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cnnsearch import drafts
from cnnsearch.study.location import study_folder


@dataclass
class Unstored:
    """Of one trial.

    Args:
        reports: the objective by step.
        attrs: see `attributes.of_end`; None of a trial that still runs.
        state: Optuna's, likewise.
    """

    number: int
    reports: dict[int, float] = field(default_factory=dict)
    attrs: Mapping[str, Any] | None = None
    state: str | None = None
    value: float | None = None


class Waiting:
    """Everything of a study that is not stored yet, by trial."""

    def __init__(self) -> None:
        self._items: dict[int, Unstored] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def ended(self) -> int:
        """How many trials have ended and are not stored as that."""
        return sum(item.state is not None for item in self._items.values())

    def report(self, number: int, step: int, value: float) -> None:
        """Keep a report."""
        self._of(number).reports[step] = value

    def end(self, number: int, attrs: Mapping[str, Any], state: str, value: float | None) -> None:
        """Keep how a trial ended."""
        item = self._of(number)
        item.attrs, item.state, item.value = attrs, state, value

    def items(self, number: int | None = None) -> list[Unstored]:
        """What waits, of one trial or of all."""
        return [item for key, item in self._items.items() if number in (None, key)]

    def forget(self, items: Sequence[Unstored]) -> None:
        """Let go of what is stored now."""
        for item in items:
            del self._items[item.number]

    def save(self, path: Path, run: str, storage: str) -> None:
        """Write it to a file, whole or not at all.

        Args:
            run: of the coordinator whose trials these are.
            storage: that they belong to, as people are told of it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        trials = [asdict(item) for item in self._items.values()]
        content = {"storage": storage, "run": run, "trials": trials}
        with drafts.replacing(path) as file:
            file.write(json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> tuple[Waiting, str]:
        """Read such a file; also the run that wrote it.

        Raises:
            ValueError: it is none.
        """
        found = cls()
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            for item in content["trials"]:
                reports = {int(step): float(value) for step, value in item["reports"].items()}
                found._items[item["number"]] = Unstored(**{**item, "reports": reports})
            return found, str(content["run"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error

    def _of(self, number: int) -> Unstored:
        return self._items.setdefault(number, Unstored(number))


def waiting_file(study: str, run: str) -> Path:
    """Where a coordinator keeps it for the next command.

    Each has a file of its own: one folder may see searches that are kept in several storages.
    """
    return study_folder(study) / f"unstored-{run}.json"


def waiting_files(study: str) -> list[Path]:
    """Those of all coordinators, whatever their storage."""
    return sorted(study_folder(study).glob("unstored*.json"))

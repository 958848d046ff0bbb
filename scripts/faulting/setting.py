"""What all faults of one command share: a place, random draws, the undisturbed runs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faulting.invariants import Ending, Found, check, endings
from faulting.plans import Like, Plan
from faulting.processes import FaultError
from faulting.scenario import Scenario


@dataclass
class Setting:
    """Given to each fault.

    Args:
        place: an empty folder.
        draws: of moments and of what is hit.
        minutes: of the soak.
        trials: of `many`.
        scale: longer or shorter than usual, for waits of fixed length.
    """

    place: Path
    draws: random.Random
    minutes: float = 10.0
    trials: int = 5000
    scale: float = 1.0
    scenarios: int = 0
    _undisturbed: dict[str, Mapping[str, Ending]] = field(default_factory=dict)

    def scenario(
        self, plan: Plan, storage: str | None = None, within: Sequence[str] = ()
    ) -> Scenario:
        """A search that has not begun."""
        folder = self.folder(plan.name)
        return Scenario(plan, folder, storage or "cnnsearch.db", within)

    def folder(self, name: str) -> Path:
        """A name for another folder."""
        self.scenarios += 1
        return self.place / f"{self.scenarios}-{name}"

    def undisturbed(self, plan: Plan) -> Mapping[str, Ending]:
        """Each point's result where nothing happens, run once; none where none is needed.

        Raises:
            FaultError: not even that goes well.
        """
        plan = plan.whole or plan
        if plan.like is Like.OWN:
            return {}
        if plan.name not in self._undisturbed:
            scenario = self.scenario(plan)
            scenario.run().done()
            self._undisturbed[plan.name] = endings(scenario.storage, plan.name)
            found = check(scenario, self._undisturbed[plan.name])
            if found.problems:
                raise FaultError(f"undisturbed: {found.problems[0]}")
        return self._undisturbed[plan.name]

    def check(self, scenario: Scenario) -> Found:
        """Hold a completed search against its undisturbed run."""
        return check(scenario, self.undisturbed(scenario.plan))

    def complete(self, scenario: Scenario, *words: str) -> Found:
        """Continue a search to its end, and check it."""
        scenario.look()
        scenario.run(*words).done()
        return self.check(scenario)

"""What beside its config made a trial's numbers, as people read it."""

from __future__ import annotations

from collections.abc import Mapping

from cnnsearch.records import Trial
from cnnsearch.render.text import counted, one_line

# Of hashes; enough to tell two apart.
_DIGITS = 12
_HASHES = ("data", "commit")


def environment_of(trial: Trial) -> Mapping[str, str]:
    """The stored facts as texts, hashes short; none of a trial of cnnsearch 0.1.

    The names are those of `cnnsearch.environment`.
    """
    stored = trial.facts.get("environment")
    if not isinstance(stored, Mapping):
        return {}
    return {
        name: _short(one_line(str(value))) if name in _HASHES else one_line(str(value))
        for name, value in stored.items()
        if value is not None
    }


def environment_texts(trial: Trial) -> list[str]:
    """A line of where it ran, and a line of what it ran on."""
    known = environment_of(trial)
    versions = [
        f"{name} {known[name]}" for name in ("cnnsearch", "python", "torch") if name in known
    ]
    where = [f"{known['device']}"] if "device" in known else []
    where += [known["processor"]] if known.get("processor") else []
    threads = known.get("threads", "")
    where += [counted(int(threads), "thread")] if threads.isdigit() else []
    fused = known.get("fused", "")
    where += [f"one of {fused} fused"] if fused.isdigit() and int(fused) > 1 else []
    others = [f"images {known['data']}"] if "data" in known else []
    others += [f"commit {known['commit']}"] if "commit" in known else []
    lines = [", ".join(where), ", ".join([*versions, *others])]
    return [line for line in lines if line]


def environment_changes(before: Trial, after: Trial) -> list[tuple[str, str | None, str | None]]:
    """Name and both texts of each fact that differs; None where one of them lacks it."""
    old, new = environment_of(before), environment_of(after)
    names = dict.fromkeys([*old, *new])
    return [
        (name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    ]


def _short(text: str) -> str:
    """The beginning of a hash, with what stands behind its dash."""
    digits, dash, rest = text.partition("-")
    return digits[:_DIGITS] + dash + rest

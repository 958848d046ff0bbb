"""Damage databases of studies in many ways: every verb that reads answers, or refuses in one line.

Prints a row for each kind of damage: how many verbs answered, how many refused and with which exit
codes, the slowest, and an example of what was told. Ends with 1 where a verb raised an exception,
told more than a line, or changed a file that it refused. `tests/damaged.py` makes the files.

    python scripts/damaged_files.py [--files 200]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.damaged import KINDS, Answer, answers, damage, whole


def judged(folder: Path, count: int) -> dict[str, list[Answer]]:
    """The answers to so many damaged files by kind, the kinds in turn."""
    good = whole(folder / "good")
    found: dict[str, list[Answer]] = {}
    turns = ((kind, number) for number in range(count) for kind in KINDS)
    for kind, number in islice(turns, count):
        path = damage(good, folder / f"{kind} {number}", kind, number)
        found.setdefault(kind, []).extend(answers(path))
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        found = judged(Path(folder), options.files)
    print(f"{'damage':<18}verbs  answered  refused (exit codes)  slowest  told")
    for kind, given in found.items():
        codes = Counter(answer.code for answer in given if answer.code)
        refused = f"{codes.total()} ({', '.join(f'{n}x {c}' for c, n in sorted(codes.items()))})"
        slowest = max(answer.seconds for answer in given)
        told = next((answer.line for answer in given if answer.code), "")
        told = told.rpartition(folder)[2][:90]
        print(
            f"{kind:<18}{len(given):>5}  {len(given) - codes.total():>8}"
            f"  {refused if codes else '0':<20}  {slowest:>6.1f}s  {told}"
        )
    faults = [(kind, a) for kind, given in found.items() for a in given if a.fault]
    for kind, answer in faults:
        print(f"{kind}: {answer.verb}: {answer.fault[:300]}")
    total = sum(map(len, found.values()))
    print(f"{options.files} files, {total} answers, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

"""Damage config files at random: each is read, or refused with a line for each mistake.

Prints how many were valid and refused, and the slowest. The first failure ends it, made as small as
it can be. `tests/mutations.py` makes the files and says what has to become of them.

    python scripts/fuzz_config.py [--examples 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, given, seed, settings

from tests.mutations import Judged, Mutant, judge, mutants


def fuzz(examples: int, number: int) -> list[Judged]:
    """Judge so many files; a failure is raised as it was, with the smallest file that shows it."""
    found: list[Judged] = []
    with tempfile.TemporaryDirectory() as folder:

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(mutants())
        def each(mutant: Mutant) -> None:
            found.append(judge(mutant, Path(folder)))

        each()
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    found = fuzz(options.examples, options.seed)
    refused = [judged for judged in found if judged.refusal is not None]
    lines = sum(len((judged.refusal or "").splitlines()) for judged in refused)
    print(f"{len(found):,} files: {len(found) - len(refused):,} valid, {len(refused):,} refused")
    print(f"{lines:,} lines of refusal, {len({judged.refusal for judged in refused}):,} refusals")
    print(f"slowest {1000 * max(judged.seconds for judged in found):.0f} ms of CPU time")


if __name__ == "__main__":
    main()

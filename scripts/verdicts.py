"""Count how often verdicts are right, on runs whose faults are known by construction.

Recall is over findings: of the runs with a fault, those in which it was found. Precision is over
the main verdict: of the runs with a verdict, those of which it is true. Both with counts and 95 %
intervals (Wilson 1927). The runs are those of `tests/labelled.py`.

    CNNSEARCH_DATA=DIR python scripts/verdicts.py --cifar DIR [--fold count] [--jobs 2]

DIR/MNIST/raw holds MNIST; the other DIR holds the images of CIFAR-10 in a folder a class.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cnnsearch.diagnose import OK, RULES
from cnnsearch.review.chance import wilson
from tests.labelled import FOLDS, HEALTHY, Case, Sources, cases, run_case


@dataclass(frozen=True)
class Judged:
    """What the tool said of a run."""

    verdict: str
    findings: frozenset[str]


def judge(fold: str, sources: Sources, index: int) -> Judged:
    """Run one case of a fold."""
    diagnosis = run_case(cases(fold, sources)[index]).diagnosis
    assert diagnosis is not None
    return Judged(diagnosis.verdict, frozenset(finding.rule for finding in diagnosis.findings))


def judged(fold: str, sources: Sources, count: int, jobs: int) -> list[Judged]:
    """Run all cases of a fold, in their order."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        return list(pool.map(judge, [fold] * count, [sources] * count, range(count)))


def found(rule: str, case: Case, said: Judged) -> bool | None:
    """Whether a fault that the run has was found; None where it has not that fault."""
    if rule == OK:
        return said.verdict in HEALTHY if not case.must else None
    return rule in said.findings if rule in case.must else None


def rate(right: int, count: int) -> str:
    """A share with its counts and its 95 % interval."""
    low, high = wilson(right, count)
    share = f"{right / count:.2f}" if count else "-"
    return f"{right:3}/{count:<3} {share:>4} ({low:.2f} to {high:.2f})"


def report(runs: Sequence[tuple[Case, Judged]]) -> bool:
    """Print the table; whether every rate is at least 0.9."""
    print(f"{'verdict':<13} {'runs':>4} {'data':>4}  {'recall':<26} precision")
    good = True
    for rule in [*RULES, OK]:
        hits = [(case, hit) for case, said in runs if (hit := found(rule, case, said)) is not None]
        verdicts = [case.allows(rule) for case, said in runs if said.verdict == rule]
        recalled = sum(hit for _, hit in hits)
        sets = len({case.data for case, _ in hits})
        print(
            f"{rule:<13} {len(hits):>4} {sets:>4}  {rate(recalled, len(hits)):<26} "
            f"{rate(sum(verdicts), len(verdicts))}"
        )
        enough = recalled >= 0.9 * len(hits) and sum(verdicts) >= 0.9 * len(verdicts)
        good = good and enough and bool(hits) and bool(verdicts)
    return good


def main() -> int:
    """Run, count, and name every run of which something wrong was said."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--fold", choices=FOLDS, default="count")
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sources = Sources(Path(os.environ["CNNSEARCH_DATA"]), wanted.cifar, Path(scratch))
        all_cases = cases(wanted.fold, sources)
        for write in (case.write for case in all_cases if case.write is not None):
            write()  # here, because the processes share the folders
        said = judged(wanted.fold, sources, len(all_cases), wanted.jobs)
    runs = list(zip(all_cases, said, strict=True))
    families = Counter(case.family for case in all_cases)
    print(f"{len(runs)} runs: {', '.join(f'{n} {family}' for family, n in families.items())}")
    good = report(runs)
    for case, one in runs:
        missed = case.must - one.findings
        if missed or not case.allows(one.verdict):
            what = f"missed {', '.join(sorted(missed))}" if missed else "wrong"
            print(f"{what}: said {one.verdict} of {case.name}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

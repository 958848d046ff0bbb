"""Make faults and print what they did: `scripts/faults NAME... [--times N]`, `scripts/faults all`.

Each disturbs real searches: processes, signals and databases are those of a user. A search that was
disturbed is completed and held against an undisturbed one: no point lost, none ended twice, no
number changed, no process left behind, no file of an ended trial touched.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The folder's modules are known as `faulting.NAME`; tests/ at the root has servers for some.
SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[0:1] = [str(SCRIPTS), str(SCRIPTS.parent)]

from cnnsearch.render.table import Column, Table, print_table  # noqa: E402
from faulting.invariants import Found  # noqa: E402
from faulting.processes import FaultError, SkippedError  # noqa: E402
from faulting.setting import Setting  # noqa: E402
from faulting.table import FAULTS, Fault  # noqa: E402

COLUMNS = (
    Column("fault"),
    Column("tried", right=True),
    Column("lost", right=True),
    Column("twice", right=True),
    Column("changed", right=True),
    Column("orphans", right=True),
    Column("seconds", lambda seconds: f"{seconds:.0f}", right=True),
    Column("verdict", prose=True),
)


def made(fault: Fault, setting: Setting, times: int) -> tuple[Found, str, float]:
    """Make a fault; what was found, in a word, and in how many seconds."""
    started = time.monotonic()
    found = Found()
    try:
        found = fault.make(setting, times)
        verdict = f"BROKEN: {found.problems[0]}" if found.problems else "ok"
    except SkippedError as reason:
        verdict = f"skipped: {reason}"
    except FaultError as reason:
        verdict = f"BROKEN: {reason}"
    killed = [f"{found.killed} attempts were lost and made again"] if found.killed else []
    told = "; ".join([verdict, *killed, *dict.fromkeys(found.notes)])
    return found, told, time.monotonic() - started


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [fault.name for fault in FAULTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help="or all; none lists them")
    parser.add_argument("--times", type=int, help="so often each, instead of the table's number")
    parser.add_argument("--seed", type=int, help="of moments and victims; default: a new one")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak")
    parser.add_argument("--trials", type=int, default=5000, help="of many")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the searches")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in [*names, "all"]]
    if unknown:
        parser.error(f"no fault {', '.join(unknown)}; they are {', '.join(names)}")
    return given


def main(arguments: Sequence[str]) -> int:
    """Make the faults that are named; 1 where one of them broke something."""
    given = parsed(arguments)
    if not given.names:
        for fault in FAULTS:
            print(f"  {fault.name:25}{fault.times:4}  {fault.what}")
        return 0
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed: {seed}", flush=True)
    place = Path(tempfile.mkdtemp(prefix="cnnsearch-faults-"))
    setting = Setting(place, random.Random(seed), given.minutes, given.trials)
    rows: list[list[Any]] = []
    for fault in FAULTS:
        if "all" not in given.names and fault.name not in given.names:
            continue
        found, verdict, seconds = made(fault, setting, given.times or fault.times)
        counts = [found.tried, found.lost, found.twice, found.changed, found.orphans]
        rows.append([fault.name, *counts, seconds, verdict])
        print(f"{fault.name}: {verdict}", file=sys.stderr, flush=True)
    print_table(Table(COLUMNS, rows))
    broken = any("BROKEN" in row[-1] for row in rows)
    if given.keep or broken:
        print(f"kept: {place}", file=sys.stderr)
    else:
        shutil.rmtree(place)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Start a benchmark by its name; each module named here has `main(arguments) -> int`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = {
    "throughput": "trials an hour against a plain script and Ray Tune, doing equal work",
    "step": "share of the machine's matrix product rate that a training step reaches",
    "memory": "what a further worker takes",
    "diverging": "steps wasted on trials that diverge",
    "reading": "list of 10,000 trials, --help",
    "efficiency": "epochs that a pruner saves, and what it costs in accuracy",
    "accuracy": "time to an accuracy with asha, against the plain script",
    "machinery": "the coordinator's CPU time a trial",
    "gpu": "many trials on one GPU: fused, one by one, and processes that share it",
    "machine": "what the numbers were measured on",
}


def main() -> int:
    """Run the benchmark that the first argument names."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name not in NAMES:
        known = name in ("-h", "--help")
        print("usage: scripts/bench NAME [OPTIONS]    NAME --help shows the options\n")
        print("\n".join(f"  {one:12}{what}" for one, what in NAMES.items()))
        return 0 if known else 2
    # The folder's modules are known as `benchmarks.NAME`, here and in the processes they start;
    # tests/ at the root builds studies for some of them.
    scripts = Path(__file__).resolve().parents[1]
    sys.path[0:1] = [str(scripts), str(scripts.parent)]
    code = importlib.import_module(f"benchmarks.{name}").main(arguments)
    assert isinstance(code, int)
    return code


if __name__ == "__main__":
    sys.exit(main())

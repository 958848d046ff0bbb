"""The plain script's training function through Ray Tune, with Optuna's search.

Two trials at a time, one CPU and one thread each.

    python -m benchmarks.ray_tune WORK.json RESULTS.json
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# Before ray is loaded: nothing is sent anywhere, nothing but errors is printed.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0"}
import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from benchmarks import plain


def points(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every point of a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def search(work: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    """Train every point; what each trial did."""

    def objective(params: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        plain.train(params, work, tune.report)

    wanted = points(work["grid"])
    space = {
        "lr": tune.loguniform(1e-5, 1.0),
        "activation": tune.choice(work["grid"]["activation"]),
        "batchnorm": tune.choice(work["grid"]["batchnorm"]),
    }
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            search_alg=OptunaSearch(points_to_evaluate=wanted),
            num_samples=len(wanted),
            max_concurrent_trials=work["at_once"],
            reuse_actors=work["reuse_actors"],
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise SystemExit(f"ray: {results.errors[0]}")
    kept = ("epochs", "accuracy", "trained", "validated", "seconds")
    found = [results[place] for place in range(len(results))]
    return [
        {"params": one.config, **{name: one.metrics[name] for name in kept}}
        for one in found
        if one.metrics is not None
    ]


def main() -> None:
    """Search the grid and write what each trial did."""
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A short folder of its own: the names of Ray's sockets below it have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=work["at_once"],
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=folder,
        )
        results = search(work, f"{folder}/results")
        ray.shutdown()
    Path(sys.argv[2]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()

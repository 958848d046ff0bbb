"""Ray clusters of the tests' own."""

from __future__ import annotations

from cnnsearch.config.sections import Data
from cnnsearch.data import load
from cnnsearch.executors.cluster import Cluster
from cnnsearch.executors.ray import RayExecutor
from tests.builders import digits_config


def on_ray(cluster: Cluster, jobs: int = 1) -> RayExecutor:
    """Workers for trials of digits."""
    fingerprint = load(Data(name="digits")).fingerprint
    return RayExecutor(cluster, jobs, digits_config().plain(), fingerprint, print)

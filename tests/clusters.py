"""Ray clusters of the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnsearch.config.sections import Data
from cnnsearch.data import load
from cnnsearch.executors.cluster import SETTINGS, Cluster
from cnnsearch.executors.ray import RayExecutor
from cnnsearch.executors.remote import Needs
from tests.builders import digits_config

ROOT = Path(__file__).parents[1]


def on_ray(cluster: Cluster, jobs: int = 1) -> RayExecutor:
    """Workers for trials of digits."""
    fingerprint = load(Data(name="digits")).fingerprint
    needs = Needs(digits_config().plain(), str(Path.cwd()), fingerprint, {})
    return RayExecutor(cluster, jobs, needs)


class Nodes:
    """A cluster of several nodes on this machine, without a connection of this process to it.

    The head takes no trials.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Several

        path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        os.environ.update(SETTINGS, PYTHONPATH=path, RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
        head = {"num_cpus": 0, "include_dashboard": False}
        self._several: Any = Several(initialize_head=True, connect=False, head_node_args=head)
        self.address: str = self._several.address

    def add(self, cpus: int = 1, env: Mapping[str, str] | None = None) -> Any:
        """A node more."""
        return self._several.add_node(num_cpus=cpus, env_vars=dict(env or {}))

    def workers(self) -> list[int]:
        """Processes that train for this cluster, whatever else runs on this machine."""
        raylets = {
            one.process.pid
            for node in (self._several.head_node, *self._several.worker_nodes)
            for one in node.all_processes.get("raylet", ())
        }
        return [pid for pid in workers() if _parent(pid) in raylets]

    def kill(self, node: Any) -> None:
        """End a node as a fault of its power supply would."""
        self._several.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """Likewise."""
        head = self._several.head_node
        head.kill_raylet()
        head.kill_gcs_server()

    def close(self) -> None:
        """End all."""
        self._several.shutdown()


def run(nodes: Nodes, folder: Path, *words: str) -> subprocess.Popen[str]:
    """`cnnsearch run` on these nodes."""
    command = [sys.executable, "-m", "cnnsearch", "run", *words]
    command += ["--ray", "--ray-address", nodes.address]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def workers() -> list[int]:
    """Processes of this machine that train for a cluster."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes().startswith(b"ray::Worker"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int | None:
    """Of a process, as long as there is one."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None

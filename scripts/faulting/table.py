"""All faults: a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from faulting import clusters, databases, killing, loads, losses, servers
from faulting.invariants import Found
from faulting.plans import ASHA, TPE
from faulting.setting import Setting


@dataclass(frozen=True)
class Fault:
    """One way in which something breaks.

    Args:
        times: so often it is made where nothing else is said.
        make: makes it so often, and tells what was found.
    """

    name: str
    times: int
    what: str
    make: Callable[[Setting, int], Found]


_WORKER, _COORDINATOR = killing.worker_killed, killing.coordinator_killed
FAULTS = (
    Fault("worker-killed", 50, "SIGKILL of a worker", _WORKER),
    Fault("worker-killed-asha", 10, "the same with a pruner", partial(_WORKER, plan=ASHA)),
    Fault("worker-killed-tpe", 10, "the same with TPE", partial(_WORKER, plan=TPE)),
    Fault("coordinator-killed", 50, "SIGKILL of the coordinator, run again", _COORDINATOR),
    Fault("coordinator-killed-asha", 10, "with a pruner", partial(_COORDINATOR, plan=ASHA)),
    Fault("coordinator-killed-tpe", 10, "with TPE", partial(_COORDINATOR, plan=TPE)),
    Fault("interrupted", 10, "SIGTERM, SIGINT, SIGINT twice", killing.interrupted),
    Fault("stopped-worker", 5, "SIGSTOP past --trial-timeout", killing.stopped_worker),
    Fault("second-coordinator", 10, "run of what runs", killing.second_coordinator),
    Fault("locked", 3, "the database locked for 8 s", databases.locked_shortly),
    Fault("locked-long", 3, "the database locked for 90 s", databases.locked_long),
    Fault("backups", 200, "copies by SQLite's backup during a run", databases.backups),
    Fault("copied-journal", 50, "all killed, the folder copied", killing.everything_killed),
    Fault("disk-full", 3, "no room for the database", databases.disk_full),
    Fault("disk-full-runs", 3, "no room for the trials' folders", databases.disk_full_runs),
    Fault("disk-full-both", 3, "no room for anything", databases.disk_full_both),
    Fault("postgres-stopped", 10, "the server crashes and is started", servers.stopped),
    Fault("postgres-gone", 3, "the server is down for 60 s", servers.gone),
    Fault("postgres-cut", 3, "the network to it is cut, no reset", servers.cut),
    Fault("ray-worker", 5, "SIGKILL of a worker on a cluster", clusters.worker_killed),
    Fault("ray-node", 5, "a node of the cluster dies", clusters.node_killed),
    Fault("ray-head", 3, "the cluster's head dies, run again on a new one", clusters.head_killed),
    Fault("ray-cut", 3, "a node's cable is pulled for 60 s", clusters.cut_shortly),
    Fault("ray-cut-for-good", 3, "and for good", clusters.cut_for_good),
    Fault("ray-unfit", 2, "a node with another torch, with other images", clusters.unfit),
    Fault("ray-soak", 1, "workers, nodes, coordinators killed for --minutes", clusters.soak),
    Fault("out-of-memory", 5, "a trial that does not fit", loads.out_of_memory),
    Fault("losses", 90, "NaN, infinite, huge, constant losses", losses.losses),
    Fault("many", 1, "--trials tiny trials on 16 workers, and readers", loads.many),
    Fault("soak", 1, "workers and coordinators killed for --minutes", killing.soak),
)

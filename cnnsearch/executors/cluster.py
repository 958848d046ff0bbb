"""A Ray cluster as one search sees it: its nodes, and which of them are fit for trials."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnsearch.errors import CnnsearchError, InputError, MissingExtraError
from cnnsearch.executors import processes
from cnnsearch.executors.remote import Needs, Node, look, versions

# With Ray's own settings a pulled cable was seen after 445 s, with these after 15 to 48.
SETTINGS = {
    "RAY_grpc_client_keepalive_time_ms": "10000",
    "RAY_grpc_client_keepalive_timeout_ms": "10000",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
"""For the head and the nodes of a cluster too, where they are started."""
# Where Ray starts here: all on 127.0.0.1, as it does by itself on Windows and macOS.
_HERE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_ANSWER_S = 10.0
_LOOK_S = 2.0
# After 60 s without its head Ray ends the process on the spot.
_HEAD_PATIENCE_S = 30.0
# To decode the images of a data set for the first time takes a while.
_EXAMINE_S = 600.0
_LOOPBACK = {"127.0.0.1", "::1"}
_NODE_ID = "ray.io/node-id"


@dataclass(frozen=True, slots=True)
class Share:
    """What one trial is given of a node.

    Args:
        cpus: cores; `gpus`: of them parts of one too.
    """

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class _Place:
    """A living node.

    Args:
        room: how many trials it holds.
    """

    name: str
    room: int


class Cluster:
    """A connection, from `__init__` to `close`; a thread looks which nodes live."""

    def __init__(self, address: str | None, share: Share) -> None:
        """Connect.

        Args:
            address: HOST:PORT, or "auto"; None: start Ray on this machine.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: no cluster there, or one of another version.
        """
        self.ray = _ray(here=address is None)
        self.share = share
        self.address = address
        _connect(self.ray, address)
        self._closing = threading.Event()
        self._refused: set[str] = set()
        self._places: Mapping[str, _Place] = {}
        self._heard = time.monotonic()
        self._look()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def nodes(self) -> int:
        """How many take trials."""
        return sum(place.room > 0 for place in self._fit().values())

    @property
    def room(self) -> int:
        """How many trials fit on all of them."""
        return sum(place.room for place in self._fit().values())

    def lives(self, node: str) -> bool:
        """Whether a node is there, and takes trials."""
        return node in self._fit()

    def name(self, node: str) -> str:
        """As people call it."""
        place = self._places.get(node)
        return place.name if place else node[:8]

    def check_head(self) -> None:
        """See that the cluster is there.

        Raises:
            CnnsearchError: nothing was heard of its head for half a minute.
        """
        silent = time.monotonic() - self._heard
        if silent > _HEAD_PATIENCE_S:
            raise CnnsearchError(
                f"--ray: the cluster's head at {self.address or 'this machine'} tells nothing for"
                f" {silent:.0f} s. The search stops; run it again on a new cluster to continue."
            )

    def warning(self) -> str | None:
        """What there is to say of a cluster that anyone may use: it runs any code it is sent."""
        hosts = {node["NodeManagerAddress"] for node in self.ray.nodes()}
        if self.address is None or hosts <= _LOOPBACK or _with_token():
            return None
        return (
            f"--ray: {self.address} is used without a token: whoever reaches its ports can run "
            "programs there. Run ray get-auth-token --generate, copy ~/.ray/auth_token to all "
            "nodes and here, and set RAY_AUTH_MODE=token for ray start and here."
        )

    def examine(self, needs: Needs) -> list[str]:
        """Look at all nodes before the first trial; unfit ones are given none.

        Returns:
            a line for each of those.

        Raises:
            InputError: none is fit, or none has room for a trial.
        """
        ray = self.ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(num_cpus=0, max_retries=0)(look)
        asked = {
            node: task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(needs)
            for node, place in self._places.items()
            if place.room
        }
        if not asked:
            raise InputError(
                f"--ray: no node has {self.share.cpus:g} CPUs and {self.share.gpus:g} GPUs for a"
                " trial. Write a smaller --cpus-per-trial or --gpus-per-trial."
            )
        deadline, told = time.monotonic() + _EXAMINE_S, []
        for node, answer in asked.items():
            try:
                found = ray.get(answer, timeout=max(1.0, deadline - time.monotonic()))
                reason = unfit(found, needs)
            except Exception as error:  # whatever it is, the node cannot run a trial
                reason = in_short(error)
            if reason is not None:
                told.append(self.refuse(node, reason))
        if not self.room:
            raise InputError("\n".join([*told, "--ray: no node is fit for trials."]))
        return told

    def refuse(self, node: str, reason: str) -> str:
        """Give a node no trials; a line that says so."""
        self._refused.add(node)
        return f"--ray: node {self.name(node)} ({node[:8]}) gets no trials: {reason}"

    def actor(self, cls: type, *args: Any) -> Any:
        """Start an actor where there is room for a trial, on a fit node."""
        fit: dict[str, Any] = {}
        if self._refused:
            fit["label_selector"] = {_NODE_ID: f"!in({','.join(sorted(self._refused))})"}
        # No restarts and retries of Ray's own: each attempt is recorded.
        made = self.ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            max_restarts=0,
            max_task_retries=0,
            **fit,
        )(cls)
        return made.remote(*args)

    def close(self) -> None:
        """Disconnect; what was started for this ends."""
        self._closing.set()
        if time.monotonic() - self._heard <= _HEAD_PATIENCE_S:
            self.ray.shutdown()

    def _fit(self) -> dict[str, _Place]:
        return {node: place for node, place in self._places.items() if node not in self._refused}

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self._look()
            except Exception:  # noqa: S112  the head is away, which `check_head` tells in time
                continue

    def _look(self) -> None:
        found = self.ray.nodes()
        self._heard = time.monotonic()
        self._places = {
            node["NodeID"]: _Place(node["NodeManagerHostname"], self._room(node["Resources"]))
            for node in found
            if node["Alive"]
        }

    def _room(self, resources: Mapping[str, float]) -> int:
        rooms = [
            int(resources.get(name, 0.0) / asked + 1e-9)
            for name, asked in (("CPU", self.share.cpus), ("GPU", self.share.gpus))
            if asked
        ]
        return min(rooms, default=0)


def unfit(node: Node, needs: Needs) -> str | None:
    """Why trials there would give other numbers, or fail; None where they would not."""
    other = [
        f"{name} {node.versions.get(name, 'absent')} instead of {here}"
        for name, here in versions().items()
        if node.versions.get(name) != here
    ]
    if other:
        return f"it has {', '.join(other)}. Install the same there."
    for file, digest in needs.files.items():
        if node.files.get(file) != digest:
            held = "another" if file in node.files else "no"
            whole = Path(needs.folder, Path(file).expanduser())
            return f"{held} {whole} there. Put the same there."
    if node.images != needs.images:
        held = "other images" if " " not in node.images else node.images
        return f"{held} in data.root there. Put the same there."
    return None


def in_short(error: Exception) -> str:
    """What is wrong, of the lines of Ray's report."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # what the worker itself raised
        return f"{type(cause).__name__}: {cause}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = (line.partition("The actor is dead because ") for line in lines)
    found = next((because for _, _, because in told if because), [*lines, type(error).__name__][0])
    for rest in (" Some common causes", " There are some", ". Please", ". Worker exit type"):
        found = found.partition(rest)[0]
    return found


def _ray(here: bool) -> Any:
    for name, value in (SETTINGS | _HERE if here else SETTINGS).items():
        os.environ.setdefault(name, value)  # read when Ray is loaded
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--ray needs Ray. Run: pip install 'cnnsearch[ray]'") from None
    # What the daemons of the nodes report Ray prints to stdout, which is for data here, and has no
    # switch for it. What it means for a trial the trial's reason tells.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    if address is not None and "://" in address:
        raise InputError(f"--ray-address: {address}: write HOST:PORT of the cluster's head.")
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        try:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
        except OSError as error:
            raise InputError(
                f"--ray-address: {address}: nothing answers there ({error.strerror or error}). "
                "Write the address that ray start --head has printed."
            ) from None
    where = {"_node_ip_address": "127.0.0.1"} if address is None else {}
    try:
        with processes.beginning():  # what Ray starts has the environment of workers
            ray.init(
                address="local" if address is None else address,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level="critical",
                **where,
            )
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        option = "--ray" if address is None else f"--ray-address: {address}"
        raise InputError(f"{option}: {said}{_about_tokens(address)}") from error


def _about_tokens(address: str | None) -> str:
    """What may be wrong with a cluster that answers and lets nobody in."""
    if address is None or _with_token():
        return ""
    return ". If it wants a token: export RAY_AUTH_MODE=token, with its ~/.ray/auth_token here"


def _with_token() -> bool:
    try:
        from ray._private.authentication.authentication_utils import is_token_auth_enabled
    except ImportError:  # of Ray's own, which may move
        return os.environ.get("RAY_AUTH_MODE") == "token"
    return bool(is_token_auth_enabled())

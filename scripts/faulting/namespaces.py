"""Hosts on one machine: network namespaces on a switch, whose cables can be pulled. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from faulting.processes import SkippedError

_NETWORK = "10.213.7"


@dataclass(frozen=True)
class Host:
    """A network namespace with one address.

    Args:
        hardware: the address of its network card.
        port: the switch's end of its cable.
    """

    name: str
    address: str
    hardware: str
    port: str

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that is to run there; it keeps its process id."""
        return ("ip", "netns", "exec", self.name)


@dataclass(frozen=True)
class Network:
    """Hosts, and the switch between them."""

    hosts: tuple[Host, ...]
    switch: str

    def cut(self, host: Host) -> None:
        """Drop everything from and to a host, without a word to anybody: the cable was pulled
        behind the switch, so that no end sees its link go down."""
        _ip("-n", self.switch, "link", "set", host.port, "nomaster")

    def mend(self, host: Host) -> None:
        """Let it through again."""
        _ip("-n", self.switch, "link", "set", host.port, "master", "switch")


@contextmanager
def network(count: int = 2) -> Iterator[Network]:
    """So many hosts that reach each other, and nothing else.

    Raises:
        SkippedError: this process may not make them.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise SkippedError("network namespaces need root and the command ip")
    mark = uuid.uuid4().hex[:6]
    switch = f"fault-{mark}-switch"
    hosts = tuple(
        Host(
            f"fault-{mark}-{place}",
            f"{_NETWORK}.{place}",
            f"02:00:00:00:07:{place:02x}",
            f"port{place}",
        )
        for place in range(1, count + 1)
    )
    made: list[str] = []
    try:
        for name in (switch, *(host.name for host in hosts)):
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        for host in hosts:
            _join(switch, host)
        for host in hosts:
            _know(host, hosts)
        yield Network(hosts, switch)
    finally:
        for name in made:
            _ip("netns", "del", name)


def _join(switch: str, host: Host) -> None:
    """Lay the cable from a host to the switch."""
    peer = ("peer", "name", "eth0", "address", host.hardware, "netns", host.name)
    _ip("-n", switch, "link", "add", host.port, "type", "veth", *peer)
    _ip("-n", switch, "link", "set", host.port, "master", "switch")
    _ip("-n", switch, "link", "set", host.port, "up")
    _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.name, "link", "set", "eth0", "up")


def _know(host: Host, hosts: Sequence[Host]) -> None:
    """Tell a host the others' places for good, as if routers stood between: else it would learn
    from their silence that they are gone."""
    for other in hosts:
        if other is not host:
            place = ("dev", "eth0", "lladdr", other.hardware, "nud", "permanent")
            _ip("-n", host.name, "neigh", "add", other.address, *place)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise SkippedError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""Searches on a Ray cluster whose parts die, or cannot be reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from cnnsearch.executors.cluster import SETTINGS
from faulting.invariants import Found
from faulting.namespaces import Host, Network, network
from faulting.plans import SLOW
from faulting.processes import FaultError, until
from faulting.scenario import Command, Scenario
from faulting.setting import Setting
from tests.clusters import Nodes, workers

_PORT = 6379
_LOST_S = 60.0
_HEAD_S = 60.0
_START_S = 120.0
_EACH = 2


@contextmanager
def _nodes(count: int) -> Iterator[Nodes]:
    """A cluster on this machine, its nodes with room for one trial each."""
    found = Nodes()
    try:
        for _ in range(count):
            found.add()
        yield found
    finally:
        found.close()


def _run(scenario: Scenario, address: str) -> Command:
    return scenario.run("-j", "2", "--ray", "--ray-address", address)


def _moment(setting: Setting, command: Command, before: int) -> bool:
    """Wait until another trial has ended, and then for a random moment; False: the search has."""
    until(lambda: command.ended > before or not command.runs, _START_S, "a trial to end")
    time.sleep(setting.draws.uniform(0, 2))
    return command.runs and bool(workers())


def worker_killed(setting: Setting, times: int) -> Found:
    """SIGKILL of a worker: its trial runs elsewhere."""
    found = Found()
    setting.undisturbed(SLOW)
    with _nodes(2) as nodes:
        while found.tried < times:
            scenario = setting.scenario(SLOW)
            command = _run(scenario, nodes.address)
            for _ in range(min(_EACH, times - found.tried)):
                if not _moment(setting, command, command.ended):
                    break
                found.tried += _kill(setting)
            command.done()
            found.add(setting.check(scenario))
    return found


def _kill(setting: Setting) -> bool:
    """SIGKILL a worker; False where there was none."""
    with suppress(ProcessLookupError, IndexError):
        os.kill(setting.draws.choice(workers()), signal.SIGKILL)
        return True
    return False


def node_killed(setting: Setting, times: int) -> Found:
    """A node dies with what runs on it; another one joins later."""
    found = Found()
    setting.undisturbed(SLOW)
    with _nodes(1) as nodes:
        for _ in range(times):
            second = nodes.add()
            scenario = setting.scenario(SLOW)
            command = _run(scenario, nodes.address)
            _moment(setting, command, command.ended)
            nodes.kill(second)
            found.tried += 1
            command.done()
            found.add(setting.check(scenario))
    return found


def head_killed(setting: Setting, times: int) -> Found:
    """The head dies: the search ends, says so, and goes on with a new cluster."""
    found = Found()
    setting.undisturbed(SLOW)
    for _ in range(times):
        scenario = setting.scenario(SLOW)
        with _nodes(2) as nodes:
            command = _run(scenario, nodes.address)
            _moment(setting, command, command.ended)
            nodes.kill_head()
            command.done(1, _HEAD_S)
            said = "The search stops; run it again on a new cluster to continue." in command.talk
            found.expect(said, f"its last word is {command.last}")
            scenario.look()
        with _nodes(2) as nodes:
            _run(scenario, nodes.address).done()
        found.tried += 1
        found.add(setting.check(scenario))
    return found


def unfit(setting: Setting, times: int) -> Found:
    """A node has another torch, or other images: it is named and gets no trial."""
    found = Found()
    setting.undisturbed(SLOW)
    with _nodes(1) as nodes:
        for number in range(times):
            scenario = setting.scenario(SLOW)
            place = scenario.folder / "path"
            told = _other_torch(place) if number % 2 == 0 else _other_images(place)
            path = f"{place}{os.pathsep}{os.environ['PYTHONPATH']}"
            other = nodes.add(env={"PYTHONPATH": path})
            command = _run(scenario, nodes.address)
            command.done()
            refused = f"({other.node_id[:8]}) gets no trials: {told}"
            found.expect(refused in command.talk, f"not told: {refused}")
            before = command.talk.find("[1/")
            found.expect(command.talk.find(refused) < before, "told after the first trial")
            nodes.kill(other)
            found.tried += 1
            found.add(setting.check(scenario))
    return found


def _other_torch(place: Path) -> str:
    """A folder that makes Python find another version of torch."""
    about = place / "torch-9.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    return "it has torch 9.9 instead of"


def _other_images(place: Path) -> str:
    """A folder that makes Python find another digits."""
    place.mkdir(parents=True)
    (place / "sitecustomize.py").write_text(
        "import cnnsearch.data.digits as digits\n"
        "read = digits.read\n"
        "def other(*arguments):\n"
        "    import dataclasses\n"
        "    return dataclasses.replace(read(*arguments), fingerprint='other')\n"
        "digits.read = other\n"
    )
    return "other images in data.root there"


@contextmanager
def _two_hosts() -> Iterator[tuple[Network, Host, Host]]:
    """A cluster of two hosts; the head's has a node too, and the coordinator."""
    with network(2) as between, _environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token_hex(32)):
        here, there = between.hosts
        try:
            _ray(here, "--head", "--port", str(_PORT), "--include-dashboard", "false")
            _ray(there, "--address", f"{here.address}:{_PORT}")
            yield between, here, there
        finally:
            for host in between.hosts:
                _end_all(host)


@contextmanager
def _environment(**more: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _ray(host: Host, *words: str) -> None:
    ray = str(Path(sys.executable).with_name("ray"))
    command = [*host.within, ray, "start", *words, "--node-ip-address", host.address]
    null = subprocess.DEVNULL
    done = subprocess.run(
        [*command, "--num-cpus", "1", "--disable-usage-stats"],
        env={**os.environ, **SETTINGS, "PYTHONPATH": os.pathsep.join(sys.path[:2])},
        stdin=null,
        stdout=null,
        stderr=null,
        timeout=_START_S,
    )
    if done.returncode:
        raise FaultError(f"ray start {' '.join(words)} ended with {done.returncode}")


def _end_all(host: Host) -> None:
    """SIGKILL everything on a host."""
    for pid in _processes(host):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(host: Host) -> list[int]:
    told = subprocess.run(["ip", "netns", "pids", host.name], capture_output=True, text=True)
    return [int(pid) for pid in told.stdout.split()]


def _trains_at(host: Host, command: Command) -> None:
    """Wait until a host has a worker, and that a trial."""

    def has_worker() -> bool:
        return bool(set(_processes(host)) & set(workers())) or not command.runs

    until(has_worker, _START_S, "a worker on the other host")
    before = command.ended
    until(lambda: command.ended > before + 1 or not command.runs, _START_S, "two trials to end")


def cut_shortly(setting: Setting, times: int) -> Found:
    """The cable of a node is pulled for a minute: its late results change nothing."""
    return _cut(setting, times, 60.0)


def cut_for_good(setting: Setting, times: int) -> Found:
    """The cable of a node is pulled."""
    return _cut(setting, times, None)


def _cut(setting: Setting, times: int, seconds: float | None) -> Found:
    found, slowest = Found(), 0.0
    setting.undisturbed(SLOW)
    for _ in range(times):
        with _two_hosts() as (between, here, there):
            scenario = setting.scenario(SLOW, within=here.within)
            command = _run(scenario, f"{here.address}:{_PORT}")
            _trains_at(there, command)
            between.cut(there)
            began = time.monotonic()
            command.told("its worker was lost", _LOST_S)
            slowest = max(slowest, time.monotonic() - began)
            if seconds is not None:
                time.sleep(max(0.0, seconds - (time.monotonic() - began)))
                between.mend(there)
            command.done()
            found.tried += 1
            found.add(setting.check(scenario))
    found.notes.append(f"lost within {slowest:.0f} s")
    return found


def soak(setting: Setting, _: int) -> Found:
    """Every few seconds SIGKILL of a worker, a node or the coordinator, search after search."""
    found = Found()
    setting.undisturbed(SLOW)
    kills = {"workers": 0, "nodes": 0, "coordinators": 0}
    deadline = time.monotonic() + 60 * setting.minutes
    with _nodes(1) as nodes:
        while time.monotonic() < deadline and not found.problems:
            scenario, second = setting.scenario(SLOW), nodes.add()
            command = _run(scenario, nodes.address)
            while time.monotonic() < deadline and _moment(setting, command, command.ended):
                hit = setting.draws.choice(sorted(kills))
                if hit == "workers":
                    kills[hit] += _kill(setting)
                    continue
                kills[hit] += 1
                if hit == "nodes":
                    nodes.kill(second)
                    second = nodes.add()
                else:
                    command.kill()
                    scenario.look()
                    command = _run(scenario, nodes.address)
            command.done()
            nodes.kill(second)
            found.add(setting.check(scenario))
    found.tried = sum(kills.values())
    found.notes.append(", ".join(f"{count} {name}" for name, count in sorted(kills.items())))
    return found

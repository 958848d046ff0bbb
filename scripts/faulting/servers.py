"""A PostgreSQL server that crashes, goes for a while, or cannot be reached."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy

from faulting.invariants import Found, rerun
from faulting.namespaces import Host, Network, network
from faulting.plans import PLAN
from faulting.processes import SkippedError, until
from faulting.scenario import Command, Scenario
from faulting.setting import Setting
from tests.servers import ABSENT, Server, postgres_programs

_EACH = 3
_WAITS, _BACK = "the storage is tried again", "the storage is back"
_SEEN_S = 10
_GONE_S = 60
# The server sees a dead client within 20 s. In a shorter cut it has not yet, and keeps what that
# client held: its lock of the study, the rows of a transaction.
_CUTS_S = (20, 11)
_PORT = 5433


@contextmanager
def served(address: str = "127.0.0.1", host: Host | None = None) -> Iterator[Server]:
    """A server of one's own.

    Raises:
        SkippedError: there is no PostgreSQL.
    """
    programs = postgres_programs()
    if programs is None:
        raise SkippedError(ABSENT)
    within = host.within if host is not None else ()
    port = _PORT if host is not None else None
    server = Server(programs, port, address, within)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.remove()


def stopped(setting: Setting, times: int) -> Found:
    """`pg_ctl stop -m immediate` and `start`, several times a search: nothing runs again."""
    found = Found()
    setting.undisturbed(PLAN)
    with served() as server:
        while found.tried < times:
            scenario = setting.scenario(PLAN, server.create(uuid.uuid4().hex))
            command = scenario.run()
            for _ in range(min(_EACH, times - found.tried)):
                if not scenario.moment(command, setting.draws):
                    break
                before = command.ended
                server.stop()
                time.sleep(setting.draws.uniform(0, 3))
                server.start()
                found.tried += 1
                _next_end(command, before)
            command.done()
            found.add(_nothing_again(setting, scenario))
    return found


def gone(setting: Setting, times: int) -> Found:
    """The server is down for a minute: results wait for it."""
    found = Found()
    setting.undisturbed(PLAN)
    with served() as server:
        for _ in range(times):
            scenario = setting.scenario(PLAN, server.create(uuid.uuid4().hex))
            command = scenario.run()
            scenario.moment(command, setting.draws)
            server.stop()
            command.told(_WAITS, _SEEN_S)
            time.sleep(_GONE_S * setting.scale)
            server.start()
            command.told(_BACK)
            command.done()
            found.tried += 1
            found.add(_nothing_again(setting, scenario))
    return found


def cut(setting: Setting, times: int) -> Found:
    """The cable to the server is pulled, without a reset: at any moment for 20 s and for 11 s, and
    in the middle of a transaction."""
    found = Found()
    setting.undisturbed(PLAN)
    seconds: list[float] = []
    with network(2) as between:
        here, there = between.hosts
        with served(there.address, there) as server:
            for number in range(times):
                name = uuid.uuid4().hex
                reached = server.create(name)
                scenario = setting.scenario(PLAN, _url(there, name), here.within)
                scenario.reached = reached
                seconds.append(_cut(setting, scenario, between, number))
                found.tried += 1
                found.add(_nothing_again(setting, scenario))
    found.expect(max(seconds) <= _SEEN_S, f"error seen after {max(seconds):.1f} s")
    found.notes.append(f"seen within {max(seconds):.1f} s")
    return found


def _cut(setting: Setting, scenario: Scenario, between: Network, number: int) -> float:
    """Disturb one search; the seconds until it saw that."""
    command = scenario.run()
    scenario.moment(command, setting.draws)
    if number % 3 == 1:
        _stop_in_a_transaction(setting, scenario, command)
    between.cut(between.hosts[1])
    command.send(signal.SIGCONT)
    began = time.monotonic()
    command.told(_WAITS, 60)
    seconds = time.monotonic() - began
    lasts = _CUTS_S[number % 3 == 2]
    time.sleep(max(0.0, lasts - seconds))
    between.mend(between.hosts[1])
    command.told(_BACK, 60)
    command.done()
    return seconds


def _stop_in_a_transaction(setting: Setting, scenario: Scenario, command: Command) -> None:
    """SIGSTOP the coordinator when it has begun to write, and has not ended to."""
    question = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state = 'idle in transaction' AND client_addr IS NOT NULL"
        " AND query LIKE 'INSERT%'"
    )
    engine = sqlalchemy.create_engine(scenario.reached)

    def stands_in_one() -> bool:
        time.sleep(setting.draws.uniform(0, 0.02))
        command.send(signal.SIGSTOP)
        with engine.connect() as connection:
            if connection.execute(sqlalchemy.text(question)).scalar():
                return True
        command.send(signal.SIGCONT)
        return not command.runs

    until(stands_in_one, 60, "a transaction to stop in")
    engine.dispose()


def _url(host: Host, database: str) -> str:
    return f"postgresql+psycopg://tester@{host.address}:{_PORT}/{database}"


def _next_end(command: Command, before: int) -> None:
    until(lambda: command.ended > before or not command.runs, 60, "a trial's end")


def _nothing_again(setting: Setting, scenario: Scenario) -> Found:
    """Check a search in which no trial may have run twice."""
    found = setting.check(scenario)
    again = rerun(scenario)
    found.expect(not again, f"{again} trials were run again")
    return found

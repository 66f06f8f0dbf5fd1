"""Two bridges, one PostgreSQL, real processes: one leads, the other takes over, and never do both act."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from bridge.simulator import wall_clock
from bridge.simulator.nouns import Ticket
from tests.cli.conftest import ROOT, Bridge, World
from tests.store.conftest import postgresql  # noqa: F401 - a fixture
from tests.store.databases import connected, databases

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgresql")]

Start = Callable[[str], "Process"]


class Process:
    """One machine's bridge: a process with a state directory of its own."""

    def __init__(self, name: str, store: str, folder: Path) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "BRIDGE_POLL__INTERVAL": "1",
            "BRIDGE_POLL__JITTER": "0",
            "BRIDGE_MODE": "enforce",
            "BRIDGE_STORE": store,
            "BRIDGE_STATE_DIR": str(folder / name),
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--standby"], env=environment, stderr=subprocess.PIPE, text=True
        )
        self.log: list[dict[str, Any]] = []

    def until(self, event: str, reverts: int = 0) -> dict[str, Any]:
        """Reads the log up to the next of this event, with so many reverts done."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"event": line})
            if self.log[-1]["event"] == event and self.log[-1].get("done", 0) >= reverts:
                return self.log[-1]
        raise AssertionError(f"it ended before {event!r}: {self.log[-5:]}")


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with databases(request, tmp_path) as make:
        yield make("postgresql")


@pytest.fixture
def start(store: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def begin(name: str) -> Process:
        started.append(Process(name, store, tmp_path))
        return started[-1]

    yield begin
    for process in started:
        process.popen.kill()
        process.popen.communicate()


@pytest.fixture
def pair(world: World, start: Start) -> tuple[Process, Process]:
    """One that leads and enforces, and one that stands by."""
    world.instance.now = wall_clock
    leader = start("a")
    leader.until("leading")
    standby = start("b")
    standby.until("standing by")
    for _ in range(3):  # enforcement begins a whole second after the first
        leader.until("cycle")
    return leader, standby


def illegal(world: World) -> Ticket:
    return world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")


def reverts(world: World) -> Counter[int]:
    """By ticket: what the server itself has seen the bridge do."""
    me = world.instance.person("bridge").id
    return Counter(move.ticket for move in world.instance.moves if move.person == me)


def test_after_a_kill_the_standby_leads_and_finishes_what_was_begun(
    world: World, pair: tuple[Process, Process]
) -> None:
    leader, standby = pair
    first = illegal(world)
    leader.until("cycle", reverts=1)
    second = illegal(world)
    os.kill(leader.popen.pid, signal.SIGKILL)
    leader.popen.wait()
    standby.until("leading")
    assert not any(line["event"] == "cycle" for line in standby.log)
    third = illegal(world)
    while reverts(world).total() < 3:
        standby.until("cycle")
    standby.until("cycle")
    assert reverts(world) == {first.id: 1, second.id: 1, third.id: 1}
    standby.popen.send_signal(signal.SIGTERM)
    standby.until("stopped")
    assert standby.popen.wait(30) == 0


def test_a_leader_that_lost_its_lock_while_it_was_away_acts_no_more(
    world: World, pair: tuple[Process, Process], store: str
) -> None:
    leader, standby = pair
    os.kill(leader.popen.pid, signal.SIGSTOP)  # a virtual machine that is moved, a laptop's lid
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    engine = create_engine(store)
    with engine.begin() as connection:
        connection.execute(text(ended))
    engine.dispose()
    standby.until("leading")
    ticket = illegal(world)
    os.kill(leader.popen.pid, signal.SIGCONT)
    assert leader.popen.wait(60) == 3
    while not reverts(world):
        standby.until("cycle")
    standby.until("cycle")
    assert reverts(world) == {ticket.id: 1}
    leader_said = leader.popen.stderr.read() if leader.popen.stderr is not None else ""
    assert "another bridge is writing" in leader_said


def test_a_standby_that_is_told_to_end_does(world: World, pair: tuple[Process, Process]) -> None:
    _, standby = pair
    standby.popen.send_signal(signal.SIGTERM)
    assert standby.popen.wait(30) == 0


def test_the_doctor_makes_no_tables(bridge: Bridge, world: World, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_STORE", store)
    (ledger,) = (check for check in json.loads(bridge("doctor", "--json").out)["checks"] if check["name"] == "ledger")
    assert (ledger["state"], ledger["found"]) == ("ok", "its tables will be made at the first start")
    with connected(store) as connection:
        assert inspect(connection).get_table_names() == []
    assert bridge("once").code == 0
    assert "holds everything up to" in bridge("doctor").out

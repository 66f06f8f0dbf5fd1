"""A day beside a simulated OpenProject, minute by minute: the bridge may neither grow nor hide what it missed.

The bridge is a process of its own with the real daemon, so that its memory is its own. The daemon goes by the machine's
clock, with an interval about as long as a cycle takes, so that it does miss some; each of its cycles is told that a
minute has passed.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bridge.daemon import Daemon
from bridge.domain.model import Mode
from bridge.domain.policy import load
from bridge.engine.cycle import Cycle, Options
from bridge.openproject.client import Client
from bridge.openproject.credentials import ApiKey
from bridge.openproject.tracker import Tracker
from bridge.simulator import Api, Instance, Refusal, seed, serve
from bridge.store.ledger import Ledger
from tests.torture.world import ROOT, START, STATUSES, Hand

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

MINUTES = 24 * 60
WARM = 120
"""Minutes after which caches are full and everybody has been seen."""
TICKETS = 200
INTERVAL = 0.05
EDGE = 0.01
"""Seconds around the beginning and the end of a cycle in which it is a matter of luck whether a tick was missed."""
MAY_GROW = 5.0
"""MiB."""


@dataclass(frozen=True, slots=True)
class Soaked:
    """What the day came to."""

    minutes: int
    grown: float
    """MiB from the end of the second hour to the end."""
    missed: int
    """Ticks of the daemon's clock that certainly fell into a running cycle."""
    reported: int
    """Missed cycles that the ledger tells of."""
    put_back: int

    @property
    def holds(self) -> bool:
        """Whether it is what it must be."""
        return self.grown < MAY_GROW and self.missed <= self.reported and self.put_back > 0


class People:
    """A WSGI application around the simulator: in each new minute people act before the first request is answered."""

    def __init__(self, instance: Instance, now: Callable[[], datetime], dice: random.Random) -> None:
        self._app = Api(instance)
        self._instance = instance
        self._now = now
        self._dice = dice
        self._acted = now()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._instance.lock:
            if self._now() > self._acted:
                self._acted = self._now()
                self._act()
        return self._app(environ, start_response)

    def _act(self) -> None:
        dice, instance = self._dice, self._instance
        if len(instance.tickets) < TICKETS:
            instance.create("ca", "client-alpha", f"Demande {len(instance.tickets)}")
        ticket = dice.choice(list(instance.tickets.values()))
        who = dice.choice(("ca", "ca2", "sup", "sup", "dev"))
        try:
            if dice.random() < 0.7:
                instance.set_status(who, ticket, dice.choice(STATUSES))
            else:
                instance.comment(who, ticket, "Où en est-on ?")
        except Refusal:
            pass


def soak(number: int, directory: Path, minutes: int = MINUTES) -> Soaked:
    """Live through a day with the people of this seed."""
    spawn = multiprocessing.get_context("spawn")
    passed = spawn.Value("d", 0.0)

    def now() -> datetime:
        return START + timedelta(seconds=passed.value)

    description = json.loads((ROOT / "tests" / "recordings" / "openproject-17.6" / "instance.json").read_text())
    instance = seed(description, now)
    ours, theirs = spawn.Pipe()
    with serve(People(instance, now, random.Random(f"soak {number}"))) as serving:
        process = spawn.Process(
            target=_bridge, args=(serving.url, instance.token("bridge"), str(directory), minutes, passed, theirs)
        )
        process.start()
        theirs.close()
        told: dict[str, float] = ours.recv()
        process.join()
    bridge = instance.person("bridge").id
    put_back = sum(move.person == bridge for move in instance.moves)
    with closing(sqlite3.connect(directory / "soak.db")) as database:
        rows = database.execute("SELECT payload FROM entry WHERE kind = 'missed'").fetchall()
    reported = sum(json.loads(payload)["cycles"] for (payload,) in rows)
    return Soaked(minutes, told["grown"], int(told["missed"]), reported, put_back)


def _bridge(
    url: str, token: str, directory: str, minutes: int, passed: Synchronized[float], parent: Connection
) -> None:
    """The process that is measured."""
    logging.disable()  # a line for every tick that is missed
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def now() -> datetime:
        return START + timedelta(seconds=passed.value)

    stop = threading.Event()
    ran: list[tuple[float, float]] = []
    sizes: list[float] = []
    database = f"sqlite:///{directory}/soak.db"
    policy = load((ROOT / "config" / "cegape.yaml").read_bytes(), "config/cegape.yaml")
    with Client(url, ApiKey(token), clock=now) as client, Ledger.open(database, now=now) as ledger:
        engine = Cycle(Tracker(client), ledger, policy, Options(mode=Mode.ENFORCE), clock=now, brake=Hand())

        def cycle(missed: int) -> Mapping[str, object]:
            began = time.monotonic()
            passed.value += 60
            engine.run(missed=missed)
            ran.append((began, time.monotonic()))
            if len(ran) in (min(WARM, minutes // 2), minutes):
                gc.collect()
                sizes.append(_resident())
            if len(ran) >= minutes:
                stop.set()
            return {}

        daemon = Daemon(cycle, interval=INTERVAL, jitter=0, heartbeat=Path(directory) / "heartbeat", stop=stop)
        daemon.run()
        engine.close()
    parent.send({"grown": sizes[-1] - sizes[0], "missed": _ticks_within(ran)})


def _resident() -> float:
    """MiB that this process holds now."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _ticks_within(ran: list[tuple[float, float]]) -> int:
    """How many ticks of the daemon's clock certainly fell into a running cycle that was not the last."""
    first = ran[0][0]
    return sum(
        max(0, int((ended - EDGE - first) / INTERVAL) - int((began + EDGE - first) / INTERVAL))
        for began, ended in ran[:-1]
    )

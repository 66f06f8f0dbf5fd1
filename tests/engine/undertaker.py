"""Bridges that live and die in processes of their own, each beside a simulated server that goes on without them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bridge.simulator import Api, Clock, Instance, Ticket, seed, serve
from bridge.simulator.nouns import Version
from bridge.store.audit import verify
from tests.engine.desk import ROOT, START, description
from tests.store.databases import connected

SIGKILL = 9


@dataclass(frozen=True, slots=True)
class End:
    """How a bridge's process ended."""

    signal: int
    code: int
    said: str
    points: list[str]
    """The fault points that it passed."""


class Undertaker:
    """Lets bridges live and die, against whichever simulated server a test puts up."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: Api | None = None
        self._serving = serve(self._answer)
        self._url = self._serving.__enter__().url
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.mortal"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        warm = desk_with_a_past(directory / "warm", "17.6")
        warm.clock.advance(60)
        self.live(warm, daemon=True)  # the first is lived in the server itself, which then has everything imported

    def _answer(self, environ: Any, start_response: Any) -> Any:
        assert self._server is not None
        return self._server(environ, start_response)

    def live(self, site: Site, kill_at: int | None = None, *, cycles: int = 1, **worse: object) -> End:
        """One process, from its start to its end."""
        self._server = site.api
        log, said = self._directory / "points", self._directory / "said"
        log.write_text("")
        said.write_text("")
        order = {
            "settings": {
                "openproject": {"url": self._url, "api_key": site.instance.token("bridge")},
                "policy": str(ROOT / "config" / "cegape.yaml"),
                "mode": "enforce",
                "state_dir": str(site.home),
                "store": site.url,
            },
            "now": site.clock().isoformat(),
            "kill_at": kill_at,
            "cycles": cycles,
            "log": str(log),
            "said": str(said),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order | worse) + "\n")
        self._process.stdin.flush()
        ended = json.loads(self._process.stdout.readline())
        return End(ended["signal"], ended["code"], said.read_text(), log.read_text().splitlines())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._serving.__exit__(None, None, None)


@dataclass
class Site:
    """A server with its tickets, and the directory in which the bridge keeps its ledger."""

    home: Path
    clock: Clock
    instance: Instance
    postgresql: str | None = None
    """The URL of its ledger, where that is no file in ``home``."""

    def __post_init__(self) -> None:
        self.api = Api(self.instance)
        self.own = self.instance.person("bridge").id

    @property
    def database(self) -> Path:
        return self.home / "bridge.db"

    @property
    def url(self) -> str:
        return self.postgresql or f"sqlite:///{self.database}"

    def copy(self, home: Path) -> Site:
        """The same server and the same ledger once more, as if the other had never gone on."""
        home.mkdir()
        if self.database.exists():
            with (
                closing(sqlite3.connect(self.database)) as source,
                closing(sqlite3.connect(home / "bridge.db")) as copy,
            ):
                source.backup(copy)
        instance = deepcopy(self.instance, {id(self.instance.lock): threading.RLock()})
        clock = instance.now
        assert isinstance(clock, Clock)
        return Site(home, clock, instance)

    def ticket(self, subject: str) -> Ticket:
        return next(ticket for ticket in self.instance.tickets.values() if ticket.state.subject == subject)

    def statuses(self) -> dict[str, str]:
        """Where each ticket stands."""
        names = self.instance.statuses
        return {ticket.state.subject: names[ticket.state.status].name for ticket in self.instance.tickets.values()}

    def own_moves(self) -> Counter[str]:
        """How often the bridge moved each ticket, in truth."""
        tickets = self.instance.tickets
        return Counter(tickets[m.ticket].state.subject for m in self.instance.moves if m.person == self.own)

    def own_comments(self) -> Counter[str]:
        """How often it wrote to each ticket, in truth."""
        tickets = self.instance.tickets
        return Counter(tickets[r.ticket].state.subject for r in self.instance.remarks if r.person == self.own)

    def books(self) -> Books:
        """What its ledger holds; it must verify."""
        verdict = verify(self.url)
        assert verdict.holds, verdict.findings
        with connected(self.url) as database:
            read: Callable[[str], list[Any]] = lambda sql: [*map(tuple, database.execute(text(sql)))]  # noqa: E731
            revisions = read("SELECT work_package, activity, updated_at, digest FROM activity")
            decisions = read(
                "SELECT work_package, activity, part, verdict, rule FROM decision WHERE current ORDER BY 1, 2, 3"
            )
            actions = read("SELECT work_package, activity, state FROM action ORDER BY 1, 2")
            appeals = read("SELECT work_package FROM event WHERE kind = 'appeal'")
            enforced = read("SELECT rule, project FROM enforcement ORDER BY 1, 2")
        assert set(Counter(revisions).values()) == {1}, "a revision was stored twice"
        own = {activity.id for activity in self.instance.activities.values() if activity.user == self.own}
        theirs = sorted(revision for revision in revisions if revision[1] not in own)
        return Books(theirs, decisions, actions, appeals, enforced)


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger, without what differs from run to run: numbers and times."""

    revisions: list[tuple[Any, ...]]
    """What people did, as the server showed it; how far the bridge's own activities have got differs as well."""
    decisions: list[tuple[Any, ...]]
    actions: list[tuple[Any, ...]]
    appeals: list[tuple[Any, ...]]
    enforced: list[tuple[Any, ...]]


def desk_with_a_past(home: Path, version: Version, postgresql: str | None = None) -> Site:
    """A server before the bridge came: one illegal move was made, which nobody puts back."""
    home.mkdir()
    clock = Clock(START)
    instance = seed(description(version), clock)
    instance.token("bridge")
    clock.advance(60)
    for subject in ("pris", "teste", "ancien", "conteste"):
        instance.create("ca", "client-alpha", subject)
        clock.advance(1)
    clock.advance(400)
    instance.set_status("sup", named(instance, "teste"), "EN COURS DE TEST")
    instance.set_status("ca", named(instance, "ancien"), "REJETE")
    clock.advance(400)
    return Site(home, clock, instance, postgresql)


def named(instance: Instance, subject: str) -> Ticket:
    return next(ticket for ticket in instance.tickets.values() if ticket.state.subject == subject)


def a_morning(site: Site) -> None:
    """What people do while the bridge does not look: two illegal moves, a legal one, a comment, an appeal."""
    instance = site.instance
    for act in (
        lambda: instance.set_status("ca", site.ticket("pris"), "EN COURS"),  # illegal
        lambda: instance.create("ca2", "client-alpha", "cree", status="RESOLU"),  # illegal
        lambda: instance.set_status("ca", site.ticket("teste"), "RESOLU"),
        lambda: instance.comment("sup", site.ticket("teste"), "Merci."),
        lambda: instance.comment("ca", site.ticket("conteste"), "#contestation Pourquoi ?"),
    ):
        act()
        site.clock.advance(5)


def settle(undertaker: Undertaker, site: Site) -> None:
    """The bridge is started again, and has two cycles."""
    site.clock.advance(60)
    assert undertaker.live(site, cycles=2).code == 0

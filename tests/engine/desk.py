"""A support desk in a simulated OpenProject, and a bridge beside it that can be stopped and started again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bridge.domain.model import Mode, WorkPackageId
from bridge.domain.policy import Policy, load
from bridge.engine.cycle import Cycle, CycleReport, Options
from bridge.openproject.client import Client
from bridge.openproject.credentials import ApiKey
from bridge.openproject.tracker import Tracker
from bridge.simulator import Api, Clock, InProcess, Instance, Move, Ticket, seed
from bridge.simulator.nouns import Version
from bridge.simulator.transport import After, Before
from bridge.store.audit import verify
from bridge.store.ledger import Ledger
from bridge.store.queries import Queries
from bridge.store.rows import Event
from bridge.store.schema import EntryKind
from bridge.store.snapshot import Snapshot
from bridge.wiring import Pause

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
MARKER = re.compile(r"<!-- bridge:(\S+) -->")
VERSIONS: tuple[Version, ...] = ("17.6", "15.4")


@cache
def description(version: str) -> dict[str, Any]:
    """The recorded instance, without the custom field that is called like the status."""
    path = ROOT / "tests" / "recordings" / f"openproject-{version}" / "instance.json"
    told: dict[str, Any] = json.loads(path.read_text())
    return told | {"customFields": {k: v for k, v in told["customFields"].items() if k != "Statut"}}


@cache
def policy(more: str = "", *changes: tuple[str, str]) -> Policy:
    """The shipped policy with something added, and some of its words changed."""
    path = ROOT / "config" / "cegape.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load(text + more, str(path))


class Desk:
    """Everything stands still until a test moves it: the clock, the people, the bridge."""

    def __init__(
        self,
        directory: Path,
        version: Version = "17.6",
        *,
        mode: Mode = Mode.ENFORCE,
        rules: Policy | None = None,
        control_ticket: int | None = None,
        checkpoint_ticket: int | None = None,
        begin: datetime = START,
    ) -> None:
        self.clock = Clock(begin)
        self.skew = timedelta(0)
        """How far the bridge's own clock is ahead of the server's."""
        self.instance: Instance = seed(description(version), self.clock)
        self.instance.token("bridge")
        self.clock.advance(60)
        self.adapter = InProcess(Api(self.instance))
        self.directory = directory
        self.database = directory / "bridge.db"
        self.brake = Pause(directory)
        self.mode = mode
        self.rules = rules or policy()
        self.control_ticket = control_ticket
        self.checkpoint_ticket = checkpoint_ticket
        self._running: tuple[Client, Ledger, Cycle] | None = None

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def ledger(self) -> Ledger | None:
        """While the bridge runs."""
        return None if self._running is None else self._running[1]

    def _now(self) -> datetime:
        return self.clock() + self.skew

    def start(self) -> None:
        """Start the bridge's process, so to speak."""
        session = Client(
            "http://simulator",
            ApiKey(self.instance.token("bridge")),
            clock=self._now,
            monotonic=lambda: self.clock().timestamp(),
            sleep=self.clock.advance,
            adapter=self.adapter,
            dry_run=self.mode is not Mode.ENFORCE,
        )
        ledger = Ledger.open(self.url, now=self._now)
        control = WorkPackageId(self.control_ticket) if self.control_ticket is not None else None
        cycle = Cycle(
            Tracker(session),
            ledger,
            self.rules,
            Options(
                mode=self.mode,
                connections=1,
                control_ticket=control,
                checkpoint_ticket=WorkPackageId(self.checkpoint_ticket) if self.checkpoint_ticket else None,
            ),
            clock=self._now,
            brake=self.brake,
            requests=lambda: session.usage.requests,
        )
        self._running = session, ledger, cycle

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            session, ledger, cycle = self._running
            cycle.close()
            ledger.close()
            session.close()
            self._running = None

    def cycle(self, after: float = 30, hint: Iterable[int] = ()) -> CycleReport:
        """Let some seconds pass, and run one cycle."""
        self.clock.advance(after)
        if self._running is None:
            self.start()
        assert self._running is not None
        return self._running[2].run(hint=[WorkPackageId(id_) for id_ in hint])

    @contextmanager
    def meanwhile(self, *, before: Before | None = None, after: After | None = None) -> Iterator[None]:
        """Let something happen at the server's door."""
        self.adapter.before, self.adapter.after = before, after
        try:
            yield
        finally:
            self.adapter.before = self.adapter.after = None

    # --- Looking ----------------------------------------------------------------------------------------------------

    def status(self, ticket: Ticket) -> str:
        return self.instance.statuses[ticket.state.status].name

    def own_moves(self, ticket: Ticket) -> list[Move]:
        """The bridge's moves of a ticket, in truth."""
        own = self.instance.person("bridge").id
        return [move for move in self.instance.moves if move.person == own and move.ticket == ticket.id]

    def explanations(self, ticket: Ticket) -> list[str]:
        """Every comment that the bridge ever sent to a ticket, in truth."""
        own = self.instance.person("bridge").id
        return [remark.text for remark in self.instance.remarks if (remark.person, remark.ticket) == (own, ticket.id)]

    def was_put_back_once(self, ticket: Ticket, to: str) -> bool:
        """One revert, one explanation, each with its own decision."""
        texts = self.explanations(ticket)
        return (len(self.own_moves(ticket)), len(texts), self.status(ticket)) == (1, 1, to) and bool(
            MARKER.search(texts[0])
        )

    def untouched(self, ticket: Ticket) -> bool:
        return not self.own_moves(ticket) and not self.explanations(ticket)

    @contextmanager
    def books(self) -> Iterator[Snapshot]:
        """What the ledger holds."""
        with Queries(self.url) as queries, queries.snapshot() as snapshot:
            yield snapshot

    def events(self, *kinds: EntryKind) -> list[Event]:
        """What was recorded of these kinds, oldest first."""
        with self.books() as books:
            return sorted(books.events(kinds), key=lambda event: event.seq)

    def verdicts(self, ticket: Ticket) -> list[tuple[str, str | None]]:
        """Verdict and rule of each change of a ticket, as they count now, oldest first."""
        with self.books() as books:
            life = books.life(WorkPackageId(ticket.id))
            return [] if life is None else [(one.verdict, one.rule) for one in life.decisions if one.current]

    def check_books(self, accepted: Iterable[int] = ()) -> None:
        """The ledger holds in itself; ``accepted`` are entries at which a set back clock is no surprise."""
        verdict = verify(self.url, accepted=tuple(accepted))
        assert verdict.holds, verdict.findings

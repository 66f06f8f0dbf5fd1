"""What needs a person: failed reverts, moves nobody could judge, appeals, the breaker; until somebody has seen it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.domain.model import UserId, WorkPackageId
from bridge.store.rows import Overview
from bridge.store.schema import EntryKind
from bridge.store.snapshot import Snapshot


class MatterKind(StrEnum):
    """Why somebody should look."""

    BREAKER = "breaker"
    """So much was illegal that the bridge stopped itself."""
    FAILED = "failed"
    """A revert ended without the ticket being put back and explained."""
    APPEAL = "appeal"
    """Somebody contests a decision."""
    UNDECIDED = "undecided"
    """The facts did not allow a judgement."""
    UNREAD = "unread"
    """A ticket's activities could not be read."""


FAILED = frozenset({"refused", "given_up"})
"""Ends of a revert that somebody must look at; a superseded one was settled by people."""


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to look at. ``key`` is stable: it is what an acknowledgement names."""

    key: str
    kind: MatterKind
    at: datetime
    work_package: WorkPackageId | None
    person: UserId | None
    detail: str
    """A decision's id, or a reason in words."""


@dataclass(frozen=True, slots=True)
class Matters:
    """Everything that nobody has acknowledged yet, the newest first of each kind."""

    items: tuple[Matter, ...]
    unread: int
    """Tickets whose activities could not be read: one matter, that goes away by itself."""

    def counts(self) -> dict[MatterKind, int]:
        """How many of each kind; every kind is there."""
        found = dict.fromkeys(MatterKind, 0)
        for matter in self.items:
            found[matter.kind] += 1
        found[MatterKind.UNREAD] = self.unread
        return found


def open_matters(snapshot: Snapshot, view: Overview) -> Matters:
    """All matters without an acknowledgement. ``view`` is the same snapshot's."""
    seen = {event.details.get("matter") for event in snapshot.events([EntryKind.ACKNOWLEDGEMENT])}
    found = (matter for matter in _all(snapshot) if matter.key not in seen)
    return Matters(tuple(sorted(found, key=lambda matter: matter.at, reverse=True)), view.unsynced)


def _all(snapshot: Snapshot) -> Iterator[Matter]:
    for event in snapshot.events([EntryKind.BREAKER]):
        reason = event.details.get("reason", "")
        yield Matter(f"breaker:{event.seq}", MatterKind.BREAKER, event.at, None, None, str(reason))
    for event in snapshot.events([EntryKind.APPEAL]):
        person, decision = event.details.get("person"), str(event.details.get("decision", ""))
        yield Matter(
            f"appeal:{event.seq}",
            MatterKind.APPEAL,
            event.at,
            event.work_package,
            UserId(person) if isinstance(person, int) else None,
            decision,
        )
    for ruled in snapshot.ruled(["undecided"]):
        yield Matter(
            f"undecided:{ruled.id}",
            MatterKind.UNDECIDED,
            ruled.latest,
            ruled.work_package,
            ruled.person,
            ruled.reason,
        )
    for attempt in snapshot.attempts(states=FAILED):
        yield Matter(
            f"revert:{attempt.seq}",
            MatterKind.FAILED,
            attempt.ended_at or attempt.intended_at,
            attempt.work_package,
            attempt.person,
            attempt.decision,
        )

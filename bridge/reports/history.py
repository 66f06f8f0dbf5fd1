"""Every ticket's life as a row of visits: in which status it stood from when until when. What most reports count.

100,000 visits are kept in columns of numbers, 10 MB, and become rows only where somebody looks at them.

A move that the bridge put back does not count: the ticket is taken to have stayed where it was. So does a creation in a
status that was put back: the ticket counts as created where the bridge put it. Two moves in a row into the same status
are one visit. A ticket whose beginning no activity shows lives from its first known move on.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bridge.domain.model import DecisionId
from bridge.store.facts import decision_id
from bridge.store.queries import Step

NEVER = -1
"""No such moment, person or status."""

_DAY_SHIFT = 1_000_000
"""A decision's day and number as one number; no day has a million decisions."""


class Visit(NamedTuple):
    """One stay of a ticket in a status. Moments are microseconds since the epoch."""

    ticket: int
    project: int
    status: int
    """NEVER where it is not known."""
    since: int
    until: int
    """NEVER while it goes on."""
    person: int
    """Who moved the ticket there; NEVER where that is not known."""
    party: str | None
    created: bool
    """Whether the ticket was created there."""
    seq: int
    decision: DecisionId


class History:
    """All visits, ticket by ticket in the order of ticket numbers, each ticket's in the order of time."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.ticket = array("q")
        """Work package of each ticket; ascending."""
        self.project = array("q")
        """Project in which its last move was made."""
        self.first = array("q", [0])
        """Where each ticket's visits begin in the columns below; one more at the end."""
        self.status = array("q")
        self.since = array("q")
        self.until = array("q")
        self.person = array("q")
        self.party = array("b")
        self.created = array("b")
        self.seq = array("q")
        self.decision = array("q")
        self.parties: list[str | None] = [None]
        """Names of the parties that ``party`` numbers."""
        self._fill(steps)

    def __len__(self) -> int:
        """How many visits there are."""
        return len(self.status)

    def lives(self) -> Iterator[tuple[int, int, int]]:
        """Each ticket's number here, and where its visits begin and end."""
        first = self.first
        for number in range(len(self.ticket)):
            if first[number] < first[number + 1]:
                yield number, first[number], first[number + 1]

    def visit(self, index: int) -> Visit:
        """One visit by its place."""
        number = bisect_right(self.first, index) - 1
        return Visit(
            self.ticket[number],
            self.project[number],
            self.status[index],
            self.since[index],
            self.until[index],
            self.person[index],
            self.parties[self.party[index]],
            bool(self.created[index]),
            self.seq[index],
            self.decision_id(index),
        )

    def decision_id(self, index: int) -> DecisionId:
        """The decision about the move that began a visit."""
        return decision_id(*divmod(self.decision[index], _DAY_SHIFT))

    def start_of(self, index: int) -> int:
        """Where the visits of the ticket begin that this one belongs to."""
        return self.first[bisect_right(self.first, index) - 1]

    def author(self, start: int) -> int:
        """Who created the ticket whose visits begin here; NEVER where no activity shows it."""
        return self.person[start] if self.created[start] else NEVER

    def _fill(self, steps: Iterable[Step]) -> None:
        parties: dict[str | None, int] = {None: 0}
        ticket = NEVER
        created_elsewhere = False
        for step in steps:
            seq, work_package, project, kind, target, person, party, own, at, day, number, put_back = step
            if work_package != ticket:
                self.ticket.append(work_package)
                self.project.append(project)
                self.first.append(len(self.status))
                ticket = work_package
                created_elsewhere = False
            self.project[-1] = project
            if put_back is not None:
                # Where it led counts for nothing. A creation does: the bridge's own move says into what.
                created_elsewhere = kind == "creation"
                if not created_elsewhere:
                    continue
            begun = self.first[-1] > self.first[-2]
            status = NEVER if target is None else target
            if own and created_elsewhere and begun:
                self.status[-1] = status
                created_elsewhere = False
                continue
            if begun and self.status[-1] == status:
                continue
            if begun:
                self.until[-1] = at
            code = parties.get(party)
            if code is None:
                code = parties[party] = len(parties)
                self.parties.append(party)
            self.status.append(status)
            self.since.append(at)
            self.until.append(NEVER)
            self.person.append(NEVER if person is None else person)
            self.party.append(code)
            self.created.append(kind == "creation")
            self.seq.append(seq)
            self.decision.append(day * _DAY_SHIFT + number)
            self.first[-1] += 1

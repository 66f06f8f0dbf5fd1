"""Every ticket's life as a row of visits: in which status it stood from when until when. What most reports count.

100,000 visits are kept in columns of numbers, 10 MB, and become rows only where somebody looks at them.

A move that the bridge put back does not count: the ticket is taken to have stayed where it was. So does a creation in a
status that was put back: the ticket counts as created where the bridge put it. Two moves in a row into the same status
are one visit. A ticket whose beginning no activity shows lives from its first known move on.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import compress, islice
from typing import NamedTuple

from bridge.domain.model import DecisionId
from bridge.store.facts import decision_id
from bridge.store.rows import NUMBERS, Steps

NEVER = -1
"""No such moment, person or status."""


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

    def __init__(self, steps: Iterable[Steps], put_back: Container[int]) -> None:
        """``put_back`` are the seqs of moves that were."""
        raw = _Columns()
        for some in steps:
            raw.extend(some)
        kept = _Kept(raw, put_back)
        self.ticket: array[int] = kept.tickets
        """Work package of each ticket; ascending."""
        self.project: array[int] = kept.projects
        """Project in which its last move was made."""
        self.first: array[int] = kept.first
        """Where each ticket's visits begin in the columns below; one more at the end."""
        self.status = _chosen(kept.status, kept.keep)
        self.since = _chosen(raw.at, kept.keep)
        self.until = self._ends()
        self.person = _chosen(raw.person, kept.keep)
        self.party = _chosen(raw.party, kept.keep)
        self.created = _chosen(raw.created, kept.keep)
        self.seq = _chosen(raw.seq, kept.keep)
        self.decision = _chosen(raw.decision, kept.keep)
        self.parties: Sequence[str | None] = raw.parties
        """Names of the parties that ``party`` numbers."""

    def __len__(self) -> int:
        """How many visits there are."""
        return len(self.status)

    def lives(self) -> Iterator[tuple[int, int, int]]:
        """Each ticket's number here, and where its visits begin and end. Every ticket has at least one."""
        return zip(range(len(self.ticket)), self.first, islice(self.first, 1, None), strict=False)

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
        return decision_id(*divmod(self.decision[index], NUMBERS))

    def start_of(self, index: int) -> int:
        """Where the visits of the ticket begin that this one belongs to."""
        return self.first[bisect_right(self.first, index) - 1]

    def ticket_of(self, index: int) -> int:
        """The work package that a visit belongs to."""
        return self.ticket[bisect_right(self.first, index) - 1]

    def project_of(self, index: int) -> int:
        """The project of the ticket that a visit belongs to."""
        return self.project[bisect_right(self.first, index) - 1]

    def author(self, start: int) -> int:
        """Who created the ticket whose visits begin here; NEVER where no activity shows it."""
        return self.person[start] if self.created[start] else NEVER

    def _ends(self) -> array[int]:
        """A visit ends where the next one begins, and a ticket's last one goes on."""
        ends = self.since[1:]
        ends.append(NEVER)
        for end in islice(self.first, 1, None):
            ends[end - 1] = NEVER
        return ends


class _Columns:
    """Steps as they come."""

    def __init__(self) -> None:
        self.seq, self.work_package, self.project = array("q"), array("q"), array("q")
        self.target, self.person, self.at, self.decision = array("q"), array("q"), array("q"), array("q")
        self.created, self.own, self.party = array("b"), array("b"), array("b")
        self.parties: list[str | None] = [None]

    def extend(self, steps: Steps) -> None:
        """Add more."""
        self.seq.extend(steps.seq)
        self.work_package.extend(steps.work_package)
        self.project.extend(steps.project)
        self.created.extend(steps.created)
        self.target.extend(steps.target)
        self.person.extend(steps.person)
        self.own.extend(steps.own)
        self.at.extend(steps.at)
        self.decision.extend(steps.decision)
        for party in frozenset(steps.party).difference(self.parties):
            self.parties.append(party)
        code = {party: number for number, party in enumerate(self.parties)}
        self.party.extend(map(code.__getitem__, steps.party))


class _Kept:
    """Which steps begin a visit, into which status, and where each ticket's visits begin."""

    def __init__(self, raw: _Columns, put_back: Container[int]) -> None:
        self.keep = bytearray()
        self.status = array("q")
        self.tickets, self.projects, self.first = array("q"), array("q"), array("q", [0])
        self._follow(raw, put_back)

    def _follow(self, raw: _Columns, put_back: Container[int]) -> None:
        keep, into, tickets, projects, first = self.keep, self.status, self.tickets, self.projects, self.first
        ticket = stands = begun = NEVER
        created_elsewhere = False
        count = 0
        into.extend(raw.target)
        steps = zip(raw.work_package, raw.target, raw.own, raw.created, raw.seq, raw.project, strict=True)
        for place, (work_package, status, own, created, seq, project) in enumerate(steps):
            if work_package != ticket:
                if begun != NEVER:
                    first.append(count)
                ticket, begun, created_elsewhere = work_package, NEVER, False
            undone = seq in put_back
            if undone and not created:
                keep.append(0)  # where it led counts for nothing
                continue
            if begun == NEVER:
                tickets.append(work_package)
                projects.append(project)
                # A creation in a status that was put back counts; the bridge's own move will say into which.
                created_elsewhere = undone
                begun = place
            else:
                projects[-1] = project
                if own and created_elsewhere:
                    into[begun] = stands = status
                    created_elsewhere = False
                    keep.append(0)
                    continue
                if status == stands:
                    keep.append(0)
                    continue
            keep.append(1)
            stands = status
            count += 1
        if begun != NEVER:
            first.append(count)


def _chosen(column: array[int], keep: bytearray) -> array[int]:
    return array(column.typecode, compress(column, keep))

"""Second step of a cycle: from what was read to verdicts in the ledger. Reads and writes the ledger, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.domain.model import (
    Activity,
    Allowed,
    ChangeKey,
    Illegal,
    Judged,
    Listed,
    Mode,
    ProjectId,
    RoleSpell,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Ticket,
    Timeline,
    Undecided,
    UserId,
    WorkPackageId,
)
from bridge.domain.plan import Course, follow
from bridge.domain.policy import Policy
from bridge.domain.scene import Present, Scene
from bridge.domain.standing import Standing, standing
from bridge.domain.timeline import derive
from bridge.engine.poll import Read
from bridge.errors import ConfigError
from bridge.openproject.resources import activity
from bridge.openproject.tracker import ActivityReading, Server
from bridge.store.ledger import Decision, Ledger, StatusNames, StoredDecision, TicketReading
from bridge.store.schema import EntryKind

PRESENT = frozenset({"assignee", "fields"})
"""What a policy may ask for that only the ticket itself tells."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ticket lies: what the verdict may depend on besides its own history."""

    work_package: WorkPackageId
    project: ProjectId
    status: StatusId | None = None
    type: str = ""
    present: Present | None = None
    """What only the ticket itself tells; None when it was not read."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A ticket judged: its course, and the changes that were decided now for the first time or anew."""

    place: Place
    course: Course
    fresh: tuple[Judged, ...]


@dataclass(slots=True)
class Judge:
    """Judges tickets for one cycle, with the names, roles and enforcement of that moment."""

    ledger: Ledger
    policy: Policy
    server: Server
    now: datetime
    """The server's time."""
    clock_known: bool
    """False where the server tells no time: then ``now`` is this machine's, and sightings do not say when."""
    mode: Mode
    names: StatusNames
    enforcement: Mapping[tuple[RuleId, ProjectId], datetime]
    labels: Callable[[str], Mapping[str, str]]
    """Labels of the custom fields in a schema, by key."""
    identifiers: Mapping[ProjectId, str]
    ambiguous: set[ProjectId] = field(default_factory=set)
    """Projects in which a custom field is known to carry the status' label."""
    spelling: dict[StatusId, StatusName] = field(default_factory=dict)
    """The server's statuses as the policy spells them."""
    ids: dict[StatusName, StatusId] = field(default_factory=dict)
    _spells: dict[tuple[ProjectId, UserId], Sequence[RoleSpell]] = field(default_factory=dict)

    def bind(self) -> None:
        """Find the policy's statuses on the server: by the name of now, else by one that it had (contract §3.4).

        Raises ConfigError naming each that cannot be found: a policy about other statuses would judge everything wrong.
        """
        now = {name: status for status, name in self.names.current.items()}
        self.ids.clear()
        for name in self.policy.statuses:
            once = [status for status in self.names.ever.get(name, ()) if status in self.names.current]
            if name in now:
                self.ids[name] = now[name]
            elif len(once) == 1:
                self.ids[name] = once[0]
        if missing := [name for name in self.policy.statuses if name not in self.ids]:
            there = ", ".join(sorted(now))
            raise ConfigError(
                f"The policy names statuses that this OpenProject does not have: {', '.join(missing)}. "
                f"It has: {there}. Spell them alike, or create them there"
            )
        self.spelling = {status: name for name, status in self.ids.items()}

    def take(self, reads: Sequence[Read], known: Container[WorkPackageId] | None = None) -> list[Ruling]:
        """Store what was read and judge it, in one transaction: a crash leaves both or neither.

        ``known`` are the tickets of which something is stored already; None when that has not been looked up.
        """
        with self.ledger.batch():
            self._observe(reads)
            return [
                self.rule_on(
                    self._place(read.listed, read.ticket),
                    [a.activity for a in read.activities]
                    if known is not None and read.listed.id not in known
                    else None,
                )
                for read in reads
            ]

    def keep(self, reads: Sequence[Read], reason: str) -> None:
        """Store what was read, to be read again and judged in a later cycle: by then it may read otherwise."""
        with self.ledger.batch():
            self._observe(reads)
            for read in reads:
                self.ledger.unreadable(read.listed, at=self.now, reason=reason)

    def _observe(self, reads: Sequence[Read]) -> None:
        readings = [TicketReading(read.listed, [_as_stored(a) for a in read.activities]) for read in reads]
        self.ledger.observe(readings, at=self.now)

    def rule_on(self, place: Place, activities: Sequence[Activity] | None = None) -> Ruling:
        """Judge a ticket from its stored revisions and write down what is new.

        ``activities`` spares reading the store where the caller has just stored all that there is of this ticket.
        """
        stored: Mapping[ChangeKey, StoredDecision] = {}
        if activities is None:
            stored = self.ledger.decisions(place.work_package)
        timeline = self._timeline(place, activities)
        course = follow(timeline, self._scene(place))
        fresh = tuple(judged for judged in course.judged if _is_news(judged, stored.get(judged.change.key), self.now))
        self.ledger.decide([self._decision(place, judged) for judged in fresh])
        self._note_appeals(timeline)
        return Ruling(place, course, fresh)

    def place(self, work_package: WorkPackageId, ticket: Ticket | None = None) -> Place | None:
        """Where a ticket was last seen; None when it never was, or when ``ticket``, read now, has moved on since."""
        known = self.ledger.ticket(work_package)
        if known is None or (ticket is not None and ticket.status != known.status):
            return None
        return self._place(Listed(work_package, known.project, known.status, known.type), ticket)

    def change(self, place: Place, key: ChangeKey) -> tuple[StatusChange | None, StatusChange | None]:
        """One change of a ticket, and the last one of an activity before its own; from stored revisions."""
        changes = self._timeline(place).changes
        change = next((change for change in changes if change.key == key), None)
        earlier = [c for c in changes[: changes.index(change)] if c.key.activity != key.activity] if change else []
        return change, earlier[-1] if earlier else None

    def roles_were_read(self) -> None:
        """Forget what is known of roles: they have been read again."""
        self._spells.clear()

    def _place(self, listed: Listed, ticket: Ticket | None = None) -> Place:
        type_id = ticket.type if ticket is not None else listed.type
        type_name = self.server.types.get(type_id, "") if type_id is not None else ""
        present = None
        if ticket is not None and self.policy.asks_for & PRESENT:
            labels = self.labels(ticket.schema) if "fields" in self.policy.asks_for else {}
            fields = {labels[key]: value for key, value in ticket.fields.items() if key in labels}
            present = Present("" if ticket.assignee is None else str(ticket.assignee), fields)
        return Place(listed.id, listed.project, listed.status, type_name, present)

    def _timeline(self, place: Place, activities: Sequence[Activity] | None = None) -> Timeline:
        if activities is None:
            activities = [activity(revision.received) for revision in self.ledger.revisions(place.work_package)]
        ambiguous = place.project in self.ambiguous
        return derive(
            place.work_package,
            activities,
            self.names.ever,
            label_is_ambiguous=ambiguous,
            present=place.status,
            sightings=self.ledger.sightings(place.work_package) if ambiguous and self.clock_known else (),
            own=self.server.user,
        )

    def _scene(self, place: Place) -> Scene:
        enforced = {rule: at for (rule, project), at in self.enforcement.items() if project == place.project}
        return Scene(
            policy=self.policy,
            spelling=self.spelling,
            ids=self.ids,
            standing=lambda user, earliest, latest: self._standing(place.project, user, earliest, latest),
            own=self.server.user,
            now=self.now,
            enforced_since=enforced if self.mode is Mode.ENFORCE else {},
            project=self.identifiers.get(place.project, str(place.project)),
            type=place.type,
            present=place.present,
            saves_creation_twice=not self.server.select_status,
        )

    def _standing(self, project: ProjectId, user: UserId, earliest: datetime, latest: datetime) -> Standing:
        spells = self._spells.get((project, user))
        if spells is None:
            spells = self._spells[project, user] = self.ledger.role_spells(project, user)
        return standing(spells, earliest, latest, self.policy)

    def _note_appeals(self, timeline: Timeline) -> None:
        """Write down who contests a revert: a person's comment with the appeal word, in a ticket that was put back."""
        word = self.policy.appeal_word.casefold()
        appeals = [c for c in timeline.comments if word in c.text.casefold() and c.user != self.server.user]
        if not appeals or not word:
            return
        noted = {event["activity"] for event in self.ledger.events(EntryKind.APPEAL, timeline.work_package)}
        reverts = self.ledger.reverts_of(timeline.work_package)
        for comment in appeals:
            before = [
                revert for revert in reverts if revert.reverted_at is not None and revert.reverted_at <= comment.at
            ]
            if before and comment.activity not in noted:
                payload = {"activity": comment.activity, "person": comment.user, "decision": before[-1].decision}
                self.ledger.record(EntryKind.APPEAL, payload, comment.at, timeline.work_package)

    def _decision(self, place: Place, judged: Judged) -> Decision:
        change = judged.change
        return Decision(
            work_package=place.work_package,
            project=place.project,
            type=place.type,
            change=change,
            verdict=judged.verdict,
            party=judged.party,
            policy_hash=self.policy.hash,
            at=self.now,
            origin=self.spelling.get(change.origin) if change.origin is not None else None,
            target=self.spelling.get(change.target) if change.target is not None else None,
            own=judged.own,
            facts={"visited": sorted(judged.visited)} if judged.visited else {},
        )


def _as_stored(reading: ActivityReading) -> tuple[int, str, Mapping[str, object]]:
    return reading.activity.id, str(reading.received["updatedAt"]), reading.received


def _is_news(judged: Judged, stored: StoredDecision | None, now: datetime) -> bool:
    """Whether a change needs a decision of its own, or a better one than it has.

    A decision once made on certain facts stays, also under a later policy: ``policy replay`` shows what that one would
    have said. It is made anew where it was open, or where the chain turns out to be another. One that was to be made
    again by now is, even if what it hangs on is not known any more: else it would be sought for ever.
    """
    if stored is None:
        return True
    change = judged.change
    elsewhere = (stored.origin, stored.target) != (change.origin, change.target)
    match judged.verdict:
        case Undecided():
            due = stored.review_at is not None and stored.review_at <= now
            return due or (elsewhere and change.target is not None and not stored.undecided)
        case Allowed() | Illegal():
            reviewed = stored.review_at is not None and judged.verdict.review_at != stored.review_at
            return stored.undecided or elsewhere or reviewed

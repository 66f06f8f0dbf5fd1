"""The one writer. Every fact becomes an entry of the chain and, in the same transaction, rows of the projections.

It keeps what it is told and judges nothing. Times given as ``at`` are the server's; an entry's own is this machine's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from threading import RLock
from typing import Any, NewType, Self

import orjson
from sqlalchemy import Select, func, select

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    DecisionId,
    Illegal,
    Kind,
    Listed,
    Membership,
    Mode,
    PartyName,
    ProjectId,
    RoleSpell,
    RuleId,
    Sighting,
    Status,
    StatusChange,
    StatusId,
    StatusName,
    TypeId,
    Undecided,
    UserId,
    Verdict,
    WorkPackageId,
)
from bridge.domain.plan import RevertCount
from bridge.store import schema
from bridge.store.canonical import canonical
from bridge.store.chain import SALT, START, commitment, leaf_hash, link
from bridge.store.database import Database, translated
from bridge.store.projection import SET_META, Projection, Row, digest, iso, parse_iso, prepare, write
from bridge.store.schema import EVENTS, EntryKind, instant, microseconds

ActionId = NewType("ActionId", int)

CLOCK_JITTER = 1_000_000
"""Microseconds that the clock may step back (as time services do) before it is recorded as set back."""


# --- What goes in ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TicketReading:
    """A ticket as listed, with its activities as received: (activity id, updatedAt as printed, trimmed JSON)."""

    listed: Listed
    activities: Sequence[tuple[int, str, Mapping[str, object]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict about one status change, with what it rests on. Names are kept as they are at this moment."""

    work_package: WorkPackageId
    project: ProjectId
    change: StatusChange
    verdict: Verdict
    party: PartyName | None
    policy_hash: str
    at: datetime
    """When it was decided, by the server's clock; the day of the decision's id."""
    origin: StatusName | None = None
    """``change.origin`` as the policy spells it."""
    target: StatusName | None = None
    own: bool = False
    type: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Whatever else the verdict used; JSON. No texts that people wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """That a move shall be put back."""

    decision: DecisionId
    work_package: WorkPackageId
    project: ProjectId
    person: UserId | None
    change: ChangeKey
    origin: StatusId
    to: StatusId
    lock_version: int | None = None


class Outcome(StrEnum):
    """What became of an action. REVERTED and CONFLICT leave something to do; the others end it."""

    REVERTED = "reverted"
    EXPLAINED = "explained"
    CONFLICT = "conflict"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"


# --- What comes out -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KnownTicket:
    """A ticket as last listed."""

    status: StatusId | None
    project: ProjectId
    vanished: bool
    synced: bool


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """One revision of one activity, as received."""

    seq: int
    observed_at: datetime
    received: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StatusNames:
    """The statuses' names: those of now, and all that were ever seen."""

    current: Mapping[StatusId, str]
    ever: Mapping[str, frozenset[StatusId]]


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision in the ledger."""

    seq: int
    id: DecisionId
    work_package: WorkPackageId
    project: ProjectId
    change: ChangeKey
    kind: Kind
    origin: StatusId | None
    target: StatusId | None
    person: UserId | None
    party: PartyName | None
    own: bool
    verdict: str
    """``allowed``, ``illegal`` or ``undecided``."""
    rule: RuleId | None
    mode: Mode | None
    reason: str
    policy_hash: str
    decided_at: datetime
    review_at: datetime | None

    @property
    def undecided(self) -> bool:
        """Whether the facts did not allow a judgement."""
        return self.verdict == "undecided"


@dataclass(frozen=True, slots=True)
class StoredAction:
    """A revert in the ledger, from intent to explanation."""

    id: ActionId
    decision: DecisionId
    work_package: WorkPackageId
    project: ProjectId
    person: UserId | None
    change: ChangeKey
    origin: StatusId
    to: StatusId
    lock_version: int | None
    state: str
    """``intended``, ``claimed`` or an Outcome."""
    conflicts: int
    intended_at: datetime
    reverted_at: datetime | None

    @property
    def reverted(self) -> bool:
        """Whether the server has accepted the revert, so that only the explanation is left."""
        return self.reverted_at is not None


# --- The ledger -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Head:
    """The end of the chain."""

    seq: int
    at: int
    chain: bytes


_Draft = tuple[int, str, int | None, bytes]
"""An entry that is not hashed yet: seq, kind, work package, payload."""


class Ledger:
    """The writing side of the store. One a database; methods may be called from any thread, one at a time.

    Every method is one transaction, or part of the surrounding ``batch``. Raises RetryLater when the database does not
    answer, Stop when it is full, damaged, read-only or used by another writer. After an error nothing of the
    transaction has happened.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], salts: Callable[[int], bytes]) -> None:
        self._database = database
        self._now = now
        self._salts = salts
        self._lock = RLock()
        self._depth = 0
        self._stale = True
        self._statements = prepare(database.connection.dialect)
        self._projection = Projection()
        self._head = _Head(0, 0, START)
        self._drafts: list[_Draft] = []
        self._day: date | None = None
        self._number = 0
        self._at: int | None = None
        self._claimed: set[int] = set()
        self._broken: BaseException | None = None

    @classmethod
    def open(cls, url: str, *, now: Callable[[], datetime], salts: Callable[[int], bytes] = os.urandom) -> Self:
        """Open for writing; makes the tables where there are none and brings older ones up to date.

        Raises ConfigError for a URL that cannot be used, Stop for a foreign, newer or damaged database and where
        another process writes already.
        """
        database = Database(url)
        try:
            ledger = cls(database, now, salts)
            with ledger.batch():
                if ledger._head.seq == 0:
                    ledger._append(EntryKind.GENESIS, None, {"at": iso(now()), "ledger": salts(8).hex()})
        except BaseException:
            database.close()
            raise
        return ledger

    def close(self) -> None:
        """Give the database back. Idempotent."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction around everything inside; the way to write much. Nests."""
        with self._lock, translated(self._database.url):
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            connection = self._database.connection
            if connection.closed or connection.invalidated:
                self._stale = True
                connection = self._database.reconnect()
            self._depth = 1
            try:
                with connection.begin():
                    if self._stale:
                        self._load()
                    yield
                    self._flush()
                    if self._broken is not None:
                        raise self._broken
            except BaseException:
                self._stale = True
                raise
            finally:
                self._depth = 0
                self._at = None

    # --- Observations ---

    def watermark(self) -> datetime | None:
        """Up to when the server's changes have been read; None before the first reading."""
        with self.batch():
            rows = self._read(select(schema.meta.c.value).where(schema.meta.c.key == "watermark"))
            return parse_iso(rows[0][0]) if rows else None

    def observe(
        self, readings: Sequence[TicketReading], *, at: datetime, watermark: datetime | None = None
    ) -> frozenset[WorkPackageId]:
        """Store what is new in these readings, and the watermark with it. Returns the tickets with a new revision.

        A revision is new when its content differs from the last stored one of that activity.
        """
        fresh: set[WorkPackageId] = set()
        with self.batch():
            time = iso(at)
            before = self._head.seq
            tickets, revisions = self._stored([reading.listed.id for reading in readings])
            for reading in readings:
                listed = reading.listed
                if tickets.get(listed.id) != (listed.project, listed.status, listed.type, False, True):
                    self._append(EntryKind.TICKET, listed.id, _ticket(listed, time, synced=True))
                for activity, updated_at, received in reading.activities:
                    content = canonical(received)
                    mark = digest(content)
                    stored = revisions.get((listed.id, activity))
                    # A redacted revision has no digest: only a newer updatedAt may bring its text back.
                    if stored is None or (stored[0] != updated_at if stored[1] is None else stored[1] != mark):
                        fresh.add(listed.id)
                        seq = self._draft(
                            EntryKind.ACTIVITY, listed.id, b'{"at":"%s","received":%s}' % (time.encode(), content)
                        )
                        self._projection.activity(seq, listed.id, activity, updated_at, mark)
                        revisions[listed.id, activity] = updated_at, mark
            if watermark is not None:
                if self._head.seq != before:
                    self._append(EntryKind.WATERMARK, None, {"at": time, "watermark": iso(watermark)})
                self._projection.rows.setdefault(SET_META, []).append(("watermark", iso(watermark)))
        return frozenset(fresh)

    def unreadable(self, listed: Listed, *, at: datetime, reason: str) -> None:
        """That a listed ticket's activities could not be read; it counts as not synced until they are."""
        with self.batch():
            self._append(EntryKind.TICKET, listed.id, _ticket(listed, iso(at), synced=False, reason=reason))

    def revisions(self, work_package: WorkPackageId) -> tuple[StoredRevision, ...]:
        """Every stored revision of the ticket's activities, in order of observation."""
        entry, activity = schema.entry.c, schema.activity.c
        query = (
            select(entry.seq, entry.payload)
            .join_from(schema.activity, schema.entry, entry.seq == activity.seq)
            .where(activity.work_package == work_package, entry.payload.is_not(None))
            .order_by(entry.seq)
        )
        revisions = []
        for seq, payload in self._read(query):
            content = orjson.loads(payload)
            revisions.append(StoredRevision(seq, parse_iso(content["at"]), content["received"]))
        return tuple(revisions)

    def known(self) -> dict[WorkPackageId, KnownTicket]:
        """Every ticket ever seen, as last listed."""
        ticket = schema.ticket.c
        query = select(ticket.work_package, ticket.status, ticket.project, ticket.vanished, ticket.synced)
        shared: dict[tuple[object, ...], KnownTicket] = {}  # most tickets look like many others
        known: dict[WorkPackageId, KnownTicket] = {}
        for row in self._read(query):
            work_package, *rest = row
            key = tuple(rest)
            value = shared.get(key)
            if value is None:
                value = shared[key] = KnownTicket(*key)
            known[work_package] = value
        return known

    def ticket(self, work_package: WorkPackageId) -> Listed | None:
        """One ticket as last listed; None when it was never seen."""
        with self.batch():
            tickets, _ = self._stored([work_package])
        if work_package not in tickets:
            return None
        project, status, type_, _vanished, _synced = tickets[work_package]
        return Listed(work_package, project, status, type_)

    def sightings(self, work_package: WorkPackageId) -> tuple[Sighting, ...]:
        """When lists first showed the ticket in each status that they showed it in, oldest first."""
        entry = schema.entry.c
        query = (
            select(entry.payload)
            .where(entry.work_package == work_package, entry.kind == EntryKind.TICKET.value)
            .where(entry.payload.is_not(None))
            .order_by(entry.seq)
        )
        payloads = [orjson.loads(payload) for (payload,) in self._read(query)]
        return tuple(Sighting(parse_iso(p["at"]), StatusId(p["status"])) for p in payloads if "status" in p)

    def vanish(self, work_package: WorkPackageId, *, at: datetime, reason: str) -> None:
        """That the server no longer shows a ticket. No news about one that has vanished already."""
        with self.batch():
            tickets, _ = self._stored([work_package])
            if work_package not in tickets:
                return
            project, status, type_, vanished, synced = tickets[work_package]
            if vanished:
                return
            listed = Listed(work_package, project, status, type_)
            self._append(EntryKind.VANISHED, work_package, _ticket(listed, iso(at), synced=synced, reason=reason))

    # --- Names and roles ---

    def observe_statuses(self, statuses: Sequence[Status], at: datetime) -> None:
        """All statuses that the server has now."""
        with self.batch():
            now = {int(s.id): (s.name, s.is_closed, s.is_default, False) for s in statuses}
            known = self._projection.statuses
            gone = {id_: (*row[:3], True) for id_, row in known.items() if id_ not in now}
            for id_, row in (now | gone).items():
                if known.get(id_) != row:
                    name, closed, default, lost = row
                    payload = {"at": iso(at), "closed": closed, "default": default, "gone": lost, "name": name}
                    self._append(EntryKind.STATUS, None, payload | {"status": id_})

    def status_names(self) -> StatusNames:
        """Names by id, and ids by every name they ever had (renders are cached: contract A.3)."""
        names = schema.status_name.c
        current: dict[StatusId, str] = {}
        ever: dict[str, set[StatusId]] = {}
        for status, name, gone in self._read(select(names.status, names.name, names.gone).order_by(names.seq)):
            ever.setdefault(name, set()).add(status)
            if gone:
                current.pop(status, None)
            else:
                current[status] = name
        return StatusNames(current, {name: frozenset(ids) for name, ids in ever.items()})

    def observe_people(self, names: Mapping[UserId, str], at: datetime) -> None:
        """People's names as seen; a new name is kept beside the old ones."""
        with self.batch():
            for person, name in names.items():
                if self._projection.people.get(person) != name:
                    self._append(EntryKind.PERSON, None, {"at": iso(at), "name": name, "person": person})

    def person_name(self, person: UserId) -> str | None:
        """The present name; None when the person was never seen, or is redacted."""
        with self.batch():
            return self._projection.people.get(person)

    def observe_projects(self, projects: Mapping[ProjectId, tuple[str, str]], at: datetime) -> None:
        """Each project's identifier and name as seen."""
        with self.batch():
            for project, names in projects.items():
                if self._projection.projects.get(project) != names:
                    payload = {"at": iso(at), "identifier": names[0], "name": names[1], "project": project}
                    self._append(EntryKind.PROJECT, None, payload)

    def observe_types(self, names: Mapping[TypeId, str], at: datetime) -> None:
        """Each ticket type's name as seen."""
        with self.batch():
            for type_, name in names.items():
                if self._projection.types.get(type_) != name:
                    self._append(EntryKind.TYPE, None, {"at": iso(at), "name": name, "type": type_})

    def observe_memberships(self, rows: Sequence[Membership], readable: frozenset[ProjectId], at: datetime) -> None:
        """One reading of all memberships. Absence from a readable project means: not a member.

        Of the projects that are not readable it says nothing, so their spells are neither extended nor ended.
        """
        with self.batch():
            time = iso(at)
            self.observe_people({row.user: row.user_name for row in rows}, at)
            seen: dict[tuple[int, int], Membership] = {}
            for row in rows:
                if row.project in readable:
                    known = seen.get((row.project, row.user))
                    seen[row.project, row.user] = row if known is None else _merge(known, row)
            spells = self._projection.spells
            continuous = self._projection.read_at
            for key, row in seen.items():
                spell = spells.get(key)
                now = row.roles, iso(row.created_at), iso(row.updated_at)
                if spell is None or (spell.roles, spell.created_at, spell.changed_at) != now:
                    payload = {"created_at": now[1], "changed_at": now[2], "roles": list(row.roles)}
                    self._append(EntryKind.ROLES, None, payload | _who(key, time))
            for key, spell in list(spells.items()):
                if key[0] not in readable or key in seen:
                    continue
                # Nothing proves an absence over a time in which the project could not be read.
                if spell.roles or spell.last_read != continuous:
                    self._append(EntryKind.ROLES, None, {"roles": []} | _who(key, time))
            self._append(EntryKind.ROLES_READ, None, {"at": time, "readable": sorted(readable)})

    def role_spells(self, project: ProjectId, user: UserId) -> tuple[RoleSpell, ...]:
        """A person's roles in a project, oldest first."""
        spell = schema.role_spell.c
        query = (
            select(spell.roles, spell.changed_at, spell.first_read, spell.last_read)
            .where(spell.person == user, spell.project == project)
            .order_by(spell.seq)
        )
        return tuple(RoleSpell(tuple(orjson.loads(roles)), *rest) for roles, *rest in self._read(query))

    # --- Decisions ---

    def decide(self, decisions: Iterable[Decision]) -> tuple[DecisionId, ...]:
        """Write verdicts down. Each replaces the earlier one about the same change, which stays readable."""
        ids = []
        with self.batch():
            for decision in decisions:
                policy = self._projection.policies.get(decision.policy_hash)
                if policy is None:
                    policy = self._append(
                        EntryKind.POLICY, None, {"at": iso(decision.at), "hash": decision.policy_hash}
                    )
                id_ = self._next_id(decision.at)
                self._append(EntryKind.DECISION, decision.work_package, _decision(decision, id_, policy))
                ids.append(id_)
        return tuple(ids)

    def decisions(self, work_package: WorkPackageId) -> dict[ChangeKey, StoredDecision]:
        """The decision that counts for each change of the ticket."""
        decision = schema.decision.c
        query = _decisions().where(decision.work_package == work_package, decision.current)
        return {stored.change: stored for stored in map(_stored_decision, self._read(query))}

    def due_reviews(self, now: datetime) -> tuple[WorkPackageId, ...]:
        """Tickets with a decision that is to be made again by now."""
        decision = schema.decision.c
        query = (
            select(decision.work_package)
            .where(decision.review_at.is_not(None), decision.current, decision.review_at <= now)
            .distinct()
            .order_by(decision.work_package)
        )
        return tuple(row[0] for row in self._read(query))

    # --- Enforcement ---

    def enforcement(self) -> dict[tuple[RuleId, ProjectId], datetime]:
        """Since when each rule is enforced in each project, where it is."""
        with self.batch():
            return {
                (RuleId(rule), ProjectId(project)): instant(since)
                for (rule, project), (_, since) in self._projection.enforcement.items()
            }

    def begin_enforcement(self, rule: RuleId, project: ProjectId, at: datetime) -> None:
        """From now on, moves may be put back. No news where it has begun already."""
        self._enforce(rule, project, at, True)

    def end_enforcement(self, rule: RuleId, project: ProjectId, at: datetime) -> None:
        """From now on, moves are only reported. No news where nothing is enforced."""
        self._enforce(rule, project, at, False)

    def _enforce(self, rule: RuleId, project: ProjectId, at: datetime, enforced: bool) -> None:
        with self.batch():
            if ((rule, project) in self._projection.enforcement) != enforced:
                payload = {"at": iso(at), "enforced": enforced, "project": project, "rule": rule}
                self._append(EntryKind.ENFORCEMENT, None, payload)

    # --- Actions ---

    def intend(self, intent: Intent, at: datetime) -> StoredAction | None:
        """Write down that a move shall be put back. None when this move already has an action, ended or not."""
        with self.batch():
            action, decision = schema.action.c, schema.decision.c
            taken = select(action.seq).where(
                action.work_package == intent.work_package,
                action.activity == intent.change.activity,
                action.part == intent.change.part,
            )
            if self._read(taken):
                return None
            day, _, number = intent.decision.rpartition("-")
            found = self._read(
                select(decision.seq).where(decision.day == int(day.replace("-", "")), decision.number == int(number))
            )
            if not found:
                raise ValueError(f"there is no decision {intent.decision}")
            payload: dict[str, object] = {
                "activity": intent.change.activity,
                "at": iso(at),
                "decision": found[0][0],
                "origin": intent.origin,
                "part": intent.change.part,
                "project": intent.project,
                "target": intent.to,
            }
            if intent.person is not None:
                payload["person"] = intent.person
            if intent.lock_version is not None:
                payload["lock_version"] = intent.lock_version
            seq = self._append(EntryKind.INTENT, intent.work_package, payload)
            return _stored_action(self._read(_actions().where(action.seq == seq))[0])

    def claim(self, action: ActionId, at: datetime) -> bool:
        """Take an action in hand. False when it has ended, or somebody has it in hand already.

        An outcome that leaves something to do gives it back. What a crashed process had in hand can be claimed again:
        there is one writer, so whatever this ledger has not claimed itself is nobody's.
        """
        with self.batch():
            stored = self._projection.actions.get(action)
            if stored is None or action in self._claimed:
                return False
            self._append(EntryKind.CLAIM, None, {"action": action, "at": iso(at)})
            self._claimed.add(action)
            return True

    def release(self, action: ActionId) -> None:
        """Give an action back that was claimed, without an outcome: the next cycle goes on from what is there."""
        with self.batch():
            self._claimed.discard(action)

    def outcome(
        self, action: ActionId, outcome: Outcome, detail: str | Mapping[str, object] = "", *, at: datetime
    ) -> None:
        """What became of an action. Raises ValueError when it has ended already."""
        with self.batch():
            if action not in self._projection.actions:
                raise ValueError(f"action {action} has ended already, or there is none")
            payload: dict[str, object] = {"action": action, "at": iso(at), "outcome": outcome.value}
            if detail:
                payload["detail"] = detail
            self._append(EntryKind.OUTCOME, None, payload)
            self._claimed.discard(action)

    def open_actions(self) -> tuple[StoredAction, ...]:
        """Actions with something left to do, oldest first."""
        action = schema.action.c
        return tuple(map(_stored_action, self._read(_actions().where(action.ended_at.is_(None)).order_by(action.seq))))

    def reverts_of(self, work_package: WorkPackageId) -> tuple[StoredAction, ...]:
        """Actions on one ticket whose revert the server accepted, oldest first."""
        action = schema.action.c
        query = _actions().where(action.work_package == work_package, action.reverted_at.is_not(None))
        return tuple(map(_stored_action, self._read(query.order_by(action.reverted_at))))

    def reverts_since(self, since: datetime) -> tuple[RevertCount, ...]:
        """Reverts that the server accepted since then, oldest first."""
        action = schema.action.c
        query = (
            select(action.reverted_at, action.project, action.person, action.work_package)
            .where(action.reverted_at.is_not(None), action.reverted_at >= since)
            .order_by(action.reverted_at)
        )
        return tuple(RevertCount(*row) for row in self._read(query))

    # --- Everything else ---

    def record(
        self,
        kind: EntryKind,
        payload: Mapping[str, object],
        at: datetime,
        work_package: WorkPackageId | None = None,
    ) -> int:
        """Write down an event of one of the kinds that have no method of their own. Returns its seq."""
        if kind not in EVENTS:
            raise ValueError(f"{kind} is not recorded like this")
        with self.batch():
            return self._append(kind, work_package, {**payload, "at": iso(at)})

    def events(self, kind: EntryKind, work_package: WorkPackageId) -> tuple[Mapping[str, Any], ...]:
        """What was recorded of this kind about one ticket, oldest first."""
        entry = schema.entry.c
        query = (
            select(entry.payload)
            .where(entry.work_package == work_package, entry.kind == kind.value, entry.payload.is_not(None))
            .order_by(entry.seq)
        )
        return tuple(orjson.loads(payload) for (payload,) in self._read(query))

    def last_event(self, kind: EntryKind) -> Mapping[str, object] | None:
        """What was last recorded of this kind; None when nothing was, or it is erased."""
        event, entry = schema.event.c, schema.entry.c
        query = (
            select(entry.payload)
            .join_from(schema.event, schema.entry, entry.seq == event.seq)
            .where(event.kind == kind.value)
            .order_by(event.seq.desc())
            .limit(1)
        )
        rows = self._read(query)
        return None if not rows or rows[0][0] is None else orjson.loads(rows[0][0])

    # --- Inside ---

    def _append(self, kind: EntryKind, work_package: int | None, payload: Mapping[str, object]) -> int:
        seq = self._draft(kind, work_package, canonical(payload))
        with self._whole():
            self._projection.apply(seq, kind, work_package, payload)
        return seq

    def _draft(self, kind: EntryKind, work_package: int | None, payload: bytes) -> int:
        if self._at is None:
            self._at = self._time()
        head = self._head
        head.seq += 1
        self._drafts.append((head.seq, kind.value, work_package, payload))
        return head.seq

    def _time(self) -> int:
        """The time of the transaction's entries; a clock that was set back is written down, not hidden."""
        at = microseconds(self._now())
        if at >= self._head.at:
            return at
        if self._head.at - at <= CLOCK_JITTER:
            return self._head.at
        self._at = at
        self._append(EntryKind.CLOCK, None, {"at": iso(instant(at)), "was": iso(instant(self._head.at))})
        return at

    def _flush(self) -> None:
        """Hash the drafts and write all waiting rows."""
        with self._whole():
            if self._drafts and self._at is not None:
                self._projection.rows[schema.entry] = self._hashed(self._at)
                self._head.at = self._at
                self._drafts.clear()
            if self._projection.rows:
                write(self._database.connection, self._statements, self._projection.rows)

    def _hashed(self, at: int) -> list[Row]:
        salts = self._salts(SALT * len(self._drafts))
        chain = self._head.chain
        rows: list[Row] = []
        for start, (seq, kind, work_package, payload) in zip(range(0, len(salts), SALT), self._drafts, strict=True):
            salt = salts[start : start + SALT]
            chain = link(chain, leaf_hash(seq, at, kind, work_package, commitment(salt, payload)))
            rows.append((seq, at, kind, work_package, payload.decode(), salt, None, chain, None))
        self._head.chain = chain
        return rows

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """What fails in here leaves half a fact behind: the transaction must not be committed, whoever catches it."""
        try:
            yield
        except BaseException as error:
            self._broken = error
            raise

    def _read(self, query: Select[Any]) -> Sequence[Any]:
        with self.batch():
            self._flush()
            with self._whole():
                return self._database.connection.execute(query).all()

    def _stored(
        self, work_packages: Sequence[WorkPackageId]
    ) -> tuple[dict[WorkPackageId, _TicketRow], dict[tuple[WorkPackageId, int], _RevisionRow]]:
        """What is known of these tickets, and of the last revision of each of their activities."""
        ticket, activity = schema.ticket.c, schema.activity.c
        tickets = select(
            ticket.work_package, ticket.project, ticket.status, ticket.type, ticket.vanished, ticket.synced
        ).where(ticket.work_package.in_(work_packages))
        revisions = (
            select(activity.work_package, activity.activity, activity.updated_at, activity.digest)
            .where(activity.work_package.in_(work_packages))
            .order_by(activity.work_package, activity.activity, activity.seq)
        )
        return (
            {id_: tuple(rest) for id_, *rest in self._read(tickets)},
            {(id_, number): (updated_at, mark) for id_, number, updated_at, mark in self._read(revisions)},
        )

    def _next_id(self, at: datetime) -> DecisionId:
        day = at.astimezone(UTC).date()
        if self._day != day:
            decision = schema.decision.c
            last = select(func.max(decision.number)).where(decision.day == int(f"{day:%Y%m%d}"))
            self._number = self._read(last)[0][0] or 0
            self._day = day
        self._number += 1
        return DecisionId(f"{day}-{self._number:04d}")

    def _load(self) -> None:
        """Where the database stands; what was remembered besides is void."""
        connection = self._database.connection
        entry = schema.entry.c
        last = connection.execute(select(entry.seq, entry.at, entry.chain).order_by(entry.seq.desc()).limit(1)).first()
        self._head = _Head(0, 0, START) if last is None else _Head(last.seq, microseconds(last.at), last.chain)
        self._drafts.clear()
        self._day = None
        self._claimed.clear()
        self._broken = None
        self._projection.load(connection)
        self._stale = False


_TicketRow = tuple[ProjectId, StatusId | None, TypeId | None, bool, bool]
_RevisionRow = tuple[str, bytes | None]


# --- Payloads and rows ----------------------------------------------------------------------------------------------


def _present(**values: object) -> dict[str, object]:
    """Without what says nothing, which most payloads would be full of."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _ticket(listed: Listed, at: str, *, synced: bool, reason: str | None = None) -> dict[str, object]:
    return _present(at=at, project=listed.project, status=listed.status, type=listed.type, synced=synced, reason=reason)


def _who(key: tuple[int, int], at: str) -> dict[str, object]:
    return {"at": at, "project": key[0], "person": key[1]}


def _merge(one: Membership, other: Membership) -> Membership:
    """Two rows of one person in one project (should the server ever list both) as one."""
    return replace(
        one,
        roles=tuple(sorted({*one.roles, *other.roles})),
        created_at=min(one.created_at, other.created_at),
        updated_at=max(one.updated_at, other.updated_at),
    )


def _decision(decision: Decision, id_: DecisionId, policy: int) -> dict[str, object]:
    change = decision.change
    payload = _present(
        at=iso(decision.at),
        id=id_,
        activity=change.key.activity,
        part=change.key.part,
        kind=change.kind.value,
        origin=change.origin,
        target=change.target,
        origin_name=decision.origin,
        target_name=decision.target,
        person=change.actor,
        party=decision.party,
        project=decision.project,
        type=decision.type,
        earliest=iso(change.earliest),
        policy=policy,
    )
    if change.latest != change.earliest:
        payload["latest"] = iso(change.latest)
    if decision.own:
        payload["own"] = True
    if decision.facts:
        payload["facts"] = decision.facts
    said: dict[str, object]
    match decision.verdict:
        case Allowed(note, exemption, review_at):
            said = _present(verdict="allowed", reason=note, exemption=exemption)
            if review_at is not None:
                said["review_at"] = iso(review_at)
        case Undecided(reason):
            said = _present(verdict="undecided", reason=reason)
        case Illegal(objections, alternatives):
            said = {
                "verdict": "illegal",
                "alternatives": list(alternatives),
                "objections": [
                    {
                        "rule": objection.rule,
                        "mode": objection.mode.value,
                        "sentence": dict(objection.sentence),
                        "parties": list(objection.allowed_parties),
                        "source": objection.source,
                    }
                    for objection in objections
                ],
            }
    return payload | said


def _id(day: int, number: int) -> DecisionId:
    return DecisionId(f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}-{number:04d}")


def _decisions() -> Select[Any]:
    decision = schema.decision.c
    return select(schema.decision, schema.policy.c.hash).join_from(
        schema.decision, schema.policy, schema.policy.c.seq == decision.policy
    )


def _stored_decision(row: Any) -> StoredDecision:
    return StoredDecision(
        seq=row.seq,
        id=_id(row.day, row.number),
        work_package=row.work_package,
        project=row.project,
        change=ChangeKey(ActivityId(row.activity), row.part),
        kind=Kind(row.kind),
        origin=row.origin,
        target=row.target,
        person=row.person,
        party=row.party,
        own=row.own,
        verdict=row.verdict,
        rule=row.rule,
        mode=None if row.mode is None else Mode(row.mode),
        reason=row.reason,
        policy_hash=row.hash,
        decided_at=row.decided_at,
        review_at=row.review_at,
    )


def _actions() -> Select[Any]:
    action, decision = schema.action.c, schema.decision.c
    return select(schema.action, decision.day, decision.number).join_from(
        schema.action, schema.decision, decision.seq == action.decision
    )


def _stored_action(row: Any) -> StoredAction:
    return StoredAction(
        id=row.seq,
        decision=_id(row.day, row.number),
        work_package=row.work_package,
        project=row.project,
        person=row.person,
        change=ChangeKey(ActivityId(row.activity), row.part),
        origin=row.origin,
        to=row.target,
        lock_version=row.lock_version,
        state=row.state,
        conflicts=row.conflicts,
        intended_at=row.intended_at,
        reverted_at=row.reverted_at,
    )

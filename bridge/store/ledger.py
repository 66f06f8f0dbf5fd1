"""The verbs of the store. Each fact becomes an entry of the chain and, in one transaction, rows of the projections.

It keeps what it is told and judges nothing. Times given as ``at`` are the server's; an entry's own is this machine's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import Any, Self

import orjson
from sqlalchemy import Select, func, select

from bridge.domain.guards import RevertCount
from bridge.domain.model import (
    ChangeKey,
    DecisionId,
    Listed,
    Membership,
    Mode,
    Objection,
    ProjectId,
    RoleSpell,
    RuleId,
    Sighting,
    Status,
    StatusId,
    StatusName,
    TypeId,
    UserId,
    WorkPackageId,
)
from bridge.store import schema
from bridge.store.canonical import canonical
from bridge.store.database import Database
from bridge.store.facts import (
    ActionId,
    Decision,
    Intent,
    KnownTicket,
    Outcome,
    Standing,
    StatusNames,
    StoredAction,
    StoredDecision,
    StoredRevision,
    TicketReading,
    decision_id,
    decision_payload,
    merge,
    select_actions,
    select_decisions,
    stored_action,
    stored_decision,
    ticket_payload,
    whose,
)
from bridge.store.projection import digest, iso, parse_iso
from bridge.store.schema import EVENTS, EntryKind, instant
from bridge.store.views import fact
from bridge.store.writer import Writer

__all__ = [
    "ActionId",
    "Decision",
    "Intent",
    "KnownTicket",
    "Ledger",
    "Outcome",
    "Standing",
    "StatusNames",
    "StoredAction",
    "StoredDecision",
    "StoredRevision",
    "TicketReading",
]

_PAGE = 1_000
"""Tickets that are looked up at once; databases bound the parameters of a query."""

_TicketRow = tuple[ProjectId, StatusId | None, TypeId | None, bool, bool]
_RevisionRow = tuple[str, bytes | None]


class Ledger:
    """The writing side of the store. One a database; methods may be called from any thread, one at a time.

    Every method is one transaction, or part of the surrounding ``batch``. Raises RetryLater when the database does not
    answer, Stop when it is full, damaged, read-only or used by another writer. After an error nothing of the
    transaction has happened.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        """For the store's own modules."""
        self._claimed: set[int] = set()
        self._day: date | None = None
        self._number = 0

    @classmethod
    def open(cls, url: str, *, now: Callable[[], datetime], salts: Callable[[int], bytes] = os.urandom) -> Self:
        """Open for writing; makes the tables where there are none and brings older ones up to date.

        Raises ConfigError for a URL that cannot be used, Stop for a foreign, newer or damaged database and where
        another process writes already.
        """
        database = Database(url)
        try:
            ledger = cls(Writer(database, now, salts))
            with ledger.batch():
                if ledger.writer.size == 0:
                    ledger.writer.append(EntryKind.GENESIS, None, {"at": iso(now()), "ledger": salts(8).hex()})
        except BaseException:
            database.close()
            raise
        return ledger

    def close(self) -> None:
        """Give the database back. Idempotent."""
        self.writer.database.close()

    def rest(self) -> None:
        """Give the database back between two uses; another process may write meanwhile. The next use takes it again,
        or raises Occupied. What was remembered of it is read again then.
        """
        self._claimed.clear()
        self._day = None
        self.writer.reload()
        self.writer.database.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batch(self) -> AbstractContextManager[None]:
        """One transaction around everything inside; the way to write much. Nests."""
        return contextlib.nullcontext() if self.writer.inside else self._transaction()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.writer.batch():
            claimed = frozenset(self._claimed)
            try:
                yield
            except BaseException:
                self._claimed = set(claimed)
                self._day = None
                raise

    # --- Observations ---

    def watermark(self) -> datetime | None:
        """Up to when the server's changes have been read; None before the first reading."""
        with self.batch():
            value = self.writer.meta("watermark")
            return None if value is None else parse_iso(value)

    def observe(
        self, readings: Sequence[TicketReading], *, at: datetime, watermark: datetime | None = None
    ) -> frozenset[WorkPackageId]:
        """Store what is new in these readings, and the watermark with it. Returns the tickets with a new revision.

        A revision is new when its content differs from the last stored one of that activity.
        """
        fresh: set[WorkPackageId] = set()
        with self.batch():
            time = iso(at)
            before = self.writer.size
            for start in range(0, len(readings), _PAGE):
                fresh |= self._observe(readings[start : start + _PAGE], time)
            if watermark is not None:
                if self.writer.size != before:
                    self.writer.append(EntryKind.WATERMARK, None, {"at": time, "watermark": iso(watermark)})
                self.writer.set_meta("watermark", iso(watermark))
                self._count("polls_done", 1)
        return frozenset(fresh)

    def unreadable(self, listed: Listed, *, at: datetime, reason: str) -> None:
        """That a listed ticket's activities could not be read; it counts as not synced until they are."""
        with self.batch():
            self.writer.append(
                EntryKind.TICKET, listed.id, ticket_payload(listed, iso(at), synced=False, reason=reason)
            )

    def revisions(self, work_package: WorkPackageId) -> tuple[StoredRevision, ...]:
        """Every stored revision of the ticket's activities, in order of observation."""
        query = _told(EntryKind.ACTIVITY).where(fact.c.work_package == work_package).order_by(fact.c.seq)
        revisions = []
        for seq, payload in self.writer.read(query):
            content = orjson.loads(payload)
            revisions.append(StoredRevision(seq, parse_iso(content["at"]), content["received"]))
        return tuple(revisions)

    def known(self) -> dict[WorkPackageId, KnownTicket]:
        """Every ticket ever seen, as last listed."""
        ticket = schema.ticket.c
        query = select(ticket.work_package, ticket.status, ticket.project, ticket.vanished, ticket.synced)
        shared: dict[tuple[object, ...], KnownTicket] = {}  # most tickets look like many others
        known: dict[WorkPackageId, KnownTicket] = {}
        with self.batch():
            for work_package, *rest in self.writer.stream(query):
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
        query = _told(EntryKind.TICKET).where(fact.c.work_package == work_package).order_by(fact.c.seq)
        payloads = [orjson.loads(payload) for _, payload in self.writer.read(query)]
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
            self.writer.append(
                EntryKind.VANISHED, work_package, ticket_payload(listed, iso(at), synced=synced, reason=reason)
            )

    # --- Names and roles ---

    def observe_statuses(self, statuses: Sequence[Status], at: datetime) -> None:
        """All statuses that the server has now."""
        with self.batch():
            now = {int(s.id): (s.name, s.is_closed, s.is_default, False) for s in statuses}
            known = self.writer.projection.statuses
            gone = {id_: (*row[:3], True) for id_, row in known.items() if id_ not in now}
            for id_, row in (now | gone).items():
                if known.get(id_) != row:
                    name, closed, default, lost = row
                    payload = {"at": iso(at), "closed": closed, "default": default, "gone": lost, "name": name}
                    self.writer.append(EntryKind.STATUS, None, payload | {"status": id_})

    def status_names(self) -> StatusNames:
        """Names by id, and ids by every name they ever had (renders are cached: contract A.3)."""
        names = schema.status_name.c
        current: dict[StatusId, str] = {}
        ever: dict[str, set[StatusId]] = {}
        for status, name, gone in self.writer.read(select(names.status, names.name, names.gone).order_by(names.seq)):
            ever.setdefault(name, set()).add(status)
            if gone:
                current.pop(status, None)
            else:
                current[status] = name
        return StatusNames(current, {name: frozenset(ids) for name, ids in ever.items()})

    def observe_people(self, names: Mapping[UserId, str], at: datetime) -> None:
        """People's names as seen; a new name is kept beside the old ones. A redacted person stays without a name."""
        with self.batch():
            people = self.writer.projection.people
            for person, name in names.items():
                if people.get(person, "") not in (name, None):
                    self.writer.append(EntryKind.PERSON, None, {"at": iso(at), "name": name, "person": person})

    def person_name(self, person: UserId) -> str | None:
        """The present name; None when the person was never seen, or is redacted."""
        with self.batch():
            return self.writer.projection.people.get(person)

    def observe_projects(self, projects: Mapping[ProjectId, tuple[str, str]], at: datetime) -> None:
        """Each project's identifier and name as seen."""
        with self.batch():
            for project, names in projects.items():
                if self.writer.projection.projects.get(project) != names:
                    payload = {"at": iso(at), "identifier": names[0], "name": names[1], "project": project}
                    self.writer.append(EntryKind.PROJECT, None, payload)

    def observe_types(self, names: Mapping[TypeId, str], at: datetime) -> None:
        """Each ticket type's name as seen."""
        with self.batch():
            for type_, name in names.items():
                if self.writer.projection.types.get(type_) != name:
                    self.writer.append(EntryKind.TYPE, None, {"at": iso(at), "name": name, "type": type_})

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
                    seen[row.project, row.user] = row if known is None else merge(known, row)
            spells = self.writer.projection.spells
            continuous = self.writer.projection.read_at
            for key, row in seen.items():
                spell = spells.get(key)
                now = row.roles, iso(row.created_at), iso(row.updated_at)
                if spell is None or (spell.roles, spell.created_at, spell.changed_at) != now:
                    payload = {"created_at": now[1], "changed_at": now[2], "roles": list(row.roles)}
                    self.writer.append(EntryKind.ROLES, None, payload | whose(key, time))
            for key, spell in list(spells.items()):
                if key[0] not in readable or key in seen:
                    continue
                # Nothing proves an absence over a time in which the project could not be read.
                if spell.roles or spell.last_read != continuous:
                    self.writer.append(EntryKind.ROLES, None, {"roles": []} | whose(key, time))
            self.writer.append(EntryKind.ROLES_READ, None, {"at": time, "readable": sorted(readable)})

    def role_spells(self, project: ProjectId, user: UserId) -> tuple[RoleSpell, ...]:
        """A person's roles in a project, oldest first."""
        spell = schema.role_spell.c
        query = (
            select(spell.roles, spell.changed_at, spell.first_read, spell.last_read)
            .where(spell.person == user, spell.project == project)
            .order_by(spell.seq)
        )
        return tuple(RoleSpell(tuple(orjson.loads(roles)), *rest) for roles, *rest in self.writer.read(query))

    # --- Decisions ---

    def decide(self, decisions: Iterable[Decision]) -> tuple[DecisionId, ...]:
        """Write verdicts down. Each replaces the earlier one about the same change, which stays readable."""
        ids = []
        with self.batch():
            for decision in decisions:
                policy = self.writer.projection.policies.get(decision.policy_hash)
                if policy is None:
                    policy = self.writer.append(
                        EntryKind.POLICY, None, {"at": iso(decision.at), "hash": decision.policy_hash}
                    )
                id_ = self._next_id(decision.at)
                self.writer.append(EntryKind.DECISION, decision.work_package, decision_payload(decision, id_, policy))
                ids.append(id_)
        return tuple(ids)

    def decisions(self, work_package: WorkPackageId) -> dict[ChangeKey, StoredDecision]:
        """The decision that counts for each change of the ticket."""
        decision = schema.decision.c
        query = select_decisions().where(decision.work_package == work_package, decision.current)
        return {stored.change: stored for stored in map(stored_decision, self.writer.read(query))}

    def standing(self, statuses: Collection[StatusName]) -> tuple[Standing, ...]:
        """The visible tickets that stand in one of these statuses, by the last decision about each."""
        decision, ticket = schema.decision.c, schema.ticket.c
        last = (
            select(decision.work_package, func.max(decision.seq).label("seq"))
            .where(decision.current)
            .group_by(decision.work_package)
            .subquery()
        )
        query = (
            select(schema.decision)
            .join(last, last.c.seq == decision.seq)
            .join(schema.ticket, ticket.work_package == decision.work_package)
            .where(decision.target_name.in_(statuses), ticket.vanished.is_(False))
            .order_by(decision.work_package)
        )
        return tuple(
            Standing(
                row.work_package,
                row.project,
                row.type,
                row.target,
                row.target_name,
                row.latest,
                decision_id(row.day, row.number),
            )
            for row in self.writer.read(query)
        )

    def decided(self, action: ActionId) -> tuple[StoredDecision, Objection]:
        """The decision that an action carries out, and its first objection: what is to be explained, come what may."""
        row = schema.action.c
        carried = select(row.decision).where(row.seq == action).scalar_subquery()
        payload = select(schema.entry.c.payload).where(schema.entry.c.seq == carried)
        said = orjson.loads(self.writer.read(payload)[0][0])["objections"][0]
        objection = Objection(
            RuleId(said["rule"]), Mode(said["mode"]), said["sentence"], tuple(said["parties"]), said["source"]
        )
        decision = self.writer.read(select_decisions().where(schema.decision.c.seq == carried))[0]
        return stored_decision(decision), objection

    def due_reviews(self, now: datetime) -> tuple[WorkPackageId, ...]:
        """Tickets with a decision that is to be made again by now."""
        decision = schema.decision.c
        query = (
            select(decision.work_package)
            .where(decision.review_at.is_not(None), decision.current, decision.review_at <= now)
            .distinct()
            .order_by(decision.work_package)
        )
        return tuple(row[0] for row in self.writer.read(query))

    # --- Enforcement ---

    def enforcement(self) -> dict[tuple[RuleId, ProjectId], datetime]:
        """Since when each rule is enforced in each project, where it is."""
        with self.batch():
            return {
                (RuleId(rule), ProjectId(project)): instant(since)
                for (rule, project), (_, since) in self.writer.projection.enforcement.items()
            }

    def begin_enforcement(self, rule: RuleId, project: ProjectId, at: datetime) -> None:
        """From now on, moves may be put back. No news where it has begun already."""
        self._enforce(rule, project, at, True)

    def end_enforcement(self, rule: RuleId, project: ProjectId, at: datetime) -> None:
        """From now on, moves are only reported. No news where nothing is enforced."""
        self._enforce(rule, project, at, False)

    def _enforce(self, rule: RuleId, project: ProjectId, at: datetime, enforced: bool) -> None:
        with self.batch():
            if ((rule, project) in self.writer.projection.enforcement) != enforced:
                payload = {"at": iso(at), "enforced": enforced, "project": project, "rule": rule}
                self.writer.append(EntryKind.ENFORCEMENT, None, payload)

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
            if self.writer.read(taken):
                return None
            day, _, number = intent.decision.rpartition("-")
            found = self.writer.read(
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
            seq = self.writer.append(EntryKind.INTENT, intent.work_package, payload)
            return stored_action(self.writer.read(select_actions().where(action.seq == seq))[0])

    def claim(self, action: ActionId, at: datetime) -> bool:
        """Take an action in hand. False when it has ended, or somebody has it in hand already.

        An outcome that leaves something to do gives it back. What a crashed process had in hand can be claimed again:
        there is one writer, so whatever this ledger has not claimed itself is nobody's.
        """
        with self.batch():
            stored = self.writer.projection.actions.get(action)
            if stored is None or action in self._claimed:
                return False
            self.writer.append(EntryKind.CLAIM, stored.work_package, {"action": action, "at": iso(at)})
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
            stored = self.writer.projection.actions.get(action)
            if stored is None:
                raise ValueError(f"action {action} has ended already, or there is none")
            payload: dict[str, object] = {"action": action, "at": iso(at), "outcome": outcome.value}
            if detail:
                payload["detail"] = detail
            self.writer.append(EntryKind.OUTCOME, stored.work_package, payload)
            self._claimed.discard(action)

    def open_actions(self) -> tuple[StoredAction, ...]:
        """Actions with something left to do, oldest first."""
        action = schema.action.c
        return tuple(
            map(stored_action, self.writer.read(select_actions().where(action.ended_at.is_(None)).order_by(action.seq)))
        )

    def reverts_of(self, work_package: WorkPackageId) -> tuple[StoredAction, ...]:
        """Actions on one ticket whose revert the server accepted, oldest first."""
        action = schema.action.c
        query = select_actions().where(action.work_package == work_package, action.reverted_at.is_not(None))
        return tuple(map(stored_action, self.writer.read(query.order_by(action.reverted_at))))

    def reverts_since(self, since: datetime) -> tuple[RevertCount, ...]:
        """Reverts that the server accepted since then, oldest first."""
        action = schema.action.c
        query = (
            select(action.reverted_at, action.project, action.person, action.work_package)
            .where(action.reverted_at.is_not(None), action.reverted_at >= since)
            .order_by(action.reverted_at)
        )
        return tuple(RevertCount(*row) for row in self.writer.read(query))

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
            if kind is EntryKind.MISSED:
                self._count("polls_missed", cycles if isinstance(cycles := payload.get("cycles"), int) else 1)
            return self.writer.append(kind, work_package, {**payload, "at": iso(at)})

    def events(self, kind: EntryKind, work_package: WorkPackageId) -> tuple[Mapping[str, Any], ...]:
        """What was recorded of this kind about one ticket, oldest first."""
        query = _told(kind).where(fact.c.work_package == work_package).order_by(fact.c.seq)
        return tuple(orjson.loads(payload) for _, payload in self.writer.read(query))

    def last_event(self, kind: EntryKind) -> Mapping[str, object] | None:
        """What was last recorded of this kind; None when nothing was, or it is erased."""
        event = schema.event.c
        last = select(func.max(event.seq)).where(event.kind == kind.value).scalar_subquery()
        rows = self.writer.read(_told(kind).where(fact.c.seq == last))
        return orjson.loads(rows[0][1]) if rows else None

    def last_of(self, kinds: Collection[EntryKind]) -> EntryKind | None:
        """Which of these kinds was recorded last; None when none of them was."""
        event = schema.event.c
        rows = self.writer.read(select(event.kind).where(event.kind.in_(kinds)).order_by(event.seq.desc()).limit(1))
        return EntryKind(rows[0][0]) if rows else None

    def recorded(self, kind: EntryKind, at: datetime) -> bool:
        """Whether an event of this kind happened at this very moment."""
        event = schema.event.c
        return bool(self.writer.read(select(event.seq).where(event.kind == kind.value, event.at == at)))

    def last_publication(self, to: str) -> datetime | None:
        """When a checkpoint was last given there; None when never."""
        event = schema.event.c
        query = _told(EntryKind.PUBLICATION).where(
            fact.c.seq.in_(select(event.seq).where(event.kind == EntryKind.PUBLICATION.value))
        )
        told = (orjson.loads(payload) for _, payload in self.writer.read(query))
        return max((parse_iso(one["at"]) for one in told if one["to"] == to), default=None)

    # --- Inside ---

    def _count(self, key: str, more: int) -> None:
        """Polls since the last checkpoint, which tells their number (``seal``)."""
        self.writer.set_meta(key, str(int(self.writer.meta(key) or 0) + more))

    def _observe(self, readings: Sequence[TicketReading], time: str) -> set[WorkPackageId]:
        fresh: set[WorkPackageId] = set()
        tickets, revisions = self._stored([reading.listed.id for reading in readings])
        for reading in readings:
            listed = reading.listed
            row = (listed.project, listed.status, listed.type, False, True)
            if tickets.get(listed.id) != row:
                tickets[listed.id] = row
                self.writer.append(EntryKind.TICKET, listed.id, ticket_payload(listed, time, synced=True))
            for activity, updated_at, received in reading.activities:
                content = canonical(received)
                mark = digest(content)
                stored = revisions.get((listed.id, activity))
                # A redacted revision has no digest: only a newer updatedAt may bring its text back.
                if stored is None or (stored[0] != updated_at if stored[1] is None else stored[1] != mark):
                    fresh.add(listed.id)
                    payload = b'{"at":"%s","received":%s}' % (time.encode(), content)
                    seq = self.writer.draft(EntryKind.ACTIVITY, listed.id, payload)
                    self.writer.projection.activity(seq, listed.id, activity, updated_at, mark)
                    revisions[listed.id, activity] = updated_at, mark
        return fresh

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
            {id_: tuple(rest) for id_, *rest in self.writer.read(tickets)},
            {(id_, number): (updated_at, mark) for id_, number, updated_at, mark in self.writer.read(revisions)},
        )

    def _next_id(self, at: datetime) -> DecisionId:
        day = at.astimezone(UTC).date()
        if self._day != day:
            decision = schema.decision.c
            last = select(func.max(decision.number)).where(decision.day == int(f"{day:%Y%m%d}"))
            self._number = self.writer.read(last)[0][0] or 0
            self._day = day
        self._number += 1
        return DecisionId(f"{day}-{self._number:04d}")


def _told(kind: EntryKind) -> Select[Any]:
    """Seq and payload of the entries of a kind, as far as they are not erased."""
    return select(fact.c.seq, fact.c.payload).where(fact.c.kind == kind.value)

"""Every question that reports and the dashboard ask of the store: one consistent reading, rows out as values.

It judges and counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    true,
)
from sqlalchemy import type_coerce as as_is

from bridge.domain.model import DecisionId, Kind, Mode, ProjectId, RoleSpell, StatusId, Told, UserId, WorkPackageId
from bridge.store import schema
from bridge.store.chain import START, link
from bridge.store.record import Entry, entries
from bridge.store.rows import (
    NUMBERS,
    Attempt,
    Enforced,
    Event,
    Life,
    Line,
    Listing,
    Outline,
    Overview,
    Remark,
    Ruled,
    Sealed,
    StatusRow,
    Steps,
    Tail,
    as_attempt,
    as_event,
    as_ruled,
    carried_out,
    select_attempts,
    select_events,
    select_ruled,
)
from bridge.store.schema import EntryKind
from bridge.store.views import fact

CHUNK = 500
"""Rows fetched at a time where all rows of a table are read. 2,000 wake the garbage collector each time, for nothing:
a third more time."""

FEW = 2_000
"""Up to so many tickets are asked for by their numbers; for more, reading everything is quicker."""

MOST_WORDS = 10
"""Words that a search goes by; whoever writes more has pasted something."""


TAIL = 20_000
"""Entries over which the chain is checked while somebody waits for a page: an eighth of a second."""


class Snapshot:
    """One consistent reading. Every method is a query; nothing is kept between them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- Names ---

    def statuses(self) -> dict[StatusId, StatusRow]:
        """Every status ever seen, with its present name."""
        t = schema.status_name
        rows = self._connection.execute(select(t.c.status, t.c.name, t.c.is_closed, t.c.gone).order_by(t.c.seq))
        return {StatusId(status): StatusRow(name, closed, gone) for status, name, closed, gone in rows}

    def people(self) -> dict[UserId, str]:
        """Every person ever seen who is not redacted, with their present name."""
        t = schema.person
        rows = self._connection.execute(select(t.c.person, t.c.name).order_by(t.c.seq))
        return {UserId(person): name for person, name in dict(map(tuple, rows)).items() if name is not None}

    def projects(self) -> dict[ProjectId, tuple[str, str]]:
        """Identifier and name of every project ever seen."""
        t = schema.project_name
        rows = self._connection.execute(select(t.c.project, t.c.identifier, t.c.name).order_by(t.c.seq))
        return {ProjectId(project): (identifier, name) for project, identifier, name in rows}

    def types(self) -> dict[int, str]:
        """Name of every ticket type ever seen."""
        t = schema.type_name
        return dict(map(tuple, self._connection.execute(select(t.c.type, t.c.name).order_by(t.c.seq))))

    def role_spells(self) -> dict[tuple[ProjectId, UserId], tuple[RoleSpell, ...]]:
        """Everybody's roles in every project, oldest first."""
        t = schema.role_spell
        query = select(t.c.project, t.c.person, t.c.roles, t.c.changed_at, t.c.first_read, t.c.last_read)
        spells: dict[tuple[ProjectId, UserId], tuple[RoleSpell, ...]] = {}
        for project, person, roles, *times in self._connection.execute(query.order_by(t.c.seq)):
            spell = RoleSpell(tuple(orjson.loads(roles)), *times)
            key = ProjectId(project), UserId(person)
            spells[key] = (*spells.get(key, ()), spell)
        return spells

    # --- Verdicts and reverts ---

    def ruled(
        self,
        verdicts: Collection[str],
        since: datetime | None = None,
        until: datetime | None = None,
        projects: Collection[ProjectId] | None = None,
        *,
        person: UserId | None = None,
    ) -> list[Ruled]:
        """Changes with one of these verdicts, made within ``[since, until)``, the newest first; one person's or all."""
        decision = schema.decision.c
        query = select_ruled().where(decision.current, decision.verdict.in_(verdicts))
        query = _within(query, decision.latest, since, until)
        if projects is not None:
            query = query.where(decision.project.in_(projects))
        if person is not None:
            query = query.where(decision.person == person)
        rows = self._connection.execute(query.order_by(decision.latest.desc(), decision.seq.desc()))
        return [as_ruled(row) for row in rows]

    def outlines(self, verdicts: Collection[str], since: datetime, until: datetime) -> list[Outline]:
        """Of what ``ruled`` tells the least, in the same order."""
        decision, action = schema.decision.c, schema.action.c
        query = (
            select(
                decision.seq,
                decision.verdict,
                decision.rule,
                decision.party,
                decision.person,
                decision.mode,
                action.reverted_at.is_not(None),
            )
            .select_from(schema.decision.outerjoin(schema.action, carried_out()))
            .where(decision.current, decision.verdict.in_(verdicts))
            .order_by(decision.latest.desc(), decision.seq.desc())
        )
        return [Outline(*row) for row in self._connection.execute(_within(query, decision.latest, since, until))]

    def ruled_in(self, seqs: Sequence[int]) -> list[Ruled]:
        """The decisions with these numbers, in this order."""
        found = self._connection.execute(select_ruled().where(schema.decision.c.seq.in_(seqs)))
        rows = {row.seq: row for row in map(as_ruled, found)}
        return [rows[seq] for seq in seqs]

    def exempted(self, since: datetime, until: datetime) -> list[Ruled]:
        """Moves within ``[since, until)`` that a rule would object to but for an exemption, the newest first."""
        decision = schema.decision.c
        query = _within(
            select_ruled().where(decision.current, decision.exemption.is_not(None)), decision.latest, since, until
        )
        return [as_ruled(row) for row in self._connection.execute(query.order_by(decision.latest.desc()))]

    def moves(
        self, since: datetime, until: datetime, projects: Collection[ProjectId] | None = None
    ) -> dict[tuple[str | None, str], int]:
        """How many changes within ``[since, until)`` each party made with each verdict, the bridge's own left out."""
        decision = schema.decision.c
        query = select(decision.party, decision.verdict, func.count()).where(decision.current, ~decision.own)
        query = _within(query, decision.latest, since, until)
        if projects is not None:
            query = query.where(decision.project.in_(projects))
        rows = self._connection.execute(query.group_by(decision.party, decision.verdict))
        return {(party, verdict): count for party, verdict, count in rows}

    def count_moves(self, since: datetime, until: datetime) -> int:
        """How many changes ``moves`` tells of."""
        decision = schema.decision.c
        query = select(func.count()).select_from(schema.decision).where(decision.current, ~decision.own)
        return self._connection.scalar(_within(query, decision.latest, since, until)) or 0

    def attempts(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        projects: Collection[ProjectId] | None = None,
        *,
        states: Collection[str] | None = None,
    ) -> list[Attempt]:
        """Reverts intended within ``[since, until)``, the newest first; all, or those in one of these states."""
        action = schema.action.c
        query = _within(select_attempts(), action.intended_at, since, until)
        if states is not None:
            query = query.where(action.state.in_(states))
        if projects is not None:
            query = query.where(action.project.in_(projects))
        return [as_attempt(row) for row in self._connection.execute(query.order_by(action.intended_at.desc()))]

    def policies(self, since: datetime, until: datetime) -> dict[str, int]:
        """Hashes of the policies under which moves within ``[since, until)`` were judged, and how many moves."""
        decision, policy = schema.decision.c, schema.policy.c
        counted = _within(select(decision.policy, func.count()).where(decision.current), decision.latest, since, until)
        hashes = dict(map(tuple, self._connection.execute(select(policy.seq, policy.hash))))
        found = self._connection.execute(counted.group_by(decision.policy).order_by(func.count().desc()))
        return {hashes[seq]: count for seq, count in found}

    def rules_used(self) -> dict[str, datetime]:
        """When each rule last objected to a move that counts."""
        decision = schema.decision.c
        query = select(decision.rules, func.max(decision.latest)).where(decision.current, decision.rules.is_not(None))
        used: dict[str, datetime] = {}
        for rules, last in self._connection.execute(query.group_by(decision.rules)):
            for rule in orjson.loads(rules):
                used[rule] = max(last, used.get(rule, last))
        return used

    def enforced(self) -> list[Enforced]:
        """When each rule was enforced in each project."""
        t = schema.enforcement
        rows = self._connection.execute(select(t.c.rule, t.c.project, t.c.since, t.c.until).order_by(t.c.seq))
        return [Enforced(rule, ProjectId(project), since, until) for rule, project, since, until in rows]

    # --- Lives ---

    def steps(self, projects: Collection[ProjectId] | None = None) -> Iterator[Steps]:
        """Every status change that counts, many at a time."""
        decision = schema.decision.c
        query = (
            select(
                decision.seq,
                decision.work_package,
                decision.project,
                as_is(decision.kind == Kind.CREATION.value, Integer),
                func.coalesce(decision.target, -1),
                func.coalesce(decision.person, -1),
                decision.party,
                as_is(decision.own, Integer),
                as_is(decision.latest, BigInteger),
                cast(decision.day, BigInteger) * NUMBERS + decision.number,
            )
            .where(decision.current)
            .order_by(decision.work_package, decision.latest, decision.activity, decision.part)
        )
        if projects is not None:
            query = query.where(decision.project.in_(projects))
        for rows in self._stream(query):
            yield Steps(*zip(*rows, strict=True))

    def put_back(self) -> frozenset[int]:
        """Seqs of the decisions that count about moves that were put back."""
        decision, action = schema.decision.c, schema.action.c
        query = (
            select(decision.seq)
            .join_from(schema.action, schema.decision, carried_out())
            .where(decision.current, action.reverted_at.is_not(None))
        )
        return frozenset(self._connection.execute(query).scalars())

    def changes(self) -> Iterator[Told]:
        """Every status change that counts, ticket by ticket, each ticket's in order: what ``policy replay`` judges.

        Those that nobody could judge for what they are stay in doubt. What only the policy or the roles left open
        does not.
        """
        decision = schema.decision.c
        of_roles = or_(*(decision.reason.startswith(words) for words in ("the person", "the memberships")))
        open_then = and_(decision.verdict == "undecided", decision.party.is_(None), ~of_roles)
        put_back = case((decision.mode == Mode.ENFORCE.value, "put back"), else_="reported")
        columns = {
            **{name: column for name, column in decision.items() if name in Told._fields},
            "own": as_is(decision.own, Integer),
            "doubt": case((open_then, decision.reason)),
            "earliest": as_is(decision.earliest, BigInteger),
            "latest": as_is(decision.latest, BigInteger),
            "decided": case((decision.verdict == "illegal", put_back), else_=decision.verdict),
        }
        query = select(*(columns[name] for name in Told._fields)).where(decision.current)
        order = (decision.work_package, decision.latest, decision.activity, decision.part)
        for rows in self._stream(query.order_by(*order)):
            yield from map(Told._make, rows)

    def commented(self, work_packages: Collection[int]) -> Iterator[tuple[int, Mapping[str, object]]]:
        """Ticket and last received form of each activity of these tickets that holds a comment, in order."""
        for some in _chunks(sorted(work_packages)):
            for work_package, _, payload in self._activities(_has_comment, some):
                yield work_package, orjson.loads(payload)["received"]

    def spelling(self) -> dict[StatusId, str]:
        """Statuses as policies spell them, by what was decided last about each."""
        decision = schema.decision.c
        last = select(func.max(decision.seq)).where(decision.target_name.is_not(None)).group_by(decision.target)
        query = select(decision.target, decision.target_name).where(decision.seq.in_(last))
        return {StatusId(status): name for status, name in self._connection.execute(query)}

    def vanished(self) -> dict[int, int]:
        """When tickets went out of sight, for those that are; in microseconds since the epoch."""
        t = schema.ticket.c
        query = select(t.work_package, as_is(t.changed_at, BigInteger)).where(t.vanished)
        return dict(map(tuple, self._connection.execute(query)))

    def tickets(self) -> Iterator[Listing]:
        """Every ticket ever seen, as last listed."""
        t = schema.ticket.c
        query = select(t.work_package, t.project, t.status, t.type, t.vanished, t.synced).order_by(t.work_package)
        for rows in self._stream(query):
            yield from map(Listing._make, rows)

    def remarks(self, work_packages: Container[int] | None = None) -> Iterator[Remark]:
        """Every comment, or those in these tickets, as it stands now. OpenProject's own notes are among them."""
        for work_package, seq, payload in self._activities(_has_comment):
            if work_packages is not None and work_package not in work_packages:
                continue
            received = orjson.loads(payload)["received"]
            at = schema.microseconds(datetime.fromisoformat(received["createdAt"]))
            yield Remark(seq, work_package, received["user"], at, received["comment"])

    def lines(self, labels: Collection[str], work_packages: Collection[int] | None = None) -> Iterator[Line]:
        """What activities, of all tickets or of these, say about the attributes with these labels."""
        if not labels:
            return

        def says(payload: Any) -> ColumnElement[bool]:
            return or_(*(payload.contains(f"<strong>{label}</strong>", autoescape=True) for label in labels))

        wanted = None if work_packages is None else frozenset(work_packages)
        for some in [None] if wanted is None or len(wanted) > FEW else _chunks(sorted(wanted)):
            for work_package, _, payload in self._activities(says, some):
                if wanted is not None and work_package not in wanted:
                    continue
                received = orjson.loads(payload)["received"]
                at = schema.microseconds(
                    datetime.fromisoformat(received["createdAt"])
                )  # the other moves with a comment
                yield Line(work_package, at, received["details"])

    def _activities(
        self, condition: Callable[[Any], ColumnElement[bool]], work_packages: Collection[int] | None = None
    ) -> Iterator[tuple[int, int, str]]:
        """Ticket, seq and payload of the last revision of each activity whose payload meets the condition.

        In order of ticket and activity, what is left of erased ones last. Not by the ``fact`` view, which reads every
        payload twice.
        """
        activity, entry, later = schema.activity.c, schema.entry.c, schema.activity.alias().c
        # Not by the greatest seq of each: that would hold them all, and sort the payloads again.
        is_last = ~(
            select(later.seq)
            .where(
                later.work_package == activity.work_package,
                later.activity == activity.activity,
                later.seq > activity.seq,
            )
            .exists()
        )
        if work_packages is not None:
            is_last = and_(activity.work_package.in_(work_packages), is_last)
        whole = (
            select(activity.work_package, activity.seq, entry.payload)
            .join_from(schema.activity, schema.entry, entry.seq == activity.seq)
            .where(condition(entry.payload), is_last)
            .order_by(activity.work_package, activity.activity)
        )
        for rows in self._stream(whole):
            yield from rows
        stand_ins = select(entry.stands_for).where(entry.stands_for.is_not(None))
        if self._connection.execute(stand_ins.limit(1)).first() is not None:
            erased = (
                select(activity.work_package, activity.seq, fact.c.payload)
                .join_from(schema.activity, fact, fact.c.seq == activity.seq)
                .where(activity.seq.in_(stand_ins), condition(fact.c.payload), is_last)
            )
            yield from self._connection.execute(erased)

    # --- Events and the record itself ---

    def events(
        self,
        kinds: Collection[EntryKind],
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        work_package: WorkPackageId | None = None,
    ) -> list[Event]:
        """What was recorded of these kinds within ``[since, until)``, oldest first."""
        t = schema.event.c
        query = _within(select_events().where(t.kind.in_([kind.value for kind in kinds])), t.at, since, until)
        if work_package is not None:
            query = query.where(t.work_package == work_package)
        return [as_event(row) for row in self._connection.execute(query.order_by(t.seq))]

    def last_event(self, kind: EntryKind, containing: str = "") -> Event | None:
        """The last event of a kind whose payload holds this piece of canonical JSON."""
        t = schema.event.c
        query = select_events().where(t.kind == kind.value).order_by(t.seq.desc()).limit(1)
        if containing:
            query = query.where(schema.entry.c.payload.contains(containing, autoescape=True))
        row = self._connection.execute(query).first()
        return None if row is None else as_event(row)

    def checkpoints(self, since: datetime | None = None, until: datetime | None = None) -> list[Sealed]:
        """Signed tree heads made within ``[since, until)``, oldest first."""
        t = schema.checkpoint.c
        query = _within(select(t.size, t.at, t.root, t.token.is_not(None)), t.at, since, until)
        return [Sealed(*row) for row in self._connection.execute(query.order_by(t.size))]

    def first_time(self, kind: EntryKind) -> datetime | None:
        """When something of this kind was first recorded; None when it never was."""
        t = schema.event.c
        found: datetime | None = self._connection.scalar(select(func.min(t.at)).where(t.kind == kind.value))
        return found

    def count_gaps(self) -> int:
        """Changes that the chain of a ticket's statuses needs and no activity shows."""
        t = schema.decision.c
        query = select(func.count()).where(t.current, t.kind == Kind.GAP.value)
        return self._connection.scalar(query) or 0

    def check_tail(self, most: int = TAIL) -> Tail:
        """The chain from the last checkpoint on, over ``most`` entries at most. ``audit.verify`` checks everything."""
        size = self.size()
        covered = self._connection.scalar(select(func.max(schema.checkpoint.c.size))) or 0
        start = max(covered, size - most)
        entry = schema.entry.c
        chain = START if start == 0 else self._connection.scalar(select(entry.chain).where(entry.seq == start))
        checked, first_bad = 0, None
        # Read to the end in any case: a server's cursor must not be left open.
        for each in entries(self._connection, select(schema.entry).where(entry.seq > start).order_by(entry.seq)):
            if first_bad is not None:
                continue
            if chain is None or not _follows(chain, each, start + checked + 1):
                first_bad = each.seq
                continue
            chain = each.chain
            checked += 1
        return Tail(checked, first_bad)

    def size(self) -> int:
        """How many entries the record has."""
        return self._connection.scalar(select(func.max(schema.entry.c.seq))) or 0

    def watermark(self) -> datetime | None:
        """Up to when the server's changes have been read."""
        meta = schema.meta.c
        found = self._connection.scalar(select(meta.value).where(meta.key == "watermark"))
        return None if found is None else datetime.fromisoformat(found)

    def meta(self, key: str) -> str | None:
        """A piece of operating state."""
        found: str | None = self._connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == key))
        return found

    def overview(self) -> Overview:
        """How things stand."""
        action, ticket, seal = schema.action.c, schema.ticket.c, schema.checkpoint.c
        opened = self._connection.execute(select_attempts().where(action.ended_at.is_(None)).order_by(action.seq))
        tickets = self._connection.execute(
            select(ticket.vanished, ticket.synced, func.count()).group_by(ticket.vanished, ticket.synced)
        ).all()
        sealed = self._connection.execute(
            select(seal.size, seal.at, seal.root, seal.token.is_not(None)).order_by(seal.size.desc()).limit(1)
        ).first()
        return Overview(
            watermark=self.watermark(),
            last_cycle=self.last_event(EntryKind.CYCLE),
            last_snapshot=self.last_event(EntryKind.CYCLE, '"snapshot":true'),
            open_actions=tuple(map(as_attempt, opened)),
            tickets=sum(count for *_, count in tickets),
            vanished=sum(count for vanished, _, count in tickets if vanished),
            unsynced=sum(count for vanished, synced, count in tickets if not synced and not vanished),
            entries=self.size(),
            checkpoint=None if sealed is None else Sealed(*sealed),
            enforced=tuple(row for row in self.enforced() if row.until is None),
        )

    def verdicts(self) -> dict[str, int]:
        """How many changes count as allowed, illegal, undecided."""
        decision = schema.decision.c
        counted = select(decision.verdict, func.count()).where(decision.current).group_by(decision.verdict)
        return dict(map(tuple, self._connection.execute(counted)))

    # --- Finding tickets ---

    def find_tickets(self, words: str, *, limit: int, offset: int = 0) -> list[Listing]:
        """Tickets that have all of these words in the names of their project, type and status, the newest first."""
        t = schema.ticket.c
        query = select(t.work_package, t.project, t.status, t.type, t.vanished, t.synced).where(self._named(words))
        rows = self._connection.execute(query.order_by(t.work_package.desc()).limit(limit).offset(offset))
        return [Listing(*row) for row in rows]

    def count_tickets(self, words: str) -> int:
        """How many tickets ``find_tickets`` finds without a limit."""
        return self._connection.scalar(select(func.count()).select_from(schema.ticket).where(self._named(words))) or 0

    def has_ticket(self, work_package: WorkPackageId) -> bool:
        """Whether a ticket was ever seen."""
        t = schema.ticket.c
        return self._connection.scalar(select(t.seq).where(t.work_package == work_package)) is not None

    def _named(self, words: str) -> ColumnElement[bool]:
        """Names are few and tickets many: they are looked up here, and tickets by id."""
        t = schema.ticket.c
        named = (
            (t.project, {id_: " ".join(names) for id_, names in self.projects().items()}),
            (t.type, self.types()),
            (t.status, {id_: row.name for id_, row in self.statuses().items()}),
        )
        found = (
            or_(*(t_id.in_([id_ for id_, name in names.items() if word in name.casefold()]) for t_id, names in named))
            for word in words.casefold().split()[:MOST_WORDS]
        )
        return and_(true(), *found)

    # --- One ticket ---

    def life(self, work_package: WorkPackageId) -> Life | None:
        """All that is known about one ticket; None when it was never seen."""
        ticket, decision, action = schema.ticket.c, schema.decision.c, schema.action.c
        row = self._connection.execute(select(schema.ticket).where(ticket.work_package == work_package)).first()
        if row is None:
            return None
        decisions = self._connection.execute(
            select_ruled()
            .where(decision.work_package == work_package)
            .order_by(decision.latest, decision.activity, decision.part, decision.seq)
        )
        attempts = self._connection.execute(
            select_attempts().where(action.work_package == work_package).order_by(action.seq)
        )
        ruled = tuple(map(as_ruled, decisions))
        tried = tuple(map(as_attempt, attempts))
        status = None if row.status is None else self.statuses().get(row.status)
        return Life(
            ticket=Listing(row.work_package, row.project, row.status, row.type, row.vanished, row.synced),
            project=self.projects().get(ProjectId(row.project), ("", f"#{row.project}"))[1],
            type=self.types().get(row.type, ""),
            status="" if status is None else status.name,
            first_seen=row.first_seen,
            reason=row.reason or "",
            decisions=ruled,
            attempts=tried,
            events=tuple(self.events(list(schema.EVENTS), work_package=work_package)),
            explanations=self._explanations(work_package, tried),
            alternatives=self.alternatives([each for each in ruled if each.verdict == "illegal"]),
        )

    def alternatives(self, ruled: Sequence[Ruled]) -> dict[DecisionId, tuple[str, ...]]:
        """Where the persons who made these illegal moves could have gone instead."""
        ids = {each.seq: each.id for each in ruled}
        found: dict[DecisionId, tuple[str, ...]] = {}
        for chunk in _chunks(list(ids)):
            for seq, payload in self._connection.execute(
                select(fact.c.seq, fact.c.payload).where(fact.c.seq.in_(chunk))
            ):
                found[ids[seq]] = tuple(orjson.loads(payload).get("alternatives", ()))
        return found

    def _explanations(self, work_package: WorkPackageId, attempts: Sequence[Attempt]) -> dict[DecisionId, str]:
        """Comments that carry a decision's marker (an HTML comment, contract A.6), without the marker."""
        explained = [attempt.decision for attempt in attempts if attempt.explained_at is not None]
        if not explained:
            return {}
        found: dict[DecisionId, str] = {}
        for _, _, payload in self._activities(lambda payload: payload.contains("<!-- bridge:"), [work_package]):
            comment = orjson.loads(payload)["received"]["comment"]
            for decision in explained:
                if decision in comment:
                    found[decision] = comment.partition("<!--")[0].strip()
        return found

    def _stream(self, query: Select[Any]) -> Iterator[Sequence[Any]]:
        # SQLite's cursor streams by itself; PostgreSQL's driver must be told to, which costs a buffer for each row.
        if self._connection.dialect.name == "sqlite":
            return self._connection.execute(query).partitions(CHUNK)
        return self._connection.execute(query.execution_options(yield_per=CHUNK)).partitions()


# --- Pieces of queries ----------------------------------------------------------------------------------------------


def _follows(chain: bytes, entry: Entry, seq: int) -> bool:
    """Whether an entry is the one with this number and continues this chain."""
    try:
        return entry.seq == seq and link(chain, entry.leaf()) == entry.chain
    except ValueError:  # a row that cannot be hashed at all
        return False


def _has_comment(payload: Any) -> ColumnElement[bool]:
    """Canonical JSON: this is how an empty comment is spelt, and no text inside a string can look like it."""
    found: ColumnElement[bool] = payload.not_like('%"comment":"",%')
    return found


def _within(query: Select[Any], column: Any, since: datetime | None, until: datetime | None) -> Select[Any]:
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column < until)


def _chunks(items: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

"""From entries to the rows of the narrow tables. The ledger applies it to each entry as it is written, a rebuild to all
entries in order: the same code, so that a projection can say nothing that the entries do not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Connection, Table, bindparam, false, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from bridge.store import schema
from bridge.store.canonical import canonical
from bridge.store.database import streamed
from bridge.store.schema import LISTED, EntryKind, microseconds

Row: TypeAlias = tuple[object, ...]
Payload: TypeAlias = Mapping[str, Any]

SET_META = "set meta"
UPSERT_TICKET = "upsert ticket"
SUPERSEDE_DECISION = "supersede decision"
EXTEND_SPELL = "extend spell"
END_SPELL = "end spell"
UPDATE_ACTION = "update action"
END_ENFORCEMENT = "end enforcement"
END_HOLD = "end hold"

Statement: TypeAlias = Table | str

ENDS = frozenset({"explained", "refused", "given_up", "superseded"})
"""Outcomes after which nothing is left to do."""


def digest(content: bytes) -> bytes:
    """Tells one revision's content from another's; not evidence, so eight bytes do."""
    return sha256(content).digest()[:8]


@lru_cache(256)  # the same few times over and over within a transaction
def iso(at: datetime) -> str:
    """A time as payloads spell it: UTC, in milliseconds where that is exact, as OpenProject prints its own."""
    return at.isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds").replace("+00:00", "Z")


def parse_iso(at: str) -> datetime:
    """The time that ``iso`` wrote."""
    return datetime.fromisoformat(at)


@lru_cache(256)
def _us(at: str) -> int:
    return microseconds(datetime.fromisoformat(at))


def _us_or_none(at: str | None) -> int | None:
    return None if at is None else _us(at)


@dataclass(frozen=True, slots=True)
class Spell:
    """A current row of ``role_spell``."""

    seq: int
    roles: tuple[str, ...]
    created_at: str | None
    changed_at: str | None
    last_read: int


@dataclass(frozen=True, slots=True)
class OpenAction:
    """A row of ``action`` that is not ended."""

    seq: int
    work_package: int
    state: str
    conflicts: int
    detail: str | None
    claimed_at: int | None
    reverted_at: int | None
    explained_at: int | None


class Projection:
    """The rows that entries call for, and the little that must be remembered to tell them."""

    def __init__(self) -> None:
        self.rows: dict[Statement, list[Row]] = {}
        """Rows waiting to be written, in order within each statement. Inserts come before updates."""
        self.people: dict[int, str | None] = {}
        self.statuses: dict[int, tuple[str, bool, bool, bool]] = {}
        self.projects: dict[int, tuple[str, str]] = {}
        self.types: dict[int, str] = {}
        self.spells: dict[tuple[int, int], Spell] = {}
        self.read_at: int | None = None
        """When memberships were last read, of whatever projects."""
        self.policies: dict[str, int] = {}
        self.actions: dict[int, OpenAction] = {}
        self.enforcement: dict[tuple[str, int], tuple[int, int]] = {}
        self.holds: dict[int | None, int] = {}
        """Legal holds in force: ticket (None: everything) to the entry that laid it on."""
        self._readings: dict[str, Callable[[int, int, Payload], None]] = {
            EntryKind.ACTIVITY: self._activity,
            EntryKind.TICKET: self._ticket,
            EntryKind.VANISHED: self._vanished,
            EntryKind.STATUS: self._status,
            EntryKind.PERSON: self._person,
            EntryKind.PROJECT: self._project,
            EntryKind.TYPE: self._type,
            EntryKind.ROLES: self._roles,
            EntryKind.ROLES_READ: self._roles_read,
            EntryKind.POLICY: self._policy,
            EntryKind.DECISION: self._decision,
            EntryKind.ENFORCEMENT: self._enforcement,
            EntryKind.LEGAL_HOLD: self._legal_hold,
            EntryKind.INTENT: self._intent,
            EntryKind.CLAIM: self._claim,
            EntryKind.OUTCOME: self._outcome,
        }

    def load(self, connection: Connection) -> None:
        """Remember what the tables say. The caller's transaction."""
        self.rows.clear()
        t = schema
        self.people = {row.person: row.name for row in connection.execute(select(t.person).order_by(t.person.c.seq))}
        self.statuses = {
            row.status: (row.name, row.is_closed, row.is_default, row.gone)
            for row in connection.execute(select(t.status_name).order_by(t.status_name.c.seq))
        }
        self.projects = {
            row.project: (row.identifier, row.name)
            for row in connection.execute(select(t.project_name).order_by(t.project_name.c.seq))
        }
        self.types = {row.type: row.name for row in connection.execute(select(t.type_name).order_by(t.type_name.c.seq))}
        self.spells = {
            (row.project, row.person): Spell(
                row.seq,
                tuple(orjson.loads(row.roles)),
                None if row.created_at is None else iso(row.created_at),
                None if row.changed_at is None else iso(row.changed_at),
                microseconds(row.last_read),
            )
            for row in connection.execute(select(t.role_spell).where(t.role_spell.c.current))
        }
        read_at = connection.scalar(select(func.max(t.event.c.at)).where(t.event.c.kind == EntryKind.ROLES_READ))
        self.read_at = None if read_at is None else microseconds(read_at)
        self.policies = {row.hash: row.seq for row in connection.execute(select(t.policy))}
        self.actions = {
            row.seq: OpenAction(
                row.seq,
                row.work_package,
                row.state,
                row.conflicts,
                row.detail,
                *(
                    None if at is None else microseconds(at)
                    for at in (row.claimed_at, row.reverted_at, row.explained_at)
                ),
            )
            for row in connection.execute(select(t.action).where(t.action.c.ended_at.is_(None)))
        }
        self.holds = {
            row.work_package: row.seq
            for row in connection.execute(select(t.legal_hold).where(t.legal_hold.c.until.is_(None)))
        }
        self.enforcement = {
            (row.rule, row.project): (row.seq, microseconds(row.since))
            for row in connection.execute(select(t.enforcement).where(t.enforcement.c.until.is_(None)))
        }

    def apply(self, seq: int, kind: str, work_package: int | None, payload: Payload) -> None:
        """Add the rows that this entry calls for. Entries come in the order of ``seq``."""
        if kind in LISTED:
            self._add(schema.event, (seq, kind, work_package, _us(payload["at"])))
        reading = self._readings.get(kind)
        if reading is not None:
            reading(seq, work_package or 0, payload)

    def activity(self, seq: int, work_package: int, activity: int, updated_at: str, mark: bytes | None) -> None:
        """``apply`` for an activity whose ``digest`` is known already; None for a redacted one."""
        self._add(schema.activity, (work_package, activity, seq, updated_at, mark))

    def _add(self, statement: Statement, row: Row) -> None:
        waiting = self.rows.get(statement)
        if waiting is None:
            self.rows[statement] = [row]
        else:
            waiting.append(row)

    def _activity(self, seq: int, work_package: int, payload: Payload) -> None:
        received = payload["received"]
        mark = None if payload.get("redacted") else digest(canonical(received))
        self.activity(seq, work_package, received["id"], received["updatedAt"], mark)

    def _ticket(self, seq: int, work_package: int, payload: Payload, vanished: bool = False) -> None:
        at = _us(payload["at"])
        self._add(
            UPSERT_TICKET,
            (
                work_package,
                seq,
                payload["project"],
                payload.get("status"),
                payload.get("type"),
                vanished,
                payload["synced"],
                payload.get("reason"),
                at,
                at,
            ),
        )

    def _vanished(self, seq: int, work_package: int, payload: Payload) -> None:
        self._ticket(seq, work_package, payload, vanished=True)

    def _status(self, seq: int, _: int, payload: Payload) -> None:
        status = payload["status"]
        self.statuses[status] = (payload["name"], payload["closed"], payload["default"], payload["gone"])
        self._add(schema.status_name, (seq, status, *self.statuses[status], _us(payload["at"])))

    def _person(self, seq: int, _: int, payload: Payload) -> None:
        self.people[payload["person"]] = payload["name"]
        self._add(schema.person, (seq, payload["person"], payload["name"], _us(payload["at"])))

    def _project(self, seq: int, _: int, payload: Payload) -> None:
        names = (payload["identifier"], payload["name"])
        self.projects[payload["project"]] = names
        self._add(schema.project_name, (seq, payload["project"], *names, _us(payload["at"])))

    def _type(self, seq: int, _: int, payload: Payload) -> None:
        self.types[payload["type"]] = payload["name"]
        self._add(schema.type_name, (seq, payload["type"], payload["name"], _us(payload["at"])))

    def _policy(self, seq: int, _: int, payload: Payload) -> None:
        if payload["hash"] not in self.policies:
            self.policies[payload["hash"]] = seq
            self._add(schema.policy, (seq, payload["hash"]))

    def _roles(self, seq: int, _: int, payload: Payload) -> None:
        key = payload["project"], payload["person"]
        at = _us(payload["at"])
        before = self.spells.get(key)
        if before is not None:
            self._add(END_SPELL, (before.seq,))
        spell = Spell(seq, tuple(payload["roles"]), payload.get("created_at"), payload.get("changed_at"), at)
        self.spells[key] = spell
        self._add(
            schema.role_spell,
            (
                seq,
                *key,
                canonical_list(spell.roles),
                _us_or_none(spell.created_at),
                _us_or_none(spell.changed_at),
                at,
                at,
                True,
            ),
        )

    def _roles_read(self, _seq: int, _: int, payload: Payload) -> None:
        at = self.read_at = _us(payload["at"])
        readable = frozenset(payload["readable"])
        for key, spell in self.spells.items():
            if key[0] in readable and spell.last_read < at:
                self.spells[key] = replace(spell, last_read=at)
                self._add(EXTEND_SPELL, (at, spell.seq))

    def _decision(self, seq: int, work_package: int, payload: Payload) -> None:
        objections = payload.get("objections", ())
        first = objections[0] if objections else {}
        person = payload.get("person")
        day, _, number = payload["id"].rpartition("-")
        earliest = _us(payload["earliest"])
        self._add(
            schema.decision,
            (
                seq,
                int(day.replace("-", "")),
                int(number),
                work_package,
                payload["project"],
                payload.get("type", ""),
                payload["activity"],
                payload["part"],
                payload["kind"],
                payload.get("origin"),
                payload.get("target"),
                payload.get("origin_name"),
                payload.get("target_name"),
                person,
                None if person is None else self.people.get(person),
                payload.get("party"),
                payload.get("own", False),
                payload["verdict"],
                first.get("rule"),
                canonical_list([objection["rule"] for objection in objections]) if objections else None,
                first.get("mode"),
                payload.get("reason", ""),
                canonical(first["sentence"]).decode() if first else None,
                payload.get("exemption"),
                payload["policy"],
                earliest,
                _us(payload["latest"]) if "latest" in payload else earliest,
                _us(payload["at"]),
                _us_or_none(payload.get("review_at")),
                True,
            ),
        )
        self._add(SUPERSEDE_DECISION, (work_package, payload["activity"], payload["part"], seq))

    def _enforcement(self, seq: int, _: int, payload: Payload) -> None:
        key = payload["rule"], payload["project"]
        at = _us(payload["at"])
        if payload["enforced"]:
            self.enforcement[key] = seq, at
            self._add(schema.enforcement, (seq, *key, at, None))
        else:
            begun, _ = self.enforcement.pop(key)
            self._add(END_ENFORCEMENT, (at, begun))

    def _legal_hold(self, seq: int, work_package: int, payload: Payload) -> None:
        key = work_package or None
        at = _us(payload["at"])
        if payload["held"]:
            self.holds[key] = seq
            self._add(schema.legal_hold, (seq, key, at, None))
        else:
            self._add(END_HOLD, (at, self.holds.pop(key)))

    def _intent(self, seq: int, work_package: int, payload: Payload) -> None:
        action = OpenAction(seq, work_package, "intended", 0, None, None, None, None)
        self.actions[seq] = action
        self._add(
            schema.action,
            (
                seq,
                payload["decision"],
                work_package,
                payload["project"],
                payload.get("person"),
                payload["activity"],
                payload["part"],
                payload["origin"],
                payload["target"],
                payload.get("lock_version"),
                action.state,
                action.conflicts,
                None,
                _us(payload["at"]),
                None,
                None,
                None,
                None,
            ),
        )

    def _claim(self, _seq: int, _: int, payload: Payload) -> None:
        action = self.actions.get(payload["action"])
        if action is None:
            return  # its intent is older than retention keeps
        state = "claimed" if action.reverted_at is None else action.state
        self._act(replace(action, state=state, claimed_at=_us(payload["at"])), None)

    def _outcome(self, _seq: int, _: int, payload: Payload) -> None:
        action = self.actions.get(payload["action"])
        if action is None:
            return
        at = _us(payload["at"])
        outcome = payload["outcome"]
        detail = payload.get("detail")
        action = replace(action, state=outcome, detail=None if detail is None else canonical_text(detail))
        if outcome in ("reverted", "explained") and action.reverted_at is None:
            action = replace(action, reverted_at=at)
        if outcome == "explained":
            action = replace(action, explained_at=at)
        if outcome == "conflict":
            action = replace(action, conflicts=action.conflicts + 1)
        self._act(action, at if outcome in ENDS else None)

    def _act(self, action: OpenAction, ended_at: int | None) -> None:
        if ended_at is None:
            self.actions[action.seq] = action
        else:
            del self.actions[action.seq]
        self._add(
            UPDATE_ACTION,
            (
                action.state,
                action.conflicts,
                action.detail,
                action.claimed_at,
                action.reverted_at,
                action.explained_at,
                ended_at,
                action.seq,
            ),
        )


def canonical_list(items: Iterable[str]) -> str:
    """A JSON array of strings."""
    return orjson.dumps(list(items)).decode()


def canonical_text(value: object) -> str:
    """Any JSON value as text."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


# --- Writing the rows -----------------------------------------------------------------------------------------------


def prepare(dialect: Dialect) -> dict[Statement, str]:
    """The SQL of every statement, for positional parameters in the order of the rows. Inserts come first."""
    t = schema
    upsert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    ticket, meta = upsert(t.ticket), upsert(t.meta)
    kept = ("work_package", "first_seen")
    sql: dict[Statement, Any] = {table: insert(table) for table in (t.entry, t.tile, *t.PROJECTIONS)}
    sql[SET_META] = meta.on_conflict_do_update(index_elements=["key"], set_={"value": meta.excluded.value})
    sql[UPSERT_TICKET] = ticket.on_conflict_do_update(
        index_elements=["work_package"],
        set_={column.name: ticket.excluded[column.name] for column in t.ticket.c if column.name not in kept},
    )
    decision = t.decision.c
    sql[SUPERSEDE_DECISION] = (
        update(t.decision)
        .values({decision.current: false()})
        .where(
            decision.work_package == bindparam("w"),
            decision.activity == bindparam("a"),
            decision.part == bindparam("p"),
            decision.current,
            decision.seq < bindparam("s"),
        )
    )
    spell = t.role_spell.c
    sql[EXTEND_SPELL] = (
        update(t.role_spell).values({spell.last_read: bindparam("at")}).where(spell.seq == bindparam("s"))
    )
    sql[END_SPELL] = update(t.role_spell).values({spell.current: false()}).where(spell.seq == bindparam("s"))
    columns = ("state", "conflicts", "detail", "claimed_at", "reverted_at", "explained_at", "ended_at")
    sql[UPDATE_ACTION] = (
        update(t.action)
        .values({name: bindparam(f"new_{name}") for name in columns})
        .where(t.action.c.seq == bindparam("s"))
    )
    sql[END_ENFORCEMENT] = (
        update(t.enforcement)
        .values({t.enforcement.c.until: bindparam("at")})
        .where(t.enforcement.c.seq == bindparam("s"))
    )
    hold = t.legal_hold.c
    sql[END_HOLD] = update(t.legal_hold).values({hold.until: bindparam("at")}).where(hold.seq == bindparam("s"))
    return {statement: str(clause.compile(dialect=dialect)) for statement, clause in sql.items()}


def write(connection: Connection, statements: Mapping[Statement, str], rows: dict[Statement, list[Row]]) -> None:
    """Write and forget the waiting rows, inserts first. The caller's transaction."""
    raw: Any = connection.connection.driver_connection
    # On SQLite the driver itself: SQLAlchemy's bookkeeping costs more than the statement. Errors are the same.
    run = raw.executemany if connection.dialect.name == "sqlite" else connection.exec_driver_sql
    for statement in [each for each in statements if each in rows]:
        waiting = rows.pop(statement)
        if waiting:
            run(statements[statement], waiting)


def replay(connection: Connection) -> Iterator[tuple[int, str, int | None, Payload]]:
    """What every entry tells, in order: seq, kind, work package, payload. The caller's transaction."""
    # Where nothing was erased, the view would only cost its merging.
    erased = connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM entry WHERE stands_for IS NOT NULL)").scalar()
    source = "fact" if erased else "entry WHERE payload IS NOT NULL"
    told = streamed(connection, f"SELECT seq, kind, work_package, payload FROM {source} ORDER BY seq")  # noqa: S608
    with contextlib.closing(told):
        for seq, kind, work_package, payload in told:
            yield seq, kind, work_package, orjson.loads(payload)


def rebuild(source: Connection, target: Connection) -> None:
    """Derive every projection from the entries of ``source`` into the empty tables of ``target``."""
    statements = prepare(target.dialect)
    projection = Projection()
    for number, told in enumerate(replay(source), 1):
        projection.apply(*told)
        if number % 1000 == 0:
            write(target, statements, projection.rows)
    write(target, statements, projection.rows)

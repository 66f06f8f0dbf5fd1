"""What is read from the store, as values, and the selects whose rows become them. It runs no query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Select, and_, select

from bridge.domain.model import DecisionId, Kind, Mode, ProjectId, StatusId, UserId, WorkPackageId
from bridge.store import schema
from bridge.store.facts import decision_id
from bridge.store.schema import EntryKind

NUMBERS = 1_000_000
"""A decision's day times this, plus its number, is one number; no day has a million decisions."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A status as the server last listed it."""

    name: str
    is_closed: bool
    gone: bool
    """True when the server no longer lists it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A revert, from intent to explanation."""

    seq: int
    """Its intent's entry."""
    decision: DecisionId
    work_package: WorkPackageId
    project: ProjectId
    person: UserId | None
    rule: str | None
    origin: StatusId
    """Where the illegal move led to."""
    target: StatusId
    """Where the ticket is put back to."""
    state: str
    """``intended``, ``claimed``, or the last outcome."""
    conflicts: int
    detail: str
    moved_at: datetime
    """The latest moment at which the illegal move may have happened."""
    decided_at: datetime
    intended_at: datetime
    reverted_at: datetime | None
    explained_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ruled:
    """A status change with its verdict, as reports tell it."""

    seq: int
    id: DecisionId
    work_package: WorkPackageId
    project: ProjectId
    type: str
    kind: Kind
    origin: StatusId | None
    origin_name: str | None
    """As the policy spelt it then; None where it does not know the status, or there was none."""
    target: StatusId | None
    target_name: str | None
    person: UserId | None
    person_name: str | None
    """As it was when the decision was made."""
    party: str | None
    own: bool
    verdict: str
    rule: str | None
    """The strictest that objects."""
    rules: tuple[str, ...]
    """All that object, the strictest first."""
    mode: Mode | None
    reason: str
    sentence: Mapping[str, str]
    exemption: str | None
    policy: str
    """The policy's hash."""
    earliest: datetime
    latest: datetime
    decided_at: datetime
    current: bool
    """False when a later decision about the same change replaced it."""
    action: int | None
    """Seq of the intent to put it back; None when there is none."""
    action_state: str | None
    reverted_at: datetime | None


class Outline(NamedTuple):
    """What figures about a judged move are made of: a tenth of ``Ruled``, for where a year has thousands."""

    seq: int
    verdict: str
    rule: str | None
    party: str | None
    person: int | None
    mode: str | None
    reverted: bool


class Steps(NamedTuple):
    """Many status changes in columns, ticket by ticket and each ticket's in order: following 100,000 must be quick.

    Where there is none, -1. ``at`` is in microseconds since the epoch.
    """

    seq: Sequence[int]
    work_package: Sequence[int]
    project: Sequence[int]
    created: Sequence[int]
    """1 for a creation, else 0."""
    target: Sequence[int]
    person: Sequence[int]
    party: Sequence[str | None]
    own: Sequence[int]
    """1 for the bridge's own move, else 0."""
    at: Sequence[int]
    decision: Sequence[int]
    """The decision's day and number as one number; divide by ``NUMBERS``."""


class Listing(NamedTuple):
    """A ticket as last listed."""

    work_package: int
    project: int
    status: int | None
    type: int | None
    vanished: bool
    synced: bool


class Remark(NamedTuple):
    """A comment as it stands now. ``at`` is in microseconds since the epoch."""

    seq: int
    work_package: int
    person: int
    at: int
    text: str


class Line(NamedTuple):
    """What an activity says was changed, as rendered: pairs of plain and marked-up text."""

    work_package: int
    at: int
    """When its author began it."""
    details: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was recorded: a cycle, a pause, an appeal."""

    seq: int
    kind: EntryKind
    at: datetime
    work_package: WorkPackageId | None
    details: Mapping[str, Any]
    """Empty once erased."""


@dataclass(frozen=True, slots=True)
class Enforced:
    """When a rule was enforced in a project."""

    rule: str
    project: ProjectId
    since: datetime
    until: datetime | None
    """None while it goes on."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed checkpoint."""

    size: int
    at: datetime
    root: bytes
    timestamped: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """The hash chain over the newest entries, checked."""

    checked: int
    first_bad: int | None
    """The first entry whose chain value does not follow from the one before; None when all do."""


@dataclass(frozen=True, slots=True)
class Overview:
    """How things stand: what ``bridge status`` and the first page of the dashboard show."""

    watermark: datetime | None
    """Everything that the server changed until then has been read."""
    last_cycle: Event | None
    last_snapshot: Event | None
    """The last comparison with every visible ticket."""
    open_actions: tuple[Attempt, ...]
    tickets: int
    vanished: int
    unsynced: int
    """Tickets whose activities could not be read since they were last listed."""
    entries: int
    checkpoint: Sealed | None
    enforced: tuple[Enforced, ...]
    """Only what goes on."""


@dataclass(frozen=True, slots=True)
class Life:
    """All that the ledger holds about one ticket."""

    ticket: Listing
    project: str
    type: str
    status: str
    first_seen: datetime
    reason: str
    """Why it counts as vanished, or could not be read."""
    decisions: tuple[Ruled, ...]
    """By time of the move; replaced ones right before the one that replaced them."""
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    explanations: Mapping[DecisionId, str]
    """The comment that explains a revert, as it stands in the ticket."""
    alternatives: Mapping[DecisionId, tuple[str, ...]]
    """Where the person could have gone instead, by decision."""


# --- From rows to values ---


def carried_out() -> Any:
    """Joins a decision to the intent about the same change."""
    decision, action = schema.decision.c, schema.action.c
    return and_(
        action.work_package == decision.work_package,
        action.activity == decision.activity,
        action.part == decision.part,
    )


def select_ruled() -> Select[Any]:
    """What ``as_ruled`` takes, in its order: names would be looked up 27 times a row."""
    decision, action, policy = schema.decision.c, schema.action.c, schema.policy.c
    return select(
        decision.seq,
        decision.day,
        decision.number,
        decision.work_package,
        decision.project,
        decision.type,
        decision.kind,
        decision.origin,
        decision.origin_name,
        decision.target,
        decision.target_name,
        decision.person,
        decision.person_name,
        decision.party,
        decision.own,
        decision.verdict,
        decision.rule,
        decision.rules,
        decision.mode,
        decision.reason,
        decision.sentence,
        decision.exemption,
        policy.hash,
        decision.earliest,
        decision.latest,
        decision.decided_at,
        decision.current,
        action.seq,
        action.state,
        action.reverted_at,
    ).select_from(
        schema.decision.join(schema.policy, policy.seq == decision.policy).outerjoin(schema.action, carried_out())
    )


def as_ruled(row: Sequence[Any]) -> Ruled:
    """From a row of ``select_ruled``."""
    seq, day, number, work_package, project, type_, kind, origin, origin_name, target, target_name, *rest = row
    person, person_name, party, own, verdict, rule, rules, mode, reason, sentence, *last = rest
    return Ruled(
        seq,
        decision_id(day, number),
        work_package,
        project,
        type_,
        Kind(kind),
        origin,
        origin_name,
        target,
        target_name,
        person,
        person_name,
        party,
        own,
        verdict,
        rule,
        () if rules is None else tuple(orjson.loads(rules)),
        None if mode is None else Mode(mode),
        reason,
        {} if sentence is None else orjson.loads(sentence),
        *last,
    )


def select_attempts() -> Select[Any]:
    """What ``as_attempt`` takes: every intent with its decision."""
    action, decision = schema.action.c, schema.decision.c
    return select(
        schema.action,
        decision.day,
        decision.number,
        decision.rule,
        decision.latest.label("moved_at"),
        decision.decided_at,
    ).join_from(schema.action, schema.decision, decision.seq == action.decision)


def as_attempt(row: Any) -> Attempt:
    """From a row of ``select_attempts``."""
    detail = None if row.detail is None else orjson.loads(row.detail)
    return Attempt(
        seq=row.seq,
        decision=decision_id(row.day, row.number),
        work_package=row.work_package,
        project=row.project,
        person=row.person,
        rule=row.rule,
        origin=row.origin,
        target=row.target,
        state=row.state,
        conflicts=row.conflicts,
        detail=detail if isinstance(detail, str) else "" if detail is None else orjson.dumps(detail).decode(),
        moved_at=row.moved_at,
        decided_at=row.decided_at,
        intended_at=row.intended_at,
        reverted_at=row.reverted_at,
        explained_at=row.explained_at,
        ended_at=row.ended_at,
    )


def select_events() -> Select[Any]:
    """Events with their payloads, and what stands for those that were erased. Not by the ``fact`` view: joined, it
    is made whole for each query.
    """
    t, entry = schema.event.c, schema.entry
    stand_in = entry.alias()
    return select(t.seq, t.kind, t.at, t.work_package, entry.c.payload, stand_in.c.payload.label("left")).select_from(
        schema.event.join(entry, entry.c.seq == t.seq).outerjoin(
            stand_in, and_(stand_in.c.stands_for == t.seq, stand_in.c.payload.is_not(None))
        )
    )


def as_event(row: Any) -> Event:
    """From a row of ``select_events``."""
    details: Mapping[str, Any] = {}
    if row.payload is not None:
        details = orjson.loads(row.payload)
    elif row.left is not None:
        details = orjson.loads(row.left)["payload"]
    # An outcome's own time stands in its payload; the entry's is this machine's.
    at = row.at if "at" not in details else datetime.fromisoformat(details["at"])
    return Event(row.seq, EntryKind(row.kind), at, row.work_package, details)

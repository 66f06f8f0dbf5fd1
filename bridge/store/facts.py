"""What goes into the ledger and what comes out of it: values, and how they are spelt as payloads and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from sqlalchemy import Select, select

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
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Undecided,
    UserId,
    Verdict,
    WorkPackageId,
)
from bridge.store import schema
from bridge.store.projection import iso

ActionId = NewType("ActionId", int)


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
class Standing:
    """A ticket that stands in a status, and since when."""

    work_package: WorkPackageId
    project: ProjectId
    type: str
    status: StatusId
    name: StatusName
    since: datetime
    decision: DecisionId


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


# --- Payloads and rows ----------------------------------------------------------------------------------------------


def present(**values: object) -> dict[str, object]:
    """Without what says nothing, which most payloads would be full of."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def ticket_payload(listed: Listed, at: str, *, synced: bool, reason: str | None = None) -> dict[str, object]:
    """Of ``ticket``, ``vanished``."""
    return present(at=at, project=listed.project, status=listed.status, type=listed.type, synced=synced, reason=reason)


def whose(key: tuple[int, int], at: str) -> dict[str, object]:
    """The part of ``roles`` that names the person and the project."""
    return {"at": at, "project": key[0], "person": key[1]}


def merge(one: Membership, other: Membership) -> Membership:
    """Two rows of one person in one project (should the server ever list both) as one."""
    return replace(
        one,
        roles=tuple(sorted({*one.roles, *other.roles})),
        created_at=min(one.created_at, other.created_at),
        updated_at=max(one.updated_at, other.updated_at),
    )


def decision_payload(decision: Decision, id_: DecisionId, policy: int) -> dict[str, object]:
    """Of ``decision``. ``policy`` is the entry that tells the policy."""
    change = decision.change
    payload = present(
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
            said = present(verdict="allowed", reason=note, exemption=exemption, review_at=review_at and iso(review_at))
        case Undecided(reason):
            said = present(verdict="undecided", reason=reason)
        case Illegal(objections, alternatives, exemption, review_at):
            said = present(exemption=exemption, review_at=review_at and iso(review_at)) | {
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


def decision_id(day: int, number: int) -> DecisionId:
    """As people see it: 20261124 and 42 is 2026-11-24-0042."""
    return DecisionId(f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}-{number:04d}")


def select_decisions() -> Select[Any]:
    """Rows for ``stored_decision``."""
    decision = schema.decision.c
    return select(schema.decision, schema.policy.c.hash).join_from(
        schema.decision, schema.policy, schema.policy.c.seq == decision.policy
    )


def stored_decision(row: Any) -> StoredDecision:
    """The value of such a row."""
    return StoredDecision(
        seq=row.seq,
        id=decision_id(row.day, row.number),
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


def select_actions() -> Select[Any]:
    """Rows for ``stored_action``."""
    action, decision = schema.action.c, schema.decision.c
    return select(schema.action, decision.day, decision.number).join_from(
        schema.action, schema.decision, decision.seq == action.decision
    )


def stored_action(row: Any) -> StoredAction:
    """The value of such a row."""
    return StoredAction(
        id=row.seq,
        decision=decision_id(row.day, row.number),
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

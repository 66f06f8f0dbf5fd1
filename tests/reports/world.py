"""A ledger with a history that a test makes up, and the desk that reports on it.

The history is written through the ledger, as the bridge writes it. ``Move`` says what happened; how it ought to be
counted is the oracle's business.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    Illegal,
    Kind,
    Listed,
    Membership,
    Mode,
    Objection,
    PartyName,
    ProjectId,
    RuleId,
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
from bridge.domain.policy import Policy, load
from bridge.reports import conventions
from bridge.reports.conventions import Conventions
from bridge.reports.desk import Desk, Source
from bridge.reports.language import language
from bridge.reports.period import Period
from bridge.store.facts import Decision, Intent, Outcome, TicketReading
from bridge.store.ledger import Ledger
from bridge.store.queries import Queries

CONFIG = Path(__file__).parents[2] / "config"
POLICY: Policy = load((CONFIG / "cegape.yaml").read_bytes(), "cegape.yaml")
CEGAPE: Conventions = conventions.load((CONFIG / "reports.yaml").read_bytes(), "reports.yaml", POLICY)

STATUS = {name: StatusId(40 + n) for n, name in enumerate(POLICY.statuses)}
NAME = {id_: name for name, id_ in STATUS.items()}
PROJECTS = {ProjectId(11): ("client-alpha", "Client Alpha"), ProjectId(13): ("client-beta", "Client Beta")}
TYPES = {TypeId(20): "Anomalie", TypeId(22): "Assistance"}
STAFF, CLIENTS, BRIDGE, STRANGER = (57, 58), (59, 60), 64, 70
PEOPLE = {57: "Support", 58: "Développement", 59: "Alpha", 60: "Beta", BRIDGE: "Pont", STRANGER: "Inconnue"}
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Move:
    """One status change. ``to`` is a status' name; the first of a ticket creates it unless ``known`` is False."""

    at: datetime
    to: str
    person: int
    party: str | None
    verdict: str = "allowed"
    """allowed, illegal, undecided or exempted."""
    rule: str = "a-rule"
    mode: Mode = Mode.ENFORCE
    put_back: timedelta | None = None
    """After how long the bridge put it back."""
    outcome: Outcome = Outcome.EXPLAINED
    conflicts: int = 0
    """How often somebody changed the ticket while the bridge was about to."""
    own: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A comment on its own."""

    at: datetime
    person: int
    text: str = "Un commentaire."
    details: tuple[tuple[str, str], ...] = ()
    """Attributes set with it: label and value."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket's whole history."""

    id: int
    moves: tuple[Move, ...]
    said: tuple[Said, ...] = ()
    project: int = 11
    type: int = 20
    created: bool = True
    """False: no activity shows the creation."""
    details: tuple[tuple[str, str], ...] = ()
    """Attributes set with the first activity: label and value."""
    vanished: datetime | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What a test tells, and until when OpenProject has been read."""

    tickets: tuple[Ticket, ...]
    watermark: datetime
    now: datetime = field(default=datetime(2026, 11, 24, 17, 0, tzinfo=UTC))


def empty(url: str) -> None:
    """A ledger that knows statuses, people, projects and roles, and no ticket."""
    with Ledger.open(url, now=lambda: LONG_AGO) as ledger, ledger.batch():
        ledger.observe_statuses(
            [Status(STATUS[n], n, POLICY.is_closed(n), n == POLICY.initial) for n in POLICY.statuses], LONG_AGO
        )
        ledger.observe_projects(PROJECTS, LONG_AGO)
        ledger.observe_types(TYPES, LONG_AGO)
        ledger.observe_people({UserId(id_): name for id_, name in PEOPLE.items()}, LONG_AGO)
        for at in (LONG_AGO, datetime(2030, 1, 1, tzinfo=UTC)):
            ledger.observe_memberships(list(_members()), frozenset(PROJECTS), at)


def _members() -> Iterator[Membership]:
    before = LONG_AGO - timedelta(days=1)
    for project in PROJECTS:
        for people, role in ((STAFF, "CEGAPE"), (CLIENTS, "Client")):
            for person in people:
                yield Membership(project, UserId(person), PEOPLE[person], (role,), before, before)


def write(url: str, world: World) -> None:
    """Write the world into an empty ledger."""
    with Ledger.open(url, now=lambda: world.now) as ledger, ledger.batch():
        activity = 0
        for ticket in world.tickets:
            activity = _write_ticket(ledger, ticket, activity, world.now)
        ledger.observe([], at=world.watermark, watermark=world.watermark)


def _write_ticket(ledger: Ledger, ticket: Ticket, activity: int, now: datetime) -> int:
    received = []
    origin: StatusId | None = None
    decisions: list[tuple[Move, Decision]] = []
    for number, move in enumerate(ticket.moves):
        activity += 1
        created = number == 0 and ticket.created
        details = [_line(label, value) for label, value in ticket.details] if number == 0 else []
        received.append(_activity(ticket.id, activity, number, move.person, move.at, move.comment, details))
        change = StatusChange(
            key=ChangeKey(ActivityId(activity), 0),
            kind=Kind.CREATION if created else Kind.MOVE,
            origin=origin,
            target=STATUS[StatusName(move.to)],
            actor=UserId(move.person),
            earliest=move.at,
            latest=move.at,
            maybe_merged=False,
        )
        decision = Decision(
            work_package=WorkPackageId(ticket.id),
            project=ProjectId(ticket.project),
            change=change,
            verdict=_verdict(move),
            party=None if move.party is None else PartyName(move.party),
            policy_hash=POLICY.hash,
            at=now,
            origin=None if origin is None else NAME[origin],
            target=StatusName(move.to),
            own=move.own,
            type=TYPES[TypeId(ticket.type)],
        )
        decisions.append((move, decision))
        origin = change.target
    for said in ticket.said:
        activity += 1
        details = [_line(label, value) for label, value in said.details]
        received.append(_activity(ticket.id, activity, len(received), said.person, said.at, said.text, details))
    listed = Listed(WorkPackageId(ticket.id), ProjectId(ticket.project), origin, TypeId(ticket.type))
    ledger.observe([TicketReading(listed, received)], at=now)
    for (move, decision), id_ in zip(decisions, ledger.decide([d for _, d in decisions]), strict=True):
        if move.put_back is not None or move.outcome is not Outcome.EXPLAINED:
            _put_back(ledger, move, decision, id_)
    if ticket.vanished is not None:
        ledger.vanish(WorkPackageId(ticket.id), at=ticket.vanished, reason="the server no longer shows it")
    return activity


def _put_back(ledger: Ledger, move: Move, decision: Decision, id_: str) -> None:
    target = decision.change.target
    assert target is not None
    at = move.at + (move.put_back or timedelta(minutes=1))
    action = ledger.intend(
        Intent(
            decision=id_,  # type: ignore[arg-type]
            work_package=decision.work_package,
            project=decision.project,
            person=decision.change.actor,
            change=decision.change.key,
            origin=target,
            to=decision.change.origin or STATUS[POLICY.initial],
        ),
        at,
    )
    assert action is not None
    for _ in range(move.conflicts):
        ledger.claim(action.id, at)
        ledger.outcome(action.id, Outcome.CONFLICT, at=at)
    ledger.claim(action.id, at)
    ledger.outcome(action.id, move.outcome, "somebody has moved the ticket since", at=at)


def _verdict(move: Move) -> Verdict:
    sentence = {"fr": "Une règle.", "en": "A rule."}
    match move.verdict:
        case "illegal":
            objection = Objection(RuleId(move.rule), move.mode, sentence, (PartyName("cegape"),), "a source")
            # An enforced rule may be exempted where an observed one objects all the same.
            exemption = "an-exemption" if move.mode is Mode.OBSERVE else None
            return Illegal((objection,), (StatusName("EN ATTENTE"),), exemption)
        case "undecided":
            return Undecided("the person is no member of this project")
        case "exempted":
            return Allowed("exemption an-exemption", exemption="an-exemption")
        case _:
            return Allowed()


def _line(label: str, value: str) -> list[str]:
    return [f"{label} mis à {value}", f"<strong>{label}</strong> mis à <i>{escape(value)}</i>"]


def _activity(
    ticket: int, id_: int, version: int, person: int, at: datetime, comment: str, details: Sequence[Sequence[str]]
) -> tuple[int, str, dict[str, object]]:
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        id_,
        time,
        {
            "_type": "Activity",
            "id": id_,
            "version": version + 1,
            "workPackage": ticket,
            "user": person,
            "createdAt": time,
            "updatedAt": time,
            "comment": comment,
            "details": [list(line) for line in details],
            "internal": False,
        },
    )


@contextlib.contextmanager
def desk_on(
    url: str, period: Period, world: World, *, code: str = "en", held: Conventions = CEGAPE, **more: object
) -> Iterator[Desk]:
    """A desk on this ledger."""
    with Queries(url) as queries, queries.snapshot() as snapshot:
        desk = Desk(
            source=Source(snapshot),
            policy=POLICY,
            conventions=held,
            language=language(code, held.zone),
            period=period,
            now=world.now,
            ticket_url="https://openproject.example.org",
        )
        yield replace(desk, **more)  # type: ignore[arg-type]


def fresh(template: Path, folder: Path) -> Path:
    """A copy of an empty ledger in the place of whatever was there."""
    path = folder / "bridge.db"
    for side in ("", "-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)
    shutil.copy(template, path)
    return path


@contextlib.contextmanager
def reported(template: Path, folder: Path, period: Period, world: World, **more: object) -> Iterator[Desk]:
    """The world written into a fresh copy of an empty ledger, and a desk on it."""
    path = fresh(template, folder)
    write(f"sqlite:///{path}", world)
    with desk_on(f"sqlite:///{path}", period, world, **more) as desk:  # type: ignore[arg-type]
        yield desk

"""Random lives of a ledger: everything that can be written into it, in any order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

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
from bridge.store.ledger import Decision, Intent, Ledger, Outcome, TicketReading
from bridge.store.projection import iso
from bridge.store.schema import EVENTS

T0 = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NAMES = ["Ada Martin", "Bo", "Chloé Élan", 'A "quoted" \\ name', "日本", "😀 Emoji"]
TEXTS = ["", "Bonjour", "Il manque l'annexe\n\nMerci", "<b>&amp;</b>", "😀", "#contestation ce n'est pas juste"]


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = T0) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def live(ledger: Ledger, clock: Clock, dice: random.Random, steps: int = 12) -> None:
    """Some steps of a life. Every kind of entry comes up sooner or later."""
    verbs = [_read, _read, _decide, _decide, _act, _roles, _statuses, _people, _enforce, _vanish, _event, _places]
    _read(ledger, clock.now, dice)
    _decide(ledger, clock.now, dice)
    for _ in range(steps):
        clock.now += timedelta(milliseconds=dice.randint(0, 90_000))
        dice.choice(verbs)(ledger, clock.now, dice)


def _listed(dice: random.Random) -> Listed:
    status = dice.choice([None, StatusId(1), StatusId(2), StatusId(3)])
    return Listed(WorkPackageId(dice.randint(1, 5)), ProjectId(dice.randint(1, 2)), status, TypeId(1))


def _read(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    listed = _listed(dice)
    activities = []
    for number in range(dice.randint(0, 3)):
        id_ = listed.id * 100 + number
        changed = iso(T0 + timedelta(minutes=dice.randint(0, 3)))
        received = {
            "_type": "Activity", "id": id_, "version": number + 1, "workPackage": listed.id, "user": dice.randint(1, 4),
            "createdAt": iso(T0), "updatedAt": changed, "comment": dice.choice(TEXTS), "internal": False,
            "details": [["Statut mis à NOUVEAU", "<strong>Statut</strong> mis à <i>NOUVEAU</i>"]],
        }  # fmt: skip
        activities.append((id_, changed, received))
    ledger.observe([TicketReading(listed, activities)], at=at, watermark=dice.choice([None, at]))


def _verdict(at: datetime, dice: random.Random) -> Verdict:
    objection = Objection(RuleId("who"), dice.choice(list(Mode)), {"fr": "Non.", "en": "No."}, (PartyName("a"),), "law")
    verdicts: list[Verdict] = [
        Allowed(),
        Allowed("the benefit of the doubt", exemption="X-1"),
        Allowed(review_at=at + timedelta(minutes=15)),
        Undecided("the roles are not known"),
        Illegal((objection,), (StatusName("EN COURS"),)),
        Illegal((objection, objection), (), "X-1", at + timedelta(minutes=15)),
    ]
    return dice.choice(verdicts)


def _decide(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    decisions = []
    for _ in range(dice.randint(1, 3)):
        key = ChangeKey(ActivityId(dice.randint(1, 4)), dice.randint(0, 1))
        person = dice.choice([None, UserId(dice.randint(1, 4))])
        latest = at + timedelta(seconds=dice.randint(0, 2))
        change = StatusChange(key, dice.choice(list(Kind)), StatusId(1), StatusId(2), person, at, latest, False)
        decisions.append(
            Decision(
                work_package=WorkPackageId(dice.randint(1, 3)),
                project=ProjectId(1),
                change=change,
                verdict=_verdict(at, dice),
                party=dice.choice([None, PartyName("client")]),
                policy_hash=dice.choice(["one", "other"]),
                at=at,
                origin=StatusName("NOUVEAU"),
                target=dice.choice([None, StatusName("EN COURS")]),
                own=dice.random() < 0.2,
                type=dice.choice(["", "Anomalie"]),
                facts=dice.choice([{}, {"ratio": 0.5, "n": [1, 2]}]),
            )
        )
    ledger.decide(decisions)


def _act(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    for action in ledger.open_actions():
        ledger.claim(action.id, at)
        ledger.outcome(action.id, dice.choice(list(Outcome)), dice.choice(["", "why", {"by": "chain"}]), at=at)  # type: ignore[arg-type]
    for work_package in map(WorkPackageId, (1, 2, 3)):
        for decision in ledger.decisions(work_package).values():
            intent = Intent(
                decision=decision.id,
                work_package=work_package,
                project=decision.project,
                person=decision.person,
                change=decision.change,
                origin=StatusId(2),
                to=StatusId(1),
                lock_version=dice.choice([None, 3]),
            )
            intended = ledger.intend(intent, at)
            if intended is not None:
                ledger.claim(intended.id, at)
                return


def _roles(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    rows = [
        Membership(ProjectId(p), UserId(u), NAMES[u], dice.choice([("Client",), ("CEGAPE", "Client")]), T0, T0)
        for p in (1, 2)
        for u in (1, 2)
        if dice.random() < 0.7
    ]
    ledger.observe_memberships(rows, frozenset(ProjectId(p) for p in (1, 2) if dice.random() < 0.8), at)


def _statuses(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    names = ["NOUVEAU", "EN COURS", "RESOLU"]
    ledger.observe_statuses(
        [
            Status(StatusId(n), dice.choice(names), dice.random() < 0.5, n == 1)
            for n in (1, 2, 3)
            if dice.random() < 0.9
        ],
        at,
    )


def _people(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    ledger.observe_people({UserId(dice.randint(1, 4)): dice.choice(NAMES)}, at)


def _enforce(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    rule, project = RuleId(dice.choice("ab")), ProjectId(dice.randint(1, 2))
    dice.choice([ledger.begin_enforcement, ledger.end_enforcement])(rule, project, at)


def _vanish(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    if dice.random() < 0.5:
        ledger.vanish(WorkPackageId(dice.randint(1, 5)), at=at, reason="404")
    else:
        ledger.unreadable(_listed(dice), at=at, reason="500")


def _event(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    kind = dice.choice(sorted(EVENTS))
    payload = {"hash": dice.choice("xy")} if kind == "policy" else {"by": dice.choice(NAMES), "n": dice.randint(0, 9)}
    ledger.record(kind, payload, at, dice.choice([None, WorkPackageId(1)]))


def _places(ledger: Ledger, at: datetime, dice: random.Random) -> None:
    ledger.observe_projects({ProjectId(1): ("alpha", dice.choice(NAMES))}, at)
    ledger.observe_types({TypeId(1): dice.choice(["Anomalie", "Assistance"])}, at)

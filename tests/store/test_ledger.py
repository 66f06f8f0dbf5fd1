"""What goes into the ledger comes out again, once, in order, and survives whatever happens to the process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

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
from bridge.errors import BridgeError, SkipItem
from bridge.store.ledger import (
    Decision,
    Intent,
    KnownTicket,
    Ledger,
    Outcome,
    TicketReading,
)
from bridge.store.schema import EntryKind

T0 = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WP, PROJECT = WorkPackageId(7), ProjectId(3)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, now=Clock()) as ledger:
        yield ledger


def listed(wp: int = WP, status: int | None = 1, project: int = PROJECT) -> Listed:
    return Listed(WorkPackageId(wp), ProjectId(project), None if status is None else StatusId(status), TypeId(2))


def received(activity: int, updated_at: str = "2026-11-24T09:00:00.000Z", comment: str = "") -> dict[str, object]:
    return {
        "_type": "Activity",
        "id": activity,
        "version": 1,
        "workPackage": WP,
        "user": 12,
        "createdAt": "2026-11-24T09:00:00.000Z",
        "updatedAt": updated_at,
        "comment": comment,
        "details": [["Statut mis à NOUVEAU", "<strong>Statut</strong> mis à <i>NOUVEAU</i>"]],
        "internal": False,
    }


def reading(*activities: Mapping[str, object], of: Listed | None = None) -> TicketReading:
    return TicketReading(of or listed(), [(a["id"], a["updatedAt"], a) for a in activities])  # type: ignore[misc]


def change(activity: int = 5, part: int = 0, **values: object) -> StatusChange:
    made = StatusChange(
        ChangeKey(ActivityId(activity), part), Kind.MOVE, StatusId(1), StatusId(2), UserId(12), T0, T0 + SECOND, False
    )
    return replace(made, **values)  # type: ignore[arg-type]


def decision(verdict: Verdict, of: StatusChange | None = None, at: datetime = T0, wp: int = WP) -> Decision:
    return Decision(
        work_package=WorkPackageId(wp),
        project=PROJECT,
        change=of or change(),
        verdict=verdict,
        party=PartyName("client"),
        policy_hash="a hash",
        at=at,
        origin=StatusName("NOUVEAU"),
        target=StatusName("RESOLU"),
        type="Anomalie",
    )


ILLEGAL = Illegal(
    (Objection(RuleId("who-resolu"), Mode.ENFORCE, {"fr": "Non.", "en": "No."}, (PartyName("cegape"),), "the wiki"),),
    (StatusName("EN ATTENTE"),),
)


def intent(id_: str, activity: int = 5) -> Intent:
    return Intent(
        decision=id_,  # type: ignore[arg-type]
        work_package=WP,
        project=PROJECT,
        person=UserId(12),
        change=ChangeKey(ActivityId(activity), 0),
        origin=StatusId(2),
        to=StatusId(1),
    )


# --- Observations ---


def test_a_ticket_read_twice_without_news_is_stored_once(ledger: Ledger) -> None:
    assert ledger.observe([reading(received(1), received(2))], at=T0) == {WP}
    assert ledger.observe([reading(received(1), received(2))], at=T0 + SECOND) == frozenset()
    assert [r.received["id"] for r in ledger.revisions(WP)] == [1, 2]


def test_any_number_of_tickets_can_be_read_at_once_and_one_of_them_twice(ledger: Ledger) -> None:
    many = [reading(of=listed(number)) for number in range(1, 2_500)]
    ledger.observe([*many, many[0], reading(of=listed(1, status=3))], at=T0)
    assert len(ledger.known()) == 2_499
    assert ledger.known()[WorkPackageId(1)].status == 3
    assert len(ledger.sightings(WorkPackageId(1))) == 2


def test_every_revision_of_an_activity_is_kept_in_order_even_one_that_comes_back(ledger: Ledger) -> None:
    texts = ["first", "second", "first"]
    for number, text in enumerate(texts):
        assert ledger.observe([reading(received(1, comment=text))], at=T0 + number * SECOND) == {WP}
    revisions = ledger.revisions(WP)
    assert [r.received["comment"] for r in revisions] == texts
    assert [r.observed_at for r in revisions] == [T0, T0 + SECOND, T0 + 2 * SECOND]
    assert revisions[1].received == received(1, comment="second")


def test_the_watermark_moves_with_what_was_read(ledger: Ledger) -> None:
    assert ledger.watermark() is None
    ledger.observe([reading(received(1))], at=T0, watermark=T0)
    assert ledger.watermark() == T0
    ledger.observe([], at=T0, watermark=T0 + timedelta(microseconds=1))
    assert ledger.watermark() == T0 + timedelta(microseconds=1)


def test_known_tells_every_ticket_as_last_listed(ledger: Ledger) -> None:
    ledger.observe([reading(of=listed(1)), reading(of=listed(2, status=None))], at=T0)
    ledger.observe([reading(of=listed(1, status=4, project=5))], at=T0)
    ledger.unreadable(listed(3), at=T0, reason="500")
    assert ledger.known() == {
        1: KnownTicket(StatusId(4), ProjectId(5), vanished=False, synced=True),
        2: KnownTicket(None, PROJECT, vanished=False, synced=True),
        3: KnownTicket(StatusId(1), PROJECT, vanished=False, synced=False),
    }


def test_a_vanished_ticket_comes_back_when_it_is_read_again(ledger: Ledger) -> None:
    ledger.vanish(WorkPackageId(99), at=T0, reason="never seen")
    ledger.observe([reading(received(1))], at=T0)
    ledger.vanish(WP, at=T0, reason="404")
    ledger.vanish(WP, at=T0, reason="404 again")
    assert ledger.known()[WP] == KnownTicket(StatusId(1), PROJECT, vanished=True, synced=True)
    assert ledger.ticket(WP) == listed()
    ledger.observe([reading(received(1))], at=T0)
    assert ledger.known() == {WP: KnownTicket(StatusId(1), PROJECT, vanished=False, synced=True)}


# --- Names and roles ---


def test_every_name_of_a_status_is_remembered(ledger: Ledger) -> None:
    new, test = Status(StatusId(1), "NOUVEAU", False, True), Status(StatusId(2), "EN COURS", False)
    ledger.observe_statuses([new, test], T0)
    ledger.observe_statuses([new, replace(test, name="EN COURS (bis)")], T0)
    ledger.observe_statuses([replace(new, id=StatusId(3)), replace(test, name="NOUVEAU")], T0)
    names = ledger.status_names()
    assert names.current == {2: "NOUVEAU", 3: "NOUVEAU"}
    assert names.ever == {"NOUVEAU": {1, 2, 3}, "EN COURS": {2}, "EN COURS (bis)": {2}}


def test_a_person_has_the_name_that_was_seen_last(ledger: Ledger) -> None:
    assert ledger.person_name(UserId(1)) is None
    ledger.observe_people({UserId(1): "Ada Martin", UserId(2): "Bo"}, T0)
    ledger.observe_people({UserId(1): "Ada Durand"}, T0)
    assert ledger.person_name(UserId(1)) == "Ada Durand"
    assert ledger.person_name(UserId(2)) == "Bo"


def membership(*roles: str, changed: datetime = T0 - timedelta(days=1)) -> Membership:
    return Membership(PROJECT, UserId(12), "Ada", roles, T0 - timedelta(days=9), changed)


def test_roles_that_stay_the_same_are_one_spell(ledger: Ledger) -> None:
    for minute in range(3):
        ledger.observe_memberships([membership("Client")], frozenset({PROJECT}), T0 + timedelta(minutes=minute))
    [spell] = ledger.role_spells(PROJECT, UserId(12))
    assert spell.roles == ("Client",)
    assert spell.changed_at == T0 - timedelta(days=1)
    assert (spell.first_read, spell.last_read) == (T0, T0 + timedelta(minutes=2))
    assert ledger.person_name(UserId(12)) == "Ada"


def test_a_membership_that_was_changed_begins_a_new_spell_even_with_the_same_roles(ledger: Ledger) -> None:
    ledger.observe_memberships([membership("Client")], frozenset({PROJECT}), T0)
    ledger.observe_memberships([membership("Client", changed=T0)], frozenset({PROJECT}), T0 + SECOND)
    assert [(s.changed_at, s.last_read) for s in ledger.role_spells(PROJECT, UserId(12))] == [
        (T0 - timedelta(days=1), T0),
        (T0, T0 + SECOND),
    ]


def test_who_is_missing_from_a_readable_project_is_no_member(ledger: Ledger) -> None:
    everywhere = frozenset({PROJECT})
    ledger.observe_memberships([membership("Client")], everywhere, T0)
    ledger.observe_memberships([], everywhere, T0 + SECOND)
    ledger.observe_memberships([], everywhere, T0 + 2 * SECOND)
    member, absent = ledger.role_spells(PROJECT, UserId(12))
    assert member.last_read == T0
    assert (absent.roles, absent.changed_at) == ((), None)
    assert (absent.first_read, absent.last_read) == (T0 + SECOND, T0 + 2 * SECOND)


def test_a_project_that_cannot_be_read_says_nothing_about_its_members(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        ledger.observe_memberships([membership("Client")], frozenset({PROJECT}), T0)
        ledger.observe_memberships([], frozenset(), T0 + SECOND)
        [member] = ledger.role_spells(PROJECT, UserId(12))
        assert member.last_read == T0
        ledger.observe_memberships([membership("Client")], frozenset({PROJECT}), T0 + 2 * SECOND)
        [member] = ledger.role_spells(PROJECT, UserId(12))
        assert member.last_read == T0 + 2 * SECOND
        ledger.observe_memberships([], frozenset({PROJECT}), T0 + 3 * SECOND)
        ledger.observe_memberships([], frozenset(), T0 + 4 * SECOND)
    with Ledger.open(url, now=Clock()) as ledger:  # what was read is not forgotten with the process
        ledger.observe_memberships([], frozenset({PROJECT}), T0 + 5 * SECOND)
        assert [(s.roles, s.first_read, s.last_read) for s in ledger.role_spells(PROJECT, UserId(12))[1:]] == [
            ((), T0 + 3 * SECOND, T0 + 3 * SECOND),
            ((), T0 + 5 * SECOND, T0 + 5 * SECOND),
        ]


# --- Decisions ---


def test_decisions_are_numbered_within_their_day_across_restarts(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        assert ledger.decide([decision(Allowed()), decision(Allowed(), change(6))]) == (
            "2026-11-24-0001",
            "2026-11-24-0002",
        )
    with Ledger.open(url, now=Clock()) as ledger:
        assert ledger.decide([decision(Allowed(), change(7))]) == ("2026-11-24-0003",)
        assert ledger.decide([decision(Allowed(), at=T0 + timedelta(days=1))]) == ("2026-11-25-0001",)
        assert ledger.decide([decision(Allowed())]) == ("2026-11-24-0004",)


def test_the_latest_decision_about_a_change_counts(ledger: Ledger) -> None:
    ledger.decide([decision(Undecided("no roles")), decision(ILLEGAL, change(5, 1)), decision(Allowed(), wp=8)])
    ledger.decide([decision(ILLEGAL)])
    stored = ledger.decisions(WP)
    assert set(stored) == {change().key, change(5, 1).key}
    found = stored[change().key]
    assert (found.verdict, found.rule, found.mode, found.undecided) == ("illegal", "who-resolu", Mode.ENFORCE, False)
    assert (found.origin, found.target, found.person, found.party) == (1, 2, 12, "client")
    assert (found.policy_hash, found.decided_at, found.review_at, found.kind) == ("a hash", T0, None, Kind.MOVE)


def test_an_undecided_one_says_why(ledger: Ledger) -> None:
    ledger.decide([decision(Undecided("no roles"))])
    [found] = ledger.decisions(WP).values()
    assert (found.undecided, found.reason, found.rule) == (True, "no roles", None)


def test_a_decision_that_waits_is_due_when_its_time_has_come(ledger: Ledger) -> None:
    ledger.decide([decision(Allowed(review_at=T0 + SECOND)), decision(Allowed(review_at=T0 + 2 * SECOND), wp=8)])
    assert ledger.due_reviews(T0) == ()
    assert ledger.due_reviews(T0 + SECOND) == (WP,)
    assert ledger.due_reviews(T0 + 2 * SECOND) == (WP, 8)
    ledger.decide([decision(Allowed())])
    assert ledger.due_reviews(T0 + 2 * SECOND) == (8,)


def test_a_move_that_a_rule_objects_to_waits_for_another_rule_all_the_same(ledger: Ledger) -> None:
    ledger.decide([decision(replace(ILLEGAL, exemption="X-1", review_at=T0 + SECOND))])
    assert ledger.due_reviews(T0 + SECOND) == (WP,)


# --- Enforcement and actions ---


def test_enforcement_begins_once_and_can_begin_again_later(ledger: Ledger) -> None:
    rule = RuleId("who-resolu")
    ledger.end_enforcement(rule, PROJECT, T0)
    ledger.begin_enforcement(rule, PROJECT, T0)
    ledger.begin_enforcement(rule, PROJECT, T0 + SECOND)
    assert ledger.enforcement() == {(rule, PROJECT): T0}
    ledger.end_enforcement(rule, PROJECT, T0 + SECOND)
    assert ledger.enforcement() == {}
    ledger.begin_enforcement(rule, PROJECT, T0 + 2 * SECOND)
    assert ledger.enforcement() == {(rule, PROJECT): T0 + 2 * SECOND}


def test_a_move_is_put_back_once(ledger: Ledger) -> None:
    first, again = ledger.decide([decision(ILLEGAL), decision(ILLEGAL)])
    action = ledger.intend(intent(first), T0)
    assert action is not None
    assert (action.decision, action.state, action.reverted) == (first, "intended", False)
    assert ledger.intend(intent(again), T0) is None
    ledger.claim(action.id, T0)
    ledger.outcome(action.id, Outcome.GIVEN_UP, "why", at=T0)
    assert ledger.open_actions() == ()
    assert ledger.intend(intent(again), T0) is None
    assert not ledger.claim(action.id, T0)
    with pytest.raises(ValueError, match="ended already"):
        ledger.outcome(action.id, Outcome.REVERTED, at=T0)


def test_an_intent_needs_its_decision(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no decision 2026-11-24-0009"):
        ledger.intend(intent("2026-11-24-0009"), T0)


def test_an_action_is_in_one_hand_at_a_time(ledger: Ledger) -> None:
    [id_] = ledger.decide([decision(ILLEGAL)])
    action = ledger.intend(intent(id_), T0)
    assert action is not None
    assert ledger.claim(action.id, T0)
    assert not ledger.claim(action.id, T0)
    ledger.outcome(action.id, Outcome.CONFLICT, at=T0)
    assert ledger.claim(action.id, T0)
    ledger.outcome(action.id, Outcome.REVERTED, {"by": "chain"}, at=T0 + SECOND)
    [open_] = ledger.open_actions()
    assert (open_.state, open_.conflicts, open_.reverted, open_.reverted_at) == ("reverted", 1, True, T0 + SECOND)
    ledger.outcome(action.id, Outcome.EXPLAINED, at=T0 + SECOND)
    assert ledger.open_actions() == ()


def test_what_a_crashed_process_had_in_hand_can_be_claimed_again(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        [id_] = ledger.decide([decision(ILLEGAL)])
        action = ledger.intend(intent(id_), T0)
        assert action is not None
        assert ledger.claim(action.id, T0)
    with Ledger.open(url, now=Clock()) as ledger:
        [found] = ledger.open_actions()
        assert (found.id, found.state) == (action.id, "claimed")
        assert ledger.claim(action.id, T0)
        assert not ledger.claim(action.id, T0)


def test_reverts_are_counted_from_a_moment_on(ledger: Ledger) -> None:
    for activity in (5, 6, 7):
        [id_] = ledger.decide([decision(ILLEGAL, change(activity))])
        action = ledger.intend(intent(id_, activity), T0)
        assert action is not None
        ledger.outcome(action.id, Outcome.REVERTED, at=T0 + activity * SECOND)
        if activity == 6:
            ledger.outcome(action.id, Outcome.EXPLAINED, at=T0 + 99 * SECOND)
    counts = ledger.reverts_since(T0 + 6 * SECOND)
    assert [(c.at, c.project, c.person, c.work_package) for c in counts] == [
        (T0 + 6 * SECOND, PROJECT, 12, WP),
        (T0 + 7 * SECOND, PROJECT, 12, WP),
    ]


# --- Transactions ---


def test_a_batch_is_stored_whole_or_not_at_all(ledger: Ledger) -> None:
    ledger.observe([reading(received(1))], at=T0)

    def fail() -> None:
        with ledger.batch():
            ledger.observe([reading(received(2))], at=T0, watermark=T0)
            ledger.observe_people({UserId(1): "Ada"}, T0)
            assert len(ledger.revisions(WP)) == 2
            raise SkipItem("something else went wrong")

    with pytest.raises(SkipItem):
        fail()
    assert len(ledger.revisions(WP)) == 1
    assert ledger.watermark() is None
    assert ledger.person_name(UserId(1)) is None
    assert ledger.observe([reading(received(2))], at=T0) == {WP}


def test_a_caller_that_swallows_a_failed_write_still_gets_nothing_half_stored(ledger: Ledger) -> None:
    too_large = 2**70

    def swallow() -> None:
        with ledger.batch():
            ledger.observe_people({UserId(1): "Ada"}, T0)
            ledger.observe([TicketReading(listed(), [(too_large, "", received(1))])], at=T0)
            with contextlib.suppress(Exception):
                ledger.revisions(WP)

    with pytest.raises((OverflowError, BridgeError)):
        swallow()
    assert ledger.person_name(UserId(1)) is None
    assert ledger.known() == {}


def test_only_events_are_recorded_as_they_are(ledger: Ledger) -> None:
    assert ledger.last_event(EntryKind.PAUSE) is None
    ledger.record(EntryKind.PAUSE, {"by": "an admin"}, T0)
    ledger.record(EntryKind.PAUSE, {"by": "another"}, T0, WP)
    assert ledger.last_event(EntryKind.PAUSE) == {"at": "2026-11-24T09:00:00.000Z", "by": "another"}
    with pytest.raises(ValueError, match="decision is not recorded like this"):
        ledger.record(EntryKind.DECISION, {}, T0)

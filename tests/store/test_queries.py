"""What the ledger writes, the reading side reads back as values, and can change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

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
from bridge.errors import BridgeError, ConfigError, Stop
from bridge.store import schema
from bridge.store.erasure import redact_text
from bridge.store.facts import Decision, Intent, Outcome, StoredAction, TicketReading
from bridge.store.ledger import Ledger
from bridge.store.queries import Queries
from bridge.store.schema import EntryKind
from bridge.store.snapshot import Snapshot

T0 = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WP, OTHER = WorkPackageId(7), WorkPackageId(8)
ALPHA, BETA = ProjectId(11), ProjectId(13)
LABEL = "Assigné à"

ILLEGAL = Illegal(
    (
        Objection(RuleId("strict"), Mode.ENFORCE, {"fr": "Non.", "en": "No."}, (PartyName("cegape"),), "the wiki"),
        Objection(RuleId("mild"), Mode.OBSERVE, {"fr": "Bof.", "en": "Meh."}, (), "the wiki"),
    ),
    (StatusName("EN ATTENTE"),),
)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, now=lambda: T0) as ledger:
        ledger.observe_statuses(
            [
                Status(StatusId(1), "NOUVEAU", False, True),
                Status(StatusId(2), "RESOLU", True),
                Status(StatusId(3), "OLD", False),
            ],
            T0,
        )
        ledger.observe_projects({ALPHA: ("alpha", "Alpha"), BETA: ("beta", "Beta")}, T0)
        ledger.observe_types({TypeId(5): "Anomalie"}, T0)
        ledger.observe_people({UserId(59): "Client", UserId(57): "Staff"}, T0)
        yield ledger


Read = Callable[[], Snapshot]


@pytest.fixture
def read(ledger: Ledger, url: str) -> Iterator[Read]:
    """A fresh snapshot of what the ledger has committed."""
    with Queries(url) as queries:
        opened = []

        def snapshot() -> Snapshot:
            context = queries.snapshot()
            opened.append(context)
            return context.__enter__()

        yield snapshot
        for context in opened:
            context.__exit__(None, None, None)


def change(activity: int, at: datetime, origin: int | None = 1, target: int = 2, person: int = 59) -> StatusChange:
    kind = Kind.CREATION if origin is None else Kind.MOVE
    return StatusChange(
        ChangeKey(ActivityId(activity), 0),
        kind,
        None if origin is None else StatusId(origin),
        StatusId(target),
        UserId(person),
        at,
        at,
        False,
    )


def decision(
    made: StatusChange,
    verdict: Verdict,
    *,
    wp: int = WP,
    project: int = ALPHA,
    party: str | None = "client",
    own: bool = False,
) -> Decision:
    return Decision(
        work_package=WorkPackageId(wp),
        project=ProjectId(project),
        change=made,
        verdict=verdict,
        party=None if party is None else PartyName(party),
        policy_hash="a hash",
        at=T0,
        target=StatusName("RÉSOLU"),
        own=own,
        type="Anomalie",
    )


def activity(
    id_: int, comment: str = "", wp: int = WP, updated: datetime = T0, details: list[list[str]] | None = None
) -> tuple[int, str, dict[str, object]]:
    printed = updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    received: dict[str, object] = {
        "_type": "Activity",
        "id": id_,
        "version": 1,
        "workPackage": wp,
        "user": 57,
        "createdAt": "2026-11-24T09:00:00.000Z",
        "updatedAt": printed,
        "comment": comment,
        "details": details or [],
        "internal": False,
    }
    return id_, printed, received


def reading(
    *activities: tuple[int, str, dict[str, object]], wp: int = WP, project: int = ALPHA, status: int = 2
) -> TicketReading:
    return TicketReading(Listed(WorkPackageId(wp), ProjectId(project), StatusId(status), TypeId(5)), activities)


def put_back(ledger: Ledger, made: StatusChange, *, outcome: Outcome = Outcome.EXPLAINED) -> StoredAction:
    (id_,) = ledger.decide([decision(made, ILLEGAL)])
    action = ledger.intend(
        Intent(
            decision=id_,
            work_package=WP,
            project=ALPHA,
            person=UserId(59),
            change=made.key,
            origin=StatusId(2),
            to=StatusId(1),
        ),
        T0 + MINUTE,
    )
    assert action is not None
    ledger.claim(action.id, T0 + MINUTE)
    ledger.outcome(action.id, outcome, "why", at=T0 + 2 * MINUTE)
    return action


def change_rows(ledger: Ledger, statement: str) -> None:
    """What nobody may do."""
    with ledger.batch():
        ledger.writer.connection.execute(text(statement))


# --- Reading ----------------------------------------------------------------------------------------------------


def test_verdicts_come_out_with_all_that_objected_and_what_became_of_them(ledger: Ledger, read: Read) -> None:
    put_back(ledger, change(1, T0))
    ledger.decide([decision(change(2, T0 + MINUTE), Undecided("not sure"), wp=OTHER, project=BETA, party=None)])
    ledger.decide([decision(change(3, T0 + 2 * MINUTE), Allowed("exemption x", exemption="x"), wp=OTHER, project=BETA)])
    snapshot = read()
    undecided, illegal = snapshot.ruled(["illegal", "undecided"])
    assert (illegal.rule, illegal.rules, illegal.mode) == ("strict", ("strict", "mild"), Mode.ENFORCE)
    assert illegal.sentence == {"fr": "Non.", "en": "No."}
    assert (illegal.target_name, illegal.person_name, illegal.party) == ("RÉSOLU", "Client", "client")
    assert (illegal.action_state, illegal.reverted_at) == ("explained", T0 + 2 * MINUTE)
    assert (undecided.reason, undecided.action, undecided.party) == ("not sure", None, None)
    assert [r.exemption for r in snapshot.exempted(T0, T0 + timedelta(hours=1))] == ["x"]
    assert snapshot.alternatives([illegal]) == {illegal.id: ("EN ATTENTE",)}
    assert set(snapshot.rules_used()) == {"strict", "mild"}
    assert snapshot.policies(T0, T0 + timedelta(hours=1)) == {"a hash": 3}
    assert snapshot.moves(T0, T0 + timedelta(hours=1)) == {
        ("client", "illegal"): 1,
        (None, "undecided"): 1,
        ("client", "allowed"): 1,
    }


def test_a_period_includes_its_first_moment_and_not_its_end(ledger: Ledger, read: Read) -> None:
    ledger.decide([decision(change(n, T0 + n * MINUTE), ILLEGAL) for n in range(4)])
    found = read().ruled(["illegal"], T0 + MINUTE, T0 + 3 * MINUTE)
    assert [r.latest for r in found] == [T0 + 2 * MINUTE, T0 + MINUTE]
    assert read().ruled(["illegal"], T0, None, [BETA]) == []


def test_only_the_decision_that_counts_is_told_and_a_life_tells_all(ledger: Ledger, read: Read) -> None:
    ledger.observe([reading(activity(1))], at=T0)
    ledger.decide([decision(change(1, T0), Undecided("not yet"))])
    ledger.decide([decision(change(1, T0), ILLEGAL)])
    snapshot = read()
    assert snapshot.ruled(["undecided"]) == []
    life = snapshot.life(WP)
    assert life is not None
    assert [(r.verdict, r.current) for r in life.decisions] == [("undecided", False), ("illegal", True)]
    assert (life.project, life.type, life.status) == ("Alpha", "Anomalie", "RESOLU")
    assert snapshot.life(WorkPackageId(99)) is None


def test_a_life_tells_the_explanation_that_stands_in_the_ticket(ledger: Ledger, read: Read) -> None:
    action = put_back(ledger, change(1, T0))
    ledger.observe(
        [reading(activity(1), activity(2, f"Bonjour,\n\nvoilà.\n\n<!-- bridge:{action.decision} -->"))], at=T0
    )
    ledger.record(EntryKind.APPEAL, {"decision": action.decision, "person": 59}, T0, WP)
    life = read().life(WP)
    assert life is not None
    assert life.explanations == {action.decision: "Bonjour,\n\nvoilà."}
    assert life.alternatives == {action.decision: ("EN ATTENTE",)}
    assert [(attempt.state, attempt.rule) for attempt in life.attempts] == [("explained", "strict")]
    assert [event.kind for event in life.events] == [EntryKind.APPEAL]


def test_reverts_come_out_with_their_times_and_open_ones_in_the_overview(ledger: Ledger, read: Read) -> None:
    put_back(ledger, change(1, T0), outcome=Outcome.SUPERSEDED)
    (id_,) = ledger.decide([decision(change(2, T0 + MINUTE), ILLEGAL)])
    ledger.intend(
        Intent(
            decision=id_,
            work_package=WP,
            project=ALPHA,
            person=None,
            change=ChangeKey(ActivityId(2), 0),
            origin=StatusId(2),
            to=StatusId(1),
        ),
        T0 + 3 * MINUTE,
    )
    snapshot = read()
    opened, lost = snapshot.attempts()
    assert (lost.state, lost.detail, lost.moved_at, lost.reverted_at, lost.ended_at) == (
        "superseded",
        "why",
        T0,
        None,
        T0 + 2 * MINUTE,
    )
    assert (opened.state, opened.person, opened.ended_at) == ("intended", None, None)
    assert snapshot.attempts(T0 + 2 * MINUTE) == [opened]
    assert snapshot.overview().open_actions == (opened,)


def test_steps_come_in_order_and_name_what_was_put_back(ledger: Ledger, read: Read) -> None:
    ledger.decide([decision(change(9, T0 + MINUTE, 1, 2), Allowed(), wp=OTHER, project=BETA)])
    ledger.decide([decision(change(3, T0, None, 1), Allowed())])
    put_back(ledger, change(4, T0 + MINUTE))
    ledger.decide(
        [decision(change(5, T0 + 2 * MINUTE, 2, 1, 64), Allowed("the bridge's own move"), party=None, own=True)]
    )
    snapshot = read()
    (steps,) = snapshot.steps()
    assert list(zip(steps.work_package, steps.target, map(bool, steps.created), map(bool, steps.own), strict=True)) == [
        (7, 1, True, False),
        (7, 2, False, False),
        (7, 1, False, True),
        (8, 2, False, False),
    ]
    assert [seq in snapshot.put_back() for seq in steps.seq] == [False, True, False, False]
    assert [list(s.work_package) for s in snapshot.steps([BETA])] == [[8]]


def test_comments_are_those_that_stand_now(ledger: Ledger, read: Read) -> None:
    ledger.observe(
        [reading(activity(1, "a first text"), activity(2), activity(3, 'says "comment":"", and more'))], at=T0
    )
    ledger.observe(
        [reading(activity(1, "the text of now", updated=T0 + MINUTE), activity(3, "", updated=T0 + MINUTE))], at=T0
    )
    assert [(r.work_package, r.person, r.text) for r in read().remarks()] == [(7, 57, "the text of now")]
    assert [(wp, received["comment"]) for wp, received in read().commented([7, 9])] == [(7, "the text of now")]


def test_what_is_left_of_an_erased_comment_still_counts_as_one(ledger: Ledger, read: Read) -> None:
    ledger.observe([reading(activity(1, "Bonjour, le code est 1234-5678."), activity(2, "merci"))], at=T0)
    redact_text(ledger, "1234-5678", by="the lawyer", reason="a code")
    found = {r.seq: (r.work_package, r.person, r.text) for r in read().remarks()}
    assert [(wp, person) for wp, person, _ in found.values()] == [(7, 57), (7, 57)]
    assert not any("1234" in said for _, _, said in found.values())


def test_what_activities_say_is_found_by_label_as_it_is_marked_up(ledger: Ledger, read: Read) -> None:
    line = [f"{LABEL} mis à Staff", f"<strong>{LABEL}</strong> mis à <i>Staff</i>"]
    trap = ["Sujet mis à x", f"<strong>Sujet</strong> mis à <i>&lt;strong&gt;{LABEL}&lt;/strong&gt;</i>"]
    ledger.observe(
        [
            reading(activity(1, details=[line]), activity(2, details=[trap])),
            reading(activity(3, wp=8, details=[line]), wp=8),
        ],
        at=T0,
    )
    assert [(found.work_package, found.details) for found in read().lines([LABEL])] == [(7, [line]), (8, [line])]
    assert [found.work_package for found in read().lines([LABEL], [8, 9])] == [8]
    assert list(read().lines([])) == []
    assert list(read().lines(["50%_\\"])) == []


def test_names_are_those_of_now_and_the_policys_spelling_wins(ledger: Ledger, read: Read) -> None:
    ledger.observe_statuses([Status(StatusId(1), "Nouveau", False, True), Status(StatusId(2), "RESOLU", True)], T0)
    ledger.observe_people({UserId(59): "Cliente"}, T0)
    ledger.decide([decision(change(1, T0), Allowed())])
    snapshot = read()
    names = {id_: (row.name, row.is_closed, row.gone) for id_, row in snapshot.statuses().items()}
    assert names == {1: ("Nouveau", False, False), 2: ("RESOLU", True, False), 3: ("OLD", False, True)}
    assert snapshot.people() == {59: "Cliente", 57: "Staff"}
    assert snapshot.projects() == {ALPHA: ("alpha", "Alpha"), BETA: ("beta", "Beta")}
    assert snapshot.types() == {5: "Anomalie"}
    assert snapshot.spelling() == {2: "RÉSOLU"}


def test_roles_come_out_as_spells(ledger: Ledger, read: Read) -> None:
    member = Membership(ALPHA, UserId(59), "Client", ("Client",), T0, T0)
    ledger.observe_memberships([member], frozenset({ALPHA}), T0)
    ledger.observe_memberships([], frozenset({ALPHA}), T0 + MINUTE)
    spells = read().role_spells()[ALPHA, UserId(59)]
    assert [spell.roles for spell in spells] == [("Client",), ()]


def test_the_overview_counts_what_there_is(ledger: Ledger, read: Read) -> None:
    ledger.observe([reading(activity(1)), reading(activity(2, wp=8), wp=8)], at=T0, watermark=T0)
    ledger.unreadable(Listed(WorkPackageId(9), ALPHA, StatusId(1)), at=T0, reason="half an answer")
    ledger.vanish(OTHER, at=T0 + MINUTE, reason="gone")
    ledger.record(EntryKind.CYCLE, {"snapshot": True, "listed": 3}, T0)
    ledger.record(EntryKind.CYCLE, {"snapshot": False, "listed": 1}, T0 + MINUTE)
    ledger.begin_enforcement(RuleId("strict"), ALPHA, T0)
    ledger.decide([decision(change(1, T0), ILLEGAL)])
    view = read().overview()
    assert (view.tickets, view.vanished, view.unsynced) == (3, 1, 1)
    assert view.watermark == T0
    assert view.last_cycle is not None
    assert (view.last_cycle.at, view.last_cycle.details["listed"]) == (T0 + MINUTE, 1)
    assert view.last_snapshot is not None
    assert view.last_snapshot.details["listed"] == 3
    assert read().verdicts() == {"illegal": 1}
    assert [(row.rule, row.until) for row in view.enforced] == [("strict", None)]
    assert read().vanished() == {8: (T0 + MINUTE - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)}
    assert view.entries == read().size()


def test_events_are_found_by_kind_time_and_ticket(ledger: Ledger, read: Read) -> None:
    for minute in range(4):
        ledger.record(EntryKind.PAUSE, {"by": "me"}, T0 + minute * MINUTE)
    ledger.record(EntryKind.RESUME, {"by": "me"}, T0, WP)
    snapshot = read()
    assert [e.at for e in snapshot.events([EntryKind.PAUSE], T0 + MINUTE, T0 + 3 * MINUTE)] == [
        T0 + MINUTE,
        T0 + 2 * MINUTE,
    ]
    assert [e.kind for e in snapshot.events(list(schema.EVENTS), work_package=WP)] == [EntryKind.RESUME]
    assert (snapshot.first_time(EntryKind.PAUSE), snapshot.first_time(EntryKind.BREAKER)) == (T0, None)
    assert snapshot.last_event(EntryKind.BREAKER) is None


def test_a_snapshot_does_not_see_what_is_written_after_it_began(ledger: Ledger, url: str) -> None:
    with Queries(url) as queries, queries.snapshot() as snapshot:
        before = snapshot.size()
        ledger.record(EntryKind.PAUSE, {}, T0)
        assert snapshot.size() == before
        with queries.snapshot() as later:
            assert later.size() == before + 1


# --- The tail of the record -------------------------------------------------------------------------------------


def test_an_unchanged_tail_holds(ledger: Ledger, read: Read) -> None:
    ledger.record(EntryKind.PAUSE, {}, T0)
    tail = read().check_tail()
    assert (tail.checked, tail.first_bad) == (read().size(), None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET payload = replace(payload, 'me', 'you') WHERE seq = {seq}",
        "UPDATE entry SET at = at + 1 WHERE seq = {seq}",
        "UPDATE entry SET salt = NULL WHERE seq = {seq}",
    ],
)
def test_a_changed_entry_is_found(ledger: Ledger, url: str, read: Read, statement: str) -> None:
    seq = ledger.record(EntryKind.PAUSE, {"by": "me"}, T0)
    ledger.record(EntryKind.RESUME, {"by": "me"}, T0)
    change_rows(ledger, statement.format(seq=seq))
    assert read().check_tail().first_bad == seq


def test_a_missing_entry_is_found(ledger: Ledger, read: Read) -> None:
    seq = ledger.record(EntryKind.PAUSE, {"by": "me"}, T0)
    ledger.record(EntryKind.RESUME, {"by": "me"}, T0)
    change_rows(ledger, f"DELETE FROM entry WHERE seq = {seq}")
    assert read().check_tail().first_bad == seq + 1


# --- What it cannot do, and where it cannot look ----------------------------------------------------------------


def test_nothing_can_be_written_through_it(ledger: Ledger, url: str) -> None:
    with Queries(url) as queries, pytest.raises(BridgeError), queries.snapshot() as snapshot:
        snapshot._connection.execute(insert(schema.meta).values(key="x", value="y"))


def test_a_ledger_that_is_not_there_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no ledger at .* yet: run `bridge once`"):
        Queries(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="in-memory"):
        Queries("sqlite://")
    with pytest.raises(ConfigError, match="SQLite or PostgreSQL"):
        Queries("mysql://localhost/x")


def test_an_empty_database_is_no_ledger(fresh: Callable[..., str]) -> None:
    url = fresh("sqlite")
    sqlite3.connect(url.removeprefix("sqlite:///")).close()
    Path(url.removeprefix("sqlite:///")).touch()
    with Queries(url) as queries, pytest.raises(BridgeError), queries.snapshot():
        pass


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with (
        Queries(f"sqlite:///{path}") as queries,
        pytest.raises(Stop, match="another program's database"),
        queries.snapshot(),
    ):
        pass


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("a text " * 1000, encoding="utf-8")
    with Queries(f"sqlite:///{path}") as queries, pytest.raises(Stop, match="no SQLite database"), queries.snapshot():
        pass


def test_a_ledger_of_another_version_is_refused_with_what_to_do(ledger: Ledger, url: str) -> None:
    change_rows(ledger, "UPDATE alembic_version SET version_num = '9999'")
    with Queries(url) as queries, pytest.raises(Stop, match="another version of the bridge"), queries.snapshot():
        pass


def test_strange_characters_in_a_path_are_no_query(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=rw&b#c%20 é"
    folder.mkdir()
    path = folder / "bridge.db"
    Ledger.open(f"sqlite:///{tmp_path}/plain.db", now=lambda: T0).close()
    (tmp_path / "plain.db").rename(path)
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(path)).render_as_string()
    with Queries(url) as queries, queries.snapshot() as snapshot:
        assert snapshot.size() == 1
        with pytest.raises(DBAPIError):
            snapshot._connection.execute(text("DELETE FROM entry"))


def test_outlines_tell_what_whole_rows_tell_in_the_same_order(ledger: Ledger, read: Read) -> None:
    put_back(ledger, change(4, T0))
    ledger.decide([decision(change(5, T0 + MINUTE, 2, 1), Allowed(), wp=OTHER, project=BETA)])
    ledger.decide([decision(change(6, T0 + MINUTE, 1, 2), Undecided("no roles"), wp=OTHER, project=BETA, party=None)])
    snapshot, span = read(), (T0, T0 + 2 * MINUTE)
    whole = snapshot.ruled(["illegal", "undecided"], *span)
    outlines = snapshot.outlines(["illegal", "undecided"], *span)
    assert [(each.seq, each.verdict, each.rule, each.person) for each in outlines] == [
        (ruled.seq, ruled.verdict, ruled.rule, ruled.person) for ruled in whole
    ]
    assert [each.reverted for each in outlines] == [ruled.reverted_at is not None for ruled in whole] == [False, True]
    assert snapshot.ruled_in([each.seq for each in reversed(outlines)]) == whole[::-1]
    assert snapshot.count_moves(*span) == sum(snapshot.moves(*span).values()) == 3
    assert snapshot.ruled(["illegal"], person=UserId(4711)) == []
    assert snapshot.attempts(states=["refused"]) == []
    assert snapshot.attempts(states=[attempt.state for attempt in snapshot.attempts()]) == snapshot.attempts()

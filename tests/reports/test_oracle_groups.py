"""What reports tell by group, by limit, of one ticket and of the bridge itself is what a reader counts by hand too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.model import Mode
from bridge.domain.policy import load
from bridge.reports import catalog
from bridge.reports.comparison import compared
from bridge.reports.definitions.explain import explain
from bridge.reports.period import Period
from bridge.reports.values import Report
from bridge.store.checkpoint import SigningKey
from bridge.store.facts import Outcome
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from tests.reports.oracle import Stay, Truth, rank
from tests.reports.strategies import ALL_SUNDAY, worlds
from tests.reports.test_oracle import (
    LABEL,
    approx,
    behind,
    check_that_counts_have_rows,
    column,
    counts,
    figure,
    made,
    moves_in,
    on_random_histories,
    raw,
    table,
)
from tests.reports.world import (
    CONFIG,
    LONG_AGO,
    PEOPLE,
    PROJECTS,
    TYPES,
    Move,
    Ticket,
    World,
    desk_on,
    fresh,
    reported,
    write,
)

Case = tuple[World, Period]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

OUTCOMES = {
    Outcome.REFUSED: "not put back: OpenProject refused",
    Outcome.GIVEN_UP: "not put back: given up",
    Outcome.SUPERSEDED: "not put back: somebody had moved on",
}


def rows(report: Report, key: str) -> list[dict[str, object]]:
    keys = [c.key for c in table(report, key).columns]
    return [dict(zip(keys, cells, strict=True)) for cells in zip(*(column(report, key, k) for k in keys), strict=True)]


def by(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def part(some: int, whole: int) -> object:
    return approx(some / whole) if whole else None


def outcome(move: Move) -> str:
    if move.verdict != "illegal":
        return {"undecided": "not judged", "exempted": "exempted", "allowed": "allowed"}[move.verdict]
    if move.put_back is not None:
        return "put back"
    if move.outcome in OUTCOMES:
        return OUTCOMES[move.outcome]
    return "observed" if move.mode is Mode.OBSERVE else "reported"


# --- R1, R2 ---------------------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds())
def test_both_parties_stand_in_one_table_with_what_became_of_their_moves(
    case: Case, template: Path, tmp_path: Path
) -> None:
    with made("violations", case, template, tmp_path) as (report, truth):
        judged = [m for _, _, m in moves_in(truth) if not m.own]
        for row in rows(report, "by-party"):
            mine = [m for m in judged if LABEL[m.party] == row["party"]]
            illegal = [m for m in mine if m.verdict == "illegal"]
            assert row == {
                "party": row["party"],
                "moves": len(mine),
                "illegal": len(illegal),
                "share": part(len(illegal), len(mine)),
                "put-back": sum(m.put_back is not None for m in illegal),
                "observed": sum(m.mode is Mode.OBSERVE for m in illegal),
                "undecided": sum(m.verdict == "undecided" for m in mine),
            }
        illegal = [m for m in judged if m.verdict == "illegal"]
        assert figure(report, "people") == len({m.person for m in illegal})
        undecided = [m for m in judged if m.verdict == "undecided"]
        assert column(report, "undecided", "moves") == ([len(undecided)] if undecided else [])
        told = Counter(zip(column(report, "moves", "time"), column(report, "moves", "outcome"), strict=True))
        assert told == Counter((m.at, outcome(m)) for m in [*illegal, *undecided])


@on_random_histories
@given(case=worlds())
def test_each_rules_reverts_have_times_of_their_own(case: Case, template: Path, tmp_path: Path) -> None:
    with made("reverts", case, template, tmp_path) as (report, truth):
        tried = [
            m
            for t in truth.world.tickets
            for m in t.moves
            if (m.put_back is not None or m.outcome is not Outcome.EXPLAINED)
            and truth.within(m.at + (m.put_back or timedelta(minutes=1)))
        ]
        expected = {}
        for rule, mine in by(tried, lambda m: m.rule).items():
            stood = [m.put_back for m in mine if m.put_back is not None]
            expected[rule] = (len(mine), len(stood), rank(stood, 50), rank(stood, 95), max(stood, default=None))
        got = {
            row["rule"]: (row["reverts"], row["put-back"], row["p50"], row["p95"], row["max"])
            for row in rows(report, "by-rule")
        }
        assert got == expected


# --- R3 -------------------------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds(most=25))
def test_a_stay_is_beyond_the_limit_by_the_mean_and_the_mean_difference_of_neighbours(
    case: Case, template: Path, tmp_path: Path
) -> None:
    with made("time-in-status", case, template, tmp_path) as (report, truth):
        ended = [s for s in truth.stays() if truth.within(s.until)]
        expected, beyond = {}, 0
        for status, mine in by(ended, lambda s: s.status).items():
            if len(mine) < 8:
                continue
            took = [_hours(truth, s) for s in sorted(mine, key=lambda s: s.until or s.since)]
            mean = sum(took) / len(took)
            upper = mean + 2.66 * sum(abs(b - a) for a, b in pairwise(took)) / (len(took) - 1)
            over = sum(value > upper for value in took)
            beyond += over
            expected[status] = (len(mine), approx(mean), approx(upper), over)
        got = {
            row["status"]: (row["stays"], _as_hours(row["mean"]), _as_hours(row["upper"]), row["beyond"])
            for row in rows(report, "limits")
        }
        assert got == expected
        assert figure(report, "beyond") == beyond


def _hours(truth: Truth, stay: Stay) -> float:
    assert stay.until is not None
    return truth.open_time(stay.since, stay.until) / timedelta(hours=1)


def _as_hours(cell: object) -> float:
    assert isinstance(cell, timedelta)
    return cell / timedelta(hours=1)


# --- R5 -------------------------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds())
def test_reopenings_are_told_by_assignee_type_version_and_way_back(case: Case, template: Path, tmp_path: Path) -> None:
    with made("reopened", case, template, tmp_path) as (report, truth):
        found = []
        for life in truth.lives.values():
            earlier = False
            for stay, after in zip(life, [*life[1:], None], strict=True):
                if stay.status not in truth.held.resolved:
                    continue
                came = after if after and after.since - stay.since <= truth.held.reopened_within else None
                if truth.within(stay.since):
                    found.append((stay, came, truth.world.watermark - stay.since > truth.held.reopened_within, earlier))
                earlier = True
        kinds: dict[str, Callable[[Stay], str]] = {
            "assignee": lambda s: truth.told(s.ticket, "Assigné à", s.since),
            "type": lambda s: TYPES[s.ticket.type],  # type: ignore[index]
            "version": lambda s: truth.told(s.ticket, "Version", s.since),
        }
        for name, kind in kinds.items():
            expected = {}
            for group, mine in by(found, lambda f, kind=kind: kind(f[0])).items():  # type: ignore[misc]
                old = [f for f in mine if f[2]]
                first = [f for f in old if not f[3]]
                expected[group] = (
                    len(mine),
                    len(old),
                    sum(f[1] is not None for f in mine),
                    part(sum(f[1] is not None for f in old), len(old)),
                    part(sum(f[1] is None for f in first), len(first)),
                )
            got = {
                row[name]: (row["resolutions"], row["known"], row["reopened"], row["share"], row["right"])
                for row in rows(report, f"by-{name}")
            }
            assert got == expected
        ways = Counter((came.status, LABEL[came.move.party]) for _, came, _, _ in found if came is not None)
        assert counts(report, "by-way-back", ("to", "party"), "reopened") == ways


# --- R7, R8, R9, R10 ------------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds())
def test_service_times_are_told_by_type_project_and_month(case: Case, template: Path, tmp_path: Path) -> None:
    with made("service-times", case, template, tmp_path) as (report, truth):
        each = rows(report, "tickets")  # held against the calendar by another test
        names = ("answer", "taken-up", "resolved")
        assert figure(report, "created") == len(each)
        assert figure(report, "unanswered") == sum(row["answer"] is None for row in each)
        assert figure(report, "unresolved") == sum(row["resolved"] is None for row in each)
        for name, row in zip(names, rows(report, "measures"), strict=False):
            calendar, business = _known(each, name), _known(each, f"{name}-business")
            assert row | {"measure": ""} == {
                "measure": "",
                "reached": len(calendar),
                "share": part(len(calendar), len(each)),
                "median-business": rank(business, 50),
                "p85-business": rank(business, 85),
                "max-business": max(business, default=None),
                "median": rank(calendar, 50),
                "p85": rank(calendar, 85),
                "missing": len(each) - len(calendar),
            }
        tickets = {ticket.id: ticket for ticket in truth.world.tickets}
        groups: dict[str, Callable[[dict[str, object]], str]] = {
            "type": lambda row: TYPES[tickets[row["ticket"]].type],  # type: ignore[index]
            "project": lambda row: PROJECTS[tickets[row["ticket"]].project][1],  # type: ignore[index]
            "month": lambda row: f"{row['created'].astimezone(truth.held.zone):%Y-%m}",  # type: ignore[attr-defined]
        }
        for key, group in groups.items():
            expected = {
                name: (len(mine), *(rank(_known(mine, f"{what}-business"), 50) for what in names))
                for name, mine in by(each, group).items()
            }
            assert {
                row[key]: (row["created"], *(row[f"{what}-median"] for what in names))
                for row in rows(report, f"by-{key}")
            } == expected


def _known(some: Sequence[dict[str, object]], key: str) -> list[timedelta]:
    return [value for row in some if isinstance(value := row[key], timedelta)]


@on_random_histories
@given(case=worlds())
def test_missing_reasons_and_closings_are_told_by_status_person_and_type(
    case: Case, template: Path, tmp_path: Path
) -> None:
    with made("without-reason", case, template, tmp_path) as (report, truth):
        each = rows(report, "moves")
        assert figure(report, "open") == sum(row["reason"] == "there is still time" for row in each)
        for key, names in (("by-status", ("to",)), ("by-person", ("person", "party"))):
            expected = {
                name: (
                    len(mine),
                    sum(row["reason"] == "none" for row in mine),
                    part(
                        sum(row["reason"] == "none" for row in mine),
                        sum(row["reason"] != "there is still time" for row in mine),
                    ),
                )
                for name, mine in by(each, lambda row, names=names: tuple(row[n] for n in names)).items()  # type: ignore[misc]
            }
            got = {tuple(r.values())[: len(names)]: tuple(r.values())[len(names) :] for r in rows(report, key)}
            assert got == expected
    with made("closed", case, template, tmp_path) as (report, truth):
        each = rows(report, "closings")
        types = Counter(row["type"] for row in each)
        assert counts(report, "by-type", ("type",), "closed") == types
        assert types == Counter(TYPES[_ticket(truth, row["ticket"]).type] for row in each)  # type: ignore[index]
        others = {
            name: (
                sum(row["another"] == "yes" for row in mine),
                part(sum(row["another"] == "yes" for row in mine), sum(row["another"] != "not known" for row in mine)),
            )
            for name, mine in by(each, lambda row: row["person"]).items()
        }
        shares = {row["person"]: (row["by-another"], row["by-another-share"]) for row in rows(report, "by-person")}
        assert shares == others


def _ticket(truth: Truth, number: object) -> Ticket:
    return next(ticket for ticket in truth.world.tickets if ticket.id == number)


@on_random_histories
@given(case=worlds())
def test_waiting_adds_up_by_party_project_and_number_of_turns(case: Case, template: Path, tmp_path: Path) -> None:
    with made("whose-clock", case, template, tmp_path) as (report, truth):
        each = rows(report, "tickets")
        parties = ("cegape", "client", "nobody")
        whole = sum((_sum(each, f"business-{party}") for party in parties), timedelta(0))
        for party, row in zip(parties, rows(report, "by-party"), strict=bool(each)):
            waited = [r for r in each if r[f"calendar-{party}"] is not None]
            business = _sum(each, f"business-{party}")
            assert row | {"party": ""} == {
                "party": "",
                "tickets": len(waited),
                "business": business,
                "share": approx(business / whole) if whole else None,
                "median-business": rank(_known(waited, f"business-{party}"), 50),
                "p85-business": rank(_known(waited, f"business-{party}"), 85),
                "calendar": _sum(each, f"calendar-{party}"),
            }
            assert figure(report, f"waits-{party}") == row["share"]
        for row in rows(report, "by-project"):
            mine = [r for r in each if PROJECTS[_ticket(truth, r["ticket"]).project][1] == row["project"]]  # type: ignore[index]
            assert row["tickets"] == len(mine)
            for party in parties:
                assert row[f"business-{party}"] == _sum(mine, f"business-{party}")
            assert row["turns"] == approx(sum(int(str(r["turns"])) for r in mine) / len(mine))
        turns = Counter(min(int(str(r["turns"])), 6) for r in each)
        told = [row["tickets"] for row in rows(report, "by-turns")]
        assert told == ([turns[n] for n in range(len(told))] if each else [])
        assert figure(report, "back-and-forth") == sum(count for n, count in turns.items() if n > 1)


def _sum(some: Sequence[dict[str, object]], key: str) -> timedelta:
    return sum(_known(some, key), timedelta(0))


@on_random_histories
@given(case=worlds())
def test_each_day_ends_with_what_stood_in_each_status(case: Case, template: Path, tmp_path: Path) -> None:
    with made("flow", case, template, tmp_path) as (report, truth):
        names = [c.title for c in table(report, "by-status").columns[1:]]
        for first, *cells in table(report, "by-status").rows:
            assert isinstance(first, date)
            end = Period(first, first, truth.held.zone).until - timedelta(microseconds=1)
            stood = Counter(
                status for t in truth.world.tickets if truth.is_open(status := truth.status_at(t, end)) and status
            )
            assert {name: cell for name, cell in zip(names, cells, strict=True) if cell} == stood
        end = truth.until - timedelta(microseconds=1)
        assert figure(report, "open") == sum(truth.is_open(truth.status_at(t, end)) for t in truth.world.tickets)
        for key, what in (("arrived", "arrived"), ("left", "closed"), ("returned", "returned")):
            assert figure(report, key) == Counter(column(report, "moves", "what"))[what]


# --- R11 ------------------------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds(), days=st.integers(-3, 3))
def test_rules_and_exemptions_are_told_with_what_they_did(
    case: Case, days: int, template: Path, tmp_path: Path
) -> None:
    world, period = case
    until = (world.now + timedelta(days=days)).date()
    text = (CONFIG / "cegape.yaml").read_text(encoding="utf-8")
    text += f"exemptions:\n  - {{id: an-exemption, people: 59, until: {until}, owner: me, reason: a test}}\n"
    changed = load(text, "p.yaml")
    with reported(template, tmp_path, period, world, held=ALL_SUNDAY, policy=changed) as desk:
        report, truth = catalog.make("policy", desk), Truth(world, period, ALL_SUNDAY)
        inside = [m for _, _, m in moves_in(truth)]
        ever = [m for t in world.tickets for m in t.moves]
        [row] = rows(report, "exemptions")
        assert (row["exemption"], row["owner"], row["reason"]) == ("an-exemption", "me", "a test")
        assert row["used"] == sum(map(_exempted, inside))
        assert row["ever"] == sum(map(_exempted, ever))
        in_force = world.now < changed.exemptions[0].until
        assert row["state"] == ("in force" if in_force else "expired")
        assert figure(report, "exemptions") == int(in_force)
        for row in rows(report, "rules"):
            mine = [m for m in inside if m.verdict == "illegal" and m.rule == row["rule"]]
            assert row["objected"] == row["strictest"] == len(mine)
            assert row["put-back"] == sum(m.put_back is not None for m in mine)
            assert row["last"] == max(
                (m.at for m in ever if m.verdict == "illegal" and m.rule == row["rule"]), default=None
            )
        would = [
            (t.id, m)
            for t, _, m in moves_in(truth)
            if m.verdict == "illegal" and m.mode is Mode.OBSERVE and m.party == "client"
        ]
        expected = {
            rule: (
                len(mine),
                len({m.person for _, m in mine}),
                len({id_ for id_, _ in mine}),
                max(m.at for _, m in mine),
            )
            for rule, mine in by(would, lambda each: each[1].rule).items()
        }
        assert {
            row["rule"]: (row["moves"], row["people"], row["tickets"], row["last"]) for row in rows(report, "observed")
        } == expected


def _exempted(move: Move) -> bool:
    return move.verdict == "exempted" or (move.verdict == "illegal" and move.mode is Mode.OBSERVE)


# --- R12 ------------------------------------------------------------------------------------------------------------

CELL = timedelta(minutes=10)
DAYS = Period(date(2026, 10, 24), date(2026, 10, 26), ALL_SUNDAY.zone)
"""Three days, one of 25 hours."""
HOUR = timedelta(hours=1)


@on_random_histories
@given(
    looks=st.lists(st.integers(-50, 6 * 80), max_size=25, unique=True),
    seals=st.lists(st.tuples(st.integers(-50, 6 * 80), st.integers(0, 3), st.integers(0, 3)), max_size=4),
    now=st.integers(6 * 24, 6 * 90),
)
def test_the_bridge_looked_when_no_hour_around_a_moment_is_without_a_cycle(
    looks: list[int], seals: list[tuple[int, int, int]], now: int, template: Path, tmp_path: Path
) -> None:
    moment = DAYS.since + CELL * now
    cycles = sorted(at for n in looks if (at := DAYS.since + CELL * n) <= moment)
    told = [(at, done, missed) for n, done, missed in sorted(seals) if (at := DAYS.since + CELL * n) <= moment]
    path, key = fresh(template, tmp_path), SigningKey.create(tmp_path / f"{uuid4()}.pem")
    clock = [LONG_AGO]
    with Ledger.open(f"sqlite:///{path}", now=lambda: clock[0]) as ledger:
        for number, at in enumerate(cycles):
            ledger.record(EntryKind.CYCLE, {"snapshot": number % 2 == 0, "read": number, "requests": 2}, at)
        for at, done, missed in told:
            clock[0] = at
            for _ in range(done):
                ledger.observe([], at=at, watermark=at)
            if missed:
                ledger.record(EntryKind.MISSED, {"cycles": missed}, at)
            seal(ledger, key)
    with desk_on(f"sqlite:///{path}", DAYS, World((), moment, moment), held=ALL_SUNDAY) as desk:
        report = catalog.make("completeness", desk)
    lost, at = timedelta(0), DAYS.since
    while at < min(DAYS.until, moment):
        before = [c for c in cycles if c <= at]
        after = [c for c in cycles if c > at] or [moment]
        if before and after[0] - before[-1] > HOUR:
            lost += CELL
        at += CELL
    assert figure(report, "gaps") == lost
    assert sum((d for d in column(report, "gaps", "duration") if isinstance(d, timedelta)), timedelta(0)) == lost
    inside = [n for n, c in enumerate(cycles) if DAYS.since <= c < DAYS.until]
    polls = [(done, missed) for at, done, missed in told if DAYS.since <= at < DAYS.until]
    counted = [sum(done for done, _ in polls), sum(missed for _, missed in polls)]
    if inside or any(counted):
        assert column(report, "reading", "count") == [
            *counted,
            sum(n % 2 == 0 for n in inside),
            sum(inside),
            0,
            0,
            2 * len(inside),
        ]
    assert figure(report, "missed") == counted[1]
    check_that_counts_have_rows(report)
    parts = [
        [str(done) for done, _ in polls if done],
        [str(missed) for _, missed in polls if missed],
        ["yes" for n in inside if n % 2 == 0],
        [str(n) for n in inside if n],
    ]
    said = ("polls done", "polls missed", "comparison with every visible ticket", "tickets read")
    for row, part_of, name in zip(table(report, "reading").rows, parts, said, strict=False):
        details = [str(each) for each in behind(report, row[1], "detail")]
        assert sorted(re.findall(rf"{name}: (\w+)", "; ".join(details))) == sorted(part_of)
        assert len(details) == len(part_of)
    assert len(column(report, "checkpoints", "time")) == len(polls)
    assert counts(report, "by-kind", ("what",), "count").get("missed cycles", 0) == sum(bool(m) for _, m in polls)


def test_a_period_in_which_nobody_looked_is_one_gap(template: Path, tmp_path: Path) -> None:
    path, now = fresh(template, tmp_path), datetime(2026, 11, 24, 12, tzinfo=UTC)
    with Ledger.open(f"sqlite:///{path}", now=lambda: now) as ledger:
        ledger.record(EntryKind.CYCLE, {"snapshot": True}, datetime(2026, 9, 1, tzinfo=UTC))
    with desk_on(f"sqlite:///{path}", DAYS, World((), now, now), held=ALL_SUNDAY) as desk:
        report = catalog.make("completeness", desk)
    assert figure(report, "gaps") == DAYS.until - DAYS.since == 73 * HOUR


def test_the_mirror_is_told_with_what_it_holds_beyond_the_servers_own_list(template: Path, tmp_path: Path) -> None:
    path, now = fresh(template, tmp_path), datetime(2026, 10, 26, 12, tzinfo=UTC)
    tickets = tuple(Ticket(n, (Move(now, "NOUVEAU", 59, "client"),)) for n in (1, 2, 3))
    write(f"sqlite:///{path}", World((*tickets[:2], replace(tickets[2], vanished=now)), now, now))
    with Ledger.open(f"sqlite:///{path}", now=lambda: now) as ledger:
        ledger.record(EntryKind.CYCLE, {"snapshot": True, "listed": 1}, now)
    with desk_on(f"sqlite:///{path}", DAYS, World((), now, now), held=ALL_SUNDAY) as desk:
        assert column(catalog.make("completeness", desk), "mirror", "count")[:4] == [1, 2, 1, 1]


def test_before_the_first_cycle_nobody_is_said_to_have_looked(template: Path, tmp_path: Path) -> None:
    path, now = fresh(template, tmp_path), datetime(2026, 11, 24, 12, tzinfo=UTC)
    with desk_on(f"sqlite:///{path}", DAYS, World((), now, now), held=ALL_SUNDAY) as desk:
        assert table(catalog.make("completeness", desk), "gaps").none == "No cycle was recorded in this period."


# --- C1, C2, and one ticket -----------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds())
def test_a_client_sees_what_was_closed_and_each_of_their_moves_that_was_put_back(
    case: Case, template: Path, tmp_path: Path
) -> None:
    with made("my-requests", case, template, tmp_path, person=59) as (report, truth):
        mine = [life for life in truth.lives.values() if life and life[0].created and life[0].move.person == 59]
        closings = Counter(
            (stay.ticket.id, stay.since, stay.status)
            for life in mine
            for before, stay in pairwise([None, *life])
            if stay is not None
            and not truth.is_open(stay.status)
            and (before is None or truth.is_open(before.status))
            and truth.within(stay.since)
        )
        got = zip(*(column(report, "closed", key) for key in ("ticket", "time", "to")), strict=True)
        assert Counter(got) == closings
        assert figure(report, "closed") == closings.total()
        statuses = Counter(column(report, "requests", "status"))
        assert counts(report, "by-status", ("status",), "open") == statuses
    with made("my-reverted-moves", case, template, tmp_path, person=59) as (report, truth):
        put_back = [m for _, _, m in moves_in(truth) if m.person == 59 and m.put_back is not None]
        got = zip(*(column(report, "moves", key) for key in ("time", "from", "instead")), strict=True)
        assert Counter(got) == Counter((m.at, m.to, "EN ATTENTE") for m in put_back)
        assert counts(report, "by-rule", ("rule",), "put-back") == Counter(m.rule for m in put_back)
        assert figure(report, "rules") == len({m.rule for m in put_back})
        tickets = {t.id for t, _, m in moves_in(truth) if m in put_back}
        assert Counter(behind(report, raw(report, "tickets"), "ticket")) == Counter(tickets)


def test_a_rule_is_one_row_for_its_breaker_whether_an_exemption_covered_another_or_not(
    template: Path, tmp_path: Path
) -> None:
    def broken(minute: int, mode: Mode) -> Move:
        at = datetime(2026, 3, 24, 9, minute, tzinfo=UTC)
        return Move(at, "REJETE", 59, "client", "illegal", "a-rule", mode, put_back=timedelta(minutes=1))

    moves = tuple(broken(minute, mode) for minute, mode in enumerate((Mode.ENFORCE, Mode.OBSERVE)))
    case = (
        World((Ticket(1, moves),), DAYS.until, DAYS.until),
        Period(date(2026, 3, 24), date(2026, 3, 24), ALL_SUNDAY.zone),
    )
    with made("my-reverted-moves", case, template, tmp_path, person=59) as (report, _):
        assert counts(report, "by-rule", ("rule",), "put-back") == Counter({"a-rule": 2})


@on_random_histories
@given(case=worlds())
def test_one_tickets_life_tells_each_move_once_with_what_became_of_it(
    case: Case, template: Path, tmp_path: Path
) -> None:
    world, period = case
    with reported(template, tmp_path, period, world, held=ALL_SUNDAY) as desk:
        for ticket in world.tickets:
            report = explain(desk, ticket.id)  # type: ignore[arg-type]
            keys = ("time", "person", "to", "outcome")
            got = list(zip(*(column(report, "moves", key) for key in keys), strict=True))
            assert got == [
                (m.at, PEOPLE[m.person], m.to, "the bridge's own move" if m.own else outcome(m)) for m in ticket.moves
            ]
            assert len(set(column(report, "moves", "entry"))) == len(ticket.moves)
            illegal = [m for m in ticket.moves if m.verdict == "illegal"]
            assert figure(report, "moves") == len(ticket.moves)
            assert figure(report, "illegal") == len(illegal)
            assert figure(report, "put-back") == sum(m.put_back is not None for m in illegal)


# --- Since the last one ---------------------------------------------------------------------------------------------


@on_random_histories
@given(case=worlds())
def test_a_comparison_is_with_the_report_of_the_days_before(case: Case, template: Path, tmp_path: Path) -> None:
    world, period = case
    days = period.last - period.first + timedelta(days=1)
    before = Period(period.first - days, period.first - timedelta(days=1), period.zone)
    assert before == period.before() or period.first.day == 1
    with reported(template, tmp_path, period, world, held=ALL_SUNDAY) as desk:
        report = compared("violations", desk)
    earlier = [
        m
        for t in world.tickets
        for m in t.moves
        if before.since <= m.at < before.until and m.verdict == "illegal" and not m.own
    ]
    [told] = [each for each in report.figures if each.key == "illegal"]
    assert told.compared
    assert getattr(told.before, "total", None) == len(earlier)

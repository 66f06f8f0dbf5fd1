"""Every report's numbers are those of a reader who counts by hand, over random histories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from bridge.domain.model import Mode
from bridge.reports import catalog
from bridge.reports.definitions.explain import explain
from bridge.reports.period import Period
from bridge.reports.values import Kind, Report, Table, Tally
from bridge.store.facts import Outcome
from tests.reports.oracle import Truth, rank
from tests.reports.strategies import ALL_SUNDAY, worlds
from tests.reports.world import PEOPLE, POLICY, Move, Ticket, World, reported

LABEL = {"cegape": "CEGAPE", "client": "the client", None: "unknown party"}

on_random_histories = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@contextmanager
def made(
    name: str, case: tuple[World, Period], template: Path, folder: Path, **more: object
) -> Iterator[tuple[Report, Truth]]:
    world, period = case
    with reported(template, folder, period, world, held=ALL_SUNDAY, **more) as desk:
        yield catalog.make(name, desk), Truth(world, period, ALL_SUNDAY)


def table(report: Report, key: str) -> Table:
    return next(each for each in report.all_tables if each.key == key)


def column(report: Report, key: str, name: str) -> list[object]:
    chosen = table(report, key)
    place = next(n for n, c in enumerate(chosen.columns) if c.key == name)
    return [_value(row[place]) for row in chosen.rows]


def counts(report: Report, key: str, names: tuple[str, ...], value: str) -> dict[object, object]:
    labels = zip(*(column(report, key, name) for name in names), strict=True)
    groups = [label if len(names) > 1 else label[0] for label in labels]
    assert len(groups) == len(set(groups))
    return dict(zip(groups, column(report, key, value), strict=True))


def figure(report: Report, key: str) -> object:
    return next(_value(f.value) for f in report.figures if f.key == key)


def _value(cell: object) -> object:
    return cell.total if isinstance(cell, Tally) else cell


def approx(share: float | None) -> object:
    return None if share is None else pytest.approx(share)


def _days(period: Period) -> list[date]:
    return [period.first + timedelta(days=n) for n in range(period.days)]


def moves_in(truth: Truth) -> list[tuple[Ticket, int, Move]]:
    return [
        (ticket, number, move)
        for ticket in truth.world.tickets
        for number, move in enumerate(ticket.moves)
        if truth.within(move.at)
    ]


@on_random_histories
@given(case=worlds())
def test_illegal_moves_are_counted_by_everything_they_have_in_common(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("violations", case, template, tmp_path) as (report, truth):
        illegal = [(t, n, m) for t, n, m in moves_in(truth) if m.verdict == "illegal"]
        judged = [m for _, _, m in moves_in(truth) if not m.own]
        assert figure(report, "illegal") == len(illegal)
        assert figure(report, "share") == approx(len(illegal) / len(judged) if judged else None)
        assert figure(report, "undecided") == sum(m.verdict == "undecided" for m in judged)
        assert figure(report, "put-back") == sum(m.put_back is not None for _, _, m in illegal)
        assert figure(report, "observed") == sum(m.mode is Mode.OBSERVE for _, _, m in illegal)
        assert counts(report, "by-rule", ("rule",), "illegal") == Counter(m.rule for _, _, m in illegal)
        assert counts(report, "by-person", ("person",), "illegal") == Counter(PEOPLE[m.person] for _, _, m in illegal)
        pairs = Counter(
            (t.moves[n - 1].to if n else "(created)" if t.created else "unknown", m.to) for t, n, m in illegal
        )
        assert counts(report, "by-move", ("from", "to"), "illegal") == pairs
        hours = Counter(f"{m.at.astimezone(truth.held.zone):%H}:00" for _, _, m in illegal)
        assert {k: v for k, v in counts(report, "by-hour", ("hour",), "illegal").items() if v} == hours
        days = Counter(m.at.astimezone(truth.held.zone).date() for _, _, m in illegal)
        begun = [day for day in _days(truth.period) if Period(day, day, truth.held.zone).since < truth.end]
        assert column(report, "trend", "day") == (begun if illegal else [])
        assert {k: v for k, v in counts(report, "trend", ("day",), "illegal").items() if v} == days
        by_party = counts(report, "by-party", ("party",), "moves")
        assert {k: v for k, v in by_party.items() if v} == Counter(LABEL[m.party] for m in judged)
        often = Counter((PEOPLE[m.person], m.rule) for _, _, m in illegal)
        least = truth.held.repeat_offender
        assert counts(report, "repeat-offenders", ("person", "rule"), "illegal") == {
            who: count for who, count in often.items() if count >= least
        }
        assert len(report.rows.rows) == len(illegal) + sum(m.verdict == "undecided" for m in judged)


@on_random_histories
@given(case=worlds())
def test_every_count_leads_to_as_many_rows_as_it_says_and_to_the_right_ones(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    world, period = case
    with reported(template, tmp_path, period, world, held=ALL_SUNDAY, projects=frozenset({11, 13})) as desk:
        for name in catalog.REPORTS:
            report = catalog.make(name, desk)
            for each in report.all_tables:
                assert all(len(row) == len(each.columns) for row in each.rows), (name, each.key)
        by_rule = catalog.make("violations", desk)
        place = next(n for n, c in enumerate(by_rule.rows.columns) if c.key == "rule")
        for rule, tally in ((row[0], row[2]) for row in table(by_rule, "by-rule").rows):
            assert isinstance(tally, Tally)
            assert {by_rule.rows.rows[n][place] for n in tally.rows} == {rule}


AS_IT_IS_NOW = "told as it is now: no event of the period"
IN_THE_POLICY = "counted in the policy, not in the ledger"
ROWS_ELSEWHERE = {
    ("violations", "by-party", "moves"): "allowed moves are only counted, to tell a share of them",
    ("flow", "by-time", "open"): "the report on ages with that day as its last has them",
    ("flow", "by-status", "status-*"): "the report on ages with that day as its last has them",
    ("policy", "", "rules"): IN_THE_POLICY,
    ("policy", "", "never"): IN_THE_POLICY,
    ("policy", "", "exemptions"): IN_THE_POLICY,
    ("policy", "exemptions", "ever"): "in the whole ledger, not in the period",
    ("completeness", "", "unsynced"): AS_IT_IS_NOW,
    ("completeness", "mirror", "count"): AS_IT_IS_NOW,
    ("completeness", "checkpoints", "entries"): "how long the record was",
    ("my-requests", "", "closed"): "a table of its own, with the ledger's entries",
}
"""Counts that lead to no rows of their report, and why: report, table (none: a figure), key."""

SUMS = {
    ("reverts", "outcomes", "conflicts"),
    ("completeness", "", "missed"),
    ("completeness", "reading", "count"),
}
"""Not how many rows there are, but what is said in them."""


def counts_of(report: Report) -> Iterator[tuple[tuple[str, str, str], object]]:
    """Every count of a report, by where it stands. A number in a row that names its entry is that entry's own."""
    for each in report.figures:
        if each.kind is Kind.COUNT:
            yield (report.name, "", each.key), each.value
    for one in report.all_tables:
        if any(c.kind is Kind.ENTRY for c in one.columns):
            continue
        for place, c in enumerate(one.columns):
            if c.kind is Kind.COUNT:
                for row in one.rows:
                    yield (report.name, one.key, re.sub(r"^status-.*", "status-*", c.key)), row[place]


def check_that_counts_have_rows(report: Report) -> None:
    for where, cell in counts_of(report):
        if where in ROWS_ELSEWHERE:
            assert not isinstance(cell, Tally), where
            continue
        assert isinstance(cell, Tally), where
        assert len(cell.rows) == len(set(cell.rows)), where
        assert cell.total == len(cell.rows) or where in SUMS, where
        assert all(0 <= place < len(report.rows.rows) for place in cell.rows), where
    entry = next(n for n, c in enumerate(report.rows.columns) if c.kind is Kind.ENTRY)
    assert all(isinstance(row[entry], int) for row in report.rows.rows), report.name


@on_random_histories
@given(case=worlds())
def test_every_count_of_every_report_leads_to_its_rows_and_their_entries_but_for_the_named_ones(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    world, period = case
    with reported(template, tmp_path, period, world, held=ALL_SUNDAY, projects=frozenset({11, 13})) as desk:
        for name in catalog.REPORTS:
            check_that_counts_have_rows(catalog.make(name, desk))
        for ticket in world.tickets:
            check_that_counts_have_rows(explain(desk, ticket.id))  # type: ignore[arg-type]
        mine = catalog.make("my-requests", desk)
        closed = table(mine, "closed")
        assert figure(mine, "closed") == len(closed.rows)
        assert closed.columns[-1].kind is Kind.ENTRY


def behind(report: Report, value: object, name: str) -> list[object]:
    """What the rows behind a count say in a column."""
    assert isinstance(value, Tally)
    place = next(n for n, c in enumerate(report.rows.columns) if c.key == name)
    return [report.rows.rows[n][place] for n in value.rows]


def raw(report: Report, key: str) -> object:
    return next(f.value for f in report.figures if f.key == key)


@on_random_histories
@given(case=worlds())
def test_behind_people_and_tickets_stands_one_row_each_and_behind_never_there_whoever_was_not(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("violations", case, template, tmp_path) as (report, truth):
        people = {PEOPLE[m.person] for _, _, m in moves_in(truth) if m.verdict == "illegal"}
        assert Counter(behind(report, raw(report, "people"), "person")) == Counter(people)
    with made("closed", case, template, tmp_path) as (report, _):
        assert Counter(behind(report, raw(report, "people"), "person")) == Counter(
            set(column(report, "closings", "person"))
        )
    with made("time-in-status", case, template, tmp_path) as (report, truth):
        alive = {t.id for t in truth.world.tickets if truth.lives[t.id] and truth.lives[t.id][0].since < truth.until}
        assert sorted(behind(report, raw(report, "tickets"), "ticket")) == sorted(alive)  # type: ignore[type-var]
        by_status = table(report, "by-status")
        keys = [c.key for c in by_status.columns]
        for row in by_status.rows:
            seen = {s.ticket.id for s in truth.stays() if s.status == row[0] and s.since < truth.until}
            assert Counter(behind(report, row[keys.index("never")], "ticket")) == Counter(alive - seen)
            ended = {s.ticket.id for s in truth.stays() if s.status == row[0] and truth.within(s.until)}
            assert Counter(behind(report, row[keys.index("tickets")], "ticket")) == Counter(ended)
    with made("flow", case, template, tmp_path) as (report, truth):
        for key, at in (("before", truth.since), ("open", truth.end)):
            just_before = at - timedelta(microseconds=1)
            open_ = {t.id for t in truth.world.tickets if truth.is_open(truth.status_at(t, just_before))}
            assert Counter(behind(report, raw(report, key), "ticket")) == Counter(open_)


@on_random_histories
@given(case=worlds())
def test_reverts_are_counted_by_outcome_and_by_how_long_moves_stood(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("reverts", case, template, tmp_path) as (report, truth):
        tried = [
            (m, m.at + (m.put_back or timedelta(minutes=1)))
            for t in truth.world.tickets
            for m in t.moves
            if m.put_back is not None or m.outcome is not Outcome.EXPLAINED
        ]
        mine = [m for m, at in tried if truth.within(at)]
        waited = [m.put_back for m in mine if m.put_back is not None]
        assert figure(report, "tried") == len(mine)
        assert figure(report, "done") == len(waited)
        assert figure(report, "lost") == sum(m.outcome is Outcome.SUPERSEDED for m in mine)
        assert figure(report, "p50") == rank(waited, 50)
        assert figure(report, "p95") == rank(waited, 95)
        assert figure(report, "max") == max(waited, default=None)
        outcomes = counts(report, "outcomes", ("outcome",), "reverts") if mine else {}
        if mine:
            assert outcomes["refused by OpenProject"] == sum(m.outcome is Outcome.REFUSED for m in mine)
            assert outcomes["given up: not proven well enough"] == sum(m.outcome is Outcome.GIVEN_UP for m in mine)
        assert sum(m.conflicts for m in mine) == sum(
            n for n in column(report, "outcomes", "conflicts") if isinstance(n, int)
        )
        for row in table(report, "outcomes").rows:
            assert [n for n in behind(report, row[3], "conflicts") if n] == behind(report, row[3], "conflicts")
            assert sum(behind(report, row[3], "conflicts")) == _value(row[3])  # type: ignore[arg-type]
        assert sum(n for n in column(report, "times", "reverts") if isinstance(n, int)) == len(waited)


@on_random_histories
@given(case=worlds())
def test_stays_are_measured_on_the_calendar_and_in_business_hours_and_never_is_not_zero(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("time-in-status", case, template, tmp_path) as (report, truth):
        alive = [t for t in truth.world.tickets if truth.lives[t.id] and truth.lives[t.id][0].since < truth.until]
        assert figure(report, "tickets") == len(alive)
        before = [s for s in truth.stays() if s.since < truth.until]
        ended = [s for s in before if truth.within(s.until)]
        assert figure(report, "stays") == len(ended)
        for status in {s.status for s in before}:
            mine = [s for s in ended if s.status == status]
            calendar = [s.until - s.since for s in mine if s.until]
            business = [truth.open_time(s.since, s.until) for s in mine if s.until]
            row = dict(zip((c.key for c in table(report, "by-status").columns), _row(report, status), strict=True))
            assert row["stays"] == len(mine)
            assert row["median"] == rank(calendar, 50)
            assert row["p85"] == rank(calendar, 85)
            assert row["median-business"] == rank(business, 50)
            assert row["p85-business"] == rank(business, 85)
            ongoing = [s for s in before if s.status == status and (s.until is None or s.until >= truth.until)]
            assert row["ongoing"] == len(ongoing)
            assert row["never"] == len(alive) - len({s.ticket.id for s in before if s.status == status})
        assert {row[0] for row in table(report, "by-status").rows} == {s.status for s in before}


def _waits_on(truth: Truth, status: str | None) -> str | None:
    return {str(name): str(party) for name, party in truth.held.waits_on.items()}.get(str(status))


def _row(report: Report, first: str) -> list[object]:
    return next([_value(c) for c in row] for row in table(report, "by-status").rows if row[0] == first)


@on_random_histories
@given(case=worlds())
def test_open_tickets_have_the_age_that_a_calendar_shows(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("ages", case, template, tmp_path) as (report, truth):
        open_ = {t.id: t for t in truth.world.tickets if truth.is_open(truth.status_at(t, truth.end))}
        ages = [truth.end - truth.lives[id_][0].since for id_ in open_]
        assert sorted(column(report, "tickets", "ticket")) == sorted(open_)  # type: ignore[type-var]
        assert figure(report, "open") == len(open_)
        assert figure(report, "median") == rank(ages, 50)
        assert figure(report, "oldest") == max(ages, default=None)
        statuses = Counter(truth.status_at(t, truth.end) for t in open_.values())
        assert counts(report, "by-status", ("status",), "open") == statuses
        waits = Counter(LABEL[whose] if (whose := _waits_on(truth, s)) else "nobody" for s in statuses.elements())
        assert counts(report, "by-party", ("waits-on",), "open") == waits
        in_business = dict(
            zip(column(report, "tickets", "ticket"), column(report, "tickets", "in-status-business"), strict=True)
        )
        for id_ in open_:
            stay = next(
                s for s in truth.lives[id_] if s.since <= truth.end and (s.until is None or truth.end < s.until)
            )
            assert in_business[id_] == truth.open_time(stay.since, truth.end)


@on_random_histories
@given(case=worlds())
def test_reopenings_count_only_what_is_old_enough_and_right_the_first_time_only_the_first(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("reopened", case, template, tmp_path) as (report, truth):
        window, resolved = truth.held.reopened_within, truth.held.resolved
        found = []
        for life in truth.lives.values():
            earlier = False
            for stay in life:
                if stay.status not in resolved:
                    continue
                back = stay.until is not None and stay.until - stay.since <= window
                old = truth.world.watermark - stay.since > window
                if truth.within(stay.since):
                    found.append((back, old, not earlier))
                earlier = True
        old_ones = [f for f in found if f[1]]
        first = [f for f in old_ones if f[2]]
        assert figure(report, "resolutions") == len(found)
        assert figure(report, "reopened") == sum(back for back, _, _ in found)
        assert figure(report, "open") == len(found) - len(old_ones)
        assert figure(report, "share") == approx(sum(b for b, _, _ in old_ones) / len(old_ones) if old_ones else None)
        assert figure(report, "right") == approx(sum(not b for b, _, _ in first) / len(first) if first else None)


@on_random_histories
@given(case=worlds())
def test_closings_by_another_than_the_author_need_a_known_author(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("closed", case, template, tmp_path) as (report, truth):
        found = []
        for life in truth.lives.values():
            for before, stay in pairwise([None, *life]):
                assert stay is not None
                fresh = before is None or before.status not in POLICY.closed
                if stay.status in POLICY.closed and fresh and truth.within(stay.since):
                    author = life[0].move.person if life[0].created else None
                    found.append((stay, author))
        assert figure(report, "closed") == len(found)
        assert figure(report, "by-another") == sum(a is not None and a != s.move.person for s, a in found)
        assert counts(report, "by-status", ("status",), "closed") == Counter(s.status for s, _ in found)
        assert counts(report, "by-person", ("person",), "closed") == Counter(PEOPLE[s.move.person] for s, _ in found)
        assert counts(report, "by-party", ("party",), "closed") == Counter(LABEL[s.move.party] for s, _ in found)


@on_random_histories
@given(case=worlds())
def test_service_times_run_only_while_the_clock_runs(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    from tests.reports.world import STAFF

    with made("service-times", case, template, tmp_path) as (report, truth):
        held = truth.held
        expected = {}
        for ticket in truth.world.tickets:
            life = truth.lives[ticket.id]
            if not life or not life[0].created or not truth.within(life[0].since):
                continue
            born = life[0].since
            answers = [s.since for s in life[1:] if s.move.party == held.answers]
            answers += [at for at, person in truth.words(ticket) if person in STAFF and at >= born]
            moments = (
                min(answers, default=None),
                next((s.since for s in life if s.status in held.taken_up), None),
                next((s.since for s in life if s.status in held.resolved), None),
            )
            expected[ticket.id] = tuple(None if m is None else _running(truth, ticket, born, m) for m in moments)
        rows = zip(
            column(report, "tickets", "ticket"),
            *(column(report, "tickets", f"{what}-business") for what in ("answer", "taken-up", "resolved")),
            *(column(report, "tickets", what) for what in ("answer", "taken-up", "resolved")),
            strict=True,
        )
        got = {id_: tuple(zip(rest[3:], rest[:3], strict=True)) for id_, *rest in rows}
        assert got == {id_: tuple(m if m is not None else (None, None) for m in each) for id_, each in expected.items()}
        for which, key in enumerate(("answer", "taken-up", "resolved")):
            business = [m[1] for each in expected.values() if (m := each[which]) is not None]
            assert figure(report, key) == rank(business, 50)


def _running(truth: Truth, ticket: Ticket, since: datetime, until: datetime) -> tuple[timedelta, timedelta]:
    """Calendar and business time outside the statuses in which the clock pauses, half hour by half hour."""
    cell = timedelta(minutes=30)
    calendar = business = timedelta(0)
    at = since
    while at < until:
        stay = next(s for s in truth.lives[ticket.id] if s.since <= at and (s.until is None or at < s.until))
        if stay.status not in truth.held.paused:
            calendar += cell
            business += truth.open_time(at, at + cell)
        at += cell
    return calendar, business


@on_random_histories
@given(case=worlds())
def test_a_reason_is_a_comment_of_the_same_side_near_the_move(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    from tests.reports.world import CLIENTS, STAFF

    side = {**dict.fromkeys(STAFF, "cegape"), **dict.fromkeys(CLIENTS, "client")}
    with made("without-reason", case, template, tmp_path) as (report, truth):
        held, told = truth.held, Counter[str]()
        for stay in truth.stays():
            if stay.status not in held.reasons or not truth.within(stay.since):
                continue
            given_ = any(
                abs(at - stay.since) <= held.reason_within
                and (
                    person == stay.move.person or (stay.move.party is not None and side.get(person) == stay.move.party)
                )
                for at, person in truth.words(stay.ticket)
            )
            late = truth.world.watermark > stay.since + held.reason_within
            told["given" if given_ else "none" if late else "there is still time"] += 1
        assert Counter(column(report, "moves", "reason")) == told
        assert figure(report, "without") == told["none"]


@on_random_histories
@given(case=worlds())
def test_time_is_somebodys_and_turns_are_changes_of_side(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    cell = timedelta(minutes=30)
    with made("whose-clock", case, template, tmp_path) as (report, truth):
        parties = [*(p.name for p in POLICY.parties), None]
        expected = {}
        for ticket in truth.world.tickets:
            business: Counter[object] = Counter()
            calendar: Counter[object] = Counter()
            sides: list[object] = []
            at = truth.since
            while at < truth.end:
                status = truth.status_at(ticket, at)
                if truth.is_open(status):
                    on = _waits_on(truth, status)
                    calendar[on] += 1
                    business[on] += truth.open_time(at, at + cell) // cell
                    if on is not None and (not sides or sides[-1] != on):
                        sides.append(on)
                at += cell
            if calendar:
                expected[ticket.id] = (
                    tuple(business[p] * cell if calendar[p] else None for p in parties),
                    tuple(calendar[p] * cell if calendar[p] else None for p in parties),
                    max(0, len(sides) - 1),
                )
        names = [p or "nobody" for p in parties]
        got = {
            row[0]: (tuple(row[1 : 1 + len(names)]), tuple(row[1 + len(names) : 1 + 2 * len(names)]), row[-1])
            for row in zip(
                column(report, "tickets", "ticket"),
                *(column(report, "tickets", f"business-{n}") for n in names),
                *(column(report, "tickets", f"calendar-{n}") for n in names),
                column(report, "tickets", "turns"),
                strict=True,
            )
        }
        assert got == expected


@on_random_histories
@given(case=worlds())
def test_flow_has_every_day_and_ends_each_with_what_was_open_then(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("flow", case, template, tmp_path) as (report, truth):
        zone = truth.held.zone

        def day(at: datetime) -> date:
            return at.astimezone(zone).date()

        arrived: Counter[date] = Counter()
        left: Counter[date] = Counter()
        back: Counter[date] = Counter()
        for life in truth.lives.values():
            for before, stay in pairwise([None, *life]):
                assert stay is not None
                if not truth.within(stay.since):
                    continue
                was_closed = before is not None and before.status in POLICY.closed
                arrived[day(stay.since)] += before is None
                left[day(stay.since)] += stay.status in POLICY.closed and not was_closed
                back[day(stay.since)] += was_closed and stay.status not in POLICY.closed
        rows = table(report, "by-time").rows
        for first, *cells in rows:
            assert isinstance(first, date)
            end = Period(first, first, zone).until
            last_moment = min(end, truth.end) - timedelta(microseconds=1)
            open_ = sum(truth.is_open(truth.status_at(t, last_moment)) for t in truth.world.tickets)
            assert [_value(c) for c in cells] == [arrived[first], left[first], back[first], open_]
        if rows:
            begun = [Period(day, day, zone).since < truth.end for day in _days(truth.period)]
            assert len(rows) == sum(begun)
        assert figure(report, "arrived") == sum(arrived.values())
        just_before = truth.since - timedelta(microseconds=1)
        assert figure(report, "before") == sum(
            truth.is_open(truth.status_at(t, just_before)) for t in truth.world.tickets
        )


@on_random_histories
@given(case=worlds())
def test_the_policy_report_tells_what_enforcing_more_would_do(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("policy", case, template, tmp_path) as (report, truth):
        inside = [m for _, _, m in moves_in(truth)]
        illegal = [m for m in inside if m.verdict == "illegal"]
        reverted = {p.name for p in POLICY.parties if p.reverted}
        assert figure(report, "would") == sum(m.mode is Mode.OBSERVE and m.party in reverted for m in illegal)
        assert figure(report, "exempted") == sum(
            m.verdict == "exempted" or (m.verdict == "illegal" and m.mode is Mode.OBSERVE) for m in inside
        )
        objected = {k: v for k, v in counts(report, "rules", ("rule",), "objected").items() if v}
        assert objected == Counter(m.rule for m in illegal)
        ever = {m.rule for t in truth.world.tickets for m in t.moves if m.verdict == "illegal"}
        assert figure(report, "never") == sum(rule.id not in ever for rule in POLICY.rules)


@on_random_histories
@given(case=worlds())
def test_a_clients_reports_are_about_that_client_alone(
    case: tuple[World, Period], template: Path, tmp_path: Path
) -> None:
    with made("my-requests", case, template, tmp_path, person=59) as (report, truth):
        mine = [
            t.id
            for t in truth.world.tickets
            if truth.lives[t.id]
            and truth.lives[t.id][0].created
            and t.moves[0].person == 59
            and truth.is_open(truth.status_at(t, truth.end))
        ]
        assert sorted(column(report, "requests", "ticket")) == sorted(mine)  # type: ignore[type-var]
    with made("my-reverted-moves", case, template, tmp_path, person=59) as (report, truth):
        put_back = [m for _, _, m in moves_in(truth) if m.person == 59 and m.put_back is not None]
        assert figure(report, "put-back") == len(put_back)
        assert set(column(report, "moves", "instead")) <= {"EN ATTENTE"}

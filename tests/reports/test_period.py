"""Periods are whole days of the reports' time zone, and a name that means nothing is refused with those that do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.reports.period import NAMES, Period, between, named

PARIS = ZoneInfo("Europe/Paris")
TODAY = date(2026, 11, 24)  # a Tuesday

days = st.dates(date(1990, 1, 1), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("today", "2026-11-24", "2026-11-24"),
        ("yesterday", "2026-11-23", "2026-11-23"),
        ("this-week", "2026-11-23", "2026-11-29"),
        ("last-week", "2026-11-16", "2026-11-22"),
        ("this-month", "2026-11-01", "2026-11-30"),
        ("last-month", "2026-10-01", "2026-10-31"),
        ("this-year", "2026-01-01", "2026-12-31"),
        ("last-year", "2025-01-01", "2025-12-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2028-02", "2028-02-01", "2028-02-29"),
        ("2026-W01", "2025-12-29", "2026-01-04"),
        ("2026-W53", "2026-12-28", "2027-01-03"),
        ("2024", "2024-01-01", "2024-12-31"),
        ("2026-11-05", "2026-11-05", "2026-11-05"),
        ("2026-11-05_2026-12-01", "2026-11-05", "2026-12-01"),
    ],
)
def test_a_period_can_be_named(name: str, first: str, last: str) -> None:
    period = named(name, TODAY, PARIS)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    "name",
    [
        *("", "nonsense", "2026-13", "2026-W54", "2026-02-30", "0000", "9999", "2026-1", "24/11/2026"),
        *("2026-11-05_2026-11-04", "2026-11-05_"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(ConfigError, match="last-month"):
        named(name, TODAY, PARIS)


@given(one=days, other=days)
def test_what_a_file_calls_its_period_names_it_again(one: date, other: date) -> None:
    period = Period(min(one, other), max(one, other), PARIS)
    assert named(str(period), TODAY, PARIS) == period


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("2026-11-24", "2026-11-01", "before it begins"),
        ("tomorrow", None, "is no date"),
        (None, "24.11.2026", "is no date"),
    ],
)
def test_ends_that_are_no_dates_or_in_the_wrong_order_are_refused(
    first: str | None, last: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        between(first, last, TODAY, PARIS)


def test_without_ends_it_is_the_last_thirty_days() -> None:
    period = between(None, None, TODAY, PARIS)
    assert (period.days, period.last) == (30, TODAY)


def test_it_begins_and_ends_by_the_local_clock() -> None:
    october = Period(date(2026, 10, 1), date(2026, 10, 31), PARIS)
    assert october.since == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert october.until == datetime(2026, 10, 31, 23, tzinfo=UTC)


@given(first=days, length=st.integers(0, 500))
def test_the_one_before_ends_where_it_begins_and_is_as_long(first: date, length: int) -> None:
    period = Period(first, first + timedelta(days=length), PARIS)
    before = period.before()
    assert before.until == period.since
    whole_months = period.first.day == 1 and (period.last + timedelta(days=1)).day == 1
    assert before.days == period.days or whole_months


@pytest.mark.parametrize("name", NAMES)
def test_the_month_before_a_month_is_a_month(name: str) -> None:
    before = named(name, TODAY, PARIS).before()
    if name in ("this-month", "last-month"):
        assert before.first.day == 1
        assert (before.last + timedelta(days=1)).day == 1


def test_file_names_say_which_period() -> None:
    texts = [str(named(name, TODAY, PARIS)) for name in ("today", "this-month", "this-week")]
    assert texts == ["2026-11-24", "2026-11", "2026-11-23_2026-11-29"]

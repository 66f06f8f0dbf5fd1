"""Business hours are exact across holidays and the days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.reports.calendar import BusinessClock, Holidays, Hours, Span
from bridge.store.schema import microseconds

PARIS = ZoneInfo("Europe/Paris")
MINUTE = timedelta(minutes=1)
OFFICE = (Span(time(9), time(12, 30)), Span(time(13, 30), time(17)))
NIGHT = (Span(time(1, 30), time(4)), Span(time(22), None))
ALWAYS = (Span(time(0), None),)
FRENCH = Holidays("FR", besides=frozenset({date(2026, 12, 24)}))

moments = st.integers(0, 3 * 366 * 24 * 60).map(lambda n: datetime(2025, 1, 1, tzinfo=UTC) + MINUTE * n)


def measured(hours: Hours, since: datetime, until: datetime) -> timedelta:
    return timedelta(microseconds=BusinessClock(hours).open_time(microseconds(since), microseconds(until)))


@given(
    since=moments,
    minutes=st.integers(0, 3 * 24 * 60),
    week=st.lists(st.sampled_from([OFFICE, NIGHT, ALWAYS, ()]), min_size=7, max_size=7).map(tuple),
)
def test_it_is_what_a_walk_minute_by_minute_counts(
    since: datetime, minutes: int, week: tuple[tuple[Span, ...], ...]
) -> None:
    hours = Hours(PARIS, week, FRENCH)
    closed = FRENCH.test()
    walked = 0
    for step in range(minutes):
        local = (since + MINUTE * step).astimezone(PARIS)
        spans = () if closed(local.date()) else week[local.weekday()]
        walked += any(s.start <= local.time() and (s.end is None or local.time() < s.end) for s in spans)
    assert measured(hours, since, since + MINUTE * minutes) in _allowed(walked, since, minutes, week)


def _allowed(walked: int, since: datetime, minutes: int, week: tuple[tuple[Span, ...], ...]) -> set[timedelta]:
    """A span that begins within the hour that comes twice is open from its first time on; one that begins within the
    skipped hour, from when the clock would have shown it: the walk sees the wall clock alone and may differ by that.
    """
    exact = {MINUTE * walked}
    touched = any(
        since.astimezone(PARIS).date() - timedelta(days=1) <= day <= (since + MINUTE * minutes).astimezone(PARIS).date()
        for day in (
            date(y, m, d)
            for y, m, d in ((2025, 3, 30), (2025, 10, 26), (2026, 3, 29), (2026, 10, 25), (2027, 3, 28), (2027, 10, 31))
        )
    )
    if touched and week[6] == NIGHT:
        exact |= {MINUTE * (walked + extra) for extra in range(-60, 61)}
    return exact


@pytest.mark.parametrize(("day", "length"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 7), 24)])
def test_a_day_that_is_open_around_the_clock_has_as_many_hours_as_it_has(day: date, length: int) -> None:
    hours = Hours(PARIS, (ALWAYS,) * 7)
    begin = datetime.combine(day, time(), PARIS)
    assert measured(hours, begin, datetime.combine(day + timedelta(days=1), time(), PARIS)) == timedelta(hours=length)


@given(one=moments, two=moments, three=moments)
def test_time_adds_up_and_never_runs_backwards(one: datetime, two: datetime, three: datetime) -> None:
    first, middle, last = sorted((one, two, three))
    hours = Hours(PARIS, (*(OFFICE,) * 5, (), NIGHT), FRENCH)
    assert measured(hours, first, middle) + measured(hours, middle, last) == measured(hours, first, last)
    assert timedelta(0) <= measured(hours, first, last) <= last - first
    assert measured(hours, last, first) == timedelta(0)


def test_a_clock_that_was_asked_about_one_year_answers_about_another() -> None:
    clock = BusinessClock(Hours(PARIS, (*(OFFICE,) * 5, (), ()), FRENCH))
    week = 7 * 24 * 3600 * 10**6
    for year in (2026, 2019, 2031, 2025):
        monday = microseconds(datetime(year, 6, 1, tzinfo=UTC))
        assert 0 < clock.open_time(monday, monday + week) <= 35 * 3600 * 10**6


def test_public_holidays_are_the_countrys_and_the_regions() -> None:
    good_friday, easter_monday = date(2026, 4, 3), date(2026, 4, 6)
    everywhere, moselle = Holidays("FR").test(), Holidays("FR", "57").test()
    assert (everywhere(good_friday), everywhere(easter_monday)) == (False, True)
    assert (moselle(good_friday), moselle(easter_monday)) == (True, True)
    assert Holidays(besides=frozenset({good_friday})).test()(good_friday)
    assert not Holidays().test()(easter_monday)


@pytest.mark.parametrize(("country", "region"), [("XX", ""), ("FR", "Bavaria")])
def test_holidays_that_nobody_knows_are_refused_with_what_to_write(country: str, region: str) -> None:
    with pytest.raises(ConfigError, match="ISO 3166"):
        Holidays(country, region).test()

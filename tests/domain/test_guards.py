"""How much may be put back in an hour, a cycle, of one project, person and ticket; when the breaker trips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.guards import RevertCount, breaker, guard
from bridge.domain.model import ProjectId, UserId, WorkPackageId
from bridge.domain.policy import Limits

ALPHA, BETA = ProjectId(1), ProjectId(2)
HERE, THERE = WorkPackageId(7), WorkPackageId(8)
CLIENT = UserId(11)
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
LIMITS = Limits(
    reverts_per_cycle=10,
    reverts_per_hour=4,
    reverts_per_person_per_hour=2,
    reverts_per_project_per_hour=3,
    reverts_per_ticket_per_hour=1,
    share_of_moves=0.5,
    cool_down=timedelta(minutes=30),
)
LOOSE = replace(
    LIMITS,
    reverts_per_hour=100,
    reverts_per_person_per_hour=100,
    reverts_per_project_per_hour=100,
    reverts_per_ticket_per_hour=100,
)


def before(*minutes: float, project: int = 9, person: int = 9, ticket: int = 9) -> list[RevertCount]:
    """Reverts so many minutes ago, oldest first; of something else unless told."""
    return [
        RevertCount(NOW - timedelta(minutes=ago), ProjectId(project), UserId(person), WorkPackageId(ticket))
        for ago in sorted(minutes, reverse=True)
    ]


def held(
    past: Sequence[RevertCount], limits: Limits, *, this_cycle: int = 0, person: UserId | None = CLIENT
) -> str | None:
    return guard(HERE, ALPHA, person, past, this_cycle, limits, NOW)


def test_the_limit_of_a_cycle_is_the_last_revert_that_is_let_through() -> None:
    assert held([], LIMITS, this_cycle=9) is None
    assert held([], LIMITS, this_cycle=10) == "the limit is 10 reverts in one cycle"
    assert held([], replace(LIMITS, reverts_per_cycle=0)) == "the limit is 0 reverts in one cycle"


@pytest.mark.parametrize(
    ("field", "what", "mine"),
    [
        ("reverts_per_hour", "", {}),
        ("reverts_per_project_per_hour", " in one project", {"project": ALPHA}),
        ("reverts_per_person_per_hour", " of one person's moves", {"person": CLIENT}),
        ("reverts_per_ticket_per_hour", " of one ticket", {"ticket": HERE}),
    ],
)
def test_each_limit_counts_its_own(field: str, what: str, mine: Mapping[str, int]) -> None:
    limits = replace(LOOSE, **{field: 3})  # type: ignore[arg-type]
    two, three = before(5, 6, **mine), before(5, 6, 7, **mine)
    assert held(two, limits) is None
    reason = f"the limit is 3 reverts{what} in an hour; it was reached less than 0:30:00 ago"
    assert held(three, limits) == reason
    if mine:
        assert held(before(5, 6, 7), limits) is None
        assert held([*two, *before(4)], limits) is None


@pytest.mark.parametrize(
    ("minutes", "held_back"),
    [
        ((59.9, 58, 57), True),  # the hour is not over
        ((60, 58, 57), False),  # it is, and the limit was reached long ago
        ((60, 58, 29.9), True),  # the limit was reached within the cool-down
        ((60, 58, 30), False),  # that is over
        ((80, 50, 20.1), True),  # 59.9 minutes apart: one hour
        ((80, 50, 20), False),  # never three in one hour
        ((200, 80, 50, 21), True),  # any three count
        ((200, 199, 198), False),
        ((20, 10), False),
        ((), False),
    ],
)
def test_a_limit_holds_for_its_hour_and_for_the_cool_down_after_it_was_reached(
    minutes: tuple[float, ...], held_back: bool
) -> None:
    assert (held(before(*minutes), replace(LOOSE, reverts_per_hour=3)) is not None) is held_back


def test_a_longer_cool_down_holds_longer() -> None:
    limits = replace(LOOSE, reverts_per_hour=3, cool_down=timedelta(hours=2))
    assert held(before(150, 130, 119.9), limits) is not None
    assert held(before(150, 130, 120), limits) is None


def test_a_limit_of_one_lets_one_through_an_hour() -> None:
    assert held(before(59.9, ticket=HERE), LIMITS) is not None
    assert held(before(60, ticket=HERE), LIMITS) is None


def test_a_person_who_is_not_known_has_no_limit_of_their_own() -> None:
    assert held(before(5, 6, 7), replace(LOOSE, reverts_per_person_per_hour=1), person=None) is None


@pytest.mark.parametrize(
    ("moves", "reverts", "share", "trips"),
    [
        (9, 9, 0.5, False),  # too few to say anything
        (10, 5, 0.5, False),
        (10, 6, 0.5, True),
        (11, 6, 0.5, True),
        (12, 6, 0.5, False),
        (100, 100, 1.0, False),
        (100, 1, 0.0, True),
        (100, 0, 0.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_the_breaker_trips_when_more_than_its_share_of_enough_moves_would_be_put_back(
    moves: int, reverts: int, share: float, trips: bool
) -> None:
    tripped = breaker(moves, reverts, replace(LIMITS, share_of_moves=share))
    assert (tripped is not None) is trips


def test_the_breaker_says_why() -> None:
    assert breaker(12, 9, LIMITS) == "9 of 12 moves in one cycle would be put back: more than 50%"

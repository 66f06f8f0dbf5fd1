"""How much the bridge may put back, whatever its verdicts say: limits, cool-down and circuit breaker. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.model import ProjectId, UserId, WorkPackageId
from bridge.domain.policy import Limits

HOUR = timedelta(hours=1)

SHARE_FROM = 10
"""A share of fewer moves than this says nothing."""


@dataclass(frozen=True, slots=True)
class RevertCount:
    """One revert of the past, as the guards count it."""

    at: datetime
    project: ProjectId
    person: UserId
    work_package: WorkPackageId


def guard(
    work_package: WorkPackageId,
    project: ProjectId,
    person: UserId | None,
    past: Sequence[RevertCount],
    this_cycle: int,
    limits: Limits,
    now: datetime,
) -> str | None:
    """A reason to leave a revert to a person; None when there is none.

    ``past`` are the reverts of the last hour and cool-down, oldest first; ``this_cycle`` counts those of this cycle.
    """
    scopes: tuple[tuple[str, int, list[datetime]], ...] = (
        ("", limits.reverts_per_hour, [p.at for p in past]),
        (" in one project", limits.reverts_per_project_per_hour, [p.at for p in past if p.project == project]),
        (" of one person's moves", limits.reverts_per_person_per_hour, [p.at for p in past if p.person == person]),
        (" of one ticket", limits.reverts_per_ticket_per_hour, [p.at for p in past if p.work_package == work_package]),
    )
    if this_cycle >= limits.reverts_per_cycle:
        return f"the limit is {limits.reverts_per_cycle} reverts in one cycle"
    for what, limit, times in scopes:
        if _reached(times, limit, limits.cool_down, now):
            return f"the limit is {limit} reverts{what} in an hour; it was reached less than {limits.cool_down} ago"
    return None


def _reached(times: Sequence[datetime], limit: int, cool_down: timedelta, now: datetime) -> bool:
    """Whether some hour held ``limit`` of these times, and ended less than the cool-down ago (or has not ended)."""
    return any(
        last - first < HOUR and (now - last < cool_down or now - first < HOUR)
        for first, last in zip(times, times[limit - 1 :], strict=False)
    )


def breaker(moves: int, reverts: int, limits: Limits) -> str | None:
    """The circuit breaker, asked before the first action of a cycle; None when it stays closed.

    ``moves`` were judged for the first time in this cycle, ``reverts`` of them would be put back. When most of what
    people do is illegal, the policy is more likely wrong than the people.
    """
    if moves >= SHARE_FROM and reverts > limits.share_of_moves * moves:
        return f"{reverts} of {moves} moves in one cycle would be put back: more than {limits.share_of_moves:.0%}"
    return None

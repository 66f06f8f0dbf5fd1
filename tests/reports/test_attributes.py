"""What a ticket's version or assignee was at a moment, by what its activities say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.domain.model import Listed, ProjectId, StatusId, TypeId, WorkPackageId
from bridge.reports.definitions.attributes import attributes
from bridge.store.facts import TicketReading
from bridge.store.ledger import Ledger
from bridge.store.queries import Queries
from bridge.store.schema import microseconds
from tests.reports.world import fresh

BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def told(template: Path, folder: Path, *said: tuple[int, datetime, datetime, str], moment: datetime) -> str | None:
    """What these activities (number, created, updated, version) tell of the version at a moment."""
    activities = [
        (
            number,
            updated.isoformat(),
            {
                "id": number,
                "user": 59,
                "createdAt": created.isoformat(),
                "updatedAt": updated.isoformat(),
                "comment": "",
                "details": [["", f"<strong>Version</strong> mis \u00e0 <i>{version}</i>"]],
            },
        )
        for number, created, updated, version in said
    ]
    url = f"sqlite:///{fresh(template, folder)}"
    with Ledger.open(url, now=lambda: BEGIN) as ledger:
        listed = Listed(WorkPackageId(1), ProjectId(11), StatusId(40), TypeId(20))
        ledger.observe([TicketReading(listed, activities)], at=BEGIN)
    with Queries(url) as queries, queries.snapshot() as snapshot:
        return attributes(snapshot, {"version": ["Version"]}, [1])["version"].at(1, microseconds(moment))


def test_a_value_holds_from_when_its_activity_began_however_late_its_comment_was_edited(
    template: Path, tmp_path: Path
) -> None:
    edited = (1, BEGIN, BEGIN + 100 * HOUR, "26.11")
    assert told(template, tmp_path, edited, moment=BEGIN + HOUR) == "26.11"
    assert told(template, tmp_path, edited, moment=BEGIN - HOUR) is None


def test_of_two_activities_at_one_moment_the_later_one_counts(template: Path, tmp_path: Path) -> None:
    both = ((1, BEGIN, BEGIN, "z"), (2, BEGIN, BEGIN, "a"))
    assert told(template, tmp_path, *both, moment=BEGIN) == "a"

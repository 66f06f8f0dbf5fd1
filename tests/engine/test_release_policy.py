"""The second shipped policy, four eyes on every release, lives on a simulated OpenProject of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.domain.policy import load
from bridge.simulator import Api, InProcess, Ticket, seed
from bridge.simulator.nouns import Version
from tests.engine.desk import ROOT, VERSIONS, Desk

STATUSES = ("Draft", "In review", "Approved", "Released", "Rejected", "Rolled back")
CLOSED = {"Released", "Rejected", "Rolled back"}
EVERYTHING = [
    "view_work_packages", "add_work_packages", "edit_work_packages", "add_work_package_comments", "view_members",
    "edit_own_work_package_comments", "work_package_assigned",
]  # fmt: skip
PEOPLE = {"wren": "Developer", "finn": "Developer", "mara": "Release manager", "otto": "Auditor", "bridge": "Bridge"}


def description(version: Version) -> dict[str, Any]:
    """Engineering's OpenProject: everybody may do everything there, so that only the policy stands in the way."""
    roles = {name: {"id": 20 + n, "permissions": EVERYTHING} for n, name in enumerate(sorted(set(PEOPLE.values())))}
    return {
        "server": {"version": version, "defaultLanguage": "en", "journalAggregationMinutes": 0},
        "actors": {
            label: {"id": 40 + n, "login": label, "name": label.title(), "language": "en"}
            for n, label in enumerate(PEOPLE)
        },
        "roles": roles,
        "statuses": {
            name: {"id": 10 + n, "isClosed": name in CLOSED, "isDefault": name == "Draft"}
            for n, name in enumerate(STATUSES)
        },
        "types": {"Release": 5, "Hotfix": 6},
        "projects": {"shop": {"id": 2}},
        "customFields": {
            "Version": {"id": 1, "format": "string"},
            "Change record": {"id": 2, "format": "string"},
            "Risk": {"id": 3, "format": "list", "possibleValues": ["Low", "High", "Critical"]},
        },
        "workflows": {kind: dict.fromkeys(roles, "all pairs") for kind in ("Release", "Hotfix")},
        "memberships": [{"project": "shop", "principal": who, "roles": [role]} for who, role in PEOPLE.items()],
    }


class Engineering(Desk):
    """The same bridge beside another OpenProject, under another policy."""

    def __init__(self, directory: Path, version: Version) -> None:
        path = ROOT / "config" / "examples" / "release.yaml"
        super().__init__(directory, version, rules=load(path.read_bytes(), str(path)))
        self.instance = seed(description(version), self.clock)
        self.instance.token("bridge")
        self.clock.advance(60)
        self.adapter = InProcess(Api(self.instance), version=version)
        self.cycle(0)
        self.clock.advance(120)

    def release(self, **fields: Any) -> Ticket:
        return self.instance.create("wren", "shop", "Shop 4.2", type="Hotfix", **fields)

    def moves(self, *steps: tuple[str, Ticket, str]) -> None:
        """Each by somebody, a minute apart, and the bridge looks after each."""
        for who, ticket, status in steps:
            self.clock.advance(60)
            self.instance.set_status(who, ticket, status)
            self.cycle()


@pytest.fixture(params=VERSIONS)
def engineering(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    desk = Engineering(tmp_path, request.param)
    yield desk
    desk.stop()


def test_a_release_that_goes_by_the_process_is_left_alone(engineering: Engineering) -> None:
    ticket = engineering.release(custom={1: "4.2", 2: "CHG-7", 3: "Low"})
    engineering.cycle()
    engineering.moves(("wren", ticket, "In review"), ("finn", ticket, "Approved"), ("mara", ticket, "Released"))
    assert engineering.untouched(ticket)
    assert [verdict for verdict, _ in engineering.verdicts(ticket)] == ["allowed"] * 4
    engineering.check_books()


def test_nobody_approves_what_they_wrote_or_handed_in(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.cycle()
    engineering.moves(("wren", ticket, "In review"), ("wren", ticket, "Approved"))
    assert engineering.was_put_back_once(ticket, "In review")
    (text,) = engineering.explanations(ticket)
    assert "Nobody approves the release that they created or handed in for review." in text
    assert engineering.verdicts(ticket)[2] == ("illegal", "four-eyes")


def test_the_review_cannot_be_skipped(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.cycle()
    engineering.moves(("finn", ticket, "Approved"))
    assert engineering.was_put_back_once(ticket, "Draft")
    assert engineering.verdicts(ticket)[1] == ("illegal", "approved-after-review")


def test_a_release_starts_as_a_draft(engineering: Engineering) -> None:
    engineering.clock.advance(60)
    ticket = engineering.release(status="Rejected")
    engineering.cycle()
    assert engineering.was_put_back_once(ticket, "Draft")


def test_the_auditor_is_reported_and_never_put_back(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.cycle()
    engineering.moves(("otto", ticket, "Rejected"))
    assert engineering.untouched(ticket)
    assert engineering.verdicts(ticket)[1] == ("illegal", "rejected-by-reviewers")


def test_only_the_manager_releases(engineering: Engineering) -> None:
    ticket = engineering.release(custom={3: "Low"})
    engineering.cycle()
    engineering.moves(("wren", ticket, "In review"), ("finn", ticket, "Approved"), ("finn", ticket, "Released"))
    assert engineering.was_put_back_once(ticket, "Approved")
    assert engineering.verdicts(ticket)[3] == ("illegal", "released-by-the-manager")


def test_what_is_rejected_does_not_go_on(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.cycle()
    engineering.moves(("finn", ticket, "Rejected"), ("wren", ticket, "Draft"))
    assert engineering.was_put_back_once(ticket, "Rejected")
    assert engineering.verdicts(ticket)[2] == ("illegal", "what-is-rejected-stays-so")

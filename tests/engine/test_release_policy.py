"""The second shipped policy, four eyes on every release, lives on a simulated OpenProject of its own."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.model import Mode
from bridge.domain.policy import load
from bridge.simulator import Api, InProcess, Ticket, seed
from bridge.simulator.nouns import Version
from bridge.store.schema import EntryKind
from tests.engine.desk import ROOT, START, VERSIONS, Desk

STATUSES = ("Draft", "In review", "Approved", "Released", "Rejected", "Rolled back")
CLOSED = {"Released", "Rejected", "Rolled back"}
EVERYTHING = [
    "view_work_packages", "add_work_packages", "edit_work_packages", "add_work_package_comments", "view_members",
    "edit_own_work_package_comments", "work_package_assigned",
]  # fmt: skip
ON_CALL = 41
"""Finn's number."""
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
        "projects": {"shop": {"id": 2}, "payroll-france": {"id": 3}},
        "customFields": {
            "Version": {"id": 1, "format": "string"},
            "Change record": {"id": 2, "format": "string"},
            "Risk": {"id": 3, "format": "list", "possibleValues": ["Low", "High", "Critical"]},
        },
        "workflows": {kind: dict.fromkeys(roles, "all pairs") for kind in ("Release", "Hotfix")},
        "memberships": [
            {"project": project, "principal": who, "roles": [role]}
            for project in ("shop", "payroll-france")
            for who, role in PEOPLE.items()
        ],
    }


class Engineering(Desk):
    """The same bridge beside another OpenProject, under another policy."""

    def __init__(self, directory: Path, version: Version, begin: datetime = START, mode: Mode = Mode.ENFORCE) -> None:
        path = ROOT / "config" / "examples" / "release.yaml"
        text = path.read_text(encoding="utf-8").replace("people: [58]", f"people: [{ON_CALL}]")
        text = text.replace("tickets: [4711]", "tickets: [1]")
        super().__init__(directory, version, rules=load(text, str(path)), begin=begin, mode=mode)
        self.instance = seed(description(version), self.clock)
        self.instance.token("bridge")
        self.clock.advance(60)
        self.adapter = InProcess(Api(self.instance), version=version)
        self.cycle(0)
        self.clock.advance(120)

    def release(self, project: str = "shop", type: str = "Hotfix", **fields: Any) -> Ticket:
        ticket = self.instance.create("wren", project, "Shop 4.2", type=type, **fields)
        self.cycle()
        return ticket

    def approved(self, **fields: Any) -> Ticket:
        ticket = self.release(**fields)
        self.moves(("wren", ticket, "In review"), ("finn", ticket, "Approved"))
        return ticket

    def days_pass(self, days: int) -> None:
        """Looking every few hours, as often as it takes for reviews and snapshots to come due."""
        for _ in range(4 * days):
            self.cycle(6 * 3600)

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
    engineering.moves(("wren", ticket, "In review"), ("finn", ticket, "Approved"), ("mara", ticket, "Released"))
    assert engineering.untouched(ticket)
    assert [verdict for verdict, _ in engineering.verdicts(ticket)] == ["allowed"] * 4
    engineering.check_books()


def test_nobody_approves_what_they_wrote_or_handed_in(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.moves(("wren", ticket, "In review"), ("wren", ticket, "Approved"))
    assert engineering.was_put_back_once(ticket, "In review")
    (text,) = engineering.explanations(ticket)
    assert "Nobody approves the release that they created or handed in for review." in text
    assert engineering.verdicts(ticket)[2] == ("illegal", "four-eyes")


def test_the_review_cannot_be_skipped(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.moves(("finn", ticket, "Approved"))
    assert engineering.was_put_back_once(ticket, "Draft")
    assert engineering.verdicts(ticket)[1] == ("illegal", "approved-after-review")


def test_a_release_starts_as_a_draft(engineering: Engineering) -> None:
    engineering.clock.advance(60)
    ticket = engineering.release(status="Rejected")
    assert engineering.was_put_back_once(ticket, "Draft")


def test_the_auditor_is_reported_and_never_put_back(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.moves(("otto", ticket, "Rejected"))
    assert engineering.untouched(ticket)
    assert engineering.verdicts(ticket)[1] == ("illegal", "rejected-by-reviewers")


def test_only_the_manager_releases(engineering: Engineering) -> None:
    ticket = engineering.approved(custom={3: "Low"})
    engineering.moves(("finn", ticket, "Released"))
    assert engineering.was_put_back_once(ticket, "Approved")
    assert engineering.verdicts(ticket)[3] == ("illegal", "released-by-the-manager")


def test_what_is_rejected_does_not_go_on(engineering: Engineering) -> None:
    ticket = engineering.release()
    engineering.moves(("finn", ticket, "Rejected"), ("wren", ticket, "Draft"))
    assert engineering.was_put_back_once(ticket, "Rejected")
    assert engineering.verdicts(ticket)[2] == ("illegal", "what-is-rejected-stays-so")


# --- Fields, comments, projects, days and people ---------------------------------------------------------------------


def test_a_release_needs_its_papers(engineering: Engineering) -> None:
    ticket = engineering.approved(type="Release", custom={1: "4.2", 3: "Low"})
    engineering.moves(("mara", ticket, "Released"))
    assert engineering.was_put_back_once(ticket, "Approved")
    assert engineering.verdicts(ticket)[3] == ("illegal", "change-record")
    engineering.instance.update("mara", ticket, custom={2: "CHG-7"})
    engineering.moves(("mara", ticket, "Released"))
    assert engineering.status(ticket) == "Released"
    assert engineering.verdicts(ticket)[-1] == ("allowed", None)


def test_a_risky_release_that_nobody_explains_is_reported_a_day_later(engineering: Engineering) -> None:
    silent, explained = (engineering.approved(custom={3: "High"}) for _ in range(2))
    engineering.moves(("mara", silent, "Released"), ("mara", explained, "Released"))
    engineering.instance.comment("otto", explained, "The old one is worse.")
    engineering.cycle()
    assert engineering.verdicts(silent)[-1] == ("allowed", None)
    engineering.days_pass(2)
    assert engineering.verdicts(silent)[-1] == ("illegal", "risk-is-explained")
    assert engineering.verdicts(explained)[-1] == ("allowed", None)
    assert engineering.untouched(silent)
    engineering.check_books()


def test_what_hung_on_a_field_and_was_moved_on_before_its_time_was_over_ends_undecided(
    engineering: Engineering,
) -> None:
    ticket = engineering.approved(custom={3: "High"})
    engineering.moves(("mara", ticket, "Released"), ("mara", ticket, "Rolled back"))
    engineering.days_pass(2)
    assert [verdict for verdict, _ in engineering.verdicts(ticket)[-2:]] == ["undecided", "allowed"]
    assert [engineering.cycle().requests for _ in range(3)] == [1, 1, 1]  # nothing is sought any more


@pytest.fixture(params=VERSIONS)
def december(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    desk = Engineering(tmp_path, request.param, datetime(2026, 12, 16, 9, tzinfo=UTC))
    yield desk
    desk.stop()


def test_the_payroll_is_frozen_at_the_years_end_and_nothing_else(december: Engineering) -> None:
    elsewhere = december.approved(custom={3: "Low"})
    frozen = december.approved(project="payroll-france", custom={3: "Low"})
    december.moves(("mara", elsewhere, "Released"), ("mara", frozen, "Released"))
    assert december.untouched(elsewhere)
    assert december.was_put_back_once(frozen, "Approved")
    (text,) = december.explanations(frozen)
    assert "Rien ne part en production dans la paie pendant la clôture annuelle." in text
    assert "15/12/2026" in text
    assert "08/01/2027" in text


def test_what_is_frozen_is_not_offered_instead(december: Engineering) -> None:
    ticket = december.approved(project="payroll-france", custom={3: "Low"})
    december.moves(("mara", ticket, "In review"))
    assert december.was_put_back_once(ticket, "Approved")
    (text,) = december.explanations(ticket)
    offered = next(line for line in text.splitlines() if "« Draft »" in line)
    assert "« Released »" not in offered


def test_an_exemption_holds_for_its_person_and_its_ticket(december: Engineering) -> None:
    exempted, other = (december.release(project="payroll-france", custom={3: "Low"}) for _ in range(2))
    for ticket in (exempted, other):
        december.moves(("finn", ticket, "In review"), ("finn", ticket, "Approved"))
    assert exempted.id == 1
    assert december.verdicts(exempted)[2] == ("allowed", None)
    assert december.was_put_back_once(other, "In review")
    assert december.verdicts(other)[2] == ("illegal", "four-eyes")


# --- Reminders --------------------------------------------------------------------------------------------------------

WAITS = "Cette livraison attend sa relecture depuis trois jours."


def test_a_review_that_waits_is_reminded_of_once_however_long_it_waits(engineering: Engineering) -> None:
    ticket = engineering.release(project="payroll-france")
    engineering.moves(("wren", ticket, "In review"))
    engineering.days_pass(2)
    assert engineering.untouched(ticket)
    engineering.days_pass(2)
    engineering.stop()
    engineering.days_pass(5)
    (text,) = engineering.explanations(ticket)
    assert text.startswith(f"{WAITS}\n\n<!-- bridge:review-waits:")
    assert not engineering.own_moves(ticket)
    assert len(engineering.events(EntryKind.REMINDER)) == 1
    engineering.moves(("wren", ticket, "Draft"), ("wren", ticket, "In review"))
    engineering.days_pass(4)
    assert len(engineering.explanations(ticket)) == 2
    engineering.check_books()


def test_who_was_reviewed_in_time_or_elsewhere_is_not_reminded(engineering: Engineering) -> None:
    swift, elsewhere = engineering.release(project="payroll-france"), engineering.release(project="shop")
    engineering.moves(("wren", swift, "In review"), ("wren", elsewhere, "In review"))
    engineering.days_pass(2)
    engineering.moves(("finn", swift, "Approved"))
    engineering.days_pass(4)
    assert engineering.untouched(swift)
    assert engineering.untouched(elsewhere)


def test_a_reminder_that_was_written_when_the_bridge_died_is_not_written_again(engineering: Engineering) -> None:
    """The ticket's own marker is what tells: the ledger knows nothing of it."""
    ticket = engineering.release(project="payroll-france")
    engineering.moves(("wren", ticket, "In review"))
    kept = engineering.database.with_name("kept.db")
    engineering.stop()
    shutil.copy(engineering.database, kept)
    engineering.days_pass(4)
    engineering.stop()
    for left in engineering.directory.glob("bridge.db*"):
        left.unlink()
    shutil.copy(kept, engineering.database)
    engineering.days_pass(1)
    assert len(engineering.explanations(ticket)) == 1
    assert len(engineering.events(EntryKind.REMINDER)) == 1


def test_a_bridge_that_observes_writes_down_what_it_would_have_reminded_of(tmp_path: Path) -> None:
    desk = Engineering(tmp_path, "17.6", mode=Mode.OBSERVE)
    ticket = desk.release(project="payroll-france")
    desk.moves(("wren", ticket, "In review"))
    desk.days_pass(6)
    assert desk.untouched(ticket)
    (event,) = desk.events(EntryKind.REMINDER)
    assert (event.details["reminder"], event.details["written"]) == ("review-waits", False)
    desk.stop()

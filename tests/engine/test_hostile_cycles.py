"""What the server does to a cycle: things vanish, clocks jump, answers are about something else. docs/failures.md tells
an operator the same, line by line."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
import requests

from bridge.engine.act import Result
from bridge.engine.poll import CONFIRM_AT_ONCE
from bridge.errors import ConfigError, RetryLater
from bridge.simulator import Answer, Ticket
from bridge.store.schema import EntryKind
from tests.engine.conftest import Open
from tests.engine.desk import VERSIONS, Desk

TICKETS = CONFIRM_AT_ONCE + 30
"""More than are asked for one by one."""


def illegal(desk: Desk, subject: str = "Fermée d'emblée") -> Ticket:
    return desk.instance.create("ca", "client-alpha", subject, status="RESOLU")


# --- Statuses -------------------------------------------------------------------------------------------------------


def remove_status(desk: Desk, name: str) -> None:
    del desk.instance.statuses[desk.instance.status(name).id]


def test_a_status_of_the_policy_that_vanishes_stops_the_bridge_before_it_judges(desk: Open) -> None:
    one = desk()
    ticket = illegal(one)
    one.stop()
    remove_status(one, "EN ATTENTE")
    with pytest.raises(ConfigError, match="EN ATTENTE"):
        one.cycle()
    assert one.untouched(ticket)
    assert one.verdicts(ticket) == []


def test_a_status_that_vanishes_while_it_runs_stops_the_next_probe_at_the_latest(desk: Open) -> None:
    one = desk()
    remove_status(one, "EN ATTENTE")
    with pytest.raises(ConfigError, match="EN ATTENTE"):
        one.cycle(timedelta(hours=1).total_seconds())


def test_a_status_that_comes_back_lets_it_go_on_where_it_stopped(desk: Open) -> None:
    one = desk()
    ticket = illegal(one)
    one.stop()
    kept = one.instance.status("EN ATTENTE")
    del one.instance.statuses[kept.id]
    with pytest.raises(ConfigError):
        one.cycle()
    one.stop()
    one.instance.statuses[kept.id] = kept
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")


# --- Memberships ----------------------------------------------------------------------------------------------------


def hide_members(desk: Desk, project: str = "client-alpha") -> None:
    """The bridge's role loses ``view_members``: memberships are then empty, and no error (contract A.7)."""
    role = desk.instance.role("Pont")
    desk.instance.roles[role.id] = type(role)(role.id, role.name, role.permissions - {"view_members"})


def show_members(desk: Desk) -> None:
    role = desk.instance.role("Pont")
    desk.instance.roles[role.id] = type(role)(role.id, role.name, role.permissions | {"view_members"})


@pytest.mark.parametrize("version", VERSIONS)
def test_memberships_that_are_suddenly_empty_judge_nobody(desk: Open, version: str) -> None:
    one = desk(version)
    hide_members(one)
    ticket = illegal(one)
    report = one.cycle()
    assert one.untouched(ticket)
    assert [verdict for verdict, _ in one.verdicts(ticket)] == ["undecided"]
    assert report.unreadable_projects > 0, "the cycle says so"
    (*_, last) = one.events(EntryKind.CYCLE)
    assert last.details["unreadable_projects"] == report.unreadable_projects, "and so does the ledger"


@pytest.mark.parametrize("version", VERSIONS)
def test_memberships_that_come_back_show_who_was_what_all_the_time(desk: Open, version: str) -> None:
    one = desk(version)
    hide_members(one)
    ticket = illegal(one)
    one.cycle()
    show_members(one)
    one.instance.comment("ca", ticket, "Et alors ?")
    report = one.cycle(400)
    assert report.unreadable_projects == 0
    assert one.was_put_back_once(ticket, "NOUVEAU"), "the membership's own time says since when it has been so"


def test_a_project_that_the_bridge_was_never_a_member_of_is_not_told_again_and_again(desk: Open) -> None:
    assert desk().cycle().unreadable_projects == 0


# --- Clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(minutes=-5), timedelta(hours=3), timedelta(days=2)])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_clock_that_jumps_loses_nothing_and_reverts_once(desk: Open, version: str, jump: timedelta) -> None:
    """The server's clock alone jumps: the bridge's goes on as before."""
    one = desk(version)
    before = illegal(one, "avant")
    one.cycle()
    one.clock.advance(jump)
    one.skew -= jump
    after = illegal(one, "après")
    one.cycle()
    one.cycle(60)
    one.cycle(1000)
    assert one.was_put_back_once(before, "NOUVEAU")
    if jump > timedelta(0):
        assert one.was_put_back_once(after, "NOUVEAU")
    else:
        # By the server's own times this was before enforcement began, or before the rest: doubt never acts.
        assert len(one.own_moves(after)) == len(one.explanations(after)) <= 1
        assert [verdict for verdict, _ in one.verdicts(after)[:1]] in (["illegal"], ["undecided"]), "it is reported"
    one.check_books()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_said_right_after_the_server_clock_was_set_back_is_read(desk: Open, version: str) -> None:
    """It is stamped long before the watermark, and no snapshot shows a comment."""
    one = desk(version)
    ticket = illegal(one)
    one.cycle()
    one.clock.advance(timedelta(hours=-3))
    one.skew += timedelta(hours=3)
    one.instance.comment("ca", ticket, "#contestation")
    one.cycle()
    one.cycle(60)
    with one.books() as books:
        assert "#contestation" in [remark.text for remark in books.remarks()]


def test_the_bridges_own_clock_being_set_back_is_written_down_and_reverts_all_the_same(desk: Open) -> None:
    one = desk()
    ticket = illegal(one)
    one.skew = timedelta(hours=-1)
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")
    setbacks = one.events(EntryKind.CLOCK)
    assert setbacks, "written down"
    one.check_books(accepted=[event.seq for event in setbacks])


# --- Things that go out of sight ------------------------------------------------------------------------------------


def test_a_project_that_disappears_with_hundreds_of_tickets_touches_none_and_costs_no_request_each(
    desk: Open,
) -> None:
    one = desk()
    tickets = [one.instance.create("ca", "client-alpha", f"Demande {n}") for n in range(TICKETS)]
    other = one.instance.create("cb", "client-beta", "Ailleurs")
    one.cycle()
    one.instance.set_archived("client-alpha")
    report = one.cycle(1000)
    assert (report.snapshot, report.gone, report.count(Result.DONE)) == (True, TICKETS, 0)
    assert report.requests < 40
    with one.books() as books:
        assert sum(listing.vanished for listing in books.tickets()) == TICKETS
    assert all(one.untouched(ticket) for ticket in tickets[:3])
    one.instance.set_archived("client-alpha", archived=False)
    one.instance.set_status("ca", tickets[0], "EN COURS")
    one.cycle(1000)
    assert one.was_put_back_once(tickets[0], "NOUVEAU")
    with one.books() as books:
        assert not any(listing.vanished for listing in books.tickets())
    assert one.untouched(other)


def test_a_ticket_that_vanishes_between_reading_and_writing_is_left_alone(desk: Open) -> None:
    one = desk()
    ticket = illegal(one)

    def archive(request: requests.PreparedRequest) -> None:
        if request.method == "PATCH":
            one.instance.set_archived("client-alpha")

    with one.meanwhile(before=archive):
        report = one.cycle()
    assert [acted.result.value for acted in report.acted] == ["moved on"]
    assert one.untouched(ticket)


# --- Answers that are about something else --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["activities", "ticket"])
def test_an_answer_for_another_ticket_is_believed_for_neither(desk: Open, kind: str) -> None:
    """A proxy or cache mixes two answers up."""
    one = desk()
    innocent = one.instance.create("ca", "client-alpha", "Innocente")
    one.cycle()
    guilty = illegal(one)
    one.instance.comment("ca", innocent, "Bonjour")
    answers: dict[str, Answer] = {}

    def mix_up(request: requests.PreparedRequest, answer: Answer) -> Answer | None:
        path = (request.url or "").split("?")[0]
        wanted = path.endswith("/activities") if kind == "activities" else path.endswith(f"/{innocent.id}")
        if request.method != "GET" or not wanted:
            return None
        other = answers.get("guilty")
        if path.split("/")[6] == str(guilty.id):
            answers["guilty"] = answer
        return other if path.split("/")[6] == str(innocent.id) else None

    with one.meanwhile(after=mix_up):
        for _ in range(3):
            one.instance.comment("ca", innocent, "Encore")
            one.cycle()
    assert one.untouched(innocent)
    one.cycle()
    assert one.untouched(innocent)
    assert all(verdict != "illegal" for verdict, _ in one.verdicts(innocent))
    one.check_books()


def test_a_list_that_leaves_tickets_out_gives_up_none_of_them(desk: Open) -> None:
    one = desk()
    tickets = [one.instance.create("ca", "client-alpha", f"Demande {n}") for n in range(5)]
    one.cycle()

    def cut(request: requests.PreparedRequest, answer: Answer) -> Answer | None:
        if "select=" not in (request.url or "") or answer.status != 200:
            return None
        body = orjson.loads(answer.body)
        body["_embedded"] = {"elements": []}
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
        return Answer(200, orjson.dumps(body | {"total": 0, "count": 0}), headers)

    with one.meanwhile(after=cut):
        report = one.cycle(1000)
    assert (report.snapshot, report.gone) == (True, 0)
    one.instance.set_status("ca", tickets[3], "EN COURS")
    one.cycle()
    assert one.was_put_back_once(tickets[3], "NOUVEAU")


# --- Outages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_an_outage_that_begins_at_any_request_of_a_cycle_loses_nothing(desk: Open, version: str) -> None:
    """All of them, one after another; each time the server comes back for the next cycle."""
    one, seen = desk(version), 0
    for down_from in itertools.count():
        ticket = illegal(one, f"panne {down_from}")
        seen = 0

        def refuse(_: requests.PreparedRequest, down_from: int = down_from) -> None:
            nonlocal seen
            seen += 1
            if seen > down_from:
                raise requests.ConnectionError("refused")

        with one.meanwhile(before=refuse), contextlib.suppress(RetryLater):
            one.cycle()
        one.cycle(400)
        assert one.was_put_back_once(ticket, "NOUVEAU"), f"down from request {down_from}"
        if seen <= down_from:
            break
    assert seen >= 7, "window, activities, ticket, activities again, status, comment, and what 15.4 needs besides"
    one.check_books()


# --- Answers that cannot be understood ------------------------------------------------------------------------------


def test_a_ticket_that_cannot_be_read_is_recorded_once_and_read_when_it_can_be(desk: Open) -> None:
    one = desk()
    ticket = illegal(one)

    def garble(request: requests.PreparedRequest, answer: Answer) -> Answer:
        if f"/work_packages/{ticket.id}/activities" not in (request.url or ""):
            return answer
        body = b'{"_type":"Collection","_embedded":{"elements":[{"_type":"Activity"}]}}'
        return replace(answer, body=body, headers={**answer.headers, "Content-Length": str(len(body))})

    with one.meanwhile(after=garble):
        assert one.cycle().unreadable == 1
        assert one.cycle().unreadable == 1
    [event] = one.events(EntryKind.UNREADABLE)
    assert (event.work_package, f"Ticket {ticket.id}" in event.details["reason"]) == (ticket.id, True)
    assert one.untouched(ticket)
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")

"""The tracker's verbs against the simulator, in both versions, and against answers that no simulator gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge.domain.model import ProjectId, StatusId, StatusLine, UserId, WorkPackageId
from bridge.errors import ConfigError, RetryLater, SkipItem, Stop
from bridge.openproject.client import Client, Misconfigured, Timeouts
from bridge.openproject.credentials import ApiKey
from bridge.openproject.tracker import Conflict, Listing, Missing, Refused, Tracker, Written
from bridge.simulator import Answer, Api, Clock, InProcess, Instance, seed

RECORDINGS = Path(__file__).parents[1] / "recordings"
VERSIONS = ("17.6", "15.4")
START = datetime(2026, 11, 24, 9, tzinfo=UTC)


class World:
    """An OpenProject with its people, and a tracker for any of them."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.clock = Clock(START)
        self.instance: Instance = seed(
            json.loads((RECORDINGS / f"openproject-{version}" / "instance.json").read_text()), self.clock
        )
        self.asked: list[str] = []
        self.between: Callable[[requests.PreparedRequest], None] = lambda request: None
        self.spoil: Callable[[requests.PreparedRequest, Answer], Answer | None] = lambda request, answer: None
        self.adapter = InProcess(Api(self.instance), version=version, before=self._before, after=self._after)

    def _before(self, request: requests.PreparedRequest) -> None:
        self.between(request)
        self.asked.append(f"{request.method} {urlsplit(request.url or '').path}")

    def _after(self, request: requests.PreparedRequest, answer: Answer) -> Answer | None:
        return self.spoil(request, answer)

    def tracker(self, who: str = "bridge", **options: Any) -> Tracker:
        client = Client(
            "http://simulator",
            ApiKey(self.instance.token(who)),
            adapter=self.adapter,
            clock=self.clock,
            sleep=lambda seconds: None,
        )
        return Tracker(client, **options)

    def ticket(self, who: str = "ca", subject: str = "Bulletin faux", **options: Any) -> WorkPackageId:
        return WorkPackageId(self.instance.create(who, "client-alpha", subject, **options).id)

    def status(self, name: str) -> StatusId:
        return StatusId(self.instance.status(name).id)

    def person(self, who: str) -> UserId:
        return UserId(self.instance.person(who).id)


def instead(answer: Answer, body: bytes) -> Answer:
    """The same answer with another body."""
    return Answer(answer.status, body, {k: v for k, v in answer.headers.items() if k.lower() != "content-length"})


@pytest.fixture(params=VERSIONS)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def ids(listing: Listing) -> list[WorkPackageId]:
    return [ticket.id for ticket in listing.tickets]


# --- Getting to know --------------------------------------------------------------------------------------------------


def test_a_probe_tells_who_we_are_and_what_this_version_knows(world: World) -> None:
    world.ticket()
    server = world.tracker().probe()
    assert (server.user, server.user_name, server.language) == (world.person("bridge"), "Pont CEGAPE", "fr")
    knows = world.version == "17.6"
    assert (server.select_status, server.select_type, server.timestamps) == (knows, knows, knows)
    assert {status.name: status.is_closed for status in server.statuses}["RESOLU"] is True
    assert [status.name for status in server.statuses if status.is_default] == ["NOUVEAU"]
    assert {project.identifier for project in server.projects} == {"client-alpha", "client-alpha-paie", "client-beta"}
    assert set(server.types.values()) == {"Anomalie", "Évolution", "Assistance"}
    assert server.clock == START


def test_a_probe_costs_few_requests_and_is_remembered(world: World) -> None:
    world.ticket()
    tracker = world.tracker()
    tracker.status_snapshot()
    assert len(world.asked) <= 22
    before = len(world.asked)
    tracker.changed_since(START)
    assert len(world.asked) == before + 1


def test_without_a_ticket_past_values_cannot_be_probed(world: World) -> None:
    assert world.tracker().probe().timestamps is False


def test_an_account_in_another_language_is_refused(world: World) -> None:
    world.spoil = lambda request, answer: (
        instead(answer, answer.body.replace(b'"language":"fr"', b'"language":"de"'))
        if request.path_url.endswith("/users/me")
        else None
    )
    with pytest.raises(ConfigError, match="'de'"):
        world.tracker().probe()


def test_a_wrong_token_is_a_mistake_in_the_settings_at_start(world: World) -> None:
    tracker = Tracker(Client("http://simulator", ApiKey("wrong"), adapter=world.adapter))
    with pytest.raises(ConfigError, match="401"):
        tracker.probe()


def test_a_token_that_is_refused_later_stops_the_bridge(world: World) -> None:
    tracker = world.tracker()
    tracker.probe()
    world.spoil = lambda request, answer: Answer(401, b"{}", {"Content-Type": "application/hal+json"})
    with pytest.raises(Stop):
        tracker.changed_since(START)


def test_a_maintenance_page_in_a_later_probe_passes(world: World) -> None:
    tracker = world.tracker()
    server = tracker.probe()
    world.spoil = lambda request, answer: Answer(200, b"<html>Back soon</html>", {"Content-Type": "text/html"})
    with pytest.raises(RetryLater, match="text/html"):
        tracker.probe()
    assert tracker.server == server


@responses.activate
def test_an_anonymous_visitor_is_not_taken_for_the_bridge() -> None:
    """Contract §1.5: without a login the server may answer 200, with less."""
    responses.get("http://op/api/v3", json={"_type": "Root", "_links": {"self": {"href": "/api/v3"}}})
    responses.get("http://op/api/v3/users/me", json={"_type": "User", "id": 3, "name": "Anonyme", "_links": {}})
    with pytest.raises(ConfigError, match="anonymous"):
        Tracker(Client("http://op", ApiKey("t"))).probe()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"body": "<html>Welcome</html>", "content_type": "text/html"}, "text/html instead of JSON"),
        ({"status": 302, "headers": {"Location": "https://op/api/v3"}}, "redirects to https://op"),
        ({"status": 400, "body": "Invalid host_name configuration", "content_type": "text/plain"}, "public address"),
        ({"status": 404, "json": {"_type": "Error"}}, "No OpenProject API at this address"),
        ({"status": 403, "json": {"_type": "Error"}}, "may not read"),
        ({"body": requests.exceptions.SSLError()}, "connection broke"),
    ],
)
@responses.activate
def test_what_the_operator_must_put_right_is_a_mistake_at_start(reply: dict[str, Any], told: str) -> None:
    responses.get("http://op/api/v3", **reply)
    client = Client("http://op", ApiKey("t"), timeouts=Timeouts(attempts=1))
    with pytest.raises(RetryLater if "broke" in told else ConfigError, match=told):
        Tracker(client).probe()


@pytest.mark.parametrize("reply", [{"json": {"_type": "Root"}}, {"json": ["nothing"]}, {"body": ""}, {"status": 503}])
@responses.activate
def test_half_an_answer_at_start_is_none(reply: dict[str, Any]) -> None:
    responses.get("http://op/api/v3", **({"content_type": "application/hal+json"} | reply))
    client = Client("http://op", ApiKey("t"), timeouts=Timeouts(attempts=1))
    with pytest.raises(RetryLater):
        Tracker(client).probe()


def test_past_values_are_asked_for_once_where_the_server_fails_on_them() -> None:
    """15.4 answers 500 each time (contract A.4): no fault that passes, so not one that is asked again."""
    world = World("15.4")
    ticket = world.ticket()
    world.tracker().probe()
    assert world.asked.count(f"GET /api/v3/work_packages/{ticket}") == 1


def test_a_server_that_is_down_during_the_probe_is_not_taken_for_an_old_one() -> None:
    world = World("17.6")
    world.ticket()
    world.spoil = lambda request, answer: Answer(503, b"", {}) if "timestamps" in request.path_url else None
    with pytest.raises(RetryLater):
        world.tracker().probe()


# --- Finding ----------------------------------------------------------------------------------------------------------


def test_what_changed_is_found_whatever_the_status_and_whatever_changed(world: World) -> None:
    tracker = world.tracker()
    untouched, moved, commented, closed = (world.ticket() for _ in range(4))
    world.clock.advance(600)
    since = world.clock()
    world.instance.set_status("sup", moved, "EN COURS")
    world.instance.comment("ca", commented, "Merci")
    world.instance.set_status("sup", closed, "REJETE")
    world.clock.advance(5)
    listing = tracker.changed_since(since)
    assert ids(listing) == [moved, commented, closed]
    assert untouched not in ids(listing)
    assert (listing.server_time, listing.server_time_known) == (world.clock(), True)
    assert {ticket.project for ticket in listing.tickets} == {ProjectId(world.instance.project("client-alpha").id)}


def test_a_change_in_the_very_millisecond_of_the_lower_bound_is_found(world: World) -> None:
    """Contract A.2: the server compares microseconds and prints milliseconds."""
    tracker = world.tracker()
    world.clock.advance(0.123456)
    ticket = world.ticket()
    printed = tracker.ticket(ticket)
    assert not isinstance(printed, Missing)
    assert ids(tracker.changed_since(printed.updated_at)) == [ticket]


def test_without_a_date_header_the_local_clock_from_before_the_request_must_do(world: World) -> None:
    tracker = world.tracker()
    tracker.probe()
    before = world.clock()

    def undated(request: requests.PreparedRequest, answer: Answer) -> Answer:
        world.clock.advance(7)
        return Answer(answer.status, answer.body, {k: v for k, v in answer.headers.items() if k.lower() != "date"})

    world.spoil = undated
    listing = tracker.changed_since(START)
    assert (listing.server_time, listing.server_time_known) == (before, False)


def test_a_snapshot_holds_every_visible_ticket_with_its_status(world: World) -> None:
    tracker = world.tracker()
    names = ["NOUVEAU", "EN COURS", "RESOLU", "REJETE", "EN ATTENTE"]
    tickets = [world.ticket() for _ in names]
    for ticket, name in zip(tickets, names, strict=True):
        world.instance.set_status("sup", ticket, name)
    gone = world.ticket()
    world.instance.delete("sup", gone)
    hidden = world.ticket()
    world.instance.move("sup", hidden, "client-gamma")
    listing = tracker.status_snapshot()
    assert [(ticket.id, ticket.status) for ticket in listing.tickets] == [
        (ticket, world.status(name)) for ticket, name in zip(tickets, names, strict=True)
    ]


def test_a_snapshot_of_nothing_is_empty(world: World) -> None:
    assert world.tracker().status_snapshot().tickets == ()


def test_a_ticket_that_moves_during_a_snapshot_by_status_is_listed_without_one() -> None:
    """15.4 lists each status by itself: what moves in between is in two of the lists, or in none."""
    world = World("15.4")
    tracker = world.tracker()
    back, forth, still = (world.ticket() for _ in range(3))
    order = [status.name for status in tracker.probe().statuses]
    first, late = order[0], order[-1]
    world.instance.set_status("sup", back, late)
    world.instance.set_status("sup", forth, first)
    world.instance.set_status("sup", still, first)

    def move_in_between(request: requests.PreparedRequest) -> None:
        (filters,) = parse_qs(urlsplit(request.url or "").query).get("filters", ["[]"])
        wanted = [one["status"]["values"] for one in json.loads(filters) if "status" in one]
        if wanted == [[str(world.status(order[1]))]]:
            world.instance.set_status("sup", back, first)
            world.instance.set_status("sup", forth, late)

    world.between = move_in_between
    statuses = {ticket.id: ticket.status for ticket in tracker.status_snapshot().tickets}
    assert statuses == {back: None, forth: None, still: world.status(first)}


def test_a_status_that_vanishes_during_a_snapshot_is_left_to_the_next_cycle() -> None:
    """Its id in a filter is a 400 for the whole request (contract §2.4)."""
    world = World("15.4")
    world.ticket()
    tracker = world.tracker()
    tracker.probe()
    doomed = world.status("EN ATTENTE")
    refused = json.dumps(
        {"_type": "Error", "errorIdentifier": "urn:openproject-org:api:v3:errors:InvalidQuery"}
    ).encode()
    world.spoil = lambda request, answer: (
        Answer(400, refused, {"Content-Type": "application/hal+json"})
        if f"%22{doomed}%22" in request.path_url
        else None
    )
    with pytest.raises(RetryLater, match="InvalidQuery"):
        tracker.status_snapshot()


def test_full_tickets_are_never_listed(world: World) -> None:
    world.ticket()
    tracker = world.tracker()
    tracker.status_snapshot()
    tracker.changed_since(START)
    assert world.adapter.usage.by_kind["list"] == 0


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(
    st.sampled_from(VERSIONS),
    st.integers(2, 6),
    st.integers(0, 14),
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["delete", "create", "touch"]), st.integers(0, 5)), max_size=8
    ),
)
# Two of the first page's go while it is read, and two come: the second page would begin one too late, unnoticed.
@example("17.6", 4, 12, [(1, "delete", 0), (1, "delete", 0), (1, "create", 0), (1, "create", 0)])
# Two that were read already go before the last page: the count alone would say that everything has been seen.
@example("17.6", 6, 13, [(4, "delete", 0), (4, "delete", 0)])
def test_no_ticket_slips_between_two_pages(
    version: str, rows: int, tickets: int, meanwhile: list[tuple[int, str, int]]
) -> None:
    """Whatever comes, goes and changes between the requests: who was there all the time is in the list."""
    world = World(version)
    tracker = world.tracker(select_page=rows)
    lasting = {world.ticket() for _ in range(tickets)}
    tracker.probe()
    start = len(world.asked)

    def act(_: requests.PreparedRequest) -> None:
        for at, what, which in meanwhile:
            if at == len(world.asked) - start:
                present = sorted(lasting)
                if what == "create":
                    world.ticket()
                elif present and what == "delete":
                    victim = present[which % len(present)]
                    lasting.discard(victim)
                    world.instance.delete("sup", victim)
                elif present:
                    world.instance.set_status("sup", present[which % len(present)], "EN ATTENTE")

    world.between = act
    try:
        listing = tracker.status_snapshot()
    except RetryLater:
        # It kept changing: left to the next cycle, which is right as well.
        return
    assert lasting <= set(ids(listing))
    assert ids(listing) == sorted(set(ids(listing)))


def test_a_list_that_keeps_shrinking_is_left_to_the_next_cycle(world: World) -> None:
    tracker = world.tracker(select_page=2)
    tickets = [world.ticket() for _ in range(30)]
    tracker.probe()

    def shrink(_: requests.PreparedRequest) -> None:
        world.instance.delete("sup", tickets.pop(0))

    world.between = shrink
    with pytest.raises(RetryLater, match="keeps changing"):
        tracker.status_snapshot()


@responses.activate
def test_a_server_that_caps_its_pages_is_followed() -> None:
    """The size that counts is the one it answers (contract §2.1)."""
    everybody = [
        {
            "id": number,
            "createdAt": "2026-11-24T09:00:00.000Z",
            "updatedAt": "2026-11-24T09:00:00.000Z",
            "_links": {
                "project": {"href": "/api/v3/projects/1"},
                "principal": {"href": f"/api/v3/users/{number}", "title": f"N° {number}"},
                "roles": [{"href": "/api/v3/roles/1", "title": "Client"}],
            },
        }
        for number in range(1, 46)
    ]

    def capped(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        query = parse_qs(urlsplit(request.url or "").query)
        size, page = min(int(query["pageSize"][0]), 20), int(query["offset"][0])
        rows = everybody[(page - 1) * size : page * size]
        return 200, {}, json.dumps({"total": 45, "pageSize": size, "_embedded": {"elements": rows}})

    recorded_probe()
    responses.add_callback(responses.GET, "http://op/api/v3/memberships", capped, content_type="application/hal+json")
    reading = Tracker(Client("http://op", ApiKey("t"))).memberships()
    assert [row.user for row in reading.rows] == list(range(1, 46))


def recorded_probe() -> None:
    """Answers to a probe, from the recordings of 17.6 where there are such."""
    steps = json.loads((RECORDINGS / "openproject-17.6" / "01-discovery.json").read_text())["steps"]
    for step in steps:
        path = step["request"]["path"]
        if path in ("/api/v3", "/api/v3/users/me", "/api/v3/statuses", "/api/v3/types", "/api/v3/projects"):
            responses.get(f"http://op{path}", json=step["response"]["body"], content_type="application/hal+json")
    nothing = {"total": 0, "count": 0, "pageSize": 1, "_embedded": {"elements": []}}
    responses.get("http://op/api/v3/work_packages", json=nothing, content_type="application/hal+json")


# --- One ticket -------------------------------------------------------------------------------------------------------


def test_activities_are_read_in_order_and_as_they_are_stored(world: World) -> None:
    ticket = world.ticket()
    world.clock.advance(60)
    world.instance.set_status("sup", ticket, "EN COURS")
    world.instance.comment("sup", ticket, "Pris en charge.")
    readings = world.tracker().activities(ticket)
    assert not isinstance(readings, Missing)
    assert [one.activity.user for one in readings] == [world.person("ca"), world.person("sup")]
    assert readings[1].activity.status_lines == (StatusLine("NOUVEAU", "EN COURS"),)
    assert readings[1].activity.comment == readings[1].received["comment"] == "Pris en charge."


def test_a_ticket_is_read_with_what_a_write_needs(world: World) -> None:
    id_ = world.ticket(subject="Net à payer")
    ticket = world.tracker().ticket(id_)
    assert not isinstance(ticket, Missing)
    assert (ticket.id, ticket.subject, ticket.author) == (id_, "Net à payer", world.person("ca"))
    assert ticket.status == world.status("NOUVEAU")
    # 15.4 writes a new ticket twice (contract A.3).
    assert ticket.lock_version == (0 if world.version == "17.6" else 1)


def test_what_is_not_there_is_missing_and_no_error(world: World) -> None:
    deleted, hidden = world.ticket(), world.ticket()
    world.instance.delete("sup", deleted)
    world.instance.move("sup", hidden, "client-gamma")
    tracker = world.tracker()
    for ticket in (deleted, hidden, WorkPackageId(999_999)):
        assert tracker.ticket(ticket) == Missing()
        assert tracker.activities(ticket) == Missing()
        assert tracker.put_status(ticket, 0, world.status("EN COURS")) == Missing()
        assert tracker.comment(ticket, "Bonjour") == Missing()


def test_past_statuses_come_with_the_present_ticket() -> None:
    world = World("17.6")
    ticket = world.ticket()
    world.clock.advance(600)
    world.instance.set_status("sup", ticket, "EN COURS")
    world.clock.advance(600)
    at = [START + timedelta(seconds=700), START - timedelta(seconds=1), START + timedelta(seconds=1)]
    read = world.tracker().ticket(ticket, at)
    assert not isinstance(read, Missing)
    assert read.status_at == dict(zip(at, [world.status("EN COURS"), None, world.status("NOUVEAU")], strict=True))
    assert read.lock_version == 1


def test_a_past_instant_counts_to_the_second_only() -> None:
    """Recording 17: at 23.217 s the ticket created at 23.072 s was "not there yet"."""
    world = World("17.6")
    world.clock.advance(0.072)
    ticket = world.ticket()
    world.clock.advance(60)
    at = [START + timedelta(seconds=0.217), START + timedelta(seconds=1)]
    read = world.tracker().ticket(ticket, at)
    assert not isinstance(read, Missing)
    assert read.status_at == {at[0]: None, at[1]: world.status("NOUVEAU")}


def test_past_values_that_the_server_does_not_tell_skip_the_ticket() -> None:
    """Older than yesterday: 400 without the Enterprise add-on (contract A.4)."""
    world = World("17.6")
    ticket = world.ticket()
    with pytest.raises(SkipItem, match=f"Ticket {ticket}: .*400"):
        world.tracker().ticket(ticket, [START - timedelta(days=30)])


def test_a_status_is_set_for_the_version_that_was_read(world: World) -> None:
    id_ = world.ticket()
    tracker = world.tracker()
    before = tracker.ticket(id_)
    assert not isinstance(before, Missing)
    written = tracker.put_status(id_, before.lock_version, world.status("EN COURS"))
    assert isinstance(written, Written)
    assert written.ticket.status == world.status("EN COURS")
    assert written.ticket.lock_version == before.lock_version + 1
    assert tracker.put_status(id_, before.lock_version, world.status("RESOLU")) == Conflict()


def test_a_comment_does_not_make_a_conflict(world: World) -> None:
    id_ = world.ticket()
    tracker = world.tracker()
    before = tracker.ticket(id_)
    assert not isinstance(before, Missing)
    world.instance.comment("ca", id_, "Un commentaire")
    assert isinstance(tracker.put_status(id_, before.lock_version, world.status("EN COURS")), Written)


def test_what_openproject_refuses_is_told_by_identifier_and_attribute(world: World) -> None:
    tracker = world.tracker()
    # The bridge's role has no transitions for this type.
    id_ = world.ticket(type="Évolution")
    ticket = tracker.ticket(id_)
    assert not isinstance(ticket, Missing)
    refused = tracker.put_status(id_, ticket.lock_version, world.status("RESOLU"))
    assert isinstance(refused, Refused)
    assert (refused.identifier, refused.attribute) == ("PropertyConstraintViolation", "status")
    reader = world.tracker("ro")
    refused = reader.put_status(id_, ticket.lock_version, world.status("RESOLU"))
    assert isinstance(refused, Refused)
    assert refused.identifier == "MissingPermission"


def test_a_comment_joins_the_bridges_own_change_from_just_before(world: World) -> None:
    id_ = world.ticket()
    tracker = world.tracker()
    ticket = tracker.ticket(id_)
    assert not isinstance(ticket, Missing)
    tracker.put_status(id_, ticket.lock_version, world.status("EN COURS"))
    reading = tracker.comment(id_, "Remis en cours.\n\n<!-- bridge:x -->")
    assert not isinstance(reading, Missing | Refused)
    assert reading.activity.comment == "Remis en cours.\n\n<!-- bridge:x -->"
    assert reading.activity.user == world.person("bridge")
    assert reading.activity.status_lines == (StatusLine("NOUVEAU", "EN COURS"),)


def test_who_may_not_comment_is_told_that_it_is_missing(world: World) -> None:
    """Contract §7: 404, not 403."""
    assert world.tracker("ro").comment(world.ticket(), "non") == Missing()


def test_an_empty_comment_is_refused_by_17_and_taken_by_15(world: World) -> None:
    result = world.tracker().comment(world.ticket(), "")
    if world.version == "17.6":
        assert isinstance(result, Refused)
        assert result.attribute == "journalNotes"
    else:
        assert not isinstance(result, Refused | Missing)


def test_notifications_are_switched_off_in_the_address_alone(world: World) -> None:
    """Contract §6.8: a JSON false has no effect."""
    seen: list[tuple[str, str]] = []
    world.between = lambda request: seen.append((request.method or "", urlsplit(request.url or "").query))
    id_ = world.ticket()
    tracker = world.tracker()
    tracker.put_status(id_, 0, world.status("EN COURS"), notify=False)
    tracker.comment(id_, "Bonjour", notify=False)
    tracker.put_status(id_, 0, world.status("EN COURS"))
    assert seen == [("PATCH", "notify=false"), ("POST", "notify=false"), ("PATCH", "")]


# --- Answers that nobody may believe ----------------------------------------------------------------------------------


def as_if_about(other: WorkPackageId, asked: WorkPackageId) -> Callable[[requests.PreparedRequest, Answer], Answer]:
    """A proxy that mixes up answers."""
    old, new = f"/work_packages/{asked}".encode(), f"/work_packages/{other}".encode()

    def spoil(_: requests.PreparedRequest, answer: Answer) -> Answer:
        body = answer.body.replace(old, new).replace(f'"id":{asked},'.encode(), f'"id":{other},'.encode())
        return instead(answer, body)

    return spoil


def test_an_answer_about_another_ticket_is_not_this_tickets(world: World) -> None:
    id_ = world.ticket()
    tracker = world.tracker()
    tracker.probe()
    world.spoil = as_if_about(WorkPackageId(4711), id_)
    for read in (tracker.ticket, tracker.activities):
        with pytest.raises(SkipItem, match=f"Ticket {id_}: the answer is about another ticket"):
            read(id_)
    lock_version = 0 if world.version == "17.6" else 1
    with pytest.raises(RetryLater, match="another ticket"):
        tracker.put_status(id_, lock_version, world.status("EN COURS"))
    with pytest.raises(RetryLater, match="another ticket"):
        tracker.comment(id_, "Bonjour")


def test_an_answer_about_another_user_names_nobody(world: World) -> None:
    world.spoil = as_if_about(WorkPackageId(4711), WorkPackageId(world.person("ca")))
    with pytest.raises(RetryLater, match="another user"):
        world.tracker().user_name(world.person("ca"))


def test_a_list_of_activities_that_is_not_whole_is_not_read(world: World) -> None:
    id_ = world.ticket()
    world.spoil = lambda request, answer: instead(answer, answer.body.replace(b'"total":1', b'"total":2'))
    with pytest.raises(SkipItem, match="'total'"):
        world.tracker().activities(id_)


def test_a_damaged_activity_skips_its_ticket_by_number_and_field(world: World) -> None:
    id_ = world.ticket()
    world.spoil = lambda request, answer: instead(answer, answer.body.replace(b'"createdAt"', b'"erstelltAm"'))
    with pytest.raises(SkipItem, match=f"Ticket {id_}: 'createdAt'"):
        world.tracker().activities(id_)


def test_a_status_that_was_not_set_is_not_reported_as_set(world: World) -> None:
    id_ = world.ticket()
    here = f"/api/v3/statuses/{world.status('EN COURS')}".encode()
    there = f"/api/v3/statuses/{world.status('REJETE')}".encode()
    world.spoil = lambda request, answer: instead(answer, answer.body.replace(here, there))
    with pytest.raises(RetryLater, match="not the one that was set"):
        world.tracker().put_status(id_, 0 if world.version == "17.6" else 1, world.status("EN COURS"))


def test_an_answer_to_a_write_that_gets_lost_leaves_the_outcome_open_and_is_not_sent_again(world: World) -> None:
    id_ = world.ticket()

    def lose(request: requests.PreparedRequest, answer: Answer) -> Answer:
        raise requests.ConnectionError("reset")

    world.spoil = lose
    tracker = world.tracker()
    with pytest.raises(RetryLater):
        tracker.put_status(id_, 0 if world.version == "17.6" else 1, world.status("EN COURS"))
    with pytest.raises(RetryLater):
        tracker.comment(id_, "Bonjour")
    assert len(world.asked) == 2
    assert [remark.text for remark in world.instance.remarks] == ["Bonjour"]


# --- People -----------------------------------------------------------------------------------------------------------


def test_memberships_hold_everybodys_roles_those_through_a_group_included(world: World) -> None:
    reading = world.tracker().memberships()
    alpha, beta = (ProjectId(world.instance.project(name).id) for name in ("client-alpha", "client-beta"))
    roles = {(row.project, row.user): row.roles for row in reading.rows}
    assert roles[alpha, world.person("cg")] == ("Client",)
    assert roles[alpha, world.person("mix")] == ("CEGAPE", "Client")
    assert (beta, world.person("ca")) not in roles
    assert {alpha, beta} <= reading.readable
    assert ProjectId(world.instance.project("client-gamma").id) not in reading.readable
    assert {row.user_name for row in reading.rows if row.user == world.person("ca")} == {"Agent Alpha"}


def test_without_the_permission_nothing_is_readable_and_nobody_is_not_a_member(world: World) -> None:
    """Contract §8.2: 200 with an empty list, not 403."""
    reading = world.tracker("ca").memberships()
    assert (reading.rows, reading.readable) == ((), frozenset())


def test_a_person_who_cannot_be_seen_has_no_name(world: World) -> None:
    tracker = world.tracker()
    assert tracker.user_name(world.person("ca")) == "Agent Alpha"
    # 15.4 shows any user to anybody (contract A.7).
    assert tracker.user_name(world.person("admin")) == (None if world.version == "17.6" else "OpenProject Admin")
    assert tracker.user_name(UserId(999_999)) is None


def test_a_custom_field_that_carries_the_status_label_is_found(world: World) -> None:
    tracker = world.tracker()
    ticket = tracker.ticket(world.ticket())
    assert not isinstance(ticket, Missing)
    assert tracker.status_like_fields(ticket.schema) == ("Statut",)


def test_a_permission_that_is_taken_away_later_is_said_and_is_no_crash(world: World) -> None:
    tracker = world.tracker()
    tracker.probe()
    forbidden = json.dumps({"_type": "Error", "errorIdentifier": "urn:x:MissingPermission"}).encode()
    world.spoil = lambda request, answer: Answer(403, forbidden, {"Content-Type": "application/hal+json"})
    with pytest.raises(Misconfigured, match="may not read the list /work_packages"):
        tracker.changed_since(START)

"""With ``dry_run`` nothing that writes leaves: shown at the session, below everything that could ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.model import StatusId, WorkPackageId
from bridge.errors import Stop
from bridge.openproject.client import Client
from bridge.openproject.credentials import ApiKey, ClientCredentials
from bridge.openproject.tracker import Tracker
from bridge.simulator import Api, Clock, InProcess, seed

RECORDINGS = Path(__file__).parents[1] / "recordings"
WRITING = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "MERGE", "patch", "Delete", "")


class Watched(InProcess):
    """A simulated OpenProject that notes every request which reaches it."""

    def __init__(self) -> None:
        clock = Clock(datetime(2026, 11, 24, 9, tzinfo=UTC))
        instance = seed(json.loads((RECORDINGS / "openproject-17.6" / "instance.json").read_text()), clock)
        super().__init__(Api(instance), before=lambda request: self.arrived.append((request.method, request.url)))
        self.arrived: list[tuple[str | None, str | None]] = []
        self.instance = instance
        self.ticket = WorkPackageId(instance.create("ca", "client-alpha", "Bulletin faux").id)

    def client(self, *, dry_run: bool) -> Client:
        return Client("http://simulator", ApiKey(self.instance.token("bridge")), adapter=self, dry_run=dry_run)


@pytest.fixture
def server() -> Watched:
    return Watched()


VERBS: list[Callable[[Tracker, WorkPackageId], object]] = [
    lambda tracker, ticket: tracker.put_status(ticket, 0, StatusId(49)),
    lambda tracker, ticket: tracker.put_status(ticket, 0, StatusId(49), notify=False),
    lambda tracker, ticket: tracker.comment(ticket, "Bonjour"),
    lambda tracker, ticket: tracker.comment(ticket, "Bonjour", notify=False),
]


@pytest.mark.parametrize("write", VERBS)
def test_the_trackers_writing_verbs_send_nothing(
    write: Callable[[Tracker, WorkPackageId], object], server: Watched
) -> None:
    with pytest.raises(Stop, match="Dry run"):
        write(Tracker(server.client(dry_run=True)), server.ticket)
    assert server.arrived == []
    write(Tracker(server.client(dry_run=False)), server.ticket)
    assert len(server.arrived) == 1


def test_every_reading_verb_works(server: Watched) -> None:
    tracker = Tracker(server.client(dry_run=True))
    tracker.probe()
    tracker.changed_since(datetime(2026, 11, 24, tzinfo=UTC))
    tracker.status_snapshot()
    tracker.activities(server.ticket)
    tracker.ticket(server.ticket)
    tracker.memberships()
    tracker.user_name(tracker.server.user)
    tracker.status_like_fields("11-20")
    assert {method for method, _ in server.arrived} == {"GET"}


paths = st.sampled_from(["/api/v3/work_packages/1", "/api/v3/work_packages/1/activities", "/oauth/token/../api", "/"])
tails = st.sampled_from(["", "?notify=false", "?x=/form", "#/form", "?next=/oauth/token", "/oauth/token"])


@given(st.sampled_from(WRITING), paths, tails)
def test_the_session_itself_sends_nothing_that_writes(method: str, path: str, tail: str) -> None:
    """Whoever gets hold of the session, by whatever verb of ``requests``, and wherever the request goes."""
    server = Watched()
    session = server.client(dry_run=True)._session
    for prefix in ("http://simulator", "http://elsewhere.example.org"):
        with pytest.raises(Stop):
            session.request(method, f"{prefix}{path}{tail}", json={"lockVersion": 0})
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = method, f"{prefix}{path}{tail}", b"{}"
        with pytest.raises(Stop):
            session.send(prepared)
    assert server.arrived == []


def test_the_sessions_shortcuts_send_nothing_that_writes(server: Watched) -> None:
    session = server.client(dry_run=True)._session
    for verb in (session.post, session.put, session.patch, session.delete, session.options, session.head):
        with pytest.raises(Stop):
            verb(f"http://simulator/api/v3/work_packages/{server.ticket}")
    assert server.arrived == []


def test_a_form_validates_and_saves_nothing_so_it_may_leave(server: Watched) -> None:
    client = server.client(dry_run=True)
    status = {"href": "/api/v3/statuses/49"}
    form = client.write(
        "POST", f"/work_packages/{server.ticket}/form", {"lockVersion": 0, "_links": {"status": status}}
    )
    assert form.ok
    assert server.instance.moves[-1].ticket == server.ticket
    assert len(server.instance.moves) == 1, "the creation, and no move"
    with pytest.raises(Stop):
        client.write("PATCH", f"/work_packages/{server.ticket}/form", {})


@responses.activate
def test_a_token_may_be_fetched_to_read_with() -> None:
    responses.post("http://op/oauth/token", json={"access_token": "abc", "token_type": "Bearer"})
    responses.get("http://op/api/v3", json={})
    assert Client("http://op", ClientCredentials("id", "secret"), dry_run=True).get("").ok
    assert [call.request.method for call in responses.calls] == ["POST", "GET"]

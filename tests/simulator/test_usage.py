"""How other tests and worlds use the simulator: the shortest complete example."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from bridge.simulator import Answer, Api, Clock, InProcess, Instance, Through, seed, serve

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 24, 9, tzinfo=UTC))


@pytest.fixture
def instance(clock: Clock) -> Instance:
    return seed(json.loads((RECORDINGS / "openproject-17.6" / "instance.json").read_text()), clock)


def session_as(instance: Instance, who: str, adapter: InProcess) -> requests.Session:
    session = requests.Session()
    session.mount("http://simulator", adapter)
    session.auth = ("apikey", instance.token(who))
    return session


def test_what_people_do_is_seen_over_http_and_kept_as_the_truth(instance: Instance, clock: Clock) -> None:
    ticket = instance.create("ca", "client-alpha", "Bulletin faux")
    clock.advance(60)
    instance.set_status("sup", ticket, "EN COURS")
    instance.set_status("sup", ticket, "EN COURS DE TEST")
    adapter = InProcess(Api(instance))
    with session_as(instance, "bridge", adapter) as session:
        shown = session.get(f"http://simulator/api/v3/work_packages/{ticket.id}/activities").json()
    lines = [line["raw"] for line in shown["_embedded"]["elements"][1]["details"]]
    assert lines == ["Statut changé de NOUVEAU à EN COURS DE TEST"], "the two moves are merged for those who read"
    assert [(move.through, instance.statuses[move.target].name) for move in instance.moves] == [
        (Through.CREATION, "NOUVEAU"),
        (Through.STATUS, "EN COURS"),
        (Through.STATUS, "EN COURS DE TEST"),
    ], "the truth has every move"
    assert adapter.usage.by_kind == {"activities": 1}


def test_people_act_between_two_requests_and_answers_get_lost(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Bulletin faux")

    def act_first(request: requests.PreparedRequest) -> None:
        if request.method == "PATCH":
            instance.set_status("sup", ticket, "EN COURS")

    def lose_comments(request: requests.PreparedRequest, answer: Answer) -> Answer:
        if request.method == "POST":
            raise requests.ConnectionError("the answer never came")
        return answer

    adapter = InProcess(Api(instance), before=act_first, after=lose_comments)
    with session_as(instance, "bridge", adapter) as session:
        url = f"http://simulator/api/v3/work_packages/{ticket.id}"
        status = {"href": f"/api/v3/statuses/{instance.status('RESOLU').id}"}
        written = session.patch(url, json={"lockVersion": ticket.lock_version, "_links": {"status": status}})
        assert written.status_code == 409, "somebody was faster"
        with pytest.raises(requests.ConnectionError):
            session.post(f"{url}/activities", json={"comment": {"raw": "Perdu ?"}})
    assert [remark.text for remark in instance.remarks] == ["Perdu ?"], "the server had done it all the same"


def test_it_serves_on_loopback_only_and_says_what_it_is(instance: Instance) -> None:
    with serve(Api(instance)) as serving:
        auth = ("apikey", instance.token("bridge"))
        root = requests.get(f"{serving.url}/api/v3", auth=auth, timeout=5)
    assert "SIMULATOR" in root.json()["instanceName"]
    with pytest.raises(ValueError, match="loopback"), serve(Api(instance), "0.0.0.0"):
        pass

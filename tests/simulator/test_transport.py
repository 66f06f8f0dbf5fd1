"""The ways to the simulator: what they count, compress and deliver."""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from bridge.simulator import Api, Counting, Delivery, InProcess, Instance, Webhook, install_webhook, serve
from bridge.simulator.clock import Clock
from bridge.simulator.transport import estimate

from .conftest import URL


def test_usage_counts_what_a_real_server_would_have_spent(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Compté")
    adapter = InProcess(Api(instance))
    with requests.Session() as session:
        session.mount("http://simulator", adapter)
        session.auth = ("apikey", instance.token("bridge"))
        session.get(f"{URL}/work_packages?pageSize=100")
        session.get(f"{URL}/work_packages?select=total&pageSize=100")
        session.get(f"{URL}/work_packages/{ticket.id}/activities")
        session.post(f"{URL}/work_packages/{ticket.id}/activities", json={"comment": {"raw": "Un"}})
    assert adapter.usage.by_kind == {"list": 1, "select": 1, "activities": 1, "comment": 1}
    assert adapter.usage.requests == 4
    assert adapter.usage.bytes_in == len(b'{"comment": {"raw": "Un"}}')


@pytest.mark.parametrize(
    ("version", "rows", "expected"), [("17.6", 100, 836), ("17.6", 1000, 13837), ("15.4", 20, 528)]
)
def test_full_pages_cost_what_was_measured(version: str, rows: int, expected: float) -> None:
    body = b'{"_type":"WorkPackage"}' * rows
    assert estimate(version, "GET", "/api/v3/work_packages", "pageSize=1", body) == ("list", expected)


def test_a_snapshot_by_select_costs_next_to_nothing() -> None:
    kind, spent = estimate("17.6", "GET", "/api/v3/work_packages", "select=elements/id", b'{"id":1}' * 1000)
    assert kind == "select"
    assert spent < 100


def test_bodies_are_compressed_when_both_sides_want(instance: Instance) -> None:
    for number in range(50):
        instance.create("ca", "client-alpha", f"Ticket {number}")
    with serve(Counting(Api(instance, zipped=True))) as serving:
        answer = requests.get(
            f"{serving.url}/api/v3/work_packages", auth=("apikey", instance.token("bridge")), timeout=5
        )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["total"] == 50


def test_of_two_writes_at_once_one_wins(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Disputé")
    with serve(Api(instance)) as serving, ThreadPoolExecutor(8) as pool:

        def write(status: str) -> int:
            link = {"href": f"/api/v3/statuses/{instance.status(status).id}"}
            return requests.patch(
                f"{serving.url}/api/v3/work_packages/{ticket.id}",
                json={"lockVersion": 0, "_links": {"status": link}},
                auth=("apikey", instance.token("sup")),
                timeout=5,
            ).status_code

        codes = sorted(pool.map(write, ["EN COURS", "EN ATTENTE"] * 4))
    assert codes == [200, *[409] * 7]
    assert len(instance.moves) == 2


def test_a_server_without_a_proxy_sends_no_date(instance: Instance) -> None:
    with requests.Session() as session:
        session.mount("http://simulator", InProcess(Api(instance, dated=False)))
        assert "Date" not in session.get(f"{URL}/configuration").headers


def test_webhooks_wait_for_the_end_of_the_window_and_are_signed(instance: Instance, clock: Clock) -> None:
    received: list[Delivery] = []
    events = frozenset({"work_package:created", "work_package:updated", "work_package_comment:comment"})
    install_webhook(instance, Webhook("http://receiver", "secret", events, received.append))
    ticket = instance.create("ca", "client-alpha", "Annoncé")
    clock.advance(299)
    instance.set_status("ca", ticket, "EN ATTENTE")
    clock.advance(299)
    instance.run_due()
    assert received == [], "the second save restarted the wait"
    clock.advance(1)
    instance.run_due()
    assert [json.loads(delivery.body)["action"] for delivery in received] == ["work_package:created"]
    signature = hmac.new(b"secret", received[0].body, hashlib.sha1).hexdigest()
    assert received[0].headers["X-Op-Signature"] == f"sha1={signature}"


def test_editing_a_comment_in_the_window_swallows_the_webhook(instance: Instance, clock: Clock) -> None:
    received: list[Delivery] = []
    events = frozenset({"work_package:updated", "work_package_comment:comment"})
    ticket = instance.create("ca", "client-alpha", "Silencieux")
    install_webhook(instance, Webhook("http://receiver", "", events, received.append))
    comment = instance.comment("sup", ticket, "Un mot")
    clock.advance(10)
    instance.edit_comment("sup", comment, "Un autre mot")
    clock.advance(3600)
    instance.run_due()
    assert received == []

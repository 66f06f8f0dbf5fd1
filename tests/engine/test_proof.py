"""Before a write, the move is proven: by id where the server tells the past (contract A.4), by the chain elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import orjson
import pytest
import requests

from bridge.simulator import Answer
from bridge.simulator.nouns import Version
from bridge.store.schema import EntryKind
from tests.engine.conftest import Open
from tests.engine.desk import VERSIONS, Desk


def outcomes(desk: Desk) -> list[str]:
    """What the ledger says about every revert that the server accepted."""
    with closing(sqlite3.connect(desk.database)) as database:
        rows = database.execute("SELECT payload FROM entry WHERE kind = ? ORDER BY seq", [EntryKind.OUTCOME.value])
        payloads = [orjson.loads(payload) for (payload,) in rows]
    return [payload["detail"] for payload in payloads if payload["outcome"] == "reverted"]


@pytest.mark.parametrize(("version", "proof"), [("17.6", "proven by timestamps"), ("15.4", "proven by chain")])
def test_the_ledger_says_what_proved_each_revert(desk: Open, version: Version, proof: str) -> None:
    one = desk(version)
    moved = one.instance.create("ca", "client-alpha", "Déplacée")
    one.stop()  # whether the server tells the past is tried on a ticket, when the bridge starts and every hour
    one.cycle(400)
    one.instance.set_status("ca", moved, "EN COURS")
    created = one.instance.create("ca", "client-alpha", "Créée fermée", status="RESOLU")
    one.cycle()
    assert one.was_put_back_once(moved, "NOUVEAU")
    assert one.was_put_back_once(created, "NOUVEAU")
    assert outcomes(one) == [proof, proof]


def test_a_move_of_the_day_before_yesterday_is_proven_by_the_chain(desk: Open) -> None:
    """Community editions answer nothing older (recording 17); nothing is asked that they would refuse."""
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Vieille")
    one.stop()  # whether the server tells the past is tried on a ticket, when the bridge starts and every hour
    one.cycle(400)
    one.instance.set_status("ca", ticket, "EN COURS")
    answers: list[int] = []
    with one.meanwhile(after=lambda request, answer: answers.append(answer.status)):
        one.cycle(timedelta(days=2).total_seconds())
    assert one.was_put_back_once(ticket, "NOUVEAU")
    assert outcomes(one) == ["proven by chain"]
    assert set(answers) <= {200, 201}


def test_a_past_that_contradicts_the_activities_is_not_acted_upon(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Contredite")
    one.stop()  # whether the server tells the past is tried on a ticket, when the bridge starts and every hour
    one.cycle(400)
    one.instance.set_status("ca", ticket, "EN COURS")
    wrong = one.instance.status("EN ATTENTE").id

    def rewrite(request: requests.PreparedRequest, answer: Answer) -> Answer | None:
        if (
            "timestamps" not in (request.url or "")
            or answer.status != 200
            or f"/{ticket.id}?" not in (request.url or "")
        ):
            return None
        body = orjson.loads(answer.body)
        for past in body["_embedded"]["attributesByTimestamp"]:
            if past["_links"].get("status"):
                past["_links"]["status"]["href"] = f"/api/v3/statuses/{wrong}"
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
        return Answer(200, orjson.dumps(body), headers)

    with one.meanwhile(after=rewrite):
        report = one.cycle()
    assert [(acted.result.value, "remembers another status" in acted.detail) for acted in report.acted] == [
        ("unproven", True)
    ]
    assert one.untouched(ticket)
    assert one.verdicts(ticket)[-1][0] == "illegal", "it is reported"
    one.cycle(1000)
    assert one.untouched(ticket), "given up on, for a person to look at"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_person_who_acts_right_before_the_write_wins(desk: Open, version: Version) -> None:
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Disputée")
    one.stop()  # whether the server tells the past is tried on a ticket, when the bridge starts and every hour
    one.cycle(400)
    one.instance.set_status("ca", ticket, "EN COURS")

    def take_over(request: requests.PreparedRequest) -> None:
        if request.method == "PATCH" and one.status(ticket) == "EN COURS":
            one.instance.set_status("sup", ticket, "EN COURS DE TEST")

    with one.meanwhile(before=take_over):
        report = one.cycle()
    assert [acted.result.value for acted in report.acted] == ["moved on"]
    assert one.untouched(ticket)
    assert one.status(ticket) == "EN COURS DE TEST"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_ticket_that_may_have_been_moved_right_away_is_left_alone(desk: Open, version: Version) -> None:
    """Creation and move are one activity then, and nothing tells them apart (recording 06)."""
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Deux en un")
    one.clock.advance(0.5)
    one.instance.set_status("ca", ticket, "RESOLU")
    one.cycle()
    assert one.untouched(ticket)

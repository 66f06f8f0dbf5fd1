"""The ways around OpenProject's own workflow that it leaves open (contract A.5, recordings 09 and 23).

The bridge closes each of them, on both versions.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from bridge.simulator import Refusal, Ticket
from bridge.simulator.nouns import Version
from tests.engine.conftest import Open
from tests.engine.desk import VERSIONS, Desk

RESTRICTED = "Évolution"
"""The type whose native workflow allows clients little (``instance.json``)."""

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def as_client(desk: Desk) -> requests.Session:
    """A client's own session: their token, and no browser."""
    session = requests.Session()
    session.mount("http://simulator", desk.adapter)
    session.auth = ("apikey", desk.instance.token("ca"))
    return session


def href(desk: Desk, kind: str, name: str) -> dict[str, str]:
    id_ = desk.instance.status(name).id if kind == "statuses" else desk.instance.type(name).id
    return {"href": f"/api/v3/{kind}/{id_}"}


def let_the_bridge_move_everything(desk: Desk) -> None:
    """As docs/install.md asks for: the service account's role has every transition of every type."""
    instance = desk.instance
    every = frozenset((old, new) for old in instance.statuses for new in instance.statuses)
    for type_ in instance.types:
        instance.workflows[type_, instance.role("Pont").id] = every


# --- Creation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["RESOLU", "EN COURS", "REJETE", "CORRECTION NON VALIDE", "EN ATTENTE"])
@pytest.mark.parametrize("type_", ["Anomalie", RESTRICTED])
def test_a_ticket_created_in_any_status_goes_back_to_the_first_one(
    desk: Open, version: Version, status: str, type_: str
) -> None:
    one = desk(version)
    let_the_bridge_move_everything(one)
    ticket = one.instance.create("ca", "client-alpha", "Créée ailleurs", type=type_, status=status)
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")
    one.cycle(1000)
    assert one.was_put_back_once(ticket, "NOUVEAU")


def test_a_ticket_created_over_the_api_in_a_closed_status_goes_back(desk: Open, version: Version) -> None:
    one = desk(version)
    let_the_bridge_move_everything(one)
    links = {"status": href(one, "statuses", "RESOLU"), "type": href(one, "types", RESTRICTED)}
    url = "http://simulator/api/v3/projects/client-alpha/work_packages"
    created = as_client(one).post(url, json={"subject": "Par l'API", "_links": links})
    assert created.status_code == 201
    one.cycle()
    assert one.was_put_back_once(one.instance.tickets[created.json()["id"]], "NOUVEAU")


def test_where_the_bridge_may_not_move_it_back_it_says_so_once_and_does_not_try_again(
    desk: Open, version: Version
) -> None:
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Créée ailleurs", type=RESTRICTED, status="RESOLU")
    report = one.cycle()
    assert [(acted.result.value, "status" in acted.detail) for acted in report.acted] == [("refused", True)]
    assert one.explanations(ticket) == [], "nothing was put back, so nothing is explained"
    assert one.cycle().acted == one.cycle(1000).acted == ()
    with one.books() as books:
        (attempt,) = books.attempts()
    assert attempt.state == "refused"


# --- A type change in the same save ---------------------------------------------------------------------------------


def test_a_type_change_in_the_same_save_does_not_hide_an_illegal_move(desk: Open, version: Version) -> None:
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Change de type", type=RESTRICTED)
    one.cycle(400)
    with pytest.raises(Refusal):
        one.instance.set_status("ca", ticket, "REJETE")  # OpenProject's workflow would not let them
    one.clock.advance(400)
    one.instance.change_type("ca", ticket, "Anomalie", status="REJETE")  # and lets them all the same
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")


def test_a_legal_move_with_a_type_change_is_left_alone(desk: Open, version: Version) -> None:
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Change de type")
    one.cycle(400)
    one.instance.change_type("ca", ticket, "Assistance", status="EN ATTENTE")
    one.cycle()
    assert one.untouched(ticket)
    assert one.verdicts(ticket)[-1] == ("allowed", None)


# --- The API, and many at once --------------------------------------------------------------------------------------


def test_a_move_by_a_program_with_a_clients_token_is_put_back(desk: Open, version: Version) -> None:
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Par programme")
    one.cycle(400)
    body = {"lockVersion": ticket.lock_version, "_links": {"status": href(one, "statuses", "EN COURS DE TEST")}}
    url = f"http://simulator/api/v3/work_packages/{ticket.id}"
    assert as_client(one).patch(url, json=body, params={"notify": "false"}).status_code == 200
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")


@pytest.mark.parametrize("minutes", [5, 0])
def test_a_bulk_edit_is_put_back_ticket_by_ticket(desk: Open, version: Version, minutes: int) -> None:
    """OpenProject's list view saves one ticket after another, all within a second."""
    one = desk(version)
    one.instance.set_aggregation(minutes)
    tickets = [one.instance.create("ca", "client-alpha", f"Demande {n}") for n in range(6)]
    legal = [one.instance.create("ca2", "client-alpha", f"Autre {n}") for n in range(12)]
    one.cycle(400)
    for ticket in tickets:
        one.instance.set_status("ca", ticket, "EN COURS DE TEST")
        one.clock.advance(0.1)
    for ticket in legal:
        one.instance.set_status("ca2", ticket, "EN ATTENTE")
    one.cycle()
    assert all(one.was_put_back_once(ticket, "NOUVEAU") for ticket in tickets)
    assert all(one.untouched(ticket) for ticket in legal)


def hop(desk: Desk, ticket: Ticket) -> None:
    desk.instance.set_status("ca", ticket, "EN ATTENTE")
    desk.clock.advance(2)
    desk.instance.set_status("ca", ticket, "EN COURS DE TEST")


def behind_a_comment(desk: Desk, ticket: Ticket) -> None:
    desk.instance.comment("ca", ticket, "Regardez la pièce jointe.")
    desk.clock.advance(2)
    desk.instance.set_status("ca", ticket, "EN COURS DE TEST")


def behind_a_cleared_comment(desk: Desk, ticket: Ticket) -> None:
    journal = desk.instance.comment("ca", ticket, "Oubliez.")
    desk.clock.advance(2)
    desk.instance.edit_comment("ca", journal, "")
    desk.clock.advance(2)
    desk.instance.set_status("ca", ticket, "EN COURS DE TEST")


def there_and_back_and_there(desk: Desk, ticket: Ticket) -> None:
    for status in ("EN COURS DE TEST", "NOUVEAU", "EN COURS DE TEST"):
        desk.instance.set_status("ca", ticket, status)
        desk.clock.advance(2)


@pytest.mark.parametrize("trick", [hop, behind_a_comment, behind_a_cleared_comment, there_and_back_and_there])
def test_a_move_hidden_by_aggregation_is_put_back(
    desk: Open, version: Version, trick: Callable[[Desk, Ticket], None]
) -> None:
    """Whatever else a client merges into the same activity, no legal way leads there."""
    one = desk(version)
    ticket = one.instance.create("ca", "client-alpha", "Cachée")
    one.cycle(400)
    trick(one, ticket)
    one.cycle()
    assert one.status(ticket) in ("NOUVEAU", "EN ATTENTE")
    assert (len(one.own_moves(ticket)), len(one.explanations(ticket))) == (1, 1)

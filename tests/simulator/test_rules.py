"""Rules of OpenProject that the recordings do not exercise, each from its place in the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from bridge.simulator import Clock, Instance, Refusal, Through, Ticket

from .conftest import START, Ask

Act = Callable[[Instance, Ticket], object]


def names(instance: Instance, ids: object) -> list[str]:
    return sorted(instance.statuses[id].name for id in ids)  # type: ignore[attr-defined]


def filters(**conditions: list[object]) -> dict[str, str]:
    asked = [{name: {"operator": condition[0], "values": condition[1]}} for name, condition in conditions.items()]
    return {"filters": json.dumps(asked)}


# --- The native workflow and its holes (A.5, contract §6.3) ---


def test_the_workflow_limits_a_client(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Évolution", type="Évolution")
    assert names(instance, instance.targets(instance.person("ca"), ticket.state.type, ticket.state.status, 11)) == [
        "EN ATTENTE",
        "NOUVEAU",
    ]
    with pytest.raises(Refusal, match="no_transition"):
        instance.set_status("ca", ticket, "RESOLU")
    assert len(instance.moves) == 1, "what was refused did not happen"


def test_a_type_change_in_the_same_save_passes_the_workflow(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Évolution", type="Évolution")
    instance.change_type("ca", ticket, "Anomalie", status="RESOLU")
    assert instance.moves[-1].through is Through.TYPE
    assert instance.status("RESOLU").id == ticket.state.status


def test_creation_passes_the_workflow(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Déjà résolu", type="Évolution", status="RESOLU")
    assert instance.moves[-1].through is Through.CREATION
    assert instance.moves[-1].origin is None
    assert instance.statuses[ticket.state.status].name == "RESOLU"


@pytest.mark.parametrize(
    ("act", "answer"),
    [
        (lambda world, ticket: world.comment("ro", ticket, "non"), "404 NotFound"),
        (lambda world, ticket: world.set_status("ro", ticket, "EN COURS"), "403 MissingPermission"),
        (lambda world, ticket: world.create("ro", "client-alpha", "non"), "403 MissingPermission"),
        (lambda world, ticket: world.delete("ca", ticket), "403 MissingPermission"),
        (lambda world, ticket: world.move("ca", ticket, "client-gamma"), "422 PropertyIsReadOnly"),
        (lambda world, ticket: world.set_status("cb", ticket, "EN COURS"), "404 NotFound"),
    ],
)
def test_people_are_refused_as_over_http(instance: Instance, act: Act, answer: str) -> None:
    ticket = instance.create("ca", "client-alpha", "Refus")
    with pytest.raises(Refusal, match=answer):
        act(instance, ticket)
    assert len(instance.moves) == 1
    assert instance.remarks == []


# --- Journals (contract §4) ---


def test_the_window_slides_and_closes(instance: Instance, clock: Clock) -> None:
    ticket = instance.create("ca", "client-alpha", "Fenêtre")
    for status in ("EN COURS", "EN COURS DE TEST", "EN ATTENTE"):
        clock.advance(timedelta(minutes=5))
        instance.set_status("sup", ticket, status)
    assert len(ticket.journals) == 2, "each save reopened the window for five minutes"
    clock.advance(timedelta(minutes=5, microseconds=1))
    instance.set_status("sup", ticket, "REJETE")
    assert len(ticket.journals) == 3


def test_a_late_edit_of_a_comment_lets_a_move_land_in_an_old_activity(instance: Instance, clock: Clock) -> None:
    ticket = instance.create("ca", "client-alpha", "Vieux commentaire")
    comment = instance.comment("sup", ticket, "Bonjour")
    clock.advance(timedelta(days=3))
    instance.edit_comment("sup", comment, "Bonjour !")
    instance.set_status("sup", ticket, "EN COURS")
    assert instance.moves[-1].activity == comment.id
    assert comment.created_at == START


# --- Seeing (A.7, contract §8) ---


def test_roles_come_and_go_with_a_group(instance: Instance, clock: Clock, ask: Ask) -> None:
    assert instance.role_names("cb", "client-alpha") == ()
    clock.advance(60)
    instance.join_group("Clients Alpha", "cb")
    assert instance.role_names("cb", "client-alpha") == ("Client",)
    rows = ask(instance, "bridge", "GET", "/memberships", params=filters(principal=["=", ["61"]])).json()
    titles = {row["_links"]["project"]["title"] for row in rows["_embedded"]["elements"]}
    assert titles == {"Client Beta", "Client Alpha", "Client Alpha Paie"}
    instance.leave_group("Clients Alpha", "cb")
    assert instance.role_names("cb", "client-alpha") == ()


def test_direct_and_inherited_roles_add_up(instance: Instance) -> None:
    instance.join("client-alpha", "cg", ["CEGAPE"])
    assert instance.role_names("cg", "client-alpha") == ("CEGAPE", "Client")
    instance.leave("client-alpha", "Clients Alpha")
    assert instance.role_names("cg", "client-alpha") == ("CEGAPE",)


def test_roles_are_kept_with_each_move(instance: Instance) -> None:
    ticket = instance.create("ca", "client-alpha", "Promotion")
    instance.join("client-alpha", "ca", ["CEGAPE"])
    instance.set_status("ca", ticket, "EN COURS")
    assert [move.roles for move in instance.moves] == [("Client",), ("CEGAPE",)]


def test_a_project_out_of_sight_takes_its_tickets_with_it(instance: Instance, ask: Ask) -> None:
    ticket = instance.create("sup", "client-alpha", "Déménage")
    instance.move("sup", ticket, "client-gamma")
    assert ask(instance, "bridge", "GET", f"/work_packages/{ticket.id}").status_code == 404
    assert ask(instance, "sup", "GET", f"/work_packages/{ticket.id}").status_code == 200
    instance.set_archived("client-gamma")
    assert ask(instance, "sup", "GET", f"/work_packages/{ticket.id}").status_code == 404
    instance.set_archived("client-gamma", archived=False)
    assert ask(instance, "sup", "GET", f"/work_packages/{ticket.id}").status_code == 200


def test_a_person_who_left_all_shared_projects_is_missing_in_17_only(
    instance: Instance, older: Instance, ask: Ask
) -> None:
    for world, expected in ((instance, 404), (older, 200)):
        world.leave("client-beta", "cb")
        assert ask(world, "bridge", "GET", f"/users/{world.person('cb').id}").status_code == expected


def test_a_new_project_is_seen_by_those_who_join_it(instance: Instance, ask: Ask) -> None:
    project = instance.add_project("client-delta", "Client Delta")
    instance.add_person("client.delta", "Agent Delta")
    instance.join("client-delta", "client.delta", ["Client"])
    ticket = instance.create("client.delta", "client-delta", "Premier")
    assert ask(instance, "bridge", "GET", f"/projects/{project.id}").status_code == 404
    instance.join("client-delta", "bridge", ["Pont"])
    assert ask(instance, "bridge", "GET", f"/projects/{project.id}").status_code == 200
    assert ask(instance, "bridge", "GET", f"/work_packages/{ticket.id}").status_code == 200


# --- Credentials (contract §1) ---


def test_a_locked_account_is_refused(instance: Instance, ask: Ask) -> None:
    assert ask(instance, "bridge", "GET", "/users/me").json()["login"] == "pont"
    instance.lock_person("bridge")
    refused = ask(instance, "bridge", "GET", "/users/me")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="OpenProject API"')


def test_a_bearer_token_of_an_application_expires(instance: Instance, clock: Clock) -> None:
    instance.applications["client"] = ("secret", instance.person("bridge").id)
    token = instance.bearer("client", "secret", timedelta(hours=2))
    assert token is not None
    assert instance.bearer("client", "wrong", timedelta(hours=2)) is None
    assert instance.authenticated("bearer", token) is instance.person("bridge")
    clock.advance(timedelta(hours=2))
    assert instance.authenticated("bearer", token) is None


def test_the_configuration_is_for_everybody(instance: Instance, ask: Ask) -> None:
    assert ask(instance, None, "GET", "/configuration").status_code == 200
    assert ask(instance, None, "GET", "/statuses").status_code == 401


# --- Lists (contract §2) ---


def test_ties_are_broken_by_id_descending_unless_id_is_asked_for(instance: Instance, ask: Ask) -> None:
    tickets = [instance.create("ca", "client-alpha", f"Ticket {n}").id for n in range(3)]
    for sort, expected in (('[["status","asc"]]', tickets[::-1]), ('[["status","asc"],["id","asc"]]', tickets)):
        shown = ask(instance, "bridge", "GET", "/work_packages", params={"sortBy": sort, "select": "elements/id"})
        assert [element["id"] for element in shown.json()["_embedded"]["elements"]] == expected


def test_subprojects_are_included_unless_told_otherwise(instance: Instance, ask: Ask) -> None:
    instance.create("ca", "client-alpha", "Au-dessus")
    instance.create("ca", "client-alpha-paie", "Au-dessous")
    for more, expected in (({}, 2), ({"includeSubprojects": "false"}, 1)):
        params = {"select": "total", **filters(project=["=", ["11"]]), **more}
        assert ask(instance, "bridge", "GET", "/work_packages", params=params).json() == {"total": expected}


def test_a_window_is_found_whatever_the_order_of_changes(instance: Instance, clock: Clock, ask: Ask) -> None:
    late = instance.create("ca", "client-alpha", "Tard")
    clock.set(START - timedelta(days=30))
    early = instance.create("ca", "client-alpha", "Tôt")
    clock.set(START - timedelta(days=10))
    between = instance.create("ca", "client-alpha", "Entre")
    window = filters(updatedAt=["<>d", ["2026-11-10T00:00:00Z", ""]])
    shown = ask(instance, "bridge", "GET", "/work_packages", params={"select": "elements/id", **window}).json()
    assert {element["id"] for element in shown["_embedded"]["elements"]} == {late.id, between.id}
    assert early.id not in {late.id, between.id}


# --- Time (A.2, contract §5) ---


def test_the_server_lives_by_its_own_clock(clock: Clock, ask: Ask, instance: Instance) -> None:
    instance.now = clock.skewed(timedelta(seconds=-90))
    assert ask(instance, "bridge", "GET", "/statuses").headers["Date"] == "Tue, 24 Nov 2026 08:58:30 GMT"


def test_past_values_are_of_whole_seconds(instance: Instance, clock: Clock, ask: Ask) -> None:
    ticket = instance.create("ca", "client-alpha", "Historique")
    clock.advance(60.5)
    instance.set_status("sup", ticket, "EN COURS")
    clock.advance(60)

    def status_at(moment: str) -> str | None:
        answer = ask(instance, "bridge", "GET", f"/work_packages/{ticket.id}", params={"timestamps": f"{moment},PT0S"})
        past = answer.json()["_embedded"]["attributesByTimestamp"][0]
        title: str | None = past["_links"].get("status", {}).get("title")
        return title

    assert status_at("2026-11-24T09:01:00.900Z") == "NOUVEAU", "the fraction is dropped, so this is before the move"
    assert status_at("2026-11-24T09:01:01Z") is None, "nothing differs from now"


def test_a_single_past_instant_shows_the_past_on_top(instance: Instance, clock: Clock, ask: Ask) -> None:
    ticket = instance.create("ca", "client-alpha", "Historique")
    clock.advance(60)
    instance.set_status("sup", ticket, "EN COURS")
    shown = ask(
        instance, "bridge", "GET", f"/work_packages/{ticket.id}", params={"timestamps": "2026-11-24T09:00:30Z"}
    ).json()
    assert (shown["_links"]["status"]["title"], shown["lockVersion"]) == ("NOUVEAU", 0)

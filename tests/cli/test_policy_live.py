"""A policy beside an OpenProject, as ``bridge policy check --live`` compares them: both versions, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.cli.doctor import Check, State
from bridge.cli.policy_live import compare_with
from bridge.domain.model import WorkPackageId
from bridge.domain.policy import Policy, load
from bridge.openproject import resources
from bridge.openproject.tracker import Missing, Refused
from tests.cli.conftest import ROOT, Bridge
from tests.cli.conftest import World as Served
from tests.openproject.test_tracker import World

VERSIONS = ("17.6", "15.4")
TEXT = (ROOT / "config" / "cegape.yaml").read_text(encoding="utf-8")


@pytest.fixture(params=VERSIONS)
def recorded(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def policy(*changes: tuple[str, str], more: str = "") -> Policy:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load(text + more, "p.yaml")


def found(world: World, rules: Policy) -> list[Check]:
    checks = list(compare_with(world.tracker(), rules))
    assert not [one for one in world.asked if not one.startswith("GET") and not one.endswith("/form")]
    return checks


def wrong(checks: list[Check]) -> list[str]:
    return [f"{one.name}: {one.found}" for one in checks if one.state is not State.OK]


def test_the_recorded_instance_has_all_that_the_policy_names_but_for_its_status_field(recorded: World) -> None:
    recorded.ticket()
    assert wrong(found(recorded, policy())) == [
        "fields: the custom field 'Statut' is called like the status: activities cannot be told apart"
    ]


def test_what_aggregation_does_is_explained(recorded: World) -> None:
    (told,) = [one.found for one in found(recorded, policy()) if one.name == "aggregation"]
    assert "A → B → A leaves no trace of B" in told


def test_a_status_that_openproject_spells_otherwise_is_found_with_its_spelling(recorded: World) -> None:
    checks = found(recorded, policy(("NECESSITE CLARIFICATION", "NÉCESSITE CLARIFICATION")))
    (missing,) = [one for one in checks if one.state is State.FAILED and one.name == "statuses"]
    assert missing.found == "OpenProject has no 'NÉCESSITE CLARIFICATION'"
    assert missing.remedy.endswith("did you mean 'NECESSITE CLARIFICATION'?")
    assert any("the policy does not know NECESSITE CLARIFICATION" in one for one in wrong(checks))


def test_what_closes_a_ticket_and_where_tickets_begin_are_compared(recorded: World) -> None:
    told = wrong(found(recorded, policy(("closed: [RESOLU, REJETE]", "closed: [RESOLU, EN ATTENTE]"))))
    assert "statuses: in OpenProject 'REJETE' closes a ticket" in told
    assert "statuses: in OpenProject 'EN ATTENTE' closes no ticket" in told


def test_roles_types_projects_and_fields_that_are_not_there_are_found(recorded: World) -> None:
    recorded.ticket()
    extra = """
  extra:
    into: RESOLU
    types: [Anomalie, Anomali]
    projects: [client-alpha, client-alpa]
    filled: [Motif de rejet, Motif de reject]
    by: client
    mode: enforce
    sentence: {fr: non, en: no}
    source: a test
"""
    checks = found(recorded, policy(("roles: [Client]", "roles: [Client, Cliente]"), more=extra))
    remedies = {one.found: one.remedy for one in checks if one.state is not State.OK}
    assert (
        remedies["nobody has the role 'Cliente' in the projects that the account can see"] == "did you mean 'Client'?"
    )
    assert "did you mean 'Anomalie'?" in remedies["OpenProject has no 'Anomali'"]
    assert "did you mean 'client-alpha'?" in remedies["OpenProject has no 'client-alpa'"]
    assert "did you mean 'Motif de rejet'?" in remedies["OpenProject has no 'Motif de reject'"]


def test_list_values_people_tickets_and_project_numbers_that_are_not_there_are_found(recorded: World) -> None:
    number = recorded.ticket()
    extra = """
  extra:
    into: RESOLU
    projects: [client-alpha, 999]
    fields: {Motif de rejet: [Doublon, Doublons]}
    by: client
    only-by: nobody
    mode: enforce
    sentence: {fr: non, en: no}
    source: a test
exemptions:
  - {id: e, people: [999], tickets: [TICKET, 99999], until: 2999-12-31, owner: me, reason: a test}
"""
    checks = found(recorded, policy(more=extra.replace("TICKET", str(number))))
    remedies = {one.found: one.remedy for one in checks if one.state is not State.OK}
    assert remedies["the custom field 'Motif de rejet' cannot be 'Doublons'"] == "did you mean 'Doublon'?"
    assert "OpenProject has no '999'" in remedies
    (person,) = [one for one in remedies if "'999', who is in no project" in one]
    assert remedies[person] == "look up their number: it is the last part of their page's address"
    assert remedies["the exemption 'e' is for the ticket 99999, which the account cannot see"] == "check its number"
    assert len([one for one in remedies if "ticket" in one and "exemption" in one]) == 1


def test_a_person_who_is_named_instead_of_numbered_is_told_the_number(recorded: World) -> None:
    row = recorded.tracker().memberships().rows[0]
    extra = f"exemptions:\n  - {{id: e, people: ['{row.user_name}'], until: 2999-12-31, owner: me, reason: a test}}\n"
    (told,) = [one for one in found(recorded, policy(more=extra)) if one.name == "people"]
    assert told.remedy == f"write their number, {row.user}"


def test_transitions_that_the_account_lacks_are_found_by_its_form(recorded: World) -> None:
    """The type Évolution has a workflow in which hardly anything may be done."""
    recorded.ticket(type="Évolution", status="EN COURS")
    told = [one for one in found(recorded, policy()) if one.name == "transitions"]
    (lacking,) = told
    assert lacking.state is State.FAILED
    assert lacking.found.startswith("the account may not put a ticket of type Évolution back from EN COURS to ")


def test_transitions_are_asked_for_as_rules_go_in_that_project_on_that_day(recorded: World) -> None:
    recorded.ticket(type="Évolution", status="EN COURS")

    def told(mode_for: str) -> list[str]:
        enforced = ("mode: enforce", f"mode: observe\n    mode-for: [{{{mode_for}, mode: enforce}}]")
        return [one for one in wrong(found(recorded, policy(enforced))) if one.startswith("transitions")]

    assert told("projects: client-beta") == []
    assert told("until: 2020-01-01") == []
    (lacking,) = told("projects: client-alpha")
    assert "a ticket of type Évolution back from EN COURS to " in lacking


def test_where_every_transition_is_there_the_account_suffices(recorded: World) -> None:
    recorded.ticket(type="Anomalie", status="EN COURS")
    told = [one for one in found(recorded, policy()) if one.name == "transitions"]
    assert [one.state for one in told] == [State.OK]


def test_an_account_that_may_not_edit_cannot_put_back(recorded: World) -> None:
    recorded.ticket(status="EN COURS")
    ticket = recorded.tracker("ro").ticket(WorkPackageId(recorded.ticket(status="EN COURS")))
    assert not isinstance(ticket, Missing)
    assert isinstance(recorded.tracker("ro").settable(ticket), Refused | Missing)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_form_tells_what_may_be_set(version: str) -> None:
    path = Path(ROOT / "tests" / "recordings" / f"openproject-{version}" / "13-forms.json")
    seen = 0
    for step in json.loads(path.read_text(encoding="utf-8"))["steps"]:
        request, response = step.get("request", {}), step.get("response", {})
        if request.get("path", "").endswith("/form") and response["status"] == 200:
            links = response["body"]["_embedded"]["schema"]["status"]["_links"]["allowedValues"]
            wanted = {int(link["href"].rpartition("/")[2]) for link in links}
            assert resources.allowed_statuses(response["body"]) == wanted
            seen += 1
    assert seen >= 4


def test_the_command_says_what_is_otherwise(bridge: Bridge, world: Served) -> None:
    ran = bridge("policy", "check", "--live")
    assert ran.code in (0, 1)
    first, *more = ran.out.splitlines()
    assert "14 rules" in first
    assert any(line.startswith("ok       transitions: ") for line in more)
    assert any("A → B → A leaves no trace of B" in line for line in more)
    told = json.loads(bridge("policy", "check", "--live", "--json").out)
    assert {"statuses", "roles", "transitions", "aggregation"} <= {one["name"] for one in told["live"]}

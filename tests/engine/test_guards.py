"""What keeps the bridge from doing harm when policy, people or programs behave in ways that nobody foresaw."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from bridge.domain.model import Mode
from bridge.engine.act import Result
from bridge.engine.cycle import CycleReport
from bridge.simulator import Ticket
from bridge.simulator.nouns import Version
from bridge.store.schema import EntryKind
from tests.engine.conftest import Open
from tests.engine.desk import VERSIONS, Desk, policy

MANY = """
limits:
  reverts-per-cycle: 1000
  reverts-per-hour: 1000
  reverts-per-person-per-hour: 1000
  reverts-per-project-per-hour: 1000
  reverts-per-ticket-per-hour: 1000
  share-of-moves: 100 %
  cool-down: 30 minutes
"""


def limited(name: str, limit: int) -> str:
    """Every limit roomy but one."""
    return "\n".join(f"  {name}: {limit}" if f"{name}:" in line else line for line in MANY.splitlines()) + "\n"


def illegal(desk: Desk, n: int = 1, who: str = "ca", project: str = "client-alpha") -> list[Ticket]:
    return [desk.instance.create(who, project, f"Illégale {i}", status="RESOLU") for i in range(n)]


def held(report: CycleReport) -> list[str]:
    return [acted.detail for acted in report.acted if acted.result is Result.HELD]


def put_back(desk: Desk, tickets: list[Ticket]) -> int:
    assert all(len(desk.own_moves(ticket)) == len(desk.explanations(ticket)) for ticket in tickets)
    return sum(len(desk.own_moves(ticket)) for ticket in tickets)


# --- Limits ---------------------------------------------------------------------------------------------------------


def test_no_more_than_so_many_in_one_cycle_and_the_rest_in_the_next(desk: Open) -> None:
    one = desk(rules=policy(limited("reverts-per-cycle", 3)))
    tickets = illegal(one, 5)
    report = one.cycle()
    assert (put_back(one, tickets), report.count(Result.HELD)) == (3, 2)
    assert all("3 reverts in one cycle" in why for why in held(report))
    assert one.cycle().count(Result.DONE) == 2
    assert put_back(one, tickets) == 5


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("reverts-per-hour", "the limit is 2 reverts in an hour"),
        ("reverts-per-person-per-hour", "of one person's moves"),
        ("reverts-per-project-per-hour", "in one project"),
    ],
)
def test_a_limit_holds_the_third_until_the_cool_down_is_over(desk: Open, limit: str, says: str) -> None:
    one = desk(rules=policy(limited(limit, 2)))
    tickets = illegal(one, 3)
    report = one.cycle()
    assert put_back(one, tickets) == 2
    assert len(held(report)) == 1
    assert says in held(report)[0]
    one.cycle(1700)
    assert put_back(one, tickets) == 2
    one.cycle(2000)
    assert put_back(one, tickets) == 3, "an hour after the first, and the cool-down after the second"


@pytest.mark.parametrize(
    ("limit", "who", "project"),
    [("reverts-per-person-per-hour", "ca2", "client-alpha"), ("reverts-per-project-per-hour", "cb", "client-beta")],
)
def test_a_limit_of_one_does_not_hold_another(desk: Open, limit: str, who: str, project: str) -> None:
    one = desk(rules=policy(limited(limit, 2)))
    tickets = illegal(one, 3)
    other = illegal(one, 1, who, project)
    one.cycle()
    assert (put_back(one, tickets), put_back(one, other)) == (2, 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dispute_about_one_ticket_ends_with_the_bridge_giving_in(desk: Open, version: Version) -> None:
    """A client who does it again and again is put back twice an hour, and then a person has to look."""
    one = desk(version, rules=policy(limited("reverts-per-ticket-per-hour", 2)))
    (ticket,) = illegal(one)
    reports = [one.cycle()]
    for _ in range(4):
        one.clock.advance(310)
        if one.status(ticket) == "NOUVEAU":
            one.instance.set_status("ca", ticket, "EN COURS")
        reports.append(one.cycle())
    assert put_back(one, [ticket]) == 2
    assert one.status(ticket) != "NOUVEAU"
    assert any("of one ticket" in why for why in held(reports[-1]))


def test_a_move_is_put_back_once_however_often_it_is_looked_at(desk: Open) -> None:
    one = desk()
    (ticket,) = illegal(one)
    for after in (30, 30, 60, 1000, 4000):
        one.cycle(after)
        one.stop()
    assert one.was_put_back_once(ticket, "NOUVEAU")


# --- The circuit breaker --------------------------------------------------------------------------------------------

HALF = MANY.replace("share-of-moves: 100 %", "share-of-moves: 50 %")


def storm(desk: Desk, bad: int = 8, good: int = 4) -> list[Ticket]:
    for n in range(good):
        desk.instance.create("ca2", "client-alpha", f"Légale {n}")
    return illegal(desk, bad)


def test_when_most_of_what_people_do_is_illegal_nothing_is_put_back(desk: Open) -> None:
    one = desk(rules=policy(HALF))
    tickets = storm(one)
    report = one.cycle()
    assert report.breaker is not None
    assert "8 of 12 moves" in report.breaker
    assert put_back(one, tickets) == 0
    assert [event.details["reason"] for event in one.events(EntryKind.BREAKER)] == [report.breaker]


def test_the_breaker_stays_open_over_cycles_and_restarts_until_a_person_closes_it(desk: Open) -> None:
    one = desk(rules=policy(HALF))
    tickets = storm(one)
    one.cycle()
    (later,) = illegal(one, 1, "cb", "client-beta")
    for after in (30, 1000, 8000):
        one.cycle(after)
        one.stop()
    assert put_back(one, [*tickets, later]) == 0
    assert (one.brake.reason() or "").startswith("circuit breaker: 8 of 12 moves")
    assert one.brake.end()
    one.cycle()
    assert put_back(one, [*tickets, later]) == 9, "the person has looked: what still stands is put back"
    assert len(one.events(EntryKind.BREAKER)) == 1


def test_few_moves_say_nothing_about_the_policy(desk: Open) -> None:
    one = desk(rules=policy(HALF))
    tickets = storm(one, bad=5, good=0)
    report = one.cycle()
    assert (report.breaker, put_back(one, tickets)) == (None, 5)


def test_a_half_is_not_more_than_a_half(desk: Open) -> None:
    one = desk(rules=policy(HALF))
    tickets = storm(one, bad=6, good=6)
    report = one.cycle()
    assert (report.breaker, put_back(one, tickets)) == (None, 6)


# --- The kill switch, in three places -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "paused by somebody", "\x00\xff"])
def test_a_file_stops_it_whatever_is_in_the_file(desk: Open, text: str) -> None:
    one = desk()
    one.brake.path.write_text(text)
    (ticket,) = illegal(one)
    report = one.cycle()
    assert len(held(report)) == 1
    assert one.untouched(ticket)
    assert one.verdicts(ticket) == [("illegal", "creation-en-nouveau")], "judging goes on"
    one.brake.path.unlink()
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")


def test_a_pause_made_and_ended_by_hand_is_recorded_with_its_text_once_also_over_a_restart(desk: Open) -> None:
    one = desk()
    assert one.events(EntryKind.PAUSE, EntryKind.RESUME) == []
    one.brake.path.write_text("stop at once")
    one.cycle()
    one.stop()
    one.cycle()
    assert [event.details["reason"] for event in one.events(EntryKind.PAUSE)] == ["stop at once"]
    one.brake.path.unlink()
    one.cycle()
    one.cycle()
    assert [event.kind for event in one.events(EntryKind.PAUSE, EntryKind.RESUME)] == [
        EntryKind.PAUSE,
        EntryKind.RESUME,
    ]
    one.check_books()


def test_the_bridges_own_brake_is_recorded_once_and_its_release_as_well(desk: Open) -> None:
    one = desk(rules=policy(HALF))
    storm(one)
    one.cycle()
    one.cycle()
    assert one.brake.end()
    one.cycle()
    assert [event.kind for event in one.events(EntryKind.BREAKER, EntryKind.PAUSE, EntryKind.RESUME)] == [
        EntryKind.BREAKER,
        EntryKind.RESUME,
    ]


def test_what_is_there_and_cannot_be_read_stops_it_as_well(desk: Open) -> None:
    one = desk()
    one.brake.path.mkdir()
    (ticket,) = illegal(one)
    one.cycle()
    assert one.untouched(ticket)


def test_a_pause_between_the_decision_and_the_write_still_stops_it(desk: Open) -> None:
    one = desk()
    (ticket,) = illegal(one)

    def pause(request: requests.PreparedRequest) -> None:
        if (request.url or "").split("?")[0].endswith(f"/work_packages/{ticket.id}"):
            one.brake.begin("stop at once")

    with one.meanwhile(before=pause):
        one.cycle()
    assert one.untouched(ticket)


def test_a_hold_is_written_down_once_with_its_reason(desk: Open) -> None:
    one = desk()
    one.brake.begin("paused by operations")
    illegal(one)
    for _ in range(3):
        one.cycle()
    assert [event.details["reason"] for event in one.events(EntryKind.HOLD)] == ["paused by operations"]


@pytest.mark.parametrize("version", VERSIONS)
def test_closing_the_control_ticket_stops_it_and_opening_it_lets_it_go_on(desk: Open, version: Version) -> None:
    one = desk(version, control_ticket=1)
    control = one.instance.create("sup", "client-alpha", "Le pont")
    assert control.id == 1
    one.cycle(400)
    one.instance.set_status("sup", control, "REJETE")
    (ticket,) = illegal(one)
    report = one.cycle()
    assert held(report) == ["the control ticket 1 is closed"]
    assert one.untouched(ticket)
    one.instance.set_status("sup", control, "EN COURS")
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")
    assert one.untouched(control)


@pytest.mark.parametrize("how", ["deleted", "never there", "out of sight"])
def test_a_control_ticket_that_cannot_be_seen_stops_it(desk: Open, how: str) -> None:
    one = desk(control_ticket=1)
    if how != "never there":
        control = one.instance.create("sup", "client-beta", "Le pont")
        one.cycle()
        if how == "deleted":
            one.instance.delete("sup", control)
        else:
            one.instance.set_archived("client-beta")
    tickets = illegal(one)
    report = one.cycle()
    assert all("cannot be seen" in why or "is closed" in why for why in held(report))
    assert held(report)
    assert put_back(one, tickets[-1:]) == 0


def test_the_control_ticket_costs_nothing_while_there_is_nothing_to_do(desk: Open) -> None:
    one = desk(control_ticket=1)
    one.instance.create("sup", "client-alpha", "Le pont")
    one.cycle()
    seen: list[str] = []
    with one.meanwhile(before=lambda request: seen.append(request.url or "")):
        one.cycle()
    assert not any(url.endswith("/work_packages/1") for url in seen)


# --- Observing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_while_it_observes_everything_is_judged_and_nothing_leaves(desk: Open, version: Version) -> None:
    one = desk(version, mode=Mode.OBSERVE)
    methods: list[str | None] = []
    with one.meanwhile(before=lambda request: methods.append(request.method)):
        tickets = illegal(one, 3)
        one.cycle()
        one.cycle(1000)
    assert set(methods) == {"GET"}
    assert put_back(one, tickets) == 0
    assert {verdict for ticket in tickets for verdict in one.verdicts(ticket)} == {("illegal", "creation-en-nouveau")}
    with one.books() as books:
        assert books.attempts() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_happened_while_it_observed_is_never_put_back_later(desk: Open, version: Version) -> None:
    one = desk(version, mode=Mode.OBSERVE)
    (old,) = illegal(one)
    one.cycle()
    one.stop()
    one.mode = Mode.ENFORCE
    one.cycle(60)
    one.clock.advance(2)  # times are whole seconds: what happens in the very second of the beginning is before it
    (new,) = illegal(one)
    one.cycle()
    one.cycle(1000)
    assert one.untouched(old)
    assert one.was_put_back_once(new, "NOUVEAU")


# --- Modes, by rule, project and date -------------------------------------------------------------------------------

CREATION = "only-into: NOUVEAU\n    mode: enforce\n"


def in_mode(lines: str) -> tuple[str, str]:
    return CREATION, f"only-into: NOUVEAU\n{lines}"


def test_a_rule_that_is_observed_puts_nothing_back_while_another_does(desk: Open) -> None:
    one = desk(rules=policy("", in_mode("    mode: observe\n")))
    (created,) = illegal(one)
    moved = one.instance.create("ca", "client-alpha", "Déplacée")
    one.cycle(400)
    one.instance.set_status("ca", moved, "EN COURS")
    one.cycle()
    assert one.untouched(created)
    assert one.verdicts(created) == [("illegal", "creation-en-nouveau")]
    assert one.was_put_back_once(moved, "NOUVEAU")


def test_a_rule_that_is_off_does_not_object(desk: Open) -> None:
    one = desk(rules=policy("", in_mode('    mode: "off"\n')))
    (created,) = illegal(one)
    one.cycle()
    assert [verdict for verdict, rule in one.verdicts(created) if rule == "creation-en-nouveau"] == []


def test_a_rule_may_be_enforced_in_one_project_and_observed_in_another(desk: Open) -> None:
    lines = "    mode: enforce\n    mode-for:\n      - {projects: client-beta, mode: observe}\n"
    one = desk(rules=policy("", in_mode(lines)))
    (alpha,), (beta,) = illegal(one), illegal(one, 1, "cb", "client-beta")
    one.cycle()
    assert one.was_put_back_once(alpha, "NOUVEAU")
    assert one.untouched(beta)
    assert one.verdicts(beta) == [("illegal", "creation-en-nouveau")]


def test_enforcement_begins_on_its_day_and_does_not_reach_back(desk: Open) -> None:
    lines = "    mode: observe\n    mode-for:\n      - {since: 2026-11-25, mode: enforce}\n"
    one = desk(rules=policy("", in_mode(lines)))
    (before,) = illegal(one)
    one.cycle()
    one.clock.set(one.clock().replace(day=25, hour=0, minute=0, second=0))
    one.cycle(10)
    one.clock.advance(2)
    (after,) = illegal(one)
    one.cycle(10)
    one.cycle(1000)
    assert one.untouched(before)
    assert one.was_put_back_once(after, "NOUVEAU")
    with one.books() as books:
        (begun,) = {period.since for period in books.enforced() if period.rule == "creation-en-nouveau"}
    assert begun >= one.clock().replace(hour=0, minute=0, second=0, microsecond=0)


def test_enforcement_that_is_switched_off_and_on_again_begins_anew(desk: Open) -> None:
    one = desk()
    one.stop()
    one.mode = Mode.OBSERVE
    one.cycle()
    (between,) = illegal(one)
    one.stop()
    one.mode = Mode.ENFORCE
    one.cycle(60)
    one.cycle(1000)
    assert one.untouched(between)


# --- Exemptions -----------------------------------------------------------------------------------------------------


def exemption(scope: str, until: str = "2026-11-30") -> str:
    return (
        "\nexemptions:\n"
        f"  - {{id: reprise, {scope}, until: {until}, owner: Chef de projet, reason: Reprise de l'existant}}\n"
    )


@pytest.mark.parametrize(
    "scope",
    [
        "rules: creation-en-nouveau",
        "projects: client-alpha",
        "people: 59",
        "rules: creation-en-nouveau, people: 59, projects: client-alpha",
    ],
)
def test_an_exemption_lets_a_move_stand_and_is_recorded_with_it(desk: Open, scope: str) -> None:
    one = desk(rules=policy(exemption(scope)))
    assert one.instance.person("ca").id == 59
    exempt = one.instance.create("ca", "client-alpha", "Reprise", status="EN ATTENTE")
    other = one.instance.create("cb", "client-beta", "Reprise", status="EN ATTENTE")
    one.cycle()
    assert one.untouched(exempt)
    with one.books() as books:
        used = books.exempted(one.clock() - timedelta(days=1), one.clock())
    names = {(use.work_package, use.exemption) for use in used}
    assert (exempt.id, "reprise") in names
    assert one.untouched(other) == ((other.id, "reprise") in names)


def test_each_exemption_of_a_policy_is_recorded_with_it(desk: Open) -> None:
    one = desk(rules=policy(exemption("people: 59")))
    one.stop()
    one.cycle()
    [event] = one.events(EntryKind.EXEMPTION)
    [version] = one.events(EntryKind.POLICY)
    said = {name: value for name, value in event.details.items() if name in ("policy", "people", "rules")}
    assert said == {"policy": version.details["hash"], "people": ["59"]}
    assert {"id", "owner", "reason", "until"} <= event.details.keys()


def test_an_exemption_ends_with_its_day(desk: Open) -> None:
    one = desk(rules=policy(exemption("people: 59", "2026-11-24")))
    (during,) = illegal(one)
    one.cycle()
    one.clock.set(one.clock().replace(day=25, hour=8))
    one.cycle()
    (afterwards,) = illegal(one)
    one.cycle()
    assert one.untouched(during)
    assert one.was_put_back_once(afterwards, "NOUVEAU")


# --- Appeals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_with_the_appeal_word_is_recorded_once_with_its_decision(desk: Open, version: Version) -> None:
    one = desk(version)
    (ticket,) = illegal(one)
    one.cycle()
    one.clock.advance(20)
    one.instance.comment("ca", ticket, "#Contestation : notre contrat le permet.")
    for _ in range(3):
        one.cycle()
    (appeal,) = one.events(EntryKind.APPEAL)
    with one.books() as books:
        (attempt,) = books.attempts()
    assert (appeal.details["decision"], appeal.details["person"]) == (attempt.decision, one.instance.person("ca").id)
    assert "contrat" not in str(appeal.details), "what people write is not copied"


def test_the_appeal_word_where_nothing_was_put_back_is_no_appeal(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Légale")
    one.instance.comment("ca", ticket, "#contestation")
    one.cycle()
    assert one.events(EntryKind.APPEAL) == []


def test_the_bridges_own_explanation_names_the_word_and_is_no_appeal(desk: Open) -> None:
    one = desk()
    (ticket,) = illegal(one)
    one.cycle()
    one.cycle()
    assert "#contestation" in one.explanations(ticket)[0]
    assert one.events(EntryKind.APPEAL) == []

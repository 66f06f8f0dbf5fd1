"""What happened in seeded worlds (tests/torture) and went wrong once, each in its shortest form."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import requests

from bridge.domain.model import Mode, WorkPackageId
from bridge.errors import RetryLater
from bridge.simulator import Answer, Ticket
from bridge.simulator.nouns import CustomField
from bridge.store.ledger import Ledger
from tests.engine.conftest import Open
from tests.engine.desk import Desk

FIELD = 4


def with_a_field_named_statut(one: Desk) -> Desk:
    one.instance.custom_fields[FIELD] = CustomField(FIELD, "Statut", "string")
    one.stop()
    one.cycle()
    return one


def seen(one: Desk, ticket: Ticket) -> list[tuple[int, str]]:
    """(activity, comment) of every stored revision of a ticket."""
    one.stop()
    with Ledger.open(one.url, now=one.clock) as ledger:
        revisions = ledger.revisions(WorkPackageId(ticket.id))
    return [(int(str(r.received["id"])), str(r.received["comment"])) for r in revisions]


def test_a_comment_is_found_by_the_cycle_that_also_compares_every_ticket(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Commentée")
    one.cycle()
    one.clock.advance(600)
    journal = one.instance.comment("ca", ticket, "Sans changement de statut")
    one.clock.advance(600)
    assert one.cycle().snapshot
    one.cycle()
    assert (journal.id, "Sans changement de statut") in seen(one, ticket)


def test_somebody_who_moves_a_ticket_there_and_back_while_it_is_read_ends_nothing(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Va-et-vient")
    one.instance.set_status("sup", ticket, "EN ATTENTE")
    one.clock.advance(400)
    one.cycle()
    one.instance.set_status("ca", ticket, "EN COURS")

    def there_and_back(request: requests.PreparedRequest, answer: Answer) -> None:
        del answer
        asked = (request.url or "").partition("?")[0]
        if asked.endswith(f"/work_packages/{ticket.id}"):
            one.instance.set_status("ca", ticket, "EN COURS")

    one.clock.advance(5)
    one.instance.set_status("ca", ticket, "RESOLU")  # what the gate's first reading will show
    with one.meanwhile(after=there_and_back):
        one.instance.set_status("ca", ticket, "EN COURS")
        one.clock.advance(1)
        hidden = iter(["RESOLU"])

        def before(request: requests.PreparedRequest) -> None:
            asked = (request.url or "").partition("?")[0]
            if asked.endswith(f"/work_packages/{ticket.id}") and (status := next(hidden, None)):
                one.instance.set_status("ca", ticket, status)

        one.adapter.before = before
        one.cycle()
    assert one.untouched(ticket)
    one.cycle()
    assert one.was_put_back_once(ticket, "EN ATTENTE")


def test_a_ticket_that_goes_out_of_sight_between_revert_and_explanation_is_explained_when_it_is_back(
    desk: Open,
) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Archivée")
    one.cycle(400)
    one.instance.set_status("ca", ticket, "EN COURS")

    def archive(request: requests.PreparedRequest, answer: Answer) -> None:
        del answer
        if request.method == "PATCH":
            one.instance.set_archived("client-alpha")

    with one.meanwhile(after=archive):
        one.cycle()
    assert (len(one.own_moves(ticket)), one.explanations(ticket)) == (1, [])
    one.cycle(600)
    one.instance.set_archived("client-alpha", archived=False)
    one.cycle()
    one.cycle(1000)
    assert one.was_put_back_once(ticket, "NOUVEAU")


def test_taking_back_a_move_that_nobody_could_judge_is_left_alone(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Reprise")
    one.cycle(400)
    one.instance.set_status("gone", ticket, "NECESSITE CLARIFICATION")
    one.instance.delete_person("gone")  # before anybody read what they were
    one.cycle()
    one.instance.set_status("ca", ticket, "NOUVEAU")
    one.cycle()
    assert one.untouched(ticket)


def without_date(request: requests.PreparedRequest, answer: Answer) -> Answer:
    del request
    return Answer(answer.status, answer.body, {k: v for k, v in answer.headers.items() if k != "Date"})


def test_where_the_server_tells_no_time_nothing_is_made_of_when_a_status_was_seen(desk: Open) -> None:
    """The bridge's clock is a minute ahead: what a list showed is then noted as if seen after the next move."""
    one = desk()
    one.skew = timedelta(seconds=63)
    with_a_field_named_statut(one)
    with one.meanwhile(after=without_date):
        one.stop()
        decoy = one.instance.create("ca", "client-alpha", "Montre le champ")
        ticket = one.instance.create("sup", "client-alpha", "Sans heure")
        one.cycle(400)
        one.instance.set_status("ca", decoy, "EN COURS")
        one.instance.set_status("sup", ticket, "EN ATTENTE")
        one.cycle(5)
        one.clock.advance(10)
        one.instance.set_status("dev", ticket, "EN COURS DE TEST")
        one.cycle(30)
        one.clock.advance(30)
        one.instance.set_status("ca", ticket, "REJETE")
        one.cycle(5)
    assert one.was_put_back_once(ticket, "EN COURS DE TEST")


def test_every_move_that_words_alone_do_not_tell_is_in_the_ledger_with_that_reason(desk: Open) -> None:
    one = desk("15.4")
    with_a_field_named_statut(one)
    ticket = one.instance.create("ca", "client-alpha", "Ambiguë", custom={FIELD: "NOUVEAU"})
    one.cycle()
    for who, status in (("ca", "EN ATTENTE"), ("ca2", "NOUVEAU"), ("ca", "EN COURS")):
        one.clock.advance(30)
        one.instance.set_status(who, ticket, status)
    assert not one.cycle().snapshot  # which would tell the status by id
    one.stop()
    with Ledger.open(one.url, now=one.clock) as ledger:
        decisions = ledger.decisions(WorkPackageId(ticket.id))
    told = {int(key.activity): (decision.verdict, bool(decision.reason)) for key, decision in decisions.items()}
    assert sorted(told) == [journal.id for journal in ticket.journals]
    assert ("undecided", False) not in told.values()


def test_observing_ends_enforcement_even_while_the_server_is_down(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Entre-temps")
    one.cycle(400)
    one.stop()
    one.mode = Mode.OBSERVE

    def down(request: requests.PreparedRequest) -> None:
        raise requests.ConnectionError(str(request.url))

    with one.meanwhile(before=down), pytest.raises(RetryLater):
        one.cycle()
    one.instance.set_status("ca", ticket, "EN COURS")
    one.stop()
    one.mode = Mode.ENFORCE
    one.cycle()
    one.cycle()
    assert one.untouched(ticket)


def test_what_the_server_answered_before_it_went_down_is_kept(desk: Open) -> None:
    one = desk()
    first, second = (one.instance.create("ca", "client-alpha", subject) for subject in ("Une", "Deux"))
    comment = one.instance.comment("sup", first, "Avant la panne")

    def down(request: requests.PreparedRequest) -> None:
        asked = (request.url or "").partition("?")[0]
        if asked.endswith(f"/work_packages/{second.id}/activities"):
            raise requests.ConnectionError(asked)

    with one.meanwhile(before=down), pytest.raises(RetryLater):
        one.cycle()
    one.instance.edit_comment("sup", comment, "Après la panne")
    one.cycle(600)
    assert [text for _, text in seen(one, first)] == ["", "Avant la panne", "Après la panne"]


def test_what_is_read_is_kept_when_the_memberships_cannot_be(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Une")
    one.clock.advance(400)
    one.instance.set_status("ca", ticket, "EN COURS")

    def down(request: requests.PreparedRequest) -> None:
        if "/memberships" in (request.url or ""):
            raise requests.ConnectionError("memberships")

    with one.meanwhile(before=down), pytest.raises(RetryLater):
        one.cycle()
    assert len(seen(one, ticket)) == 2
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")


def test_a_later_activity_of_somebody_else_may_hide_that_they_moved_on_and_back(desk: Open) -> None:
    """CEGAPE takes the ticket up and then rejects it after all: OpenProject shows nothing of either (contract §4.3)."""
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Confirmée")
    one.clock.advance(400)
    one.instance.set_status("ca", ticket, "REJETE")
    one.clock.advance(5)
    one.instance.set_status("sup", ticket, "EN COURS")
    one.clock.advance(5)
    one.instance.set_status("sup", ticket, "REJETE")
    one.cycle()
    one.cycle()
    assert one.untouched(ticket)
    assert one.verdicts(ticket)[-1] == ("undecided", None)


def test_taking_back_twice_is_taking_back(desk: Open) -> None:
    """RESOLU was against an observed rule only; from there an illegal move is taken back, and then RESOLU itself."""
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Deux fois")
    one.cycle(400)
    for who, status in (
        ("sup", "EN COURS"),
        ("ca", "RESOLU"),
        ("ca2", "REJETE"),
        ("ca", "RESOLU"),
        ("ca2", "EN COURS"),
    ):
        one.clock.advance(5)
        one.instance.set_status(who, ticket, status)
    one.cycle()
    one.cycle()
    assert one.untouched(ticket)


def test_a_comment_that_is_cleared_later_does_not_make_what_was_put_back_legal(desk: Open) -> None:
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Créée en test", status="EN COURS DE TEST")
    one.clock.advance(5)
    comment = one.instance.comment("sup", ticket, "Vu")
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")
    one.instance.edit_comment("sup", comment, "")
    one.clock.advance(400)
    one.instance.set_status("ca", ticket, "RESOLU")
    one.cycle()
    assert one.verdicts(ticket)[-1] == ("illegal", "resolu-apres-test")


def test_an_explanation_that_comes_late_gives_the_rule_of_its_decision(desk: Open) -> None:
    """The answer to the revert is lost, and the ticket changes project: by now nobody could judge the move any more."""
    one = desk()
    ticket = one.instance.create("ca", "client-alpha", "Partie entre-temps")
    one.cycle(400)
    one.instance.set_status("ca", ticket, "EN COURS")

    def lose(request: requests.PreparedRequest, answer: Answer) -> None:
        del answer
        if request.method == "PATCH":
            raise requests.ConnectionError("lost")

    with one.meanwhile(after=lose), pytest.raises(RetryLater):
        one.cycle()
    one.instance.move("sup", ticket, "client-alpha-paie")
    one.cycle()
    assert one.was_put_back_once(ticket, "NOUVEAU")
    assert "EN COURS est posé par CEGAPE" in one.explanations(ticket)[0]


def test_what_changes_during_a_first_synchronisation_that_breaks_off_is_found(tmp_path: Path) -> None:
    one = Desk(tmp_path)
    read, unread = (one.instance.create("ca", "client-alpha", subject) for subject in ("Lue", "Pas lue"))

    def down(request: requests.PreparedRequest) -> None:
        if (request.url or "").endswith(f"/work_packages/{unread.id}/activities"):
            raise requests.ConnectionError("activities")

    with one.meanwhile(before=down), pytest.raises(RetryLater):
        one.cycle()
    comment = one.instance.comment("sup", read, "Pendant la première synchronisation")
    one.cycle(600)
    assert comment.id in [activity for activity, _ in seen(one, read)]
    one.stop()

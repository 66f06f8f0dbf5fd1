"""The record's last checkpoint as a comment: once a day, in enforce mode, never twice, good enough to verify by."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from bridge.domain.model import Mode
from bridge.errors import RetryLater
from bridge.simulator import Ticket
from bridge.store import checkpoint
from bridge.store.checkpoint import SigningKey
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from tests.engine.desk import Desk

DAY = 24 * 60 * 60
Open = Callable[..., Desk]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.load_or_create(tmp_path / "key.pem")


def sealed(desk: Desk, key: SigningKey) -> None:
    assert desk.ledger is not None
    seal(desk.ledger, key)


def ready(desk: Desk, key: SigningKey) -> Ticket:
    """A ticket that is to get checkpoints, and a record that has been signed."""
    ticket = desk.instance.create("ca", "client-alpha", "Registre")
    desk.checkpoint_ticket = ticket.id
    desk.stop()
    desk.cycle()
    sealed(desk, key)
    return ticket


def test_a_day_is_one_comment_that_proves_the_record(desk: Open, key: SigningKey) -> None:
    one = desk()
    ticket = ready(one, key)
    for _ in range(10):
        one.cycle(after=15 * 60)
    (text,) = one.explanations(ticket)
    assert text.startswith("**Point de contrôle du registre**")
    note = re.search(r"```\n(.*?)```", text, re.DOTALL)
    assert note is not None
    assert one.ledger is not None
    head = checkpoint.read(note[1])
    verify_key = key.verify_key(head.origin)
    assert checkpoint.verify(note[1], [verify_key]) == head
    assert [event.details["size"] for event in one.events(EntryKind.PUBLICATION)] == [head.size]
    sealed(one, key)
    one.cycle(after=DAY)
    assert len(one.explanations(ticket)) == 2


def test_nothing_is_posted_while_the_bridge_only_observes_or_is_paused(desk: Open, key: SigningKey) -> None:
    watching = desk(mode=Mode.OBSERVE)
    ticket = ready(watching, key)
    watching.cycle(after=DAY)
    assert watching.explanations(ticket) == []
    watching.stop()
    watching.mode = Mode.ENFORCE
    watching.brake.begin("lunch")
    watching.cycle(after=DAY)
    assert watching.explanations(ticket) == []
    watching.brake.end()
    watching.cycle(after=DAY)
    assert len(watching.explanations(ticket)) == 1


def test_a_comment_whose_answer_was_lost_is_not_written_again(desk: Open, key: SigningKey) -> None:
    one = desk()
    ticket = ready(one, key)

    def lose(request: requests.PreparedRequest, *_: object) -> None:
        if request.method == "POST":
            raise requests.ConnectionError("cut off")

    with one.meanwhile(after=lose), pytest.raises(RetryLater):
        one.cycle(after=DAY)
    assert len(one.explanations(ticket)) == 1
    one.cycle(after=DAY)
    assert len(one.explanations(ticket)) == 1
    assert len(one.events(EntryKind.PUBLICATION)) == 1


def test_a_ticket_that_cannot_be_seen_stops_nothing(desk: Open, key: SigningKey) -> None:
    one = desk()
    ready(one, key)
    one.checkpoint_ticket = 999
    one.stop()
    one.cycle(after=DAY)
    assert one.events(EntryKind.PUBLICATION) == []

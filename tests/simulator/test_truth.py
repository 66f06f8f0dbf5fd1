"""Whatever people do: what activities tell is a true, if shortened, account of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.simulator import Clock, Instance, Ticket
from bridge.simulator.journal import State

from .conftest import START, build

STATUSES = ("NOUVEAU", "EN COURS", "EN COURS DE TEST", "RESOLU", "EN ATTENTE")

acts = st.lists(
    st.tuples(
        st.sampled_from(("ca", "sup", "dev")),
        st.sampled_from((*STATUSES, "comment", "clear")),
        st.sampled_from((0, 1, 299, 300, 301, 4000)),
    ),
    max_size=25,
)
"""(who, status or deed, seconds that pass before)."""


def play(version: str, minutes: int, script: Sequence[tuple[str, str, int]]) -> tuple[Instance, Ticket]:
    clock = Clock(START)
    instance = build(version, clock)
    instance.set_aggregation(minutes)
    ticket = instance.create("ca", "client-alpha", "Un ticket")
    for who, deed, seconds in script:
        clock.advance(timedelta(seconds=seconds, microseconds=17))
        if deed == "comment":
            instance.comment(who, ticket, "Un mot")
        elif deed == "clear":
            if ticket.journals[-1].user == instance.person(who).id:
                instance.edit_comment(who, ticket.journals[-1], "")
        else:
            instance.set_status(who, ticket, deed)
    return instance, ticket


def told(ticket: Ticket) -> list[tuple[int | None, int, int]]:
    """(from, to, who) of each activity that shows a status change."""
    states: list[State | None] = [None, *(journal.state for journal in ticket.journals)]
    return [
        (before.status if before else None, after.status, journal.user)
        for (before, after), journal in zip(pairwise(states), ticket.journals, strict=True)
        if after and (before is None or before.status != after.status)
    ]


def really(instance: Instance) -> list[tuple[int | None, int, int]]:
    return [(move.origin, move.target, move.person) for move in instance.moves if move.origin != move.target]


@given(script=acts, version=st.sampled_from(("17.6", "15.4")))
@settings(max_examples=60, deadline=None)
def test_without_aggregation_activities_tell_every_move(script: list[tuple[str, str, int]], version: str) -> None:
    instance, ticket = play(version, 0, script)
    assert told(ticket) == really(instance)


@given(script=acts, version=st.sampled_from(("17.6", "15.4")))
@settings(max_examples=120, deadline=None)
def test_with_aggregation_activities_chain_up_and_name_somebody_who_was_there(
    script: list[tuple[str, str, int]], version: str
) -> None:
    instance, ticket = play(version, 5, script)
    shown = told(ticket)
    assert all(earlier[1] == later[0] for earlier, later in pairwise(shown))
    assert shown[-1][1] == ticket.state.status == really(instance)[-1][1]
    for old, new, who in shown:
        assert any(move[2] == who and move[1] == new for move in really(instance)), (old, new, who)
    lengths = [journal.updated_at - journal.created_at for journal in ticket.journals]
    assert all(length >= timedelta(0) for length in lengths)
    assert [journal.version for journal in ticket.journals] == [*range(1, len(lengths) + 1)]


@given(script=acts)
@settings(max_examples=30, deadline=None)
def test_the_same_script_gives_the_same_world(script: list[tuple[str, str, int]]) -> None:
    first, second = play("17.6", 5, script), play("17.6", 5, script)
    assert first[0].moves == second[0].moves
    assert first[1].journals == second[1].journals

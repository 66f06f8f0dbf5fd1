"""Who said something in a ticket, when, and on whose side: what the first answer and the reasons are found by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from bridge.domain.model import ProjectId, UserId
from bridge.domain.standing import standing
from bridge.reports.desk import Desk
from bridge.store.schema import instant, microseconds


class Word(NamedTuple):
    """A comment."""

    at: int
    person: int
    party: str | None
    """None where it cannot be told."""


def words(desk: Desk, tickets: Collection[int]) -> dict[int, list[Word]]:
    """Comments that people wrote in these tickets, by ticket, oldest first."""
    side = _sides(desk)
    found: dict[int, list[Word]] = defaultdict(list)
    for _, ticket, person, at, text in desk.source.snapshot.remarks(tickets):
        if not desk.is_note(text):
            found[ticket].append(Word(at, person, side(ticket, person, at)))
    for each in found.values():
        each.sort(key=lambda word: word.at)
    return found


def first_words(desk: Desk, born: Mapping[int, int], party: str) -> dict[int, int]:
    """When somebody of this party first wrote in each of these tickets, after the moment given with it."""
    side = _sides(desk)
    found: dict[int, int] = {}
    waiting = dict(born)  # whoever has left it is not even read: activities come in the order of their creation
    for _, ticket, person, at, text in desk.source.snapshot.remarks(waiting):
        if at >= waiting[ticket] and side(ticket, person, at) == party and not desk.is_note(text):
            found[ticket] = at
            del waiting[ticket]
    return found


def _sides(desk: Desk) -> Callable[[int, int, int], str | None]:
    """Says on whose side a person was in a ticket's project at a moment; None where that cannot be told."""
    projects = dict(zip(desk.history.ticket, desk.history.project, strict=True))
    steady: dict[tuple[int, int], tuple[int, int, str | None] | None] = {}

    def side(ticket: int, person: int, at: int) -> str | None:
        key = projects[ticket], person
        if key not in steady:
            steady[key] = _steady(desk, *key)
        known = steady[key]
        if known is not None and known[0] < at <= known[1]:
            return known[2]  # most people never change sides
        moment = instant(at)
        spells = desk.source.spells.get((ProjectId(key[0]), UserId(person)), ())
        return standing(spells, moment, moment, desk.policy).party

    return side


def _steady(desk: Desk, project: int, person: int) -> tuple[int, int, str | None] | None:
    """Between which moments a person has certainly been of one party, where their roles never changed."""
    spells = desk.source.spells.get((ProjectId(project), UserId(person)), ())
    if len(spells) != 1 or not spells[0].roles:
        return None
    (spell,) = spells
    since = spell.changed_at or spell.first_read
    return microseconds(since), microseconds(spell.last_read), desk.policy.party_of(spell.roles)

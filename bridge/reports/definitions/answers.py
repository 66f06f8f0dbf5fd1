"""Who said something in a ticket, when, and on whose side: what the first answer and the reasons are found by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from bridge.domain.model import ProjectId, UserId
from bridge.domain.standing import standing
from bridge.reports.desk import Desk
from bridge.store.schema import instant


class Word(NamedTuple):
    """A comment."""

    at: int
    person: int
    party: str | None
    """None where it cannot be told."""


def words(desk: Desk, tickets: Collection[int]) -> dict[int, list[Word]]:
    """Comments that people wrote in these tickets, by ticket, oldest first."""
    projects = dict(zip(desk.history.ticket, desk.history.project, strict=True))
    found: dict[int, list[Word]] = defaultdict(list)
    for _, ticket, person, at, text in desk.source.snapshot.remarks():
        if ticket in tickets and not desk.is_note(text):
            found[ticket].append(Word(at, person, party_at(desk, projects[ticket], person, at)))
    for each in found.values():
        each.sort()
    return found


def first_words(desk: Desk, born: Mapping[int, int], party: str) -> dict[int, int]:
    """When somebody of this party first wrote in each of these tickets, after the moment given with it."""
    projects = dict(zip(desk.history.ticket, desk.history.project, strict=True))
    found: dict[int, int] = {}
    for _, ticket, person, at, text in desk.source.snapshot.remarks():
        begin = born.get(ticket)
        if begin is None or at < begin or found.get(ticket, at + 1) <= at or desk.is_note(text):
            continue
        if party_at(desk, projects[ticket], person, at) == party:
            found[ticket] = at
    return found


def party_at(desk: Desk, project: int, person: int, at: int) -> str | None:
    """The party of a person in a project at a moment; None where it cannot be told."""
    spells = desk.source.spells.get((ProjectId(project), UserId(person)), ())
    moment = instant(at)
    return standing(spells, moment, moment, desk.policy).party

"""What a rule asks of the facts of one move: its comments, its fields, its persons. All that no table can hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.domain.model import Move, StatusName
from bridge.domain.policy.rules import Filled, NeedsComment, OtherPerson, Rule, SamePerson


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that the rule needs is not known."""

    reason: str


Answer = bool | datetime | Unknown
"""Whether the rule is satisfied; until when there is still time to satisfy it; or that it cannot be told."""


def satisfied(rule: Rule, move: Move) -> Answer:
    """Whether a move that the rule looks at by its kind satisfies it, where that depends on facts."""
    answer = _answer(rule, move)
    concerned = answer is not True and _concerned(rule, move)
    if concerned is True:
        return answer
    return concerned if isinstance(concerned, Unknown) else True


def _answer(rule: Rule, move: Move) -> Answer:
    match rule.demand:
        case NeedsComment():
            return _commented(rule.demand, move)
        case Filled(fields):
            return _filled(fields, move)
        case OtherPerson(than):
            return _is_one_of(than, move, wanted=False)
        case SamePerson(one_of):
            return _is_one_of(one_of, move, wanted=True)
        case _:
            return False  # the kind of move does not do what is asked; only whether the rule looks at it was open


def _concerned(rule: Rule, move: Move) -> bool | Unknown:
    if rule.types is not None and move.type not in rule.types:
        return False if move.type else Unknown("the ticket's type is not known")
    for label, values in rule.fields.items():
        value = _field(label, move)
        if isinstance(value, Unknown):
            return value
        if value not in values:
            return False
    return True


def _field(label: str, move: Move) -> str | Unknown:
    if move.fields is None:
        return Unknown("the ticket's custom fields are not known")
    value = move.fields.get(label)
    return Unknown(f"the ticket has no custom field {label!r}") if value is None else value


def _commented(demand: NeedsComment, move: Move) -> bool | datetime:
    for comment in move.comments:
        near = comment.same_activity or abs(comment.at - move.at) <= demand.within
        if near and comment.party in demand.by:
            return True
    deadline = move.at + demand.within
    return deadline if move.now <= deadline else False


def _filled(labels: frozenset[str], move: Move) -> bool | Unknown:
    for label in sorted(labels):
        value = _field(label, move)
        if isinstance(value, Unknown):
            return value
        if not value.strip():
            return False
    return True


def _is_one_of(refs: frozenset[str], move: Move, *, wanted: bool) -> bool | Unknown:
    """``wanted`` when the mover is one of these persons. One sure match decides; else all must be known."""
    if not move.person:
        return Unknown("who moved the ticket is not known")
    unknown: Unknown | None = None
    for ref in sorted(refs):
        person = _person(ref, move)
        if isinstance(person, Unknown):
            unknown = person
        elif person == move.person:
            return wanted
    return unknown or not wanted


def _person(ref: str, move: Move) -> str | Unknown:
    match ref:
        case "author":
            return Unknown("the ticket's author is not known") if move.author is None else move.author
        case "assignee":
            return Unknown("the ticket's assignee is not known") if move.assignee is None else move.assignee
        case status:
            if move.movers is None:
                return Unknown(f"who set {status!r} is not known")
            return move.movers.get(StatusName(status), "")

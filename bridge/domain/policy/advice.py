"""What OpenProject's own workflow could prevent of what the policy forbids, and what it cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.model import Mode, PartyName, RuleId, StatusName
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import (
    PERSONS,
    After,
    Filled,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    Rule,
    SamePerson,
)
from bridge.domain.policy.survey import Answer, survey


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one row of the workflow of one role: moves that the policy never allows."""

    party: PartyName
    roles: tuple[str, ...]
    type: str
    """Empty for every type that the policy does not name."""
    origin: StatusName
    targets: tuple[StatusName, ...]
    enforced: bool
    """False where the policy only observes, or only reports this party: unticking would go further than it does."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """A rule, or a part of it, that needs the bridge."""

    rule: RuleId | None
    """None for what holds of every rule."""
    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """For an administrator of OpenProject, under Administration → Work packages → Workflows."""

    untick: tuple[Boxes, ...]
    beyond: tuple[Beyond, ...]


def advise(policy: Policy, at: datetime) -> Advice:
    """The boxes to untick by party, type and status before, as rules go then; and what stays for the bridge."""
    return Advice(
        tuple(_boxes(policy, at)), (*_GENERAL, *(beyond for rule in policy.rules for beyond in _beyond(rule)))
    )


_GENERAL = (
    Beyond(None, "a ticket may be created in any status: the workflow is not asked then"),
    Beyond(None, "a change of type in the same save skips the workflow"),
    Beyond(None, "administrators hold the transitions of every role"),
    Beyond(None, "whoever has roles of two parties has the boxes of both"),
    Beyond(None, "the bridge's own role needs every box: it puts tickets back from anywhere"),
)


def _boxes(policy: Policy, at: datetime) -> Iterator[Boxes]:
    types = sorted({name for rule in policy.rules for name in rule.types or ()})
    for party in policy.parties:
        for type_ in ["", *types]:
            pairs = [pair for pair in survey(policy, type=type_ or "\0", at=at).pairs if pair.party == party.name]
            for enforced, answer in ((True, Answer.PUT_BACK), (False, Answer.REPORTED)):
                for origin in policy.statuses:
                    targets = tuple(p.target for p in pairs if p.origin == origin and p.answer is answer)
                    if targets:
                        yield Boxes(party.name, tuple(sorted(party.roles)), type_, origin, targets, enforced)


def _beyond(rule: Rule) -> Iterator[Beyond]:
    if rule.mode is not Mode.OFF or rule.mode_for:
        yield from (Beyond(rule.id, reason) for reason in _reasons(rule))


def _reasons(rule: Rule) -> Iterator[str]:
    if rule.creation:
        yield "the workflow is not asked when a ticket is created"
    if rule.fields:
        yield "the workflow does not look at custom fields"
    if rule.projects:
        yield "a workflow holds in every project"
    if rule.mode_for:
        yield "a workflow does not change by itself on a day, or in some projects"
    match rule.demand:
        case After():
            yield "the workflow knows the status before, and not where the ticket has been"
        case NeedsComment():
            yield "the workflow cannot ask for a comment"
        case Filled():
            yield "a field is required by type, and not by status"
        case OtherPerson():
            yield "the workflow can allow more to an author or assignee, and not less"
        case SamePerson(one_of) if one_of <= set(PERSONS):
            yield "in part: untick the box for the role, and tick it under 'User is author' or 'User is assignee'"
        case SamePerson():
            yield "the workflow does not know who set a status"
        case OnlyBy() | OnlyInto():
            pass

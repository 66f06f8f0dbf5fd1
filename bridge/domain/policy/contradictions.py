"""What is wrong with a policy whose every word is right: rules that cannot be kept, never object, or say two things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge.domain.model import Mode, StatusName
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import (
    After,
    Exemption,
    Filled,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    Party,
    Rule,
    SamePerson,
)
from bridge.domain.policy.shapes import Places
from bridge.domain.policy.yamltext import Findings, Place, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A value and where it stands in the file."""

    value: T
    places: Places


def complain_of_contradictions(
    policy: Policy,
    parties: Iterable[Placed[Party]],
    rules: tuple[Placed[Rule], ...],
    exemptions: Iterable[Placed[Exemption]],
    places: Places,
    findings: Findings,
) -> None:
    """Add a complaint for each contradiction, at the later of the two places that contradict each other."""
    _roles_of_two_parties(parties, findings)
    _who_may_set(policy, rules, places, findings)
    for placed in rules:
        _idle(policy, placed, findings)
        _enforced_in_vain(policy, placed, findings)
        _modes_never_reached(placed, findings)
    _order(policy, rules, findings)
    _exemptions(exemptions, findings)
    if policy.initial in policy.closed:
        findings.complain(places.of("initial"), f"tickets begin in {policy.initial!r}, which closes them")
    elif not any(_may_enter(policy, policy.initial, origin=None)):
        findings.complain(places.of("initial"), f"no party may create a ticket in {policy.initial!r}")


def _roles_of_two_parties(parties: Iterable[Placed[Party]], findings: Findings) -> None:
    owner: dict[str, Party] = {}
    for placed in parties:
        for role in sorted(placed.value.roles):
            first = owner.setdefault(role, placed.value)
            if first is not placed.value:
                findings.complain(
                    placed.places.of("roles"), f"the role {role!r} is {first.name!r} already", "name it once"
                )


def _who_may_set(policy: Policy, rules: Iterable[Placed[Rule]], places: Places, findings: Findings) -> None:
    says: dict[StatusName, Placed[Rule]] = {}
    for placed in rules:
        rule = placed.value
        everywhere = not rule.creation and not (rule.origin or rule.by or rule.types or rule.projects)
        if not (everywhere and isinstance(rule.demand, OnlyBy)):
            continue
        for status in sorted(rule.into or ()):
            if status in says:
                findings.complain(
                    placed.places.of("into"),
                    f"the rule {says[status].value.id!r} says already who may set {status!r}",
                    "leave one of the two",
                )
            says.setdefault(status, placed)
    for status in policy.statuses:
        if status not in says:
            findings.complain(
                _item(places, "statuses", policy.statuses.index(status)),
                f"no rule says who may set {status!r}",
                f"add a rule with 'into: {status}' and 'only-by'",
            )
        elif status != policy.initial and not any(
            any(_may_enter(policy, status, origin)) for origin in (None, *policy.statuses) if origin != status
        ):
            findings.complain(says[status].places.of("only-by"), f"nobody may ever set {status!r}")


def _may_enter(policy: Policy, status: StatusName, origin: StatusName | None) -> Iterable[bool]:
    everything = frozenset(policy.statuses)
    return (status in policy.alternatives(party.name, origin, everything) for party in policy.parties)


def _idle(policy: Policy, placed: Placed[Rule], findings: Findings) -> None:
    rule = placed.value
    into = rule.into or frozenset(policy.statuses)
    by = rule.by or frozenset(party.name for party in policy.parties)
    match rule.demand:
        case OnlyBy(parties) if by <= parties and rule.by is not None:
            findings.complain(
                placed.places.of("only-by"), "this rule never objects: it names every party that it looks at"
            )
        case OnlyInto(statuses) if into <= statuses:
            findings.complain(
                placed.places.of("only-into"), "this rule never objects: it names every status that it looks at"
            )
        case OnlyInto(statuses) if rule.into is not None and statuses:
            findings.complain(placed.places.of("only-into"), "'into' and 'only-into' in one rule", "remove 'into'")
        case After(statuses) if rule.origin is not None and rule.origin <= statuses:
            findings.complain(placed.places.of("after"), "this rule never objects: 'from' is in 'after' already")
        case _:
            pass


def _enforced_in_vain(policy: Policy, placed: Placed[Rule], findings: Findings) -> None:
    rule = placed.value
    looked_at = [party for party in policy.parties if rule.by is None or party.name in rule.by]
    match rule.demand:
        case OnlyBy(parties):
            looked_at = [party for party in looked_at if party.name not in parties]
        case After() | NeedsComment() | Filled() | OtherPerson() | SamePerson():
            # Whom another rule keeps out of these statuses anyway, this one will not meet as its own violation.
            setters = [
                one.demand.parties
                for one in policy.rules
                if isinstance(one.demand, OnlyBy) and one.into and rule.into and rule.into <= one.into
            ]
            looked_at = [party for party in looked_at if all(party.name in allowed for allowed in setters)]
        case OnlyInto():
            pass
    if any(party.reverted for party in looked_at) or not looked_at:
        return
    modes = [("mode", rule.mode), *(("mode-for", exception.mode) for exception in rule.mode_for)]
    for key, mode in modes:
        if mode is Mode.ENFORCE:
            who = " and ".join(party.name for party in looked_at)
            findings.complain(
                placed.places.of(key),
                f"this can never be enforced: it only concerns {who}, whose violations are reported",
                "write observe",
            )


def _modes_never_reached(placed: Placed[Rule], findings: Findings) -> None:
    exceptions = placed.value.mode_for
    for number, later in enumerate(exceptions):
        for earlier in exceptions[:number]:
            projects = earlier.projects is None or (later.projects is not None and later.projects <= earlier.projects)
            since = earlier.since is None or (later.since is not None and later.since >= earlier.since)
            until = earlier.until is None or (later.until is not None and later.until <= earlier.until)
            if projects and since and until:
                findings.complain(
                    _item(placed.places, "mode-for", number),
                    "an exception above fits all of this already",
                    "remove one",
                )
                break


def _order(policy: Policy, rules: Iterable[Placed[Rule]], findings: Findings) -> None:
    """A status that may come only after itself, directly or round a circle of rules."""
    orders = [
        (placed, placed.value.demand.statuses)
        for placed in rules
        if isinstance(placed.value.demand, After) and placed.value.mode is not Mode.OFF and placed.value.origin is None
    ]
    possible: set[StatusName] = set()
    growing = True
    while growing:
        grown = {
            status
            for status in policy.statuses
            if all(asked & possible for placed, asked in orders if placed.value.into and status in placed.value.into)
        }
        growing = grown != possible
        possible = grown
    for placed, asked in orders:
        for status in sorted((placed.value.into or frozenset()) - possible):
            if not asked & possible:
                findings.complain(
                    placed.places.of("after"),
                    f"{status!r} may come only after {', '.join(sorted(asked))}, which need it first",
                )


def _exemptions(exemptions: Iterable[Placed[Exemption]], findings: Findings) -> None:
    seen: set[str] = set()
    for placed in exemptions:
        exemption = placed.value
        if exemption.id in seen:
            findings.complain(placed.places.of("id"), f"a second exemption {exemption.id!r}")
        seen.add(exemption.id)


def _item(places: Places, key: str, number: int) -> Place:
    node = places.of(key)
    return node.items[number] if isinstance(node, Sequence) else node

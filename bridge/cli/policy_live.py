"""``bridge policy check --live``: the policy beside the OpenProject it is meant for. Asks, and changes nothing."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridge.cli.doctor import Check, State
from bridge.domain.model import StatusName, WorkPackageId
from bridge.domain.policy.rules import Filled
from bridge.domain.policy.survey import Answer, survey
from bridge.domain.policy.yamltext import did_you_mean

if TYPE_CHECKING:
    import typer

    from bridge.domain.model import ProjectId, StatusId, Ticket, TypeId
    from bridge.domain.policy import Policy
    from bridge.openproject.tracker import MembershipReading, Server, Tracker

SAMPLE = 60
"""Tickets whose form is asked for, at most: each costs the server some 150 ms, and a few kinds stand for all."""


def compare(context: typer.Context, policy: Policy) -> Iterator[Check]:
    """What OpenProject has otherwise than the policy says. Raises what the tracker raises."""
    from bridge import wiring
    from bridge.cli import frame
    from bridge.openproject.tracker import Tracker

    with wiring.client(frame.settings(context).openproject, dry_run=True) as client:
        yield from compare_with(Tracker(client), policy)


def compare_with(tracker: Tracker, policy: Policy) -> Iterator[Check]:
    """The same with a tracker at hand."""
    server = tracker.probe()
    members = tracker.memberships()
    yield from _statuses(server, policy)
    yield from _roles(members, policy)
    yield from _named("types", _types(policy), server.types.values(), "as Administration → Work packages → Types does")
    known = [name for project in server.projects for name in (project.identifier, str(project.id))]
    yield from _named("projects", _projects(policy), known, "by its identifier")
    yield from _people(members, policy)
    yield from _tickets(tracker, policy)
    named = {project.id for project in server.projects if project.identifier in _projects(policy)}
    tickets = list(_sample(tracker, named))
    yield from _fields(tracker, tickets, policy)
    yield from _choices(tracker, tickets, policy)
    yield from _transitions(tracker, tickets, server, policy)
    yield Check(
        "aggregation",
        State.OK,
        "OpenProject tells nobody its aggregation time (5 minutes unless set otherwise). What one person does to a "
        "ticket within it becomes one activity: A → B → C is seen as A → C and has the benefit of the doubt if some "
        "legal way leads there, and A → B → A leaves no trace of B. With 0 minutes every move is seen",
    )


def _statuses(server: Server, policy: Policy) -> Iterator[Check]:
    there = {status.name: status for status in server.statuses}
    yield from _named("statuses", policy.statuses, there, "as Administration → Work packages → Status does")
    strange = [name for name in there if name not in policy.statuses]
    if strange:
        yield Check(
            "statuses",
            State.WARNING,
            f"the policy does not know {', '.join(strange)}: moves into and out of it stay undecided",
            "add it to the policy, or take it out of the workflow",
        )
    for name in policy.statuses:
        if name in there and there[name].is_closed != policy.is_closed(name):
            is_closed = "closes a ticket" if there[name].is_closed else "closes no ticket"
            yield Check(
                "statuses", State.WARNING, f"in OpenProject {name!r} {is_closed}", "say the same under 'closed'"
            )
    default = next((status.name for status in server.statuses if status.is_default), None)
    if default is not None and default in policy.statuses and default != policy.initial:
        yield Check(
            "statuses",
            State.WARNING,
            f"new tickets start in {default!r} in OpenProject",
            "say the same under 'initial'",
        )


def _roles(members: MembershipReading, policy: Policy) -> Iterator[Check]:
    held = {role for row in members.rows for role in row.roles}
    wanted = [role for party in policy.parties for role in sorted(party.roles)]
    for role in wanted:
        if role not in held:
            yield Check(
                "roles",
                State.WARNING,
                f"nobody has the role {role!r} in the projects that the account can see",
                did_you_mean(role, tuple(sorted(held))) or f"held are {', '.join(sorted(held))}",
            )
    if all(role in held for role in wanted):
        yield Check("roles", State.OK, f"all {len(wanted)} of the policy are held by somebody")


def _named(what: str, wanted: Iterable[str], there: Iterable[str], how: str) -> Iterator[Check]:
    wanted, known = list(wanted), list(there)
    missing = [name for name in wanted if name not in known]
    for name in missing:
        hint = did_you_mean(name, tuple(known))
        remedy = f"write it {how}" + (f": {hint}" if hint else "")
        yield Check(what, State.FAILED, f"OpenProject has no {name!r}", remedy)
    if wanted and not missing:
        yield Check(what, State.OK, f"all {len(wanted)} of the policy are there")


def _types(policy: Policy) -> list[str]:
    scopes = [*(rule.types for rule in policy.rules), *(reminder.types for reminder in policy.reminders)]
    return sorted(frozenset[str]().union(*filter(None, scopes)))


def _projects(policy: Policy) -> list[str]:
    scopes = [frozenset(policy.languages), *(rule.projects for rule in policy.rules)]
    scopes += [exception.projects for rule in policy.rules for exception in rule.mode_for]
    scopes += [reminder.projects for reminder in policy.reminders]
    scopes += [exemption.projects for exemption in policy.exemptions]
    return sorted(frozenset[str]().union(*filter(None, scopes)))


def _people(members: MembershipReading, policy: Policy) -> Iterator[Check]:
    there = {str(row.user): row.user_name for row in members.rows}
    named = [(person, one) for one in policy.exemptions for person in sorted(one.people or ())]
    for person, one in named:
        if person not in there:
            as_name = next((number for number, name in there.items() if name.casefold() == person.casefold()), None)
            yield Check(
                "people",
                State.WARNING,
                f"the exemption {one.id!r} is for the person {person!r}, who is in no project that the account can see",
                f"write their number, {as_name}"
                if as_name
                else "look up their number: it is the last part of their page's address",
            )
    if named and all(person in there for person, _ in named):
        yield Check("people", State.OK, f"all {len(named)} of the exemptions are members")


def _tickets(tracker: Tracker, policy: Policy) -> Iterator[Check]:
    from bridge.openproject.tracker import Missing

    for one in policy.exemptions:
        for number in sorted(one.tickets or ()):
            if isinstance(tracker.ticket(WorkPackageId(number)), Missing):
                yield Check(
                    "tickets",
                    State.WARNING,
                    f"the exemption {one.id!r} is for the ticket {number}, which the account cannot see",
                    "check its number",
                )


def _field_names(policy: Policy) -> set[str]:
    named: set[str] = set()
    for rule in policy.rules:
        named |= set(rule.fields)
        if isinstance(rule.demand, Filled):
            named |= rule.demand.fields
    return named


def _sample(tracker: Tracker, named: Container[ProjectId]) -> Iterator[Ticket]:
    """One ticket of each type and status, by itself in each project that the policy names, and not too many."""
    from bridge.openproject.tracker import Missing

    kinds: dict[tuple[ProjectId | None, TypeId | None, StatusId | None], list[WorkPackageId]] = {}
    for listed in tracker.status_snapshot().tickets:
        project = listed.project if listed.project in named else None
        kinds.setdefault((project, listed.type, listed.status), []).append(listed.id)
    for work_packages in list(kinds.values())[:SAMPLE]:
        ticket = tracker.ticket(work_packages[-1])
        if not isinstance(ticket, Missing):
            yield ticket


def _fields(tracker: Tracker, tickets: Iterable[Ticket], policy: Policy) -> Iterator[Check]:
    seen: set[str] = set()
    confusing: set[str] = set()
    for schema in sorted({ticket.schema for ticket in tickets}):
        seen |= set(tracker.field_labels(schema).values())
        confusing |= set(tracker.status_like_fields(schema))
    yield from _named("fields", sorted(_field_names(policy)), seen, "as the custom field is called")
    for name in sorted(confusing):
        yield Check(
            "fields",
            State.WARNING,
            f"the custom field {name!r} is called like the status: activities cannot be told apart",
            "rename it: until then moves in its projects may stay undecided",
        )


def _choices(tracker: Tracker, tickets: Iterable[Ticket], policy: Policy) -> Iterator[Check]:
    """Whether the lists of custom fields hold the values that rules look for, by one form of each kind of ticket."""
    from bridge.openproject.tracker import Missing, Refused

    wanted = {(label, value) for rule in policy.rules for label, values in rule.fields.items() for value in values}
    offered: dict[str, frozenset[str]] = {}
    for ticket in {ticket.schema: ticket for ticket in tickets}.values() if wanted else ():
        choices = tracker.choices(ticket)
        if not isinstance(choices, Missing | Refused):
            for label, values in choices.items():
                offered[label] = offered.get(label, frozenset()) | values
    asked = [(label, value) for label, value in sorted(wanted) if label in offered]
    for label, value in asked:
        if value not in offered[label]:
            there = tuple(sorted(offered[label]))
            yield Check(
                "fields",
                State.FAILED,
                f"the custom field {label!r} cannot be {value!r}",
                did_you_mean(value, there) or f"it offers {', '.join(there)}",
            )
    if asked and all(value in offered[label] for label, value in asked):
        yield Check("fields", State.OK, f"all {len(asked)} values that rules look for are offered")


def _back(policy: Policy, project: str, type_: str, now: datetime) -> Mapping[StatusName, set[StatusName]]:
    """Where tickets of this type may have to be put back to, by the status that an illegal move led to."""
    back: dict[StatusName, set[StatusName]] = {}
    for pair in survey(policy, project=project, type=type_, at=now).pairs:
        if pair.answer is Answer.PUT_BACK:
            back.setdefault(pair.target, set()).add(pair.origin or policy.initial)
    return back


def _transitions(tracker: Tracker, tickets: Iterable[Ticket], server: Server, policy: Policy) -> Iterator[Check]:
    """Whether the account may put tickets back from wherever an illegal move leads to wherever it was made from."""
    from bridge.openproject.tracker import Missing, Refused

    names = {status.id: StatusName(status.name) for status in server.statuses}
    ids = {name: status for status, name in names.items()}
    identifiers = {project.id: project.identifier for project in server.projects}
    now = datetime.now(UTC)
    backs: dict[tuple[str, str], Mapping[StatusName, set[StatusName]]] = {}
    asked = 0
    lacking: dict[tuple[str, StatusName], set[StatusName]] = {}
    for ticket in tickets:
        here = names.get(ticket.status)
        kind = identifiers.get(ticket.project, ""), server.types.get(ticket.type, "")
        if kind not in backs:
            backs[kind] = _back(policy, *kind, now)
        needed = (
            {name for name in backs[kind].get(here, ()) if name in ids and name != here} if here is not None else set()
        )
        if here is None or not needed:
            continue
        settable = tracker.settable(ticket)
        type_name = server.types.get(ticket.type, f"type {ticket.type}")
        if isinstance(settable, Refused):
            yield Check(
                "transitions",
                State.FAILED,
                f"the account may not change ticket {ticket.display_id}: {settable.message}",
                "give its role the permission to edit work packages in that project",
            )
        elif not isinstance(settable, Missing):
            asked += 1
            missing = {name for name in needed if ids[name] not in settable}
            if missing:
                lacking.setdefault((type_name, here), set()).update(missing)
    for (type_name, here), missing in lacking.items():
        told = ", ".join(name for name in policy.statuses if name in missing)
        yield Check(
            "transitions",
            State.FAILED,
            f"the account may not put a ticket of type {type_name} back from {here} to {told}",
            "tick these for its role under Administration → Work packages → Workflows",
        )
    if asked and not lacking:
        yield Check("transitions", State.OK, f"the account could put back all {asked} kinds of ticket that were tried")
    elif not asked:
        yield Check("transitions", State.OK, "no ticket stands where an illegal move could have left it")

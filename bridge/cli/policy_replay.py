"""``bridge policy replay``: what a policy would have said to the moves in the ledger, beside what another one says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from bridge.domain.model import (
    Allowed,
    Comment,
    Illegal,
    Mode,
    Objection,
    ProjectId,
    RoleSpell,
    RuleId,
    StatusId,
    Undecided,
    UserId,
)
from bridge.domain.replay import Court, Difference, Life, Said, comment_targets, differences, judgements
from bridge.domain.standing import Standing, standing
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from bridge.domain.policy import Policy
    from bridge.store.snapshot import Snapshot


NOT_KEPT = frozenset({"assignee", "fields"})
"""What only the ticket told when it was moved: the bridge judged by it then, and wrote down the verdict alone."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it."""

    moves: int
    tickets: int
    counts: dict[str, int]
    """How many moves the policy says what to."""
    old_counts: dict[str, int]
    """The same of the other policy, or of what was decided at the time."""
    undecided: dict[str, int]
    """Why the policy says nothing to some moves, with how many these are, the most first."""
    strange: dict[str, int]
    """Statuses that the policy does not know, with how many moves lead there or away."""
    blind: tuple[RuleId, ...]
    """Rules that ask for what the ledger does not keep of a past move."""
    differences: tuple[Difference, ...]
    people: dict[int, str]
    statuses: dict[int, str]


def replay(snapshot: Snapshot, policy: Policy, against: Policy | None, now: datetime) -> Replay:
    """Judge every move in the ledger anew. ``against`` None: compare with what was decided then.

    Raises ConfigError when a policy names statuses that the ledger has never seen.
    """
    from bridge.store.database import uncollected

    policies = [one for one in (policy, against) if one is not None]
    by_name = {row.name: status for status, row in snapshot.statuses().items()}
    _complain_of_strange_statuses(policies, by_name)
    spells = snapshot.role_spells()
    courts = [
        Court(one, {name: by_name[name] for name in one.statuses}, _sides(one, spells), NOBODY, now) for one in policies
    ]
    with uncollected():
        return _replayed(snapshot, courts)  # a function of its own: the rows are gone before the collector comes


def _replayed(snapshot: Snapshot, courts: Sequence[Court]) -> Replay:
    court, *others = courts
    lives = list(_lives(snapshot, courts))
    new = list(judgements(lives, court))
    old = list(judgements(lives, others[0]) if others else _decided(lives))
    undecided = Counter(one.verdict.reason for life in new for one in life if isinstance(one.verdict, Undecided))
    statuses = {int(status): row.name for status, row in snapshot.statuses().items()}
    return Replay(
        sum(len(life.changes) for life in lives),
        len(lives),
        _counted(new),
        _counted(old),
        dict(undecided.most_common()),
        _strange(lives, court, statuses) if undecided else {},
        tuple(rule.id for rule in court.policy.table.rules if rule.asks_for & NOT_KEPT),
        tuple(differences(lives, old, new)),
        {int(person): name for person, name in snapshot.people().items()},
        statuses,
    )


def _strange(lives: Sequence[Life], court: Court, statuses: dict[int, str]) -> dict[str, int]:
    known = set(court.ids.values())
    touched = (status for life in lives for told in life.changes for status in {told.origin, told.target})
    moves = (status for status in touched if status is not None and status not in known)
    return {statuses.get(status, f"status {status}"): n for status, n in Counter(moves).most_common()}


def _counted(said: Sequence[Sequence[Said]]) -> dict[str, int]:
    return dict(Counter(one.words for life in said for one in life))


def _complain_of_strange_statuses(policies: Sequence[Policy], by_name: dict[str, StatusId]) -> None:
    told = [
        f"the policy {policy.name!r} names statuses that the ledger has never seen: {', '.join(missing)}. "
        f"It has seen: {', '.join(sorted(by_name))}"
        for policy in policies
        if (missing := [name for name in policy.statuses if name not in by_name])
    ]
    if told:
        raise ConfigError("\n".join(told))


NOBODY = UserId(-1)
"""The bridge's own moves are marked in the rows; its number need not be known."""


def _sides(
    policy: Policy, spells: dict[tuple[ProjectId, UserId], tuple[RoleSpell, ...]]
) -> Callable[[ProjectId, UserId, int, int], Standing]:
    """Whose side a person was on. Nearly everybody's roles never change, and then one answer does for all moves."""
    from bridge.store.schema import instant, microseconds

    settled: dict[tuple[ProjectId, UserId], tuple[int, int, Standing]] = {}
    for key, known in spells.items():
        (spell, *more) = known
        if not more and spell.roles:
            since = spell.changed_at if spell.changed_at is not None else spell.first_read
            party = policy.party_of(spell.roles)
            told = (
                Standing(party)
                if party is not None
                else Standing(None, "the person holds no role of a party in this project")
            )
            settled[key] = microseconds(since), microseconds(spell.last_read), told

    def side(project: ProjectId, person: UserId, earliest: int, latest: int) -> Standing:
        known = settled.get((project, person))
        if known is not None and known[0] < earliest and latest <= known[1]:
            return known[2]
        return standing(spells.get((project, person), ()), instant(earliest), instant(latest), policy)

    return side


def _lives(snapshot: Snapshot, courts: Sequence[Court]) -> Iterator[Life]:
    identifiers = {project: identifier for project, (identifier, _) in snapshot.projects().items()}
    lives = [list(told) for _, told in groupby(snapshot.changes(), key=attrgetter("work_package"))]
    asked = {court.ids[name] for court in courts for name in comment_targets(court.policy)}
    comments = _comments(snapshot, {told.work_package for life in lives for told in life if told.target in asked})
    for changes in lives:
        last = changes[-1]
        identifier = identifiers.get(last.project, str(last.project))
        said = comments.get(last.work_package, ())
        yield Life(last.work_package, last.project, identifier, last.type, changes, said)


def _comments(snapshot: Snapshot, work_packages: set[int]) -> dict[int, list[Comment]]:
    from bridge.openproject import resources

    found: dict[int, list[Comment]] = {}
    for work_package, received in snapshot.commented(work_packages):
        one = resources.activity(received)
        if one.comment and not one.retracted:
            found.setdefault(work_package, []).append(Comment(one.id, one.user, one.created_at, one.comment))
    return found


def _decided(lives: Sequence[Life]) -> Iterator[Sequence[Said]]:
    """What was said at the time, as far as a comparison needs it."""
    known: dict[tuple[str, str | None], Said] = {}
    for life in lives:
        yield [known.get(key) or known.setdefault(key, _as_said(*key)) for key in map(_DECIDED, life.changes)]


_DECIDED = attrgetter("decided", "rule")


def _as_said(decided: str, rule: str | None) -> Said:
    match decided:
        case "allowed":
            return Said(decided, Allowed())
        case "undecided":
            return Said(decided, Undecided("as decided then"))
        case _:
            mode = Mode.ENFORCE if decided == "put back" else Mode.OBSERVE
            return Said(decided, Illegal((Objection(RuleId(rule or ""), mode, {}, (), ""),), ()))

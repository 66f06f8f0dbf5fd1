"""``bridge policy replay``: what a policy would have said to the moves in the ledger, beside what another one says."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
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
    StatusName,
    Undecided,
    UserId,
    Verdict,
)
from bridge.domain.replay import Court, Difference, Life, Told, comment_targets, differences, in_words, verdicts
from bridge.domain.standing import Standing, standing
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from bridge.domain.policy import Policy
    from bridge.store.queries import Change, Snapshot


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it."""

    moves: int
    tickets: int
    counts: dict[str, int]
    """How many moves the policy says what to."""
    old_counts: dict[str, int]
    """The same of the other policy, or of what was decided at the time."""
    differences: tuple[Difference, ...]
    people: dict[int, str]
    statuses: dict[int, str]


def replay(snapshot: Snapshot, policy: Policy, against: Policy | None, now: datetime) -> Replay:
    """Judge every move in the ledger anew. ``against`` None: compare with what was decided then.

    Raises ConfigError when a policy names statuses that the ledger has never seen.
    """
    spells = snapshot.role_spells()
    courts = [_court(snapshot, one, spells, now) for one in (policy, against) if one is not None]
    with _uncollected():
        rows = list(snapshot.changes())
        lives = list(_lives(snapshot, rows, [court.policy for court in courts], courts[0].ids))
        new = list(verdicts(lives, courts[0]))
        old = list(verdicts(lives, courts[1])) if against is not None else _decided(rows)
        return Replay(
            len(rows),
            len(lives),
            _counted(new),
            _counted(old),
            tuple(differences(lives, old, new)),
            {int(person): name for person, name in snapshot.people().items()},
            {int(status): row.name for status, row in snapshot.statuses().items()},
        )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing here makes cycles, and the collector would look at 300,000 rows again and again: half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _counted(said: Sequence[tuple[Verdict, ...]]) -> dict[str, int]:
    return dict(Counter(in_words(verdict) for life in said for verdict in life))


def _court(
    snapshot: Snapshot,
    policy: Policy,
    spells: dict[tuple[ProjectId, UserId], tuple[RoleSpell, ...]],
    now: datetime,
) -> Court:
    by_name = {row.name: status for status, row in snapshot.statuses().items()}
    missing = [name for name in policy.statuses if name not in by_name]
    if missing:
        raise ConfigError(
            f"the policy {policy.name!r} names statuses that the ledger has never seen: {', '.join(missing)}. "
            f"It has seen: {', '.join(sorted(by_name))}"
        )
    ids = {name: by_name[name] for name in policy.statuses}
    return Court(policy, ids, _sides(policy, spells), NOBODY, now)


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


def _lives(
    snapshot: Snapshot, rows: Sequence[Change], policies: Sequence[Policy], ids: dict[StatusName, StatusId]
) -> Iterator[Life]:
    identifiers = {project: identifier for project, (identifier, _) in snapshot.projects().items()}
    asked = {ids[name] for policy in policies for name in comment_targets(policy) if name in ids}
    comments = _comments(snapshot, {row.work_package for row in rows if row.target in asked})
    for work_package, group in groupby(rows, key=lambda row: row.work_package):
        told = list(group)
        last = told[-1]
        yield Life(
            work_package,
            last.project,
            identifiers.get(ProjectId(last.project), str(last.project)),
            last.type,
            [_told(row) for row in told],
            comments.get(work_package, ()),
        )


def _told(row: Change) -> Told:
    # A move that nobody could judge then for what it is stays so; one that the policy or the roles left open does not.
    open_then = row.verdict == "undecided" and row.party is None
    doubt = row.reason if open_then and not row.reason.startswith(("the person", "the memberships")) else None
    return Told(
        row.activity, row.part, row.kind, row.origin, row.target, NOBODY if row.own else row.person, row.own, doubt,
        row.earliest, row.latest,
    )  # fmt: skip


def _comments(snapshot: Snapshot, work_packages: set[int]) -> dict[int, list[Comment]]:
    from bridge.openproject import resources

    found: dict[int, list[Comment]] = {}
    for work_package, received in snapshot.commented(work_packages):
        one = resources.activity(received)
        if one.comment and not one.retracted:
            found.setdefault(work_package, []).append(Comment(one.id, one.user, one.created_at, one.comment))
    return found


def _decided(rows: Sequence[Change]) -> list[tuple[Verdict, ...]]:
    """What was said at the time, as far as a comparison needs it."""
    said: dict[tuple[str, str | None, str | None], Verdict] = {}

    def verdict(row: Change) -> Verdict:
        key = (row.verdict, row.rule, row.mode)
        found = said.get(key)
        if found is None:
            found = said[key] = _verdict(*key)
        return found

    return [tuple(map(verdict, group)) for _, group in groupby(rows, key=lambda row: row.work_package)]


def _verdict(verdict: str, rule: str | None, mode: str | None) -> Verdict:
    match verdict:
        case "allowed":
            return Allowed()
        case "illegal":
            return Illegal((Objection(RuleId(rule or ""), Mode(mode or Mode.OBSERVE), {}, (), ""),), ())
        case _:
            return Undecided("as decided then")

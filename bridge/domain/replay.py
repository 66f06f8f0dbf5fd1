"""A policy over moves of the past: what it would have said to each, and where two policies differ. Pure.

The verdicts are those of ``plan.follow``, the code that judges live. Lives that no rule tells apart get one judgement:
most tickets go one of a few ways, and a hundred thousand moves take a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    Comment,
    Illegal,
    Kind,
    Mode,
    ProjectId,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Undecided,
    UserId,
    Verdict,
    WorkPackageId,
)
from bridge.domain.plan import Scene, follow
from bridge.domain.policy import Policy
from bridge.domain.policy.rules import NeedsComment
from bridge.domain.standing import Standing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    """One status change as it was written down. Times are in microseconds since the epoch."""

    activity: int
    part: int
    kind: str
    origin: int | None
    target: int | None
    person: int | None
    own: bool
    doubt: str | None
    """Why it is not proven; None when it is."""
    earliest: int
    latest: int


class Life(NamedTuple):
    """One ticket's changes in order, and the comments on it where a rule asks for them."""

    work_package: int
    project: int
    identifier: str
    type: str
    changes: Sequence[Told]
    comments: Sequence[Comment] = ()


@dataclass(frozen=True, slots=True)
class Court:
    """A policy, and what it takes to judge by it: names, roles, and the time from which we look back."""

    policy: Policy
    ids: dict[StatusName, StatusId]
    """The policy's statuses on the server; those that it does not have are missing."""
    standing: Callable[[ProjectId, UserId, int, int], Standing]
    """Whose side a person was on in a project between two moments."""
    own: UserId
    now: datetime


def verdicts(lives: Iterable[Life], court: Court) -> Iterator[tuple[Verdict, ...]]:
    """For each life the verdict on each of its changes, as if every enforced rule had been enforced from the start."""
    known: dict[object, tuple[Verdict, ...]] = {}
    shape = _Shape(court)
    for life in lives:
        key = shape.of(life)
        found = known.get(key)
        if found is None:
            found = known[key] = _judged(life, court)
        yield found


def comment_targets(policy: Policy) -> frozenset[StatusName]:
    """The statuses into which some rule asks for a comment: only there comments make a difference."""
    asking = [rule.into for rule in policy.rules if isinstance(rule.demand, NeedsComment)]
    return frozenset(policy.statuses) if None in asking else frozenset[StatusName]().union(*filter(None, asking))


def _judged(life: Life, court: Court) -> tuple[Verdict, ...]:
    project = ProjectId(life.project)
    changes = tuple(
        StatusChange(
            key=ChangeKey(ActivityId(told.activity), told.part),
            kind=Kind(told.kind),
            origin=None if told.origin is None else StatusId(told.origin),
            target=None if told.target is None else StatusId(told.target),
            actor=None if told.person is None else UserId(told.person),
            earliest=_instant(told.earliest),
            latest=_instant(told.latest),
            maybe_merged=told.earliest < told.latest,
            doubt=told.doubt,
        )
        for told in life.changes
    )
    scene = Scene(
        policy=court.policy,
        spelling={status: name for name, status in court.ids.items()},
        ids=court.ids,
        standing=lambda user, earliest, latest: court.standing(
            project, user, _microseconds(earliest), _microseconds(latest)
        ),
        own=court.own,
        now=court.now,
        enforced_since={rule.id: EPOCH for rule in court.policy.rules},
        project=life.identifier,
        type=life.type,
    )
    timeline = Timeline(WorkPackageId(life.work_package), changes, tuple(life.comments))
    return tuple(one.verdict for one in follow(timeline, scene).judged)


class _Shape:
    """What two lives must share to be judged alike: all that the policy can see of them."""

    def __init__(self, court: Court) -> None:
        self._court = court
        policy = court.policy
        self._whose_matters = bool(policy.asks_for & {"author", "assignee", "movers"})
        self._commented = {court.ids[name] for name in comment_targets(policy) if name in court.ids}
        asking = [rule.demand.within for rule in policy.rules if isinstance(rule.demand, NeedsComment)]
        self._windows = tuple(dict.fromkeys(asking))

    def of(self, life: Life) -> object:
        policy, standing = self._court.policy, self._court.standing
        project = ProjectId(life.project)
        people: dict[int | None, int] = {}
        steps: list[object] = []
        for told in life.changes:
            _, _, kind, origin, target, person, own, doubt, earliest, latest = told
            party = None
            if person is not None and not own and doubt is None:
                who = standing(project, UserId(person), earliest, latest)
                party = who.party or who.reason
            steps.append((kind, origin, target, own, doubt, party, earliest < latest))
            if self._whose_matters:
                steps.append(people.setdefault(person, len(people)))
            if target in self._commented:
                steps.append(self._comments(life, told))
            scope = policy.tells_apart(life.identifier, life.type, str(person), life.work_package, _instant(latest))
            if scope is not None:
                steps.append(scope)
        return tuple(steps)

    def _comments(self, life: Life, told: Told) -> object:
        """Which parties have commented near this change, by each window that rules give."""
        at, first = _instant(told.latest), _instant(told.earliest)
        near: list[object] = []
        for within in self._windows:
            near.append(self._court.now <= at + within)
            for comment in life.comments:
                same = comment.activity == told.activity
                moment = _microseconds(comment.at)
                party = self._court.standing(ProjectId(life.project), comment.user, moment, moment).party
                near.append((party, same, abs(comment.at - at) <= within, abs(comment.at - first) <= within))
        return tuple(near)


# --- Two policies ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One change on which two policies do not agree."""

    life: Life
    told: Told
    old: str
    new: str
    """``allowed``, ``reported``, ``put back`` or ``undecided``."""
    rules: tuple[RuleId, ...]
    """All that object by the policy that goes further."""


def in_words(verdict: Verdict) -> str:
    """What comes of a move."""
    match verdict:
        case Allowed():
            return "allowed"
        case Illegal():
            return "put back" if verdict.mode is Mode.ENFORCE else "reported"
        case Undecided():
            return "undecided"


def differences(
    lives: Sequence[Life], old: Iterable[tuple[Verdict, ...]], new: Iterable[tuple[Verdict, ...]]
) -> Iterator[Difference]:
    """Every change to which the policies say different things."""
    for life, before, after in zip(lives, old, new, strict=True):
        if before is after or before == after:
            continue
        for told, was, would_be in zip(life.changes, before, after, strict=True):
            said, says = in_words(was), in_words(would_be)
            if said != says:
                objecting = would_be if isinstance(would_be, Illegal) else was
                rules = tuple(one.rule for one in objecting.objections) if isinstance(objecting, Illegal) else ()
                yield Difference(life, told, said, says, rules)


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)

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
    CommentBy,
    Illegal,
    Kind,
    Mode,
    Move,
    PartyName,
    ProjectId,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Told,
    Undecided,
    UserId,
    Verdict,
    WorkPackageId,
)
from bridge.domain.plan import TAKEN_BACK, follow
from bridge.domain.policy import Policy, judge
from bridge.domain.policy.rules import NeedsComment
from bridge.domain.scene import Scene
from bridge.domain.standing import Standing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Life(NamedTuple):
    """One ticket's changes in order, and the comments on it where a rule asks for them."""

    work_package: WorkPackageId
    project: ProjectId
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


class Said(NamedTuple):
    """What a policy says to one change."""

    words: str
    """``allowed``, ``reported``, ``put back`` or ``undecided``."""
    verdict: Verdict


def said(verdict: Verdict) -> Said:
    """A verdict with what comes of the move."""
    match verdict:
        case Allowed():
            return Said("allowed", verdict)
        case Illegal():
            return Said("put back" if verdict.mode is Mode.ENFORCE else "reported", verdict)
        case Undecided():
            return Said("undecided", verdict)


def judgements(lives: Iterable[Life], court: Court) -> Iterator[Sequence[Said]]:
    """For each life what is said to each of its changes, as if every enforced rule had been from the start."""
    known: dict[object, Sequence[Said]] = {}
    plainly = _Plainly(court)
    for life in lives:
        judged = plainly.judged(life)
        if judged is None:
            key = plainly.seen(life)
            judged = known.get(key)
            if judged is None:
                judged = known[key] = [said(verdict) for verdict in _judged(life, court)]
        yield judged


def comment_targets(policy: Policy) -> frozenset[StatusName]:
    """The statuses into which some rule asks for a comment: only there comments make a difference."""
    asking = [rule.into for rule in policy.rules if isinstance(rule.demand, NeedsComment)]
    return frozenset(policy.statuses) if None in asking else frozenset[StatusName]().union(*filter(None, asking))


def _judged(life: Life, court: Court) -> tuple[Verdict, ...]:
    project = life.project
    changes = tuple(
        StatusChange(
            key=ChangeKey(ActivityId(told.activity), told.part),
            kind=Kind(told.kind),
            origin=None if told.origin is None else StatusId(told.origin),
            target=None if told.target is None else StatusId(told.target),
            actor=court.own if told.own else told.person,
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
    timeline = Timeline(life.work_package, changes, tuple(life.comments))
    return tuple(one.verdict for one in follow(timeline, scene).judged)


# --- What lives have in common --------------------------------------------------------------------------------------

_Step = tuple[object, ...]
"""All that the policy can see of one change."""


class _State:
    """Where a ticket legally stands, where it would if every rule were enforced, and where it has legally been."""

    __slots__ = ("lawful", "legal", "onward", "visited")

    def __init__(self, legal: int | None, lawful: int | None, visited: frozenset[StatusName]) -> None:
        self.legal = legal
        self.lawful = lawful
        self.visited = visited
        self.onward: dict[_Step, tuple[Said, _State]] = {}
        """What is said to each step from here that has been met, and where it leads."""


class _Plainly:
    """``plan.follow`` for lives in which nothing is in doubt: what it does then depends on very little, which is kept.

    A test holds the two together.
    """

    def __init__(self, court: Court) -> None:
        policy = court.policy
        self._court = court
        self._names = {int(status): name for name, status in court.ids.items()}
        self._people_matter = bool(policy.asks_for & {"author", "assignee", "movers"})
        self._commented = frozenset(court.ids[name] for name in comment_targets(policy) if name in court.ids)
        asking = [rule.demand.within for rule in policy.rules if isinstance(rule.demand, NeedsComment)]
        self._windows = tuple(dict.fromkeys(asking))
        self._beginning = _State(None, None, frozenset())
        self._states: dict[object, _State] = {}

    def judged(self, life: Life) -> Sequence[Said] | None:
        """What is said to a life in which nothing is in doubt; None where something is, and for ``follow`` to tell."""
        changes = life.changes
        if self._people_matter or changes[0].kind != Kind.CREATION:
            return None
        standing, commented, scoped = self._court.standing, self._commented, self._court.policy.distinguishes
        project = life.project
        state = self._beginning
        found: list[Said] = []
        for told in changes:
            _, _, _, _, _, kind, origin, target, person, own, doubt, earliest, latest, _, _ = told
            party: PartyName | None = None
            if not own:
                if doubt is not None or person is None or earliest != latest:
                    return None
                party = standing(project, person, earliest, latest).party
                if party is None:
                    return None
            step: _Step = (kind, origin, target, party)
            if scoped or target in commented:
                near = self._near(life, told) if target in commented else None
                step = (*step, near, self._scope(life, told) if scoped else None)
            known = state.onward.get(step)
            if known is None:
                known = state.onward[step] = self._follow(life, told, party, state)
            one, state = known
            if one.words == "undecided":
                return None
            found.append(one)
        return found

    def seen(self, life: Life) -> _Step:
        """All that the policy can see of a life, whatever is in doubt about it: equal ones are judged alike."""
        scoped = self._court.policy.distinguishes
        people: dict[int | None, int] = {}
        """Which of the ticket's people, by first appearance."""
        steps: list[_Step] = []
        for told in life.changes:
            side = Standing(None)
            if not told.own and told.doubt is None and told.person is not None:
                side = self._court.standing(life.project, told.person, told.earliest, told.latest)
            steps.append(
                (
                    told.kind,
                    told.origin,
                    told.target,
                    told.own,
                    told.doubt,
                    told.earliest == told.latest,
                    side.party,
                    side.reason,
                    people.setdefault(told.person, len(people)) if self._people_matter else None,
                    self._near(life, told) if told.target in self._commented else None,
                    self._scope(life, told) if scoped else None,
                )
            )
        return tuple(steps)

    def _near(self, life: Life, told: Told) -> object:
        """Which parties have commented near this change, by each window that rules give."""
        at, first = _instant(told.latest), _instant(told.earliest)
        near: list[object] = []
        for within in self._windows:
            near.append(self._court.now <= at + within)
            for comment in life.comments:
                same = comment.activity == told.activity
                party = self._side(life, comment)
                near.append((party, same, abs(comment.at - at) <= within, abs(comment.at - first) <= within))
        return tuple(near)

    def _side(self, life: Life, comment: Comment) -> PartyName | None:
        moment = _microseconds(comment.at)
        return self._court.standing(life.project, comment.user, moment, moment).party

    def _scope(self, life: Life, told: Told) -> object:
        return self._court.policy.tells_apart(
            life.identifier, life.type, str(told.person), life.work_package, _instant(told.latest)
        )

    def _follow(self, life: Life, told: Told, party: PartyName | None, state: _State) -> tuple[Said, _State]:
        policy = self._court.policy
        initial = int(self._court.ids[policy.initial])
        legal, lawful, visited = state.legal, state.lawful, state.visited
        verdict = self._verdict(life, told, party, state)
        breaks = isinstance(verdict, Illegal) and party is not None and policy.reverts(party)
        target = self._name(told.target)
        if not (breaks and isinstance(verdict, Illegal) and verdict.mode is Mode.ENFORCE):
            before = self._name(legal)
            if (
                before is not None
                and policy.is_closed(before)
                and not (target is not None and policy.is_closed(target))
            ):
                visited = frozenset()
            visited |= frozenset() if target is None else frozenset({target})
            legal = told.target
        elif told.kind == Kind.CREATION:
            legal, visited = initial, frozenset({policy.initial})
        if not breaks and verdict != Allowed(TAKEN_BACK):
            lawful = told.target
        elif breaks and told.kind == Kind.CREATION:
            lawful = initial
        there = self._states.setdefault((legal, lawful, visited), _State(legal, lawful, visited))
        return said(verdict), there

    def _verdict(self, life: Life, told: Told, party: PartyName | None, state: _State) -> Verdict:
        if told.own:
            return Allowed("the bridge's own move")
        origin, target = self._name(told.origin), self._name(told.target)
        if target is None or (origin is None and told.kind != Kind.CREATION):
            return Undecided("the policy does not know this status")
        assert party is not None, "a plain step is somebody's"
        move = Move(
            party=party,
            origin=origin,
            target=target,
            visited=state.visited,
            at=_instant(told.latest),
            now=self._court.now,
            project=life.identifier,
            type=life.type,
            person=str(told.person),
            ticket=life.work_package,
            comments=tuple(
                CommentBy(self._side(life, comment), comment.at, same_activity=comment.activity == told.activity)
                for comment in life.comments
            ),
        )
        verdict = judge(move, self._court.policy)
        takes_back = told.origin is not None and told.target in (state.legal, state.lawful) and origin != target
        return Allowed(TAKEN_BACK) if isinstance(verdict, Illegal) and takes_back else verdict

    def _name(self, status: int | None) -> StatusName | None:
        return None if status is None else self._names.get(status)


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
    reason: str = ""
    """Why the new policy leaves it undecided."""


def differences(
    lives: Sequence[Life], old: Iterable[Sequence[Said]], new: Iterable[Sequence[Said]]
) -> Iterator[Difference]:
    """Every change to which the policies say different things."""
    for life, before, after in zip(lives, old, new, strict=True):
        for told, was, would_be in zip(life.changes, before, after, strict=True):
            if was.words != would_be.words:
                verdict = would_be.verdict
                objecting = verdict if isinstance(verdict, Illegal) else was.verdict
                rules = tuple(one.rule for one in objecting.objections) if isinstance(objecting, Illegal) else ()
                reason = verdict.reason if isinstance(verdict, Undecided) else ""
                yield Difference(life, told, was.words, would_be.words, rules, reason)


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)

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
    plainly = _Plainly(court)
    for life in lives:
        steps = plainly.steps(life)
        said = plainly.judged(life, steps)
        if said is None:
            key = tuple(steps)
            said = known.get(key)
            if said is None:
                said = known[key] = _judged(life, court)
        yield said


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


# --- What lives have in common --------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """All that the policy can see of one change. Lives of equal steps are judged alike."""

    kind: str
    origin: int | None
    target: int | None
    own: bool
    party: PartyName | None
    at_once: bool
    """Made at one moment, so that it hides nothing."""
    why: str | None
    """Why it is not proven, or whose side the person was on is not known."""
    person: int
    """Which of the ticket's people, by first appearance; 0 where that makes no difference."""
    comments: object
    scope: object

    @property
    def plain(self) -> bool:
        """Nothing about it is in doubt."""
        return self.own or (self.party is not None and self.at_once and self.target is not None)


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
        self._numbers: dict[_Step, int] = {}
        """Each kind of step by number: what is kept of a hundred thousand moves is little."""
        self._steps: list[_Step] = []
        self._plain: set[int] = set()
        self._known: dict[tuple[_State, int], tuple[Verdict, _State]] = {}

    def steps(self, life: Life) -> list[int]:
        """The life's changes reduced to what the policy can see of them, each by its number."""
        standing, numbers, commented = self._court.standing, self._numbers, self._commented
        project = ProjectId(life.project)
        scoped, people_matter = self._court.policy.distinguishes, self._people_matter
        people: dict[int | None, int] = {}
        found: list[int] = []
        for told in life.changes:
            _, _, kind, origin, target, person, own, doubt, earliest, latest = told
            party: PartyName | None = None
            why = doubt
            if not own and doubt is None and person is not None:
                side = standing(project, UserId(person), earliest, latest)
                party, why = side.party, side.reason
            step = (
                kind,
                origin,
                target,
                own,
                party,
                earliest == latest,
                why,
                people.setdefault(person, len(people)) if people_matter else 0,
                self._near(life, told) if target in commented else None,
                self._scope(life, told) if scoped else None,
            )
            number = numbers.get(step)  # type: ignore[call-overload]  # a step, not yet made one
            found.append(self._number(_Step(*step)) if number is None else number)
        return found

    def _number(self, step: _Step) -> int:
        number = self._numbers[step] = len(self._steps)
        self._steps.append(step)
        if step.plain:
            self._plain.add(number)
        return number

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
        return self._court.standing(ProjectId(life.project), comment.user, moment, moment).party

    def _scope(self, life: Life, told: Told) -> object:
        return self._court.policy.tells_apart(
            life.identifier, life.type, str(told.person), life.work_package, _instant(told.latest)
        )

    def judged(self, life: Life, steps: Sequence[int]) -> tuple[Verdict, ...] | None:
        """The verdicts on a life in which nothing is in doubt; None where something is, and for ``follow`` to tell."""
        begins = self._steps[steps[0]].kind == Kind.CREATION
        if not begins or self._people_matter or not self._plain.issuperset(steps):
            return None
        found: list[Verdict] = []
        state = _BEGINNING
        for place, step in enumerate(steps):
            known = self._known.get((state, step))
            if known is None:
                known = self._follow(life, life.changes[place], self._steps[step], state)
                self._known[state, step] = known
            verdict, state = known
            if verdict.__class__ is Undecided:
                return None
            found.append(verdict)
        return tuple(found)

    def _follow(self, life: Life, told: Told, step: _Step, state: _State) -> tuple[Verdict, _State]:
        policy, names = self._court.policy, self._names
        legal, lawful, visited = state
        verdict = self._verdict(life, told, step, state)
        breaks = isinstance(verdict, Illegal) and step.party is not None and policy.reverts(step.party)
        target = names.get(step.target) if step.target is not None else None
        if not (breaks and isinstance(verdict, Illegal) and verdict.mode is Mode.ENFORCE):
            before = names.get(legal) if legal is not None else None
            if (
                before is not None
                and policy.is_closed(before)
                and not (target is not None and policy.is_closed(target))
            ):
                visited = frozenset()
            visited |= frozenset() if target is None else frozenset({target})
            legal = step.target
        elif step.kind == Kind.CREATION:
            legal, visited = int(self._court.ids[policy.initial]), frozenset({policy.initial})
        if not breaks and verdict != Allowed(TAKEN_BACK):
            lawful = step.target
        elif breaks and step.kind == Kind.CREATION:
            lawful = int(self._court.ids[policy.initial])
        return verdict, _State(legal, lawful, visited)

    def _verdict(self, life: Life, told: Told, step: _Step, state: _State) -> Verdict:
        names = self._names
        if step.own:
            return Allowed("the bridge's own move")
        origin = names.get(step.origin) if step.origin is not None else None
        target = names.get(step.target) if step.target is not None else None
        if target is None or (origin is None and step.kind != Kind.CREATION):
            return Undecided("the policy does not know this status")
        assert step.party is not None, "a plain step is somebody's"
        at = _instant(told.latest)
        move = Move(
            party=step.party,
            origin=origin,
            target=target,
            visited=state.visited,
            at=at,
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
        takes_back = step.origin is not None and step.target in (state.legal, state.lawful) and origin != target
        return Allowed(TAKEN_BACK) if isinstance(verdict, Illegal) and takes_back else verdict


class _State(NamedTuple):
    """Where a ticket legally stands, where it would if every rule were enforced, and where it has legally been."""

    legal: int | None
    lawful: int | None
    visited: frozenset[StatusName]


_BEGINNING = _State(None, None, frozenset())


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
        for told, was, would_be in zip(life.changes, before, after, strict=True):
            if was is would_be:
                continue
            said, says = in_words(was), in_words(would_be)
            if said != says:
                objecting = would_be if isinstance(would_be, Illegal) else was
                rules = tuple(one.rule for one in objecting.objections) if isinstance(objecting, Illegal) else ()
                yield Difference(life, told, said, says, rules)


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)

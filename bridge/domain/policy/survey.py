"""The whole table of a policy: every move of every party decided, and what is odd about it. Exhaustive, and pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.domain.model import Mode, PartyName, RuleId, StatusName
from bridge.domain.policy.judging import Visited
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import After, Rule


class Answer(StrEnum):
    """What happens to a move, in the order of severity."""

    ALLOWED = "allowed"
    ASKED = "asked"
    """Allowed when the facts are right: a comment, a field, a person."""
    LATER = "later"
    """Allowed once the ticket has been somewhere."""
    REPORTED = "reported"
    PUT_BACK = "put back"


@dataclass(frozen=True, slots=True)
class Pair:
    """One party's move from one status to another, by itself: the ticket has been nowhere but in ``origin``."""

    party: PartyName
    origin: StatusName | None
    """None for a creation."""
    target: StatusName
    answer: Answer
    objecting: tuple[RuleId, ...]
    """The strictest first."""
    asking: tuple[RuleId, ...]
    """Rules that object or not by the facts of the move."""
    after: frozenset[StatusName]
    """Where the ticket must have been for ``LATER``: in one of these."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that can be said about a policy without a ticket."""

    pairs: tuple[Pair, ...]
    unreachable: tuple[StatusName, ...]
    """No legal moves of anybody lead here."""
    dead_ends: tuple[StatusName, ...]
    """Open statuses that nobody may leave."""
    traps: tuple[tuple[PartyName, StatusName], ...]
    """Open statuses that a party may enter and nobody may leave."""
    silent: tuple[RuleId, ...]
    """Rules that no move of anybody breaks, whatever its facts."""
    project: str
    type: str
    at: datetime | None
    """Of which project, type of ticket and moment all this is true; empty and None for none in particular."""

    @property
    def odd(self) -> bool:
        """Whether there is something that somebody should look at."""
        return bool(self.unreachable or self.dead_ends or self.traps)


def survey(policy: Policy, *, project: str = "", type: str = "", at: datetime | None = None) -> Survey:
    """Decide every move of every party, in one project, for one type of ticket and at one moment."""
    table = _Table(policy, project, type, at)
    pairs = tuple(
        table.pair(party.name, origin, target)
        for party in policy.parties
        for origin in (None, *policy.statuses)
        for target in policy.statuses
        if origin != target
    )
    objecting = {rule for pair in pairs for rule in (*pair.objecting, *pair.asking)}
    possible = [pair for pair in pairs if pair.answer in _POSSIBLE]
    leaving = {pair.origin for pair in possible}
    dead_ends = tuple(s for s in policy.statuses if s not in leaving and not policy.is_closed(s))
    reached = table.reached()
    return Survey(
        pairs,
        tuple(status for status in policy.statuses if status not in reached),
        dead_ends,
        tuple(dict.fromkeys((pair.party, pair.target) for pair in possible if pair.target in dead_ends)),
        tuple(rule.id for rule in policy.rules if rule.id not in objecting and rule.mode is not Mode.OFF),
        project,
        type,
        at,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One move on a way through the statuses."""

    party: PartyName
    target: StatusName


def ways(
    policy: Policy,
    origin: StatusName | None,
    visited: Visited = frozenset(),
    *,
    project: str = "",
    type: str = "",
    at: datetime | None = None,
) -> dict[StatusName, tuple[Step, ...]]:
    """Legal moves, of whichever party, to each status to which some lead: the fewest, if those are soon found."""
    table = _Table(policy, project, type, at)
    been = visited | ({origin} if origin else frozenset())
    some = dict(table.walk(origin, been, deep=True))
    fewest: dict[StatusName, tuple[Step, ...]] = {}
    for status, steps in table.walk(origin, been):
        fewest.setdefault(status, steps)
        if len(fewest) == len(some):
            break
    return some | fewest


_WALK_STATES = 1_000
"""Only a checklist of many statuses in any order has more, and it bounds that to a second or so."""

_POSSIBLE = frozenset({Answer.ALLOWED, Answer.ASKED, Answer.LATER})


@dataclass(eq=False, repr=False)
class _Table:
    policy: Policy
    project: str
    type: str
    at: datetime | None

    def pair(self, party: PartyName, origin: StatusName | None, target: StatusName) -> Pair:
        objecting, asking = self._rules(party, origin, target, frozenset([origin] if origin else []))
        after: frozenset[StatusName] = frozenset()
        if not objecting:
            answer = Answer.ASKED if asking else Answer.ALLOWED
        elif origin is not None and not self._rules(party, origin, target, frozenset(self.policy.statuses))[0]:
            answer = Answer.LATER
            after = frozenset[StatusName]().union(
                *(r.demand.statuses for r, _ in objecting if isinstance(r.demand, After))
            )
        else:
            answer = Answer.PUT_BACK if any(mode is Mode.ENFORCE for _, mode in objecting) else Answer.REPORTED
        ids = tuple(rule.id for rule, _ in objecting)
        return Pair(party, origin, target, answer, ids, tuple(rule.id for rule, _ in asking), after)

    def _rules(
        self, party: PartyName, origin: StatusName | None, target: StatusName, visited: Visited
    ) -> tuple[tuple[tuple[Rule, Mode], ...], tuple[tuple[Rule, Mode], ...]]:
        return self.policy.broken(party, origin, target, visited, project=self.project, type=self.type, at=self.at)

    def reached(self) -> set[StatusName]:
        """Every status that legal moves lead to from a creation."""
        return {status for status, _ in self.walk(None, frozenset(), deep=True)}

    def walk(
        self, origin: StatusName | None, visited: Visited, *, deep: bool = False
    ) -> Iterator[tuple[StatusName, tuple[Step, ...]]]:
        """Every status that moves lead to, each maybe several times; the nearest first, or else as deep as it goes.

        What counts of where a ticket has been only ever opens further ways. So a status is not entered again with no
        more of it than before, and who goes deep first, with much of it, soon has nothing left to try.
        """
        counts = frozenset[StatusName]().union(
            *(rule.demand.statuses for rule in self.policy.rules if isinstance(rule.demand, After))
        )
        seen: dict[StatusName, list[Visited]] = {status: [] for status in self.policy.statuses}
        queue: deque[tuple[StatusName | None, Visited, tuple[Step, ...]]] = deque([(origin, visited & counts, ())])
        tried = 0
        while queue and tried < _WALK_STATES:
            here, been, steps = queue.pop() if deep else queue.popleft()
            tried += 1
            for party in self.policy.parties:
                for there in self.policy.alternatives(
                    party.name, here, been, project=self.project, type=self.type, at=self.at
                ):
                    fresh = here is None or self.policy.opens_again(here, there)
                    now_been = counts & (frozenset({there}) if fresh else been | {there})
                    if any(now_been <= known for known in seen[there]):
                        continue
                    seen[there].append(now_been)
                    further = (*steps, Step(party.name, there))
                    yield there, further
                    queue.append((there, now_been, further))

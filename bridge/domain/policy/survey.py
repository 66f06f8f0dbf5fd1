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


def way(
    policy: Policy,
    origin: StatusName | None,
    target: StatusName,
    visited: Visited = frozenset(),
    *,
    project: str = "",
    type: str = "",
    at: datetime | None = None,
) -> tuple[Step, ...]:
    """The fewest legal moves, of whichever party, that lead there; empty when none do."""
    return _Table(policy, project, type, at).way(origin, target, visited)


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
        return {status for status, _, _ in self._walk(None, frozenset())}

    def way(self, origin: StatusName | None, target: StatusName, visited: Visited) -> tuple[Step, ...]:
        for status, _, steps in self._walk(origin, visited | ({origin} if origin else frozenset())):
            if status == target:
                return steps
        return ()

    def _walk(
        self, origin: StatusName | None, visited: Visited
    ) -> Iterator[tuple[StatusName, Visited, tuple[Step, ...]]]:
        """Breadth first over status and what counts of where the ticket has been."""
        counts = frozenset[StatusName]().union(
            *(rule.demand.statuses for rule in self.policy.rules if isinstance(rule.demand, After))
        )
        seen: set[tuple[StatusName, Visited]] = set()
        queue: deque[tuple[StatusName | None, Visited, tuple[Step, ...]]] = deque([(origin, visited & counts, ())])
        while queue:
            here, been, steps = queue.popleft()
            for party in self.policy.parties:
                for there in self.policy.alternatives(
                    party.name, here, been, project=self.project, type=self.type, at=self.at
                ):
                    fresh = here is None or self.policy.opens_again(here, there)
                    now_been = counts & (frozenset({there}) if fresh else been | {there})
                    if (there, now_been) in seen:
                        continue
                    seen.add((there, now_been))
                    further = (*steps, Step(party.name, there))
                    yield there, now_been, further
                    queue.append((there, now_been, further))

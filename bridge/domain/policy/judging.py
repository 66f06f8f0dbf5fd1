"""The policy made ready to judge, and ``judge``: the one place where rules meet a move.

The rules that concern a kind of move are sought once and the outcome kept, so that a judgement is a look-up however
many rules there are. Must not know a clock or a text; must not act.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from bridge.domain.model import (
    Allowed,
    Illegal,
    Mode,
    Move,
    Objection,
    PartyName,
    RuleId,
    StatusName,
    Undecided,
    Verdict,
)
from bridge.domain.policy.facts import Unknown, satisfied
from bridge.domain.policy.rules import (
    After,
    Demand,
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

if TYPE_CHECKING:
    from bridge.domain.policy.policy import Policy

Visited = frozenset[StatusName]

_KEPT_KINDS = 200_000
"""Far more kinds of move than a real policy has; keeps a hostile history from filling the memory (about 60 MB)."""
_ALLOWED, _REOPENING = Allowed(), Allowed("reopening")
_PATH_STATES = 10_000
"""A search that large finds no end soon; giving up counts as a legal path, since doubt never acts."""


class Table:
    """The rules of one policy, made ready to judge, and what has been found of kinds of move so far."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.parties: dict[PartyName, Party] = {party.name: party for party in policy.parties}
        self.statuses = frozenset(policy.statuses)
        self.rules = tuple(
            rule
            for rule in policy.rules
            if rule.mode is not Mode.OFF or any(exception.mode is not Mode.OFF for exception in rule.mode_for)
        )
        """Those that are not off everywhere."""
        self.settled: dict[_Key, Verdict] = {}
        """Verdicts on kinds of move where nothing but the kind matters."""
        self.open: dict[_Key, Outcome] = {}
        """What is known of kinds of move where a verdict depends on facts as well."""
        self._objecting: dict[Kind, Objecting] = {}
        self._rules_into = self._by_target()
        asked = dict.fromkeys(rule.demand.statuses for rule in policy.rules if isinstance(rule.demand, After))
        self._after: dict[Visited, int] = {statuses: 1 << number for number, statuses in enumerate(asked)}
        """One bit for each distinct set of statuses that an order rule asks for."""
        self._bits = {
            status: sum(bit for statuses, bit in self._after.items() if status in statuses)
            for status in policy.statuses
        }
        """Which of those sets are met by having been in a status."""
        self.moments = self._turning_points()
        self.named = self._told_apart()
        named = self.named
        self.scoped = bool(named.projects or named.types or self.moments)
        """Whether anything beside party and statuses makes a difference to what the look-up finds. An exemption, of
        people or tickets too, ends at some moment."""

    def _by_target(self) -> dict[StatusName, tuple[tuple[int, Rule], ...]]:
        """The rules that may look at a move into each status, numbered in file order."""
        by_status: dict[StatusName, list[tuple[int, Rule]]] = {status: [] for status in self.policy.statuses}
        for number, rule in enumerate(self.rules):
            for status in rule.into or self.policy.statuses:
                by_status[status].append((number, rule))
        return {status: tuple(rules) for status, rules in by_status.items()}

    def _turning_points(self) -> tuple[datetime, ...]:
        """Where a mode or an exemption begins or ends; between two of them nothing changes."""
        moments = {exemption.until for exemption in self.policy.exemptions}
        for rule in self.policy.rules:
            for exception in rule.mode_for:
                moments |= {moment for moment in (exception.since, exception.until) if moment is not None}
        return tuple(sorted(moments))

    def _told_apart(self) -> _Named:
        projects, types = set[str](), set[str]()
        people, tickets = set[str](), set[int]()
        for rule in self.policy.rules:
            projects |= rule.projects or set()
            types |= rule.types or set()
            for exception in rule.mode_for:
                projects |= exception.projects or set()
        for exemption in self.policy.exemptions:
            projects |= exemption.projects or set()
            people |= exemption.people or set()
            tickets |= exemption.tickets or set()
        return _Named(
            {name: name for name in projects},
            {name: name for name in (types | {""} if types else ())},
            {name: name for name in people},
            {number: number for number in tickets},
        )

    def began(self, at: datetime) -> datetime | None:
        """The last moment before this at which a mode or an exemption began or ended."""
        began = bisect_right(self.moments, at)
        return self.moments[began - 1] if began else None

    def scope(self, project: str, type_: str, at: datetime | None, person: str = "", ticket: int = 0) -> Scope:
        """These facts, reduced to what the policy tells apart. ``at`` None: before all time."""
        named = self.named
        return (
            self.began(at) if at is not None and self.moments else None,
            named.projects.get(project),
            named.types.get(type_),
            named.people.get(person),
            named.tickets.get(ticket),
        )

    def hits(self, visited: Visited) -> int:
        """The bits of what these statuses meet."""
        hits = 0
        for status in visited:
            hits |= self._bits.get(status, 0)
        return hits

    def knows(self, party: PartyName, origin: StatusName | None, target: StatusName) -> bool:
        """Whether the policy says anything about them."""
        known = self.statuses
        return party in self.parties and target in known and (origin is None or origin in known)

    def objections(self, kind: Kind) -> Objecting:
        """The rules that this kind of move breaks, and those that depend on its facts."""
        known = self._objecting.get(kind)
        if known is None:
            known = self._objecting[kind] = self._seek(kind)
        return known

    def _seek(self, kind: Kind) -> Objecting:
        scope, party, origin, target, hits = kind
        broken: list[_Broken] = []
        open_: list[_Broken] = []
        exempted: list[str] = []
        for number, rule in self._rules_into[target]:
            mode = rule.mode_in(scope[1], scope[0])
            if mode is Mode.OFF or not self._looks_at(rule, party, origin, target, scope):
                continue
            met = self._meets(rule.demand, party, target, hits)
            if met:
                continue
            exemption = self._exemption(rule.id, scope)
            lenient = mode is not Mode.ENFORCE or not self.parties[party].reverted
            one = _Broken(lenient, number, rule, exemption.id if exemption else None)
            if met is None or rule.fields or (rule.types is not None and scope[2] == ""):
                open_.append(one)
            elif one.exemption is not None:
                exempted.append(one.exemption)
            else:
                broken.append(one)
        return Objecting(tuple(sorted(broken, key=_rank)), tuple(open_), exempted[0] if exempted else None)

    def _meets(self, demand: Demand, party: PartyName, target: StatusName, hits: int) -> bool | None:
        """Whether the move does what is asked; None when its kind does not tell."""
        match demand:
            case OnlyBy(parties):
                return party in parties
            case OnlyInto(statuses):
                return target in statuses
            case After(statuses):
                return bool(hits & self._after[statuses])
            case NeedsComment() | Filled() | OtherPerson() | SamePerson():
                return None

    def _looks_at(
        self, rule: Rule, party: PartyName, origin: StatusName | None, target: StatusName, scope: Scope
    ) -> bool:
        _, project, type_, _, _ = scope
        if origin is None:
            # A creation in the initial status is OpenProject's doing and no move by hand.
            if not rule.creation and (target == self.policy.initial or rule.origin is not None):
                return False
        elif rule.creation or (rule.origin is not None and origin not in rule.origin):
            return False
        return (
            (rule.by is None or party in rule.by)
            and (rule.projects is None or project in rule.projects)
            and (rule.types is None or type_ in rule.types or type_ == "")
        )

    def _exemption(self, rule: RuleId, scope: Scope) -> Exemption | None:
        at, project, _, person, ticket = scope
        for exemption in self.policy.exemptions:
            if (
                (at is None or at < exemption.until)
                and (exemption.rules is None or rule in exemption.rules)
                and (exemption.projects is None or project in exemption.projects)
                and (exemption.people is None or person in exemption.people)
                and (exemption.tickets is None or ticket in exemption.tickets)
            ):
                return exemption
        return None

    def alternatives(
        self, scope: Scope, party: PartyName, origin: StatusName | None, hits: int
    ) -> tuple[StatusName, ...]:
        """Where no rule objects, in the order of the policy."""
        return tuple(
            status
            for status in self.policy.statuses
            if status != origin and not self.objections((scope, party, origin, status, hits)).broken
        )

    def _parties_allowed(
        self, scope: Scope, origin: StatusName | None, target: StatusName, hits: int
    ) -> tuple[PartyName, ...]:
        return tuple(
            party.name
            for party in self.policy.parties
            if not self.objections((scope, party.name, origin, target, hits)).broken
        )

    def reaches(self, scope: Scope, party: PartyName, origin: StatusName | None, target: StatusName, hits: int) -> bool:
        """Whether one or more moves lead there, each without an enforced objection."""
        seen: set[tuple[StatusName, int]] = set()
        queue: deque[tuple[StatusName | None, int]] = deque([(origin, hits)])
        while queue and len(seen) < _PATH_STATES:
            here, met = queue.popleft()
            for status in self.policy.statuses:
                broken = self.objections((scope, party, here, status, met)).broken
                if status == here or (broken and not broken[0].lenient):
                    continue
                if status == target:
                    return True
                bits = self._bits[status]
                there = (status, bits if here is None or self.policy.opens_again(here, status) else met | bits)
                if there not in seen:
                    seen.add(there)
                    queue.append(there)
        return bool(queue)

    def weigh(self, kind: Kind) -> Outcome:
        """What can be said of this kind of move, with the words of its objections."""
        scope, party, origin, target, hits = kind
        objecting = self.objections(kind)
        allowed = self._parties_allowed(scope, origin, target, hits)
        return Outcome(
            tuple((one, one.objection(allowed)) for one in objecting.broken),
            tuple((one, one.objection(allowed)) for one in objecting.open),
            objecting.exemption,
            self.alternatives(scope, party, origin, hits),
            reopens=origin is not None and self.policy.opens_again(origin, target),
        )


def judge(move: Move, policy: Policy) -> Verdict:
    """The verdict on one move: every objection, the strictest first and then in file order.

    A look-up. ``Undecided`` for a status or party that the policy does not know. ``Allowed.review_at`` and
    ``Illegal.review_at`` tell when a rule that gives a person time must be asked again. What several moves saved as one
    may hide is not looked at here: see ``Policy.legal_path``.
    """
    table = policy.table
    key: _Key
    if table.scoped:
        named = table.named
        key = (
            move.party,
            move.origin,
            move.target,
            move.visited,
            table.began(move.at) if table.moments else None,
            named.projects.get(move.project),
            named.types.get(move.type),
            named.people.get(move.person),
            named.tickets.get(move.ticket),
        )
    else:
        key = (move.party, move.origin, move.target, move.visited)
    verdict = table.settled.get(key)
    if verdict is not None:
        return verdict
    outcome = table.open.get(key)
    return outcome.verdict(move) if outcome is not None else _settle(move, key, table)


def _settle(move: Move, key: _Key, table: Table) -> Verdict:
    """Seek what the look-ups lacked, and keep it for the next move of this kind."""
    if not table.knows(move.party, move.origin, move.target):
        unknown = [name for name in (move.origin, move.target) if name and name not in table.statuses]
        return Undecided(f"the policy knows no {f'status {unknown[0]!r}' if unknown else f'party {move.party!r}'}")
    if move.origin == move.target:
        return Allowed("no change of status")
    scope = table.scope(move.project, move.type, move.at, move.person, move.ticket)
    outcome = table.weigh((scope, move.party, move.origin, move.target, table.hits(move.visited)))
    if len(table.settled) + len(table.open) >= _KEPT_KINDS:
        table.settled.clear()
        table.open.clear()
    verdict = outcome.verdict(move)
    if outcome.open:
        table.open[key] = outcome
    else:
        table.settled[key] = verdict
    return verdict


# --- Internal shapes: bare, because what dataclass would add to them costs every start 10 ms --------------------------

Scope = tuple[datetime | None, str | None, str | None, str | None, int | None]
"""Epoch, project, type, person and ticket of a move, each None where it is none that the policy names. A type that the
caller does not know is the empty text."""
Kind = tuple[Scope, PartyName, StatusName | None, StatusName, int]
_Key = tuple[object, ...]
"""Party, origin, target and visited statuses, and then the scope where the policy has any."""


@dataclass(eq=False, repr=False)
class _Named:
    """The names that the policy tells apart, each to itself: others look up to None."""

    projects: Mapping[str, str]
    types: Mapping[str, str]
    people: Mapping[str, str]
    tickets: Mapping[int, int]


@dataclass(eq=False, repr=False)
class _Broken:
    """A rule that a move breaks, or may break."""

    lenient: bool
    number: int
    rule: Rule
    exemption: str | None

    @property
    def mode(self) -> Mode:
        return Mode.OBSERVE if self.lenient else Mode.ENFORCE

    def objection(self, allowed: tuple[PartyName, ...]) -> Objection:
        return Objection(self.rule.id, self.mode, self.rule.sentence, allowed, self.rule.source)


def _rank(broken: _Broken) -> tuple[bool, int]:
    return broken.lenient, broken.number


@dataclass(eq=False, repr=False)
class Objecting:
    """The rules that have something to say to a kind of move."""

    broken: tuple[_Broken, ...]
    open: tuple[_Broken, ...]
    """Rules that object or not by the facts of the move."""
    exemption: str | None
    """One that covers a rule which would object."""


@dataclass(eq=False, repr=False)
class Outcome:
    """What can be said of a kind of move before its facts are looked at."""

    broken: tuple[tuple[_Broken, Objection], ...]
    open: tuple[tuple[_Broken, Objection], ...]
    exemption: str | None
    alternatives: tuple[StatusName, ...]
    reopens: bool
    illegal: dict[tuple[int, str | None], Illegal] = field(default_factory=dict)
    """The verdicts found so far, by which of the open rules object, and which exemption covers another."""

    def verdict(self, move: Move) -> Verdict:
        """The verdict on a move of this kind, by its facts."""
        objecting = 0
        review_at: datetime | None = None
        unknown: Unknown | None = None
        exemption = self.exemption
        for number, (broken, _) in enumerate(self.open):
            answer = satisfied(broken.rule, move)
            if answer is True:
                continue
            if broken.exemption is not None:
                exemption = exemption or (broken.exemption if answer is False else None)
            elif answer is False:
                objecting |= 1 << number
            elif isinstance(answer, Unknown):
                unknown = answer
            else:
                review_at = answer if review_at is None else min(review_at, answer)
        if self.broken or objecting:
            illegal = self.illegal.get((objecting, exemption)) or self._object(objecting, exemption)
            return illegal if review_at is None else replace(illegal, review_at=review_at)
        if unknown is not None:
            return Undecided(unknown.reason)
        if exemption is None and review_at is None:
            return _REOPENING if self.reopens else _ALLOWED
        notes = (["reopening"] if self.reopens else []) + ([f"exemption {exemption}"] if exemption else [])
        return Allowed("; ".join(notes), exemption, review_at)

    def _object(self, objecting: int, exemption: str | None) -> Illegal:
        standing = [*self.broken, *(one for number, one in enumerate(self.open) if objecting >> number & 1)]
        standing.sort(key=lambda one: _rank(one[0]))
        objections = tuple(objection for _, objection in standing)
        illegal = self.illegal[objecting, exemption] = Illegal(objections, self.alternatives, exemption)
        return illegal

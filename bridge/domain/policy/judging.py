"""The policy made ready to judge, and ``judge``: the one place where rules meet a move.

The rules that concern a kind of move are sought once and the outcome kept, so that a judgement is a look-up however
many rules there are. Must not know a clock or a text; must not act.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

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
from bridge.domain.policy.rules import After, Demand, Exemption, Limits, NeedsComment, OnlyBy, OnlyInto, Party, Rule

Visited = frozenset[StatusName]

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_KEPT_VERDICTS = 200_000
"""Far more kinds of move than a real policy has; keeps a hostile history from filling the memory (about 60 MB)."""
_PATH_STATES = 10_000
"""A search that large finds no end soon; giving up counts as a legal path, since doubt never acts."""


@dataclass(frozen=True)
class Policy:
    """Parties, statuses and rules of one file. Ask it through its methods and ``judge``."""

    hash: str
    """SHA-256 of the text, in hex."""
    name: str
    parties: tuple[Party, ...]
    statuses: tuple[StatusName, ...]
    initial: StatusName
    closed: frozenset[StatusName]
    rules: tuple[Rule, ...]
    default_language: str = "fr"
    languages: Mapping[str, str] = field(default_factory=dict)
    """By project, where it is another than the default."""
    guide_url: str = ""
    appeal_word: str = "#contestation"
    exemptions: tuple[Exemption, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def party(self, name: PartyName) -> Party:
        """The party of this name. Raises ``KeyError`` when there is none."""
        return self._parties[name]

    def party_of(self, role_names: Collection[str]) -> PartyName | None:
        """The first party of the file that has one of these roles; None when none has."""
        for party in self.parties:
            if not party.roles.isdisjoint(role_names):
                return party.name
        return None

    def reverts(self, party: PartyName) -> bool:
        """Whether this party's illegal moves are put back under an enforced rule; else they are reported."""
        return self._parties[party].reverted

    def rule(self, rule: RuleId) -> Rule | None:
        """The rule of this id; None when the policy has no such rule (any more)."""
        return self._rules.get(rule)

    def is_closed(self, status: StatusName) -> bool:
        """Whether a ticket in this status is closed."""
        return status in self.closed

    def opens_again(self, origin: StatusName, target: StatusName) -> bool:
        """Whether this move reopens a closed ticket; what the ticket has visited then begins anew."""
        return origin in self.closed and target not in self.closed

    def language(self, project: str) -> str:
        """Language of the explanations in this project: ``fr`` or ``en``."""
        return self.languages.get(project, self.default_language)

    def legal_path(
        self,
        party: PartyName,
        origin: StatusName | None,
        target: StatusName,
        visited: Visited,
        *,
        project: str = "",
        at: datetime | None = None,
    ) -> bool:
        """Whether one or more moves of this party lead there that no enforced rule objects to.

        Needed for activities that were saved more than once and hide what was between (contract §4). Comments that
        rules ask for on the way are taken as made.
        """
        if not self._knows(party, origin, target):
            return False
        scope = self._scope(at or _ALWAYS, project, "", "", 0)
        return self._reaches(scope, party, origin, target, self._hits(visited))

    def alternatives(
        self,
        party: PartyName,
        origin: StatusName | None,
        visited: Visited,
        *,
        project: str = "",
        at: datetime | None = None,
    ) -> tuple[StatusName, ...]:
        """Where this party may go from here without any rule objecting, in the policy's order of statuses."""
        if not self._knows(party, origin, self.initial):
            return ()
        return self._alternatives(self._scope(at or _ALWAYS, project, "", "", 0), party, origin, self._hits(visited))

    # --- Ready to judge: derived from the fields above, kept, and no part of the value ---

    @cached_property
    def _parties(self) -> dict[PartyName, Party]:
        return {party.name: party for party in self.parties}

    @cached_property
    def _rules(self) -> dict[RuleId, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def _known_statuses(self) -> frozenset[StatusName]:
        return frozenset(self.statuses)

    @cached_property
    def _settled(self) -> dict[_Key, Verdict | _Outcome]:
        """What ``judge`` looks up."""
        return {}

    @cached_property
    def _objecting(self) -> dict[_Kind, _Objecting]:
        return {}

    @cached_property
    def _outcomes(self) -> dict[_Kind, _Outcome]:
        return {}

    @cached_property
    def _rules_into(self) -> dict[StatusName, tuple[tuple[int, Rule], ...]]:
        """The rules that may look at a move into each status, numbered in file order; those that are off left out."""
        judged = [
            (number, rule)
            for number, rule in enumerate(self.rules)
            if rule.mode is not Mode.OFF or any(exception.mode is not Mode.OFF for exception in rule.mode_for)
        ]
        by_status: dict[StatusName, list[tuple[int, Rule]]] = {status: [] for status in self.statuses}
        for number, rule in judged:
            for status in rule.into or self.statuses:
                by_status[status].append((number, rule))
        return {status: tuple(rules) for status, rules in by_status.items()}

    @cached_property
    def _after(self) -> dict[Visited, int]:
        """One bit for each distinct set of statuses that an order rule asks for."""
        asked = dict.fromkeys(rule.demand.statuses for rule in self.rules if isinstance(rule.demand, After))
        return {statuses: 1 << number for number, statuses in enumerate(asked)}

    @cached_property
    def _bits(self) -> dict[StatusName, int]:
        """Which of those sets are met by having been in a status."""
        return {
            status: sum(bit for statuses, bit in self._after.items() if status in statuses) for status in self.statuses
        }

    @cached_property
    def _moments(self) -> tuple[datetime, ...]:
        """Where a mode or an exemption begins or ends; between two of them nothing changes."""
        moments = {exemption.until for exemption in self.exemptions}
        for rule in self.rules:
            for exception in rule.mode_for:
                moments |= {moment for moment in (exception.since, exception.until) if moment is not None}
        return tuple(sorted(moments))

    @cached_property
    def _named(self) -> _Named:
        projects, types = set[str](), set[str]()
        people, tickets = set[str](), set[int]()
        for rule in self.rules:
            projects |= rule.projects or set()
            types |= rule.types or set()
            for exception in rule.mode_for:
                projects |= exception.projects or set()
        for exemption in self.exemptions:
            projects |= exemption.projects or set()
            people |= exemption.people or set()
            tickets |= exemption.tickets or set()
        return _Named(frozenset(projects), frozenset(types), frozenset(people), frozenset(tickets))

    @cached_property
    def _scoped(self) -> bool:
        """Whether anything beside party and statuses makes a difference."""
        return self._named != _Named() or bool(self._moments)

    def _scope(self, at: datetime, project: str, type_: str, person: str, ticket: int) -> _Scope:
        named, moments = self._named, self._moments
        began = bisect_right(moments, at) if moments else 0
        return (
            moments[began - 1] if began else _ALWAYS,
            project if project in named.projects else "",
            type_ if type_ in named.types else "",
            person if person in named.people else "",
            ticket if ticket in named.tickets else 0,
        )

    def _scope_of(self, move: Move) -> _Scope:
        return self._scope(move.at, move.project, move.type, move.person, move.ticket)

    def _hits(self, visited: Visited) -> int:
        hits = 0
        for status in visited:
            hits |= self._bits.get(status, 0)
        return hits

    def _knows(self, party: PartyName, origin: StatusName | None, target: StatusName) -> bool:
        known = self._known_statuses
        return party in self._parties and target in known and (origin is None or origin in known)

    def _objections(self, kind: _Kind) -> _Objecting:
        """The rules that this kind of move breaks, and those that depend on its comments."""
        known = self._objecting.get(kind)
        if known is None:
            known = self._objecting[kind] = self._seek(kind)
        return known

    def _seek(self, kind: _Kind) -> _Objecting:
        scope, party, origin, target, hits = kind
        at, project, type_, person, ticket = scope
        broken: list[_Broken] = []
        open_: list[_Broken] = []
        exempted: list[str] = []
        for number, rule in self._rules_into[target]:
            if not self._looks_at(rule, party, origin, target, project, type_):
                continue
            mode = rule.mode_in(project, at)
            if mode is Mode.OFF:
                continue
            if self._meets(rule.demand, party, target, hits):
                continue
            exemption = self._exemption(rule.id, at, project, person, ticket)
            if exemption is not None:
                exempted.append(exemption.id)
                continue
            if not self._parties[party].reverted:
                mode = Mode.OBSERVE
            (open_ if isinstance(rule.demand, NeedsComment) else broken).append(
                _Broken(mode is not Mode.ENFORCE, number, rule, mode)
            )
        return _Objecting(tuple(sorted(broken, key=_rank)), tuple(open_), exempted[0] if exempted else None)

    def _meets(self, demand: Demand, party: PartyName, target: StatusName, hits: int) -> bool:
        """Whether the move does what is asked, as far as its kind tells."""
        match demand:
            case OnlyBy(parties):
                return party in parties
            case OnlyInto(statuses):
                return target in statuses
            case After(statuses):
                return bool(hits & self._after[statuses])
            case NeedsComment():
                return False

    def _looks_at(
        self, rule: Rule, party: PartyName, origin: StatusName | None, target: StatusName, project: str, type_: str
    ) -> bool:
        if origin is None:
            # A creation in the initial status is OpenProject's doing and no move by hand.
            if not rule.creation and (target == self.initial or rule.origin is not None):
                return False
        elif rule.creation or (rule.origin is not None and origin not in rule.origin):
            return False
        return (
            (rule.by is None or party in rule.by)
            and (rule.projects is None or project in rule.projects)
            and (rule.types is None or type_ in rule.types)
        )

    def _exemption(self, rule: RuleId, at: datetime, project: str, person: str, ticket: int) -> Exemption | None:
        for exemption in self.exemptions:
            if (
                at < exemption.until
                and (exemption.rules is None or rule in exemption.rules)
                and (exemption.projects is None or project in exemption.projects)
                and (exemption.people is None or person in exemption.people)
                and (exemption.tickets is None or ticket in exemption.tickets)
            ):
                return exemption
        return None

    def _alternatives(
        self, scope: _Scope, party: PartyName, origin: StatusName | None, hits: int
    ) -> tuple[StatusName, ...]:
        return tuple(
            status
            for status in self.statuses
            if status != origin and not self._objections((scope, party, origin, status, hits)).broken
        )

    def _parties_allowed(
        self, scope: _Scope, origin: StatusName | None, target: StatusName, hits: int
    ) -> tuple[PartyName, ...]:
        return tuple(
            party.name
            for party in self.parties
            if not self._objections((scope, party.name, origin, target, hits)).broken
        )

    def _reaches(
        self, scope: _Scope, party: PartyName, origin: StatusName | None, target: StatusName, hits: int
    ) -> bool:
        seen: set[tuple[StatusName, int]] = set()
        queue: deque[tuple[StatusName | None, int]] = deque([(origin, hits)])
        while queue and len(seen) < _PATH_STATES:
            here, met = queue.popleft()
            for status in self.statuses:
                broken = self._objections((scope, party, here, status, met)).broken
                if status == here or (broken and broken[0].mode is Mode.ENFORCE):
                    continue
                if status == target:
                    return True
                bits = self._bits[status]
                there = (status, bits if here is None or self.opens_again(here, status) else met | bits)
                if there not in seen:
                    seen.add(there)
                    queue.append(there)
        return bool(queue)

    def _outcome(self, kind: _Kind) -> _Outcome:
        known = self._outcomes.get(kind)
        if known is None:
            known = self._outcomes[kind] = self._weigh(kind)
        return known

    def _weigh(self, kind: _Kind) -> _Outcome:
        scope, party, origin, target, hits = kind
        objecting = self._objections(kind)
        notes = []
        if objecting.exemption is not None:
            notes.append(f"exemption {objecting.exemption}")
        if origin is not None and self.opens_again(origin, target):
            notes.append("reopening")
        allowed = self._parties_allowed(scope, origin, target, hits)
        broken = tuple((one, one.objection(allowed)) for one in objecting.broken)
        open_ = tuple((one, one.objection(allowed)) for one in objecting.open)
        fine = Allowed("; ".join(notes), objecting.exemption)
        elsewhere = self._alternatives(scope, party, origin, hits)
        settled = Illegal(tuple(objection for _, objection in broken), elsewhere) if broken else fine
        return _Outcome(broken, open_, fine, elsewhere, settled)


def judge(move: Move, policy: Policy) -> Verdict:
    """The verdict on one move: every objection, the strictest first and then in file order.

    A look-up. ``Undecided`` for a status or party that the policy does not know. ``Allowed.review_at`` and
    ``Illegal.review_at`` tell when a rule that gives a person time must be asked again. What several moves saved as one
    may hide (``maybe_merged``) is not looked at here: see ``Policy.legal_path``.
    """
    key: _Key = (move.party, move.origin, move.target, move.visited, policy._scope_of(move) if policy._scoped else None)
    found = policy._settled.get(key) or _settle(key, policy)
    return found.verdict(move) if found.__class__ is _Outcome else found  # type: ignore[return-value]  # one dict look-up


def _settle(key: _Key, policy: Policy) -> Verdict | _Outcome:
    """Seek what the look-up lacked, and keep it."""
    party, origin, target, visited, scope = key
    if not policy._knows(party, origin, target):
        names = [name for name in (origin, target) if name is not None and name not in policy._known_statuses]
        return Undecided(f"the policy knows no {f'status {names[0]!r}' if names else f'party {party!r}'}")
    if origin == target:
        return Allowed("no change of status")
    outcome = policy._outcome((scope or _ANYWHERE, party, origin, target, policy._hits(visited)))
    if len(policy._settled) >= _KEPT_VERDICTS:
        policy._settled.clear()
    settled = policy._settled[key] = outcome if outcome.open else outcome.settled
    return settled


# --- Internal shapes ------------------------------------------------------------------------------------------------

_Scope = tuple[datetime, str, str, str, int]
"""The epoch, project, type, person and ticket of a move, each reduced to what the policy tells apart."""
_ANYWHERE: _Scope = (_ALWAYS, "", "", "", 0)
_Kind = tuple[_Scope, PartyName, StatusName | None, StatusName, int]
_Key = tuple[PartyName, StatusName | None, StatusName, Visited, _Scope | None]


@dataclass(frozen=True, slots=True)
class _Named:
    projects: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    tickets: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Broken:
    lenient: bool
    number: int
    rule: Rule
    mode: Mode

    def objection(self, allowed: tuple[PartyName, ...]) -> Objection:
        return Objection(self.rule.id, self.mode, self.rule.sentence, allowed, self.rule.source)


def _rank(broken: _Broken) -> tuple[bool, int]:
    return broken.lenient, broken.number


@dataclass(frozen=True, slots=True)
class _Objecting:
    broken: tuple[_Broken, ...]
    open: tuple[_Broken, ...]
    """Rules that object unless a comment is found."""
    exemption: str | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What can be said of a kind of move before its comments are looked at."""

    broken: tuple[tuple[_Broken, Objection], ...]
    open: tuple[tuple[_Broken, Objection], ...]
    allowed: Allowed
    alternatives: tuple[StatusName, ...]
    settled: Verdict
    """The verdict when every comment that is asked for is there."""

    def verdict(self, move: Move) -> Verdict:
        standing = list(self.broken)
        review_at: datetime | None = None
        for broken, objection in self.open:
            demand = broken.rule.demand
            assert isinstance(demand, NeedsComment)
            if _commented(move, demand):
                continue
            deadline = move.at + demand.within
            if move.now <= deadline:
                review_at = deadline if review_at is None else min(review_at, deadline)
            else:
                standing.append((broken, objection))
        if standing:
            standing.sort(key=lambda one: _rank(one[0]))
            return Illegal(tuple(objection for _, objection in standing), self.alternatives, review_at)
        if review_at is not None:
            return Allowed(self.allowed.note, self.allowed.exemption, review_at)
        return self.allowed


def _commented(move: Move, demand: NeedsComment) -> bool:
    return any(
        comment.party in demand.by and (comment.same_activity or abs(comment.at - move.at) <= demand.within)
        for comment in move.comments
    )

"""The policy made ready to judge, and ``judge``: the one place where rules meet a move.

The rules that concern a kind of move are sought once and the outcome kept, so that a judgement is a look-up however
many rules there are. Must not know a clock or a text; must not act.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
from bridge.domain.policy.facts import Unknown, satisfied
from bridge.domain.policy.rules import (
    PERSONS,
    After,
    Demand,
    Exemption,
    Filled,
    Limits,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    Party,
    Reminder,
    Rule,
    SamePerson,
)

Visited = frozenset[StatusName]

_KEPT_KINDS = 200_000
"""Far more kinds of move than a real policy has; keeps a hostile history from filling the memory (about 60 MB)."""
_ALLOWED, _REOPENING = Allowed(), Allowed("reopening")
_PATH_STATES = 10_000
"""A search that large finds no end soon; giving up counts as a legal path, since doubt never acts."""


@dataclass(frozen=True, eq=False, repr=False)
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
    reminders: tuple[Reminder, ...] = ()
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
        type: str = "",
        at: datetime | None = None,
    ) -> bool:
        """Whether one or more moves of this party lead there that no enforced rule objects to.

        Needed for activities that were saved more than once and hide what was between (contract §4). Comments that
        rules ask for on the way are taken as made.
        """
        if not self._knows(party, origin, target):
            return False
        scope = self._scope(project, type, at)
        return self._reaches(scope, party, origin, target, self._hits(visited))

    def alternatives(
        self,
        party: PartyName,
        origin: StatusName | None,
        visited: Visited,
        *,
        project: str = "",
        type: str = "",
        at: datetime | None = None,
    ) -> tuple[StatusName, ...]:
        """Where this party may go from here without any rule objecting, in the policy's order of statuses."""
        if not self._knows(party, origin, self.initial):
            return ()
        return self._alternatives(self._scope(project, type, at), party, origin, self._hits(visited))

    def broken(
        self,
        party: PartyName,
        origin: StatusName | None,
        target: StatusName,
        visited: Visited,
        *,
        project: str = "",
        type: str = "",
        at: datetime | None = None,
    ) -> tuple[tuple[tuple[Rule, Mode], ...], tuple[tuple[Rule, Mode], ...]]:
        """The rules that object to such a move, the strictest first, and those that object or not by its facts.

        Each with how far it goes. A ticket's own facts and a person's exemptions are not looked at.
        """
        found = self._objections((self._scope(project, type, at), party, origin, target, self._hits(visited)))
        return tuple((one.rule, one.mode) for one in found.broken), tuple((one.rule, one.mode) for one in found.open)

    @property
    def distinguishes(self) -> bool:
        """Whether projects, types, people, tickets or days make any difference."""
        return self._scoped

    def tells_apart(self, project: str, type: str, person: str, ticket: int, at: datetime) -> object:
        """What of this some rule, mode or exemption distinguishes: equal values are judged alike."""
        named = self._named
        return (
            self._began(at) if self._moments else None,
            named.projects.get(project),
            named.types.get(type),
            named.people.get(person),
            named.tickets.get(ticket),
        )

    def due_reminders(
        self, status: StatusName, since: datetime, now: datetime, *, project: str = "", type: str = ""
    ) -> tuple[Reminder, ...]:
        """The reminders that a ticket calls for which has been in this status since then; each to be written once."""
        return tuple(
            reminder
            for reminder in self.reminders
            if reminder.mode is not Mode.OFF
            and status in reminder.statuses
            and now - since >= reminder.after
            and (reminder.projects is None or project in reminder.projects)
            and (reminder.types is None or type in reminder.types)
        )

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """Which facts of ``Move`` some rule needs: ``type``, ``author``, ``assignee``, ``fields``, ``movers``.

        A verdict that hangs on one that is not known is Undecided.
        """
        asked: set[str] = set()
        for rule in self._judged_rules:
            asked |= {"type"} if rule.types is not None else set()
            asked |= {"fields"} if rule.fields or isinstance(rule.demand, Filled) else set()
            match rule.demand:
                case OtherPerson(refs) | SamePerson(refs):
                    asked |= {ref if ref in PERSONS else "movers" for ref in refs}
                case _:
                    pass
        return frozenset(asked)

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
    def _settled(self) -> dict[_Key, Verdict]:
        """The verdicts found so far on kinds of move where nothing but the kind matters."""
        return {}

    @cached_property
    def _open(self) -> dict[_Key, _Outcome]:
        """What was found so far on kinds of move where a verdict depends on facts as well."""
        return {}

    @cached_property
    def _objecting(self) -> dict[_Kind, _Objecting]:
        return {}

    @cached_property
    def _judged_rules(self) -> tuple[Rule, ...]:
        """Those that are not off everywhere."""
        return tuple(
            rule
            for rule in self.rules
            if rule.mode is not Mode.OFF or any(exception.mode is not Mode.OFF for exception in rule.mode_for)
        )

    @cached_property
    def _rules_into(self) -> dict[StatusName, tuple[tuple[int, Rule], ...]]:
        """The rules that may look at a move into each status, numbered in file order."""
        by_status: dict[StatusName, list[tuple[int, Rule]]] = {status: [] for status in self.statuses}
        for number, rule in enumerate(self._judged_rules):
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
        return _Named(
            {name: name for name in projects},
            {name: name for name in (types | {""} if types else ())},
            {name: name for name in people},
            {number: number for number in tickets},
        )

    @cached_property
    def _scoped(self) -> bool:
        """Whether anything beside party and statuses makes a difference to what the look-up finds."""
        named = self._named
        return bool(named.projects or named.types or named.people or named.tickets or self._moments)

    def _began(self, at: datetime) -> datetime | None:
        """The last moment before this at which a mode or an exemption began or ended."""
        began = bisect_right(self._moments, at)
        return self._moments[began - 1] if began else None

    def _scope_of(self, move: Move) -> _Scope:
        named = self._named
        return (
            self._began(move.at) if self._moments else None,
            named.projects.get(move.project),
            named.types.get(move.type),
            named.people.get(move.person),
            named.tickets.get(move.ticket),
        )

    def _scope(self, project: str, type_: str, at: datetime | None) -> _Scope:
        named = self._named
        epoch = self._began(at) if at is not None and self._moments else None
        return epoch, named.projects.get(project), named.types.get(type_), None, None

    def _hits(self, visited: Visited) -> int:
        hits = 0
        for status in visited:
            hits |= self._bits.get(status, 0)
        return hits

    def _knows(self, party: PartyName, origin: StatusName | None, target: StatusName) -> bool:
        known = self._known_statuses
        return party in self._parties and target in known and (origin is None or origin in known)

    def _objections(self, kind: _Kind) -> _Objecting:
        """The rules that this kind of move breaks, and those that depend on its facts."""
        known = self._objecting.get(kind)
        if known is None:
            known = self._objecting[kind] = self._seek(kind)
        return known

    def _seek(self, kind: _Kind) -> _Objecting:
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
            lenient = mode is not Mode.ENFORCE or not self._parties[party].reverted
            one = _Broken(lenient, number, rule, exemption.id if exemption else None)
            if met is None or rule.fields or (rule.types is not None and scope[2] == ""):
                open_.append(one)
            elif one.exemption is not None:
                exempted.append(one.exemption)
            else:
                broken.append(one)
        return _Objecting(tuple(sorted(broken, key=_rank)), tuple(open_), exempted[0] if exempted else None)

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
        self, rule: Rule, party: PartyName, origin: StatusName | None, target: StatusName, scope: _Scope
    ) -> bool:
        _, project, type_, _, _ = scope
        if origin is None:
            # A creation in the initial status is OpenProject's doing and no move by hand.
            if not rule.creation and (target == self.initial or rule.origin is not None):
                return False
        elif rule.creation or (rule.origin is not None and origin not in rule.origin):
            return False
        return (
            (rule.by is None or party in rule.by)
            and (rule.projects is None or project in rule.projects)
            and (rule.types is None or type_ in rule.types or type_ == "")
        )

    def _exemption(self, rule: RuleId, scope: _Scope) -> Exemption | None:
        at, project, _, person, ticket = scope
        for exemption in self.exemptions:
            if (
                (at is None or at < exemption.until)
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
                if status == here or (broken and not broken[0].lenient):
                    continue
                if status == target:
                    return True
                bits = self._bits[status]
                there = (status, bits if here is None or self.opens_again(here, status) else met | bits)
                if there not in seen:
                    seen.add(there)
                    queue.append(there)
        return bool(queue)

    def _weigh(self, kind: _Kind) -> _Outcome:
        scope, party, origin, target, hits = kind
        objecting = self._objections(kind)
        allowed = self._parties_allowed(scope, origin, target, hits)
        return _Outcome(
            tuple((one, one.objection(allowed)) for one in objecting.broken),
            tuple((one, one.objection(allowed)) for one in objecting.open),
            objecting.exemption,
            self._alternatives(scope, party, origin, hits),
            reopens=origin is not None and self.opens_again(origin, target),
        )


def judge(move: Move, policy: Policy) -> Verdict:
    """The verdict on one move: every objection, the strictest first and then in file order.

    A look-up. ``Undecided`` for a status or party that the policy does not know. ``Allowed.review_at`` and
    ``Illegal.review_at`` tell when a rule that gives a person time must be asked again. What several moves saved as one
    may hide (``maybe_merged``) is not looked at here: see ``Policy.legal_path``.
    """
    key: _Key
    if policy._scoped:
        named = policy._named
        key = (
            move.party,
            move.origin,
            move.target,
            move.visited,
            policy._began(move.at) if policy._moments else None,
            named.projects.get(move.project),
            named.types.get(move.type),
            named.people.get(move.person),
            named.tickets.get(move.ticket),
        )
    else:
        key = (move.party, move.origin, move.target, move.visited)
    verdict = policy._settled.get(key)
    if verdict is not None:
        return verdict
    outcome = policy._open.get(key)
    return outcome.verdict(move) if outcome is not None else _settle(move, key, policy)


def _settle(move: Move, key: _Key, policy: Policy) -> Verdict:
    """Seek what the look-ups lacked, and keep it for the next move of this kind."""
    if not policy._knows(move.party, move.origin, move.target):
        unknown = [name for name in (move.origin, move.target) if name and name not in policy._known_statuses]
        return Undecided(f"the policy knows no {f'status {unknown[0]!r}' if unknown else f'party {move.party!r}'}")
    if move.origin == move.target:
        return Allowed("no change of status")
    scope = policy._scope_of(move)
    outcome = policy._weigh((scope, move.party, move.origin, move.target, policy._hits(move.visited)))
    if len(policy._settled) + len(policy._open) >= _KEPT_KINDS:
        policy._settled.clear()
        policy._open.clear()
    verdict = outcome.verdict(move)
    if outcome.open:
        policy._open[key] = outcome
    else:
        policy._settled[key] = verdict
    return verdict


# --- Internal shapes: bare, because what dataclass would add to them costs every start 10 ms --------------------------

_Scope = tuple[datetime | None, str | None, str | None, str | None, int | None]
"""Epoch, project, type, person and ticket of a move, each None where it is none that the policy names. A type that the
caller does not know is the empty text."""
_Kind = tuple[_Scope, PartyName, StatusName | None, StatusName, int]
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
class _Objecting:
    broken: tuple[_Broken, ...]
    open: tuple[_Broken, ...]
    """Rules that object or not by the facts of the move."""
    exemption: str | None
    """One that covers a rule which would object."""


@dataclass(eq=False, repr=False)
class _Outcome:
    """What can be said of a kind of move before its facts are looked at."""

    broken: tuple[tuple[_Broken, Objection], ...]
    open: tuple[tuple[_Broken, Objection], ...]
    exemption: str | None
    alternatives: tuple[StatusName, ...]
    reopens: bool
    illegal: dict[int, Illegal] = field(default_factory=dict)
    """The verdicts found so far, by which of the open rules object."""

    def verdict(self, move: Move) -> Verdict:
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
            illegal = self.illegal.get(objecting) or self._object(objecting)
            return illegal if review_at is None else Illegal(illegal.objections, self.alternatives, review_at)
        if unknown is not None:
            return Undecided(unknown.reason)
        if exemption is None and review_at is None:
            return _REOPENING if self.reopens else _ALLOWED
        notes = (["reopening"] if self.reopens else []) + ([f"exemption {exemption}"] if exemption else [])
        return Allowed("; ".join(notes), exemption, review_at)

    def _object(self, objecting: int) -> Illegal:
        standing = [*self.broken, *(one for number, one in enumerate(self.open) if objecting >> number & 1)]
        standing.sort(key=lambda one: _rank(one[0]))
        illegal = self.illegal[objecting] = Illegal(tuple(objection for _, objection in standing), self.alternatives)
        return illegal

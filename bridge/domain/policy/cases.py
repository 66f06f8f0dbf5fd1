"""Cases that a policy's owner writes beside it: a history and a move, and the verdict that they expect.

A case says all that objects, no more and no less: a rule that it expects and that does not object fails it, and so does
one that objects and is not expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from bridge.domain.model import (
    Allowed,
    CommentBy,
    Illegal,
    Mode,
    Move,
    PartyName,
    RuleId,
    StatusName,
    Undecided,
    Verdict,
)
from bridge.domain.policy.judging import judge
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import PERSONS
from bridge.domain.policy.shapes import (
    Choice,
    Day,
    Duration,
    Identifier,
    JsonSchema,
    Key,
    Known,
    ListOf,
    Made,
    MapOf,
    Number,
    Places,
    Reading,
    Section,
    Several,
    Text,
)
from bridge.domain.policy.survey import survey
from bridge.domain.policy.yamltext import Findings, Place, parse

CREATION, ANYWHERE = "creation", "anywhere"
EXPECTED = ("allowed", "waits", "reported", "put back", "undecided")

Pair = tuple[PartyName, StatusName | None, StatusName]
"""Party, status before (None for a creation), status after."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of what the owner expects; it may stand for many moves."""

    name: str
    line: int
    expect: str
    rules: frozenset[RuleId]
    """All that object."""
    exemption: str | None
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """One move of a case that was judged otherwise."""

    case: Case
    move: Move | None
    """None when the case stands for no move at all."""
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the cases of one policy."""

    cases: tuple[Case, ...]
    failures: tuple[Failure, ...]
    missing: tuple[Pair, ...]
    """Moves that no case asks about."""
    pairs: int
    """All moves that there are: party × from × to."""
    untested: tuple[RuleId, ...]
    """Rules that some move breaks, and no case expects to object."""

    @property
    def percent(self) -> int:
        """Share of all moves that some case asks about, in per cent; 100 only when all are."""
        return 100 * (self.pairs - len(self.missing)) // self.pairs if self.pairs else 100


def load_cases(text: str | bytes, filename: str, policy: Policy) -> tuple[Case, ...]:
    """The cases in this text. Raises ``PolicyError`` with every complaint at its place."""
    findings = Findings(filename)
    root = parse(text, findings)
    names: dict[str, dict[str, Place]] = {
        "status": dict.fromkeys(policy.statuses, root),
        "party": {party.name: root for party in policy.parties},
        "rule": {rule.id: root for rule in policy.rules},
        "exemption": {exemption.id: root for exemption in policy.exemptions},
    }
    drafts = DOCUMENT.read(root, Reading(findings, names))
    findings.raise_if_any()
    assert drafts is not None, "a document without complaints has cases"
    return tuple(draft.case(policy) for draft in drafts)


def cases_schema() -> JsonSchema:
    """The JSON Schema of a file of cases, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cases of a bridge policy",
        "description": "What a policy's owner expects of it, move by move.",
        **DOCUMENT.schema(),
    }


def run(cases: tuple[Case, ...], policy: Policy) -> Outcome:
    """Judge every move of every case, and see what no case asks about."""
    failures: list[Failure] = []
    asked: set[Pair] = set()
    expected: set[RuleId] = set()
    for case in cases:
        expected |= case.rules
        if not case.moves:
            failures.append(Failure(case, None, "this case stands for no move"))
        for move in case.moves:
            asked.add((move.party, move.origin, move.target))
            message = _difference(case, judge(move, policy), policy)
            if message:
                failures.append(Failure(case, move, message))
    table = survey(policy)
    pairs = [(pair.party, pair.origin, pair.target) for pair in table.pairs]
    return Outcome(
        cases,
        tuple(failures),
        tuple(pair for pair in pairs if pair not in asked),
        len(pairs),
        tuple(
            rule.id
            for rule in policy.rules
            if rule.id not in expected and rule.id not in table.silent and rule.mode is not Mode.OFF
        ),
    )


def _difference(case: Case, verdict: Verdict, policy: Policy) -> str:
    """How the verdict is another than expected; empty when it is not."""
    objecting = [one.rule for one in verdict.objections] if isinstance(verdict, Illegal) else []
    said = _in_words(verdict)
    told: list[str] = []
    if said != case.expect:
        told.append(f"expected {case.expect}, judged {said}" + (f" by {', '.join(objecting)}" if objecting else ""))
        if isinstance(verdict, Undecided):
            told.append(verdict.reason)
    told += [f"{rule} objects, and the case does not say so" for rule in objecting if rule not in case.rules]
    told += [f"{rule} does not object" for rule in sorted(case.rules) if rule not in objecting]
    exemption = verdict.exemption if isinstance(verdict, Allowed) else None
    if exemption != case.exemption:
        told.append(f"expected exemption {case.exemption or 'none'}, used {exemption or 'none'}")
    return "; ".join(told)


def _in_words(verdict: Verdict) -> str:
    match verdict:
        case Allowed(review_at=None):
            return "allowed"
        case Allowed():
            return "waits"
        case Illegal():
            return "put back" if verdict.mode is Mode.ENFORCE else "reported"
        case Undecided():
            return "undecided"


# --- Reading --------------------------------------------------------------------------------------------------------

_AT = datetime(2000, 1, 1, 9, 0, tzinfo=UTC)
"""When a case happens that names no day: before any exception that begins, or ends, in a policy of now."""


@dataclass(frozen=True, slots=True)
class _CommentBy:
    party: PartyName
    offset: timedelta | None
    """None: in the same activity."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A case as it is written."""

    name: str
    line: int
    by: frozenset[PartyName]
    into: frozenset[str]
    expect: str
    origin: frozenset[str] = frozenset()
    history: tuple[StatusName, ...] = ()
    rules: frozenset[RuleId] = frozenset()
    exemption: str | None = None
    project: str = ""
    type: str = ""
    on: datetime = _AT
    later: timedelta = timedelta(days=1)
    comment: _CommentBy | None = None
    fields: dict[str, str] = field(default_factory=dict)
    persons: dict[str, str] = field(default_factory=dict)
    person: str = ""
    ticket: int = 0

    def case(self, policy: Policy) -> Case:
        return Case(self.name, self.line, self.expect, self.rules, self.exemption, tuple(self._moves(policy)))

    def _moves(self, policy: Policy) -> Iterator[Move]:
        order = [party.name for party in policy.parties if party.name in self.by]
        origins: list[StatusName | None] = [None] if CREATION in self.origin else []
        origins += [status for status in policy.statuses if self.origin & {status, ANYWHERE}]
        if not self.origin:
            origins = [self.history[-1]]
        targets = [status for status in policy.statuses if self.into & {status, ANYWHERE}]
        for party, origin, target in product(order, origins, targets):
            if origin != target:
                yield self._move(policy, party, origin, target)

    def _move(self, policy: Policy, party: PartyName, origin: StatusName | None, target: StatusName) -> Move:
        visited: frozenset[StatusName] = frozenset()
        before: StatusName | None = None
        for status in (*self.history, *([origin] if origin else [])):
            opened = before is None or policy.opens_again(before, status)
            visited = frozenset({status}) if opened else visited | {status}
            before = status
        comment = self.comment
        near = None if comment is None else CommentBy(
            comment.party, self.on + (comment.offset or timedelta(0)), same_activity=comment.offset is None
        )  # fmt: skip
        return Move(
            party=party,
            origin=origin,
            target=target,
            visited=visited,
            at=self.on,
            now=self.on + self.later,
            project=self.project,
            type=self.type,
            person=self.person,
            ticket=self.ticket,
            comments=() if near is None else (near,),
            author=self.persons.get("author"),
            assignee=self.persons.get("assignee"),
            fields=self.fields or None,
            movers={StatusName(name): who for name, who in self.persons.items() if name not in PERSONS} or None,
        )


def _read_comment(
    *,
    by: PartyName,
    after: timedelta | None = None,
    before: timedelta | None = None,
    places: Places,
    reading: Reading,
) -> _CommentBy | None:
    if after is not None and before is not None:
        reading.findings.complain(places.of("before"), "a comment is before the move or after it")
        return None
    return _CommentBy(by, after if after is not None else -before if before is not None else None)


def _read_case(
    *,
    name: str,
    by: frozenset[PartyName],
    into: frozenset[str],
    expect: str,
    from_: frozenset[str] = frozenset(),
    history: tuple[StatusName, ...] = (),
    rules: frozenset[RuleId] = frozenset(),
    places: Places,
    reading: Reading,
    **facts: object,
) -> _Draft | None:
    complain = reading.findings.complain
    if not from_ and not history:
        complain(places.section, "this case begins nowhere", "give it 'from' or 'history'")
        return None
    if (expect in ("reported", "put back")) != bool(rules):
        hint = "say which rules object" if not rules else f"no rule objects to what is {expect}"
        complain(places.of("rules"), f"'{expect}' and the rules do not fit", hint)
        return None
    line = places.section.line + 1
    return _Draft(name, line, by, into, expect, from_, history, rules, **facts)  # type: ignore[arg-type]  # see _CASE


def _read_cases(*, cases: tuple[_Draft, ...], places: Places, reading: Reading) -> tuple[_Draft, ...]:
    return cases


def _document() -> Section[tuple[_Draft, ...]]:
    status, party = Made(Known("status"), StatusName), Made(Known("party"), PartyName)
    person = Identifier("a user's number")
    comment = Section(
        "the comment",
        {
            "by": Key(party, "whose comment"),
            "after": Key(Duration(), "how long after the move; else in the same activity", required=False),
            "before": Key(Duration(), "how long before the move", required=False),
        },
        _read_comment,
    )
    case = Section(
        "the case",
        {
            "name": Key(Text(), "what is expected, in words"),
            "history": Key(
                ListOf(status, "statuses", distinct=False), "where the ticket has been, oldest first", required=False
            ),
            "by": Key(Several(party), "who moves"),
            "from": Key(
                Several(Known("status", (CREATION, ANYWHERE))),
                "out of where; else where the history ends",
                required=False,
            ),
            "into": Key(Several(Known("status", (ANYWHERE,))), "to where"),
            "project": Key(Identifier("a project's identifier"), "in which project", required=False),
            "type": Key(Text(), "the ticket's type", required=False),
            "ticket": Key(Number(1, 10**9), "the ticket's number", required=False),
            "on": Key(Day(), "on which day", required=False),
            "later": Key(Duration(), "how long after the move it is judged: a day if left out", required=False),
            "comment": Key(comment, "a comment near the move", required=False),
            "fields": Key(MapOf("custom fields", Text(), Text(empty=True)), "what they hold", required=False),
            "person": Key(person, "who moves, by number", required=False),
            "persons": Key(
                MapOf("persons", Known("status", PERSONS), person),
                "author, assignee, and who set a status",
                required=False,
            ),
            "expect": Key(Choice(EXPECTED, "verdict"), "what comes of it"),
            "rules": Key(Several(Made(Known("rule"), RuleId)), "all that object", required=False),
            "exemption": Key(Known("exemption"), "the exemption that covers it", required=False),
        },
        _read_case,
    )
    return Section(
        "the file of cases", {"cases": Key(ListOf(case, "cases"), "what is expected, one by one")}, _read_cases
    )


DOCUMENT = _document()

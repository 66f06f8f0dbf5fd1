"""Policy text to ``Policy``: every word that a policy may use, and every mistake that is found in one.

The vocabulary is declared once (``DOCUMENT``); the reader and the JSON Schema come from it. Must not read files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from unicodedata import normalize

from bridge.domain.model import Mode, PartyName, RuleId, StatusName
from bridge.domain.policy.contradictions import Placed, complain_of_contradictions
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import (
    LANGUAGES,
    PERSONS,
    After,
    Demand,
    Exemption,
    Filled,
    Limits,
    ModeFor,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    Party,
    Reminder,
    Rule,
    SamePerson,
    Sentence,
)
from bridge.domain.policy.shapes import (
    Choice,
    Day,
    Duration,
    Exactly,
    Identifier,
    JsonSchema,
    Key,
    Known,
    ListOf,
    Made,
    MapOf,
    Named,
    Number,
    OnlyTrue,
    Percent,
    Places,
    Reading,
    Section,
    Several,
    Text,
)
from bridge.domain.policy.yamltext import Findings, Mapping, Node, Place, Scalar, Sequence, parse

T = TypeVar("T")


def load(text: str | bytes, filename: str) -> Policy:
    """The policy that this text holds.

    Raises ``PolicyError`` with every complaint at once, each with its line and column. A text that is no YAML at all
    has one. Contradictions between rules are looked for when every rule could be read.
    """
    findings = Findings(filename)
    root = parse(text, findings)
    reading = Reading(findings, _declared(root))
    policy = DOCUMENT.read(root, reading)
    _complain_of_the_unused(reading)
    findings.raise_if_any()
    assert policy is not None, "a document without complaints is a policy"
    data = text if isinstance(text, bytes) else text.encode()
    return replace(policy, hash=hashlib.sha256(data).hexdigest())


def schema() -> JsonSchema:
    """The policy's JSON Schema, for editors: what stands where, with its meaning.

    It cannot check names against each other; ``load`` does.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Bridge policy",
        "description": "Who may move a ticket into which status, and what happens when somebody does otherwise.",
        **DOCUMENT.schema(),
    }


def _complain_of_the_unused(reading: Reading) -> None:
    """Where a name is used that nothing declares, one that is declared and not used may be the one misspelt.

    Rules are left out: that no exemption names them is as it should be.
    """
    for what in reading.strange - {"rule"}:
        for name, place in reading.names[what].items():
            if (what, name) not in reading.used:
                reading.findings.complain(place, f"nothing uses the {what} {name!r}", "perhaps it is misspelt here")


def _declared(root: Node) -> dict[str, dict[str, Place]]:
    """The names that the file declares, however wrong the rest of it is."""
    names: dict[str, dict[str, Place]] = {"status": {}, "party": {}, "rule": {}}
    if isinstance(root, Mapping):
        for key, value in root.pairs:
            match key, value:
                case Scalar(text="statuses"), Sequence(items=items):
                    names["status"] = {item.text: item for item in items if isinstance(item, Scalar) and item.text}
                case Scalar(text="parties" | "rules" as section), Mapping(pairs=pairs):
                    what = "party" if section == "parties" else "rule"
                    names[what] = {name.text: name for name, _ in pairs if isinstance(name, Scalar)}
                case _:
                    pass
    return names


# --- What each section builds ---------------------------------------------------------------------------------------


def _sentence(*, places: Places, reading: Reading, **words: str) -> Sentence:
    return words


def _party(
    *, label: Sentence, roles: frozenset[str], violations: str, places: Places, reading: Reading
) -> Placed[Party]:
    return Placed(Party(PartyName(places.name), label, roles, violations == "reverted"), places)


def _mode_for(
    *,
    mode: str,
    projects: frozenset[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    places: Places,
    reading: Reading,
) -> ModeFor | None:
    if projects is None and since is None and until is None:
        reading.findings.complain(
            places.section,
            "this exception fits every move",
            "give it projects, since or until, or change the rule's mode",
        )
        return None
    if since is not None and until is not None and since >= until:
        reading.findings.complain(places.of("until"), "this ends before it begins")
        return None
    return ModeFor(Mode(mode), projects, since, until)


def _comment(*, by: frozenset[PartyName], within: timedelta, places: Places, reading: Reading) -> NeedsComment:
    return NeedsComment(by, within)


def _rule(
    *,
    sentence: Sentence,
    source: str,
    mode: str,
    creation: bool = False,
    into: frozenset[StatusName] | None = None,
    from_: frozenset[StatusName] | None = None,
    by: frozenset[PartyName] | None = None,
    types: frozenset[str] | None = None,
    projects: frozenset[str] | None = None,
    fields: dict[str, frozenset[str]] | None = None,
    mode_for: tuple[ModeFor, ...] = (),
    places: Places,
    reading: Reading,
    **demands: Demand,
) -> Placed[Rule] | None:
    complain = reading.findings.complain
    asked = [key for key in places.values if key in _DEMANDS]
    if len(asked) != 1:
        complain(
            places.of(asked[1]) if asked else places.section,
            f"a rule asks for one thing, this one for {' and '.join(asked) or 'nothing'}",
            "split it into two rules" if asked else f"add one of {', '.join(_DEMANDS)}",
        )
        return None
    if into is None and from_ is None and not creation:
        complain(places.section, "this rule looks at every move", "say which: into, from or creation")
        return None
    if creation and from_ is not None:
        complain(places.of("from"), "a ticket that is created comes from no status", "remove 'from' or 'creation'")
        return None
    (demand,) = demands.values()
    rule = Rule(
        id=RuleId(places.name),
        sentence=sentence,
        source=source,
        mode=Mode(mode),
        demand=demand,
        creation=creation,
        into=into,
        origin=from_,
        by=by,
        types=types,
        projects=projects,
        fields=fields or {},
        mode_for=mode_for,
    )
    return Placed(rule, places)


def _reminder(
    *,
    status: frozenset[StatusName],
    after: timedelta,
    mode: str,
    sentence: Sentence,
    source: str,
    types: frozenset[str] | None = None,
    projects: frozenset[str] | None = None,
    places: Places,
    reading: Reading,
) -> Reminder:
    return Reminder(RuleId(places.name), sentence, source, Mode(mode), status, after, types, projects)


def _exemption(
    *,
    id: str,
    owner: str,
    reason: str,
    until: datetime,
    rules: frozenset[RuleId] | None = None,
    projects: frozenset[str] | None = None,
    people: frozenset[str] | None = None,
    tickets: frozenset[int] | None = None,
    places: Places,
    reading: Reading,
) -> Placed[Exemption] | None:
    if rules is None and projects is None and people is None and tickets is None:
        reading.findings.complain(
            places.section, "this exempts everything", "give it rules, projects, people or tickets"
        )
        return None
    return Placed(Exemption(id, owner, reason, until, rules, projects, people, tickets), places)


def _limits(*, places: Places, reading: Reading, **numbers: int | timedelta) -> Limits:
    return Limits(**numbers)  # type: ignore[arg-type]  # the shapes below are those of the fields


def _document(
    *,
    policy: int,
    name: str,
    language: str,
    guide: str,
    appeal: str,
    parties: tuple[Placed[Party], ...],
    statuses: tuple[StatusName, ...],
    initial: StatusName,
    closed: frozenset[StatusName],
    rules: tuple[Placed[Rule], ...],
    languages: dict[str, str] | None = None,
    reminders: tuple[Reminder, ...] = (),
    exemptions: tuple[Placed[Exemption], ...] = (),
    limits: Limits | None = None,
    places: Places,
    reading: Reading,
) -> Policy:
    built = Policy(
        hash="",
        name=name,
        parties=tuple(one.value for one in parties),
        statuses=statuses,
        initial=initial,
        closed=closed,
        rules=tuple(one.value for one in rules),
        default_language=language,
        languages=languages or {},
        guide_url=guide,
        appeal_word=appeal,
        reminders=reminders,
        exemptions=tuple(one.value for one in exemptions),
        limits=limits or Limits(),
    )
    complain_of_contradictions(built, parties, rules, exemptions, places, reading.findings)
    return built


# --- The vocabulary -------------------------------------------------------------------------------------------------


def _as_name(text: str) -> str:
    plain = normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    made = "-".join(re.findall("[a-z0-9]+", plain)).lstrip("0123456789-")
    return f"such as {made!r}" if made and made != "nobody" else "such as 'done-after-work'"


_NAME = Text("a name of small letters, digits and '-'", r"(?!nobody$)[a-z][a-z0-9]*(-[a-z0-9]+)*", hint=_as_name)
_STATUS = Made(Known("status"), StatusName)
_PARTY = Made(Known("party"), PartyName)
_PERSON = Known("status", PERSONS)
_PROJECT = Identifier("a project's identifier")
_MODE = Choice(tuple(mode.value for mode in Mode), "mode")
_IN = {"fr": "what it says in French", "en": "what it says in English"}
_SENTENCE = Section("the sentence", {language: Key(Text(), _IN[language]) for language in LANGUAGES}, _sentence)

_PARTY_SECTION = Section(
    "the party",
    {
        "label": Key(_SENTENCE, "what the explanations call it"),
        "roles": Key(Several(Text()), "names of the OpenProject roles that make a person one of them"),
        "violations": Key(
            Choice(("reverted", "reported"), "treatment"), "whether illegal moves are put back or only reported"
        ),
    },
    _party,
)

_MODE_FOR = Section(
    "the exception",
    {
        "projects": Key(Several(_PROJECT), "in these projects only", required=False),
        "since": Key(Day(), "from this day on (UTC)", required=False),
        "until": Key(Day(end=True), "until the end of this day (UTC)", required=False),
        "mode": Key(_MODE, "the mode then"),
    },
    _mode_for,
)

_COMMENT = Section(
    "the comment",
    {
        "by": Key(Several(_PARTY), "whose comment counts"),
        "within": Key(Duration(), "how long before or after the move it may come"),
    },
    _comment,
)

_DEMANDS = {
    "only-by": Key(Made(Several(_PARTY, "nobody"), OnlyBy), "asks: only these parties may do it", required=False),
    "only-into": Key(Made(Several(_STATUS, "nowhere"), OnlyInto), "asks: only into these statuses", required=False),
    "after": Key(
        Made(Several(_STATUS), After), "asks: only after one of these, since the ticket was last opened", required=False
    ),
    "comment": Key(_COMMENT, "asks: only with a comment near it", required=False),
    "filled": Key(Made(Several(Text()), Filled), "asks: only with something in these custom fields", required=False),
    "other-person-than": Key(
        Made(Several(_PERSON), OtherPerson), "asks: not the author, the assignee, or who set a status", required=False
    ),
    "same-person-as": Key(
        Made(Several(_PERSON), SamePerson), "asks: the author, the assignee, or who set a status", required=False
    ),
}

_RULE = Section(
    "the rule",
    {
        "creation": Key(OnlyTrue(), "looks at the creation of tickets, and not at moves", required=False),
        "into": Key(Several(_STATUS), "looks at moves into these statuses", required=False),
        "from": Key(Several(_STATUS), "looks at moves out of these statuses", required=False),
        "by": Key(Several(_PARTY), "looks at moves of these parties; without it, of all", required=False),
        "types": Key(Several(Text()), "looks at tickets of these types; without it, of all", required=False),
        "projects": Key(Several(_PROJECT), "looks at tickets of these projects; without it, of all", required=False),
        "fields": Key(
            MapOf("custom fields with values", Text(), Several(Identifier("a value"))),
            "looks at tickets whose custom fields hold one of these values",
            required=False,
        ),
        **_DEMANDS,
        "mode": Key(_MODE, "off, observe (reported) or enforce (put back)"),
        "mode-for": Key(
            ListOf(_MODE_FOR, "exceptions"), "another mode by project or time: the first that fits", required=False
        ),
        "sentence": Key(_SENTENCE, "the rule as it is explained to a person"),
        "source": Key(Text(), "the sentence of the law it comes from, or whose reading it is"),
    },
    _rule,
)

_REMINDER = Section(
    "the reminder",
    {
        "status": Key(Several(_STATUS), "looks at tickets in these statuses"),
        "after": Key(Duration(), "how long they have been in it"),
        "types": Key(Several(Text()), "of these types; without it, of all", required=False),
        "projects": Key(Several(_PROJECT), "in these projects; without it, in all", required=False),
        "mode": Key(_MODE, "off, observe (reported) or enforce (the comment is written, once)"),
        "sentence": Key(_SENTENCE, "what the comment says"),
        "source": Key(Text(), "where this comes from, or whose wish it is"),
    },
    _reminder,
)

_EXEMPTION = Section(
    "the exemption",
    {
        "id": Key(_NAME, "shown wherever it is used"),
        "rules": Key(Several(Made(Known("rule"), RuleId)), "of these rules; without it, of all", required=False),
        "projects": Key(Several(_PROJECT), "in these projects; without it, in all", required=False),
        "people": Key(
            Several(Identifier("a user's number")), "for these people, by their number in OpenProject", required=False
        ),
        "tickets": Key(Several(Number(1, 10**9)), "for these tickets, by number", required=False),
        "until": Key(Day(end=True), "until the end of this day (UTC)"),
        "owner": Key(Text(), "who answers for it"),
        "reason": Key(Text(), "why"),
    },
    _exemption,
)

_APPEAL = Text("a word that begins with '#'", r"#\w+", hint=lambda _: "in quotes, since a bare '#' begins a remark")

_REVERTS = Number(0, 100_000)
_LIMITS = Section(
    "the limits",
    {
        "reverts-per-cycle": Key(_REVERTS, "in one cycle", required=False),
        "reverts-per-hour": Key(_REVERTS, "in any hour", required=False),
        "reverts-per-person-per-hour": Key(_REVERTS, "of one person's moves in any hour", required=False),
        "reverts-per-project-per-hour": Key(_REVERTS, "in one project in any hour", required=False),
        "reverts-per-ticket-per-hour": Key(_REVERTS, "on one ticket in any hour", required=False),
        "share-of-moves": Key(Percent(), "of the moves of one cycle", required=False),
        "cool-down": Key(Duration(), "how long a limit that was reached stays in force", required=False),
    },
    _limits,
)

DOCUMENT = Section(
    "the policy",
    {
        "policy": Key(Exactly(1, "policy format"), "the version of this format"),
        "name": Key(Text(), "what the reports call this policy"),
        "language": Key(Choice(LANGUAGES, "language"), "of the explanations"),
        "languages": Key(
            MapOf("languages by project", _PROJECT, Choice(LANGUAGES, "language")), "where another", required=False
        ),
        "guide": Key(Text("a web address", r"https?://\S+"), "the page that every explanation links to"),
        "appeal": Key(_APPEAL, "a comment with this word contests a decision"),
        "parties": Key(
            Named("party", _PARTY_SECTION, _NAME), "who is held to the rules; whoever is in two counts as the first"
        ),
        "statuses": Key(ListOf(Text(), "statuses"), "every status, spelt as in OpenProject"),
        "initial": Key(_STATUS, "where tickets begin"),
        "closed": Key(Several(_STATUS), "the statuses that close a ticket"),
        "rules": Key(Named("rule", _RULE, _NAME), "the law, rule by rule"),
        "reminders": Key(Named("reminder", _REMINDER, _NAME), "comments on tickets that wait for long", required=False),
        "exemptions": Key(
            ListOf(_EXEMPTION, "exemptions"), "who need not follow which rule for a while", required=False
        ),
        "limits": Key(_LIMITS, "how much may be put back before the bridge stops and only reports", required=False),
    },
    _document,
)

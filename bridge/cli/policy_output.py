"""What ``bridge policy`` says, as text: for a terminal, for a test runner, in the reader's language."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from bridge.domain.model import Allowed, Illegal, Mode, Undecided
from bridge.domain.policy.survey import Answer, ways
from bridge.domain.policy.terms import WORDS as TERMS
from bridge.domain.policy.terms import exemption_terms, mode_terms, survey_terms

if TYPE_CHECKING:
    from bridge.cli.policy_replay import Replay
    from bridge.domain.model import Move, Objection, StatusName, Verdict
    from bridge.domain.policy import Policy
    from bridge.domain.policy.advice import Advice
    from bridge.domain.policy.cases import Outcome
    from bridge.domain.policy.rules import Rule
    from bridge.domain.policy.survey import Survey
    from bridge.domain.replay import Difference

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WORDS = {
    "en": {
        "by": "by {}",
        "allowed": "allowed",
        "waits": "allowed for now; judged again at {}",
        "reported": "illegal: reported",
        "put back": "illegal: put back",
        "undecided": "undecided: {}",
        "source": "source",
        "mode": "mode",
        "who": "who may",
        "nobody": "nobody from here",
        "instead": "{} may instead",
        "nothing": "nothing from here",
        "way": "the way there",
        "depends": "it depends on the ticket's facts, its people or its comments:",
        "exempt": "exemption",
        "creation": "creation",
        "note": "note",
        "here": "here: {}",
        "never": "only reported: nothing that {} does is put back",
        "could": "there is an exemption, which does not cover this move",
        "modes": "rules that go further or less far in some projects or for some time:",
        "exemptions": "exemptions:",
        "legend": "rows: from; columns: to. ok allowed, if by its facts, later after another status,\nREPORT reported, "
        "BACK put back",
        "unreachable": "nobody can move a ticket into {}",
        "dead end": "nobody can move a ticket out of {}, and it is not closed there",
        "trap": "{} can move a ticket into {}, and nobody can move it out again",
    },
    "fr": {
        "by": "par {}",
        "allowed": "permis",
        "waits": "permis pour l'instant ; jugé de nouveau à {}",
        "reported": "non conforme : signalé",
        "put back": "non conforme : annulé",
        "undecided": "non jugé : {}",
        "source": "source",
        "mode": "mode",
        "who": "qui peut le faire",
        "nobody": "personne d'ici",
        "instead": "{} peut à la place",
        "nothing": "rien d'ici",
        "way": "le chemin qui y mène",
        "depends": "cela dépend de la demande, de ses acteurs ou de ses commentaires :",
        "exempt": "dérogation",
        "creation": "création",
        "note": "note",
        "here": "ici : {}",
        "never": "seulement signalé : rien de ce que fait {} n’est annulé",
        "could": "il y a une dérogation, qui ne couvre pas ce changement",
        "modes": "règles qui vont plus ou moins loin dans certains projets ou pour un temps :",
        "exemptions": "dérogations :",
        "legend": "lignes : d’où ; colonnes : vers où – oui : permis – si : permis selon les faits –\n"
        "après : permis après un autre statut – SIGNALÉ : non conforme, signalé – ANNULÉ : non conforme, annulé",
        "unreachable": "personne ne peut faire passer une demande à {}",
        "dead end": "personne ne peut faire sortir une demande de {}, qui ne la clôture pas",
        "trap": "{} peut faire passer une demande à {}, et personne ne peut l’en faire sortir",
    },
}

MARKS = {
    "en": {
        Answer.ALLOWED: "ok",
        Answer.ASKED: "if",
        Answer.LATER: "later",
        Answer.REPORTED: "REPORT",
        Answer.PUT_BACK: "BACK",
    },
    "fr": {
        Answer.ALLOWED: "oui",
        Answer.ASKED: "si",
        Answer.LATER: "après",
        Answer.REPORTED: "SIGNALÉ",
        Answer.PUT_BACK: "ANNULÉ",
    },
}


def explanation(policy: Policy, move: Move, verdict: Verdict, language: str) -> str:
    """A verdict in words: every rule with its source and mode, and what the person may do instead."""
    words = WORDS[language]
    label = policy.party(move.party).label[language]
    said = _said(verdict, language)
    lines = [f"{move.origin or words['creation']} → {move.target}, {words['by'].format(label)} : {said}"]
    match verdict:
        case Illegal():
            for objection in verdict.objections:
                lines += _objection(policy, objection, move, language)
            offered = ", ".join(verdict.alternatives) or words["nothing"]
            lines.append(f"{words['instead'].format(label[:1].upper() + label[1:])} : {offered}")
            there = ways(policy, move.origin, move.visited, project=move.project, type=move.type, at=move.at)
            if steps := there.get(move.target, ()):
                shown = [f"{step.target} ({policy.party(step.party).label[language]})" for step in steps]
                lines.append(f"{words['way']} : {', '.join(shown)}")
        case Allowed():
            lines += [f"{words['note']} : {_translated(verdict.note, language)}"] if verdict.note else []
        case Undecided():
            pass
    if depending := depends_on(policy, move, verdict):
        lines.append(words["depends"])
        lines += [line for rule in depending for line in _rule(policy, rule, move, language)]
    lines += _exemptions(policy, move, verdict, language)
    if language == "en":
        lines = [line.replace(" : ", ": ") for line in lines]
    return "\n".join(lines)


def _said(verdict: Verdict, language: str) -> str:
    words = WORDS[language]
    match verdict:
        case Allowed(review_at=None):
            return words["allowed"]
        case Allowed(review_at=moment):
            return words["waits"].format(f"{moment:%H:%M} UTC")
        case Illegal():
            return words["put back" if verdict.mode is Mode.ENFORCE else "reported"]
        case Undecided():
            return words["undecided"].format(_translated(verdict.reason, language))


def _translated(sentence: str, language: str) -> str:
    """A sentence of the judge, which speaks English, in the reader's language."""
    from zoneinfo import ZoneInfo

    from bridge.reports.language import language as speaking
    from bridge.reports.reasons import translated

    return translated(sentence, speaking(language, ZoneInfo("UTC")))


def _objection(policy: Policy, objection: Objection, move: Move, language: str) -> list[str]:
    words = WORDS[language]
    who = ", ".join(policy.party(party).label[language] for party in objection.allowed_parties) or words["nobody"]
    rule = policy.rule(objection.rule)
    assert rule is not None, "who objects is a rule of the policy"
    return [*_rule(policy, rule, move, language), f"    {words['who']} : {who}"]


def depends_on(policy: Policy, move: Move, verdict: Verdict) -> list[Rule]:
    """The rules that ask for facts which a question does not tell: they may object to the move itself."""
    _, asking = policy.broken(
        move.party, move.origin, move.target, move.visited, project=move.project, type=move.type, at=move.at
    )
    objecting = {one.rule for one in verdict.objections} if isinstance(verdict, Illegal) else set()
    return [rule for rule, _ in asking if rule.id not in objecting]


def _rule(policy: Policy, rule: Rule, move: Move, language: str) -> list[str]:
    words = WORDS[language]
    mode = [mode_terms(rule, language)]
    here = rule.mode_in(move.project, move.at)
    if rule.mode_for:
        mode.append(words["here"].format(TERMS[language][here]))
    if here is Mode.ENFORCE and not policy.reverts(move.party):
        mode.append(words["never"].format(policy.party(move.party).label[language]))
    return [
        f"  {rule.id}",
        f"    {rule.sentence[language]}",
        f"    {words['source']} : {rule.source}",
        f"    {words['mode']} : {' – '.join(mode)}",
    ]


def _exemptions(policy: Policy, move: Move, verdict: Verdict, language: str) -> list[str]:
    """The exemption that covers a rule here, and those that would if the move were another's or elsewhere."""
    words = WORDS[language]
    used = None if isinstance(verdict, Undecided) else verdict.exemption
    objecting = {one.rule for one in verdict.objections} if isinstance(verdict, Illegal) else set()
    return [
        f"{words['exempt' if one.id == used else 'could']} : {exemption_terms(one, language)}"
        for one in policy.exemptions
        if one.id == used
        or (move.at < one.until and (bool(objecting) if one.rules is None else bool(objecting & one.rules)))
    ]


def matrix_text(policy: Policy, table: Survey, language: str) -> str:
    """The whole table in plain text, one block a party, and what is odd about it."""
    words = WORDS[language]
    cells = {(pair.party, pair.origin, pair.target): MARKS[language][pair.answer] for pair in table.pairs}
    origins: list[StatusName | None] = [None, *policy.statuses]
    head = max(len(words["creation"]), *map(len, policy.statuses))
    lines = [f"{policy.name} – {survey_terms(policy, table, language)}", ""]
    for party in policy.parties:
        lines.append(party.label[language])
        columns = [f"{number})" for number in range(1, len(policy.statuses) + 1)]
        lines.append("     " + " " * head + "".join(f"{column:>8}" for column in columns))
        for number, origin in enumerate(origins):
            name = words["creation"] if origin is None else origin
            row = "".join(f"{cells.get((party.name, origin, target), '-'):>8}" for target in policy.statuses)
            lines.append(f"{f'{number})' if origin else '':>4} {name:<{head}}{row}")
        lines.append("")
    lines.append(words["legend"])
    changing = [rule for rule in policy.rules if rule.mode_for]
    lines += ["", words["modes"]] if changing else []
    lines += [f"  {rule.id}: {mode_terms(rule, language)}" for rule in changing]
    lines += ["", words["exemptions"]] if policy.exemptions else []
    lines += [f"  {exemption_terms(one, language)}" for one in policy.exemptions]
    lines += [words["unreachable"].format(status) for status in table.unreachable]
    lines += [words["dead end"].format(status) for status in table.dead_ends]
    label = {party.name: party.label[language] for party in policy.parties}
    lines += [words["trap"].format(label[party], status) for party, status in table.traps]
    return "\n".join(lines) + "\n"


def advice_text(policy: Policy, advice: Advice) -> str:
    """The boxes to untick by role, and what stays for the bridge."""
    lines: list[str] = []
    head = None
    if advice.untick:
        lines.append("In OpenProject, under Administration → Work packages → Workflows, choose the role and the type,")
        lines.append("and untick these moves. Then OpenProject no longer offers them, and less has to be put back.")
    for boxes in advice.untick:
        here = (boxes.party, boxes.type, boxes.enforced)
        if here != head:
            head = here
            of_type = f", type {boxes.type}" if boxes.type else ", every type"
            why = "would be put back" if boxes.enforced else "would only be reported (untick them if you like)"
            label = policy.party(boxes.party).label["en"]
            lines += ["", f"role {' and '.join(boxes.roles)} ({label}){of_type}: {why}"]
        lines.append(f"    {boxes.origin} → {', '.join(boxes.targets)}")
    lines += ["", "What no box can prevent, and stays for the bridge:"]
    lines += [f"  {one.rule or 'all rules'}: {one.why}" for one in advice.beyond]
    return "\n".join(lines)


def junit_xml(outcome: Outcome, filename: str, cover: int) -> str:
    """The cases as JUnit XML; each rule that none expects is a case of its own, and so is the coverage."""
    parts: list[str] = []
    for case in outcome.cases:
        found = [one for one in outcome.failures if one.case is case]
        told = "".join(f"<failure message={quoteattr(one.message)}/>" for one in found[:1])
        more = "\n".join(one.message for one in found[1:])
        more = f"<system-out>{escape(more)}</system-out>" if more else ""
        parts.append(
            f'<testcase classname={quoteattr(filename)} name={quoteattr(case.name)} line="{case.line}">'
            f"{told}{more}</testcase>"
        )
    beside = {f"rule {rule}": f"no case expects the rule {rule} to object" for rule in outcome.untested}
    if outcome.percent < cover:
        beside["coverage"] = f"the cases ask about {outcome.percent} % of all moves, and not {cover} %"
    parts += [
        f"<testcase classname={quoteattr(filename)} name={quoteattr(name)}>"
        f"<failure message={quoteattr(message)}/></testcase>"
        for name, message in beside.items()
    ]
    failed = len({one.case for one in outcome.failures}) + len(beside)
    total = len(outcome.cases) + len(beside)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name={quoteattr(filename)} tests="{total}" failures="{failed}" errors="0" skipped="0">\n'
        f'<properties><property name="coverage" value="{outcome.percent} %"/></properties>\n'
        + "\n".join(parts)
        + "\n</testsuite>\n"
    )


SAID = ("allowed", "reported", "put back", "undecided")


def replay_text(replay: Replay) -> str:
    """How many moves are judged how, before and now, and each move on which that differs."""
    lines = [f"{replay.moves} moves of {replay.tickets} tickets", f"{'':12}{'before':>10}{'now':>10}"]
    lines += [f"{said:12}{replay.old_counts.get(said, 0):>10}{replay.counts.get(said, 0):>10}" for said in SAID]
    if replay.undecided:
        lines += ["", f"left undecided now: {replay.counts['undecided']}, because"]
        lines += [f"  {reason}: {count}" for reason, count in replay.undecided.items()]
    if replay.strange:
        told = ", ".join(f"{name} ({count} moves)" for name, count in replay.strange.items())
        lines += ["", f"the policy does not know these statuses: {told}"]
    if replay.blind:
        lines += ["", f"not judged fully: {', '.join(replay.blind)}"]
        lines += ["  The ledger keeps neither assignees nor custom fields of the past, by which these rules go."]
    for title, found in _grouped(replay).items():
        lines += ["", f"{title}: {len(found)}"]
        by_person = Counter(replay.people.get(one.told.person or -1, "unknown") for one in found)
        lines.append("  by person: " + ", ".join(f"{name} {count}" for name, count in by_person.most_common()))
        by_rule = Counter(rule for one in found for rule in one.rules)
        if by_rule:
            lines.append("  by rule: " + ", ".join(f"{rule} {count}" for rule, count in by_rule.most_common()))
        lines += [f"  {_difference(replay, one)}" for one in found]
    return "\n".join(lines)


def replay_json(replay: Replay) -> dict[str, object]:
    """The same for programs."""
    return {
        "moves": replay.moves,
        "tickets": replay.tickets,
        "before": {said: replay.old_counts.get(said, 0) for said in SAID},
        "now": {said: replay.counts.get(said, 0) for said in SAID},
        "undecided": replay.undecided,
        "unknown_statuses": replay.strange,
        "not_judged_fully": replay.blind,
        "differences": [
            {
                "ticket": one.life.work_package,
                "project": one.life.identifier,
                "at": _time(one).isoformat(),
                "person": one.told.person,
                "from": _status(replay, one.told.origin),
                "into": _status(replay, one.told.target),
                "before": one.old,
                "now": one.new,
                "rules": one.rules,
                "reason": one.reason,
            }
            for one in replay.differences
        ],
    }


CHANGES = {
    ("allowed", "put back"): "newly refused, and put back",
    ("allowed", "reported"): "newly refused, and reported",
    ("put back", "allowed"): "newly allowed",
    ("reported", "allowed"): "newly allowed",
    ("reported", "put back"): "put back instead of reported",
    ("put back", "reported"): "reported instead of put back",
}
"""Of what was said before and what is said now; else it is decided only now, or no longer."""


def _grouped(replay: Replay) -> dict[str, list[Difference]]:
    order = dict.fromkeys((*CHANGES.values(), "decided only now, or no longer"))
    groups: dict[str, list[Difference]] = {title: [] for title in order}
    for one in replay.differences:
        groups[CHANGES.get((one.old, one.new), "decided only now, or no longer")].append(one)
    return {title: found for title, found in groups.items() if found}


def _difference(replay: Replay, one: Difference) -> str:
    who = replay.people.get(one.told.person or -1, f"person {one.told.person}")
    move = f"{_status(replay, one.told.origin)} → {_status(replay, one.told.target)}"
    why = one.reason or ", ".join(one.rules)
    told = f"#{one.life.work_package} {_time(one):%Y-%m-%d %H:%M} {who}: {move}: {one.old} → {one.new}"
    return f"{told} ({why})" if why else told


def _status(replay: Replay, status: int | None) -> str:
    return "creation" if status is None else replay.statuses.get(status, f"status {status}")


def _time(one: Difference) -> datetime:
    return EPOCH + timedelta(microseconds=one.told.latest)

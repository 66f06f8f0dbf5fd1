"""What ``bridge policy`` says, as text: for a terminal, for a test runner, in the reader's language."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from bridge.domain.model import Allowed, Illegal, Mode, Undecided
from bridge.domain.policy.survey import Answer, way

if TYPE_CHECKING:
    from bridge.cli.policy_replay import Replay
    from bridge.domain.model import Move, Objection, StatusName, Verdict
    from bridge.domain.policy import Policy
    from bridge.domain.policy.advice import Advice
    from bridge.domain.policy.cases import Outcome
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
        "exempt": "exemption",
        "until": "until {}",
        "in": "in {}",
        "since": "since {}",
        "creation": "creation",
        "note": "note",
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
        "exempt": "dérogation",
        "until": "jusqu'au {}",
        "in": "dans {}",
        "since": "depuis le {}",
        "creation": "création",
        "note": "note",
    },
}

MARKS = {
    Answer.ALLOWED: "ok",
    Answer.ASKED: "if",
    Answer.LATER: "later",
    Answer.REPORTED: "REPORT",
    Answer.PUT_BACK: "BACK",
}


def explanation(policy: Policy, move: Move, verdict: Verdict, language: str) -> str:
    """A verdict in words: every rule with its source and mode, and what the person may do instead."""
    words = WORDS[language]
    label = policy.party(move.party).label[language]
    lines = [
        f"{move.origin or words['creation']} → {move.target}, {words['by'].format(label)} : {_said(verdict, words)}"
    ]
    match verdict:
        case Illegal():
            for objection in verdict.objections:
                lines += _objection(policy, objection, language)
            offered = ", ".join(verdict.alternatives) or words["nothing"]
            lines.append(f"{words['instead'].format(label[:1].upper() + label[1:])} : {offered}")
            steps = way(policy, move.origin, move.target, move.visited)
            if steps:
                shown = [f"{step.target} ({policy.party(step.party).label[language]})" for step in steps]
                lines.append(f"{words['way']} : {', '.join(shown)}")
        case Allowed():
            lines += [f"{words['note']} : {verdict.note}"] if verdict.note else []
        case Undecided():
            pass
    lines += [
        f"{words['exempt']} {one.id} ({words['until'].format(f'{one.until:%Y-%m-%d}')}, {one.owner}) : {one.reason}"
        for one in policy.exemptions
        if one.until > move.at and (one.projects is None or move.project in one.projects)
    ]
    if language == "en":
        lines = [line.replace(" : ", ": ") for line in lines]
    return "\n".join(lines)


def _said(verdict: Verdict, words: dict[str, str]) -> str:
    match verdict:
        case Allowed(review_at=None):
            return words["allowed"]
        case Allowed(review_at=moment):
            return words["waits"].format(f"{moment:%H:%M} UTC")
        case Illegal():
            return words["put back" if verdict.mode is Mode.ENFORCE else "reported"]
        case Undecided():
            return words["undecided"].format(verdict.reason)


def _objection(policy: Policy, objection: Objection, language: str) -> list[str]:
    words = WORDS[language]
    who = ", ".join(policy.party(party).label[language] for party in objection.allowed_parties) or words["nobody"]
    rule = policy.rule(objection.rule)
    exceptions = []
    for exception in rule.mode_for if rule is not None else ():
        scope = [words["in"].format(", ".join(sorted(exception.projects)))] if exception.projects else []
        scope += [words["since"].format(f"{exception.since:%Y-%m-%d}")] if exception.since else []
        scope += [words["until"].format(f"{exception.until:%Y-%m-%d}")] if exception.until else []
        exceptions.append(f"{exception.mode} {' '.join(scope)}")
    return [
        f"  {objection.rule}",
        f"    {objection.sentence[language]}",
        f"    {words['source']} : {objection.source}",
        f"    {words['mode']} : {'; '.join([objection.mode, *exceptions])}",
        f"    {words['who']} : {who}",
    ]


def matrix_text(policy: Policy, table: Survey, language: str) -> str:
    """The whole table in plain text, one block a party, and what is odd about it."""
    cells = {(pair.party, pair.origin, pair.target): MARKS[pair.answer] for pair in table.pairs}
    origins: list[StatusName | None] = [None, *policy.statuses]
    head = max(len(WORDS[language]["creation"]), *map(len, policy.statuses))
    lines: list[str] = []
    for party in policy.parties:
        lines.append(party.label[language])
        columns = [f"{number})" for number in range(1, len(policy.statuses) + 1)]
        lines.append("     " + " " * head + "".join(f"{column:>8}" for column in columns))
        for number, origin in enumerate(origins):
            name = WORDS[language]["creation"] if origin is None else origin
            row = "".join(f"{cells.get((party.name, origin, target), '-'):>8}" for target in policy.statuses)
            lines.append(f"{f'{number})' if origin else '':>4} {name:<{head}}{row}")
        lines.append("")
    lines.append("rows: from; columns: to. ok allowed, if by its facts, later after another status,")
    lines.append("REPORT reported, BACK put back")
    lines += [f"unreachable: {status}" for status in table.unreachable]
    lines += [f"dead end: {status}" for status in table.dead_ends]
    lines += [f"trap: {party} may enter {status}, and nobody may leave it" for party, status in table.traps]
    return "\n".join(lines) + "\n"


def advice_text(policy: Policy, advice: Advice) -> str:
    """The boxes to untick by role, and what stays for the bridge."""
    lines: list[str] = []
    head = None
    for boxes in advice.untick:
        here = (boxes.party, boxes.type, boxes.enforced)
        if here != head:
            head = here
            of_type = f", type {boxes.type}" if boxes.type else ""
            lines.append(f"role {' and '.join(boxes.roles)} ({policy.party(boxes.party).label['en']}){of_type}:")
            lines.append(
                "  untick" if boxes.enforced else "  the policy only reports these; untick them to prevent them"
            )
        lines.append(f"    {boxes.origin} → {', '.join(boxes.targets)}")
    lines.append("what OpenProject's workflow cannot express:")
    lines += [f"  {one.rule or 'all rules'}: {one.why}" for one in advice.beyond]
    return "\n".join(lines)


def junit_xml(outcome: Outcome, filename: str) -> str:
    """The cases as JUnit XML; moves that no case asks about and rules that none expects are cases of their own."""
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
    for rule in outcome.untested:
        message = f"no case expects the rule {rule} to object"
        parts.append(
            f"<testcase classname={quoteattr(filename)} name={quoteattr(f'rule {rule}')}>"
            f"<failure message={quoteattr(message)}/></testcase>"
        )
    failed = len({one.case for one in outcome.failures}) + len(outcome.untested)
    total = len(outcome.cases) + len(outcome.untested)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name={quoteattr(filename)} tests="{total}" failures="{failed}" errors="0" skipped="0">\n'
        f'<properties><property name="coverage" value="{int(100 * outcome.covered)} %"/></properties>\n'
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
    if replay.blind:
        lines += ["", f"not judged fully: {', '.join(replay.blind)}"]
        lines += ["  The ledger keeps neither assignees nor custom fields of the past, by which these rules go."]
    for title, found in _grouped(replay):
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


def _grouped(replay: Replay) -> list[tuple[str, list[Difference]]]:
    refused: list[Difference] = []
    allowed: list[Difference] = []
    otherwise: list[Difference] = []
    for one in replay.differences:
        harder, milder = SAID.index(one.new), SAID.index(one.old)
        if "undecided" in (one.new, one.old):
            otherwise.append(one)
        elif harder > milder:
            refused.append(one)
        else:
            allowed.append(one)
    titles = ("newly refused, or further", "newly allowed, or less far", "newly decided, or not any more")
    return [(title, found) for title, found in zip(titles, (refused, allowed, otherwise), strict=True) if found]


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

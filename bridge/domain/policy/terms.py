"""How far a rule goes, where and when, and who is let be for a while: in words, for pictures and verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bridge.domain.model import Mode
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import Exemption, ModeFor, Rule
from bridge.domain.policy.survey import Survey

WORDS = {
    "en": {
        Mode.ENFORCE: "enforced",
        Mode.OBSERVE: "observed",
        Mode.OFF: "off",
        "in": "in {}",
        "since": "from {} on",
        "until": "until {}",
        "from": "from {} to {}",
        "rules": "of {}",
        "people": "for person {}",
        "tickets": "on ticket {}",
        "owner": "answered for by {}",
        "policy": "policy {}",
        "project": "in {}",
        "type": "for the type {}",
        "on": "on {}",
        "; ": "; ",
        ": ": ": ",
    },
    "fr": {
        Mode.ENFORCE: "appliquée",
        Mode.OBSERVE: "observée",
        Mode.OFF: "inactive",
        "in": "dans {}",
        "since": "à partir du {}",
        "until": "jusqu’au {}",
        "from": "du {} au {}",
        "rules": "de {}",
        "people": "pour la personne {}",
        "tickets": "sur la demande {}",
        "owner": "{} en répond",
        "policy": "politique {}",
        "project": "dans {}",
        "type": "pour le type {}",
        "on": "au {}",
        "; ": "\u202f; ",
        ": ": "\u00a0: ",
    },
}


def mode_terms(rule: Rule, language: str) -> str:
    """A rule's mode and every exception from it."""
    words = WORDS[language]
    return words["; "].join([words[rule.mode], *(_exception(one, language) for one in rule.mode_for)])


def _exception(one: ModeFor, language: str) -> str:
    words = WORDS[language]
    told = [words[one.mode]]
    told += [words["in"].format(_listed(one.projects))] if one.projects else []
    first, last = one.since and f"{one.since:%Y-%m-%d}", one.until and _last_day(one.until)
    if first and last:
        told.append(words["from"].format(first, last))
    elif first or last:
        told.append(words["since" if first else "until"].format(first or last))
    return " ".join(told)


def exemption_terms(one: Exemption, language: str) -> str:
    """An exemption with all that it is bound to, who answers for it, and why."""
    words = WORDS[language]
    bounds = exemption_bounds(one, language)
    return f"{one.id} {bounds}, {words['owner'].format(one.owner)}{words[': ']}{one.reason}"


def exemption_bounds(one: Exemption, language: str) -> str:
    """Of which rules it lets be, where, whom and until when."""
    words = WORDS[language]
    told = [words["rules"].format(_listed(one.rules))] if one.rules else []
    told += [words["in"].format(_listed(one.projects))] if one.projects else []
    told += [words["people"].format(_listed(one.people))] if one.people else []
    told += [words["tickets"].format(_listed(map(str, one.tickets)))] if one.tickets else []
    told += [words["until"].format(_last_day(one.until))]
    return " ".join(told)


def survey_terms(policy: Policy, table: Survey, language: str) -> str:
    """Which policy a survey is of, as ``check`` names it too, and where and when, as far as that makes a difference."""
    words = WORDS[language]
    told = [words["policy"].format(policy.hash[:12])]
    told += [words["project"].format(table.project)] if table.project else []
    told += [words["type"].format(table.type)] if table.type else []
    told += [words["on"].format(f"{table.at:%Y-%m-%d}")] if table.at and policy.table.moments else []
    return ", ".join(told)


def _last_day(until: datetime) -> str:
    return f"{until - timedelta(days=1):%Y-%m-%d}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

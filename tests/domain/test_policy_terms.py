"""How far a rule goes, where and when, and whom an exemption lets be, in the words of both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.domain.model import Mode, RuleId
from bridge.domain.policy import Exemption
from bridge.domain.policy.rules import ModeFor
from bridge.domain.policy.terms import exemption_bounds, exemption_terms, mode_terms
from tests.domain.test_policy_judging import never

DECEMBER, JANUARY = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
ALPHA_BETA = frozenset({"beta", "alpha"})


@pytest.mark.parametrize(
    ("exception", "english", "french"),
    [
        (ModeFor(Mode.OFF, ALPHA_BETA), "off in alpha, beta", "inactive dans alpha, beta"),
        (ModeFor(Mode.OBSERVE, since=DECEMBER), "observed from 2026-12-01 on", "observée à partir du 2026-12-01"),
        (ModeFor(Mode.OBSERVE, until=JANUARY), "observed until 2026-12-31", "observée jusqu’au 2026-12-31"),
        (
            ModeFor(Mode.OFF, frozenset({"alpha"}), DECEMBER, JANUARY),
            "off in alpha from 2026-12-01 to 2026-12-31",
            "inactive dans alpha du 2026-12-01 au 2026-12-31",
        ),
    ],
)
def test_a_rules_mode_is_told_with_every_exception(exception: ModeFor, english: str, french: str) -> None:
    rule = replace(never("a"), mode_for=(exception,))
    assert mode_terms(rule, "en") == f"enforced; {english}"
    assert mode_terms(rule, "fr") == f"appliquée\u202f; {french}"
    twice = replace(rule, mode_for=(exception, ModeFor(Mode.ENFORCE, until=JANUARY)))
    assert mode_terms(twice, "en") == f"enforced; {english}; enforced until 2026-12-31"
    assert mode_terms(never("a"), "fr") == "appliquée"


@pytest.mark.parametrize(
    ("scope", "english", "french"),
    [
        ({"rules": frozenset({RuleId("b"), RuleId("a")})}, "of a, b", "de a, b"),
        ({"projects": ALPHA_BETA}, "in alpha, beta", "dans alpha, beta"),
        ({"people": frozenset({"7", "8"})}, "for person 7, 8", "pour la personne 7, 8"),
        ({"tickets": frozenset({42, 43})}, "on ticket 42, 43", "sur la demande 42, 43"),
        (
            {
                "rules": frozenset({RuleId("a")}),
                "projects": frozenset({"alpha"}),
                "people": frozenset({"7"}),
                "tickets": frozenset({42}),
            },
            "of a in alpha for person 7 on ticket 42",
            "de a dans alpha pour la personne 7 sur la demande 42",
        ),
    ],
)
def test_an_exemption_is_told_with_all_that_it_is_bound_to(scope: dict[str, Any], english: str, french: str) -> None:
    one = Exemption("e", "the head", "year’s end", JANUARY, **scope)
    assert exemption_bounds(one, "en") == f"{english} until 2026-12-31"
    assert exemption_bounds(one, "fr") == f"{french} jusqu’au 2026-12-31"
    assert exemption_terms(one, "en") == f"e {english} until 2026-12-31, answered for by the head: year’s end"
    assert exemption_terms(one, "fr") == f"e {french} jusqu’au 2026-12-31, the head en répond\u00a0: year’s end"

"""The shipped policy against the rules it was made from: a table written by hand, party by party."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.domain.model import Allowed, CommentBy, Illegal, Mode, Move, PartyName, StatusName
from bridge.domain.policy import Policy, judge, load

CEGAPE_YAML = Path(__file__).parents[2] / "config" / "cegape.yaml"
AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)

# One row a status before the move, one column a status after it; written from the wiki's table and its readings.
#   .  allowed        r  allowed, and noted as a reopening       -  no move
#   C  a client's ticket starts in NOUVEAU      N  nobody moves back to NOUVEAU     W  not this party's status
#   o  not yet tested                           x  closed is closed                 m  rejected without a reason
# Capitals are put back, small letters are only reported.
COLUMNS = """NOUVEAU / NECESSITE CLARIFICATION / EN COURS / EN COURS DE TEST /
 RESOLU / EN ATTENTE / REJETE / CORRECTION NON VALIDE"""
CLIENT = """
creation                 .    CW   CW   CW   Co   C    CW   Co
NOUVEAU                  -    W    W    W    o    .    W    o
NECESSITE CLARIFICATION  N    -    W    W    o    .    W    o
EN COURS                 N    W    -    W    o    .    W    o
EN COURS DE TEST         N    W    W    -    .    .    W    .
RESOLU                   Nx   Wx   Wx   Wx   -    x    Wx   o
EN ATTENTE               N    W    W    W    o    -    W    o
REJETE                   Nx   Wx   Wx   Wx   ox   x    -    ox
CORRECTION NON VALIDE    N    W    W    W    o    .    W    -
"""
CEGAPE = """
creation                 .    .    .    .    wo   .    m    wo
NOUVEAU                  -    .    .    .    wo   .    m    wo
NECESSITE CLARIFICATION  n    -    .    .    wo   .    m    wo
EN COURS                 n    .    -    .    wo   .    m    wo
EN COURS DE TEST         n    .    .    -    w    .    m    w
RESOLU                   n    r    r    r    -    r    m    wo
EN ATTENTE               n    .    .    .    wo   -    m    wo
REJETE                   n    r    r    r    wo   r    -    wo
CORRECTION NON VALIDE    n    .    .    .    wo   .    m    -
"""
WHO = {
    "NECESSITE CLARIFICATION": "clarification-par-cegape",
    "EN COURS": "en-cours-par-cegape",
    "EN COURS DE TEST": "en-cours-de-test-par-cegape",
    "RESOLU": "resolu-par-le-client",
    "REJETE": "rejete-par-cegape",
    "CORRECTION NON VALIDE": "correction-non-valide-par-le-client",
}
ORDER = {"RESOLU": "resolu-apres-test", "CORRECTION NON VALIDE": "correction-non-valide-apres-test"}
CLOSED = {"RESOLU": "resolu-est-clos", "REJETE": "rejete-est-clos"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(CEGAPE_YAML.read_bytes(), "config/cegape.yaml")


def cells(table: str) -> list[tuple[str | None, str, str]]:
    """Status before (None for a creation), status after, and what the table says."""
    columns = [name.strip() for name in COLUMNS.split("/")]
    found: list[tuple[str | None, str, str]] = []
    for line in table.strip().splitlines():
        name, marks = line[:25].strip(), line[25:].split()
        origin = None if name == "creation" else name
        found += [(origin, target, mark) for target, mark in zip(columns, marks, strict=True) if mark != "-"]
    return found


def expected(marks: str, origin: str | None, target: str) -> list[tuple[str, Mode]]:
    rules = {"c": "creation-en-nouveau", "n": "nouveau-jamais-a-la-main", "m": "rejete-avec-motif"}
    rules |= {"w": WHO.get(target, ""), "o": ORDER.get(target, ""), "x": CLOSED.get(origin or "", "")}
    return [
        (rules[mark.lower()], Mode.ENFORCE if mark.isupper() else Mode.OBSERVE) for mark in marks if mark not in ".r"
    ]


def move(party: str, origin: str | None, target: str, *been_in: str, **facts: object) -> Move:
    visited = frozenset(StatusName(one) for one in (*been_in, *([origin] if origin else [])))
    return Move(
        PartyName(party),
        StatusName(origin) if origin else None,
        StatusName(target),
        visited,
        AT,
        LATER,
        **facts,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("party", "table"), [("client", CLIENT), ("cegape", CEGAPE)])
def test_every_move_of_a_ticket_that_was_never_tested_is_judged_as_the_table_says(
    policy: Policy, party: str, table: str
) -> None:
    assert len(cells(table)) == 9 * 8 - 8
    for origin, target, marks in cells(table):
        verdict = judge(move(party, origin, target), policy)
        objections = [(one.rule, one.mode) for one in verdict.objections] if isinstance(verdict, Illegal) else []
        assert objections == expected(marks, origin, target), f"{party}: {origin} → {target}"
        if isinstance(verdict, Allowed):
            assert (verdict.note == "reopening") == (marks == "r"), f"{party}: {origin} → {target}"


@pytest.mark.parametrize(("party", "table"), [("client", CLIENT), ("cegape", CEGAPE)])
def test_once_tested_no_rule_of_order_objects(policy: Policy, party: str, table: str) -> None:
    for origin, target, marks in cells(table):
        if origin is None:
            continue
        verdict = judge(move(party, origin, target, "EN COURS DE TEST"), policy)
        objections = [(one.rule, one.mode) for one in verdict.objections] if isinstance(verdict, Illegal) else []
        assert objections == expected(marks.replace("o", ""), origin, target), f"{party}: {origin} → {target}"


def test_a_client_may_wait_while_testing_and_then_resolve(policy: Policy) -> None:
    assert judge(move("client", "EN ATTENTE", "RESOLU", "EN COURS", "EN COURS DE TEST"), policy) == Allowed()


def test_a_rejection_waits_fifteen_minutes_for_its_reason(policy: Policy) -> None:
    in_time = Move(
        PartyName("cegape"), StatusName("EN COURS"), StatusName("REJETE"), frozenset({StatusName("EN COURS")}), AT, AT
    )
    assert judge(in_time, policy) == Allowed(review_at=AT + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("party", "minutes", "same_activity", "reported"),
    [
        ("cegape", 0, True, False),
        ("cegape", 14, False, False),
        ("cegape", -15, False, False),
        ("cegape", 16, False, True),
        ("client", 5, False, True),
        (None, 5, False, True),
        ("cegape", 600, True, False),
    ],
)
def test_a_rejection_needs_a_reason_by_cegape_near_it(
    policy: Policy, party: str | None, minutes: int, same_activity: bool, reported: bool
) -> None:
    comment = CommentBy(PartyName(party) if party else None, AT + timedelta(minutes=minutes), same_activity)
    verdict = judge(move("cegape", "EN COURS", "REJETE", comments=(comment,)), policy)
    assert isinstance(verdict, Illegal) == reported


def test_every_rule_cites_its_source_and_speaks_both_languages(policy: Policy) -> None:
    for rule in policy.rules:
        assert rule.source.startswith("Wiki, ")
        assert set(rule.sentence) == {"fr", "en"}


def test_cegape_is_reported_and_never_reverted(policy: Policy) -> None:
    assert (policy.reverts(PartyName("client")), policy.reverts(PartyName("cegape"))) == (True, False)


def test_who_has_roles_of_both_parties_gets_the_benefit_of_the_doubt(policy: Policy) -> None:
    assert policy.party_of(["Client", "CEGAPE"]) == "cegape"
    assert policy.party_of(["Lecteur", "Client"]) == "client"
    assert policy.party_of(["Lecteur"]) is None


def test_an_explanation_offers_what_the_person_may_do_instead(policy: Policy) -> None:
    refused = judge(move("client", "EN COURS DE TEST", "REJETE"), policy)
    assert isinstance(refused, Illegal)
    assert refused.alternatives == ("RESOLU", "EN ATTENTE", "CORRECTION NON VALIDE")
    assert refused.objections[0].allowed_parties == ("cegape",)

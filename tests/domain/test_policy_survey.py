"""The survey agrees with the judge on every pair, and finds what a policy makes impossible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import Illegal, Mode, Move, RuleId, StatusName
from bridge.domain.policy import Policy, Rule, judge, load
from bridge.domain.policy.rules import After, ModeFor, OnlyBy, OnlyInto
from bridge.domain.policy.survey import Answer, Survey, survey, ways
from tests.domain.test_policy_judging import NOON, PARTIES, STATUSES, never, policies, small, tabular

CEGAPE = load((Path(__file__).parents[2] / "config" / "cegape.yaml").read_bytes(), "cegape.yaml")


def plain(policy: Policy) -> Policy:
    """Without what depends on a ticket's facts or on when."""
    rules = tuple(replace(rule, fields={}, types=None, projects=None, mode_for=()) for rule in policy.rules)
    return replace(policy, rules=rules, exemptions=())


@settings(max_examples=60)
@given(policies(tabular))
def test_every_pair_is_what_the_judge_says(policy: Policy) -> None:
    policy = plain(policy)
    table = survey(policy)
    assert len(table.pairs) == len(policy.parties) * len(STATUSES) ** 2
    for pair in table.pairs:
        here = frozenset([pair.origin] if pair.origin else [])
        move = Move(pair.party, pair.origin, pair.target, here, NOON, NOON)
        verdict = judge(move, policy)
        been_everywhere = judge(replace(move, visited=frozenset(STATUSES)), policy)
        match verdict:
            case Illegal() if pair.origin is not None and not isinstance(been_everywhere, Illegal):
                assert pair.answer is Answer.LATER
                assert pair.after
            case Illegal():
                assert pair.answer is (Answer.PUT_BACK if verdict.mode is Mode.ENFORCE else Answer.REPORTED)
                assert pair.objecting == tuple(one.rule for one in verdict.objections)
            case _:
                assert pair.answer is Answer.ALLOWED


@settings(max_examples=40)
@given(policies(tabular), st.sampled_from(STATUSES))
def test_a_way_is_made_of_legal_moves_and_is_there_where_a_status_can_be_reached(
    policy: Policy, target: StatusName
) -> None:
    policy = plain(policy)
    steps = ways(policy, None).get(target, ())
    assert bool(steps) == (target not in survey(policy).unreachable)
    here: StatusName | None = None
    visited: frozenset[StatusName] = frozenset()
    for step in steps:
        move = Move(step.party, here, step.target, visited, NOON, NOON)
        assert not isinstance(judge(move, policy), Illegal)
        fresh = here is None or policy.opens_again(here, step.target)
        visited = frozenset({step.target}) if fresh else visited | {step.target}
        here = step.target
    assert not steps or here == target


@pytest.mark.parametrize(
    ("more", "here"),
    [
        ({"projects": frozenset({"alpha"})}, {"project": "alpha"}),
        ({"types": frozenset({"Bug"})}, {"type": "Bug"}),
        ({"mode": Mode.OFF, "mode_for": (ModeFor(Mode.ENFORCE, since=NOON),)}, {"at": NOON}),
    ],
)
def test_a_survey_is_of_one_project_one_type_and_one_moment(more: dict[str, Any], here: dict[str, Any]) -> None:
    policy = small(replace(never("a"), **more))
    inside, outside = survey(policy, **here), survey(policy)
    testing = STATUSES[2]
    assert inside.unreachable == (testing,)
    assert outside.unreachable == ()
    assert {pair.answer for pair in inside.pairs if pair.target == testing} == {Answer.PUT_BACK}
    asked = {Answer.ASKED} if "type" in here else {Answer.ALLOWED}  # a type that is not told may be any
    assert {pair.answer for pair in outside.pairs if pair.target == testing} == asked


def test_a_way_remembers_where_it_has_been_until_it_opens_a_closed_ticket() -> None:
    new, doing, testing, done, refused = STATUSES

    def ordered(into: StatusName, after: StatusName) -> Rule:
        return replace(never(f"{into}-{after}"), into=frozenset({into}), demand=After(frozenset({after})))

    def leads(origin: StatusName, *into: StatusName) -> Rule:
        return replace(never(f"from-{origin}"), into=None, origin=frozenset({origin}), demand=OnlyInto(frozenset(into)))

    def steps(policy: Policy, origin: StatusName, target: StatusName, *been: StatusName) -> list[StatusName]:
        return [step.target for step in ways(policy, origin, frozenset(been)).get(target, ())]

    tested = small(ordered(done, testing), leads(new, testing), leads(testing, doing))
    assert steps(tested, new, done) == [testing, doing, done]
    assert steps(small(ordered(refused, doing), leads(doing, refused)), doing, refused) == [refused]
    reopened = small(never("a"), ordered(refused, testing), leads(done, new))
    assert steps(reopened, done, refused, testing) == []
    assert steps(reopened, new, refused, testing) == [refused]
    still_closed = small(never("a"), ordered(new, testing), leads(done, refused), leads(refused, new))
    assert steps(still_closed, done, new, testing) == [refused, new]
    assert steps(still_closed, done, new) == []


def test_a_policy_is_odd_for_each_thing_that_it_makes_impossible() -> None:
    plain_ = Survey((), (), (), (), (RuleId("silent"),), "", "", None)
    assert not plain_.odd
    assert replace(plain_, unreachable=STATUSES[:1]).odd
    assert replace(plain_, dead_ends=STATUSES[:1]).odd
    assert replace(plain_, traps=((PARTIES[0], STATUSES[0]),)).odd


def test_the_shipped_policy_has_no_dead_end_and_only_one_rule_that_nobody_breaks() -> None:
    table = survey(CEGAPE)
    assert (table.unreachable, table.dead_ends, table.traps) == ((), (), ())
    assert table.silent == ("en-attente-par-les-deux",)


def test_a_status_that_a_client_can_enter_and_nobody_can_leave_is_a_trap() -> None:
    waiting = StatusName("EN ATTENTE")
    stuck = replace(
        CEGAPE.rules[-1],
        into=None,
        origin=frozenset({waiting}),
        by=None,
        demand=OnlyInto(frozenset()),
        mode=Mode.ENFORCE,
    )
    table = survey(replace(CEGAPE, rules=(*CEGAPE.rules, stuck)))
    assert table.dead_ends == (waiting,)
    assert table.traps == (("cegape", waiting), ("client", waiting))


def test_a_status_that_only_follows_what_nobody_does_is_unreachable() -> None:
    tested = StatusName("EN COURS DE TEST")
    rules = tuple(
        replace(rule, demand=OnlyBy(frozenset())) if rule.into == frozenset({tested}) else rule for rule in CEGAPE.rules
    )
    table = survey(replace(CEGAPE, rules=rules))
    assert set(table.unreachable) == {tested, "RESOLU", "CORRECTION NON VALIDE"}


def test_a_checklist_in_any_order_is_surveyed_without_trying_every_order() -> None:
    """Twenty checks can be done in a million combinations, and each of them stands before every status."""
    checks = [StatusName(f"CHECK {number}") for number in range(20)]
    enter = next(rule for rule in CEGAPE.rules if rule.id == "en-attente-par-les-deux")
    order = next(rule for rule in CEGAPE.rules if rule.id == "resolu-apres-test")
    rules = [replace(enter, id=RuleId(f"enter-{one}"), into=frozenset({one})) for one in checks]
    rules += [replace(order, id=RuleId(f"after-{one}"), demand=After(frozenset({one}))) for one in checks]
    policy = replace(CEGAPE, statuses=(*CEGAPE.statuses, *checks), rules=(*CEGAPE.rules, *rules))
    assert survey(policy).unreachable == ()
    steps = [step.target for step in ways(policy, None)[StatusName("RESOLU")]]
    assert steps[-1] == "RESOLU"
    assert {*checks, "EN COURS DE TEST"} <= set(steps)

"""Judging against a slow judge that reads the rules one by one, on policies that nobody would write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from bridge.domain.policy import Exemption, Party, Policy, Rule, judge
from bridge.domain.policy.rules import (
    After,
    Demand,
    Filled,
    ModeFor,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    Reminder,
    SamePerson,
)

STATUSES = tuple(StatusName(name) for name in ("new", "doing", "testing", "done", "refused"))
PARTIES = (PartyName("staff"), PartyName("client"))
CLOSED = frozenset({STATUSES[3], STATUSES[4]})
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SENTENCE = {"fr": "règle", "en": "rule"}

some_statuses = st.frozensets(st.sampled_from(STATUSES), min_size=1, max_size=3)
some_parties = st.frozensets(st.sampled_from(PARTIES), min_size=1)
some_projects = st.frozensets(st.sampled_from(["alpha", "beta"]), min_size=1)
modes = st.sampled_from(Mode)
moments = st.sampled_from([NOON - DAY, NOON, NOON + DAY])


def party(name: PartyName, reverted: bool) -> Party:
    return Party(name, SENTENCE, frozenset({f"role of {name}"}), reverted)


@st.composite
def mode_exceptions(draw: st.DrawFn) -> ModeFor:
    since, until = draw(st.none() | moments), draw(st.none() | moments)
    return ModeFor(draw(modes), draw(st.none() | some_projects), since, until)


tabular: st.SearchStrategy[Demand] = st.one_of(
    st.builds(OnlyBy, st.frozensets(st.sampled_from(PARTIES))),
    st.builds(OnlyInto, st.frozensets(st.sampled_from(STATUSES), max_size=2)),
    st.builds(After, some_statuses),
)
persons = st.frozensets(st.sampled_from(["author", "assignee", "testing"]), min_size=1)
factual: st.SearchStrategy[Demand] = st.one_of(
    st.builds(NeedsComment, some_parties, st.just(timedelta(minutes=15))),
    st.builds(Filled, st.just(frozenset({"Reason"}))),
    st.builds(OtherPerson, persons),
    st.builds(SamePerson, persons),
)


@st.composite
def policies(draw: st.DrawFn, demands: st.SearchStrategy[Demand] = tabular | factual) -> Policy:
    rules = tuple(
        Rule(
            id=RuleId(f"rule-{number}"),
            sentence=SENTENCE,
            source="a test",
            mode=draw(modes),
            demand=draw(demands),
            creation=draw(st.booleans()),
            into=draw(st.none() | some_statuses),
            origin=draw(st.none() | some_statuses),
            by=draw(st.none() | some_parties),
            types=draw(st.none() | st.just(frozenset({"Bug"}))),
            projects=draw(st.none() | some_projects),
            fields=draw(st.just({}) | st.just({"Risk": frozenset({"High"})})),
            mode_for=tuple(draw(st.lists(mode_exceptions(), max_size=2))),
        )
        for number in range(draw(st.integers(0, 6)))
    )
    exemptions = tuple(
        Exemption(
            id=f"exemption-{number}",
            owner="a test",
            reason="a test",
            until=draw(moments),
            rules=draw(st.none() | st.just(frozenset({RuleId("rule-0"), RuleId("rule-1")}))),
            projects=draw(st.none() | some_projects),
            people=draw(st.none() | st.just(frozenset({"7"}))),
            tickets=draw(st.none() | st.just(frozenset({42}))),
        )
        for number in range(draw(st.integers(0, 2)))
    )
    return Policy(
        hash="",
        name="a test",
        parties=tuple(party(name, draw(st.booleans())) for name in PARTIES),
        statuses=STATUSES,
        initial=STATUSES[0],
        closed=CLOSED,
        rules=rules,
        exemptions=exemptions,
    )


@st.composite
def moves(draw: st.DrawFn) -> Move:
    origin = draw(st.none() | st.sampled_from(STATUSES))
    at = draw(moments) + draw(st.sampled_from([-timedelta(microseconds=1), timedelta(0)]))
    comments = st.builds(
        CommentBy,
        st.none() | st.sampled_from(PARTIES),
        st.sampled_from([at, at + timedelta(minutes=15), at - timedelta(minutes=16)]),
        st.booleans(),
    )
    return Move(
        party=draw(st.sampled_from(PARTIES)),
        origin=origin,
        target=draw(st.sampled_from(STATUSES)),
        visited=draw(some_statuses) | ({origin} if origin else frozenset()),
        at=at,
        now=at + draw(st.sampled_from([timedelta(0), timedelta(minutes=15), timedelta(minutes=16)])),
        project=draw(st.sampled_from(["alpha", "beta", "gamma", ""])),
        type=draw(st.sampled_from(["Bug", "Feature", ""])),
        person=draw(st.sampled_from(["7", "8", ""])),
        ticket=draw(st.sampled_from([42, 43])),
        comments=tuple(draw(st.lists(comments, max_size=2))),
        author=draw(st.sampled_from(["7", "8", None])),
        assignee=draw(st.sampled_from(["7", "", None])),
        fields=draw(st.sampled_from([None, {}, {"Reason": "", "Risk": "Low"}, {"Reason": "yes", "Risk": "High"}])),
        movers=draw(st.sampled_from([None, {}, {STATUSES[2]: "7"}])),
    )


# --- The slow judge -------------------------------------------------------------------------------------------------


def looks_at(rule: Rule, move: Move, policy: Policy) -> bool | None:
    """True, False, or None where it cannot be told."""
    if move.origin is None:
        if not rule.creation and (rule.origin is not None or move.target == policy.initial):
            return False
    elif rule.creation or (rule.origin is not None and move.origin not in rule.origin):
        return False
    if rule.into is not None and move.target not in rule.into:
        return False
    if rule.by is not None and move.party not in rule.by:
        return False
    if rule.projects is not None and move.project not in rule.projects:
        return False
    if rule.types is not None and move.type not in rule.types:
        return None if move.type == "" else False
    for label, values in rule.fields.items():
        if move.fields is None or label not in move.fields:
            return None
        if move.fields[label] not in values:
            return False
    return True


def breaks(demand: Demand, move: Move) -> bool | datetime | None:
    match demand:
        case OnlyBy(parties):
            return move.party not in parties
        case OnlyInto(statuses):
            return move.target not in statuses
        case After(statuses):
            return not (statuses & move.visited)
        case NeedsComment(by, within):
            near = [one for one in move.comments if one.same_activity or abs(one.at - move.at) <= within]
            if any(one.party in by for one in near):
                return False
            return move.at + within if move.now <= move.at + within else True
        case Filled():
            value = None if move.fields is None else move.fields.get("Reason")
            return None if value is None else value == ""
        case OtherPerson(refs) | SamePerson(refs):
            movers = move.movers
            known = {"author": move.author, "assignee": move.assignee}
            known["testing"] = None if movers is None else movers.get(STATUSES[2], "")
            meant = [known[ref] for ref in refs]
            wanted = isinstance(demand, SamePerson)
            if not move.person:
                return None
            if move.person in meant:
                return not wanted
            return None if None in meant else wanted


Objecting = list[tuple[RuleId, Mode]]


def slowly(move: Move, policy: Policy) -> tuple[type[Verdict], Objecting, datetime | None, bool]:
    """The kind of verdict, who objects how far, when to judge again, and whether an exemption was needed."""
    found: Objecting = []
    doubt, review, exempted = False, list[datetime](), False
    for rule in policy.rules:
        fitting = [one.mode for one in rule.mode_for if one.fits(move.project, move.at)]
        mode = fitting[0] if fitting else rule.mode
        looked = looks_at(rule, move, policy)
        broken = breaks(rule.demand, move)
        if mode is Mode.OFF or looked is False or broken is False:
            continue
        covering = [
            one
            for one in policy.exemptions
            if move.at < one.until
            and (one.rules is None or rule.id in one.rules)
            and (one.projects is None or move.project in one.projects)
            and (one.people is None or move.person in one.people)
            and (one.tickets is None or move.ticket in one.tickets)
        ]
        if covering:
            exempted = exempted or (looked is True and broken is True)
        elif looked is None or broken is None:
            doubt = True
        elif isinstance(broken, datetime):
            review.append(broken)
        else:
            reverted = next(one.reverted for one in policy.parties if one.name == move.party)
            found.append((rule.id, mode if reverted else Mode.OBSERVE))
    if found:
        found.sort(key=lambda one: one[1] is not Mode.ENFORCE)
        return Illegal, found, min(review, default=None), exempted
    if doubt:
        return Undecided, [], None, False
    return Allowed, [], min(review, default=None), exempted


@settings(max_examples=150)
@given(policies(), st.lists(moves(), min_size=1, max_size=8))
def test_a_look_up_says_what_reading_rule_by_rule_says(policy: Policy, several: list[Move]) -> None:
    for move in several * 2:  # the second time from what the first has left
        verdict = judge(move, policy)
        kind, objecting, review_at, exempted = slowly(move, policy)
        if move.origin == move.target:
            assert isinstance(verdict, Allowed)
            continue
        assert isinstance(verdict, kind)
        match verdict:
            case Illegal():
                assert [(one.rule, one.mode) for one in verdict.objections] == objecting
                assert (verdict.review_at, verdict.exemption is not None) == (review_at, exempted)
            case Allowed():
                assert (verdict.review_at, verdict.exemption is not None) == (review_at, exempted)
                reopens = move.origin is not None and policy.opens_again(move.origin, move.target)
                assert ("reopening" in verdict.note) == reopens
            case Undecided():
                assert verdict.reason


@settings(max_examples=50)
@given(policies(tabular), moves())
def test_an_alternative_is_a_move_that_no_rule_objects_to(policy: Policy, move: Move) -> None:
    move = replace(move, person="", ticket=0, fields={"Risk": "High"}, type=move.type or "Bug")
    plain = replace(policy, rules=tuple(replace(rule, fields={}) for rule in policy.rules))
    offered = plain.alternatives(
        move.party, move.origin, move.visited, project=move.project, type=move.type, at=move.at
    )
    for status in STATUSES:
        verdict = judge(replace(move, target=status), plain)
        assert (status in offered) == (isinstance(verdict, Allowed) and status != move.origin)
    verdict = judge(move, plain)
    if isinstance(verdict, Illegal):
        assert verdict.alternatives == offered


@settings(max_examples=50)
@given(policies(tabular), moves())
def test_who_may_make_a_move_is_who_would_be_allowed_to(policy: Policy, move: Move) -> None:
    plain = replace(policy, rules=tuple(replace(rule, fields={}, types=None) for rule in policy.rules))
    verdict = judge(move, plain)
    if isinstance(verdict, Illegal):
        allowed = [name for name in PARTIES if isinstance(judge(replace(move, party=name), plain), Allowed)]
        assert all(list(one.allowed_parties) == allowed for one in verdict.objections)


def reachable(policy: Policy, move: Move) -> set[StatusName]:
    """Every status that moves without an enforced objection lead to, found by trying them all."""
    found: set[tuple[StatusName, frozenset[StatusName]]] = set()
    todo: list[tuple[StatusName | None, frozenset[StatusName]]] = [(move.origin, move.visited)]
    reached: set[StatusName] = set()
    while todo:
        here, visited = todo.pop()
        for status in STATUSES:
            verdict = judge(replace(move, origin=here, target=status, visited=visited), policy)
            if status == here or (isinstance(verdict, Illegal) and verdict.mode is Mode.ENFORCE):
                continue
            reached.add(status)
            fresh = here is None or policy.opens_again(here, status)
            there = (status, frozenset({status}) if fresh else visited | {status})
            if there not in found:
                found.add(there)
                todo.append(there)
    return reached


@settings(max_examples=40)
@given(policies(tabular), moves())
def test_a_legal_path_is_found_exactly_where_trying_every_way_finds_one(policy: Policy, move: Move) -> None:
    plain = replace(policy, rules=tuple(replace(rule, fields={}, types=None) for rule in policy.rules), exemptions=())
    move = replace(move, visited=frozenset({move.origin}) if move.origin else frozenset())
    reached = reachable(plain, move)
    for status in STATUSES:
        found = plain.legal_path(move.party, move.origin, status, move.visited, project=move.project, at=move.at)
        assert found == (status in reached)


@settings(max_examples=50)
@given(policies(), moves())
def test_a_status_or_party_that_the_policy_does_not_know_is_undecided(policy: Policy, move: Move) -> None:
    strange = StatusName("elsewhere")
    assert isinstance(judge(replace(move, target=strange), policy), Undecided)
    assert isinstance(judge(replace(move, origin=strange), policy), Undecided)
    assert isinstance(judge(replace(move, party=PartyName("stranger")), policy), Undecided)
    assert not policy.legal_path(move.party, move.origin, strange, move.visited)
    assert policy.alternatives(PartyName("stranger"), move.origin, move.visited) == ()


@settings(max_examples=50)
@given(policies(), moves())
def test_to_have_been_in_a_status_that_the_policy_does_not_know_counts_for_nothing(policy: Policy, move: Move) -> None:
    assert judge(replace(move, visited=move.visited | {StatusName("elsewhere")}), policy) == judge(move, policy)


def small(*rules: Rule, exemptions: tuple[Exemption, ...] = ()) -> Policy:
    return Policy(
        "",
        "",
        tuple(party(name, True) for name in PARTIES),
        STATUSES,
        STATUSES[0],
        CLOSED,
        rules,
        exemptions=exemptions,
    )


def never(id: str, **more: Any) -> Rule:
    """Nobody may move a ticket into "testing"."""
    return Rule(
        RuleId(id), SENTENCE, "a test", Mode.ENFORCE, OnlyBy(frozenset()), into=frozenset(STATUSES[2:3]), **more
    )


def let_be(id: str, **whom: Any) -> Exemption:
    return Exemption(id, "a test", "a test", NOON + DAY, **whom)


PLAIN = Move(PARTIES[1], STATUSES[0], STATUSES[2], frozenset(STATUSES[:1]), NOON, NOON, "alpha", "Bug", "7", 42)
SINCE_NOON = (ModeFor(Mode.OBSERVE, since=NOON),)


def test_an_order_is_not_met_by_a_status_that_the_policy_does_not_know() -> None:
    tested = replace(never("tested"), demand=After(frozenset({STATUSES[1]})))
    visited = frozenset({STATUSES[0], StatusName("elsewhere")})
    assert isinstance(judge(replace(PLAIN, visited=visited), small(tested)), Illegal)
    assert judge(replace(PLAIN, visited=visited | {STATUSES[1]}), small(tested)) == Allowed()


@pytest.mark.parametrize(
    ("policy", "here", "there"),
    [
        (small(never("a", projects=frozenset({"alpha"}))), {"project": "alpha"}, {"project": "beta"}),
        (small(never("a", types=frozenset({"Bug"}))), {"type": "Bug"}, {"type": "Feature"}),
        (small(never("a"), exemptions=(let_be("e", people=frozenset({"8"})),)), {"person": "7"}, {"person": "8"}),
        (small(never("a"), exemptions=(let_be("e", tickets=frozenset({43})),)), {"ticket": 42}, {"ticket": 43}),
        (small(never("a"), exemptions=(let_be("e", projects=frozenset({"b"})),)), {"project": "a"}, {"project": "b"}),
        (small(never("a", mode_for=SINCE_NOON)), {"at": NOON - DAY}, {"at": NOON}),
        (small(never("a"), exemptions=(let_be("e", rules=frozenset({RuleId("a")})),)), {"at": NOON + DAY}, {}),
    ],
    ids=["project", "type", "person", "ticket", "an exemption's project", "day", "an exemption's day"],
)
def test_one_thing_alone_that_a_policy_tells_apart_is_told_apart_whatever_was_judged_before(
    policy: Policy, here: dict[str, Any], there: dict[str, Any]
) -> None:
    for first, second in ((here, there), (there, here)):
        fresh = replace(policy)
        verdicts = [judge(replace(PLAIN, **facts), fresh) for facts in (first, second, first)]
        enforced = [isinstance(one, Illegal) and one.mode is Mode.ENFORCE for one in verdicts]
        assert enforced == [facts is here for facts in (first, second, first)]


def test_each_of_several_rules_and_exemptions_is_told_apart_by_what_it_names_itself() -> None:
    """Also the first of them, when the last names others."""
    named = small(
        *(never(f"in {one}", projects=frozenset({one})) for one in ("alpha", "beta")),
        *(never(f"for {one}", types=frozenset({one})) for one in ("Bug", "Feature")),
        *(never(f"then {one}", mode_for=(ModeFor(Mode.OFF, frozenset({one})),)) for one in ("gamma", "delta")),
    )
    for project in ("alpha", "beta", "gamma", "delta"):
        for type_ in ("Bug", "Feature"):
            verdict = judge(replace(PLAIN, project=project, type=type_), named)
            assert isinstance(verdict, Illegal)
            assert [one.rule for one in verdict.objections] == [
                *([f"in {project}"] if project in ("alpha", "beta") else []),
                f"for {type_}",
                *(f"then {one}" for one in ("gamma", "delta") if one != project),
            ]
    scopes = (("projects", "project", "alpha", "beta"), ("people", "person", "7", "8"), ("tickets", "ticket", 42, 43))
    for scope, fact, *values in scopes:
        exempt = small(never("a"), exemptions=tuple(let_be(f"e{one}", **{scope: frozenset({one})}) for one in values))
        for value in values:
            facts: dict[str, Any] = {"project": "gamma", "person": "9", "ticket": 99} | {fact: value}
            assert judge(replace(PLAIN, **facts), exempt) == Allowed(f"exemption e{value}", f"e{value}")


def test_what_is_undecided_for_lack_of_knowledge_names_what_is_not_known() -> None:
    strange = StatusName("elsewhere")
    for unknown, reason in (
        ({"target": strange}, "the policy knows no status 'elsewhere'"),
        ({"origin": strange}, "the policy knows no status 'elsewhere'"),
        ({"origin": None, "target": strange}, "the policy knows no status 'elsewhere'"),
        ({"party": "stranger"}, "the policy knows no party 'stranger'"),
        ({"origin": None, "party": "stranger"}, "the policy knows no party 'stranger'"),
    ):
        facts: dict[str, Any] = dict(unknown)
        assert judge(replace(PLAIN, **facts), small()) == Undecided(reason)


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        ({}, set()),
        ({"types": frozenset({"Bug"})}, {"type"}),
        ({"fields": {"Risk": frozenset({"High"})}}, {"fields"}),
        ({"demand": Filled(frozenset({"Reason"}))}, {"fields"}),
        ({"demand": NeedsComment(frozenset(PARTIES), DAY)}, set()),
        ({"demand": OtherPerson(frozenset({"author"}))}, {"author"}),
        ({"demand": OtherPerson(frozenset({"assignee", "doing"}))}, {"assignee", "movers"}),
        ({"demand": SamePerson(frozenset({"doing", "done"}))}, {"movers"}),
        (
            {
                "types": frozenset({"Bug"}),
                "fields": {"Risk": frozenset({"High"})},
                "demand": SamePerson(frozenset({"author", "assignee"})),
            },
            {"type", "fields", "author", "assignee"},
        ),
    ],
)
def test_a_policy_asks_for_the_facts_that_some_rule_in_force_looks_at(more: dict[str, Any], facts: set[str]) -> None:
    rule = replace(never("a"), **more)
    assert rule.asks_for == facts
    assert small(rule).asks_for == facts
    assert small(never("b", types=frozenset({"Bug"})), rule).asks_for == facts | {"type"}
    assert small(replace(rule, mode=Mode.OFF)).asks_for == set()
    assert small(replace(rule, mode=Mode.OFF, mode_for=SINCE_NOON)).asks_for == facts


@pytest.mark.parametrize(
    ("more", "here", "there"),
    [
        ({"projects": frozenset({"alpha"})}, {"project": "alpha"}, {"project": "beta"}),
        ({"projects": frozenset({"alpha"})}, {"project": "alpha"}, {}),
        ({"types": frozenset({"Bug"})}, {"type": "Bug"}, {"type": "Feature"}),
        ({"types": frozenset({"Bug"})}, {"type": "Bug"}, {}),
        ({"mode": Mode.OFF, "mode_for": (ModeFor(Mode.ENFORCE, since=NOON),)}, {"at": NOON}, {"at": NOON - DAY}),
        ({"mode": Mode.OFF, "mode_for": (ModeFor(Mode.ENFORCE, since=NOON),)}, {"at": NOON}, {}),
    ],
)
def test_where_a_party_may_go_and_what_objects_depends_on_project_type_and_day(
    more: dict[str, Any], here: dict[str, Any], there: dict[str, Any]
) -> None:
    """A day that is not told is before all time; a type that is not told may be any, so that a rule for one is open."""
    rule = replace(never("a"), **more)
    policy = small(rule)
    client, new, doing, testing, *_ = (PARTIES[1], *STATUSES)
    been = frozenset({new})
    assert policy.alternatives(client, new, been, **here) == (doing, *STATUSES[3:])
    assert policy.alternatives(client, new, been, **there) == STATUSES[1:]
    assert not policy.legal_path(client, new, testing, been, **here)
    assert policy.legal_path(client, new, testing, been, **there)
    assert policy.broken(client, new, testing, been, **here) == (((rule, Mode.ENFORCE),), ())
    open_ = ((rule, Mode.ENFORCE),) if rule.types and not there else ()
    assert policy.broken(client, new, testing, been, **there) == ((), open_)


def test_no_way_leads_from_or_to_or_for_what_the_policy_does_not_know() -> None:
    policy, strange, been = small(), StatusName("elsewhere"), frozenset(STATUSES[:1])
    assert policy.legal_path(PARTIES[1], STATUSES[0], STATUSES[1], been)
    assert not policy.legal_path(PARTIES[1], strange, STATUSES[1], been)
    assert not policy.legal_path(PARTIES[1], STATUSES[0], strange, been)
    assert not policy.legal_path(PartyName("stranger"), STATUSES[0], STATUSES[1], been)
    assert policy.alternatives(PARTIES[1], strange, been) == ()


def test_what_a_policy_distinguishes_it_tells_apart_and_nothing_else() -> None:
    same = {"project": "alpha", "type": "Bug", "person": "7", "ticket": 42, "at": NOON}
    others: dict[str, Any] = {"project": "beta", "type": "Feature", "person": "8", "ticket": 43, "at": NOON - DAY}
    policies: dict[str, Policy] = {
        "project": small(never("a", projects=frozenset({"alpha"}))),
        "type": small(never("a", types=frozenset({"Bug"}))),
        "person": small(exemptions=(let_be("e", people=frozenset({"7"})),)),
        "ticket": small(exemptions=(let_be("e", tickets=frozenset({42})),)),
        "at": small(never("a", mode_for=SINCE_NOON)),
    }
    for fact, policy in policies.items():
        facts: dict[str, Any] = dict(same)
        assert policy.distinguishes
        for other, value in others.items():
            apart = policy.tells_apart(**facts) != policy.tells_apart(**(facts | {other: value}))
            assert apart is (other == fact), (fact, other)
    assert not small(never("a")).distinguishes


def test_a_rule_is_found_by_its_id_and_a_language_by_the_project() -> None:
    first, second = never("a"), never("b")
    policy = replace(small(first, second), default_language="en", languages={"alpha": "fr"})
    assert (policy.rule(RuleId("a")), policy.rule(RuleId("b")), policy.rule(RuleId("c"))) == (first, second, None)
    assert (policy.language("alpha"), policy.language("beta")) == ("fr", "en")


FIELDS = {"Reason": "yes", "Risk": "High"}
UNKNOWN_FIELDS = Undecided("the ticket's custom fields are not known")


@pytest.mark.parametrize(
    ("asked", "known", "verdict"),
    [
        ({"types": frozenset({"Bug"})}, {"type": ""}, Undecided("the ticket's type is not known")),
        ({"fields": {"Risk": frozenset({"High"})}}, {}, UNKNOWN_FIELDS),
        ({"fields": {"Risk": frozenset({"High"})}}, {"fields": FIELDS}, Illegal),
        ({"fields": {"Risk": frozenset({"Low"})}}, {"fields": FIELDS}, Allowed()),
        (
            {"fields": {"Riks": frozenset({"Low"})}},
            {"fields": FIELDS},
            Undecided("the ticket has no custom field 'Riks'"),
        ),
        ({"demand": Filled(frozenset({"Reason"}))}, {}, UNKNOWN_FIELDS),
        ({"demand": Filled(frozenset({"Reason", "Risk"}))}, {"fields": FIELDS}, Allowed()),
        ({"demand": Filled(frozenset({"Reason", "Risk"}))}, {"fields": FIELDS | {"Reason": " "}}, Illegal),
        ({"demand": Filled(frozenset({"Reason", "Risk"}))}, {"fields": FIELDS | {"Risk": ""}}, Illegal),
        ({"demand": Filled(frozenset({"No"}))}, {"fields": FIELDS}, Undecided("the ticket has no custom field 'No'")),
        ({"demand": SamePerson(frozenset({"author"}))}, {"person": ""}, Undecided("who moved the ticket is not known")),
        ({"demand": SamePerson(frozenset({"author"}))}, {}, Undecided("the ticket's author is not known")),
        ({"demand": SamePerson(frozenset({"assignee"}))}, {}, Undecided("the ticket's assignee is not known")),
        ({"demand": SamePerson(frozenset({"doing"}))}, {}, Undecided("who set 'doing' is not known")),
        ({"demand": SamePerson(frozenset({"author"}))}, {"author": "7"}, Allowed()),
        ({"demand": SamePerson(frozenset({"author"}))}, {"author": "8"}, Illegal),
        ({"demand": OtherPerson(frozenset({"author"}))}, {"author": "7"}, Illegal),
        ({"demand": OtherPerson(frozenset({"author"}))}, {"author": "8"}, Allowed()),
        ({"demand": OtherPerson(frozenset({"assignee"}))}, {"assignee": "7"}, Illegal),
        ({"demand": OtherPerson(frozenset({"assignee"}))}, {"assignee": ""}, Allowed()),
        ({"demand": OtherPerson(frozenset({"doing"}))}, {"movers": {"doing": "7"}}, Illegal),
        ({"demand": OtherPerson(frozenset({"doing"}))}, {"movers": {"done": "7"}}, Allowed()),
        ({"demand": SamePerson(frozenset({"author", "doing"}))}, {"movers": {"doing": "7"}}, Allowed()),
        (
            {"demand": SamePerson(frozenset({"author", "doing"}))},
            {"movers": {"doing": "8"}},
            Undecided("the ticket's author is not known"),
        ),
        ({"demand": OtherPerson(frozenset({"author", "doing"}))}, {"movers": {"doing": "7"}}, Illegal),
        (
            {"demand": OtherPerson(frozenset({"author", "doing"}))},
            {"author": "8"},
            Undecided("who set 'doing' is not known"),
        ),
    ],
)
def test_what_a_rule_asks_of_the_facts_is_met_or_broken_or_not_known(
    asked: dict[str, Any], known: dict[str, Any], verdict: Verdict | type[Illegal]
) -> None:
    said = judge(replace(PLAIN, **known), small(replace(never("a"), **asked)))
    assert isinstance(said, Illegal) if verdict is Illegal else said == verdict


def test_a_comment_in_the_same_activity_or_near_the_move_is_a_reason_if_the_right_party_made_it() -> None:
    within = timedelta(minutes=15)
    policy = small(replace(never("a"), demand=NeedsComment(frozenset(PARTIES[:1]), within)))

    def said(by: PartyName | None, after: timedelta, same_activity: bool = False, now: timedelta = DAY) -> Verdict:
        comment = CommentBy(by, NOON + after, same_activity)
        return judge(replace(PLAIN, comments=(comment,), now=NOON + now), policy)

    for after in (-within, timedelta(0), within):
        assert said(PARTIES[0], after) == Allowed()
        assert isinstance(said(PARTIES[1], after), Illegal)
        assert isinstance(said(None, after), Illegal)
    for after in (-within - timedelta(microseconds=1), within + timedelta(microseconds=1)):
        assert isinstance(said(PARTIES[0], after), Illegal)
        assert said(PARTIES[0], after, same_activity=True) == Allowed()
    assert said(PARTIES[1], timedelta(0), now=within) == Allowed(review_at=NOON + within)
    assert isinstance(said(PARTIES[1], timedelta(0), now=within + timedelta(microseconds=1)), Illegal)


def test_an_objection_by_the_facts_comes_alone_and_with_who_may_move_and_where_to_instead() -> None:
    reason = replace(never("filled"), demand=Filled(frozenset({"Reason"})))
    risk = replace(never("risk"), demand=Filled(frozenset({"Risk"})))
    by_staff = replace(never("by-staff"), into=frozenset({STATUSES[1]}), demand=OnlyBy(frozenset({PARTIES[0]})))
    policy = small(reason, by_staff, risk)
    for facts, objecting in ((FIELDS | {"Reason": ""}, ["filled"]), (FIELDS | {"Risk": ""}, ["risk"])):
        verdict = judge(replace(PLAIN, fields=facts), policy)
        assert isinstance(verdict, Illegal)
        assert [one.rule for one in verdict.objections] == objecting
        assert verdict.objections[0].allowed_parties == PARTIES
        assert verdict.alternatives == STATUSES[2:]
    both = judge(replace(PLAIN, fields={"Reason": "", "Risk": ""}), policy)
    assert isinstance(both, Illegal)
    assert [one.rule for one in both.objections] == ["filled", "risk"]


def test_who_may_make_the_move_is_told_of_the_status_that_it_leaves() -> None:
    from_new = replace(never("from-new"), origin=frozenset(STATUSES[:1]), demand=OnlyBy(frozenset(PARTIES[:1])))
    verdict = judge(PLAIN, small(from_new))
    assert isinstance(verdict, Illegal)
    assert verdict.objections[0].allowed_parties == PARTIES[:1]


def test_an_illegal_move_is_judged_again_when_the_time_for_a_reason_is_over_that_another_rule_gives() -> None:
    waiting = replace(never("comment"), demand=NeedsComment(frozenset(PARTIES), timedelta(minutes=15)))
    verdict = judge(PLAIN, small(never("a"), waiting))
    assert isinstance(verdict, Illegal)
    assert ([one.rule for one in verdict.objections], verdict.review_at) == (["a"], NOON + timedelta(minutes=15))
    certain = judge(PLAIN, small(never("a")))
    assert isinstance(certain, Illegal)
    assert certain.review_at is None


def test_of_several_times_for_a_reason_the_first_to_end_is_when_to_judge_again() -> None:
    quarter, half = timedelta(minutes=15), timedelta(minutes=30)
    for windows in ((quarter, half), (half, quarter)):
        policy = small(*(replace(never(str(one)), demand=NeedsComment(frozenset(PARTIES), one)) for one in windows))
        assert judge(PLAIN, policy) == Allowed(review_at=NOON + quarter)


def test_a_move_to_where_the_ticket_is_is_no_change() -> None:
    assert judge(replace(PLAIN, origin=PLAIN.target), small(never("a"))) == Allowed("no change of status")


def test_between_the_moments_of_several_rules_each_has_its_own_mode() -> None:
    policy = small(
        never("a", mode_for=SINCE_NOON),
        never("b", mode_for=(ModeFor(Mode.OBSERVE, since=NOON + DAY, until=NOON + 2 * DAY),)),
    )
    for days, modes_ in ((-1, "ee"), (0, "eo"), (1, "oo"), (2, "eo"), (1, "oo"), (-1, "ee")):
        verdict = judge(replace(PLAIN, at=NOON + days * DAY), policy)
        assert isinstance(verdict, Illegal)
        assert "".join(one.mode[0] for one in verdict.objections) == modes_


def test_what_holds_of_one_ticket_or_person_does_not_hold_where_none_is_told() -> None:
    for whom in ({"tickets": frozenset({1})}, {"people": frozenset({"1"})}):
        policy = small(never("a"), exemptions=(let_be("e", **whom),))
        assert STATUSES[2] not in policy.alternatives(PARTIES[1], STATUSES[0], frozenset(STATUSES[:1]), at=NOON)


def test_a_legal_path_remembers_where_it_has_been_until_it_opens_a_closed_ticket() -> None:
    new, doing, testing, done, refused = STATUSES

    def leads(origin: StatusName, *into: StatusName) -> Rule:
        return replace(never(f"from {origin}"), into=None, origin=frozenset({origin}), demand=OnlyInto(frozenset(into)))

    tested = replace(never("tested"), into=frozenset({done}), demand=After(frozenset({testing})))
    over_doing = small(tested, leads(new, testing), leads(testing, doing))
    assert over_doing.legal_path(PARTIES[1], new, done, frozenset({new}))
    untested = small(tested, leads(new, doing), never("no-testing"))
    assert not untested.legal_path(PARTIES[1], new, done, frozenset({new}))
    assert untested.legal_path(PARTIES[1], new, done, frozenset({new, testing}))
    reopened = small(tested, leads(refused, doing), never("no-testing"))
    assert not reopened.legal_path(PARTIES[1], refused, done, frozenset({refused, testing}))


def test_a_search_for_a_path_that_grows_too_large_gives_the_benefit_of_the_doubt() -> None:
    """Each status that is asked for by a rule of its own doubles what must be told apart."""
    several = tuple(StatusName(f"s{number}") for number in range(14))
    end = StatusName("end")
    rules = [replace(never(f"after-{one}"), into=frozenset({end}), demand=After(frozenset({one}))) for one in several]
    nobody = replace(never("nobody"), into=frozenset({end}))

    def leads_there(count: int) -> bool:
        statuses = (*several[:count], end)
        policy = replace(small(*rules[:count], nobody), statuses=statuses, initial=several[0], closed=frozenset())
        return policy.legal_path(PARTIES[1], several[0], end, frozenset(several[:1]))

    assert not leads_there(3)
    assert leads_there(14)


def test_a_note_tells_of_a_reopening_and_of_the_exemption_that_was_used() -> None:
    policy = small(never("a"), exemptions=(let_be("e", people=frozenset({"7"})),))
    reopened = replace(PLAIN, origin=STATUSES[3], visited=frozenset(STATUSES[3:4]))
    assert judge(reopened, policy) == Allowed("reopening; exemption e", "e")
    assert judge(reopened, small()) == Allowed("reopening")
    assert judge(PLAIN, small()) == Allowed()


@settings(max_examples=50)
@given(policies(factual), moves())
def test_whatever_the_policy_does_not_ask_for_makes_no_difference(policy: Policy, move: Move) -> None:
    bare = replace(
        move,
        type=move.type if "type" in policy.asks_for else "",
        author=move.author if "author" in policy.asks_for else None,
        assignee=move.assignee if "assignee" in policy.asks_for else None,
        fields=move.fields if "fields" in policy.asks_for else None,
        movers=move.movers if "movers" in policy.asks_for else None,
    )
    assert judge(bare, policy) == judge(move, policy)


@given(st.lists(st.frozensets(st.sampled_from("abcdef")), min_size=1, max_size=4), st.sets(st.sampled_from("abcdefg")))
def test_a_person_belongs_to_the_first_party_that_knows_one_of_their_roles(
    roles: list[frozenset[str]], held: set[str]
) -> None:
    parties = tuple(Party(PartyName(str(n)), SENTENCE, known, True) for n, known in enumerate(roles))
    policy = Policy("", "", parties, STATUSES, STATUSES[0], CLOSED, ())
    fitting = [PartyName(str(number)) for number, known in enumerate(roles) if known & held]
    assert policy.party_of(held) == (fitting[0] if fitting else None)


def test_a_reminder_is_due_once_the_time_is_over_and_where_it_applies() -> None:
    reminder = Reminder(
        RuleId("r"),
        SENTENCE,
        "a test",
        Mode.ENFORCE,
        frozenset({STATUSES[2]}),
        3 * DAY,
        frozenset({"Bug"}),
        frozenset({"alpha"}),
    )
    policy = Policy("", "", (), STATUSES, STATUSES[0], CLOSED, (), reminders=(reminder,))

    def due(status: StatusName = STATUSES[2], days: int = 3, project: str = "alpha", type_: str = "Bug") -> bool:
        return policy.due_reminders(status, NOON, NOON + days * DAY, project=project, type=type_) == (reminder,)

    assert due()
    assert not due(days=2)
    assert not due(status=STATUSES[1])
    assert not due(project="beta")
    assert not due(type_="Feature")
    off = replace(policy, reminders=(replace(reminder, mode=Mode.OFF),))
    assert off.due_reminders(STATUSES[2], NOON, NOON + 9 * DAY, project="alpha", type="Bug") == ()

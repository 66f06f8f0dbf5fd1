"""Replaying a policy over the past says what following each ticket says, and finds where two policies differ."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    Comment,
    Illegal,
    Kind,
    Mode,
    Objection,
    PartyName,
    ProjectId,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Told,
    Undecided,
    UserId,
    WorkPackageId,
)
from bridge.domain.plan import follow
from bridge.domain.policy import Exemption, Policy, load
from bridge.domain.policy.rules import ModeFor, OtherPerson
from bridge.domain.replay import Court, Life, Said, comment_targets, differences, judgements, said
from bridge.domain.scene import Scene
from bridge.domain.standing import Standing

CEGAPE = load((Path(__file__).parents[2] / "config" / "cegape.yaml").read_bytes(), "cegape.yaml")
IDS = {name: StatusId(number) for number, name in enumerate(CEGAPE.statuses)}
START = 1_700_000_000_000_000
MINUTE = 60_000_000
NOW = datetime.fromtimestamp(START / 1e6, UTC) + timedelta(days=30)
STRANGE = 99
"""A status that the policy does not know."""

STRICT = replace(CEGAPE, rules=tuple(replace(rule, mode=Mode.ENFORCE) for rule in CEGAPE.rules))
SCOPED = replace(
    CEGAPE,
    rules=tuple(
        replace(
            rule,
            mode_for=(ModeFor(Mode.ENFORCE, frozenset({"beta"}), since=NOW - timedelta(days=29, hours=23)),),
            types=frozenset({"Bug"}) if number % 2 else None,
        )
        for number, rule in enumerate(CEGAPE.rules)
    ),
    exemptions=(Exemption("e", "me", "a test", NOW, None, None, frozenset({"3"}), frozenset({4})),),
)
NOT_THE_AUTHOR = replace(CEGAPE.rules[0], id=RuleId("p"), creation=False, demand=OtherPerson(frozenset({"author"})))
PERSONAL = replace(CEGAPE, rules=(*CEGAPE.rules, NOT_THE_AUTHOR))


CHANGED_SIDES = START + 30 * MINUTE


def standing(project: ProjectId, person: UserId, earliest: int, latest: int) -> Standing:
    """Even numbers are CEGAPE, odd ones clients; 4 became a client half an hour after the start; 5 nobody knows."""
    if person == 5 or (person == 4 and earliest <= CHANGED_SIDES <= latest):
        return Standing(None, "the person holds no role of a party in this project")
    return Standing(PartyName("client" if person % 2 or (person == 4 and earliest > CHANGED_SIDES) else "cegape"))


def court(policy: Policy) -> Court:
    return Court(policy, IDS, standing, UserId(-1), NOW)


def told(
    activity: int,
    kind: Kind,
    origin: int | None,
    target: int,
    person: int,
    *,
    own: bool = False,
    doubt: str | None = None,
    since: int,
    at: int,
) -> Told:
    return Told(
        WorkPackageId(1), ProjectId(1), "Bug", activity, 0, kind.value, origin, target, UserId(person), own, doubt,
        since, at, "allowed", None,
    )  # fmt: skip


@st.composite
def lives(draw: st.DrawFn, work_package: int = 1) -> Life:
    at = START
    here: int | None = None
    changes: list[Told] = []
    comments: list[Comment] = []
    for activity in range(draw(st.integers(1, 6))):
        to = draw(st.sampled_from([*(int(one) for one in IDS.values()), STRANGE]))
        if to == here:
            continue
        at += draw(st.sampled_from([1, 10, 20])) * MINUTE
        own = here is not None and draw(st.integers(0, 9)) == 0
        doubt = draw(st.sampled_from([None] * 9 + ["no activity shows this change"]))
        merged = draw(st.integers(0, 9)) == 0
        person = -1 if own else draw(st.integers(1, 5))
        kind = Kind.CREATION if here is None and draw(st.integers(0, 9)) else Kind.MOVE
        changes.append(told(activity, kind, here, to, person, own=own, doubt=doubt, since=at - MINUTE * merged, at=at))
        here = to
        if draw(st.booleans()):
            when = NOW - timedelta(days=30) + timedelta(microseconds=at - START + draw(st.integers(-9, 20)) * MINUTE)
            said = ActivityId(activity + draw(st.integers(0, 1)))
            comments.append(Comment(said, UserId(draw(st.integers(1, 5))), when, "because"))
    project, type_ = draw(st.sampled_from(["alpha", "beta"])), draw(st.sampled_from(["Bug", "Feature"]))
    return Life(WorkPackageId(work_package), ProjectId(1), project, type_, changes, comments)


def followed(life: Life, policy: Policy) -> list[Said]:
    """What ``follow`` says to the same changes, with every rule enforced from before them."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    changes = tuple(
        StatusChange(
            key=ChangeKey(ActivityId(told.activity), told.part),
            kind=Kind(told.kind),
            origin=None if told.origin is None else StatusId(told.origin),
            target=None if told.target is None else StatusId(told.target),
            actor=UserId(-1) if told.own else told.person,
            earliest=epoch + timedelta(microseconds=told.earliest),
            latest=epoch + timedelta(microseconds=told.latest),
            maybe_merged=told.earliest != told.latest,
            doubt=told.doubt,
        )
        for told in life.changes
    )

    def stand(user: UserId, earliest: datetime, latest: datetime) -> Standing:
        first, last = ((at - epoch) // timedelta(microseconds=1) for at in (earliest, latest))
        return standing(life.project, user, first, last)

    within = Scene(
        policy=policy,
        spelling={status: name for name, status in IDS.items()},
        ids=IDS,
        standing=stand,
        own=UserId(-1),
        now=NOW,
        enforced_since={rule.id: epoch for rule in policy.rules},
        project=life.identifier,
        type=life.type,
    )
    timeline = Timeline(life.work_package, changes, tuple(life.comments))
    return [said(judged.verdict) for judged in follow(timeline, within).judged]


@pytest.mark.parametrize("policy", [CEGAPE, STRICT, SCOPED, PERSONAL], ids=["cegape", "strict", "scoped", "personal"])
@settings(max_examples=80)
@given(st.lists(lives(), min_size=1, max_size=6))
def test_a_replay_says_what_following_each_ticket_says(policy: Policy, several: list[Life]) -> None:
    numbered = [
        life._replace(work_package=WorkPackageId(number)) for number, life in enumerate(several) if life.changes
    ]
    assert list(judgements(numbered, court(policy))) == [followed(life, policy) for life in numbered]


def life(*statuses: str, people: tuple[int, ...], work_package: int = 1) -> Life:
    changes: list[Told] = []
    here: int | None = None
    for number, (status, person) in enumerate(zip(statuses, people, strict=True)):
        to = int(IDS[next(name for name in IDS if name == status)])
        kind = Kind.CREATION if here is None else Kind.MOVE
        at = START + number * 60 * MINUTE
        changes.append(told(number, kind, here, to, person, since=at, at=at))
        here = to
    return Life(WorkPackageId(work_package), ProjectId(1), "alpha", "Bug", changes)


def test_a_verdict_is_told_by_what_comes_of_the_move() -> None:
    def objects(mode: Mode) -> Illegal:
        return Illegal((Objection(RuleId("r"), mode, {}, (), "a test"),), ())

    for words, verdict in (
        ("allowed", Allowed("reopening")),
        ("put back", objects(Mode.ENFORCE)),
        ("reported", objects(Mode.OBSERVE)),
        ("undecided", Undecided("nobody knows")),
    ):
        assert said(verdict) == (words, verdict)


def test_comments_make_a_difference_only_where_some_rule_asks_for_one() -> None:
    assert comment_targets(CEGAPE) == {"REJETE"}
    asking = next(rule for rule in CEGAPE.rules if rule.id == "rejete-avec-motif")
    others = tuple(rule for rule in CEGAPE.rules if rule is not asking)
    assert comment_targets(replace(CEGAPE, rules=others)) == frozenset()
    everywhere = replace(asking, into=None, origin=frozenset(CEGAPE.statuses[:1]))
    assert comment_targets(replace(CEGAPE, rules=(*CEGAPE.rules, everywhere))) == set(CEGAPE.statuses)


def test_two_policies_differ_where_one_goes_further() -> None:
    hasty = life("NOUVEAU", "EN COURS", "RESOLU", people=(1, 2, 1))
    tidy = life("NOUVEAU", "EN COURS DE TEST", "RESOLU", people=(1, 2, 1), work_package=2)
    old, new = (list(judgements([hasty, tidy], court(policy))) for policy in (CEGAPE, STRICT))
    (found,) = differences([hasty, tidy], old, new)
    assert (found.life, found.told, found.old, found.new) == (hasty, hasty.changes[2], "reported", "put back")
    assert found.rules == ("resolu-apres-test",)


def test_a_difference_names_whose_rules_object_and_why_a_policy_leaves_a_move_undecided() -> None:
    def objects(*rules: str) -> Said:
        return said(Illegal(tuple(Objection(RuleId(one), Mode.ENFORCE, {}, (), "a test") for one in rules), ()))

    one = life("NOUVEAU", people=(1,))

    def differs(old: Said, new: Said) -> list[tuple[str, str, tuple[str, ...], str]]:
        found = differences([one], [[old]], [[new]])
        return [(each.old, each.new, each.rules, each.reason) for each in found]

    allowed, unknown = said(Allowed()), said(Undecided("nobody knows"))
    assert differs(allowed, said(Allowed("reopening"))) == []
    assert differs(allowed, objects("a", "b")) == [("allowed", "put back", ("a", "b"), "")]
    assert differs(objects("a", "b"), allowed) == [("put back", "allowed", ("a", "b"), "")]
    assert differs(allowed, unknown) == [("allowed", "undecided", (), "nobody knows")]
    assert differs(unknown, allowed) == [("undecided", "allowed", (), "")]
    for lives_, old, new in (([], [[allowed]], [[allowed]]), ([one], [[]], [[allowed]]), ([one], [[allowed]], [[]])):
        with pytest.raises(ValueError, match="zip"):
            list(differences(lives_, old, new))


def test_lives_that_differ_in_the_time_that_is_left_for_a_reason_are_judged_apart() -> None:
    now = START + 30 * 24 * 60 * MINUTE

    def rejected(before_now: int) -> Life:
        born = told(1, Kind.CREATION, None, IDS[CEGAPE.initial], 1, since=START, at=START)
        at = now - before_now
        rejected = told(2, Kind.MOVE, IDS[CEGAPE.initial], IDS[StatusName("REJETE")], 2, since=at, at=at)
        return Life(WorkPackageId(1), ProjectId(1), "alpha", "Bug", [born, rejected])

    in_time, late = rejected(15 * MINUTE), rejected(15 * MINUTE + 1)
    for several in ([in_time, late], [late, in_time]):
        words = [says[1].words for says in judgements(several, court(CEGAPE))]
        assert words == ["allowed" if one is in_time else "reported" for one in several]


@pytest.mark.parametrize("person", ["author", "NOUVEAU"])
def test_lives_that_differ_in_who_moved_are_judged_apart_where_a_rule_asks_for_it(person: str) -> None:
    """Whoever created a ticket is its author, and who set it to NOUVEAU."""
    other = replace(NOT_THE_AUTHOR, demand=OtherPerson(frozenset({person})))
    policy = replace(CEGAPE, rules=(*CEGAPE.rules, other))
    same, another = (life("NOUVEAU", "EN ATTENTE", people=(1, by)) for by in (1, 3))
    for several in ([same, another], [another, same]):
        found = [says[1].words for says in judgements(several, court(policy))]
        assert found == ["put back" if one is same else "allowed" for one in several]


@pytest.mark.parametrize("policy", [CEGAPE, STRICT, SCOPED], ids=["cegape", "strict", "scoped"])
@pytest.mark.parametrize(
    ("statuses", "people"),
    [
        pytest.param(("EN COURS DE TEST", "RESOLU", "EN COURS", "RESOLU"), (2, 1, 2, 1), id="reopened, so not tested"),
        pytest.param(("EN COURS DE TEST", "RESOLU", "REJETE", "RESOLU"), (2, 1, 2, 1), id="not reopened, so tested"),
        pytest.param(("RESOLU", "EN COURS", "RESOLU"), (1, 1, 1), id="taken back to where a reported move led"),
        pytest.param(
            ("RESOLU", "EN COURS", "RESOLU", "NOUVEAU"), (1, 1, 1, 1), id="and from there to where it was lawful"
        ),
        pytest.param(("EN COURS", "REJETE", "EN COURS"), (2, 1, 3), id="taken back to where it was lawful"),
        pytest.param(("RESOLU", "EN COURS", "NOUVEAU"), (2, 1, 1), id="taken back to before a reported move"),
        pytest.param(("REJETE", "EN ATTENTE"), (1, 3), id="a person with an exemption"),
    ],
)
def test_where_nothing_is_in_doubt_a_replay_says_what_following_the_ticket_says(
    policy: Policy, statuses: tuple[str, ...], people: tuple[int, ...]
) -> None:
    plain = life("NOUVEAU", *statuses, people=(1, *people), work_package=4)
    for one in (plain, plain._replace(identifier="beta", type="Feature")):
        assert list(judgements([one], court(policy))) == [followed(one, policy)]


def test_a_creation_that_may_hide_more_is_not_taken_for_a_plain_one() -> None:
    held = told(1, Kind.CREATION, None, IDS[StatusName("EN ATTENTE")], 1, since=START, at=START + MINUTE)
    (says,) = judgements([Life(WorkPackageId(1), ProjectId(1), "alpha", "Bug", [held])], court(STRICT))
    assert [one.words for one in says] == ["allowed"]


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (("beta", 1, 1), ("alpha", 1, 1), ("put back", "reported")),
        (("beta", 1, 1), ("beta", 2, 1), ("put back", "reported")),
        (("beta", 1, 4), ("beta", 3, 4), ("put back", "allowed")),
        (("beta", 3, 1), ("beta", 3, 4), ("put back", "allowed")),
    ],
    ids=["project", "party", "person", "ticket"],
)
def test_lives_in_doubt_that_differ_in_one_thing_are_judged_apart(
    one: tuple[str, int, int], other: tuple[str, int, int], says: tuple[str, str]
) -> None:
    def doubtful(project: str, person: int, work_package: int) -> Life:
        new, at, doubt = IDS[CEGAPE.initial], START + 120 * MINUTE, "no activity shows this change"
        born = told(1, Kind.CREATION, None, new, 1, doubt=doubt, since=START, at=START)
        resolved = told(2, Kind.MOVE, new, IDS[StatusName("RESOLU")], person, since=at, at=at)
        return Life(WorkPackageId(work_package), ProjectId(1), project, "Bug", [born, resolved])

    for first, second, words in ((one, other, says), (other, one, says[::-1])):
        found = judgements([doubtful(*first), doubtful(*second)], court(SCOPED))
        assert tuple(said_[1].words for said_ in found) == words


def test_lives_that_differ_in_how_near_a_comment_is_are_judged_apart() -> None:
    new, refused, at = IDS[CEGAPE.initial], IDS[StatusName("REJETE")], START + 60 * MINUTE
    changes = [
        told(1, Kind.CREATION, None, new, 1, since=START, at=START),
        told(2, Kind.MOVE, new, refused, 2, since=at, at=at),
    ]
    moved = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    near, far = (
        Life(WorkPackageId(1), ProjectId(1), "alpha", "Bug", changes, [Comment(ActivityId(9), UserId(2), when, "why")])
        for when in (moved + timedelta(minutes=15), moved + timedelta(minutes=15, microseconds=1))
    )
    for several in ([near, far], [far, near]):
        found = [says[1].words for says in judgements(several, court(CEGAPE))]
        assert found == ["allowed" if one is near else "reported" for one in several]


def test_a_life_without_its_beginning_or_with_a_strange_status_is_left_to_following_the_ticket() -> None:
    def step(activity: int, kind: Kind, origin: int | None, target: int, person: int) -> Told:
        at = START + activity * MINUTE
        return told(activity, kind, origin, target, person, since=at, at=at)

    new, doing, hold = (IDS[StatusName(name)] for name in ("NOUVEAU", "EN COURS", "EN ATTENTE"))
    orphan = [step(1, Kind.MOVE, doing, IDS[StatusName("REJETE")], 1)]
    strange = [
        step(1, Kind.CREATION, None, new, 1),
        step(2, Kind.MOVE, new, doing, 2),
        step(3, Kind.MOVE, doing, STRANGE, 2),
        step(4, Kind.MOVE, STRANGE, hold, 2),
        step(5, Kind.MOVE, hold, doing, 1),
    ]
    for changes, last in ((orphan, "undecided"), (strange, "allowed")):
        one = Life(WorkPackageId(1), ProjectId(1), "alpha", "Bug", changes)
        (says,) = judgements([one], court(CEGAPE))
        assert says == followed(one, CEGAPE)
        assert says[-1].words == last


@pytest.mark.parametrize("doubt", [None, "no activity shows this change"])
def test_a_comment_counts_as_the_reason_of_the_move_in_whose_activity_it_is(doubt: str | None) -> None:
    new, refused = IDS[CEGAPE.initial], IDS[StatusName("REJETE")]
    at = START + 60 * MINUTE
    changes = [
        told(1, Kind.CREATION, None, new, 1, doubt=doubt, since=START, at=START),
        told(2, Kind.MOVE, new, refused, 2, since=at, at=at),
    ]
    later = NOW - timedelta(days=29)
    with_it, elsewhere = (
        Life(WorkPackageId(1), ProjectId(1), "alpha", "Bug", changes, [Comment(activity, UserId(2), later, "because")])
        for activity in (ActivityId(2), ActivityId(3))
    )
    for several in ([with_it, elsewhere], [elsewhere, with_it]):
        found = [says[1].words for says in judgements(several, court(CEGAPE))]
        assert found == ["allowed" if one is with_it else "reported" for one in several]


def test_what_would_have_been_put_back_does_not_count_as_visited() -> None:
    pushed = life("NOUVEAU", "EN COURS DE TEST", "RESOLU", people=(1, 1, 1))
    (says,) = judgements([pushed], court(CEGAPE))
    assert [one.words for one in says] == ["allowed", "put back", "reported"]

"""What is put back, what is left alone, and why: the rules' "From when, and what counts", sentence by sentence.

The table of who may do what is the shipped policy's; where the policy alone does not show a thing, a small one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    Comment,
    Illegal,
    Judged,
    Kind,
    Mode,
    PartyName,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Undecided,
    UserId,
)
from bridge.domain.plan import Course, follow
from bridge.domain.policy import Exemption, Party, Policy, Rule, load
from bridge.domain.policy.rules import (
    After,
    Demand,
    Filled,
    ModeFor,
    NeedsComment,
    OnlyBy,
    OnlyInto,
    OtherPerson,
    SamePerson,
)
from bridge.domain.scene import Present, Scene
from bridge.domain.standing import Standing
from bridge.domain.timeline import derive
from tests.domain.strategies import BEGIN, BRIDGE, TICKET, WINDOW, Deed, Life, Move, Read, Save, Say, pauses

CEGAPE_YAML = Path(__file__).parents[2] / "config" / "cegape.yaml"

NOUVEAU, CLARIFIER, EN_COURS, EN_TEST, RESOLU, EN_ATTENTE, REJETE, NON_VALIDE = range(1, 9)
NEW, DOING, TESTING, DONE, HOLD = range(1, 6)

AGENT, OTHER_AGENT, SUPPORT, DEVELOPER, STRANGER, OWN = map(UserId, (11, 13, 12, 17, 15, BRIDGE))
CLIENT, STAFF = PartyName("client"), PartyName("cegape")
PARTIES: Mapping[int, PartyName] = {AGENT: CLIENT, OTHER_AGENT: CLIENT, SUPPORT: STAFF, DEVELOPER: STAFF}


@cache
def cegape() -> Policy:
    return load(CEGAPE_YAML.read_bytes(), "config/cegape.yaml")


@cache
def strict_cegape() -> Policy:
    """The same rules, every one of them enforced."""
    return replace(cegape(), rules=tuple(replace(rule, mode=Mode.ENFORCE) for rule in cegape().rules))


def rule(id: str, demand: Demand, *, into: int | None = None, mode: Mode = Mode.ENFORCE, **more: object) -> Rule:
    statuses = None if into is None else frozenset({SMALL_NAMES[into - 1]})
    return Rule(RuleId(id), {"en": id, "fr": id}, "a test", mode, demand, into=statuses, **more)  # type: ignore[arg-type]


SMALL_NAMES = tuple(map(StatusName, ("new", "doing", "testing", "done", "hold")))


def small(*rules: Rule, **more: object) -> Policy:
    """Five statuses, of which "done" is closed, and only the rules given."""
    parties = tuple(
        Party(name, {"en": name, "fr": name}, frozenset({name}), reverted=name == CLIENT) for name in (STAFF, CLIENT)
    )
    return Policy(
        hash="",
        name="small",
        parties=parties,
        statuses=SMALL_NAMES,
        initial=SMALL_NAMES[0],
        closed=frozenset({SMALL_NAMES[3]}),
        rules=rules,
        **more,  # type: ignore[arg-type]
    )


def minute(number: float) -> datetime:
    return BEGIN + timedelta(minutes=number)


def stand(user: UserId, earliest: datetime, latest: datetime) -> Standing:
    party = PARTIES.get(user)
    return Standing(party, "" if party else "the person holds no role of a party in this project")


def scene(
    policy: Policy | None = None, *, since: datetime = BEGIN, rules: Sequence[str] | None = None, **more: object
) -> Scene:
    """Every rule in force since ``since``, or only those of ``rules``."""
    policy = policy or cegape()
    in_force = [one.id for one in policy.rules if rules is None or one.id in rules]
    assert rules is None or len(in_force) == len(rules)
    settings: dict[str, object] = {"standing": stand, "now": minute(1_000)} | more
    return Scene(
        policy=policy,
        spelling={StatusId(number): name for number, name in enumerate(policy.statuses, start=1)},
        ids={name: StatusId(number) for number, name in enumerate(policy.statuses, start=1)},
        own=OWN,
        enforced_since=dict.fromkeys(in_force, since),
        **settings,  # type: ignore[arg-type]
    )


class History:
    """A ticket's proven changes, written one after the other, ten minutes apart."""

    def __init__(self, by: UserId, into: int = 1, **more: object) -> None:
        self.changes: list[StatusChange] = []
        self.comments: list[Comment] = []
        self._add(Kind.CREATION, by, None, into, more)

    def then(self, by: UserId, into: int | None, **more: object) -> History:
        self._add(Kind.MOVE, by, self.changes[-1].target, into, more)
        return self

    def said(self, by: UserId, at: float, activity: int | None = None) -> History:
        number = 900 + len(self.comments) if activity is None else activity
        self.comments.append(Comment(ActivityId(number), by, minute(at), "Voici pourquoi."))
        return self

    def _add(self, kind: Kind, by: UserId, origin: StatusId | None, into: int | None, more: dict[str, object]) -> None:
        number = len(self.changes) + 1
        at = minute(10 * (number - 1))
        change = StatusChange(
            key=ChangeKey(ActivityId(number), 0),
            kind=kind,
            origin=origin,
            target=None if into is None else StatusId(into),
            actor=by,
            earliest=at,
            latest=at,
            maybe_merged=False,
        )
        self.changes.append(replace(change, **more))  # type: ignore[arg-type]

    @property
    def timeline(self) -> Timeline:
        return Timeline(TICKET, tuple(self.changes), tuple(self.comments))

    def course(self, within: Scene | None = None) -> Course:
        return follow(self.timeline, within or scene())


def outcomes(course: Course) -> list[str]:
    """Each verdict in a word; for an illegal move the rules that object, in capitals where enforced."""
    words = []
    for judged in course.judged:
        match judged.verdict:
            case Illegal(objections):
                names = [o.rule.upper() if o.mode is Mode.ENFORCE else o.rule for o in objections]
                words.append(" ".join(names))
            case Allowed():
                words.append("allowed")
            case Undecided():
                words.append("undecided")
    return words


def put_back_to(course: Course) -> StatusId | None:
    return course.revert.to if course.revert else None


def test_a_ticket_of_which_nothing_is_known_stands_nowhere() -> None:
    assert follow(Timeline(TICKET, (), ()), scene()) == Course(TICKET, (), None, None, frozenset(), None)


# --- The legal state, and what stands against it --------------------------------------------------------------------


def test_a_clients_illegal_move_is_put_back_to_where_the_ticket_legally_was() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE)
    course = history.course()
    assert outcomes(course)[-1] == "REJETE-PAR-CEGAPE"
    assert course.revert is not None
    assert course.revert.work_package == TICKET
    assert course.revert.change == history.changes[-1]
    assert course.revert.to == EN_COURS
    assert course.revert.objection.rule == "rejete-par-cegape"
    assert course.revert.alternatives == ("EN ATTENTE",)
    assert (course.status, course.legal) == (REJETE, EN_COURS)


def test_a_legal_move_advances_the_legal_state() -> None:
    course = History(AGENT).then(AGENT, EN_ATTENTE).course()
    assert outcomes(course) == ["allowed", "allowed"]
    assert (course.legal, course.revert) == (EN_ATTENTE, None)
    assert course.visited == {"NOUVEAU", "EN ATTENTE"}


def test_an_illegal_move_of_cegape_is_reported_advances_the_legal_state_and_stands() -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(SUPPORT, RESOLU).course()
    assert outcomes(course)[-1] == "resolu-par-le-client resolu-apres-test"
    assert (course.legal, course.revert) == (RESOLU, None)


def test_a_second_illegal_move_goes_back_to_where_the_ticket_was_before_the_first() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(AGENT, EN_TEST)
    course = history.course()
    assert put_back_to(course) == EN_COURS
    assert course.revert is not None
    assert course.revert.change == history.changes[-1]


def test_a_move_that_its_author_took_back_is_reported_and_left_alone_and_taking_it_back_is_no_violation() -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(AGENT, EN_COURS).course()
    assert outcomes(course) == ["allowed", "allowed", "REJETE-PAR-CEGAPE", "allowed"]
    assert (course.legal, course.revert) == (EN_COURS, None)
    assert course.judged[-1].verdict == Allowed("puts the ticket back where it legally was")
    assert course.judged[-1].party == CLIENT


@pytest.mark.parametrize("by", [OTHER_AGENT, SUPPORT])
def test_somebody_else_may_take_it_back_as_well(by: UserId) -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, EN_TEST).then(by, EN_COURS).course()
    assert (outcomes(course)[-1], put_back_to(course)) == ("allowed", None)


def test_a_take_back_under_observe_is_no_violation_either() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(AGENT, EN_COURS)
    course = history.course(scene(rules=[]))
    assert outcomes(course)[-1] == "allowed"
    assert (course.legal, course.revert) == (EN_COURS, None)


def test_taking_back_a_legal_move_is_a_move_like_any_other() -> None:
    course = History(AGENT).then(AGENT, EN_ATTENTE).then(AGENT, NOUVEAU).course()
    assert outcomes(course)[-1] == "NOUVEAU-JAMAIS-A-LA-MAIN"
    assert put_back_to(course) == EN_ATTENTE


@pytest.mark.parametrize(("by", "into"), [(SUPPORT, CLARIFIER), (SUPPORT, RESOLU), (OTHER_AGENT, EN_ATTENTE)])
def test_an_illegal_move_that_somebody_has_moved_on_from_is_reported_and_left_alone(by: UserId, into: int) -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(by, into).course()
    assert "REJETE-PAR-CEGAPE" in outcomes(course)[2]
    assert (course.legal, course.revert) == (into, None)


def test_nobody_moves_a_ticket_back_to_nouveau() -> None:
    by_client = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, NOUVEAU).course()
    assert (outcomes(by_client)[-1], put_back_to(by_client)) == ("NOUVEAU-JAMAIS-A-LA-MAIN", EN_COURS)
    by_cegape = History(AGENT).then(SUPPORT, EN_COURS).then(SUPPORT, NOUVEAU).course()
    assert (outcomes(by_cegape)[-1], put_back_to(by_cegape)) == ("nouveau-jamais-a-la-main", None)


def test_where_cegape_led_the_ticket_away_from_is_nowhere_to_take_it_back_to() -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(SUPPORT, RESOLU).then(AGENT, EN_COURS).course()
    assert outcomes(course)[2:] == ["resolu-par-le-client resolu-apres-test", "EN-COURS-PAR-CEGAPE resolu-est-clos"]
    assert put_back_to(course) == RESOLU


# --- Creation ---


@pytest.mark.parametrize("into", [EN_COURS, RESOLU, EN_ATTENTE, REJETE])
def test_a_ticket_that_a_client_creates_elsewhere_is_put_back_to_the_initial_status(into: int) -> None:
    course = History(AGENT, into).course()
    assert outcomes(course)[0].startswith("CREATION-EN-NOUVEAU")
    assert put_back_to(course) == NOUVEAU
    assert course.visited == {"NOUVEAU"}


def test_a_ticket_that_cegape_creates_elsewhere_stays_there() -> None:
    course = History(SUPPORT, EN_COURS).course()
    assert (outcomes(course), course.legal, course.revert) == (["allowed"], EN_COURS, None)


def test_a_second_illegal_move_after_such_a_creation_is_put_back_to_the_initial_status_too() -> None:
    assert put_back_to(History(AGENT, RESOLU).then(AGENT, EN_COURS).course()) == NOUVEAU


def test_the_author_may_take_such_a_creation_back() -> None:
    course = History(AGENT, RESOLU).then(AGENT, NOUVEAU).course()
    assert (outcomes(course)[-1], course.legal, course.revert) == ("allowed", NOUVEAU, None)


# --- From when ---


@pytest.mark.parametrize(
    ("earliest", "back_to"),
    [
        (timedelta(milliseconds=-1), None),
        (timedelta(0), EN_COURS),
        (timedelta(milliseconds=1), EN_COURS),
    ],
)
def test_only_a_move_that_was_certainly_made_after_enforcement_began_is_put_back(
    earliest: timedelta, back_to: int | None
) -> None:
    began = minute(100)
    history = History(AGENT).then(SUPPORT, EN_COURS)
    history.then(AGENT, REJETE, earliest=began + earliest, latest=began + timedelta(minutes=1))
    course = history.course(scene(since=began))
    assert outcomes(course)[-1].startswith("REJETE-PAR-CEGAPE")
    assert put_back_to(course) == back_to
    assert course.legal == (back_to or REJETE)


def test_enforcement_begins_rule_by_rule() -> None:
    history = History(AGENT, RESOLU)
    assert put_back_to(history.course(scene(rules=["creation-en-nouveau"]))) == NOUVEAU
    assert put_back_to(history.course(scene(rules=["nouveau-jamais-a-la-main"]))) is None
    elsewhere = History(AGENT, EN_COURS)  # two rules object; either in force is enough
    course = elsewhere.course(scene(rules=["en-cours-par-cegape"]))
    assert put_back_to(course) == NOUVEAU
    assert course.revert is not None
    assert course.revert.objection.rule == "en-cours-par-cegape"


def test_an_illegal_move_from_before_enforcement_counts_as_legal() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, EN_TEST).then(AGENT, REJETE)
    assert put_back_to(history.course(scene(since=minute(25)))) == EN_TEST


def test_going_back_to_where_an_old_illegal_move_had_led_is_taking_back_too() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, EN_TEST).then(AGENT, REJETE).then(AGENT, EN_TEST)
    course = history.course(scene(since=minute(25)))
    assert outcomes(course)[-1] == "allowed"
    assert (course.legal, course.revert) == (EN_TEST, None)


def test_a_move_that_only_an_observed_rule_objects_to_counts_as_legal() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, RESOLU)
    untested = history.course()
    assert (outcomes(untested)[-1], untested.legal, untested.revert) == ("resolu-apres-test", RESOLU, None)
    after = history.then(AGENT, EN_COURS).course(scene(strict_cegape(), rules=["en-cours-par-cegape"]))
    assert after.legal == EN_COURS  # that takes it back
    elsewhere = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, RESOLU).then(AGENT, EN_TEST).course()
    assert put_back_to(elsewhere) == RESOLU


def test_an_enforced_rule_that_is_not_in_force_here_acts_on_nothing() -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).course(scene(rules=[]))
    assert outcomes(course)[-1].startswith("REJETE-PAR-CEGAPE")
    assert (course.legal, course.revert) == (REJETE, None)


# --- Doubt never acts ---


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"doubt": "names changed"}, "names changed"),
        ({"actor": None}, "the change does not say who moved the ticket, or where to"),
        ({"target": None}, "the change does not say who moved the ticket, or where to"),
        ({"project_certain": False}, "the ticket has changed project since, the roles of then are not known"),
        ({"actor": STRANGER}, "the person holds no role of a party in this project"),
        ({"target": StatusId(99)}, "the policy does not know this status"),
        ({"origin": StatusId(99)}, "the policy does not know this status"),
        ({"origin": None}, "the policy does not know this status"),
    ],
)
def test_what_cannot_be_decided_is_left_where_it_is_with_the_reason(more: Mapping[str, object], reason: str) -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE)
    history.changes[-1] = replace(history.changes[-1], **more)  # type: ignore[arg-type]
    course = history.course()
    assert course.judged[-1].verdict == Undecided(reason)
    assert course.revert is None
    assert course.legal == history.changes[-1].target


def test_after_an_undecided_move_the_next_illegal_one_goes_back_to_where_that_led() -> None:
    course = History(AGENT).then(STRANGER, EN_COURS).then(AGENT, REJETE).course()
    assert put_back_to(course) == EN_COURS


def test_from_a_status_that_nobody_knows_nothing_is_put_back() -> None:
    history = History(AGENT).then(SUPPORT, None, doubt="names changed").then(AGENT, REJETE, origin=StatusId(EN_COURS))
    course = history.course()
    reason = "the ticket may legally have been there before: not all its moves can be told"
    assert course.judged[-1].verdict == Undecided(reason)  # it may be where the ticket legally was before
    assert course.judged[-1].party == CLIENT
    assert course.revert is None
    reported = History(AGENT).then(SUPPORT, None, doubt="names changed").then(SUPPORT, RESOLU, origin=StatusId(3))
    assert outcomes(reported.course())[-1].startswith("resolu-par-le-client")


@pytest.mark.parametrize("unsure", [{"actor": STRANGER}, {"doubt": "names changed"}, {"project_certain": False}])
def test_a_move_that_nobody_could_judge_may_be_taken_back_like_an_illegal_one(unsure: Mapping[str, object]) -> None:
    history = History(AGENT).then(AGENT, EN_COURS, **unsure).then(AGENT, NOUVEAU)
    assert outcomes(history.course()) == ["allowed", "undecided", "allowed"]
    moved = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, EN_TEST, **unsure).then(AGENT, EN_COURS)
    assert outcomes(moved.course())[2:] == ["undecided", "allowed"]
    born = History(AGENT, EN_COURS, **unsure).then(AGENT, NOUVEAU)
    assert outcomes(born.course()) == ["undecided", "allowed"]


def test_a_move_that_is_only_allowed_if_an_earlier_one_stands_may_be_taken_back_while_that_is_in_doubt() -> None:
    """Whether EN COURS DE TEST counts as visited, and so whether CORRECTION NON VALIDE was legal, nobody can tell."""
    doubtful = History(AGENT).then(OTHER_AGENT, EN_TEST, maybe_moved_on=True).then(STRANGER, NOUVEAU)
    course = doubtful.then(AGENT, NON_VALIDE).then(AGENT, NOUVEAU).course()
    assert outcomes(course) == ["allowed", "undecided", "undecided", "allowed", "allowed"]
    assert course.revert is None
    tested = History(AGENT).then(SUPPORT, EN_TEST).then(STRANGER, NOUVEAU)
    course = tested.then(AGENT, NON_VALIDE).then(AGENT, NOUVEAU).course()
    assert (outcomes(course)[-1], put_back_to(course)) == ("NOUVEAU-JAMAIS-A-LA-MAIN", NON_VALIDE)
    again = doubtful.then(AGENT, NON_VALIDE).then(SUPPORT, EN_TEST).then(AGENT, NON_VALIDE).then(AGENT, EN_TEST)
    assert put_back_to(again.course()) == NON_VALIDE


def test_what_was_certainly_taken_back_is_no_place_to_go_back_to_though_other_moves_are_in_doubt() -> None:
    no_done, closed = rule("no-done", NOBODY, into=DONE), rule("closed", OnlyInto(frozenset()), origin=names(DONE))
    within = replace(scene(small(no_done, closed)), enforced_since={no_done.id: minute(45), closed.id: minute(45)})
    waiting = History(AGENT).then(STRANGER, DOING).then(AGENT, HOLD)
    course = waiting.then(AGENT, DONE).then(OTHER_AGENT, HOLD).then(AGENT, DONE).course(within)
    assert outcomes(course) == ["allowed", "undecided", "allowed", "NO-DONE", "allowed", "NO-DONE"]
    assert put_back_to(course) == HOLD


def test_where_the_reported_party_puts_a_ticket_it_belongs_though_it_only_came_back_there() -> None:
    def back_to_resolu(by: UserId) -> Course:
        return History(AGENT).then(AGENT, RESOLU).then(AGENT, EN_COURS).then(by, RESOLU).then(AGENT, NOUVEAU).course()

    assert outcomes(back_to_resolu(SUPPORT))[-2:] == ["allowed", "NOUVEAU-JAMAIS-A-LA-MAIN resolu-est-clos"]
    assert put_back_to(back_to_resolu(SUPPORT)) == RESOLU
    assert outcomes(back_to_resolu(AGENT))[-2:] == ["allowed", "allowed"]  # NOUVEAU is where it would be without them


def test_a_move_with_the_benefit_of_the_doubt_may_be_taken_back_too() -> None:
    born = History(AGENT, EN_ATTENTE, maybe_merged=True).then(AGENT, NOUVEAU)
    assert outcomes(born.course()) == ["allowed", "allowed"]
    certain = History(AGENT).then(AGENT, EN_ATTENTE).then(AGENT, NOUVEAU)
    assert outcomes(certain.course())[-1] == "NOUVEAU-JAMAIS-A-LA-MAIN"


def test_what_a_merged_activity_may_have_hidden_may_be_taken_back_too() -> None:
    """Set to RESOLU without a test and from there, though closed, to EN ATTENTE, all in one activity; then undone."""

    def waiting(**more: object) -> History:
        return History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, EN_ATTENTE, **more)

    for by in (AGENT, OTHER_AGENT):
        course = waiting(maybe_merged=True).then(by, EN_COURS).course()
        assert (outcomes(course)[-1], course.legal, course.revert) == ("undecided", EN_COURS, None)
        again = waiting(maybe_merged=True).then(by, NOUVEAU).then(OWN, EN_ATTENTE).then(by, EN_COURS).course()
        assert outcomes(again)[-3:] == ["NOUVEAU-JAMAIS-A-LA-MAIN", "allowed", "EN-COURS-PAR-CEGAPE"]
    assert put_back_to(waiting().then(AGENT, EN_COURS).course()) == EN_ATTENTE
    assert put_back_to(waiting(maybe_merged=True).then(AGENT, NOUVEAU).course()) == EN_ATTENTE
    settled = waiting(maybe_merged=True).then(SUPPORT, EN_TEST).then(AGENT, EN_COURS)
    assert put_back_to(settled.course()) == EN_TEST


def test_where_no_rule_could_object_to_what_an_activity_hides_nothing_is_excused() -> None:
    doing_by_staff = rule("doing-by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, HOLD, maybe_merged=True).then(AGENT, DOING)
    assert put_back_to(history.course(scene(small(doing_by_staff)))) == HOLD
    held_by_whom = rule("hold-before-testing", OnlyInto(names(NEW, DOING, HOLD)), origin=names(TESTING))
    assert put_back_to(history.course(scene(small(doing_by_staff, held_by_whom)))) == HOLD
    not_from_testing = rule("not-from-testing", OnlyInto(names(NEW, DOING)), origin=names(TESTING))
    assert outcomes(history.course(scene(small(doing_by_staff, not_from_testing))))[-1] == "undecided"


def test_a_rule_of_another_project_type_or_time_does_not_object_to_what_an_activity_hides() -> None:
    doing_by_staff = rule("doing-by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    since = (ModeFor(Mode.ENFORCE, since=minute(15)),)
    until = (ModeFor(Mode.ENFORCE, until=minute(15)),)
    limits: Mapping[str, tuple[Mapping[str, Any], bool]] = {
        "project": ({"projects": frozenset({"alpha"})}, True),
        "another project": ({"projects": frozenset({"beta"})}, False),
        "type": ({"types": frozenset({"Bug"})}, True),
        "another type": ({"types": frozenset({"Feature"})}, False),
        "since before": ({"mode": Mode.OFF, "mode_for": since}, True),
        "until before": ({"mode": Mode.OFF, "mode_for": until}, False),
    }
    for what, (limit, hides) in limits.items():
        not_from_testing = rule("not-from-testing", OnlyInto(names(NEW, DOING)), origin=names(TESTING), **limit)
        history = History(AGENT).then(SUPPORT, DOING).then(AGENT, HOLD, maybe_merged=True).then(AGENT, DOING)
        course = history.course(scene(small(doing_by_staff, not_from_testing), project="alpha", type="Bug"))
        assert put_back_to(course) == (None if hides else HOLD), what


def test_an_illegal_move_that_was_seen_before_it_was_merged_away_excuses_nothing() -> None:
    history = History(AGENT).then(AGENT, EN_ATTENTE).then(AGENT, EN_COURS).then(AGENT, EN_ATTENTE, maybe_merged=True)
    assert put_back_to(history.then(OTHER_AGENT, EN_COURS).course()) == EN_ATTENTE


def test_a_move_that_may_have_been_made_after_enforcement_began_may_be_taken_back() -> None:
    """Created in REJETE before enforcement, so that counts; then moved while it began, and moved back."""
    within = scene(since=minute(10), rules=["en-cours-par-cegape", "rejete-par-cegape"])
    for latest, says, back_to in [(9, "REJETE-PAR-CEGAPE", EN_COURS), (10, "undecided", None), (12, "undecided", None)]:
        history = History(AGENT, REJETE).then(AGENT, EN_COURS, earliest=minute(8), latest=minute(latest))
        course = history.then(AGENT, REJETE).course(within)
        assert (outcomes(course)[-1].split()[0], put_back_to(course)) == (says, back_to)


def test_a_move_that_may_have_been_made_after_its_exemption_ended_may_be_taken_back() -> None:
    """If it was, the ticket belongs where it was before, though an illegal move of before enforcement led there."""
    no_doing, no_hold = rule("no-doing", NOBODY, into=DOING), rule("no-hold", NOBODY, into=HOLD)
    exempt = Exemption("summer", "a test", "a test", until=minute(25), rules=frozenset({no_hold.id}))
    policy = small(no_doing, no_hold, exemptions=(exempt,))
    within = replace(scene(policy), enforced_since={no_doing.id: minute(15), no_hold.id: minute(0)})
    for latest, says, back_to in [(24, "NO-DOING", HOLD), (28, "undecided", None)]:
        history = History(AGENT).then(AGENT, DOING).then(AGENT, HOLD, latest=minute(latest))
        course = history.then(AGENT, DOING).course(within)
        assert (outcomes(course)[-1], put_back_to(course)) == (says, back_to)


def test_a_move_that_only_what_may_be_hidden_excuses_may_be_taken_back() -> None:
    no_doing = rule("no-doing", NOBODY, into=DOING)
    tested_first = rule("done-after-testing", After(names(TESTING)), into=DONE)
    since = {no_doing.id: minute(25), tested_first.id: minute(0)}
    within = replace(scene(small(no_doing, tested_first)), enforced_since=since)
    history = History(AGENT).then(SUPPORT, HOLD, maybe_merged=True).then(AGENT, DOING).then(AGENT, DONE)
    course = history.then(AGENT, DOING).course(within)
    assert outcomes(course)[2:] == ["NO-DOING", "DONE-AFTER-TESTING", "undecided"]
    assert course.revert is None


def test_what_may_be_hidden_stays_so_while_later_moves_are_taken_back() -> None:
    by_staff = (
        rule("by-staff", OnlyBy(frozenset({STAFF})), into=DOING),
        rule("tests", OnlyBy(frozenset({STAFF})), into=TESTING),
    )
    not_from_testing = rule("not-from-testing", OnlyInto(names(NEW, DOING)), origin=names(TESTING))
    held = History(AGENT).then(SUPPORT, DOING).then(AGENT, HOLD, maybe_merged=True)
    course = held.then(AGENT, TESTING).then(AGENT, HOLD).then(AGENT, DOING)
    assert outcomes(course.course(scene(small(*by_staff, not_from_testing))))[-2:] == ["allowed", "undecided"]


def test_what_may_be_hidden_stays_so_while_more_is_hidden_or_cannot_be_judged() -> None:
    by_staff = rule("by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    not_from_testing = rule("not-from-testing", OnlyInto(names(NEW, DOING)), origin=names(TESTING))
    within = scene(small(by_staff, not_from_testing))
    merged_again = History(AGENT).then(SUPPORT, DOING).then(AGENT, HOLD, maybe_merged=True).then(AGENT, DONE, **MERGED)
    assert outcomes(merged_again.then(AGENT, DOING).course(within))[-1] == "undecided"
    not_judged = History(AGENT).then(SUPPORT, DOING).then(AGENT, HOLD, maybe_merged=True).then(STRANGER, TESTING)
    assert outcomes(not_judged.then(AGENT, DOING).course(within))[-1] == "undecided"


def test_where_the_ticket_may_legally_be_stays_in_doubt_when_a_later_move_is_taken_back() -> None:
    """Whether the stranger was allowed to move it nobody can tell: it may be lawful before that move, and after it."""
    never_back, no_hold = rule("never-back", NOBODY, into=NEW), rule("no-hold", NOBODY, into=HOLD)
    by_staff = rule("by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    history = History(AGENT).then(STRANGER, DOING).then(AGENT, HOLD).then(AGENT, DOING).then(AGENT, NEW)
    course = history.course(scene(small(never_back, no_hold, by_staff)))
    assert outcomes(course) == ["allowed", "undecided", "NO-HOLD", "allowed", "allowed"]


def test_where_a_merged_move_may_have_led_stays_lawful_when_the_move_itself_is_taken_back() -> None:
    """It may have been on hold on its way to "done", when nothing forbade that yet."""
    by_staff = rule("by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    no_done, since = rule("no-done", NOBODY, into=DONE), (ModeFor(Mode.ENFORCE, since=minute(25)),)
    no_hold = rule("no-hold", NOBODY, into=HOLD, mode=Mode.OFF, mode_for=since)
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, DONE, maybe_merged=True).then(AGENT, DOING)
    course = history.then(AGENT, HOLD).course(scene(small(by_staff, no_done, no_hold)))
    assert outcomes(course)[2:] == ["NO-DONE", "allowed", "allowed"]


def test_a_merged_move_that_is_only_reported_may_be_taken_back_to_where_it_began() -> None:
    by_staff = rule("by-staff", OnlyBy(frozenset({STAFF})), into=DOING)
    no_done = rule("no-done", NOBODY, into=DONE, mode=Mode.OBSERVE)
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, DONE, **MERGED).then(AGENT, DOING)
    assert outcomes(history.course(scene(small(by_staff, no_done))))[2:] == ["no-done", "allowed"]


def test_where_a_merged_move_may_have_led_on_its_way_depends_on_the_rules_of_then() -> None:
    closed_stays_so = rule("done-is-closed", OnlyInto(names(NEW)), origin=names(DONE))
    no_done = rule("no-done", NOBODY, into=DONE)
    for until, says in [(5, "allowed"), (600, "DONE-IS-CLOSED NO-HOLD")]:
        no_hold = rule(
            "no-hold", NOBODY, into=HOLD, mode=Mode.OBSERVE, mode_for=(ModeFor(Mode.ENFORCE, until=minute(until)),)
        )
        history = History(AGENT).then(AGENT, DONE, **MERGED).then(OTHER_AGENT, HOLD)
        assert outcomes(history.course(scene(small(closed_stays_so, no_done, no_hold))))[-1] == says


def test_a_merged_move_may_be_taken_back_to_wherever_it_may_legally_have_led_on_its_way() -> None:
    """Created in NOUVEAU, put on hold and then set to RESOLU, all in one activity: somebody undoes the last alone."""
    born = History(AGENT, RESOLU, **MERGED)
    assert put_back_to(born.course(scene(strict_cegape()))) == NOUVEAU
    course = born.then(OTHER_AGENT, EN_ATTENTE).course(scene(strict_cegape()))
    assert outcomes(course) == ["CREATION-EN-NOUVEAU RESOLU-APRES-TEST", "allowed"]
    assert (course.legal, course.revert) == (EN_ATTENTE, None)
    moved = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE, **MERGED).then(AGENT, EN_ATTENTE)
    assert outcomes(moved.course(scene(strict_cegape())))[2:] == ["REJETE-PAR-CEGAPE", "allowed"]
    again = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE, **MERGED).then(OWN, EN_COURS)
    assert put_back_to(again.then(AGENT, REJETE).course(scene(strict_cegape()))) == EN_COURS


def test_a_status_that_the_policy_does_not_name_leaves_the_party_told_and_is_not_visited() -> None:
    course = History(AGENT).then(SUPPORT, 99).course()
    assert course.judged[-1] == Judged(
        course.judged[-1].change, Undecided("the policy does not know this status"), STAFF
    )
    assert course.visited == {"NOUVEAU"}


def test_the_party_is_the_one_of_the_whole_time_in_which_the_move_may_have_been_made() -> None:
    asked: list[tuple[UserId, datetime, datetime]] = []

    def remember(user: UserId, earliest: datetime, latest: datetime) -> Standing:
        asked.append((user, earliest, latest))
        return stand(user, earliest, latest)

    History(AGENT, latest=minute(3)).course(scene(standing=remember))
    assert (AGENT, minute(0), minute(3)) in asked
    assert {user for user, _, _ in asked} == {AGENT}
    asked.clear()
    History(AGENT).said(SUPPORT, 7).course(scene(standing=remember))
    assert (SUPPORT, minute(7), minute(7)) in asked


def test_a_move_that_somebody_may_have_moved_on_from_and_back_to_is_left_alone() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE, maybe_moved_on=True)
    course = history.course()
    reason = "a later activity was saved several times: it may hide a move on, and back"
    assert (course.judged[-1].verdict, course.revert) == (Undecided(reason), None)
    legal = History(AGENT).then(AGENT, EN_ATTENTE, maybe_moved_on=True).course()
    assert outcomes(legal)[-1] == "allowed"
    reported = History(AGENT).then(SUPPORT, RESOLU, maybe_moved_on=True).course()
    assert outcomes(reported)[-1].startswith("resolu-par-le-client")


# --- The bridge's own moves ---


def test_the_bridges_own_move_is_recorded_and_never_judged() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(OWN, EN_COURS, doubt="whatever")
    course = history.course()
    assert course.judged[-1] == Judged(history.changes[-1], Allowed("the bridge's own move"), None, own=True)
    assert [judged.own for judged in course.judged[:-1]] == [False, False, False]
    assert (course.legal, course.revert) == (EN_COURS, None)


def test_whoever_moves_it_again_is_put_back_again() -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE).then(OWN, EN_COURS).then(AGENT, REJETE)
    course = history.course()
    assert put_back_to(course) == EN_COURS
    assert course.revert is not None
    assert course.revert.change == history.changes[-1]


# --- Since it was last opened ---


def in_test() -> History:
    return History(AGENT).then(SUPPORT, EN_COURS).then(SUPPORT, EN_TEST)


def test_the_client_may_leave_the_test_and_come_back_to_it() -> None:
    course = in_test().then(AGENT, EN_ATTENTE).then(AGENT, RESOLU).course(scene(strict_cegape()))
    assert outcomes(course)[2:] == ["allowed", "allowed", "allowed"]
    assert course.visited == {"NOUVEAU", "EN COURS", "EN COURS DE TEST", "EN ATTENTE", "RESOLU"}
    assert course.judged[0].visited == frozenset()
    assert course.judged[4].visited == {"NOUVEAU", "EN COURS", "EN COURS DE TEST", "EN ATTENTE"}


def test_what_was_tested_before_it_was_closed_must_be_tested_again_after_it_was_reopened() -> None:
    by_client = in_test().then(AGENT, RESOLU).then(AGENT, NON_VALIDE).then(AGENT, RESOLU)
    course = by_client.course(scene(strict_cegape()))
    assert outcomes(course)[3:] == ["allowed", "allowed", "RESOLU-APRES-TEST"]
    assert put_back_to(course) == NON_VALIDE
    by_cegape = in_test().then(AGENT, RESOLU).then(SUPPORT, EN_COURS).then(AGENT, RESOLU)
    course = by_cegape.course(scene(strict_cegape()))
    assert course.judged[4].verdict == Allowed("reopening")
    assert outcomes(course)[-1] == "RESOLU-APRES-TEST"
    assert put_back_to(course) == EN_COURS


def test_from_one_closed_status_to_another_is_no_reopening() -> None:
    course = in_test().then(AGENT, RESOLU).then(SUPPORT, REJETE).course()
    assert course.visited == {"NOUVEAU", "EN COURS", "EN COURS DE TEST", "RESOLU", "REJETE"}


def test_an_illegal_move_that_is_put_back_visits_nothing_and_opens_nothing() -> None:
    history = in_test().then(AGENT, RESOLU).then(AGENT, EN_COURS)
    course = history.course()
    assert put_back_to(course) == RESOLU
    assert course.visited == {"NOUVEAU", "EN COURS", "EN COURS DE TEST", "RESOLU"}


# --- What OpenProject merged ---

MERGED: dict[str, object] = {"maybe_merged": True, "latest": minute(500)}
"""Saved more than once, until long after."""
MERGED_KINDLY = Allowed("the benefit of the doubt: OpenProject merged several moves, and there is a legal way")


def test_a_merged_activity_has_the_benefit_of_the_doubt_where_some_legal_way_leads_there() -> None:
    """Created in NOUVEAU and put on hold within five minutes, say: the activity only shows EN ATTENTE."""
    course = History(AGENT, EN_ATTENTE, **MERGED).course()
    assert course.judged[0].verdict == MERGED_KINDLY
    assert (course.legal, course.revert) == (EN_ATTENTE, None)


def test_a_way_over_another_status_counts_as_well() -> None:
    """The client does not reopen RESOLU by EN ATTENTE, but may by CORRECTION NON VALIDE, and then hold it."""
    direct = in_test().then(AGENT, RESOLU).then(AGENT, EN_ATTENTE).course(scene(strict_cegape()))
    assert (outcomes(direct)[-1], put_back_to(direct)) == ("RESOLU-EST-CLOS", RESOLU)
    merged = in_test().then(AGENT, RESOLU).then(AGENT, EN_ATTENTE, **MERGED).course(scene(strict_cegape()))
    assert merged.judged[-1].verdict == MERGED_KINDLY
    assert merged.revert is None


def test_a_merged_activity_that_no_legal_way_leads_to_is_put_back_all_the_same() -> None:
    course = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, REJETE, **MERGED).course()
    assert outcomes(course)[-1].startswith("REJETE-PAR-CEGAPE")
    assert put_back_to(course) == EN_COURS
    assert put_back_to(History(AGENT, REJETE, **MERGED).course()) == NOUVEAU


def test_a_rule_that_objects_by_every_way_is_reported_although_the_activity_is_merged() -> None:
    """A comment in the same five minutes is enough to make an activity look merged: it must hide nothing."""
    by_cegape = History(AGENT).then(SUPPORT, RESOLU, **MERGED).course()
    assert outcomes(by_cegape)[-1].startswith("resolu-par-le-client")
    unexplained = History(AGENT).then(SUPPORT, REJETE, **MERGED).course()
    assert outcomes(unexplained)[-1] == "rejete-avec-motif"
    untested = History(AGENT).then(SUPPORT, EN_COURS).then(AGENT, RESOLU, **MERGED).course()
    assert outcomes(untested)[-1] == "resolu-apres-test"


def test_a_merged_creation_keeps_the_objections_that_every_way_meets() -> None:
    """By NOUVEAU the creation is fine; RESOLU without a test is not, however the ticket came there."""
    course = History(AGENT, RESOLU, **MERGED).course()
    assert (outcomes(course), course.legal, course.revert) == (["resolu-apres-test"], RESOLU, None)
    merged, plain = course.judged[0].verdict, History(AGENT, RESOLU).course().judged[0].verdict
    assert isinstance(merged, Illegal)
    assert isinstance(plain, Illegal)
    assert merged.alternatives == plain.alternatives == ("NOUVEAU",)


def names(*numbers: int) -> frozenset[StatusName]:
    return frozenset(SMALL_NAMES[number - 1] for number in numbers)


NOBODY = OnlyBy(frozenset())
DOING_THEN_TESTING = rule("doing-then-testing", OnlyInto(names(TESTING)), origin=names(DOING))
NO_TESTING = rule("no-testing", NOBODY, into=TESTING)


def test_a_way_begins_where_the_ticket_stood() -> None:
    """From "new" there would be one; from "doing" the only way leads into "testing", which nobody may set."""
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, DONE, **MERGED)
    assert put_back_to(history.course(scene(small(DOING_THEN_TESTING, NO_TESTING)))) == DOING


def test_what_is_passed_on_the_way_counts_as_visited() -> None:
    after_hold = rule("done-after-hold", After(names(HOLD)), into=DONE)
    history = History(AGENT).then(AGENT, DONE, **MERGED)
    assert history.course(scene(small(after_hold))).judged[-1].verdict == MERGED_KINDLY


def test_a_way_that_is_no_better_changes_no_objection() -> None:
    no_done = rule("no-done", NOBODY, into=DONE)
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, DONE, **MERGED)
    course = history.course(scene(small(DOING_THEN_TESTING, no_done)))
    assert outcomes(course)[-1] == "DOING-THEN-TESTING NO-DONE"


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ENFORCE])
def test_where_the_only_better_way_hangs_on_facts_that_are_not_known_nobody_can_decide(mode: Mode) -> None:
    filled = rule("done-filled", Filled(frozenset({"Reason"})), into=DONE, origin=names(NEW, TESTING, HOLD))
    history = History(AGENT).then(SUPPORT, DOING).then(AGENT, DONE, **MERGED)
    course = history.course(scene(small(replace(DOING_THEN_TESTING, mode=mode), filled)))
    assert outcomes(course)[-1] == "undecided"
    only_from_hold = replace(filled, origin=names(HOLD))
    course = history.course(scene(small(replace(DOING_THEN_TESTING, mode=mode), only_from_hold)))
    assert course.judged[-1].verdict == MERGED_KINDLY  # by "testing"


def test_a_way_must_be_legal_in_this_project_for_this_type_at_this_time() -> None:
    """In project alpha the only way to "done" leads over a status that nobody may set there."""
    here: Mapping[str, Mapping[str, Any]] = {
        "projects": {"projects": frozenset({"alpha"})},
        "types": {"types": frozenset({"Bug"})},
        "time": {"mode": Mode.OBSERVE, "mode_for": (ModeFor(Mode.ENFORCE, since=minute(5)),)},
    }
    for kind, limits in here.items():
        policy = small(
            rule(
                "new-is-left-by-hold", OnlyInto(frozenset({SMALL_NAMES[HOLD - 1]})), origin=frozenset({SMALL_NAMES[0]})
            ),
            rule("no-hold", NOBODY, into=HOLD, **limits),
        )
        history = History(AGENT).then(AGENT, DONE, **MERGED)
        inside = scene(policy, project="alpha", type="Bug")
        assert put_back_to(history.course(inside)) == NEW, kind
        if kind != "time":
            outside = scene(policy, project="beta", type="Feature")
            assert history.course(outside).judged[-1].verdict == MERGED_KINDLY


FOUR_EYES = rule("four-eyes", OtherPerson(frozenset({"testing"})), into=DONE)


def test_four_eyes_are_asked_for_in_a_merged_activity_too() -> None:
    history = History(AGENT).then(OTHER_AGENT, TESTING).then(OTHER_AGENT, DONE, **MERGED)
    assert put_back_to(history.course(scene(small(FOUR_EYES)))) == TESTING


def test_what_a_merged_activity_may_have_hidden_excuses_the_next_persons_move() -> None:
    """CEGAPE may have set EN COURS DE TEST and EN ATTENTE within five minutes: only EN ATTENTE shows."""
    plain = History(AGENT).then(SUPPORT, EN_ATTENTE).then(AGENT, RESOLU).course(scene(strict_cegape()))
    assert (outcomes(plain)[-1], put_back_to(plain)) == ("RESOLU-APRES-TEST", EN_ATTENTE)
    merged = History(AGENT).then(SUPPORT, EN_ATTENTE, maybe_merged=True).then(AGENT, RESOLU)
    course = merged.course(scene(strict_cegape()))
    assert outcomes(course)[-1] == "RESOLU-APRES-TEST"
    assert (course.legal, course.revert) == (RESOLU, None)
    later = merged.then(SUPPORT, EN_COURS).then(AGENT, RESOLU).course(scene(strict_cegape()))
    assert put_back_to(later) == EN_COURS  # reopened since: nothing is hidden any more


def test_what_only_the_client_may_have_hidden_excuses_as_far_as_the_client_may_go() -> None:
    history = History(AGENT).then(AGENT, EN_ATTENTE, maybe_merged=True).then(AGENT, RESOLU)
    assert put_back_to(history.course(scene(strict_cegape()))) == EN_ATTENTE
    needs_hold = rule("done-after-hold", After(frozenset({SMALL_NAMES[HOLD - 1]})), into=DONE)
    history = History(AGENT).then(AGENT, DOING, maybe_merged=True).then(OTHER_AGENT, DONE)
    assert put_back_to(history.course(scene(small(needs_hold)))) is None


def test_what_a_client_may_have_hidden_depends_on_where_the_ticket_stood_and_when_and_adds_up() -> None:
    tested_first = rule("done-after-testing", After(names(TESTING)), into=DONE)
    narrow = (
        rule("hold-then-doing", OnlyInto(names(DOING)), origin=names(HOLD)),
        rule("doing-then-hold-or-done", OnlyInto(names(HOLD, DONE)), origin=names(DOING)),
    )
    held = {"maybe_merged": True}
    from_hold = History(AGENT).then(AGENT, HOLD).then(AGENT, DOING, **held).then(OTHER_AGENT, DONE)
    assert put_back_to(from_hold.course(scene(small(tested_first, *narrow)))) == DOING
    from_new = History(AGENT).then(AGENT, HOLD, **held).then(AGENT, DOING, **held).then(OTHER_AGENT, DONE)
    assert put_back_to(from_new.course(scene(small(tested_first, *narrow)))) is None
    forbidden_then = replace(NO_TESTING, mode=Mode.OBSERVE, mode_for=(ModeFor(Mode.ENFORCE, until=minute(5)),))
    later = History(AGENT).then(AGENT, DOING, **held).then(OTHER_AGENT, DONE)
    assert put_back_to(later.course(scene(small(tested_first, forbidden_then)))) is None


def test_what_an_activity_hides_that_was_saved_again_counts_like_what_a_merged_one_hides() -> None:
    elsewhere: dict[str, object] = {"maybe_been_elsewhere": True}
    by_cegape = History(AGENT).then(SUPPORT, EN_COURS, **elsewhere).then(AGENT, RESOLU)
    assert put_back_to(by_cegape.course(scene(strict_cegape()))) is None
    by_client = History(AGENT, NOUVEAU, **elsewhere).then(AGENT, RESOLU)
    assert put_back_to(by_client.course(scene(strict_cegape()))) == NOUVEAU
    by_anybody = History(AGENT, NOUVEAU, **elsewhere, maybe_moved_on=True).then(AGENT, RESOLU)
    assert put_back_to(by_anybody.course(scene(strict_cegape()))) is None
    after_the_bridge = History(AGENT).then(AGENT, EN_COURS).then(OWN, NOUVEAU, **elsewhere).then(AGENT, RESOLU)
    assert put_back_to(after_the_bridge.course(scene(strict_cegape()))) is None


def test_an_activity_that_was_saved_again_may_hide_what_lies_beyond_its_own_move_as_well() -> None:
    """The move to "testing" was illegal, but before enforcement; from there alone the person could put it on hold."""
    after_hold = rule("done-after-hold", After(names(HOLD)), into=DONE)
    narrow = (
        rule("new-then-doing", OnlyInto(names(DOING)), origin=names(NEW)),
        rule("doing-then-testing", OnlyInto(names(TESTING)), origin=names(DOING)),
        rule("no-hold-once", NOBODY, into=HOLD, mode=Mode.OFF, mode_for=(ModeFor(Mode.ENFORCE, until=minute(5)),)),
    )
    within = scene(small(after_hold, NO_TESTING, *narrow), rules=["done-after-hold"])
    for more, back_to in ({"maybe_been_elsewhere": True}, None), ({"maybe_merged": True}, TESTING):
        history = History(AGENT).then(SUPPORT, DOING).then(AGENT, TESTING, **more).then(OTHER_AGENT, DONE)
        assert put_back_to(history.course(within)) == back_to
    testing_then_done = rule("testing-then-done", OnlyInto(names(DONE)), origin=names(TESTING))
    before_it = History(AGENT).then(SUPPORT, DOING).then(AGENT, TESTING, maybe_been_elsewhere=True)
    course = before_it.then(OTHER_AGENT, DONE).course(scene(small(after_hold, testing_then_done)))
    assert put_back_to(course) is None


@pytest.mark.parametrize(
    "unsure", [{"doubt": "names changed"}, {"doubt": "names changed", "target": None}, {"actor": STRANGER, **MERGED}]
)
def test_a_status_that_the_ticket_may_have_been_in_counts_as_visited_where_it_would_be_put_back(
    unsure: Mapping[str, object],
) -> None:
    history = History(AGENT).then(SUPPORT, EN_COURS, **unsure).then(SUPPORT, EN_ATTENTE, origin=StatusId(EN_COURS))
    course = history.then(AGENT, RESOLU).course(scene(strict_cegape()))
    assert (outcomes(course)[-1], put_back_to(course)) == ("RESOLU-APRES-TEST", None)


def test_a_status_that_the_policy_does_not_name_makes_nobody_forget_what_came_before() -> None:
    history = in_test().then(SUPPORT, 99).then(SUPPORT, EN_ATTENTE).then(AGENT, RESOLU)
    assert outcomes(history.course(scene(strict_cegape())))[-1] == "allowed"


def test_a_move_is_put_back_only_if_it_is_illegal_at_both_ends_of_the_time_in_which_it_was_made() -> None:
    """An exemption ran out in the meantime; a rule was enforced only since then."""
    no_hold = rule("no-hold", NOBODY, into=HOLD)
    exempt = Exemption("summer", "a test", "a test", until=minute(15))
    since = replace(no_hold, mode=Mode.OBSERVE, mode_for=(ModeFor(Mode.ENFORCE, since=minute(15)),))
    until = replace(no_hold, mode=Mode.OBSERVE, mode_for=(ModeFor(Mode.ENFORCE, until=minute(15)),))
    passed = History(AGENT).then(AGENT, HOLD, earliest=minute(10), latest=minute(15))
    assert put_back_to(passed.course(scene(small(until)))) is None
    for policy in (small(no_hold, exemptions=(exempt,)), small(since)):
        for earliest, latest, back_to in [(10, 14, None), (10, 15, None), (15, 15, NEW), (15, 20, NEW)]:
            history = History(AGENT).then(AGENT, HOLD, earliest=minute(earliest), latest=minute(latest))
            assert put_back_to(history.course(scene(policy))) == back_to


def test_a_creation_that_the_server_saves_twice_by_itself_is_not_merged() -> None:
    """15.4 does so within a few milliseconds (contract A.3)."""
    for seconds, back_to in [(0.03, NOUVEAU), (2, NOUVEAU), (2.001, None)]:
        born = History(AGENT, EN_ATTENTE, maybe_merged=True, latest=minute(0) + timedelta(seconds=seconds))
        assert put_back_to(born.course(scene(saves_creation_twice=True))) == back_to
        assert put_back_to(born.course()) is None
    moved = History(AGENT).then(SUPPORT, EN_TEST).then(AGENT, RESOLU)
    moved.then(AGENT, EN_ATTENTE, maybe_merged=True)
    assert moved.course(scene(strict_cegape(), saves_creation_twice=True)).revert is None


# --- What a judgement is made of ---


def test_a_reason_is_a_comment_of_the_right_party_in_the_activity_or_near_it() -> None:
    def rejected() -> History:
        return History(AGENT).then(SUPPORT, REJETE)  # at minute 10, in activity 2

    verdicts = {
        "allowed": [
            rejected().said(SUPPORT, 400, activity=2),
            rejected().said(DEVELOPER, 24),
            rejected().said(SUPPORT, 0),
        ],
        "rejete-avec-motif": [
            rejected(),
            rejected().said(AGENT, 10, activity=2),
            rejected().said(STRANGER, 10),
            rejected().said(OWN, 10, activity=2),
            rejected().said(SUPPORT, 26),
        ],
    }
    for verdict, histories in verdicts.items():
        assert [outcomes(history.course())[-1] for history in histories] == [verdict] * len(histories)


def test_while_there_is_time_for_a_reason_the_move_is_allowed_and_to_be_judged_again() -> None:
    course = History(AGENT).then(SUPPORT, REJETE).course(scene(now=minute(12)))
    assert course.judged[-1].verdict == Allowed(review_at=minute(25))


def test_a_reason_given_right_after_the_earliest_moment_of_a_move_keeps_it_from_being_put_back() -> None:
    """The activity was saved again much later, by an edit of its comment, say."""
    reason = rule("hold-with-reason", NeedsComment(frozenset({CLIENT}), timedelta(minutes=15)), into=HOLD)
    held = History(AGENT).then(AGENT, HOLD, latest=minute(300))
    assert put_back_to(held.course(scene(small(reason)))) == NEW
    assert put_back_to(held.said(OTHER_AGENT, 12).course(scene(small(reason)))) is None


def test_only_the_last_move_is_judged_by_what_the_ticket_is_like_now() -> None:
    filled = rule("done-filled", Filled(frozenset({"Reason"})), into=DONE)
    assigned = rule("hold-by-assignee", SamePerson(frozenset({"assignee"})), into=HOLD)
    within = scene(small(filled, assigned), present=Present(str(OTHER_AGENT), {"Reason": ""}))
    assert put_back_to(History(AGENT).then(AGENT, DONE).course(within)) == NEW
    assert put_back_to(History(AGENT).then(AGENT, HOLD).course(within)) == NEW
    assert put_back_to(History(AGENT).then(OTHER_AGENT, HOLD).course(within)) is None
    assert outcomes(History(AGENT).then(AGENT, DONE).then(SUPPORT, DOING).course(within))[1] == "undecided"
    assert outcomes(History(AGENT).then(AGENT, HOLD).then(SUPPORT, DOING).course(within))[1] == "undecided"
    unknown = scene(small(filled, assigned))
    assert outcomes(History(AGENT).then(AGENT, DONE).course(unknown))[-1] == "undecided"
    assert outcomes(History(AGENT).then(AGENT, HOLD).course(unknown))[-1] == "undecided"


def test_the_author_is_who_created_the_ticket() -> None:
    by_author = scene(small(rule("done-by-author", SamePerson(frozenset({"author"})), into=DONE)))
    assert outcomes(History(AGENT).then(AGENT, DONE).course(by_author))[-1] == "allowed"
    assert put_back_to(History(AGENT).then(OTHER_AGENT, DONE).course(by_author)) == NEW
    orphan = History(AGENT, doubt="the creation is missing").then(AGENT, DONE)
    orphan.changes[0] = replace(orphan.changes[0], kind=Kind.MOVE)
    assert outcomes(orphan.course(by_author))[-1] == "undecided"
    nobody = History(AGENT).then(AGENT, DONE)
    nobody.changes[0] = replace(nobody.changes[0], actor=None)
    assert outcomes(nobody.course(by_author))[-1] == "undecided"


def test_rules_of_another_project_or_type_do_not_object() -> None:
    policy = small(
        rule("no-hold-in-alpha", NOBODY, into=HOLD, projects=frozenset({"alpha"})),
        rule("no-done-for-bugs", NOBODY, into=DONE, types=frozenset({"Bug"})),
    )
    held, done = History(AGENT).then(AGENT, HOLD), History(AGENT).then(AGENT, DONE)
    assert put_back_to(held.course(scene(policy, project="alpha", type="Bug"))) == NEW
    assert put_back_to(held.course(scene(policy, project="beta", type="Bug"))) is None
    assert put_back_to(done.course(scene(policy, project="beta", type="Bug"))) == NEW
    assert put_back_to(done.course(scene(policy, project="beta", type="Feature"))) is None


def test_exemptions_of_a_person_or_a_ticket_reach_the_judgement() -> None:
    no_hold = rule("no-hold", NOBODY, into=HOLD)
    for whose in ({"people": frozenset({str(AGENT)})}, {"tickets": frozenset({int(TICKET)})}):
        exempt = Exemption("summer", "a test", "a test", until=minute(999), **whose)
        course = History(AGENT).then(AGENT, HOLD).course(scene(small(no_hold, exemptions=(exempt,))))
        assert course.judged[-1].verdict == Allowed("exemption summer", "summer")
    other = Exemption("summer", "a test", "a test", until=minute(999), people=frozenset({str(OTHER_AGENT)}))
    assert put_back_to(History(AGENT).then(AGENT, HOLD).course(scene(small(no_hold, exemptions=(other,))))) == NEW


def test_four_eyes_means_another_person_than_who_last_set_the_status_before() -> None:
    within = scene(small(FOUR_EYES))
    assert put_back_to(History(AGENT).then(OTHER_AGENT, TESTING).then(AGENT, DONE).course(within)) is None
    history = History(AGENT).then(OTHER_AGENT, TESTING).then(AGENT, DOING).then(AGENT, TESTING)
    assert put_back_to(history.then(AGENT, DONE).course(within)) == TESTING
    again = History(AGENT).then(AGENT, TESTING).then(OTHER_AGENT, DONE).then(OTHER_AGENT, DOING).then(AGENT, DONE)
    assert put_back_to(again.course(within)) is None  # reopened since: nobody has set it


def test_a_move_that_is_put_back_and_the_bridges_own_do_not_count_as_setting_a_status() -> None:
    same = rule("done-by-who-created", SamePerson(frozenset({"new"})), into=DONE)
    never_back = rule("never-back", NOBODY, into=NEW)
    history = History(AGENT).then(SUPPORT, DOING).then(OTHER_AGENT, NEW).then(OWN, DOING).then(AGENT, DONE)
    course = history.course(scene(small(same, never_back)))
    assert (outcomes(course)[2], outcomes(course)[-1]) == ("NEVER-BACK", "allowed")
    history = History(AGENT).then(SUPPORT, DOING).then(OWN, NEW).then(AGENT, DONE)
    assert outcomes(history.course(scene(small(same))))[-1] == "allowed"


@pytest.mark.parametrize("unsure", [{"maybe_merged": True}, {"doubt": "names changed"}])
def test_who_set_a_status_is_not_known_where_something_may_be_hidden(unsure: Mapping[str, object]) -> None:
    """SUPPORT may have set "testing" in passing; then DEVELOPER, not AGENT, would be the second pair of eyes."""
    history = History(AGENT).then(AGENT, TESTING).then(SUPPORT, HOLD, **unsure).then(AGENT, DONE)
    assert put_back_to(history.course(scene(small(FOUR_EYES)))) is None
    plain = History(AGENT).then(AGENT, TESTING).then(SUPPORT, HOLD).then(AGENT, DONE)
    assert put_back_to(plain.course(scene(small(FOUR_EYES)))) == HOLD


# --- Properties -----------------------------------------------------------------------------------------------------

_persons = st.sampled_from([AGENT, OTHER_AGENT, SUPPORT, STRANGER, OWN])
_statuses = st.integers(1, 8)


@st.composite
def histories(draw: st.DrawFn) -> History:
    def more() -> dict[str, object]:
        doubtful = draw(st.integers(0, 5)) == 0
        later = draw(st.sampled_from([0, 0, 0, 1]))
        chosen: dict[str, object] = {"maybe_merged": draw(st.booleans())} if later else {}
        return chosen | ({"doubt": "names changed"} if doubtful else {})

    history = History(draw(_persons), draw(st.sampled_from([NOUVEAU, NOUVEAU, RESOLU, EN_ATTENTE, REJETE])), **more())
    for _ in range(draw(st.integers(0, 6))):
        others = [status for status in range(1, 9) if status != history.changes[-1].target]
        history.then(draw(_persons), draw(st.sampled_from(others)), **more())
    return history


_policies: st.SearchStrategy[Callable[[], Policy]] = st.sampled_from([cegape, strict_cegape])
_since = st.integers(-1, 70).map(minute)


@settings(max_examples=150)
@given(histories(), _policies, _since)
def test_a_revert_answers_a_certain_enforceable_illegal_last_move_and_leads_elsewhere(
    history: History, policy: Callable[[], Policy], since: datetime
) -> None:
    course = history.course(scene(policy(), since=since))
    assert [judged.change for judged in course.judged] == history.changes
    assert course.status == history.changes[-1].target
    if course.revert is not None:
        last = course.judged[-1]
        assert course.revert.change == last.change
        assert isinstance(last.verdict, Illegal)
        assert course.revert.objection in last.verdict.objections
        assert course.revert.objection.mode is Mode.ENFORCE
        assert last.party == CLIENT
        assert not last.own
        assert last.change.doubt is None
        assert last.change.earliest >= since
        assert course.revert.to == course.legal
        assert course.legal != course.status


@settings(max_examples=100)
@given(histories(), _policies)
def test_only_what_is_allowed_can_hang_on_doubt_and_only_on_something_that_is_in_doubt(
    history: History, policy: Callable[[], Policy]
) -> None:
    doubt = False
    for judged in history.course(scene(policy())).judged:
        assert not judged.hangs_on_doubt or (doubt and isinstance(judged.verdict, Allowed))
        doubt = doubt or isinstance(judged.verdict, Undecided) or judged.change.maybe_merged


@settings(max_examples=150)
@given(histories(), _policies, _since)
def test_where_nothing_is_to_be_put_back_the_ticket_stands_where_it_legally_would(
    history: History, policy: Callable[[], Policy], since: datetime
) -> None:
    course = history.course(scene(policy(), since=since))
    assert (course.revert is None) is (course.legal == course.status)


@settings(max_examples=100)
@given(histories(), _policies, _since, st.data())
def test_what_happens_later_changes_no_verdict(
    history: History, policy: Callable[[], Policy], since: datetime, data: st.DataObject
) -> None:
    course = history.course(scene(policy(), since=since))
    cut = data.draw(st.integers(0, len(history.changes)))
    history.changes = history.changes[:cut]
    assert follow(history.timeline, scene(policy(), since=since)).judged == course.judged[:cut]


@settings(max_examples=100)
@given(histories(), _policies)
def test_before_enforcement_nothing_is_put_back_and_the_ticket_stands_where_it_is(
    history: History, policy: Callable[[], Policy]
) -> None:
    course = history.course(scene(policy(), since=minute(10_000)))
    assert course.revert is None
    assert course.legal == course.status


@settings(max_examples=100)
@given(histories(), _policies)
def test_once_the_bridge_has_put_a_ticket_back_it_is_content(history: History, policy: Callable[[], Policy]) -> None:
    course = history.course(scene(policy()))
    if course.revert is not None:
        after = history.then(OWN, course.revert.to).course(scene(policy()))
        assert (after.revert, after.legal, after.visited) == (None, course.legal, course.visited)


def true_history(life: Life) -> Timeline:
    """What somebody would have seen who read after every save."""
    changes: list[StatusChange] = []
    for journal in life.journals:
        for part, (at, status) in enumerate(journal.moved):
            changes.append(
                StatusChange(
                    key=ChangeKey(ActivityId(journal.id), part),
                    kind=Kind.MOVE if changes else Kind.CREATION,
                    origin=changes[-1].target if changes else None,
                    target=StatusId(status),
                    actor=UserId(journal.user),
                    earliest=at,
                    latest=at,
                    maybe_merged=False,
                )
            )
    return Timeline(TICKET, tuple(changes), ())


_likely = st.one_of(
    st.builds(Move, st.sampled_from([AGENT, OTHER_AGENT]), st.sampled_from([RESOLU, EN_ATTENTE, NON_VALIDE])),
    st.builds(Move, st.just(int(SUPPORT)), st.sampled_from([EN_COURS, EN_TEST, EN_ATTENTE])),
)
_deeds: st.SearchStrategy[Deed] = st.one_of(
    _likely,
    _likely,
    st.builds(Move, st.sampled_from([AGENT, OTHER_AGENT, SUPPORT]), _statuses),
    st.builds(Say, st.sampled_from([AGENT, SUPPORT]), st.just("Bonjour")),
    st.builds(Save, st.sampled_from([AGENT, SUPPORT]), subject=st.integers(0, 3)),
    st.builds(Read),
    st.builds(Read),
)


@settings(max_examples=100)
@given(
    born_in=st.sampled_from([NOUVEAU, NOUVEAU, NOUVEAU, RESOLU, EN_ATTENTE]),
    window=st.sampled_from([WINDOW, WINDOW, timedelta(0)]),
    deeds=st.lists(st.tuples(pauses, _deeds), max_size=10),
)
def test_nobody_is_put_back_who_made_only_legal_moves_however_the_server_merged_them(
    born_in: int, window: timedelta, deeds: Sequence[tuple[timedelta, Deed]]
) -> None:
    """The bridge plays along: it reads OpenProject's journals at random moments, and puts back what it plans."""
    life = Life(window=window, author=int(AGENT), born_in=born_in)
    within = scene(strict_cegape(), now=minute(1_000_000))
    for pause, deed in [*deeds, (timedelta(seconds=1), Read())]:
        life.run([(pause, deed)])
        if not isinstance(deed, Read):
            continue
        course = follow(derive(TICKET, life.revisions, life.known_names(), present=StatusId(life.status)), within)
        if course.revert is None:
            continue
        truth = [
            judged.verdict
            for judged in follow(true_history(life), within).judged
            if judged.change.key.activity == course.revert.change.key.activity
        ]
        assert any(isinstance(verdict, Illegal) for verdict in truth)
        life.run([(timedelta(seconds=1), Move(BRIDGE, course.revert.to)), (timedelta(seconds=1), Read())])
        again = follow(derive(TICKET, life.revisions, life.known_names(), present=StatusId(life.status)), within)
        assert again.revert is None

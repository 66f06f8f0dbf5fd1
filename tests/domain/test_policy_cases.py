"""Cases are read to the moves that they mean, and what is wrong with a case or its verdict is told in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.model import CommentBy, Mode, Move
from bridge.domain.policy import Policy, load
from bridge.domain.policy.cases import Case, Outcome, load_cases, run
from bridge.domain.policy.rules import Exemption
from bridge.errors import PolicyError
from tests.domain.test_policy_reading import EVERY_WORD, SMALL

POLICY = load(SMALL, "p.yaml")
STAFF, CLIENT = (party.name for party in POLICY.parties)
NEW, DOING, DONE = POLICY.statuses
LONG_AGO = datetime(2000, 1, 1, 9, tzinfo=UTC)


def cases(*lines: str, policy: Policy = POLICY) -> tuple[Case, ...]:
    return load_cases("cases:\n" + "".join(f"  - {{{line}}}\n" for line in lines), "c.yaml", policy)


def moves(line: str) -> list[tuple[str, str | None, str]]:
    (case,) = cases(line)
    return [(move.party, move.origin, move.target) for move in case.moves]


def test_a_case_that_says_little_is_one_plain_move_judged_a_day_later() -> None:
    (case,) = cases("name: n, by: client, from: new, into: doing, expect: allowed")
    move = Move(CLIENT, NEW, DOING, frozenset({NEW}), LONG_AGO, LONG_AGO + timedelta(days=1), fields=None, movers=None)
    assert case == Case("n", 2, "allowed", frozenset(), None, (move,))


def test_every_fact_of_a_case_reaches_its_move() -> None:
    at = datetime(2026, 12, 31, tzinfo=UTC)
    (case,) = cases(
        "name: n, by: client, history: [new, doing], into: done, project: alpha, type: Bug, ticket: 42, on: 2026-12-31,"
        " later: 2 hours, comment: {by: staff, after: 5 minutes}, fields: {Risk: High, Size: ''}, person: 7,"
        " persons: {author: 7, assignee: 8, doing: 9}, expect: put back, rules: done-by-both, exemption: e",
        policy=replace(POLICY, exemptions=(Exemption("e", "an owner", "a reason", at),)),
    )
    (move,) = case.moves
    assert move == Move(
        party=CLIENT,
        origin=DOING,
        target=DONE,
        visited=frozenset({NEW, DOING}),
        at=at,
        now=at + timedelta(hours=2),
        project="alpha",
        type="Bug",
        person="7",
        ticket=42,
        comments=(CommentBy(STAFF, at + timedelta(minutes=5), same_activity=False),),
        author="7",
        assignee="8",
        fields={"Risk": "High", "Size": ""},
        movers={DOING: "9"},
    )
    assert (case.expect, list(case.rules), case.exemption) == ("put back", ["done-by-both"], "e")


@pytest.mark.parametrize(
    ("comment", "near"),
    [
        ("{by: staff}", CommentBy(STAFF, LONG_AGO, same_activity=True)),
        ("{by: client, after: 5 minutes}", CommentBy(CLIENT, LONG_AGO + timedelta(minutes=5), same_activity=False)),
        ("{by: client, before: 1 hour}", CommentBy(CLIENT, LONG_AGO - timedelta(hours=1), same_activity=False)),
    ],
)
def test_a_comment_is_in_the_same_activity_or_before_the_move_or_after_it(comment: str, near: CommentBy) -> None:
    (case,) = cases(f"name: n, by: client, from: new, into: doing, expect: allowed, comment: {comment}")
    assert case.moves[0].comments == (near,)


def test_a_case_may_stand_for_many_moves_in_the_order_of_the_policy() -> None:
    assert moves("name: n, by: [client, staff], from: creation, into: anywhere, expect: allowed") == [
        (party, None, status) for party in (STAFF, CLIENT) for status in (NEW, DOING, DONE)
    ]
    assert moves("name: n, by: client, from: anywhere, into: [done, new], expect: allowed") == [
        (CLIENT, NEW, DONE),
        (CLIENT, DOING, NEW),
        (CLIENT, DOING, DONE),
        (CLIENT, DONE, NEW),
    ]
    assert moves("name: n, by: client, from: [new, creation], into: doing, expect: allowed") == [
        (CLIENT, None, DOING),
        (CLIENT, NEW, DOING),
    ]


def test_what_a_history_has_visited_begins_anew_when_the_ticket_is_opened_again() -> None:
    def visited(line: str) -> set[str]:
        (case,) = cases(f"name: n, by: client, {line}, expect: allowed")
        return set(case.moves[0].visited)

    assert visited("from: creation, into: new") == set()
    assert visited("history: [new, doing], into: done") == {NEW, DOING}
    assert visited("history: [new, doing], from: done, into: new") == {NEW, DOING, DONE}
    assert visited("history: [new, done, doing], into: new") == {DOING}
    assert visited("history: [new, done], from: doing, into: new") == {DOING}


TO_DONE = "by: client, from: new, into: done"


@pytest.mark.parametrize(
    ("case", "place", "complaint", "hint"),
    [
        ("by: client, into: done, expect: allowed", "name", "this case begins nowhere", "give it 'from' or 'history'"),
        (f"{TO_DONE}, expect: reported", "name", "'reported' and the rules do not fit", "say which rules object"),
        (
            f"{TO_DONE}, expect: allowed, rules: done-by-both",
            "done-by",
            "'allowed' and the rules do not fit",
            "no rule objects to what is allowed",
        ),
        (
            f"{TO_DONE}, expect: allowed, comment: {{by: staff, before: 1 day, after: 2 days}}",
            "1 day",
            "a comment is before the move or after it",
            None,
        ),
        (
            "by: client, from: open, into: done, expect: allowed",
            "open",
            "unknown creation or anywhere or status 'open'",
            "known: creation, anywhere, new, doing, done",
        ),
        (
            "by: client, from: new, into: dome, expect: allowed",
            "dome",
            "unknown anywhere or status 'dome'",
            "did you mean 'done'?",
        ),
        ("by: me, from: new, into: done, expect: allowed", "me,", "unknown party 'me'", "known: staff, client"),
        (
            f"{TO_DONE}, expect: refused",
            "refused",
            "unknown verdict 'refused'",
            "known: allowed, waits, reported, put back, undecided",
        ),
        (f"{TO_DONE}, expect: allowed, ticket: 0", "0", "expected a number from 1 to 1000000000, found 0", None),
        (
            f"{TO_DONE}, expect: allowed, project: 1.5",
            "1.5",
            "expected a project's identifier, a text, found a number",
            "put it in quotes",
        ),
        (
            f"{TO_DONE}, expect: allowed, person: 1.5",
            "1.5",
            "expected a user's number, a text, found a number",
            "put it in quotes",
        ),
        (
            "by: client, history: [], into: done, expect: allowed",
            "[]",
            "expected a list of statuses, found a list",
            None,
        ),
        (TO_DONE, "name", "the case lacks 'expect': what comes of it", None),
    ],
)
def test_a_case_that_means_nothing_is_told_at_its_place(
    case: str, place: str, complaint: str, hint: str | None
) -> None:
    with pytest.raises(PolicyError) as raised:
        cases(f"name: n, {case}")
    (told,) = raised.value.complaints
    line = f"  - {{name: n, {case}}}"
    column = line.index("{") if place == "name" else line.index(place)
    assert (told.line, told.column, told.message, told.suggestion) == (2, column + 1, complaint, hint)


def test_a_file_without_a_list_of_cases_is_none() -> None:
    for text, complaint in (
        ("cases:\n\t- x\n", "c.yaml:2:1: a tab (indent with spaces)"),
        ("- one\n", "c.yaml:1:1: expected the file of cases as keys with values, found a list (its keys: cases)"),
        ("cases: []\n", "c.yaml:1:8: expected a list of cases, found a list"),
        ("case: []\n", "c.yaml:1:1: unknown key in the file of cases 'case' (did you mean 'cases'?)"),
    ):
        with pytest.raises(PolicyError) as raised:
            load_cases(text, "c.yaml", POLICY)
        assert complaint in [str(one) for one in raised.value.complaints]


# --- Running them ---------------------------------------------------------------------------------------------------


def failures(*lines: str, policy: Policy = POLICY) -> list[str]:
    return [failure.message for failure in run(cases(*lines, policy=policy), policy).failures]


def test_a_case_fails_for_all_in_which_the_verdict_is_another() -> None:
    into_doing = "name: n, by: client, from: new, into: doing"
    assert failures(f"{into_doing}, expect: put back, rules: doing-by-staff") == []
    assert failures(f"{into_doing}, expect: allowed") == [
        "expected allowed, judged put back by doing-by-staff; doing-by-staff objects, and the case does not say so"
    ]
    assert failures(f"{into_doing}, expect: reported, rules: [done-by-both, doing-by-staff]") == [
        "expected reported, judged put back by doing-by-staff; done-by-both does not object"
    ]
    lawful = "name: n, by: staff, from: new, into: doing"
    assert failures(f"{lawful}, expect: put back, rules: [new-by-nobody, done-by-both]") == [
        "expected put back, judged allowed; done-by-both does not object; new-by-nobody does not object"
    ]
    assert failures("name: n, by: staff, from: doing, into: new, expect: put back, rules: new-by-nobody") == [
        "expected put back, judged reported by new-by-nobody"
    ]
    assert failures("name: n, by: staff, from: new, into: new, expect: allowed") == ["this case stands for no move"]


def test_a_case_fails_for_another_exemption_or_what_is_not_known() -> None:
    policy = load(SMALL + EVERY_WORD.replace("mode: off, sentence", "mode: enforce, sentence"), "p.yaml")
    done = "name: n, by: client, from: doing, into: done, fields: {Reason: r, Risk: s}"
    told = "persons: {author: 1, assignee: 7, doing: 2}, comment: {by: staff}"
    exempt = "person: 9, on: 2026-06-01"
    assert failures(f"{done}, {told}, person: 7, expect: allowed", policy=policy) == []
    assert failures(f"{done}, {told}, {exempt}, expect: allowed, exemption: rest", policy=policy) == []
    assert failures(f"{done}, {told}, {exempt}, expect: allowed", policy=policy) == [
        "expected exemption none, used rest"
    ]
    assert failures(f"{done}, {told}, person: 7, expect: allowed, exemption: rest", policy=policy) == [
        "expected exemption rest, used none"
    ]
    assert failures(f"{done}, comment: {{by: staff}}, person: 7, expect: allowed", policy=policy) == [
        "expected allowed, judged undecided; the ticket's assignee is not known"
    ]
    assert failures(f"{done}, {told}, person: 7, expect: undecided", policy=policy) == [
        "expected undecided, judged allowed"
    ]
    waiting = told.replace("comment: {by: staff}", "later: 1 hour")
    assert failures(f"{done}, {waiting}, person: 7, expect: waits", policy=policy) == []
    assert failures(f"{done}, {waiting}, person: 7, expect: allowed", policy=policy) == [
        "expected allowed, judged waits"
    ]


def test_what_no_case_asks_about_is_counted_and_told() -> None:
    both = "name: n, by: [staff, client], from: creation, into: anywhere, expect: allowed"
    outcome = run(cases(both), POLICY)
    every = [(party, origin, target) for party in (STAFF, CLIENT) for origin in (None, NEW, DOING, DONE)
             for target in (NEW, DOING, DONE) if origin != target]  # fmt: skip
    assert outcome.pairs == len(every) == 18
    assert list(outcome.missing) == [pair for pair in every if pair[1] is not None]
    assert outcome.percent == 33
    assert outcome.untested == ("new-by-nobody", "doing-by-staff")  # nobody breaks the third
    assert [(failure.move.target, failure.case.name) for failure in outcome.failures if failure.move] == [(DOING, "n")]
    expecting = cases("name: n, by: client, from: new, into: doing, expect: put back, rules: doing-by-staff")
    assert run(expecting, POLICY).untested == ("new-by-nobody",)
    assert Outcome((), (), (), 0, ()).percent == 100
    off = replace(POLICY, rules=tuple(replace(rule, mode=Mode.OFF) for rule in POLICY.rules))
    assert run((), off).untested == ()

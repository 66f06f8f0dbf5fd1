"""Which boxes of OpenProject's workflow to untick, and what no box can do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.model import Mode
from bridge.domain.policy.advice import Boxes, advise
from bridge.domain.policy.rules import After, Filled, NeedsComment, OnlyBy, OtherPerson, SamePerson
from tests.domain.test_policy_judging import NOON, PARTIES, SINCE_NOON, STATUSES, never, small

NEW, DOING, TESTING, DONE, REFUSED = STATUSES
STAFF, CLIENT = PARTIES
WHOLE = "a workflow does not change by itself on a day, or in some projects"


@pytest.mark.parametrize(
    ("rule", "reasons"),
    [
        ({}, []),
        ({"creation": True, "into": None}, ["the workflow is not asked when a ticket is created"]),
        ({"fields": {"Risk": frozenset({"High"})}}, ["the workflow does not look at custom fields"]),
        ({"projects": frozenset({"alpha"})}, ["a workflow holds in every project"]),
        ({"mode_for": SINCE_NOON}, [WHOLE]),
        ({"mode": Mode.OFF, "mode_for": SINCE_NOON}, [WHOLE]),
        ({"mode": Mode.OFF, "projects": frozenset({"alpha"})}, []),
        (
            {"demand": After(frozenset({DOING}))},
            ["the workflow knows the status before, and not where the ticket has been"],
        ),
        ({"demand": NeedsComment(frozenset(PARTIES), timedelta(days=1))}, ["the workflow cannot ask for a comment"]),
        ({"demand": Filled(frozenset({"Reason"}))}, ["a field is required by type, and not by status"]),
        (
            {"demand": OtherPerson(frozenset({"author"}))},
            ["the workflow can allow more to an author or assignee, and not less"],
        ),
        (
            {"demand": SamePerson(frozenset({"author", "assignee"}))},
            ["in part: untick the box for the role, and tick it under 'User is author' or 'User is assignee'"],
        ),
        ({"demand": SamePerson(frozenset({"author", "doing"}))}, ["the workflow does not know who set a status"]),
        (
            {"projects": frozenset({"alpha"}), "demand": Filled(frozenset({"Reason"}))},
            ["a workflow holds in every project", "a field is required by type, and not by status"],
        ),
    ],
)
def test_what_needs_the_bridge_is_told_rule_by_rule(rule: dict[str, Any], reasons: list[str]) -> None:
    beyond = advise(small(replace(never("a"), **rule)), NOON).beyond
    assert [one.why for one in beyond if one.rule == "a"] == reasons
    assert [one.why for one in beyond if one.rule is None] == [
        "a ticket may be created in any status: the workflow is not asked then",
        "a change of type in the same save skips the workflow",
        "administrators hold the transitions of every role",
        "whoever has roles of two parties has the boxes of both",
        "the bridge's own role needs every box: it puts tickets back from anywhere",
    ]


def test_boxes_to_untick_are_those_of_moves_that_are_never_allowed() -> None:
    by_staff = replace(never("by-staff"), demand=OnlyBy(frozenset({STAFF})), into=frozenset({DOING, TESTING}))
    observed = replace(never("observed"), mode=Mode.OBSERVE, into=frozenset({DONE}), origin=frozenset({DOING}))
    tested = replace(never("tested"), demand=After(frozenset({TESTING})), into=frozenset({REFUSED}))
    policy = small(by_staff, observed, tested)
    roles = {party.name: tuple(sorted(party.roles)) for party in policy.parties}
    assert advise(policy, NOON).untick == (
        Boxes(STAFF, roles[STAFF], "", DOING, (DONE,), enforced=False),
        Boxes(CLIENT, roles[CLIENT], "", NEW, (DOING, TESTING), enforced=True),
        Boxes(CLIENT, roles[CLIENT], "", DOING, (TESTING,), enforced=True),
        Boxes(CLIENT, roles[CLIENT], "", TESTING, (DOING,), enforced=True),
        Boxes(CLIENT, roles[CLIENT], "", DONE, (DOING, TESTING), enforced=True),
        Boxes(CLIENT, roles[CLIENT], "", REFUSED, (DOING, TESTING), enforced=True),
        Boxes(CLIENT, roles[CLIENT], "", DOING, (DONE,), enforced=False),
    )


def test_boxes_are_told_by_type_where_a_rule_names_one() -> None:
    bugs = replace(never("bugs"), types=frozenset({"Bug", "Feature"}), by=frozenset({CLIENT}), origin=frozenset({NEW}))
    assert [(one.party, one.type, one.origin, one.targets) for one in advise(small(bugs), NOON).untick] == [
        (CLIENT, "Bug", NEW, (TESTING,)),
        (CLIENT, "Feature", NEW, (TESTING,)),
    ]

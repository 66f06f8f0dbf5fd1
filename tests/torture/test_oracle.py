"""An oracle that lets a wrong bridge pass proves nothing: bridges with a fault each, and the promise that it breaks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.domain import plan
from bridge.domain.model import Judged, Objection, Timeline
from bridge.domain.scene import Scene
from bridge.engine import judge
from bridge.engine.act import Acted, Gate, Result
from bridge.engine.explanation import marker
from bridge.openproject.tracker import Tracker
from bridge.store.ledger import Ledger
from tests.torture.__main__ import MEMORY, play
from tests.torture.world import Promise, Terms

SEEDS = range(1, 60)
"""Worlds in which a fault must show."""

Fault = Callable[[pytest.MonkeyPatch], None]


def puts_back_to_the_first_status(patch: pytest.MonkeyPatch) -> None:
    follow = plan.follow

    def wrong(timeline: Timeline, scene: Scene) -> plan.Course:
        course = follow(timeline, scene)
        if course.revert is None:
            return course
        return replace(course, revert=replace(course.revert, to=scene.ids[scene.policy.initial]))

    patch.setattr(judge, "follow", wrong)


def enforces_what_is_only_observed(patch: pytest.MonkeyPatch) -> None:
    def wrong(judged: Judged, scene: Scene) -> Objection | None:
        return next(iter(plan._objections(judged, scene)), None)

    patch.setattr(plan, "_enforced", wrong)


def writes_over_whatever_came_between(patch: pytest.MonkeyPatch) -> None:
    put_status = Tracker.put_status

    def wrong(tracker: Tracker, ticket: Any, _: int, *rest: Any, **named: Any) -> Any:
        fresh: Any = tracker.ticket(ticket)
        return put_status(tracker, ticket, fresh.lock_version, *rest, **named)

    patch.setattr(Tracker, "put_status", wrong)


def does_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "finish", lambda _, action: Acted(action, Result.BUSY))


def does_not_explain(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "_explain", lambda _, action, fresh: Acted(action, Result.DONE))


def explains_twice(patch: pytest.MonkeyPatch) -> None:
    comment = Tracker.comment

    def wrong(*arguments: Any, **named: Any) -> Any:
        comment(*arguments, **named)
        return comment(*arguments, **named)

    patch.setattr(Tracker, "comment", wrong)


def explains_without_a_word_about_the_move(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "_text", lambda _, action, course: f"C'est la règle. {marker(action.decision)}")


def forgets_an_activity(patch: pytest.MonkeyPatch) -> None:
    observe = Ledger.observe

    def wrong(ledger: Ledger, readings: Sequence[Any], **named: Any) -> Any:
        return observe(ledger, [replace(one, activities=one.activities[:-1]) for one in readings], **named)

    patch.setattr(Ledger, "observe", wrong)


@pytest.mark.parametrize(
    ("fault", "promises"),
    [
        (puts_back_to_the_first_status, {Promise.WRONG_REVERT}),
        (enforces_what_is_only_observed, {Promise.WRONG_REVERT}),
        (writes_over_whatever_came_between, {Promise.OVERWRITTEN, Promise.WRONG_REVERT}),
        (does_nothing, {Promise.LEFT_STANDING}),
        (does_not_explain, {Promise.UNEXPLAINED}),
        (explains_twice, {Promise.DOUBLED}),
        (explains_without_a_word_about_the_move, {Promise.MISLEADING}),
        (forgets_an_activity, {Promise.LOST}),
    ],
)
def test_a_bridge_with_a_fault_breaks_its_promise(
    fault: Fault, promises: set[Promise], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        for seed in SEEDS:
            broken = play(Terms.of(seed), Path(directory)).broken
            if broken is not None and broken[0] in promises:
                return
    pytest.fail("it was not noticed")

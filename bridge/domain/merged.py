"""What OpenProject may hide by merging a person's moves into one activity, and the benefit of the doubt for it. Pure.

Contract section 4: an activity that was saved again within the aggregation time shows its first and its last status,
and nothing of the way between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.domain.model import (
    Allowed,
    Illegal,
    Judged,
    Kind,
    Mode,
    Move,
    PartyName,
    StatusChange,
    StatusName,
    Undecided,
    Verdict,
)
from bridge.domain.policy import judge
from bridge.domain.scene import Scene

SAVED_TWICE_WITHIN = timedelta(seconds=2)
"""15.4 saves a new ticket twice, 26 to 119 ms apart in the recordings (contract A.3); a person needs longer to move it.
The gate still proves it by the lockVersion before it acts."""
BENEFIT = "the benefit of the doubt: OpenProject merged several moves, and there is a legal way"


def merged(change: StatusChange, scene: Scene) -> bool:
    """Whether the activity may hide statuses in between."""
    if change.kind is Kind.CREATION and scene.saves_creation_twice:
        return change.latest - change.earliest > SAVED_TWICE_WITHIN
    return change.maybe_merged


def hides(judged: Judged, scene: Scene) -> bool:
    """Whether the ticket may have been in more statuses than this change shows."""
    change = judged.change
    return change.maybe_been_elsewhere or (not judged.own and (change.doubt is not None or merged(change, scene)))


def hidden(unsure: Sequence[Judged], visited: frozenset[StatusName], scene: Scene) -> frozenset[StatusName]:
    """Every status that these changes may have hidden: all that their party could legally pass.

    Of a party that is not put back, or not known, any.
    """
    found: frozenset[StatusName] = frozenset()
    for judged in unsure:
        change, party = judged.change, judged.party
        if party is None or not scene.policy.reverts(party) or change.maybe_moved_on:
            return frozenset(scene.policy.statuses)
        origin = scene.name(change.origin)
        found |= could_pass(party, origin, visited, scene, change.latest)
        if change.maybe_been_elsewhere and change.target is not None:
            found |= could_pass(party, scene.name(change.target), visited, scene, change.latest)
    return found


def may_end_illegally(judged: Judged, scene: Scene) -> bool:
    """Whether some rule may object to the last of the moves that this activity hides, whatever they come to as one.

    A rule that asks where the ticket has been counts too: on a hidden way it may have been opened again.
    """
    change, party, policy = judged.change, judged.party, scene.policy
    target = scene.name(change.target)
    if target is None or party is None or not policy.reverts(party) or not merged(change, scene):
        return False
    where = {"project": scene.project, "type": scene.type}
    return any(
        any(policy.broken(party, origin, target, frozenset(), **where, at=change.latest))
        for origin in policy.statuses
        if origin != target
    )


def by_the_best_way(verdict: Illegal, move: Move, scene: Scene) -> Verdict:
    """The mildest verdict on the last of several moves that OpenProject merged into this one.

    Every way ends with a move into the target; where that would be fine from a status that this person could legally
    reach, the person has the benefit of the doubt. What objects by every way stands.
    """
    best: Verdict = verdict
    passed = could_pass(move.party, move.origin, move.visited, scene, move.at)
    for status in sorted(passed - {move.target}):
        last = judge(replace(move, origin=status, visited=move.visited | passed), scene.policy)
        if _severity(last) < _severity(best):
            best = last
    match best:
        case Allowed():
            return replace(best, note=BENEFIT)
        case Illegal():
            return replace(best, alternatives=verdict.alternatives)
        case Undecided():
            return best


def _severity(verdict: Verdict) -> int:
    match verdict:
        case Allowed():
            return 0
        case Undecided():
            return 1
        case Illegal():
            return 3 if verdict.mode is Mode.ENFORCE else 2


def could_pass(
    party: PartyName, origin: StatusName | None, visited: frozenset[StatusName], scene: Scene, at: datetime
) -> frozenset[StatusName]:
    """Where this party could be on the way from ``origin``, or from a creation, without a move that is put back."""
    policy = scene.policy
    start = policy.initial if origin is None else origin
    reached = (
        status
        for status in policy.statuses
        if policy.legal_path(party, start, status, visited, project=scene.project, type=scene.type, at=at)
    )
    return frozenset({start, *reached})

"""From a ticket's timeline to verdicts, its legal state and at most one action. Pure.

The *legal state* is where the ticket would stand if every move that may be put back had not been made. A legal move
advances it; so does any move that only observed rules object to, that a reported party made, that nobody can judge, or
that was made before enforcement began. What is left standing against it at the end is what the bridge reverts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.domain.merged import BENEFIT, by_the_best_way, could_pass, hidden, hides, may_end_illegally, merged
from bridge.domain.model import (
    Allowed,
    CommentBy,
    Illegal,
    Judged,
    Kind,
    Mode,
    Move,
    Objection,
    Revert,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Undecided,
    Verdict,
    WorkPackageId,
)
from bridge.domain.policy import judge
from bridge.domain.scene import Scene

TAKEN_BACK = "puts the ticket back where it legally was"


@dataclass(frozen=True, slots=True)
class Course:
    """A judged timeline: where the ticket stands, where it legally would, and what would put it back."""

    work_package: WorkPackageId
    judged: tuple[Judged, ...]
    status: StatusId | None
    legal: StatusId | None
    visited: frozenset[StatusName]
    """Where the ticket has legally been since it was last opened."""
    revert: Revert | None
    """The one action that this course calls for."""


def follow(timeline: Timeline, scene: Scene) -> Course:
    """Judge every change in order and keep the legal state beside it."""
    judged: list[Judged] = []
    past = _Past()
    revert: Revert | None = None
    for change in timeline.changes:
        judging = _Judging(change, timeline, scene, past)
        fresh = judging.at(change.latest)
        seemingly = objection = _enforced(fresh, scene)
        if objection is not None and (past.unsure or change.earliest < change.latest):
            objection = _enforced(judging.at(change.earliest, past.unsure), scene)
        judged.append(fresh)
        past = past.after(fresh, scene, stands=objection is None, surely=seemingly is None)
        if objection is None:
            revert = None
        elif past.legal is not None:
            revert = Revert(timeline.work_package, change, objection, _alternatives(fresh), past.legal)
    return Course(timeline.work_package, tuple(judged), timeline.status, past.legal, past.visited, revert)


@dataclass(frozen=True, slots=True)
class _Past:
    """What the changes so far have come to."""

    legal: StatusId | None = None
    lawful: frozenset[StatusId | None] = frozenset()
    """Like legal, but as if every rule were enforced; several where that is in doubt."""
    perhaps: frozenset[StatusId | None] = frozenset()
    """Where it was before an activity that may hide an illegal move: going back there may be no violation either."""
    visited: frozenset[StatusName] = frozenset()
    """Where the ticket has legally been since it was last opened."""
    sure: frozenset[StatusName] = frozenset()
    """Those of them that it came to by moves which certainly stand."""
    movers: Mapping[StatusName, str] = field(default_factory=dict)
    """Who last moved the ticket into each of them."""
    unsure: tuple[Judged, ...] = ()
    """Moves since the ticket was last opened that may hide statuses."""

    def after(self, judged: Judged, scene: Scene, *, stands: bool, surely: bool) -> _Past:
        """And one change more; ``stands`` unless the legal state ignores it, ``surely`` if no doubt spoke for that."""
        change = judged.change
        legal, visited, sure, movers, unsure = self.legal, self.visited, self.sure, self.movers, self.unsure
        if stands:
            if _opens(legal, change.target, scene):
                visited, sure, unsure = frozenset(), frozenset(), ()
            visited |= _spelled(change.target, scene)
            if surely and not _in_doubt(judged):
                sure |= _spelled(change.target, scene)
            movers = _credit(movers, visited, change, scene)
            legal = change.target
        elif change.kind is Kind.CREATION:
            legal = scene.ids[scene.policy.initial]
            visited = sure = frozenset({scene.policy.initial})
        if hides(judged, scene):
            unsure += (judged,)
        lawful, perhaps = _lawful(self.lawful, judged, scene), self.perhaps
        if may_end_illegally(judged, scene):
            perhaps |= self.lawful | _passed(judged, scene)
        elif lawful == {change.target} and judged.verdict != Allowed(TAKEN_BACK):
            perhaps = frozenset()
        if stands and (not surely or _in_doubt(judged) or _straddles(judged, scene)):
            perhaps |= {self.legal}  # if the move does not stand after all, the ticket belongs there
        return _Past(legal, lawful, perhaps, visited, sure, movers, unsure)


def _lawful(lawful: frozenset[StatusId | None], judged: Judged, scene: Scene) -> frozenset[StatusId | None]:
    """Where going back is no violation after this change: where the ticket legally was, or may have been."""
    change = judged.change
    if judged.verdict == Allowed(TAKEN_BACK) and judged.party is not None and scene.policy.reverts(judged.party):
        return lawful  # what was lawful before is so again; where it is in doubt, this does not settle it
    if change.kind is Kind.CREATION:
        lawful = frozenset({scene.ids[scene.policy.initial]})
    if not _objections(judged, scene):
        return (lawful if _in_doubt(judged) else frozenset()) | {change.target}
    if merged(change, scene):
        lawful |= _passed(judged, scene)
    return lawful


def _passed(judged: Judged, scene: Scene) -> frozenset[StatusId]:
    """Where the ticket may legally have been in between the ends that this change shows."""
    if judged.party is None:
        return frozenset()
    change = judged.change
    passed = could_pass(judged.party, scene.name(change.origin), judged.visited, scene, change.latest)
    return frozenset(scene.ids[name] for name in passed) - {change.origin, change.target}


def _opens(origin: StatusId | None, target: StatusId | None, scene: Scene) -> bool:
    """Whether the ticket is opened again: it leaves a closed status for an open one, or for one that nobody knows."""
    closed = scene.policy.is_closed
    return any(map(closed, _spelled(origin, scene))) and not any(map(closed, _spelled(target, scene)))


def _spelled(status: StatusId | None, scene: Scene) -> frozenset[StatusName]:
    name = scene.name(status)
    return frozenset() if name is None else frozenset({name})


def _credit(
    movers: Mapping[StatusName, str], visited: frozenset[StatusName], change: StatusChange, scene: Scene
) -> Mapping[StatusName, str]:
    """Who last moved the ticket into each status that it has legally visited since it was last opened."""
    kept = {status: who for status, who in movers.items() if status in visited}
    target = scene.name(change.target)
    if target in visited and change.actor is not None and change.actor != scene.own:
        kept[target] = str(change.actor)
    return kept


@dataclass(frozen=True, slots=True)
class _Judging:
    """Everything that the judgement of one change takes, but for when the move was made."""

    change: StatusChange
    timeline: Timeline
    scene: Scene
    past: _Past

    def at(self, at: datetime, unsure: Sequence[Judged] = ()) -> Judged:
        """The verdict if the move was made then, and if the ``unsure`` moves hid whatever they may have hidden."""
        change, scene, past = self.change, self.scene, self.past
        if change.actor is not None and change.actor == scene.own:
            return Judged(change, Allowed("the bridge's own move"), None, own=True)
        if change.doubt is not None:
            return Judged(change, Undecided(change.doubt), None)
        if change.target is None or change.actor is None:
            return Judged(change, Undecided("the change does not say who moved the ticket, or where to"), None)
        if not change.project_certain:
            reason = "the ticket has changed project since, the roles of then are not known"
            return Judged(change, Undecided(reason), None)
        who = scene.standing(change.actor, change.earliest, change.latest)
        if who.party is None:
            return Judged(change, Undecided(who.reason), None)
        origin, target = scene.name(change.origin), scene.name(change.target)
        if target is None or (origin is None and change.kind is not Kind.CREATION):
            return Judged(change, Undecided("the policy does not know this status"), who.party)
        present = scene.present if change is self.timeline.changes[-1] else None
        move = Move(
            party=who.party,
            origin=origin,
            target=target,
            visited=past.visited | hidden(unsure, past.visited, scene),
            at=at,
            now=scene.now,
            project=scene.project,
            type=scene.type,
            person=str(change.actor),
            ticket=self.timeline.work_package,
            comments=_comments_near(change, self.timeline, scene),
            author=_author(self.timeline),
            assignee=present.assignee if present is not None else None,
            fields=present.fields if present is not None else None,
            movers=None if unsure else past.movers,
        )
        verdict = self._verdict(move)
        return Judged(change, verdict, who.party, visited=past.visited, hangs_on_doubt=self._hangs(verdict, move))

    def _hangs(self, verdict: Verdict, move: Move) -> bool:
        """Whether the move would be illegal if what is not sure to stand did not."""
        sure = self.past.sure
        if not isinstance(verdict, Allowed) or sure == self.past.visited:
            return False
        if verdict == Allowed(TAKEN_BACK) and self.past.lawful == {self.change.target}:
            return False  # whatever else stands, the ticket belongs there
        return isinstance(judge(replace(move, visited=sure), self.scene.policy), Illegal)

    def _verdict(self, move: Move) -> Verdict:
        """The policy's verdict, unless the move takes another back or the person may have done less than it seems."""
        change, scene, past = self.change, self.scene, self.past
        verdict = judge(move, scene.policy)
        if not isinstance(verdict, Illegal):
            return verdict
        reverted = scene.policy.reverts(move.party)
        if move.origin is not None:
            lawful = past.lawful | {past.legal}
            if change.target in lawful:
                return Allowed(TAKEN_BACK)
            if reverted and (None in lawful or change.target in past.perhaps):
                return Undecided("the ticket may legally have been there before: not all its moves can be told")
        if merged(change, scene):
            verdict = by_the_best_way(verdict, move, scene)
        if isinstance(verdict, Illegal) and change.maybe_moved_on and reverted:
            return Undecided("a later activity was saved several times: it may hide a move on, and back")
        return verdict


def _author(timeline: Timeline) -> str | None:
    """Who created the ticket; None when no activity shows it."""
    first = timeline.changes[0]
    return str(first.actor) if first.kind is Kind.CREATION and first.actor is not None else None


def _in_doubt(judged: Judged) -> bool:
    """Whether the move may have been illegal all the same, so that taking it back is no violation either."""
    match judged.verdict:
        case Undecided():
            return True
        case Allowed(note=note):
            return note == BENEFIT or judged.hangs_on_doubt
        case Illegal():
            return False


def _comments_near(change: StatusChange, timeline: Timeline, scene: Scene) -> tuple[CommentBy, ...]:
    return tuple(
        CommentBy(
            scene.standing(comment.user, comment.at, comment.at).party,
            comment.at,
            same_activity=comment.activity == change.key.activity,
        )
        for comment in timeline.comments
        if comment.user != scene.own
    )


def _objections(judged: Judged, scene: Scene) -> tuple[Objection, ...]:
    """What speaks against an illegal move of a party whose moves are put back, however far the rules go."""
    if isinstance(judged.verdict, Illegal) and judged.party is not None and scene.policy.reverts(judged.party):
        return judged.verdict.objections
    return ()


def _enforced(judged: Judged, scene: Scene) -> Objection | None:
    """The objection for which the legal state ignores this move; None when the move stands.

    Only moves that were certainly made after enforcement began count (rules, "From when").
    """
    for objection in _objections(judged, scene):
        since = scene.enforced_since.get(objection.rule)
        if objection.mode is Mode.ENFORCE and since is not None and judged.change.earliest >= since:
            return objection
    return None


def _straddles(judged: Judged, scene: Scene) -> bool:
    """Whether nobody can tell if an illegal move was made before its rule was enforced, or after."""
    begun = [scene.enforced_since.get(o.rule) for o in _objections(judged, scene) if o.mode is Mode.ENFORCE]
    return any(since is not None and judged.change.earliest < since <= judged.change.latest for since in begun)


def _alternatives(judged: Judged) -> tuple[StatusName, ...]:
    return judged.verdict.alternatives if isinstance(judged.verdict, Illegal) else ()

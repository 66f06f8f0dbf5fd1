"""From a ticket's timeline to verdicts, its legal state and at most one action. The loop guards live here. Pure.

The *legal state* is where the ticket would stand if every move that may be put back had not been made. A legal move
advances it; so does any move that only observed rules object to, that a reported party made, that nobody can judge, or
that was made before enforcement began. What is left standing against it at the end is what the bridge reverts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.domain.model import (
    Allowed,
    CommentBy,
    Illegal,
    Judged,
    Kind,
    Mode,
    Move,
    Objection,
    PartyName,
    ProjectId,
    Revert,
    RuleId,
    StatusChange,
    StatusId,
    StatusName,
    Timeline,
    Undecided,
    UserId,
    Verdict,
    WorkPackageId,
)
from bridge.domain.policy import Limits, Policy, judge
from bridge.domain.standing import Standing

SAVED_TWICE_WITHIN = timedelta(seconds=2)
"""15.4 saves a new ticket twice, 26 to 119 ms apart in the recordings (contract A.3); a person needs longer to move it.
The gate still proves it by the lockVersion before it acts."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a ticket is like now. Only fit to judge the last move by: nobody can tell what it was like before."""

    assignee: str
    """The person's number as text; empty for nobody."""
    fields: Mapping[str, str]
    """Custom fields by label."""


TAKEN_BACK = "puts the ticket back where it legally was"
BENEFIT = "the benefit of the doubt: OpenProject merged several moves, and there is a legal way"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything besides the timeline that the judgement of one ticket may use."""

    policy: Policy
    spelling: Mapping[StatusId, StatusName]
    """The server's statuses as the policy spells them; a status that is missing here is not in the policy."""
    ids: Mapping[StatusName, StatusId]
    standing: Callable[[UserId, datetime, datetime], Standing]
    own: UserId
    """The bridge's account: its moves are recorded and never judged."""
    now: datetime
    """The server's time, taken once a cycle."""
    enforced_since: Mapping[RuleId, datetime]
    """When each rule began to be enforced in this ticket's project; a rule that is missing here is only observed."""
    project: str = ""
    type: str = ""
    present: Present | None = None
    """None when the ticket itself was not read."""
    saves_creation_twice: bool = False
    """True for servers like 15.4 (contract A.3)."""


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
    legal: StatusId | None = None
    lawful: frozenset[StatusId | None] = frozenset()  # like legal, but as if every rule were enforced; several in doubt
    visited: frozenset[StatusName] = frozenset()
    unsure: tuple[Judged, ...] = ()  # moves since the ticket was last opened that may hide statuses
    movers: dict[StatusName, str] = {}
    revert: Revert | None = None
    for change in timeline.changes:
        judging = _Judging(change, timeline, scene, visited, lawful | {legal}, movers)
        fresh = judging.at(change.latest)
        judged.append(fresh)
        objection = _enforced(fresh, scene)
        if objection is not None and (unsure or change.earliest < change.latest):
            objection = _enforced(judging.at(change.earliest, unsure), scene)
        if objection is None:
            if _opens(legal, change.target, scene):
                visited, unsure = frozenset(), ()
            visited |= _spelled(change.target, scene)
            movers = _credit(movers, visited, change, scene)
            legal = change.target
            revert = None
        else:
            if change.kind is Kind.CREATION:
                legal = scene.ids[scene.policy.initial]
                visited = frozenset({scene.policy.initial})
            if legal is not None:
                revert = Revert(timeline.work_package, change, objection, _alternatives(fresh), legal)
        lawful = _lawful(lawful, fresh, scene)
        unsure += (fresh,) if _hides(fresh, scene) else ()
    return Course(timeline.work_package, tuple(judged), timeline.status, legal, visited, revert)


def _lawful(lawful: frozenset[StatusId | None], judged: Judged, scene: Scene) -> frozenset[StatusId | None]:
    """Where going back is no violation after this change: where the ticket legally was, or may have been."""
    change = judged.change
    if judged.verdict == Allowed(TAKEN_BACK):
        return lawful  # what was lawful before is so again; where it is in doubt, this does not settle it
    if change.kind is Kind.CREATION:
        lawful = frozenset({scene.ids[scene.policy.initial]})
    if not _breaks(judged, scene):
        return (lawful if _in_doubt(judged) else frozenset()) | {change.target}
    if judged.party is not None and _merged(change, scene):
        origin = scene.spelling.get(change.origin) if change.origin is not None else None
        passed = _could_pass(judged.party, origin, judged.visited, scene, change.latest)
        lawful |= {scene.ids[name] for name in passed} - {change.origin, change.target}
    return lawful


def _opens(origin: StatusId | None, target: StatusId | None, scene: Scene) -> bool:
    """Whether the ticket is opened again: it leaves a closed status for an open one, or for one that nobody knows."""
    closed = scene.policy.is_closed
    return any(map(closed, _spelled(origin, scene))) and not any(map(closed, _spelled(target, scene)))


def _spelled(status: StatusId | None, scene: Scene) -> frozenset[StatusName]:
    name = scene.spelling.get(status) if status is not None else None
    return frozenset() if name is None else frozenset({name})


def _credit(
    movers: dict[StatusName, str], visited: frozenset[StatusName], change: StatusChange, scene: Scene
) -> dict[StatusName, str]:
    """Who last moved the ticket into each status that it has legally visited since it was last opened."""
    kept = {status: who for status, who in movers.items() if status in visited}
    target = scene.spelling.get(change.target) if change.target is not None else None
    if target in visited and change.actor is not None and change.actor != scene.own:
        kept[target] = str(change.actor)
    return kept


@dataclass(frozen=True, slots=True)
class _Judging:
    """Everything that the judgement of one change takes, but for when the move was made."""

    change: StatusChange
    timeline: Timeline
    scene: Scene
    visited: frozenset[StatusName]
    legal: frozenset[StatusId | None]
    """Where going back is no violation."""
    movers: Mapping[StatusName, str]

    def at(self, at: datetime, unsure: Sequence[Judged] = ()) -> Judged:
        """The verdict if the move was made then, and if the ``unsure`` moves hid whatever they may have hidden."""
        change, scene = self.change, self.scene
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
        target = scene.spelling.get(change.target)
        origin = scene.spelling.get(change.origin) if change.origin is not None else None
        if target is None or (origin is None and change.kind is not Kind.CREATION):
            return Judged(change, Undecided("the policy does not know this status"), who.party)
        present = scene.present if change is self.timeline.changes[-1] else None
        move = Move(
            party=who.party,
            origin=origin,
            target=target,
            visited=self.visited | _hidden(unsure, self.visited, scene),
            at=at,
            now=scene.now,
            project=scene.project,
            type=scene.type,
            person=str(change.actor),
            ticket=self.timeline.work_package,
            comments=_comments_near(change, self.timeline, scene),
            maybe_merged=change.maybe_merged,
            author=_author(self.timeline),
            assignee=present.assignee if present is not None else None,
            fields=present.fields if present is not None else None,
            movers=None if unsure else self.movers,
        )
        verdict = judge(move, scene.policy)
        if isinstance(verdict, Illegal) and origin != target and change.target in self.legal and origin is not None:
            return Judged(change, Allowed(TAKEN_BACK), who.party, visited=self.visited)
        if (
            isinstance(verdict, Illegal)
            and origin is not None
            and None in self.legal
            and scene.policy.reverts(who.party)
        ):
            verdict = Undecided("the ticket may legally have been there before: not all its moves can be told")
        if isinstance(verdict, Illegal) and _merged(change, scene):
            verdict = _by_the_best_way(verdict, move, scene)
        if isinstance(verdict, Illegal) and change.maybe_moved_on and scene.policy.reverts(who.party):
            verdict = Undecided("a later activity was saved several times: it may hide a move on, and back")
        return Judged(change, verdict, who.party, visited=self.visited)


def _author(timeline: Timeline) -> str | None:
    """Who created the ticket; None when no activity shows it."""
    first = timeline.changes[0]
    return str(first.actor) if first.kind is Kind.CREATION and first.actor is not None else None


def _by_the_best_way(verdict: Illegal, move: Move, scene: Scene) -> Verdict:
    """The mildest verdict on the last of several moves that OpenProject merged into this one.

    Every way ends with a move into the target; where that would be fine from a status that this person could legally
    reach, the person has the benefit of the doubt. What objects by every way stands.
    """
    best: Verdict = verdict
    passed = _could_pass(move.party, move.origin, move.visited, scene, move.at)
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


def _could_pass(
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


def _in_doubt(judged: Judged) -> bool:
    """Whether the move may have been illegal all the same, so that taking it back is no violation either."""
    match judged.verdict:
        case Undecided():
            return True
        case Allowed(note=note):
            return note == BENEFIT
        case Illegal():
            return False


def _hides(judged: Judged, scene: Scene) -> bool:
    """Whether the ticket may have been in more statuses than this change shows."""
    change = judged.change
    return change.maybe_been_elsewhere or (not judged.own and (change.doubt is not None or _merged(change, scene)))


def _hidden(unsure: Sequence[Judged], visited: frozenset[StatusName], scene: Scene) -> frozenset[StatusName]:
    """Every status that these changes may have hidden: all that their party could legally pass.

    Of a party that is not put back, or not known, any.
    """
    hidden: frozenset[StatusName] = frozenset()
    for judged in unsure:
        change, party = judged.change, judged.party
        if party is None or not scene.policy.reverts(party) or change.maybe_moved_on:
            return frozenset(scene.policy.statuses)
        origin = scene.spelling.get(change.origin) if change.origin is not None else None
        hidden |= _could_pass(party, origin, visited, scene, change.latest)
        if change.maybe_been_elsewhere and change.target is not None:
            hidden |= _could_pass(party, scene.spelling.get(change.target), visited, scene, change.latest)
    return hidden


def _merged(change: StatusChange, scene: Scene) -> bool:
    """Whether the activity may hide statuses in between."""
    if change.kind is Kind.CREATION and scene.saves_creation_twice:
        return change.latest - change.earliest > SAVED_TWICE_WITHIN
    return change.maybe_merged


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


def _breaks(judged: Judged, scene: Scene) -> bool:
    """Whether the move is an illegal one of a party whose moves are put back, however far its rules go."""
    return isinstance(judged.verdict, Illegal) and judged.party is not None and scene.policy.reverts(judged.party)


def _enforced(judged: Judged, scene: Scene) -> Objection | None:
    """The objection for which the legal state ignores this move; None when the move stands.

    Only moves that were certainly made after enforcement began count (rules, "From when").
    """
    if not (_breaks(judged, scene) and isinstance(judged.verdict, Illegal)):
        return None
    for objection in judged.verdict.objections:
        since = scene.enforced_since.get(objection.rule)
        if objection.mode is Mode.ENFORCE and since is not None and judged.change.earliest >= since:
            return objection
    return None


def _alternatives(judged: Judged) -> tuple[StatusName, ...]:
    return judged.verdict.alternatives if isinstance(judged.verdict, Illegal) else ()


# --- Guards ---------------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)

SHARE_FROM = 10
"""A share of fewer moves than this says nothing."""


@dataclass(frozen=True, slots=True)
class RevertCount:
    """One revert of the past, as the guards count it."""

    at: datetime
    project: ProjectId
    person: UserId
    work_package: WorkPackageId


def guard(
    work_package: WorkPackageId,
    project: ProjectId,
    person: UserId | None,
    past: Sequence[RevertCount],
    this_cycle: int,
    limits: Limits,
    now: datetime,
) -> str | None:
    """A reason to leave a revert to a person; None when there is none.

    ``past`` are the reverts of the last hour and cool-down, oldest first; ``this_cycle`` counts those of this cycle.
    """
    scopes: tuple[tuple[str, int, list[datetime]], ...] = (
        ("", limits.reverts_per_hour, [p.at for p in past]),
        (" in one project", limits.reverts_per_project_per_hour, [p.at for p in past if p.project == project]),
        (" of one person's moves", limits.reverts_per_person_per_hour, [p.at for p in past if p.person == person]),
        (" of one ticket", limits.reverts_per_ticket_per_hour, [p.at for p in past if p.work_package == work_package]),
    )
    if this_cycle >= limits.reverts_per_cycle:
        return f"the limit is {limits.reverts_per_cycle} reverts in one cycle"
    for what, limit, times in scopes:
        if _reached(times, limit, limits.cool_down, now):
            return f"the limit is {limit} reverts{what} in an hour; it was reached less than {limits.cool_down} ago"
    return None


def _reached(times: Sequence[datetime], limit: int, cool_down: timedelta, now: datetime) -> bool:
    """Whether some hour held ``limit`` of these times, and ended less than the cool-down ago (or has not ended)."""
    return any(
        last - first < HOUR and (now - last < cool_down or now - first < HOUR)
        for first, last in zip(times, times[limit - 1 :], strict=False)
    )


def breaker(moves: int, reverts: int, limits: Limits) -> str | None:
    """The circuit breaker, asked before the first action of a cycle; None when it stays closed.

    ``moves`` were judged for the first time in this cycle, ``reverts`` of them would be put back. When most of what
    people do is illegal, the policy is more likely wrong than the people.
    """
    if moves >= SHARE_FROM and reverts > limits.share_of_moves * moves:
        return f"{reverts} of {moves} moves in one cycle would be put back: more than {limits.share_of_moves:.0%}"
    return None

"""From a ticket's timeline to verdicts, its legal state and at most one action. The loop guards live here. Pure.

The *legal state* is where the ticket would stand if every move that may be put back had not been made. A legal move
advances it; so does any move that only observed rules object to, that a reported party made, that nobody can judge, or
that was made before enforcement began. What is left standing against it at the end is what the bridge reverts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.model import (
    Allowed,
    CommentBy,
    Hold,
    Illegal,
    Judged,
    Kind,
    Mode,
    Move,
    Objection,
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
from bridge.domain.policy import Policy, judge
from bridge.domain.standing import Standing

SAVED_TWICE_WITHIN = timedelta(seconds=2)
"""15.4 saves a new ticket twice, 26 to 119 ms apart in the recordings (contract A.3); a person needs longer to move it.
The gate still proves it by the lockVersion before it acts."""


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
    saves_creation_twice: bool = False
    """True for servers like 15.4 (contract A.3)."""


@dataclass(frozen=True, slots=True)
class Course:
    """A judged timeline: where the ticket stands, where it legally would, and the move that stands in between."""

    work_package: WorkPackageId
    judged: tuple[Judged, ...]
    status: StatusId | None
    legal: StatusId | None
    standing: Judged | None
    """The illegal, enforceable move that the ticket stands in; None when there is nothing to put back."""

    @property
    def revert(self) -> Revert | None:
        """The one action that this course calls for."""
        if self.standing is None or self.legal is None or self.legal == self.status:
            return None
        verdict = self.standing.verdict
        assert isinstance(verdict, Illegal)
        objection = next(o for o in verdict.objections if o.mode is Mode.ENFORCE)
        return Revert(self.work_package, self.standing.change, objection, verdict.alternatives, self.legal)


def follow(timeline: Timeline, scene: Scene) -> Course:
    """Judge every change in order and keep the legal state beside it."""
    judged: list[Judged] = []
    legal: StatusId | None = None
    lawful: StatusId | None = None  # like legal, but as if every rule were enforced: what a person may go back to
    visited: frozenset[StatusName] = frozenset()
    standing: Judged | None = None
    for change in timeline.changes:
        verdict = _judge(change, timeline, scene, visited, lawful)
        judged.append(verdict)
        if _stays_out(verdict, scene):
            standing = verdict
            if change.kind is Kind.CREATION:
                legal = scene.ids.get(scene.policy.initial)
                visited = frozenset({scene.policy.initial})
        else:
            standing = None
            visited = _visit(visited, legal, change.target, scene)
            legal = change.target
        if not _breaks(verdict, scene):
            lawful = change.target
        elif change.kind is Kind.CREATION:
            lawful = scene.ids.get(scene.policy.initial)
    return Course(timeline.work_package, tuple(judged), timeline.status, legal, standing)


def _visit(
    visited: frozenset[StatusName], origin: StatusId | None, target: StatusId | None, scene: Scene
) -> frozenset[StatusName]:
    """Statuses legally visited since the ticket was last opened: creation and leaving a closed status open it."""
    to = scene.spelling.get(target) if target is not None else None
    come_from = scene.spelling.get(origin) if origin is not None else None
    here = frozenset({to}) if to is not None else frozenset[StatusName]()
    closed = scene.policy.is_closed
    if come_from is None or (closed(come_from) and not (to is not None and closed(to))):
        return here
    return visited | here


def _judge(
    change: StatusChange,
    timeline: Timeline,
    scene: Scene,
    visited: frozenset[StatusName],
    lawful: StatusId | None,
) -> Judged:
    if change.actor is not None and change.actor == scene.own:
        return Judged(change, Allowed("the bridge's own move"), None, own=True)
    if change.doubt is not None:
        return Judged(change, Undecided(change.doubt), None)
    if change.target is None or change.actor is None:
        return Judged(change, Undecided("the change does not say who moved the ticket, or where to"), None)
    if not change.project_certain:
        return Judged(change, Undecided("the ticket has changed project since, the roles of then are not known"), None)
    who = scene.standing(change.actor, change.earliest, change.latest)
    if who.party is None:
        return Judged(change, Undecided(who.reason), None)
    target = scene.spelling.get(change.target)
    origin = scene.spelling.get(change.origin) if change.origin is not None else None
    if target is None or (origin is None and change.kind is not Kind.CREATION):
        return Judged(change, Undecided("the policy does not know this status"), who.party)
    if change.origin is not None and change.target == lawful and change.origin != lawful:
        return Judged(change, Allowed("puts the ticket back where it legally was"), who.party)
    move = Move(
        party=who.party,
        origin=origin,
        target=target,
        visited=visited,
        at=change.latest,
        now=scene.now,
        project=scene.project,
        type=scene.type,
        person=str(change.actor),
        ticket=timeline.work_package,
        comments=_comments_near(change, timeline, scene),
        maybe_merged=change.maybe_merged,
    )
    verdict = judge(move, scene.policy)
    if isinstance(verdict, Illegal) and _merged(change, scene):
        start = origin if origin is not None else scene.policy.initial
        seen = visited if origin is not None else frozenset({start})
        if scene.policy.legal_path(who.party, start, target, seen):
            verdict = Allowed("the benefit of the doubt: OpenProject merged several moves, and there is a legal way")
    return Judged(change, verdict, who.party)


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
    return (
        isinstance(judged.verdict, Illegal) and judged.party is not None and scene.policy.reverts(judged.party)
    )


def _stays_out(judged: Judged, scene: Scene) -> bool:
    """Whether the legal state ignores this move: it may be put back."""
    if not _breaks(judged, scene):
        return False
    assert isinstance(judged.verdict, Illegal)
    return any(_enforced(objection, judged.change, scene) for objection in judged.verdict.objections)


def _enforced(objection: Objection, change: StatusChange, scene: Scene) -> bool:
    """Only moves that were certainly made after enforcement began count (rules, "From when")."""
    since = scene.enforced_since.get(objection.rule)
    return objection.mode is Mode.ENFORCE and since is not None and change.earliest >= since


# --- Guards ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the bridge may put back before it stops and asks a person. Counts are per window, in reverts."""

    per_cycle: int = 20
    """A day of clients' mistakes at a busy publisher fits in one cycle; more at once is a wrong policy or a bulk edit."""
    per_hour: int = 60
    per_project_hour: int = 30
    per_person_hour: int = 15
    """A person who is put back this often needs a call, not a sixteenth comment."""
    per_ticket_day: int = 3
    """After three rounds the ticket is a dispute (contract §15.12)."""
    share: float = 0.5
    """Of the moves judged in one cycle; above it the policy, not the people, is likely wrong."""
    share_from: int = 10
    """The share says nothing about fewer moves than this."""


@dataclass(frozen=True, slots=True)
class RevertCount:
    """One revert of the past, as the guards count it."""

    at: datetime
    project: ProjectId
    person: UserId
    work_package: WorkPackageId


def guard(
    revert: Revert, project: ProjectId, past: Sequence[RevertCount], this_cycle: int, limits: Limits, now: datetime
) -> Hold | None:
    """A reason to leave this revert to a person; None when there is none. ``past`` reaches back one day."""
    person = revert.change.actor
    hour = [p for p in past if p.at > now - timedelta(hours=1)]
    reason = None
    if this_cycle >= limits.per_cycle:
        reason = f"{limits.per_cycle} reverts in one cycle is the limit"
    elif len(hour) >= limits.per_hour:
        reason = f"{limits.per_hour} reverts in an hour is the limit"
    elif sum(p.project == project for p in hour) >= limits.per_project_hour:
        reason = f"{limits.per_project_hour} reverts in an hour in one project is the limit"
    elif sum(p.person == person for p in hour) >= limits.per_person_hour:
        reason = f"{limits.per_person_hour} reverts in an hour of one person's moves is the limit"
    elif sum(p.work_package == revert.work_package for p in past) >= limits.per_ticket_day:
        reason = f"{limits.per_ticket_day} reverts of one ticket in a day is the limit"
    return Hold(revert.work_package, revert.change, reason) if reason else None


def breaker(judged: Sequence[tuple[Verdict, bool]], limits: Limits) -> str | None:
    """The circuit breaker, asked before the first action of a cycle; None when it stays closed.

    ``judged`` holds each fresh verdict with whether it would be put back.
    """
    moves = sum(not isinstance(verdict, Undecided) for verdict, _ in judged)
    reverts = sum(would for _, would in judged)
    if moves >= limits.share_from and reverts > limits.share * moves:
        return f"{reverts} of {moves} moves in one cycle would be put back: more than {limits.share:.0%}"
    return None

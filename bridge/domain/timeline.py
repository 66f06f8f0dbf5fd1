"""From stored activity revisions to the chain of a ticket's statuses: every change with its bounds in time, proven or
with the reason why not. It believes nothing that the chain does not support, and it never judges.

An activity line is only a candidate: a custom field may carry the status' label (contract A.3), names may be old or
cached, and activities are rewritten while their author goes on working (contract §4). A line counts where it fits: its
old status is the one before, and everything after still works out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bridge.domain.model import (
    Activity,
    ChangeKey,
    Comment,
    Kind,
    Sighting,
    StatusChange,
    StatusId,
    StatusLine,
    Timeline,
    UserId,
    WorkPackageId,
)

Names = Mapping[str, frozenset[StatusId]]
"""Every name that any status has had, to the statuses that have had it."""

UNKNOWN = StatusId(-1)
"""A status whose name the server no longer tells. Never leaves this module."""

SEVERAL_WAYS = "the activity can be read in several ways (a custom field carries the status' label, or names changed)"

SIGHTED_WITHIN = timedelta(seconds=2)
"""How far a sighting's time may be off: ``Date`` is told in whole seconds, at the end of the answer."""

_Ends = frozenset[StatusId]


@dataclass(frozen=True, slots=True)
class _Step:
    """What one activity did: where the ticket stood before it, and after each of its revisions."""

    start: StatusId | None
    ends: tuple[StatusId | None, ...]
    """None where a revision does not tell."""
    doubt: str | None = None
    gap: bool = False
    """True when ``start`` is not where the step before ended."""


def derive(
    work_package: WorkPackageId,
    revisions: Sequence[Activity],
    names: Names,
    *,
    label_is_ambiguous: bool = False,
    present: StatusId | None = None,
    sightings: Sequence[Sighting] = (),
    own: UserId | None = None,
) -> Timeline:
    """The chain of a ticket's statuses.

    ``revisions`` are in the order of their observation; several may share an activity's id. ``label_is_ambiguous``
    says that a custom field of this ticket carries the status' label, so that any line may be that field's. What
    follows only serves to choose between readings that the lines leave open: ``present`` is the ticket's status by id,
    ``sightings`` are its statuses by id at known times, and ``own`` is the bridge's account, which never sets a custom
    field.
    """
    lives = _lives(revisions)
    steps = None if label_is_ambiguous else _plain(lives, names)
    if steps is None:
        seen = _after_which(lives, sightings)
        if present is not None and lives:
            seen[len(lives) - 1] = present
        steps = _search(lives, names, seen, own, label_is_ambiguous)
    if steps is None:
        steps = _with_gaps(lives, names)
        if label_is_ambiguous:
            steps = [replace(step, doubt=step.doubt or SEVERAL_WAYS) for step in steps]
    return Timeline(work_package, _changes(lives, steps, own), tuple(_comments(lives)))


def _lives(revisions: Iterable[Activity]) -> list[list[Activity]]:
    """Revisions by activity, activities in the server's order (``version``)."""
    by_id: dict[int, list[Activity]] = {}
    for revision in revisions:
        by_id.setdefault(revision.id, []).append(revision)
    return sorted(by_id.values(), key=lambda life: life[0].version)


# --- Reading the lines ----------------------------------------------------------------------------------------------


def _plain(lives: Sequence[Sequence[Activity]], names: Names) -> list[_Step] | None:
    """Every line taken for a status line. None as soon as one does not fit, or could mean two things."""
    steps: list[_Step] = []
    here: StatusId | None = None
    for life in lives:
        ends = tuple(_told_by(revision, here, names) for revision in life)
        if None in ends:
            return None
        steps.append(_Step(here, ends))
        here = ends[-1]
    return steps


def _told_by(revision: Activity, start: StatusId | None, names: Names) -> StatusId | None:
    """Where one revision leaves the ticket, its line taken for a status line; None when it does not tell."""
    if not revision.status_lines:
        return start
    if len(revision.status_lines) > 1:
        return None
    fits = _ends(revision.status_lines[0], start, names)
    return next(iter(fits)) if len(fits) == 1 and UNKNOWN not in fits else None


def _ends(line: StatusLine, start: StatusId | None, names: Names, *, lenient: bool = False) -> _Ends:
    """Where the line can lead from ``start``; nothing when it cannot be a status line there.

    ``lenient`` also lets an old name that nobody knows stand for ``start``: 17 caches rendered names (contract A.3), so
    a status renamed before the bridge first looked may still read by its old name.
    """
    if start is None:
        fits = line.old is None
    elif line.old is None:
        fits = start == UNKNOWN
    else:
        known = names.get(line.old, frozenset())
        fits = start in known or (not known and (lenient or start == UNKNOWN)) or (start == UNKNOWN and bool(known))
    if not fits:
        return frozenset()
    if line.new is None:
        return frozenset({UNKNOWN})  # "deleted": the status that was set has vanished since
    return names.get(line.new) or frozenset({UNKNOWN})


def _options(revision: Activity, start: StatusId | None, names: Names, own: UserId | None) -> _Ends:
    """Every end that the revision allows, when each line may as well be a custom field's."""
    ends: set[StatusId] = set()
    for line in revision.status_lines:
        ends |= _ends(line, start, names, lenient=True)
    if start is not None and not (revision.user == own and revision.status_lines):
        ends.add(start)
    return frozenset(ends)


def _after_which(lives: Sequence[Sequence[Activity]], sightings: Sequence[Sighting]) -> dict[int, StatusId]:
    """The status that was seen between one activity and the next, by the index of the former."""
    seen: dict[int, StatusId] = {}
    for sighting in sightings:
        before = sum(life[-1].updated_at < sighting.at - SIGHTED_WITHIN for life in lives)
        after = sum(life[0].created_at > sighting.at + SIGHTED_WITHIN for life in lives)
        if before and before + after == len(lives) and lives[before - 1][-1].updated_at < sighting.at:
            seen[before - 1] = sighting.status
    return seen


def _search(
    lives: Sequence[Sequence[Activity]],
    names: Names,
    seen: Mapping[int, StatusId],
    own: UserId | None,
    label_is_ambiguous: bool,
) -> list[_Step] | None:
    """All readings that work out from the first activity to the last; what they agree on is certain.

    ``seen`` is where the ticket was seen to stand after an activity. Layered reachability: forwards to collect,
    backwards to drop what leads nowhere. None when no reading works out: no activity says how the ticket was created,
    or it was seen where no reading leads and no custom field is known that could be why.
    """
    layers: list[set[tuple[StatusId | None, StatusId]]] = []
    reachable: set[StatusId | None] = {None}
    for index, life in enumerate(lives):
        layer = {(start, end) for start in reachable for end in _options(life[-1], start, names, own)}
        if index in seen:
            fitting = {edge for edge in layer if edge[1] == seen[index]}
            if not fitting and not label_is_ambiguous and UNKNOWN not in {end for _, end in layer}:
                return None
            layer = fitting or layer
        layers.append(layer)
        reachable = {end for _, end in layer}
    wanted = reachable
    for index in range(len(layers) - 1, -1, -1):
        layers[index] = {edge for edge in layers[index] if edge[1] in wanted}
        wanted = {start for start, _ in layers[index]}
    if not all(layers):
        return None
    return [_agreed(life, layer, names, own) for life, layer in zip(lives, layers, strict=True)]


def _agreed(
    life: Sequence[Activity], layer: set[tuple[StatusId | None, StatusId]], names: Names, own: UserId | None
) -> _Step:
    """What all surviving readings of one activity share."""
    starts = {start for start, _ in layer}
    ends = {end for _, end in layer}
    start = next(iter(starts)) if len(starts) == 1 else UNKNOWN
    end = next(iter(ends)) if len(ends) == 1 else UNKNOWN
    doubt = None
    if len(layer) > 1:
        doubt = SEVERAL_WAYS
    elif UNKNOWN in (start, end):
        doubt = "the activity names a status that the server does not know (any more)"
    waypoints: list[StatusId | None] = []
    for revision in life[:-1]:
        options = _options(revision, start, names, own) if doubt is None else frozenset()
        waypoints.append(next(iter(options)) if len(options) == 1 else None)
        # The same words lead to the same end, though at first they may have been the field's.
        if len(options) > 1 and revision.status_lines != life[-1].status_lines:
            doubt = "an earlier form of the activity can be read in several ways"
    return _Step(start, (*waypoints, end), doubt)


def _with_gaps(lives: Sequence[Sequence[Activity]], names: Names) -> list[_Step]:
    """No reading works out: take the lines as they stand, and put a gap wherever one does not follow from the last."""
    steps: list[_Step] = []
    here: StatusId | None = None
    for life in lives:
        lines = life[-1].status_lines
        ends = tuple(_told_by(revision, here, names) for revision in life)
        if ends[-1] is not None and not (lines and here == UNKNOWN):
            steps.append(_Step(here, ends))
        elif len(lines) == 1:
            start = here if lines[0].old is None else _only(lines[0].old, names)
            doubt = "the activity does not follow from the status before it"
            gap = here not in (None, UNKNOWN, start)
            steps.append(_Step(start, (_only(lines[0].new, names),) * len(life), doubt, gap))
        elif lines:
            doubt = "the activity has several lines with the status' label"
            steps.append(_Step(here, (UNKNOWN,) * len(life), doubt))
        else:
            doubt = "the first activity does not say in which status the ticket was created"
            steps.append(_Step(here, (UNKNOWN,) * len(life), doubt))
        here = steps[-1].ends[-1]
    return steps


def _only(name: str | None, names: Names) -> StatusId:
    ids = names.get(name, frozenset()) if name is not None else frozenset()
    return next(iter(ids)) if len(ids) == 1 else UNKNOWN


# --- From steps to changes ------------------------------------------------------------------------------------------


def _changes(
    lives: Sequence[Sequence[Activity]], steps: Sequence[_Step], own: UserId | None
) -> tuple[StatusChange, ...]:
    changes: list[StatusChange] = []
    for index, (life, step) in enumerate(zip(lives, steps, strict=True)):
        if step.gap:
            changes.append(_gap(lives[index - 1][0], steps[index - 1], life[0], step))
        before = len(changes)
        changes.extend(_changes_of(life, step))
        if changes and life[0].user != own and _saved_again(life, changes[-1] if len(changes) > before else None):
            changes[-1] = replace(changes[-1], maybe_been_elsewhere=True)
        if len(changes) == before and changes and _may_hide_a_return(life, changes[-1], own):
            changes[-1] = replace(changes[-1], maybe_moved_on=True)
        elif len(changes) > before > 0 and life[0].user == own:
            # The bridge looked before it put this back: what was saved again later is a comment.
            changes[before - 1] = replace(changes[before - 1], maybe_moved_on=False)
    last_project_change = max(
        (i for i, c in enumerate(lives) if any(r.project_changed and r.version > 1 for r in c)), default=-1
    )
    if last_project_change >= 0:
        moved = {lives[i][0].id for i in range(last_project_change + 1)}
        changes = [_elsewhere(change) if change.key.activity in moved else change for change in changes]
    return tuple(changes)


def _changes_of(life: Sequence[Activity], step: _Step) -> Iterable[StatusChange]:
    """The changes within one activity: one for each revision that moved the end."""
    here = step.start
    part = 0
    earliest = life[0].created_at
    for index, (revision, end) in enumerate(zip(life, step.ends, strict=True)):
        if end is None:
            continue
        told_nothing = end == here == UNKNOWN and index == len(life) - 1 and bool(revision.status_lines)
        if here is None or end != here or told_nothing:
            yield StatusChange(
                key=ChangeKey(revision.id, part),
                kind=Kind.CREATION if here is None else Kind.MOVE,
                origin=_told(here),
                target=_told(end),
                actor=life[0].user,  # 15.4 puts "deleted user" there later (contract §8.5)
                earliest=earliest,
                latest=revision.updated_at,
                maybe_merged=index > 0 or revision.updated_at > revision.created_at,
                comment="" if life[-1].retracted else life[-1].comment,
                type_changed=revision.type_changed,
                doubt=step.doubt,
                began=life[0].created_at,
                began_in=_told(step.start),
            )
            part += 1
        here, earliest = end, revision.updated_at


def _may_hide_a_return(life: Sequence[Activity], last: StatusChange, own: UserId | None) -> bool:
    """Whether an activity that shows no status may hide that somebody moved the ticket there and back after ``last``.

    One's own return to one's own move hides nothing that matters, unless it was a creation: nobody moves like that.
    """
    user = life[0].user
    concerns = user != last.actor or last.kind is Kind.CREATION
    return concerns and user != own and _saved_again(life, None)


def _saved_again(life: Sequence[Activity], change: StatusChange | None) -> bool:
    """Whether an activity was saved again after its last change, or after its beginning where it shows none."""
    if change is not None:
        return life[-1].updated_at > change.latest
    return life[-1].retracted or life[-1].updated_at > life[-1].created_at


def _gap(before: Activity, left: _Step, after: Activity, right: _Step) -> StatusChange:
    """What no activity shows between these two. Their ``updatedAt`` says little: it may be an edit of a comment."""
    return StatusChange(
        key=ChangeKey(after.id, -1),
        kind=Kind.GAP,
        origin=_told(left.ends[-1]),
        target=_told(right.start),
        actor=None,
        earliest=before.created_at,
        latest=after.created_at,
        maybe_merged=True,
        doubt="no activity shows this change",
    )


def _told(status: StatusId | None) -> StatusId | None:
    return None if status == UNKNOWN else status


def _elsewhere(change: StatusChange) -> StatusChange:
    return replace(change, project_certain=False)


def _comments(lives: Sequence[Sequence[Activity]]) -> Iterable[Comment]:
    """Each comment that a person wrote, once: when it was first there, with the text it had last."""
    for life in lives:
        written = [i for i, revision in enumerate(life) if revision.comment and not revision.retracted]
        if written:
            first, last = life[written[0]], life[written[-1]]
            at = first.created_at if written[0] == 0 else first.updated_at
            yield Comment(first.id, life[0].user, at, last.comment)

"""What the timeline claims for certain is true; what it cannot know it says it does not know.

The properties hold ``derive`` against lives that were made up and written down by the rules of OpenProject's journals
(``strategies``). The cases below them are the ones that people will ask about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.domain.model import (
    Activity,
    ActivityId,
    ChangeKey,
    Comment,
    Kind,
    Sighting,
    StatusChange,
    StatusId,
    StatusLine,
    Timeline,
    UserId,
)
from bridge.domain.timeline import derive
from tests.domain.strategies import BEGIN, BRIDGE, RETRACTED, TICKET, Life, Step, by_the_bridge, fields, lives, renames

EXAMPLES = settings(max_examples=80)

# --- Properties -----------------------------------------------------------------------------------------------------


def derived(life: Life, *, revisions: Sequence[Activity] | None = None, **keywords: object) -> Timeline:
    shown = life.revisions if revisions is None else revisions
    return derive(TICKET, shown, life.known_names(), **keywords)  # type: ignore[arg-type]


Claim = tuple[int, int, int | None, int | None, int | None]
"""Activity, part, origin, target, person."""


def told(steps: Iterable[Step]) -> list[Claim]:
    return [(s.activity, s.part, s.origin, s.target, s.actor) for s in steps]


def claimed(changes: Iterable[StatusChange]) -> list[Claim]:
    return [(c.key.activity, c.key.part, c.origin, c.target, c.actor) for c in changes]


def assert_no_claim_is_false(timeline: Timeline, life: Life) -> None:
    """Every change without a doubt is a net step that the readings showed, within its bounds, by that person."""
    truth = dict(zip(told(life.steps()), life.steps(), strict=True))
    for change, claim in zip(timeline.changes, claimed(timeline.changes), strict=True):
        if change.doubt is None:
            step = truth.get(claim)
            assert step is not None, f"never happened: {change}"
            assert change.earliest <= step.at <= change.latest, f"not when it happened: {change}"
            assert change.maybe_merged or not step.hidden, f"hides a status: {change}"


@EXAMPLES
@given(lives())
def test_with_stable_names_and_no_other_field_of_that_label_every_step_is_told_and_none_is_in_doubt(life: Life) -> None:
    timeline = derived(life)

    assert claimed(timeline.changes) == told(life.steps())
    assert timeline.proven
    assert timeline.status == life.status
    assert_no_claim_is_false(timeline, life)
    for change, step in zip(timeline.changes, life.steps(), strict=True):
        assert change.kind is (Kind.CREATION if step.origin is None else Kind.MOVE)
        assert change.maybe_merged is (step.seen.saves > 1)
        assert change.type_changed is step.seen.type_changed


@EXAMPLES
@given(lives())
def test_every_change_tells_when_its_activity_began_in_which_status_and_with_which_comment(life: Life) -> None:
    journals = {journal.id: journal for journal in life.journals}
    for change in derived(life).changes:
        journal = journals[change.key.activity]
        assert change.began == journal.created
        assert change.began_in == (journal.before.status if journal.before else None)
        assert change.comment == journal.note


@EXAMPLES
@given(lives())
def test_the_bounds_of_a_change_begin_where_an_earlier_reading_ended(life: Life) -> None:
    for change, step in zip(derived(life).changes, life.steps(), strict=True):
        earlier = [seen for seen in life.seen[step.activity] if seen.reading < step.seen.reading]
        if earlier:
            assert change.earliest == earlier[-1].updated
        else:
            assert change.earliest == change.began
        assert change.latest == step.seen.updated


@EXAMPLES
@given(lives(), st.data())
def test_a_change_once_told_keeps_its_key_its_origin_and_its_target(life: Life, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(life.revisions)), label="revisions at first")
    before = {change.key: change for change in derived(life, revisions=life.revisions[:cut]).changes}
    after = {change.key: change for change in derived(life).changes}
    for key, change in before.items():
        assert (after[key].origin, after[key].target) == (change.origin, change.target)
        assert (after[key].earliest, after[key].latest) == (change.earliest, change.latest)
        assert after[key].actor == change.actor


@EXAMPLES
@given(lives())
def test_a_change_is_certain_of_its_project_unless_the_ticket_changed_project_then_or_later(life: Life) -> None:
    carried = [j.version for j in life.journals if any(seen.project_changed for seen in life.seen[j.id])]
    versions = {journal.id: journal.version for journal in life.journals}
    for change in derived(life).changes:
        later = [version for version in carried if version >= versions[change.key.activity]]
        assert change.project_certain is not bool(later)


@EXAMPLES
@given(lives())
def test_each_comment_is_told_once_with_its_last_text_and_when_it_was_first_there(life: Life) -> None:
    comments = {comment.activity: comment for comment in derived(life).comments}
    assert len(comments) == len(derived(life).comments)
    written = {j.id: [s for s in life.seen[j.id] if s.note] for j in life.journals}
    assert list(comments) == [id_ for id_, seen in written.items() if seen]
    for journal in life.journals:
        if not written[journal.id]:
            continue
        comment, first = comments[ActivityId(journal.id)], written[journal.id][0]
        assert comment.user == journal.user
        assert comment.text == written[journal.id][-1].note
        unwritten = [s for s in life.seen[journal.id] if s.reading < first.reading]
        assert comment.at == (first.updated if unwritten else journal.created)


@EXAMPLES
@given(lives(fields, fields, born_field=st.sampled_from(["", "S1", "S2", "libre"])), st.booleans())
def test_where_another_field_bears_the_label_the_timeline_is_right_or_in_doubt(life: Life, listed: bool) -> None:
    present = StatusId(life.status) if listed else None
    timeline = derived(life, label_is_ambiguous=True, present=present)

    assert_no_claim_is_false(timeline, life)
    if timeline.proven:
        assert timeline.status == life.status


@st.composite
def sightings(draw: st.DrawFn, life: Life) -> list[Sighting]:
    """What lists showed at any time before the last reading. Their time is told in seconds, after the answer."""
    end = life.seen[life.journals[0].id][-1].read_at
    span = int((end - BEGIN) / timedelta(milliseconds=1))
    seen = []
    for after in draw(st.lists(st.integers(0, span), max_size=4)):
        moment = BEGIN + timedelta(milliseconds=after)
        off = timedelta(milliseconds=draw(st.integers(-1_000, 1_000)))
        seen.append(Sighting(moment + off, StatusId(life.status_at(moment))))
    return seen


@EXAMPLES
@given(lives(fields, fields, by_the_bridge), st.data())
def test_what_lists_showed_and_what_the_bridge_did_itself_settle_readings_and_never_wrongly(
    life: Life, data: st.DataObject
) -> None:
    seen = data.draw(sightings(life), label="sightings")
    timeline = derived(life, label_is_ambiguous=True, sightings=seen, own=UserId(BRIDGE))

    assert_no_claim_is_false(timeline, life)
    if timeline.proven:
        assert timeline.status == life.status


@EXAMPLES
@given(lives(renames, renames), st.booleans())
def test_whatever_statuses_are_called_the_timeline_is_right_or_in_doubt(life: Life, listed: bool) -> None:
    present = StatusId(life.status) if listed else None
    timeline = derived(life, present=present)

    assert_no_claim_is_false(timeline, life)
    if timeline.proven:
        assert timeline.status == life.status


@EXAMPLES
@given(lives(renames, fields, born_field=st.sampled_from(["", "S1", "libre"])), st.booleans())
def test_other_names_and_another_field_together_do_not_mislead_either(life: Life, listed: bool) -> None:
    present = StatusId(life.status) if listed else None
    timeline = derived(life, label_is_ambiguous=True, present=present)

    assert_no_claim_is_false(timeline, life)
    if timeline.proven:
        assert timeline.status == life.status


@EXAMPLES
@given(lives(hidden=True), st.booleans())
def test_where_activities_are_missing_no_step_is_made_up(life: Life, listed: bool) -> None:
    present = StatusId(life.status) if listed else None
    assert_no_claim_is_false(derived(life, present=present), life)


@EXAMPLES
@given(lives(hidden=True))
def test_where_a_later_activity_shows_that_one_is_missing_the_present_status_is_right_or_in_doubt(life: Life) -> None:
    moves = [j.version for j in life.journals if j.before is None or j.before.status != j.after.status]
    assume(moves[-1] not in life.hidden)  # else only the ticket's own status shows it: whoever acts compares
    timeline = derived(life, present=StatusId(life.status))
    if timeline.proven:
        assert timeline.status == life.status


@EXAMPLES
@given(lives(renames, fields, hidden=True), st.booleans())
def test_the_creation_comes_first_and_activities_in_the_order_of_the_server(life: Life, ambiguous: bool) -> None:
    """However much is unknown: no key twice, none out of order, and no change that goes nowhere."""
    timeline = derived(life, label_is_ambiguous=ambiguous)
    keys = [(change.key.activity, change.key.part) for change in timeline.changes]
    assert keys == sorted(set(keys))
    assert [change.kind is Kind.CREATION for change in timeline.changes] == [i == 0 for i in range(len(keys))]
    for change in timeline.changes:
        assert change.origin != change.target or change.origin is None
        assert change.earliest <= change.latest
        assert change.began is None or change.began <= change.earliest


# --- Cases ----------------------------------------------------------------------------------------------------------

NAMES: Mapping[str, frozenset[StatusId]] = {
    name: frozenset({StatusId(number)})
    for number, name in enumerate(["NOUVEAU", "EN COURS", "EN COURS DE TEST", "RESOLU", "EN ATTENTE"], start=1)
}
N, E, T, R, A = map(StatusId, range(1, 6))
CLIENT, SUPPORT = UserId(11), UserId(12)


def minute(number: float) -> datetime:
    return BEGIN + timedelta(minutes=number)


def to(new: str) -> StatusLine:
    return StatusLine(None, new)


def move(old: str, new: str) -> StatusLine:
    return StatusLine(old, new)


def activity(
    version: int,
    at: float,
    *lines: StatusLine,
    by: UserId = CLIENT,
    until: float | None = None,
    comment: str = "",
    type_changed: bool = False,
    project_changed: bool = False,
) -> Activity:
    return Activity(
        id=ActivityId(100 + version),
        work_package=TICKET,
        version=version,
        user=by,
        created_at=minute(at),
        updated_at=minute(at if until is None else until),
        comment=comment,
        retracted=comment == RETRACTED,
        status_lines=lines,
        type_changed=type_changed,
        project_changed=project_changed,
    )


CREATED = activity(1, 0, to("NOUVEAU"))
STARTED = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT)


def moves_of(timeline: Timeline) -> list[tuple[StatusId | None, StatusId | None]]:
    return [(change.origin, change.target) for change in timeline.changes]


def doubtful(timeline: Timeline) -> list[bool]:
    return [change.doubt is not None for change in timeline.changes]


def test_a_ticket_without_activities_has_no_status_and_proves_nothing() -> None:
    timeline = derive(TICKET, [], NAMES, present=N)
    assert timeline == Timeline(TICKET, (), ())
    assert timeline.status is None
    assert not timeline.proven


def test_three_statuses_in_one_activity_are_one_step_that_may_hide_more() -> None:
    merged = activity(2, 10, move("NOUVEAU", "EN COURS DE TEST"), by=SUPPORT, until=12)
    timeline = derive(TICKET, [CREATED, merged], NAMES)
    assert timeline.changes[1] == StatusChange(
        key=ChangeKey(ActivityId(102), 0),
        kind=Kind.MOVE,
        origin=N,
        target=T,
        actor=SUPPORT,
        earliest=minute(10),
        latest=minute(12),
        maybe_merged=True,
        began=minute(10),
        began_in=N,
    )


def test_three_statuses_in_one_activity_are_two_steps_when_it_was_read_in_between() -> None:
    merged = activity(2, 10, move("NOUVEAU", "EN COURS DE TEST"), by=SUPPORT, until=12)
    timeline = derive(TICKET, [CREATED, STARTED, merged], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E), (E, T)]
    assert [change.key.part for change in timeline.changes] == [0, 0, 1]
    first, second = timeline.changes[1:]
    assert (first.earliest, first.latest, first.maybe_merged) == (minute(10), minute(10), False)
    assert (second.earliest, second.latest, second.maybe_merged) == (minute(10), minute(12), True)
    assert (second.began, second.began_in) == (minute(10), N)
    assert timeline.proven


def test_a_second_form_of_an_activity_may_hide_more_although_it_bears_the_time_of_the_first() -> None:
    again = activity(2, 10, move("NOUVEAU", "RESOLU"), by=SUPPORT)
    timeline = derive(TICKET, [CREATED, STARTED, again], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E), (E, R)]
    assert [change.maybe_merged for change in timeline.changes] == [False, False, True]


def test_a_move_taken_back_leaves_no_step_unless_it_was_read_in_between() -> None:
    retracted = activity(2, 10, by=SUPPORT, until=12, comment=RETRACTED)
    assert moves_of(derive(TICKET, [CREATED, retracted], NAMES)) == [(None, N)]
    timeline = derive(TICKET, [CREATED, STARTED, retracted], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E), (E, N)]
    assert timeline.proven
    assert not timeline.comments
    assert [change.comment for change in timeline.changes] == ["", "", ""]


def test_a_comment_that_became_a_move_is_no_step_before_and_no_comment_by_the_server() -> None:
    """Contract A.3, recording 22: written, cleared, and then taken over by a move."""
    written = activity(2, 10, by=SUPPORT, comment="Première version")
    cleared = activity(2, 10, by=SUPPORT, until=11, comment=RETRACTED)
    taken_over = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12)
    timeline = derive(TICKET, [CREATED, written, cleared, taken_over], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E)]
    assert timeline.changes[1].earliest == minute(11)
    assert timeline.changes[1].maybe_merged
    assert timeline.comments == (Comment(ActivityId(102), SUPPORT, minute(10), "Première version"),)


def test_a_comment_added_to_a_move_is_the_comment_of_that_move() -> None:
    explained = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=13, comment="Pris en charge.")
    timeline = derive(TICKET, [CREATED, STARTED, explained], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E)]
    assert timeline.changes[1].comment == "Pris en charge."
    assert timeline.changes[1].latest == minute(10)
    assert timeline.comments == (Comment(ActivityId(102), SUPPORT, minute(13), "Pris en charge."),)


def test_a_creation_that_swallowed_a_move_starts_in_the_later_status() -> None:
    swallowed = activity(1, 0, to("RESOLU"), until=3)
    timeline = derive(TICKET, [swallowed], NAMES)
    assert moves_of(timeline) == [(None, R)]
    assert timeline.changes[0].kind is Kind.CREATION
    assert timeline.changes[0].maybe_merged
    assert moves_of(derive(TICKET, [CREATED, swallowed], NAMES)) == [(None, N), (N, R)]


def test_activities_are_ordered_by_version_however_they_were_observed() -> None:
    timeline = derive(TICKET, [STARTED, CREATED], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E)]


def test_there_and_back_and_there_again_are_three_steps_when_each_was_read() -> None:
    forms = [
        activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT),
        activity(2, 10, by=SUPPORT, until=11, comment=RETRACTED),
        activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12),
    ]
    timeline = derive(TICKET, [CREATED, *forms], NAMES)
    assert moves_of(timeline) == [(None, N), (N, E), (E, N), (N, E)]
    assert [change.key.part for change in timeline.changes] == [0, 0, 1, 2]


def test_a_comment_that_was_there_when_its_activity_was_first_read_is_as_old_as_the_activity() -> None:
    commented = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12, comment="Pris en charge.")
    timeline = derive(TICKET, [CREATED, commented], NAMES)
    assert timeline.comments == (Comment(ActivityId(102), SUPPORT, minute(10), "Pris en charge."),)


# --- Missing activities ---


def test_a_missing_activity_is_a_gap_that_nobody_is_named_for_and_the_chain_recovers_after_it() -> None:
    resolved = activity(3, 20, move("EN COURS DE TEST", "RESOLU"))
    reopened = activity(4, 30, move("RESOLU", "EN COURS"), by=SUPPORT)
    timeline = derive(TICKET, [CREATED, resolved, reopened], NAMES, present=E)
    assert moves_of(timeline) == [(None, N), (N, T), (T, R), (R, E)]
    assert [change.kind for change in timeline.changes] == [Kind.CREATION, Kind.GAP, Kind.MOVE, Kind.MOVE]
    assert doubtful(timeline) == [False, True, True, False]
    gap = timeline.changes[1]
    assert gap.actor is None
    assert gap.key == ChangeKey(ActivityId(103), -1)
    assert (gap.earliest, gap.latest) == (minute(0), minute(20))
    assert gap.doubt == "no activity shows this change"
    assert gap.maybe_merged
    assert timeline.changes[2].doubt == "the activity does not follow from the status before it"
    assert timeline.status == E
    assert not timeline.proven


def test_a_gap_takes_no_earlier_step_its_key_or_its_time() -> None:
    """Read in between, the second activity is two steps, also once a later one does not follow."""
    merged = activity(2, 10, move("NOUVEAU", "EN ATTENTE"), until=12)
    before = derive(TICKET, [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS")), merged], NAMES, present=A)
    resolved = activity(4, 30, move("EN COURS DE TEST", "RESOLU"))
    revisions = [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS")), merged, resolved]
    after = derive(TICKET, revisions, NAMES, present=R)
    assert after.changes[:3] == before.changes
    assert moves_of(after) == [(None, N), (N, E), (E, A), (A, T), (T, R)]


def test_activities_without_a_creation_leave_the_first_in_doubt_and_no_more() -> None:
    resolved = activity(3, 20, move("EN COURS", "RESOLU"))
    timeline = derive(TICKET, [STARTED, resolved], NAMES, present=R)
    assert moves_of(timeline) == [(N, E), (E, R)]
    assert doubtful(timeline) == [True, False]


def test_a_gap_before_a_status_that_was_deleted_since_is_not_told_apart() -> None:
    """Out of it reads "set to", which says nothing of where the ticket stood."""
    timeline = derive(TICKET, [CREATED, activity(3, 20, to("RESOLU"))], NAMES, present=R)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, R)], [False, True])


def test_a_gap_between_names_that_tell_nothing_leads_from_and_to_the_unknown() -> None:
    names = {**NAMES, "A": frozenset({N, E})}
    unread = activity(3, 20, move("EN ATTENTE", "JAMAIS VU"))
    either = activity(4, 30, move("A", "RESOLU"))
    timeline = derive(TICKET, [STARTED, unread, either], names, present=R)
    assert moves_of(timeline) == [(N, E), (E, A), (A, None), (None, R)]
    assert doubtful(timeline) == [True, True, True, True]


def test_a_creation_that_does_not_tell_its_status_is_a_creation_into_the_unknown() -> None:
    timeline = derive(TICKET, [activity(1, 0), STARTED], NAMES, present=E)
    assert timeline.changes[0].kind is Kind.CREATION
    assert timeline.changes[0].target is None
    assert timeline.changes[0].doubt == "the first activity does not say in which status the ticket was created"
    assert timeline.status == E


# --- A custom field that bears the status' label (recording 16) ---


def test_a_field_named_like_the_status_that_does_not_fit_the_chain_is_no_move() -> None:
    """Recording 16, in full: set, changed to markup, emptied; nobody told the timeline about the field."""
    markup = "</i> mis à <i>RESOLU</i> & <b>x</b>"
    trap = [
        CREATED,
        activity(2, 1, to("EN COURS"), by=SUPPORT),
        activity(3, 2, move("EN COURS", markup)),
        activity(4, 3, by=SUPPORT),
        activity(5, 4, StatusLine(markup, None)),
    ]
    for read in range(1, len(trap) + 1):
        timeline = derive(TICKET, trap[:read], NAMES, label_is_ambiguous=True, present=N)
        assert moves_of(timeline) == [(None, N)]
        assert timeline.proven
        assert moves_of(derive(TICKET, trap[:read], NAMES, present=N)) == [(None, N)]


def test_a_field_that_reads_exactly_like_a_move_is_told_from_one_by_the_present_status_alone() -> None:
    like_a_move = [CREATED, activity(2, 1, move("NOUVEAU", "EN COURS"), by=SUPPORT)]
    nothing = derive(TICKET, like_a_move, NAMES, label_is_ambiguous=True, present=N)
    assert (moves_of(nothing), doubtful(nothing)) == ([(None, N)], [False])
    moved = derive(TICKET, like_a_move, NAMES, label_is_ambiguous=True, present=E)
    assert (moves_of(moved), doubtful(moved)) == ([(None, N), (N, E)], [False, False])
    unknown = derive(TICKET, like_a_move, NAMES, label_is_ambiguous=True)
    assert (moves_of(unknown), doubtful(unknown)) == ([(None, N), (N, None)], [False, True])
    assert unknown.status is None
    assert unknown.changes[1].doubt is not None
    assert "read in several ways" in unknown.changes[1].doubt


def test_a_field_set_together_with_a_move_leaves_the_move_in_doubt_only_where_both_lines_fit() -> None:
    both = activity(2, 1, move("NOUVEAU", "EN COURS"), move("NOUVEAU", "RESOLU"))
    told = derive(TICKET, [CREATED, both], NAMES, label_is_ambiguous=True, present=E)
    assert (moves_of(told), doubtful(told)) == ([(None, N), (N, E)], [False, False])
    untold = derive(TICKET, [CREATED, both], NAMES, label_is_ambiguous=True)
    assert doubtful(untold) == [False, True]
    one = activity(2, 1, move("NOUVEAU", "EN COURS"), to("libre"))
    assert moves_of(derive(TICKET, [CREATED, one], NAMES, present=E)) == [(None, N), (N, E)]


def test_a_creation_with_such_a_field_is_certain_once_the_present_status_decides() -> None:
    born = activity(1, 0, to("NOUVEAU"), to("RESOLU"))
    assert derive(TICKET, [born], NAMES, label_is_ambiguous=True, present=N).status == N
    timeline = derive(TICKET, [born], NAMES, label_is_ambiguous=True)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, None)], [True])


def test_a_present_status_that_no_reading_reaches_does_not_decide_between_readings() -> None:
    """The list was read before the activities, and somebody has moved the ticket in between."""
    like_a_move = [CREATED, activity(2, 1, move("NOUVEAU", "EN COURS"))]
    timeline = derive(TICKET, like_a_move, NAMES, label_is_ambiguous=True, present=R)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, None)], [False, True])


def test_the_same_line_may_have_been_the_field_at_first_and_the_status_at_last() -> None:
    """One person sets the field from NOUVEAU to EN COURS; then the field back and the status instead."""
    first = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT)
    last = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12)
    timeline = derive(TICKET, [CREATED, first, last], NAMES, label_is_ambiguous=True, present=E)
    assert moves_of(timeline) == [(None, N), (N, E)]
    assert timeline.changes[1].key == ChangeKey(ActivityId(102), 0)
    assert (timeline.changes[1].earliest, timeline.changes[1].latest) == (minute(10), minute(12))


def test_a_change_in_doubt_has_bounds_too() -> None:
    """The comment was there at minute 10, the line that nobody can tell from the field's came by minute 12."""
    comment = activity(2, 10, by=SUPPORT, comment="Bonjour")
    last = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12, comment="Bonjour")
    timeline = derive(TICKET, [CREATED, comment, last], NAMES, label_is_ambiguous=True)
    assert doubtful(timeline) == [False, True]
    assert (timeline.changes[1].earliest, timeline.changes[1].latest) == (minute(10), minute(12))


def test_another_earlier_line_leaves_an_activity_in_doubt_where_it_may_have_been_the_field() -> None:
    first = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT)
    last = activity(2, 10, move("NOUVEAU", "RESOLU"), by=SUPPORT, until=12)
    timeline = derive(TICKET, [CREATED, first, last], NAMES, label_is_ambiguous=True, present=R)
    assert doubtful(timeline) == [False, True]
    assert timeline.changes[1].doubt == "an earlier form of the activity can be read in several ways"
    assert (timeline.changes[1].earliest, timeline.changes[1].latest) == (minute(10), minute(12))
    assert timeline.status == R


def test_the_same_words_twice_are_no_less_in_doubt_where_the_last_ones_are_others() -> None:
    first = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT)
    second = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=11, comment="Bonjour")
    last = activity(2, 10, move("NOUVEAU", "RESOLU"), by=SUPPORT, until=12, comment="Bonjour")
    timeline = derive(TICKET, [CREATED, first, second, last], NAMES, label_is_ambiguous=True, present=R)
    assert doubtful(timeline) == [False, True]


def test_an_activity_that_ends_in_the_unknown_is_one_change_whatever_its_earlier_forms_say() -> None:
    known = activity(2, 10, move("NOUVEAU", "EN COURS"), by=UserId(BRIDGE))
    unknown = activity(2, 10, move("NOUVEAU", "EN TEST"), by=UserId(BRIDGE), until=11)
    timeline = derive(TICKET, [CREATED, known, unknown], NAMES, own=UserId(BRIDGE))
    assert moves_of(timeline) == [(None, N), (N, None)]
    assert timeline.changes[1].doubt == "the activity names a status that the server does not know (any more)"


def test_where_the_field_exists_and_the_creation_is_missing_no_line_is_believed() -> None:
    lines = [activity(2, 10, move("NOUVEAU", "EN COURS")), activity(3, 20, move("EN COURS", "RESOLU"))]
    timeline = derive(TICKET, lines, NAMES, label_is_ambiguous=True, present=R)
    assert all(doubtful(timeline))


def test_several_lines_and_no_creation_leave_the_status_unknown() -> None:
    lines = [STARTED, activity(3, 20, move("EN COURS", "RESOLU"), move("EN COURS", "EN ATTENTE"))]
    timeline = derive(TICKET, lines, NAMES)
    assert [change.kind for change in timeline.changes] == [Kind.MOVE, Kind.MOVE]
    assert timeline.status is None
    assert timeline.changes[-1].doubt == "the activity has several lines with the status' label"
    after = derive(TICKET, [*lines, activity(4, 30, move("RESOLU", "EN COURS"))], NAMES)
    assert after.status == E
    assert not after.proven


def seen(minutes: float, status: StatusId, *, seconds: float = 0) -> Sighting:
    return Sighting(minute(minutes) + timedelta(seconds=seconds), status)


@pytest.mark.parametrize(
    ("sighting", "status"),
    [
        (seen(15, E), E),
        (seen(15, N), N),
        (seen(10, E, seconds=2.001), E),
        (seen(10, E, seconds=2), None),  # its time may be off
        (seen(10, E, seconds=-1), None),
        (seen(5, N), None),  # says nothing of a line that came later
        (seen(15, R), None),  # where no reading leads
    ],
)
def test_a_list_that_showed_the_ticket_after_a_line_settles_whether_it_was_the_status(
    sighting: Sighting, status: StatusId | None
) -> None:
    like_a_move = [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT)]
    timeline = derive(TICKET, like_a_move, NAMES, label_is_ambiguous=True, sightings=[sighting])
    assert timeline.proven is (status is not None)
    assert timeline.status == status


@pytest.mark.parametrize(("seconds", "proven"), [(-2.001, True), (-2, False)])
def test_a_list_from_right_before_the_next_activity_settles_nothing(seconds: float, proven: bool) -> None:
    both = [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS")), activity(3, 20, move("EN COURS", "RESOLU"))]
    sighting = seen(20, E, seconds=seconds)
    timeline = derive(TICKET, both, NAMES, label_is_ambiguous=True, sightings=[sighting])
    assert (timeline.changes[1].doubt is None) is proven


def test_a_list_settles_nothing_where_the_times_of_activities_are_not_in_their_order() -> None:
    """As where the machines behind an OpenProject do not agree about the time."""
    late = activity(2, 30, move("NOUVEAU", "EN COURS"))
    early = activity(3, 10, by=SUPPORT, comment="Bonjour")
    timeline = derive(TICKET, [CREATED, late, early], NAMES, label_is_ambiguous=True, sightings=[seen(20, E)])
    assert not timeline.proven


def test_a_list_from_before_an_activity_was_last_saved_settles_nothing() -> None:
    """The comment may have been edited, or the status changed, after the list was read."""
    saved_again = activity(2, 10, move("NOUVEAU", "EN COURS"), until=20)
    timeline = derive(TICKET, [CREATED, saved_again], NAMES, label_is_ambiguous=True, sightings=[seen(15, E)])
    assert not timeline.proven


def test_a_list_that_contradicts_the_lines_shows_that_an_activity_is_missing_where_no_such_field_is_known() -> None:
    later = activity(3, 20, move("EN COURS DE TEST", "RESOLU"))
    timeline = derive(TICKET, [CREATED, later], NAMES, sightings=[seen(30, R)])
    assert moves_of(timeline) == [(None, N), (N, T), (T, R)]


def test_the_bridge_never_sets_a_field_so_its_lines_are_moves() -> None:
    lines = [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS"), by=UserId(BRIDGE))]
    timeline = derive(TICKET, lines, NAMES, label_is_ambiguous=True, own=UserId(BRIDGE))
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, E)], [False, False])
    explained = activity(2, 10, move("NOUVEAU", "EN COURS"), by=UserId(BRIDGE), until=11, comment="Décision")
    again = activity(2, 10, move("NOUVEAU", "RESOLU"), by=UserId(BRIDGE), until=12, comment="Décision")
    timeline = derive(TICKET, [*lines, explained, again], NAMES, label_is_ambiguous=True, own=UserId(BRIDGE))
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, E), (E, R)], [False, False, False])
    assert [change.latest for change in timeline.changes] == [minute(0), minute(10), minute(12)]
    assert timeline.changes[-1].earliest == minute(11)


def test_what_came_later_settles_what_came_before() -> None:
    lines = [CREATED, activity(2, 10, move("NOUVEAU", "EN COURS")), activity(3, 20, move("EN COURS", "RESOLU"))]
    timeline = derive(TICKET, lines, NAMES, label_is_ambiguous=True, present=R)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, E), (E, R)], [False, False, False])


# --- Names ---


def test_a_status_is_known_by_every_name_that_it_has_had() -> None:
    names = {**NAMES, "EN COURS (bis)": frozenset({E})}
    fresh = activity(2, 10, move("NOUVEAU", "EN COURS (bis)"), by=SUPPORT)
    resolved = activity(3, 20, move("EN COURS", "RESOLU"))
    timeline = derive(TICKET, [CREATED, STARTED, fresh, resolved], names)
    assert moves_of(timeline) == [(None, N), (N, E), (E, R)]
    assert timeline.proven


def test_a_name_that_nobody_knows_is_a_move_into_the_unknown() -> None:
    timeline = derive(TICKET, [CREATED, activity(2, 10, move("NOUVEAU", "EN TEST"))], NAMES, present=T)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, None)], [False, True])
    onwards = [CREATED, activity(2, 10, move("NOUVEAU", "EN TEST")), activity(3, 20, move("EN TEST", "RESOLU"))]
    timeline = derive(TICKET, onwards, NAMES, present=R)
    assert moves_of(timeline) == [(None, N), (N, None), (None, R)]
    assert doubtful(timeline) == [False, True, True]
    assert timeline.status == R


def test_an_old_name_from_before_the_bridge_looked_may_stand_for_the_present_status() -> None:
    """17 keeps what it has rendered: the line still says how the status was called then (contract A.3)."""
    timeline = derive(TICKET, [CREATED, activity(2, 10, move("OUVERT", "EN COURS"))], NAMES, present=E)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, E)], [False, False])
    untold = derive(TICKET, [CREATED, activity(2, 10, move("OUVERT", "EN COURS"))], NAMES)
    assert (moves_of(untold), doubtful(untold)) == ([(None, N), (N, None)], [False, True])


def test_from_a_status_with_an_old_name_the_chain_goes_on_by_the_new_one() -> None:
    lines = [CREATED, activity(2, 10, move("NOUVEAU", "OUVERT")), activity(3, 20, move("EN COURS", "RESOLU"))]
    timeline = derive(TICKET, lines, NAMES, present=R)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, None), (None, R)], [False, True, True])


def test_a_creation_in_a_status_that_nobody_knows_says_so() -> None:
    timeline = derive(TICKET, [activity(1, 0, to("OUVERT"))], NAMES)
    assert timeline.changes[0].kind is Kind.CREATION
    assert timeline.changes[0].doubt == "the activity names a status that the server does not know (any more)"
    assert timeline.status is None


def test_a_move_from_one_unknown_status_to_another_is_told_once_and_in_doubt() -> None:
    first = activity(2, 10, move("VIEUX", "ANCIEN"), by=SUPPORT)
    again = activity(2, 10, move("VIEUX", "ANCIEN"), by=SUPPORT, until=11, comment="Bonjour")
    silent = activity(3, 20, comment="Merci")
    timeline = derive(TICKET, [activity(1, 0, to("VIEUX")), first, again, silent], NAMES)
    assert moves_of(timeline) == [(None, None), (None, None)]
    assert doubtful(timeline) == [True, True]
    assert [change.key.activity for change in timeline.changes] == [101, 102]


def test_statuses_that_exchanged_their_names_are_told_apart_by_what_follows() -> None:
    swapped = {"A": frozenset({N, E}), "B": frozenset({N, E}), "C": frozenset({R})}
    either = derive(TICKET, [activity(1, 0, to("A"))], swapped)
    assert (moves_of(either), doubtful(either)) == ([(None, None)], [True])
    told = derive(TICKET, [activity(1, 0, to("A"))], swapped, present=E)
    assert (moves_of(told), doubtful(told)) == ([(None, E)], [False])
    onwards = derive(TICKET, [activity(1, 0, to("A")), activity(2, 10, move("B", "C"))], swapped, present=R)
    assert onwards.status == R
    assert not onwards.proven


def test_a_deleted_status_has_no_name_and_what_is_left_of_its_lines_is_never_certain() -> None:
    """Contract §3.4: into it reads "deleted", out of it "set to"."""
    into, out = activity(2, 10, StatusLine("NOUVEAU", None)), activity(3, 20, to("RESOLU"))
    timeline = derive(TICKET, [CREATED, into], NAMES)
    assert (moves_of(timeline), doubtful(timeline)) == ([(None, N), (N, None)], [False, True])
    timeline = derive(TICKET, [CREATED, into, out], NAMES, present=R)
    assert moves_of(timeline) == [(None, N), (N, None), (None, R)]
    assert doubtful(timeline) == [False, True, True]
    assert timeline.status == R


# --- There and back in an activity that shows nothing ---

RESOLVED = activity(3, 20, move("EN COURS", "RESOLU"))


@pytest.mark.parametrize(
    ("later", "hides"),
    [
        pytest.param([], False, id="nothing came after"),
        pytest.param([activity(4, 30, by=SUPPORT, comment="Bonjour")], False, id="a comment, saved once"),
        pytest.param([activity(4, 30, by=SUPPORT, until=31, comment="Bonjour")], True, id="a comment, saved again"),
        pytest.param([activity(4, 30, by=SUPPORT, comment=RETRACTED)], True, id="changes taken back"),
        pytest.param([activity(4, 30, until=31, comment="Bonjour")], False, id="by who made the move"),
        pytest.param([activity(4, 30, by=UserId(BRIDGE), until=31, comment="Décision")], False, id="by the bridge"),
        pytest.param(
            [activity(4, 30, move("RESOLU", "EN ATTENTE"), by=SUPPORT, until=31)], False, id="the ticket moved on"
        ),
    ],
)
def test_a_move_may_have_been_moved_on_from_and_back_in_a_later_activity(later: list[Activity], hides: bool) -> None:
    timeline = derive(TICKET, [CREATED, STARTED, RESOLVED, *later], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes[:3]] == [False, False, hides]
    assert all(not change.maybe_moved_on for change in timeline.changes[3:])


def test_that_it_may_have_been_moved_on_and_back_stays_so_when_somebody_moves_the_ticket_later() -> None:
    later = [activity(4, 30, by=SUPPORT, until=31, comment="Bonjour"), activity(5, 40, move("RESOLU", "EN ATTENTE"))]
    timeline = derive(TICKET, [CREATED, STARTED, RESOLVED, *later], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes] == [False, False, True, False]
    put_back = activity(5, 40, move("RESOLU", "EN COURS"), by=UserId(BRIDGE))
    timeline = derive(TICKET, [CREATED, STARTED, RESOLVED, later[0], put_back], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes] == [False, False, False, False]
    created = [CREATED, activity(2, 10, by=SUPPORT, until=11, comment="Bonjour")]
    timeline = derive(TICKET, [*created, activity(3, 20, move("NOUVEAU", "RESOLU"))], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes] == [True, False]
    bridge_moved = activity(3, 20, move("NOUVEAU", "RESOLU"), by=UserId(BRIDGE))
    timeline = derive(TICKET, [*created, bridge_moved], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes] == [False, False]
    said = activity(6, 50, by=UserId(BRIDGE), comment="Bonjour")
    timeline = derive(TICKET, [CREATED, STARTED, RESOLVED, later[0], said], NAMES, own=UserId(BRIDGE))
    assert [change.maybe_moved_on for change in timeline.changes] == [False, False, True]


@pytest.mark.parametrize(
    ("later", "elsewhere"),
    [
        pytest.param([activity(4, 30, comment="Bonjour")], False, id="a comment, saved once"),
        pytest.param(
            [activity(4, 30, until=31, comment="Bonjour")], True, id="a comment, saved again by the same person"
        ),
        pytest.param([activity(4, 30, comment=RETRACTED)], True, id="changes taken back by the same person"),
        pytest.param([activity(4, 30, by=UserId(BRIDGE), until=31, comment="Décision")], False, id="by the bridge"),
        pytest.param(
            [activity(3, 20, move("EN COURS", "RESOLU"), until=21, comment="Voilà")],
            True,
            id="the same activity, again",
        ),
        pytest.param([activity(3, 20, until=21, comment=RETRACTED)], False, id="the move itself taken back"),
    ],
)
def test_after_a_change_the_ticket_may_have_been_elsewhere_where_something_was_saved_again(
    later: list[Activity], elsewhere: bool
) -> None:
    timeline = derive(TICKET, [CREATED, STARTED, RESOLVED, *later], NAMES, own=UserId(BRIDGE))
    assert timeline.changes[-1].maybe_been_elsewhere is elsewhere
    assert not any(change.maybe_been_elsewhere for change in timeline.changes[:-1])


def test_the_author_may_have_moved_a_creation_on_and_back_in_a_later_activity() -> None:
    timeline = derive(TICKET, [CREATED, activity(2, 10, until=12, comment="Bonjour")], NAMES)
    assert timeline.changes[0].maybe_moved_on


@EXAMPLES
@given(lives())
def test_where_nobody_may_have_moved_on_nobody_did_between_one_step_and_the_next(life: Life) -> None:
    """Read at the end alone, with everything that OpenProject merged."""
    timeline = derived(life, revisions=[life.form_of(journal) for journal in life.journals])
    for change in timeline.changes:
        if change.maybe_moved_on:
            continue
        later = [j for j in life.journals if j.id > change.key.activity]
        ended = next((j for j in later if j.before is not None and j.before.status != j.after.status), None)
        between = [j for j in later if ended is None or j.id < ended.id]
        assert all(j.user == change.actor for j in between if j.moved)


# --- Projects and types ---


def test_after_a_move_to_another_project_everything_before_it_is_uncertain_of_its_project() -> None:
    carried = activity(3, 20, by=SUPPORT, project_changed=True)
    resolved = activity(4, 30, move("EN COURS", "RESOLU"))
    timeline = derive(TICKET, [CREATED, STARTED, carried, resolved], NAMES)
    assert [change.project_certain for change in timeline.changes] == [False, False, True]


def test_a_project_that_is_told_with_the_creation_is_no_change_of_project() -> None:
    born = activity(1, 0, to("NOUVEAU"), project_changed=True)
    assert [change.project_certain for change in derive(TICKET, [born, STARTED], NAMES).changes] == [True, True]
    orphan = activity(2, 10, move("NOUVEAU", "EN COURS"), project_changed=True)
    assert [change.project_certain for change in derive(TICKET, [orphan], NAMES).changes] == [False]


def test_a_move_in_the_same_save_as_a_change_of_project_is_uncertain_of_its_project() -> None:
    """Recording 15. Also when the change of project was taken back since, for it was there in between."""
    carried = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, project_changed=True)
    back = activity(2, 10, move("NOUVEAU", "EN COURS"), by=SUPPORT, until=12)
    assert [c.project_certain for c in derive(TICKET, [CREATED, carried], NAMES).changes] == [False, False]
    assert [c.project_certain for c in derive(TICKET, [CREATED, carried, back], NAMES).changes] == [False, False]


def test_a_change_of_type_in_the_same_save_is_told() -> None:
    retyped = activity(2, 10, move("NOUVEAU", "RESOLU"), type_changed=True)
    assert [change.type_changed for change in derive(TICKET, [CREATED, retyped], NAMES).changes] == [False, True]


@pytest.mark.parametrize("ambiguous", [False, True])
def test_a_person_deleted_since_does_not_change_who_moved(ambiguous: bool) -> None:
    """15.4 puts "deleted user" in the place of the person, in the activities of then (recording 25)."""
    nobody = activity(2, 10, move("NOUVEAU", "EN COURS"), by=UserId(2))
    timeline = derive(TICKET, [CREATED, STARTED, nobody], NAMES, label_is_ambiguous=ambiguous, present=E)
    assert [change.actor for change in timeline.changes] == [CLIENT, SUPPORT]

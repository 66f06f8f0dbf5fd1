"""R5, reopened: resolved tickets that came back, and how many were right the first time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from bridge.reports.definitions.attributes import Attribute, attributes
from bridge.reports.definitions.counting import grouped, largest_first, share, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Column, Figure, Kind, LazyRows, Report, Table
from bridge.store.schema import microseconds


class Resolution(NamedTuple):
    """A move into a resolved status, and whether the ticket came back."""

    place: int
    """Its place in the history."""
    first: bool
    """Whether the ticket had never been resolved before."""
    outcome: str
    """``reopened``, ``kept``, or ``open`` while it may still come back."""
    old: bool
    """Whether it has stood the test of time: only of such ones a share says something. A young one that came back
    already must not count where a young one that may yet come back does not."""
    back: int
    """Place of the visit that it came back to; NEVER when it did not."""


def reopened(desk: Desk) -> Report:
    """Resolutions within the period and what became of them."""
    text = desk.language.text
    found = resolutions(desk)
    everything = range(len(found))
    known = [n for n in everything if found[n].old]
    back = [n for n in everything if found[n].outcome == "reopened"]
    back_known = [n for n in back if found[n].old]
    first = [n for n in known if found[n].first]
    right = [n for n in first if found[n].outcome == "kept"]
    window = desk.language.duration(desk.conventions.reopened_within)
    names = ", ".join(sorted(desk.conventions.resolved))
    told = attributes(
        desk.source.snapshot,
        {"assignee": desk.conventions.labels.assignee, "version": desk.conventions.labels.version},
        {desk.history.ticket_of(resolution.place) for resolution in found},
    )
    of_known = desk.language.plural("of {count} resolution", "of {count} resolutions", len(known))
    return desk.report(
        "reopened",
        counted=(
            text("Resolutions: moves into {statuses} in the period.", statuses=names),
            text(
                "Reopened: the ticket left for any other status within {window}. Resolutions that are younger than "
                "that may yet come back: they are in no share, whatever has become of them so far.",
                window=window,
            ),
            text(
                "Right the first time: of the tickets that were resolved for the first time, those that did not come "
                "back within {window}.",
                window=window,
            ),
            text(
                "Assignee and version are those that the ticket's activities tell of at the moment of the resolution."
            ),
        ),
        figures=[
            Figure("resolutions", text("Resolutions"), Kind.COUNT, tally(everything)),
            Figure("reopened", text("Reopened so far"), Kind.COUNT, tally(back)),
            Figure("share", text("Share reopened"), Kind.SHARE, share(len(back_known), len(known)), of_known),
            Figure(
                "right",
                text("Right the first time"),
                Kind.SHARE,
                share(len(right), len(first)),
                desk.language.plural("of {count} ticket", "of {count} tickets", len(first)),
            ),
            Figure(
                "open",
                text("Too early to tell"),
                Kind.COUNT,
                tally([n for n in everything if not found[n].old]),
                text("younger than {window}", window=window),
            ),
        ],
        tables=[
            _by(desk, found, "by-assignee", text("By assignee"), text("Assignee"), _told(desk, told["assignee"])),
            _by(desk, found, "by-type", text("By type"), text("Type"), lambda r: _type(desk, r)),
            _by(desk, found, "by-version", text("By version"), text("Version"), _told(desk, told["version"])),
            _by_way_back(desk, found, back),
        ],
        rows=_rows(desk, found, told),
    )


def resolutions(desk: Desk) -> list[Resolution]:
    """Every move into a resolved status within the period, in order of tickets."""
    history, resolved = desk.history, desk.ids(desk.conventions.resolved)
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    window = desk.conventions.reopened_within // timedelta(microseconds=1)
    now = microseconds(desk.source.watermark or desk.now)
    found: list[Resolution] = []
    for _, start, stop in history.lives():
        earlier = False
        index = start
        while index < stop:
            if history.status[index] not in resolved:
                index += 1
                continue
            # From one resolved status to another is still the same resolution.
            last = index
            while last + 1 < stop and history.status[last + 1] in resolved:
                last += 1
            at, left = history.since[index], history.until[last]
            if since <= at < until:
                found.append(_resolution(index, last, not earlier, at, left, window, now))
            earlier = True
            index = last + 1
    return found


def _resolution(index: int, last: int, first: bool, at: int, left: int, window: int, now: int) -> Resolution:
    old = now - at > window
    if left != NEVER and left - at <= window:
        return Resolution(index, first, "reopened", old, last + 1)
    return Resolution(index, first, "kept" if old else "open", old, NEVER)


def _told(desk: Desk, attribute: Attribute) -> Callable[[Resolution], str]:
    text = desk.language.text
    history = desk.history

    def named(resolution: Resolution) -> str:
        value = attribute.at(history.ticket_of(resolution.place), history.since[resolution.place])
        return text("not known") if value is None else value or text("none")

    return named


def _type(desk: Desk, resolution: Resolution) -> str:
    return desk.type_of(desk.history.ticket_of(resolution.place))


def _by(
    desk: Desk,
    found: Sequence[Resolution],
    key: str,
    title: str,
    name: str,
    named: Callable[[Resolution], str],
) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), named)
    rows = []
    for group, mine in largest_first(groups):
        known = [n for n in mine if found[n].old]
        back = [n for n in mine if found[n].outcome == "reopened"]
        back_known = [n for n in back if found[n].old]
        first = [n for n in known if found[n].first]
        right = [n for n in first if found[n].outcome == "kept"]
        rows.append(
            (
                group,
                tally(mine),
                tally(known),
                tally(back),
                share(len(back_known), len(known)),
                share(len(right), len(first)),
            )
        )
    return Table(
        key,
        title,
        (
            Column(key.removeprefix("by-"), name),
            Column("resolutions", text("Resolutions"), Kind.COUNT),
            Column("known", text("Old enough to tell"), Kind.COUNT),
            Column("reopened", text("Reopened so far"), Kind.COUNT),
            Column("share", text("Share reopened"), Kind.SHARE),
            Column("right", text("Right the first time"), Kind.SHARE),
        ),
        rows,
        none=text("Nothing was resolved in this period."),
    )


def _by_way_back(desk: Desk, found: Sequence[Resolution], back: Sequence[int]) -> Table:
    text = desk.language.text
    history = desk.history
    groups = grouped(
        found,
        back,
        lambda r: (desk.status_name(history.status[r.back]), desk.party_name(history.parties[history.party[r.back]])),
    )
    return Table(
        "by-way-back",
        text("How they came back"),
        (
            Column("to", text("To")),
            Column("party", text("Moved by")),
            Column("reopened", text("Reopened"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
        ),
        [(*name, tally(mine), share(len(mine), len(back))) for name, mine in largest_first(groups)],
        none=text("None came back."),
    )


def _rows(desk: Desk, found: Sequence[Resolution], told: dict[str, Attribute]) -> Table:
    text = desk.language.text
    history = desk.history
    assignee, version = _told(desk, told["assignee"]), _told(desk, told["version"])
    outcomes = {"reopened": text("reopened"), "kept": text("stayed resolved"), "open": text("too early to tell")}

    def row(number: int) -> tuple[object, ...]:
        resolution = found[number]
        visit = history.visit(resolution.place)
        back = history.visit(resolution.back) if resolution.back != NEVER else None
        return (
            visit.decision,
            visit.ticket,
            desk.project_name(visit.project),
            _type(desk, resolution),
            desk.moment(visit.since),
            desk.person_name(visit.person),
            assignee(resolution),
            version(resolution),
            text("yes") if resolution.first else text("no"),
            outcomes[resolution.outcome],
            span(back.since - visit.since) if back else None,
            desk.status_name(back.status) if back else None,
            desk.person_name(back.person) if back else None,
            back.decision if back else None,
            visit.seq,
        )

    return Table(
        "resolutions",
        text("The resolutions"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("type", text("Type"), minor=True),
            Column("time", text("Resolved"), Kind.TIME),
            Column("person", text("By")),
            Column("assignee", text("Assignee"), minor=True),
            Column("version", text("Version"), minor=True),
            Column("first", text("For the first time"), minor=True),
            Column("outcome", text("Outcome")),
            Column("after", text("Came back after"), Kind.DURATION),
            Column("to", text("To")),
            Column("back-by", text("Moved by"), minor=True),
            Column("back-decision", text("Came back with"), Kind.DECISION, minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),  # type: ignore[arg-type]  # made of cells
        none=text("Nothing was resolved in this period."),
    )

"""R1, violations: who made which illegal moves, against which rules, when, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from bridge.domain.model import Mode
from bridge.reports.definitions.counting import distinct, grouped, largest_first, share, tally
from bridge.reports.desk import Desk
from bridge.reports.period import DAY
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, Report, Series, Shape, Table
from bridge.store.rows import Outline, Ruled

DAILY = 62
"""Up to so many days the trend is by day: two months still fit across a page."""


JUDGED = ("illegal", "undecided")
"""Verdicts that the report is about."""


def violations(desk: Desk) -> Report:
    """Illegal moves and those that could not be judged, of both parties."""
    text = desk.language.text
    since, until = desk.period.since, desk.period.until
    found = desk.source.snapshot.ruled(JUDGED, since, until, desk.projects)
    moves = desk.source.snapshot.moves(since, until, desk.projects)
    illegal = [index for index, ruled in enumerate(found) if ruled.verdict == "illegal"]
    undecided = [index for index, ruled in enumerate(found) if ruled.verdict == "undecided"]
    return desk.report(
        "violations",
        counted=(
            text(
                "Status changes and creations that at least one rule objected to, each once, whichever party made it."
            ),
            text(
                "The rule that is named is the strictest that objected. Moves that could not be judged stand beside "
                "them with their reason, and are in no other number."
            ),
            text("All moves: also those that were allowed, which are only counted and have no rows here."),
        ),
        figures=_figures(desk, [_outline(ruled) for ruled in found], illegal, undecided, sum(moves.values())),
        tables=[
            _by_party(desk, found, illegal, undecided, moves),
            _trend(desk, found, illegal),
            _by(
                desk,
                found,
                illegal,
                "by-person",
                text("By person"),
                (Column("person", text("Person")), Column("party", text("Party"))),
                lambda r: (desk.person_name(r.person), desk.party_name(r.party)),
            ),
            _by(
                desk,
                found,
                illegal,
                "by-rule",
                text("By rule"),
                (Column("rule", text("Rule")), Column("sentence", text("What it says"))),
                lambda r: (r.rule or "", r.sentence.get(desk.language.code, "")),
            ),
            _by(
                desk,
                found,
                illegal,
                "by-move",
                text("By move"),
                (Column("from", text("From")), Column("to", text("To"))),
                lambda r: (origin_name(desk, r), desk.status_name(r.target, r.target_name)),
            ),
            _repeat_offenders(desk, found, illegal),
            _by_hour(desk, found, illegal),
            _undecided(desk, found, undecided),
        ],
        rows=_rows(desk, found),
    )


def headline(desk: Desk, found: Sequence[Outline]) -> list[Figure]:
    """The report's figures alone, of what was judged in the period: for where nothing else is shown."""
    illegal = [index for index, each in enumerate(found) if each.verdict == "illegal"]
    undecided = [index for index, each in enumerate(found) if each.verdict == "undecided"]
    return _figures(
        desk, found, illegal, undecided, desk.source.snapshot.count_moves(desk.period.since, desk.period.until)
    )


# --- Figures --------------------------------------------------------------------------------------------------------


def _outline(ruled: Ruled) -> Outline:
    reverted = ruled.reverted_at is not None
    return Outline(ruled.seq, ruled.verdict, ruled.rule, ruled.party, ruled.person, ruled.mode, reverted)


def _figures(
    desk: Desk, found: Sequence[Outline], illegal: Sequence[int], undecided: Sequence[int], all_moves: int
) -> list[Figure]:
    text = desk.language.text
    of_all = desk.language.plural("of {count} move", "of {count} moves", all_moves)
    back = [index for index in illegal if found[index].reverted]
    observed = [index for index in illegal if found[index].mode == Mode.OBSERVE.value]
    return [
        Figure("illegal", text("Illegal moves"), Kind.COUNT, tally(illegal), of_all),
        Figure("share", text("Share of all moves"), Kind.SHARE, share(len(illegal), all_moves), of_all),
        Figure("put-back", text("Put back"), Kind.COUNT, tally(back)),
        Figure(
            "observed",
            text("Only observed"),
            Kind.COUNT,
            tally(observed),
            text("the rule is not enforced"),
        ),
        Figure(
            "people",
            text("People"),
            Kind.COUNT,
            distinct(found, illegal, lambda each: each.person),
            text("who made at least one"),
        ),
        Figure("undecided", text("Not judged"), Kind.COUNT, tally(undecided), of_all),
    ]


# --- Tables ---------------------------------------------------------------------------------------------------------


def _by_party(
    desk: Desk,
    found: Sequence[Ruled],
    illegal: Sequence[int],
    undecided: Sequence[int],
    moves: dict[tuple[str | None, str], int],
) -> Table:
    text = desk.language.text
    parties: dict[str | None, None] = {each.name: None for each in desk.policy.parties}
    parties.update(dict.fromkeys(sorted({party for party, _ in moves if party is not None})))
    if any(party is None for party, _ in moves):
        parties[None] = None
    by_party = grouped(found, illegal, lambda r: r.party)
    not_judged = grouped(found, undecided, lambda r: r.party)
    rows: list[Sequence[Cell]] = []
    for party in parties:
        mine = by_party.get(party, [])
        all_moves = sum(count for (whose, _), count in moves.items() if whose == party)
        rows.append(
            (
                desk.party_name(party),
                all_moves,
                tally(mine),
                share(len(mine), all_moves),
                tally(mine, lambda i: found[i].reverted_at is not None),
                tally(mine, lambda i: found[i].mode is Mode.OBSERVE),
                tally(not_judged.get(party, [])),
            )
        )
    return Table(
        "by-party",
        text("By party"),
        (
            Column("party", text("Party")),
            Column("moves", text("All moves"), Kind.COUNT),
            Column("illegal", text("Illegal"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
            Column("put-back", text("Put back"), Kind.COUNT),
            Column("observed", text("Observed"), Kind.COUNT),
            Column("undecided", text("Not judged"), Kind.COUNT),
        ),
        rows,
        note=text("The bridge's own moves are not among them."),
    )


def _by(
    desk: Desk,
    found: Sequence[Ruled],
    illegal: Sequence[int],
    key: str,
    title: str,
    columns: Sequence[Column],
    named: Callable[[Ruled], tuple[str, ...]],
) -> Table:
    text = desk.language.text
    groups = grouped(found, illegal, named)
    return Table(
        key,
        title,
        (
            *columns,
            Column("illegal", text("Illegal"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
            Column("put-back", text("Put back"), Kind.COUNT),
            Column("observed", text("Observed"), Kind.COUNT),
            Column("last", text("Last"), Kind.TIME),
        ),
        [
            (
                *name,
                tally(mine),
                share(len(mine), len(illegal)),
                tally(mine, lambda i: found[i].reverted_at is not None),
                tally(mine, lambda i: found[i].mode is Mode.OBSERVE),
                max(found[i].latest for i in mine),
            )
            for name, mine in largest_first(groups)
        ],
        none=text("No illegal moves in this period."),
    )


def _repeat_offenders(desk: Desk, found: Sequence[Ruled], illegal: Sequence[int]) -> Table:
    text = desk.language.text
    least = desk.conventions.repeat_offender
    known = [index for index in illegal if found[index].person is not None]
    groups = grouped(found, known, lambda r: (desk.person_name(r.person), desk.party_name(r.party), r.rule or ""))
    return Table(
        "repeat-offenders",
        text("Again and again"),
        (
            Column("person", text("Person")),
            Column("party", text("Party")),
            Column("rule", text("Rule")),
            Column("illegal", text("Illegal"), Kind.COUNT),
            Column("tickets", text("Tickets"), Kind.COUNT),
            Column("first", text("First"), Kind.TIME),
            Column("last", text("Last"), Kind.TIME),
        ),
        [
            (
                *name,
                tally(mine),
                distinct(found, mine, lambda ruled: ruled.work_package),
                min(found[i].latest for i in mine),
                max(found[i].latest for i in mine),
            )
            for name, mine in largest_first(groups)
            if len(mine) >= least
        ],
        note=text("At least {count} illegal moves of one person against one rule.", count=desk.language.number(least)),
        none=text("Nobody broke one rule that often."),
    )


def _by_hour(desk: Desk, found: Sequence[Ruled], illegal: Sequence[int]) -> Table:
    text = desk.language.text
    zone = desk.language.zone
    groups = grouped(found, illegal, lambda r: r.latest.astimezone(zone).hour)
    hours = [(f"{hour:02d}:00", groups.get(hour, [])) for hour in range(24)]
    return Table(
        "by-hour",
        text("By hour of the day"),
        (Column("hour", text("Hour")), Column("illegal", text("Illegal"), Kind.COUNT)),
        [(name, tally(mine)) for name, mine in hours] if illegal else [],
        charts=[
            Chart(
                "by-hour",
                text("Illegal moves by hour of the day"),
                Shape.COLUMNS,
                text("Hour"),
                [name[:2] for name, _ in hours],
                [Series(text("Illegal"), [len(mine) for _, mine in hours])],
            )
        ]
        if illegal
        else (),
        none=text("No illegal moves in this period."),
    )


def _trend(desk: Desk, found: Sequence[Ruled], illegal: Sequence[int]) -> Table:
    """By day, or by week where the days are many. Each that has begun is there, those without any too."""
    text = desk.language.text
    zone = desk.language.zone
    weekly = desk.period.days > DAILY

    def bucket(day: date) -> date:
        return day - timedelta(days=day.weekday()) if weekly else day

    newest = max((found[i].latest.astimezone(zone).date() for i in illegal), default=desk.period.first)
    last = max(desk.known_days, (newest - desk.period.first).days + 1)
    buckets = list(dict.fromkeys(bucket(desk.period.first + DAY * n) for n in range(last)))
    groups = grouped(found, illegal, lambda r: bucket(r.latest.astimezone(zone).date()))
    parties = list(dict.fromkeys(found[index].party for index in illegal))
    title = text("Week from") if weekly else text("Day")
    return Table(
        "trend",
        text("Trend"),
        (Column("day", title, Kind.DATE), Column("illegal", text("Illegal"), Kind.COUNT)),
        [(day, tally(groups.get(day, []))) for day in buckets] if illegal else [],
        charts=[
            Chart(
                "trend",
                text("Illegal moves by week") if weekly else text("Illegal moves by day"),
                Shape.COLUMNS,
                title,
                [desk.language.short_date(day) for day in buckets],
                [
                    Series(
                        desk.party_name(party),
                        [sum(found[i].party == party for i in groups.get(day, ())) for day in buckets],
                    )
                    for party in parties
                ],
            )
        ]
        if illegal
        else (),
        none=text("No illegal moves in this period."),
    )


def _undecided(desk: Desk, found: Sequence[Ruled], undecided: Sequence[int]) -> Table:
    text = desk.language.text
    groups = grouped(found, undecided, desk.reason)
    return Table(
        "undecided",
        text("Not judged, by reason"),
        (Column("reason", text("Reason")), Column("moves", text("Moves"), Kind.COUNT)),
        [(reason, tally(mine)) for reason, mine in largest_first(groups)],
        note=text("What is not certain is never acted upon."),
        none=text("Every move could be judged."),
    )


def _rows(desk: Desk, found: Sequence[Ruled]) -> Table:
    text = desk.language.text
    return Table(
        "moves",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("type", text("Type"), minor=True),
            Column("person", text("Person")),
            Column("party", text("Party"), minor=True),
            Column("from", text("From")),
            Column("to", text("To")),
            Column("rule", text("Rule"), minor=True),
            Column("outcome", text("Outcome")),
            Column("reason", text("Why"), minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        [
            (
                ruled.id,
                ruled.latest,
                ruled.work_package,
                desk.project_name(ruled.project),
                ruled.type,
                desk.person_name(ruled.person),
                desk.party_name(ruled.party),
                origin_name(desk, ruled),
                desk.status_name(ruled.target, ruled.target_name),
                ruled.rule,
                outcome(desk, ruled),
                desk.reason(ruled),
                ruled.seq,
            )
            for ruled in found
        ],
        none=text("No illegal moves in this period."),
    )


def outcome(desk: Desk, ruled: Ruled) -> str:
    """What became of a move, in a few words."""
    text = desk.language.text
    if ruled.verdict == "undecided":
        return text("not judged")
    if ruled.verdict == "allowed":
        return text("exempted") if ruled.exemption else text("allowed")
    if ruled.reverted_at is not None:
        return text("put back")
    match ruled.action_state:
        case None:
            return text("observed") if ruled.mode is Mode.OBSERVE else text("reported")
        case "refused":
            return text("not put back: OpenProject refused")
        case "given_up":
            return text("not put back: given up")
        case "superseded":
            return text("not put back: somebody had moved on")
        case _:
            return text("to be put back")


def origin_name(desk: Desk, ruled: Ruled) -> str:
    """Where a move came from, in words."""
    if ruled.origin is None and ruled.kind == "creation":
        return desk.language.text("(created)")
    return desk.status_name(ruled.origin, ruled.origin_name)

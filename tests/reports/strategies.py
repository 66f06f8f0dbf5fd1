"""Random histories on a grid of half hours, around the days on which clocks change and nobody works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from hypothesis import strategies as st

from bridge.domain.model import Mode
from bridge.domain.policy import Policy
from bridge.reports.calendar import Holidays, Hours, Span
from bridge.reports.conventions import Conventions
from bridge.reports.period import Period
from bridge.store.facts import Outcome
from tests.reports.world import BRIDGE, CEGAPE, CLIENTS, POLICY, STAFF, STRANGER, Move, Said, Ticket, World

HALF_HOUR = timedelta(minutes=30)

# Open on Sundays around the clock as well: both changes of the clock happen on one.
ALL_SUNDAY = Conventions(
    hours=Hours(
        CEGAPE.zone,
        (*CEGAPE.hours.week[:6], (Span(time(0), None),)),
        Holidays("FR"),
    ),
    resolved=CEGAPE.resolved,
    taken_up=CEGAPE.taken_up,
    answers=CEGAPE.answers,
    language="en",
    waits_on=CEGAPE.waits_on,
    paused=CEGAPE.paused,
    reopened_within=timedelta(days=7),
    reasons=CEGAPE.reasons,
    reason_within=timedelta(minutes=30),
    labels=CEGAPE.labels,
)

PERIODS = st.sampled_from(
    [
        Period(date(2026, 3, 23), date(2026, 4, 8), CEGAPE.zone),  # summer time begins; Easter Monday
        Period(date(2026, 10, 19), date(2026, 11, 13), CEGAPE.zone),  # summer time ends; All Saints, Armistice
        Period(date(2026, 3, 29), date(2026, 3, 29), CEGAPE.zone),  # the day of 23 hours alone
    ]
)


DETAILS = st.lists(
    st.tuples(st.sampled_from(["Assigné à", "Version"]), st.sampled_from(["un", "deux & <trois>"])),
    max_size=2,
    unique_by=lambda each: each[0],
).map(tuple)
"""What an activity says about attributes that a report groups by."""


@st.composite
def tickets(draw: st.DrawFn, number: int, begin: datetime, policy: Policy = POLICY) -> Ticket:
    at = begin + HALF_HOUR * draw(st.integers(0, 48 * 20))
    moves: list[Move] = []
    created = draw(st.integers(0, 9)) > 0
    for _ in range(draw(st.integers(1, 7))):
        here = moves[-1].to if moves else None
        to = draw(st.sampled_from([s for s in policy.statuses if s != here]))
        if not moves and draw(st.booleans()):
            to = policy.initial
        party = draw(st.sampled_from(["cegape", "client", "client", None]))
        person = draw(st.sampled_from({"cegape": STAFF, "client": CLIENTS, None: (STRANGER,)}[party]))
        verdict = draw(st.sampled_from(["allowed", "allowed", "illegal", "illegal", "undecided", "exempted"]))
        move = Move(
            at,
            to,
            person,
            party,
            verdict=verdict,
            rule=draw(st.sampled_from(["a-rule", "b-rule", "rejete-par-cegape"])),
            mode=draw(st.sampled_from([Mode.OBSERVE, Mode.ENFORCE])),
            comment=draw(st.sampled_from(["", "", "Voici pourquoi."])),
        )
        if verdict == "illegal" and party == "client" and (here or to != policy.initial) and draw(st.integers(0, 3)):
            move = _put_back(draw, move)
            moves.append(move)
            if move.put_back is not None:
                at += move.put_back
                moves.append(Move(at, here or policy.initial, BRIDGE, None, own=True))
        else:
            moves.append(move)
        at += HALF_HOUR * draw(st.integers(1, 48 * 6))
    said = draw(
        st.lists(
            st.builds(
                Said,
                st.integers(0, 48 * 30).map(lambda n: begin + HALF_HOUR * n),
                st.sampled_from([*STAFF, *CLIENTS, STRANGER]),
                details=DETAILS,
            ),
            max_size=3,
        )
    )
    vanished = draw(st.none() | st.integers(1, 48 * 5).map(lambda n: at + HALF_HOUR * n))
    return Ticket(
        number,
        tuple(moves),
        tuple(sorted(said, key=lambda s: s.at)),
        project=draw(st.sampled_from([11, 13])),
        type=draw(st.sampled_from([20, 22])),
        created=created,
        details=draw(DETAILS),
        vanished=vanished,
    )


def _put_back(draw: st.DrawFn, move: Move) -> Move:
    others = [Outcome.SUPERSEDED, Outcome.REFUSED, Outcome.GIVEN_UP]
    outcome = draw(st.sampled_from([*[Outcome.EXPLAINED] * 5, *others]))
    move = replace(move, conflicts=draw(st.integers(0, 2)))
    if outcome is Outcome.EXPLAINED:
        return replace(move, put_back=HALF_HOUR * draw(st.integers(1, 4)))
    return replace(move, outcome=outcome)


@st.composite
def worlds(draw: st.DrawFn, most: int = 6, policy: Policy = POLICY) -> tuple[World, Period]:
    period = draw(PERIODS)
    begin = datetime.combine(period.first - timedelta(days=8), time(), UTC)
    several = tuple(draw(tickets(number, begin, policy)) for number in range(1, draw(st.integers(1, most)) + 1))
    watermark = draw(
        st.sampled_from([period.until + timedelta(days=60), period.until - timedelta(hours=5), period.until])
    )
    latest = max(m.at for t in several for m in t.moves)
    latest = max([latest, *(s.at for t in several for s in t.said), *(t.vanished for t in several if t.vanished)])
    watermark = max(watermark, latest + HALF_HOUR)
    return World(several, watermark, now=watermark + timedelta(minutes=1)), period

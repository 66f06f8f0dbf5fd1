"""What pages are made of: a reader's request, rows with their names, the parts of a list. Nothing is counted here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flask import abort, request

from bridge.domain.model import Kind, ProjectId, UserId
from bridge.domain.policy.survey import Answer
from bridge.errors import ConfigError
from bridge.reports import period as periods
from bridge.reports.cells import clipped, harmless
from bridge.reports.definitions.attributes import Attribute, attributes
from bridge.reports.definitions.violations import outcome
from bridge.reports.desk import Desk, Source
from bridge.reports.language import Language
from bridge.reports.period import Period
from bridge.store.rows import Attempt, Life, Outline, Ruled
from bridge.web.language import Voice
from bridge.web.site import Site

PER_PAGE = 50
"""Rows of a list on one page: what a person scans, and a page well below 100 KB."""

DEFAULT_PERIOD = "this-month"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the ledger for one site, in the language of whoever asks."""

    site: Site
    voice: Callable[[], Voice]

    def today(self) -> Period:
        """The day that it is where the desk is."""
        zone = self.site.conventions.zone
        return periods.named("today", self.site.now().astimezone(zone).date(), zone)

    def asked_period(self) -> Period:
        """The period of the address. 400 for one that is none."""
        zone, given = self.site.conventions.zone, request.args
        try:
            if given.get("first") or given.get("last"):
                return periods.between(given.get("first"), given.get("last"), self.today().last, zone)
            return periods.named(given.get("period") or DEFAULT_PERIOD, self.today().last, zone)
        except (ConfigError, OverflowError):
            abort(400, "period")

    def asked_person(self) -> UserId | None:
        """The person of the address. 400 for one that is none."""
        number = _number("person")
        return None if number is None else UserId(number)

    def asked_projects(self) -> frozenset[ProjectId] | None:
        """The project of the address; None for all. 400 for one that is none."""
        number = _number("project")
        return None if number is None else frozenset({ProjectId(number)})

    @contextmanager
    def desk(
        self, period: Period, person: UserId | None = None, projects: frozenset[ProjectId] | None = None
    ) -> Iterator[Desk]:
        """One snapshot, from which all numbers of a page are taken. ``person`` is for reports about somebody."""
        with self.site.queries.snapshot() as snapshot:
            yield Desk(
                source=Source(snapshot),
                policy=self.site.policy,
                conventions=self.site.conventions,
                language=self.voice().reports,
                period=period,
                now=self.site.now(),
                ticket_url=self.site.ticket_url,
                is_note=self.site.is_note,
                person=person,
                projects=projects,
            )


def _number(name: str) -> int | None:
    given = request.args.get(name, "")
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        abort(400, name)
    return int(given)


# --- Rows as a reader sees them -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MoveView:
    """A status change as a list shows it: the row, and its names in the reader's language."""

    ruled: Ruled
    person: str
    party: str
    project: str
    origin: str
    target: str
    outcome: str
    tone: str
    """Which colour the outcome has; the word says the same."""
    sentence: str
    subject: str = ""
    """What its ticket is called; empty where no activity tells."""


MARKS = {
    Answer.ALLOWED: "✓",
    Answer.ASKED: "✓?",
    Answer.LATER: "…",
    Answer.REPORTED: "!",
    Answer.PUT_BACK: "✕",
}
"""What stands in a cell of the matrix, beside its colour and its words."""

LONGEST = 300
"""Characters of a text that people wrote, in a list; a ticket's own page shows more."""


def clean(text: str | None, most: int = LONGEST) -> str:
    """A text that people wrote, on one line, without what acts instead of showing, and cut where it is endless."""
    return clipped(harmless(text or ""), most)


def subjects(desk: Desk, tickets: Collection[int]) -> Attribute:
    """What these tickets are called."""
    return attributes(desk.source.snapshot, {"subject": desk.conventions.labels.subject}, tickets)["subject"]


def moves(desk: Desk, several: Sequence[Ruled]) -> list[MoveView]:
    """Rows of a list, with what their tickets are called."""
    called = subjects(desk, {ruled.work_package for ruled in several})
    return [move(desk, ruled, clean(called.last(ruled.work_package), 160)) for ruled in several]


def move(desk: Desk, ruled: Ruled, subject: str = "") -> MoveView:
    """A row with its names."""
    created = ruled.origin is None and ruled.kind is Kind.CREATION
    return MoveView(
        ruled=ruled,
        person=clean(desk.person_name(ruled.person)),
        party=desk.party_name(ruled.party, own=ruled.own),
        project=clean(desk.project_name(ruled.project)),
        origin="" if created else clean(desk.status_name(ruled.origin, ruled.origin_name)),
        target=clean(desk.status_name(ruled.target, ruled.target_name)),
        outcome=outcome(desk, ruled),
        tone=_tone(ruled),
        sentence="" if ruled.own else ruled.sentence.get(desk.language.code, "") or clean(desk.said(ruled.reason)),
        subject=subject,
    )


def _tone(ruled: Ruled) -> str:
    if ruled.own:
        return "seen"
    if ruled.verdict == "allowed":
        return "fine"
    if ruled.verdict == "undecided":
        return "open"
    return "back" if ruled.reverted_at is not None else "seen" if ruled.action_state is None else "bad"


def attempt_of(life: Life, ruled: Ruled) -> Attempt | None:
    """The revert that carried a decision out, if there is one."""
    return next((attempt for attempt in life.attempts if attempt.decision == ruled.id), None)


def matches(each: Outline, wanted: Mapping[str, str]) -> bool:
    """Whether a move is among those that the reader chose by rule and party."""
    return (not wanted.get("rule") or each.rule == wanted["rule"]) and (
        not wanted.get("party") or each.party == wanted["party"]
    )


def meanings(language: Language) -> dict[Answer, str]:
    """What the cells of the matrix mean."""
    text = language.text
    return {
        Answer.ALLOWED: text("allowed"),
        Answer.ASKED: text("allowed if what the rule asks for is there"),
        Answer.LATER: text("allowed once the ticket has been elsewhere"),
        Answer.REPORTED: text("reported"),
        Answer.PUT_BACK: text("put back"),
    }


def period_args() -> dict[str, str]:
    """What of the address says which period, and whose: links keep it."""
    return {
        name: request.args[name] for name in ("period", "first", "last", "person", "project") if request.args.get(name)
    }


# --- Pages of a list ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is shown."""

    number: int
    last: int
    others: Mapping[str, str]
    """The rest of the address."""

    @property
    def first(self) -> int:
        """Position of its first row, from 0."""
        return (self.number - 1) * PER_PAGE


def page_of(total: int) -> Page:
    """The part that the address asks for, or the nearest that there is."""
    last = max(1, -(-total // PER_PAGE))
    asked = request.args.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 1
    others = {name: value for name, value in request.args.items() if name != "page"}
    return Page(min(max(number, 1), last), last, others)

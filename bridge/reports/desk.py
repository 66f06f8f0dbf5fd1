"""What every report is made from: the ledger's rows and names, the policy, the conventions, and who asks for what."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from bridge.domain.model import PartyName, ProjectId, RoleSpell, StatusId, StatusName, UserId
from bridge.domain.policy import Policy
from bridge.reports import reasons
from bridge.reports.calendar import BusinessClock
from bridge.reports.conventions import Conventions
from bridge.reports.history import NEVER, History
from bridge.reports.language import Language
from bridge.reports.period import Period
from bridge.reports.titles import Title, titles
from bridge.reports.values import Fact, Figure, Report, Table
from bridge.store.rows import Ruled, StatusRow
from bridge.store.schema import instant, microseconds
from bridge.store.snapshot import Snapshot

SHORT_HASH = 12
"""Characters of a policy's hash that are shown: no two policies of one site will ever share them."""


_QUARTER = 900_000_000


class Source:
    """One snapshot of the ledger, with the names that reports look up over and over."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._histories: dict[frozenset[ProjectId] | None, History] = {}

    @cached_property
    def statuses(self) -> dict[StatusId, StatusRow]:
        """Every status ever seen."""
        return self.snapshot.statuses()

    @cached_property
    def people(self) -> dict[UserId, str]:
        """Names of all who are not redacted."""
        return self.snapshot.people()

    @cached_property
    def projects(self) -> dict[ProjectId, tuple[str, str]]:
        """Identifier and name of every project."""
        return self.snapshot.projects()

    @cached_property
    def types(self) -> dict[int, str]:
        """Names of ticket types."""
        return self.snapshot.types()

    @cached_property
    def spells(self) -> dict[tuple[ProjectId, UserId], tuple[RoleSpell, ...]]:
        """Everybody's roles."""
        return self.snapshot.role_spells()

    @cached_property
    def spelling(self) -> dict[StatusId, str]:
        """Statuses as the policy spells them, else as the server does."""
        names = {status: row.name for status, row in self.statuses.items()}
        return names | self.snapshot.spelling()

    @cached_property
    def vanished(self) -> dict[int, int]:
        """When tickets went out of sight."""
        return self.snapshot.vanished()

    def history(self, projects: frozenset[ProjectId] | None) -> History:
        """Every ticket's life; of some projects, or of all."""
        if projects not in self._histories:
            self._histories[projects] = History(self.snapshot.steps(projects), self.snapshot.put_back())
        return self._histories[projects]

    @cached_property
    def watermark(self) -> datetime | None:
        """Up to when the server's changes have been read."""
        return self.snapshot.watermark()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What statuses mean, by the server's ids."""

    paused: frozenset[int]
    taken_up: frozenset[int]
    resolved: frozenset[int]


@dataclass(frozen=True)
class Desk:
    """One request for a report."""

    source: Source
    policy: Policy
    conventions: Conventions
    language: Language
    period: Period
    now: datetime
    ticket_url: str = ""
    projects: frozenset[ProjectId] | None = None
    """Only tickets of these; None for all."""
    person: UserId | None = None
    """For the reports about one person."""
    is_note: Callable[[str], bool] = lambda text: False
    """Whether a comment is OpenProject's own, signed by whoever was at work."""

    # --- What was, and when ---

    @cached_property
    def history(self) -> History:
        """The lives of the tickets that this report is about."""
        return self.source.history(self.projects)

    @cached_property
    def clock(self) -> BusinessClock:
        """Measures in business hours."""
        return BusinessClock(self.conventions.hours)

    @cached_property
    def opened(self) -> array[int]:
        """How far the business clock has run when each visit of the history begins; the next begins where it ends."""
        return self.clock.positions(self.history.since)

    @cached_property
    def known_until(self) -> int:
        """Up to when it is known what happened, within the period; in microseconds, like all that History counts."""
        moments = [self.period.until, self.source.watermark or self.now]
        return microseconds(min(moments))

    @cached_property
    def known_days(self) -> int:
        """How many of the period's days have begun by then: of the later ones nothing can be said, not even zero."""
        return min(max((self.day(self.known_until - 1) - self.period.first).days + 1, 0), self.period.days)

    def moment(self, at: int) -> datetime | None:
        """A moment of History as a time; None for NEVER."""
        return None if at == NEVER else instant(at)

    def day(self, at: int) -> date:
        """The day of a moment of History, in the reports' time zone."""
        quarter = at // _QUARTER  # of an hour: all zones' days begin at one
        day = self._days.get(quarter)
        if day is None:
            day = self._days[quarter] = instant(at).astimezone(self.language.zone).date()
        return day

    @cached_property
    def _days(self) -> dict[int, date]:
        return {}

    def ids(self, names: frozenset[StatusName]) -> frozenset[int]:
        """The server's ids of these statuses."""
        return frozenset(int(id_) for id_, name in self.source.spelling.items() if name in names)

    @cached_property
    def meaning(self) -> Meaning:
        """The conventions' statuses by the server's ids."""
        held = self.conventions
        return Meaning(self.ids(held.paused), self.ids(held.taken_up), self.ids(held.resolved))

    @cached_property
    def closed(self) -> frozenset[int]:
        """Statuses that close a ticket: by the policy, and where it does not know one, by the server."""
        known = frozenset(self.policy.statuses)
        others = {int(s) for s, row in self.source.statuses.items() if row.is_closed and self.spelt(s) not in known}
        return self.ids(self.policy.closed) | others

    def spelt(self, status: int) -> str:
        """The policy's name of a status, or the server's."""
        return self.source.spelling.get(StatusId(status), "")

    @cached_property
    def status_order(self) -> dict[int, int]:
        """Where each status stands in the policy's list, those that it does not know after the others."""
        order = {name: number for number, name in enumerate(self.policy.statuses)}
        return {int(s): order.get(StatusName(name), len(order)) for s, name in self.source.spelling.items()}

    # --- Names ---

    def person_name(self, person: UserId | int | None) -> str:
        """As people know them now; a number where the name is not known, or was redacted."""
        if person is None or person == NEVER:
            return self.language.text("unknown")
        name = self.source.people.get(UserId(person))
        return name if name is not None else self.language.text("person {number}", number=person)

    def status_name(self, status: StatusId | int | None, spelt: str | None = None) -> str:
        """As the policy spells it, else as the server does."""
        if spelt is not None:
            return spelt
        if status is None or status == NEVER:
            return self.language.text("unknown")
        return self.spelt(status) or self.language.text("status {number}", number=status)

    def party_name(self, party: str | None, *, own: bool = False) -> str:
        """As the policy calls it."""
        if own:
            return self.language.text("the bridge")
        known = {each.name: each.label for each in self.policy.parties}
        if party is None:
            return self.language.text("unknown party")
        label = known.get(PartyName(party))
        return label[self.language.code] if label is not None else party

    def project_name(self, project: ProjectId | int) -> str:
        """Its name, or its number."""
        known = self.source.projects.get(ProjectId(project))
        return known[1] if known is not None else f"#{project}"

    def type_name(self, type_: int | None) -> str:
        """Its name, or its number."""
        if type_ is None:
            return self.language.text("unknown")
        return self.source.types.get(type_, f"#{type_}")

    def type_of(self, ticket: int) -> str:
        """The name, or the number, of a ticket's present type."""
        name = self._types.get(ticket)
        return name if name is not None else self.type_name(None)

    @cached_property
    def _types(self) -> dict[int, str]:
        return {listing.work_package: self.type_name(listing.type) for listing in self.source.snapshot.tickets()}

    # --- Sentences ---

    def reason(self, ruled: Ruled) -> str:
        """Why a move was judged as it was: the rule in words, or what the ledger says."""
        told = self.said(ruled.reason) or ruled.sentence.get(self.language.code, "")
        if ruled.exemption is None or ruled.verdict != "illegal":
            return told
        return f"{told} ({self.said(f'exemption {ruled.exemption}')})"  # it covers another rule than this one

    def said(self, sentence: str) -> str:
        """A sentence of the ledger, which is written in English, in the reader's language where it is known."""
        return reasons.translated(sentence, self.language)

    # --- What all reports have in common ---

    def report(
        self,
        name: str,
        *,
        title: Title | None = None,
        counted: Sequence[str],
        figures: Sequence[Figure],
        tables: Sequence[Table],
        rows: Table,
        business_hours: bool = False,
        notices: Sequence[str] = (),
        rows_first: bool = False,
    ) -> Report:
        """A report with its definition: ``counted`` says what its numbers are numbers of. Listed ones have titles."""
        named = title or titles(self.language)[name]
        nothing = not rows.rows and not any(table.rows for table in tables)
        first = [self.language.text("Nothing was recorded for this report in this period.")] if nothing else []
        return Report(
            name=name,
            title=named.title,
            summary=named.question,
            period=self.period_text(),
            first=self.period.first,
            last=self.period.last,
            language=self.language.code,
            zone=self.language.zone.key,
            ticket_url=self.ticket_url,
            made_at=self.now,
            figures=figures,
            tables=tables,
            rows=rows,
            definition=(
                *(Fact("counted", self.language.text("What is counted"), text) for text in counted),
                *self._definition(business_hours=business_hours),
            ),
            notices=[*first, *notices],
            rows_first=rows_first,
        )

    def period_text(self) -> str:
        """The period in words."""
        first, last = self.period.first, self.period.last
        if first == last:
            return self.language.long_date(first)
        return self.language.text(
            "from {first} to {last}", first=self.language.long_date(first), last=self.language.long_date(last)
        )

    def _definition(self, *, business_hours: bool) -> list[Fact]:
        text = self.language.text
        watermark = self.source.watermark
        facts = [
            Fact(
                "period",
                text("Period"),
                text("{period}, both days included", period=self.period_text())
                if self.period.days > 1
                else text("{period}, the whole day", period=self.period_text()),
            ),
            Fact(
                "moment",
                text("When a move counts"),
                text("At the latest moment at which it may have happened, by OpenProject's clock"),
            ),
            Fact("zone", text("Time zone"), self.language.zone.key),
        ]
        if business_hours:
            facts.append(Fact("calendar", text("Business hours"), self._calendar()))
        if self.projects is not None:
            names = ", ".join(sorted(self.project_name(project) for project in self.projects))
            facts.append(Fact("projects", text("Projects"), names))
        facts.append(Fact("policy", text("Policy"), self._policies()))
        facts.append(
            Fact(
                "data",
                text("Data"),
                text("No reading of OpenProject has been finished yet")
                if watermark is None
                else text("Everything that OpenProject had recorded by {time}", time=self.language.time(watermark)),
            )
        )
        return facts

    def _calendar(self) -> str:
        text = self.language.text
        names = (
            text("Monday"),
            text("Tuesday"),
            text("Wednesday"),
            text("Thursday"),
            text("Friday"),
            text("Saturday"),
            text("Sunday"),
        )
        days = []
        for name, spans in zip(names, self.conventions.hours.week, strict=True):
            if spans:
                hours = ", ".join(
                    f"{span.start:%H:%M}\N{EN DASH}{'24:00' if span.end is None else f'{span.end:%H:%M}'}"
                    for span in spans
                )
                days.append(f"{name} {hours}")
        parts = [self.language.semicolon.join(days) if days else text("never open")]
        kept = self.conventions.hours.holidays
        if kept.country:
            where = f"{kept.country}-{kept.region}" if kept.region else kept.country
            parts.append(text("without the public holidays of {where}", where=where))
        if kept.besides:
            parts.append(
                self.language.plural(
                    "without {count} day on which the desk is closed",
                    "without {count} days on which the desk is closed",
                    len(kept.besides),
                )
            )
        return ", ".join(parts)

    def _policies(self) -> str:
        """Under which policies the moves of the period were judged, the most used first."""
        used = self.source.snapshot.policies(self.period.since, self.period.until)
        if not used:
            return self.language.text("{name}: no move was judged in this period", name=self.policy.name)
        parts = [
            self.language.plural(
                "version {version} ({count} move)",
                "version {version} ({count} moves)",
                count,
                version=hash_[:SHORT_HASH],
            )
            for hash_, count in used.items()
        ]
        return ", ".join((self.policy.name, *parts))

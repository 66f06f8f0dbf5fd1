"""What reports need to know besides the policy: the desk's hours, and what its statuses mean. ``reports.yaml``.

Read as strictly as the policy, with the same shapes and complaints. Without the file everything follows from the
policy's closed statuses; docs/reports.md says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.domain.model import PartyName, StatusName
from bridge.domain.policy import Policy
from bridge.domain.policy.shapes import (
    Choice,
    Day,
    Duration,
    Exactly,
    Identifier,
    JsonSchema,
    Key,
    Known,
    ListOf,
    Made,
    Named,
    Number,
    Places,
    Reading,
    Section,
    Several,
    Text,
    distinct_keys,
)
from bridge.domain.policy.yamltext import Findings, Node, Place, parse
from bridge.domain.policy.yamltext import Mapping as Keys
from bridge.errors import ConfigError, PolicyError
from bridge.reports.calendar import Holidays, Hours, Span
from bridge.reports.language import LANGUAGES
from bridge.reports.mail import Mailbox, Security
from bridge.reports.scheduled import Every, Schedule
from bridge.reports.titles import NAMES

FILE_NAME = "reports.yaml"

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NINE_TO_FIVE = (Span(time(9), time(17)),)


@dataclass(frozen=True, slots=True)
class Labels:
    """How activities spell attributes that reports group by; empty where nobody has said."""

    subject: frozenset[str] = frozenset()
    assignee: frozenset[str] = frozenset()
    version: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conventions:
    """The meaning of statuses and time at one support desk. Statuses are the policy's."""

    hours: Hours
    resolved: frozenset[StatusName]
    taken_up: frozenset[StatusName]
    answers: PartyName
    """Whose first word counts as the first answer."""
    language: str = "en"
    waits_on: Mapping[StatusName, PartyName] = field(default_factory=dict)
    paused: frozenset[StatusName] = frozenset()
    """Where the clock of the service times stands still."""
    reopened_within: timedelta = timedelta(days=30)
    repeat_offender: int = 3
    reasons: frozenset[StatusName] = frozenset()
    """Moves into these want a comment by the mover's party ``reason_within`` before or after."""
    reason_within: timedelta = timedelta(minutes=15)
    labels: Labels = field(default_factory=Labels)
    schedules: tuple[Schedule, ...] = ()
    mailbox: Mailbox | None = None
    origin: str = ""
    """The file this comes from; empty for the default."""

    @property
    def zone(self) -> ZoneInfo:
        """Where days begin and end, and how times are shown."""
        return self.hours.zone


def derived(policy: Policy) -> Conventions:
    """What holds where nobody has said otherwise: UTC, weekdays from 9 to 17, and what closed statuses imply."""
    answering = [party.name for party in policy.parties if not party.reverted] or [policy.parties[0].name]
    return Conventions(
        hours=Hours(ZoneInfo("UTC"), (*[_NINE_TO_FIVE] * 5, (), ())),
        resolved=policy.closed,
        taken_up=frozenset(policy.statuses) - policy.closed - {policy.initial},
        answers=answering[0],
    )


def beside(policy_file: Path, policy: Policy) -> Conventions:
    """Those of the ``reports.yaml`` in the policy file's folder, or the derived ones where there is none."""
    path = policy_file.parent / FILE_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return derived(policy)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    return load(text, str(path), policy)


def load(text: str | bytes, filename: str, policy: Policy) -> Conventions:
    """The conventions that this text holds. Raises PolicyError with every complaint, each at its place."""
    findings = Findings(filename)
    root = parse(text, findings)
    names: dict[str, Mapping[str, Place]] = {
        "status": dict.fromkeys(policy.statuses, root),
        "party": {party.name: root for party in policy.parties},
    }
    read = DOCUMENT.read(root, Reading(findings, names))
    findings.raise_if_any()
    if read is None:
        raise PolicyError(tuple(findings.complaints))
    return read.over(derived(policy), filename)


def schema() -> JsonSchema:
    """The file's JSON Schema, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DOCUMENT.schema()}


# --- What each section builds ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """What the file says; what it leaves out is as derived."""

    zone: ZoneInfo | None
    week: tuple[tuple[Span, ...], ...] | None
    holidays: Holidays | None
    values: Mapping[str, object]

    def over(self, default: Conventions, origin: str) -> Conventions:
        hours = Hours(
            self.zone or default.zone,
            self.week if self.week is not None else tuple(default.hours.week),
            self.holidays or default.hours.holidays,
        )
        fields = {name: getattr(default, name) for name in Conventions.__dataclass_fields__}
        return Conventions(**{**fields, **self.values, "hours": hours, "origin": origin})


def _document(
    *,
    reports: int,
    time_zone: ZoneInfo | None = None,
    hours: tuple[tuple[Span, ...], ...] | None = None,
    holidays: Holidays | None = None,
    reasons: tuple[frozenset[StatusName], timedelta] | None = None,
    mail: Mailbox | None = None,
    places: Places,
    reading: Reading,
    **values: object,
) -> _Said:
    if mail is not None:
        values["mailbox"] = mail
    if reasons is not None:
        values |= {"reasons": reasons[0], "reason_within": reasons[1]}
    return _Said(time_zone, hours, holidays, values)


def _hours(*, places: Places, reading: Reading, **days: tuple[Span, ...]) -> tuple[tuple[Span, ...], ...]:
    for name, spans in days.items():
        for one, other in pairwise(spans):
            if one.end is None or other.start < one.end:
                reading.findings.complain(places.of(name), "these overlap, or are not in order")
    return tuple(days.get(name, ()) for name in _WEEKDAYS)


def _holidays(
    *,
    country: str = "",
    region: str = "",
    besides: tuple[datetime, ...] = (),
    places: Places,
    reading: Reading,
) -> Holidays | None:
    made = Holidays(country, region, frozenset(day.date() for day in besides))
    try:
        made.test()
    except ConfigError as error:
        reading.findings.complain(places.of("region" if region else "country"), str(error))
        return None
    return made


def _reasons(
    *, statuses: frozenset[StatusName], within: timedelta, places: Places, reading: Reading
) -> tuple[frozenset[StatusName], timedelta]:
    return statuses, within


def _labels(*, places: Places, reading: Reading, **labels: frozenset[str]) -> Labels:
    return Labels(**labels)


def _schedule(
    *,
    every: str,
    reports: tuple[str, ...],
    at: time | None = None,
    formats: tuple[str, ...] = ("html",),
    language: str | None = None,
    folder: str | None = None,
    mail: frozenset[str] = frozenset(),
    projects: frozenset[str] | None = None,
    places: Places,
    reading: Reading,
) -> Schedule | None:
    if folder is None and not mail:
        reading.findings.complain(places.section, "this goes nowhere", "give it a folder, mail, or both")
        return None
    for name in reports:
        if name.startswith("my-") and projects is None:
            reading.findings.complain(places.of("reports"), f"the report {name} is about somebody", "give it projects")
            return None
    addressees = tuple(sorted(mail))
    return Schedule(places.name, Every(every), reports, at or time(7), formats, language, folder, addressees, projects)


def _mailbox(
    *,
    host: str,
    from_: str,
    security: str = Security.STARTTLS.value,
    port: int | None = None,
    user: str | None = None,
    password_file: str | None = None,
    ca_file: str | None = None,
    places: Places,
    reading: Reading,
) -> Mailbox | None:
    if (user is None) != (password_file is None):
        reading.findings.complain(places.section, "user and password-file belong together; one of them is missing")
        return None
    return Mailbox(
        host,
        from_,
        Security(security),
        port,
        user,
        None if password_file is None else Path(password_file),
        None if ca_file is None else Path(ca_file),
    )


# --- The vocabulary -------------------------------------------------------------------------------------------------

_STATUS = Made(Known("status"), StatusName)
_PARTY = Made(Known("party"), PartyName)
FORMATS = ("text", "html", "csv", "xlsx", "json", "pdf")
_SPAN = r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)"


@dataclass(frozen=True, slots=True)
class _OpenFrom:
    """``09:00-12:30``; ``24:00`` is midnight at the end of the day."""

    def read(self, node: Node, reading: Reading) -> Span | None:
        text = Text("hours such as '09:00-12:30'", _SPAN).read(node, reading)
        if text is None:
            return None
        start, end = text.split("-")
        span = Span(time.fromisoformat(start), None if end.startswith("24") else time.fromisoformat(end))
        if span.end is not None and span.start >= span.end:
            reading.findings.complain(node, f"{text} ends before it begins")
            return None
        return span

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{_SPAN}$", "examples": ["09:00-12:30"]}


@dataclass(frozen=True, slots=True)
class _Zone:
    """A name of the time zone database."""

    def read(self, node: Node, reading: Reading) -> ZoneInfo | None:
        name = Text("a time zone such as 'Europe/Paris'").read(node, reading)
        if name is None:
            return None
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            reading.findings.complain(node, f"there is no time zone {name!r}", "such as 'Europe/Paris'")
            return None

    def schema(self) -> JsonSchema:
        return {"type": "string", "examples": ["Europe/Paris"]}


@dataclass(frozen=True, slots=True)
class _WaitsOn:
    """Statuses by party, read as the party by status."""

    def read(self, node: Node, reading: Reading) -> Mapping[StatusName, PartyName] | None:
        if not isinstance(node, Keys):
            reading.findings.complain(node, "expected statuses by party")
            return None
        waits: dict[StatusName, PartyName] = {}
        whole = True
        for _, place, value in distinct_keys(node, "waits-on", reading):
            party, statuses = _PARTY.read(place, reading), Several(_STATUS).read(value, reading)
            if party is None or statuses is None:
                whole = False
                continue
            for status in sorted(statuses):
                if status in waits:
                    reading.findings.complain(place, f"{status} waits on {waits[status]} already")
                    whole = False
                waits[status] = party
        return waits if whole else None

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": Several(_STATUS).schema()}


_HOURS = Section(
    "the hours",
    {day: Key(Made(ListOf(_OpenFrom(), "hours"), tuple), f"on a {day}", required=False) for day in _WEEKDAYS},
    _hours,
)

_HOLIDAYS = Section(
    "the holidays",
    {
        "country": Key(Text("an ISO 3166 code such as FR", r"[A-Z]{2}"), "whose public holidays", required=False),
        "region": Key(Identifier("a region of that country"), "a region that has more of them", required=False),
        "besides": Key(ListOf(Day(), "days"), "other days on which the desk is closed", required=False),
    },
    _holidays,
)

_REASONS = Section(
    "the reasons",
    {
        "statuses": Key(Several(_STATUS), "moves into these want a reason"),
        "within": Key(Duration(), "how long before or after the move the comment may come"),
    },
    _reasons,
)

_LABEL = Several(Text())
_LABELS = Section(
    "the labels",
    {
        "subject": Key(_LABEL, "labels of the subject", required=False),
        "assignee": Key(_LABEL, "labels of the assignee", required=False),
        "version": Key(_LABEL, "labels of the version", required=False),
    },
    _labels,
)


@dataclass(frozen=True, slots=True)
class _TimeOfDay:
    """``07:00``."""

    def read(self, node: Node, reading: Reading) -> time | None:
        text = Text("a time such as '07:00'", r"([01]\d|2[0-3]):[0-5]\d").read(node, reading)
        return None if text is None else time.fromisoformat(text)

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "examples": ["07:00"]}


_ADDRESS = Text("a mail address", r"[^\s@<>,;]+@[^\s@<>,;]+")
_SENDER = Text("a mail address, with a name before it where you like", r"([^<>,;\r\n]+ <)?[^\s@<>,;]+@[^\s@<>,;]+>?")

_SCHEDULE = Section(
    "the schedule",
    {
        "every": Key(Choice(tuple(Every), "length of a period"), "day, week or month: after each that has ended"),
        "at": Key(_TimeOfDay(), "from this time on of the day after; 07:00 without it", required=False),
        "reports": Key(ListOf(Choice(NAMES, "report"), "reports"), "which reports"),
        "formats": Key(ListOf(Choice(FORMATS, "format"), "formats"), "as which files; html without it", required=False),
        "language": Key(Choice(LANGUAGES, "language"), "where another than the reports'", required=False),
        "folder": Key(
            Text(), "the folder that the files go to, within the state directory or absolute", required=False
        ),
        "mail": Key(Several(_ADDRESS), "who gets them by mail", required=False),
        "projects": Key(
            Several(Identifier("a project's identifier")), "of these projects only; without it, of all", required=False
        ),
    },
    _schedule,
)

_MAIL = Section(
    "the mail section",
    {
        "host": Key(Text(), "the mail server"),
        "from": Key(_SENDER, "who the mail is from"),
        "security": Key(Choice(tuple(Security), "security"), "starttls (without it), tls or none", required=False),
        "port": Key(Number(1, 65535), "587, 465 or 25 without it", required=False),
        "user": Key(Text(), "who signs in there", required=False),
        "password-file": Key(Text(), "the file that holds the password", required=False),
        "ca-file": Key(Text(), "certificates to trust instead of the system's", required=False),
    },
    _mailbox,
)

DOCUMENT = Section(
    "the reports file",
    {
        "reports": Key(Exactly(1, "format of the reports file"), "the version of this format"),
        "time-zone": Key(_Zone(), "where days begin, and how times are shown", required=False),
        "language": Key(Choice(LANGUAGES, "language"), "of reports, unless asked otherwise", required=False),
        "hours": Key(_HOURS, "when the desk is open", required=False),
        "holidays": Key(_HOLIDAYS, "when it is closed all the same", required=False),
        "answers": Key(_PARTY, "whose first word is the first answer", required=False),
        "waits-on": Key(_WaitsOn(), "on whom a ticket waits, by party", required=False),
        "paused": Key(Several(_STATUS), "where the clock of the service times stands still", required=False),
        "taken-up": Key(Several(_STATUS), "where a ticket has been taken up", required=False),
        "resolved": Key(Several(_STATUS), "where a ticket has been resolved", required=False),
        "reopened-within": Key(Duration(), "how long after that leaving it counts as reopened", required=False),
        "repeat-offender": Key(Number(2, 1000), "so many illegal moves against one rule", required=False),
        "reasons": Key(_REASONS, "moves that want a reason", required=False),
        "labels": Key(_LABELS, "how activities spell attributes", required=False),
        "schedules": Key(
            Named(
                "schedule", _SCHEDULE, Text("a name of small letters, digits and '-'", r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
            ),
            "reports that come by themselves",
            required=False,
        ),
        "mail": Key(_MAIL, "from where they are mailed", required=False),
    },
    _document,
)

"""``bridge report``: every report in every format; and ``bridge explain``, one ticket's life."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, ConfigError

if TYPE_CHECKING:
    from bridge.domain.model import ProjectId, UserId
    from bridge.domain.policy import Policy
    from bridge.reports.conventions import Conventions
    from bridge.reports.delivery import Brought
    from bridge.reports.desk import Desk
    from bridge.reports.period import Period
    from bridge.reports.scheduled import Schedule
    from bridge.reports.values import Report
    from bridge.settings import Settings
    from bridge.store.snapshot import Snapshot

app = typer.Typer(help="Reports, from the ledger alone.", no_args_is_help=True, rich_markup_mode=None)

NAMES = (
    ("violations", "R1: who moved tickets against which rules, and what became of it."),
    ("reverts", "R2: what was put back, how quickly, and what could not be."),
    ("time-in-status", "R3: how long tickets stay in each status, and what is out of the ordinary."),
    ("ages", "R4: what is open, how long it has waited, and on whom."),
    ("reopened", "R5: which resolved tickets came back."),
    ("closed", "R6: who closed what, and whose it was."),
    ("service-times", "R7, C3: first answer, taken up, resolved, in business hours."),
    ("without-reason", "R8: what was rejected or put on hold without a reason."),
    ("whose-clock", "R9: how long tickets waited on each party."),
    ("flow", "R10: arrivals, departures, and what is open in between."),
    ("policy", "R11: rules that object, exemptions, what enforcing more would do."),
    ("completeness", "R12: whether everything was seen, and the record is whole."),
    ("my-requests", "C1: where a client's open requests wait, and on whom."),
    ("my-reverted-moves", "C2: which moves were put back, why, and what to do instead."),
)
"""Names and help of the reports. Written here because the catalogue would cost ``--help`` half a second; a test holds
the two together."""

First = Annotated[str, typer.Option("--from", help="First day, like 2026-11-01; 30 days before the last by default.")]
Last = Annotated[str, typer.Option("--to", help="Last day, included; today by default.")]
Named = Annotated[str, typer.Option("--period", help="Instead of both: 2026-11, 2026-W47, 2026, today, last-month …")]
Form = Annotated[
    str, typer.Option("--format", help="text, html, csv, xlsx, json or pdf; by default as --out is named.")
]
Lang = Annotated[str, typer.Option("--lang", help="fr or en; by default as reports.yaml says.")]
Out = Annotated[str, typer.Option("--out", help="File or folder to write to, instead of standard output.")]
Projects = Annotated[list[str] | None, typer.Option("--project", help="Only this project (identifier or number).")]
Person = Annotated[str, typer.Option("--person", help="For reports about one person: their number in OpenProject.")]
TableName = Annotated[str, typer.Option("--table", help="For CSV: another table of the report than its rows.")]
Compare = Annotated[bool, typer.Option("--compare", help="Give the headline numbers of the period before as well.")]


def _command(name: str, about: str) -> None:
    def command(
        context: typer.Context,
        first: First = "",
        last: Last = "",
        period: Named = "",
        form: Form = "",
        lang: Lang = "",
        out: Out = "",
        project: Projects = None,
        person: Person = "",
        table: TableName = "",
        compare: Compare = False,
    ) -> None:
        from bridge.reports import catalog, comparison

        with _desk(context, first=first, last=last, period=period, lang=lang, projects=project, person=person) as desk:
            report = comparison.compared(name, desk) if compare else catalog.make(name, desk)
            _deliver(report, desk, form, out, table)

    app.command(name, help=about)(command)


for _name, _about in NAMES:
    _command(_name, _about)


@app.command()
def schema() -> None:
    """Print the JSON Schema of --format json."""
    from bridge.reports import render_json

    frame.put_json(render_json.schema())


@app.command()
def schedule(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Only print when each schedule is due next.")] = False,
    as_json: frame.Json = False,
) -> None:
    """Bring the reports that reports.yaml schedules and that are due. Made for a timer: nothing comes twice.

    Exit code 1 when the mail server refused some of the addresses.
    """
    from bridge import wiring
    from bridge.reports import conventions, delivery
    from bridge.store.schema import EntryKind

    settings = frame.settings(context)
    policy = wiring.policy(settings.policy)
    held = conventions.beside(settings.policy, policy)
    now = datetime.now(UTC)
    brought = delivery.Brought(settings.state_dir / "schedules.json")
    if not held.schedules:
        raise ConfigError(
            f"{held.origin or 'reports.yaml beside the policy'} has no schedules; docs/reports.md shows one"
        )
    if plan:
        _plan(held, brought, now, as_json)
        return

    def desks(each: Schedule, period: Period) -> AbstractContextManager[Desk]:
        return _opened(settings, policy, held, period, now, each.language or "", each.projects)

    refused = 0
    for done in delivery.deliver_due(held.schedules, now, held.zone, brought, desks, settings.state_dir, held.mailbox):
        refused += len(done.refused)
        wiring.leave_note(settings, EntryKind.REPORT, done.facts())
        frame.put_json(done.facts()) if as_json else frame.put(
            f"{done.schedule}, {done.period}: {len(done.files)} files, {len(done.mailed)} mailboxes"
            + (f", refused: {', '.join(done.refused)}" if done.refused else "")
        )
    raise typer.Exit(EXIT_FINDINGS if refused else EXIT_FINE)


def _plan(held: Conventions, brought: Brought, now: datetime, as_json: bool) -> None:
    from bridge.reports import scheduled

    rows = [
        (each.name, each.every.value, ", ".join(each.reports), scheduled.next_time(each, now, last, held.zone))
        for each in held.schedules
        for last in [brought.last(each.name)]
    ]
    if as_json:
        frame.put_json([dict(zip(("schedule", "every", "reports", "due"), row, strict=True)) for row in rows])
        return
    shown = [(*words, f"{at:%Y-%m-%d %H:%M %Z}") for *words, at in rows]
    frame.put_table(("SCHEDULE", "EVERY", "REPORTS", "DUE"), shown)


def explain(
    context: typer.Context,
    ticket: Annotated[int, typer.Argument(min=1, help="The ticket's number.")],
    form: Form = "",
    lang: Lang = "",
    out: Out = "",
    as_json: frame.Json = False,
) -> None:
    """Tell one ticket's whole life: every move with its verdict, rule and place in the ledger, every revert."""
    from bridge.domain.model import WorkPackageId
    from bridge.reports.definitions.explain import explain as tell

    with _desk(context, lang=lang) as desk:
        report = tell(desk, WorkPackageId(ticket))
        _deliver(report, desk, "json" if as_json else form, out, "", suffix=str(ticket))


# --- What they share ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _desk(
    context: typer.Context,
    *,
    first: str = "",
    last: str = "",
    period: str = "",
    lang: str = "",
    projects: list[str] | None = None,
    person: str = "",
) -> Iterator[Desk]:
    """A desk as the options say."""
    from bridge import wiring
    from bridge.reports import conventions
    from bridge.reports import period as periods

    settings = frame.settings(context)
    policy = wiring.policy(settings.policy)
    held = conventions.beside(settings.policy, policy)
    now = datetime.now(UTC)
    today = now.astimezone(held.zone).date()
    if period and (first or last):
        raise ConfigError("give either --period or --from and --to, not both")
    span = (
        periods.named(period, today, held.zone)
        if period
        else periods.between(first or None, last or None, today, held.zone)
    )
    with _opened(settings, policy, held, span, now, lang, projects, person) as desk:
        yield desk


@contextlib.contextmanager
def _opened(
    settings: Settings,
    policy: Policy,
    held: Conventions,
    period: Period,
    now: datetime,
    lang: str = "",
    projects: Collection[str] | None = None,
    person: str = "",
) -> Iterator[Desk]:
    from bridge.openproject import activity_text
    from bridge.reports import language
    from bridge.reports.desk import Desk, Source
    from bridge.store.queries import Queries

    with Queries(settings.store_url) as queries, queries.snapshot() as snapshot:
        yield Desk(
            source=Source(snapshot),
            policy=policy,
            conventions=held,
            language=language.language(lang or held.language, held.zone),
            period=period,
            now=now,
            ticket_url=settings.openproject.public_url or settings.openproject.url,
            projects=_projects(projects, snapshot) if projects else None,
            person=_person(person, snapshot) if person else None,
            is_note=lambda text: activity_text.is_automatic(text) or activity_text.is_retracted(text),
        )


def _projects(asked: Collection[str], snapshot: Snapshot) -> frozenset[ProjectId]:
    known = snapshot.projects()
    by_name = {identifier: id_ for id_, (identifier, _) in known.items()} | {str(id_): id_ for id_ in known}
    unknown = [name for name in asked if name not in by_name]
    if unknown:
        there = ", ".join(sorted(identifier for identifier, _ in known.values()))
        raise ConfigError(f"the ledger knows no project {', '.join(unknown)}; it knows {there or 'none yet'}")
    return frozenset(by_name[name] for name in asked)


def _person(asked: str, snapshot: Snapshot) -> UserId:
    people = snapshot.people()
    named = [id_ for id_, name in people.items() if asked in (str(id_), name)]
    if len(named) != 1:
        raise ConfigError(
            f"the ledger knows {'no person' if not named else f'{len(named)} people called'} {asked!r}: "
            "give their number in OpenProject, which stands in the address of their page there"
        )
    return named[0]


def _deliver(report: Report, desk: Desk, form: str, out: str, table: str, *, suffix: str = "") -> None:
    from bridge.reports.render import FORMATS, file_name, render

    extension = Path(out).suffix.removeprefix(".")
    form = form or {"txt": "text"}.get(extension, extension if extension in FORMATS else "text")
    if table and form != "csv":
        raise ConfigError("--table chooses what a CSV holds: add --format csv")
    if form == "text" and not out:
        _print(report, desk)
        return
    content = render(report, desk.language, form, table=table)
    if not out:
        _put_bytes(content, form)
        return
    path = Path(out)
    if path.is_dir() or out.endswith("/"):
        path /= file_name(report, form, suffix or desk.period)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    frame.say(f"{path}: {len(content) // 1024 + 1} KiB")


def _print(report: Report, desk: Desk) -> None:
    import shutil

    from bridge.reports import render_text

    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((120, 24)).columns if on_terminal else 120
    sys.stdout.write(render_text.render(report, desk.language, width=max(width, 60), colour=on_terminal))


def _put_bytes(content: bytes, form: str) -> None:
    if form in ("xlsx", "pdf") and sys.stdout.isatty():
        raise ConfigError(f"{form} is no text: add --out FILE, or send it on with |")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()

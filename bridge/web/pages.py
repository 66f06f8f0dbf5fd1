"""The pages. Each reads one snapshot, takes its figures from the reports, and leaves the words to its template."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from flask import Blueprint, Flask, Response, abort, g, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from bridge.domain.model import ProjectId, UserId, WorkPackageId
from bridge.domain.policy.survey import Answer, survey
from bridge.domain.policy.terms import exemption_bounds, mode_terms
from bridge.errors import BridgeError
from bridge.reports import render as forms
from bridge.reports import render_html
from bridge.reports.catalog import REPORTS, Definition
from bridge.reports.cells import shown
from bridge.reports.definitions.violations import JUDGED, headline
from bridge.reports.desk import Desk
from bridge.reports.titles import titles
from bridge.store.schema import EntryKind
from bridge.web import login, probes
from bridge.web.access import Doorkeeper, Sessions, csrf_token, safe_next
from bridge.web.language import NAMES, Voice, voices, wanted
from bridge.web.matters import open_matters
from bridge.web.site import Site
from bridge.web.views import (
    MARKS,
    PER_PAGE,
    Reader,
    attempt_of,
    clean,
    matches,
    meanings,
    move,
    moves,
    page_of,
    period_args,
    subjects,
)
from bridge.web.words import event_words

NEWEST = 8
"""Moves on the overview; the rest are one click away."""

PERIODS = ("today", "yesterday", "this-week", "last-week", "this-month", "last-month", "this-year", "last-year")

OFFERED = ("html", "xlsx", "csv", "json")
"""Forms in which a report can be downloaded."""

CHECKED = 8_000
"""Entries since the newest checkpoint that the integrity page checks when asked: a page's time, and hours of work."""

HISTORY = (EntryKind.PAUSE, EntryKind.RESUME, EntryKind.BREAKER, EntryKind.POLICY, EntryKind.MISSED, EntryKind.CLOCK)
"""What the integrity page tells of the bridge's own life."""


def register(app: Flask, site: Site, keeper: Doorkeeper, sessions: Sessions) -> None:
    """Add the pages, what their templates need, and a page for every error."""
    known = voices(site.conventions.zone)

    def voice() -> Voice:
        return known[wanted(site.conventions.language)]

    @app.context_processor
    def _common() -> dict[str, object]:
        spoken = voice().pages
        return {
            "_": spoken.text,
            "plural": spoken.plural,
            "language": spoken,
            "languages": NAMES,
            "clean": clean,
            "shown": shown,
            "event_words": lambda event: clean(event_words(event, voice())),
            "period_args": period_args(),
            "here": request.full_path.rstrip("?"),
            "marks": MARKS,
            "csrf": csrf_token,
            "user": g.get("user"),
            "site": site,
            "can": site.actions,
            "now": site.now(),
        }

    @app.errorhandler(HTTPException)
    def _problem(error: HTTPException) -> tuple[str, int]:
        return render_template("error.html", code=error.code, about=error.description), error.code or 500

    @app.errorhandler(BridgeError)
    def _unavailable(error: BridgeError) -> tuple[str, int]:
        return render_template("error.html", code=503, about=str(error)), 503

    app.register_blueprint(login.blueprint(site, keeper, sessions))
    pages, reader = Blueprint("pages", __name__), Reader(site, voice)
    for add in (_overview, _lists, _policy, _reports):
        add(pages, reader)
    app.register_blueprint(pages)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def _overview(pages: Blueprint, reader: Reader) -> None:
    """How things stand, and the three things that somebody can do about it."""
    site = reader.site

    @pages.get("/")
    def overview() -> str:
        with reader.desk(reader.today()) as made:
            snapshot = made.source.snapshot
            view, found = snapshot.overview(), snapshot.outlines(JUDGED, made.period.since, made.period.until)
            return render_template(
                "overview.html",
                view=view,
                pulse=site.pulse(),
                unready=probes.unready(site.pulse(), site.now()),
                paused=site.paused(),
                matters=open_matters(snapshot, view),
                headline=headline(made, found),
                moves_today=moves(made, snapshot.ruled_in([each.seq for each in found[:NEWEST]])),
                more=max(0, len(found) - NEWEST),
                desk=made,
            )

    @pages.post("/pause")
    def pause() -> AnyResponse:
        site.actions.pause(g.user, " ".join(request.form.get("reason", "").split())[:500])
        return redirect(url_for("pages.overview"), 303)

    @pages.post("/resume")
    def resume() -> AnyResponse:
        site.actions.resume(g.user)
        return redirect(url_for("pages.overview"), 303)

    @pages.post("/acknowledge")
    def acknowledge() -> AnyResponse:
        if site.actions.acknowledge is None:
            abort(409, "acknowledge")
        wanted_key = request.form.get("matter", "")
        with site.queries.snapshot() as snapshot:
            known = {matter.key for matter in open_matters(snapshot, snapshot.overview()).items}
        if wanted_key in known:  # seen by somebody else meanwhile, or never there: nothing to record
            site.actions.acknowledge(g.user, wanted_key)
        return redirect(safe_next(request.form.get("next", "/")), 303)


def _lists(pages: Blueprint, reader: Reader) -> None:
    """Illegal moves, tickets and people."""
    site = reader.site

    @pages.get("/violations")
    def illegal() -> str:
        with reader.desk(reader.asked_period()) as made:
            snapshot = made.source.snapshot
            found = snapshot.outlines(JUDGED, made.period.since, made.period.until)
            chosen = [each.seq for each in found if matches(each, request.args)]
            page = page_of(len(chosen))
            return render_template(
                "violations.html",
                summary=titles(made.language)["violations"].question,
                headline=headline(made, found),
                page_moves=moves(made, snapshot.ruled_in(chosen[page.first : page.first + PER_PAGE])),
                page=page,
                total=len(chosen),
                rules=site.policy.rules,
                parties=site.policy.parties,
                periods=PERIODS,
                period=made.period,
                desk=made,
            )

    @pages.get("/tickets")
    def tickets() -> AnyResponse | str:
        query = request.args.get("q", "").strip()[:200]
        number = query.removeprefix("#")
        with reader.desk(reader.today()) as made:
            snapshot = made.source.snapshot
            if number.isascii() and number.isdecimal() and len(number) < 10:
                if snapshot.has_ticket(WorkPackageId(int(number))):
                    return redirect(url_for("pages.ticket", work_package=int(number)), 303)
                return render_template("tickets.html", rows=[], page=page_of(0), total=0, query=query, desk=made)
            total = snapshot.count_tickets(query)
            page = page_of(total)
            rows = snapshot.find_tickets(query, limit=PER_PAGE, offset=page.first)
            return render_template(
                "tickets.html",
                rows=rows,
                subject=subjects(made, [row.work_package for row in rows]).last,
                page=page,
                total=total,
                query=query,
                desk=made,
            )

    @pages.get("/tickets/<int:work_package>")
    def ticket(work_package: int) -> str:
        if work_package >= 2**31:
            abort(404)
        with reader.desk(reader.today()) as made:
            life = made.source.snapshot.life(WorkPackageId(work_package))
            if life is None:
                abort(404, "ticket")
            return render_template(
                "ticket.html",
                life=life,
                steps=[(move(made, ruled), attempt_of(life, ruled)) for ruled in life.decisions],
                subject=subjects(made, [work_package]).last(work_package),
                desk=made,
            )

    @pages.get("/people")
    def people() -> str:
        with reader.desk(reader.today()) as made:
            spells = made.source.spells
            rows = [
                (person, project, each[-1], site.policy.party_of(each[-1].roles))
                for (project, person), each in spells.items()
                if each[-1].roles
            ]
            rows.sort(key=lambda row: (made.person_name(row[0]).casefold(), made.project_name(row[1]).casefold()))
            page = page_of(len(rows))
            return render_template(
                "people.html", rows=rows[page.first : page.first + PER_PAGE], page=page, total=len(rows), desk=made
            )

    @pages.get("/people/<int:person>")
    def person(person: int) -> str:
        with reader.desk(reader.today()) as made:
            spells = {project: each for (project, who), each in made.source.spells.items() if who == person}
            found = made.source.snapshot.ruled(JUDGED, person=UserId(person))
            if not spells and not found and UserId(person) not in made.source.people:
                abort(404, "person")
            page, named = page_of(len(found)), titles(reader.voice().reports)
            return render_template(
                "person.html",
                person=person,
                about={name: named[name] for name, each in REPORTS.items() if each.about_somebody},
                spells=spells,
                page_moves=moves(made, found[page.first : page.first + PER_PAGE]),
                page=page,
                total=len(found),
                desk=made,
            )


def _policy(pages: Blueprint, reader: Reader) -> None:
    """The rules, and the record itself."""
    site = reader.site

    @pages.get("/policy")
    def policy() -> str:
        with reader.desk(reader.today()) as made:
            snapshot = made.source.snapshot
            enforced: dict[str, datetime] = {}
            for row in snapshot.enforced():
                if row.until is None:
                    enforced[row.rule] = min(row.since, enforced.get(row.rule, row.since))
            table = survey(site.policy, at=site.now())
            return render_template(
                "policy.html",
                policy=site.policy,
                mode_terms=mode_terms,
                exemption_bounds=exemption_bounds,
                enforced=enforced,
                used=snapshot.rules_used(),
                cells={(pair.party, pair.origin, pair.target): pair for pair in table.pairs},
                answers=tuple(Answer),
                meaning=meanings(reader.voice().pages),
                desk=made,
            )

    @pages.get("/integrity")
    def integrity() -> str:
        with reader.desk(reader.today()) as made:
            snapshot = made.source.snapshot
            return render_template(
                "integrity.html",
                tail=snapshot.check_tail(CHECKED) if request.args.get("check") else None,
                view=snapshot.overview(),
                checkpoints=snapshot.checkpoints()[: -PER_PAGE - 1 : -1],
                history=snapshot.events(HISTORY)[: -PER_PAGE - 1 : -1],
                pulse=site.pulse(),
                desk=made,
            )


def _reports(pages: Blueprint, reader: Reader) -> None:
    """Reports to read and to take away."""

    def _about(definition: Definition) -> tuple[UserId | None, frozenset[ProjectId] | None]:
        person, projects = reader.asked_person(), reader.asked_projects()
        if definition.about_somebody and person is None and projects is None:
            abort(400, "whose")
        return person, projects

    def _projects(made: Desk) -> list[tuple[str, int]]:
        return sorted((clean(made.project_name(project), 60), project) for project in made.source.projects)

    @pages.get("/reports")
    def reports() -> str:
        named = titles(reader.voice().reports)
        with reader.desk(reader.asked_period()) as made:
            somebody = reader.asked_projects() is not None
            return render_template(
                "reports.html",
                titles={name: named[name] for name, each in REPORTS.items() if somebody or not each.about_somebody},
                projects=_projects(made),
                period=made.period,
                periods=PERIODS,
                desk=made,
                formats=OFFERED,
            )

    @pages.get("/reports/<name>")
    def report(name: str) -> str:
        definition = REPORTS.get(name)
        if definition is None:
            abort(404, "report")
        with reader.desk(reader.asked_period(), *_about(definition)) as made:
            content = definition.make(made)
            return render_template(
                "report.html",
                projects=_projects(made),
                name=name,
                title=content.title,
                body=partial(render_html.body, content, made.language),
                period=made.period,
                periods=PERIODS,
                formats=OFFERED,
                desk=made,
            )

    @pages.get("/reports/<name>.<form>")
    def download(name: str, form: str) -> Response:
        definition = REPORTS.get(name)
        if definition is None or form not in OFFERED:
            abort(404, "report")
        with reader.desk(reader.asked_period(), *_about(definition)) as made:
            content = definition.make(made)
            written = forms.render(content, made.language, form)
        file = forms.file_name(content, form, made.period)
        if reader.site.actions.record_export is not None:
            reader.site.actions.record_export(g.user, file)
        return Response(
            written,
            content_type=forms.FORMATS[form],
            headers={
                "Content-Disposition": f'attachment; filename="{file}"',
                # Opened from here all the same, the page may use its own style and nothing else.
                "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            },
        )

    @pages.get("/report.css")
    def report_style() -> Response:
        return Response(render_html.style(), mimetype="text/css", headers={"Cache-Control": "max-age=3600"})

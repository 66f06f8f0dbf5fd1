"""The endpoints about tickets: lists, one ticket, its activities, forms and writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import orjson

from bridge.simulator import listing, represent, selection, texts
from bridge.simulator.call import Answer, Call, Table, page_links
from bridge.simulator.journal import State
from bridge.simulator.nouns import Project, Refusal, Ticket, invalid, not_found, read_only
from bridge.simulator.represent import Json

Moment = tuple[str, datetime | None]
"""An instant as it was asked for, and what it means; None is now."""


def table(places: str) -> Table:
    """The endpoints; ``places`` is the pattern of what projects are called in paths."""
    one = "/work_packages/(?P<id>(?!schemas)[^/]+)"
    yield "GET", f"{one}/activities", _activities
    yield "GET", "/work_packages", _list
    yield "GET", one, _ticket
    yield "PATCH", one, _update
    yield "POST", f"{one}/activities", _comment
    yield "POST", f"{one}/form", _form
    yield "DELETE", one, _delete
    yield "POST", "/work_packages", _create
    yield "POST", f"/{places}/(?P<project>[^/]+)/work_packages", _create
    yield "GET", f"/{places}/(?P<project>[^/]+)/work_packages", _list
    yield "GET", r"/activities/(?P<id>\d+)", _activity
    yield "PATCH", r"/activities/(?P<id>\d+)", _edit
    yield "GET", r"/activities/(?P<id>\d+)/emoji_reactions", _reactions
    yield "PATCH", r"/activities/(?P<id>\d+)/emoji_reactions", _reactions


def visible_project(call: Call, which: str) -> Project:
    """A project by id or identifier that the reader sees, or the 404 that hides it."""
    for known in call.instance.projects.values():
        if which in (str(known.id), known.identifier) and call.instance.sees_project(call.reader, known.id):
            return known
    raise not_found()


# --- Reading --------------------------------------------------------------------------------------------------------


def _list(call: Call) -> Answer:
    instance, parameters = call.instance, call.request.parameters
    project = visible_project(call, call.ids["project"]).id if "project" in call.ids else None
    query = listing.read(instance, call.reader, parameters, project=project, lang=call.lang)
    moments = _moments(call) if query.select is None else []  # ``select`` ignores timestamps (A.4)
    page = listing.run(instance, query)
    links = page_links("work_packages", parameters, query.page_size, query.offset, page.total)
    if query.select is not None:
        paging = {"total": page.total, "offset": query.offset, "page_size": query.page_size}
        return Answer.of(selection.body(instance, query.select, page.tickets, **paging, links=links))
    elements = []
    for ticket in page.tickets:
        shown = represent.ticket(instance, ticket, call.reader, embedded=False)
        if moments:
            shown["_embedded"] = {"attributesByTimestamp": _at(call, ticket, moments, filtered=True)}
        elements.append(shown)
    body: Json = {
        "_type": "WorkPackageCollection",
        "total": page.total,
        "count": len(page.tickets),
        "pageSize": query.page_size,
        "offset": query.offset,
    }
    if query.group_by_status:
        body["groups"] = [
            {
                "value": instance.statuses[status].name,
                "count": count,
                "_links": {"valueLink": [{"href": f"/api/v3/statuses/{status}"}]},
            }
            for status, count in page.groups
        ]
    return Answer.of(body | {"_embedded": {"elements": elements}, "_links": links})


def _ticket(call: Call) -> Answer:
    ticket, moments = _found(call), _moments(call)
    if not moments:
        return Answer.of(represent.ticket(call.instance, ticket, call.reader, embedded=True))
    past = _state(ticket, moments[-1]) if moments[-1][1] is not None else None
    shown = represent.ticket(
        call.instance,
        ticket,
        call.reader,
        embedded=True,
        state=past,
        lock_version=0 if past is not None else None,  # not journalised (contract §5)
        more={"attributesByTimestamp": _at(call, ticket, moments)},
    )
    return Answer.of(shown)


def _activities(call: Call) -> Answer:
    ticket = _found(call)
    elements = [represent.activity(call.instance, ticket, journal, call.lang) for journal in ticket.journals]
    return Answer.of(represent.collection(f"work_packages/{ticket.id}/activities", elements))


def _activity(call: Call) -> Answer:
    ticket, journal = call.instance.activity_for(call.reader, call.id)
    return Answer.of(represent.activity(call.instance, ticket, journal, call.lang))


def _reactions(call: Call) -> Answer:
    if call.instance.version == "15.4":
        raise not_found()
    call.instance.activity_for(call.reader, call.id)
    return Answer.of(represent.collection(f"activities/{call.id}/emoji_reactions", []))


# --- Writing --------------------------------------------------------------------------------------------------------


def _create(call: Call) -> Answer:
    asked = _asked(call, call.request.json())
    if "project" in call.ids:
        project = visible_project(call, call.ids["project"]).id
    elif "project" in asked.values:
        project = asked.values["project"]
    else:
        raise invalid("project", "blank")
    if asked.complaints:
        raise Refusal.of(asked.complaints)
    ticket = call.instance.create(
        call.reader.id,
        project,
        asked.values.get("subject"),
        type=asked.values.get("type"),
        status=asked.values.get("status"),
        description=asked.values.get("description") or "",
        custom=asked.custom,
    )
    return Answer.of(represent.ticket(call.instance, ticket, call.reader, embedded=True), 201)


def _update(call: Call) -> Answer:
    ticket, body = _found(call), call.request.json()
    if body.keys() & {"id", "createdAt", "updatedAt"}:
        call.instance.check_update(call.reader, ticket, ticket.state, (), ticket.lock_version)
        raise not_found()  # misleading, and real (A.6)
    asked = _asked(call, body)
    call.instance.update(
        call.reader.id,
        ticket,
        lock_version=body.get("lockVersion"),
        checked=True,
        complaints=asked.complaints,
        custom=asked.custom,
        **asked.values,
    )
    return Answer.of(represent.ticket(call.instance, ticket, call.reader, embedded=True))


def _form(call: Call) -> Answer:
    instance, ticket, body = call.instance, _found(call), call.request.json()
    instance.check_update(call.reader, ticket, ticket.state, (), body.get("lockVersion"))
    asked = _asked(call, body)
    before, after = ticket.state, ticket.state._replace(**asked.values)
    found = [*asked.complaints, *instance.objections(call.reader, ticket, after)]
    targets = instance.targets(call.reader, before.type, before.status, before.project)
    allowed = [
        status
        for status in sorted(instance.statuses.values(), key=lambda status: status.position)
        if status.id in targets
    ]
    schema = represent.schema(instance, after.project, after.type, call.lang)
    schema["status"] = {
        "type": "Status",
        "name": texts.label("status", call.lang),
        "required": True,
        "hasDefault": True,
        "writable": True,
        "location": "_links",
        "_embedded": {"allowedValues": [represent.status(status) for status in allowed]},
        "_links": {"allowedValues": [represent.link("statuses", status.id, status.name) for status in allowed]},
    }
    for custom in instance.custom_fields.values():
        if custom.format == "list":
            options = [
                represent.link("custom_options", 100 * custom.id + number, choice)
                for number, choice in enumerate(custom.choices)
            ]
            shown: Json = {"type": "CustomOption", "name": custom.name, "writable": True}
            schema[f"customField{custom.id}"] = {**shown, "_links": {"allowedValues": options}}
    status = instance.statuses[after.status]
    payload: Json = {
        "lockVersion": ticket.lock_version,
        "subject": after.subject,
        "_links": {"status": represent.link("statuses", status.id, status.name)},
    }
    links: Json = {"self": {"href": f"/api/v3/work_packages/{ticket.id}/form", "method": "post"}}
    if not found:
        links["commit"] = {"href": f"/api/v3/work_packages/{ticket.id}", "method": "patch"}
    errors = {refusal.attribute or "base": represent.error(refusal, call.lang) for refusal in found}
    embedded: Json = {"payload": payload, "schema": schema, "validationErrors": errors}
    return Answer.of({"_type": "Form", "_embedded": embedded, "_links": links})


def _delete(call: Call) -> Answer:
    call.instance.delete(call.reader.id, _found(call))
    return Answer(204, b"")


def _comment(call: Call) -> Answer:
    ticket, body = _found(call), call.request.json()
    if not call.instance.may(call.reader, "add_work_package_comments", ticket.state.project):
        raise not_found()  # before the body is looked at, and 404 instead of 403 (A.7)
    comment = body.get("comment")
    if not isinstance(comment, dict):
        raise _bad_comment(body)
    raw, internal = str(comment.get("raw") or ""), bool(body.get("internal"))
    journal = call.instance.comment(call.reader.id, ticket, raw, internal=internal)
    return Answer.of(represent.activity(call.instance, ticket, journal, call.lang), 201)


def _edit(call: Call) -> Answer:
    comment = call.request.json().get("comment")
    if not isinstance(comment, str):  # a plain string here, an object when posting (A.3)
        raise _bad_comment(call.request.json())
    journal = call.instance.edit_comment(call.reader.id, call.id, comment)
    ticket = call.instance.tickets[journal.ticket]
    return Answer.of(represent.activity(call.instance, ticket, journal, call.lang))


def _bad_comment(body: Mapping[str, Any]) -> Refusal:
    what = "comment is invalid" if "comment" in body else "comment is missing"
    return Refusal(400, "BadRequest", "bad_request", what=what)


# --- Understanding what is asked ------------------------------------------------------------------------------------


def _found(call: Call) -> Ticket:
    id = call.ids["id"]
    if not id.isdigit():  # 15.4 wants an integer before it looks for a ticket
        raise not_found("not_found" if call.instance.version == "15.4" else "ticket_not_found")
    return call.instance.ticket_for(call.reader, int(id))


@dataclass(frozen=True, slots=True)
class _Asked:
    values: dict[str, Any]
    """New values by attribute of ``State``."""
    custom: dict[int, str | None]
    complaints: list[Refusal]


def _asked(call: Call, body: Mapping[str, Any]) -> _Asked:
    """What a ticket's JSON asks to set, and what is wrong with it already."""
    instance = call.instance
    values: dict[str, Any] = {}
    custom: dict[int, str | None] = {}
    complaints: list[Refusal] = []
    if "subject" in body:
        values["subject"] = str(body["subject"] or "")
    if isinstance(body.get("description"), dict):
        values["description"] = str(body["description"].get("raw") or "")
    for id in instance.custom_fields:
        if f"customField{id}" in body:
            value = body[f"customField{id}"]
            custom[id] = value.get("raw") if isinstance(value, dict) else value
    existing: tuple[tuple[str, str, Mapping[int, object]], ...] = (
        ("status", "statuses", instance.statuses),
        ("type", "types", instance.types),
        ("project", "projects", instance.projects),
        ("assignee", "users", instance.people),
    )
    links = body.get("_links") or {}
    for attribute, path, known in existing:
        if attribute not in links:
            continue
        target = _linked(links[attribute], attribute, path)
        hidden = attribute == "project" and target is not None and not instance.sees_project(call.reader, target)
        if target is None or target not in known or hidden:
            complaints.append(invalid(attribute, "blank"))
        else:
            values[attribute] = target
    if "parent" in links:
        complaints.append(read_only("parent"))  # hierarchies are not modelled; recording 15 is refused as well
    return _Asked(values, custom, complaints)


def _linked(value: object, attribute: str, path: str) -> int | None:
    href = value.get("href") if isinstance(value, dict) else None
    if href is None:
        return None
    match = re.search(rf"/api/v3/{path}/(\d+)$", str(href))
    if match is None:
        expected = f"/api/v3/{path}/:id"
        raise Refusal(422, "ResourceTypeMismatch", "wrong_link", href=str(href), expected=expected, property=attribute)
    return int(match[1])


def _moments(call: Call) -> list[Moment]:
    """The instants asked for by ``timestamps``. Fractions of seconds are dropped (recording 17, contract §5)."""
    asked = call.request.parameters.get("timestamps")
    if not asked:
        return []
    now = call.instance.now()
    start_of_yesterday = datetime.combine(now.date(), time(0), UTC) - timedelta(days=1)
    moments: list[Moment] = [(text, _instant(text, now)) for text in asked.split(",")]
    old = [text for text, moment in moments if moment is not None and moment < start_of_yesterday]
    if old:
        what = texts.message("forbidden_timestamps", call.lang, what=", ".join(old))
        raise Refusal(400, "BadRequest", "bad_request", what=what)
    if call.instance.version == "15.4":  # every time it was tried (A.4)
        raise Refusal(500, "InternalServerError", "internal_error", what="undefined method 'strip' for nil")
    return [(text, moment.replace(microsecond=0) if moment is not None else None) for text, moment in moments]


def _instant(text: str, now: datetime) -> datetime | None:
    duration = re.fullmatch(r"P(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+)S)?)?", text)
    if duration:
        days, hours, minutes, seconds = (int(part or 0) for part in duration.groups())
        by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return now + by if by else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(500, "InternalServerError", "internal_error", what="") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _state(ticket: Ticket, moment: Moment) -> State | None:
    return ticket.state if moment[1] is None else represent.state_at(ticket, moment[1])


def _at(call: Call, ticket: Ticket, moments: list[Moment], *, filtered: bool = False) -> list[Json]:
    top = _state(ticket, moments[-1])
    return [
        represent.at_timestamp(call.instance, ticket, moment[0], _state(ticket, moment), top, filtered=filtered)
        for moment in moments
    ]


def simple_filters(call: Call, *names: str) -> list[tuple[str, list[str]]]:
    """The filters of a list of anything but tickets, of which only equality is known."""
    found = []
    try:
        for one in orjson.loads(call.request.parameters.get("filters", "[]")):
            for name, condition in one.items():
                if name not in names:
                    raise Refusal(400, "InvalidQuery", "filter_unknown", label=name.capitalize())
                found.append((name, [str(value) for value in condition["values"]]))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise Refusal(400, "InvalidQuery", "bad_request", what="filters") from None
    return found

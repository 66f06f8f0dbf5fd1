"""``select``: lists of tickets from a few columns, which cost a real server next to nothing (A.1).

Put together from strings, as the real answer is by its database: the snapshot of 100,000 tickets goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import orjson

from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Refusal, Ticket

_OF_ELEMENTS = {
    "17.6": "self, project, status, type, author, assignee, responsible, _type, id, displayId, subject, startDate, "
    "dueDate, date, *",
    "15.4": "self, project, author, assignee, responsible, _type, id, subject, startDate, dueDate, date, *",
}
_OF_COLLECTION = "self, jumpTo, changeSize, previousByOffset, nextByOffset, _type, count, total, pageSize, offset, *"

Part = Callable[[Ticket], str]


class Selection(NamedTuple):
    """The selected fields."""

    of_collection: frozenset[str]
    of_elements: frozenset[str]


def read(instance: Instance, asked: str) -> Selection:
    """Understand the parameter, or refuse it naming what is known."""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    of_elements = [name.removeprefix("elements/") for name in names if name.startswith("elements/")]
    of_collection = [name for name in names if not name.startswith("elements/")]
    for wanted, known in ((of_elements, _OF_ELEMENTS[instance.version]), (of_collection, _OF_COLLECTION)):
        unknown = [name for name in wanted if name not in known.split(", ")]
        if unknown:
            raise Refusal(400, "InvalidSignal", "unknown_select", unknown=", ".join(unknown), known=known)
    return Selection(frozenset(of_collection), frozenset(of_elements))


def body(
    instance: Instance,
    selection: Selection,
    tickets: list[Ticket],
    *,
    total: int,
    offset: int,
    page_size: int,
    links: Mapping[str, object],
) -> bytes:
    """The body of the answer."""
    wanted = selection.of_collection
    parts: dict[str, object] = {
        "_type": "WorkPackageCollection",
        "count": len(tickets),
        "total": total,
        "_links": dict(links) if "*" in wanted else {name: link for name, link in links.items() if name in wanted},
        "offset": offset,
        "pageSize": page_size,
    }
    shown = {name: value for name, value in parts.items() if "*" in wanted or name in wanted}
    if parts["_links"]:
        shown["_links"] = parts["_links"]
    if not selection.of_elements:
        return orjson.dumps(shown)
    head = orjson.dumps(shown)[:-1] + (b"," if shown else b"")
    elements = ",".join(_elements(instance, selection.of_elements, tickets))
    return head + b'"_embedded":{"elements":[' + elements.encode() + b"]}}"


def _elements(instance: Instance, selected: frozenset[str], tickets: Iterable[Ticket]) -> Iterator[str]:
    known = {*_OF_ELEMENTS[instance.version].split(", ")} - {"*"}
    wanted = known if "*" in selected else selected
    if wanted == {"id"}:
        return (f'{{"id":{ticket.id}}}' for ticket in tickets)
    links_of = _links(instance)
    if wanted == {"id", "status"}:  # the status snapshot
        tails = {
            s.id: f',"_links":{{{_link("status", "statuses", s.id, s.name)}}}}}' for s in instance.statuses.values()
        }
        return (f'{{"id":{ticket.id}{tails[ticket.state.status]}' for ticket in tickets)
    fields = [part for name, part in _FIELDS.items() if name in wanted]
    links = [part for name, part in links_of.items() if name in wanted]
    return (_element(ticket, fields, links) for ticket in tickets)


def _element(ticket: Ticket, fields: list[Part], links: list[Part]) -> str:
    parts = [part(ticket) for part in fields]
    if links:
        parts.append('"_links":{' + ",".join([part(ticket) for part in links]) + "}")
    return "{" + ",".join(parts) + "}"


_FIELDS: Mapping[str, Part] = {
    "_type": lambda _: '"_type":"WorkPackage"',
    "id": lambda ticket: f'"id":{ticket.id}',
    "displayId": lambda ticket: f'"displayId":"{ticket.id}"',
    "subject": lambda ticket: f'"subject":{_quoted(ticket.state.subject)}',
    "startDate": lambda _: '"startDate":null',
    "dueDate": lambda _: '"dueDate":null',
    "date": lambda _: '"date":null',
}


def _links(instance: Instance) -> Mapping[str, Part]:
    projects = {p.id: _link("project", "projects", p.id, p.name) for p in instance.projects.values()}
    statuses = {s.id: _link("status", "statuses", s.id, s.name) for s in instance.statuses.values()}
    types = {t.id: _link("type", "types", t.id, t.name) for t in instance.types.values()}
    authors = {p.id: _link("author", "users", p.id, p.name) for p in instance.people.values()}
    assignees = {p.id: _link("assignee", "users", p.id, p.name) for p in instance.people.values()}
    return {
        "self": lambda ticket: _link("self", "work_packages", ticket.id, ticket.state.subject),
        "project": lambda ticket: projects[ticket.state.project],
        "status": lambda ticket: statuses[ticket.state.status],
        "type": lambda ticket: types[ticket.state.type],
        "author": lambda ticket: authors[ticket.author],
        "assignee": lambda ticket: (
            '"assignee":{"href":null}' if ticket.state.assignee is None else assignees[ticket.state.assignee]
        ),
        "responsible": lambda _: '"responsible":{"href":null}',
    }


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _link(name: str, path: str, id: int, title: str) -> str:
    return f'"{name}":{{"href":"/api/v3/{path}/{id}","title":{_quoted(title)}}}'

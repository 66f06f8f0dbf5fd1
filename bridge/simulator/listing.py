"""Lists of tickets: filters, sort, paging, and ``select``, which answers from a few columns (contract §2, A.1, A.2).

The refusals are as strict as OpenProject's: one bad value fails the whole request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any

import orjson

from bridge.simulator import texts
from bridge.simulator.call import DEFAULT_PAGE, LARGEST_PAGE
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Person, Refusal, Ticket

_ELEMENT_FIELDS = {
    "17.6": "self, project, status, type, author, assignee, responsible, _type, id, displayId, subject, startDate, "
    "dueDate, date, *",
    "15.4": "self, project, author, assignee, responsible, _type, id, subject, startDate, dueDate, date, *",
}
_COLLECTION_FIELDS = (
    "self, jumpTo, changeSize, previousByOffset, nextByOffset, _type, count, total, pageSize, offset, *"
)

Test = Callable[[Ticket], bool]


@dataclass(frozen=True, slots=True)
class Query:
    """A list request, read and found valid."""

    tests: tuple[Test, ...]
    since: datetime | None
    """Lower bound of ``updatedAt``, where there is one: the cheap way in."""
    order: tuple[tuple[str, bool], ...]
    """(attribute, descending); empty: by id."""
    group_by_status: bool
    page_size: int
    offset: int
    select: tuple[frozenset[str], frozenset[str]] | None
    """Selected fields of (the collection, its elements)."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a query found."""

    total: int
    tickets: list[Ticket]
    groups: tuple[tuple[int, int], ...]
    """(status, count), where grouped."""


def read(instance: Instance, reader: Person, parameters: Mapping[str, str], *, project: int | None, lang: str) -> Query:
    """Read a list request, or refuse it as OpenProject does."""
    select = _read_select(instance, parameters.get("select"))
    tests: list[Test] = []
    since: datetime | None = None
    visible = instance.projects_where(reader, "view_work_packages")
    if not visible:
        raise Refusal(403, "MissingPermission", "missing_permission")
    within = visible if project is None else visible & _with_descendants(instance, project)
    tests.append(lambda ticket: ticket.state.project in within)
    if "filters" in parameters:
        for name, operator, values in _read_filters(instance, parameters["filters"]):
            test, lower = _filter(instance, reader, visible, name, operator, values, lang)
            if lower is not None:
                since = lower if since is None else max(since, lower)
            tests.append(test)
    else:
        open_ids = frozenset(status.id for status in instance.statuses.values() if not status.closed)
        tests.append(lambda ticket: ticket.state.status in open_ids)
    page_size, offset = _read_paging(instance, parameters, selected=select is not None)
    return Query(
        tuple(tests),
        since,
        _read_order(parameters.get("sortBy")),
        parameters.get("groupBy") == "status",
        page_size,
        offset,
        select,
    )


def run(instance: Instance, query: Query) -> Page:
    """Find the tickets of a query."""
    candidates: Iterable[Ticket] = (
        instance.tickets.values() if query.since is None else instance.changed_since(query.since)
    )
    for test in query.tests:
        candidates = filter(test, candidates)
    found = list(candidates)
    order = query.order or (("id", False),)
    if query.group_by_status:
        order = (("status", False), *order)
    already_by_id = query.since is None and order == (("id", False),)
    if not already_by_id:
        if all(attribute != "id" for attribute, _ in order):
            order = (*order, ("id", True))  # contract §2.5
        for attribute, descending in reversed(order):
            found.sort(key=_sort_key(instance, attribute), reverse=descending)
    start = (query.offset - 1) * query.page_size
    groups: dict[int, int] = {}
    if query.group_by_status:
        for ticket in sorted(found, key=_sort_key(instance, "status")):
            groups[ticket.state.status] = groups.get(ticket.state.status, 0) + 1
    return Page(len(found), list(islice(found, start, start + query.page_size)), tuple(groups.items()))


def selected(instance: Instance, query: Query, page: Page, links: Mapping[str, object]) -> bytes:
    """The body of an answer to ``select``: put together from strings, as the real one is by its database."""
    assert query.select is not None
    of_collection, of_elements = query.select
    parts: dict[str, object] = {
        "_type": "WorkPackageCollection",
        "count": len(page.tickets),
        "total": page.total,
        "_links": dict(links),
        "offset": query.offset,
        "pageSize": query.page_size,
    }
    shown = {
        name: value
        for name, value in parts.items()
        if "*" in of_collection or name in of_collection or (name == "_links" and of_collection & {*links})
    }
    if not of_elements:
        return orjson.dumps(shown)
    head = orjson.dumps(shown)[:-1]
    if shown:
        head += b","
    elements = ",".join(_selected_elements(instance, of_elements, page.tickets))
    return head + b'"_embedded":{"elements":[' + elements.encode() + b"]}}"


def _selected_elements(instance: Instance, fields: frozenset[str], tickets: Iterable[Ticket]) -> Iterator[str]:
    known = {name for name in _ELEMENT_FIELDS[instance.version].split(", ") if name != "*"}
    wanted = known if "*" in fields else fields & known
    texts_of = {
        "project": {p.id: _link("project", "projects", p.id, p.name) for p in instance.projects.values()},
        "status": {s.id: _link("status", "statuses", s.id, s.name) for s in instance.statuses.values()},
        "type": {t.id: _link("type", "types", t.id, t.name) for t in instance.types.values()},
    }
    people = {p.id: p.name for p in instance.people.values()}
    if wanted == {"id", "status"}:  # the status snapshot, which may be of everything
        statuses = {id: f',"_links":{{{text}}}}}' for id, text in texts_of["status"].items()}
        for ticket in tickets:
            yield f'{{"id":{ticket.id}{statuses[ticket.state.status]}'
        return
    if wanted == {"id"}:
        for ticket in tickets:
            yield f'{{"id":{ticket.id}}}'
        return
    for ticket in tickets:
        state = ticket.state
        parts = []
        if "_type" in wanted:
            parts.append('"_type":"WorkPackage"')
        if "id" in wanted:
            parts.append(f'"id":{ticket.id}')
        if "displayId" in wanted:
            parts.append(f'"displayId":"{ticket.id}"')
        if "subject" in wanted:
            parts.append(f'"subject":{_quoted(state.subject)}')
        parts.extend(f'"{name}":null' for name in ("startDate", "dueDate", "date") if name in wanted)
        links = []
        if "self" in wanted:
            links.append(_link("self", "work_packages", ticket.id, state.subject))
        if "project" in wanted:
            links.append(texts_of["project"][state.project])
        if "status" in wanted:
            links.append(texts_of["status"][state.status])
        if "type" in wanted:
            links.append(texts_of["type"][state.type])
        if "author" in wanted:
            links.append(_link("author", "users", ticket.author, people[ticket.author]))
        if "assignee" in wanted:
            links.append(
                '"assignee":{"href":null}'
                if state.assignee is None
                else _link("assignee", "users", state.assignee, people[state.assignee])
            )
        if "responsible" in wanted:
            links.append('"responsible":{"href":null}')
        if links:
            parts.append(f'"_links":{{{",".join(links)}}}')
        yield "{" + ",".join(parts) + "}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _link(name: str, path: str, id: int, title: str) -> str:
    return f'"{name}":{{"href":"/api/v3/{path}/{id}","title":{_quoted(title)}}}'


# --- Reading the request --------------------------------------------------------------------------------------------


def _bad_query(text: str, **values: str) -> Refusal:
    return Refusal(400, "InvalidQuery", text, **values)


def _read_select(instance: Instance, asked: str | None) -> tuple[frozenset[str], frozenset[str]] | None:
    if asked is None:
        return None
    names = [name.strip() for name in asked.split(",") if name.strip()]
    elements = [name.removeprefix("elements/") for name in names if name.startswith("elements/")]
    of_collection = [name for name in names if not name.startswith("elements/")]
    for wanted, known in ((elements, _ELEMENT_FIELDS[instance.version]), (of_collection, _COLLECTION_FIELDS)):
        unknown = [name for name in wanted if name not in known.split(", ")]
        if unknown:
            raise Refusal(400, "InvalidSignal", "unknown_select", unknown=", ".join(unknown), known=known)
    return frozenset(of_collection), frozenset(elements)


def _read_paging(instance: Instance, parameters: Mapping[str, str], *, selected: bool) -> tuple[int, int]:
    page_size = _number(parameters.get("pageSize"), DEFAULT_PAGE)
    offset = _number(parameters.get("offset"), 1)
    if selected:  # straight into SQL, which takes no negative limit (A.1)
        if page_size < 0 or offset < 1:
            clause, limit = ("Limit", "LIMIT") if page_size < 0 else ("ResultOffset", "OFFSET")
            said = f"PG::InvalidRowCountIn{clause}Clause: ERROR:  {limit} must not be negative\n"
            if instance.version == "17.6":
                raise Refusal(500, "InternalServerError", "internal_error", what="")
            raise Refusal(500, "InternalServerError", "as_is", what=said)
        return page_size, offset
    if page_size < 0 or page_size > LARGEST_PAGE:
        page_size = LARGEST_PAGE
    return page_size, max(1, offset)


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    digits = text.strip()
    sign = -1 if digits.startswith("-") else 1
    leading = "".join(_leading_digits(digits.removeprefix("-")))
    return sign * int(leading) if leading else 0  # Ruby's to_i


def _leading_digits(text: str) -> Iterator[str]:
    for character in text:
        if not character.isdigit():
            return
        yield character


def _read_order(asked: str | None) -> tuple[tuple[str, bool], ...]:
    if not asked:
        return ()
    try:
        criteria = orjson.loads(asked)
        pairs = [
            tuple(criterion.split(":", 1)) if isinstance(criterion, str) else (criterion[0], criterion[1])
            for criterion in criteria
        ]
    except (orjson.JSONDecodeError, TypeError, IndexError, KeyError):
        raise _bad_query("sort_unknown", what=asked) from None
    order = []
    for pair in pairs[:3]:
        attribute = str(pair[0])
        if attribute not in ("id", "updatedAt", "createdAt", "status", "type", "project", "subject", "author"):
            raise _bad_query("sort_unknown", what=attribute)
        order.append((attribute, len(pair) > 1 and pair[1] == "desc"))
    return tuple(order)


def _sort_key(instance: Instance, attribute: str) -> Callable[[Ticket], Any]:
    keys: dict[str, Callable[[Ticket], Any]] = {
        "id": lambda ticket: ticket.id,
        "updatedAt": lambda ticket: ticket.updated_at,
        "createdAt": lambda ticket: ticket.created_at,
        "status": lambda ticket: instance.statuses[ticket.state.status].position,
        "type": lambda ticket: instance.types[ticket.state.type].position,
        "project": lambda ticket: instance.projects[ticket.state.project].name,
        "subject": lambda ticket: ticket.state.subject,
        "author": lambda ticket: instance.people[ticket.author].name,
    }
    return keys[attribute]


def _read_filters(instance: Instance, asked: str) -> Iterator[tuple[str, str, list[str]]]:
    try:
        filters = orjson.loads(asked)
    except orjson.JSONDecodeError:
        said = (
            f"unexpected token '{asked}' at line 1 column 1"
            if instance.version == "17.6"
            else f"unexpected token at '{asked}'"
        )
        raise _bad_query("as_is", what=said) from None
    for one in filters:
        for name, condition in one.items():
            yield _camel(name), str(condition["operator"]), [str(v or "") for v in condition.get("values") or []]


def _camel(name: str) -> str:
    head, *tail = name.removesuffix("_id").split("_")
    return head + "".join(part.capitalize() for part in tail)


def _filter(
    instance: Instance,
    reader: Person,
    visible: frozenset[int],
    name: str,
    operator: str,
    values: list[str],
    lang: str,
) -> tuple[Test, datetime | None]:
    label = texts.label(name, lang)
    match name:
        case "status":
            return _status_filter(instance, operator, values, label, lang), None
        case "updatedAt" | "createdAt":
            lower, upper = _bounds(instance, operator, values, label)
            attribute = "updated_at" if name == "updatedAt" else "created_at"

            def within(ticket: Ticket) -> bool:
                moment: datetime = getattr(ticket, attribute)
                return (lower is None or moment >= lower) and (upper is None or moment <= upper)

            return within, lower if name == "updatedAt" else None
        case "subject":
            wanted = values[0].lower()
            return (lambda ticket: (wanted in ticket.state.subject.lower()) == (operator == "~")), None
        case "id":
            allowed = {str(id) for id in instance.tickets if instance.tickets[id].state.project in visible} & {*values}
            return _in(operator, values, allowed, label, lambda ticket: ticket.id), None
        case "project":
            projects = {str(id) for id in instance.projects if instance.sees_project(reader, id)}
            _checked(operator, values, projects, label)
            ids = frozenset(d for value in values for d in _with_descendants(instance, int(value)))
            return (lambda ticket: (ticket.state.project in ids) == (operator == "=")), None
        case "type":
            return _in(operator, values, {str(id) for id in instance.types}, label, lambda t: t.state.type), None
        case "author":
            return _in(operator, values, {str(id) for id in instance.people}, label, lambda t: t.author), None
        case "assignee":
            people = {str(id) for id in instance.people}
            return _in(operator, values, people, label, lambda ticket: ticket.state.assignee), None
        case _:
            raise _bad_query("filter_unknown", label=label)


def _status_filter(instance: Instance, operator: str, values: list[str], label: str, lang: str) -> Test:
    closed = frozenset(status.id for status in instance.statuses.values() if status.closed)
    match operator:
        case "*":
            return lambda _ticket: True
        case "o":
            return lambda ticket: ticket.state.status not in closed
        case "c":
            return lambda ticket: ticket.state.status in closed
        case "=" | "!":
            return _in(operator, values, {str(id) for id in instance.statuses}, label, lambda t: t.state.status)
        case _:
            word = texts.message(f"operator_{instance.version}", lang)
            raise _bad_query("filter_operator", label=label, operator=word)


def _in(operator: str, values: list[str], allowed: set[str], label: str, of: Callable[[Ticket], int | None]) -> Test:
    _checked(operator, values, allowed, label)
    ids = frozenset(int(value) for value in values)
    return (lambda ticket: of(ticket) in ids) if operator == "=" else (lambda ticket: of(ticket) not in ids)


def _checked(operator: str, values: list[str], allowed: set[str], label: str) -> None:
    if operator not in ("=", "!") or not values or not {*values} <= allowed:
        raise _bad_query("filter_values", label=label)


def _bounds(
    instance: Instance, operator: str, values: list[str], label: str
) -> tuple[datetime | None, datetime | None]:
    now = instance.now()
    today = datetime.combine(now.date(), time(0), UTC)
    match operator:
        case "<>d":
            pair = [_moment(value, label) for value in (*values, "", "")[:2]]
            if pair == [None, None]:
                raise _bad_query("filter_values", label=label)
            return pair[0], pair[1]
        case "=d":
            start = _moment(values[0] if values else "", label)
            if start is None:
                raise _bad_query("filter_values", label=label)
            return start, start + timedelta(days=1)
        case ">t-":
            return today - timedelta(days=_days(values, label)), None
        case "<t-":
            return None, today - timedelta(days=_days(values, label))
        case "t":
            return today, today + timedelta(days=1)
        case _:
            raise _bad_query("filter_values", label=label)


def _days(values: list[str], label: str) -> int:
    if not values or not values[0].isdigit():
        raise _bad_query("filter_values", label=label)
    return int(values[0])


def _moment(text: str, label: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_query("filter_time", label=label) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _with_descendants(instance: Instance, project: int) -> frozenset[int]:
    family = {project}
    while True:
        more = {known.id for known in instance.projects.values() if known.parent in family} - family
        if not more:
            return frozenset(family)
        family |= more

"""Lists of tickets: filters, sort and paging (contract §2, A.2), as strict as OpenProject: one bad value fails all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any

import orjson

from bridge.simulator import selection, texts
from bridge.simulator.call import DEFAULT_PAGE, LARGEST_PAGE, to_i
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Person, Refusal, Ticket
from bridge.simulator.selection import Selection

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
    select: Selection | None


@dataclass(frozen=True, slots=True)
class Page:
    """What a query found."""

    total: int
    tickets: list[Ticket]
    groups: tuple[tuple[int, int], ...]
    """(status, count), where grouped."""


def read(instance: Instance, reader: Person, parameters: Mapping[str, str], *, project: int | None, lang: str) -> Query:
    """Read a list request, or refuse it as OpenProject does."""
    select = selection.read(instance, parameters["select"]) if "select" in parameters else None
    tests: list[Test] = []
    since: datetime | None = None
    visible = instance.projects_where(reader, "view_work_packages")
    if not visible:
        raise Refusal(403, "MissingPermission", "missing_permission")
    deep = parameters.get("includeSubprojects", "true") == "true"
    within = visible if project is None else visible & _family(instance, project, deep=deep)
    tests.append(lambda ticket: ticket.state.project in within)
    if "filters" in parameters:
        for name, operator, values in _read_filters(instance, parameters["filters"]):
            test, lower = _filter(instance, reader, visible, name, operator, values, deep=deep, lang=lang)
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


# --- Reading the request --------------------------------------------------------------------------------------------


def _bad_query(text: str, **values: str) -> Refusal:
    return Refusal(400, "InvalidQuery", text, **values)


def _read_paging(instance: Instance, parameters: Mapping[str, str], *, selected: bool) -> tuple[int, int]:
    page_size = to_i(parameters.get("pageSize"), DEFAULT_PAGE)
    offset = to_i(parameters.get("offset"), 1)
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
    *,
    deep: bool,
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
            wanted = "".join(values).lower()
            return (lambda ticket: (wanted in ticket.state.subject.lower()) == (operator == "~")), None
        case "id":
            tickets = (instance.tickets.get(to_i(value, 0)) for value in values)
            allowed = {str(t.id) for t in tickets if t is not None and t.state.project in visible}
            return _in(operator, values, allowed, label, lambda ticket: ticket.id), None
        case "project":
            projects = {str(id) for id in instance.projects if instance.sees_project(reader, id)}
            _checked(operator, values, projects, label)
            ids = frozenset(id for value in values for id in _family(instance, int(value), deep=deep))
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


def _family(instance: Instance, project: int, *, deep: bool) -> frozenset[int]:
    """A project, and when ``deep`` those below it: lists include them by default (contract §2.2)."""
    family = {project}
    while deep:
        more = {known.id for known in instance.projects.values() if known.parent in family} - family
        if not more:
            break
        family |= more
    return frozenset(family)

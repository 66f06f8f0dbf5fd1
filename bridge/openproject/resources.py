"""HAL JSON to typed values, and to the trimmed form that is stored. The border: no HAL shape gets past this module.

Unknown keys are ignored, since every version adds some (contract A.9); a known one that is missing or of another kind
is an error that names it. Reading is by hand and not by a schema library, because a first synchronisation reads every
activity there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from bridge.domain.model import (
    Activity,
    ActivityId,
    Listed,
    Membership,
    ProjectId,
    Status,
    StatusId,
    Ticket,
    TypeId,
    UserId,
    WorkPackageId,
)
from bridge.errors import SkipItem
from bridge.openproject import activity_text

T = TypeVar("T")


class Malformed(SkipItem):
    """The server's answer lacks a field, or it is of another kind. Names the field, never its content."""


@dataclass(frozen=True, slots=True)
class Project:
    """One row of ``/api/v3/projects``: projects, and from 17.0 programs and portfolios as well (contract §12)."""

    id: ProjectId
    identifier: str
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as far as an ordinary account may see one."""

    id: UserId
    name: str
    language: str
    """Only told of oneself (contract §8.1); empty otherwise."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error body. Decide by ``identifier`` and ``attribute``; ``message`` is in the reader's language (§6.4)."""

    identifier: str
    attribute: str
    message: str


# --- Pieces ---------------------------------------------------------------------------------------------------------


def _get(hal: object, key: str, kind: type[T]) -> T:
    """The value of ``key``, which must be exactly of ``kind`` (so that true is not 1)."""
    if type(hal) is not dict:
        raise Malformed(f"an object with '{key}' was expected, and it is none")
    value = hal.get(key)
    if type(value) is not kind:
        raise Malformed(f"'{key}' is missing or of another kind")
    return value


def _mapping(hal: object, key: str) -> Mapping[str, object]:
    return _get(hal, key, dict)


def _time(hal: object, key: str) -> datetime:
    text = _get(hal, key, str)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"'{key}' is no time") from None
    if time.tzinfo is None:
        raise Malformed(f"'{key}' is a time without a zone")
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def _href(links: object, key: str) -> str | None:
    """A link's address; None for ``{"href": null}`` and for a link that is not there."""
    if type(links) is not dict:
        raise Malformed("'_links' is missing or of another kind")
    link = links.get(key)
    if link is None:
        return None
    if type(link) is not dict:
        raise Malformed(f"link '{key}' is of another kind")
    href = link.get("href")
    if href is not None and type(href) is not str:
        raise Malformed(f"link '{key}' is of another kind")
    return href


def _number(href: str | None, key: str) -> int:
    """The id at the end of an address, whatever prefix or collection stands before it (contract §12, §13.2)."""
    tail = href.rpartition("/")[2] if href is not None else ""
    if not (tail.isascii() and tail.isdigit()):
        raise Malformed(f"link '{key}' holds no id")
    return int(tail)


def _linked(hal: object, key: str) -> int:
    return _number(_href(_mapping(hal, "_links"), key), key)


def _user(links: Mapping[str, object], key: str) -> UserId | None:
    """A linked user; None for nobody, and for groups and placeholders, which do not act."""
    href = _href(links, key)
    if href is None or "/users/" not in href:
        return None
    return UserId(_number(href, key))


def elements(hal: object) -> Sequence[object]:
    """The elements of a collection."""
    found: Sequence[object] = _get(_mapping(hal, "_embedded"), "elements", list)
    return found


def total(hal: object) -> int:
    """How many elements the server says there are, on all pages together."""
    return _get(hal, "total", int)


def page_size(hal: object, asked: int) -> int:
    """The page size that the server really used, which is smaller where it caps (contract §2.1)."""
    if type(hal) is not dict or type(size := hal.get("pageSize")) is not int or size < 1:
        return asked
    return min(size, asked)


# --- Activities -----------------------------------------------------------------------------------------------------


def trim_activity(hal: object) -> dict[str, object]:
    """The received form of one activity: what is stored, hashed and read again. JSON-safe, as the server spelt it."""
    links = _mapping(hal, "_links")
    details: list[list[str]] = [
        [_get(line, "raw", str), _get(line, "html", str)] for line in _get(hal, "details", list)
    ]
    return {
        "_type": _get(hal, "_type", str),
        "id": _get(hal, "id", int),
        "version": _get(hal, "version", int),
        "workPackage": _number(_href(links, "workPackage"), "workPackage"),
        "user": _number(_href(links, "user"), "user"),
        "createdAt": _get(hal, "createdAt", str),
        "updatedAt": _get(hal, "updatedAt", str),
        "comment": _get(_mapping(hal, "comment"), "raw", str),
        "details": details,
        # Not in 15.4 (contract A.9), where every comment is public.
        "internal": bool(hal.get("internal")) if isinstance(hal, dict) else False,
    }


def activity(received: object) -> Activity:
    """Read one activity back from its received form. Raises Malformed, which is a SkipItem."""
    comment = _get(received, "comment", str)
    details = _get(received, "details", list)
    try:
        reading = activity_text.read(details)
    except (TypeError, ValueError):
        raise Malformed("'details' are not pairs of texts") from None
    retracted = not details and activity_text.is_retracted(comment)
    return Activity(
        id=ActivityId(_get(received, "id", int)),
        work_package=WorkPackageId(_get(received, "workPackage", int)),
        version=_get(received, "version", int),
        user=UserId(_get(received, "user", int)),
        created_at=_time(received, "createdAt"),
        updated_at=_time(received, "updatedAt"),
        comment="" if activity_text.is_automatic(comment) else comment,
        retracted=retracted,
        status_lines=reading.status_lines,
        type_changed=reading.type_changed,
        project_changed=reading.project_changed,
    )


# --- Work packages --------------------------------------------------------------------------------------------------


def listing(hal: object) -> list[Listed]:
    """The elements of a ``select`` answer, which may hold every ticket there is.

    Many tickets share few projects, statuses and types: each address is read once, strictly, and then looked up. What
    the quick way cannot read goes the strict way, which reads it or says what is wrong.
    """
    projects: dict[str, ProjectId] = {}
    statuses: dict[str, StatusId] = {}
    types: dict[str, TypeId] = {}

    def quick(element: Any) -> Listed | None:
        try:
            id_, links = element["id"], element["_links"]
            status, type_ = links.get("status"), links.get("type")
            if type(id_) is not int:
                return None
            return Listed(
                WorkPackageId(id_),
                projects[links["project"]["href"]],
                None if status is None else statuses[status["href"]],
                None if type_ is None else types[type_["href"]],
            )
        except (AttributeError, KeyError, TypeError):
            return None

    def strict(element: object) -> Listed:
        links = _mapping(element, "_links")
        project, status, type_ = (_href(links, key) for key in ("project", "status", "type"))
        ticket = Listed(
            WorkPackageId(_get(element, "id", int)),
            ProjectId(_number(project, "project")),
            None if status is None else StatusId(_number(status, "status")),
            None if type_ is None else TypeId(_number(type_, "type")),
        )
        projects[project or ""] = ticket.project
        if status is not None and ticket.status is not None:
            statuses[status] = ticket.status
        if type_ is not None and ticket.type is not None:
            types[type_] = ticket.type
        return ticket

    return [quick(element) or strict(element) for element in elements(hal)]


def listed_ids(hal: object) -> list[WorkPackageId]:
    """The elements of a ``select`` answer that asked for the id alone."""
    return [WorkPackageId(_get(element, "id", int)) for element in elements(hal)]


def ticket(hal: object, at: Sequence[datetime] = ()) -> Ticket:
    """A full work package; with its status at each of the past instants that were asked for (contract A.4)."""
    links = _mapping(hal, "_links")
    id_ = _get(hal, "id", int)
    status = StatusId(_number(_href(links, "status"), "status"))
    display_id = hal.get("displayId") if isinstance(hal, dict) else None
    schema = _href(links, "schema")
    if schema is None:
        raise Malformed("link 'schema' holds no address")
    return Ticket(
        id=WorkPackageId(id_),
        display_id=display_id if isinstance(display_id, str) else str(id_),
        project=ProjectId(_number(_href(links, "project"), "project")),
        type=TypeId(_number(_href(links, "type"), "type")),
        status=status,
        lock_version=_get(hal, "lockVersion", int),
        subject=_get(hal, "subject", str),
        author=_user(links, "author"),
        assignee=_user(links, "assignee"),
        created_at=_time(hal, "createdAt"),
        updated_at=_time(hal, "updatedAt"),
        schema=schema.rpartition("/")[2],
        fields=_custom_fields(hal, links),
        status_at=_past(hal, status, at) if at else {},
    )


CUSTOM_FIELD = "customField"


def _custom_fields(hal: object, links: Mapping[str, object]) -> dict[str, str]:
    """Values as a person reads them: those of lists and people are links with titles, the others stand in the body."""
    body = hal if isinstance(hal, dict) else {}
    values = [(key, value) for key, value in (*body.items(), *links.items()) if key.startswith(CUSTOM_FIELD)]
    return {key: ", ".join(_texts(value)) for key, value in values}


def _texts(value: object) -> Iterator[str]:
    match value:
        case None | "":
            return
        case list():
            for one in value:
                yield from _texts(one)
        case {"raw": text} | {"title": text}:
            yield from _texts(text)
        case dict():
            return
        case _:
            yield str(value)


def _past(hal: object, status: StatusId, at: Sequence[datetime]) -> dict[datetime, StatusId | None]:
    """Past statuses: only what differs from now is told, and nothing where the ticket was not there yet."""
    told: dict[str, StatusId | None] = {}
    for past in _get(_mapping(hal, "_embedded"), "attributesByTimestamp", list):
        meta = _mapping(past, "_meta")
        if _get(meta, "timestamp", str) == NOW:
            continue
        then = instant(_time(meta, "timestamp"))
        if not _get(meta, "exists", bool):
            told[then] = None
            continue
        href = _href(_mapping(past, "_links"), "status")
        told[then] = status if href is None else StatusId(_number(href, "status"))
    if any(instant(time) not in told for time in at):
        raise Malformed("'attributesByTimestamp' leaves out an instant that was asked for")
    return {time: told[instant(time)] for time in at}


NOW = "PT0S"
"""The present, as ``timestamps`` spells it; it must come last for the top level to be the present (contract §5)."""


def instant(time: datetime) -> str:
    """A time as the API prints and reads it: UTC, truncated to milliseconds (contract §2.3)."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- Everything else ------------------------------------------------------------------------------------------------


def status(hal: object) -> Status:
    """One element of ``/api/v3/statuses``."""
    return Status(
        id=StatusId(_get(hal, "id", int)),
        name=_get(hal, "name", str),
        is_closed=_get(hal, "isClosed", bool),
        is_default=_get(hal, "isDefault", bool),
    )


def type_name(hal: object) -> tuple[TypeId, str]:
    """One element of ``/api/v3/types``."""
    return TypeId(_get(hal, "id", int)), _get(hal, "name", str)


def project(hal: object) -> Project:
    """One element of ``/api/v3/projects``."""
    return Project(
        id=ProjectId(_get(hal, "id", int)),
        identifier=_get(hal, "identifier", str),
        name=_get(hal, "name", str),
        active=_get(hal, "active", bool),
    )


def person(hal: object) -> Person:
    """A user's own record, or somebody else's."""
    language = hal.get("language") if isinstance(hal, dict) else None
    return Person(
        id=UserId(_get(hal, "id", int)),
        name=_get(hal, "name", str),
        language=language if isinstance(language, str) else "",
    )


def root_user(hal: object) -> UserId | None:
    """Who the server takes the caller for. None for the anonymous user (contract §1.5)."""
    _get(hal, "_type", str)
    return _user(_mapping(hal, "_links"), "user")


def row_id(hal: object) -> int:
    """The id of an element, of whatever kind."""
    return _get(hal, "id", int)


def membership(hal: object) -> Membership | None:
    """One element of ``/api/v3/memberships``. None for groups, placeholders and global roles, which judge nobody."""
    links = _mapping(hal, "_links")
    user, project_href = _user(links, "principal"), _href(links, "project")
    if user is None or project_href is None:
        return None
    return Membership(
        project=ProjectId(_number(project_href, "project")),
        user=user,
        user_name=_get(_mapping(links, "principal"), "title", str),
        roles=tuple(sorted(_get(role, "title", str) for role in _get(links, "roles", list))),
        created_at=_time(hal, "createdAt"),
        updated_at=_time(hal, "updatedAt"),
    )


def allowed_statuses(hal: object) -> frozenset[StatusId]:
    """The statuses that a form offers to whoever asked (contract §6.5)."""
    offered = _mapping(_mapping(_mapping(_mapping(hal, "_embedded"), "schema"), "status"), "_links")
    links = _get(offered, "allowedValues", list)
    return frozenset(StatusId(_number(_get(link, "href", str), "allowedValues")) for link in links)


def field_choices(hal: object) -> dict[str, frozenset[str]]:
    """The values that a form offers for each custom field that is a list, by label (contract §6.5)."""
    schema = _mapping(_mapping(hal, "_embedded"), "schema")
    fields = [_mapping(schema, key) for key in schema if key.startswith(CUSTOM_FIELD)]
    return {
        _get(field, "name", str): frozenset(
            _get(link, "title", str) for link in _get(_mapping(field, "_links"), "allowedValues", list)
        )
        for field in fields
        if field.get("type") == "CustomOption"
    }


def custom_field_labels(hal: object) -> dict[str, str]:
    """The labels of the custom fields in a work package schema, by key."""
    if _get(hal, "_type", str) != "Schema" or not isinstance(hal, dict):
        raise Malformed("'_type' is not a schema's")
    return {key: _get(field, "name", str) for key, field in hal.items() if key.startswith(CUSTOM_FIELD)}


def error(hal: object) -> ApiError:
    """An error body; of several, the first with everybody's message (contract §6.4). Never raises."""
    if not isinstance(hal, dict):
        return ApiError("", "", "")
    embedded = hal.get("_embedded")
    embedded = embedded if isinstance(embedded, dict) else {}
    several = embedded.get("errors")
    if isinstance(several, list) and several:
        each = [error(one) for one in several]
        return ApiError(each[0].identifier, each[0].attribute, " ".join(one.message for one in each))
    details = embedded.get("details")
    attribute = details.get("attribute") if isinstance(details, dict) else None
    identifier, message = hal.get("errorIdentifier"), hal.get("message")
    return ApiError(
        identifier=identifier.rpartition(":")[2] if isinstance(identifier, str) else "",
        attribute=attribute if isinstance(attribute, str) else "",
        message=message if isinstance(message, str) else "",
    )

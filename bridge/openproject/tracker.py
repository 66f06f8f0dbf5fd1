"""The verbs that the bridge needs of OpenProject, in typed values. Finding is by ``select``, never by pages of full
tickets (contract A.1). It judges nothing, and it never writes on its own account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import orjson

from bridge.domain.model import (
    Activity,
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
from bridge.errors import ConfigError, RetryLater, SkipItem, Stop
from bridge.openproject import activity_text, resources
from bridge.openproject.client import Answer, Client, Misconfigured, Unavailable
from bridge.openproject.resources import Project

T = TypeVar("T")
K = TypeVar("K")

SELECT_PAGE = 10_000
"""Rows of one ``select`` page. The server does not cap it (contract A.1); this bounds our memory to some 30 MiB."""

FULL_PAGE = 1_000
"""Rows of one page of anything else: the server's own cap (contract §2.1). A smaller cap is taken from its answer."""

READINGS = 3
"""How often a list that changed between its pages is read again before it is left to the next cycle."""

PROBE_INTO_PAST = timedelta(minutes=1)
"""How far back the probe for past values asks: well within the day that every edition tells (contract A.4)."""


@dataclass(frozen=True, slots=True)
class ActivityReading:
    """One activity, typed, and as it is stored."""

    activity: Activity
    received: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Server:
    """What this OpenProject is and can do. Its settings change without notice: probe again now and then (§15.21)."""

    user: UserId
    """The bridge's own account."""
    user_name: str
    language: str
    """Of that account: the language of every activity it reads. Empty when it has none of its own."""
    select_status: bool
    """``select`` knows the status (17, not 15.4; contract A.1)."""
    select_type: bool
    timestamps: bool
    """Past values by id are told (17, not 15.4; contract A.4). False as well while there is no ticket to try it on."""
    statuses: tuple[Status, ...]
    projects: tuple[Project, ...]
    types: Mapping[TypeId, str]
    clock: datetime | None
    """The server's clock at the probe, to the second; None when it does not tell."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Tickets as one ``select`` found them, by id."""

    tickets: tuple[Listed, ...]
    server_time: datetime
    """When the first answer was given, by the server's clock: what changed later is in the next window."""
    server_time_known: bool
    """False when the server tells no ``Date``: then ``server_time`` is the local clock before the request."""


@dataclass(frozen=True, slots=True)
class Missing:
    """404: deleted, moved out of sight or archived, and nobody can tell which (contract §2.7)."""


@dataclass(frozen=True, slots=True)
class Written:
    """The status is set; the ticket as it stands after."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Conflict:
    """The ticket has changed since it was read (contract §6.2). Nothing was written: look again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """OpenProject does not let the bridge do it, until somebody changes something there (contract §6.3)."""

    identifier: str
    """The error's name without its prefix: ``PropertyConstraintViolation``, ``MissingPermission`` …"""
    attribute: str
    message: str
    """In the account's language."""


@dataclass(frozen=True, slots=True)
class MembershipReading:
    """Who has which roles where, as far as the bridge may see."""

    rows: tuple[Membership, ...]
    readable: frozenset[ProjectId]
    """Projects in which the bridge's own row is present: only there does a missing row mean "not a member" (§8.2)."""


class Tracker:
    """One OpenProject through one client. Two threads may read through it at once.

    Every method raises RetryLater when the server does not answer, or not wholly, and Stop when it refuses the token.
    Methods about one ticket raise SkipItem when that ticket's answer cannot be understood.
    """

    def __init__(self, client: Client, *, select_page: int = SELECT_PAGE) -> None:
        self._client = client
        self._select_page = select_page
        self._server: Server | None = None
        self._labels: dict[str, Mapping[str, str]] = {}

    # --- Getting to know --------------------------------------------------------------------------------------------

    def probe(self) -> Server:
        """Who we are there, and what this version can do.

        Raises ConfigError for what the operator must put right. That is all that looks wrong the first time; once it
        has worked, a refused token is a Stop and a strange answer a RetryLater, as everywhere.
        """
        try:
            self._server = self._probed()
        except (Stop, Misconfigured) as error:
            if self._server is None:
                raise ConfigError(str(error)) from error
            raise
        self._labels.clear()
        return self._server

    @property
    def server(self) -> Server:
        """The last probe's findings; probes when there was none."""
        return self._server or self.probe()

    def _probed(self) -> Server:
        root = self._client.get("")
        if root.status == 404:
            raise Misconfigured("No OpenProject API at this address (404): give the address of its start page")
        with _reading("the API's root"):
            user = resources.root_user(_granted(root, "the API's root"))
        if user is None:
            raise ConfigError(
                "OpenProject takes the bridge for an anonymous visitor, so the token did not count: "
                "check that API tokens (Basic) are enabled there, or that the OAuth application has a user"
            )
        with _reading("the bridge's own account"):
            me = resources.person(_granted(self._client.get("/users/me"), "the bridge's own account"))
        if me.id != user:
            raise Misconfigured("The server gives two answers to who the bridge is: does a proxy answer in its place?")
        if me.language and me.language not in activity_text.LANGUAGES:
            raise ConfigError(
                f"The bridge's account reads OpenProject in {me.language!r}, and activities can be read in "
                f"{' and '.join(sorted(activity_text.LANGUAGES))} only: change the account's language"
            )
        select_status, select_type, some_ticket = self._probed_select()
        return Server(
            user=user,
            user_name=me.name,
            language=me.language,
            select_status=select_status,
            select_type=select_type,
            timestamps=some_ticket is not None
            and self._probed_timestamps(some_ticket, root.date or self._client.now()),
            statuses=self.statuses(),
            projects=self.projects(),
            types=dict(self._whole("/types", resources.type_name)),
            clock=root.date,
        )

    def _probed_select(self) -> tuple[bool, bool, WorkPackageId | None]:
        """Which fields ``select`` knows, and some ticket. An unknown field is a 400 for the whole request (A.1)."""
        for fields in (("status", "type"), ("status",), ("type",), ()):
            answer = self._client.get("/work_packages", {**_select(_ALL, ("id", "project", *fields)), **_page(1, 1)})
            if answer.status == 400 and answer.error.identifier == "InvalidSignal":
                continue
            with _reading("the list of tickets"):
                first = resources.listed_ids(_granted(answer, "the list of tickets"))
            return "status" in fields, "type" in fields, first[0] if first else None
        raise ConfigError("This OpenProject is older than 15.4: its lists do not know `select`")

    def _probed_timestamps(self, work_package: WorkPackageId, now: datetime) -> bool:
        past = now - PROBE_INTO_PAST
        try:
            answer = self._client.get(f"/work_packages/{work_package}", _at([past]), repeat=False)
        except Unavailable as error:
            # 15.4 answers 500 each time (contract A.4); it is not down, it cannot do it.
            if error.status == 500:
                return False
            raise
        if not answer.ok:
            return False
        try:
            resources.ticket(answer.body, [past])
        except resources.Malformed:
            return False
        return True

    def statuses(self) -> tuple[Status, ...]:
        """Every status, in their order."""
        return tuple(self._whole("/statuses", resources.status))

    def projects(self) -> tuple[Project, ...]:
        """Every project that the bridge can see. An archived one is not among them for ordinary accounts (A.7)."""
        found, _ = self._paged("/projects", {}, FULL_PAGE, _each(resources.project), lambda project: project.id)
        return tuple(found.values())

    # --- Finding ----------------------------------------------------------------------------------------------------

    def changed_since(self, since: datetime) -> Listing:
        """Tickets of any status that the server has touched at or after ``since`` (by its clock), comments included.

        The upper end is open: an instant as printed would leave out the rows of that very millisecond (contract A.2).
        """
        window = {"updatedAt": {"operator": "<>d", "values": [resources.instant(since), ""]}}
        return self._listing([*_ALL, window])

    def status_snapshot(self) -> Listing:
        """Every visible ticket, with its status.

        Where ``select`` does not know the status, one request a status finds it (contract A.1). A ticket that moved
        meanwhile, and so was in two of these lists or in none, is listed without.
        """
        listing = self._listing(_ALL)
        if self.server.select_status or not listing.tickets:
            return listing
        found: dict[WorkPackageId, StatusId | None] = {}
        for status in self.statuses():
            only = [{"status": {"operator": "=", "values": [str(status.id)]}}]
            for id_ in self._selected(only, ("id",), resources.listed_ids, lambda id_: id_)[0]:
                found[id_] = None if id_ in found else status.id
        return Listing(
            tuple(Listed(one.id, one.project, found.get(one.id), one.type) for one in listing.tickets),
            listing.server_time,
            listing.server_time_known,
        )

    def _listing(self, filters: Sequence[object]) -> Listing:
        known = {"status": self.server.select_status, "type": self.server.select_type}
        fields = ("id", "project", *(field for field, is_known in known.items() if is_known))
        before = self._client.now()
        tickets, date = self._selected(filters, fields, resources.listing, lambda ticket: ticket.id)
        return Listing(tuple(tickets.values()), date or before, date is not None)

    def _selected(
        self,
        filters: Sequence[object],
        fields: Sequence[str],
        read: Callable[[object], Sequence[T]],
        key: Callable[[T], K],
    ) -> tuple[dict[K, T], datetime | None]:
        return self._paged("/work_packages", _select(filters, fields), self._select_page, read, key)

    def _paged(
        self,
        path: str,
        params: Mapping[str, str],
        rows: int,
        read: Callable[[object], Sequence[T]],
        key: Callable[[T], K],
    ) -> tuple[dict[K, T], datetime | None]:
        """All pages of a list, with the server's time of the first. Read again when rows moved between two pages.

        Pages are by offset, so a row that vanishes moves all after it, and one would slip between two pages (§2.1).
        Page n therefore asks for n - 1 rows less than the first did: it then begins n - 1 rows before the page before
        it ended. Where that page's last row is not seen again, something moved.
        """
        for _ in range(READINGS):
            found = self._read_pages(path, params, rows, read, key)
            if found is not None:
                return found
        raise RetryLater(f"The list {path} keeps changing while it is read, {READINGS} times now")

    def _read_pages(
        self,
        path: str,
        params: Mapping[str, str],
        rows: int,
        read: Callable[[object], Sequence[T]],
        key: Callable[[T], K],
    ) -> tuple[dict[K, T], datetime | None] | None:
        found: dict[K, T] = {}
        date: datetime | None = None
        last: K | None = None
        page = 1
        while True:
            size = rows - page + 1
            answer = self._client.get(path, {**params, **_page(size, page)})
            with _reading(f"the list {path}"):
                body = _granted(answer, f"the list {path}")
                total = resources.total(body)
                elements = read(body)
                if page == 1:
                    rows, date = resources.page_size(body, rows), answer.date
                    size = rows
            keys = [key(element) for element in elements]
            if page > 1 and last not in keys:
                return None
            found.update(zip(keys, elements, strict=True))
            # Not by what was found: some of that may have gone again, and the total with it.
            if (page - 1) * size + len(elements) >= total:
                return found, date
            if len(elements) < size or page >= rows:
                # The server says there are more, and this page is not full.
                return None
            last = keys[-1]
            page += 1

    def _whole(self, path: str, read: Callable[[object], T]) -> list[T]:
        """A list that the server never pages."""
        with _reading(f"the list {path}"):
            body = _granted(self._client.get(path), f"the list {path}")
            found = [read(one) for one in resources.elements(body)]
            if len(found) != resources.total(body):
                raise resources.Malformed("'total' is not the number of elements")
            return found

    # --- One ticket -------------------------------------------------------------------------------------------------

    def activities(self, work_package: WorkPackageId) -> tuple[ActivityReading, ...] | Missing:
        """Every activity of the ticket, oldest first: the server never pages them (contract A.3)."""
        answer = self._client.get(f"/work_packages/{work_package}/activities")
        if answer.status == 404:
            return Missing()
        with _of(work_package):
            body = _granted(answer, "its activities", SkipItem)
            found = tuple(_activity_reading(one) for one in resources.elements(body))
            if len(found) != resources.total(body):
                raise resources.Malformed("'total' is not the number of activities")
            _same_ticket(work_package, (one.activity.work_package for one in found))
        return found

    def ticket(self, work_package: WorkPackageId, at: Sequence[datetime] = ()) -> Ticket | Missing:
        """The ticket as it stands; with its status at past instants, where the server can tell (``Server.timestamps``).

        The server drops the fraction of a second from each instant before it looks (recording 17): what happened later
        in that second is not seen. None may be before yesterday (contract §5).
        """
        answer = self._client.get(f"/work_packages/{work_package}", _at(at) if at else None)
        if answer.status == 404:
            return Missing()
        with _of(work_package):
            ticket = resources.ticket(_granted(answer, "it", SkipItem), at)
            _same_ticket(work_package, [ticket.id])
        return ticket

    def put_status(
        self, work_package: WorkPackageId, lock_version: int, status: StatusId, *, notify: bool = True
    ) -> Written | Conflict | Refused | Missing:
        """Set the status, if nothing but comments has happened to the ticket since ``lock_version`` was read.

        Sent once. After RetryLater it may or may not have happened: only the ticket's activities tell.
        """
        body = {"lockVersion": lock_version, "_links": {"status": {"href": f"/api/v3/statuses/{status}"}}}
        answer = self._client.write("PATCH", f"/work_packages/{work_package}", body, _notifying(notify))
        match answer.status:
            case 404:
                return Missing()
            case 409:
                return Conflict()
            case code if 400 <= code < 500:
                return _refused(answer)
        with _reading(f"ticket {work_package} after setting its status"):
            ticket = resources.ticket(answer.body)
            _same_ticket(work_package, [ticket.id])
            if ticket.status != status:
                raise resources.Malformed("the status is not the one that was set")
        return Written(ticket)

    def settable(self, ticket: Ticket) -> frozenset[StatusId] | Missing | Refused:
        """The statuses that the bridge's account may set from where the ticket stands, by its form (contract §6.5).

        A form validates and saves nothing. Refused when the account may not change the ticket at all.
        """
        return self._form(ticket, resources.allowed_statuses)

    def choices(self, ticket: Ticket) -> Mapping[str, frozenset[str]] | Missing | Refused:
        """What may be chosen for each custom field of this ticket that is a list, by label; by its form."""
        return self._form(ticket, resources.field_choices)

    def _form(self, ticket: Ticket, read: Callable[[object], T]) -> T | Missing | Refused:
        answer = self._client.write("POST", f"/work_packages/{ticket.id}/form", {"lockVersion": ticket.lock_version})
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            return _refused(answer)
        with _of(ticket.id):
            return read(answer.body)

    def comment(
        self, work_package: WorkPackageId, text: str, *, notify: bool = True
    ) -> ActivityReading | Refused | Missing:
        """Add a comment. The activity may be one with a change of the bridge's own from just before (contract §6.6).

        Sent once. After RetryLater it may or may not have happened. Missing as well when the bridge may not comment:
        the server says 404 to that (contract §7).
        """
        path = f"/work_packages/{work_package}/activities"
        answer = self._client.write("POST", path, {"comment": {"raw": text}}, _notifying(notify))
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            return _refused(answer)
        with _reading(f"the new comment on ticket {work_package}"):
            reading = _activity_reading(answer.body)
            _same_ticket(work_package, [reading.activity.work_package])
        return reading

    # --- People -----------------------------------------------------------------------------------------------------

    def memberships(self) -> MembershipReading:
        """Every person's roles in every project that the bridge can see, those through groups included (§8.2)."""
        own = self.server.user
        found, _ = self._paged("/memberships", {}, FULL_PAGE, _each(_membership_row), lambda row: row[0])
        rows = tuple(row for _, row in found.values() if row is not None)
        return MembershipReading(rows, frozenset(row.project for row in rows if row.user == own))

    def user_name(self, user: UserId) -> str | None:
        """A person's name; None when the bridge may not see them: no common project, built-in or deleted (A.7)."""
        answer = self._client.get(f"/users/{user}")
        if answer.status in (403, 404):
            return None
        with _reading(f"user {user}"):
            person = resources.person(_granted(answer, f"user {user}"))
            if person.id != user:
                raise resources.Malformed("'id' is another user's")
        return person.name

    def field_labels(self, schema: str) -> Mapping[str, str]:
        """The labels of the custom fields in that schema, by key. Asked for once between two probes."""
        labels = self._labels.get(schema)
        if labels is None:
            answer = self._client.get(f"/work_packages/schemas/{schema}")
            with _reading(f"schema {schema}"):
                labels = resources.custom_field_labels(_granted(answer, f"schema {schema}", SkipItem))
            self._labels[schema] = labels
        return labels

    def status_like_fields(self, schema: str) -> tuple[str, ...]:
        """Names of custom fields in that schema whose lines cannot be told from the status' (contract A.3)."""
        return tuple(name for name in self.field_labels(schema).values() if activity_text.is_status_label(name))


_ALL: Sequence[object] = ({"status": {"operator": "*", "values": []}},)
"""Without a filter the server lists open tickets only (contract §2.2)."""


def _select(filters: Sequence[object], fields: Sequence[str]) -> Mapping[str, str]:
    """Parameters of a list by ``select``, the oldest ticket first: new ones come at its end."""
    return {
        "filters": orjson.dumps(filters).decode(),
        "sortBy": '[["id","asc"]]',
        "select": ",".join(["total", "count", "pageSize", *(f"elements/{field}" for field in fields)]),
    }


def _page(rows: int, page: int) -> Mapping[str, str]:
    """Both must be positive: with ``select`` anything else is 500 (contract A.1)."""
    return {"pageSize": str(rows), "offset": str(page)}


def _at(past: Sequence[datetime]) -> Mapping[str, str]:
    return {"timestamps": ",".join([*sorted({resources.instant(time) for time in past}), resources.NOW])}


def _notifying(notify: bool) -> Mapping[str, str] | None:
    # Only as a query parameter, and only this word, has an effect (contract §6.8).
    return None if notify else {"notify": "false"}


def _activity_reading(hal: object) -> ActivityReading:
    received = resources.trim_activity(hal)
    return ActivityReading(resources.activity(received), received)


def _each(read: Callable[[object], T]) -> Callable[[object], Sequence[T]]:
    return lambda body: [read(element) for element in resources.elements(body)]


def _membership_row(hal: object) -> tuple[int, Membership | None]:
    return resources.row_id(hal), resources.membership(hal)


def _refused(answer: Answer) -> Refused:
    error = answer.error
    return Refused(error.identifier or str(answer.status), error.attribute, error.message)


def _granted(answer: Answer, what: str, otherwise: type[RetryLater | SkipItem] = RetryLater) -> object:
    """The body of a request that was granted."""
    if answer.ok:
        return answer.body
    error = answer.error
    told = f"{answer.status} {error.identifier}"
    if answer.status == 403 and otherwise is RetryLater:
        raise Misconfigured(f"The bridge's account may not read {what} ({told}): give its role the permission there")
    raise otherwise(f"OpenProject does not show {what} ({told}: {error.message})")


def _same_ticket(asked: WorkPackageId, told: Iterable[WorkPackageId]) -> None:
    """A proxy that mixes up answers must not make one ticket's history another's."""
    if any(id_ != asked for id_ in told):
        raise resources.Malformed("the answer is about another ticket")


@contextmanager
def _of(work_package: WorkPackageId) -> Iterator[None]:
    """What cannot be understood of a ticket's answer is about that ticket alone."""
    try:
        yield
    except SkipItem as error:
        raise SkipItem(f"Ticket {work_package}: {error}") from error


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """What cannot be understood of everything else is as good as no answer."""
    try:
        yield
    except resources.Malformed as error:
        raise RetryLater(f"The answer about {what} cannot be understood: {error}") from error

"""The endpoints about what is around tickets: the instance, statuses, types, projects, memberships, people."""

from __future__ import annotations

import re

from bridge.simulator import represent
from bridge.simulator.call import Answer, Call, Table, paged
from bridge.simulator.nouns import Person, forbidden, not_found
from bridge.simulator.represent import Json
from bridge.simulator.tickets import simple_filters, visible_project


def table(places: str) -> Table:
    """The endpoints; ``places`` is the pattern of what projects are called in paths."""
    number = r"(?P<id>\d+)"
    yield "GET", "", _root
    yield "GET", "/configuration", _configuration
    yield "GET", "/users/me", _me
    yield "GET", "/users", _users
    yield "GET", f"/users/{number}", _user
    yield "PATCH", f"/users/{number}", _set_user
    yield "DELETE", f"/users/{number}", _delete_user
    yield "POST", f"/users/{number}/lock", _lock_user
    yield "DELETE", f"/users/{number}/lock", _unlock_user
    yield "GET", "/statuses", _statuses
    yield "GET", f"/statuses/{number}", _status
    yield "GET", "/types", _types
    yield "GET", "/roles", _roles
    yield "GET", f"/roles/{number}", _role
    yield "GET", "/priorities", _priorities
    yield "GET", f"/{places}", _projects
    yield "GET", f"/{places}/(?P<id>[^/]+)", _project
    yield "PATCH", f"/{places}/(?P<id>[^/]+)", _set_project
    yield "GET", "/memberships", _memberships
    yield "GET", "/principals", _principals
    yield "GET", f"/groups/{number}", _group
    yield "GET", "/my_preferences", _preferences
    yield "GET", "/work_packages/schemas", _schemas
    yield "GET", r"/work_packages/schemas/(?P<project>\d+)-(?P<type>\d+)", _schema


# --- The instance ---------------------------------------------------------------------------------------------------


def _root(call: Call) -> Answer:
    return Answer.of(represent.root(call.reader))


def _configuration(call: Call) -> Answer:
    return Answer.of(represent.configuration(call.instance))


def _preferences(_call: Call) -> Answer:
    to = "/api/v3/users/me/preferences"
    return Answer.plain(301, f"This resource has been moved permanently to {to}.", location=to)


def _statuses(call: Call) -> Answer:
    if not call.instance.projects_where(call.reader, "view_work_packages"):
        raise forbidden()
    known = sorted(call.instance.statuses.values(), key=lambda status: status.position)
    return Answer.of(represent.collection("statuses", [represent.status(status) for status in known]))


def _status(call: Call) -> Answer:
    if call.id not in call.instance.statuses:
        raise not_found()
    return Answer.of(represent.status(call.instance.statuses[call.id]))


def _types(call: Call) -> Answer:
    return Answer.of(represent.collection("types", [represent.type_(kind) for kind in call.instance.types.values()]))


def _roles(call: Call) -> Answer:
    known = sorted(call.instance.roles.values(), key=lambda role: -role.id)
    return Answer.of(represent.collection("roles", [represent.role(role) for role in known]))


def _role(call: Call) -> Answer:
    if call.id not in call.instance.roles:
        raise not_found()
    return Answer.of(represent.role(call.instance.roles[call.id]))


def _priorities(_call: Call) -> Answer:
    return Answer.of(represent.collection("priorities", [represent.priority()]))


def _schema(call: Call) -> Answer:
    project, kind = visible_project(call, call.ids["project"]), int(call.ids["type"])
    if kind not in call.instance.types:
        raise not_found()
    return Answer.of(represent.schema(call.instance, project.id, kind, call.lang))


def _schemas(call: Call) -> Answer:
    wanted = [value for _, values in simple_filters(call, "id") for value in values]
    pairs = [match.groups() for value in wanted if (match := re.fullmatch(r"(\d+)-(\d+)", value))]
    schemas = [represent.schema(call.instance, int(project), int(kind), call.lang) for project, kind in pairs]
    return Answer.of(represent.collection("work_packages/schemas", schemas))


# --- Projects and memberships ---------------------------------------------------------------------------------------


def _projects(call: Call) -> Answer:
    instance = call.instance
    seen = [known for known in instance.projects.values() if instance.sees_project(call.reader, known.id)]
    seen.sort(key=lambda known: -known.id)
    return paged(call, "projects", [represent.project(instance, known) for known in seen])


def _project(call: Call) -> Answer:
    return Answer.of(represent.project(call.instance, visible_project(call, call.ids["id"])))


def _set_project(call: Call) -> Answer:
    which = call.ids["id"]
    if not call.reader.admin:
        visible_project(call, which)
        raise forbidden()
    known = call.instance.project(int(which) if which.isdigit() else which)
    active = call.request.json().get("active")
    if isinstance(active, bool):
        call.instance.set_archived(known.id, not active)
    return Answer.of(represent.project(call.instance, known))


def _memberships(call: Call) -> Answer:
    instance = call.instance
    readable = instance.projects_where(call.reader, "view_members", "manage_members")
    rows = [row for row in instance.memberships.values() if row.project in readable]
    for name, values in simple_filters(call, "project", "principal"):
        wanted = {int(value) for value in values if value.isdigit()}
        rows = [row for row in rows if (row.project if name == "project" else row.principal) in wanted]
    rows.sort(key=lambda row: -row.id)
    return paged(call, "memberships", [represent.membership(instance, row) for row in rows])


# --- People ---------------------------------------------------------------------------------------------------------


def _me(call: Call) -> Answer:
    return Answer.of(represent.person(call.reader, call.reader))


def _users(call: Call) -> Answer:
    if not call.reader.admin:
        raise forbidden()
    people = [known for known in call.instance.people.values() if not known.builtin and known.status != "deleted"]
    people.sort(key=lambda known: -known.id)
    return paged(call, "users", [represent.person(call.reader, known) for known in people])


def _user(call: Call) -> Answer:
    known = call.instance.people.get(call.id)
    if known is None or not call.instance.sees_person(call.reader, known):
        raise not_found()
    return Answer.of(represent.person(call.reader, known))


def _set_user(call: Call) -> Answer:
    known, status = _administered(call), call.request.json().get("status")
    if status in ("active", "locked"):
        call.instance.lock_person(known.id, locked=status == "locked")
    return Answer.of(represent.person(call.reader, known))


def _lock_user(call: Call) -> Answer:
    return Answer.of(represent.person(call.reader, call.instance.lock_person(_administered(call).id)))


def _unlock_user(call: Call) -> Answer:
    return Answer.of(represent.person(call.reader, call.instance.lock_person(_administered(call).id, locked=False)))


def _delete_user(_call: Call) -> Answer:
    raise forbidden()  # the setting that lets administrators delete people is off by default (recording 19)


def _administered(call: Call) -> Person:
    if not call.reader.admin:
        raise forbidden()
    known = call.instance.people.get(call.id)
    if known is None or known.status == "deleted":
        raise not_found()
    return known


def _principals(call: Call) -> Answer:
    instance = call.instance
    shown: list[tuple[int, Json]] = [(known.id, represent.group(known)) for known in instance.groups.values()]
    shown += [
        (known.id, represent.person(call.reader, known))
        for known in instance.people.values()
        if not known.builtin and instance.sees_person(call.reader, known)
    ]
    shown.sort(key=lambda pair: -pair[0])
    return paged(call, "principals", [body for _, body in shown])


def _group(call: Call) -> Answer:
    known = call.instance.groups.get(call.id)
    if known is None or not call.instance.projects_where(call.reader, "view_members", "manage_members"):
        raise not_found()
    return Answer.of(represent.group(known))

"""HAL+JSON of everything a simulated OpenProject shows, as far as the bridge (or a person at a prompt) reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from bridge.simulator import texts
from bridge.simulator.clock import printed
from bridge.simulator.instance import Instance
from bridge.simulator.journal import Journal, State
from bridge.simulator.nouns import Group, Membership, Person, Project, Refusal, Role, Status, Ticket, Type

Json = dict[str, object]
PRIORITY = (8, "Normal")
"""The one priority that every ticket has; priorities are not modelled."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_EMPHASIS = re.compile(r"(?<!\w)_(.+?)_(?!\w)")


def link(path: str, id: int | None, title: str | None = None) -> Json:
    """``{"href": "/api/v3/<path>/<id>", "title": …}``; a missing resource is ``{"href": null}``."""
    if id is None:
        return {"href": None}
    href: Json = {"href": f"/api/v3/{path}/{id}"}
    if title is not None:
        href["title"] = title
    return href


def collection(path: str, elements: Sequence[Json], **more: object) -> Json:
    """A list that is never paged."""
    return {
        "_type": "Collection",
        "total": len(elements),
        "count": len(elements),
        **more,
        "_embedded": {"elements": elements},
        "_links": {"self": {"href": f"/api/v3/{path}"}},
    }


def formattable(raw: str) -> Json:
    """A Markdown text with its rendering: paragraphs, bold, emphasis; comments and scripts do not show (A.6)."""
    if not raw:
        return {"format": "markdown", "raw": "", "html": ""}
    bare = _SCRIPT.sub("", raw)
    shown = [block for block in _COMMENT.sub("", bare).split("\n\n") if block.strip()]
    tail = "\n" if _COMMENT.search(raw) and shown else ""
    html = "\n".join(f'<p class="op-uc-p">{_inline(block.strip())}</p>' for block in shown) + tail
    return {"format": "markdown", "raw": raw, "html": html}


def _inline(block: str) -> str:
    text = re.sub(r"&(?!\w+;)", "&amp;", block)
    return _EMPHASIS.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", text))


# --- Master data ----------------------------------------------------------------------------------------------------


def status(known: Status) -> Json:
    """``GET /statuses/:id``."""
    return {
        "_type": "Status",
        "id": known.id,
        "name": known.name,
        "isClosed": known.closed,
        "color": "#175A8E",
        "isDefault": known.default,
        "isReadonly": False,
        "excludedFromTotals": False,
        "defaultDoneRatio": 0,
        "position": known.position,
        "_links": {"self": link("statuses", known.id, known.name)},
    }


def type_(known: Type) -> Json:
    """``GET /types/:id``."""
    return {
        "_type": "Type",
        "id": known.id,
        "name": known.name,
        "color": "#175A8E",
        "position": known.position,
        "isDefault": True,
        "isMilestone": False,
        "_links": {"self": link("types", known.id, known.name)},
    }


def role(known: Role) -> Json:
    """``GET /roles/:id``: a name, never the permissions."""
    return {
        "_type": "Role",
        "id": known.id,
        "name": known.name,
        "_links": {"self": link("roles", known.id, known.name)},
    }


def priority() -> Json:
    """``GET /priorities/:id``."""
    id, name = PRIORITY
    return {
        "_type": "Priority",
        "id": id,
        "name": name,
        "position": 2,
        "isDefault": True,
        "isActive": True,
        "_links": {"self": link("priorities", id, name)},
    }


def project(instance: Instance, known: Project) -> Json:
    """``GET /projects/:id``."""
    parent = instance.projects[known.parent] if known.parent is not None else None
    return {
        "_type": "Project",
        "id": known.id,
        "identifier": known.identifier,
        "name": known.name,
        "active": known.active,
        "public": known.public,
        "description": formattable(""),
        "createdAt": printed(known.created_at),
        "updatedAt": printed(known.updated_at),
        "statusExplanation": formattable(""),
        "_links": {
            "self": link("projects", known.id, known.name),
            "workPackages": {"href": f"/api/v3/projects/{known.id}/work_packages"},
            "types": {"href": f"/api/v3/projects/{known.id}/types"},
            "ancestors": [link("projects", parent.id, parent.name)] if parent else [],
            "parent": link("projects", parent.id, parent.name) if parent else {"href": None},
        },
    }


def person(reader: Person, known: Person) -> Json:
    """``GET /users/:id``: a name for everybody, the rest for oneself and administrators (contract §8.1)."""
    shown: Json = {"_type": "User", "id": known.id, "name": known.name}
    if reader.admin or reader.id == known.id:
        first, _, last = known.name.partition(" ")
        shown |= {
            "createdAt": printed(known.created_at),
            "updatedAt": printed(known.updated_at),
            "login": known.login,
            "firstName": first,
            "lastName": last,
            "email": f"{known.login}@example.test",
            "status": known.status,
            "language": known.language,
        }
        if reader.admin:
            shown["admin"] = known.admin
    shown["_links"] = {"self": link("users", known.id, known.name)}
    return shown


def group(known: Group) -> Json:
    """``GET /groups/:id``, without its members."""
    return {
        "_type": "Group",
        "id": known.id,
        "name": known.name,
        "_links": {"self": link("groups", known.id, known.name)},
    }


def membership(instance: Instance, row: Membership) -> Json:
    """``GET /memberships/:id``."""
    if row.principal in instance.groups:
        kind, name = "groups", instance.groups[row.principal].name
    else:
        kind, name = "users", instance.people[row.principal].name
    return {
        "_type": "Membership",
        "id": row.id,
        "createdAt": printed(row.created_at),
        "updatedAt": printed(row.updated_at),
        "_links": {
            "self": link("memberships", row.id, name),
            "project": link("projects", row.project, instance.projects[row.project].name),
            "principal": link(kind, row.principal, name),
            "roles": [link("roles", id, instance.roles[id].name) for id in row.roles],
        },
    }


def root(reader: Person) -> Json:
    """``GET /api/v3``. It says loudly that this is no OpenProject."""
    return {
        "_type": "Root",
        "instanceName": "OpenProject SIMULATOR (not a real instance)",
        "_links": {
            "self": {"href": "/api/v3"},
            "configuration": {"href": "/api/v3/configuration"},
            "memberships": {"href": "/api/v3/memberships"},
            "statuses": {"href": "/api/v3/statuses"},
            "types": {"href": "/api/v3/types"},
            "user": link("users", reader.id, reader.name),
            "workPackages": {"href": "/api/v3/work_packages"},
        },
    }


def configuration(instance: Instance) -> Json:
    """``GET /configuration``."""
    shown: Json = {"_type": "Configuration", "maximumAttachmentFileSize": 5242880}
    if instance.version == "17.6":
        shown |= {"maximumAPIV3PageSize": 1000, "availableFeatures": [], "triallingFeatures": []}
    return shown | {
        "perPageOptions": [20, 100],
        "hostName": next(iter(sorted(instance.hosts)), "127.0.0.1"),
        "activeFeatureFlags": [],
        "_links": {"self": {"href": "/api/v3/configuration"}},
    }


def schema(instance: Instance, project_id: int, type_id: int, lang: str) -> Json:
    """``GET /work_packages/schemas/<project>-<type>``: what attributes are called, custom fields included."""
    names = ("subject", "description", "createdAt", "updatedAt", "author", "project", "assignee", "type", "status")
    shown: Json = {"_type": "Schema", "_dependencies": []}
    for name in names:
        shown[name] = {"type": name.capitalize(), "name": texts.label(name, lang), "writable": name not in ("author",)}
    for custom in instance.custom_fields.values():
        shown[f"customField{custom.id}"] = {"type": custom.format.capitalize(), "name": custom.name, "writable": True}
    shown["_links"] = {"self": {"href": f"/api/v3/work_packages/schemas/{project_id}-{type_id}"}}
    return shown


# --- Tickets --------------------------------------------------------------------------------------------------------


def ticket(
    instance: Instance,
    known: Ticket,
    reader: Person,
    *,
    embedded: bool,
    state: State | None = None,
    lock_version: int | None = None,
    more: Mapping[str, object] | None = None,
) -> Json:
    """A work package in full. ``state`` shows a past one; ``more`` is embedded with the rest."""
    state = state or known.state
    place, kind, standing = (
        instance.projects[state.project],
        instance.types[state.type],
        instance.statuses[state.status],
    )
    author = instance.people[known.author]
    shown: Json = {"derivedStartDate": None, "derivedDueDate": None}
    if embedded:
        shown["_embedded"] = {
            "type": type_(kind),
            "priority": priority(),
            "project": project(instance, place),
            "status": status(standing),
            "author": person(reader, author),
            "customActions": [],
            **(more or {}),
        }
    shown |= {"_type": "WorkPackage", "id": known.id}
    if instance.version == "17.6":
        shown["displayId"] = str(known.id)
    shown |= {
        "lockVersion": known.lock_version if lock_version is None else lock_version,
        "subject": state.subject,
        "description": formattable(state.description),
        "scheduleManually": instance.version == "17.6",
        "startDate": None,
        "dueDate": None,
        "estimatedTime": None,
        "duration": None,
        "ignoreNonWorkingDays": False,
        "percentageDone": None,
        "createdAt": printed(known.created_at),
        "updatedAt": printed(known.updated_at),
    }
    values = dict(state.custom)
    links: Json = {
        "self": link("work_packages", known.id, state.subject),
        "schema": {"href": f"/api/v3/work_packages/schemas/{place.id}-{kind.id}"},
        "activities": {"href": f"/api/v3/work_packages/{known.id}/activities"},
        "type": link("types", kind.id, kind.name),
        "priority": link("priorities", *PRIORITY),
        "status": link("statuses", standing.id, standing.name),
        "author": link("users", author.id, author.name),
        "responsible": {"href": None},
        "assignee": link("users", state.assignee, instance.people[state.assignee].name)
        if state.assignee is not None
        else {"href": None},
        "version": {"href": None},
        "ancestors": [],
        "project": link("projects", place.id, place.name),
        "parent": {"href": None},
        "customActions": [],
    }
    for custom in instance.custom_fields.values():
        if custom.format == "list":
            links[f"customField{custom.id}"] = {"href": None, "title": values.get(custom.id)}
        elif custom.format == "text":
            shown[f"customField{custom.id}"] = formattable(values.get(custom.id, ""))
        else:
            shown[f"customField{custom.id}"] = values.get(custom.id)
    if instance.may(reader, "edit_work_packages", place.id):
        links["update"] = {"href": f"/api/v3/work_packages/{known.id}/form", "method": "post"}
        links["updateImmediately"] = {"href": f"/api/v3/work_packages/{known.id}", "method": "patch"}
    if instance.may(reader, "add_work_package_comments", place.id):
        links["addComment"] = {"href": f"/api/v3/work_packages/{known.id}/activities", "method": "post"}
    shown["_links"] = links
    return shown


def state_at(known: Ticket, moment: datetime) -> State | None:
    """A ticket's state at a past instant; None where it did not exist yet.

    Each journal's *final* state holds from the journal's creation until the next one's (contract §5).
    """
    if not known.journals:
        return known.state if known.created_at <= moment else None
    for journal in reversed(known.journals):
        if journal.created_at <= moment:
            return journal.state
    return None


def at_timestamp(
    instance: Instance, known: Ticket, asked: str, state: State | None, top: State | None, *, filtered: bool
) -> Json:
    """One element of ``attributesByTimestamp``: what differs from the top level, ids included (A.4)."""
    meta: Json = {"exists": state is not None, "timestamp": asked}
    if filtered:
        meta["matchesFilters"] = state is not None
    shown: Json = {"_meta": meta}
    if state is None:
        return shown
    links: Json = {
        "self": link("work_packages", known.id, state.subject),
        "schema": {"href": f"/api/v3/work_packages/schemas/{state.project}-{state.type}"},
    }
    if top is not None:
        if state.subject != top.subject:
            shown["subject"] = state.subject
        if state.status != top.status:
            links["status"] = link("statuses", state.status, instance.statuses[state.status].name)
        if state.type != top.type:
            links["type"] = link("types", state.type, instance.types[state.type].name)
        if state.project != top.project:
            links["project"] = link("projects", state.project, instance.projects[state.project].name)
        if state.assignee != top.assignee:
            name = instance.people[state.assignee].name if state.assignee is not None else None
            links["assignee"] = link("users", state.assignee, name)
    return shown | {"_links": links}


# --- Activities -----------------------------------------------------------------------------------------------------


def activity(instance: Instance, known: Ticket, journal: Journal, lang: str) -> Json:
    """An activity. A 17 renders it once a language and keeps the names of then until it changes (A.3)."""
    epoch = instance.epoch
    if instance.version == "17.6":
        for language, rendered in journal.rendered:
            if language == lang:
                epoch = rendered
                break
        else:
            journal.rendered = (*journal.rendered, (lang, epoch))
    index = journal.version - 1
    before = known.journals[index - 1].state if index else None
    user = instance.user_at(journal, epoch)
    details = [
        {"format": "custom", "raw": line.raw, "html": line.html}
        for line in lines(instance, journal, before, user, lang, epoch)
    ]
    notes = journal.notes or ("" if details else texts.retraction(lang))
    shown: Json = {
        "_type": "Activity::Comment" if notes else "Activity",
        "id": journal.id,
        "comment": formattable(notes),
        "details": details,
        "version": journal.version,
    }
    if instance.version == "17.6":
        shown["internal"] = False
    return shown | {
        "createdAt": printed(journal.created_at),
        "updatedAt": printed(journal.updated_at),
        "_links": {
            "self": {"href": f"/api/v3/activities/{journal.id}"},
            "workPackage": link("work_packages", known.id, known.state.subject),
            "user": {"href": f"/api/v3/users/{user}"},
        },
    }


def lines(
    instance: Instance, journal: Journal, before: State | None, user: int, lang: str, epoch: int
) -> Iterator[texts.Line]:
    """What changed from one journal's state to this one's, in OpenProject's order of attributes."""
    after = journal.state
    for attribute, kind in (("type", "type"), ("project", "project")):
        old, new = getattr(before, attribute) if before else None, getattr(after, attribute)
        if old != new:
            yield texts.change(
                texts.label(attribute, lang),
                instance.name_at(kind, old, epoch) if old is not None else None,
                instance.name_at(kind, new, epoch),
                lang,
            )
    if before is None or before.subject != after.subject:
        yield texts.change(texts.label("subject", lang), before.subject if before else None, after.subject, lang)
    old_text = before.description if before else ""
    if old_text != after.description:
        yield texts.long_text(
            texts.label("description", lang),
            bool(old_text),
            bool(after.description),
            journal.id,
            "description",
            journal.ticket,
            lang,
        )
    if before is None or before.status != after.status:
        yield texts.change(
            texts.label("status", lang),
            instance.name_at("status", before.status, epoch) if before else None,
            instance.name_at("status", after.status, epoch),
            lang,
        )
    old_assignee = before.assignee if before else None
    if old_assignee != after.assignee:
        yield texts.change(
            texts.label("assignee", lang),
            instance.name_at("person", old_assignee, epoch) if old_assignee is not None else None,
            instance.name_at("person", after.assignee, epoch) if after.assignee is not None else None,
            lang,
        )
    if before is None:
        yield texts.change(texts.label("priority", lang), None, PRIORITY[1], lang)
        yield texts.change(texts.label("author", lang), None, instance.name_at("person", user, epoch), lang)
        yield from texts.creation_extras(instance.version, lang)
    if before is None or before.custom != after.custom:
        yield from _custom_lines(instance, journal, dict(before.custom) if before else {}, dict(after.custom), lang)


def _custom_lines(
    instance: Instance, journal: Journal, old: Mapping[int, str], new: Mapping[int, str], lang: str
) -> Iterator[texts.Line]:
    # Values that are there now come first, then those that are gone (recording 16).
    for id in (*new, *(gone for gone in old if gone not in new)):
        before, after = old.get(id), new.get(id)
        if before == after:
            continue
        custom = instance.custom_fields[id]
        if custom.format == "text":
            yield texts.long_text(
                custom.name, bool(before), bool(after), journal.id, f"custom_fields_{id}", journal.ticket, lang
            )
        else:
            yield texts.change(custom.name, before, after, lang)


# --- Errors ---------------------------------------------------------------------------------------------------------


def error(refusal: Refusal, lang: str) -> Json:
    """The body of an answer that is a no (contract §6.4)."""
    values = {**refusal.values, **({"attribute": refusal.attribute} if refusal.attribute else {})}
    shown: Json = {
        "_type": "Error",
        "errorIdentifier": f"urn:openproject-org:api:v3:errors:{refusal.identifier}",
        "message": texts.message(refusal.text, lang, **values),
    }
    if refusal.parts:
        shown["_embedded"] = {"errors": [error(part, lang) for part in refusal.parts]}
    elif refusal.details:
        shown["_embedded"] = {"details": dict(refusal.details)}
    elif refusal.attribute:
        shown["_embedded"] = {"details": {"attribute": refusal.attribute}}
    return shown

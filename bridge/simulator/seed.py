"""From a description of an instance (the form of the recordings' ``instance.json``) to an ``Instance``.

Beyond that form it takes what the recordings leave out: ``projects.*.name``, ``builtin`` (ids of the built-in
accounts), ``applications`` (OAuth), and ``priorities`` it does without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from bridge.simulator.clock import Now
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import CustomField, Group, Person, Project, Role, Status, Type, Version

Seed = Mapping[str, Any]
"""Read from JSON or YAML; a wrong shape shows itself as a ``KeyError`` or ``ValueError`` that names the key."""

# Ids of (system, anonymous, deleted) as the recorded instances had them.
_BUILTIN = {"17.6": {"system": 1, "anonymous": 2, "deleted": 3}, "15.4": {"system": 1, "anonymous": 3, "deleted": 2}}
_BUILTIN_NAMES = {
    "fr": {"system": "System", "anonymous": "Anonyme", "deleted": "Utilisateur supprimé"},
    "en": {"system": "System", "anonymous": "Anonymous", "deleted": "Deleted user"},
}


def seed(description: Seed, now: Now, *, version: Version | None = None) -> Instance:
    """Build the instance. ``version`` overrides the description's own."""
    server = description["server"]
    of_version = version or _version(server["version"])
    instance = Instance(of_version, now, language=server.get("defaultLanguage", "fr"))
    instance.aggregation = timedelta(minutes=server.get("journalAggregationMinutes", 5))
    at = now()
    builtin = {**_BUILTIN[of_version], **description.get("builtin", {})}
    for kind, name in _BUILTIN_NAMES["fr" if instance.language == "fr" else "en"].items():
        account = Person(builtin[kind], kind, name, instance.language, at, at, admin=kind == "system", builtin=True)
        instance.people[account.id] = account
    for label, person in description["actors"].items():
        instance.people[person["id"]] = Person(
            person["id"],
            person["login"],
            person["name"],
            person.get("language", instance.language),
            at,
            at,
            admin=person.get("administrator", False),
            label=label,
        )
    for name, group in description.get("groups", {}).items():
        members = [instance.person(label).id for label in group["members"]]
        instance.groups[group["id"]] = Group(group["id"], name, members)
    for name, role in description["roles"].items():
        instance.roles[role["id"]] = Role(role["id"], name, frozenset(role["permissions"]))
    for position, (name, status) in enumerate(description["statuses"].items(), 1):
        instance.statuses[status["id"]] = Status(
            status["id"], name, status["isClosed"], status.get("isDefault", False), position
        )
    for position, (name, id) in enumerate(description["types"].items(), 1):
        instance.types[id] = Type(id, name, position)
    for identifier, project in description["projects"].items():
        instance.projects[project["id"]] = Project(
            project["id"],
            identifier,
            project.get("name", identifier.replace("-", " ").title()),
            at,
            at,
            parent=description["projects"][project["parent"]]["id"] if project.get("parent") else None,
            public=project.get("public", False),
        )
    for name, custom in description.get("customFields", {}).items():
        instance.custom_fields[custom["id"]] = CustomField(
            custom["id"], name, custom["format"], tuple(custom.get("possibleValues", ()))
        )
    for type_name, by_role in description["workflows"].items():
        for role_name, pairs in by_role.items():
            key = (instance.type(type_name).id, instance.role(role_name).id)
            instance.workflows[key] = _transitions(instance, pairs)
    for row in description["memberships"]:
        instance.join(row["project"], row["principal"].removeprefix("group:"), row["roles"])
    for client, application in description.get("applications", {}).items():
        instance.applications[client] = (application["secret"], instance.person(application["actor"]).id)
    return instance


def _version(text: str) -> Version:
    if text not in ("17.6", "15.4"):
        raise ValueError(f"no OpenProject {text} is simulated, only 17.6 and 15.4")
    return cast("Version", text)


def _transitions(instance: Instance, pairs: str | Sequence[Sequence[str]]) -> frozenset[tuple[int, int]]:
    if pairs == "all pairs":
        return frozenset((old, new) for old in instance.statuses for new in instance.statuses if old != new)
    return frozenset((instance.status(old).id, instance.status(new).id) for old, new in pairs)

"""Who there is and who may what: people, groups, roles, projects, memberships, workflows, names and credentials.

Names are remembered: 17 shows in old activities what things were called when it first rendered them (A.3).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from bridge.simulator.clock import Now
from bridge.simulator.nouns import CustomField, Group, Membership, Person, Project, Role, Status, Type, Version

Named = TypeVar("Named", Project, Status, Type, Role)


class Organisation:
    """An OpenProject without its tickets.

    Wherever a method takes a person, project, status, type or role, its id or its name will do (for people: label,
    login or name; for projects: identifier).
    """

    def __init__(self, version: Version, now: Now, *, language: str = "fr") -> None:
        self.version = version
        self.now = now
        self.language = language
        """Of the instance itself: anonymous readers and the system account."""
        self.lock = threading.RLock()
        """Held for each request and each act; hold it yourself to make several acts one."""
        self.people: dict[int, Person] = {}
        self.groups: dict[int, Group] = {}
        self.roles: dict[int, Role] = {}
        self.statuses: dict[int, Status] = {}
        self.types: dict[int, Type] = {}
        self.projects: dict[int, Project] = {}
        self.custom_fields: dict[int, CustomField] = {}
        self.memberships: dict[tuple[int, int], Membership] = {}
        """By (project, principal)."""
        self.workflows: dict[tuple[int, int], frozenset[tuple[int, int]]] = {}
        """(type, role) -> allowed (old, new)."""
        self.applications: dict[str, tuple[str, int]] = {}
        """OAuth client id -> (secret, the person it acts as)."""
        self.epoch = 0
        """Counts renamings and deletions of people."""
        self._former_names: dict[tuple[str, int], list[tuple[int, str]]] = {}
        """(kind, id) -> (first epoch in which it was no longer called so, name), in order."""
        self._roles_of: dict[tuple[int, int], frozenset[int]] = {}
        self._ids: dict[str, int] = {}
        self._credentials: dict[str, int] = {}
        self._bearers: dict[str, tuple[int, datetime]] = {}

    # --- Finding ----------------------------------------------------------------------------------------------------

    def person(self, who: int | str) -> Person:
        """A person by id, label, login or name."""
        if isinstance(who, int):
            return self.people[who]
        for attribute in ("label", "login", "name"):
            for person in self.people.values():
                if getattr(person, attribute) == who:
                    return person
        raise KeyError(f"nobody is called {who!r}")

    def group(self, which: int | str) -> Group | None:
        """A group by id or name; None when there is none, as with the id of a person."""
        return next((group for group in self.groups.values() if which in (group.id, group.name)), None)

    def project(self, which: int | str) -> Project:
        """A project by id or identifier."""
        return _find(self.projects, which, "identifier")

    def status(self, which: int | str) -> Status:
        """A status by id or its present name."""
        return _find(self.statuses, which, "name")

    def type(self, which: int | str) -> Type:
        """A type by id or name."""
        return _find(self.types, which, "name")

    def role(self, which: int | str) -> Role:
        """A role by id or name."""
        return _find(self.roles, which, "name")

    @property
    def default_status(self) -> Status:
        """Where a new ticket starts unless its author says otherwise."""
        return next(status for status in self.statuses.values() if status.default)

    @property
    def system(self) -> Person:
        """The account that OpenProject itself acts and renders as."""
        return next(person for person in self.people.values() if person.builtin and person.admin)

    @property
    def deleted_person(self) -> Person:
        """The account that inherits what deleted people did."""
        return next(person for person in self.people.values() if person.builtin and person.login == "deleted")

    def name_at(self, kind: str, id: int, epoch: int) -> str:
        """What a status, type, project or person was called at an epoch."""
        for until, name in self._former_names.get((kind, id), ()):
            if epoch < until:
                return name
        match kind:
            case "status":
                return self.statuses[id].name
            case "type":
                return self.types[id].name
            case "project":
                return self.projects[id].name
            case _:
                return self.people[id].name

    def next_id(self, kind: str) -> int:
        """The next number of a kind."""
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return self._ids[kind]

    # --- Rights -----------------------------------------------------------------------------------------------------

    def roles_of(self, person: Person, project: int) -> frozenset[int]:
        """Role ids of a person in a project. An administrator has every role (A.6)."""
        if person.admin:
            return frozenset(self.roles)
        key = (person.id, project)
        roles = self._roles_of.get(key)
        if roles is None:
            row = self.memberships.get((project, person.id))
            roles = self._roles_of[key] = frozenset(row.roles if row else ())
        return roles

    def role_names(self, person: int | str, project: int | str) -> tuple[str, ...]:
        """Sorted names of the roles that a membership gives; empty for non-members, administrators included."""
        row = self.memberships.get((self.project(project).id, self.person(person).id))
        return tuple(sorted(self.roles[role].name for role in row.roles)) if row else ()

    def may(self, person: Person, permission: str, project: int) -> bool:
        """Whether a person has a permission in an active project."""
        if not self.projects[project].active:
            return False
        return person.admin or any(
            permission in self.roles[role].permissions for role in self.roles_of(person, project)
        )

    def projects_where(self, person: Person, *permissions: str) -> frozenset[int]:
        """Ids of the active projects in which a person has any of these permissions."""
        return frozenset(
            project for project in self.projects if any(self.may(person, wanted, project) for wanted in permissions)
        )

    def sees_project(self, person: Person, project: int) -> bool:
        """Members and administrators see an active project, everybody a public one."""
        known = self.projects.get(project)
        if known is None or not known.active:
            return False
        return person.admin or known.public or bool(self.roles_of(person, project))

    def sees_person(self, reader: Person, person: Person) -> bool:
        """15.4 shows everybody; 17 only people with whom the reader shares a project or a group (A.7)."""
        if person.status == "deleted":
            return False
        if reader.admin or reader.id == person.id or self.version == "15.4":
            return True
        if person.builtin:
            return False
        if any({reader.id, person.id} <= {*group.members} for group in self.groups.values()):
            return True
        return any(
            principal == person.id and self.sees_project(reader, project) for project, principal in self.memberships
        )

    def targets(self, person: Person, type: int, status: int, project: int) -> frozenset[int]:
        """Statuses that this person may set from this one by the native workflow, staying included (contract §6.3)."""
        moves = (pair for role in self.roles_of(person, project) for pair in self.workflows.get((type, role), ()))
        return frozenset({status, *(new for old, new in moves if old == status)})

    # --- Changing it, as an operator --------------------------------------------------------------------------------

    def add_person(self, login: str, name: str, *, language: str = "fr") -> Person:
        """A new account, a member of nothing yet."""
        with self.lock:
            now, id = self.now(), max(self.people) + 1
            self.people[id] = Person(id, login, name, language, now, now, label=login)
            return self.people[id]

    def add_project(self, identifier: str, name: str, *, parent: int | str | None = None) -> Project:
        """A new project without members: nothing announces it (contract §15)."""
        with self.lock:
            now, id = self.now(), max(self.projects) + 1
            above = self.project(parent).id if parent is not None else None
            self.projects[id] = Project(id, identifier, name, now, now, parent=above)
            return self.projects[id]

    def add_status(self, name: str, *, closed: bool = False) -> Status:
        """A new status, in no workflow yet."""
        with self.lock:
            id, position = max(self.statuses) + 1, len(self.statuses) + 1
            self.statuses[id] = Status(id, name, closed, default=False, position=position)
            return self.statuses[id]

    def rename_status(self, status: int | str, name: str) -> None:
        """Rename a status: 15.4 renders old activities anew, 17 keeps what it has rendered (A.3)."""
        with self.lock:
            known = self.status(status)
            self._remember("status", known.id, known.name)
            known.name = name

    def rename_person(self, who: int | str, name: str) -> None:
        """Rename a person."""
        with self.lock:
            person = self.person(who)
            self._remember("person", person.id, person.name)
            person.name, person.updated_at = name, self.now()

    def set_archived(self, project: int | str, archived: bool = True) -> None:
        """Archive a project (it and its tickets vanish for everybody) or bring it back."""
        with self.lock:
            known = self.project(project)
            known.active, known.updated_at = not archived, self.now()

    def lock_person(self, who: int | str, *, locked: bool = True) -> Person:
        """Lock an account (its credentials stop working) or unlock it."""
        with self.lock:
            person = self.person(who)
            person.status, person.updated_at = "locked" if locked else "active", self.now()
            return person

    def join(self, project: int | str, principal: int | str, roles: Iterable[int | str]) -> Membership:
        """Give a person or a group these direct roles in a project, in place of the direct ones they had."""
        with self.lock:
            place, ids = self.project(project).id, tuple(sorted(self.role(role).id for role in roles))
            group = self.group(principal)
            row = self._row(place, group.id if group else self.person(principal).id)
            row.direct = ids
            if group:
                self._inherit(group, place, ids, group.members)
            self._roles_of.clear()
            return row

    def leave(self, project: int | str, principal: int | str) -> None:
        """Take a person's or a group's direct roles in a project away, and what the group's members had through it."""
        with self.lock:
            place, group = self.project(project).id, self.group(principal)
            row = self.memberships.get((place, group.id if group else self.person(principal).id))
            if row is None:
                return
            row.direct, row.updated_at = (), self.now()
            if group:
                self._disinherit(group, place, group.members)
            self._drop_empty_rows()

    def join_group(self, group: int | str, who: int | str) -> None:
        """Make a person a member of a group; they inherit its roles everywhere."""
        with self.lock:
            known, person = self._group(group), self.person(who)
            known.members.append(person.id)
            for (place, principal), row in [*self.memberships.items()]:
                if principal == known.id:
                    self._inherit(known, place, row.direct, [person.id])
            self._roles_of.clear()

    def leave_group(self, group: int | str, who: int | str) -> None:
        """Take a person out of a group, and what they inherited from it."""
        with self.lock:
            known, person = self._group(group), self.person(who)
            known.members.remove(person.id)
            for place, principal in [*self.memberships]:
                if principal == known.id:
                    self._disinherit(known, place, [person.id])
            self._drop_empty_rows()

    # --- Credentials ------------------------------------------------------------------------------------------------

    def token(self, who: int | str) -> str:
        """A person's API token: the same in every run, and worth nothing outside the simulator."""
        person = self.person(who)
        digest = hashlib.sha256(f"simulator:{person.login}".encode()).hexdigest()
        token = f"opapi-{digest}" if self.version == "17.6" else digest
        self._credentials[token] = person.id
        return token

    def bearer(self, client: str, secret: str, lifetime: timedelta) -> str | None:
        """A new OAuth token for an application's person, or None for a wrong client or secret."""
        known = self.applications.get(client)
        if known is None or known[0] != secret:
            return None
        token = hashlib.sha256(f"bearer:{client}:{self.next_id('bearer')}".encode()).hexdigest()
        self._bearers[token] = (known[1], self.now() + lifetime)
        return token

    def authenticated(self, scheme: str, credential: str) -> Person | None:
        """Who comes with this credential; None when it is not (or no longer) good. Scheme: ``basic`` or ``bearer``."""
        if scheme == "basic" or (credential.startswith("opapi-") and self.version == "17.6"):
            if credential not in self._credentials:  # tokens need not be asked for before they are used
                for known in self.people.values():
                    self.token(known.id)
            person = self.people.get(self._credentials.get(credential, 0))
        else:
            id, until = self._bearers.get(credential, (0, self.now()))
            person = self.people.get(id) if self.now() < until else None
        usable = person is not None and person.status == "active" and not person.builtin
        return person if usable else None

    # --- Within -----------------------------------------------------------------------------------------------------

    def _group(self, which: int | str) -> Group:
        group = self.group(which)
        if group is None:
            raise KeyError(f"no group is called {which!r}")
        return group

    def _row(self, project: int, principal: int) -> Membership:
        now = self.now()
        row = self.memberships.get((project, principal))
        if row is None:
            row = Membership(self.next_id("membership"), project, principal, now, now)
            self.memberships[project, principal] = row
        row.updated_at = now
        return row

    def _inherit(self, group: Group, project: int, roles: tuple[int, ...], members: Iterable[int]) -> None:
        for member in members:  # each has a row of their own (contract §8.2)
            self._row(project, member).inherited[group.id] = roles

    def _disinherit(self, group: Group, project: int, members: Iterable[int]) -> None:
        for member in members:
            row = self.memberships.get((project, member))
            if row is not None and row.inherited.pop(group.id, None) is not None:
                row.updated_at = self.now()

    def _drop_empty_rows(self) -> None:
        self.memberships = {key: row for key, row in self.memberships.items() if row.roles}
        self._roles_of.clear()

    def _remember(self, kind: str, id: int, name: str) -> None:
        self.epoch += 1
        self._former_names.setdefault((kind, id), []).append((self.epoch, name))


def _find(known: Mapping[int, Named], which: int | str, attribute: str) -> Named:
    if isinstance(which, int):
        return known[which]
    for one in known.values():
        if getattr(one, attribute) == which:
            return one
    raise KeyError(f"nothing is called {which!r}")

"""A whole OpenProject in memory: its people, projects, tickets and rules, and what they do to each other.

``Instance`` is used twice: by ``api`` for those who come over HTTP, and directly by worlds (demo, tests, torture) that
act as a person without HTTP, under the same rules. It also keeps *the truth*: every single move and comment before
aggregation hides it. It knows nothing of JSON, and has no randomness and no clock but the one it is given.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bridge.simulator.clock import Now
from bridge.simulator.journal import Journal, State, record
from bridge.simulator.nouns import (
    CustomField,
    Group,
    Membership,
    Move,
    Person,
    Project,
    Refusal,
    Remark,
    Role,
    Status,
    Through,
    Ticket,
    Type,
    Version,
    Webhook,
    forbidden,
    invalid,
    not_found,
    read_only,
)

Named = TypeVar("Named")

CREATION_ECHO = timedelta(milliseconds=31)
"""15.4 saves a new ticket twice; the second save comes about this much later (A.3)."""
REORDER_SLACK = timedelta(seconds=1)
"""How much out of order tickets may be touched before the order of last changes is sorted again."""


class Instance:
    """A stateful OpenProject of one version.

    Wherever a method takes a person, project, status, type or role, its id or its name will do (for people: label,
    login or name; for projects: identifier). Methods that act as a person raise ``Refusal`` as the API would.
    """

    def __init__(self, version: Version, now: Now, *, language: str = "fr") -> None:
        self.version = version
        self.now = now
        self.language = language
        """Of the instance itself: anonymous readers and the system account."""
        self.aggregation = timedelta(minutes=5)
        self.hosts: frozenset[str] = frozenset()
        """Host names that are answered; empty: any (contract §13.3)."""
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
        self.tickets: dict[int, Ticket] = {}
        self.activities: dict[int, Journal] = {}
        self.applications: dict[str, tuple[str, int]] = {}
        """OAuth client id -> (secret, the person it acts as)."""
        self.webhook: Webhook | None = None
        self.moves: list[Move] = []
        """The truth: every move, in order."""
        self.remarks: list[Remark] = []
        """The truth: every comment and edit, in order."""
        self.epoch = 0
        """Counts renamings and deletions of people, for names that were cached before (A.3)."""
        self.deleted_person = 0
        self._former_names: dict[tuple[str, int], list[tuple[int, str]]] = {}
        self._former_users: dict[int, tuple[int, int]] = {}
        self._roles_of: dict[tuple[int, int], frozenset[int]] = {}
        self._ids: dict[str, int] = {}
        self._recent: dict[int, Ticket] = {}
        self._latest = datetime(1970, 1, 1, tzinfo=UTC)
        self._disordered = False
        self._bearers: dict[str, tuple[int, datetime]] = {}
        self._credentials: dict[str, int] = {}
        self.due: dict[int, tuple[datetime, datetime]] = {}
        """Webhook jobs: activity -> (when, its updated_at when scheduled)."""
        self.on_due: Callable[[Journal], None] | None = None

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

    def name_at(self, kind: str, id: int, epoch: int) -> str:
        """What a status, type, project or person was called at an epoch of names."""
        for until, name in self._former_names.get((kind, id), ()):
            if epoch < until:
                return name
        named: Mapping[int, Status | Type | Project | Person] = {
            "status": self.statuses,
            "type": self.types,
            "project": self.projects,
            "person": self.people,
        }[kind]  # type: ignore[assignment]  # each value is a dict of one of the four
        return named[id].name if id in named else ""

    def user_at(self, journal: Journal, epoch: int) -> int:
        """Whom a journal was attributed to at an epoch: deleting a person rewrites it (contract §8.5)."""
        until, user = self._former_users.get(journal.id, (0, 0))
        return user if epoch < until else journal.user

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

    def sees_project(self, person: Person, project: int) -> bool:
        """Members and administrators see an active project, everybody a public one."""
        known = self.projects.get(project)
        if known is None or not known.active:
            return False
        return person.admin or known.public or bool(self.roles_of(person, project))

    def projects_where(self, person: Person, *permissions: str) -> frozenset[int]:
        """Ids of the active projects in which a person has any of these permissions."""
        return frozenset(
            project for project in self.projects if any(self.may(person, wanted, project) for wanted in permissions)
        )

    def sees_person(self, reader: Person, person: Person) -> bool:
        """15.4 shows everybody; 17 only people with whom the reader shares a project or a group (A.7)."""
        if person.status == "deleted":
            return False
        if reader.admin or reader.id == person.id:
            return True
        if self.version == "15.4":
            return True
        if person.builtin:
            return False
        if any({reader.id, person.id} <= {*group.members} for group in self.groups.values()):
            return True
        return any(
            principal == person.id and self.sees_project(reader, project) for project, principal in self.memberships
        )

    def ticket_for(self, person: Person, id: int) -> Ticket:
        """A ticket that this person sees, or the 404 that hides it."""
        ticket = self.tickets.get(id)
        if ticket is None or not self.may(person, "view_work_packages", ticket.state.project):
            raise not_found("ticket_not_found")
        return ticket

    def activity_for(self, person: Person, id: int) -> tuple[Ticket, Journal]:
        """An activity of a ticket that this person sees, or the 404 that hides it."""
        journal = self.activities.get(id)
        if journal is None:
            raise not_found()
        try:
            return self.ticket_for(person, journal.ticket), journal
        except Refusal:
            raise not_found() from None

    def targets(self, person: Person, type: int, status: int, project: int) -> frozenset[int]:
        """Statuses that this person may set from this one by the native workflow, staying included (contract §6.3)."""
        return frozenset(
            {status}
            | {
                new
                for role in self.roles_of(person, project)
                for old, new in self.workflows.get((type, role), ())
                if old == status
            }
        )

    # --- Acting as a person -----------------------------------------------------------------------------------------

    def create(
        self,
        who: int | str,
        project: int | str,
        subject: str | None,
        *,
        type: int | str | None = None,
        status: int | str | None = None,
        description: str = "",
        custom: Mapping[int, str | None] | None = None,
    ) -> Ticket:
        """Create a ticket. Any status will do: OpenProject does not check its workflow here (A.5)."""
        with self.lock:
            person, place = self.person(who), self.project(project)
            if not self.sees_project(person, place.id):
                raise not_found()
            if not self.may(person, "add_work_packages", place.id):
                raise forbidden()
            if not subject:
                raise invalid("subject", "blank")
            wanted = self.status(status) if status is not None else self._default_status()
            kind = self.type(type) if type is not None else next(iter(self.types.values()))
            now = self.now()
            state = State(place.id, kind.id, wanted.id, subject, description, None, _custom((), custom or {}))
            ticket = Ticket(self.next_id("ticket"), person.id, now, now, 0, state)
            self.tickets[ticket.id] = ticket
            journal = self._write(ticket, person, now, state)
            if self.version == "15.4":
                ticket.lock_version = 1
                echo = now + CREATION_ECHO
                if self.aggregation:
                    journal.touch(echo)
                self._touch(ticket, echo)
            else:
                self._touch(ticket, now)
            self._log(ticket, person, None, Through.CREATION, journal, now)
            self._schedule(journal)
            return ticket

    def update(
        self,
        who: int | str,
        ticket: int | Ticket,
        *,
        lock_version: object = None,
        checked: bool = False,
        status: int | str | None = None,
        type: int | str | None = None,
        project: int | str | None = None,
        subject: str | None = None,
        description: str | None = None,
        assignee: int | str | None = None,
        custom: Mapping[int, str | None] | None = None,
        complaints: Sequence[Refusal] = (),
    ) -> Ticket:
        """Save changes to a ticket. ``checked`` compares ``lock_version`` as the API does; worlds need not bother.

        ``complaints`` are what reading the request found wrong already; they are answered together with the rest.
        """
        with self.lock:
            person = self.person(who)
            ticket = self.ticket_for(person, ticket.id if isinstance(ticket, Ticket) else ticket)
            before, after = (
                ticket.state,
                self._proposed(ticket, status, type, project, subject, description, assignee, custom),
            )
            self.check_update(person, ticket, after, complaints, lock_version if checked else ticket.lock_version)
            now = self.now()
            journal = self._write_or_none(ticket, person, now, after)
            if journal is None:
                return ticket
            if after != before:
                ticket.lock_version += 1
            ticket.state = after
            self._touch(ticket, now)
            if after.status != before.status:
                through = (
                    Through.TYPE
                    if after.type != before.type
                    else Through.PROJECT
                    if after.project != before.project
                    else Through.STATUS
                )
                self._log(ticket, person, before.status, through, journal, now)
            self._schedule(journal)
            return ticket

    def check_update(
        self, person: Person, ticket: Ticket, after: State, complaints: Sequence[Refusal], lock_version: object
    ) -> None:
        """Raise what the server would answer to this change, in its order of precedence; silent when it would do it."""
        before = ticket.state
        if not (
            self.may(person, "edit_work_packages", before.project)
            or self.may(person, "change_work_package_status", before.project)
        ):
            raise forbidden()
        if lock_version != ticket.lock_version or isinstance(lock_version, bool):
            raise Refusal(409, "UpdateConflict", "conflict")
        found = [*complaints, *self.objections(person, ticket, after)]
        if found:
            raise Refusal.of(found)

    def objections(self, person: Person, ticket: Ticket, after: State) -> list[Refusal]:
        """What is wrong with a proposed state of a ticket, for this person."""
        before = ticket.state
        found: list[Refusal] = []
        if (
            after.status != before.status
            and after.type == before.type  # a type change in the same save skips the check (A.5)
            and after.status not in self.targets(person, before.type, before.status, before.project)
        ):
            found.append(invalid("status", "no_transition"))
        if not after.subject:
            found.append(invalid("subject", "blank"))
        if after.project != before.project:
            if not self.may(person, "move_work_packages", before.project):
                found.append(read_only("project"))
            elif not self.may(person, "add_work_packages", after.project):
                found.append(invalid("project", "invalid"))
        if after.assignee is not None and after.assignee != before.assignee:
            assignee = self.people.get(after.assignee)
            if assignee is None or (after.project, assignee.id) not in self.memberships:
                found.append(invalid("assignee", "invalid"))
        return found

    def set_status(self, who: int | str, ticket: int | Ticket, status: int | str) -> Ticket:
        """Move a ticket, under the native workflow of its type."""
        return self.update(who, ticket, status=status)

    def change_type(
        self, who: int | str, ticket: int | Ticket, type: int | str, status: int | str | None = None
    ) -> Ticket:
        """Change a ticket's type, and its status in the same save if given, past the workflow (A.5)."""
        return self.update(who, ticket, type=type, status=status)

    def move(self, who: int | str, ticket: int | Ticket, project: int | str) -> Ticket:
        """Move a ticket to another project, possibly out of others' sight."""
        return self.update(who, ticket, project=project)

    def comment(self, who: int | str, ticket: int | Ticket, text: str, *, internal: bool = False) -> Journal:
        """Write a comment and return the ticket's last activity, which is the merged one if it merged (contract §7)."""
        with self.lock:
            person = self.person(who)
            ticket = self.ticket_for(person, ticket.id if isinstance(ticket, Ticket) else ticket)
            if not self.may(person, "add_work_package_comments", ticket.state.project):
                raise not_found()  # 404 and not 403 (A.7)
            if self.version != "15.4":
                if internal:
                    raise Refusal.of(
                        [invalid("journalInternal", "enterprise"), invalid("journalInternal", "disabled_in_project")]
                    )
                if not text.strip():
                    raise invalid("journalNotes", "blank")
            now = self.now()
            journal = self._write_or_none(ticket, person, now, ticket.state, text)
            if journal is None:
                return ticket.journals[-1]
            self._touch(ticket, now)
            if text:
                self.remarks.append(Remark(now, ticket.id, person.id, journal.id, text))
            self._schedule(journal)
            return journal

    def edit_comment(self, who: int | str, activity: int | Journal, text: str) -> Journal:
        """Change or clear (``""``) a comment. Moves the activity's time only, never the ticket's (A.3)."""
        with self.lock:
            person = self.person(who)
            ticket, journal = self.activity_for(person, activity.id if isinstance(activity, Journal) else activity)
            own = journal.user == person.id and self.may(person, "edit_own_work_package_comments", ticket.state.project)
            if not own and not self.may(person, "edit_work_package_comments", ticket.state.project):
                raise forbidden()
            now = self.now()
            journal.notes = text
            journal.touch(now)
            self.remarks.append(Remark(now, ticket.id, person.id, journal.id, text, edited=True))
            return journal

    def delete(self, who: int | str, ticket: int | Ticket) -> None:
        """Delete a ticket without a trace: no tombstone, no event (contract §2.7)."""
        with self.lock:
            person = self.person(who)
            ticket = self.ticket_for(person, ticket.id if isinstance(ticket, Ticket) else ticket)
            if not self.may(person, "delete_work_packages", ticket.state.project):
                raise forbidden()
            del self.tickets[ticket.id]
            self._recent.pop(ticket.id, None)
            for journal in ticket.journals:
                del self.activities[journal.id]
                self.due.pop(journal.id, None)

    # --- Acting as the operator -------------------------------------------------------------------------------------

    def set_aggregation(self, minutes: int) -> None:
        """Change the aggregation period; 0 switches it off. Only later saves are affected."""
        with self.lock:
            self.aggregation = timedelta(minutes=minutes)

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
        """Archive a project (its tickets vanish for everybody) or bring it back."""
        with self.lock:
            known = self.project(project)
            known.active, known.updated_at = not archived, self.now()

    def join(self, project: int | str, principal: int | str, roles: Iterable[int | str]) -> Membership:
        """Give a person or a group these direct roles in a project, in place of the direct ones they had."""
        with self.lock:
            place, ids = self.project(project).id, tuple(sorted(self.role(role).id for role in roles))
            group = self._group(principal)
            row = self._row(place, group.id if group else self.person(principal).id)
            row.direct = ids
            for member in group.members if group else ():
                self._row(place, member).inherited[group.id if group else 0] = ids
            self._roles_of.clear()
            return row

    def leave(self, project: int | str, principal: int | str) -> None:
        """Take a person's or a group's direct roles in a project away, and what the group's members had through it."""
        with self.lock:
            place, group = self.project(project).id, self._group(principal)
            id = group.id if group else self.person(principal).id
            row = self.memberships.get((place, id))
            if row is None:
                return
            row.direct, row.updated_at = (), self.now()
            for member in group.members if group else ():
                inherited = self.memberships.get((place, member))
                if inherited:
                    inherited.inherited.pop(id, None)
                    inherited.updated_at = self.now()
            for key in [key for key, row in self.memberships.items() if not row.roles]:
                del self.memberships[key]
            self._roles_of.clear()

    def lock_person(self, who: int | str, locked: bool = True) -> Person:
        """Lock an account (its credentials stop working) or unlock it."""
        with self.lock:
            person = self.person(who)
            person.status, person.updated_at = "locked" if locked else "active", self.now()
            return person

    def delete_person(self, who: int | str) -> None:
        """Delete an account as OpenProject's own job does: everything it did becomes the Deleted user's (§8.5)."""
        with self.lock:
            person = self.person(who)
            self.epoch += 1
            person.status = "deleted"
            for ticket in self.tickets.values():
                if ticket.author == person.id:
                    ticket.author = self.deleted_person
                    ticket.lock_version += 1  # and its updated_at stays (recording 25)
                for journal in ticket.journals:
                    if journal.user == person.id:
                        self._former_users[journal.id] = (self.epoch, person.id)
                        journal.user = self.deleted_person
            for key in [key for key in self.memberships if key[1] == person.id]:
                del self.memberships[key]
            self._roles_of.clear()

    def plant(
        self, who: int | str, project: int | str, subject: str, *, status: int | str, type: int | str, at: datetime
    ) -> Ticket:
        """Put a ticket into the database past all rules: no journal, no webhook, no truth (recording 21)."""
        with self.lock:
            state = State(self.project(project).id, self.type(type).id, self.status(status).id, subject)
            ticket = Ticket(self.next_id("ticket"), self.person(who).id, at, at, 0, state)
            self.tickets[ticket.id] = ticket
            self._touch(ticket, at)
            return ticket

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
        """Who comes with this credential; None when it is not (or no longer) good."""
        if scheme == "basic" or (credential.startswith("opapi-") and self.version == "17.6"):
            person = self.people.get(self._credentials.get(credential, 0))
            if person is None:
                for known in [*self.people.values()]:
                    if not known.builtin:
                        self.token(known.id)
                person = self.people.get(self._credentials.get(credential, 0))
        else:
            id, until = self._bearers.get(credential, (0, self.now()))
            person = self.people.get(id) if self.now() < until else None
        return person if person is not None and person.status == "active" else None

    # --- Looking over everything ------------------------------------------------------------------------------------

    def changed_since(self, moment: datetime) -> Iterator[Ticket]:
        """Tickets with ``updated_at`` >= moment, latest first; cheap when few."""
        if self._disordered:
            self._recent = dict(sorted(self._recent.items(), key=lambda item: (item[1].updated_at, item[0])))
            self._disordered = False
        for ticket in reversed(self._recent.values()):
            if ticket.updated_at < moment - REORDER_SLACK:
                return
            if ticket.updated_at >= moment:
                yield ticket

    def run_due(self) -> None:
        """Send the webhook calls whose time has come (contract §10.3)."""
        if not self.due:
            return
        now = self.now()
        ready = [(when, id) for id, (when, _) in self.due.items() if when <= now]
        for _, id in sorted(ready):
            _, seen = self.due.pop(id)
            journal = self.activities.get(id)
            if journal is not None and journal.updated_at == seen and self.on_due is not None:
                self.on_due(journal)

    def next_id(self, kind: str) -> int:
        """The next number of a kind."""
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return self._ids[kind]

    def start_ids(self, kind: str, after: int) -> None:
        """Let the numbers of a kind go on after this one."""
        self._ids[kind] = max(self._ids.get(kind, 0), after)

    # --- Within -----------------------------------------------------------------------------------------------------

    def _proposed(
        self,
        ticket: Ticket,
        status: int | str | None,
        type: int | str | None,
        project: int | str | None,
        subject: str | None,
        description: str | None,
        assignee: int | str | None,
        custom: Mapping[int, str | None] | None,
    ) -> State:
        before = ticket.state
        return State(
            before.project if project is None else self.project(project).id,
            before.type if type is None else self.type(type).id,
            before.status if status is None else self.status(status).id,
            before.subject if subject is None else subject,
            before.description if description is None else description,
            before.assignee if assignee is None else self.person(assignee).id,
            before.custom if not custom else _custom(before.custom, custom),
        )

    def _default_status(self) -> Status:
        return next((status for status in self.statuses.values() if status.default), next(iter(self.statuses.values())))

    def _group(self, principal: int | str) -> Group | None:
        for group in self.groups.values():
            if principal in (group.id, group.name):
                return group
        return None

    def _row(self, project: int, principal: int) -> Membership:
        now = self.now()
        row = self.memberships.get((project, principal))
        if row is None:
            row = Membership(self.next_id("membership"), project, principal, now, now)
            self.memberships[project, principal] = row
        row.updated_at = now
        return row

    def _write(self, ticket: Ticket, person: Person, now: datetime, state: State, notes: str = "") -> Journal:
        journal = self._write_or_none(ticket, person, now, state, notes)
        assert journal is not None  # a first journal is always written
        return journal

    def _write_or_none(
        self, ticket: Ticket, person: Person, now: datetime, state: State, notes: str = ""
    ) -> Journal | None:
        journal = record(
            ticket.journals,
            ticket=ticket.id,
            user=person.id,
            now=now,
            state=state,
            notes=notes,
            window=self.aggregation,
            touches_when_unchanged=self.version == "15.4",
            next_id=lambda: self.next_id("activity"),
        )
        if journal is not None:
            self.activities[journal.id] = journal
        return journal

    def _touch(self, ticket: Ticket, at: datetime) -> None:
        ticket.updated_at = at
        self._recent.pop(ticket.id, None)
        self._recent[ticket.id] = ticket
        if at < self._latest - REORDER_SLACK:
            self._disordered = True
        elif at > self._latest:
            self._latest = at

    def _log(
        self, ticket: Ticket, person: Person, origin: int | None, through: Through, journal: Journal, now: datetime
    ) -> None:
        state = ticket.state
        self.moves.append(
            Move(
                now,
                ticket.id,
                person.id,
                origin,
                state.status,
                state.project,
                state.type,
                self.role_names(person.id, state.project),
                through,
                journal.id,
            )
        )

    def _schedule(self, journal: Journal) -> None:
        if self.webhook is not None:
            self.due[journal.id] = (self.now() + self.aggregation, journal.updated_at)
            if not self.aggregation:
                self.run_due()

    def _remember(self, kind: str, id: int, name: str) -> None:
        self.epoch += 1
        self._former_names.setdefault((kind, id), []).append((self.epoch, name))


def _custom(before: Collection[tuple[int, str]], changes: Mapping[int, str | None]) -> tuple[tuple[int, str], ...]:
    values = {**dict(before), **{field: value for field, value in changes.items() if value}}
    for field_id, value in changes.items():
        if not value:
            values.pop(field_id, None)
    return tuple(sorted(values.items()))


def _find(known: Mapping[int, Named], which: int | str, attribute: str) -> Named:
    if isinstance(which, int):
        return known[which]
    for one in known.values():
        if getattr(one, attribute) == which:
            return one
    raise KeyError(f"nothing is called {which!r}")

"""A whole OpenProject in memory: its tickets and rules, and what people do to each other in it.

``Instance`` is used twice: by ``api`` for those who come over HTTP, and directly by worlds (demo, tests, torture) that
act as a person without HTTP, under the same rules. It also keeps *the truth*: every single move and comment before
aggregation hides it. It knows nothing of JSON, and has no randomness and no clock but the one it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bridge.simulator.clock import Now
from bridge.simulator.journal import Journal, State, record
from bridge.simulator.nouns import (
    Move,
    Person,
    Refusal,
    Remark,
    Through,
    Ticket,
    Version,
    Webhook,
    forbidden,
    invalid,
    not_found,
    read_only,
)
from bridge.simulator.organisation import Organisation

CREATION_ECHO = timedelta(milliseconds=31)
"""15.4 saves a new ticket twice; the second save comes about this much later (A.3)."""
REORDER_SLACK = timedelta(seconds=1)
"""How much out of order tickets may be touched before the order of last changes is sorted again."""


class Instance(Organisation):
    """A stateful OpenProject of one version. Methods that act as a person raise ``Refusal`` where the API would."""

    def __init__(self, version: Version, now: Now, *, language: str = "fr") -> None:
        super().__init__(version, now, language=language)
        self.aggregation = timedelta(minutes=5)
        """The period within which a person's saves become one activity; 0: each its own. Only later saves count."""
        self.hosts: frozenset[str] = frozenset()
        """Host names that are answered; empty: any (contract §13.3)."""
        self.tickets: dict[int, Ticket] = {}
        self.activities: dict[int, Journal] = {}
        self.moves: list[Move] = []
        """The truth: every move, in order."""
        self.remarks: list[Remark] = []
        """The truth: every comment and edit, in order."""
        self.webhook: Webhook | None = None
        self.on_due: Callable[[Journal], None] | None = None
        """Called with each activity that can no longer change, if there is a webhook."""
        self._due: dict[int, tuple[datetime, datetime]] = {}
        """Activity -> (when it is due, its updated_at of when that was decided)."""
        self._former_users: dict[int, tuple[int, int]] = {}
        """Activity -> (first epoch in which it was no longer theirs, person)."""
        self._recent: dict[int, Ticket] = {}
        """All tickets, by last change, oldest first; unless ``_disordered``."""
        self._latest = datetime(1970, 1, 1, tzinfo=UTC)
        self._disordered = False

    # --- Finding ----------------------------------------------------------------------------------------------------

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

    def user_at(self, journal: Journal, epoch: int) -> int:
        """Whom an activity was attributed to at an epoch: deleting a person rewrites it (contract §8.5)."""
        until, user = self._former_users.get(journal.id, (0, 0))
        return user if epoch < until else journal.user

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
            wanted = self.status(status) if status is not None else self.default_status
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
            self._log(ticket, person, None, place.id, Through.CREATION, journal)
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
                self._log(ticket, person, before.status, before.project, through, journal)
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
                self._due.pop(journal.id, None)

    # --- Changing it, as an operator --------------------------------------------------------------------------------

    def set_aggregation(self, minutes: int) -> None:
        """Change the aggregation period; 0 switches it off."""
        with self.lock:
            self.aggregation = timedelta(minutes=minutes)

    def delete_person(self, who: int | str) -> None:
        """Delete an account as OpenProject's own job does: everything it did becomes the Deleted user's (§8.5)."""
        with self.lock:
            person = self.person(who)
            self.epoch += 1
            person.status = "deleted"
            for ticket in self.tickets.values():
                if ticket.author == person.id:
                    ticket.author = self.deleted_person.id
                    ticket.lock_version += 1  # and its updated_at stays (recording 25)
                for journal in ticket.journals:
                    if journal.user == person.id:
                        self._former_users[journal.id] = (self.epoch, person.id)
                        journal.user = self.deleted_person.id
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

    def run_due(self) -> None:
        """Send the webhook calls whose time has come (contract §10.3)."""
        if not self._due:
            return
        now = self.now()
        ready = [(when, id) for id, (when, _) in self._due.items() if when <= now]
        for _, id in sorted(ready):
            _, seen = self._due.pop(id)
            journal = self.activities.get(id)
            if journal is not None and journal.updated_at == seen and self.on_due is not None:
                self.on_due(journal)

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
        self, ticket: Ticket, person: Person, origin: int | None, project: int, through: Through, journal: Journal
    ) -> None:
        state, roles = ticket.state, self.role_names(person.id, project)
        self.moves.append(
            Move(
                self.now(), ticket.id, person.id, origin, state.status, project, state.type, roles, through, journal.id
            )
        )

    def _schedule(self, journal: Journal) -> None:
        if self.webhook is not None:
            self._due[journal.id] = (self.now() + self.aggregation, journal.updated_at)
            if not self.aggregation:
                self.run_due()


def _custom(before: Collection[tuple[int, str]], changes: Mapping[int, str | None]) -> tuple[tuple[int, str], ...]:
    values = {**dict(before), **{field: value for field, value in changes.items() if value}}
    for field_id, value in changes.items():
        if not value:
            values.pop(field_id, None)
    return tuple(sorted(values.items()))

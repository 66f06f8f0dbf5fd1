"""What one policy file says, and the questions that the program asks of it. Must not know a clock or a text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from bridge.domain.model import Mode, PartyName, RuleId, StatusName
from bridge.domain.policy.judging import Table, Visited
from bridge.domain.policy.rules import Exemption, Limits, Party, Reminder, Rule


@dataclass(frozen=True, eq=False, repr=False)
class Policy:
    """Parties, statuses and rules of one file. Ask it through its methods and ``judge``."""

    hash: str
    """SHA-256 of the text, in hex."""
    name: str
    parties: tuple[Party, ...]
    statuses: tuple[StatusName, ...]
    initial: StatusName
    closed: frozenset[StatusName]
    rules: tuple[Rule, ...]
    default_language: str = "fr"
    languages: Mapping[str, str] = field(default_factory=dict)
    """By project, where it is another than the default."""
    guide_url: str = ""
    appeal_word: str = "#contestation"
    reminders: tuple[Reminder, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def party(self, name: PartyName) -> Party:
        """The party of this name. Raises ``KeyError`` when there is none."""
        return self.table.parties[name]

    def party_of(self, role_names: Collection[str]) -> PartyName | None:
        """The first party of the file that has one of these roles; None when none has."""
        for party in self.parties:
            if not party.roles.isdisjoint(role_names):
                return party.name
        return None

    def reverts(self, party: PartyName) -> bool:
        """Whether this party's illegal moves are put back under an enforced rule; else they are reported."""
        return self.table.parties[party].reverted

    def rule(self, rule: RuleId) -> Rule | None:
        """The rule of this id; None when the policy has no such rule (any more)."""
        return next((one for one in self.rules if one.id == rule), None)

    def is_closed(self, status: StatusName) -> bool:
        """Whether a ticket in this status is closed."""
        return status in self.closed

    def opens_again(self, origin: StatusName, target: StatusName) -> bool:
        """Whether this move reopens a closed ticket; what the ticket has visited then begins anew."""
        return origin in self.closed and target not in self.closed

    def language(self, project: str) -> str:
        """Language of the explanations in this project: ``fr`` or ``en``."""
        return self.languages.get(project, self.default_language)

    def legal_path(
        self,
        party: PartyName,
        origin: StatusName | None,
        target: StatusName,
        visited: Visited,
        *,
        project: str = "",
        type: str = "",
        at: datetime | None = None,
    ) -> bool:
        """Whether one or more moves of this party lead there that no enforced rule objects to.

        Needed for activities that were saved more than once and hide what was between (contract §4). Comments that
        rules ask for on the way are taken as made.
        """
        table = self.table
        if not table.knows(party, origin, target):
            return False
        return table.reaches(table.scope(project, type, at), party, origin, target, table.hits(visited))

    def alternatives(
        self,
        party: PartyName,
        origin: StatusName | None,
        visited: Visited,
        *,
        project: str = "",
        type: str = "",
        at: datetime | None = None,
    ) -> tuple[StatusName, ...]:
        """Where this party may go from here without any rule objecting, in the policy's order of statuses."""
        table = self.table
        if not table.knows(party, origin, self.initial):
            return ()
        return table.alternatives(table.scope(project, type, at), party, origin, table.hits(visited))

    def broken(
        self,
        party: PartyName,
        origin: StatusName | None,
        target: StatusName,
        visited: Visited,
        *,
        project: str = "",
        type: str = "",
        at: datetime | None = None,
    ) -> tuple[tuple[tuple[Rule, Mode], ...], tuple[tuple[Rule, Mode], ...]]:
        """The rules that object to such a move, the strictest first, and those that object or not by its facts.

        Each with how far it goes. A ticket's own facts and a person's exemptions are not looked at.
        """
        table = self.table
        found = table.objections((table.scope(project, type, at), party, origin, target, table.hits(visited)))
        return tuple((one.rule, one.mode) for one in found.broken), tuple((one.rule, one.mode) for one in found.open)

    @property
    def distinguishes(self) -> bool:
        """Whether projects, types, people, tickets or days make any difference."""
        return self.table.scoped

    def tells_apart(self, project: str, type: str, person: str, ticket: int, at: datetime) -> object:
        """What of this some rule, mode or exemption distinguishes: equal values are judged alike."""
        return self.table.scope(project, type, at, person, ticket)

    def due_reminders(
        self, status: StatusName, since: datetime, now: datetime, *, project: str = "", type: str = ""
    ) -> tuple[Reminder, ...]:
        """The reminders that a ticket calls for which has been in this status since then; each to be written once."""
        return tuple(
            reminder
            for reminder in self.reminders
            if reminder.mode is not Mode.OFF
            and status in reminder.statuses
            and now - since >= reminder.after
            and (reminder.projects is None or project in reminder.projects)
            and (reminder.types is None or type in reminder.types)
        )

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """Which facts of ``Move`` some rule needs: ``type``, ``author``, ``assignee``, ``fields``, ``movers``.

        A verdict that hangs on one that is not known is Undecided.
        """
        return frozenset[str]().union(*(rule.asks_for for rule in self.table.rules))

    @cached_property
    def table(self) -> Table:
        """The rules made ready to judge; derived, and no part of the value."""
        return Table(self)

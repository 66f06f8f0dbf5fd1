"""What a policy file says, as frozen values. No judgement here, no text, no places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.domain.model import Mode, PartyName, RuleId, StatusName

LANGUAGES = ("fr", "en")
"""Every sentence that end users read is given in each of these."""

Sentence = Mapping[str, str]
"""One sentence by language."""


@dataclass(frozen=True, slots=True)
class Party:
    """People who are held to the same rules, known by the names of their OpenProject roles."""

    name: PartyName
    label: Sentence
    roles: frozenset[str]
    reverted: bool
    """Whether this party's illegal moves are put back; else they are reported, whatever the rule's mode."""


# --- What a rule may ask of a move ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnlyBy:
    """Only these parties may make the move; nobody when empty."""

    parties: frozenset[PartyName]


@dataclass(frozen=True, slots=True)
class OnlyInto:
    """The move must lead into one of these; nowhere when empty."""

    statuses: frozenset[StatusName]


@dataclass(frozen=True, slots=True)
class After:
    """The ticket must have been in one of these since it was last opened."""

    statuses: frozenset[StatusName]


@dataclass(frozen=True, slots=True)
class NeedsComment:
    """One of these parties must comment in the same activity, or at most ``within`` before or after the move."""

    by: frozenset[PartyName]
    within: timedelta


@dataclass(frozen=True, slots=True)
class Filled:
    """These custom fields must hold something."""

    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class OtherPerson:
    """Whoever moves must be another person than each of these: ``author``, ``assignee``, or who set a status."""

    than: frozenset[str]


@dataclass(frozen=True, slots=True)
class SamePerson:
    """Whoever moves must be one of these: ``author``, ``assignee``, or who set a status."""

    one_of: frozenset[str]


PERSONS = ("author", "assignee")
"""Whom a rule may mean beside those who set a status."""

Demand = OnlyBy | OnlyInto | After | NeedsComment | Filled | OtherPerson | SamePerson


# --- The rule -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModeFor:
    """Another mode than the rule's own, in some projects or for some time. ``until`` is exclusive."""

    mode: Mode
    projects: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, project: str | None, at: datetime | None) -> bool:
        """True when a move in this project at this moment is under this mode; None is before all time."""
        return (
            (self.projects is None or project in self.projects)
            and (self.since is None or (at is not None and at >= self.since))
            and (self.until is None or at is None or at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which moves it looks at, what it asks of them, how far it goes.

    A selector that is None looks at everything. A creation in the initial status is nobody's move by hand, so only
    rules with ``creation`` look at it; a creation in any other status counts as a move into it.
    """

    id: RuleId
    sentence: Sentence
    source: str
    mode: Mode
    demand: Demand
    creation: bool = False
    into: frozenset[StatusName] | None = None
    origin: frozenset[StatusName] | None = None
    by: frozenset[PartyName] | None = None
    types: frozenset[str] | None = None
    projects: frozenset[str] | None = None
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Custom fields by label, each with the values that the rule looks at."""
    mode_for: tuple[ModeFor, ...] = ()

    def mode_in(self, project: str | None, at: datetime | None) -> Mode:
        """The mode for a move in this project at this moment: the first exception that fits, else the rule's own."""
        exception = self.exception_in(project, at)
        return self.mode if exception is None else exception.mode

    def exception_in(self, project: str | None, at: datetime | None) -> ModeFor | None:
        """The exception that counts for a move in this project at this moment; None when the rule's own mode does."""
        return next((exception for exception in self.mode_for if exception.fits(project, at)), None)

    @property
    def asks_for(self) -> frozenset[str]:
        """Which facts of ``Move`` it needs beside the kind of move; see ``Policy.asks_for``."""
        asked = {"type"} if self.types is not None else set()
        asked |= {"fields"} if self.fields or isinstance(self.demand, Filled) else set()
        match self.demand:
            case OtherPerson(refs) | SamePerson(refs):
                asked |= {ref if ref in PERSONS else "movers" for ref in refs}
            case _:
                pass
        return frozenset(asked)


@dataclass(frozen=True, slots=True)
class Reminder:
    """A comment that is written once when a ticket has been in a status for long."""

    id: RuleId
    sentence: Sentence
    """What the comment says."""
    source: str
    mode: Mode
    """``observe``: reported; ``enforce``: written."""
    statuses: frozenset[StatusName]
    after: timedelta
    types: frozenset[str] | None = None
    projects: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """Moves that rules shall not object to for a while, and who answers for it. A scope that is None means any."""

    id: str
    owner: str
    reason: str
    until: datetime
    """Exclusive."""
    rules: frozenset[RuleId] | None = None
    projects: frozenset[str] | None = None
    people: frozenset[str] | None = None
    tickets: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the bridge may put back before it stops and only reports.

    The defaults are for a support desk where illegal moves are single slips: whatever needs more than this is an
    import, a bulk edit, another robot or a mistake in the policy, and a person should look first.
    """

    reverts_per_cycle: int = 20
    """A bulk edit in OpenProject's list view easily takes 20 tickets; beyond that somebody should look."""
    reverts_per_hour: int = 60
    """One a minute: a person can still follow what is being put back."""
    reverts_per_person_per_hour: int = 10
    """Nobody learns from the eleventh explanation in an hour."""
    reverts_per_project_per_hour: int = 30
    """Half of the whole, so that one client's import leaves room for the others."""
    reverts_per_ticket_per_hour: int = 3
    """Twice may be a slip; three times on one ticket is a dispute or another robot."""
    share_of_moves: float = 0.5
    """When more than half of what people do in a cycle is illegal, the policy is more likely wrong than the people."""
    cool_down: timedelta = timedelta(minutes=30)
    """How long nothing more is put back within a limit that was reached."""

"""What a policy file says, as frozen values. No judgement here, no text, no places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


Demand = OnlyBy | OnlyInto | After | NeedsComment


# --- The rule -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModeFor:
    """Another mode than the rule's own, in some projects or for some time. ``until`` is exclusive."""

    mode: Mode
    projects: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, project: str, at: datetime) -> bool:
        """True when a move in this project at this moment is under this mode."""
        return (
            (self.projects is None or project in self.projects)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
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
    mode_for: tuple[ModeFor, ...] = ()

    def mode_in(self, project: str, at: datetime) -> Mode:
        """The mode for a move in this project at this moment: the first exception that fits, else the rule's own."""
        for exception in self.mode_for:
            if exception.fits(project, at):
                return exception.mode
        return self.mode


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

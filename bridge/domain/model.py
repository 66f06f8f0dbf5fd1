"""The nouns. Frozen values in OpenProject's and the policy's words; no behaviour that needs the outside.

All times are aware and in UTC, and are the *server's* times (its ``createdAt``/``updatedAt``/``Date``), truncated by
it to milliseconds (contract §2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

WorkPackageId = NewType("WorkPackageId", int)
ActivityId = NewType("ActivityId", int)
StatusId = NewType("StatusId", int)
TypeId = NewType("TypeId", int)
ProjectId = NewType("ProjectId", int)
UserId = NewType("UserId", int)

StatusName = NewType("StatusName", str)
"""A status as the *policy* spells it. The server's spelling may have changed since; see ``StatusNames``."""
RuleId = NewType("RuleId", str)
PartyName = NewType("PartyName", str)
DecisionId = NewType("DecisionId", str)
"""Day and number, as shown to people: ``2026-11-24-0042``."""


class Mode(StrEnum):
    """How far a rule goes: not judged, judged and reported, or judged and put back."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


# --- What the server said -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """One row of ``/api/v3/statuses`` (contract §9)."""

    id: StatusId
    name: str
    is_closed: bool
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One line of an activity whose label is the status' label: names as rendered, not yet believed.

    ``old`` is None for "set to"; ``new`` is None for "deleted". A custom field that carries the same label gives the
    same line (contract A.3, recording 16), so this is a candidate and not a fact.
    """

    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Activity:
    """One *revision* of one activity, as read at one moment. Activities change after being read (contract §4)."""

    id: ActivityId
    work_package: WorkPackageId
    version: int
    user: UserId
    created_at: datetime
    updated_at: datetime
    comment: str
    """``comment.raw``; empty when there is none."""
    retracted: bool
    """True when the comment is OpenProject's own "changes were retracted" note (contract §3.6), not a person's."""
    status_lines: tuple[StatusLine, ...]
    type_changed: bool
    project_changed: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A ticket as a ``select`` request lists it; ``status`` and ``type`` are None where the server does not tell."""

    id: WorkPackageId
    project: ProjectId
    status: StatusId | None
    type: TypeId | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """That a list showed a ticket in a status, by id."""

    at: datetime
    status: StatusId


@dataclass(frozen=True, slots=True)
class Ticket:
    """A work package as read right before writing to it."""

    id: WorkPackageId
    display_id: str
    project: ProjectId
    type: TypeId
    status: StatusId
    lock_version: int
    subject: str
    author: UserId | None
    assignee: UserId | None
    created_at: datetime
    updated_at: datetime
    schema: str
    """``<project>-<type>``, the key of the ticket's schema."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Custom fields by their key (``customField4``), as text; empty where nothing is filled in."""
    status_at: Mapping[datetime, StatusId | None] = field(default_factory=dict)
    """Status id at each past instant that was asked for (contract A.4); None where the ticket did not exist yet."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's roles in a project. Roles through groups have rows of their own (contract §8.2)."""

    project: ProjectId
    user: UserId
    user_name: str
    roles: tuple[str, ...]
    """Role names, sorted."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RoleSpell:
    """A person's roles in a project while they stayed the same, from the first to the last reading that showed them."""

    roles: tuple[str, ...]
    """Role names, sorted; empty when the person was not a member."""
    changed_at: datetime | None
    """The membership's ``updatedAt``: the roles have been these since then. None when not a member."""
    first_read: datetime
    last_read: datetime


# --- What the timeline proves ---------------------------------------------------------------------------------------


class Kind(StrEnum):
    """How the ticket came into the status."""

    CREATION = "creation"
    MOVE = "move"
    GAP = "gap"
    """No activity shows it, but the chain needs it. Nobody can be named for it."""


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """Identity of one status change: the activity, and which change within it (activities can hold several)."""

    activity: ActivityId
    part: int


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One step of a ticket's chain of statuses."""

    key: ChangeKey
    kind: Kind
    origin: StatusId | None
    """None for a creation, and where it cannot be told."""
    target: StatusId | None
    """None where it cannot be told."""
    actor: UserId | None
    earliest: datetime
    """The change did not happen before this."""
    latest: datetime
    """The change did not happen after this."""
    maybe_merged: bool
    """True when the activity may hide intermediate statuses, because it was saved more than once (contract §4)."""
    comment: str = ""
    """The comment in the same activity, if a person wrote one."""
    project_certain: bool = True
    """False when the ticket changed project at or after this change, so that the project of then is not known."""
    type_changed: bool = False
    doubt: str | None = None
    """Why this change is not proven; None when it is."""
    began: datetime | None = None
    """When the activity was created; earlier than ``earliest`` where an earlier form of it was seen."""
    began_in: StatusId | None = None
    """Where the ticket stood before the activity; None before a creation."""
    maybe_moved_on: bool = False
    """True when somebody may have moved the ticket on and back since: a later activity without a status was saved more
    than once (contract §4.3)."""
    maybe_been_elsewhere: bool = False
    """True when the ticket may have been in other statuses since, by whomever: an activity was saved again and shows
    none."""


class Told(NamedTuple):
    """One status change as the ledger keeps it, with what was said to it then: narrow, to judge 100,000 of them anew.

    Times are in microseconds since the epoch.
    """

    work_package: WorkPackageId
    project: ProjectId
    type: str
    activity: int
    part: int
    kind: str
    origin: int | None
    target: int | None
    person: UserId | None
    own: bool
    doubt: str | None
    """Why it is not proven; None when it is."""
    earliest: int
    latest: int
    decided: str
    """``allowed``, ``reported``, ``put back`` or ``undecided``."""
    rule: str | None
    """The objection that counted; None where none did."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A person's comment, for rules that ask for a reason and for appeals."""

    activity: ActivityId
    user: UserId
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A ticket's life in statuses, oldest first, derived from stored activities alone."""

    work_package: WorkPackageId
    changes: tuple[StatusChange, ...]
    comments: tuple[Comment, ...]

    @property
    def status(self) -> StatusId | None:
        """Where the activities say that the ticket stands; None when there are none or it cannot be told."""
        return self.changes[-1].target if self.changes else None

    @property
    def proven(self) -> bool:
        """True when every change is."""
        return bool(self.changes) and all(change.doubt is None for change in self.changes)


# --- What the policy says -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommentBy:
    """A comment near a move, reduced to what a rule may ask: whose party, when."""

    party: PartyName | None
    at: datetime
    same_activity: bool


@dataclass(frozen=True, slots=True)
class Move:
    """The facts a judgement may use, and nothing else. Statuses are in the policy's spelling."""

    party: PartyName
    origin: StatusName | None
    """None for a creation."""
    target: StatusName
    visited: frozenset[StatusName]
    """Statuses the ticket has legally been in since it was last opened, the present one included."""
    at: datetime
    now: datetime
    project: str = ""
    """The project's identifier or number as text; empty when the caller does not care."""
    type: str = ""
    person: str = ""
    ticket: int = 0
    comments: tuple[CommentBy, ...] = ()
    author: str | None = None
    """The author's number as text; None when it is not known."""
    assignee: str | None = None
    """The assignee's number as text, empty when there is none; None when it is not known."""
    fields: Mapping[str, str] | None = None
    """Custom fields by label, as text, empty where nothing is filled in; None when they are not known."""
    movers: Mapping[StatusName, str] | None = None
    """Who last moved the ticket into each status since it was last opened; None when it is not known."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One rule that a move breaks."""

    rule: RuleId
    mode: Mode
    sentence: Mapping[str, str]
    """The rule in words, by language (``fr``, ``en``)."""
    allowed_parties: tuple[PartyName, ...]
    """Who may make this move."""
    source: str
    """The sentence of the law that the rule comes from."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """No rule objects, or an exemption covers the objection."""

    note: str = ""
    """Why, where it is not plain: the benefit of the doubt, or an exemption's id."""
    exemption: str | None = None
    review_at: datetime | None = None
    """Judge again after this: a rule gives the person time (for a reason, say)."""


@dataclass(frozen=True, slots=True)
class Illegal:
    """At least one rule objects. The first objection is the one that is explained: the strictest, then file order."""

    objections: tuple[Objection, ...]
    alternatives: tuple[StatusName, ...]
    """Where this party may go instead from the status before the move."""
    exemption: str | None = None
    """One that covers a further rule, which would object as well."""
    review_at: datetime | None = None
    """Judge again after this: another rule still gives the person time and may come to object as well."""

    @property
    def mode(self) -> Mode:
        """How far the strictest objection goes."""
        return self.objections[0].mode


@dataclass(frozen=True, slots=True)
class Undecided:
    """The facts do not allow a judgement. Never acted upon; reported with its reason."""

    reason: str


Verdict = Allowed | Illegal | Undecided


@dataclass(frozen=True, slots=True)
class Judged:
    """A change with its verdict and the facts that the verdict used."""

    change: StatusChange
    verdict: Verdict
    party: PartyName | None
    """None when unknown, or when the bridge itself made the move."""
    own: bool = False
    """True when the bridge's own account made the move: recorded, never judged."""
    visited: frozenset[StatusName] = frozenset()
    """What the verdict took the ticket to have visited since it was last opened."""
    hangs_on_doubt: bool = False
    """True when the move is only allowed if earlier ones stand that nobody can be sure of."""


# --- What to do -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revert:
    """Put the ticket back to its legal state and explain why to the one who moved it."""

    work_package: WorkPackageId
    change: StatusChange
    objection: Objection
    alternatives: tuple[StatusName, ...]
    to: StatusId

"""The nouns of a simulated OpenProject, the truth it keeps, and its way to say no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from bridge.simulator.journal import Journal, State

Version = Literal["17.6", "15.4"]


class Refusal(Exception):
    """The server's no: a status, an identifier, and the key of a sentence in ``texts`` with its values."""

    def __init__(self, status: int, identifier: str, text: str, *, attribute: str | None = None, **values: str) -> None:
        super().__init__(f"{status} {identifier}: {text} {attribute or ''}".strip())
        self.status = status
        self.identifier = identifier
        self.text = text
        self.attribute = attribute
        self.values = values
        self.parts: tuple[Refusal, ...] = ()
        self.details: Mapping[str, str] = {}

    @classmethod
    def of(cls, parts: Sequence[Refusal]) -> Refusal:
        """Several complaints at once become one answer (contract §6.4)."""
        if len(parts) == 1:
            return parts[0]
        several = cls(422, "MultipleErrors", "several")
        several.parts = tuple(parts)
        return several


def forbidden() -> Refusal:
    """Seen, but not permitted."""
    return Refusal(403, "MissingPermission", "missing_permission")


def not_found(text: str = "not_found") -> Refusal:
    """Missing, or not visible to this person: OpenProject does not tell which."""
    return Refusal(404, "NotFound", text)


def invalid(attribute: str, text: str) -> Refusal:
    """An attribute cannot have this value."""
    return Refusal(422, "PropertyConstraintViolation", text, attribute=attribute)


def read_only(attribute: str) -> Refusal:
    """The person may not write this attribute."""
    return Refusal(422, "PropertyIsReadOnly", "read_only", attribute=attribute)


@dataclass(slots=True)
class Person:
    """A user account. ``label`` is what a world calls it; nobody sees it over HTTP."""

    id: int
    login: str
    name: str
    language: str
    created_at: datetime
    updated_at: datetime
    admin: bool = False
    status: Literal["active", "locked", "deleted"] = "active"
    builtin: bool = False
    label: str = ""


@dataclass(slots=True)
class Group:
    """People who share memberships."""

    id: int
    name: str
    members: list[int]


@dataclass(frozen=True, slots=True)
class Role:
    """A bundle of permissions in a project."""

    id: int
    name: str
    permissions: frozenset[str]


@dataclass(slots=True)
class Status:
    """A status a ticket can be in."""

    id: int
    name: str
    closed: bool
    default: bool
    position: int


@dataclass(slots=True)
class Type:
    """A kind of ticket; workflows hang on it."""

    id: int
    name: str
    position: int


@dataclass(slots=True)
class Project:
    """A project. Archived ones (``active`` false) are out of everybody's sight but an administrator's."""

    id: int
    identifier: str
    name: str
    created_at: datetime
    updated_at: datetime
    parent: int | None = None
    public: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class CustomField:
    """A field of the customer's own."""

    id: int
    name: str
    format: str
    choices: tuple[str, ...] = ()


@dataclass(slots=True)
class Membership:
    """The roles of a person or a group in a project: given to them, or inherited from groups."""

    id: int
    project: int
    principal: int
    created_at: datetime
    updated_at: datetime
    direct: tuple[int, ...] = ()
    inherited: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[int, ...]:
        """All role ids, sorted."""
        return tuple(sorted({*self.direct, *(role for roles in self.inherited.values() for role in roles)}))


@dataclass(slots=True)
class Ticket:
    """A work package. ``journals`` is empty only for tickets planted past the rules (``Instance.plant``)."""

    id: int
    author: int
    created_at: datetime
    updated_at: datetime
    lock_version: int
    state: State
    journals: list[Journal] = field(default_factory=list)


class Through(StrEnum):
    """What a move came with."""

    CREATION = "creation"
    STATUS = "status"
    TYPE = "type"
    """Status and type in one save: OpenProject does not check its workflow then (A.5)."""
    PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Move:
    """One move as it really happened, whatever the activities show later."""

    at: datetime
    ticket: int
    person: int
    origin: int | None
    """None for a creation."""
    target: int
    project: int
    """Where it was moved; the project that it left, when it changed project in the same save."""
    type: int
    """Afterwards."""
    roles: tuple[str, ...]
    """The person's role names in the project at that moment, sorted; empty for a non-member."""
    through: Through
    activity: int
    """The activity that holds it at first. A later save may rewrite it beyond recognition."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One comment, or one edit of a comment, as it was really written."""

    at: datetime
    ticket: int
    person: int
    activity: int
    text: str
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook call: the raw body and the headers that matter."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told of changes. ``secret`` empty: unsigned. ``deliver`` must not call back into the instance."""

    url: str
    secret: str
    events: frozenset[str]
    deliver: Callable[[Delivery], None]

"""What the record holds about one person or one text, and what is left of an entry without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, select

from bridge.domain.model import UserId
from bridge.store.database import believing, parse, snapshot
from bridge.store.projection import Payload, replay
from bridge.store.schema import EntryKind
from bridge.store.views import fact

REDACTED = "[redacted]"
"""Stands where a text was. Not empty, so that rules which ask for a comment still see that there was one."""

_STRUCTURE = frozenset(
    {
        "at", "kind", "party", "rule", "mode", "verdict", "id", "hash", "createdAt", "updatedAt", "_type", "roles",
        "origin_name", "target_name", "outcome", "key", "ledger", "watermark", "created_at", "changed_at", "earliest",
        "latest", "review_at",
    }
)  # fmt: skip
"""Members that are no text of anybody's, and that the tables are derived from."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person under every name they had."""

    id: UserId
    names: tuple[str, ...]

    def concerns(self, payload: Payload) -> bool:
        """Whether an entry is about them, by them, or names them."""
        received = payload.get("received", {})
        return (
            self.id in (payload.get("person"), received.get("user"))
            or self.without(EntryKind.CYCLE.value, payload) != payload
        )

    def without(self, kind: str, payload: Payload) -> Payload:
        """The entry without their names and without what they wrote. Their number stays."""
        if kind == EntryKind.PERSON.value and payload["person"] == self.id:
            return {**payload, "name": None}
        rest = payload
        received = payload.get("received", {})
        if received.get("user") == self.id and received["comment"]:
            rest = {**payload, "received": {**received, "comment": REDACTED}}
        if self.names:
            # Whole words: somebody may be called Bo.
            pattern = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in self.names))
            rest = _replaced(rest, lambda text: pattern.sub(REDACTED, text))
        return _marked(kind, payload, rest)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, wherever it stands."""

    text: str

    def without(self, kind: str, payload: Payload) -> Payload:
        """The entry with the text blacked out."""
        return _marked(kind, payload, _replaced(payload, lambda text: text.replace(self.text, REDACTED)))


def _replaced(payload: Payload, replace: Callable[[str], str]) -> dict[str, Any]:
    def within(value: object) -> object:
        if isinstance(value, str):
            return replace(value)
        if isinstance(value, Mapping):
            return {key: item if key in _STRUCTURE else within(item) for key, item in value.items()}
        if isinstance(value, list):
            return [within(item) for item in value]
        return value

    return {key: item if key in _STRUCTURE else within(item) for key, item in payload.items()}


def _marked(kind: str, before: Payload, after: Payload) -> Payload:
    """A redacted activity differs from the server's; the mark keeps that from bringing the text back."""
    return {**after, "redacted": True} if kind == EntryKind.ACTIVITY.value and after != before else after


def person(connection: Connection, id_: UserId) -> Person:
    """The person with all names that the record still tells."""
    query = select(fact.c.payload).where(fact.c.kind == EntryKind.PERSON.value)
    told = (orjson.loads(payload) for payload in connection.scalars(query))
    names = {each["name"] for each in told if each["person"] == id_ and each["name"]}
    return Person(id_, tuple(sorted(names, key=len, reverse=True)))


@dataclass(frozen=True, slots=True)
class Mention:
    """An entry that concerns a person."""

    seq: int
    kind: str
    work_package: int | None
    payload: Payload


def about(url: str, id_: UserId) -> tuple[Person, list[Mention]]:
    """Everything that the record holds about one person (an access request). Raises as ``snapshot`` does."""
    with snapshot(url) as connection, believing(parse(url)):
        who = person(connection, id_)
        return who, [Mention(*told) for told in replay(connection) if who.concerns(told[3])]

"""Shapes of values: each reads a node of the tree to a typed value, or says what is wrong, and draws its JSON Schema.

One declaration serves the reader, the editor's completion and the reference, so the three cannot differ. The classes
are bare ones (``eq=False, repr=False``, not frozen): there are twenty, and the rest would cost 15 ms of every start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from keyword import iskeyword
from typing import Any, Generic, Protocol, TypeVar

from bridge.domain.policy.yamltext import Findings, Node, Place, Scalar, Sequence
from bridge.domain.policy.yamltext import Mapping as Keys

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)
JsonSchema = dict[str, object]


@dataclass(slots=True)
class Reading:
    """What a shape needs while it reads: where to complain, and the names that the file declares.

    The names are kept by what they name, each with its place.
    """

    findings: Findings
    names: Mapping[str, Mapping[str, Place]] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)
    """What and name of each declared name that something refers to."""
    strange: set[str] = field(default_factory=set)
    """What some undeclared name was to be."""


class Shape(Protocol[T_co]):
    """How one value is written."""

    def read(self, node: Node, reading: Reading) -> T_co | None:
        """The value, or None after a complaint."""

    def schema(self) -> JsonSchema:
        """The same in JSON Schema, draft 2020-12."""


def _expected(node: Node, wanted: str, reading: Reading) -> None:
    hint = (
        "put it in quotes" if wanted.endswith("text") and isinstance(node, Scalar) and node.kind != "nothing" else None
    )
    reading.findings.complain(node, f"expected {wanted}, found {node.kind}", hint)


@dataclass(eq=False, repr=False)
class Text:
    """A text of one character or more, or an empty one where that means something."""

    wanted: str = "a text"
    pattern: str | None = None
    empty: bool = False
    hint: Callable[[str], str] | None = None
    """What to write instead of this."""

    def read(self, node: Node, reading: Reading) -> str | None:
        """See ``Shape``."""
        if not isinstance(node, Scalar) or node.kind != "text":
            if self.hint and node.kind == "nothing":
                reading.findings.complain(node, f"expected {self.wanted}, found nothing", self.hint(""))
            else:
                _expected(node, self.wanted if node.kind == "nothing" else "a text", reading)
            return None
        text = node.text.strip()
        if not (text or self.empty) or (self.pattern and not re.fullmatch(self.pattern, node.text)):
            hint = self.hint(text) if self.hint else None
            reading.findings.complain(node, f"expected {self.wanted}, found {node.text!r}", hint)
            return None
        return text

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        schema: JsonSchema = {"type": "string", "minLength": 0 if self.empty else 1}
        pattern = f"^(?:{self.pattern})$" if self.pattern else None if self.empty else r"\S"
        return schema | ({"pattern": pattern} if pattern else {})


@dataclass(eq=False, repr=False)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    what: str

    def read(self, node: Node, reading: Reading) -> str | None:
        """See ``Shape``."""
        if not isinstance(node, Scalar) or not node.text:
            _expected(node, f"{self.what}: {' or '.join(self.words)}", reading)
            return None
        if node.text not in self.words:
            reading.findings.unknown(node, self.what, node.text, self.words)
            return None
        return node.text

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"enum": list(self.words)}


@dataclass(eq=False, repr=False)
class Exactly:
    """One number and no other: the version of a format."""

    number: int
    what: str

    def read(self, node: Node, reading: Reading) -> int | None:
        """See ``Shape``."""
        if isinstance(node, Scalar) and node.plain and node.text == str(self.number):
            return self.number
        reading.findings.complain(node, f"expected {self.what} {self.number}, found {_shown(node)}")
        return None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"const": self.number}


@dataclass(eq=False, repr=False)
class Known:
    """A name that the same file declares: a status, a party, a rule; or one of a few words beside."""

    what: str
    words: tuple[str, ...] = ()

    def read(self, node: Node, reading: Reading) -> str | None:
        """See ``Shape``."""
        if not isinstance(node, Scalar) or node.kind != "text":
            _expected(node, f"a {self.what}" if node.kind == "nothing" else f"a {self.what}, which is a text", reading)
            return None
        known = (*self.words, *reading.names[self.what])
        if node.text not in known:
            reading.strange.add(self.what)
            listed = re.split(r"\s*,\s*", node.text)
            if len(listed) > 1 and all(one in known for one in listed):
                hint = f"write a list: [{', '.join(listed)}]"
                reading.findings.complain(node, f"unknown {self.what} {node.text!r}", hint)
                return None
            reading.findings.unknown(node, " or ".join((*self.words, self.what)), node.text, known)
            return None
        reading.used.add((self.what, node.text))
        return node.text

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "string", "minLength": 1, "pattern": r"\S"}


@dataclass(eq=False, repr=False)
class Number:
    """A whole number within bounds."""

    lowest: int
    highest: int

    def read(self, node: Node, reading: Reading) -> int | None:
        """See ``Shape``."""
        if not isinstance(node, Scalar) or not node.plain or not re.fullmatch(r"\d{1,12}", node.text):
            reading.findings.complain(node, f"expected a whole number, found {_shown(node)}")
            return None
        number = int(node.text)
        if not self.lowest <= number <= self.highest:
            reading.findings.complain(node, f"expected a number from {self.lowest} to {self.highest}, found {number}")
            return None
        return number

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(eq=False, repr=False)
class Percent:
    """``50 %``, read as 0.5."""

    def read(self, node: Node, reading: Reading) -> float | None:
        """See ``Shape``."""
        match = re.fullmatch(r"(\d{1,3}) ?%", node.text) if isinstance(node, Scalar) else None
        if match is None or int(match[1]) > 100:
            reading.findings.complain(node, f"expected a share, found {_shown(node)}", "such as '50 %'")
            return None
        return int(match[1]) / 100

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "string", "pattern": r"^(0?\d{1,2}|100) ?%$", "examples": ["50 %"]}


@dataclass(eq=False, repr=False)
class OnlyTrue:
    """A switch that is written when it is on and left out when it is not."""

    def read(self, node: Node, reading: Reading) -> bool | None:
        """See ``Shape``."""
        if isinstance(node, Scalar) and node.plain and node.text == "true":
            return True
        reading.findings.complain(node, f"expected true, found {_shown(node)}", "leave the key out when it is not so")
        return None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"const": True}


_UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_DURATION = r"([1-9]\d{0,4}) (minute|hour|day|week)s?"


@dataclass(eq=False, repr=False)
class Duration:
    """``15 minutes``, ``2 hours``, ``5 days``, ``1 week``: calendar time."""

    def read(self, node: Node, reading: Reading) -> timedelta | None:
        """See ``Shape``."""
        match = re.fullmatch(_DURATION, node.text) if isinstance(node, Scalar) else None
        if match is None:
            reading.findings.complain(
                node, f"expected a duration, found {_shown(node)}", "such as '15 minutes', '2 hours' or '5 days'"
            )
            return None
        return int(match[1]) * _UNITS[match[2]]

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "string", "pattern": f"^{_DURATION}$", "examples": ["15 minutes", "2 hours", "5 days"]}


_DAY = r"\d{4}-\d{2}-\d{2}"
"""Python knows further ways to write one, by week for example; editors do not."""


@dataclass(eq=False, repr=False)
class Day:
    """A day, ``2026-12-31``; it begins and ends in UTC. With ``end`` the value is the moment after its last one."""

    end: bool = False

    def read(self, node: Node, reading: Reading) -> datetime | None:
        """See ``Shape``."""
        try:
            written = isinstance(node, Scalar) and re.fullmatch(_DAY, node.text)
            day = date.fromisoformat(written[0] if written else "")
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start + timedelta(days=1) if self.end else start
        except (ValueError, OverflowError):
            reading.findings.complain(node, f"expected a day, found {_shown(node)}", "such as 2026-12-31")
            return None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "string", "format": "date", "examples": ["2026-12-31"]}


@dataclass(eq=False, repr=False)
class Identifier:
    """A name or number by which OpenProject knows something; numbers need no quotes."""

    what: str

    def read(self, node: Node, reading: Reading) -> str | None:
        """See ``Shape``."""
        if isinstance(node, Scalar) and node.text.strip() and (node.kind == "text" or re.fullmatch(r"\d+", node.text)):
            return node.text.strip()
        _expected(node, f"{self.what}, a text", reading)
        return None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": ["string", "integer"], "pattern": r"\S", "minimum": 0}


@dataclass(eq=False, repr=False)
class Several(Generic[T]):
    """One value or a list of them, none twice; or ``none_word`` for none at all."""

    one: Shape[T]
    none_word: str | None = None

    def read(self, node: Node, reading: Reading) -> frozenset[T] | None:
        """See ``Shape``."""
        if isinstance(node, Scalar) and self.none_word and node.text == self.none_word:
            return frozenset()
        if not isinstance(node, Sequence):
            value = self.one.read(node, reading)
            return None if value is None else frozenset((value,))
        if not node.items:
            reading.findings.complain(
                node, "an empty list", "leave the key out" if not self.none_word else self.none_word
            )
            return None
        return _distinct(node, self.one, reading)

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        one = self.one.schema()
        several: list[JsonSchema] = [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]
        return {"anyOf": ([{"const": self.none_word}] if self.none_word else []) + several}


def _distinct(node: Sequence, one: Shape[T], reading: Reading) -> frozenset[T] | None:
    seen: set[T] = set()
    whole = True
    for item in node.items:
        value = one.read(item, reading)
        if value is None:
            whole = False
        elif value in seen:
            reading.findings.complain(item, f"{value!s} stands here twice", "remove one")
            whole = False
        else:
            seen.add(value)
    return frozenset(seen) if whole else None


@dataclass(eq=False, repr=False)
class ListOf(Generic[T]):
    """A list in its order, one entry or more, none of them twice unless that is meant."""

    one: Shape[T]
    what: str
    distinct: bool = True

    def read(self, node: Node, reading: Reading) -> tuple[T, ...] | None:
        """See ``Shape``."""
        if not isinstance(node, Sequence) or not node.items:
            reading.findings.complain(node, f"expected a list of {self.what}, found {_shown(node)}")
            return None
        values: list[T] = []
        for item in node.items:
            value = self.one.read(item, reading)
            if self.distinct and value is not None and value in values:
                reading.findings.complain(item, "this stands in the list twice", "remove one")
            elif value is not None:
                values.append(value)
        return tuple(values) if len(values) == len(node.items) else None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {"type": "array", "items": self.one.schema(), "minItems": 1, "uniqueItems": self.distinct}


@dataclass(eq=False, repr=False)
class Made(Generic[T, U]):
    """A value of another shape, made into something."""

    of: Shape[T]
    make: Callable[[T], U]

    def read(self, node: Node, reading: Reading) -> U | None:
        """See ``Shape``."""
        value = self.of.read(node, reading)
        return None if value is None else self.make(value)

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return self.of.schema()


@dataclass(eq=False, repr=False)
class Key:
    """One key of a section: its value's shape, whether it must be there, and what it means to a reader."""

    shape: Shape[object]
    meaning: str
    required: bool = True


@dataclass(eq=False, repr=False)
class Section(Generic[T]):
    """Fixed keys with values, built into ``T`` by keyword; an optional key that is absent is not passed.

    ``build`` gets the keys with ``-`` read as ``_`` (and ``from`` as ``from_``), and ``places`` with the place of each
    key that is there. It may complain and return None.
    """

    what: str
    keys: Mapping[str, Key]
    build: Callable[..., T | None]

    def read(self, node: Node, reading: Reading, owner: Scalar | None = None) -> T | None:
        """See ``Shape``. ``owner`` is the name that this section stands under: where what it lacks is missed."""
        if not isinstance(node, Keys):
            hint = f"its keys: {', '.join(self.keys)}" if len(self.keys) < 4 else None
            reading.findings.complain(node, f"expected {self.what} as keys with values, found {_shown(node)}", hint)
            return None
        values: dict[str, Any] = {}
        places: dict[str, Node] = {}
        whole = True
        for key, place, value_node in distinct_keys(node, self.what, reading):
            places[key] = value_node
            if key not in self.keys:
                reading.findings.unknown(place, f"key in {self.what}", key, self.keys)
                whole = False
                continue
            value = self.keys[key].shape.read(value_node, reading)
            whole = whole and value is not None
            values[_argument(key)] = value
        for key, declared in self.keys.items():
            if declared.required and key not in places:
                reading.findings.complain(owner or node, f"{self.what} lacks {key!r}: {declared.meaning}")
                whole = False
        if not whole or len(places) < len(node.pairs):
            return None
        return self.build(**values, places=Places(owner or node, places, owner.text if owner else ""), reading=reading)

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [key for key, declared in self.keys.items() if declared.required],
            "properties": {
                key: declared.shape.schema() | {"description": declared.meaning} for key, declared in self.keys.items()
            },
        }


@dataclass(eq=False, repr=False)
class Places:
    """Where a section stands, and the value of each of its keys."""

    section: Place
    values: Mapping[str, Node]
    name: str = ""
    """The name that the section stands under, where it has one."""

    def of(self, key: str) -> Place:
        """The place of this key's value, or of the section when it is absent."""
        return self.values.get(key, self.section)


@dataclass(eq=False, repr=False)
class Named(Generic[T]):
    """Names of the author's choice, each with the same kind of value, in file order."""

    what: str
    one: Section[T]
    name: Text

    def read(self, node: Node, reading: Reading) -> tuple[T, ...] | None:
        """See ``Shape``. The name reaches ``build`` as ``places.name``."""
        if not isinstance(node, Keys) or not node.pairs:
            reading.findings.complain(node, f"expected {self.what}s by name, found {_shown(node)}")
            return None
        values: list[T] = []
        for _, place, value_node in distinct_keys(node, f"the {self.what}s", reading):
            name = self.name.read(place, reading)
            value = self.one.read(value_node, reading, place)
            if name is not None and value is not None:
                values.append(value)
        return tuple(values) if len(values) == len(node.pairs) else None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": self.one.schema(),
            "minProperties": 1,
        }


@dataclass(eq=False, repr=False)
class MapOf(Generic[T]):
    """Names with one plain value each."""

    what: str
    name: Shape[str]
    one: Shape[T]

    def read(self, node: Node, reading: Reading) -> dict[str, T] | None:
        """See ``Shape``."""
        if not isinstance(node, Keys) or not node.pairs:
            reading.findings.complain(node, f"expected {self.what}, found {_shown(node)}")
            return None
        values: dict[str, T] = {}
        for _, place, value_node in distinct_keys(node, self.what, reading):
            name, value = self.name.read(place, reading), self.one.read(value_node, reading)
            if name is not None and value is not None:
                values[name] = value
        return values if len(values) == len(node.pairs) else None

    def schema(self) -> JsonSchema:
        """See ``Shape``."""
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": self.one.schema(),
            "minProperties": 1,
        }


def distinct_keys(node: Keys, what: str, reading: Reading) -> list[tuple[str, Scalar, Node]]:
    """Key, its place and its value; a key that is no text, or comes again, is complained about and left out."""
    found: dict[str, tuple[str, Scalar, Node]] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            reading.findings.complain(key, f"expected a key of {what}, found {key.kind}")
        elif key.text in found:
            first = found[key.text][1]
            reading.findings.complain(key, f"duplicate key {key.text!r}", f"it stands already in line {first.line + 1}")
        elif key.text == "<<" and key.plain:
            reading.findings.complain(key, "merge keys are not part of a policy", "write the keys out")
            found[key.text] = (key.text, key, value)
        else:
            found[key.text] = (key.text, key, value)
    return list(found.values())


def _argument(key: str) -> str:
    name = key.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _shown(node: Node) -> str:
    return repr(node.text) if isinstance(node, Scalar) and node.text else node.kind

"""YAML text to a tree in which every key and value knows its place; what no policy needs from YAML is refused here.

Only ``ruamel.yaml``'s parser is used (YAML 1.2, pure Python, no I/O): it yields events and builds no objects, so
nothing in a file can act.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import NoReturn, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.tokens import ScalarToken

from bridge.errors import Complaint, PolicyError

MAX_BYTES = 512 * 1024
"""A policy is read by people: 500 rules are 100 KiB. Reading costs about 6 µs a byte, so this bounds it to 3 s."""

MAX_DEPTH = 20
"""No policy nests deeper than 6; this keeps a hostile file from exhausting the stack."""


# --- The tree -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scalar:
    """One word, number or text. ``plain`` is False when it stood in quotes or in a block, and so is a text."""

    line: int
    column: int
    text: str
    plain: bool

    @property
    def kind(self) -> str:
        """What a reader takes it for: text, number, yes-no, date or nothing."""
        if not self.plain:
            return "text"
        for kind, pattern in _PLAIN_KINDS.items():
            if re.fullmatch(pattern, self.text):
                return kind
        return "text"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with values, duplicates included."""

    line: int
    column: int
    pairs: tuple[tuple[Node, Node], ...]
    kind: str = "keys with values"


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    column: int
    items: tuple[Node, ...]
    kind: str = "a list"


Node = Scalar | Mapping | Sequence

_PLAIN_KINDS = {
    "nothing": r"|~|null|Null|NULL",
    "true or false": r"true|True|TRUE|false|False|FALSE",
    "a number": r"[-+]?(\d+|\d*\.\d+|\d+\.)([eE][-+]?\d+)?|0x[\da-fA-F]+|0o[0-7]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "a date": r"\d{4}-\d\d?-\d\d?([Tt ].*)?",
}


class Place(Protocol):
    """Where something stands, from 0."""

    @property
    def line(self) -> int:
        """Lines before it."""

    @property
    def column(self) -> int:
        """Characters before it in its line."""


# --- What is wrong with it ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Findings:
    """Collects what is wrong with one file, so that all of it is told at once."""

    file: str
    complaints: list[Complaint] = field(default_factory=list)

    def complain(self, place: Place, message: str, suggestion: str | None = None) -> None:
        """Add one complaint at a place."""
        self.complaints.append(Complaint(self.file, place.line + 1, place.column + 1, message, suggestion))

    def unknown(self, place: Place, what: str, name: str, known: Iterable[str]) -> None:
        """Complain about a name that is not among the known ones, and offer the nearest."""
        self.complain(place, f"unknown {what} {name!r}", did_you_mean(name, tuple(known)))

    def raise_if_any(self) -> None:
        """Raise ``PolicyError`` with every complaint so far, in file order and each once."""
        if self.complaints:
            ordered = sorted(dict.fromkeys(self.complaints), key=lambda one: (one.line, one.column))
            raise PolicyError(tuple(ordered))


def did_you_mean(name: str, known: tuple[str, ...]) -> str | None:
    """The nearest known name as a question, or the known ones when none is near and they are few."""
    folded = {one.casefold(): one for one in known}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return "known: " + ", ".join(known) if 0 < len(known) <= 12 else None


# --- From text to tree ----------------------------------------------------------------------------------------------


def parse(text: str | bytes, findings: Findings) -> Node:
    """The file's one document as a tree.

    Raises ``PolicyError`` at once where the text is no YAML, because nothing after that place can be trusted. Anchors,
    aliases and tags are findings.
    """
    source = _decoded(text, findings)
    try:
        events = YAML(typ="safe", pure=True).parse(source)
        root = _Composer(events, findings).document()
    except ReaderError as error:
        line_start = source.rfind("\n", 0, error.position) + 1
        place = _At(source.count("\n", 0, error.position), error.position - line_start)
        _refuse(findings, place, f"the character U+{error.character:04X} is not allowed in YAML")
    except MarkedYAMLError as error:
        _complain_of_strange_spaces(source, findings)
        findings.raise_if_any()  # the rest follows from these
        _refuse(findings, *_in_words(error, source))
    except YAMLError as error:
        _refuse(findings, _START, f"this is not YAML: {error}")
    if root is None or (isinstance(root, Scalar) and root.kind == "nothing"):
        _refuse(findings, root or _START, "the file is empty", "a policy begins with 'policy: 1'")
    return root


@dataclass(frozen=True, slots=True)
class _At:
    line: int
    column: int


_START = _At(0, 0)


class _Composer:
    def __init__(self, events: Iterator[Event], findings: Findings) -> None:
        self._events = events
        self._findings = findings
        self._depth = 0

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            match event:
                case DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._findings.complain(
                            event.start_mark, "a second document begins here", "a policy is one document"
                        )
                case NodeEvent():
                    root = root or self._node(event)
                case _:
                    pass
        return root

    def _node(self, event: Event) -> Node:
        assert isinstance(event, NodeEvent)
        mark = event.start_mark
        line, column = mark.line, mark.column
        if isinstance(event, AliasEvent):
            self._findings.complain(
                mark, f"the alias *{event.anchor}: aliases are not part of a policy", "write it out"
            )
            return Scalar(line, column, "", plain=True)
        if event.anchor is not None:
            self._findings.complain(mark, f"the anchor &{event.anchor}: anchors are not part of a policy", "remove it")
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        if event.tag is not None:
            self._findings.complain(mark, f"the tag {event.tag}: tags are not part of a policy", "remove it")
        if isinstance(event, ScalarEvent):
            return Scalar(line, column, event.value, plain=not event.style)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _refuse(self._findings, mark, f"this nests deeper than {MAX_DEPTH} levels")
        node = self._sequence(line, column) if isinstance(event, SequenceStartEvent) else self._mapping(line, column)
        self._depth -= 1
        return node

    def _sequence(self, line: int, column: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event))
        return Sequence(line, column, tuple(items))

    def _mapping(self, line: int, column: int) -> Mapping:
        pairs: list[tuple[Node, Node]] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, value = self._node(event), self._node(next(self._events))
            if isinstance(value, Scalar) and value.plain and not value.text:
                # ruamel puts what is not there at the next thing that is; people look for it behind its key
                value = replace(value, line=event.end_mark.line, column=event.end_mark.column)
            pairs.append((key, value))
        return Mapping(line, column, tuple(pairs))


def _decoded(text: str | bytes, findings: Findings) -> str:
    if len(text) > MAX_BYTES:
        _refuse(findings, _START, f"the file is larger than {MAX_BYTES // 1024} KiB: this is no policy")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(findings, _START, "the file is in UTF-16", "save it as UTF-8")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line_start = before.rfind(b"\n") + 1
        place = _At(before.count(b"\n"), len(before[line_start:].decode("utf-8-sig", "replace")))
        _refuse(findings, place, "the file is not in UTF-8", "save it as UTF-8")


def _refuse(findings: Findings, place: Place, message: str, suggestion: str | None = None) -> NoReturn:
    findings.complain(place, message, suggestion)
    findings.raise_if_any()
    raise AssertionError("unreachable: there is a complaint")


_IN_WORDS = (
    (r".*(?:\\t|\t).*", "a tab", "indent with spaces"),
    (r"mapping values are not .*", "a ':' out of place", "indent this under its key, or put the text in quotes"),
    (r"sequence entries are not .*", "a '-' out of place", "begin the list on a line of its own"),
    (r"could not find expected ':'", "a key without ':'", "write it as 'key: value', with a space behind the ':'"),
    (
        r"expected <block end>, but found '<scalar>'",
        "text after a closing quote, or a line that is not indented like its neighbours",
        "put the whole text in quotes, and double a quote inside it",
    ),
    (r"expected <block end>, .*", "this is not indented like its neighbours", "move it below the key it belongs to"),
    (r"expected ',' or '(.)', .*", "a ',' is missing in this, or the closing '{0}'", None),
    (r"found character '(.+)' that .*", "no text begins with {0!r}", "put it in quotes"),
    (r"found unknown escape character '(.+)'", "a \\ before {0} means nothing in double quotes", "use single quotes"),
    (r"found unexpected end of stream", "a quote that is never closed", None),
)
"""What the parser says, what that is in words, and what to do."""


_FORGOTTEN = r"could not find expected ':'|expected ',' or .*|found unexpected end of stream"
"""What is missing belongs to where the parser began to look for it, and not to where it gave up."""

_STRANGE_SPACE = re.compile(r"^(?:[ -]*|[ -]*[\w-]+:)([\u00a0\u2000-\u200b\u202f\u3000])", re.MULTILINE)


def _complain_of_strange_spaces(source: str, findings: Findings) -> None:
    """What a page or a word processor puts in the place of spaces looks like them, and the parser takes it for text."""
    for found in _STRANGE_SPACE.finditer(source):
        line = source.count("\n", 0, found.start(1))
        place = _At(line, found.start(1) - source.rfind("\n", 0, found.start(1)) - 1)
        findings.complain(place, f"the character U+{ord(found[1]):04X}, which looks like a space", "type a space")


def _never_closed(source: str, end: Place) -> Place | None:
    """Where the quoted text begins that ends at this place and goes on over lines: its own closing quote is missing."""
    last: ScalarToken | None = None
    for token in YAML(typ="safe", pure=True).scan(source):
        if (token.start_mark.line, token.start_mark.column) >= (end.line, end.column):
            break
        last = token if isinstance(token, ScalarToken) else last
    quoted = last is not None and last.style in ("'", '"') and last.start_mark.line < last.end_mark.line
    return last.start_mark if last is not None and quoted else None


def _lacks_colon(source: str, line: int) -> Place | None:
    """The line before this one, if it is mere words: they went on into this line, whose ':' is then one too many."""
    for number, text in reversed(list(enumerate(source.splitlines()[:line]))):
        words = text.strip()
        if words and not words.startswith("#"):
            is_key = re.search(r":(\s|$)", words)
            return None if is_key or words.startswith("-") else _At(number, text.index(words))
    return None


def _in_words(error: MarkedYAMLError, source: str) -> tuple[Place, str, str | None]:
    problem = error.problem or "it ends too early"
    place: Place = error.problem_mark or error.context_mark or _START
    if re.fullmatch(_FORGOTTEN, problem, re.DOTALL):
        place = error.context_mark or place
    if problem.startswith("expected <block end>") and (begun := _never_closed(source, place)):
        return begun, "a quote that is never closed", None
    if "mapping values" in problem and (lacking := _lacks_colon(source, place.line)):
        place, problem = lacking, "could not find expected ':'"
    for pattern, words, hint in _IN_WORDS:
        if found := re.fullmatch(pattern, problem, re.DOTALL):
            return place, words.format(*found.groups()), hint
    return place, f"this is not YAML: {problem}", None

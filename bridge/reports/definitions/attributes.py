"""What a ticket's assignee, version or subject was at a moment, as its activities say. Values are texts as rendered.

The ledger keeps activities as received, in the language of the bridge's account; the labels are conventions. A custom
field with the same label cannot be told apart, so these texts group rows and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from html import unescape
from operator import itemgetter

from bridge.store.snapshot import Snapshot

_LINE = re.compile(
    r"<strong>([^<]*)</strong> [^<]*"
    r"(?:<i>([^<]*)</i>(?:\s*(?:<br ?/?>)?[^<]*<i>([^<]*)</i>)?|<strike><i>[^<]*</i></strike>\))"
)
"""Set to, changed from and to, deleted; contract §3.2. Values are escaped, so they hold no tag of their own."""


class Attribute:
    """One attribute over time, of each ticket whose activities speak of it."""

    def __init__(self) -> None:
        self._changes: dict[int, list[tuple[int, str]]] = {}

    def add(self, ticket: int, at: int, value: str) -> None:
        """From this moment on the ticket has this value. Of one moment the last that is added counts."""
        self._changes.setdefault(ticket, []).append((at, value))

    def at(self, ticket: int, moment: int) -> str | None:
        """The value at a moment; empty when there was none, None when no activity tells."""
        return _newest([change for change in self._changes.get(ticket, ()) if change[0] <= moment])

    def last(self, ticket: int) -> str | None:
        """The present value."""
        return _newest(self._changes.get(ticket, ()))


def _newest(changes: Sequence[tuple[int, str]]) -> str | None:
    return max(reversed(changes), key=itemgetter(0))[1] if changes else None


def attributes(
    snapshot: Snapshot, labels: Mapping[str, Collection[str]], tickets: Collection[int]
) -> dict[str, Attribute]:
    """The attributes with these labels, by name, of these tickets. One reading for all."""
    names = {label: name for name, each in labels.items() for label in each}
    told = {name: Attribute() for name in labels}
    values: dict[str, str] = {}  # the same few values come over and over
    for line in snapshot.lines(frozenset(names), tickets):
        for _, markup in line.details:
            label, _, _ = markup.removeprefix("<strong>").partition("</strong>")
            name = names.get(unescape(label))
            match = _LINE.fullmatch(markup) if name is not None else None
            if match is not None and name is not None:
                value = unescape(match[3] or match[2] or "")
                told[name].add(line.work_package, line.at, values.setdefault(value, value))
    return told

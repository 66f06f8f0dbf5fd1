"""What a ticket's assignee, version or subject was at a moment, as its activities say. Values are texts as rendered.

The ledger keeps activities as received, in the language of the bridge's account; the labels are conventions. A custom
field with the same label cannot be told apart, so these texts group rows and decide nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from html import unescape

from bridge.store.queries import Snapshot

_LINE = re.compile(
    r"<strong>([^<]*)</strong> [^<]*"
    r"(?:<i>([^<]*)</i>(?:\s*(?:<br ?/?>)?[^<]*<i>([^<]*)</i>)?|<strike><i>[^<]*</i></strike>\))"
)
"""Set to, changed from and to, deleted; contract §3.2. Values are escaped, so they hold no tag of their own."""


class Attribute:
    """One attribute of all tickets, over time."""

    def __init__(self, changes: Iterable[tuple[int, int, str]]) -> None:
        """``changes`` are ticket, moment and the value from then on."""
        self._times: dict[int, list[int]] = {}
        self._values: dict[int, list[str]] = {}
        for ticket, at, value in sorted(changes):
            self._times.setdefault(ticket, []).append(at)
            self._values.setdefault(ticket, []).append(value)

    def at(self, ticket: int, moment: int) -> str | None:
        """The value at a moment; empty when there was none, None when no activity tells."""
        times = self._times.get(ticket)
        index = bisect_right(times, moment) - 1 if times else -1
        return self._values[ticket][index] if index >= 0 else None

    def last(self, ticket: int) -> str | None:
        """The present value."""
        values = self._values.get(ticket)
        return values[-1] if values else None


def attributes(
    snapshot: Snapshot, labels: dict[str, Collection[str]], tickets: Collection[int] | None = None
) -> dict[str, Attribute]:
    """The attributes with these labels, by name; of all tickets or of these. One reading for all."""
    names = {label: name for name, each in labels.items() for label in each}
    changes: dict[str, list[tuple[int, int, str]]] = {name: [] for name in labels}
    for line in snapshot.lines(frozenset(names), tickets):
        for _, markup in line.details:
            match = _LINE.fullmatch(markup)
            name = names.get(unescape(match[1])) if match else None
            if match is not None and name is not None:
                value = match[3] if match[3] is not None else match[2]
                changes[name].append((line.work_package, line.at, unescape(value) if value is not None else ""))
    return {name: Attribute(each) for name, each in changes.items()}

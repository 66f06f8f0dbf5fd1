"""What tickets are called: read from what their activities say, since the ledger keeps no subject of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Collection

from bridge.store.queries import Snapshot

_VALUE = re.compile(r"<(?:i|ins)>(.*?)</(?:i|ins)>", re.DOTALL)


def subjects(snapshot: Snapshot, tickets: Collection[int], labels: Collection[str]) -> dict[int, str]:
    """The last known subject of each of these tickets; missing where no activity tells, or nobody named the labels."""
    found: dict[int, str] = {}
    marks = tuple(f"<strong>{label}</strong>" for label in labels)
    for line in snapshot.lines(labels, tickets):
        for _, marked in line.details:
            values = _VALUE.findall(marked) if marked.startswith(marks) else []
            if values:  # "set to X", or "changed from X to Y": the last one is what it became
                found[line.work_package] = html.unescape(values[-1])
    return found

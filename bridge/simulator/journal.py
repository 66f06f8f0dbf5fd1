"""What OpenProject writes down about a ticket, and how it forgets: journal aggregation (contract §4, observed A.3).

Pure: no clock, no ids of its own, no texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple


class State(NamedTuple):
    """What journals keep of a ticket. ``custom`` holds (custom field id, value), sorted, without empty ones."""

    project: int
    type: int
    status: int
    subject: str
    description: str = ""
    assignee: int | None = None
    custom: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class Journal:
    """One activity of a ticket. It is rewritten in place while the aggregation window is open."""

    id: int
    ticket: int
    version: int
    user: int
    created_at: datetime
    updated_at: datetime
    state: State
    """The ticket after it."""
    notes: str = ""
    rendered: tuple[tuple[str, int], ...] = ()
    """(language, epoch of names) of each rendering that a 17 keeps in its cache until the journal changes (A.3)."""

    def touch(self, at: datetime) -> None:
        """Move ``updated_at``, which also makes a cached rendering stale (contract §3.5)."""
        self.updated_at = at
        self.rendered = ()


def merges(last: Journal, user: int, now: datetime, notes: str, window: timedelta) -> bool:
    """Whether a save by this user goes into the last journal instead of a new one (contract §4.1)."""
    return (
        window > timedelta(0) and last.user == user and last.updated_at >= now - window and not (last.notes and notes)
    )


def record(
    journals: list[Journal],
    *,
    ticket: int,
    user: int,
    now: datetime,
    state: State,
    notes: str,
    window: timedelta,
    touches_when_unchanged: bool,
    next_id: Callable[[], int],
) -> Journal | None:
    """Write a save down in the ticket's journals and return the journal that holds it, or None when nothing changed.

    ``touches_when_unchanged`` is 15.4: a save without a change inside the window still moves the last journal's time,
    because it is compared with the journal before that one (recording 11, "a move to the same status").
    """
    if journals:
        last = journals[-1]
        unchanged = last.state == state and not notes
        if merges(last, user, now, notes, window):
            if unchanged and not touches_when_unchanged:
                return None
            last.state = state
            last.notes = notes or last.notes
            last.touch(now)
            return last
        if unchanged:
            return None
    journal = Journal(next_id(), ticket, len(journals) + 1, user, now, now, state, notes)
    journals.append(journal)
    return journal

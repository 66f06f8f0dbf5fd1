"""A written day: who does what when, and what of it is illegal. Plays it on an ``Instance``, act by act.

The data is a file's (``config/demo/day.yaml`` shows the form); this knows no status and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from bridge.simulator.clock import Clock
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Move, Ticket


@dataclass(frozen=True, slots=True)
class Act:
    """What one person does to one ticket at one moment."""

    at: datetime
    who: str
    ticket: str
    """The script's own name for it."""
    project: str = ""
    create: str = ""
    """The subject of the ticket that is created; empty when it is there already."""
    to: str = ""
    """The status it is moved to, or created in."""
    say: str = ""
    illegal: str = ""
    """The rule that this breaks; empty when it is legal."""
    ends: str = ""
    """What becomes of an illegal move, in the words of the reports: ``put back``, ``reported`` or ``observed``."""


@dataclass(frozen=True, slots=True)
class Script:
    """Acts in order of time."""

    begins: datetime
    ends: datetime
    timezone: ZoneInfo
    acts: tuple[Act, ...]


def read(text: str) -> Script:
    """A script from YAML. Raises ValueError or TypeError for a wrong one: scripts are the project's own."""
    raw: Mapping[str, Any] = YAML(typ="safe").load(text)
    zone = ZoneInfo(raw["timezone"])

    def moment(local: str) -> datetime:
        return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)

    acts = (Act(**act | {"at": moment(act["at"])}) for act in raw["acts"])
    ordered = tuple(sorted(acts, key=lambda act: act.at))
    for act in ordered:
        if bool(act.illegal) != bool(act.ends):
            raise ValueError(f"{act.at} {act.ticket}: an illegal move has an end, and only an illegal move")
    return Script(moment(raw["begins"]), moment(raw["ends"]), zone, ordered)


class Player:
    """Plays a script on an instance whose time is ``clock``."""

    def __init__(self, script: Script, instance: Instance, clock: Clock) -> None:
        self.script = script
        self.tickets: dict[str, Ticket] = {}
        """By the script's own name."""
        self.moves: list[tuple[Act, Move]] = []
        """Every move that was made, with the act that made it."""
        self._instance = instance
        self._clock = clock
        self._next = 0

    def until(self, moment: datetime) -> tuple[Act, ...]:
        """Let time pass up to a moment; the acts that happened meanwhile."""
        first = self._next
        acts = self.script.acts
        while self._next < len(acts) and acts[self._next].at <= moment:
            # With the server's lock: no reader sees half an act.
            with self._instance.lock:
                self._clock.set(acts[self._next].at)
                self._play(acts[self._next])
            self._next += 1
        self._clock.set(moment)
        return acts[first : self._next]

    def subject(self, ticket: int) -> str:
        """What a ticket is about."""
        return self._instance.tickets[ticket].state.subject

    def _play(self, act: Act) -> None:
        before = len(self._instance.moves)
        if act.create:
            self.tickets[act.ticket] = self._instance.create(act.who, act.project, act.create, status=act.to or None)
        elif act.to:
            self._instance.set_status(act.who, self.tickets[act.ticket], act.to)
        if act.say:
            self._instance.comment(act.who, self.tickets[act.ticket], act.say)
        self.moves += [(act, move) for move in self._instance.moves[before:]]

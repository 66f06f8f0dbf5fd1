"""What the web side is given: where to read, who may look, and the few things it may ask for. Wiring fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from bridge.domain.model import WorkPackageId
from bridge.domain.policy import Policy
from bridge.reports.conventions import Conventions
from bridge.store.queries import Queries

Network = IPv4Network | IPv6Network


class Pulse(Protocol):
    """How the daemon is: what its heartbeat says."""

    @property
    def interval(self) -> float:
        """Seconds between cycles."""
        ...

    @property
    def started_at(self) -> datetime:
        """When the daemon started."""
        ...

    @property
    def cycles(self) -> int:
        """Cycles since then, failed ones included."""
        ...

    @property
    def missed(self) -> int:
        """Cycles that were due while another was still running."""
        ...

    @property
    def failures(self) -> int:
        """Cycles that failed since the last good one."""
        ...

    @property
    def last_success(self) -> datetime | None:
        """When the last good cycle ended."""
        ...

    @property
    def error(self) -> str:
        """Why the last cycle failed; empty when it did not."""
        ...

    @property
    def stopped_at(self) -> datetime | None:
        """When the daemon was stopped; None while it runs."""
        ...


@dataclass(frozen=True, slots=True)
class Actions:
    """All that somebody in front of the dashboard can bring about. Each is recorded by whoever carries it out.

    None means that this process cannot: without the daemon there is no ledger to write to.
    """

    pause: Callable[[str, str], None]
    """Put nothing back from now on: who asks for it, and why."""
    resume: Callable[[str], None]
    """Go on: who asks for it."""
    acknowledge: Callable[[str, str], None] | None = None
    """Somebody has seen a matter: who, and the matter's key."""
    record_login: Callable[[str, str], None] | None = None
    """That somebody signed in: who, and from which address."""
    record_export: Callable[[str, str], None] | None = None
    """That somebody took a report away: who, and which file."""
    hint: Callable[[WorkPackageId], None] | None = None
    """Look at this ticket soon."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose word is taken for who somebody is (OpenID Connect)."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    allowed: frozenset[str]
    """E-mail addresses, and subjects: what has no @."""
    ca: str | None = None
    """File of certificates instead of the public ones."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in, and how."""

    users: dict[str, str] = field(default_factory=dict, repr=False)
    """Names and their hashed passwords."""
    user_header: str = ""
    """Header in which a trusted proxy names the person it has signed in; empty for none."""
    trusted_proxies: tuple[Network, ...] = ()
    open_probes: bool = False
    """Whether /readyz and /metrics answer without a login."""
    webhook_secret: bytes = field(default=b"", repr=False)
    """Empty: no webhook is accepted."""
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that pages and probes are made from."""

    queries: Queries
    policy: Policy
    conventions: Conventions
    mode: str
    ticket_url: str
    """Address of the OpenProject, to link tickets."""
    version: str
    doors: Doors
    actions: Actions
    pulse: Callable[[], Pulse | None]
    paused: Callable[[], str | None]
    """Why nothing is put back now; None when it may be."""
    now: Callable[[], datetime]
    is_note: Callable[[str], bool] = lambda text: False
    """Whether a comment is OpenProject's own."""
    record_holds: Callable[[], bool | None] = lambda: None
    """What the daemon's last check of its record said; None before the first."""

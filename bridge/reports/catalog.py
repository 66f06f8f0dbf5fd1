"""Every report by name. The one list that the command line, the dashboard and schedules go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.errors import ConfigError
from bridge.reports.definitions.ages import ages
from bridge.reports.definitions.client import my_requests, my_reverted_moves
from bridge.reports.definitions.closed import closed
from bridge.reports.definitions.completeness import completeness
from bridge.reports.definitions.flow import flow
from bridge.reports.definitions.policy import policy
from bridge.reports.definitions.reopened import reopened
from bridge.reports.definitions.reverts import reverts
from bridge.reports.definitions.service import service_times
from bridge.reports.definitions.stays import time_in_status
from bridge.reports.definitions.unexplained import unexplained
from bridge.reports.definitions.violations import violations
from bridge.reports.definitions.waiting import whose_clock
from bridge.reports.desk import Desk
from bridge.reports.values import Report


@dataclass(frozen=True, slots=True)
class Definition:
    """A report that can be made. ``number`` is its place in docs/reports.md."""

    name: str
    number: str
    make: Callable[[Desk], Report]
    about_somebody: bool = False
    """Whether it needs a person or projects to be about."""


REPORTS: Mapping[str, Definition] = MappingProxyType(
    {
        each.name: each
        for each in (
            Definition("violations", "R1", violations),
            Definition("reverts", "R2", reverts),
            Definition("time-in-status", "R3", time_in_status),
            Definition("ages", "R4", ages),
            Definition("reopened", "R5", reopened),
            Definition("closed", "R6", closed),
            Definition("service-times", "R7, C3", service_times),
            Definition("without-reason", "R8", unexplained),
            Definition("whose-clock", "R9", whose_clock),
            Definition("flow", "R10", flow),
            Definition("policy", "R11", policy),
            Definition("completeness", "R12", completeness),
            Definition("my-requests", "C1", my_requests, about_somebody=True),
            Definition("my-reverted-moves", "C2", my_reverted_moves, about_somebody=True),
        )
    }
)


def make(name: str, desk: Desk) -> Report:
    """A report by its name. Raises ConfigError for one that there is not."""
    definition = REPORTS.get(name)
    if definition is None:
        raise ConfigError(f"there is no report {name!r}: there are {', '.join(REPORTS)}")
    return definition.make(desk)

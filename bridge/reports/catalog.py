"""Every report by name. The one list that the command line, the dashboard and schedules go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.errors import ConfigError
from bridge.reports.definitions.reverts import reverts
from bridge.reports.definitions.violations import violations
from bridge.reports.desk import Desk
from bridge.reports.values import Report


@dataclass(frozen=True, slots=True)
class Definition:
    """A report that can be made. ``number`` is its place in docs/reports.md."""

    name: str
    number: str
    make: Callable[[Desk], Report]


REPORTS: Mapping[str, Definition] = MappingProxyType(
    {
        each.name: each
        for each in (
            Definition("violations", "R1", violations),
            Definition("reverts", "R2", reverts),
        )
    }
)


def make(name: str, desk: Desk) -> Report:
    """A report by its name. Raises ConfigError for one that there is not."""
    definition = REPORTS.get(name)
    if definition is None:
        raise ConfigError(f"there is no report {name!r}: there are {', '.join(REPORTS)}")
    return definition.make(desk)

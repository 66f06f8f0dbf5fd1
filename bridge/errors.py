"""Every error the bridge raises on purpose, branched by what the caller shall do about it.

    BridgeError
    ├── ConfigError      the operator must change something; exit 2
    │   └── PolicyError  the policy file is wrong; carries every complaint with its place; exit 2
    ├── RetryLater       the remote or the store is unavailable now; the next cycle tries again; exit 3
    ├── SkipItem         this ticket cannot be handled now; record why and go on with the others
    └── Stop             going on would do harm or lose data; end the process; exit 3

A message says what happened, to what, and what the operator can do. It never holds a token or a ticket's text.
"""

from __future__ import annotations

from dataclasses import dataclass

EXIT_FINE = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


class BridgeError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = EXIT_UNAVAILABLE


class ConfigError(BridgeError):
    """Settings, policy, URL, token or permission are wrong: nothing will improve until somebody changes them."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake in a file: where it is (1-based line and column) and what to write instead."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class PolicyError(ConfigError):
    """The policy file cannot be used. All complaints at once, in file order."""

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        super().__init__("\n".join(map(str, complaints)))
        self.complaints = complaints


class RetryLater(BridgeError):
    """The other side did not answer, or asked to be left alone for now. Nothing is lost: try in the next cycle."""


class SkipItem(BridgeError):
    """One ticket cannot be read or written for a reason of its own. The others go on."""


class Stop(BridgeError):
    """Going on would act on wrong ground (token refused, store full or foreign, another writer). The process ends."""

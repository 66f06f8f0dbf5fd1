"""Tells systemd how the service is, by datagrams as in sd_notify(3). Says nothing where systemd does not listen."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

PATIENCE = 3
"""Poll intervals that a cycle may go without progress before systemd may end it."""


class Notifier:
    """The service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``, which systemd sets."""
        path = environment.get("NOTIFY_SOCKET", "")
        # An @ stands for the zero byte of Linux's abstract names.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog = int(environment.get("WATCHDOG_USEC") or 0)

    def ready(self, interval: float) -> None:
        """The service does its work from now on, in cycles every ``interval`` seconds.

        The unit's ``WatchdogSec`` is the least: between two cycles nothing is told, so a long interval needs more.
        """
        self._tell("READY=1")
        if self._watchdog:
            self._tell(f"WATCHDOG_USEC={max(self._watchdog, round(PATIENCE * interval * 1e6))}")

    def progress(self, status: str = "") -> None:
        """A cycle came on: it ended, well or not, or read some tickets. A cycle that hangs does not call this."""
        self._tell("WATCHDOG=1" + (f"\nSTATUS={' '.join(status.split())}" if status else ""))

    def waiting(self, status: str) -> None:
        """A standby: alive and with nothing to do yet. Counts as started, or systemd would give it up."""
        self._tell(f"READY=1\nWATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The service was told to end, and does."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(message.encode(), self._address)
            except OSError:
                return  # whoever listened has gone; that must not end the watch

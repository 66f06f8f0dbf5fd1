"""Calls a person: by mail, by webhook, and by a ping that stays away when the bridge does not work (a dead-man switch).

It knows only what a cycle reported. That a call does not get through is a line in the log; it never stops the watch.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import orjson
import structlog

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.engine.cycle import CycleReport

PATIENCE = 10.0
"""Seconds that one call may take: it is made between two cycles."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person should look at.

    ``matter`` is one of breaker, given_up, permission_lost, checkpoint, broken_chain and stopped.
    """

    matter: str
    text: str


Channel = Callable[[Alert], None]
"""Delivers one alert, or raises OSError or smtplib.SMTPException."""


class Alerts:
    """Tells each alert once for as long as cycles go on reporting it."""

    def __init__(self, channels: Collection[Channel], ping: Callable[[], None] = lambda: None) -> None:
        self._channels = channels
        self._ping = ping
        self._standing: frozenset[Alert] = frozenset()
        self._log = structlog.get_logger("bridge.alerts")

    def cycle(self, report: CycleReport, *, whole: bool = True) -> None:
        """After a good cycle: tell what is new in it, and after a ``whole`` one that the bridge lives."""
        found = matters(report)
        for alert in sorted(found - self._standing, key=lambda alert: (alert.matter, alert.text)):
            self.tell(alert)
        self._standing = found if whole else self._standing | found
        if whole:
            self._try("the ping", self._ping)

    def tell(self, alert: Alert) -> bool:
        """By every channel; one that fails does not keep the others from it. Whether all of them took it."""
        taken = [self._try("an alert", lambda channel=channel: channel(alert)) for channel in self._channels]  # type: ignore[misc]
        return all(taken)

    def _try(self, what: str, send: Callable[[], None]) -> bool:
        try:
            send()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # The reason without the address: webhooks and pings carry their secret in it.
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            self._log.warning("not delivered", what=what, reason=str(reason))
            return False
        return True


def matters(report: CycleReport) -> frozenset[Alert]:
    """What in a cycle needs a person."""
    found = set()
    if report.breaker is not None:
        found.add(Alert("breaker", f"The circuit breaker stopped all reverts: {report.breaker}. See: bridge status"))
    if report.unreadable_projects:
        found.add(
            Alert(
                "permission_lost",
                f"The members of {report.unreadable_projects} project(s) cannot be read: moves there stay undecided, "
                "and nothing is put back. See: bridge doctor",
            )
        )
    for acted in report.acted:
        if acted.result.value not in ("refused", "unproven"):
            continue
        lost = "MissingPermission" in acted.detail or "may not comment" in acted.detail
        found.add(
            Alert(
                "permission_lost" if lost else "given_up",
                f"Ticket {acted.action.work_package}, decision {acted.action.decision}, is not put back as it should "
                f"be: {acted.detail}. See: bridge doctor",
            )
        )
    return frozenset(found)


# --- Channels -------------------------------------------------------------------------------------------------------


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        """Nobody else is told."""


def _opener() -> OpenerDirector:
    # As for OpenProject: no proxy that the environment happens to name.
    return build_opener(_Stay, ProxyHandler({}))


def webhook(url: str, source: str) -> Channel:
    """A POST of ``{"matter", "text", "source"}`` as JSON; ``text`` alone is what chat systems show."""

    def send(alert: Alert) -> None:
        body = orjson.dumps({"matter": alert.matter, "text": alert.text, "source": source})
        request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - settings let in http(s) only
        _opener().open(request, timeout=PATIENCE).close()

    return send


def ping(url: str) -> Callable[[], None]:
    """A GET, as services that miss a sign of life expect it."""
    return lambda: _opener().open(url, timeout=PATIENCE).close()


def mail(server: str, sender: str, to: str, source: str, now: Callable[[], datetime]) -> Channel:
    """By ``smtp://`` (with STARTTLS where there is a user) or ``smtps://``, with user and password in the URL."""

    def send(alert: Alert) -> None:
        message = EmailMessage()
        message["From"], message["To"] = sender, to
        message["Subject"] = f"[bridge] {alert.matter.replace('_', ' ')}: {source}"
        message["Date"] = format_datetime(now())
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(alert.text + "\n")
        at = urlsplit(server)
        host, secure = at.hostname or "localhost", at.scheme == "smtps"
        trusted = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(host, at.port or 465, timeout=PATIENCE, context=trusted)
            if secure
            else smtplib.SMTP(host, at.port or 25, timeout=PATIENCE)
        ) as session:
            if at.username:
                if not secure:
                    session.starttls(context=trusted)
                session.login(unquote(at.username), unquote(at.password or ""))
            session.send_message(message)

    return send

"""Mail over SMTP, encrypted unless the operator says otherwise. It knows no report."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from enum import StrEnum
from pathlib import Path

from bridge.errors import ConfigError, RetryLater

TIMEOUT = 30
"""Seconds; a mail server that takes longer to greet is down."""


class Security(StrEnum):
    """How the connection is encrypted."""

    STARTTLS = "starttls"
    """From plain to encrypted before anything is said; without it nothing is sent."""
    TLS = "tls"
    NONE = "none"
    """For a mail server on this machine."""


PORTS = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """From where mail is sent."""

    host: str
    sender: str
    """``Bridge <bridge@example.org>``."""
    security: Security = Security.STARTTLS
    port: int | None = None
    """None: the usual one."""
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Certificates to trust instead of the system's (PEM)."""

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port or PORTS[self.security]}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail."""

    name: str
    content: bytes
    kind: str
    """Its media type."""


def send(
    box: Mailbox,
    to: Sequence[str],
    subject: str,
    text: str,
    attachments: Sequence[Attachment] = (),
    *,
    now: datetime,
) -> tuple[str, ...]:
    """Send one mail to all. Returns the addresses that the server refused, where it took others.

    Raises ConfigError when a later try could do no better, RetryLater when it could.
    """
    message = _message(box, to, subject, text, attachments, now)
    try:
        with _connection(box) as server:
            if box.user is not None:
                server.login(box.user, _password(box))
            return tuple(server.send_message(message))
    except smtplib.SMTPAuthenticationError:
        raise ConfigError(f"the mail server {box.where} does not take user {box.user} with this password") from None
    except smtplib.SMTPNotSupportedError as error:
        raise ConfigError(f"the mail server {box.where}: {error}; set another `security` or `user`") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise ConfigError(f"the mail server {box.where} refuses every address: {', '.join(error.recipients)}") from None
    except smtplib.SMTPSenderRefused:
        raise ConfigError(f"the mail server {box.where} does not let {box.sender} send") from None
    except ssl.SSLError as error:
        raise ConfigError(f"the certificate of the mail server {box.where} is not trusted: {error.reason}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise RetryLater(f"the mail server {box.where} does not answer: {str(error) or type(error).__name__}") from None


def _connection(box: Mailbox) -> smtplib.SMTP:
    port = box.port or PORTS[box.security]
    if box.security is Security.NONE:
        return smtplib.SMTP(box.host, port, timeout=TIMEOUT)
    try:
        context = ssl.create_default_context(cafile=str(box.ca_file) if box.ca_file is not None else None)
    except OSError as error:
        raise ConfigError(f"the certificates {box.ca_file} cannot be read: {error.strerror or error}") from None
    if box.security is Security.TLS:
        return smtplib.SMTP_SSL(box.host, port, timeout=TIMEOUT, context=context)
    server = smtplib.SMTP(box.host, port, timeout=TIMEOUT)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _password(box: Mailbox) -> str:
    if box.password_file is None:
        raise ConfigError("the section 'mail' has a user and no password-file")
    try:
        return box.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"the password file {box.password_file} cannot be read: {error.strerror}") from None


def _message(
    box: Mailbox, to: Sequence[str], subject: str, text: str, attachments: Sequence[Attachment], now: datetime
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = box.sender
    message["To"] = ", ".join(to)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=parseaddr(box.sender)[1].rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice shall answer
    message.set_content(text)
    for each in attachments:
        maintype, _, subtype = each.kind.partition(";")[0].partition("/")
        name = " ".join(each.name.split())
        message.add_attachment(each.content, maintype=maintype, subtype=subtype, filename=name)
    return message

"""Scheduled reports come once for each period, late rather than never, to folders and to a real mail server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError, RetryLater
from bridge.reports.delivery import Brought, Delivery, deliver, deliver_due
from bridge.reports.desk import Desk
from bridge.reports.mail import Attachment, Mailbox, Security, send
from bridge.reports.period import Period
from bridge.reports.scheduled import Every, Schedule, due, ended, next_time
from tests.reports.test_rendering import WORLD
from tests.reports.world import desk_on, write

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 24, 17, tzinfo=UTC)
WEEKLY = Schedule("weekly", Every.WEEK, ("violations", "reverts"), time(7), ("html", "csv"), "en", "out")

moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
schedules = st.builds(
    Schedule,
    st.just("s"),
    st.sampled_from(Every),
    st.just(("violations",)),
    st.times().map(lambda t: t.replace(second=0, microsecond=0)),
)


# --- When -----------------------------------------------------------------------------------------------------------


@given(schedule=schedules, now=moments)
def test_what_is_due_has_ended_and_its_time_has_come(schedule: Schedule, now: datetime) -> None:
    period = due(schedule, now, None, PARIS)
    assert period is not None
    assert period.until <= now
    assert datetime.combine(period.last + timedelta(days=1), schedule.at, PARIS) <= now


@given(schedule=schedules, now=moments)
def test_what_was_brought_is_not_due_again_before_the_next_period_ends(schedule: Schedule, now: datetime) -> None:
    period = due(schedule, now, None, PARIS)
    assert period is not None
    assert due(schedule, now, period.last, PARIS) is None
    later = next_time(schedule, now, period.last, PARIS)
    assert later > now
    following = due(schedule, later, period.last, PARIS)
    assert following is not None
    assert following.first == period.last + timedelta(days=1)
    assert due(schedule, later - timedelta(minutes=1), period.last, PARIS) is None


@given(schedule=schedules, now=moments, asleep=st.integers(0, 400))
def test_after_a_long_sleep_the_newest_period_comes_alone(schedule: Schedule, now: datetime, asleep: int) -> None:
    last = (now - timedelta(days=asleep)).date()
    period = due(schedule, now, last, PARIS)
    if period is not None:
        assert period == due(schedule, now, None, PARIS)
        assert due(schedule, now, period.last, PARIS) is None


@pytest.mark.parametrize(
    ("every", "first", "last"),
    [
        (Every.DAY, date(2026, 11, 23), date(2026, 11, 23)),
        (Every.WEEK, date(2026, 11, 16), date(2026, 11, 22)),
        (Every.MONTH, date(2026, 10, 1), date(2026, 10, 31)),
    ],
)
def test_periods_are_whole_days_weeks_and_months(every: Every, first: date, last: date) -> None:
    assert ended(every, date(2026, 11, 24), PARIS) == Period(first, last, PARIS)


# --- Bringing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bridge.db"
    path.write_bytes(template.read_bytes())
    write(f"sqlite:///{path}", WORLD)
    return path


def bring(
    ledger: Path, root: Path, schedule: Schedule, box: Mailbox | None = None, now: datetime = NOW
) -> list[Delivery]:
    def desks(each: Schedule, period: Period) -> AbstractContextManager[Desk]:
        return desk_on(f"sqlite:///{ledger}", period, replace(WORLD, now=now), code=each.language or "fr")

    brought = Brought(root / "schedules.json")
    return list(deliver_due([schedule], now, PARIS, brought, desks, root, box))


def test_files_come_to_the_folder_once_for_each_period(ledger: Path, tmp_path: Path) -> None:
    (delivery,) = bring(ledger, tmp_path, WEEKLY)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        f"{name}-2026-11-16_2026-11-22.en.{form}" for name in ("violations", "reverts") for form in ("html", "csv")
    }
    assert {path.name for path in delivery.files} == names
    page = (tmp_path / "out/violations-2026-11-16_2026-11-22.en.html").read_text(encoding="utf-8")
    assert "period before:" in page
    assert bring(ledger, tmp_path, WEEKLY) == []
    assert len(bring(ledger, tmp_path, WEEKLY, now=NOW + timedelta(days=7))) == 1


def test_a_memory_that_is_lost_or_broken_brings_again_rather_than_never(ledger: Path, tmp_path: Path) -> None:
    bring(ledger, tmp_path, WEEKLY)
    for broken in ("", "[]", '{"weekly": 3}', '{"weekly": "soon"}', "\x00"):
        (tmp_path / "schedules.json").write_text(broken, encoding="utf-8")
        assert len(bring(ledger, tmp_path, WEEKLY)) == 1


def test_a_folder_that_cannot_be_written_is_an_error_and_nothing_counts_as_brought(
    ledger: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written"):
        bring(ledger, tmp_path, WEEKLY)
    assert Brought(tmp_path / "schedules.json").last("weekly") is None


def test_mail_without_a_mailbox_is_an_error(ledger: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no section 'mail'"):
        bring(ledger, tmp_path, replace(WEEKLY, mail=("a@example.org",)))


# --- A real mail server ---------------------------------------------------------------------------------------------


class Postmaster:
    """Takes what it is given, except for addresses at refused.example."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], EmailMessage]] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.endswith("@refused.example"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append((list(envelope.rcpt_tos), message))
        return "250 taken"


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"bridge", b"secret")
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One for localhost, signed by itself; and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(params=list(Security))
def office(
    request: pytest.FixtureRequest, certificate: tuple[Path, Path], tmp_path: Path
) -> Iterator[tuple[Mailbox, Postmaster]]:
    """A mail server on loopback with each kind of encryption, and the mailbox that fits it."""
    security: Security = request.param
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    postmaster = Postmaster()
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": _free_port()}
    if security is Security.STARTTLS:
        options |= {"tls_context": context, "require_starttls": True}
    elif security is Security.TLS:
        options |= {"ssl_context": context}
    if security is Security.STARTTLS:
        options |= {"authenticator": _authenticate, "auth_required": True}
    controller = Controller(postmaster, **options)
    controller.start()
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    encrypted = security is not Security.NONE
    yield (
        Mailbox(
            "localhost",
            "Pont <pont@example.org>",
            security,
            options["port"],
            user="bridge" if security is Security.STARTTLS else None,
            password_file=tmp_path / "password" if security is Security.STARTTLS else None,
            ca_file=certificate[0] if encrypted else None,
        ),
        postmaster,
    )
    controller.stop()


def test_reports_come_by_mail_with_what_has_changed(
    office: tuple[Mailbox, Postmaster], ledger: Path, tmp_path: Path
) -> None:
    box, postmaster = office
    mailed = replace(WEEKLY, folder=None, mail=("a@example.org", "b@example.org"), every=Every.MONTH, language="fr")
    (delivery,) = bring(ledger, tmp_path, mailed, box, now=datetime(2026, 12, 1, 9, tzinfo=UTC))
    assert delivery.mailed == ("a@example.org", "b@example.org")
    ((receivers, message),) = postmaster.taken
    assert receivers == ["a@example.org", "b@example.org"]
    assert message["Subject"].startswith("Écarts, Changements annulés – du 1er novembre 2026")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Pont <pont@example.org>"
    body = message.get_body(("plain",))
    assert body is not None
    assert "Écarts\u00a0: 2 (sur 9 changements, période précédente\u00a0: 0, évolution\u00a0: +2)" in body.get_content()
    files = {part.get_filename(): part.get_content_type() for part in message.iter_attachments()}
    assert files == {
        "violations-2026-11.fr.html": "text/html",
        "violations-2026-11.fr.csv": "text/csv",
        "reverts-2026-11.fr.html": "text/html",
        "reverts-2026-11.fr.csv": "text/csv",
    }
    assert not [path for path in tmp_path.iterdir() if path.name == "out"]


def test_addresses_that_are_refused_are_told_and_the_others_get_theirs(office: tuple[Mailbox, Postmaster]) -> None:
    box, postmaster = office
    refused = send(box, ["a@example.org", "b@refused.example"], "S", "T", now=NOW)
    assert refused == ("b@refused.example",)
    assert postmaster.taken[0][0] == ["a@example.org"]


def test_when_every_address_is_refused_it_is_the_operators_mistake(office: tuple[Mailbox, Postmaster]) -> None:
    with pytest.raises(ConfigError, match=r"refuses every address: b@refused\.example"):
        send(office[0], ["b@refused.example"], "S", "T", now=NOW)


@pytest.mark.parametrize("office", [Security.STARTTLS], indirect=True)
def test_a_wrong_password_and_a_wrong_certificate_are_the_operators_mistakes(
    office: tuple[Mailbox, Postmaster], tmp_path: Path
) -> None:
    box, postmaster = office
    (tmp_path / "wrong").write_text("guess", encoding="utf-8")
    with pytest.raises(ConfigError, match="does not take user bridge") as error:
        send(replace(box, password_file=tmp_path / "wrong"), ["a@example.org"], "S", "T", now=NOW)
    assert "guess" not in str(error.value) + repr(box)
    with pytest.raises(ConfigError, match="certificate of the mail server"):
        send(replace(box, ca_file=None), ["a@example.org"], "S", "T", now=NOW)
    with pytest.raises(ConfigError, match="password file"):
        send(replace(box, password_file=tmp_path / "missing"), ["a@example.org"], "S", "T", now=NOW)
    assert postmaster.taken == []


@pytest.mark.parametrize("office", [Security.NONE], indirect=True)
def test_without_the_encryption_that_was_asked_for_nothing_is_sent(office: tuple[Mailbox, Postmaster]) -> None:
    box, postmaster = office
    with pytest.raises(ConfigError, match="STARTTLS"):
        send(replace(box, security=Security.STARTTLS), ["a@example.org"], "S", "T", now=NOW)
    assert postmaster.taken == []


def test_a_mail_server_that_is_not_there_is_tried_again_later(tmp_path: Path, ledger: Path) -> None:
    box = Mailbox("localhost", "pont@example.org", Security.NONE, port=9)
    with pytest.raises(RetryLater, match="localhost:9 does not answer"):
        bring(ledger, tmp_path, replace(WEEKLY, folder=None, mail=("a@example.org",)), box)
    assert Brought(tmp_path / "schedules.json").last("weekly") is None


@pytest.mark.parametrize("office", [Security.NONE], indirect=True)
def test_hostile_subjects_and_names_begin_no_header(office: tuple[Mailbox, Postmaster]) -> None:
    box, postmaster = office
    hostile = Attachment("a\r\nX-Evil: 1.html", b"x", "text/html")
    send(
        box,
        ["a@example.org"],
        "S\r\nBcc: evil@example.org",
        "T\r\n.\r\nMAIL FROM:<evil@example.org>",
        [hostile],
        now=NOW,
    )
    ((receivers, message),) = postmaster.taken
    assert receivers == ["a@example.org"]
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert message["Subject"] == "S Bcc: evil@example.org"


def test_deliver_makes_each_report_in_each_format(ledger: Path, tmp_path: Path) -> None:
    period = Period(date(2026, 11, 1), date(2026, 11, 30), PARIS)
    every = replace(WEEKLY, reports=("flow",), formats=("text", "json", "xlsx"))
    done = deliver(every, period, lambda s, p: desk_on(f"sqlite:///{ledger}", p, WORLD), tmp_path, None)
    assert [path.suffix for path in done.files] == [".txt", ".json", ".xlsx"]
    assert done.facts() == {"report": "weekly", "period": "2026-11", "files": 3, "mailed": 0, "refused": 0}

"""Calls to people, taken by a real mail server and real HTTP servers on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from structlog.testing import capture_logs

from bridge import wiring
from bridge.alerts import Alert, Alerts, mail, matters, ping, webhook
from bridge.domain.model import WorkPackageId
from bridge.engine.act import Acted, Result
from bridge.engine.cycle import CycleReport
from bridge.errors import ConfigError
from bridge.settings import load
from bridge.simulator import wall_clock
from bridge.store import checkpoint
from bridge.store.ledger import StoredAction
from tests.cli.conftest import ROOT, World, world  # noqa: F401 - a fixture

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BREAKER = Alert("breaker", "too much")


class Web:
    """An HTTP server that keeps what it is told."""

    def __init__(self) -> None:
        heard = self.heard = []  # type: list[tuple[str, str, Any]]
        arrived = self.arrived = threading.Semaphore(0)

        class Taker(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                heard.append((self.command, self.path, body))
                self.send_response(307 if self.path == "/elsewhere" else 200)
                self.send_header("Location", "/taken")
                self.end_headers()
                arrived.release()

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def report(*acted: Acted, breaker: str | None = None) -> CycleReport:
    return CycleReport(NOON, False, 0, 0, 0, 0, 0, 0, 0, acted, breaker, 1)


def action(number: int = 1) -> StoredAction:
    values: dict[str, Any] = dict.fromkeys(StoredAction.__dataclass_fields__)
    known: dict[str, Any] = {"work_package": WorkPackageId(number), "decision": f"2026-11-24-{number:04}"}
    return StoredAction(**(values | known))


def test_a_tripped_breaker_and_a_revert_given_up_need_a_person_and_the_rest_does_not() -> None:
    acted = [Acted(action(n), result, "why") for n, result in enumerate(Result, 1)]
    found = matters(report(*acted, breaker="12 reverts in one cycle"))
    assert {alert.matter for alert in found} == {"breaker", "given_up"}
    tickets = {n for n, result in enumerate(Result, 1) if result in (Result.REFUSED, Result.UNPROVEN)}
    for n in tickets:
        assert any(f"Ticket {n}, decision 2026-11-24-{n:04}" in alert.text for alert in found)
    assert len(found) == 1 + len(tickets)
    assert matters(report()) == frozenset()


def test_a_permission_that_was_taken_away_is_told_as_such() -> None:
    lost = Acted(action(), Result.REFUSED, "OpenProject refuses: MissingPermission  not authorised")
    (alert,) = matters(report(lost))
    assert alert.matter == "permission_lost"
    assert "bridge doctor" in alert.text


def test_members_that_cannot_be_read_any_more_are_a_lost_permission() -> None:
    (alert,) = matters(replace(report(), unreadable_projects=2))
    assert alert.matter == "permission_lost"
    assert "2 project" in alert.text
    assert "bridge doctor" in alert.text


def test_what_goes_on_is_told_once_and_what_comes_again_again() -> None:
    told: list[Alert] = []
    pings: list[None] = []
    alerts = Alerts([told.append], lambda: pings.append(None))
    for breaker in ("a", "a", None, "a"):
        alerts.cycle(report(breaker=breaker))
    assert len(told) == 2
    assert len(pings) == 4
    alerts.cycle(report(), whole=False)
    alerts.cycle(report(breaker="a"))
    assert (len(told), len(pings)) == (2, 5)


def test_a_webhook_gets_json_and_a_ping_is_a_plain_question(web: Web) -> None:
    webhook(f"{web.url}/hook?key=secret", "https://openproject.example.org")(BREAKER)
    ping(f"{web.url}/alive")()
    told = {"matter": "breaker", "text": "too much", "source": "https://openproject.example.org"}
    assert web.heard == [("POST", "/hook?key=secret", told), ("GET", "/alive", None)]


def test_a_redirect_is_not_followed_and_its_failure_does_not_tell_the_secret(web: Web) -> None:
    reached: list[Alert] = []
    alerts = Alerts([webhook(f"{web.url}/elsewhere", ""), webhook("http://127.0.0.1:9/secret", ""), reached.append])
    with capture_logs() as logs:
        alerts.tell(BREAKER)
    assert [path for _, path, _ in web.heard] == ["/elsewhere"]
    assert [line["event"] for line in logs] == ["not delivered", "not delivered"]
    assert "secret" not in str(logs)
    assert reached == [BREAKER]  # the others are told all the same


class Box:
    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content))
        return "250 taken"


@contextmanager
def mail_server(box: Box) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp://127.0.0.1:{port}"
    controller.stop()


def test_a_mail_says_what_and_where_and_wants_no_automatic_answer() -> None:
    box = Box()
    with mail_server(box) as server:
        send = mail(
            server, "bridge@example.org", "lea@example.org, tom@example.org", "https://op.example.org", lambda: NOON
        )
        send(Alert("given_up", "Ticket 7, décision 2026-11-24-0001"))
    (got,) = box.mails
    assert got["Subject"] == "[bridge] given up: https://op.example.org"
    assert got["To"] == "lea@example.org, tom@example.org"
    assert got["Auto-Submitted"] == "auto-generated"
    payload = got.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip() == "Ticket 7, décision 2026-11-24-0001"


def test_the_last_checkpoint_is_mailed_once_a_day_and_again_where_it_did_not_get_out(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box, now = Box(), NOON
    monkeypatch.setenv("BRIDGE_AUDIT__MAIL_TO", "client@example.org")
    monkeypatch.setenv("BRIDGE_ALERTS__MAIL_FROM", "bridge@example.org")
    monkeypatch.setenv("BRIDGE_ALERTS__MAIL_TO", "admin@example.org")
    with mail_server(box) as server:
        monkeypatch.setenv("BRIDGE_ALERTS__MAIL_SERVER", server)
        settings = load().settings
        monkeypatch.setenv("BRIDGE_ALERTS__MAIL_SERVER", "smtp://127.0.0.1:9")
        down = load().settings
        with wiring.ledger(settings, now=lambda: now) as ledger, capture_logs() as logs:
            wiring.sealing(down, ledger)()
            assert [line["event"] for line in logs] == ["not delivered"]
            send = wiring.sealing(settings, ledger)
            for _ in range(26):
                now += timedelta(hours=1)
                send()
    first, second = box.mails
    assert (first["To"], first["Subject"][:19]) == ("client@example.org", "[bridge] checkpoint")
    sizes = []
    for got in (first, second):
        payload = got.get_payload(decode=True)
        assert isinstance(payload, bytes)
        _, _, note = payload.decode().replace("\r\n", "\n").partition("\n\n")
        sizes.append(checkpoint.read(note.strip() + "\n").size)
    assert sizes[0] < sizes[1]


def test_mail_without_a_server_is_a_mistake_in_the_settings(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRIDGE_AUDIT__MAIL_TO", "client@example.org")
    with pytest.raises(ConfigError, match=r"audit\.mail_to needs alerts\.mail_server"):
        load()


def test_no_password_goes_over_a_connection_that_cannot_be_encrypted() -> None:
    box = Box()
    with mail_server(box) as server, capture_logs() as logs:
        with_password = server.replace("//", "//user:hunter2@")
        Alerts([mail(with_password, "a@example.org", "b@example.org", "", lambda: NOON)]).tell(BREAKER)
    assert box.mails == []
    assert len(logs) == 1
    assert "hunter2" not in str(logs)


def test_the_service_pings_while_it_is_well_and_calls_when_it_ends(
    world: World,  # noqa: F811
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.instance.now = wall_clock
    monkeypatch.setenv("BRIDGE_ALERTS__WEBHOOK", f"{web.url}/hook")
    monkeypatch.setenv("BRIDGE_ALERTS__PING", f"{web.url}/alive")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BRIDGE_POLL__INTERVAL": "1", "BRIDGE_POLL__JITTER": "0"}
    process = subprocess.Popen([sys.executable, "-m", "bridge", "run"], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert web.arrived.acquire(timeout=60)
        assert web.heard[0] == ("GET", "/alive", None)
        world.instance.lock_person("bridge")
        assert process.wait(60) == 3
    finally:
        process.send_signal(signal.SIGKILL) if process.poll() is None else None
        process.wait()
    method, path, body = web.heard[-1]
    assert (method, path, body["matter"]) == ("POST", "/hook", "stopped")
    assert "401" in body["text"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"WEBHOOK": "chat.example.org"}, "must be an address"),
        ({"PING": "ftp://example.org"}, "must be an address"),
        ({"MAIL_SERVER": "mail.example.org", "MAIL_FROM": "a@b.c", "MAIL_TO": "a@b.c"}, "smtps://"),
        ({"MAIL_SERVER": "smtp://mail.example.org"}, "belong together"),
        ({"MAIL_SERVER": "smtp://m.example.org", "MAIL_FROM": "a@b.c\r\nBcc: x@y.z", "MAIL_TO": "a@b.c"}, "mail_from"),
    ],
)
def test_a_wrong_setting_is_told(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    told: str,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"BRIDGE_ALERTS__{name}", value)
    with pytest.raises(ConfigError) as refused:
        load()
    assert told in str(refused.value)

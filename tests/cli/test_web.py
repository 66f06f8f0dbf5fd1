"""``bridge web`` and ``bridge web-user``: what they print, and what they say of each setting that cannot be."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest
from werkzeug.security import check_password_hash

from tests.cli.conftest import ROOT, Bridge, World

PASSWORD = "a long enough password"
USERS = "alice:scrypt:1024:8:1$salt$00"
"""Nobody signs in here, so no password belongs to it."""


def test_web_user_prints_a_line_that_the_password_opens(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    ran = bridge("web-user", "alice")
    name, _, hashed = ran.out.strip().partition(":")
    assert (ran.code, name) == (0, "alice")
    assert check_password_hash(hashed, PASSWORD)
    assert PASSWORD not in ran.out + ran.err


def test_web_user_takes_what_it_printed_as_a_setting(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bridge("once").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    monkeypatch.setenv("BRIDGE_WEB__USERS", bridge("web-user", "alice").out)
    assert bridge("config", "show").code == 0


@pytest.mark.parametrize("name", ["", "a:b", "two words", "a\tb"])
def test_a_name_that_a_line_cannot_hold_is_refused(bridge: Bridge, name: str) -> None:
    ran = bridge("web-user", name)
    assert ran.code == 2
    assert "write one word without a colon" in ran.err


def test_a_password_that_could_be_guessed_is_refused(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("elevenchars\n"))
    ran = bridge("web-user", "alice")
    assert ran.code == 2
    assert "take at least 12 characters" in ran.err
    assert "elevenchars" not in ran.out + ran.err


def test_without_anybody_who_could_sign_in_nothing_is_served(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = bridge("web")
    assert ran.code == 2
    assert "BRIDGE_WEB__USERS" in ran.err
    assert "bridge web-user NAME" in ran.err


def test_without_a_ledger_it_says_how_to_get_one(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_WEB__USERS", USERS)
    ran = bridge("web")
    assert ran.code == 2
    assert "run `bridge once` first" in ran.err


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("USERS", "alice:plain", "`bridge web-user NAME` makes one"),
        ("PORT", "0", "BRIDGE_WEB__PORT"),
        ("PORT", "70000", "BRIDGE_WEB__PORT"),
        ("PORT", "eighty", "BRIDGE_WEB__PORT"),
        ("TRUSTED_PROXIES", "proxy.example.org", "is no IP address or network, like 127.0.0.1"),
        ("USER_HEADER", "X-Remote-User", "user_header needs trusted_proxies"),
        ("USER_HEADER", "X Remote\tUser", "BRIDGE_WEB__USER_HEADER"),
        ("OPEN_PROBES", "perhaps", "BRIDGE_WEB__OPEN_PROBES"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_remedy(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv("BRIDGE_WEB__USERS", USERS)
    monkeypatch.setenv(f"BRIDGE_WEB__{setting}", value)
    ran = bridge("web")
    assert ran.code == 2
    assert remedy in ran.err


# cheroot leaves the socket that it could not bind to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_port_that_is_taken_is_named(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bridge("once").code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("BRIDGE_WEB__USERS", USERS)
        port = taken.getsockname()[1]
        monkeypatch.setenv("BRIDGE_WEB__PORT", str(port))
        ran = bridge("web")
    assert ran.code == 2
    assert f"web: 127.0.0.1 port {port} cannot be opened" in ran.err
    assert "choose another with BRIDGE_WEB__HOST and BRIDGE_WEB__PORT" in ran.err


def test_web_serves_until_it_is_told_to_stop(bridge: Bridge, world: World) -> None:
    assert bridge("once").code == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "BRIDGE_WEB__USERS": USERS,
        "BRIDGE_WEB__PORT": str(port),
    }
    command = [sys.executable, "-m", "bridge", "web"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address == f"http://127.0.0.1:{port}"
            with urlopen(f"{address}/healthz") as answer:
                assert answer.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

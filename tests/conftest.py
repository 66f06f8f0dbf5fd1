"""What holds for every test: no network but loopback, no settings of the developer's own, no timing in properties."""

from __future__ import annotations

import ipaddress
import os
import sys

import hypothesis
import pytest

# Two cores are shared by the workers: how long an example takes says nothing.
hypothesis.settings.register_profile("bridge", deadline=None)
hypothesis.settings.load_profile("bridge")


def _is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _only_loopback(event: str, arguments: tuple[object, ...]) -> None:
    match event, arguments:
        case "socket.getaddrinfo", (host, *_):
            pass
        case "socket.connect" | "socket.sendto", (_, (host, _, *_)):
            pass
        case _:
            return
    if not _is_loopback(host):
        raise RuntimeError(f"a test tried to reach {host!r}: only loopback is allowed")


def pytest_configure() -> None:
    sys.addaudithook(_only_loopback)


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("BRIDGE_") or name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NO_COLOR"):
            monkeypatch.delenv(name)

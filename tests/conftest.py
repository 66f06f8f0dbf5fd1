"""What holds for every test: no network but loopback, no settings of the developer's own, no timing in properties."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
from requests.adapters import BaseAdapter

from bridge.openproject.client import _Session

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


written_in_a_dry_run: list[str] = []
"""What a dry session handed to its adapter besides questions, in any test."""


class _Watched:
    """An adapter behind a dry session."""

    def __init__(self, adapter: BaseAdapter) -> None:
        self._adapter = adapter

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        path = urlsplit(request.url or "").path
        if request.method != "GET" and not (request.method == "POST" and path.endswith(("/form", "/oauth/token"))):
            written_in_a_dry_run.append(f"{request.method} {path}")
        return self._adapter.send(request, **how)


def _watch_dry_sessions() -> None:
    """The claim that a dry run writes nothing is held against every test there is, not only against its own."""
    get_adapter = _Session.get_adapter

    def watched(session: _Session, url: str) -> Any:
        adapter = get_adapter(session, url)
        return _Watched(adapter) if session._dry_run else adapter

    _Session.get_adapter = watched  # type: ignore[method-assign, assignment]


def pytest_configure() -> None:
    sys.addaudithook(_only_loopback)
    _watch_dry_sessions()


@pytest.fixture(autouse=True)
def _a_dry_run_writes_nothing() -> Iterator[None]:
    yield
    found = written_in_a_dry_run.copy()
    written_in_a_dry_run.clear()
    assert not found


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("BRIDGE_") or name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NO_COLOR"):
            monkeypatch.delenv(name)

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.notify import Notifier
from tests.cli.conftest import ROOT, World, bridge, world  # noqa: F401 - fixtures

SECOND = 1_000_000


class Manager:
    """The other end: what systemd would hear."""

    def __init__(self, address: str) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(address)
        self.channel.settimeout(30)

    def hear(self) -> str:
        return self.channel.recv(4096).decode()

    def rest(self) -> list[str]:
        self.channel.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(self.hear())
            except BlockingIOError:
                return heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    address = str(tmp_path / "notify")
    made = Manager(address)
    yield made, address
    made.channel.close()


def test_it_is_ready_and_raises_a_watchdog_that_is_shorter_than_its_interval(manager: tuple[Manager, str]) -> None:
    systemd, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(60 * SECOND)})
    notifier.ready(interval=10)
    notifier.ready(interval=3600)
    assert systemd.rest() == ["READY=1", f"WATCHDOG_USEC={60 * SECOND}", "READY=1", f"WATCHDOG_USEC={10800 * SECOND}"]


def test_a_status_is_one_line_whatever_an_error_says(manager: tuple[Manager, str]) -> None:
    systemd, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.progress("two\nREADY=1\nlines")
    notifier.progress()
    assert systemd.rest() == ["WATCHDOG=1\nSTATUS=two READY=1 lines", "WATCHDOG=1"]


def test_abstract_sockets_are_heard_too() -> None:
    name = f"bridge-test-{os.getpid()}"
    systemd = Manager("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}).stopping()
    assert systemd.rest() == ["STOPPING=1"]
    systemd.channel.close()


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    Notifier({}).ready(60)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).progress()


def run(address: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "BRIDGE_POLL__INTERVAL": "1",
        "BRIDGE_POLL__JITTER": "0",
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": str(900 * SECOND),
    }
    return subprocess.Popen([sys.executable, "-m", "bridge", "run"], env=environment, stderr=subprocess.DEVNULL)


def test_the_service_tells_when_it_began_came_on_and_ends(world: World, manager: tuple[Manager, str]) -> None:  # noqa: F811
    systemd, address = manager
    process = run(address)
    try:
        assert systemd.hear() == "READY=1"
        assert systemd.hear() == f"WATCHDOG_USEC={900 * SECOND}"
        assert systemd.hear().startswith("WATCHDOG=1\nSTATUS=last good cycle: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert systemd.rest()[-1] == "STOPPING=1"
    finally:
        process.kill()
        process.wait()


def test_a_cycle_that_hangs_lets_the_watchdog_bite(
    world: World,  # noqa: F811
    manager: tuple[Manager, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    systemd, address = manager
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = run(address)
        try:
            asked, _ = silent.accept()  # the cycle has begun, and gets no answer
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            asked.close()
        finally:
            process.kill()
            process.wait()
    assert not any("WATCHDOG=1" in said for said in systemd.rest())

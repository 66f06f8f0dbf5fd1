"""A row of a real ledger is changed while the service runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.inspection import read_state
from tests.cli.conftest import ROOT, Bridge, World
from tests.cli.test_service import lines

LEDGER = Path("bridge-state/bridge.db")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """What the webhook for alerts was told."""
    told: list[dict[str, str]] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setenv("BRIDGE_ALERTS__WEBHOOK", f"http://127.0.0.1:{server.server_port}/secret")
    yield told
    server.shutdown()
    server.server_close()
    serving.join()


def run(interval: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "BRIDGE_MODE": "enforce",
        "BRIDGE_POLL__INTERVAL": "1",
        "BRIDGE_POLL__JITTER": "0",
        "BRIDGE_AUDIT__VERIFY_INTERVAL": interval,
    }
    return subprocess.Popen([sys.executable, "-m", "bridge", "run"], env=environment, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    return said


def entries() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{LEDGER}?mode=ro", uri=True)) as file:
        return file.execute("SELECT seq, kind, chain FROM entry ORDER BY seq").fetchall()


def tamper(seq: int) -> None:
    with closing(sqlite3.connect(LEDGER, timeout=15)) as file, file:
        file.execute("UPDATE entry SET at = at + 1 WHERE seq = ?", (seq,))


def test_a_changed_entry_stops_every_revert_and_is_told_once(
    bridge: Bridge, world: World, called: list[dict[str, str]]
) -> None:
    world.clock.set(datetime.now(UTC))
    process = run("1")
    try:
        lines(process, "record holds")
        assert bridge("status", "--json").out.count('"paused": null') == 1
        tamper(2)
        (*_, broken) = lines(process, "record broken")
        assert (broken["entry"], broken["kind"]) == (2, "altered")
        lines(process, "record broken")  # by the next check, which tells nobody
        world.clock.set(datetime.now(UTC) + timedelta(seconds=2))
        ticket = world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
        while True:
            (*_, cycle) = lines(process, "cycle")
            if cycle["illegal"]:
                break
        assert world.instance.statuses[ticket.state.status].name == "RESOLU"
    finally:
        said = end(process)
    assert "Traceback" not in said
    (alert,) = called
    assert alert["matter"] == "broken_chain"
    assert "entry 2 (" in alert["text"]
    paused = json.loads(bridge("status", "--json").out)["paused"]
    assert paused.startswith("the record is broken: entry 2 (")
    assert sum(kind == "pause" for _, kind, _ in entries()) == 1
    assert bridge("audit", "verify").code == 1


def test_an_intact_record_calls_nobody_and_is_left_as_it_is(
    bridge: Bridge, world: World, called: list[dict[str, str]]
) -> None:
    process = run("1")
    try:
        for _ in range(2):
            (*_, holds) = lines(process, "record holds")
            assert holds["whole"] is True
    finally:
        end(process)
    assert called == []
    assert json.loads(bridge("status", "--json").out)["paused"] is None
    kinds = {kind for _, kind, _ in entries()}
    assert "pause" not in kinds
    state = read_state(Path("bridge-state/inspection.json"))
    assert state is not None
    assert state.broken == ""
    assert bridge("audit", "verify").code == 0


def test_with_0_nothing_is_checked(bridge: Bridge, world: World) -> None:
    process = run("0")
    try:
        said = [line["event"] for _ in range(3) for line in lines(process, "cycle")]
    finally:
        said += [json.loads(line)["event"] for line in end(process).splitlines()]
    assert not {"record holds", "record broken"} & set(said)
    assert not Path("bridge-state/inspection.json").exists()

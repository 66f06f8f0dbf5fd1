from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tenacity

from bridge.cli.audit import login
from bridge.daemon import read_heartbeat
from tests.cli.conftest import ROOT, Bridge, World


def now(world: World) -> None:
    world.clock.set(datetime.now(UTC))


def test_once_reads_and_judges_everything(bridge: Bridge, world: World) -> None:
    world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    now(world)
    ran = bridge("once", "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["read"], report["illegal"], report["acted"]) == (1, 1, [])
    assert world.server.usage.by_kind["write"] == 0


def test_once_puts_back_in_enforce_mode_and_tells_what(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_MODE", "enforce")
    now(world)
    assert bridge("once").code == 0
    world.clock.advance(timedelta(minutes=2))
    ticket = world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    ran = bridge("once")
    assert ran.code == 0, ran.err
    assert "illegal: 1" in ran.out
    assert f"ticket {ticket.id}, decision " in ran.out
    assert ran.out.rstrip().endswith(": done")
    assert world.instance.statuses[ticket.state.status].name == "NOUVEAU"


def test_a_pause_holds_every_revert_until_it_is_ended(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_MODE", "enforce")
    now(world)
    bridge("once")
    world.clock.advance(timedelta(minutes=2))
    ticket = world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    paused = bridge("pause", "--reason", "migration")
    assert paused.code == 0
    assert "migration" in paused.out
    held = bridge("once")
    assert ": held (" in held.out
    assert "migration" in held.out
    assert world.instance.statuses[ticket.state.status].name == "RESOLU"
    assert json.loads(bridge("status", "--json").out)["paused"] == paused.out.strip()
    assert bridge("resume").out == "resumed\n"
    assert bridge("resume").out == "was not paused\n"
    assert ": done" in bridge("once").out
    assert world.instance.statuses[ticket.state.status].name == "NOUVEAU"


def events(*kinds: str) -> list[dict[str, Any]]:
    """What the ledger holds of these kinds, oldest first."""
    query = "SELECT e.kind, f.payload FROM event e JOIN fact f ON f.seq = e.seq ORDER BY e.seq"
    with closing(sqlite3.connect("bridge-state/bridge.db")) as database:
        return [{"kind": kind} | json.loads(text) for kind, text in database.execute(query) if kind in kinds]


def test_who_paused_and_resumed_and_why_is_in_the_record(bridge: Bridge, world: World) -> None:
    now(world)
    bridge("once")
    bridge("pause", "--reason", "migration")
    bridge("once")
    bridge("resume")
    bridge("once")
    paused, resumed = events("pause", "resume")
    assert (paused["kind"], paused["reason"], paused["by"]) == ("pause", "migration", login())
    assert (resumed["kind"], resumed["by"]) == ("resume", login())


def test_other_settings_are_recorded_and_the_same_ones_are_not_and_no_secret_is(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now(world)
    for mode in ("observe", "observe", "enforce"):
        monkeypatch.setenv("BRIDGE_MODE", mode)
        assert bridge("once").code == 0
    told = [event["settings"] for event in events("settings")]
    assert [each["mode"] for each in told] == ["observe", "enforce"]
    assert told[0]["openproject.api_key"] == "**********"
    assert world.instance.token("bridge") not in json.dumps(told)


# --- run, as a process ----------------------------------------------------------------------------------------------


def run() -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BRIDGE_POLL__INTERVAL": "1", "BRIDGE_POLL__JITTER": "0"}
    return subprocess.Popen([sys.executable, "-m", "bridge", "run"], env=environment, stderr=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str], until: str) -> list[dict[str, Any]]:
    """Log lines up to the first of that event."""
    read = []
    assert process.stderr is not None
    for line in process.stderr:
        read.append(json.loads(line))
        if read[-1]["event"] == until:
            return read
    raise AssertionError(f"it ended before {until!r}: {read}")


def test_run_watches_until_sigterm(bridge: Bridge, world: World) -> None:
    now(world)
    process = run()
    try:
        (*_, cycle) = lines(process, "cycle")
        assert cycle["snapshot"] is True
        assert {"listed", "decided", "requests", "seconds", "missed"} <= cycle.keys()
        assert cycle["requests"] > 0
        assert bridge("status").out.startswith("state: running\n")
        assert bridge("status").code == 0
        second = bridge("once")
        assert second.code == 3
        assert bridge("audit", "export", "proof").code == 0
        while list(Path("bridge-state").glob("note-*")):
            lines(process, "cycle")  # the next one takes the note in
        assert "another" in second.err
        process.send_signal(signal.SIGTERM)
        (*_, stopped) = lines(process, "stopped")
        assert stopped["unfinished"] is False
        assert process.wait(30) == 0
        assert [event["kind"] for event in events("start", "stop", "export")] == ["start", "export", "stop"]
    finally:
        process.kill()
        process.communicate()
    ran = bridge("status")
    assert ran.code == 1
    assert "state: stopped" in ran.out


def test_sigterm_does_not_wait_for_a_server_that_hangs(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = run()
        try:
            lines(process, "started")
            asked, _ = silent.accept()
            process.send_signal(signal.SIGTERM)
            (*_, stopped) = lines(process, "stopped")
            assert stopped["unfinished"] is True
            assert process.wait(30) == 0  # the server would let it wait for 130 s
            asked.close()
        finally:
            process.kill()
            process.communicate()


def test_a_daemon_that_was_killed_is_told_from_one_that_stopped(bridge: Bridge, world: World) -> None:
    process = run()
    try:
        lines(process, "cycle")
    finally:
        process.kill()
        process.communicate()
    ran = bridge("status", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["state"] == "died without stopping"
    assert bridge("once").code == 0


def test_run_ends_with_a_reason_when_the_token_is_refused(bridge: Bridge, world: World) -> None:
    process = run()
    try:
        lines(process, "cycle")
        world.instance.lock_person("bridge")
        (*_, stop) = lines(process, "stop")
        assert "401" in stop["reason"]
        assert process.wait(30) == 3
    finally:
        process.kill()
        _, said = process.communicate()
    beat = read_heartbeat(Path("bridge-state/heartbeat.json"))
    assert beat is not None
    assert "401" in beat.error
    assert "Traceback" not in said


# --- Bad input ------------------------------------------------------------------------------------------------------


class Html(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html>Welcome to the proxy</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_nothing_set_is_told_name_by_name(bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = bridge("once")
    assert ran.code == 2
    assert "bridge: openproject.url (env BRIDGE_OPENPROJECT__URL): is not set" in ran.err
    assert ran.out == ""


def test_a_wrong_token_says_where_to_look(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "0" * 64)
    ran = bridge("once")
    assert ran.code in (2, 3)
    assert "token" in ran.err
    assert "0" * 64 not in ran.err


def test_a_closed_port_is_a_server_that_does_not_answer(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("bridge.openproject.client._JITTER", tenacity.wait_none())
    ran = bridge("once")
    assert ran.code == 3
    assert "Is it running at that address?" in ran.err


def test_a_page_instead_of_json_names_the_address(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Html)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", f"http://127.0.0.1:{server.server_port}")
        ran = bridge("once")
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
    assert ran.code in (2, 3)
    assert "instead of JSON" in ran.err


def test_every_mistake_in_a_policy_has_its_place(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "config/cegape.yaml").read_text(encoding="utf-8")
    Path("wrong.yaml").write_text(
        text.replace("into: RESOLU", "into: RESOLVED").replace("initial: NOUVEAU", "initail: NOUVEAU")
    )
    monkeypatch.setenv("BRIDGE_POLICY", "wrong.yaml")
    ran = bridge("once")
    assert ran.code == 2
    assert len([line for line in ran.err.splitlines() if line.startswith("bridge: wrong.yaml:")]) >= 3
    assert not Path("bridge-state/bridge.db").exists()


def test_a_database_of_another_program_is_left_alone(bridge: Bridge, world: World) -> None:
    Path("bridge-state").mkdir()
    Path("bridge-state/bridge.db").write_text("not a database, but somebody's text\n" * 100)
    ran = bridge("once")
    assert ran.code == 3
    assert "bridge-state/bridge.db" in ran.err
    assert Path("bridge-state/bridge.db").read_text().startswith("not a database")


def test_a_state_directory_that_cannot_be_made_is_named(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("BRIDGE_STATE_DIR", "file/state")
    for command in (["once"], ["pause"]):
        ran = bridge(*command)
        assert ran.code == 2
        assert "file/state" in ran.err


# cheroot leaves the socket that it could not bind to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_run_ends_before_its_first_cycle_when_the_dashboards_port_is_taken(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_WEB__ENABLED", "true")
    monkeypatch.setenv("BRIDGE_WEB__USERS", "alice:scrypt:1024:8:1$salt$00")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("BRIDGE_WEB__PORT", str(taken.getsockname()[1]))
        ran = bridge("run")
    assert ran.code == 2
    assert "choose another with BRIDGE_WEB__HOST and BRIDGE_WEB__PORT" in ran.err
    assert world.server.usage.requests == 0


def test_a_full_disk_stops_it_and_says_so(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    now(world)
    assert bridge("once").code == 0
    world.clock.advance(120)
    for number in range(50):
        world.instance.create("ca", "client-alpha", f"Demande {number}")
    code = (
        "import resource, sys; sys.argv = ['bridge', 'once']\n"
        "from bridge.cli.app import main\n"
        "from pathlib import Path\n"
        "size = Path('bridge-state/bridge.db').stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "main()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stderr
    assert "Traceback" not in ran.stderr
    assert bridge("once").code == 0

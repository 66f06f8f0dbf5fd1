from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import ROOT, Bridge, World


def test_of_two_daemons_started_at_once_one_acts_and_the_other_says_so(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_MODE", "enforce")
    world.clock.set(datetime.now(UTC))
    assert bridge("once").code == 0
    world.clock.advance(timedelta(minutes=2))
    ticket = world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BRIDGE_POLL__INTERVAL": "1", "BRIDGE_POLL__JITTER": "0"}
    command = [sys.executable, "-m", "bridge", "run"]
    two = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        refused = _ended(two)
        (acting,) = (process for process in two if process is not refused)
        assert refused.returncode == 3
        assert refused.stderr is not None
        assert "another bridge is writing to" in refused.stderr.read()
        assert acting.stderr is not None
        while '"done"' not in (line := acting.stderr.readline()):
            assert line, "it ended"
        assert acting.poll() is None
    finally:
        for process in two:
            process.kill()
            process.wait(30)
            if process.stderr is not None:
                process.stderr.close()
    own = world.instance.person("bridge").id
    assert [(m.ticket, m.person) for m in world.instance.moves if m.person == own] == [(ticket.id, own)]
    assert [r.ticket for r in world.instance.remarks if r.person == own] == [ticket.id]


def _ended(processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Whichever ends first."""
    while True:
        for process in processes:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            return process

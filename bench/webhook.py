"""How soon an illegal move is explained: with OpenProject's webhook as a hint, and by polling alone.

A bridge process of its own; the simulator answers on loopback as slowly as a real server does (contract A.1) and calls
the webhook as soon as an activity is done: its aggregation time is 0. The claim is 2 s at the 95th percentile.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from ruamel.yaml import YAML

from bridge.simulator import Api, Clock, Counting, Delivery, Instance, Webhook, install_webhook, seed, serve, wall_clock

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parents[1]
INTERVAL = 10.0
"""Seconds between two polls."""
MOVES = {"hinted": 60, "polled": 12}
LIMIT = 2.0
PORT = 18480
SECRET = secrets.token_hex(16)


class Unhurried:
    """Answers when a real server would."""

    def __init__(self, app: Counting) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before = self._app.usage.server_ms
        answer = self._app(environ, start_response)
        time.sleep((self._app.usage.server_ms - before) / 1000)
        return answer


def policy(folder: Path) -> Path:
    """The shipped one, with limits that a benchmark does not reach."""
    text = (ROOT / "config/cegape.yaml").read_text(encoding="utf-8")
    limits = "".join(
        f"  reverts-per-{what}: 10000\n"
        for what in ("cycle", "hour", "person-per-hour", "project-per-hour", "ticket-per-hour")
    )
    path = folder / "policy.yaml"
    path.write_text(f"{text}\nlimits:\n{limits}", encoding="utf-8")
    return path


def deliver(calls: queue.Queue[Delivery]) -> None:
    """What OpenProject's background job does."""
    while True:
        call = calls.get()
        request = Request(call.url, call.body, dict(call.headers))
        urlopen(request, timeout=10).close()


def until(process: subprocess.Popen[str], event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["event"] == event:
            return
    raise SystemExit(f"the bridge ended before {event!r}")


def drain(process: subprocess.Popen[str]) -> None:
    """Or the bridge would wait for somebody to read its log."""
    assert process.stderr is not None
    with contextlib.suppress(ValueError):  # closed, as the bridge has ended
        for _ in process.stderr:
            pass


def seconds(instance: Instance, moves: int) -> list[float]:
    """From each illegal move to its explanation."""
    own = instance.person("bridge").id
    tickets = [instance.create("ca", "client-alpha", f"Bulletin {number}") for number in range(moves)]
    time.sleep(2 * INTERVAL)
    found = []
    for ticket in tickets:
        began = time.perf_counter()
        instance.set_status("ca", ticket, "EN COURS")
        while not any(one.ticket == ticket.id and one.person == own for one in reversed(instance.remarks)):
            time.sleep(0.005)
        found.append(time.perf_counter() - began)
        time.sleep(0.3)
    return found


def measure(kind: str) -> list[float]:
    """A server, a bridge and so many moves."""
    description = YAML(typ="safe").load((ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8"))
    instance = seed(description, Clock(wall_clock() - timedelta(days=1)))
    instance.now = wall_clock
    instance.aggregation = timedelta(0)
    calls: queue.Queue[Delivery] = queue.Queue()
    if kind == "hinted":
        threading.Thread(target=deliver, args=(calls,), daemon=True).start()
        events = frozenset({"work_package:created", "work_package:updated"})
        install_webhook(instance, Webhook(f"http://127.0.0.1:{PORT}/webhook", SECRET, events, calls.put))
    with serve(Unhurried(Counting(Api(instance)))) as serving, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            "BRIDGE_OPENPROJECT__URL": serving.url,
            "BRIDGE_OPENPROJECT__API_KEY": instance.token("bridge"),
            "BRIDGE_POLICY": str(policy(folder)),
            "BRIDGE_MODE": "enforce",
            "BRIDGE_STATE_DIR": str(folder / "state"),
            "BRIDGE_POLL__INTERVAL": str(INTERVAL),
            "BRIDGE_POLL__JITTER": "0",
            "BRIDGE_LOG__FORMAT": "json",
            "BRIDGE_WEB__ENABLED": "true",
            "BRIDGE_WEB__PORT": str(PORT),
            "BRIDGE_WEB__USER_HEADER": "X-User",
            "BRIDGE_WEB__TRUSTED_PROXIES": "127.0.0.1",
            "BRIDGE_WEB__WEBHOOK_SECRET": SECRET,
        }
        command = [sys.executable, "-m", "bridge", "run"]
        with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True) as running:
            until(running, "cycle")
            threading.Thread(target=drain, args=(running,), daemon=True).start()
            try:
                return seconds(instance, MOVES[kind])
            finally:
                running.terminate()


def main() -> int:
    """Exit status 1 where the claim does not hold."""
    found = {kind: measure(kind) for kind in MOVES}
    late = {kind: statistics.quantiles(times, n=20)[-1] for kind, times in found.items()}
    for kind, times in found.items():
        print(
            f"{kind:8} {len(times):3} moves explained after {statistics.median(times):5.2f} s (median), "
            f"{late[kind]:5.2f} s (95th percentile), {max(times):5.2f} s at worst"
        )
    print(f"polling every {INTERVAL:.0f} s takes {late['polled'] / late['hinted']:.1f} times as long")
    print(f"hinted: {late['hinted']:.2f} of {LIMIT:g} s allowed")
    return int(late["hinted"] >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())

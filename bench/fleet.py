"""Many OpenProjects from one installation: cycles a second of 1, 2 and 4 workers over 200 simulated sites, and of two
while some sites are dead.

Each server lets every request wait as a real one far away would, one second and then four: at one, the cores that
servers and workers share have something to do as well. The workers are processes, and the sites' ledgers SQLite files.
All sites are due all the time, so what is counted is what a worker can do. Needs Debian's postgresql-common.
``python -m bench fleet`` or ``python -m bench.fleet [SITES]``.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from bridge.simulator import Api, Clock, seed, serve, wall_clock

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parents[1]
LATENCIES = (1.0, 4.0)
"""Seconds of each answer."""
AT_ONCE = 8
ANSWERS = 15
"""So many times an answer's time is measured, after every worker has watched nearly every site once: those first cycles
cost seven requests, not one."""
DEAD = 2
"""Sites, one in a hundred, that do not answer any more."""
MINUTE = 60.0
"""Seconds."""


class Slow:
    """A server that is so far away."""

    latency = 0.0
    over = threading.Event()

    def __init__(self, app: Api) -> None:
        self._app = app
        self.dead = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.dead:
            self.over.wait()
        time.sleep(self.latency)
        return self._app(environ, start_response)


class Worker:
    """A process whose cycles are counted."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "bridge", "fleet", "run", "--workers-concurrency", str(AT_ONCE)]
        self.popen = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
        self.watched: list[str] = []
        self.requests = 0
        self.failed: dict[str, str] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("event") == "cycle":
                self.watched.append(told["site"])
                self.requests += told["requests"]
            elif told.get("event") == "cycle failed":
                self.failed[told["site"]] = told["reason"]


@contextmanager
def running(workers: int, environment: dict[str, str], sites: int) -> Iterator[list[Worker]]:
    """Workers that have each watched nearly every site."""
    started = [Worker(environment) for _ in range(workers)]
    try:
        while any(len(set(worker.watched)) < sites * 0.97 for worker in started):
            none_failed(started)
            time.sleep(0.2)
        yield started
    finally:
        Slow.latency = 0.0
        for worker in started:
            worker.popen.send_signal(signal.SIGTERM)
        for worker in started:
            worker.popen.wait(60)


def none_failed(workers: list[Worker], but: int = 0) -> None:
    failed = {site: reason for worker in workers for site, reason in worker.failed.items()}
    if len(failed) > but:
        raise SystemExit(f"{len(failed)} sites failed: {next(iter(failed.values()))}")


@dataclass(frozen=True, slots=True)
class Rate:
    """What workers did in some seconds."""

    cycles: float
    requests: float
    """A second."""
    each: Counter[str]
    """Cycles of each site."""


def rate(workers: list[Worker], latency: float, seconds: float) -> Rate:
    """After the latency has set in."""
    Slow.latency = latency
    time.sleep(2 * latency)
    seen, requests = [len(worker.watched) for worker in workers], sum(worker.requests for worker in workers)
    began = time.perf_counter()
    time.sleep(seconds)
    each = Counter(site for worker, past in zip(workers, seen, strict=True) for site in worker.watched[past:])
    requests = sum(worker.requests for worker in workers) - requests
    seconds = time.perf_counter() - began
    return Rate(each.total() / seconds, requests / seconds, each)


def scale(environment: dict[str, str], sites: int) -> None:
    """One, two and four workers."""
    alone: list[float] = []
    for workers in (1, 2, 4):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with running(workers, environment, sites) as started:
            rates = [rate(started, latency, ANSWERS * latency) for latency in LATENCIES]
            none_failed(started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        alone = alone or [found.requests for found in rates]
        for latency, found, one in zip(LATENCIES, rates, alone, strict=True):
            print(
                f"  {workers} workers, {latency:.0f} s an answer: {found.requests:.2f} requests/s = "
                f"{found.requests / one:.2f} times one worker; {found.cycles:.2f} cycles/s",
                flush=True,
            )
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        print(
            f"    CPU of all, first cycles included: {cpu:.0f} s; the largest: {after.ru_maxrss / 1024:.0f} MiB",
            flush=True,
        )


def dead_sites(environment: dict[str, str], servers: list[Slow]) -> None:
    """What the others notice of some that do not answer any more, and how often each of them has its turn."""
    sites = len(servers)
    with running(2, environment, sites) as started:
        before = rate(started, LATENCIES[0], MINUTE)
        for server in servers[:DEAD]:
            server.dead = True
        minutes = [rate(started, LATENCIES[0], MINUTE) for _ in range(3)]
        Slow.over.set()
        none_failed(started, but=DEAD)
    shares = ", ".join(f"{found.cycles / before.cycles:.2f}" for found in minutes)
    print(f"  2 workers, {DEAD} sites dead: {shares} of the cycles before, in the first minute and the next ones")
    turns = [minutes[-1].each[f"site-{number}"] for number in range(DEAD, sites)]
    print(f"    in the last one, each of the others {min(turns)} to {max(turns)} times", flush=True)


def main() -> None:
    if "PGHOST" not in os.environ:
        if shutil.which("pg_virtualenv") is None:
            raise SystemExit("pg_virtualenv is missing: apt-get install postgresql postgresql-common")
        command = ["pg_virtualenv", "-t", sys.executable, "-m", "bench.fleet", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, check=False).returncode)
    sites = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    description = YAML(typ="safe").load((ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8"))
    user, password, host, port, name = (
        os.environ[f"PG{part}"] for part in ("USER", "PASSWORD", "HOST", "PORT", "DATABASE")
    )
    servers: list[Slow] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        for number in range(sites):
            instance = seed(description, Clock(wall_clock() - timedelta(days=1)))
            instance.now = wall_clock
            servers.append(Slow(Api(instance)))
            serving = held.enter_context(serve(servers[-1], threads=1))
            site = Path(folder) / "sites" / f"site-{number}"
            site.mkdir(parents=True)
            (site / "bridge.env").write_text(
                f"BRIDGE_OPENPROJECT__URL={serving.url}\n"
                f"BRIDGE_OPENPROJECT__API_KEY={instance.token('bridge')}\n"
                f"BRIDGE_POLICY={ROOT / 'config/cegape.yaml'}\n"
                f"BRIDGE_STATE_DIR={folder}/state/{site.name}\n"
                "BRIDGE_POLL__INTERVAL=1\n"
            )
        environment = {
            "BRIDGE_FLEET__DATABASE": f"postgresql://{user}:{password}@{host}:{port}/{name}",
            "BRIDGE_FLEET__SITES": f"{folder}/sites",
            "BRIDGE_FLEET__BEAT": "2",
            "BRIDGE_LOG__FORMAT": "json",
        }
        print(f"{sites} sites, {AT_ONCE} at once in a worker:", flush=True)
        scale(environment, sites)
        dead_sites(environment, servers)


if __name__ == "__main__":
    main()

"""How long nobody watches after the leader was killed: from kill -9 to the end of the standby's first cycle.

Two processes on one PostgreSQL; the claim is less than two poll intervals. Needs Debian's postgresql-common.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from ruamel.yaml import YAML

from bridge.simulator import Api, Clock, seed, serve, wall_clock

ROOT = Path(__file__).parents[1]
INTERVAL = 5.0
ROUNDS = 5


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bridge", "run", "--standby"]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["event"] == event:
            return
    raise SystemExit(f"a bridge ended before {event!r}")


def measure(environment: dict[str, str], folder: Path) -> list[float]:
    """Seconds of each round; the standby of one is the leader of the next."""
    seconds = []
    leader = start(environment | {"BRIDGE_STATE_DIR": str(folder / "0")})
    until(leader, "cycle")
    for number in range(1, ROUNDS + 1):
        standby = start(environment | {"BRIDGE_STATE_DIR": str(folder / str(number))})
        until(standby, "standing by")
        leader.send_signal(signal.SIGKILL)
        killed = time.perf_counter()
        until(standby, "cycle")
        seconds.append(time.perf_counter() - killed)
        leader.communicate()
        leader = standby
    leader.terminate()
    leader.communicate()
    return seconds


def main() -> None:
    if "PGHOST" not in os.environ:
        if shutil.which("pg_virtualenv") is None:
            raise SystemExit("pg_virtualenv is missing: apt-get install postgresql postgresql-common")
        raise SystemExit(
            subprocess.run(["pg_virtualenv", "-t", sys.executable, "-m", "bench.takeover"], check=False).returncode
        )
    description = YAML(typ="safe").load((ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8"))
    clock = Clock(wall_clock() - timedelta(days=1))
    instance = seed(description, clock)
    instance.now = wall_clock
    user, password, host, port, name = (
        os.environ[f"PG{part}"] for part in ("USER", "PASSWORD", "HOST", "PORT", "DATABASE")
    )
    with serve(Api(instance)) as serving, tempfile.TemporaryDirectory() as folder:
        seconds = measure(
            {
                "BRIDGE_OPENPROJECT__URL": serving.url,
                "BRIDGE_OPENPROJECT__API_KEY": instance.token("bridge"),
                "BRIDGE_POLICY": str(ROOT / "config/cegape.yaml"),
                "BRIDGE_STORE": f"postgresql://{user}:{password}@{host}:{port}/{name}",
                "BRIDGE_POLL__INTERVAL": str(INTERVAL),
                "BRIDGE_POLL__JITTER": "0",
                "BRIDGE_LOG__FORMAT": "json",
            },
            Path(folder),
        )
    worst = max(seconds)
    print(f"poll interval {INTERVAL:.0f} s; from kill -9 to the end of the standby's first cycle, {ROUNDS} times:")
    print(
        f"  worst {worst:.1f} s = {worst / INTERVAL:.2f} intervals, median {sorted(seconds)[len(seconds) // 2]:.1f} s"
    )


if __name__ == "__main__":
    main()

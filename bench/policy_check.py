"""``bridge policy check`` as a whole process, beside ``custodian validate`` where Cloud Custodian is installed.

The peer is no requirement of the project (it brings 60 packages): ``pip install c7n`` somewhere on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 15
PEERS_POLICY = "policies:\n  - name: stopped\n    resource: aws.ec2\n    filters:\n      - State.Name: running\n"


def wall(command: list[str]) -> float:
    start = time.perf_counter()
    environment = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        peers = Path(folder) / "policy.yml"
        peers.write_text(PEERS_POLICY, encoding="utf-8")
        commands = {
            "python, doing nothing": [sys.executable, "-c", "pass"],
            "bridge policy check config/cegape.yaml": [
                sys.executable,
                "-m",
                "bridge",
                "policy",
                "check",
                "config/cegape.yaml",
            ],
        }
        custodian = shutil.which("custodian")
        if custodian is not None:
            commands["custodian validate, one policy of five lines"] = [custodian, "validate", str(peers)]
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for name, command in commands.items():
                best[name] = min(best[name], wall(command))
    ours = best["bridge policy check config/cegape.yaml"]
    for name, seconds in best.items():
        print(f"  {name:<46} {1000 * seconds:>7.0f} ms   {seconds / ours:.1f} times the bridge's")
    if custodian is None:
        print("  custodian validate: not installed (pip install c7n)")


if __name__ == "__main__":
    main()

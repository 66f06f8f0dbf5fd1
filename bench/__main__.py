"""Runs the benchmarks, each in a process of its own: all of them, or those whose names hold one of the arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def names(wanted: list[str]) -> list[str]:
    """The modules beside this one that measure something, by name."""
    there = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if "def main(" in path.read_text("utf-8"))
    return [name for name in there if name != "__main__" and (not wanted or any(part in name for part in wanted))]


def main() -> int:
    chosen = names(sys.argv[1:])
    if not chosen:
        print(f"no benchmark is called like that; there are {', '.join(names([]))}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen:
        print(f"\n== {name} ==", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

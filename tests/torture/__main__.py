"""``./run torture``: a day beside the bridge, and seeded worlds for as long as told; then what held, in figures.

Worlds are played in two processes. A world that breaks a promise is shrunk a little and printed with the command
that plays it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from tests.torture.soak import MAY_GROW, soak
from tests.torture.world import Broken, Promise, Tally, Terms, World, empty_ledger

PROCESSES = 2
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Worlds live in memory where there is some for files."""
SHRUNK = 3
"""Broken worlds that are made smaller: it takes time, and more of the same tell nothing new."""
SHRINKING = 60.0
"""Seconds spent on each."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one world."""

    terms: Terms
    tally: Tally
    broken: tuple[Promise, str] | None


def play(terms: Terms, directory: Path, only: frozenset[int] | None = None, *, trace: bool = False) -> Played:
    """Play one world, or only some steps of it; whatever goes wrong in it is its result."""
    world = World(terms, directory, trace=print if trace else None)
    try:
        world.play(only)
    except Broken as broken:
        return Played(terms, world.tally, (broken.promise, broken.told))
    except Exception as error:  # noqa: BLE001 - an error nobody foresaw is what such worlds are for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Played(terms, world.tally, (Promise.CRASH, f"{error!r} in {where.filename}:{where.lineno}"))
    return Played(terms, world.tally, None)


def shrink(terms: Terms, directory: Path, promise: Promise) -> frozenset[int]:
    """Few steps with which the world still breaks the same promise."""
    only = terms.all_steps
    until = time.monotonic() + SHRINKING
    size = 16
    while size and time.monotonic() < until:
        steps = sorted(only)
        for start in range(len(steps) - size, -1, -size):
            fewer = only - frozenset(steps[start : start + size])
            played = play(terms, directory, fewer)
            if played.broken is not None and played.broken[0] is promise:
                only = fewer
            if time.monotonic() > until:
                break
        size //= 2
    return only


def worlds(seed: int, number: int | None, minutes: float, steps: int, directory: Path) -> Iterator[Played]:
    """Play worlds of consecutive seeds until there were so many, or the time is over."""
    until = time.monotonic() + minutes * 60
    seeds = iter(range(seed, seed + number) if number is not None else range(seed, seed + 10**9))
    empty_ledger(directory)
    with ProcessPoolExecutor(PROCESSES) as pool:
        running: set[Future[Played]] = set()
        while True:
            while len(running) < 2 * PROCESSES and (number is not None or time.monotonic() < until):
                following = next(seeds, None)
                if following is None:
                    break
                running.add(pool.submit(play, Terms.of(following, steps), directory))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def report(tally: Tally, broken: Counter[Promise], seconds: float) -> str:
    """The figures."""
    counts = tally.counts
    rows = [
        ("worlds", counts["worlds"]),
        ("moves", counts["moves"]),
        ("illegal moves of clients, enforced", counts["illegal moves of clients"]),
        ("put back", counts["reverts"]),
        ("  further than the truth, as aggregation hid a step", counts["put back as far as the activities told"]),
        ("explained", counts["explanations"]),
        ("observations stored", counts["observations"]),
        ("races: people's edits between the gate's requests", counts["races"]),
        ("cycles", counts["cycles"]),
        ("requests lost", counts["requests lost"]),
        ("answers lost", counts["answers lost"]),
        ("processes killed at a request", counts["kills"]),
        ("", None),
        *((promise.value, broken[promise]) for promise in Promise),
        ("", None),
        ("illegal moves that stood after a cycle, with a reason", tally.excuses.total()),
        *((f"  {reason}", number) for reason, number in tally.excuses.most_common()),
        ("", None),
        *sorted(tally.ingredients.items()),
        ("", None),
        ("seconds", round(seconds)),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join("" if number is None else f"{name:<{width}} {number:>9,}" for name, number in rows)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="./run torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first world; the time by default")
    parser.add_argument("--worlds", type=int, help="how many, whatever it takes")
    parser.add_argument("--minutes", type=float, default=10, help="of worlds, unless --worlds is given (10)")
    parser.add_argument("--no-soak", action="store_true", help="leave out the day in one process, which takes minutes")
    parser.add_argument("--steps", type=int, default=50, help="of a world (50)")
    parser.add_argument("--only", metavar="N,N…", help="only these steps, for one world")
    parser.add_argument("--trace", action="store_true", help="tell everything that happens, for one world")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        directory = Path(name)
        if options.trace or options.only is not None:
            terms = Terms.of(options.seed, options.steps)
            only = terms.all_steps if options.only is None else {int(n) for n in options.only.split(",") if n}
            played = play(terms, directory, frozenset(only), trace=options.trace)
            print(played.terms)
            print("all promises hold" if played.broken is None else f"{played.broken[0]}: {played.broken[1]}")
            return int(played.broken is not None)
        held = options.no_soak or options.worlds is not None or _soak(options.seed, directory)
        return int(not held) | _many(options.seed, options.worlds, options.minutes, options.steps, directory)


def _soak(seed: int, directory: Path) -> bool:
    print("a day in one process", file=sys.stderr)
    soaked = soak(seed, directory)
    print(
        f"{soaked.minutes} simulated minutes in one process: it grew by {soaked.grown:.1f} MiB "
        f"({MAY_GROW:g} allowed), missed {soaked.missed} polls and reported {soaked.reported}, "
        f"put {soaked.put_back} moves back\n",
        flush=True,
    )
    return soaked.holds


def _many(seed: int, number: int | None, minutes: float, steps: int, directory: Path) -> int:
    tally = Tally()
    broken: Counter[Promise] = Counter()
    began = time.monotonic()
    print(f"seeds from {seed}", file=sys.stderr)
    for played in worlds(seed, number, minutes, steps, directory):
        tally.add(played.tally)
        if played.broken is not None:
            promise, told = played.broken
            broken[promise] += 1
            print(f"\n{played.terms}\n  {promise}: {told}")
            again = f"  again: ./run torture --trace --seed {played.terms.seed} --steps {steps}"
            if sum(broken.values()) <= SHRUNK:
                again += f" --only={','.join(map(str, sorted(shrink(played.terms, directory, promise))))}"
            print(again)
            sys.stdout.flush()
    print(report(tally, broken, time.monotonic() - began))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())

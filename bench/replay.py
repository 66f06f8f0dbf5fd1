"""A policy over a ledger of 100,000 moves, beside what was decided and beside another policy.

The moves go by how people move tickets: mostly along the usual way, now and then anywhere.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bridge.cli.policy_replay import replay
from bridge.domain.model import Mode
from bridge.domain.policy import Policy, load
from bridge.store.ledger import Ledger
from bridge.store.queries import Queries

CEGAPE = Path(__file__).parents[1] / "config" / "cegape.yaml"
MOVES = 100_000
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
START = 1_700_000_000_000_000
USUAL = {
    "NOUVEAU": ("EN COURS", "NECESSITE CLARIFICATION", "EN ATTENTE"),
    "NECESSITE CLARIFICATION": ("EN COURS", "EN ATTENTE"),
    "EN COURS": ("EN COURS DE TEST", "EN ATTENTE", "REJETE"),
    "EN COURS DE TEST": ("RESOLU", "CORRECTION NON VALIDE", "EN ATTENTE"),
    "EN ATTENTE": ("EN COURS", "EN COURS DE TEST"),
    "CORRECTION NON VALIDE": ("EN COURS", "EN COURS DE TEST"),
    "RESOLU": ("CORRECTION NON VALIDE",),
    "REJETE": ("EN COURS",),
}


def rows(policy: Policy) -> Iterator[tuple[object, ...]]:
    """Decisions, ticket by ticket."""
    rng = random.Random(7)
    numbers = {name: number for number, name in enumerate(policy.statuses, 1)}
    seq, ticket = 100, 0
    while seq < MOVES + 100:
        ticket += 1
        here: str | None = None
        at = START + ticket * 600_000_000
        for _ in range(rng.randint(2, 8)):
            if here is None:
                there = str(policy.initial)
            else:
                there = rng.choice(USUAL[here]) if rng.random() < 0.93 else rng.choice(policy.statuses)
            if there == here:
                continue
            seq += 1
            at += rng.randint(1, 90_000) * 1_000_000
            person = rng.randint(1, 40)
            kind = "creation" if here is None else "move"
            origin = numbers[policy.statuses[policy.statuses.index(here)]] if here is not None else None
            yield (
                seq, 20261124, seq, ticket, ticket % 30 + 1, "Anomalie", seq, 0, kind, origin, numbers[there],  # type: ignore[index]
                here, there, person, f"Person {person}", "cegape" if person % 2 else "client", 0, "allowed", None, None,
                None, "", None, None, 1, at, at, at, None, 1,
            )  # fmt: skip
            here = there


def fill(path: Path, policy: Policy) -> None:
    with Ledger.open(f"sqlite:///{path}", now=lambda: NOW):
        pass
    with sqlite3.connect(path) as store:
        made = list(rows(policy))
        store.executemany(f"INSERT INTO decision VALUES ({','.join('?' * len(made[0]))})", made)
        names = enumerate(policy.statuses, 1)
        store.executemany(
            "INSERT INTO status_name VALUES (?, ?, ?, ?, 0, 0, ?)",
            [(number, number, name, int(policy.is_closed(name)), START) for number, name in names],
        )
        spells = [(project, person) for project in range(1, 31) for person in range(1, 41)]
        store.executemany(
            "INSERT INTO role_spell VALUES (?, ?, ?, ?, 0, 0, 0, ?, 1)",
            [
                (seq, project, person, '["CEGAPE"]' if person % 2 else '["Client"]', 2 * START)
                for seq, (project, person) in enumerate(spells, 1)
            ],
        )


def decide(path: Path, policy: Policy) -> None:
    """Write down what this policy says to the moves, as the bridge would have."""
    with Queries(f"sqlite:///{path}") as queries, queries.snapshot() as snapshot:
        found = replay(snapshot, policy, None, NOW).differences
    modes = {"put back": "enforce", "reported": "observe"}
    said = [("illegal", one.rules[0], modes[one.new], one.told.activity) for one in found if one.new in modes]
    with sqlite3.connect(path) as store:
        store.executemany("UPDATE decision SET verdict = ?, rule = ?, mode = ? WHERE seq = ?", said)


def main() -> None:
    policy = load(CEGAPE.read_bytes(), CEGAPE.name)
    strict = replace(policy, rules=tuple(replace(rule, mode=Mode.ENFORCE) for rule in policy.rules), hash="strict")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bridge.db"
        fill(path, policy)
        decide(path, policy)
        with Queries(f"sqlite:///{path}") as queries, queries.snapshot() as snapshot:
            for name, against in (("beside what was decided", None), ("beside a stricter policy", strict)):
                best = wall = float("inf")
                done = replay(snapshot, policy, against, NOW)
                for _ in range(8):
                    start, began = time.process_time(), time.perf_counter()
                    replay(snapshot, policy, against, NOW)
                    best = min(best, time.process_time() - start)
                    wall = min(wall, time.perf_counter() - began)
                print(
                    f"replay of {done.moves:,} moves of {done.tickets:,} tickets {name}: "
                    f"{wall:.2f} s ({best:.2f} s CPU), {len(done.differences):,} differences"
                )


if __name__ == "__main__":
    main()

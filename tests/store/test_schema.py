"""The tables are what the migrations make, everything is documented, and the views can be read by others."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from bridge.domain.model import WorkPackageId
from bridge.store import schema
from bridge.store.audit import verify
from bridge.store.database import snapshot
from bridge.store.ledger import Ledger
from bridge.store.transfer import migrate
from bridge.store.views import VIEWS
from tests.store.databases import connected
from tests.store.lives import T0, Clock, live


def test_the_migrations_make_exactly_the_tables_that_the_program_knows(fresh: Callable[..., str], kind: str) -> None:
    url = fresh(kind)
    with Ledger.open(url, now=Clock()):
        pass
    with connected(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_the_newest_migration_is_the_one_that_the_program_expects() -> None:
    assert ScriptDirectory("bridge/store/migrations").get_current_head() == schema.HEAD


def test_every_table_says_what_it_holds() -> None:
    for table in schema.metadata.sorted_tables:
        assert table.comment, table
        for column in table.columns:
            # The field's own words need no explanation.
            plain = column.name in {"work_package", "project", "status", "type", "name", "person", "rule", "roles"}
            assert column.comment or plain or column.type.__class__ is schema.Instant, column


def test_each_view_answers(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        for seed in range(3):
            live(ledger, Clock(), random.Random(seed), steps=30)
    with snapshot(url) as connection:
        for name in VIEWS:
            assert connection.execute(text(f"SELECT * FROM {name}")).all() or name == "bi_checkpoint", name
        moves = connection.execute(text("SELECT * FROM bi_move")).mappings().all()
        current = connection.scalar(text("SELECT count(*) FROM decision WHERE current"))
        assert len(moves) == current
        assert {move["decision"][:10] for move in moves} == {"2026-11-24"}
        move = moves[0]
        at = move["decided_at"]
        assert (datetime.fromisoformat(at) if isinstance(at, str) else at).date().isoformat() == "2026-11-24"


def test_the_documentation_names_the_columns_of_every_view(url: str) -> None:
    with Ledger.open(url, now=Clock()):
        pass
    page = Path("docs/audit.md").read_text("utf-8")
    told = {
        name: columns.split(", ") for name, columns in re.findall(r"(?m)^\| `(\w+)` \|[^|]*\| `([\w, ]+)` \|$", page)
    }
    with snapshot(url) as connection:
        found = {name: list(connection.execute(text(f"SELECT * FROM {name}")).keys()) for name in VIEWS}
    assert {name: told[name] for name in VIEWS} == found


def test_the_documentation_describes_every_kind_of_entry() -> None:
    page = Path("docs/audit.md").read_text("utf-8").partition("## What the entries say")[2]
    rows = re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \|", page)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(schema.EntryKind)


def test_the_views_times_are_the_tables_times(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        live(ledger, Clock(), random.Random(1), steps=30)
    with snapshot(url) as connection:
        told = connection.execute(text("SELECT changed_at FROM bi_ticket ORDER BY ticket")).scalars().all()
        stored = connection.execute(text("SELECT changed_at FROM ticket ORDER BY work_package")).scalars().all()
    times = [datetime.fromisoformat(each) if isinstance(each, str) else each for each in told]
    assert [time.replace(microsecond=time.microsecond // 1000 * 1000) for time in map(schema.instant, stored)] == [
        time.replace(microsecond=time.microsecond // 1000 * 1000) for time in times
    ]


RELEASED = sorted((Path(__file__).parent / "released").glob("*.sql"))
"""A ledger with data of every schema that was ever released, as that version wrote it."""


@pytest.mark.parametrize("dump", RELEASED, ids=lambda each: each.stem)
def test_every_released_schema_comes_forward_with_its_data_and_proofs(
    dump: Path, fresh: Callable[..., str], kind: str, tmp_path: Path
) -> None:
    old, url = tmp_path / "old.db", fresh(kind)
    with closing(sqlite3.connect(old)) as database:
        database.executescript(dump.read_text())
    clock = Clock(T0 + timedelta(days=1))
    with Ledger.open(f"sqlite:///{old}", now=clock) as ledger:
        assert ledger.known()
        assert ledger.decisions(WorkPackageId(1)) or ledger.decisions(WorkPackageId(2))
        live(ledger, clock, random.Random(1))
    assert verify(f"sqlite:///{old}").findings == ()
    assert migrate(f"sqlite:///{old}", url).holds


def test_no_schema_is_released_without_its_sample() -> None:
    assert schema.HEAD in {each.stem for each in RELEASED}

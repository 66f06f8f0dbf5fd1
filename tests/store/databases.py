"""Empty databases for tests: SQLite files, or schemas on a throw-away PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgresql")])


@contextmanager
def databases(request: pytest.FixtureRequest, directory: Path) -> Iterator[Callable[[str], str]]:
    """Makes URLs of empty databases of the named kind, and removes them in the end."""
    numbers = itertools.count()
    schemas: list[str] = []

    def run(statement: str) -> None:
        engine = create_engine(request.getfixturevalue("postgresql"))
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{directory}/{next(numbers)}.db"
        server: str = request.getfixturevalue("postgresql")
        name = f"test_{abs(hash(directory))}_{next(numbers)}"
        run(f"CREATE SCHEMA {name}")
        schemas.append(name)
        return f"{server}?options=-csearch_path%3D{name}"

    yield make
    for name in schemas:
        run(f"DROP SCHEMA {name} CASCADE")

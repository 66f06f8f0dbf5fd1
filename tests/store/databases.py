"""Empty databases for tests: SQLite files, or schemas on a throw-away PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgresql")])


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """What somebody with the database's password has."""
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def databases(request: pytest.FixtureRequest, directory: Path) -> Iterator[Callable[[str], str]]:
    """Makes URLs of empty databases of the named kind, and removes them in the end."""
    numbers = itertools.count()
    schemas: list[str] = []

    def run(statement: str) -> None:
        with connected(request.getfixturevalue("postgresql")) as connection:
            connection.execute(text(statement))

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

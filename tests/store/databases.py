"""Databases for tests: SQLite files, or databases on a throw-away PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgresql")])


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """What somebody with the database's password has."""
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def databases(request: pytest.FixtureRequest, directory: Path) -> Iterator[Callable[..., str]]:
    """Makes URLs of databases of the named kind, empty or with the bridge's tables, and removes them in the end."""
    numbers = itertools.count()
    made: list[str] = []

    def make(kind: str, tables: bool = False) -> str:
        template = Path(request.getfixturevalue("templates")(kind)) if tables else None
        if kind == "sqlite":
            path = directory / f"{next(numbers)}.db"
            if template is not None:
                shutil.copy(template, path)
            return f"sqlite:///{path}"
        server: str = request.getfixturevalue("postgresql")
        name = f"test_{abs(hash(directory))}_{next(numbers)}"
        create(server, name, None if template is None else template.name)
        made.append(name)
        return on(server, name)

    yield make
    for name in made:
        run(request.getfixturevalue("postgresql"), f"DROP DATABASE {name} WITH (FORCE)")


def create(server: str, name: str, template: str | None = None) -> None:
    """A database on a PostgreSQL server."""
    run(server, f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")


def on(server: str, name: str) -> str:
    """The URL of a database on a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def run(server: str, statement: str) -> None:
    """A statement that no transaction may be around."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()

"""A database for each test: an SQLite file, or a schema of its own on a throw-away PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgresql")])


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests (Debian's pg_virtualenv)."""
    if shutil.which("pg_virtualenv") is None:
        pytest.skip("pg_virtualenv is missing: apt-get install postgresql postgresql-common")
    script = "printenv PGUSER PGPASSWORD PGHOST PGPORT PGDATABASE; exec cat"
    with subprocess.Popen(
        ["pg_virtualenv", "-t", "-o", "fsync=off", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        user, password, host, port, database = (
            line.strip() for line in itertools.islice((line for line in server.stdout if "cluster" not in line), 5)
        )
        yield f"postgresql://{user}:{password}@{host}:{port}/{database}"
        server.stdin.close()  # ends cat, and with it the server
        server.stdout.read()  # closed too early, it would end the script before the server


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes URLs of empty databases of the named kind."""
    numbers = itertools.count()
    schemas: list[str] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(numbers)}.db"
        server: str = request.getfixturevalue("postgresql")
        name = f"test_{abs(hash(tmp_path))}_{next(numbers)}"
        engine = create_engine(server)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        engine.dispose()
        schemas.append(name)
        return f"{server}?options=-csearch_path%3D{name}"

    yield make
    if schemas:
        engine = create_engine(request.getfixturevalue("postgresql"))
        with engine.begin() as connection:
            for name in schemas:
                connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        engine.dispose()


@pytest.fixture(params=["sqlite", POSTGRESQL])
def url(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> str:
    """The URL of an empty database; each test runs on both."""
    return fresh(request.param)

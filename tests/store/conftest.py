"""A database for each test, of each kind that the store runs on."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.databases import POSTGRESQL, databases


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


@pytest.fixture(params=["sqlite", POSTGRESQL])
def kind(request: pytest.FixtureRequest) -> str:
    """Each database that the store runs on."""
    return str(request.param)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes URLs of empty databases of the named kind."""
    with databases(request, tmp_path) as make:
        yield make


@pytest.fixture
def url(kind: str, fresh: Callable[[str], str]) -> str:
    """The URL of an empty database."""
    return fresh(kind)

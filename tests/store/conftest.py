"""A database for each test, of each kind that the store runs on."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.databases import POSTGRESQL, databases


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests (Debian's pg_virtualenv)."""
    if shutil.which("pg_virtualenv") is None:
        pytest.skip("pg_virtualenv is missing: apt-get install postgresql postgresql-common")
    for _ in range(5):  # two at the same moment want the same port
        with _server() as url:
            if url is not None:
                yield url
                return
    pytest.fail("pg_virtualenv does not start a server")


@contextmanager
def _server() -> Iterator[str | None]:
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
        said = [line.strip() for line in itertools.islice((each for each in server.stdout if "cluster" not in each), 5)]
        yield "postgresql://{}:{}@{}:{}/{}".format(*said) if len(said) == 5 else None
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

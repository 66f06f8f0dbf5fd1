"""A database for each test, of each kind that the store runs on."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.store.database import Database
from tests.store.databases import POSTGRESQL, create, databases, on


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


@pytest.fixture(scope="session")
def templates(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A database with the bridge's tables to make others from: migrations take longer than most tests."""

    @functools.cache
    def template(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path_factory.mktemp("template") / "template.db"
            Database(f"sqlite:///{path}").close()
            return str(path)
        server: str = request.getfixturevalue("postgresql")
        create(server, "template_bridge")
        Database(on(server, "template_bridge")).close()
        return "template_bridge"

    return template


@pytest.fixture(params=["sqlite", POSTGRESQL])
def kind(request: pytest.FixtureRequest) -> str:
    """Each database that the store runs on."""
    return str(request.param)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes URLs of databases of the named kind, empty ones unless asked for tables."""
    with databases(request, tmp_path) as make:
        yield make


@pytest.fixture
def url(kind: str, fresh: Callable[..., str]) -> str:
    """The URL of a database with the bridge's tables and nothing in them."""
    return fresh(kind, tables=True)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.web.app import create_app
from tests.web.world import NAME, PASSWORD, Desk, desk, fill

Filled = tuple[Path, datetime]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The folder of the demo's ledger, and the moment at which its day ends."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, fill(folder)


@dataclass
class Visitor:
    """Somebody with a browser, as far as a test client is one."""

    client: FlaskClient
    desk: Desk

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, buffered=True, **more)

    def token(self, page: str = "/login") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.client.get(page).text)
        assert found is not None
        return found[1]

    def post(self, path: str, page: str = "/", **form: str) -> TestResponse:
        """Sends a form with the token of the page that it is on."""
        return self.client.post(path, data={"csrf": self.token(page), **form})

    def log_in(self, name: str = NAME, password: str = PASSWORD, **form: str) -> TestResponse:
        return self.post("/login", page="/login", name=name, password=password, **form)


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(filled: Filled, tmp_path: Path) -> Iterator[Visit]:
    """Opens the dashboard; keyword arguments are settings of the web section."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def opened(*, with_ledger: bool = True, **web: Any) -> Visitor:
            made = desk(filled[0], tmp_path / "state", filled[1])
            site = stack.enter_context(made.site(with_ledger=with_ledger, **web))
            return Visitor(create_app(site).test_client(), made)

        yield opened


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    """Somebody who is signed in and reads English."""
    made = visit()
    made.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    assert made.log_in().status_code == 303
    return made

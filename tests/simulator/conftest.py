"""An instance of either version as recorded, a clock that stands still, and sessions without sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.simulator import Api, Clock, InProcess, Instance, seed

RECORDINGS = Path(__file__).parents[1] / "recordings"
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
URL = "http://simulator/api/v3"

Ask = Callable[..., requests.Response]


def build(version: str, clock: Clock) -> Instance:
    return seed(json.loads((RECORDINGS / f"openproject-{version}" / "instance.json").read_text()), clock)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def instance(clock: Clock) -> Instance:
    return build("17.6", clock)


@pytest.fixture
def older(clock: Clock) -> Instance:
    return build("15.4", clock)


@pytest.fixture
def ask() -> Iterator[Ask]:
    """``ask(instance, "bridge", "GET", "/statuses")``."""
    with requests.Session() as session:

        def send(instance: Instance, who: str | None, method: str, path: str, **more: Any) -> requests.Response:
            session.mount("http://simulator", InProcess(Api(instance)))
            auth = ("apikey", instance.token(who)) if who else None
            return session.request(method, URL + path, auth=auth, **more)

        session.trust_env = False
        yield send

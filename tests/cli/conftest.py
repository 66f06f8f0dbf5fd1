"""The commands as an operator runs them: arguments in; exit code, result and talk out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bridge.cli.app import main
from bridge.simulator import Api, Clock, Counting, Instance, seed, serve

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Bridge = Callable[..., Ran]


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bridge:
    """Runs ``bridge`` with arguments. A traceback on either stream fails the test."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["bridge", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, said.out, said.err)

    return run


@dataclass(frozen=True, slots=True)
class World:
    """A simulated OpenProject on loopback with the demo's people, and the clock it lives by."""

    instance: Instance
    clock: Clock
    server: Counting
    url: str


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The settings point at it; the working directory is empty."""
    # The commands live by the real time, and so must the server they talk to; its people joined yesterday.
    clock = Clock(datetime.now(UTC) - timedelta(days=1))
    description = YAML(typ="safe").load((ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8"))
    instance = seed(description, clock)
    clock.advance(timedelta(hours=23))
    server = Counting(Api(instance))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bridge.settings.DOCKER_SECRETS", tmp_path / "no-secrets")
    with serve(server) as serving:
        monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", serving.url)
        monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", instance.token("bridge"))
        monkeypatch.setenv("BRIDGE_POLICY", str(ROOT / "config/cegape.yaml"))
        yield World(instance, clock, server, serving.url)

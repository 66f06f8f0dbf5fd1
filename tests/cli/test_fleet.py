"""Many OpenProjects, one PostgreSQL, workers that are processes of their own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import text

from bridge.daemon import Heartbeat, read_heartbeat
from bridge.fleet import Folder, due, rests
from bridge.settings import load_site
from bridge.simulator import Api, Clock, Instance, seed, serve, wall_clock
from tests.cli.conftest import ROOT, Bridge
from tests.store.conftest import postgresql  # noqa: F401 - a fixture
from tests.store.databases import connected, databases

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATIENCE = 300
"""Seconds: two workers, three servers and a PostgreSQL share the cores, and a worker counts as dead only after 15 s.
The longest test takes 20 s; on a machine that is ten times slower it has to end as well."""

several_workers = [pytest.mark.postgres, pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(PATIENCE)]


@dataclass
class Held:
    """A server that lets requests hang while the gate is closed."""

    app: Api
    gate: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self.gate.is_set():
            self.waiting.set()
            self.gate.wait(PATIENCE)
        return self.app(environ, start_response)


def write_site(folder: Path, url: str, token: str, state: Path, **more: object) -> None:
    folder.mkdir(parents=True)
    lines = {
        "BRIDGE_OPENPROJECT__URL": url,
        "BRIDGE_OPENPROJECT__API_KEY": token,
        "BRIDGE_POLICY": ROOT / "config/cegape.yaml",
        "BRIDGE_STATE_DIR": state / folder.name,
        "BRIDGE_MODE": "enforce",
        "BRIDGE_POLL__INTERVAL": 1,
        **more,
    }
    (folder / "bridge.env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


class Worker:
    """A process that watches what is due."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "bridge", "fleet", "run", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self._seen = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"event": line})

    def until(self, event: str, **facts: object) -> dict[str, Any]:
        """The next line of this event that was not waited for yet."""
        while True:
            alive = self._reader.is_alive()
            while self._seen < len(self.log):
                line = self.log[self._seen]
                self._seen += 1
                assert "mistake in the program" not in str(line.get("reason")), line
                if line["event"] == event and facts.items() <= line.items():
                    return line
            assert alive, f"it ended before {event!r}: {self.log[-8:]}"
            time.sleep(0.05)

    def end(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.close()

    def close(self) -> int:
        code = self.popen.wait(PATIENCE)
        self._reader.join()
        assert self.popen.stderr is not None
        self.popen.stderr.close()
        return code


@dataclass
class Fleet:
    folder: Path
    state: Path
    queue: str
    start: Callable[..., Worker]
    instances: dict[str, Instance]
    servers: dict[str, Held]

    def settle(self) -> None:
        """Until every site is enforced, which begins a whole second after its first cycle."""
        for name in "abc":
            self.watched(name, 4)

    def cycles(self, name: str) -> int:
        beat = read_heartbeat(self.state / name / "heartbeat.json")
        if beat is None:
            return 0
        assert beat.failures < 5, beat.error  # it gets no better by waiting
        return beat.cycles

    def watched(self, name: str, times: int) -> None:
        while self.cycles(name) < times:
            time.sleep(0.05)

    def put_right(self, *names: str) -> None:
        """Until these sites' tickets are explained, and two more cycles could have done it again."""
        for name in names:
            while not self.comments(name):
                self.watched(name, self.cycles(name) + 1)
        for name in names:
            self.watched(name, self.cycles(name) + 2)

    def illegal(self, site: str) -> int:
        return self.instances[site].create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU").id

    def reverts(self, site: str) -> Counter[int]:
        instance = self.instances[site]
        me = instance.person("bridge").id
        return Counter(move.ticket for move in instance.moves if move.person == me)

    def comments(self, site: str) -> Counter[int]:
        instance = self.instances[site]
        me = instance.person("bridge").id
        return Counter(remark.ticket for remark in instance.remarks if remark.person == me)


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Three sites: two with a SQLite ledger, one with a PostgreSQL one; no worker yet."""
    description = YAML(typ="safe").load((ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    workers: list[Worker] = []
    with ExitStack() as held, databases(request, tmp_path) as make:
        queue = make("postgresql")
        instances, servers = {}, {}
        for name in ("a", "b", "c"):
            instances[name] = seed(description, Clock(datetime.now(UTC) - timedelta(days=1)))
            instances[name].now = wall_clock
            servers[name] = Held(Api(instances[name]))
            servers[name].gate.set()
            serving = held.enter_context(serve(servers[name]))
            more = {"BRIDGE_STORE": make("postgresql")} if name == "a" else {}
            write_site(
                tmp_path / "sites" / name, serving.url, instances[name].token("bridge"), tmp_path / "state", **more
            )
        monkeypatch.setenv("BRIDGE_FLEET__DATABASE", queue)
        monkeypatch.setenv("BRIDGE_FLEET__SITES", str(tmp_path / "sites"))
        monkeypatch.setenv("BRIDGE_FLEET__BEAT", "1")

        def start(*arguments: str) -> Worker:
            workers.append(Worker(*arguments))
            return workers[-1]

        yield Fleet(tmp_path / "sites", tmp_path / "state", queue, start, instances, servers)
        for server in servers.values():
            server.gate.set()
        for worker in workers:
            worker.popen.kill()
            worker.close()


class TestWorkers:
    pytestmark = several_workers

    def test_every_site_is_put_right_once_by_one_of_two_workers(self, fleet: Fleet, bridge: Bridge) -> None:
        one, two = fleet.start(), fleet.start()
        fleet.settle()
        tickets = {name: fleet.illegal(name) for name in "abc"}
        fleet.put_right(*"abc")
        assert bridge("fleet", "status").code == 0
        assert [one.end(), two.end()] == [0, 0]
        for name, ticket in tickets.items():
            assert fleet.reverts(name) == fleet.comments(name) == {ticket: 1}

    def test_a_killed_workers_site_is_taken_over_and_finished_once(self, fleet: Fleet) -> None:
        first = fleet.start()
        fleet.settle()
        fleet.servers["a"].gate.clear()
        ticket = fleet.illegal("a")
        assert fleet.servers["a"].waiting.wait(PATIENCE)  # in mid-job
        first.popen.kill()
        first.popen.wait()
        second = fleet.start()
        fleet.servers["a"].gate.set()
        second.until("taken over", task="cycle", site="a")
        fleet.put_right("a")
        assert second.end() == 0
        assert fleet.reverts("a") == fleet.comments("a") == {ticket: 1}

    def test_of_a_worker_that_was_given_up_and_its_heir_only_one_acts(self, fleet: Fleet) -> None:
        first = fleet.start()
        fleet.settle()
        fleet.servers["b"].gate.clear()
        ticket = fleet.illegal("b")
        assert fleet.servers["b"].waiting.wait(PATIENCE)
        os.kill(first.popen.pid, signal.SIGSTOP)  # a virtual machine that is moved
        second = fleet.start()
        second.until("left alone", site="b")
        fleet.servers["b"].gate.set()
        os.kill(first.popen.pid, signal.SIGCONT)
        fleet.put_right("b")
        assert fleet.reverts("b") == fleet.comments("b") == {ticket: 1}

    def test_a_site_that_hangs_holds_one_place_and_the_others_go_on(self, fleet: Fleet) -> None:
        fleet.servers["c"].gate.clear()
        worker = fleet.start("--workers-concurrency", "2")
        assert fleet.servers["c"].waiting.wait(PATIENCE)
        for _ in range(5):
            worker.until("cycle", site="a")
            worker.until("cycle", site="b")
        assert not any(line.get("site") == "c" for line in worker.log)
        assert worker.end() == 0  # within the grace, although the request still hangs

    def test_a_site_whose_record_was_changed_is_paused_and_the_others_go_on(self, fleet: Fleet) -> None:
        for name in "bc":
            with (fleet.folder / name / "bridge.env").open("a") as env:
                env.write("BRIDGE_AUDIT__VERIFY_INTERVAL=1\n")
        worker = fleet.start()
        worker.until("record holds")
        fleet.settle()
        with closing(sqlite3.connect(fleet.state / "b" / "bridge.db", timeout=15)) as file, file:
            file.execute("UPDATE entry SET at = at + 1 WHERE seq = 2")
        assert worker.until("record broken")["entry"] == 2
        tickets = {name: fleet.illegal(name) for name in "bc"}
        fleet.put_right("c")
        assert worker.end() == 0
        assert fleet.reverts("c") == {tickets["c"]: 1}
        assert not fleet.reverts("b")
        assert (fleet.state / "b" / "paused").read_text().startswith("the record is broken: entry 2 (")
        assert not (fleet.state / "c" / "paused").exists()

    def test_jobs_hold_the_sites_name_and_no_secret(self, fleet: Fleet) -> None:
        worker = fleet.start()
        worker.until("cycle")
        assert worker.end() == 0
        with connected(fleet.queue) as connection:
            rows = connection.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'cycle'")).all()
        assert {tuple(args) for (args,) in rows} == {("site",)}
        assert {args["site"] for (args,) in rows} <= {"a", "b", "c"}

    def test_a_malformed_site_is_named_and_the_others_go_on(self, fleet: Fleet, bridge: Bridge) -> None:
        (fleet.folder / "d").mkdir()
        (fleet.folder / "d" / "bridge.env").write_text("BRIDGE_OPENPROJECT__URL=nonsense\n")
        (fleet.folder / "e").mkdir()
        worker = fleet.start()
        said = worker.until("not watched", site="d")
        assert "BRIDGE_OPENPROJECT__URL" in said["reason"]
        worker.until("not watched", site="e")
        worker.until("cycle", site="a")
        assert worker.end() == 0
        checked = bridge("fleet", "check")
        assert checked.code == 2
        assert "d: openproject.url" in checked.err
        assert f"e: there is no env file {fleet.folder}/e/bridge.env" in checked.err
        assert bridge("fleet", "status").code == 1


# --- Without a database ---------------------------------------------------------------------------------------------


def test_two_sites_with_one_openproject_or_one_ledger_are_both_left_alone(tmp_path: Path) -> None:
    write_site(tmp_path / "sites/a", "https://one.example.org", "0" * 64, tmp_path)
    write_site(tmp_path / "sites/b", "https://ONE.example.org/", "0" * 64, tmp_path)
    write_site(tmp_path / "sites/c", "https://c.example.org", "0" * 64, tmp_path, BRIDGE_STORE="postgresql://h/one")
    write_site(tmp_path / "sites/d", "https://d.example.org", "0" * 64, tmp_path, BRIDGE_STORE="postgresql://h/one")
    write_site(tmp_path / "sites/e", "https://e.example.org", "0" * 64, tmp_path)
    sites = Folder(tmp_path / "sites").sites()
    assert list(sites.good) == ["e"]
    assert sites.bad["a"] == sites.bad["b"] == "a and b have the same OpenProject: each needs its own"
    assert sites.bad["c"] == "c and d have the same ledger: each needs its own"


def test_a_site_is_not_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path / "sites/a", "https://a.example.org", "0" * 64, tmp_path)
    monkeypatch.setenv("BRIDGE_STORE", "postgresql://everybodys/ledger")
    assert load_site(tmp_path / "sites/a/bridge.env").store is None


def test_a_sites_paths_are_whole_ones(tmp_path: Path) -> None:
    write_site(tmp_path / "sites/a", "https://a.example.org", "0" * 64, Path("state"))
    assert "must be a whole path" in Folder(tmp_path / "sites").sites().bad["a"]


def test_a_changed_site_is_read_again(tmp_path: Path) -> None:
    write_site(tmp_path / "sites/a", "https://a.example.org", "0" * 64, tmp_path)
    folder = Folder(tmp_path / "sites")
    assert folder.sites().good["a"].poll.interval == 1
    path = tmp_path / "sites/a/bridge.env"
    path.write_text(path.read_text().replace("INTERVAL=1", "INTERVAL=30"))
    assert folder.sites().good["a"].poll.interval == 30


def test_every_site_is_due_once_in_its_interval_and_not_all_in_one_beat(tmp_path: Path) -> None:
    for number in range(40):
        write_site(
            tmp_path / f"sites/s{number}",
            f"https://{number}.example.org",
            "0" * 64,
            tmp_path,
            BRIDGE_POLL__INTERVAL=60 if number % 2 else 5,
        )
    good = Folder(tmp_path / "sites").sites().good
    beats = [due(good, at, 5) for at in range(1_700_000_000, 1_700_000_060, 5)]
    assert Counter(name for beat in beats for name in beat) == {
        name: 1 if settings.poll.interval == 60 else 12 for name, settings in good.items()
    }
    assert max(map(len, beats)) < 40


def test_a_site_that_fails_rests_longer_each_time_up_to_a_bound() -> None:
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)
    beat = Heartbeat(1, 60, now, last_cycle=now)
    asked = []
    for failures in (0, 1, 2, 3, 4, 5, 50):
        tired = Heartbeat(1, 60, now, failures=failures, last_cycle=now)
        asked.append(next(minutes for minutes in range(60) if not rests(tired, now + timedelta(minutes=minutes))))
    assert not rests(beat, now)
    assert asked == [0, 0, 2, 4, 8, 15, 15]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "fleet.database (env BRIDGE_FLEET__DATABASE): is not set"),
        ({"BRIDGE_FLEET__DATABASE": "sqlite:///x.db"}, "must be a PostgreSQL"),
        ({"BRIDGE_FLEET__DATABASE": "postgresql://h/q", "BRIDGE_FLEET__BEAT": "7"}, "must divide a minute"),
        (
            {"BRIDGE_FLEET__DATABASE": "postgresql://h/q", "BRIDGE_FLEET__SITE": "x"},
            "did you mean BRIDGE_FLEET__SITES?",
        ),
        ({"BRIDGE_FLEET__DATABASE": "postgresql://h/q", "BRIDGE_FLEET__SITES": "/nowhere"}, "/nowhere, cannot be read"),
    ],
)
def test_settings_that_are_wrong_are_named_with_exit_code_2(
    settings: dict[str, str], said: str, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_FLEET__SITES", str(tmp_path))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ran = bridge("fleet", "check")
    assert ran.code == 2
    assert said in ran.err


def test_a_database_that_does_not_answer_is_exit_code_3(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_FLEET__SITES", str(tmp_path))
    monkeypatch.setenv("BRIDGE_FLEET__DATABASE", "postgresql://bridge@127.0.0.1:1/queue")
    assert bridge("fleet", "run").code == 3

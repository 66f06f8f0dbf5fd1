"""The bridge on a simulated OpenProject: ``demo`` shows a day of it, ``simulate`` is one to play with."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, ConfigError

if TYPE_CHECKING:
    from bridge.daemon import Daemon
    from bridge.domain.policy import Policy
    from bridge.engine.cycle import CycleReport
    from bridge.reports.language import Language
    from bridge.reports.values import Report
    from bridge.settings import Settings
    from bridge.simulator import Clock, Instance
    from bridge.simulator.script import Player
    from bridge.store.ledger import Ledger
    from bridge.store.queries import Queries
    from bridge.store.rows import Ruled

MINUTE = timedelta(minutes=1)

FOREVER = 3600.0
"""Seconds. The demo's daemon is woken every simulated minute, as by a webhook; its own timer must never come first."""

OURS = "bridge.db"
"""What a folder must hold for the demo to empty it."""


@dataclass(frozen=True, slots=True, order=True)
class Illegal:
    """An illegal move, as the day's script made it or as the report shows it, in the words of the report."""

    ticket: int
    person: str
    origin: str
    target: str
    rule: str
    outcome: str


def demo(
    folder: Annotated[
        Path, typer.Option(help="For the ledger and the report; what a demo before left there is removed.")
    ] = Path("bridge-demo"),
    pace: Annotated[float, typer.Option(min=0, max=1, help="Seconds that a minute of the day takes at least.")] = 0.04,
    as_json: frame.Json = False,
) -> None:
    """Show a day of client and support work on a simulated OpenProject, with the bridge in enforce mode beside it.

    Exit code 0 only if the report lists exactly the illegal moves that the day's script made.
    """
    from bridge import wiring
    from bridge.reports import render_html
    from bridge.simulator import Api, Counting, serve
    from bridge.store.queries import Queries

    _make_empty(folder)
    player, instance, clock = _world()
    server = Counting(Api(instance))
    with serve(server) as serving:
        settings = _settings(serving.url, instance, folder)
        frame.set_up_logs(settings, quiet=True)
        rules = wiring.policy(settings.policy)
        with wiring.ledger(settings, clock) as ledger, Queries(settings.store_url) as queries:
            watch = Watch(queries, player, talk=not as_json)
            watch.say(f"The bridge watches {serving.url} in enforce mode.\n")
            _spend_the_day(settings, rules, ledger, player, clock, watch.take, pace)
            report, language = _report(queries, settings, rules, player, clock)
            with queries.snapshot() as snapshot:
                entries = snapshot.size()
    page = folder / "report.html"
    page.write_text(render_html.render(report, language), encoding="utf-8")
    made, found = _made(player, instance, language), _found(report)
    outcome = Outcome(made, found, page, folder / OURS, entries, watch.cycles, server.usage.requests)
    frame.put_json(outcome.facts()) if as_json else outcome.tell(language)
    raise typer.Exit(EXIT_FINE if made == found else EXIT_FINDINGS)


def _make_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / OURS).exists():
            raise ConfigError(f"{folder} holds other things than a demo's: choose another with --folder")
        shutil.rmtree(folder)


def _world(begins: datetime | None = None) -> tuple[Player, Instance, Clock]:
    """The demo's OpenProject on the morning of its script, with the days before it already played.

    With ``begins``, the whole story is moved in time so that the morning is then.
    """
    from ruamel.yaml import YAML

    from bridge.simulator import Clock, seed
    from bridge.simulator.script import Player, read

    script = read(frame.shipped("demo/day.yaml").read_text(encoding="utf-8"))
    clock = Clock(script.acts[0].at - timedelta(days=1))
    later = begins - script.begins if begins is not None else timedelta(0)
    description = YAML(typ="safe").load(frame.shipped("demo/instance.yaml").read_text(encoding="utf-8"))
    instance = seed(description, lambda: clock() + later)
    player = Player(script, instance, clock)
    player.until(script.begins)
    return player, instance, clock


def _settings(url: str, instance: Instance, folder: Path) -> Settings:
    from bridge.settings import Settings

    return Settings.model_validate(
        {
            "openproject": {"url": url, "api_key": instance.token("bridge")},
            "policy": frame.shipped("cegape.yaml"),
            "mode": "enforce",
            "state_dir": folder,
        }
    )


def _spend_the_day(
    settings: Settings,
    rules: Policy,
    ledger: Ledger,
    player: Player,
    clock: Clock,
    take: Callable[[CycleReport], None],
    pace: float,
) -> None:
    """People act on the server; the daemon looks after each minute of their day."""
    from concurrent.futures import ThreadPoolExecutor

    from bridge import wiring
    from bridge.daemon import Daemon

    stop, looked = threading.Event(), threading.Event()
    with wiring.cycle(settings, rules, ledger, now=clock, stop=stop) as cycle, ThreadPoolExecutor(1) as people:

        def look(missed: int) -> Mapping[str, object]:
            try:
                report = cycle.run(missed=missed)
                take(report)
                return report.facts()
            except BaseException:
                stop.set()  # a demo that goes on after an error would look as if all were well
                raise
            finally:
                looked.set()

        heartbeat = wiring.heartbeat_file(settings)
        daemon = Daemon(look, interval=FOREVER, jitter=0, heartbeat=heartbeat, stop=stop, clock=clock)
        day = people.submit(_act, player, clock, daemon, looked, stop, pace)
        daemon.run()
        day.result()


def _act(
    player: Player, clock: Clock, daemon: Daemon, looked: threading.Event, stop: threading.Event, pace: float
) -> None:
    try:
        looked.wait()
        while clock() < player.script.ends and not stop.is_set():
            began = time.monotonic()
            player.until(clock() + MINUTE)
            looked.clear()
            daemon.wake()
            looked.wait()
            stop.wait(max(0.0, began + pace - time.monotonic()))
    finally:
        stop.set()


class Watch:
    """Tells what the bridge finds while it finds it."""

    def __init__(self, queries: Queries, player: Player, *, talk: bool) -> None:
        self.cycles = 0
        self._seen: set[str] = set()
        self._queries = queries
        self._player = player
        self._talk = talk

    def say(self, text: str) -> None:
        """To whoever watches the demo."""
        if self._talk:
            frame.put(text)

    def take(self, report: CycleReport) -> None:
        """What one cycle found."""
        self.cycles += 1
        if not report.illegal:
            return
        with self._queries.snapshot() as snapshot:
            statuses = {id_: row.name for id_, row in snapshot.statuses().items()}
            for ruled in reversed(snapshot.ruled(["illegal"])):
                if ruled.id not in self._seen:
                    self._seen.add(ruled.id)
                    back = (
                        a.target for a in snapshot.attempts() if a.decision == ruled.id and a.reverted_at is not None
                    )
                    self._tell(ruled, report.server_time, next((statuses[target] for target in back), None))

    def _tell(self, ruled: Ruled, at: datetime, put_back_to: str | None) -> None:
        subject = self._player.subject(ruled.work_package)
        move = f"{ruled.origin_name} -> {ruled.target_name}" if ruled.origin else f"created in {ruled.target_name}"
        self.say(
            f"{at.astimezone(self._player.script.timezone):%H:%M}  #{ruled.work_package} {subject}\n"
            f"       {ruled.person_name}: {move}\n"
            f"       {ruled.sentence['fr']} [{ruled.rule}]\n"
            f"       Decision {ruled.id}: {f'put back to {put_back_to} and explained' if put_back_to else 'reported'}\n"
        )


# --- What the day comes to ------------------------------------------------------------------------------------------


def _report(
    queries: Queries, settings: Settings, rules: Policy, player: Player, clock: Clock
) -> tuple[Report, Language]:
    """The report about everything that the script made, from the ledger alone."""
    from bridge.reports import catalog, conventions, language
    from bridge.reports.desk import Desk, Source
    from bridge.reports.period import Period

    customs = conventions.beside(settings.policy, rules)
    spoken = language.language(customs.language, customs.zone)
    days = [moment.astimezone(customs.zone).date() for moment in (player.script.acts[0].at, clock())]
    with queries.snapshot() as snapshot:
        desk = Desk(
            source=Source(snapshot),
            policy=rules,
            conventions=customs,
            language=spoken,
            period=Period(days[0], days[1], customs.zone),
            now=clock(),
        )
        return catalog.make("violations", desk), spoken


def _found(report: Report) -> Counter[Illegal]:
    """The rows of the report."""
    keys = [column.key for column in report.rows.columns]
    rows = (dict(zip(keys, map(str, cells), strict=True)) for cells in report.rows.rows)
    return Counter(
        Illegal(int(row["ticket"]), row["person"], row["from"], row["to"], row["rule"], row["outcome"]) for row in rows
    )


def _made(player: Player, instance: Instance, language: Language) -> Counter[Illegal]:
    """The illegal moves that the script made, by what the instance itself recorded."""
    return Counter(
        Illegal(
            move.ticket,
            instance.people[move.person].name,
            instance.statuses[move.origin].name if move.origin is not None else language.text("(created)"),
            instance.statuses[move.target].name,
            act.illegal,
            language.text(act.ends),
        )
        for act, move in player.moves
        if act.illegal
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the bridge found what there was to find, and what it cost."""

    made: Counter[Illegal]
    found: Counter[Illegal]
    report: Path
    ledger: Path
    entries: int
    cycles: int
    requests: int

    def facts(self) -> Mapping[str, object]:
        """For programs."""
        lists = {"made": self.made, "missing": self.made - self.found, "too_many": self.found - self.made}
        numbers = {name: getattr(self, name) for name in ("report", "ledger", "entries", "cycles", "requests")}
        return {name: sorted(rows.elements()) for name, rows in lists.items()} | numbers

    def tell(self, language: Language) -> None:
        """For people."""
        back = sum(one.outcome == language.text("put back") for one in self.found.elements())
        frame.put(f"Illegal moves: {self.made.total()} made, {self.found.total()} in the report, {back} put back")
        for word, rows in (("MISSING", self.made - self.found), ("TOO MANY", self.found - self.made)):
            for row in sorted(rows.elements()):
                frame.put(f"  {word}: {row}")
        frame.put(f"Report:        {self.report}")
        frame.put(f"Audit record:  {self.ledger}, {self.entries} entries")
        frame.put(f"Requests:      {self.requests} in {self.cycles} cycles")


# --- simulate -------------------------------------------------------------------------------------------------------


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    as_json: frame.Json = False,
) -> None:
    """Run an OpenProject in memory, on loopback, until stopped; print its address and everybody's token."""
    from bridge.simulator import Api, serve, wall_clock

    _, instance, _ = _world(begins=wall_clock())
    instance.now = wall_clock
    tokens = {person.login: instance.token(person.id) for person in instance.people.values() if not person.builtin}
    with serve(Api(instance), port=port) as serving:
        if as_json:
            frame.put_json({"url": serving.url, "tokens": tokens})
        else:
            frame.put(f"BRIDGE_OPENPROJECT__URL={serving.url}")
            frame.put(f"BRIDGE_OPENPROJECT__API_KEY={instance.token('bridge')}")
            frame.put(f"BRIDGE_POLICY={frame.shipped('cegape.yaml')}")
            frame.say("\nTokens, for curl -u apikey:TOKEN and others:")
            for login, token in tokens.items():
                frame.say(f"  {login:16} {token}")
            frame.say("Ctrl-C ends it.")
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()

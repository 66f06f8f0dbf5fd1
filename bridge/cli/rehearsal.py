"""The bridge on a simulated OpenProject: ``demo`` shows a day of it, ``simulate`` is one to play with."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.domain.model import RuleId, WorkPackageId
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, ConfigError

if TYPE_CHECKING:
    from bridge.daemon import Daemon
    from bridge.domain.model import ChangeKey
    from bridge.domain.policy import Policy
    from bridge.engine.cycle import CycleReport
    from bridge.settings import Settings
    from bridge.simulator import Clock, Instance
    from bridge.simulator.script import Player
    from bridge.store.ledger import Ledger

MINUTE = timedelta(minutes=1)

FOREVER = 3600.0
"""Seconds. The demo's daemon is woken every simulated minute, as by a webhook; its own timer must never come first."""

OURS = "bridge.db"
"""What a folder must hold for the demo to empty it."""


@dataclass(frozen=True, slots=True, order=True)
class Illegal:
    """An illegal move, as the day's script made it or as the bridge found it. Ids are the server's."""

    ticket: int
    person: int
    origin: int
    """0 for a creation."""
    target: int
    rule: str
    put_back: bool


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
    from bridge.simulator import Api, Counting, serve

    _make_empty(folder)
    player, instance, clock = _world()
    server = Counting(Api(instance))
    with serve(server) as serving:
        settings = _settings(serving.url, instance, folder)
        frame.set_up_logs(settings, quiet=True)
        rules = wiring.policy(settings.policy)
        with wiring.ledger(settings, clock) as ledger:
            watch = Watch(ledger, instance, player, rules, talk=not as_json)
            watch.say(f"The bridge watches {serving.url} in enforce mode.\n")
            _spend_the_day(settings, rules, ledger, player, clock, watch.take, pace)
    made, found, requests = _made(player), watch.illegal, server.usage.requests
    if as_json:
        lists = {"made": made, "missing": made - found, "too_many": found - made}
        facts = {name: sorted(rows.elements()) for name, rows in lists.items()}
        frame.put_json(facts | {"cycles": watch.cycles, "requests": requests, "folder": folder})
    else:
        _conclude(made, found, folder, watch.cycles, requests)
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


def _made(player: Player) -> Counter[Illegal]:
    """The illegal moves that the script made, by what the instance itself recorded."""
    return Counter(
        Illegal(move.ticket, move.person, move.origin or 0, move.target, act.illegal, act.ends == "put back")
        for act, move in player.moves
        if act.illegal
    )


class Watch:
    """What the bridge finds, told while it finds it."""

    def __init__(self, ledger: Ledger, instance: Instance, player: Player, policy: Policy, *, talk: bool) -> None:
        self.cycles = 0
        self._found: dict[tuple[int, ChangeKey], Illegal] = {}
        self._ledger = ledger
        self._instance = instance
        self._player = player
        self._policy = policy
        self._talk = talk

    @property
    def illegal(self) -> Counter[Illegal]:
        """Every illegal move so far; the same move can be made twice."""
        return Counter(self._found.values())

    def say(self, text: str) -> None:
        """To whoever watches the demo."""
        if self._talk:
            frame.put(text)

    def take(self, report: CycleReport) -> None:
        """What one cycle found."""
        self.cycles += 1
        if not report.illegal:
            return
        put_back = {acted.action.decision: acted.action.to for acted in report.acted if acted.result == "done"}
        for ticket in self._player.tickets.values():
            for key, decision in self._ledger.decisions(WorkPackageId(ticket.id)).items():
                if decision.verdict != "illegal" or (ticket.id, key) in self._found:
                    continue
                assert decision.rule is not None  # an illegal move has a rule, a person and a target
                assert decision.person is not None
                assert decision.target is not None
                to = put_back.get(decision.id)
                found = Illegal(
                    ticket.id, decision.person, decision.origin or 0, decision.target, decision.rule, to is not None
                )
                self._found[ticket.id, key] = found
                self._tell(found, report.server_time, decision.id, to)

    def _tell(self, found: Illegal, at: datetime, decision: str, to: int | None) -> None:
        status = self._instance.statuses
        target = status[found.target].name
        rule = self._policy.rule(RuleId(found.rule))
        self.say(
            f"{at.astimezone(self._player.script.timezone):%H:%M}  "
            f"#{found.ticket} {self._instance.tickets[found.ticket].state.subject}\n"
            f"       {self._instance.people[found.person].name}: "
            f"{f'{status[found.origin].name} -> {target}' if found.origin else f'created in {target}'}\n"
            f"       {rule.sentence['fr'] if rule else ''} [{found.rule}]\n"
            f"       Decision {decision}: {f'put back to {status[to].name} and explained' if to else 'reported'}\n"
        )


def _conclude(made: Counter[Illegal], found: Counter[Illegal], folder: Path, cycles: int, requests: int) -> None:
    back = sum(one.put_back for one in found.elements())
    frame.put(f"Illegal moves made: {made.total()}, found: {found.total()}, of which {back} put back.")
    for word, rows in (("NOT FOUND", made - found), ("WRONGLY FOUND", found - made)):
        for row in sorted(rows.elements()):
            frame.put(f"{word}: {row}")
    frame.put(f"Requests: {requests} for {cycles} cycles.")
    frame.put(f"Ledger: {folder / OURS}")


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

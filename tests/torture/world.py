"""One seeded world: people at work in a simulated OpenProject, and a bridge beside them that everything happens to.

The same terms play the same world. ``World.play`` raises ``Broken`` with a sentence as soon as a promise is broken.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import requests

from bridge.domain.model import Mode, WorkPackageId
from bridge.domain.policy import Policy, load
from bridge.engine.cycle import Cycle, CycleReport, Options
from bridge.errors import BridgeError, RetryLater
from bridge.openproject.client import Client
from bridge.openproject.credentials import ApiKey
from bridge.openproject.tracker import Tracker
from bridge.simulator import Answer, Api, Clock, InProcess, Instance, Refusal, Ticket, seed
from bridge.store.ledger import Ledger
from tests.torture.oracle import CLIENT, INITIAL, NO_TRACE, WHO, Deed, Oracle, follow, printed

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
POLL = timedelta(seconds=60)
HISTORY = 16
"""Steps before the bridge comes."""
STATUSES = tuple(WHO)
MARKER = re.compile(r"<!-- bridge:(\S+) -->")
FAMILIES = ("plain", "plain", "frantic", "organisation", "names", "faults", "limits", "everything", "everything")


class Promise(StrEnum):
    """What may never happen, as the figures call it."""

    WRONG_REVERT = "wrong reverts"
    OVERWRITTEN = "human edits overwritten"
    LEFT_STANDING = "illegal moves left standing that could be proven"
    NO_REASON = "illegal moves left standing without a reason in the ledger"
    UNEXPLAINED = "reverts without an explanation"
    DOUBLED = "explanations too many"
    MISLEADING = "explanations that say something else"
    LOST = "observations lost"
    INVENTED = "observations doubled"
    CRASH = "errors of the bridge"


class Broken(AssertionError):
    """A promise that did not hold, with a sentence."""

    def __init__(self, promise: Promise, told: str) -> None:
        super().__init__(promise, told)
        self.promise = promise
        self.told = told

    def __str__(self) -> str:
        return f"{self.promise}: {self.told}"


class Killed(BaseException):
    """The bridge's process ends here. Not an Exception, so that nothing of the bridge can catch it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is settled before a world begins."""

    seed: int
    family: str
    version: str
    reader: str
    aggregation: int
    field_named_statut: bool
    skew: timedelta
    tells_date: bool
    may_move_everything: bool
    """Whether the bridge's role has every transition of every type, as docs/install.md asks for."""
    steps: int

    @classmethod
    def of(cls, seed: int, steps: int = 50) -> Terms:
        """The terms that a seed stands for."""
        dice = random.Random(f"terms {seed}")
        family = dice.choice(FAMILIES)
        return cls(
            seed=seed,
            family=family,
            version=dice.choice(("17.6", "17.6", "15.4")),
            reader=dice.choice(("bridge", "bridge_en")),
            aggregation=dice.choice((5, 5, 0)),
            field_named_statut=family == "names" or (family == "everything" and dice.random() < 0.5),
            skew=timedelta(seconds=dice.uniform(-90, 90)) if dice.random() < 0.6 else timedelta(0),
            tells_date=dice.random() < 0.8,
            may_move_everything=dice.random() < 0.8,
            steps=steps,
        )

    @property
    def ingredients(self) -> Iterator[str]:
        """The terms in words, to be counted over many worlds."""
        yield f"world: OpenProject {self.version}"
        yield f"world: read in {'English' if self.reader == 'bridge_en' else 'French'}"
        yield f"world: aggregation {self.aggregation} min"
        if self.field_named_statut:
            yield "world: a field named Statut"
        if self.skew:
            yield "world: clocks apart"
        if not self.tells_date:
            yield "world: no Date header"
        if not self.may_move_everything:
            yield "world: transitions that the bridge lacks"

    @property
    def all_steps(self) -> frozenset[int]:
        """Negative ones are from before the bridge."""
        return frozenset(range(-HISTORY, self.steps))

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.family}, OpenProject {self.version}, read by {self.reader}, aggregation "
            f"{self.aggregation} min, {'a' if self.field_named_statut else 'no'} field named Statut, skew "
            f"{self.skew.total_seconds():.0f} s, {'a' if self.tells_date else 'no'} Date header, "
            f"{'every transition' if self.may_move_everything else 'transitions missing'}"
        )


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things happen, by family of worlds."""

    weights: Mapping[str, int]
    race: float
    """That somebody acts right before or after a request of the bridge that is about to end in a revert."""
    noise: float
    """The same at any other request."""
    fault: float
    """That a request or its answer is lost, or the process killed at it."""


_WORK = {
    "create": 6,
    "move": 30,
    "take_back": 4,
    "comment": 6,
    "edit_comment": 4,
    "edit_field": 5,
    "change_type": 3,
    "idle": 6,
    "hint": 2,
    "restart": 2,
}
_ORGANISATION = {
    "change_roles": 8,
    "change_group": 3,
    "move_project": 4,
    "archive": 3,
    "unarchive": 4,
    "delete": 2,
    "hide_from_bridge": 2,
    "show_to_bridge": 3,
    "delete_person": 1,
    "change_aggregation": 1,
    "rename_person": 1,
}
_NAMES = {"rename_status": 4, "fill_field": 10}
_OPERATIONS = {"outage": 3, "pause": 2, "resume": 3, "change_mode": 2}
_BRIDGES = frozenset({"idle", "hint", "restart", *_OPERATIONS})
"""Steps in which nobody does anything in OpenProject."""

_CHANCES = {
    "plain": Chances(_WORK, 0.15, 0.02, 0),
    "frantic": Chances(_WORK, 0.6, 0.1, 0),
    "organisation": Chances(_WORK | _ORGANISATION, 0.2, 0.03, 0),
    "names": Chances(_WORK | _NAMES, 0.15, 0.02, 0),
    "faults": Chances(_WORK | _OPERATIONS, 0.15, 0.02, 0.03),
    "limits": Chances(_WORK, 0.1, 0, 0),
    "everything": Chances(_WORK | _ORGANISATION | _NAMES | _OPERATIONS, 0.3, 0.04, 0.01),
}

_ROOMY = """
limits:
  reverts-per-cycle: 1000
  reverts-per-hour: 10000
  reverts-per-person-per-hour: 10000
  reverts-per-project-per-hour: 10000
  reverts-per-ticket-per-hour: 10000
  share-of-moves: 100 %
"""
_NARROW = """
limits:
  reverts-per-cycle: 2
  reverts-per-hour: 4
  reverts-per-person-per-hour: 2
  reverts-per-project-per-hour: 3
  reverts-per-ticket-per-hour: 1
  share-of-moves: 100 %
  cool-down: 10 minutes
"""


@lru_cache(maxsize=2)
def _policy(limits: str) -> Policy:
    path = ROOT / "config" / "cegape.yaml"
    return load(path.read_text() + limits, str(path))


@lru_cache(maxsize=2)
def _description(version: str) -> Mapping[str, Any]:
    path = ROOT / "tests" / "recordings" / f"openproject-{version}" / "instance.json"
    return dict(json.loads(path.read_text()))


class Inline(Executor):
    """Does at once, in the caller's thread, what it is given: two runs are then the same run."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it now. Killed goes straight through."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the future's, as with every executor
            future.set_exception(error)
        return future


@dataclass(slots=True)
class Hand:
    """The kill switch, in memory."""

    held: str | None = None

    def reason(self) -> str | None:
        """Why nothing is put back now."""
        return self.held

    def begin(self, reason: str) -> None:
        """Stop."""
        self.held = reason


@dataclass(slots=True)
class Tally:
    """What happened, in numbers."""

    counts: Counter[str] = field(default_factory=Counter)
    ingredients: Counter[str] = field(default_factory=Counter)
    """What the worlds were made of, and what people and circumstances did in them."""
    excuses: Counter[str] = field(default_factory=Counter)
    """Illegal moves that stood when a cycle had looked, by the reason why the bridge could not be sure."""

    def add(self, other: Tally) -> None:
        """Sum up."""
        self.counts += other.counts
        self.ingredients += other.ingredients
        self.excuses += other.excuses


class World:
    """A simulated OpenProject with its people, and a bridge that can be stopped and started."""

    def __init__(self, terms: Terms, directory: Path, *, trace: Callable[[str], None] | None = None) -> None:
        """``directory`` is where the bridge keeps its database; ``trace`` is told everything that happens."""
        self.terms = terms
        self.tally = Tally()
        self._trace = trace
        self._chances = _CHANCES[terms.family]
        self.clock = Clock(START)
        description = dict(_description(terms.version))
        if not terms.field_named_statut:
            description["customFields"] = {k: v for k, v in description["customFields"].items() if k != "Statut"}
        self.instance: Instance = seed(description, self.clock)
        self.instance.set_aggregation(terms.aggregation)
        if terms.may_move_everything:
            every = frozenset((old, new) for old in self.instance.statuses for new in self.instance.statuses)
            bridge = self.instance.role("Pont").id
            self.instance.workflows |= {(type_, bridge): every for type_ in self.instance.types}
        self._bridge = self.instance.person(terms.reader)
        self.instance.token(self._bridge.id)
        fields = [f.id for f in self.instance.custom_fields.values() if f.name == "Statut"]
        self._field = fields[0] if fields else None
        self.oracle = Oracle(self.instance, self._bridge.id, self._field)
        self._chronicle = self.oracle.chronicle
        self._dice = random.Random(f"world {terms.seed}")
        self._hand = Hand()
        self._mode = Mode.ENFORCE
        self._limits = _NARROW if terms.family == "limits" else _ROOMY
        self._database = directory / f"world-{terms.seed}.db"
        shutil.copyfile(empty_ledger(directory), self._database)
        self._adapter = InProcess(Api(self.instance), version=terms.version, before=self._before, after=self._after)
        self._last_act: dict[int, tuple[datetime, int]] = {}
        """Ticket -> (when, who)."""
        self._acts = 0
        self._outage_until = START
        self._in_cycle = False
        self._faulted = ""
        """What has disturbed the cycle so far."""
        self._in_hook = False
        self._at_gate: int | None = None
        """The ticket that the gate is working on."""
        self._enforcing_from: datetime | None = None
        """When the first cycle began that could begin enforcement, after the last change of mode."""
        self._snapshot = START
        """When the last cycle with a snapshot began that nothing disturbed."""
        self._delivered: dict[tuple[int, int], list[tuple[object, bool]]] = {}
        self._doubtful = 0
        self._in_flight: list[tuple[tuple[int, int], object]] = []
        self._bridge_moves: Counter[int] = Counter()
        self._edited: set[int] = set()
        self._markers: dict[str, int] = {}
        self._remarks_taken = 0
        self._excused_before: set[str] = set()
        self._pending_explanation: Counter[int] = Counter()
        self._to_explain: dict[int, tuple[Deed, Deed, bool]] = {}
        """Ticket -> the bridge's last move, the one that it put back, and whether that is beyond doubt."""
        self._former_names: dict[int, str] = {}
        self._database_reader: sqlite3.Connection | None = None

    # --- Playing ----------------------------------------------------------------------------------------------------

    def play(self, only: frozenset[int] | None = None) -> Tally:
        """All steps, or only some, then quiet until everything must be settled. Raises Broken."""
        steps = self.terms.all_steps if only is None else only
        random.seed(self.terms.seed)  # the client's pauses are jittered by the module's own dice
        try:
            self._history(steps)
            self._start()
            self._cycle()
            next_poll = self.clock()
            for step in sorted(step for step in steps if step >= 0):
                self._dice = random.Random(f"step {self.terms.seed} {step}")
                self.clock.advance(self._gap())
                self._act_by_weight(step)
                while self.clock() >= next_poll:
                    self._cycle()
                    next_poll = max(next_poll + POLL, self.clock() + timedelta(seconds=1))
            self._settle()
            self._check_the_books()
        finally:
            self._stop()
            for leftover in self._database.parent.glob(self._database.name + "*"):
                leftover.unlink()
        counts = self.tally.counts
        counts["worlds"] += 1
        counts["moves"] += len(self.instance.moves)
        self.tally.ingredients.update(self.terms.ingredients)
        self._count_movers()
        return self.tally

    def _count_movers(self) -> None:
        """Who made the moves, and how many were made in the same printed millisecond as another of that ticket."""
        ingredients, last = self.tally.ingredients, dict[int, datetime]()
        groups = {person for group in self.instance.groups.values() for person in group.members}
        for move in self.instance.moves:
            at = printed(move.at)
            ingredients["moves at the very time of another"] += last.get(move.ticket) == at
            last[move.ticket] = at
            if move.person == self._bridge.id:
                continue
            client, cegape = "Client" in move.roles, "CEGAPE" in move.roles
            both = "both roles" if client and cegape else "a client" if client else "CEGAPE" if cegape else "a stranger"
            ingredients[f"moves by {both}"] += 1
            ingredients["moves by a member of a group"] += move.person in groups

    def _history(self, steps: frozenset[int]) -> None:
        """What happened before the bridge came: judged, never acted upon."""
        self.clock.advance(1)  # nobody is a member since the very moment in which the first ticket is made
        for step in sorted(step for step in steps if step < 0):
            self._dice = random.Random(f"step {self.terms.seed} {step}")
            self.clock.advance(self._gap())
            self._create() if step % 2 == 0 else self._move()
        self.clock.advance(1.5)

    def _gap(self) -> timedelta:
        dice = self._dice
        kind = dice.random()
        if kind < 0.15:
            return timedelta(0)
        if kind < 0.35:
            return timedelta(microseconds=dice.randrange(500, 1_500_000))
        if kind < 0.85:
            return timedelta(microseconds=dice.randrange(1_000_000, 40_000_000))
        if kind < 0.97:
            return timedelta(seconds=dice.randrange(40, 400))
        return timedelta(seconds=dice.randrange(400, 1500))

    def _act_by_weight(self, step: int) -> None:
        names, weights = zip(*self._chances.weights.items(), strict=True)
        name = self._dice.choices(names, weights)[0]
        self._say(f"step {step}: {name}")
        acts = self._acts
        getattr(self, f"_{name}")()
        if self._acts > acts or name in _BRIDGES:
            self.tally.ingredients[f"step: {name.replace('_', ' ')}"] += 1

    def _settle(self) -> None:
        """Let every window close and every snapshot come, without anybody doing anything."""
        self._outage_until = self.clock()
        self._chances = replace(self._chances, race=0, noise=0, fault=0)
        self._hand.held = None
        for pause in (61, 61, 181, 61, 901, 61):
            self.clock.advance(pause)
            self._cycle()
        written = -1
        while written != len(self.instance.moves):  # what it has just written itself, it reads in the next cycle
            written = len(self.instance.moves)
            self.clock.advance(61)
            self._cycle()

    # --- The bridge -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        clock = self.clock.skewed(self.terms.skew)
        self._client = Client(
            "http://simulator",
            ApiKey(self.instance.token(self._bridge.id)),
            clock=clock,
            monotonic=lambda: self.clock().timestamp(),
            adapter=self._adapter,
            sleep=self.clock.advance,
        )
        self._ledger = Ledger.open(f"sqlite:///{self._database}", now=clock)
        self._engine = Cycle(
            Tracker(self._client),
            self._ledger,
            _policy(self._limits),
            Options(mode=self._mode),
            clock=clock,
            brake=self._hand,
            pool=Inline(),
        )

    def _stop(self) -> None:
        if hasattr(self, "_engine"):
            self._engine.close()
            self._ledger.close()
        if self._database_reader is not None:
            self._database_reader.close()
            self._database_reader = None

    def _restart(self) -> None:
        self._stop()
        self._start()

    def _change_mode(self) -> None:
        self._mode = Mode.OBSERVE if self._mode is Mode.ENFORCE else Mode.ENFORCE
        self._say(f"mode {self._mode}")
        self._restart()

    def _pause(self) -> None:
        self._hand.held = "paused"

    def _resume(self) -> None:
        self._hand.held = None

    def _outage(self) -> None:
        self._outage_until = self.clock() + timedelta(seconds=self._dice.randrange(5, 900))

    def _hint(self) -> None:
        tickets = self._visible()
        if tickets and self.clock() >= self._outage_until:
            self._cycle(hint=(self._dice.choice(tickets).id,))

    def _cycle(self, hint: tuple[int, ...] = ()) -> None:
        began = self.clock()
        self._acts_before = self._acts
        if self._mode is Mode.OBSERVE:
            self._enforcing_from = None
        elif self._enforcing_from is None:
            self._enforcing_from = began
        visible = {ticket.id for ticket in self._visible()}
        self._in_cycle, self._faulted, self._at_gate = True, "", None
        self._in_flight = []
        report: CycleReport | None = None
        try:
            report = self._engine.run(hint=[WorkPackageId(id_) for id_ in hint])
        except RetryLater as error:
            self._say(f"cycle gives up: {error}")
            self.tally.counts["cycles given up"] += 1
        except BridgeError as error:
            raise Broken(Promise.CRASH, f"{type(error).__name__}: {error}") from error
        except Killed:
            self.tally.counts["kills"] += 1
            self._say("killed")
        finally:
            self._in_cycle = False
        killed = report is None and self._faulted == "killed"
        for key, content in self._in_flight:
            self._delivered.setdefault(key, []).append((content, not killed))
        self._take_truth()
        if killed:
            self._restart()
        self.tally.counts["cycles"] += 1
        if report is not None:
            self._say(f"cycle {report.facts()} {[(str(a.result), a.detail) for a in report.acted]}")
            if not self._faulted:
                if report.snapshot:
                    self._snapshot = began
                looked_at = set(hint) if hint else visible
                self._check_what_stands(began, looked_at, report)

    # --- Between the bridge's requests ------------------------------------------------------------------------------

    def _before(self, request: requests.PreparedRequest) -> None:
        self._notice(request)
        if self.clock() < self._outage_until:
            self._faulted = self._faulted or "outage"
            raise requests.ConnectionError("the server is down")
        self._people_act()
        if self._dice.random() < self._chances.fault:
            self._fail("request")
        self._say(f"    > {request.method} {request.path_url[:140]}")
        self.clock.advance(timedelta(milliseconds=self._dice.randrange(1, 40)))

    def _after(self, request: requests.PreparedRequest, answer: Answer) -> Answer | None:
        self._say(f"    < {answer.status}")
        self._take_truth()
        self._people_act()
        if self._dice.random() < self._chances.fault:
            self._fail("answer")
        if request.method == "PATCH" and answer.status in (403, 422) and self._at_gate is not None:
            self._chronicle.refused.add(self._at_gate)
        self._remember(request, answer)
        if self.terms.tells_date:
            return None
        return replace(answer, headers={k: v for k, v in answer.headers.items() if k != "Date"})

    def _fail(self, what: str) -> None:
        kind = self._dice.choice(("lost", "lost", "killed", "outage"))
        self._say(f"    ! {what} {kind}")
        self.tally.counts[f"{what}s lost"] += 1
        if kind == "killed":
            self._faulted = "killed"
            raise Killed
        if kind == "outage":
            self._outage()
        self._faulted = self._faulted or kind
        raise requests.ConnectionError(f"the {what} is lost")

    def _notice(self, request: requests.PreparedRequest) -> None:
        """Which ticket the gate is about to change: it asks for the ticket itself, the poll only for activities."""
        match = re.search(r"/work_packages/(\d+)(/activities)?$", request.path_url.partition("?")[0])
        if match is None:
            self._at_gate = None
        elif match[2] is None or request.method == "POST":
            self._at_gate = int(match[1])
        elif self._at_gate != int(match[1]):
            self._at_gate = None

    def _people_act(self) -> None:
        if self._in_hook or not self._in_cycle:
            return
        ticket = self.instance.tickets.get(self._at_gate) if self._at_gate is not None else None
        chance = self._chances.race if ticket is not None else self._chances.noise
        if self._dice.random() >= chance:
            return
        self._in_hook = True
        try:
            acts = self._acts
            if ticket is not None:
                self._race(ticket)
                self.tally.counts["races"] += self._acts > acts
            else:
                self._dice.choice((self._move, self._move, self._comment, self._edit_field))()
        finally:
            self._in_hook = False

    def _race(self, ticket: Ticket) -> None:
        kind = self._dice.random()
        if kind < 0.5:
            self._move(ticket)
        elif kind < 0.65:
            self._take_back(ticket)
        elif kind < 0.8:
            self._edit_field(ticket)
        elif kind < 0.9:
            self._comment(ticket)
        elif kind < 0.95 and "change_roles" in self._chances.weights:
            self._dice.choice((self._change_roles, lambda: self._move_project(ticket), self._archive))()
        else:
            self._change_type(ticket)

    def _remember(self, request: requests.PreparedRequest, answer: Answer) -> None:
        match = re.search(r"/work_packages/(\d+)/activities$", request.path_url)
        if match is None or request.method != "GET" or answer.status != 200:
            return
        for element in orjson.loads(answer.body)["_embedded"]["elements"]:
            content = _content(element)
            self._in_flight.append(((int(match[1]), element["id"]), content))

    # --- People -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _doing(self, ticket: Ticket | None, who: int, what: str) -> Iterator[None]:
        """One act of a person; a refusal by OpenProject is none. Nobody saves a ticket twice in a millisecond."""
        if ticket is not None:
            last, by = self._last_act.get(ticket.id, (START - POLL, 0))
            if by == who and self.clock() - last < timedelta(milliseconds=2):
                self.clock.advance(0.002)
        try:
            yield
        except Refusal as refusal:
            self._say(f"  {what}: {refusal}")
            return
        self._acts += 1
        self._take_truth()
        if ticket is not None:
            self._last_act[ticket.id] = self.clock(), who
        self._say(f"  {what}")

    def _visible(self) -> list[Ticket]:
        return [t for t in self.instance.tickets.values() if self._sees(t)]

    def _sees(self, ticket: Ticket) -> bool:
        return self.instance.may(self._bridge, "view_work_packages", ticket.state.project)

    def _some_ticket(self) -> Ticket | None:
        tickets = list(self.instance.tickets.values())
        if not tickets:
            return None
        recent = tickets[-3:] if self._dice.random() < 0.5 else tickets
        return self._dice.choice(recent)

    def _some_person(self, project: int) -> int:
        """Mostly a client or CEGAPE of the project, sometimes the administrator, never the bridge."""
        instance, dice = self.instance, self._dice
        if dice.random() < 0.05:
            return instance.person("admin").id
        people = [
            person
            for place, person in instance.memberships
            if place == project and person in instance.people and not instance.people[person].label.startswith("bridge")
        ]
        clients = [person for person in people if "CEGAPE" not in instance.role_names(person, project)]
        if clients and dice.random() < 0.5:
            people = clients
        return dice.choice(sorted(people)) if people else instance.person("admin").id

    def _create(self) -> None:
        dice = self._dice
        place = self.instance.project(dice.choice(("client-alpha", "client-alpha", "client-beta", "client-alpha-paie")))
        who = self._some_person(place.id)
        status = dice.choice(STATUSES) if dice.random() < 0.3 else None
        kind = dice.choice(("Anomalie", "Anomalie", "Assistance", "Évolution"))
        custom = {self._field: dice.choice(STATUSES)} if self._field and dice.random() < 0.2 else None
        with self._doing(None, who, f"{self._who(who)} creates a ticket in {place.identifier}, {status}"):
            ticket = self.instance.create(
                who, place.id, "Demande", type=kind, status=self._id(status or INITIAL), custom=custom
            )
            self._last_act[ticket.id] = self.clock(), who

    def _move(self, ticket: Ticket | None = None) -> None:
        ticket = ticket or self._some_ticket()
        if ticket is None:
            return
        who = self._some_person(ticket.state.project)
        target = self._target(ticket, who)
        with self._doing(ticket, who, f"{self._who(who)} moves {ticket.id} to {target}"):
            self.instance.set_status(who, ticket, self._id(target))

    def _target(self, ticket: Ticket, who: int) -> str:
        """CEGAPE mostly goes on; clients do what they may about half the time."""
        dice = self._dice
        if "CEGAPE" in self.instance.role_names(who, ticket.state.project):
            usual = ("EN COURS", "EN COURS", "EN COURS DE TEST", "EN COURS DE TEST", "NECESSITE CLARIFICATION")
            return dice.choice(usual) if dice.random() < 0.7 else dice.choice(STATUSES)
        allowed = ("EN ATTENTE", "RESOLU", "CORRECTION NON VALIDE")
        return dice.choice(allowed) if dice.random() < 0.4 else dice.choice(STATUSES)

    def _take_back(self, ticket: Ticket | None = None) -> None:
        """Whoever moved last puts the ticket back where it was."""
        ticket = ticket or self._some_ticket()
        moves = [] if ticket is None else [m for m in self.instance.moves if m.ticket == ticket.id]
        if ticket is None or not moves or moves[-1].origin is None or moves[-1].person == self._bridge.id:
            return
        who, origin = moves[-1].person, moves[-1].origin
        if self.instance.people[who].status == "deleted":
            return
        with self._doing(ticket, who, f"{self._who(who)} takes {ticket.id} back to {self.oracle.name(origin)}"):
            self.instance.set_status(who, ticket, origin)

    def _comment(self, ticket: Ticket | None = None) -> None:
        ticket = ticket or self._some_ticket()
        if ticket is None:
            return
        who = self._some_person(ticket.state.project)
        text = self._dice.choice(("Merci de regarder.", "Je ne suis pas d'accord : #contestation", "Statut changé"))
        with self._doing(ticket, who, f"{self._who(who)} comments on {ticket.id}"):
            self.instance.comment(who, ticket, text)

    def _edit_comment(self) -> None:
        """Change or clear a comment, mostly one's own; a cleared one can become a status change later (A.3)."""
        ticket = self._some_ticket()
        mine = [] if ticket is None else [j for j in ticket.journals if j.notes and j.user != self._bridge.id]
        if ticket is None or not mine:
            return
        journal = mine[-1] if self._dice.random() < 0.7 else self._dice.choice(mine)
        text = self._dice.choice(("", "", "Corrigé : voici le détail."))
        with self._doing(ticket, journal.user, f"{self._who(journal.user)} edits comment {journal.id} to {text!r}"):
            self.instance.edit_comment(journal.user, journal, text)
            self._edited.add(journal.id)

    def _edit_field(self, ticket: Ticket | None = None) -> None:
        ticket = ticket or self._some_ticket()
        if ticket is None:
            return
        who = self._some_person(ticket.state.project)
        with self._doing(ticket, who, f"{self._who(who)} edits {ticket.id}"):
            self.instance.update(who, ticket, subject=f"Demande {self._dice.randrange(100)}")

    def _change_type(self, ticket: Ticket | None = None) -> None:
        """With a status in the same save, past the workflow (A.5)."""
        ticket = ticket or self._some_ticket()
        if ticket is None:
            return
        who = self._some_person(ticket.state.project)
        kind = self._dice.choice(("Anomalie", "Assistance", "Assistance", "Évolution"))
        target = self._target(ticket, who) if self._dice.random() < 0.6 else None
        with self._doing(ticket, who, f"{self._who(who)} makes {ticket.id} a {kind}, {target}"):
            self.instance.change_type(who, ticket, kind, None if target is None else self._id(target))

    def _fill_field(self) -> None:
        """Put a status' name into the custom field of the same label, sometimes with a status in the same save."""
        ticket = self._some_ticket()
        if ticket is None or self._field is None:
            return
        who = self._some_person(ticket.state.project)
        value = self._dice.choice((*STATUSES, None, "autre"))
        target = self._target(ticket, who) if self._dice.random() < 0.3 else None
        with self._doing(ticket, who, f"{self._who(who)} writes {value} into a field of {ticket.id}, status {target}"):
            status = None if target is None else self._id(target)
            self.instance.update(who, ticket, status=status, custom={self._field: value})

    def _idle(self) -> None:
        self.clock.advance(self._dice.randrange(30, 200))

    # --- The organisation -------------------------------------------------------------------------------------------

    @contextmanager
    def _reorganising(self, what: str) -> Iterator[None]:
        """Notes whose roles changed and what went out of the bridge's sight."""
        instance = self.instance
        before = {key: (row.updated_at, row.roles) for key, row in instance.memberships.items()}
        seen = {ticket.id for ticket in self._visible()}
        with self._doing(None, 0, what):
            yield
        now = self.clock()
        after = {key: (row.updated_at, row.roles) for key, row in instance.memberships.items()}
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key):
                self._chronicle.roles_changed.append((now, *key))
        sees = {ticket.id for ticket in self._visible()}
        self._chronicle.hidden |= dict.fromkeys(seen - sees, now)
        self._chronicle.shown |= dict.fromkeys(sees - seen, now)

    def _change_roles(self) -> None:
        dice = self._dice
        place = dice.choice(("client-alpha", "client-alpha", "client-beta"))
        who = dice.choice(("ca", "ca2", "cb", "cg", "dev", "mix", "en", "ro"))
        roles = dice.choice((("Client",), ("CEGAPE",), ("Client", "CEGAPE"), ("Lecteur",), ()))
        with self._reorganising(f"{who} gets {roles} in {place}"):
            if roles:
                self.instance.join(place, who, roles)
            else:
                self.instance.leave(place, who)

    def _change_group(self) -> None:
        group = self.instance.group("Clients Alpha")
        assert group is not None
        who = self._dice.choice(("cg", "cb", "dev"))
        with self._reorganising(f"{who} joins or leaves the group"):
            if self.instance.person(who).id in group.members:
                self.instance.leave_group(group.id, who)
            else:
                self.instance.join_group(group.id, who)

    def _move_project(self, ticket: Ticket | None = None) -> None:
        ticket = ticket or self._some_ticket()
        if ticket is None:
            return
        place = self._dice.choice(("client-alpha", "client-alpha-paie", "client-beta", "client-gamma"))
        with self._reorganising(f"sup moves {ticket.id} to {place}"):
            self.instance.move("sup", ticket, place)
            self._last_act[ticket.id] = self.clock(), self.instance.person("sup").id

    def _archive(self) -> None:
        place = self._dice.choice(("client-alpha", "client-beta", "client-beta"))
        with self._reorganising(f"{place} is archived"):
            self.instance.set_archived(place)

    def _unarchive(self) -> None:
        with self._reorganising("everything is unarchived"):
            for project in self.instance.projects.values():
                project.active = True

    def _hide_from_bridge(self) -> None:
        place = self._dice.choice(("client-alpha", "client-beta"))
        with self._reorganising(f"the bridge leaves {place}"):
            self.instance.leave(place, self._bridge.id)

    def _show_to_bridge(self) -> None:
        with self._reorganising("the bridge is a member everywhere again"):
            for place in ("client-alpha", "client-beta", "client-alpha-paie"):
                if not self.instance.role_names(self._bridge.id, place):
                    self.instance.join(place, self._bridge.id, ("Pont",))

    def _delete(self) -> None:
        ticket = self._some_ticket()
        if ticket is None:
            return
        with self._reorganising(f"sup deletes {ticket.id}"):
            self.instance.delete("sup", ticket)

    def _delete_person(self) -> None:
        if self.instance.person("gone").status == "active":
            with self._reorganising("gone is deleted"):
                self.instance.delete_person("gone")

    def _rename_person(self) -> None:
        with self._doing(None, 0, "ca is renamed"):
            self.instance.rename_person("ca", f"Agent <b>Alpha</b> {self._dice.randrange(10)} @all")

    def _rename_status(self) -> None:
        """Another name for a while, and back. The bridge must have known the first."""
        if self._ledger.watermark() is None:
            return
        with self._doing(None, 0, "a status is renamed"):
            self._chronicle.renamed.append(self.clock())
            if self._former_names:
                id_, name = self._former_names.popitem()
                self.instance.rename_status(id_, name)
            else:
                status = self._dice.choice(list(self.instance.statuses.values()))
                self._former_names[status.id] = status.name
                self.instance.rename_status(status.id, f"{status.name} (bis)")

    def _change_aggregation(self) -> None:
        with self._doing(None, 0, "aggregation changes"):
            self.instance.set_aggregation(0 if self.instance.aggregation else 5)

    # --- What must hold ---------------------------------------------------------------------------------------------

    def _take_truth(self) -> None:
        """Look at every new move and comment; the bridge's own are what this is about."""
        for id_, deed in self.oracle.fresh():
            if deed.own:
                self._check_revert(id_, deed)
            elif deed.party == CLIENT and follow((*self.oracle.deeds(id_), deed), self._since()).must_go_back:
                self.tally.counts["illegal moves of clients"] += 1
        remarks = self.instance.remarks
        while self._remarks_taken < len(remarks):
            remark = remarks[self._remarks_taken]
            self._remarks_taken += 1
            if remark.person == self._bridge.id:
                self._check_explanation(remark.ticket, remark.text)

    def _since(self) -> dict[int, datetime]:
        """Since when clients' illegal moves are put back, by project, as the bridge wrote it down."""
        since: dict[int, datetime] = {}
        for project, at in self._rows("SELECT project, max(since) FROM enforcement WHERE until IS NULL GROUP BY 1"):
            since[project] = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
        return since

    def _check_revert(self, id_: int, revert: Deed) -> None:
        """The bridge has just moved a ticket: was that right, by what really happened?"""
        counts = self.tally.counts
        counts["reverts"] += 1
        self._bridge_moves[id_] += 1
        self._pending_explanation[id_] += 1
        since = self._since()
        course = follow(self.oracle.deeds(id_), since)
        told = f"ticket {id_} was moved from {revert.origin} to {revert.target}"
        if self._mode is not Mode.ENFORCE:
            raise Broken(Promise.WRONG_REVERT, f"{told}, though the bridge only observes")
        if self._enforcing_from is None or any(at < self._enforcing_from for at in since.values()):
            raise Broken(Promise.WRONG_REVERT, f"{told}: enforcement from {since}, really {self._enforcing_from}")
        ticket = self.instance.tickets[id_]
        before, after = ticket.journals[-2].state, ticket.journals[-1].state
        if before._replace(status=after.status) != after:
            raise Broken(Promise.OVERWRITTEN, f"{told}, and more than the status changed: {before} {after}")
        if not course.must_go_back:
            moved_on = any(deed in course.breaches for deed in self.oracle.deeds(id_)) or course.last is None
            promise = Promise.OVERWRITTEN if moved_on else Promise.WRONG_REVERT
            raise Broken(promise, f"{told}, though the last move was none to put back: {course}")
        plain = revert.target == course.legal
        self._to_explain[id_] = revert, course.breaches[-1], plain
        if plain:
            return
        if revert.target not in self.oracle.may_be_legal(ticket, since):
            raise Broken(Promise.WRONG_REVERT, f"{told}, though it belongs in {course.legal}: {course}")
        counts["put back as far as the activities told"] += 1

    def _check_explanation(self, id_: int, text: str) -> None:
        signs = MARKER.findall(text)
        if len(signs) != 1:
            raise Broken(Promise.MISLEADING, f"an explanation on ticket {id_} has {len(signs)} markers")
        if signs[0] in self._markers:
            raise Broken(Promise.DOUBLED, f"ticket {id_} has two explanations of decision {signs[0]}")
        self._markers[signs[0]] = id_
        self._pending_explanation[id_] -= 1
        if self._pending_explanation[id_] < 0:
            raise Broken(Promise.DOUBLED, f"ticket {id_} has an explanation of something that was not put back")
        revert, breach, plain = self._to_explain[id_]
        day, _, number = signs[0].rpartition("-")
        (blamed,) = self._rows(
            "SELECT person FROM decision WHERE day = ? AND number = ?", int(day.replace("-", "")), int(number)
        )
        rules = {f"{breach.target} est posé"} if breach.origin is not None else set()
        if self.instance.tickets[id_].journals[0].id == breach.activity:
            rules.add("Une demande créée par un client")  # and a move that its author made so soon looks like it
        why = any(f"**Pourquoi\u00a0?** {rule} " in text for rule in rules)
        says = why and f"**{revert.target}**" in text and f"**{revert.origin}**" in text
        if not says or (plain and blamed != (breach.person,)):
            raise Broken(Promise.MISLEADING, f"ticket {id_}, {revert}, {blamed} for {breach}: {text}")
        self.tally.counts["explanations"] += 1

    def _check_what_stands(self, began: datetime, looked_at: set[int], report: CycleReport) -> None:
        """After a cycle that nothing disturbed: no illegal move may stand that the bridge can be sure of."""
        if self._mode is not Mode.ENFORCE or self._hand.held is not None:
            return
        since = self._since()
        for id_ in looked_at:
            ticket = self.instance.tickets.get(id_)
            last, _ = self._last_act.get(id_, (START, 0))
            if ticket is None or not self._sees(ticket) or last >= began:
                continue
            if (
                self._chronicle.hidden.get(id_, START) >= began
                or self._chronicle.shown.get(id_, START) > self._snapshot
            ):
                continue
            course = follow(self.oracle.deeds(id_), since)
            if course.must_go_back:
                assert course.last is not None
                self._excused(ticket, course.last, since, report)
            elif self._pending_explanation[id_] > 0:
                raise Broken(Promise.UNEXPLAINED, f"ticket {id_} was put back and has no explanation")

    def _excused(self, ticket: Ticket, deed: Deed, since: Mapping[int, datetime], report: CycleReport) -> None:
        excuse = self._excuse(ticket, deed, since, report)
        told = f"{deed.party} {deed.person} moved ticket {ticket.id} from {deed.origin} to {deed.target} at {deed.at}"
        if excuse is None:
            raise Broken(
                Promise.LEFT_STANDING, f"{told}, and it was not put back; the bridge says {self._reasons(ticket, deed)}"
            )
        # Where nothing shows the move there is nothing to give a reason for; when enforcement began is in the ledger.
        if excuse != NO_TRACE and not excuse.startswith("enforcement") and not self._reasons(ticket, deed):
            raise Broken(Promise.NO_REASON, f"{told}; it was not put back because {excuse}, and the bridge gives none")
        key = f"{ticket.id} {deed.activity} {deed.at}"
        if key not in self._excused_before:
            self._excused_before.add(key)
            self.tally.excuses[excuse] += 1

    def _excuse(self, ticket: Ticket, deed: Deed, since: Mapping[int, datetime], report: CycleReport) -> str | None:
        excuse = self.oracle.excuse(ticket, deed, since)
        if excuse is not None:
            return excuse
        course = follow(self.oracle.deeds(ticket.id), since)
        assert course.legal is not None
        allowed = self.instance.targets(self._bridge, ticket.state.type, ticket.state.status, ticket.state.project)
        if self._id(course.legal) not in allowed:
            return "OpenProject refuses"
        if self._field is not None and self.terms.version == "15.4" and deed.at >= self._snapshot:
            return "15.4 tells no status between snapshots"
        if self._limits is _NARROW:
            held = [
                acted for acted in report.acted if acted.action.work_package == ticket.id and "limit" in acted.detail
            ]
            if held:
                return "a limit was reached"
        return None

    def _reasons(self, ticket: Ticket, deed: Deed) -> list[str]:
        """What the ledger says about a change that the bridge did not act upon."""
        found = [
            f"{verdict}: {reason or mode}"
            for verdict, reason, mode in self._rows(
                "SELECT verdict, reason, mode FROM decision WHERE work_package = ? AND activity = ? AND current",
                ticket.id,
                deed.activity,
            )
            if reason or mode == "observe"
        ]
        actions = self._rows(
            "SELECT seq, state, detail FROM action WHERE work_package = ? AND activity = ?", ticket.id, deed.activity
        )
        found += [
            f"{state}: {detail or 'in the next cycle'}" for _, state, detail in actions if detail or state == "intended"
        ]
        for (payload,) in self._rows("SELECT payload FROM entry WHERE kind = 'hold' AND work_package = ?", ticket.id):
            held = json.loads(payload)
            found += [f"held: {held['reason']}" for seq, _, _ in actions if seq == held["action"]]
        return found

    def _check_the_books(self) -> None:
        """Everything the server showed is stored once, and everything that happened was seen in the end."""
        stored: dict[tuple[int, int], list[object]] = {}
        for id_ in self.oracle.tickets():
            for revision in self._ledger.revisions(WorkPackageId(id_)):
                received: Mapping[str, Any] = revision.received
                content = _content(received)
                stored.setdefault((id_, received["id"]), []).append(content)
        for key in self._delivered.keys() | stored.keys():
            self._check_revisions(key, self._delivered.get(key, []), stored.get(key, []))
        for ticket in self._visible():
            # What was changed just before it went out of sight for a moment is in no window when it is back.
            back = self._chronicle.shown.get(ticket.id, START)
            for journal in ticket.journals:
                if journal.updated_at <= back:
                    continue
                self._check_seen(ticket, journal.id, printed(journal.updated_at), stored)

    def _check_revisions(
        self, key: tuple[int, int], delivered: Sequence[tuple[object, bool]], stored: Sequence[object]
    ) -> None:
        """``stored`` must be ``delivered`` without repetitions; what came to a killed process may be missing."""
        rest = list(stored)
        last: object = None
        for content, certain in delivered:
            if content == last:
                continue
            if rest and rest[0] == content:
                last = rest.pop(0)
                self.tally.counts["observations"] += 1
            elif certain:
                raise Broken(Promise.LOST, f"activity {key} was shown as {content} and that is not stored: {stored}")
        if rest:
            raise Broken(Promise.INVENTED, f"activity {key} is stored as {rest}, never shown or there already")

    def _check_seen(
        self, ticket: Ticket, activity: int, updated_at: datetime, stored: Mapping[tuple[int, int], Sequence[Any]]
    ) -> None:
        revisions = stored.get((ticket.id, activity))
        if not revisions:
            raise Broken(Promise.LOST, f"activity {activity} of ticket {ticket.id} was never seen")
        if activity not in self._edited and datetime.fromisoformat(revisions[-1][0]) != updated_at:
            raise Broken(
                Promise.LOST, f"activity {activity} of ticket {ticket.id} was not seen as it was at {updated_at}"
            )

    # --- Small things -----------------------------------------------------------------------------------------------

    def _rows(self, query: str, *parameters: object) -> list[Any]:
        if self._database_reader is None:
            self._database_reader = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        return self._database_reader.execute(query, parameters).fetchall()

    def _id(self, status: str) -> int:
        return next(id_ for id_ in self.instance.statuses if self.oracle.name(id_) == status)

    def _who(self, who: int) -> str:
        return self.instance.people[who].label

    def _say(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.clock():%H:%M:%S.%f} {text}")


def _content(activity: Mapping[str, Any]) -> object:
    details = activity["details"]
    comment = activity["comment"]
    if isinstance(comment, Mapping):  # as the server says it
        user = int(activity["_links"]["user"]["href"].rpartition("/")[2])
        return activity["updatedAt"], user, comment["raw"], tuple((line["raw"], line["html"]) for line in details)
    return activity["updatedAt"], activity["user"], comment, tuple(map(tuple, details))


@lru_cache(maxsize=4)
def empty_ledger(directory: Path) -> Path:
    """A database with its tables, to copy, made once a directory: that takes longer than some worlds."""
    path = directory / "empty.db"
    if not path.exists():
        Ledger.open(f"sqlite:///{path}", now=lambda: START - timedelta(days=1)).close()
    return path

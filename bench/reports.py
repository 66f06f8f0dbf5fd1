"""Every report over 20,000 tickets with 100,000 transitions: time to make it and its page, memory, size of the page.

The ledger is written through the ledger, as the bridge would. Each report runs in a process of its own. Its memory is
told when it has made the report once, as ``bridge report`` does; then it makes it three times more, for the time.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bridge.domain.model import (
    ActivityId,
    ChangeKey,
    DecisionId,
    Illegal,
    Kind,
    Listed,
    Membership,
    Mode,
    Move,
    PartyName,
    ProjectId,
    Status,
    StatusChange,
    StatusId,
    StatusName,
    TypeId,
    UserId,
    WorkPackageId,
)
from bridge.domain.policy import Policy, judge, load
from bridge.store.facts import Decision, Intent, Outcome, TicketReading
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind

CONFIG = Path(__file__).parents[1] / "config"
TICKETS, TRANSITIONS = 20_000, 100_000
BEGIN = datetime(2025, 11, 24, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
PROJECTS = {ProjectId(10 + n): (f"client-{n}", f"Client {n}") for n in range(40)}
STAFF = {UserId(100 + n): f"Support {n}" for n in range(15)}
CLIENTS = {UserId(200 + n): f"Gestionnaire {n}" for n in range(200)}
BRIDGE = UserId(99)
TYPES = {TypeId(1): "Anomalie", TypeId(2): "Assistance", TypeId(3): "Évolution"}
NAMES = {**STAFF, **CLIENTS, BRIDGE: "Pont"}

# A ticket's usual way, so that the numbers look like a support desk's and not like noise.
_NEXT: Mapping[str, tuple[tuple[str, int], ...]] = {
    "NOUVEAU": (("EN COURS", 8), ("NECESSITE CLARIFICATION", 2), ("EN ATTENTE", 1), ("REJETE", 1)),
    "NECESSITE CLARIFICATION": (("EN COURS", 7), ("EN ATTENTE", 1), ("REJETE", 1)),
    "EN COURS": (("EN COURS DE TEST", 8), ("EN ATTENTE", 2), ("NECESSITE CLARIFICATION", 2)),
    "EN COURS DE TEST": (("RESOLU", 7), ("CORRECTION NON VALIDE", 3), ("EN ATTENTE", 1)),
    "EN ATTENTE": (("EN COURS", 5), ("EN COURS DE TEST", 2), ("RESOLU", 1)),
    "CORRECTION NON VALIDE": (("EN COURS", 8), ("EN ATTENTE", 1)),
    "RESOLU": (("CORRECTION NON VALIDE", 3), ("EN COURS", 1)),
    "REJETE": (("EN COURS", 1),),
}
_USUAL = {"RESOLU": "client", "CORRECTION NON VALIDE": "client"}


@dataclass(frozen=True)
class Figures:
    """What one report cost: seconds on the clock, making and page, and of own CPU, best of three; MiB at the peak."""

    making: float
    page: float
    cpu: float
    mebibytes: float
    imported: float
    """MiB before the report: interpreter, libraries and policy."""
    size: int


def seed(url: str, tickets: int = TICKETS, transitions: int = TRANSITIONS, *, number: int = 1) -> None:
    """Write a year of a support desk into an empty ledger."""
    chance = random.Random(number)
    policy = load((CONFIG / "cegape.yaml").read_bytes(), "cegape.yaml")
    ids = {name: StatusId(1 + n) for n, name in enumerate(policy.statuses)}
    with Ledger.open(url, now=lambda: NOW) as ledger:
        with ledger.batch():
            ledger.observe_statuses(
                [Status(ids[name], name, policy.is_closed(name), name == policy.initial) for name in policy.statuses],
                NOW,
            )
            ledger.observe_projects(PROJECTS, NOW)
            ledger.observe_types(TYPES, NOW)
            ledger.observe_people(NAMES, NOW)
            ledger.observe_memberships(list(_members()), frozenset(PROJECTS), NOW)
        activity = 0
        for start in range(1, tickets + 1, 500):
            readings, decisions = [], []
            for ticket in range(start, min(start + 500, tickets + 1)):
                moves = max(1, round(chance.gauss(transitions / tickets, transitions / tickets / 3)))
                reading, decided, activity = _ticket(policy, ids, chance, ticket, moves, activity)
                readings.append(reading)
                decisions += decided
            with ledger.batch():
                ledger.observe(readings, at=NOW)
                for decision, id_ in zip(decisions, ledger.decide(decisions), strict=True):
                    _put_back(ledger, chance, decision, id_)
        for day in range(365):
            at = BEGIN + timedelta(days=day, minutes=5)
            ledger.record(EntryKind.CYCLE, {"snapshot": True, "listed": tickets, "read": 3, "gone": 0}, at)
        ledger.observe([], at=NOW, watermark=NOW)


def _members() -> Iterator[Membership]:
    long_ago = BEGIN - timedelta(days=30)
    projects = list(PROJECTS)
    for project in projects:
        for person in STAFF:
            yield Membership(project, person, NAMES[person], ("CEGAPE",), long_ago, long_ago)
    for number, person in enumerate(CLIENTS):
        yield Membership(projects[number % len(projects)], person, NAMES[person], ("Client",), long_ago, long_ago)


def _ticket(
    policy: Policy,
    ids: Mapping[StatusName, StatusId],
    chance: random.Random,
    ticket: int,
    moves: int,
    activity: int,
) -> tuple[TicketReading, list[Decision], int]:
    project = chance.choice(list(PROJECTS))
    mine = [person for n, person in enumerate(CLIENTS) if list(PROJECTS)[n % len(PROJECTS)] == project]
    type_ = chance.choice(list(TYPES))
    at = BEGIN + timedelta(minutes=chance.randrange(365 * 24 * 60))
    origin: StatusName | None = None
    target = policy.initial
    visited: frozenset[StatusName] = frozenset()
    read, decided = [], []
    author = chance.choice(mine)
    for number in range(moves):
        activity += 1
        if number:
            origin, target = target, _choose(chance, target)
            at += timedelta(minutes=chance.expovariate(1 / 900) + 1)
        if at >= NOW:
            break
        usual = _USUAL.get(target, "cegape")
        party = ("client" if usual == "cegape" else "cegape") if chance.random() < 0.06 else usual
        person = author if number == 0 else chance.choice(mine if party == "client" else list(STAFF))
        party = "client" if number == 0 else party
        read.append(_activity(chance, ticket, activity, person, at, origin, target, number))
        move = Move(
            party=PartyName(party),
            origin=origin,
            target=target,
            visited=visited,
            at=at,
            now=at + timedelta(hours=1),
        )
        key = ChangeKey(ActivityId(activity), 0)
        kind = Kind.CREATION if origin is None else Kind.MOVE
        change = StatusChange(
            key, kind, None if origin is None else ids[origin], ids[target], person, at, at, maybe_merged=False
        )
        decided.append(
            Decision(
                work_package=WorkPackageId(ticket),
                project=project,
                change=change,
                verdict=judge(move, policy),
                party=PartyName(party),
                policy_hash=policy.hash,
                at=NOW,  # as at a first synchronisation
                origin=origin,
                target=target,
                type=TYPES[type_],
            )
        )
        visited |= {target}
    listed = Listed(WorkPackageId(ticket), project, ids[target], type_)
    return TicketReading(listed, read), decided, activity


def _put_back(ledger: Ledger, chance: random.Random, decision: Decision, id_: DecisionId) -> None:
    """What the bridge would have done, had it been there."""
    change, verdict = decision.change, decision.verdict
    enforced = isinstance(verdict, Illegal) and verdict.mode is Mode.ENFORCE and decision.party == "client"
    if not enforced or change.origin is None or change.target is None:
        return
    after = change.latest + timedelta(seconds=chance.expovariate(1 / 40))
    action = ledger.intend(
        Intent(
            decision=id_,
            work_package=decision.work_package,
            project=decision.project,
            person=change.actor,
            change=change.key,
            origin=change.target,
            to=change.origin,
        ),
        after,
    )
    assert action is not None
    outcome = Outcome.SUPERSEDED if chance.random() < 0.05 else Outcome.EXPLAINED
    ledger.outcome(action.id, outcome, "", at=after + timedelta(seconds=1))


def _choose(chance: random.Random, origin: str) -> StatusName:
    names, weights = zip(*_NEXT[origin], strict=True)
    return StatusName(chance.choices(names, weights)[0])


def _activity(
    chance: random.Random,
    ticket: int,
    activity: int,
    person: UserId,
    at: datetime,
    origin: str | None,
    target: str,
    number: int,
) -> tuple[int, str, Mapping[str, object]]:
    def line(label: str, old: str | None, new: str) -> list[str]:
        if old is None:
            return [f"{label} mis à {new}", f"<strong>{label}</strong> mis à <i>{new}</i>"]
        return [
            f"{label} changé de {old} à {new}",
            f"<strong>{label}</strong> changé de <i>{old}</i> à <i>{new}</i>",
        ]

    details = [line("Statut", origin, target)]
    if number == 0:
        details += [
            line("Sujet", None, f"Anomalie de paie {ticket}"),
            line("Version", None, f"26.{ticket % 12 + 1:02d}"),
        ]
    if number == 1:
        details.append(line("Assigné à", None, chance.choice(list(STAFF.values()))))
    time_ = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    received = {
        "_type": "Activity",
        "id": activity,
        "version": number + 1,
        "workPackage": ticket,
        "user": int(person),
        "createdAt": time_,
        "updatedAt": time_,
        "comment": "Nous regardons, merci de votre patience." if chance.random() < 0.4 else "",
        "details": details,
        "internal": False,
    }
    return activity, time_, received


def measure(path: Path, name: str) -> Figures:
    """Make one report in a new process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(path, name, send))
    process.start()
    send.close()  # so that a process that fails is noticed
    figures: Figures = receive.recv()
    process.join()
    return figures


def _run(path: Path, name: str, send: multiprocessing.connection.Connection) -> None:
    from bridge.reports import catalog, conventions, language, render_html
    from bridge.reports.desk import Desk, Source
    from bridge.reports.period import Period
    from bridge.store.queries import Queries

    policy_file = CONFIG / "cegape.yaml"
    policy = load(policy_file.read_bytes(), policy_file.name)
    held = conventions.beside(policy_file, policy)
    spoken = language.language("fr", held.zone)
    first, last = date(2025, 11, 25), date(2026, 11, 24)
    with Queries(f"sqlite:///{path}") as queries:

        def desk(snapshot: object) -> Desk:
            return Desk(
                source=Source(snapshot),  # type: ignore[arg-type]
                policy=policy,
                conventions=held,
                language=spoken,
                period=Period(first, last, held.zone),
                now=NOW,
                ticket_url="https://openproject.example.org",
                person=next(iter(CLIENTS)),
            )

        imported = _peak()
        with queries.snapshot() as snapshot:
            render_html.render(catalog.make(name, desk(snapshot)), spoken)
        mebibytes = _peak()
        best = Figures(99, 99, 99, 0, 0, 0)
        for _ in range(3):
            with queries.snapshot() as snapshot:
                cpu, start = time.process_time(), time.perf_counter()
                report = catalog.make(name, desk(snapshot))
                made = time.perf_counter()
                page = render_html.render(report, spoken)
                end = time.perf_counter()
                figures = Figures(
                    made - start, end - made, time.process_time() - cpu, mebibytes, imported, len(page.encode())
                )
                best = min(best, figures, key=lambda each: each.making + each.page)
            del report, page
    send.send(best)


def _peak() -> float:
    """MiB. Not by getrusage, whose maximum a process inherits from the one that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    from bridge.reports.catalog import REPORTS

    chosen = sys.argv[1:] or list(REPORTS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bridge.db"
        start = time.perf_counter()
        seed(f"sqlite:///{path}")
        print(
            f"reports: {TICKETS:,} tickets, {TRANSITIONS:,} transitions, written in {time.perf_counter() - start:.0f} s"
        )
        print(f"  {'':<18} {'made':>9} {'page':>9} {'own CPU':>9} {'peak':>9} {'before':>10} {'page':>9}")
        for name in chosen:
            figures = measure(path, name)
            print(
                f"  {name:<18} {figures.making * 1000:>6,.0f} ms {figures.page * 1000:>6,.0f} ms"
                f" {figures.cpu * 1000:>6,.0f} ms {figures.mebibytes:>5,.0f} MiB {figures.imported:>6,.0f} MiB"
                f" {figures.size / 1024:>5,.0f} KiB"
            )


if __name__ == "__main__":
    main()

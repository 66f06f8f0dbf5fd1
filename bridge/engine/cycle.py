"""One cycle from end to end: poll, judge, act, and one line about it. Keeps what is worth remembering between cycles.

The order of writes is what survives a crash: a batch of tickets is stored and judged in one transaction, and the
watermark moves only after the last of them. Whatever was cut off is listed again by the next cycle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.domain.guards import breaker
from bridge.domain.model import (
    Activity,
    ChangeKey,
    Illegal,
    Listed,
    Mode,
    ProjectId,
    RuleId,
    Ticket,
    Undecided,
    UserId,
    WorkPackageId,
)
from bridge.domain.policy import Policy
from bridge.domain.policy.rules import Exemption, Reminder
from bridge.engine import poll
from bridge.engine.act import Acted, Gate, Result
from bridge.engine.judge import PRESENT, Judge, Place, Ruling
from bridge.errors import BridgeError, SkipItem
from bridge.openproject.tracker import Missing, Server, Tracker
from bridge.store.database import uncollected
from bridge.store.ledger import KnownTicket, Ledger, Standing
from bridge.store.schema import EntryKind
from bridge.store.seal import unpublished

UNCERTAIN_CLOCK = timedelta(seconds=90)
"""How far the server's clock may be from ours where it sends no ``Date``."""

WHOLE_SECOND = timedelta(seconds=1)
"""``Date`` is truncated to seconds (RFC 9110 §5.6.7): the moment it names may be this much earlier than the truth."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator decides about cycles."""

    mode: Mode = Mode.OBSERVE
    overlap: timedelta = timedelta(minutes=2)
    """How far a window reaches back before the watermark: a change is stamped before it is committed, and the server
    ends a request only after two minutes (contract §2.3, §11)."""
    snapshot_every: timedelta = timedelta(minutes=15)
    """What no window shows (deletions, moves out of sight) is found this late at most."""
    probe_every: timedelta = timedelta(hours=1)
    """Names, projects and features of the server are asked for again after this."""
    connections: int = 2
    """More only queue at the server (contract A.1)."""
    control_ticket: WorkPackageId | None = None
    """A ticket in OpenProject that stops all reverts while it is closed, or cannot be read."""
    checkpoint_ticket: WorkPackageId | None = None
    """A ticket in OpenProject that gets the last checkpoint of the record as a comment."""
    checkpoint_every: timedelta = timedelta(days=1)
    """How often it gets one."""


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle found and did; the daemon's log line, and an entry in the ledger."""

    server_time: datetime
    snapshot: bool
    listed: int
    read: int
    unreadable: int
    gone: int
    decided: int
    illegal: int
    undecided: int
    acted: tuple[Acted, ...]
    breaker: str | None
    requests: int
    unreadable_projects: int = 0
    """Projects whose members the bridge cannot read: nobody is judged there on a membership that it does not see."""

    def count(self, result: Result) -> int:
        """How many planned reverts ended this way."""
        return sum(acted.result is result for acted in self.acted)

    def facts(self) -> dict[str, object]:
        """The report in numbers and words, for a log line and for the ledger. Nothing that people wrote."""
        facts: dict[str, object] = {
            name: getattr(self, name)
            for name in (
                "snapshot",
                "listed",
                "read",
                "unreadable",
                "gone",
                "decided",
                "illegal",
                "undecided",
                "requests",
            )
        }
        results = {result.value.replace(" ", "_"): self.count(result) for result in Result}
        return (
            facts
            | {name: count for name, count in results.items() if count}
            | ({"breaker": self.breaker} if self.breaker is not None else {})
            | ({"unreadable_projects": self.unreadable_projects} if self.unreadable_projects else {})
        )


class Brake(Protocol):
    """The kill switch, which a person releases. Tests hold one in memory."""

    def reason(self) -> str | None:
        """Why nothing is put back now; None when it may be."""
        ...

    def begin(self, reason: str) -> None:
        """Put nothing back from now on."""
        ...


class Cycle:
    """Runs cycles over one OpenProject and one ledger. What it keeps in memory it can lose at any time."""

    def __init__(
        self,
        tracker: Tracker,
        ledger: Ledger,
        policy: Policy,
        options: Options,
        *,
        clock: Callable[[], datetime],
        brake: Brake,
        requests: Callable[[], int] = lambda: 0,
        progress: Callable[[int, int], None] = lambda done, total: None,
        take_notes: Callable[[], None] = lambda: None,
        pool: Executor | None = None,
    ) -> None:
        """``requests`` counts what went to the server so far; ``progress`` is told how many of how many are read.

        ``take_notes`` records what other processes have left to be recorded.
        ``pool`` is where activities are read: by default as many threads as ``options`` allow connections.
        """
        self._tracker = tracker
        self._ledger = ledger
        self._policy = policy
        self._options = options
        self._clock = clock
        self._brake = brake
        self._requests = requests
        self._progress = progress
        self._take_notes = take_notes
        self._pool = pool or ThreadPoolExecutor(options.connections, thread_name_prefix="read")
        self._owns_pool = pool is None
        self._server: Server | None = None
        self._probed_at: datetime | None = None
        self._snapshot_at: datetime | None = None
        self._ahead = timedelta(0)
        """The server's clock minus ours, as of the last answer that told it."""
        self._roles_show: datetime | None = None
        """Everything that happened until then is in the last reading of the memberships."""
        self._readable: frozenset[ProjectId] | None = None
        """Projects whose members the last reading showed; None before the first."""
        self._server_tells_time = False
        self._names_asked: set[str] = set()
        """Names that no status has, though the server was asked: custom fields that carry the status' label."""
        self._ambiguous: set[ProjectId] = set()
        self._strangers: set[UserId] = set()
        """People whom the server does not name; asked for once."""
        self._unfinished: dict[WorkPackageId, Listed] = {}
        """Tickets that could not be read; after a restart the first snapshot finds them again."""
        self._control: str | None = None
        """What the control ticket says in this cycle; None before it is asked."""
        self._held: dict[int, str] = {}
        """Actions that a guard held back in the last cycle, and why."""

    def close(self) -> None:
        """Release the threads, unless they are somebody else's."""
        if self._owns_pool:
            self._pool.shutdown(cancel_futures=True)

    def run(self, *, missed: int = 0, hint: Iterable[WorkPackageId] = ()) -> CycleReport:
        """One cycle. With ``hint``, only those tickets are looked at, and the watermark stays where it is.

        Raises RetryLater when the server does not answer (what was stored stays), Stop and ConfigError when no later
        cycle could do better.
        """
        before = self._requests()
        hint = tuple(hint)
        self._take_notes()
        self._note_pause()
        if self._options.mode is not Mode.ENFORCE:
            self._stand_down()
        server = self._know_server()
        snapshot_is_due = self._snapshot_is_due() and not hint
        with uncollected() if snapshot_is_due else contextlib.nullcontext():
            known = self._ledger.known() if snapshot_is_due else None
            found = self._find(known, hint)
        if {listed.project for listed in found.due} - {project.id for project in server.projects}:
            server = self._probe()
        judge = self._convene(server, found.server_time)
        if self._ledger.watermark() is None and not hint:
            # Whatever becomes of this first synchronisation: what changes from now on is found by windows.
            self._ledger.observe([], at=judge.now, watermark=found.server_time)
        rulings: list[Ruling] = []
        unreadable = gone = read = 0
        for batch in poll.read(self._tracker, found.due, self._pool, with_tickets=self._needs_tickets(server)):
            reads = [one for one in batch if isinstance(one, poll.Read)]
            for one in reads:
                self._unfinished.pop(one.listed.id, None)
            rulings += [_light(ruling) for ruling in self._take(judge, reads, known)]
            gone += self._vanish(one for one in batch if isinstance(one, poll.Gone))
            unreadable += self._put_off(judge, (one for one in batch if isinstance(one, poll.Unreadable)))
            read += len(reads)
            self._progress(read, len(found.due))
        if known is not None:
            gone += self._vanish(self._confirm(found, known))
        rulings += [judge.rule_on(place) for place in self._due_reviews(judge)]
        gate = self._gate(judge)
        tripped, acted = self._act(gate, rulings)
        if known is not None:
            self._remind(gate, judge)
            self._post_checkpoint(gate)
        if not hint:
            self._ledger.observe([], at=judge.now, watermark=found.server_time)
            if known is not None:
                self._snapshot_at = self._clock()
        report = CycleReport(
            server_time=found.server_time,
            snapshot=known is not None,
            listed=found.listed,
            read=read,
            unreadable=unreadable,
            gone=gone,
            decided=sum(len(ruling.fresh) for ruling in rulings),
            illegal=sum(isinstance(j.verdict, Illegal) for ruling in rulings for j in ruling.fresh),
            undecided=sum(isinstance(j.verdict, Undecided) for ruling in rulings for j in ruling.fresh),
            acted=acted,
            breaker=tripped,
            requests=self._requests() - before,
            unreadable_projects=self._unreadable_projects(server),
        )
        self._note(report, missed)
        return report

    # --- Knowing the server -----------------------------------------------------------------------------------------

    def _know_server(self) -> Server:
        fresh = self._probed_at is not None and self._clock() - self._probed_at < self._options.probe_every
        return self._server if self._server is not None and fresh else self._probe()

    def _probe(self) -> Server:
        server = self._tracker.probe()
        self._server_tells_time = server.clock is not None
        if server.clock is not None:
            self._ahead = server.clock - self._clock()
        now = self._server_now()
        with self._ledger.batch():
            self._ledger.observe_statuses(server.statuses, now)
            self._ledger.observe_projects({p.id: (p.identifier, p.name) for p in server.projects}, now)
            self._ledger.observe_types(server.types, now)
            self._ledger.observe_people({server.user: server.user_name}, now)
        self._server, self._probed_at = server, self._clock()
        self._names_asked.clear()
        self._strangers.clear()
        return server

    def _server_now(self) -> datetime:
        return self._clock() + self._ahead

    def _needs_tickets(self, server: Server) -> bool:
        """Whether the policy asks for what neither lists nor activities tell."""
        asked = self._policy.asks_for
        return bool(asked & PRESENT) or ("type" in asked and not server.select_type)

    # --- Polling ----------------------------------------------------------------------------------------------------

    def _snapshot_is_due(self) -> bool:
        if self._ledger.watermark() is None or self._snapshot_at is None:
            return True
        return self._clock() - self._snapshot_at >= self._options.snapshot_every

    def _find(self, known: dict[WorkPackageId, KnownTicket] | None, hint: tuple[WorkPackageId, ...]) -> poll.Found:
        if hint:
            return poll.hinted(self._tracker, hint, self._server_now())
        watermark = self._ledger.watermark()
        touched = (
            None
            if watermark is None
            else poll.window(self._tracker, watermark, self._options.overlap, self._unfinished.values())
        )
        if known is not None:
            found = poll.snapshot(self._tracker, known, touched)
        else:
            assert touched is not None  # no watermark makes a snapshot due
            found = touched
        if found.server_time_known:
            self._server_tells_time = True
            self._ahead = found.server_time - self._clock()
        return found

    def _take(self, judge: Judge, reads: Sequence[poll.Read], known: Container[WorkPackageId] | None) -> list[Ruling]:
        activities = [reading.activity for read in reads for reading in read.activities]
        try:
            self._learn_names(judge, activities)
            self._learn_roles(judge, activities)
            self._learn_people(activities)
        except BridgeError:
            judge.keep(reads, "read, and not judged yet: the server stopped answering")
            raise
        return judge.take(reads, known)

    def _learn_names(self, judge: Judge, activities: Sequence[Activity]) -> None:
        """A name that no status is known to have had may be a new status, or a new name."""
        names = {name for a in activities for line in a.status_lines for name in (line.old, line.new) if name}
        unknown = names - judge.names.ever.keys() - self._names_asked
        if unknown:
            self._names_asked |= unknown
            self._ledger.observe_statuses(self._tracker.statuses(), judge.now)
            judge.names = self._ledger.status_names()
            judge.bind()

    def _learn_roles(self, judge: Judge, activities: Sequence[Activity]) -> None:
        """Memberships, read after the activities: only then do they show who held which role at the last of them."""
        newest = max((activity.updated_at for activity in activities), default=None)
        if self._roles_show is not None and (newest is None or newest <= self._roles_show):
            return
        reading = self._tracker.memberships()
        self._roles_show = newest if newest is not None else judge.now
        self._readable = reading.readable
        self._ledger.observe_memberships(reading.rows, reading.readable, self._roles_show)
        judge.roles_were_read()

    def _unreadable_projects(self, server: Server) -> int:
        if self._readable is None:
            return 0
        return len({project.id for project in server.projects if project.active} - self._readable)

    def _learn_people(self, activities: Iterable[Activity]) -> None:
        """Names, resolved when first seen: later they may be gone (contract §8.4)."""
        names: dict[UserId, str] = {}
        for user in {activity.user for activity in activities} - self._strangers:
            if self._ledger.person_name(user) is None:
                name = self._tracker.user_name(user)
                if name is None:
                    self._strangers.add(user)
                else:
                    names[user] = name
        if names:
            self._ledger.observe_people(names, self._server_now())

    def _vanish(self, gone: Iterable[poll.Gone]) -> int:
        count = 0
        for one in gone:
            self._ledger.vanish(one.work_package, at=self._server_now(), reason=one.reason)
            count += 1
        return count

    def _put_off(self, judge: Judge, unreadable: Iterable[poll.Unreadable]) -> int:
        count = 0
        for one in unreadable:
            if one.listed.id not in self._unfinished:
                with self._ledger.batch():
                    self._ledger.unreadable(one.listed, at=judge.now, reason=one.reason)
                    self._ledger.record(EntryKind.UNREADABLE, {"reason": one.reason}, judge.now, one.listed.id)
            self._unfinished[one.listed.id] = one.listed
            count += 1
        return count

    def _confirm(self, found: poll.Found, known: Mapping[WorkPackageId, KnownTicket]) -> Iterable[poll.Gone]:
        if not found.unlisted:
            return ()
        visible = frozenset(project.id for project in self._tracker.projects())
        return poll.confirm_gone(self._tracker, found.unlisted, known, visible)

    # --- Judging ----------------------------------------------------------------------------------------------------

    def _convene(self, server: Server, now: datetime) -> Judge:
        judge = Judge(
            ledger=self._ledger,
            policy=self._policy,
            server=server,
            now=now,
            clock_known=self._server_tells_time,
            mode=self._options.mode,
            names=self._ledger.status_names(),
            enforcement={},
            labels=self._tracker.field_labels,
            identifiers={project.id: project.identifier for project in server.projects},
            ambiguous=self._ambiguous,
        )
        judge.bind()
        judge.enforcement = self._enforcement(judge)
        return judge

    def _enforcement(self, judge: Judge) -> Mapping[tuple[RuleId, ProjectId], datetime]:
        """Begin or end what mode and policy say by now. A new policy begins anew: it never reaches back (rules)."""
        begins = judge.now + (WHOLE_SECOND if self._server_tells_time else UNCERTAIN_CLOCK)
        wanted = {
            (rule.id, project)
            for project, identifier in judge.identifiers.items()
            for rule in self._policy.rules
            if self._options.mode is Mode.ENFORCE and rule.mode_in(identifier, judge.now) is Mode.ENFORCE
        }
        changed = self._note_policy(judge.now)
        running = self._ledger.enforcement()
        if not changed and running.keys() == wanted:
            return running
        with self._ledger.batch():
            for rule, project in running.keys() if changed else running.keys() - wanted:
                self._ledger.end_enforcement(rule, project, judge.now)
            for rule, project in sorted(wanted if changed else wanted - running.keys()):
                self._ledger.begin_enforcement(rule, project, begins)
        return self._ledger.enforcement()

    def _stand_down(self) -> None:
        """End all enforcement, even while the server does not answer: what happens from now on is only observed."""
        now = self._server_now()
        with self._ledger.batch():
            for rule, project in self._ledger.enforcement():
                self._ledger.end_enforcement(rule, project, now)

    def _note_policy(self, now: datetime) -> bool:
        """Whether this policy is another than the last one that was used here; written down if so."""
        last = self._ledger.last_event(EntryKind.POLICY)
        if last is not None and last.get("hash") == self._policy.hash:
            return False
        with self._ledger.batch():
            self._ledger.record(EntryKind.POLICY, {"hash": self._policy.hash}, now)
            for exemption in self._policy.exemptions:
                self._ledger.record(EntryKind.EXEMPTION, _told(exemption) | {"policy": self._policy.hash}, now)
        return True

    def _note_pause(self) -> None:
        """Write down a pause that began or ended without a word: its file can be made and removed by hand."""
        reason = self._brake.reason()
        last = self._ledger.last_of((EntryKind.PAUSE, EntryKind.BREAKER, EntryKind.RESUME))
        recorded = last is not None and last is not EntryKind.RESUME
        if reason is not None and not recorded:
            self._ledger.record(EntryKind.PAUSE, {"reason": reason}, self._server_now())
        elif reason is None and recorded:
            self._ledger.record(EntryKind.RESUME, {}, self._server_now())

    def _due_reviews(self, judge: Judge) -> list[Place]:
        places = []
        for work_package in self._ledger.due_reviews(judge.now):
            ticket: Ticket | Missing | None = None
            if self._needs_tickets(judge.server):
                try:
                    ticket = self._tracker.ticket(work_package)
                except SkipItem:
                    continue  # it stays due
            place = judge.place(work_package, None if isinstance(ticket, Missing) else ticket)
            if place is not None:
                places.append(place)
        return places

    # --- Acting -----------------------------------------------------------------------------------------------------

    def _gate(self, judge: Judge) -> Gate:
        self._control = None
        return Gate(
            self._tracker,
            self._ledger,
            judge,
            mode=self._options.mode,
            paused=self._paused,
            clock=self._server_now,
        )

    def _act(self, gate: Gate, rulings: Sequence[Ruling]) -> tuple[str | None, tuple[Acted, ...]]:
        planned = [ruling for ruling in rulings if ruling.course.revert is not None]
        moves = sum(not isinstance(j.verdict, Undecided) and not j.own for ruling in rulings for j in ruling.fresh)
        fresh = sum(any(j.change.key == _planned(ruling) for j in ruling.fresh) for ruling in planned)
        tripped = breaker(moves, fresh, self._policy.limits) if self._options.mode is Mode.ENFORCE else None
        if tripped is not None:
            self._brake.begin(f"circuit breaker: {tripped}")
        for ruling in planned:
            gate.intend(ruling)
        acted = []
        for action in self._ledger.open_actions():
            try:
                acted.append(gate.finish(action))
            except SkipItem as error:
                acted.append(Acted(action, Result.HELD, str(error)))
        return tripped, tuple(acted)

    def _remind(self, gate: Gate, judge: Judge) -> None:
        """Comments that the policy wants where a ticket stands for long; looked for with each snapshot."""
        reminders = {status for reminder in self._policy.reminders for status in reminder.statuses}
        written = 0
        for standing in self._ledger.standing(reminders) if reminders else ():
            project = judge.identifiers.get(standing.project, "")
            due = self._policy.due_reminders(
                standing.name, standing.since, judge.now, project=project, type=standing.type
            )
            noted = self._ledger.events(EntryKind.REMINDER, standing.work_package) if due else ()
            for reminder in due:
                fact = {"reminder": reminder.id, "decision": standing.decision}
                if written >= self._policy.limits.reverts_per_cycle or any(fact.items() <= n.items() for n in noted):
                    continue
                writes = reminder.mode is Mode.ENFORCE and self._options.mode is Mode.ENFORCE
                if writes and not self._reminded(gate, standing, reminder):
                    continue
                payload = fact | {"written": writes}
                self._ledger.record(EntryKind.REMINDER, payload, judge.now, standing.work_package)
                written += writes

    def _reminded(self, gate: Gate, standing: Standing, reminder: Reminder) -> bool:
        try:
            return gate.remind(standing, reminder)
        except SkipItem:
            return False

    def _post_checkpoint(self, gate: Gate) -> None:
        """The record's last checkpoint, to where the other party reads it; looked for with each snapshot."""
        ticket = self._options.checkpoint_ticket
        if ticket is None:
            return
        to = f"ticket {ticket}"
        due = unpublished(self._ledger, to, self._options.checkpoint_every)
        if due is None:
            return
        with contextlib.suppress(SkipItem):
            if gate.post_checkpoint(ticket, *due):
                self._ledger.record(EntryKind.PUBLICATION, {"size": due[0], "to": to}, self._clock(), ticket)

    def _paused(self) -> str | None:
        """The brake, and the control ticket, which is asked for once a cycle and only when there is something to do."""
        if reason := self._brake.reason():
            return reason
        if self._options.control_ticket is None:
            return None
        if self._control is None:
            self._control = self._ask_control_ticket(self._options.control_ticket)
        return self._control or None

    def _ask_control_ticket(self, work_package: WorkPackageId) -> str:
        """Why the control ticket stops the bridge; empty when it does not. What cannot be read stops it as well."""
        try:
            ticket = self._tracker.ticket(work_package)
        except SkipItem as error:
            return f"the control ticket cannot be read: {error}"
        if isinstance(ticket, Missing):
            return f"the control ticket {work_package} cannot be seen"
        statuses = self._server.statuses if self._server is not None else ()
        is_open = any(status.id == ticket.status and not status.is_closed for status in statuses)
        return "" if is_open else f"the control ticket {work_package} is closed"

    def _note(self, report: CycleReport, missed: int) -> None:
        """One entry for a cycle in which something happened, and for cycles that were missed."""
        at = report.server_time
        if missed:
            self._ledger.record(EntryKind.MISSED, {"cycles": missed}, at)
        if report.breaker is not None:
            self._ledger.record(EntryKind.BREAKER, {"reason": report.breaker}, at)
        held = {acted.action.id: acted for acted in report.acted if acted.result is Result.HELD}
        for id_, acted in held.items():
            if self._held.get(id_) != acted.detail:
                payload = {"action": id_, "reason": acted.detail}
                self._ledger.record(EntryKind.HOLD, payload, at, acted.action.work_package)
        self._held = {id_: acted.detail for id_, acted in held.items()}
        if report.read or report.gone or report.snapshot or report.acted:
            self._ledger.record(EntryKind.CYCLE, report.facts(), at)


def _planned(ruling: Ruling) -> ChangeKey | None:
    return ruling.course.revert.change.key if ruling.course.revert is not None else None


def _told(exemption: Exemption) -> dict[str, object]:
    """An exemption for the ledger; a scope that is not there means any."""
    scopes = {name: getattr(exemption, name) for name in ("rules", "projects", "people", "tickets")}
    return {
        "id": exemption.id,
        "owner": exemption.owner,
        "reason": exemption.reason,
        "until": exemption.until.isoformat(),
    } | {name: sorted(scope) for name, scope in scopes.items() if scope is not None}


def _light(ruling: Ruling) -> Ruling:
    """Without what was decided long ago: a first synchronisation holds the rulings of every ticket there is."""
    return replace(ruling, course=replace(ruling.course, judged=()))

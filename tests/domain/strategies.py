"""An oracle for the domain: what truly happened to a ticket, how OpenProject would write it down, what a reader saw.

Written from the contract alone (A.3, §3, §4); shares no code with ``bridge.domain.timeline``. A ``Life`` is run from a
list of deeds; it keeps the truth (who moved the ticket when, and where to) beside the activities that were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from bridge.domain.model import Activity, ActivityId, StatusId, StatusLine, UserId, WorkPackageId

TICKET = WorkPackageId(7)
BEGIN = datetime(2026, 11, 2, 8, tzinfo=UTC)
RETRACTED = "_Les modifications ont été retirées._"
STATUSES = (1, 2, 3, 4)
USERS = (11, 12, 13)
BRIDGE = 14

# --- What people do -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """A save of the ticket that changes its status."""

    by: int
    to: int


@dataclass(frozen=True)
class Save:
    """A save that leaves the status alone: another subject, type, project, or the field that bears its label."""

    by: int
    subject: int | None = None
    type: int | None = None
    project: int | None = None
    field: str | None = None


@dataclass(frozen=True)
class Say:
    """A comment."""

    by: int
    text: str


@dataclass(frozen=True)
class Reword:
    """An edit of one's own last comment; an empty text clears it (contract A.3, §3.8)."""

    by: int
    text: str


@dataclass(frozen=True)
class Rename:
    """An administrator names a status anew. Nobody else may bear the name at that time."""

    status: int
    name: str


@dataclass(frozen=True)
class Swap:
    """An administrator exchanges two statuses' names."""

    one: int
    other: int


@dataclass(frozen=True)
class Read:
    """The bridge reads the ticket's activities."""


Deed = Move | Save | Say | Reword | Rename | Swap | Read


# --- How OpenProject writes it down ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    status: int
    subject: int = 0
    type: int = 0
    project: int = 0
    field: str = ""


@dataclass
class Journal:
    id: int
    version: int
    user: int
    created: datetime
    updated: datetime
    before: Snapshot | None
    after: Snapshot
    note: str = ""
    noted: datetime | None = None
    saves: int = 1
    moved: list[tuple[datetime, int]] = field(default_factory=list)
    """When the ticket came into which status within this journal."""


@dataclass(frozen=True)
class Seen:
    """What was true of one journal when it was read."""

    reading: int
    read_at: datetime
    status: int
    moved: datetime | None
    """When the ticket last came into that status within this journal; None when it has not moved here."""
    statuses: tuple[int, ...]
    """Every status that it came into within this journal, in order."""
    saves: int
    type_changed: bool
    project_changed: bool
    note: str
    noted: datetime | None
    updated: datetime


@dataclass(frozen=True)
class Step:
    """A net change of status between two readings of one journal."""

    activity: int
    part: int
    origin: int | None
    target: int
    actor: int
    at: datetime
    hidden: bool
    """Whether statuses in between cannot be told from the two readings."""
    seen: Seen


@dataclass(repr=False)
class Life:
    """A ticket from its creation on. ``window`` is the aggregation time; zero switches aggregation off."""

    window: timedelta
    author: int = USERS[0]
    born_in: int = STATUSES[0]
    born_field: str = ""
    saved_twice: bool = False
    """15.4 saves a new ticket twice (contract A.3)."""
    cached: bool = False
    """17 renders a line when it is first read, and keeps that (contract A.3)."""
    hidden: frozenset[int] = frozenset()
    """Versions of journals that no reading shows."""
    now: datetime = BEGIN
    journals: list[Journal] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=lambda: {status: f"S{status}" for status in range(1, 9)})
    once: set[str] = field(default_factory=set)
    """Names that were given up before the bridge first looked: it cannot know whose they were."""
    ever: dict[str, set[int]] = field(default_factory=dict)
    """Names that the bridge has read."""
    rendered: dict[tuple[int, datetime], tuple[StatusLine, ...]] = field(default_factory=dict)
    revisions: list[Activity] = field(default_factory=list)
    stood: list[tuple[datetime, int]] = field(default_factory=list)
    """Since when the ticket was in which status."""
    seen: dict[int, list[Seen]] = field(default_factory=dict)
    readings: int = 0
    story: list[tuple[timedelta, Deed]] = field(default_factory=list)

    def __repr__(self) -> str:
        settings = ("window", "author", "born_in", "born_field", "saved_twice", "cached", "hidden")
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)
        return f"Life({told}).run({self.story!r})"

    def __post_init__(self) -> None:
        born = Snapshot(self.born_in, field=self.born_field)
        first = Journal(101, 1, self.author, self.now, self.now, None, born, moved=[(self.now, self.born_in)])
        if self.saved_twice:
            first.saves, first.updated = 2, self.now + timedelta(milliseconds=30)
            self.now = first.updated
        self.journals.append(first)
        self.stood.append((first.created, self.born_in))

    @property
    def status(self) -> int:
        return self.journals[-1].after.status

    def status_at(self, moment: datetime) -> int:
        return [status for since, status in self.stood if since <= moment][-1]

    def known_names(self) -> Mapping[str, frozenset[StatusId]]:
        return {name: frozenset(StatusId(id_) for id_ in ids) for name, ids in self.ever.items()}

    def run(self, deeds: Sequence[tuple[timedelta, Deed]]) -> Life:
        self.story += deeds
        for pause, deed in deeds:
            self.now += pause
            self.do(deed)
        return self

    def do(self, deed: Deed) -> None:
        present = self.journals[-1].after
        match deed:
            case Move(by, to):
                self._save(by, replace(present, status=to))
            case Save(by, subject, type_, project, text):
                after = Snapshot(
                    present.status,
                    present.subject if subject is None else subject,
                    present.type if type_ is None else type_,
                    present.project if project is None else project,
                    present.field if text is None else text,
                )
                self._save(by, after)
            case Say(by, text):
                self._save(by, present, text)
            case Reword(by, text):
                for journal in reversed(self.journals):
                    if journal.user == by and journal.note:
                        journal.note, journal.updated = text, self.now
                        journal.saves += 1
                        break
            case Rename(status, name):
                if name not in self.names.values() and name not in self.once:
                    self._call({status: name})
            case Swap(one, other):
                if self.readings:  # before, the bridge could not know, and nobody else could tell it
                    self._call({one: self.names[other], other: self.names[one]})
            case Read():
                self._read()

    # --- Journals (contract §4) ---

    def _save(self, by: int, after: Snapshot, note: str = "") -> None:
        last = self.journals[-1]
        if after == last.after and not note:
            return  # nothing to save, nothing is written
        moved = [(self.now, after.status)] if after.status != last.after.status else []
        self.stood += moved
        within = self.window and last.updated >= self.now - self.window
        if within and last.user == by and not (note and last.note):
            last.after, last.updated = after, self.now
            last.saves += 1
            last.moved += moved
            if note:
                last.note, last.noted = note, self.now
            return
        id_, version = last.id + 3, last.version + 1
        self.journals.append(
            Journal(
                id_, version, by, self.now, self.now, last.after, after, note, self.now if note else None, moved=moved
            )
        )

    def _call(self, names: Mapping[int, str]) -> None:
        if not self.readings:
            self.once |= {self.names[status] for status in names}
        self.names.update(names)
        if self.readings:
            self._learn()

    def _learn(self) -> None:
        for status, name in self.names.items():
            self.ever.setdefault(name, set()).add(status)

    # --- Readings (contract §3) ---

    def _read(self) -> None:
        if not self.readings:
            self._learn()
        self.readings += 1
        for journal in self.journals:
            if journal.version in self.hidden:
                continue
            form = self.form_of(journal)
            if not any(kept.id == form.id for kept in self.revisions) or form != self._last(form.id):
                self.revisions.append(form)
            self.seen.setdefault(journal.id, []).append(self._truth(journal))

    def _last(self, id_: int) -> Activity:
        return [kept for kept in self.revisions if kept.id == id_][-1]

    def _truth(self, journal: Journal) -> Seen:
        before = journal.before
        return Seen(
            reading=self.readings,
            read_at=self.now,
            status=journal.after.status,
            moved=journal.moved[-1][0] if journal.moved else None,
            statuses=tuple(status for _, status in journal.moved),
            saves=journal.saves,
            type_changed=before is not None and before.type != journal.after.type,
            project_changed=before is not None and before.project != journal.after.project,
            note=journal.note,
            noted=journal.noted,
            updated=journal.updated,
        )

    def form_of(self, journal: Journal) -> Activity:
        """How the journal reads now."""
        retracted = journal.before == journal.after and not journal.note
        now = self._lines(journal)
        lines = self.rendered.setdefault((journal.id, journal.updated), now) if self.cached else now
        truth = self._truth(journal)
        return Activity(
            id=ActivityId(journal.id),
            work_package=TICKET,
            version=journal.version,
            user=UserId(journal.user),
            created_at=journal.created,
            updated_at=journal.updated,
            comment=RETRACTED if retracted else journal.note,
            retracted=retracted,
            status_lines=lines,
            type_changed=truth.type_changed,
            project_changed=truth.project_changed,
        )

    def _lines(self, journal: Journal) -> tuple[StatusLine, ...]:
        before, after = journal.before, journal.after
        lines = []
        if before is None or before.status != after.status:
            lines.append(StatusLine(self.names[before.status] if before else None, self.names[after.status]))
        old, new = before.field if before else "", after.field
        if old != new:
            lines.append(StatusLine(old or None, new or None))
        return tuple(lines)

    # --- The truth ---

    def steps(self) -> list[Step]:
        """Every net change of status that readings showed, journal by journal."""
        return [step for journal in self.journals for step in self._steps_of(journal)]

    def _steps_of(self, journal: Journal) -> list[Step]:
        steps: list[Step] = []
        here = journal.before.status if journal.before else None
        shown = 0
        for seen in self.seen.get(journal.id, ()):
            if seen.status != here:
                assert seen.moved is not None
                steps.append(
                    Step(
                        activity=journal.id,
                        part=len(steps),
                        origin=here,
                        target=seen.status,
                        actor=journal.user,
                        at=seen.moved,
                        hidden=len(seen.statuses) - shown > 1,
                        seen=seen,
                    )
                )
            here, shown = seen.status, len(seen.statuses)
        return steps


# --- Random lives ---------------------------------------------------------------------------------------------------

WINDOW = timedelta(minutes=5)

pauses = st.one_of(
    st.sampled_from(
        [
            timedelta(milliseconds=1),
            timedelta(seconds=20),
            WINDOW - timedelta(milliseconds=1),
            WINDOW,
            WINDOW + timedelta(milliseconds=1),
            timedelta(days=3),
        ]
    ),
    st.integers(1, 900_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds)),
)
_users = st.sampled_from(USERS)
_texts = st.sampled_from(["Bonjour", "Voici le motif.", "#contestation"])

moves = st.builds(Move, _users, st.sampled_from(STATUSES))
saves = st.one_of(
    st.builds(Save, _users, subject=st.integers(0, 2)),
    st.builds(Save, _users, type=st.integers(0, 1)),
    st.builds(Save, _users, project=st.integers(0, 1)),
)
comments = st.one_of(st.builds(Say, _users, _texts), st.builds(Reword, _users, st.one_of(_texts, st.just(""))))
fields = st.builds(Save, _users, field=st.sampled_from(["S1", "S2", "S3", "S4", "à faire", "fait", ""]))
renames = st.one_of(
    st.builds(Rename, st.sampled_from(STATUSES), st.sampled_from(["S1", "S2", "T1", "T2", "T3"])),
    st.builds(Swap, st.sampled_from(STATUSES[:2]), st.sampled_from(STATUSES[2:])),
)
by_the_bridge = st.one_of(
    st.builds(Move, st.just(BRIDGE), st.sampled_from(STATUSES)), st.builds(Say, st.just(BRIDGE), st.just("Décision"))
)
reads = st.builds(Read)


def lives(
    *more: st.SearchStrategy[Deed], born_field: st.SearchStrategy[str] | None = None, hidden: bool = False
) -> st.SearchStrategy[Life]:
    """Lives of up to 14 deeds, read at random moments and once at the end."""
    deed = st.one_of(moves, moves, reads, *more, comments, saves)
    deeds = st.lists(st.tuples(pauses, deed), max_size=14)
    return st.builds(
        lambda life, deeds: life.run([*deeds, (timedelta(seconds=1), Read())]),
        st.builds(
            Life,
            window=st.sampled_from([WINDOW, WINDOW, timedelta(0)]),
            author=_users,
            born_in=st.sampled_from(STATUSES),
            born_field=st.just("") if born_field is None else born_field,
            saved_twice=st.booleans(),
            cached=st.booleans(),
            hidden=st.frozensets(st.integers(2, 6), min_size=1, max_size=2) if hidden else st.just(frozenset()),
        ),
        deeds,
    )

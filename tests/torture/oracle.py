"""What really happened, judged by a table: the CEGAPE rules once more, in the fewest words, from the truth alone.

The truth is the simulator's list of single moves, before OpenProject's aggregation hid any. Nothing here comes from the
bridge's own judgement; what the bridge wrote down is only read to see whether it gives a reason where it did nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from bridge.simulator import Instance, Move, Ticket

CLIENT, CEGAPE = "client", "CEGAPE"

WHO: Mapping[str, frozenset[str]] = {  # the wiki's table: who moves a request there
    "NOUVEAU": frozenset(),
    "NECESSITE CLARIFICATION": frozenset({CEGAPE}),
    "EN COURS": frozenset({CEGAPE}),
    "EN COURS DE TEST": frozenset({CEGAPE}),
    "RESOLU": frozenset({CLIENT}),
    "EN ATTENTE": frozenset({CLIENT, CEGAPE}),
    "REJETE": frozenset({CEGAPE}),
    "CORRECTION NON VALIDE": frozenset({CLIENT}),
}
CLOSED = frozenset({"RESOLU", "REJETE"})
TESTED = "EN COURS DE TEST"
AFTER_TEST = frozenset({"RESOLU", "CORRECTION NON VALIDE"})
INITIAL = "NOUVEAU"
ANY = "?"
"""What a name that no status has may stand for."""

ECHO = timedelta(milliseconds=50)
"""15.4 saves a new ticket again a moment later (contract A.3): nobody is faster."""

NO_TRACE = "aggregation left no trace of the move"


@dataclass(frozen=True, slots=True)
class Deed:
    """One true move, in the wiki's words."""

    at: datetime
    person: int
    party: str | None
    """None: a stranger, or the bridge."""
    own: bool
    origin: str | None
    target: str
    project: int
    activity: int
    began: datetime
    """When the activity that holds it was created."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a ticket stands after some deeds, and where it legally would."""

    status: str | None = None
    legal: str | None = None
    lawful: str | None = None
    """Where it would stand if observed rules and those from before enforcement were enforced as well."""
    visited: frozenset[str] = frozenset()
    last: Deed | None = None
    breaches: tuple[Deed, ...] = ()
    """The illegal deeds that still stand: nobody has moved on from them."""
    legal_as_shown: frozenset[str] = frozenset()
    """``legal``, and what else it may look like to someone who saw activities instead of single moves."""

    @property
    def must_go_back(self) -> bool:
        """Whether the last move is a client's illegal one that still stands."""
        return bool(self.breaches) and self.breaches[-1] is self.last and self.status != self.legal


def objections(deed: Deed, before: Course) -> tuple[bool, bool]:
    """(an enforced rule objects, any rule objects), if the person's party were held to it."""
    if deed.party is None:
        return False, False
    if deed.origin is None:
        created_elsewhere = deed.party == CLIENT and deed.target != INITIAL
        return created_elsewhere, created_elsewhere
    if deed.target == before.lawful != deed.origin:
        return False, False  # took it back ("From when, and what counts")
    who = deed.party not in WHO[deed.target]
    order = deed.target in AFTER_TEST and TESTED not in before.visited
    closed = deed.party == CLIENT and (
        (deed.origin == "RESOLU" and deed.target != "CORRECTION NON VALIDE") or deed.origin == "REJETE"
    )
    return who, who or order or closed


def follow(deeds: Iterable[Deed], since: Mapping[int, datetime]) -> Course:
    """The legal state after these deeds, where clients' illegal ones count from ``since`` on, by project."""
    course = Course()
    activity = None
    for deed in deeds:
        enforced, any_rule = objections(deed, course)
        begun = deed.project in since and deed.at >= since[deed.project]
        stands = deed.party == CLIENT and enforced and begun
        wronged = deed.party == CLIENT and any_rule
        shown = course.legal_as_shown
        if deed.activity != activity and not course.breaches and course.legal is not None:
            shown = frozenset({course.legal})
        activity = deed.activity
        legal, visited, breaches = course.legal, course.visited, course.breaches
        if not stands:
            legal = deed.target
            reopened = course.legal in CLOSED and deed.target not in CLOSED
            visited = frozenset({legal}) if reopened or deed.origin is None else visited | {legal}
            breaches = ()
        elif deed.origin is None:
            legal, visited, breaches = INITIAL, frozenset({INITIAL}), (deed,)
        elif legal == deed.target:
            breaches = ()
        else:
            breaches = (*breaches, deed)
        lawful = deed.target if not wronged else INITIAL if deed.origin is None else course.lawful
        assert legal is not None
        course = Course(deed.target, legal, lawful, visited, deed, breaches, shown | {legal})
    return course


# --- What the bridge could not know ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Chronicle:
    """What a world did besides moving tickets, as far as it may keep the bridge from being sure."""

    roles_changed: list[tuple[datetime, int, int]] = field(default_factory=list)
    """(when, project, person)"""
    hidden: dict[int, datetime] = field(default_factory=dict)
    """Ticket -> when it was last out of the bridge's sight."""
    shown: dict[int, datetime] = field(default_factory=dict)
    """Ticket -> when it last came back into the bridge's sight; only a snapshot finds it then."""
    renamed: list[datetime] = field(default_factory=list)
    """Statuses that got another name."""
    refused: set[int] = field(default_factory=set)
    """Tickets on which OpenProject refused the bridge something."""


class Oracle:
    """Reads the truth of one instance."""

    def __init__(self, instance: Instance, bridge: int, field_named_statut: int | None) -> None:
        self.instance = instance
        self.bridge = bridge
        self.chronicle = Chronicle()
        self._field = field_named_statut
        self._names = {status.id: status.name for status in instance.statuses.values()}
        self._deeds: dict[int, list[Deed]] = {}
        self._taken = 0

    def name(self, status: int) -> str:
        """A status as it was called in the beginning."""
        return self._names[status]

    def fresh(self) -> Iterable[tuple[int, Deed]]:
        """Moves since the last call, each with its ticket, before it is added to the ticket's deeds."""
        while self._taken < len(self.instance.moves):
            move = self.instance.moves[self._taken]
            self._taken += 1
            deed = self._deed(move)
            yield move.ticket, deed
            self._deeds.setdefault(move.ticket, []).append(deed)

    def deeds(self, ticket: int) -> Sequence[Deed]:
        """Every move of a ticket."""
        return self._deeds.get(ticket, ())

    def tickets(self) -> Iterable[int]:
        """Every ticket that ever was."""
        return self._deeds

    def _deed(self, move: Move) -> Deed:
        party = CEGAPE if "CEGAPE" in move.roles else CLIENT if "Client" in move.roles else None
        return Deed(
            move.at,
            move.person,
            party,
            move.person == self.bridge,
            None if move.origin is None else self._names[move.origin],
            self._names[move.target],
            move.project,
            move.activity,
            self.instance.activities[move.activity].created_at,
        )

    def created_in_an_echo(self, ticket: Ticket) -> bool:
        """Whether a program moved the ticket faster than 15.4 saves it again: it then looks created where that led."""
        creation = ticket.journals[0]
        twice = sum(deed.activity == creation.id for deed in self.deeds(ticket.id)) > 1
        return self.instance.version == "15.4" and twice and creation.updated_at <= creation.created_at + ECHO

    def as_shown(self, ticket: Ticket) -> list[tuple[Deed, bool]]:
        """The ticket's moves as its activities show them by now, and whether each may hide others."""
        shown: list[tuple[Deed, bool]] = []
        origin = None
        deeds = {deed.activity: deed for deed in self.deeds(ticket.id)}
        for journal in ticket.journals:
            target = self._names[journal.state.status]
            if target != origin and journal.id in deeds:
                last = deeds[journal.id]
                hides = printed(journal.updated_at) > printed(journal.created_at)
                if origin is None and self.instance.version == "15.4":
                    hides = journal.updated_at > journal.created_at + ECHO or ticket.lock_version != 1
                shown.append(
                    (
                        Deed(
                            last.at,
                            last.person,
                            last.party,
                            last.own,
                            origin,
                            target,
                            last.project,
                            journal.id,
                            journal.created_at,
                        ),
                        hides,
                    )
                )
            origin = target
        return shown

    def may_be_legal(self, ticket: Ticket, since: Mapping[int, datetime]) -> frozenset[str]:
        """Where the ticket legally stands, and where else it may seem to for whoever cannot be sure of all its moves.

        Only the last legal move counts, the steps that its activity may hide, and what was moved since in doubt; also
        what counted before, where the activity of that move hides where it led.
        """
        found = frozenset[str]()
        deeds = self.deeds(ticket.id)
        ends = {one.activity: one.target for one, _ in self.as_shown(ticket)}
        for number, deed in enumerate(deeds, 1):
            course = follow(deeds[:number], since)
            assert course.legal is not None
            if not course.breaches:
                found = course.legal_as_shown | (found if ends.get(deed.activity) != deed.target else frozenset())
            elif self.excuse(ticket, deed, since) not in (None, NO_TRACE):
                found |= {course.legal, deed.target}
            else:
                found |= {course.legal}
        return found | {INITIAL} if self.created_in_an_echo(ticket) else found

    def excuse(self, ticket: Ticket, deed: Deed, since: Mapping[int, datetime]) -> str | None:
        """Why the bridge could not be sure that this deed was illegal when it was the last; None when it could be."""
        journals = ticket.journals
        at = next((i for i, journal in enumerate(journals) if journal.id == deed.activity), None)
        if at is None:
            return "the activity is gone"
        if deed.project not in since or printed(journals[at].created_at) < since[deed.project]:
            return "enforcement began after the activity"
        upto = {journal.id for journal in journals[: at + 1]}
        shown = [(one, hides) for one, hides in self.as_shown(ticket) if one.activity in upto]
        if not shown or shown[-1][0].activity != deed.activity:
            return NO_TRACE
        merged, hides = shown[-1]
        if merged.origin is None and merged.target == INITIAL:
            return NO_TRACE  # away from its creation and back: what is left is a creation as it should be
        unsure = self._unsure_of(ticket, deed)
        if unsure is not None:
            return unsure
        if self.chronicle.hidden.get(ticket.id, journals[at].created_at) > journals[at].created_at:
            return "the ticket was out of sight"
        if ticket.id in self.chronicle.refused:
            return "OpenProject refuses"
        if merged.origin is None and hides:
            return "a new ticket was saved again"
        if not follow([one for one, _ in shown], since).must_go_back:
            return "aggregation left a legal move"
        if deed.target in self._perhaps(ticket, shown, since):
            return "it may take back a move that an activity hides"
        if deed.target in self._left_in_doubt(ticket, deed, shown):
            return "it may take back a move that cannot be judged, or that is legal only if such a one stands"
        return None

    def _left_in_doubt(self, ticket: Ticket, last: Deed, shown: Sequence[tuple[Deed, bool]]) -> frozenset[str]:
        """Where the ticket had been, before this move, before moves of which nobody can say that they stand."""
        been, sure, doubted = set[str](), set[str](), frozenset[str]()
        # Such an activity may hide that the ticket was where rules which are enforced let a client move it.
        hiding = {one.activity for one, hides in shown if hides and one.party == CLIENT and not one.own}
        hidden = frozenset[str]()
        for deed in takewhile(lambda deed: deed is not last, self.deeds(ticket.id)):
            if deed.origin in CLOSED and deed.target not in CLOSED:
                sure.clear()
            unjudged = not deed.own and (deed.party is None or self._unsure_of(ticket, deed) is not None)
            # Legal only if a doubtful move stands; or only if it does not, as it takes that one back.
            hangs = deed.target in doubted | hidden or (deed.target in AFTER_TEST and TESTED in been - sure)
            if deed.activity in hiding:
                hidden = frozenset(status for status, who in WHO.items() if CLIENT in who)
            been |= {deed.target} if deed.origin is not None else {deed.target, INITIAL}
            if unjudged or hangs:
                doubted |= been
            else:
                sure.add(deed.target)
        return doubted

    def _perhaps(
        self, ticket: Ticket, shown: Sequence[tuple[Deed, bool]], since: Mapping[int, datetime]
    ) -> frozenset[str]:
        """Where the ticket had been before activities of clients that may hide a move which no rule would let pass."""
        perhaps: frozenset[str] = frozenset()
        before = Course()
        for number, (one, hides) in enumerate(shown[:-1]):
            course = follow([deed for deed, _ in shown[: number + 1]], since)
            if hides and one.party == CLIENT and not one.own:
                perhaps |= {earlier.target for earlier in self.deeds(ticket.id) if earlier.at <= one.at} | {INITIAL}
            elif course.lawful == one.target != before.lawful:
                perhaps = frozenset()
            before = course
        return perhaps

    def _unsure_of(self, ticket: Ticket, deed: Deed) -> str | None:
        """Why the bridge cannot be sure who made this move, in which role, or that it was one."""
        chronicle, journals = self.chronicle, ticket.journals
        at = next((i for i, journal in enumerate(journals) if journal.id == deed.activity), None)
        if at is None:
            return "the activity is gone"
        if any(
            (project, person) == (deed.project, deed.person) and when >= journals[at].created_at - ECHO
            for when, project, person in chronicle.roles_changed
        ):
            return "roles changed"
        if any(
            after.state.project != before.state.project
            for before, after in zip(journals[max(at - 1, 0) :], journals[max(at, 1) :], strict=False)
        ):
            return "the ticket changed project"
        for before, later in zip(journals[at:], journals[at + 1 :], strict=False):
            if later.state.status != before.state.status:
                break
            by_another = later.user != self.bridge and (later.user != deed.person or deed.origin is None)
            if by_another and later.updated_at > later.created_at:
                return "a later activity may hide that somebody moved on"
        if self._field is not None:
            if any(when >= journals[0].created_at for when in chronicle.renamed):
                return "statuses were renamed, and a custom field can be read in their place"
            if printed(journals[at].updated_at) > printed(journals[at].created_at):
                return "an earlier form of the activity may have been a custom field's"
            if self._other_readings(ticket):
                return "a custom field can be read in its place"
        return None

    def _other_readings(self, ticket: Ticket) -> bool:
        """Whether the words of the activities also fit a history that did not happen, to the status of now."""
        here = {"": False}
        """Where the ticket may stand by what was read so far -> whether a wrong reading leads there."""
        before = None
        true_start = ""
        for journal in ticket.journals:
            lines = self._lines(before, journal.state)
            before = journal.state
            true_end = self._names[journal.state.status]
            following: dict[str, bool] = {}
            for status, wrong in here.items():
                ends = {new for old, new in lines if status in (old, ANY) or old == ANY}
                if status and not (journal.user == self.bridge and lines):
                    ends.add(status)
                for end in ends:
                    wrong_here = wrong or (status, end) != (true_start, true_end)
                    following[end] = following.get(end, False) or wrong_here
            here, true_start = following, true_end
        return here.get(true_start, False) or ANY in here

    def _lines(self, before: object, after: object) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for value in (self._status_of, self._field_of):
            old, new = value(before), value(after)
            if old != new:
                # A field that was cleared reads like a status that has vanished since; and a name that no status has
                # may be one that a status had before the bridge came, as 17.6 keeps what it has rendered (A.3).
                found.append((old if old in WHO or not old else ANY, new if new in WHO else ANY))
        return found

    def _status_of(self, state: object) -> str:
        return "" if state is None else self._names[state.status]  # type: ignore[attr-defined]

    def _field_of(self, state: object) -> str:
        return "" if state is None else dict(state.custom).get(self._field, "")  # type: ignore[attr-defined]


def printed(moment: datetime) -> datetime:
    """As OpenProject tells it: cut to milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

"""Third step of a cycle, and the one gate for every write: put an illegal move back, and explain it, exactly once.

The order is what makes it safe: the intent is on disk before anything leaves; the ticket is read before its activities,
and the PATCH carries the lockVersion of that first reading, so that whatever a person does in between makes it fail
(contract §6.2); the explanation comes after the revert, so that nobody reads a false claim (§6.6). A first try and the
clean-up after a crash are the same code: the server itself says how far things got, by the bridge's own activity and by
the marker in its comment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.domain.guards import HOUR, guard
from bridge.domain.model import (
    Illegal,
    Kind,
    Listed,
    Mode,
    StatusChange,
    Ticket,
    Undecided,
    WorkPackageId,
)
from bridge.domain.plan import Course
from bridge.domain.policy.rules import Reminder
from bridge.engine.explanation import Explanation, marker, render, render_checkpoint
from bridge.engine.judge import Judge, Place, Ruling
from bridge.engine.poll import Read
from bridge.openproject.tracker import ActivityReading, Conflict, Missing, Refused, Tracker, Written
from bridge.store.ledger import Intent, Ledger, Outcome, Standing, StoredAction

TRIES = 3
"""Conflicts in a row after which a ticket is left to the next cycle: somebody is working on it right now."""

PAST_IS_TOLD_FOR = timedelta(hours=24)
"""Community editions answer ``timestamps`` no further back than yesterday's start (contract §5)."""

PRINTED = timedelta(milliseconds=1)
"""Printed times are truncated to milliseconds (contract §2.3): one less is certainly before."""

PATIENCE = timedelta(days=1)
"""How long a revert that cannot be proven or explained yet is tried again, once a cycle: each costs three requests."""

LOCK_VERSION_OF_A_NEW_TICKET = 1
"""Where creation is saved twice (15.4, contract A.3)."""


class Result(StrEnum):
    """What became of one planned revert in this cycle."""

    DONE = "done"
    HELD = "held"
    """A guard, a pause or the mode leaves it for later."""
    MOVED_ON = "moved on"
    BUSY = "busy"
    REFUSED = "refused"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Acted:
    """One planned revert and what became of it."""

    action: StoredAction
    result: Result
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A ticket as it stands now, read in the order that the lockVersion protects."""

    ticket: Ticket
    activities: tuple[ActivityReading, ...]
    ruling: Ruling

    @property
    def course(self) -> Course:
        """What its activities say now."""
        return self.ruling.course


class Gate:
    """Lets reverts through to OpenProject, or says why not. Nothing else in the bridge writes there."""

    def __init__(
        self,
        tracker: Tracker,
        ledger: Ledger,
        judge: Judge,
        *,
        mode: Mode,
        paused: Callable[[], str | None],
        clock: Callable[[], datetime],
    ) -> None:
        """``paused`` gives the reason of a pause, and is asked before every write."""
        self._tracker = tracker
        self._ledger = ledger
        self._judge = judge
        self._mode = mode
        self._paused = paused
        self._clock = clock
        self._done = 0

    def intend(self, ruling: Ruling) -> None:
        """Write down what is to be put back, before anything leaves. A change that has an intent never gets another."""
        revert = ruling.course.revert
        if revert is None or revert.change.target is None or self._mode is not Mode.ENFORCE:
            return
        decision = self._ledger.decisions(ruling.place.work_package)[revert.change.key]
        self._ledger.intend(
            Intent(
                decision=decision.id,
                work_package=ruling.place.work_package,
                project=ruling.place.project,
                person=revert.change.actor,
                change=revert.change.key,
                origin=revert.change.target,
                to=revert.to,
            ),
            at=self._clock(),
        )

    def finish(self, action: StoredAction) -> Acted:
        """Carry an intent as far as it goes now. Raises RetryLater when the server does not answer: it stays open."""
        if not action.reverted and (reason := self._held(action)):
            return Acted(action, Result.HELD, reason)
        for _ in range(TRIES):
            if not self._ledger.claim(action.id, at=self._clock()):
                return Acted(action, Result.BUSY, "another process has it")
            try:
                acted = self._try(action)
            finally:
                self._ledger.release(action.id)
            if acted is not None:
                return acted
        return Acted(action, Result.BUSY, f"{TRIES} conflicts in a row: somebody is working on the ticket")

    def remind(self, standing: Standing, reminder: Reminder) -> bool:
        """Write a reminder once for as long as the ticket stands there. True when it is written, or was before.

        The marker in the ticket is what makes it once; only a comment is written, so nothing has to be intended first.
        """
        ticket = self._tracker.ticket(standing.work_package)
        activities = self._tracker.activities(standing.work_package)
        if isinstance(ticket, Missing) or isinstance(activities, Missing) or ticket.status != standing.status:
            return False
        sign = marker(f"{reminder.id}:{standing.decision}")
        language = self._judge.policy.language(self._judge.identifiers.get(standing.project, ""))
        return self._comment(standing.work_package, activities, sign, f"{reminder.sentence[language]}\n\n{sign}")

    def post_checkpoint(self, work_package: WorkPackageId, size: int, note: str) -> bool:
        """Give a signed note to whoever reads this ticket. True when it is there, or was before."""
        if self._mode is not Mode.ENFORCE:
            return False
        activities = self._tracker.activities(work_package)
        if isinstance(activities, Missing):
            return False
        text = render_checkpoint(self._judge.policy.language(""), size, self._judge.now, note)
        return self._comment(work_package, activities, marker(f"checkpoint-{size}"), text)

    def _comment(
        self, work_package: WorkPackageId, activities: Iterable[ActivityReading], sign: str, text: str
    ) -> bool:
        if self._is_signed(activities, sign):
            return True
        if self._paused():
            return False
        return not isinstance(self._tracker.comment(work_package, text), Refused | Missing)

    def _is_signed(self, activities: Iterable[ActivityReading], sign: str) -> bool:
        own = self._judge.server.user
        return any(a.activity.user == own and sign in a.activity.comment for a in activities)

    def _held(self, action: StoredAction) -> str | None:
        if self._mode is not Mode.ENFORCE:
            return "the bridge only observes"
        if reason := self._paused():
            return reason
        now, limits = self._judge.now, self._judge.policy.limits
        past = self._ledger.reverts_since(now - HOUR - limits.cool_down)
        return guard(action.work_package, action.project, action.person, past, self._done, limits, now)

    def _try(self, action: StoredAction) -> Acted | None:
        """One attempt; None after a conflict."""
        place = self._judge.place(action.work_package)
        if place is None:
            return self._end(action, Outcome.SUPERSEDED, "the ticket is no longer known", Result.MOVED_ON)
        fresh = self._look(place, self._instants(*self._judge.change(place, action.change)))
        if fresh is None:
            gone = "the ticket is no longer visible"
            return (
                self._unexplained(action)
                if action.reverted
                else self._end(action, Outcome.SUPERSEDED, gone, Result.MOVED_ON)
            )
        if action.reverted:
            return self._explain(action, fresh)
        if _has_landed(fresh.course, action):
            self._ledger.outcome(action.id, Outcome.REVERTED, "its answer was lost", at=self._clock())
            return self._explain(action, fresh)
        revert = fresh.course.revert
        if revert is None or revert.change.key != action.change or revert.to != action.to:
            last = fresh.course.judged[-1]
            if last.change.key == action.change and isinstance(last.verdict, Undecided):
                return self._hold(action, last.verdict.reason)
            self.intend(fresh.ruling)  # for the next cycle, which may not read this ticket again
            return self._end(action, Outcome.SUPERSEDED, "somebody has moved the ticket since", Result.MOVED_ON)
        if fresh.ticket.status != revert.change.target:
            # Somebody moved it between the two readings, or a custom field deceives: the next cycle will see.
            return self._hold(action, "the ticket does not stand where its activities say")
        if doubt := self._unproven(fresh, revert.change):
            return self._end(action, Outcome.GIVEN_UP, doubt, Result.UNPROVEN)
        if reason := self._paused():
            return Acted(action, Result.HELD, reason)
        return self._write(action, fresh)

    def _write(self, action: StoredAction, fresh: _Fresh) -> Acted | None:
        """The PATCH, and what follows from its answer; None after a conflict."""
        ticket = fresh.ticket
        answer = self._tracker.put_status(ticket.id, ticket.lock_version, action.to, notify=False)
        match answer:
            case Written():
                proof = "timestamps" if ticket.status_at else "chain"
                self._ledger.outcome(action.id, Outcome.REVERTED, f"proven by {proof}", at=self._clock())
                self._done += 1
                return self._explain(action, fresh)
            case Conflict():
                self._ledger.outcome(action.id, Outcome.CONFLICT, "", at=self._clock())
                return None
            case Refused(identifier, attribute, message):
                detail = f"OpenProject refuses: {identifier} {attribute} {message}"
                return self._end(action, Outcome.REFUSED, detail, Result.REFUSED)
            case Missing():
                return self._end(action, Outcome.SUPERSEDED, "the ticket is no longer visible", Result.MOVED_ON)

    def _hold(self, action: StoredAction, reason: str) -> Acted:
        """Leave it to the next cycle; but not for ever."""
        if self._judge.now - action.intended_at < PATIENCE:
            return Acted(action, Result.HELD, reason)
        return self._end(action, Outcome.GIVEN_UP, reason, Result.UNPROVEN)

    def _end(self, action: StoredAction, outcome: Outcome, detail: str, result: Result) -> Acted:
        self._ledger.outcome(action.id, outcome, detail, at=self._clock())
        return Acted(action, result, detail)

    # --- Looking again ---

    def _look(self, place: Place, instants: Sequence[datetime]) -> _Fresh | None:
        """The ticket first, its activities after: what moves in between fails on the lockVersion."""
        ticket = self._tracker.ticket(place.work_package, instants)
        if isinstance(ticket, Missing):
            return None
        if self._tracker.status_like_fields(ticket.schema):
            self._judge.ambiguous.add(ticket.project)
        activities = self._tracker.activities(place.work_package)
        if isinstance(activities, Missing):
            return None
        listed = Listed(ticket.id, ticket.project, ticket.status, ticket.type)
        (ruling,) = self._judge.take([Read(listed, activities, ticket)])
        return _Fresh(ticket, activities, ruling)

    # --- Proof ---

    def _instants(self, change: StatusChange | None, before: StatusChange | None) -> tuple[datetime, ...]:
        """The past to ask for: the second in which the activity began. What came after is told by the status of now.

        The server counts in whole seconds, whatever it is asked for (recording 17): where the change before happened
        in that very second, it cannot tell the two apart, and the chain has to do.
        """
        if change is None or not self._judge.server.timestamps:
            return ()
        second = ((change.began or change.earliest) - PRINTED).replace(microsecond=0)
        if second < self._judge.now - PAST_IS_TOLD_FOR or (before is not None and before.latest >= second):
            return ()
        return (second,)

    def _unproven(self, fresh: _Fresh, change: StatusChange) -> str | None:
        """Why the move is not proven well enough to act on; None when it is."""
        if any(told != change.began_in for told in fresh.ticket.status_at.values()):
            return "the server remembers another status before this move than its activities tell"
        if change.kind is Kind.CREATION and change.maybe_merged and not self._is_untouched(fresh):
            return "the ticket may have been moved right after its creation"
        return None

    def _is_untouched(self, fresh: _Fresh) -> bool:
        """Whether a ticket that was saved twice at its creation has not been saved again."""
        return fresh.ticket.lock_version == LOCK_VERSION_OF_A_NEW_TICKET

    # --- Explaining ---

    def _explain(self, action: StoredAction, fresh: _Fresh) -> Acted:
        """The comment, unless its marker is there already."""
        sign = marker(action.decision)
        if not self._is_signed(fresh.activities, sign):
            answer = self._tracker.comment(action.work_package, self._text(action, fresh.course))
            if isinstance(answer, Refused):
                detail = f"put back, but the explanation was refused: {answer.identifier} {answer.message}"
                return self._end(action, Outcome.GIVEN_UP, detail, Result.REFUSED)
            if isinstance(answer, Missing):
                if isinstance(self._tracker.ticket(action.work_package), Missing):
                    return self._unexplained(action)
                detail = "put back, but the explanation was refused: the bridge may not comment here"
                return self._end(action, Outcome.GIVEN_UP, detail, Result.REFUSED)
        self._ledger.outcome(action.id, Outcome.EXPLAINED, "", at=self._clock())
        return Acted(action, Result.DONE)

    def _unexplained(self, action: StoredAction) -> Acted:
        """Out of sight after it was put back: it is explained as soon as it is seen again."""
        now = self._judge.now
        if now - (action.reverted_at or now) < PATIENCE:
            return Acted(action, Result.HELD, "put back, and not explained yet: the ticket is no longer visible")
        detail = "put back, and never explained: the ticket is no longer visible"
        return self._end(action, Outcome.GIVEN_UP, detail, Result.MOVED_ON)

    def _text(self, action: StoredAction, course: Course) -> str:
        judge, policy = self._judge, self._judge.policy
        decision, objection = self._ledger.decided(action.id)
        project = judge.identifiers.get(action.project, str(action.project))
        place = judge.place(action.work_package)
        type_ = place.type if place is not None else ""
        language = policy.language(project)
        to = judge.spelling[action.to]
        alternatives = (
            policy.alternatives(decision.party, to, course.visited, project=project, type=type_, at=judge.now)
            if decision.party
            else ()
        )
        judged = next((one for one in course.judged if one.change.key == action.change), None)
        rule = policy.rule(objection.rule)
        at = judged.change.latest if judged is not None else decision.decided_at
        return render(
            Explanation(
                language=language,
                person=self._ledger.person_name(action.person) or "" if action.person is not None else "",
                created=decision.kind is Kind.CREATION,
                origin=judge.spelling[action.origin],
                to=to,
                sentence=objection.sentence[language],
                parties=[policy.party(party).label[language] for party in objection.allowed_parties],
                alternatives=alternatives,
                appeal=policy.appeal_word,
                guide=policy.guide_url,
                decision=action.decision,
                exception=rule.exception_in(project, at) if rule is not None else None,
                exempted=judged is not None and isinstance(judged.verdict, Illegal) and bool(judged.verdict.exemption),
            )
        )


def _has_landed(course: Course, action: StoredAction) -> bool:
    """Whether the bridge's own activity shows that the revert was made."""
    keys = [judged.change.key for judged in course.judged]
    if action.change not in keys:
        return False
    after = course.judged[keys.index(action.change) + 1 :]
    return any(j.own and j.change.origin == action.origin and j.change.target == action.to for j in after)

"""Sentences that are kept in English (why undecided, why paused, what became of a revert), for French readers.

A sentence that is not among them is shown as it is. A test finds those that the program can write and this lacks.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bridge.reports.language import Language


def sentence(text: str) -> str:
    """Mark a message for the catalogue without translating it."""
    return text


SENTENCES = (
    sentence("a later activity was saved several times: it may hide a move on, and back"),
    sentence("an earlier form of the activity can be read in several ways"),
    sentence("no activity shows this change"),
    sentence("the activity can be read in several ways (a custom field carries the status' label, or names changed)"),
    sentence("the activity does not follow from the status before it"),
    sentence("the activity has several lines with the status' label"),
    sentence("the activity names a status that the server does not know (any more)"),
    sentence("the change does not say who moved the ticket, or where to"),
    sentence("the first activity does not say in which status the ticket was created"),
    sentence("the memberships have not been read since the move"),
    sentence("the person holds no role in this project that the bridge can see"),
    sentence("the person holds no role of a party in this project"),
    sentence("the person is no member of this project"),
    sentence("the person's roles changed around the time of the move"),
    sentence("the policy does not know this status"),
    sentence("the policy knows no party {party}"),
    sentence("the policy knows no status {status}"),
    sentence("the ticket has changed project since, the roles of then are not known"),
    sentence("the ticket has no custom field {field}"),
    sentence("the ticket's assignee is not known"),
    sentence("the ticket's author is not known"),
    sentence("the ticket's custom fields are not known"),
    sentence("the ticket's type is not known"),
    sentence("the ticket may legally have been there before: not all its moves can be told"),
    sentence("who moved the ticket is not known"),
    sentence("who set {status} is not known"),
    # Why a move is allowed
    sentence("exemption {exemption}"),
    sentence("no change of status"),
    sentence("puts the ticket back where it legally was"),
    sentence("reopening"),
    sentence("the bridge's own move"),
    # What became of a revert
    sentence("OpenProject refuses: {answer}"),
    sentence("proven by chain"),
    sentence("proven by timestamps"),
    sentence("put back, but the explanation was refused: the bridge may not comment here, or the ticket is gone"),
    sentence("put back, but the explanation was refused: {answer}"),
    sentence("somebody has moved the ticket since"),
    sentence("the server remembers another status before this move than its activities tell"),
    sentence("the ticket does not stand where its activities say"),
    sentence("the ticket is no longer known"),
    sentence("the ticket is no longer visible"),
    sentence("the ticket may have been moved right after its creation"),
    # Why nothing is put back now
    sentence("paused by {who} in the dashboard on {time}: {reason}"),
    sentence("paused by {who} in the dashboard on {time}"),
    sentence("paused by {who} on {time}: {reason}"),
    sentence("paused by {who} on {time}"),
    sentence("paused without a reason"),
    sentence("the bridge only observes"),
    sentence("the control ticket cannot be read: {error}"),
    sentence("the control ticket {ticket} cannot be seen"),
    sentence("the control ticket {ticket} is closed"),
    sentence("the limit is {limit} reverts in an hour; it was reached less than {time} ago"),
    sentence("the limit is {limit} reverts in one cycle"),
    sentence("the limit is {limit} reverts in one project in an hour; it was reached less than {time} ago"),
    sentence("the limit is {limit} reverts of one person's moves in an hour; it was reached less than {time} ago"),
    sentence("the limit is {limit} reverts of one ticket in an hour; it was reached less than {time} ago"),
    sentence("the record is broken: {what}"),
    sentence("{reverts} of {moves} moves in one cycle would be put back: more than {share}"),
    # Why a ticket is out of sight
    sentence("deleted, or moved to a project that the bridge cannot see"),
    sentence("its project is no longer visible: archived, or the bridge is not a member any more"),
    sentence("the server no longer shows it"),
)


def translated(text: str, language: Language) -> str:
    """A sentence of the ledger in the reader's language; several, separated by semicolons, one by one."""
    if not text or language.code == "en":
        return text
    for pattern, message in _patterns():
        if match := pattern.fullmatch(text):
            return language.text(message, **match.groupdict())
    parts = text.split("; ")
    return language.semicolon.join(translated(part, language) for part in parts) if len(parts) > 1 else text


def known(text: str) -> bool:
    """Whether a sentence is among those that are translated."""
    return any(pattern.fullmatch(text) for pattern, _ in _patterns())


@lru_cache(1)
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    def pattern(message: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(message)), re.DOTALL)

    return tuple((pattern(message), message) for message in SENTENCES)

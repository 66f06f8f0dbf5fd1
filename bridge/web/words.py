"""Recorded events, told to readers."""

from __future__ import annotations

from bridge.reports.reasons import translated
from bridge.store.rows import Event
from bridge.store.schema import EntryKind
from bridge.web.language import Voice


def event_words(event: Event, voice: Voice) -> str:
    """What was recorded, in one sentence. Details that people wrote are for the template to clean."""
    language, details = voice.pages, event.details
    text = language.text
    who = details.get("by") or text("somebody")
    reason = translated(str(details.get("reason", "")), voice.reports)
    if event.kind is EntryKind.MISSED:
        count = details.get("cycles")
        return language.plural(
            "{count} cycle was missed", "{count} cycles were missed", count if isinstance(count, int) else 1
        )
    told = {
        EntryKind.PAUSE: text("{who} paused the bridge", who=who),
        EntryKind.RESUME: text("{who} let the bridge go on", who=who),
        EntryKind.BREAKER: text("The bridge stopped itself: {reason}", reason=reason),
        EntryKind.POLICY: text("Policy version {version} came into use", version=str(details.get("hash", ""))[:12]),
        EntryKind.CLOCK: text("The clock was found set back"),
        EntryKind.APPEAL: text("Decision {decision} was contested in a comment", decision=details.get("decision", "")),
        EntryKind.HOLD: text("A revert was held back: {reason}", reason=reason),
        EntryKind.UNREADABLE: text("The ticket could not be read: {reason}", reason=reason),
        EntryKind.START: text("The bridge started"),
        EntryKind.STOP: text("The bridge stopped"),
    }
    return told.get(event.kind, event.kind.value)

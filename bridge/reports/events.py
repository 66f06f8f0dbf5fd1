"""What was recorded besides verdicts and reverts, in the reader's words."""

from __future__ import annotations

from bridge.reports.language import Language
from bridge.reports.reasons import translated
from bridge.store.rows import Event
from bridge.store.schema import EntryKind


def name(event: Event, language: Language) -> str:
    """What kind of thing happened."""
    text = language.text
    names = {
        EntryKind.START: text("start"),
        EntryKind.STOP: text("stop"),
        EntryKind.CYCLE: text("cycle"),
        EntryKind.MISSED: text("missed cycles"),
        EntryKind.UNREADABLE: text("unreadable ticket"),
        EntryKind.HOLD: text("revert held back"),
        EntryKind.BREAKER: text("circuit breaker"),
        EntryKind.PAUSE: text("pause"),
        EntryKind.RESUME: text("end of a pause"),
        EntryKind.POLICY: text("another policy"),
        EntryKind.SETTINGS: text("other settings"),
        EntryKind.EXEMPTION: text("exemption"),
        EntryKind.APPEAL: text("decision contested"),
        EntryKind.REMINDER: text("reminder"),
        EntryKind.REPORT: text("report sent"),
        EntryKind.EXPORT: text("export"),
        EntryKind.LOGIN: text("sign-in"),
        EntryKind.RESTORE: text("restored from a backup"),
        EntryKind.ACKNOWLEDGEMENT: text("acknowledged"),
        EntryKind.CLOCK: text("clock set back"),
        EntryKind.BEAT: text("checkpoint"),
        EntryKind.PUBLICATION: text("checkpoint given out"),
        EntryKind.KEY: text("signing key"),
        EntryKind.ROLES_READ: text("memberships read"),
        EntryKind.RETENTION: text("old entries removed"),
        EntryKind.LEGAL_HOLD: text("legal hold"),
    }
    return names.get(event.kind, event.kind.value)


def details(event: Event, language: Language) -> str:
    """Its particulars, as the ledger has them."""
    text = language.text
    names = {
        "action": text("action"),
        "activity": text("activity"),
        "breaker": text("circuit breaker"),
        "busy": text("to be tried again"),
        "by": text("by"),
        "cycles": text("cycles"),
        "decided": text("moves judged"),
        "decision": text("decision"),
        "done": text("put back"),
        "format": text("format"),
        "gone": text("tickets gone out of sight"),
        "hash": text("version"),
        "held": text("held back"),
        "illegal": text("illegal moves"),
        "listed": text("tickets listed"),
        "matter": text("about"),
        "mode": text("mode"),
        "moved_on": text("lost race"),
        "period": text("period"),
        "person": text("person"),
        "polls_done": text("polls done"),
        "polls_missed": text("polls missed"),
        "read": text("tickets read"),
        "reason": text("reason"),
        "refused": text("refused by OpenProject"),
        "reminder": text("reminder"),
        "report": text("report"),
        "requests": text("requests"),
        "snapshot": text("comparison with every visible ticket"),
        "undecided": text("moves not judged"),
        "unproven": text("not proven"),
        "unreadable": text("failed readings"),
        "unreadable_projects": text("unreadable projects"),
        "written": text("written"),
    }

    def said(key: str, value: object) -> str:
        if isinstance(value, bool):
            return text("yes") if value else text("no")
        return translated(str(value)[:12] if key == "hash" else str(value), language)

    return ", ".join(
        f"{names.get(key, key)}{language.colon}{said(key, value)}"
        for key, value in event.details.items()
        if key != "at" and value is not None and not isinstance(value, list | dict)
    )

"""How things stand now, as far as the ledger knows: for ``bridge status``, beside what the heartbeat says."""

from __future__ import annotations

from datetime import datetime

from bridge.reports.desk import Desk
from bridge.reports.values import Fact


def standing(desk: Desk) -> tuple[Fact, ...]:
    """What has been read and until when, what waits to be put back, what is enforced, what proves it all."""
    language, text = desk.language, desk.language.text
    view = desk.source.snapshot.overview()

    def when(at: datetime | None) -> str:
        if at is None:
            return text("never")
        return text("{time}, {age} ago", time=language.time(at), age=language.duration(desk.now - at))

    verdicts = desk.source.snapshot.verdicts()
    illegal, undecided = verdicts.get("illegal", 0), verdicts.get("undecided", 0)
    rules = {row.rule for row in view.enforced}
    return (
        Fact("data", text("Read up to"), when(view.watermark)),
        Fact("cycle", text("Last recorded cycle"), when(view.last_cycle.at if view.last_cycle else None)),
        Fact(
            "snapshot",
            text("Last comparison with all tickets"),
            when(view.last_snapshot.at if view.last_snapshot else None),
        ),
        Fact(
            "tickets",
            text("Tickets"),
            text(
                "{count}, {vanished} out of sight, {unsynced} not read",
                count=language.number(view.tickets),
                vanished=language.number(view.vanished),
                unsynced=language.number(view.unsynced),
            ),
        ),
        Fact(
            "moves",
            text("Moves"),
            text(
                "{count}, {illegal} illegal, {undecided} not judged",
                count=language.number(sum(verdicts.values())),
                illegal=language.number(illegal),
                undecided=language.number(undecided),
            ),
        ),
        Fact("open", text("To be put back"), language.number(len(view.open_actions))),
        Fact("enforced", text("Rules in force"), language.number(len(rules))),
        Fact("entries", text("Ledger entries"), language.number(view.entries)),
        Fact("checkpoint", text("Last checkpoint"), when(view.checkpoint.at if view.checkpoint else None)),
    )

"""Brings reports that are due to a folder and to mailboxes, and remembers what it brought.

What was brought last is kept in a small file, so that nothing comes twice, and a machine that slept brings what it
missed: the last period, not all of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from bridge.errors import ConfigError
from bridge.reports import comparison, render_text
from bridge.reports.desk import Desk
from bridge.reports.mail import Attachment, Mailbox, send
from bridge.reports.period import Period
from bridge.reports.render import FORMATS, file_name, render
from bridge.reports.scheduled import Schedule, due


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was brought where."""

    schedule: str
    period: Period
    files: tuple[Path, ...]
    mailed: tuple[str, ...]
    refused: tuple[str, ...]
    """Addresses that the mail server did not take."""

    def facts(self) -> dict[str, object]:
        """For the log and the ledger."""
        return {
            "report": self.schedule,
            "period": str(self.period),
            "files": len(self.files),
            "mailed": len(self.mailed),
            "refused": len(self.refused),
        }


Desks = Callable[[Schedule, Period], AbstractContextManager[Desk]]
"""Opens a desk on a fresh snapshot of the ledger, in the schedule's language and for its projects."""


def deliver(schedule: Schedule, period: Period, desks: Desks, root: Path, box: Mailbox | None) -> Delivery:
    """Make the reports of a schedule and bring them. ``root`` is where a relative folder lies.

    Raises ConfigError for what only the operator can change, RetryLater when the mail server does not answer.
    """
    if schedule.mail and box is None:
        raise ConfigError(f"the schedule {schedule.name} goes by mail, and the reports file has no section 'mail'")
    files: list[Attachment] = []
    with desks(schedule, period) as desk:
        reports = [comparison.compared(name, desk) for name in schedule.reports]
        for report in reports:
            for form in schedule.formats:
                name = file_name(report, form, period)
                files.append(Attachment(name, render(report, desk.language, form), FORMATS[form]))
        summary = "\n\n".join(render_text.headlines(report, desk.language) for report in reports)
        now = desk.now
    written = _write(files, root / schedule.folder) if schedule.folder is not None else []
    refused: tuple[str, ...] = ()
    if box is not None and schedule.mail:
        subject = f"{', '.join(report.title for report in reports)} \N{EN DASH} {reports[0].period}"
        refused = send(box, schedule.mail, subject, summary, files, now=now)
    mailed = tuple(address for address in schedule.mail if address not in refused)
    return Delivery(schedule.name, period, tuple(written), mailed, refused)


def deliver_due(
    schedules: Iterable[Schedule],
    now: datetime,
    zone: ZoneInfo,
    brought: Brought,
    desks: Desks,
    root: Path,
    box: Mailbox | None,
) -> Iterator[Delivery]:
    """Bring whatever is due, one schedule after the other, and remember each.

    Raises as ``deliver`` and goes no further then; what has been brought stays remembered.
    """
    for schedule in schedules:
        period = due(schedule, now, brought.last(schedule.name), zone)
        if period is not None:
            delivery = deliver(schedule, period, desks, root, box)
            brought.note(schedule.name, period.last)
            yield delivery


def _write(files: Iterable[Attachment], folder: Path) -> list[Path]:
    """Each file appears whole or not at all: a web server may look at the folder."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in files:
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(each.content)
            Path(temporary).chmod(0o640)  # the state directory's own permissions say who may come here
            Path(temporary).replace(folder / each.name)
            written.append(folder / each.name)
    except OSError as error:
        raise ConfigError(f"reports cannot be written to {folder}: {error.strerror}") from None
    return written


# --- What was brought last ------------------------------------------------------------------------------------------


class Brought:
    """Which period each schedule brought last: a small file, written whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self, schedule: str) -> date | None:
        """The last day of the period that was brought last. A file that cannot be read counts as none."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8")).get(schedule)
            return None if told is None else date.fromisoformat(told)
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def note(self, schedule: str, last: date) -> None:
        """Remember. Raises ConfigError where the file cannot be written."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = {}
        told = {**told, schedule: last.isoformat()} if isinstance(told, dict) else {schedule: last.isoformat()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".new")
            temporary.write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None

"""Every localised spelling of OpenProject's activities, once: labels, sentences, notes, in French and English.

A line is a candidate and never a fact: a custom field may carry the status' label (contract A.3, recording 16). The
``html`` form is preferred, because it marks the values whatever the language and escapes what people typed (§3.2).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.domain.model import StatusLine

LANGUAGES = frozenset({"fr", "en"})
"""Languages of the reading account in which this module knows the labels."""

STATUS_LABELS = frozenset({"Statut", "Status"})
_TYPE_LABELS = frozenset({"Type"})
_PROJECT_LABELS = frozenset({"Projet", "Project"})
_LABELS = "|".join(sorted(STATUS_LABELS | _TYPE_LABELS | _PROJECT_LABELS))

# "changed from", "set to" and "deleted": two values, one value, one value struck through. Values are escaped, so that
# they hold no tag of their own; a long pair has a line break in between (contract A.3).
_HTML = re.compile(
    rf"<strong>({_LABELS})</strong> [^<]*"
    r"(?:<i>([^<]*)</i>(?:\s*(?:<br ?/?>)?[^<]*<i>([^<]*)</i>)?|<strike><i>([^<]*)</i></strike>\))"
)
_RAW_CHANGED = re.compile(rf"({_LABELS}) (?:changé de|changed from) (.*)", re.DOTALL)
_RAW_BETWEEN = re.compile(r"\s(?:à|to) ")
_RAW_SET = re.compile(rf"({_LABELS}) (?:mis à|set to) (.*)", re.DOTALL)
_RAW_DELETED = re.compile(rf"({_LABELS}) (?:supprimé|deleted) \((.*)\)", re.DOTALL)

_RETRACTED = frozenset({"_Les modifications ont été retirées._", "_The changes were retracted._"})
_AUTOMATIC = re.compile(
    r"_(?:Mis à jour automatiquement en changeant les valeurs dans le lot de travaux enfant"
    r"|Updated automatically by changing values within child work package) \S+_"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an activity's lines say about the attributes that the bridge follows."""

    status_lines: tuple[StatusLine, ...]
    type_changed: bool
    project_changed: bool


_NOTHING = Reading((), type_changed=False, project_changed=False)


def read(details: Iterable[tuple[str, str]]) -> Reading:
    """The lines of one activity, each as its ``raw`` and its ``html`` form.

    Where no label is marked up, ``raw`` must do; there a name that holds "à" or "to" can be cut in several places, and
    every way to cut it is a candidate. A type or project that was *set* belongs to the creation; one that *changed*
    counts here.
    """
    status: list[StatusLine] = []
    type_changed = project_changed = False
    for raw, markup in details:
        if "<strong>" in markup:
            match = _HTML.fullmatch(markup)
            if match is None:
                continue
            candidates: Iterable[tuple[str, StatusLine]] = (_marked_up(match),)
        else:
            candidates = _raw_candidates(raw)
        for label, line in candidates:
            if label in STATUS_LABELS:
                status.append(line)
            elif line.old is not None and line.new is not None:
                type_changed = type_changed or label in _TYPE_LABELS
                project_changed = project_changed or label in _PROJECT_LABELS
    if not status and not type_changed and not project_changed:
        return _NOTHING
    return Reading(tuple(status), type_changed, project_changed)


def _marked_up(match: re.Match[str]) -> tuple[str, StatusLine]:
    label, first, second, removed = match.groups()
    if removed is not None:
        return label, StatusLine(html.unescape(removed), None)
    if second is not None:
        return label, StatusLine(html.unescape(first), html.unescape(second))
    return label, StatusLine(None, html.unescape(first))


def _raw_candidates(raw: str) -> Iterator[tuple[str, StatusLine]]:
    if match := _RAW_CHANGED.fullmatch(raw):
        label, values = match.groups()
        for cut in _RAW_BETWEEN.finditer(values):
            yield label, StatusLine(values[: cut.start()], values[cut.end() :])
    elif match := _RAW_SET.fullmatch(raw):
        yield match[1], StatusLine(None, match[2])
    elif match := _RAW_DELETED.fullmatch(raw):
        yield match[1], StatusLine(match[2], None)


def is_status_label(name: str) -> bool:
    """True when a custom field of this name gives lines that cannot be told from the status'."""
    return name in STATUS_LABELS


def is_retracted(comment: str) -> bool:
    """True for OpenProject's own note that an activity's changes were taken back (contract §3.6)."""
    return comment in _RETRACTED


def is_automatic(comment: str) -> bool:
    """True for OpenProject's own note on a parent, signed by whoever changed the child (contract §3.7)."""
    return _AUTOMATIC.fullmatch(comment) is not None

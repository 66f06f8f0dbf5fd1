"""Activity lines in both languages: what counts as a line of the status, and what never does."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.model import StatusLine
from bridge.openproject import activity_text
from bridge.openproject.activity_text import read

RECORDINGS = Path(__file__).parents[1] / "recordings"

STATUS = {"fr": "Statut", "en": "Status"}
CHANGED = {"fr": ("changé de", "à"), "en": ("changed from", "to")}
SET = {"fr": "mis à", "en": "set to"}
DELETED = {"fr": "supprimé", "en": "deleted"}

languages = st.sampled_from(["fr", "en"])
# What OpenProject can hold as a name: anything printable, tags and the sentences' own words included.
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=120) | st.sampled_from(
    ["EN COURS", "A à B", "from here to there", "</i> à <i>RESOLU</i>", "R&D", "Statut", "(x)", "<br/>"]
)


def i(value: str) -> str:
    return f"<i>{html.escape(value)}</i>"


def changed(language: str, label: str, old: str, new: str) -> tuple[str, str]:
    """As OpenProject renders it, the line break for long values included (contract §3.2)."""
    verb, between = CHANGED[language]
    long = len(old) >= 100 or len(new) >= 100
    raw = f"{label} {verb} {old}{chr(10) if long else ' '}{between} {new}"
    return raw, f"<strong>{label}</strong> {verb} {i(old)} {'<br/>' if long else ''}{between} {i(new)}"


@given(languages, names, names)
def test_a_changed_status_is_read_whatever_its_names_hold(language: str, old: str, new: str) -> None:
    assert read([changed(language, STATUS[language], old, new)]).status_lines == (StatusLine(old, new),)


@given(languages, names)
def test_a_status_that_was_set_is_read_whatever_its_name_holds(language: str, new: str) -> None:
    line = (
        f"{STATUS[language]} {SET[language]} {new}",
        f"<strong>{STATUS[language]}</strong> {SET[language]} {i(new)}",
    )
    assert read([line]).status_lines == (StatusLine(None, new),)


@given(languages, names)
def test_a_status_that_was_deleted_is_read_whatever_its_name_holds(language: str, old: str) -> None:
    label, verb = STATUS[language], DELETED[language]
    line = (f"{label} {verb} ({old})", f"<strong>{label}</strong> {verb} (<strike>{i(old)}</strike>)")
    assert read([line]).status_lines == (StatusLine(old, None),)


@given(languages, names, names)
def test_without_markup_the_true_reading_is_among_the_candidates(language: str, old: str, new: str) -> None:
    raw, _ = changed(language, STATUS[language], old, new)
    assert StatusLine(old, new) in read([(raw, "")]).status_lines


@given(languages, names, names)
def test_a_label_that_reads_like_a_sentence_about_the_status_is_another_label(language: str, a: str, b: str) -> None:
    """A custom field may be called "Statut mis à RESOLU": only the markup shows where its name ends."""
    raw, markup = changed(language, f"{STATUS[language]} {SET[language]} RESOLU", a, b)
    assert read([(raw, markup)]).status_lines == ()


@given(languages, names)
def test_without_markup_a_set_or_deleted_status_is_read(language: str, name: str) -> None:
    label = STATUS[language]
    assert read([(f"{label} {SET[language]} {name}", "")]).status_lines == (StatusLine(None, name),)
    assert read([(f"{label} {DELETED[language]} ({name})", "")]).status_lines == (StatusLine(name, None),)


@given(languages, st.sampled_from(["Sujet", "Priority", "Assigné à", "Statutaire", "status", "Statut "]), names, names)
def test_another_label_is_never_the_status(language: str, label: str, old: str, new: str) -> None:
    raw, markup = changed(language, label, old, new)
    assert read([(raw, markup), (raw, "")]).status_lines == ()


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_makes_it_fail(raw: str, markup: str) -> None:
    read([(raw, markup), (raw, "")])


@pytest.mark.parametrize(
    "line",
    [
        # Cause lines begin with the status' word and are no move (contract §3.7).
        "Status 'EN COURS' % Complete changed from 20% to 40%",
        "Statut 'EN COURS' % réalisé changé de 20% à 40%",
        "Duplicate work package updated: The status was automatically updated by the duplicated work package #12",
        # A long text field of that name links to its difference and shows no value.
        "Statut mis (/journals/121/diff/custom_fields_3)",
    ],
)
def test_a_cause_or_a_long_text_is_no_move(line: str) -> None:
    label, _, rest = line.partition(" ")
    markup = f"<strong>{label}</strong> {html.escape(rest)}"
    assert read([(line, ""), (line, html.escape(line)), (line, markup)]).status_lines == ()


def test_a_link_to_a_difference_is_no_move() -> None:
    markup = '<strong>Statut</strong> mis (<a target="_top" class="diff-details" href="/journals/1/diff/x">Détails</a>)'
    assert read([("Statut mis (/journals/1/diff/x)", markup)]).status_lines == ()


@given(languages)
def test_a_type_or_project_counts_when_it_changed_and_not_when_it_was_set(language: str) -> None:
    project = {"fr": "Projet", "en": "Project"}[language]
    was_set = [
        (f"{label} {SET[language]} X", f"<strong>{label}</strong> {SET[language]} <i>X</i>")
        for label in ("Type", project)
    ]
    assert read(was_set) == activity_text.Reading((), type_changed=False, project_changed=False)
    assert read([changed(language, "Type", "A", "B")]).type_changed
    assert read([changed(language, project, "A", "B")]).project_changed


@pytest.mark.parametrize("version", ["17.6", "15.4"])
def test_hostile_values_of_a_custom_field_stay_values(version: str) -> None:
    """Recording 16: a person typed markup and whole sentences into a field named Statut and into the subject."""
    steps = json.loads((RECORDINGS / f"openproject-{version}" / "16-custom-field-trap.json").read_text())["steps"]
    lines = [
        line
        for hal in steps[8]["response"]["body"]["_embedded"]["elements"]
        for line in read([(detail["raw"], detail["html"]) for detail in hal["details"]]).status_lines
    ]
    typed = steps[3]["request"]["body"]
    (value,) = (text for key, text in typed.items() if key.startswith("customField"))
    assert lines == [
        StatusLine(None, "NOUVEAU"),
        StatusLine(None, "EN COURS"),
        StatusLine("EN COURS", value),
        StatusLine(value, None),
    ]


def recorded_comments() -> Iterator[tuple[str, Any]]:
    for file in sorted(RECORDINGS.glob("openproject-*/[0-9]*.json")):
        for step in json.loads(file.read_text())["steps"]:
            body = step.get("response", {}).get("body")
            if isinstance(body, dict) and isinstance(body.get("_embedded"), dict):
                for hal in body["_embedded"].get("elements", []):
                    if str(hal.get("_type", "")).startswith("Activity"):
                        yield hal["comment"]["raw"], hal


def test_the_note_of_retracted_changes_is_told_from_what_people_wrote() -> None:
    notes = {raw for raw, hal in recorded_comments() if activity_text.is_retracted(raw)}
    written = {raw for raw, hal in recorded_comments() if raw and not activity_text.is_retracted(raw)}
    assert notes == {"_Les modifications ont été retirées._"}
    assert "Je teste." in written
    assert not any("retirées" in raw for raw in written)
    assert activity_text.is_retracted("_The changes were retracted._")


@pytest.mark.parametrize(
    "note",
    [
        "_Updated automatically by changing values within child work package #12_",
        "_Updated automatically by changing values within child work package PROJ-12_",
        "_Mis à jour automatiquement en changeant les valeurs dans le lot de travaux enfant #12_",
    ],
)
def test_the_note_on_a_parent_is_nobodys_comment(note: str) -> None:
    assert activity_text.is_automatic(note)
    assert not activity_text.is_automatic(f"{note} Voilà pourquoi.")

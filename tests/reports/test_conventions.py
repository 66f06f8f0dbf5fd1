"""The reports file is read as strictly as the policy, and without it everything follows from the policy."""

from __future__ import annotations

import json
import re
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from bridge.domain.model import StatusName
from bridge.errors import ConfigError, PolicyError
from bridge.reports import conventions
from bridge.reports.catalog import REPORTS
from bridge.reports.conventions import FORMATS
from bridge.reports.mail import Security
from bridge.reports.render import FORMATS as RENDERED
from bridge.reports.scheduled import Every
from bridge.reports.titles import NAMES
from tests.reports.schemas import published
from tests.reports.world import CEGAPE, CONFIG, POLICY

SHIPPED = (CONFIG / "reports.yaml").read_text(encoding="utf-8")


def complaints(text: str) -> list[str]:
    with pytest.raises(PolicyError) as error:
        conventions.load(text, "reports.yaml", POLICY)
    return str(error.value).splitlines()


def test_the_shipped_file_knows_cegapes_desk() -> None:
    assert CEGAPE.zone.key == "Europe/Paris"
    assert CEGAPE.resolved == {"RESOLU"}
    assert CEGAPE.paused == {"NECESSITE CLARIFICATION", "EN ATTENTE"}
    assert CEGAPE.waits_on[StatusName("EN COURS DE TEST")] == "client"
    assert CEGAPE.answers == "cegape"
    assert "EN ATTENTE" not in CEGAPE.waits_on


def test_without_a_file_closed_means_resolved_and_the_party_that_is_not_put_back_answers(tmp_path: Path) -> None:
    held = conventions.beside(tmp_path / "policy.yaml", POLICY)
    assert held.origin == ""
    assert held.resolved == POLICY.closed
    assert held.answers == "cegape"
    assert held.taken_up == frozenset(POLICY.statuses) - POLICY.closed - {POLICY.initial}
    assert (held.paused, dict(held.waits_on), held.reasons) == (frozenset(), {}, frozenset())


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "reports.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"reports\.yaml cannot be read"):
        conventions.beside(tmp_path / "policy.yaml", POLICY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Europe/Paris", "Europe/Pari", "no time zone"),
        ("09:00-12:30", "12:30-09:00", "ends before it begins"),
        ('"13:30-17:30"', '"12:00-17:30"', "overlap"),
        ("country: FR", "country: ZZ", "no public holidays"),
        ("answers: cegape", "answers: cegappe", "did you mean 'cegape'"),
        ("resolved: RESOLU", "resolved: RESOLUE", "did you mean 'RESOLU'"),
        ("client: [NECESSITE", "client: [NOUVEAU, NECESSITE", "NOUVEAU waits on cegape already"),
        ("within: 15 minutes", "within: a while", "expected a duration"),
        ("repeat-offender: 3", "repeat-offender: 1", "from 2 to 1000"),
        ("language: fr", "language: de", "unknown language"),
        ("reports: 1", "reports: 2", "format of the reports file 1"),
        ("taken-up:", "takenup:", "unknown key"),
        ("monday:", "mondy:", "did you mean 'monday'"),
    ],
)
def test_each_mistake_is_told_at_its_place(old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    text = SHIPPED.replace(old, new, 1)
    line = next(n for n, each in enumerate(text.splitlines(), 1) if new.splitlines()[0] in each)
    told = complaints(text)
    assert any(each.startswith(f"reports.yaml:{line}:") and message in each for each in told), told


def test_all_mistakes_are_told_at_once() -> None:
    assert (
        len(
            complaints(
                SHIPPED.replace("RESOLU", "X").replace("Europe/Paris", "Y").replace("language: fr", "language: z")
            )
        )
        >= 3
    )


SCHEDULED = """
schedules:
  weekly:
    every: week
    at: "06:30"
    reports: [violations, reverts]
    formats: [html, csv]
    folder: out
    mail: [b@example.org, a@example.org]
mail: {host: mail.example.org, from: "Bridge <bridge@example.org>", user: bridge, password-file: /run/secrets/smtp}
"""


def test_schedules_and_the_mailbox_are_read_with_their_defaults() -> None:
    held = conventions.load(SHIPPED + SCHEDULED, "reports.yaml", POLICY)
    (weekly,) = held.schedules
    assert (weekly.name, weekly.every, weekly.at) == ("weekly", Every.WEEK, time(6, 30))
    assert weekly.mail == ("a@example.org", "b@example.org")
    assert held.mailbox is not None
    assert (held.mailbox.security, held.mailbox.port) == (Security.STARTTLS, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    folder: out\n    mail: [b@example.org, a@example.org]\n", "", "goes nowhere"),
        ("violations, reverts", "violation", "did you mean 'violations'"),
        ("violations, reverts", "my-requests", "is about somebody"),
        ("html, csv", "html, doc", "unknown format"),
        ("b@example.org", "nobody", "expected a mail address"),
        ('"06:30"', '"6:30"', "a time such as"),
        (", password-file: /run/secrets/smtp", "", "belong together"),
    ],
)
def test_a_wrong_schedule_is_told(old: str, new: str, message: str) -> None:
    assert any(message in each for each in complaints(SHIPPED + SCHEDULED.replace(old, new)))


def test_the_example_in_the_shipped_file_is_one_that_works() -> None:
    begins = SHIPPED.index("# schedules:")
    example = "".join(each.removeprefix("# ") for each in SHIPPED[begins:].splitlines(keepends=True))
    held = conventions.load(SHIPPED[:begins] + example, "reports.yaml", POLICY)
    assert [each.name for each in held.schedules] == ["weekly"]
    assert held.mailbox is not None


def test_besides_holidays_days_of_ones_own_can_be_closed() -> None:
    text = SHIPPED.replace("country: FR ", "country: FR\n  besides: [2026-12-24] ")
    held = conventions.load(text, "reports.yaml", POLICY)
    assert held.hours.holidays.test()(date(2026, 12, 24))
    assert held.reopened_within == timedelta(days=30)


def test_the_editors_schema_knows_every_key() -> None:
    schema = json.loads(json.dumps(conventions.schema()))
    assert set(schema["properties"]) == set(conventions.DOCUMENT.keys)


def test_the_names_that_a_file_may_use_are_those_there_are() -> None:
    assert tuple(REPORTS) == NAMES
    assert tuple(RENDERED) == FORMATS


def test_the_guides_examples_are_read_as_they_stand() -> None:
    guide = (CONFIG.parent / "docs/reports.md").read_text(encoding="utf-8")
    desk, schedules = re.findall(r"(?ms)^```yaml\n(.*?)^```$", guide)
    held = conventions.load(desk + schedules, "docs/reports.md", POLICY)
    assert [each.name for each in held.schedules] == ["weekly", "client-alpha"]
    assert set(re.findall(r"(?m)^([a-z-]+):", desk + schedules)) == set(conventions.DOCUMENT.keys)
    assert all(f"`{name}`" in guide for name in NAMES)


def test_the_published_schemas_are_those_of_the_code() -> None:
    for path, text in published().items():
        assert path.read_text(encoding="utf-8") == text, f"python -m tests.reports.schemas writes {path.name} anew"

"""The comment in the ticket says where and since when its rule applies, and that an exemption covers another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.domain.policy import load
from bridge.engine import act
from bridge.simulator import Ticket
from tests.engine.desk import ROOT, Desk, policy

RULE = "into: EN COURS\n    only-by: cegape\n    mode: enforce"
BY_PROJECT = "into: EN COURS\n    only-by: cegape\n    mode: observe\n    mode-for:\n      - {}"
EXEMPT = """
exemptions:
  - {id: reprise, rules: resolu-est-clos, until: 2999-12-31, owner: Chef de projet, reason: Reprise}
"""


def explained(
    directory: Path, exception: str = "", more: str = "", *steps: tuple[str, str], language: str = "fr"
) -> str:
    """What the bridge writes when a client, after these steps, takes the ticket up by themselves."""
    changes = [(RULE, BY_PROJECT.replace("{}", f"{{{exception}}}"))] if exception else []
    changes += [("language: fr", f"language: {language}")] if language != "fr" else []
    desk = Desk(directory, rules=policy(more, *changes))
    desk.cycle(0)
    desk.clock.advance(120)
    ticket: Ticket = desk.instance.create("ca", "client-alpha", "Bulletin faux")
    for who, status in (*steps, ("ca", "EN COURS")):
        desk.cycle(400)
        desk.instance.set_status(who, ticket, status)
    desk.cycle(400)
    desk.stop()
    (text,) = desk.explanations(ticket)
    return text.replace("\u00a0", " ")


def test_a_rule_that_is_always_enforced_says_nothing_of_it(tmp_path: Path) -> None:
    text = explained(tmp_path)
    assert "s’applique" not in text
    assert "dérogation" not in text


@pytest.mark.parametrize(
    ("exception", "language", "says"),
    [
        ("projects: client-alpha, mode: enforce", "fr", "Cette règle s’applique dans ce projet.\n"),
        ("since: 2026-11-01, mode: enforce", "fr", "Cette règle s’applique à partir du 01/11/2026.\n"),
        (
            "projects: client-alpha, since: 2026-11-01, until: 2026-12-31, mode: enforce",
            "fr",
            "Cette règle s’applique dans ce projet à partir du 01/11/2026 jusqu’au 31/12/2026.\n",
        ),
        (
            "projects: client-alpha, since: 2026-11-01, mode: enforce",
            "en",
            "This rule applies in this project from 2026-11-01 on.\n",
        ),
    ],
)
def test_a_rule_that_is_enforced_here_or_for_a_time_says_so(
    tmp_path: Path, exception: str, language: str, says: str
) -> None:
    assert says in explained(tmp_path, exception, language=language)


def test_an_exemption_that_covers_another_rule_is_said_to(tmp_path: Path) -> None:
    text = explained(tmp_path, "", EXEMPT, ("sup", "EN COURS DE TEST"), ("ca", "RESOLU"))
    assert "Une autre règle n’est pas opposée à ce changement : une dérogation la couvre.\n" in text.replace(
        "\u00a0", " "
    )


def test_each_sentence_stands_in_a_paragraph_of_its_own(tmp_path: Path) -> None:
    text = explained(
        tmp_path, "projects: client-alpha, mode: enforce", EXEMPT, ("sup", "EN COURS DE TEST"), ("ca", "RESOLU")
    )
    assert all("\n" not in paragraph or "s’applique" in paragraph for paragraph in text.split("\n\n")), text


TEMPLATES = sorted((Path(act.__file__).parent / "templates").glob("*.fr.md"))
POLICIES = [ROOT / "config/cegape.yaml", ROOT / "config/examples/release.yaml"]


def french(path: Path) -> list[str]:
    """Every line of French that people read in tickets."""
    if path in TEMPLATES:
        return path.read_text(encoding="utf-8").splitlines()
    policy = load(path.read_bytes(), path.name)
    return [one.sentence["fr"] for one in policy.rules] + [one.sentence["fr"] for one in policy.reminders]


@pytest.mark.parametrize("path", [*TEMPLATES, *POLICIES], ids=lambda path: path.name)
def test_french_in_tickets_has_its_own_apostrophes_and_spaces(path: Path) -> None:
    for line in french(path):
        said = re.sub(r"{%.*?%}|`.*?`", "", line)
        assert not re.search(r"\w'\w", said), said
        assert not re.search(r"[^\u00a0\u202f][;:!?»](?!\w)|«(?!\u00a0|\u202f)", said), said

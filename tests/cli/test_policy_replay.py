"""``bridge policy replay`` over a ledger that a bridge has written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Bridge
from tests.engine.desk import Desk

CEGAPE = ROOT / "config" / "cegape.yaml"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """One move that was put back, one that was reported, one rejection with its reason, and some that were right."""
    desk = Desk(tmp_path)
    desk.cycle(0)
    desk.clock.advance(120)
    steps = (
        ("ca", "EN COURS"),  # put back
        ("sup", "EN COURS"),
        ("ca", "RESOLU"),  # reported: not tested yet
    )
    ticket = desk.instance.create("ca", "client-alpha", "Bulletin faux")
    for who, status in steps:
        desk.cycle(400)
        desk.instance.set_status(who, ticket, status)
    refused = desk.instance.create("ca", "client-alpha", "Hors sujet")
    desk.cycle(400)
    desk.instance.set_status("sup", refused, "REJETE")
    desk.instance.comment("sup", refused, "Hors périmètre.")
    desk.cycle(400)
    desk.cycle(1200)
    desk.stop()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "unused")
    monkeypatch.setenv("BRIDGE_POLICY", str(CEGAPE))
    monkeypatch.setenv("BRIDGE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BRIDGE_STORE", desk.url)
    return desk


def changed(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = CEGAPE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "new.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_policy_that_decided_says_the_same_again(bridge: Bridge, ledger: Desk) -> None:
    ran = bridge("policy", "replay", str(CEGAPE))
    assert ran.code == 0, ran.out
    told = json.loads(bridge("policy", "replay", "--json", str(CEGAPE)).out)
    assert told["differences"] == []
    assert told["before"] == told["now"]
    assert (told["tickets"], told["now"]["put back"], told["now"]["reported"]) == (2, 1, 1)


def test_what_a_stricter_policy_would_have_refused_is_told_by_person_and_ticket(
    bridge: Bridge, ledger: Desk, tmp_path: Path
) -> None:
    strict = changed(
        tmp_path, ("after: EN COURS DE TEST\n    mode: observe", "after: EN COURS DE TEST\n    mode: enforce")
    )
    ran = bridge("policy", "replay", strict)
    assert ran.code == 1
    assert "put back instead of reported: 1\n  by person: Agent Alpha 1\n  by rule: resolu-apres-test 1" in ran.out
    (line,) = [line for line in ran.out.splitlines() if line.startswith("  #")]
    assert line.endswith("Agent Alpha: EN COURS → RESOLU: reported → put back (resolu-apres-test)")


def test_what_is_newly_refused_and_newly_allowed_stands_apart(bridge: Bridge, ledger: Desk, tmp_path: Path) -> None:
    other = changed(
        tmp_path,
        ("into: EN COURS\n    only-by: cegape", "into: EN COURS\n    only-by: [cegape, client]"),
        (
            "into: REJETE\n    only-by: cegape\n    mode: enforce",
            "into: REJETE\n    only-by: client\n    mode: observe",
        ),
        ("comment: {by: cegape, within: 15 minutes}", "comment: {by: client, within: 15 minutes}"),
    )
    told = bridge("policy", "replay", other).out
    assert "\nnewly refused, and reported: 1\n  by person: Support CEGAPE 1\n" in told
    assert "\nnewly allowed: 1\n  by person: Agent Alpha 1\n" in told


def test_statuses_of_the_past_that_the_policy_does_not_know_are_named(
    bridge: Bridge, ledger: Desk, tmp_path: Path
) -> None:
    text = CEGAPE.read_text(encoding="utf-8")
    start, end = text.index("  rejete-par-cegape:"), text.index("  correction-non-valide-par-le-client:")
    text = text[:start] + text[end:]
    start, end = text.index("  rejete-avec-motif:"), text.index("  resolu-apres-test:")
    text = text[:start] + text[end:]
    text = text[: text.index("  rejete-est-clos:")].replace("  - REJETE\n", "").replace("[RESOLU, REJETE]", "RESOLU")
    (tmp_path / "new.yaml").write_text(text, encoding="utf-8")
    ran = bridge("policy", "replay", str(tmp_path / "new.yaml"))
    assert ran.code == 1
    assert "the policy does not know these statuses: REJETE (1 moves)\n" in ran.out
    assert json.loads(bridge("policy", "replay", "--json", str(tmp_path / "new.yaml")).out)["unknown_statuses"] == {
        "REJETE": 1
    }


def test_two_policies_are_compared_with_each_other(bridge: Bridge, ledger: Desk, tmp_path: Path) -> None:
    mild = changed(tmp_path, ("only-by: cegape\n    mode: enforce", "only-by: cegape\n    mode: observe"))
    told = json.loads(bridge("policy", "replay", mild, "--against", str(CEGAPE), "--json").out)
    (one,) = told["differences"]
    assert (one["from"], one["into"], one["before"], one["now"]) == ("NOUVEAU", "EN COURS", "put back", "reported")
    assert one["rules"] == ["en-cours-par-cegape"]


def test_what_the_ledger_cannot_tell_is_said_with_the_rules_that_ask_for_it(
    bridge: Bridge, ledger: Desk, tmp_path: Path
) -> None:
    personal = changed(
        tmp_path, ("after: EN COURS DE TEST\n    mode: observe", "same-person-as: assignee\n    mode: observe")
    )
    ran = bridge("policy", "replay", personal)
    assert ran.code == 1
    assert "left undecided now: 1, because\n  the ticket's assignee is not known: 1\n" in ran.out
    assert "not judged fully: resolu-apres-test, correction-non-valide-apres-test\n" in ran.out
    assert "  The ledger keeps neither assignees nor custom fields of the past" in ran.out
    (line,) = [line for line in ran.out.splitlines() if line.startswith("  #")]
    assert line.endswith("EN COURS → RESOLU: reported → undecided (the ticket's assignee is not known)")
    told = json.loads(bridge("policy", "replay", personal, "--json").out)
    assert told["undecided"] == {"the ticket's assignee is not known": 1}
    assert told["not_judged_fully"] == ["resolu-apres-test", "correction-non-valide-apres-test"]
    assert told["differences"][0]["reason"] == "the ticket's assignee is not known"


def test_a_policy_about_other_statuses_is_refused_with_all_of_them(bridge: Bridge, ledger: Desk) -> None:
    ran = bridge("policy", "replay", str(ROOT / "config" / "examples" / "release.yaml"))
    assert (ran.code, ran.out) == (2, "")
    for status in ("Draft", "In review", "Approved", "Released", "Rejected", "Rolled back"):
        assert status in ran.err


def test_both_policies_are_complained_of_at_once(bridge: Bridge, ledger: Desk, tmp_path: Path) -> None:
    first = changed(tmp_path, ("EN ATTENTE", "EN PAUSE")).replace("new.yaml", "first.yaml")
    (tmp_path / "new.yaml").rename(first)
    ran = bridge("policy", "replay", first, "--against", changed(tmp_path, ("REJETE", "REFUSE")))
    assert (ran.code, ran.out) == (2, "")
    assert "never seen: EN PAUSE." in ran.err
    assert "never seen: REFUSE." in ran.err


def test_without_a_ledger_there_is_nothing_to_replay(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "unused")
    monkeypatch.setenv("BRIDGE_POLICY", str(CEGAPE))
    monkeypatch.setenv("BRIDGE_STATE_DIR", str(tmp_path))
    ran = bridge("policy", "replay", str(CEGAPE))
    assert ran.code in (2, 3)
    assert ran.err

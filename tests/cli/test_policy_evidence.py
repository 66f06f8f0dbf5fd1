from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.domain.model import Mode
from bridge.domain.policy import load
from bridge.simulator import Ticket
from bridge.store.schema import EntryKind
from tests.cli.conftest import ROOT, Bridge
from tests.engine.desk import Desk, policy

RULE = "resolu-apres-test"
EXEMPT = """
exemptions:
  - {id: reprise, people: 59, rules: creation-en-nouveau, until: 2999-12-31, owner: Chef de projet, reason: Reprise}
  - {id: essai, projects: client-beta, until: 2020-01-31, owner: Chef de projet, reason: Essais}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A bridge that has observed for three days; the settings point at its ledger, and the last move is of today."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bridge.settings.DOCKER_SECRETS", tmp_path / "no-secrets")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "unused")
    monkeypatch.setenv("BRIDGE_POLICY", str(ROOT / "config" / "cegape.yaml"))
    monkeypatch.setenv("BRIDGE_STATE_DIR", str(tmp_path))
    one = Desk(tmp_path, mode=Mode.OBSERVE, rules=policy(EXEMPT), begin=datetime.now(UTC) - timedelta(days=3))
    one.cycle(0)
    one.clock.advance(timedelta(days=2, hours=12))
    yield one
    one.stop()


def objected(desk: Desk, times: int = 4) -> list[Ticket]:
    """Moves that the observed rule objects to, and one that CEGAPE makes, which would not be put back anyway."""
    tickets = [desk.instance.create("ca", "client-alpha", f"Demande {n}") for n in range(times)]
    theirs = desk.instance.create("ca", "client-alpha", "De CEGAPE")
    desk.clock.advance(400)
    for ticket in tickets:
        desk.instance.set_status("ca", ticket, "RESOLU")
    desk.instance.set_status("sup", theirs, "RESOLU")
    desk.cycle()
    return tickets


def decision(desk: Desk, ticket: Ticket) -> str:
    with desk.books() as books:
        (one,) = (ruled.id for ruled in books.ruled(["illegal"]) if ruled.work_package == ticket.id)
    return one


def patched(text: str, patch: list[str]) -> str:
    """The text with the one hunk of a unified diff applied, which must fit."""
    (head,) = (n for n, line in enumerate(patch) if line.startswith("@@"))
    found = re.match(r"@@ -(\d+),(\d+) \+\d+,(\d+) @@", patch[head])
    assert found is not None
    start, before, after = int(found[1]) - 1, int(found[2]), int(found[3])
    hunk = patch[head + 1 : head + 1 + after + 1]
    lines = text.splitlines()
    assert lines[start : start + before] == [line[1:] for line in hunk if line[0] != "+"]
    lines[start : start + before] = [line[1:] for line in hunk if line[0] != "-"]
    return "\n".join(lines) + "\n"


def test_a_rule_that_was_always_right_gets_the_edit_that_enforces_it(bridge: Bridge, desk: Desk) -> None:
    objected(desk)
    shipped = (ROOT / "config" / "cegape.yaml").read_text()
    own = desk.directory / "own.yaml"
    own.write_text(shipped)
    ran = bridge("policy", "promote", RULE, str(own), "--days", "2", "--least", "4")
    assert ran.code == 0, ran.out + ran.err
    assert f"{RULE}: 4 objections in 2 days, 0 found wrong, precision 100.0%" in ran.out
    assert own.read_text() == shipped, "the file is its owner's"
    edited = load(patched(shipped, ran.out.splitlines()), "own.yaml")
    changed = [rule.id for rule, old in zip(edited.rules, policy().rules, strict=True) if rule != old]
    assert (changed, next(rule.mode for rule in edited.rules if rule.id == RULE)) == ([RULE], Mode.ENFORCE)


def test_below_the_threshold_it_is_refused(bridge: Bridge, desk: Desk) -> None:
    tickets = objected(desk)
    wrong = decision(desk, tickets[1])
    arguments = ("policy", "promote", RULE, "--days", "2", "--least", "4", "--wrong", wrong)
    refused = bridge(*arguments, "--threshold", "80")
    assert refused.code == 1
    assert "1 found wrong, precision 75.0%" in refused.out
    assert f"wrong: {wrong}" in refused.out
    assert "not fit to be enforced: its precision is 75.0%, below 80.0%" in refused.out
    assert "+    mode: enforce" not in refused.out
    passed = bridge(*arguments, "--threshold", "75", "--json")
    assert (passed.code, json.loads(passed.out)["precision"]) == (0, 0.75)


@pytest.mark.parametrize("kind", [EntryKind.APPEAL, EntryKind.ACKNOWLEDGEMENT])
def test_what_people_found_wrong_counts(bridge: Bridge, desk: Desk, kind: EntryKind) -> None:
    tickets = objected(desk)
    wrong = decision(desk, tickets[0])
    told = {EntryKind.APPEAL: {"decision": wrong}, EntryKind.ACKNOWLEDGEMENT: {"matter": f"wrong:{wrong}"}}
    assert desk.ledger is not None
    desk.ledger.record(kind, told[kind], desk.clock())
    ran = bridge("policy", "promote", RULE, "--days", "2", "--least", "4", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["evidence"]["wrong"] == [wrong]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--days", "14", "--least", "4"), "the bridge has not watched for so long"),
        (("--days", "2", "--least", "5"), "it objected to 4 moves, and 5 are the least to judge it by"),
    ],
)
def test_without_enough_to_go_by_it_is_refused(
    bridge: Bridge, desk: Desk, arguments: tuple[str, ...], says: str
) -> None:
    objected(desk)
    ran = bridge("policy", "promote", RULE, *arguments)
    assert ran.code == 1
    assert says in ran.out


def test_a_decision_counts_for_every_rule_that_objected_and_not_for_the_first_alone(bridge: Bridge, desk: Desk) -> None:
    ticket = desk.instance.create("ca", "client-alpha", "Rejetée")
    desk.cycle(400)
    desk.instance.set_status("sup", ticket, "REJETE")
    desk.instance.comment("sup", ticket, "Hors périmètre.")
    desk.cycle(400)
    desk.instance.set_status("ca", ticket, "RESOLU")
    desk.cycle(400)
    with desk.books() as books:
        (ruled,) = books.ruled(["illegal"])
    assert ruled.rules == (RULE, "rejete-est-clos")
    ran = bridge("policy", "promote", "rejete-est-clos", "--days", "2", "--least", "1")
    assert "rejete-est-clos: 1 objections in 2 days, 0 found wrong" in ran.out


def test_who_finds_a_decision_wrong_can_say_so_and_it_counts(bridge: Bridge, desk: Desk) -> None:
    tickets = objected(desk)
    wrong = decision(desk, tickets[0])
    desk.stop()
    ran = bridge("policy", "wrong", wrong, "--reason", "C'était convenu par téléphone", "--by", "Responsable")
    assert (ran.code, ran.err) == (0, "")
    assert f"decision {wrong} is called wrong; it counts against {RULE}" in ran.out
    refused = bridge("policy", "promote", RULE, "--days", "2", "--least", "4")
    assert refused.code == 1
    assert f"  wrong: {wrong}\n" in refused.out
    with desk.books() as books:
        (event,) = books.events([EntryKind.ACKNOWLEDGEMENT])
    assert event.details["by"] == "Responsable"
    assert event.details["reason"] == "C'était convenu par téléphone"
    assert bridge("audit", "verify").code in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("2020-01-01-0001", "--reason", "x"), "no decision '2020-01-01-0001' that found a move illegal"),
        (("2020-01-01-0001", "--reason", " "), "--reason is empty"),
    ],
)
def test_what_cannot_be_called_wrong_says_why(
    bridge: Bridge, desk: Desk, arguments: tuple[str, ...], told: str
) -> None:
    desk.cycle()
    ran = bridge("policy", "wrong", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_while_the_bridge_writes_nobody_else_does(bridge: Bridge, desk: Desk) -> None:
    tickets = objected(desk)
    ran = bridge("policy", "wrong", decision(desk, tickets[0]), "--reason", "x")
    assert ran.code in (2, 3)
    assert ran.err


def test_what_cannot_be_promoted_says_why(bridge: Bridge, desk: Desk) -> None:
    enforced = bridge("policy", "promote", "creation-en-nouveau")
    assert enforced.code == 2
    assert "is not observed: its mode is enforce" in enforced.err
    unknown = bridge("policy", "promote", "resolu-apres-tests")
    assert unknown.code == 2
    assert RULE in unknown.err
    strange = bridge("policy", "promote", RULE, "--wrong", "2020-01-01-0001")
    assert strange.code == 2
    assert "2020-01-01-0001" in strange.err


def test_exemptions_are_listed_with_owner_end_and_use(
    bridge: Bridge, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = desk.directory / "own.yaml"
    own.write_text((ROOT / "config" / "cegape.yaml").read_text() + EXEMPT)
    for n in range(3):
        desk.instance.create("ca", "client-alpha", f"Reprise {n}", status="EN ATTENTE")
    desk.cycle()
    ran = bridge("policy", "exemptions", str(own), "--json")
    assert ran.code == 1, "one is over"
    used, over = json.loads(ran.out)
    assert (used["id"], used["uses"], used["in_force"], used["owner"]) == ("reprise", 3, True, "Chef de projet")
    assert (over["id"], over["uses"], over["in_force"], over["last_used"]) == ("essai", 0, False, None)
    table = bridge("policy", "exemptions", str(own)).out
    assert "reprise\tChef de projet\t3000-01-01 00:00\tin force\t3\t" in table

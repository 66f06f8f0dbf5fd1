"""``bridge report`` and ``bridge explain`` as an operator runs them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest

from bridge.cli.report import NAMES
from bridge.reports.catalog import REPORTS
from tests.cli.conftest import ROOT, Bridge, World

STATE = Path("bridge-state")


@pytest.fixture
def lived(bridge: Bridge, world: World) -> Bridge:
    """A ledger with one ticket that a client created in a status that is not theirs to set."""
    world.instance.create("ca", "client-alpha", "Bulletin faux", status="RESOLU")
    world.clock.set(datetime.now(UTC))
    assert bridge("once").code == 0
    return bridge


def test_every_report_has_its_command(bridge: Bridge) -> None:
    assert [name for name, _ in NAMES] == list(REPORTS)
    said = bridge("report", "--help")
    assert said.code == 0
    assert all(name in said.out for name in REPORTS)


def test_every_report_comes_as_text(lived: Bridge) -> None:
    for name, definition in REPORTS.items():
        about = ["--project", "client-alpha"] if definition.about_somebody else []
        said = lived("report", name, "--lang", "en", *about)
        assert (said.code, said.err) == (0, ""), name
        assert "How this was counted" in said.out


def test_the_format_is_the_one_that_the_files_name_asks_for(lived: Bridge, tmp_path: Path) -> None:
    for form in ("html", "csv", "xlsx", "json", "txt"):
        said = lived("report", "violations", "--out", f"out/report.{form}")
        assert said.code == 0
        assert f"out/report.{form}" in said.err
    assert Path("out/report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(Path("out/report.json").read_text(encoding="utf-8"))["report"] == "violations"
    assert "Synthèse" in openpyxl.load_workbook("out/report.xlsx").sheetnames
    assert Path("out/report.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_into_a_folder_the_file_is_called_after_report_period_and_language(lived: Bridge) -> None:
    assert lived("report", "flow", "--period", "2026-11", "--format", "html", "--lang", "en", "--out", "out/").code == 0
    assert [path.name for path in Path("out").iterdir()] == ["flow-2026-11.en.html"]


def test_a_table_of_a_report_comes_as_csv(lived: Bridge) -> None:
    said = lived("report", "violations", "--format", "csv", "--table", "by-rule", "--lang", "en")
    assert said.out.splitlines()[0].lstrip("\ufeff").startswith("Rule,What it says,Illegal")
    assert "creation-en-nouveau" in said.out


def test_comparing_gives_the_period_before_as_well(lived: Bridge) -> None:
    said = lived("report", "violations", "--compare", "--lang", "en")
    assert "before: 0" in said.out


MISTAKES: dict[tuple[str, ...], str] = {
    ("violations", "--period", "nonsense"): "write a day (2026-11-24)",
    ("violations", "--from", "2026-11-24", "--to", "2026-11-01"): "before it begins",
    ("violations", "--from", "yesterday"): "is no date",
    ("violations", "--period", "today", "--to", "2026-11-01"): "not both",
    ("violations", "--format", "docx"): "there is no format 'docx'",
    ("violations", "--lang", "de"): "fr and en",
    ("violations", "--project", "nowhere"): "the ledger knows no project nowhere; it knows client-alpha",
    ("violations", "--table", "by-rule"): "add --format csv",
    ("violations", "--format", "csv", "--table", "x"): "no table 'x'",
    ("my-requests",): "add --person NUMBER or --project",
    ("my-requests", "--person", "Nobody"): "no person 'Nobody'",
    ("violations", "--out", "bridge-state/bridge.db/x.html"): "cannot be written",
    ("schedule",): "has no schedules",
}


def test_what_cannot_be_done_is_told_in_one_line_with_exit_code_2(lived: Bridge) -> None:
    for arguments, message in MISTAKES.items():
        said = lived("report", *arguments)
        assert (said.code, said.out) == (2, ""), arguments
        assert message in said.err
        assert len(said.err.splitlines()) == 1


def test_an_unknown_report_is_told(bridge: Bridge) -> None:
    assert bridge("report", "nonsense").code == 2


def test_without_a_ledger_there_is_no_report_and_none_is_made(bridge: Bridge, world: World) -> None:
    said = bridge("report", "violations")
    assert said.code == 2
    assert "there is no ledger at" in said.err
    assert not (STATE / "bridge.db").exists()


def test_one_ticket_is_explained_with_its_place_in_the_ledger(lived: Bridge) -> None:
    said = lived("explain", "1", "--lang", "en")
    assert said.code == 0
    assert "Ticket #1" in said.out
    assert "(created)" in said.out
    document = json.loads(lived("explain", "1", "--json").out)
    (row,) = document["rows"]["rows"]
    told = dict(zip((column["key"] for column in document["rows"]["columns"]), row, strict=True))
    assert (told["to"], told["rule"]) == ("RESOLU", "creation-en-nouveau")
    assert isinstance(told["entry"], int)


def test_a_ticket_that_was_never_seen_is_told(lived: Bridge) -> None:
    said = lived("explain", "99")
    assert said.code == 2
    assert "ticket 99 is not in the ledger" in said.err


def test_the_schema_of_the_json_is_printed(bridge: Bridge) -> None:
    said = bridge("report", "schema")
    assert said.code == 0
    assert "definition" in json.loads(said.out)["properties"]


def test_scheduled_reports_are_planned_and_brought_once(
    lived: Bridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    shutil.copy(ROOT / "config/cegape.yaml", folder)
    (folder / "reports.yaml").write_text(
        "reports: 1\nschedules:\n  daily: {every: day, at: '00:00', reports: [violations], folder: out}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("BRIDGE_POLICY", str(folder / "cegape.yaml"))
    plan = lived("report", "schedule", "--plan")
    assert plan.code == 0
    assert plan.out.splitlines()[1].startswith("daily\tday\tviolations\t")
    brought = lived("report", "schedule")
    assert (brought.code, brought.out.startswith("daily, ")) == (0, True)
    assert len(list((STATE / "out").iterdir())) == 1
    assert lived("report", "schedule").out == ""
    (plan,) = json.loads(lived("report", "schedule", "--plan", "--json").out)
    assert datetime.fromisoformat(plan["due"]) > datetime.now(UTC)


def test_the_report_on_the_policy_tells_where_and_when_a_rule_goes_how_far_and_what_an_exemption_covers(
    lived: Bridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rule = "into: EN COURS\n    only-by: cegape\n    mode: enforce"
    exception = "\n    mode-for: [{projects: client-beta, until: 2027-01-31, mode: observe}]"
    exemption = "  - {id: old, rules: [resolu-apres-test], tickets: 7, until: 2026-12-31, owner: me, reason: a test}\n"
    text = (ROOT / "config/cegape.yaml").read_text(encoding="utf-8")
    assert rule in text
    path = tmp_path / "policy.yaml"
    path.write_text(f"{text.replace(rule, rule + exception)}\nexemptions:\n{exemption}", encoding="utf-8")
    monkeypatch.setenv("BRIDGE_POLICY", str(path))
    tables = {
        table["key"]: table
        for table in json.loads(lived("report", "policy", "--format", "json", "--lang", "en").out)["tables"]
    }

    def cells(table: str, column: str) -> dict[str, str]:
        place = [one["key"] for one in tables[table]["columns"]].index(column)
        return {row[0]: row[place] for row in tables[table]["rows"]}

    assert cells("rules", "mode")["en-cours-par-cegape"] == "enforced; observed in client-beta until 2027-01-31"
    assert cells("rules", "mode")["resolu-apres-test"] == "observe"
    assert cells("exemptions", "covers") == {"old": "of resolu-apres-test on ticket 7 until 2026-12-31"}

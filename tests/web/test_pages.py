from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from bridge.domain.policy import load
from bridge.reports.catalog import REPORTS
from bridge.store.checkpoint import SigningKey
from bridge.store.ledger import Ledger
from bridge.store.notes import take_in
from bridge.store.queries import Queries
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from bridge.web.app import create_app
from tests.web.conftest import Filled, Visit, Visitor
from tests.web.world import NAME, READABLE, ROOT, desk

PAGES = ("/", "/violations", "/tickets", "/tickets/3", "/people", "/people/61", "/policy", "/reports", "/integrity")


def test_every_page_is_there_in_both_languages(visitor: Visitor) -> None:
    for address in (*PAGES, *READABLE):
        for language in ("fr", "en"):
            visitor.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
            answer = visitor.get(address)
            assert answer.status_code == 200, address
            assert f'<html lang="{language}">' in answer.text


def test_a_chosen_language_counts_more_than_the_browsers(visitor: Visitor) -> None:
    assert "What needs a person" in visitor.get("/").text
    assert visitor.post("/language", language="fr", next="/people").location == "/people"
    assert "Ce qui attend quelqu’un" in visitor.get("/").text


def test_the_overview_says_what_needs_a_person_until_somebody_has_seen_it(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert "contests decision" in page
    matter = re.search(r'name="matter" value="(appeal:\d+)"', page)
    assert matter is not None
    assert visitor.post("/acknowledge", matter=matter[1]).status_code == 303
    assert "contests decision" not in visitor.get("/").text
    [event] = recorded(visitor, EntryKind.ACKNOWLEDGEMENT)
    assert event == {"by": NAME, "matter": matter[1]}


def test_what_is_no_open_matter_cannot_be_acknowledged(visitor: Visitor) -> None:
    for key in ("appeal:1", "", "x" * 10_000):
        assert visitor.post("/acknowledge", matter=key).status_code == 303
    assert recorded(visitor, EntryKind.ACKNOWLEDGEMENT) == []


def test_pause_and_resume_work_at_once_and_are_recorded(visitor: Visitor) -> None:
    assert visitor.post("/pause", reason=" a look \n first ").status_code == 303
    assert f"paused by {NAME}" in (visitor.desk.folder / "paused").read_text()
    page = visitor.get("/").text
    assert "Paused" in page
    assert "a look first" in page
    assert visitor.post("/resume").status_code == 303
    assert "Watching and enforcing" in visitor.get("/").text
    assert recorded(visitor, EntryKind.PAUSE) == [{"by": NAME, "reason": "a look first"}]
    assert recorded(visitor, EntryKind.RESUME) == [{"by": NAME}]
    assert visitor.post("/resume").status_code == 303  # nothing to end, nothing recorded
    assert len(recorded(visitor, EntryKind.RESUME)) == 1


def test_without_the_daemon_pausing_works_and_acknowledging_says_that_it_cannot(visit: Visit) -> None:
    made = visit(with_ledger=False)
    made.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    made.log_in()
    assert 'name="matter"' not in made.get("/").text
    assert made.post("/acknowledge", matter="appeal:1").status_code == 409
    made.post("/pause")
    assert (made.desk.folder / "paused").exists()


def test_who_took_which_report_away_is_recorded(visitor: Visitor) -> None:
    assert visitor.get("/reports/violations").status_code == 200
    assert visitor.get("/reports/nothing.csv").status_code == 404
    assert recorded(visitor, EntryKind.EXPORT) == []
    file = visitor.get("/reports/violations.csv").headers["Content-Disposition"].split('"')[1]
    assert recorded(visitor, EntryKind.EXPORT) == [{"by": NAME, "what": file}]


def test_without_the_daemon_what_people_do_is_left_for_it_to_record(visit: Visit) -> None:
    made = visit(with_ledger=False)
    assert made.log_in().status_code == 303
    made.post("/pause", reason="a look first")
    made.get("/reports/violations.csv")
    with Ledger.open(f"sqlite:///{made.desk.folder}/bridge.db", now=lambda: made.desk.now) as ledger:
        assert take_in(ledger, made.desk.folder) == []
    for kind in (EntryKind.LOGIN, EntryKind.PAUSE, EntryKind.EXPORT):
        assert [said["by"] for said in recorded(made, kind)][-1:] == [NAME], kind


def recorded(visitor: Visitor, kind: EntryKind) -> list[dict[str, object]]:
    with Queries(f"sqlite:///{visitor.desk.folder}/bridge.db") as queries, queries.snapshot() as snapshot:
        return [{k: v for k, v in event.details.items() if k != "at"} for event in snapshot.events([kind])]


def test_a_ticket_is_found_by_number_and_by_words(visitor: Visitor) -> None:
    for query in ("3", "#3", " 3 "):
        assert visitor.get("/tickets", query_string={"q": query}).location == "/tickets/3"
    page = visitor.get("/tickets?q=beta+anomalie").text
    assert "/tickets/3" in page
    assert '/tickets/1"' not in page
    assert "Prime de fin d&#39;année" in page


@pytest.mark.parametrize(
    "query", ["999", "99999999999999999999", "nothing like this", "%", "_", "' OR 1=1 --", "\x00", "³"]
)
def test_a_search_without_result_says_so(visitor: Visitor, query: str) -> None:
    answer = visitor.get("/tickets", query_string={"q": query})
    assert answer.status_code == 200
    assert "No ticket is found" in answer.text


def test_a_tickets_life_names_every_move_with_its_verdict_and_entry(visitor: Visitor) -> None:
    page = visitor.get("/tickets/3").text
    assert page.count("put back</span>") == 2
    assert page.count("by the bridge</span>") == 2
    assert page.count("ledger entry") == 6
    assert "en-cours-de-test-par-cegape" in page
    assert "Possible instead:" in page
    assert "was contested" in page


@pytest.mark.parametrize(
    "address",
    [
        *("/tickets/999", "/tickets/99999999999999", "/tickets/-1", "/tickets/x", "/people/999"),
        *("/people/99999999999999", "/reports/nothing", "/reports/violations.exe", "/reports/../etc", "/nothing"),
    ],
)
def test_what_is_not_there_is_said_to_be_not_there(visitor: Visitor, address: str) -> None:
    answer = visitor.get(address)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize("period", ["tomorrow", "2026-13", "9999-W53", "<script>", "0000", "2026-11-31"])
def test_an_unknown_period_says_which_there_are(visitor: Visitor, period: str) -> None:
    for address in ("/violations", "/reports", "/reports/violations", "/reports/violations.csv"):
        answer = visitor.get(address, query_string={"period": period})
        assert answer.status_code == 400
        assert "<script>" not in answer.text


def test_any_days_can_be_chosen_and_links_keep_them(visitor: Visitor) -> None:
    chosen = {"first": "2026-11-17", "last": "2026-11-23", "party": "client"}
    page = visitor.get("/violations", query_string=chosen).text
    assert page.count('<li id="d-') == 2
    assert 'type="date" required value="2026-11-17"' in page
    assert 'name="party" value="client"' in page
    assert 'href="/reports/violations?first=2026-11-17&amp;last=2026-11-23"' in page
    assert "From 17 November 2026 to 23 November 2026" in visitor.get("/reports/violations", query_string=chosen).text
    for first, last in (("2026-11-24", "2026-11-23"), ("x", "2026-11-23"), ("0001-01-01", "9999-12-31")):
        answer = visitor.get("/violations", query_string={"first": first, "last": last})
        assert answer.status_code == 400
        assert "There is no such period" in answer.text


def test_a_french_reader_is_told_in_french_why_nothing_is_put_back(visitor: Visitor) -> None:
    visitor.post("/pause", reason="un essai")
    page = visitor.get("/", headers={"Accept-Language": "fr"}).text
    assert f"pause demandée par {NAME} dans le tableau de bord" in page
    assert "un essai" in page


def test_violations_are_filtered_by_rule_and_party(visitor: Visitor) -> None:
    everything = visitor.get("/violations?period=2026-11").text
    assert everything.count('<li id="d-') == 14
    mine = visitor.get("/violations?period=2026-11&rule=nouveau-jamais-a-la-main&party=client").text
    assert mine.count('<li id="d-') == 2


def test_a_page_that_there_is_not_is_the_nearest_that_there_is(visitor: Visitor) -> None:
    for page in ("0", "2", "-5", "x", "9" * 50, "٣"):
        assert visitor.get("/violations", query_string={"period": "2026-11", "page": page}).text.count('id="d-') == 14


def test_every_report_can_be_taken_away_in_every_form(visitor: Visitor) -> None:
    starts = {"html": b"<!doctype html>", "xlsx": b"PK", "csv": "\ufeff".encode(), "json": b"{"}
    for name in REPORTS:
        for form, start in starts.items():
            answer = visitor.get(f"/reports/{name}.{form}?period=2026-11&person=61")
            assert answer.status_code == 200
            assert answer.data.startswith(start), (name, form)
            assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{name}')


def test_the_list_of_reports_calls_them_as_they_call_themselves(visitor: Visitor) -> None:
    listed = re.findall(r'<a class="name" href="/reports/([\w-]+)[^>]*>([^<]+)</a>', visitor.get("/reports").text)
    assert [name for name, _ in listed] == [name for name, each in REPORTS.items() if not each.about_somebody]
    for name, title in listed:
        assert f"<h1>{title}</h1>" in visitor.get(f"/reports/{name}").text


def test_a_report_about_somebody_is_opened_from_their_page(visitor: Visitor) -> None:
    page = visitor.get("/people/61").text
    for name in (name for name, each in REPORTS.items() if each.about_somebody):
        assert f'href="/reports/{name}?person=61"' in page
        assert visitor.get(f"/reports/{name}").status_code == 400
        assert visitor.get(f"/reports/{name}?person=x").status_code == 400


def test_reports_are_made_of_one_project_too(visitor: Visitor) -> None:
    def illegal(**which: str) -> int:
        answer = visitor.get("/reports/violations.json", query_string={"period": "2026-11", **which})
        [value] = [figure["value"]["count"] for figure in answer.get_json()["figures"] if figure["key"] == "illegal"]
        assert isinstance(value, int)
        return value

    both = [illegal(project="11"), illegal(project="13")]
    assert min(both) > 0
    assert sum(both) == illegal()
    page = visitor.get("/reports?project=13&period=2026-11").text
    for name in REPORTS:
        assert f'href="/reports/{name}?period=2026-11&amp;project=13"' in page
    report = visitor.get("/reports/my-requests?period=2026-11&project=13").text
    assert '<option value="13" selected>Client Beta</option>' in report
    assert "Client Alpha" not in report.partition("</select>")[2].partition("</select>")[2]
    for wrong in ("x", "-1", "1" * 20):
        answer = visitor.get("/reports/flow", query_string={"project": wrong})
        assert answer.status_code == 400
        assert "There is no such project" in answer.text


def test_the_policys_matrix_tells_each_move_in_words(visitor: Visitor) -> None:
    page = visitor.get("/policy").text
    parties, statuses = 2, 8
    cells = re.findall(r'<td class="cell (\w+)">', page)
    assert len(cells) == parties * (statuses + 1) * statuses
    assert cells.count("none") == parties * statuses
    policy = load((ROOT / "config/cegape.yaml").read_text(), "cegape.yaml")
    assert all(f'id="{rule.id}"' in page for rule in policy.rules)


def test_the_policy_tells_where_and_when_a_rule_goes_further_and_whom_an_exemption_lets_be(
    filled: Filled, tmp_path: Path
) -> None:
    text = (ROOT / "config/cegape.yaml").read_text()
    rule = "into: EN COURS\n    only-by: cegape\n    mode: enforce"
    assert rule in text
    text = text.replace(rule, f"{rule}\n    mode-for: [{{projects: client-beta, until: 2027-01-31, mode: observe}}]")
    text += (
        "exemptions:\n  - {id: e, rules: resolu-est-clos, people: 61, until: 2026-12-31, owner: me, reason: a test}\n"
    )
    one = desk(filled[0], tmp_path / "copy", filled[1])
    with one.site() as site:
        visitor = Visitor(create_app(replace(site, policy=load(text, "p.yaml"))).test_client(), one)
        visitor.log_in()
        page = visitor.get("/policy", headers={"Accept-Language": "en"}).text
    assert "enforced; observed in client-beta until 2027-01-31" in page
    assert "of resolu-est-clos for person 61 until 2026-12-31" in page


def test_an_empty_ledger_shows_every_page(tmp_path: Path, visit: Visit) -> None:
    made = visit()
    (made.desk.folder / "empty").mkdir()
    made.desk.folder = made.desk.folder / "empty"
    made.desk.pulse = None
    from bridge.web.app import create_app

    with Ledger.open(f"sqlite:///{made.desk.folder}/bridge.db", now=lambda: made.desk.now):
        pass
    with made.desk.site(with_ledger=False) as site:
        made.client = create_app(site).test_client()
        made.log_in()
        for address in (*PAGES, *READABLE):
            expected = 404 if address in ("/tickets/3", "/people/61") else 200
            assert made.get(address).status_code == expected, address


# --- The record itself ----------------------------------------------------------------------------------------------


def test_the_newest_entries_are_checked_when_somebody_asks(visitor: Visitor) -> None:
    assert "follow one from the other" not in visitor.get("/integrity").text
    page = visitor.get("/integrity?check=newest").text
    assert f"Entries 1 to {_size(visitor):,} follow one from the other" in page
    assert "bridge audit verify" in page


def test_the_first_entry_that_was_altered_is_named(visitor: Visitor) -> None:
    altered, ledger = _size(visitor) - 3, visitor.desk.ledger
    assert ledger is not None
    with ledger.batch():  # what nobody may do
        ledger.writer.connection.execute(text(f"UPDATE entry SET at = at + 1 WHERE seq = {altered}"))
    page = visitor.get("/integrity?check=newest").text
    assert f"Entry {altered:,} does not follow from the one before it" in page
    assert "follow one from the other" not in page


def test_a_checkpoint_that_covers_everything_leaves_nothing_to_check(visitor: Visitor, tmp_path: Path) -> None:
    assert visitor.desk.ledger is not None
    seal(visitor.desk.ledger, SigningKey.create(tmp_path / "key.pem"))
    assert "The newest checkpoint covers every entry" in visitor.get("/integrity?check=newest").text


def _size(visitor: Visitor) -> int:
    with Queries(f"sqlite:///{visitor.desk.folder}/bridge.db") as queries, queries.snapshot() as snapshot:
        return snapshot.size()

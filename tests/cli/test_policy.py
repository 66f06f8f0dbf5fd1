from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bridge.domain.policy import load, schema
from bridge.domain.policy.cases import cases_schema
from tests.cli.conftest import ROOT, Bridge, World

CEGAPE = ROOT / "config" / "cegape.yaml"
RELEASE = ROOT / "config" / "examples" / "release.yaml"
POLICIES = [CEGAPE, RELEASE]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A policy of one's own, with its cases beside it."""
    for name in ("cegape.yaml", "cegape.tests.yaml"):
        (tmp_path / name).write_text((CEGAPE.parent / name).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path / "cegape.yaml"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- check ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_the_shipped_policies_have_nothing_odd_about_them(bridge: Bridge, path: Path) -> None:
    ran = bridge("policy", "check", str(path))
    # The example's exemption ends with 2026; from then on saying so is right.
    assert [line for line in ran.out.splitlines()[1:] if "exemption" not in line] == []
    assert ran.out.startswith(f"{path}: ")


def test_mistakes_are_told_as_editors_read_them(bridge: Bridge, mine: Path) -> None:
    edit(mine, "only-by: cegape", "only-bye: cegape")
    edit(mine, "mode: observe", "mode: obsrve")
    ran = bridge("policy", "check", str(mine))
    assert ran.code == 2
    first, second = ran.out.splitlines()
    assert first == f"{mine}:61:5: unknown key in the rule 'only-bye' (did you mean 'only-by'?)"
    assert second.startswith(f"{mine}:89:11: unknown mode 'obsrve' (did you mean 'observe'?)")


def test_mistakes_as_json_have_their_place(bridge: Bridge, mine: Path) -> None:
    edit(mine, "policy: 1", "policy: 1\npolicy: 1")
    ran = bridge("policy", "check", "--json", str(mine))
    assert ran.code == 2
    (complaint,) = json.loads(ran.out)["complaints"]
    assert (complaint["line"], complaint["column"]) == (6, 1)
    assert "duplicate" in complaint["message"]


def test_what_is_odd_is_a_finding_and_no_mistake(bridge: Bridge, mine: Path) -> None:
    with mine.open("a", encoding="utf-8") as file:
        file.write("\nexemptions:\n  - {id: old, tickets: 1, until: 2020-01-01, owner: me, reason: a test}\n")
    ran = bridge("policy", "check", str(mine))
    assert ran.code == 1
    assert "the exemption 'old' of me is over since 2020-01-02: remove it" in ran.out


@pytest.mark.parametrize("command", ["check", "test", "matrix", "graph", "advise"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        ("directory", "cannot be read: Is a directory"),
        (b"", "the file is empty"),
        (b"\xff\xfe", "UTF-16"),
        (b"policy: \xe9", "not in UTF-8"),
        (b"policy:\n\t1", "a tab"),
        (b"a: &a 1\nb: *a\n", "anchors are not part of a policy"),
        (b"x" * 1_000_000, "larger than 512 KiB"),
        (b"policy: 1\npolicy: 1\n", "duplicate key"),
    ],
)
def test_what_is_no_policy_ends_with_words_and_exit_code_2(
    bridge: Bridge, tmp_path: Path, command: str, content: bytes | str | None, told: str
) -> None:
    path = tmp_path / "broken.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    ran = bridge("policy", command, str(path))
    assert ran.code == 2
    assert told in ran.out + ran.err


def test_without_a_policy_and_settings_it_says_where_to_name_one(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    ran = bridge("policy", "check")
    assert ran.code == 2
    assert ran.err.startswith("bridge: name the policy's file behind the command, or in settings that can be read:\n")
    assert "BRIDGE_POLICY" in ran.err


def test_the_policy_of_the_settings_is_the_one_that_is_meant(bridge: Bridge, world: World) -> None:
    assert "14 rules" in bridge("policy", "check").out


def test_a_check_starts_without_what_it_does_not_need() -> None:
    """It is run at every save: 250 ms leave no room for pydantic, SQLAlchemy, requests or rich."""
    program = (
        "import sys; from bridge.cli.app import main\n"
        f"sys.argv = ['bridge', 'policy', 'check', {str(CEGAPE)!r}]\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'pydantic', 'sqlalchemy', 'requests', 'rich', 'jinja2', 'orjson', 'structlog'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


# --- schema ---------------------------------------------------------------------------------------------------------


def test_the_schemas_beside_the_policies_are_those_of_the_program(bridge: Bridge, tmp_path: Path) -> None:
    for name, options, made in (
        ("policy.schema.json", [], schema()),
        ("policy-tests.schema.json", ["--tests"], cases_schema()),
    ):
        assert bridge("policy", "schema", *options, "--output", str(tmp_path / name)).code == 0
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / "config" / name).read_text(encoding="utf-8")
        assert json.loads(bridge("policy", "schema", *options).out) == made


def test_every_policy_points_editors_to_its_schema() -> None:
    for path in (*POLICIES, *(path.with_name(f"{path.stem}.tests.yaml") for path in POLICIES)):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        _, _, target = first.partition("# yaml-language-server: $schema=")
        assert (path.parent / target).is_file()


def test_the_schema_says_what_every_key_means() -> None:
    def described(part: object) -> None:
        if isinstance(part, dict):
            for name, value in part.get("properties", {}).items():
                assert value["description"], name
            for value in part.values():
                described(value)
        elif isinstance(part, list):
            for value in part:
                described(value)

    described(schema())
    described(cases_schema())


# --- test -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_the_cases_of_the_shipped_policies_ask_about_every_move(bridge: Bridge, path: Path) -> None:
    ran = bridge("policy", "test", str(path), "--cover", "100")
    assert ran.code == 0, ran.out
    assert "0 failed; they ask about 100 % of all" in ran.out


def test_a_rule_that_objects_unasked_fails_its_case(bridge: Bridge, mine: Path) -> None:
    cases = mine.with_name("cegape.tests.yaml")
    edit(cases, "rules: [creation-en-nouveau, resolu-apres-test]", "rules: [creation-en-nouveau]")
    ran = bridge("policy", "test", str(mine))
    assert ran.code == 1
    (line,) = [line for line in ran.out.splitlines() if line.startswith(str(cases))]
    assert line.endswith("resolu-apres-test objects, and the case does not say so")
    assert "[creation → RESOLU by client]" in line


def test_a_rule_that_does_not_object_as_expected_fails_its_case(bridge: Bridge, mine: Path) -> None:
    edit(mine, "only-into: nowhere\n    mode: observe", "only-into: nowhere\n    mode: off")
    ran = bridge("policy", "test", str(mine), "--json")
    assert ran.code == 1
    told = json.loads(ran.out)
    assert {failure["move"]["from"] for failure in told["failures"]} == {"REJETE"}
    assert any("rejete-est-clos does not object" in failure["message"] for failure in told["failures"])


def test_what_no_case_asks_about_is_told(bridge: Bridge, mine: Path) -> None:
    mine.with_name("few.yaml").write_text(
        "cases:\n  - {name: one, by: client, from: creation, into: NOUVEAU, expect: allowed}\n", encoding="utf-8"
    )
    ran = bridge("policy", "test", str(mine), "--cases", str(mine.with_name("few.yaml")), "--cover", "1")
    assert ran.code == 1
    assert "no case expects the rule resolu-apres-test to object" in ran.out
    assert "no case asks about EN COURS → RESOLU by client" in ran.out
    assert "1 cases, 0 failed; they ask about 0 % of all 128 moves" in ran.out


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("{name: x, by: client, into: RESOLU, expect: allowed}", "this case begins nowhere"),
        ("{name: x, by: client, from: RESOLU, into: RESOLU, expect: allowed}", "this case stands for no move"),
        ("{name: x, by: client, from: NOUVEAU, into: RESOLU}", "the case lacks 'expect'"),
        ("{name: x, by: client, from: NOUVEAU, into: RESOLU, expect: reported}", "'reported' and the rules do not fit"),
        ("{name: x, by: clent, from: NOUVEAU, into: RESOLU, expect: allowed}", "did you mean 'client'?"),
        ("{name: x, by: client, from: NOUVO, into: RESOLU, expect: allowed}", "did you mean 'NOUVEAU'?"),
        ("{name: x, by: client, from: NOUVEAU, into: RESOLU, expect: reported, rules: x}", "unknown rule 'x'"),
        ("{name: x, by: client, from: NOUVEAU, into: RESOLU, expect: alowed}", "did you mean 'allowed'?"),
    ],
)  # fmt: skip
def test_a_case_that_says_nothing_or_nonsense_fails(bridge: Bridge, mine: Path, case: str, told: str) -> None:
    cases = mine.with_name("cegape.tests.yaml")
    cases.write_text(f"cases:\n  - {case}\n", encoding="utf-8")
    ran = bridge("policy", "test", str(mine))
    assert ran.code in (1, 2)
    assert told in ran.out + ran.err
    assert f"{cases}:2:" in ran.out + ran.err


def test_the_results_are_readable_by_test_runners(bridge: Bridge, mine: Path) -> None:
    edit(mine.with_name("cegape.tests.yaml"), "expect: waits", "expect: allowed")
    results = mine.with_name("junit.xml")
    assert bridge("policy", "test", str(mine), "--junit", str(results)).code == 1
    suite = ElementTree.parse(results).getroot()
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), "1")
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert failed.get("name") == "Within the quarter of an hour nothing is said"


def test_test_runners_see_a_coverage_that_is_too_low(bridge: Bridge, mine: Path) -> None:
    cases = mine.with_name("cegape.tests.yaml")
    edit(cases, "into: [NECESSITE CLARIFICATION, EN COURS, EN COURS DE TEST, EN ATTENTE]\n    expect: allowed", (
        "into: [NECESSITE CLARIFICATION, EN COURS, EN COURS DE TEST]\n    expect: allowed"
    ))  # fmt: skip
    results = mine.with_name("junit.xml")
    asked = ["policy", "test", str(mine), "--junit", str(results)]
    assert bridge(*asked).code == 0
    assert ElementTree.parse(results).getroot().get("failures") == "0"
    assert bridge(*asked, "--cover", "100").code == 1
    suite = ElementTree.parse(results).getroot()
    (failed,) = [case for case in suite.findall("testcase") if case.find("failure") is not None]
    assert (suite.get("failures"), failed.get("name")) == ("1", "coverage")
    assert failed[0].get("message") == "the cases ask about 96 % of all moves, and not 100 %"


# --- explain, matrix, graph, advise ---------------------------------------------------------------------------------


def test_a_move_is_explained_in_french_with_its_rule_its_source_and_what_is_allowed(bridge: Bridge) -> None:
    ran = bridge("policy", "explain", "NOUVEAU → RESOLU", "--as", "Client", str(CEGAPE))
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "NOUVEAU → RESOLU, par le client : non conforme : signalé",
        "  resolu-apres-test",
        "    RESOLU vient après correctif, donc après que la demande a été EN COURS DE TEST.",
        "    source : Wiki, RESOLU: 'après correctif'; that this means EN COURS DE TEST is the project's reading",
        "    mode : observée",
        "    qui peut le faire : personne d'ici",
        "Le client peut à la place : EN ATTENTE",
        "le chemin qui y mène : EN COURS DE TEST (CEGAPE), RESOLU (le client)",
    ]


def test_a_move_is_explained_in_english_with_modes_and_exemptions_in_force(bridge: Bridge) -> None:
    ran = bridge(
        "policy", "explain", "Approved -> Released", "--as", "developer", "--project", "payroll-france", str(RELEASE),
        "--language", "en", "--on", "2026-12-20",
    )  # fmt: skip
    assert ran.code == 1
    assert "Approved → Released, by the developer: illegal: put back" in ran.out
    assert "released-by-the-manager" in ran.out
    assert (
        "mode: off; observed in payroll-belgium from 2026-12-24 to 2026-12-31; enforced from 2026-12-15 to 2027-01-08"
        " – here: enforced\n" in ran.out
    )
    assert (
        "there is an exemption, which does not cover this move: security-fixes of four-eyes, year-end-freeze"
        " in payroll-france for person 58 on ticket 4711 until 2026-12-31, answered for by Head of engineering: The sec"
    ) in ran.out
    assert "who may: nobody from here" in ran.out


def test_a_move_that_an_exemption_covers_says_so(bridge: Bridge) -> None:
    ran = bridge(
        "policy", "explain", "Approved -> Released", "--as", "developer", "--project", "payroll-france",
        str(RELEASE), "--language", "en", "--on", "2026-12-20", "--person", "58", "--ticket", "4711",
    )  # fmt: skip
    assert "year-end-freeze\n" not in ran.out
    assert "\nexemption: security-fixes of four-eyes, year-end-freeze in payroll-france for person 58" in ran.out


def test_what_a_question_does_not_tell_is_said_with_the_rules_that_ask_for_it(bridge: Bridge) -> None:
    ran = bridge("policy", "explain", "In review -> Approved", "--as", "developer", str(RELEASE))
    assert (ran.code, ran.out.splitlines()) == (
        0,
        [
            "In review → Approved, by the developer: undecided: who moved the ticket is not known",
            "it depends on the ticket's facts, its people or its comments:",
            "  four-eyes",
            "    Nobody approves the release that they created or handed in for review.",
            "    source: Process 2.3: a release is seen by four eyes",
            "    mode: enforced",
        ],
    )
    ran = bridge("policy", "explain", "EN COURS -> REJETE", "--as", "cegape", str(CEGAPE))
    first, *more = ran.out.splitlines()
    assert first.startswith("EN COURS → REJETE, par CEGAPE : permis pour l'instant ; jugé de nouveau à ")
    assert more[:2] == ["cela dépend de la demande, de ses acteurs ou de ses commentaires :", "  rejete-avec-motif"]
    told = json.loads(bridge("policy", "explain", "EN COURS -> REJETE", "--as", "cegape", "--json", str(CEGAPE)).out)
    assert told["depends_on"] == ["rejete-avec-motif"]


def test_an_explanation_speaks_the_readers_language_throughout(bridge: Bridge) -> None:
    ran = bridge("policy", "explain", "In review -> Approved", "--as", "developer", "-l", "fr", str(RELEASE))
    assert ran.out.splitlines()[0].endswith(" : non jugé : on ne sait pas qui a déplacé la demande")
    ran = bridge("policy", "explain", "RESOLU -> EN COURS", "--as", "cegape", str(CEGAPE))
    assert ran.out.splitlines()[1] == "note : réouverture"


def test_the_way_there_is_one_that_is_open_in_this_project_on_this_day(bridge: Bridge) -> None:
    asked = ["policy", "explain", "Draft -> Released", "--as", "developer", "--on", "2026-12-20", str(RELEASE)]
    assert "\nthe way there: In review (the developer), Approved (the " in bridge(*asked, "--project", "shop").out
    assert "\nthe way there" not in bridge(*asked, "--project", "payroll-france").out


def test_an_observed_project_and_a_party_that_is_only_reported_are_said_to_be_so(bridge: Bridge, mine: Path) -> None:
    rule = "into: EN COURS\n    only-by: cegape\n    mode: enforce"
    edit(mine, rule, f"{rule}\n    mode-for: [{{projects: client-beta, until: 2027-01-31, mode: observe}}]")
    asked = ["policy", "explain", "NOUVEAU > EN COURS", "--as", "client", "--language", "en", "--on", "2026-12-01"]
    ran = bridge(*asked, "--project", "client-beta", str(mine))
    assert "illegal: reported" in ran.out
    assert "mode: enforced; observed in client-beta until 2027-01-31 – here: observed\n" in ran.out
    assert "– here: enforced\n" in bridge(*asked, "--project", "client-alpha", str(mine)).out
    ran = bridge("policy", "explain", "EN COURS > NOUVEAU", "--as", "cegape", "--language", "en", str(mine))
    assert "mode: enforced – only reported: nothing that CEGAPE does is put back\n" in ran.out
    table = bridge("policy", "matrix", "--language", "fr", str(mine)).out
    assert "en-cours-par-cegape: appliquée\u202f; observée dans client-beta jusqu’au 2027-01-31\n" in table
    drawn = bridge("policy", "matrix", "--format", "svg", "--language", "en", str(mine)).out
    assert "(enforced; observed in client-beta until 2027-01-31)" in drawn


def test_a_day_that_is_none_is_refused(bridge: Bridge) -> None:
    ran = bridge("policy", "matrix", "--on", "tomorrow", str(CEGAPE))
    assert (ran.code, ran.out) == (2, "")
    assert "--on 'tomorrow' is no day: write it as 2026-12-31" in ran.err


def test_a_legal_move_is_explained_too(bridge: Bridge) -> None:
    ran = bridge(
        "policy", "explain", "EN ATTENTE > RESOLU", "--as", "client", "--been", "EN COURS DE TEST", str(CEGAPE)
    )
    assert (ran.code, ran.out) == (0, "EN ATTENTE → RESOLU, par le client : permis\n")
    told = json.loads(bridge("policy", "explain", "creation > NOUVEAU", "--as", "client", "--json", str(CEGAPE)).out)
    assert (told["verdict"], told["move"]["from"]) == ("Allowed", "creation")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["NOUVEAU → RESOULU", "--as", "client"], "did you mean 'RESOLU'?"),
        (["NOUVEAU", "--as", "client"], "is no move"),
        (["NOUVEAU → RESOLU", "--as", "auditor"], "the parties are cegape, client"),
        (["NOUVEAU → RESOLU", "--as", "clent"], "the parties are cegape, client (did you mean 'client'?)"),
        (["NOUVEAU → RESOLU"], "say who moves the ticket, with --as: the parties are cegape, client"),
        (["NOUVEAU → RESOLU", "--as", "client", "--language", "de"], "the policy speaks fr and en"),
    ],
)
def test_a_question_that_means_nothing_is_answered_with_what_would(
    bridge: Bridge, arguments: list[str], told: str
) -> None:
    ran = bridge("policy", "explain", *arguments, str(CEGAPE))
    assert ran.code == 2
    assert told in ran.err


def test_the_matrix_decides_every_pair(bridge: Bridge) -> None:
    told = json.loads(bridge("policy", "matrix", "--json", str(CEGAPE)).out)
    assert len(told["pairs"]) == 2 * (9 * 8 - 8)
    assert {pair["answer"] for pair in told["pairs"]} == {"allowed", "asked", "later", "reported", "put back"}
    rows = [line.split() for line in bridge("policy", "matrix", "-l", "en", str(CEGAPE)).out.splitlines()]
    assert ["4)", "EN", "COURS", "DE", "TEST", "BACK", "BACK", "BACK", "-", "ok", "ok", "BACK", "ok"] in rows


def test_dead_ends_traps_and_statuses_that_nobody_reaches_are_found(bridge: Bridge, mine: Path) -> None:
    edit(mine, "closed: [RESOLU, REJETE]", "closed: [RESOLU]")
    edit(mine, "rejete-est-clos:\n    from: REJETE\n    by: client", "rejete-est-clos:\n    from: REJETE")
    edit(mine, "after: EN COURS DE TEST", "after: EN COURS DE TEST\n    by: client")
    ran = bridge("policy", "matrix", str(mine))
    assert ran.code == 1
    assert "personne ne peut faire sortir une demande de REJETE, qui ne la clôture pas" in ran.out
    assert "CEGAPE peut faire passer une demande à REJETE, et personne ne peut l’en faire sortir" in ran.out


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_pictures_are_images_that_name_every_status(bridge: Bridge, path: Path, language: str) -> None:
    policy = load(path.read_bytes(), path.name)
    for command in (["graph"], ["matrix", "--format", "svg"]):
        ran = bridge("policy", *command, "--language", language, str(path))
        assert ran.code == 0
        image = ElementTree.fromstring(ran.out)
        assert image.tag == "{http://www.w3.org/2000/svg}svg"
        assert image.get("role") == "img"
        words = " ".join("".join(image.itertext()).split())
        for status in policy.statuses:
            assert all(word in words for word in status.split())
        for party in policy.parties:
            assert party.label[language].casefold() in words.casefold()
        assert f"{policy.name} – " in words
        assert policy.hash[:12] in words


def test_a_picture_says_where_and_when_it_holds(bridge: Bridge) -> None:
    asked = ["--project", "payroll-france", "--type", "Hotfix", "--on", "2026-12-20", "-l", "fr", str(RELEASE)]
    terms = (
        f"politique {load(RELEASE.read_bytes(), '').hash[:12]}, dans payroll-france, pour le type Hotfix, au 2026-12-20"
    )
    for command in (["graph"], ["matrix"], ["matrix", "--format", "svg"]):
        assert f"Four-eyes release process – {terms}" in bridge("policy", *command, *asked).out
    assert bridge("policy", "matrix", *asked).out.endswith("personne ne peut faire passer une demande à Rolled back\n")


def test_a_long_way_goes_on_below_and_a_long_name_over_several_lines(bridge: Bridge, mine: Path) -> None:
    """A page as wide as four cards, whatever the policy; nothing of it beyond its edge."""
    svg = "{http://www.w3.org/2000/svg}"
    steps = [f"ÉTAPE {number} DE LA LONGUE HOMOLOGATION" for number in range(9)]
    text = mine.read_text(encoding="utf-8").replace(
        "initial:", "".join(f"  - {one}\n" for one in steps) + "initial:", 1
    )
    for number, (before, step) in enumerate(zip(["EN COURS DE TEST", *steps], steps, strict=False)):
        sentence = "mode: enforce, sentence: {fr: f, en: e}, source: a test"
        text += f"  step-{number}: {{into: {step}, only-by: [cegape, client], {sentence}}}\n"
        text += f"  order-{number}: {{into: {step}, after: {before}, {sentence}}}\n"
    mine.write_text(text, encoding="utf-8")
    for command in (["graph"], ["matrix", "--format", "svg"]):
        image = ElementTree.fromstring(bridge("policy", *command, str(mine)).out)
        width, height = float(image.get("width", "")), float(image.get("height", ""))
        assert command != ["graph"] or width < 1700
        for one in image.findall(f"{svg}text"):
            size, x, length = float(one.get("font-size", "")), float(one.get("x", "")), len("".join(one.itertext()))
            left = x - {"end": 1, "middle": 0.5}.get(one.get("text-anchor", ""), 0) * length * size * 0.66
            assert left >= 0
            assert left + length * size * 0.55 <= width
            assert float(one.get("y", "")) <= height


def test_no_colour_of_a_graph_stands_without_a_letter(bridge: Bridge) -> None:
    """One arrow and one badge a move and party, one badge a party in the legend."""
    image = ElementTree.fromstring(bridge("policy", "graph", "-l", "en", str(CEGAPE)).out)
    svg = "{http://www.w3.org/2000/svg}"
    arrows = [path.get("stroke") for path in image.findall(f"{svg}path") if path.get("marker-end")]
    badges = [circle.get("fill") for circle in image.findall(f"{svg}circle")]
    letters = [text.text for text in image.findall(f"{svg}text") if text.get("text-anchor") == "middle"]
    assert sorted(map(str, badges)) == sorted(map(str, [*arrows, *dict.fromkeys(arrows)][1:]))
    assert len(letters) == len(badges) - 1
    assert set(letters) == {"A", "B"}


def test_the_pictures_in_the_documentation_are_those_of_the_policy(bridge: Bridge) -> None:
    for name, command in (("graph", ["graph"]), ("matrix", ["matrix", "--format", "svg"])):
        drawn = bridge("policy", *command, str(CEGAPE)).out
        assert (ROOT / "docs" / f"cegape-{name}.svg").read_text(encoding="utf-8").rstrip() == drawn.rstrip()


def test_mermaid_gets_every_status_and_every_closing(bridge: Bridge) -> None:
    told = bridge("policy", "graph", "--format", "mermaid", "--language", "en", str(CEGAPE)).out
    assert told.startswith("stateDiagram-v2\n")
    assert '    state "EN COURS DE TEST" as s3\n' in told
    assert "    s3 --> s4 : The client\n" in told
    assert told.count("--> [*]") == 2


def test_what_means_something_to_mermaid_is_no_part_of_a_name_there(bridge: Bridge, mine: Path) -> None:
    text = mine.read_text(encoding="utf-8")
    strange = """'a "b": <<fork>>; %%{c}%% #1'"""
    for key in ("  - ", "    into: "):
        text = text.replace(f"{key}EN ATTENTE\n", f"{key}{strange}\n")
    mine.write_text(text, encoding="utf-8")
    told = bridge("policy", "graph", "--format", "mermaid", str(mine)).out
    assert "    state \"a 'b'  ‹‹fork››, %{c}% 1\" as s5\n" in told


def test_an_unknown_format_is_told(bridge: Bridge) -> None:
    ran = bridge("policy", "graph", "--format", "png", str(CEGAPE))
    assert (ran.code, ran.err) == (2, "bridge: --format 'png': choose svg or mermaid\n")


def test_the_advice_names_boxes_and_what_no_box_can_do(bridge: Bridge) -> None:
    ran = bridge("policy", "advise", str(CEGAPE))
    assert ran.code == 0
    assert ran.out.startswith("In OpenProject, under Administration → Work packages → Workflows, choose the role")
    assert (
        "\n\nrole Client (the client), every type: would be put back\n    NOUVEAU → NECESSITE CLARIFICATION, EN COURS"
    ) in ran.out
    assert "resolu-apres-test: the workflow knows the status before, and not where the ticket has been" in ran.out
    told = json.loads(bridge("policy", "advise", "--json", str(CEGAPE)).out)
    boxes = {(one["party"], one["origin"]): one for one in told["untick"] if one["enforced"]}
    assert boxes["client", "EN COURS DE TEST"]["targets"] == [
        "NOUVEAU",
        "NECESSITE CLARIFICATION",
        "EN COURS",
        "REJETE",
    ]
    assert ("cegape", "NOUVEAU") not in boxes


def test_the_advice_is_about_today_and_not_about_a_trial_that_is_over(bridge: Bridge, mine: Path) -> None:
    rule = "into: EN COURS\n    only-by: cegape\n    mode: enforce"
    edit(mine, rule, f"{rule}\n    mode-for: [{{until: 2020-01-31, mode: observe}}]")
    told = json.loads(bridge("policy", "advise", "--json", str(mine)).out)
    (enforced,) = [one["targets"] for one in told["untick"] if one["origin"] == "NOUVEAU" and one["enforced"]]
    assert "EN COURS" in enforced

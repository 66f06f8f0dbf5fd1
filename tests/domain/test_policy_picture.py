"""The pictures say what the survey says, in words that are true, and nothing in them hides anything else."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bridge.domain.model import Mode, StatusName
from bridge.domain.policy import Policy, Rule, load
from bridge.domain.policy.picture import WORDS, graph_mermaid, graph_svg, matrix_svg
from bridge.domain.policy.rules import After, OnlyBy, OnlyInto
from bridge.domain.policy.survey import survey
from tests.domain.test_policy_judging import PARTIES, STATUSES, let_be, never, small

CONFIG = Path(__file__).parents[2] / "config"
NEW, DOING, TESTING, DONE, REFUSED = STATUSES
STAFF, CLIENT = PARTIES


def leads(origin: StatusName, *targets: StatusName, client_only: bool = False) -> Rule:
    return replace(
        never(f"from-{origin}"),
        into=None,
        origin=frozenset({origin}),
        by=frozenset({CLIENT}) if client_only else None,
        demand=OnlyInto(frozenset(targets)),
    )


def labelled(policy: Policy) -> Policy:
    parties = tuple(
        replace(party, label={"en": f"the {party.name}", "fr": f"l’acteur {party.name}"}, reverted=party.name == CLIENT)
        for party in policy.parties
    )
    return replace(policy, name="Desk & Co", parties=parties)


DESK = labelled(
    small(
        replace(never("never-new"), into=frozenset({NEW})),
        replace(never("doing-by-staff"), into=frozenset({DOING}), demand=OnlyBy(frozenset({STAFF}))),
        replace(never("tested-first"), into=frozenset({DONE}), demand=After(frozenset({TESTING}))),
        leads(DOING, TESTING, REFUSED, client_only=True),
        leads(DONE, DOING),
        replace(leads(REFUSED, DOING, client_only=True), mode=Mode.OBSERVE),
        exemptions=(let_be("summer", tickets=frozenset({42})),),
    )
)
SHIPPED = [
    load(path.read_bytes(), path.name) for path in (CONFIG / "cegape.yaml", CONFIG / "examples" / "release.yaml")
]
CROWDED = replace(labelled(small(*(never(f"rule-{number}") for number in range(14)))), name="crowded")
POLICIES = [DESK, CROWDED, *SHIPPED]


def test_a_card_says_from_where_each_party_may_enter_in_few_words_that_are_true() -> None:
    assert graph_mermaid(DESK, survey(DESK), "en").splitlines() == [
        "stateDiagram-v2",
        "    direction LR",
        '    state "new" as s0',
        '    state "doing" as s1',
        '    state "testing" as s2',
        '    state "done" as s3',
        '    state "refused" as s4',
        "    [*] --> s0",
        "    s0 --> s1 : The staff",
        "    s0 --> s2 : The staff, The client",
        "    s0 --> s4 : The staff, The client",
        "    s2 --> s3 : The staff, The client",
        "    s3 --> s1 : The staff",
        "    s3 --> [*]",
        "    s4 --> [*]",
        "    note right of s0",
        "        only at creation, by the staff,",
        "        the client",
        "    end note",
        "    note right of s1",
        "        The staff from anywhere",
        "    end note",
        "    note right of s2",
        "        The staff from anywhere but done",
        "        The client from any open status",
        "    end note",
        "    note right of s3",
        "        The staff from anywhere, after",
        "        testing",
        "        The client from new or testing,",
        "        after testing",
        "    end note",
        "    note right of s4",
        "        The staff, the client from any",
        "        open status",
        "    end note",
    ]


def test_a_status_that_nobody_enters_says_so_and_stands_last() -> None:
    nobody = small(replace(never("a"), creation=False), replace(never("b"), creation=True, into=frozenset({TESTING})))
    lines = graph_mermaid(labelled(nobody), survey(nobody), "fr").splitlines()
    at = lines.index("    note right of s2")
    assert lines[at + 1] == "        personne n’y entre"
    assert not [line for line in lines if line.startswith("    s2 -->") or "--> s2" in line]


def test_a_step_out_of_a_closed_status_is_drawn_where_nothing_else_leads_there() -> None:
    def arrows(policy: Policy) -> list[str]:
        return [line.strip() for line in graph_mermaid(policy, survey(policy), "en").splitlines() if " : " in line]

    only_reopened = labelled(
        small(
            leads(NEW, DONE),
            leads(DONE, DOING, TESTING, REFUSED),
            leads(DOING, TESTING, REFUSED),
            leads(TESTING, REFUSED),
            leads(REFUSED),
        )
    )
    both = "The staff, The client"
    assert arrows(only_reopened) == [
        f"s0 --> s3 : {both}",
        f"s3 --> s1 : {both}",
        f"s3 --> s2 : {both}",
        f"s3 --> s4 : {both}",
    ]
    also_before = replace(only_reopened, rules=(leads(NEW, DOING, DONE), *only_reopened.rules[1:]))
    assert arrows(also_before) == [
        f"s0 --> s1 : {both}", f"s0 --> s3 : {both}", f"s1 --> s2 : {both}", f"s1 --> s4 : {both}",
    ]  # fmt: skip


def test_what_means_something_to_mermaid_is_left_out_of_names() -> None:
    strange = StatusName('a "b": c; d#')
    renamed = replace(DESK, statuses=(NEW, strange), closed=frozenset({strange}), rules=())
    assert "    state \"a 'b'  c, d\" as s1" in graph_mermaid(renamed, survey(renamed), "en").splitlines()


def elements(svg: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_cell_of_the_matrix_says_what_comes_of_its_move_and_by_which_rules(policy: Policy, language: str) -> None:
    table, words = survey(policy), WORDS[language]
    numbers = {rule.id: str(number) for number, rule in enumerate(policy.rules, 1)}
    expected = []
    for pair in table.pairs:
        rules = sorted((numbers[rule] for rule in (*pair.objecting, *pair.asking)), key=int)
        told = f"{pair.origin or words['creation']} → {pair.target}: {words[pair.answer]} {', '.join(rules)}"
        expected.append((told.strip(), ", ".join(rules)))
    svg = matrix_svg(policy, table, language)
    cells = []
    for group in elements(svg, "g"):
        title, *shown = ("".join(part.itertext()) for part in group if part.tag.endswith(("title", "text")))
        cells.append((title, " ".join(shown)))
        (box,) = (part for part in group if part.tag.endswith("rect"))
        x, y, width, height = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        for text in (part for part in group if part.tag.endswith("text")):
            assert x < float(text.attrib["x"]) < x + width - 7 * len(text.text or "")
            assert y + 10 < float(text.attrib["y"]) < y + height
    assert cells == expected
    texts = [text.text for text in elements(svg, "text")]
    for number, rule in enumerate(policy.rules, 1):
        assert str(number) in texts
        assert rule.sentence[language].split()[0] in " ".join(filter(None, texts))
    assert (words["exemptions"] in texts) is bool(policy.exemptions)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_nothing_lies_outside_a_picture_and_no_card_or_cell_on_another(policy: Policy, language: str) -> None:
    table = survey(policy)
    for svg in (graph_svg(policy, table, language), matrix_svg(policy, table, language)):
        left, top, width, height = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
        boxes = []
        for rect in elements(svg, "rect")[1:]:  # the first is the background
            x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            assert left <= x <= x + w <= left + width
            assert top <= y <= y + h <= top + height
            if rect.get("fill") != "none" and w > 40:  # but for the second frame of a closed card
                boxes.append((x, y, x + w, y + h))
        for text in elements(svg, "text"):
            size, length = float(text.attrib["font-size"]), len("".join(text.itertext()))
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            assert left <= x < left + width
            assert top + size / 2 <= y <= top + height
            if text.get("text-anchor") is None and size < 20:
                assert x + length * size * 0.45 <= left + width, text.text
        for one, other in combinations(boxes, 2):
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_an_arrow_leaves_one_card_and_ends_before_another_and_is_dashed_where_it_opens_a_ticket(policy: Policy) -> None:
    svg = graph_svg(policy, survey(policy), "en")
    cards = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in elements(svg, "rect")
        if rect.get("fill") == "#ffffff"
    ]
    assert len(cards) == len(policy.statuses)
    arrows = [path for path in elements(svg, "path") if path.get("marker-end")]
    mermaid = [line for line in graph_mermaid(policy, survey(policy), "en").splitlines() if " : " in line]
    assert len(arrows) == 1 + sum(line.partition(" : ")[2].count(",") + 1 for line in mermaid)
    heads = {marker.attrib["id"] for marker in elements(svg, "marker")}
    for path in arrows[1:]:
        words = re.sub("[MCL]", "", path.attrib["d"]).split()
        (x1, y1), (x2, y2) = (tuple(map(float, words[:2])), tuple(map(float, words[-2:])))
        origin = [x for x, y, w, h in cards if x1 in (x, x + w) and y <= y1 <= y + h]
        target = [x for x, y, w, h in cards if x2 in (x - 3, x + w + 3) and y <= y2 <= y + h]
        assert (len(origin), len(target)) == (1, 1)
        folded = "L" in path.attrib["d"] and y1 < y2  # on to the next line, where a long way goes on at the left
        assert (path.get("stroke-dasharray") is None) is (origin < target or folded)
        assert path.attrib["marker-end"][5:-1] in heads

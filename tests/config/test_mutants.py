"""Every key and every value of the shipped policies, misspelt, doubled, removed and of the wrong type: each is found.

The mutants are made by ruamel's own tree, which the reader does not use, so that the places are an independent oracle.
Some are made together in one file, because all mistakes are to be found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bridge.domain.policy import Policy, load
from bridge.domain.policy.cases import DOCUMENT as CASES
from bridge.domain.policy.cases import load_cases
from bridge.domain.policy.reading import DOCUMENT
from bridge.domain.policy.shapes import Key, ListOf, Made, MapOf, Named, Section
from bridge.errors import PolicyError

CONFIG = Path(__file__).parents[2] / "config"
POLICIES = [CONFIG / "cegape.yaml", CONFIG / "examples" / "release.yaml"]

At = tuple[int, int]
Keys = tuple[str, ...]


# --- What stands in the file ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One key with its value; the section it stands in, and where the section's lacks are missed."""

    path: Keys
    key: ScalarNode
    value: Node
    section: MappingNode
    owner: Node
    declared: Key | None
    """None where the author chooses the name."""

    @property
    def end(self) -> int:
        """Where the value ends, without the comment and the empty lines that follow it."""
        last: Node = self.value
        while isinstance(last, MappingNode | SequenceNode) and not last.flow_style:
            last = last.value[-1][1] if isinstance(last, MappingNode) else last.value[-1]
        return int(last.end_mark.index)

    @property
    def opens_its_section(self) -> bool:
        return self.section.value[0][0] is self.key


def tree(text: str) -> MappingNode:
    root = YAML(typ="safe", pure=True).compose(text)
    assert isinstance(root, MappingNode)
    return root


def entries(node: Node, shape: object = DOCUMENT, path: Keys = (), name: Node | None = None) -> Iterator[Entry]:
    while isinstance(shape, Made):
        shape = shape.of
    match node, shape:
        case MappingNode(), Section():
            for key, value in node.value:
                declared = shape.keys[key.value]
                yield Entry((*path, key.value), key, value, node, name or node, declared)
                yield from entries(value, declared.shape, (*path, key.value))
        case MappingNode(), Named() | MapOf():
            for key, value in node.value:
                yield Entry((*path, key.value), key, value, node, node, None)
                yield from entries(value, shape.one, (*path, key.value), key)
        case SequenceNode(), ListOf():
            for number, item in enumerate(node.value):
                yield from entries(item, shape.one, (*path, str(number)))
        case _:
            pass


def scalars(node: Node, path: Keys = ()) -> Iterator[tuple[Keys, ScalarNode]]:
    """Every value that is no section or list, with the path of the key it belongs to."""
    match node:
        case MappingNode():
            for key, value in node.value:
                yield from scalars(value, (*path, key.value))
        case SequenceNode():
            for item in node.value:
                yield from scalars(item, path)
        case ScalarNode():
            yield path, node
        case _:
            pass


def at(node: Node) -> At:
    return node.start_mark.line + 1, node.start_mark.column + 1


# --- Mutants --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """Text to put in the place of other text, and where complaints must then stand."""

    path: Keys
    start: int
    end: int
    by: str
    here: int | None = 0
    """How far into the new text a complaint must stand; None for nowhere."""
    elsewhere: int | None = None
    """Where in the old text one more must stand."""


def put(node: Node, by: str, path: Keys) -> Edit:
    return Edit(path, node.start_mark.index, node.end_mark.index, by)


def made(text: str, edits: Sequence[Edit]) -> tuple[str, set[At]]:
    """The text with all edits made, and the places where complaints must stand."""
    for edit in sorted(edits, key=lambda one: -one.start):
        text = text[: edit.start] + edit.by + text[edit.end :]

    def moved(offset: int) -> int:
        return offset + sum(len(one.by) - (one.end - one.start) for one in edits if one.start < offset)

    offsets = [moved(edit.start) + edit.here for edit in edits if edit.here is not None]
    offsets += [moved(edit.elsewhere) for edit in edits if edit.elsewhere is not None]
    return text, {(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)) for offset in offsets}


def complaints(text: str) -> set[At]:
    try:
        load(text, "mutant.yaml")
    except PolicyError as error:
        return {(one.line, one.column) for one in error.complaints}
    return set()


def together(edits: Iterable[Edit], at_most: int = 40) -> list[list[Edit]]:
    """Batches of edits, each in a section of its own that no other edit of its batch removes."""
    batches: list[list[Edit]] = []
    for edit in edits:
        for batch in batches:
            if len(batch) < at_most and not any(_near(edit.path, other.path) for other in batch):
                batch.append(edit)
                break
        else:
            batches.append([edit])
    return batches


def _near(one: Keys, other: Keys) -> bool:
    shorter, longer = sorted((one[:-1] or one, other[:-1] or other), key=len)
    return longer[: len(shorter)] == shorter


def assert_all_found(
    text: str, edits: Iterable[Edit], at_least: int, read: Callable[[str], set[At]] = complaints
) -> None:
    count = 0
    for batch in together(edits):
        mutant, expected = made(text, batch)
        found = read(mutant)
        assert expected <= found, f"{sorted(expected - found)} of {[edit.path for edit in batch]} in\n{mutant}"
        count += len(batch)
    assert count >= at_least


@pytest.fixture(params=POLICIES, ids=lambda path: path.stem)
def text(request: pytest.FixtureRequest) -> str:
    path: Path = request.param
    return path.read_text(encoding="utf-8")


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_the_policies_themselves_are_right(text: str) -> None:
    assert complaints(text) == set()


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1], lambda key: key + "x", str.capitalize], ids=["less", "x", "cap"]
)
def test_every_misspelt_key_is_found_where_it_stands(text: str, change: Callable[[str], str]) -> None:
    def edits() -> Iterator[Edit]:
        for entry in entries(tree(text)):
            misspelt = change(entry.key.value)
            if entry.declared is not None and misspelt not in ("", "by", "mode", "language"):
                yield put(entry.key, misspelt, entry.path)

    assert_all_found(text, edits(), 110)


def test_a_misspelt_key_of_a_rule_makes_no_other_complaint_and_comes_with_the_right_one(text: str) -> None:
    of_one_rule = [entry for entry in entries(tree(text)) if entry.path[0] == "rules" and len(entry.path) == 3]
    once = {entry.key.value: entry for entry in of_one_rule}
    for entry in once.values():
        assert entry.declared is not None
        mutant, expected = made(text, [put(entry.key, entry.key.value + "x", entry.path)])
        assert complaints(mutant) == expected | ({at(entry.owner)} if entry.declared.required else set())
        with pytest.raises(PolicyError, match=f"did you mean '{entry.key.value}'"):
            load(mutant, "mutant.yaml")


def test_every_doubled_key_is_found_at_the_second(text: str) -> None:
    def edits() -> Iterator[Edit]:
        for entry in entries(tree(text)):
            whole = text[entry.key.start_mark.index : entry.end]
            gap = ", " if entry.section.flow_style else "\n" + " " * entry.key.start_mark.column
            after = entry.end if entry.section.flow_style else text.index("\n", entry.end)
            yield Edit(entry.path, after, after, gap + whole, here=len(gap))

    assert_all_found(text, edits(), 140)


def test_every_required_key_that_is_removed_is_missed_where_it_belongs(text: str) -> None:
    def edits() -> Iterator[Edit]:
        for entry in entries(tree(text)):
            if entry.declared is None or not entry.declared.required:
                continue
            if entry.owner is entry.section and entry.opens_its_section:
                continue  # the section then begins with what follows: the next test
            start, end = text.rindex("\n", 0, entry.key.start_mark.index), text.index("\n", entry.end)
            if entry.opens_its_section:
                start, end = entry.key.start_mark.index, entry.section.value[1][0].start_mark.index
            elif entry.section.flow_style:
                start, end = text.rindex(",", 0, entry.key.start_mark.index), entry.end
            yield Edit(entry.path, start, end, "", here=None, elsewhere=entry.owner.start_mark.index)

    assert_all_found(text, edits(), 70)


def test_the_required_key_that_opens_a_nameless_section_is_missed_where_the_section_then_begins(text: str) -> None:
    def edits() -> Iterator[Edit]:
        for entry in entries(tree(text)):
            if entry.declared is None or not entry.declared.required or entry.owner is not entry.section:
                continue
            if entry.opens_its_section:
                following = entry.section.value[1][0].start_mark.index
                inside = entry.section.flow_style  # a section in braces begins with its brace, wherever its keys are
                yield Edit(entry.path, entry.key.start_mark.index, following, "", -1 if inside else 0)

    assert_all_found(text, edits(), 15)


# --- Values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["12.5", "{}", "[]", "''", "~", "!!set {}", "*alias"])
def test_every_value_of_the_wrong_type_is_found_where_it_stands(text: str, wrong: str) -> None:
    edits = [put(node, wrong, (*path, str(number))) for number, (path, node) in enumerate(scalars(tree(text)))]
    assert_all_found(text, edits, 110)


def test_every_section_and_list_of_the_wrong_type_is_found_where_it_stands(text: str) -> None:
    for entry in entries(tree(text)):
        if not isinstance(entry.value, ScalarNode) and len(entry.path) != 3:
            edit = Edit(entry.path, entry.value.start_mark.index, entry.end, "12.5")
            mutant, expected = made(text, [edit])
            assert expected <= complaints(mutant), entry.path


# Texts that only their author can spell: no file knows better. Their presence and type are checked like the others';
# roles, projects, types and fields are compared with the server by `bridge policy check --live`.
FREE = {"name", "guide", "appeal", "roles", "fr", "en", "source", "owner", "reason", "id", "people", "tickets"} | {
    "projects", "types", "fields", "filled", "statuses",
}  # fmt: skip
MEASURES = {"since", "until", "within", "cool-down", "policy", "limits"}


def is_measure(path: Keys) -> bool:
    return bool(MEASURES & set(path)) or (path[0] == "reminders" and path[-1] == "after")


def test_every_misspelt_word_is_found_where_it_stands(text: str) -> None:
    def edits() -> Iterator[Edit]:
        for number, (path, node) in enumerate(scalars(tree(text))):
            if path[-1] not in FREE and not FREE & set(path[-2:-1]) and not is_measure(path):
                yield put(node, f"'{node.value}x'", (*path, str(number)))

    assert_all_found(text, edits(), 50)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("guide", "example.org"), ("appeal", "contest"), ("id", "Night work"), ("tickets", "'#4711'"), ("people", "''")],
)
def test_every_address_word_name_and_number_of_the_wrong_form_is_found_where_it_stands(
    text: str, key: str, wrong: str
) -> None:
    edits = [put(node, wrong, (*path, str(n))) for n, (path, node) in enumerate(scalars(tree(text))) if path[-1] == key]
    assert_all_found(text, edits, 1 if f"{key}:" in text else 0)


@pytest.mark.parametrize(
    "wrong", ["0 minutes", "15 minuten", "soon", "2026-13-01", "24.12.2026", "-1", "9" * 11, "101 %"]
)
def test_every_number_day_and_duration_that_is_none_is_found_where_it_stands(text: str, wrong: str) -> None:
    edits = [
        put(node, wrong, (*path, str(n))) for n, (path, node) in enumerate(scalars(tree(text))) if is_measure(path)
    ]
    assert_all_found(text, edits, 2)


def test_a_misspelt_status_is_found_where_it_is_declared_and_wherever_it_is_used(text: str) -> None:
    root = tree(text)
    (statuses,) = (value for key, value in root.value if key.value == "statuses")
    for declared in statuses.value:
        uses = {at(node) for path, node in scalars(root) if node.value == declared.value and path[-1] not in FREE}
        mutant, _ = made(text, [put(declared, declared.value + "X", ("statuses",))])
        assert at(declared) in complaints(mutant)
        assert {line for line, _ in complaints(mutant)} == {line for line, _ in uses | {at(declared)}}


def test_a_misspelt_party_is_found_where_it_is_declared_and_wherever_it_is_used(text: str) -> None:
    root = tree(text)
    (parties,) = (value for key, value in root.value if key.value == "parties")
    for name, _ in parties.value:
        uses = {at(node) for path, node in scalars(root) if node.value == name.value}
        mutant, _ = made(text, [put(name, name.value + "x", ("parties",))])
        assert complaints(mutant) == uses | ({at(name)} if uses else set())


def test_a_name_is_of_small_letters(text: str) -> None:
    named = [entry for entry in entries(tree(text)) if entry.path[0] in ("parties", "rules") and len(entry.path) == 2]
    for entry in named:
        assert at(entry.key) in complaints(made(text, [put(entry.key, entry.key.value.upper(), entry.path)])[0])


# --- The cases beside them ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cases:
    """The file of cases beside a policy."""

    policy: Policy
    text: str

    def entries(self) -> list[Entry]:
        return list(entries(tree(self.text), CASES))

    def scalars(self) -> Iterator[tuple[Keys, ScalarNode]]:
        ((_, listed),) = tree(self.text).value
        for number, case in enumerate(listed.value):
            yield from scalars(case, ("cases", str(number)))

    def complaints(self, text: str) -> set[At]:
        try:
            load_cases(text, "mutant.yaml", self.policy)
        except PolicyError as error:
            return {(one.line, one.column) for one in error.complaints}
        return set()


@pytest.fixture(params=POLICIES, ids=lambda path: path.stem)
def cases(request: pytest.FixtureRequest) -> Cases:
    path: Path = request.param
    beside = path.with_suffix(".tests.yaml").read_text(encoding="utf-8")
    return Cases(load(path.read_bytes(), path.name), beside)


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "x", str.upper], ids=["less", "x", "upper"])
def test_every_misspelt_key_of_a_case_is_found_where_it_stands(cases: Cases, change: Callable[[str], str]) -> None:
    edits = [put(one.key, change(one.key.value), one.path) for one in cases.entries() if one.declared is not None]
    edits = [edit for edit in edits if edit.by not in ("", "person")]
    assert_all_found(cases.text, edits, 240, cases.complaints)


def test_every_required_key_of_a_case_that_is_removed_is_missed_where_the_case_begins(cases: Cases) -> None:
    def edits() -> Iterator[Edit]:
        text = cases.text
        for one in cases.entries():
            if one.declared is not None and one.declared.required and not one.opens_its_section:
                flow = one.section.flow_style
                start = text.rindex("," if flow else "\n", 0, one.key.start_mark.index)
                end = one.end if flow else text.index("\n", one.end)
                yield Edit(one.path, start, end, "", here=None, elsewhere=one.section.start_mark.index)

    assert_all_found(cases.text, edits(), 120, cases.complaints)


@pytest.mark.parametrize("wrong", ["12.5", "{}", "[]", "~", "*alias"])
def test_every_value_of_a_case_of_the_wrong_type_is_found_where_it_stands(cases: Cases, wrong: str) -> None:
    found = [(path, node) for path, node in cases.scalars() if "fields" not in path]
    edits = [put(node, wrong, (*path, str(number))) for number, (path, node) in enumerate(found)]
    assert_all_found(cases.text, edits, 350, cases.complaints)


def test_every_misspelt_word_of_a_case_is_found_where_it_stands(cases: Cases) -> None:
    free = {"name", "fields", "type", "project", "person", "persons", "ticket"}
    found = [(path, node) for path, node in cases.scalars() if not free & set(path)]
    edits = [put(node, f"'{node.value}x'", (*path, str(number))) for number, (path, node) in enumerate(found)]
    assert_all_found(cases.text, edits, 300, cases.complaints)

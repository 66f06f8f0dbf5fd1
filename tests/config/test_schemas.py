"""The published schemas beside the readers, with ``jsonschema`` as the oracle: editors and ``check`` must agree.

A schema cannot know a file's own names nor see a key twice; what it can say, it must say as the reader does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from ruamel.yaml import YAML

from bridge.domain.policy import load
from bridge.domain.policy.cases import load_cases
from bridge.errors import PolicyError
from bridge.reports import conventions

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
SCHEMAS = sorted([*CONFIG.glob("*.schema.json"), *(ROOT / "docs").glob("*.schema.json")])
POLICIES = [CONFIG / "cegape.yaml", CONFIG / "examples" / "release.yaml"]
CASES = [path.with_suffix(".tests.yaml") for path in POLICIES]


def validator(path: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")), format_checker=FormatChecker())


POLICY, CASE = validator(CONFIG / "policy.schema.json"), validator(CONFIG / "policy-tests.schema.json")


def data(path: Path) -> Any:
    """The file as an editor takes it: days are texts."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(path), default=date.isoformat))


DATA = {path.stem: data(path) for path in [*POLICIES, *CASES]}

Path_ = tuple[str | int, ...]


def places(value: object, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in it, itself left out."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def section(root: Any, path: Path_) -> Any:
    for key in path[:-1]:
        root = root[key]
    return root


def refused(wrong: object) -> bool:
    try:
        load(json.dumps(wrong, ensure_ascii=False), "wrong.yaml")
    except PolicyError:
        return True
    return False


def refused_cases(wrong: object, policy: Path) -> bool:
    try:
        load_cases(json.dumps(wrong, ensure_ascii=False).encode(), "wrong.yaml", load(policy.read_bytes(), policy.name))
    except PolicyError:
        return True
    return False


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_schema_is_one_of_draft_2020_12(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_every_shipped_policy_passes(path: Path) -> None:
    assert [error.message for error in POLICY.iter_errors(data(path))] == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_shipped_file_of_cases_passes(path: Path) -> None:
    assert [error.message for error in CASE.iter_errors(data(path))] == []


def test_the_shipped_file_of_reports_passes() -> None:
    shipped = validator(CONFIG / "reports.schema.json")
    assert [error.message for error in shipped.iter_errors(data(CONFIG / "reports.yaml"))] == []


# --- What the schema refuses, the reader does -----------------------------------------------------------------------

WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2000),
    st.sampled_from(
        [12.5, "", " ", "nobody", "nowhere", "2026-13-01", "2026-12-31", "1 week", "soon", "50 %", "999 %"]
    ),
    st.sampled_from([[], {}, ["x"], ["x", "x"], {"x": "y"}, [[]], [None]]),
)


@st.composite
def wrong(draw: st.DrawFn, right: Any) -> Any:
    """A file with one value replaced, one removed or one key misspelt."""
    made = copy.deepcopy(right)
    path = draw(st.sampled_from(list(places(made))))
    inside, key = section(made, path), path[-1]
    match draw(st.sampled_from(["replace", "remove", "misspell"])):
        case "remove":
            del inside[key]
        case "misspell" if isinstance(inside, dict):
            inside[f"{key}{draw(st.sampled_from('xé A'))}"] = inside.pop(key)
        case _:
            inside[key] = draw(WRONG)
    return made


@pytest.mark.parametrize("stem", [path.stem for path in POLICIES])
@settings(max_examples=150)
@given(chosen=st.data())
def test_what_the_schema_refuses_the_reader_refuses(stem: str, chosen: st.DataObject) -> None:
    made = chosen.draw(wrong(DATA[stem]))
    if not POLICY.is_valid(made):
        assert refused(made)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
@settings(max_examples=60)
@given(chosen=st.data())
def test_what_the_schema_of_cases_refuses_their_reader_refuses(policy: Path, chosen: st.DataObject) -> None:
    made = chosen.draw(wrong(DATA[f"{policy.stem}.tests"]))
    if not CASE.is_valid(made):
        assert refused_cases(made, policy)


REPORTS = data(CONFIG / "reports.yaml")


@settings(max_examples=60)
@given(wrong(REPORTS))
def test_what_the_schema_of_the_reports_file_refuses_its_reader_refuses(made: object) -> None:
    shipped = load(POLICIES[0].read_bytes(), "cegape.yaml")
    if not validator(CONFIG / "reports.schema.json").is_valid(made):
        with pytest.raises(PolicyError):
            conventions.load(json.dumps(made, ensure_ascii=False), "wrong.yaml", shipped)


# --- What the reader refuses for its shape, the schema does ---------------------------------------------------------


def kinds(root: object) -> dict[Path_, Path_]:
    """One place for each kind of place: what stands under names of the author's choice is alike."""
    found: dict[Path_, Path_] = {}
    for path in places(root):
        named = path[0] in ("parties", "rules", "reminders")
        kind = tuple("" if isinstance(key, int) or (named and depth == 1) else key for depth, key in enumerate(path))
        found.setdefault(kind, path)
    return found


@pytest.mark.parametrize("stem", [path.stem for path in POLICIES])
@pytest.mark.parametrize("by", [12.5, -1, {}, [], "", " ", None, True, [[]], [None]], ids=repr)
def test_a_value_of_the_wrong_type_is_refused_by_the_schema_exactly_where_it_is_by_the_reader(
    stem: str, by: object
) -> None:
    disagree = []
    for path in kinds(DATA[stem]).values():
        made = copy.deepcopy(DATA[stem])
        section(made, path)[path[-1]] = by
        if POLICY.is_valid(made) == refused(made):
            disagree.append(path)
    assert disagree == []


MEASURES = ("since", "until", "within", "cool-down", "reverts-per-cycle", "share-of-moves", "mode", "violations")


@pytest.mark.parametrize(
    "by",
    ["soon", "2026-13-01", "20261231", "2026-W01-1", " 1 week", "0 minutes", "101 %", "050 %", "enforce ", "9" * 11],
)
def test_a_measure_or_mode_that_is_none_is_refused_by_both(by: str) -> None:
    right = DATA["release"]
    paths = [path for path in kinds(right).values() if path[-1] in MEASURES]
    assert {path[-1] for path in paths} == set(MEASURES)
    for path in paths:
        made = copy.deepcopy(right)
        section(made, path)[path[-1]] = by
        assert POLICY.is_valid(made) != refused(made), path


@pytest.mark.parametrize("stem", [path.stem for path in POLICIES])
def test_a_misspelt_or_missing_key_is_refused_by_both_alike(stem: str) -> None:
    for path in kinds(DATA[stem]).values():
        if isinstance(path[-1], str):
            made, without = copy.deepcopy(DATA[stem]), copy.deepcopy(DATA[stem])
            inside = section(made, path)
            inside[f"{path[-1]} "] = inside.pop(path[-1])
            section(without, path).pop(path[-1])
            for one in (made, without):
                assert POLICY.is_valid(one) or refused(one), path
            declared = not (path[0] in ("parties", "rules", "reminders") and len(path) == 2)
            assert not declared or path[-2:-1] in (("fields",), ("languages",)) or not POLICY.is_valid(made), path

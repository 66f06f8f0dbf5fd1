"""The fast canonical bytes are the library's canonical bytes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.store.canonical import canonical

_characters = st.characters(exclude_categories=["Cs"])
_texts = st.text(_characters, max_size=12) | st.sampled_from(
    ["é", "\ue000", "\U0001f600", ":1.5", '":1e', "null", "\x7f\u2028"]
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(_texts, _values, max_size=5))
@example({"\U0001f600": 1, "\ue000": 2})
@example({"a": 1.0, "b": -0.0, "c": 1e21, "d": 5e-324})
@example({"at": "2026-11-24T10:00:00.000Z", "n": 9007199254740991})
def test_any_value_has_the_bytes_that_rfc_8785_gives_it(value: dict[str, object]) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2**53, -(2**60), 2**70, datetime.now(UTC), {1, 2}, b"bytes"])
def test_what_json_cannot_hold_exactly_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"JSON|JCS"):
        canonical({"a": [bad]})


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert canonical({"a": "x\ud800y"}) == '{"a":"x\ufffdy"}'.encode()

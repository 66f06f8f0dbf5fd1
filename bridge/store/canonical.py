"""JSON as RFC 8785 writes it: the same value has the same bytes, for anybody, in any language.

orjson writes these bytes many times faster than the rfc8785 library for nearly all that the bridge records. Where it
might not (floats, big integers, characters beyond the basic plane), the library does; a property test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import orjson
import rfc8785

# Tokens that orjson may write otherwise: floats; integers that may exceed 2^53 - 1; null, which it also writes for NaN.
# Inside a string they only cost the detour. Three patterns, since a fixed first character makes the search fast.
_TOKEN = rb"(?:-?[0-9]+(?:[.eE]|(?<=[0-9]{16}))|null)"
_AFTER_KEY, _AFTER_COMMA, _AFTER_BRACKET = (re.compile(before + _TOKEN).search for before in (rb'":', rb",", rb"\["))

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

_Json: TypeAlias = "bool | int | float | str | Sequence[_Json] | dict[str, _Json] | None"


def canonical(value: Mapping[str, object]) -> bytes:
    """The canonical bytes. Raises ValueError for what JSON cannot hold exactly: NaN, integers beyond ±(2^53 - 1)."""
    try:
        fast = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:  # a mapping that is no dict, a lone surrogate, or nothing that JSON holds
        return rfc8785.dumps(_exact(value))
    if (
        _AFTER_KEY(fast)
        or _AFTER_COMMA(fast)
        or _AFTER_BRACKET(fast)
        or not (fast.isascii() or _basic_plane(fast.decode()))
    ):
        return rfc8785.dumps(_exact(value))
    return fast


def _basic_plane(text: str) -> bool:
    """Whether keys sort the same by code point and by UTF-16 unit (RFC 8785 §3.2.3)."""
    return len(text.encode("utf-16-le")) == 2 * len(text)


def _exact(value: object) -> _Json:
    """The same value in types that the library knows, lone surrogates (which UTF-8 cannot hold) replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(_exact(str(key))): _exact(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_exact(item) for item in value]
    raise ValueError(f"JSON cannot hold a {type(value).__name__}")

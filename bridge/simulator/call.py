"""One call of the API: what came in, by whom, and what goes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Person, Refusal
from bridge.simulator.represent import Json

HAL = "application/hal+json; charset=utf-8"
DEFAULT_PAGE = 20
LARGEST_PAGE = 1000
"""Of full representations; ``select`` is not bound by it (A.1)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def content_type(self) -> str:
        """Without its parameters; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    def json(self) -> dict[str, Any]:
        """The body as an object, or the 400 for what is none."""
        try:
            body = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError:
            refusal = Refusal(400, "InvalidRequestBody", "not_json")
            refusal.details = {"parseError": "unexpected character (after ) at line 1, column 2"}
            raise refusal from None
        return body if isinstance(body, dict) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Json | bytes, status: int = 200, **headers: str) -> Answer:
        """An answer in HAL+JSON."""
        encoded = body if isinstance(body, bytes) else orjson.dumps(body)
        return cls(status, encoded, {"content-type": HAL, **headers})

    @classmethod
    def plain(cls, status: int, text: str, content_type: str = "text/plain", **headers: str) -> Answer:
        """An answer that is no JSON, of which OpenProject has several (A.7)."""
        return cls(status, text.encode(), {"content-type": content_type, **headers})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that got past the door: who reads, in what language, and the parts of the path."""

    instance: Instance
    request: Request
    reader: Person
    lang: str
    ids: Mapping[str, str]

    @property
    def id(self) -> int:
        """The numeric ``id`` in the path."""
        return int(self.ids["id"])


Endpoint = Callable[[Call], Answer]
Table = Iterator[tuple[str, str, Endpoint]]
"""(method, pattern of the path below ``/api/v3``, endpoint)."""


def to_i(text: str | None, default: int) -> int:
    """A number as Ruby's ``to_i`` reads it: the leading digits, 0 for none."""
    if text is None:
        return default
    match = re.match(r"\s*(-?\d+)", text)
    return int(match[1]) if match else 0


def paged(call: Call, path: str, elements: list[Json]) -> Answer:
    """A page of a list, as everything but tickets is paged."""
    size = to_i(call.request.parameters.get("pageSize"), DEFAULT_PAGE)
    offset = max(1, to_i(call.request.parameters.get("offset"), 1))
    if size < 0 or size > LARGEST_PAGE:
        size = LARGEST_PAGE
    shown = elements[(offset - 1) * size : offset * size]
    body: Json = {
        "_type": "Collection",
        "total": len(elements),
        "count": len(shown),
        "pageSize": size,
        "offset": offset,
        "_embedded": {"elements": shown},
        "_links": page_links(path, call.request.parameters, size, offset, len(elements)),
    }
    return Answer.of(body)


def page_links(path: str, parameters: Mapping[str, str], size: int, offset: int, total: int) -> Json:
    """Links to this page and its neighbours."""

    def href(page: int) -> Json:
        query = {**parameters, "offset": str(page), "pageSize": str(size)}
        return {"href": f"/api/v3/{path}?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())}

    links: Json = {"self": href(offset)}
    if offset * size < total:
        links["nextByOffset"] = href(offset + 1)
    if offset > 1:
        links["previousByOffset"] = href(offset - 1)
    return links

"""Every report says the same, to the last value, whichever database the ledger is on."""

from __future__ import annotations

from collections.abc import Callable

from bridge.domain.model import WorkPackageId
from bridge.reports import catalog, render_json
from bridge.reports.definitions.explain import explain
from tests.reports.test_rendering import NOVEMBER, WORLD
from tests.reports.world import desk_on, empty, write


def told(url: str) -> dict[str, bytes]:
    empty(url)
    write(url, WORLD)
    with desk_on(url, NOVEMBER, WORLD, projects=frozenset({11, 13})) as desk:
        documents = {name: render_json.render(catalog.make(name, desk)) for name in catalog.REPORTS}
        return documents | {"explain": render_json.render(explain(desk, WorkPackageId(1)))}


def test_both_databases_tell_the_same(url: str, fresh: Callable[..., str]) -> None:
    assert told(url) == told(fresh("sqlite", tables=True))

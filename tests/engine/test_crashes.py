"""``kill -9`` at every point where something leaves the bridge's process; then it starts again.

Every fault point there is: a run that nobody kills counts them, and then one run after another is killed at each. The
killed process is a real one (``mortal``), the daemon with its heartbeat and its checkpoints, a real socket and a real
database; the server goes on without it.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from bridge.simulator.nouns import Version
from tests.engine.mortal import WRITE
from tests.engine.undertaker import SIGKILL, Books, Site, Undertaker, a_morning, desk_with_a_past, settle
from tests.store.conftest import postgresql  # noqa: F401 - a fixture
from tests.store.databases import connected, databases

pytestmark = pytest.mark.timeout(600)  # hundreds of processes; a tenth of this on an idle machine


@dataclass(frozen=True, slots=True)
class Story:
    """A beginning, all the points at which a process may be killed in it, and how it ends when nobody does."""

    begin: Callable[[], Site]
    points: list[str]
    end: Site
    books: Books


def tell(undertaker: Undertaker, directory: Path, beginning: Site) -> Story:
    count = itertools.count()

    def begin() -> Site:
        return beginning.copy(directory / f"copy-{next(count)}")

    end = begin()
    points = undertaker.live(end, daemon=True, writes=True).points
    settle(undertaker, end)
    return Story(begin, points, end, end.books())


def telling(points: list[str]) -> Iterator[tuple[int, str]]:
    """The points to be killed at, by number: all, but of the writes of one commit the first and the last.

    Whatever was written of a commit, SQLite takes for nothing until that last one is there.
    """
    around = ["", *points, ""]
    for number, (before, point, after) in enumerate(zip(around, points, around[2:], strict=False), 1):
        in_between = before == point == after == WRITE
        if not in_between and (point, after) != ("before commit", WRITE):
            yield number, point


def at_work(undertaker: Undertaker, home: Path, version: Version, store: str | None = None) -> Site:
    """A bridge that has been at work, and a cycle with two reverts to come."""
    site = desk_with_a_past(home, version, store)
    assert undertaker.live(site).code == 0
    site.clock.advance(120)
    site.instance.set_status("ca", site.ticket("conteste"), "EN COURS DE TEST")  # put back, and contested later
    site.clock.advance(30)
    assert undertaker.live(site).code == 0
    assert site.own_moves() == {"conteste": 1}
    site.clock.advance(60)
    a_morning(site)
    return site


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, undertaker: Undertaker) -> Story:
    """A bridge at work on 17.6."""
    directory = tmp_path_factory.mktemp("busy")
    return tell(undertaker, directory, at_work(undertaker, directory / "beginning", "17.6"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory, undertaker: Undertaker) -> Story:
    """The very first start, with no database yet."""
    directory = tmp_path_factory.mktemp("new")
    site = desk_with_a_past(directory / "beginning", "17.6")
    a_morning(site)
    return tell(undertaker, directory, site)


PUT_BACK = {"conteste": 1, "pris": 1, "cree": 1}
STAND = {"pris": "NOUVEAU", "cree": "NOUVEAU", "teste": "RESOLU", "ancien": "REJETE", "conteste": "NOUVEAU"}


def test_without_a_crash_two_moves_are_put_back_and_explained(busy: Story) -> None:
    assert busy.end.own_moves() == busy.end.own_comments() == PUT_BACK
    assert busy.end.statuses() == STAND


def test_killed_at_any_point_it_puts_back_once_and_explains_once(busy: Story, undertaker: Undertaker) -> None:
    assert sum("PATCH" in point for point in busy.points) == 4, "two reverts, each before and after"
    assert sum("POST" in point for point in busy.points) == 4, "two explanations"
    assert WRITE in busy.points, "SQLite calls what it was given"
    for number, point in telling(busy.points):
        site = busy.begin()
        ended = undertaker.live(site, kill_at=number, daemon=True, writes=True)
        assert ended.signal == SIGKILL, point
        settle(undertaker, site)
        assert site.own_moves() == site.own_comments() == PUT_BACK, f"killed {point} (point {number})"
        assert site.statuses() == STAND, f"killed {point} (point {number})"
        assert site.books() == busy.books, f"killed {point} (point {number})"
        shutil.rmtree(site.home)


def test_killed_at_any_point_of_the_very_first_start_nothing_is_lost_or_doubled(
    new: Story, undertaker: Undertaker
) -> None:
    for number, point in telling(new.points):
        site = new.begin()
        assert undertaker.live(site, kill_at=number, daemon=True, writes=True).signal == SIGKILL, point
        settle(undertaker, site)
        assert not site.own_moves(), "all of this happened before enforcement"
        assert site.books() == new.books, f"killed {point} (point {number})"
        shutil.rmtree(site.home)


def dies_a_little_later_each_time(undertaker: Undertaker, site: Site) -> int:
    """Crash upon crash: killed at its first point, then at its second, until it comes to the end."""
    for number in itertools.count(1):
        ended = undertaker.live(site, kill_at=number, daemon=True)
        if not ended.signal:
            assert ended.code == 0, ended.said
            break
        if site.postgresql is not None:
            forget_the_dead(site.postgresql)
        site.clock.advance(2)
    settle(undertaker, site)
    return number


def forget_the_dead(url: str) -> None:
    """Wait until PostgreSQL has noticed that the process is gone: until then it holds the writer's lock."""
    with connected(url) as database:
        while database.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")):
            time.sleep(0.01)


def test_a_bridge_that_dies_a_little_later_at_every_start_still_puts_back_once(
    undertaker: Undertaker, tmp_path: Path
) -> None:
    busy = tell(undertaker, tmp_path, at_work(undertaker, tmp_path / "beginning", "15.4"))
    site = busy.begin()
    dies_a_little_later_each_time(undertaker, site)
    assert site.own_moves() == site.own_comments() == PUT_BACK
    assert site.statuses() == STAND
    assert site.books() == busy.books


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., str]]:
    with databases(request, tmp_path) as make:
        yield make


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_on_postgresql_it_dies_at_every_request_and_commit_and_still_puts_back_once(
    undertaker: Undertaker, tmp_path: Path, make: Callable[..., str]
) -> None:
    lucky, site = (at_work(undertaker, tmp_path / name, "17.6", make("postgresql")) for name in ("lucky", "site"))
    points = undertaker.live(lucky, daemon=True).points
    settle(undertaker, lucky)
    assert dies_a_little_later_each_time(undertaker, site) > 20
    assert {point.split()[1] for point in points} >= {"GET", "PATCH", "POST", "commit"}
    for one in (lucky, site):
        assert one.own_moves() == one.own_comments() == PUT_BACK
        assert one.statuses() == STAND
    assert site.books() == lucky.books()

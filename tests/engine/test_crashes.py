"""``kill -9`` at every point where something leaves the bridge's process; then it starts again.

Every fault point there is: a run that nobody kills counts them, and then one run after another is killed at each. The
killed process is a real one (``mortal``), the daemon with its heartbeat and its checkpoints, a real socket and a real
SQLite file; the server goes on without it.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.simulator.nouns import Version
from tests.engine.undertaker import SIGKILL, Books, Site, Undertaker, a_morning, desk_with_a_past, settle

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
    points = undertaker.live(end, daemon=True).points
    settle(undertaker, end)
    return Story(begin, points, end, end.books())


def at_work(undertaker: Undertaker, directory: Path, version: Version) -> Story:
    """A bridge that has been at work, and a cycle with two reverts to come."""
    site = desk_with_a_past(directory / "beginning", version)
    assert undertaker.live(site).code == 0
    site.clock.advance(120)
    site.instance.set_status("ca", site.ticket("conteste"), "EN COURS DE TEST")  # put back, and contested later
    site.clock.advance(30)
    assert undertaker.live(site).code == 0
    assert site.own_moves() == {"conteste": 1}
    site.clock.advance(60)
    a_morning(site)
    return tell(undertaker, directory, site)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, undertaker: Undertaker) -> Story:
    """A bridge at work on 17.6."""
    return at_work(undertaker, tmp_path_factory.mktemp("busy"), "17.6")


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
    for number, point in enumerate(busy.points, 1):
        site = busy.begin()
        ended = undertaker.live(site, kill_at=number, daemon=True)
        assert ended.signal == SIGKILL, point
        settle(undertaker, site)
        assert site.own_moves() == site.own_comments() == PUT_BACK, f"killed {point} (point {number})"
        assert site.statuses() == STAND, f"killed {point} (point {number})"
        assert site.books() == busy.books, f"killed {point} (point {number})"
        shutil.rmtree(site.home)


def test_killed_at_any_point_of_the_very_first_start_nothing_is_lost_or_doubled(
    new: Story, undertaker: Undertaker
) -> None:
    for number, point in enumerate(new.points, 1):
        site = new.begin()
        assert undertaker.live(site, kill_at=number, daemon=True).signal == SIGKILL, point
        settle(undertaker, site)
        assert not site.own_moves(), "all of this happened before enforcement"
        assert site.books() == new.books, f"killed {point} (point {number})"
        shutil.rmtree(site.home)


def test_a_bridge_that_dies_a_little_later_at_every_start_still_puts_back_once(
    undertaker: Undertaker, tmp_path: Path
) -> None:
    """Crash upon crash, on 15.4: killed at its first point, then at its second, until it comes to the end."""
    busy = at_work(undertaker, tmp_path, "15.4")
    site = busy.begin()
    for number in itertools.count(1):
        ended = undertaker.live(site, kill_at=number, daemon=True)
        if not ended.signal:
            break
        site.clock.advance(2)
    settle(undertaker, site)
    assert site.own_moves() == site.own_comments() == PUT_BACK
    assert site.statuses() == STAND
    assert site.books() == busy.books

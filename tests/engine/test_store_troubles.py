"""The ledger's disk is full, read-only or busy, or somebody copies it: no loss, a clear word, the right exit code."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from bridge.errors import EXIT_UNAVAILABLE, EXIT_USAGE
from bridge.simulator import Ticket
from bridge.store.audit import verify
from bridge.store.ledger import Ledger
from tests.engine.conftest import Open
from tests.engine.desk import Desk
from tests.engine.undertaker import Site, Undertaker, a_morning, desk_with_a_past, settle

PUT_BACK = {"pris": 1, "cree": 1}


@pytest.fixture
def site(tmp_path: Path, undertaker: Undertaker) -> Site:
    """A bridge that has begun to enforce, and two reverts to come."""
    one = desk_with_a_past(tmp_path / "site", "17.6")
    assert undertaker.live(one).code == 0
    one.clock.advance(120)
    a_morning(one)
    return one


@pytest.fixture
def public(site: Site) -> Iterator[Site]:
    """The same, where another user than root (or this one) comes to, too: pytest's own directories are private."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield site.copy(Path(directory) / "site")


def all_is_well(site: Site, undertaker: Undertaker) -> bool:
    settle(undertaker, site)
    books = site.books()
    return site.own_moves() == site.own_comments() == PUT_BACK and {state for *_, state in books.actions} == {
        "explained"
    }


def test_a_database_that_may_not_grow_ends_it_wherever_the_room_ends(site: Site, undertaker: Undertaker) -> None:
    """SQLITE_FULL, as from a full disk, at one page after another."""
    with closing(sqlite3.connect(site.database)) as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    ended = []
    for more in range(0, 12, 2):
        end = undertaker.live(site, pages=pages + more)
        ended.append(end.code)
        if end.code:
            assert end.code == EXIT_UNAVAILABLE
            assert end.said.startswith("Stop: no room left for")
            assert "nothing was lost" in end.said
        site.books()
        site.clock.advance(5)
    assert ended[0] == EXIT_UNAVAILABLE
    assert all_is_well(site, undertaker)


@contextmanager
def small_disk(directory: Path, kib: int) -> Iterator[dict[str, int]]:
    """Lets ``directory`` be a disk of this size. Where this user may mount none: what makes every file as small."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(directory)]
    mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield {} if mounted else {"file_size": kib * 1024 // 2}
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("more", [16, 32, 64, 96, 160, 400])
def test_a_disk_that_fills_up_ends_it_and_with_room_it_goes_on(
    site: Site, undertaker: Undertaker, tmp_path: Path, more: int
) -> None:
    """A disk: what lies beside the database has no room either."""
    whole = tmp_path / "whole"
    with small_disk(tmp_path / "disk", site.database.stat().st_size // 1024 + more) as worse:
        full = site.copy(tmp_path / "disk" / "site")
        for _ in range(2):
            end = undertaker.live(full, daemon=True, **worse)
            assert end.code == (EXIT_UNAVAILABLE if more < 400 else 0), end.said
            assert end.said == "" or worse or end.said.startswith("Stop: no room left for"), end.said
            full.clock.advance(5)
        shutil.copytree(full.home, whole)
    assert all_is_well(Site(whole, full.clock, full.instance), undertaker)


def test_a_file_that_may_not_grow_ends_it_wherever_the_limit_is(site: Site, undertaker: Undertaker) -> None:
    """RLIMIT_FSIZE: writes fail in the middle of a file, which is what a quota and a dying disk do."""
    size = site.database.stat().st_size
    codes = set()
    for more in (0, 4096, 16384, 65536):
        end = undertaker.live(site, file_size=size // 8 + more)
        codes.add(end.code)
        assert end.code == 0 or end.said.startswith("Stop: "), end.said
        site.books()
        site.clock.advance(5)
    assert EXIT_UNAVAILABLE in codes
    assert all_is_well(site, undertaker)


def test_a_directory_that_cannot_be_written_is_told_before_anything_is_asked(
    public: Site, undertaker: Undertaker
) -> None:
    public.home.chmod(0o555)
    end = undertaker.live(public, nobody=True)
    public.home.chmod(0o755)
    assert end.code == EXIT_USAGE
    assert end.said.startswith(f"ConfigError: {public.database}.lock cannot be created (Permission denied)")
    assert "this user may write to it" in end.said
    assert not end.points
    assert all_is_well(public, undertaker)


def test_a_database_file_that_cannot_be_written_ends_it_before_anything_is_asked(
    public: Site, undertaker: Undertaker
) -> None:
    public.home.chmod(0o777)
    public.database.chmod(0o444)
    end = undertaker.live(public, nobody=True)
    public.home.chmod(0o755)
    public.database.chmod(0o644)
    for left in public.home.iterdir():
        left.chmod(0o666)
    assert end.code == EXIT_UNAVAILABLE
    assert end.said.startswith(f"Stop: {public.database} cannot be written")
    assert not end.points, "what could not be recorded is not even asked for"
    assert all_is_well(public, undertaker)


def test_a_database_that_another_program_holds_is_waited_for_and_then_told(site: Site, undertaker: Undertaker) -> None:
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        end = undertaker.live(site, busy_timeout=0.1)
        other.execute("ROLLBACK")
    assert end.code == EXIT_UNAVAILABLE
    assert end.said.startswith("RetryLater: ")
    assert "is in use by another program" in end.said
    assert all_is_well(site, undertaker)


def test_a_second_bridge_on_the_same_database_is_refused_and_asks_nothing(site: Site, undertaker: Undertaker) -> None:
    with Ledger.open(site.url, now=site.clock):
        end = undertaker.live(site)
    assert end.code == EXIT_UNAVAILABLE
    assert "another bridge is writing to" in end.said
    assert not end.points
    assert all_is_well(site, undertaker)


# --- Copies ---------------------------------------------------------------------------------------------------------


def copied_at_every_request(desk: Desk) -> tuple[list[Path], list[Ticket]]:
    """Copies of the database, each taken while a cycle is waiting for an answer."""
    tickets = [desk.instance.create("ca", "client-alpha", f"Fermée {n}", status="RESOLU") for n in range(2)]
    copies: list[Path] = []

    def copy(_: requests.PreparedRequest) -> None:
        copies.append(desk.directory / f"copy-{len(copies)}.db")
        with closing(sqlite3.connect(desk.database)) as source, closing(sqlite3.connect(copies[-1])) as target:
            source.backup(target)

    with desk.meanwhile(before=copy):
        desk.cycle()
    desk.stop()
    assert all(desk.was_put_back_once(ticket, "NOUVEAU") for ticket in tickets)
    return copies, tickets


def test_a_copy_that_is_taken_while_it_works_is_whole(desk: Open) -> None:
    copies, _ = copied_at_every_request(desk())
    assert len(copies) >= 10
    for path in copies:
        assert verify(f"sqlite:///{path}").holds, path


def test_a_bridge_that_goes_on_from_an_older_copy_does_nothing_twice(desk: Open) -> None:
    """A backup is restored: the server has seen what the ledger has forgotten."""
    one = desk()
    copies, tickets = copied_at_every_request(one)
    for path in copies:
        path.replace(one.database)
        for leftover in (f"{one.database}-wal", f"{one.database}-shm"):
            Path(leftover).unlink(missing_ok=True)
        one.cycle(60)
        one.cycle(60)
        one.stop()
        assert all(one.was_put_back_once(ticket, "NOUVEAU") for ticket in tickets), path.name
        one.check_books()

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.daemon import MOST_HINTS, Daemon, read_heartbeat
from bridge.errors import ConfigError, RetryLater, SkipItem, Stop

Cycle = Callable[[int], Mapping[str, object]]
SOON = 0.02
"""Seconds between the cycles of a test; nothing is asserted about how long anything takes."""


def daemon(cycle: Cycle, path: Path, stop: threading.Event | None = None, interval: float = SOON) -> Daemon:
    return Daemon(cycle, interval=interval, jitter=0, heartbeat=path / "heartbeat", stop=stop)


def counted(times: int, stop: threading.Event, each: Callable[[int], None] = lambda n: None) -> Cycle:
    """A cycle that stops the daemon in its n-th run."""
    runs = 0

    def cycle(missed: int) -> Mapping[str, object]:
        nonlocal runs
        runs += 1
        if runs == times:
            stop.set()
        each(runs)
        return {"run": runs}

    return cycle


def test_cycles_follow_each_other_until_it_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    assert daemon(counted(3, stop), tmp_path, stop).run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert (beat.cycles, beat.failures, beat.missed, beat.error) == (3, 0, 0, "")
    assert beat.started_at <= (beat.last_success or beat.started_at) <= (beat.stopped_at or beat.started_at)


@pytest.mark.parametrize("error", [RetryLater("no answer"), SkipItem("odd"), ZeroDivisionError("no")])
def test_a_failed_cycle_is_told_and_the_next_one_comes(tmp_path: Path, error: Exception) -> None:
    stop = threading.Event()

    def fail(run: int) -> None:
        if run < 3:
            raise error

    seen = []

    def look(run: int) -> None:
        beat = read_heartbeat(tmp_path / "heartbeat")
        assert beat is not None
        seen.append((beat.failures, str(error) in beat.error))
        fail(run)

    daemon(counted(3, stop, look), tmp_path, stop).run()
    assert seen == [(0, False), (1, True), (2, True)]
    last = read_heartbeat(tmp_path / "heartbeat")
    assert last is not None
    assert (last.failures, last.error) == (0, "")


@pytest.mark.parametrize("error", [ConfigError("the token was refused"), Stop("the ledger is of a newer version")])
def test_a_cycle_that_must_not_go_on_ends_the_daemon(tmp_path: Path, error: Exception) -> None:
    def cycle(missed: int) -> Mapping[str, object]:
        raise error

    with pytest.raises(type(error), match=str(error)):
        daemon(cycle, tmp_path).run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert (beat.cycles, beat.error) == (1, str(error))


def test_sigterm_ends_it_between_cycles(tmp_path: Path) -> None:
    def cycle(missed: int) -> Mapping[str, object]:
        threading.Timer(SOON, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return {}

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert daemon(cycle, tmp_path, interval=3600).run()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_cycle_that_does_not_end_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.daemon.GRACE", SOON)
    stop, never = threading.Event(), threading.Event()

    def cycle(missed: int) -> Mapping[str, object]:
        stop.set()
        never.wait(60)
        return {}

    try:
        assert not daemon(cycle, tmp_path, stop).run()
    finally:
        never.set()


def test_what_a_long_cycle_missed_is_told_to_the_next_one(tmp_path: Path) -> None:
    stop, told = threading.Event(), []

    def cycle(missed: int) -> Mapping[str, object]:
        told.append(missed)
        if len(told) == 1:
            threading.Event().wait(10 * SOON)
        if sum(told):
            stop.set()
        return {}

    daemon(cycle, tmp_path, stop).run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert told[0] == 0
    assert beat.missed == sum(told) > 0


def test_what_a_machine_missed_that_slept_is_told_to_the_next_cycle(tmp_path: Path) -> None:
    """The scheduler makes one cycle of all that were due meanwhile, and counts none of them."""
    stop, told = threading.Event(), []
    slept = timedelta(0)

    def cycle(missed: int) -> Mapping[str, object]:
        nonlocal slept
        told.append(missed)
        slept = timedelta(hours=1)
        if len(told) == 2:
            stop.set()
        return {}

    def clock() -> datetime:
        return datetime.now(UTC) + slept

    Daemon(cycle, interval=SOON, jitter=0, heartbeat=tmp_path / "heartbeat", stop=stop, clock=clock).run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert told[0] == 0
    assert beat.missed == sum(told) >= timedelta(hours=1) // timedelta(seconds=SOON) - 1


def test_what_was_missed_is_told_again_when_the_next_cycle_fails(tmp_path: Path) -> None:
    stop, told = threading.Event(), []

    def cycle(missed: int) -> Mapping[str, object]:
        told.append(missed)
        if len(told) == 1:
            threading.Event().wait(10 * SOON)
        elif missed and sum(map(bool, told)) == 1:
            raise RetryLater("no answer")
        elif missed:
            stop.set()
        return {}

    daemon(cycle, tmp_path, stop).run()
    first, second = [missed for missed in told if missed]
    assert second >= first


def test_it_can_be_woken_before_its_time(tmp_path: Path) -> None:
    stop = threading.Event()
    awake: list[Daemon] = []

    def wake(run: int) -> None:
        if run == 1:
            awake[0].wake()

    awake.append(daemon(counted(2, stop, wake), tmp_path, stop, interval=3600))
    assert awake[0].run()


def test_a_heartbeat_that_cannot_be_written_does_not_stop_the_watch(tmp_path: Path) -> None:
    stop = threading.Event()
    assert daemon(counted(2, stop), tmp_path / "no-such-folder", stop).run()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1', '{"pid": 1, "started_at": 3}'])
def test_a_broken_heartbeat_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heartbeat"
    assert read_heartbeat(path) is None
    path.write_text(text)
    assert read_heartbeat(path) is None


def test_the_clock_is_given(tmp_path: Path) -> None:
    stop = threading.Event()
    then = datetime(2026, 1, 2, tzinfo=UTC)
    one = Daemon(
        counted(1, stop), interval=1, jitter=0, heartbeat=tmp_path / "heartbeat", stop=stop, clock=lambda: then
    )
    one.run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert beat.last_cycle == beat.started_at == then


def test_a_hint_is_looked_at_by_itself_and_says_nothing_about_the_regular_cycles(tmp_path: Path) -> None:
    stop = threading.Event()
    looked: list[frozenset[int]] = []
    made: list[Daemon] = []

    def cycle(missed: int) -> Mapping[str, object]:
        for ticket in (3, 5, 3):
            made[0].hint(ticket)
        return {}

    def look_at(tickets: frozenset[int]) -> Mapping[str, object]:
        looked.append(tickets)
        stop.set()
        return {}

    made.append(Daemon(cycle, interval=3600, jitter=0, heartbeat=tmp_path / "heartbeat", stop=stop, look_at=look_at))
    assert made[0].run()
    assert looked == [frozenset({3, 5})]
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert beat.cycles == 1


@pytest.mark.parametrize("error", [RetryLater("no answer"), ZeroDivisionError("no")])
def test_a_hint_that_fails_does_not_end_the_watch(tmp_path: Path, error: Exception) -> None:
    stop = threading.Event()
    made: list[Daemon] = []
    tried = 0

    def look_at(tickets: frozenset[int]) -> Mapping[str, object]:
        nonlocal tried
        tried += 1
        if tried == 1:
            made[0].hint(7)
            raise error
        stop.set()
        return {}

    def cycle(missed: int) -> Mapping[str, object]:
        made[0].hint(7)
        return {}

    made.append(Daemon(cycle, interval=3600, jitter=0, heartbeat=tmp_path / "heartbeat", stop=stop, look_at=look_at))
    assert made[0].run()
    assert tried == 2


def test_a_hint_after_which_no_cycle_can_do_better_ends_the_daemon(tmp_path: Path) -> None:
    made: list[Daemon] = []

    def look_at(tickets: frozenset[int]) -> Mapping[str, object]:
        raise Stop("the store is full")

    def cycle(missed: int) -> Mapping[str, object]:
        made[0].hint(7)
        return {}

    made.append(Daemon(cycle, interval=3600, jitter=0, heartbeat=tmp_path / "heartbeat", look_at=look_at))
    with pytest.raises(Stop, match="full"):
        made[0].run()


def test_more_hints_than_are_worth_a_request_each_wake_one_whole_cycle(tmp_path: Path) -> None:
    stop = threading.Event()
    made: list[Daemon] = []

    def flood(run: int) -> None:
        if run == 1:
            for ticket in range(1, MOST_HINTS + 2):
                made[0].hint(ticket)

    def look_at(tickets: frozenset[int]) -> Mapping[str, object]:
        raise AssertionError("they were many")

    made.append(
        Daemon(
            counted(2, stop, flood),
            interval=3600,
            jitter=0,
            heartbeat=tmp_path / "heartbeat",
            stop=stop,
            look_at=look_at,
        )
    )
    assert made[0].run()
    beat = read_heartbeat(tmp_path / "heartbeat")
    assert beat is not None
    assert (beat.cycles, beat.error) == (2, "")

"""Opening: what is refused, in which words, and what survives a crash."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from bridge.domain.model import UserId
from bridge.errors import ConfigError, RetryLater, Stop
from bridge.store.audit import verify
from bridge.store.database import Occupied, snapshot
from bridge.store.ledger import Ledger
from tests.store.databases import connected
from tests.store.lives import T0, Clock


def opened(url: str) -> Ledger:
    return Ledger.open(url, now=Clock())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be read; write sqlite:"),
        ("mysql://root:secret@host/db", "SQLite or PostgreSQL, not mysql"),
        ("sqlite:////no/such/directory/bridge.db", "check the directory"),
        ("postgresql://bridge:secret@127.0.0.1:1/bridge", "does not answer"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises((ConfigError, RetryLater), match=words) as raised:
        opened(url)
    assert "secret" not in str(raised.value)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_a_server_that_lets_nobody_in_is_an_operators_mistake(postgresql: str) -> None:
    server = make_url(postgresql)
    for wrong in (server.set(password="secret"), server.set(database="nowhere"), server.set(username="nobody")):
        with pytest.raises(ConfigError, match="check the user, the password") as raised:
            opened(wrong.render_as_string(hide_password=False))
        assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(Stop, match="no SQLite database"):
        opened(f"sqlite:///{path}")
    assert path.read_text() == "Dear Sir or Madam, " * 100


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE entry (x)")
    other.close()
    with pytest.raises(Stop, match="another program's database"):
        opened(f"sqlite:///{path}")
    with pytest.raises(Stop, match="another program's database"), snapshot(f"sqlite:///{path}"):
        pass


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_another_programs_tables_are_left_alone(fresh: Callable[..., str]) -> None:
    url = fresh("postgresql")
    with connected(url) as connection:
        connection.execute(text("CREATE TABLE entry (x integer)"))
    with pytest.raises(Stop, match="another program's tables"):
        opened(url)


def test_a_database_of_a_newer_bridge_is_refused(url: str) -> None:
    opened(url).close()
    with connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Stop, match="newer bridge"):
        opened(url)
    with pytest.raises(Stop, match="another version"), snapshot(url):
        pass


def test_a_reader_finds_no_ledger_where_there_is_none(fresh: Callable[..., str], kind: str) -> None:
    with pytest.raises(ConfigError, match="there is no ledger"), snapshot(fresh(kind)):
        pass


def test_a_reader_cannot_write(url: str) -> None:
    opened(url).close()
    with pytest.raises(Stop), snapshot(url) as connection:
        connection.execute(text("DELETE FROM entry"))
    with snapshot(url) as connection:
        assert connection.scalar(text("SELECT count(*) FROM entry")) == 1


def test_a_reader_sees_the_ledger_while_it_is_written(url: str) -> None:
    with opened(url) as ledger, snapshot(url) as connection:
        assert connection.scalar(text("SELECT count(*) FROM entry")) == 1
        ledger.observe_people({UserId(1): "Ada"}, T0)
        assert connection.scalar(text("SELECT count(*) FROM entry")) == 1
        with snapshot(url) as later:
            assert later.scalar(text("SELECT count(*) FROM entry")) == 2


def test_a_second_writer_is_refused_until_the_first_is_gone(url: str) -> None:
    with opened(url), pytest.raises(Stop, match="only one may write"):
        opened(url)
    opened(url).close()


HOLD = """
import sys
from datetime import UTC, datetime
from bridge.domain.model import UserId
from bridge.store.ledger import Ledger
ledger = Ledger.open(sys.argv[1], now=lambda: datetime(2026, 11, 24, tzinfo=UTC))
ledger.observe_people({UserId(1): "Ada"}, datetime(2026, 11, 24, tzinfo=UTC))
with ledger.batch():
    ledger.observe_people({UserId(2): "Bo"}, datetime(2026, 11, 24, tzinfo=UTC))
    ledger.writer.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a transaction."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_killed_writer_leaves_no_lock_and_nothing_half_written(url: str, writer: subprocess.Popen[str]) -> None:
    with pytest.raises(Stop, match="only one may write"):
        opened(url)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    for _ in range(100):  # PostgreSQL notices a dead client when it next looks
        with contextlib.suppress(Stop):
            opened(url).close()
            break
        signal.sigtimedwait([], 0.05)
    with opened(url) as ledger:
        assert ledger.person_name(UserId(1)) == "Ada"
        assert ledger.person_name(UserId(2)) is None
        ledger.observe_people({UserId(2): "Bo"}, T0)
    assert verify(url).findings == ()


def test_a_full_disk_loses_nothing_that_was_written_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bridge.db"
    with opened(url) as ledger:
        ledger.observe_people({UserId(1): "Ada"}, T0)
        raw = ledger.writer.connection.connection.driver_connection
        assert raw is not None
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Stop, match=r"no room left for .*bridge\.db"):
            ledger.observe_people({UserId(n): "B" * 5000 for n in range(2, 50)}, T0)
        assert ledger.person_name(UserId(1)) == "Ada"
        assert ledger.person_name(UserId(2)) is None
        raw.execute("PRAGMA max_page_count = 1000000")
        ledger.observe_people({UserId(2): "Bo"}, T0)
    assert verify(url).findings == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to run something as another user")
def test_a_read_only_place_is_named(tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path}/bridge.db").close()
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    code = HOLD.replace("ledger = Ledger.open", "import os; os.setuid(65534)\nledger = Ledger.open")
    run = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/bridge.db"], capture_output=True, text=True, check=False
    )
    assert "ConfigError" in run.stderr
    assert "check the directory, and that this user may write to it" in run.stderr


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_a_lost_connection_is_made_again_with_its_lock(
    fresh: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    url = fresh("postgresql")
    with opened(url) as ledger:
        ledger.observe_people({UserId(1): "Ada"}, T0)
        with connected(url) as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                     "AND datname = current_database()")
            )  # fmt: skip
        with pytest.raises(RetryLater, match="does not answer"):
            ledger.observe_people({UserId(2): "Bo"}, T0)
        ledger.observe_people({UserId(2): "Bo"}, T0)
        assert ledger.person_name(UserId(2)) == "Bo"
        with pytest.raises(Stop, match="only one may write"):
            opened(url)
    assert verify(url).findings == ()


def test_damage_is_told_apart_from_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    with opened(f"sqlite:///{path}") as ledger:
        ledger.observe_people({UserId(n): "A" * 500 for n in range(500)}, T0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in {finding.kind for finding in verify(f"sqlite:///{path}").findings}
    path.write_bytes(b"\0" * 100 + whole[100:])
    assert [finding.kind for finding in verify(f"sqlite:///{path}").findings] == ["damaged"]


def test_a_ledger_at_rest_lets_another_write_and_goes_on_from_what_that_wrote(url: str) -> None:
    with opened(url) as one:
        one.observe_people({UserId(1): "Léa"}, T0)
        one.rest()
        with opened(url) as two:
            two.observe_people({UserId(2): "Max"}, T0)
            with pytest.raises(Occupied):
                one.observe_people({UserId(3): "Eva"}, T0)
        one.observe_people({UserId(3): "Eva"}, T0)
        with pytest.raises(Occupied):
            opened(url)
        assert [one.person_name(UserId(number)) for number in (1, 2, 3)] == ["Léa", "Max", "Eva"]
    assert verify(url).holds


def test_ledgers_that_are_made_at_the_same_moment_each_get_their_own_tables(fresh: Callable[..., str]) -> None:
    urls = [fresh("sqlite") for _ in range(6)]
    with ThreadPoolExecutor(len(urls)) as threads:
        for ledger in threads.map(opened, urls):
            ledger.close()
    assert all(verify(url).holds for url in urls)

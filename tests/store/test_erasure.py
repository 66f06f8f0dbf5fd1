"""What is erased is gone to the last byte, and every proof holds as before."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from bridge.domain.model import Listed, Membership, ProjectId, StatusId, UserId, WorkPackageId
from bridge.errors import ConfigError
from bridge.store.audit import verify
from bridge.store.checkpoint import SigningKey
from bridge.store.erasure import RETIRABLE, hold, redact_person, redact_text, release, retire, scrub
from bridge.store.ledger import Ledger, TicketReading
from bridge.store.personal import about
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from tests.store.databases import connected, run
from tests.store.lives import NAMES, T0, Clock, live

NAME, WORDS = "Jeanne Très-Secrète", "mon numéro de sécurité sociale est 2 85 05 78 006 084"
PERSON, WP = UserId(77), WorkPackageId(7)
BY = {"by": "an admin", "reason": "asked for by letter"}


def received(comment: str, user: int = PERSON, updated_at: str = "2026-11-24T09:00:00.000Z") -> dict[str, object]:
    return {
        "_type": "Activity::Comment",
        "id": 5,
        "version": 2,
        "workPackage": WP,
        "user": user,
        "createdAt": "2026-11-24T09:00:00.000Z",
        "updatedAt": updated_at,
        "comment": comment,
        "details": [[f"Responsable mis à {NAME}", f"<i>{NAME}</i>"]],
        "internal": False,
    }


def write(
    ledger: Ledger, comment: str = WORDS, user: int = PERSON, updated_at: str = "2026-11-24T09:00:00.000Z"
) -> bool:
    activity = received(comment, user, updated_at)
    reading = TicketReading(Listed(WP, ProjectId(1), StatusId(1)), [(5, updated_at, activity)])
    return bool(ledger.observe([reading], at=T0))


def fill(ledger: Ledger) -> None:
    ledger.observe_people({PERSON: NAME, UserId(1): "Ada"}, T0)
    write(ledger)
    ledger.record(EntryKind.LOGIN, {"by": NAME}, T0)


def bytes_of(url: str) -> bytes:
    """Everything that the database has on disk, but for PostgreSQL's own write-ahead log."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    with connected(url) as connection:
        directory = connection.scalar(text("SHOW data_directory"))
        database = connection.scalar(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
    return b"".join(each.read_bytes() for each in Path(str(directory), "base", str(database)).iterdir())


def flush(url: str) -> None:
    """Have everything written to where ``bytes_of`` looks, also samples of it."""
    if url.startswith("postgresql"):
        for statement in ("ANALYZE", "CHECKPOINT"):
            run(url, statement)


@pytest.mark.parametrize("erase", ["person", "text"])
def test_a_redacted_text_is_gone_from_every_byte_of_the_database(url: str, erase: str) -> None:
    secret = NAME if erase == "person" else WORDS
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        flush(url)
        assert secret.encode() in bytes_of(url)
        found = redact_person(ledger, PERSON, **BY) if erase == "person" else redact_text(ledger, WORDS, **BY)
        assert found == (3 if erase == "person" else 1)
        remains = scrub(ledger)
        assert [each.split(":")[0] for each in remains] == (
            ["PostgreSQL's write-ahead log still holds the old text until its files are written over"]
            if url.startswith("postgresql")
            else []
        )
        assert secret.encode() not in bytes_of(url)
        assert ledger.watermark() is None  # and it goes on
    assert secret.encode() not in bytes_of(url)
    assert verify(url).findings == ()


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_what_the_documentation_has_a_superuser_run_takes_the_text_out_of_postgresqls_log(
    fresh: Callable[..., str],
) -> None:
    url, secret = fresh("postgresql", tables=True), f"the secret {os.urandom(8).hex()}"
    with connected(url) as connection:
        cluster = Path(str(connection.scalar(text("SHOW data_directory"))))

    def holders() -> list[str]:
        files = [each for each in cluster.rglob("*") if each.is_file()]
        return [str(each.relative_to(cluster)) for each in files if secret.encode() in each.read_bytes()]

    with Ledger.open(url, now=Clock()) as ledger:
        write(ledger, secret)
        flush(url)
        redact_text(ledger, secret, **BY)
        scrub(ledger)
        assert {name.split("/")[0] for name in holders()} == {"pg_wal"}
    block = Path("docs/audit.md").read_text("utf-8").split("```sql\n")[1].split("```")[0]
    before, reload_, switch, checkpoint, *after = block.strip().splitlines()
    for statement in (before, reload_):
        run(url, statement)
    for _ in (cluster / "pg_wal").iterdir():
        for statement in (switch, checkpoint):
            run(url, statement)
    for statement in after:
        run(url, statement)
    assert holders() == []


@pytest.mark.postgres
@pytest.mark.xdist_group("postgresql")
def test_a_user_who_may_only_use_the_database_is_told_what_is_left_to_do(fresh: Callable[..., str]) -> None:
    url, name = fresh("postgresql"), f"plain_{os.urandom(4).hex()}"
    run(url, f"CREATE ROLE {name} LOGIN PASSWORD 'plain'")
    run(url, f"GRANT CREATE ON SCHEMA public TO {name}")
    plain = make_url(url).set(username=name, password="plain").render_as_string(hide_password=False)
    with Ledger.open(plain, now=Clock()) as ledger:
        write(ledger)
        redact_text(ledger, WORDS, **BY)
        assert [each.split(":")[0] for each in scrub(ledger)][1:] == [
            "samples of the old text may be left in PostgreSQL's statistics"
        ]
        assert ledger.revisions(WP)[0].received["comment"] == "[redacted]"
    assert verify(plain).findings == ()
    run(url, f"DROP OWNED BY {name}")
    run(url, f"DROP ROLE {name}")


def test_what_a_person_did_stays_and_what_they_said_goes(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        redact_person(ledger, PERSON, **BY)
        assert ledger.person_name(PERSON) is None
        [revision] = ledger.revisions(WP)
        assert revision.received == received("[redacted]") | {
            "details": [["Responsable mis à [redacted]", "<i>[redacted]</i>"]]
        }
        assert ledger.last_event(EntryKind.LOGIN) == {"at": "2026-11-24T09:00:00.000Z", "by": "[redacted]"}
        assert ledger.person_name(UserId(1)) == "Ada"


def test_a_redacted_text_does_not_come_back_with_the_next_reading(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        redact_person(ledger, PERSON, **BY)
        assert not write(ledger)
        ledger.observe_memberships(
            [Membership(ProjectId(1), PERSON, NAME, ("Client",), T0, T0)], frozenset({ProjectId(1)}), T0
        )
        assert ledger.person_name(PERSON) is None
        assert write(ledger, "something new", updated_at="2026-11-24T10:00:00.000Z")


def test_a_short_name_is_only_blacked_out_where_it_is_the_name(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        ledger.observe_people({UserId(2): "Bo"}, T0)
        write(ledger, "Bonjour Bo, ça va ?", user=1)
        redact_person(ledger, UserId(2), **BY)
        assert ledger.revisions(WP)[0].received["comment"] == "Bonjour [redacted], ça va ?"


def test_an_entry_can_be_redacted_twice(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        assert redact_text(ledger, "numéro", **BY) == 1
        assert redact_text(ledger, "sécurité sociale", **BY) == 1
        assert redact_text(ledger, "numéro", **BY) == 0
        assert ledger.revisions(WP)[0].received["comment"] == "mon [redacted] de [redacted] est 2 85 05 78 006 084"
    assert verify(url).findings == ()


def test_signed_checkpoints_hold_after_a_redaction(url: str, tmp_path: Path) -> None:
    key, seen = SigningKey(Ed25519PrivateKey.generate()), tmp_path / "seen"
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        head = seal(ledger, key, seen)
        note = seen.read_text()
        redact_person(ledger, PERSON, **BY)
        seal(ledger, key, seen)
    verdict = verify(url, keys=[key.verify_key(head.origin)], notes=[note])
    assert verdict.findings == ()
    assert verdict.covered > head.size


def test_a_text_that_stands_everywhere_is_refused(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger, pytest.raises(ConfigError, match="less than three"):
        redact_text(ledger, "a", **BY)


# --- Access ---------------------------------------------------------------------------------------------------------


def test_a_person_is_told_everything_that_is_held_about_them(url: str) -> None:
    with Ledger.open(url, now=Clock()) as ledger:
        fill(ledger)
        write(ledger, "not by her", user=1, updated_at="2026-11-24T11:00:00.000Z")
        ledger.record(EntryKind.LOGIN, {"by": "somebody else"}, T0)
    person, mentions = about(url, PERSON)
    assert person.names == (NAME,)
    assert [mention.kind for mention in mentions] == ["person", "activity", "login", "activity"]
    assert about(url, UserId(404))[1] == []


# --- Legal hold -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticket", [WP, None])
def test_what_is_under_legal_hold_is_not_erased(url: str, ticket: WorkPackageId | None) -> None:
    clock = Clock()
    with Ledger.open(url, now=clock) as ledger:
        fill(ledger)
        hold(ledger, ticket, **BY)
        with pytest.raises(ConfigError, match="under legal hold"):
            redact_person(ledger, PERSON, **BY)
        assert ledger.person_name(PERSON) == NAME
        clock.now += timedelta(days=400)
        if ticket is None:
            with pytest.raises(ConfigError, match="under legal hold"):
                retire(ledger, {"activity": timedelta(days=30)}, by="policy")
        else:
            assert retire(ledger, {"activity": timedelta(days=30)}, by="policy").erased == 0
        assert len(ledger.revisions(WP)) == 1
        release(ledger, ticket, **BY)
        release(ledger, ticket, **BY)
        assert redact_person(ledger, PERSON, **BY) == 3
    assert verify(url).findings == ()


# --- Retention ------------------------------------------------------------------------------------------------------


def test_only_what_is_older_than_its_kind_may_be_is_retired(url: str) -> None:
    clock = Clock()
    with Ledger.open(url, now=clock) as ledger:
        fill(ledger)
        clock.now += timedelta(days=20)
        ledger.record(EntryKind.LOGIN, {"by": "late"}, clock.now)
        clock.now += timedelta(days=20)
        assert retire(ledger, {"login": timedelta(days=30)}, by="policy").erased == 1
        assert retire(ledger, {"login": timedelta(days=30)}, by="policy").erased == 0
        assert ledger.last_event(EntryKind.LOGIN) == {"at": "2026-12-14T09:00:00.000Z", "by": "late"}
        assert len(ledger.revisions(WP)) == 1
        with pytest.raises(ConfigError, match="no retention for status"):
            retire(ledger, {"status": timedelta(days=1)}, by="policy")
    assert verify(url).findings == ()


def test_a_ticket_is_kept_until_it_has_been_quiet_for_long_enough(url: str) -> None:
    clock = Clock()
    with Ledger.open(url, now=clock) as ledger:
        write(ledger)
        clock.now += timedelta(days=20)
        write(ledger, "still here", updated_at="2026-12-14T09:00:00.000Z")
        clock.now += timedelta(days=20)
        assert retire(ledger, {"activity": timedelta(days=30)}, by="policy").erased == 0
        clock.now += timedelta(days=20)
        assert retire(ledger, {"activity": timedelta(days=30)}, by="policy").erased == 2
        assert ledger.revisions(WP) == ()
        assert WP in ledger.known()
        ledger.vanish(WP, at=T0, reason="404")
        clock.now += timedelta(days=40)
        assert retire(ledger, {"ticket": timedelta(days=30)}, by="policy").erased == 2
        assert ledger.known() == {}
    assert verify(url).findings == ()


def test_the_oldest_part_can_be_cut_off_and_the_rest_still_proves_itself(url: str, tmp_path: Path) -> None:
    clock, key, seen = Clock(), SigningKey(Ed25519PrivateKey.generate()), tmp_path / "seen"
    dice = random.Random(3)
    with Ledger.open(url, now=clock) as ledger:
        fill(ledger)
        for round_ in range(3):
            with ledger.batch():
                while ledger.writer.size < 300 * (round_ + 1):
                    live(ledger, clock, dice)
                for _ in range(200):
                    ledger.record(EntryKind.CYCLE, {"round": round_}, clock.now)
            seal(ledger, key, seen)
            clock.now += timedelta(days=30)
        before = ledger.known().keys(), ledger.status_names(), ledger.enforcement(), ledger.person_name(PERSON)
        everything = {name: timedelta(days=20) for name in RETIRABLE if name != "ticket"}
        retired = retire(ledger, everything, by="policy", cut=True)
        assert retired.erased > 600
        assert retired.cut >= 512
        assert (
            ledger.known().keys(),
            ledger.status_names(),
            ledger.enforcement(),
            ledger.person_name(PERSON),
        ) == before
        live(ledger, clock, dice)
        head = seal(ledger, key, seen)
        verdict = verify(url, keys=[key.verify_key(head.origin)], notes=[seen.read_text()])
        assert verdict.findings == ()
        assert verdict.covered == ledger.writer.size
    with connected(url) as connection:
        assert connection.scalar(text("SELECT min(seq) FROM entry")) == retired.cut + 1
        connection.execute(text("UPDATE anchor SET chain = :wrong"), {"wrong": bytes(32)})
    assert verify(url).first_bad == retired.cut + 1


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_erased_in_whatever_order_the_record_holds(fresh: Callable[..., str], kind: str, seed: int) -> None:
    dice, clock, url = random.Random(seed), Clock(), fresh(kind, tables=True)
    with Ledger.open(url, now=clock) as ledger:
        for _ in range(3):
            with ledger.batch():
                live(ledger, clock, dice)
            match dice.randint(0, 3):
                case 0:
                    redact_person(ledger, UserId(dice.randint(1, 4)), **BY)
                case 1:
                    redact_text(ledger, dice.choice([*NAMES[2:4], "annexe", "404"]), **BY)
                case 2:
                    clock.now += timedelta(days=dice.randint(1, 3))
                    names = dice.sample(sorted(RETIRABLE), 8)
                    retire(ledger, {name: timedelta(days=dice.randint(0, 2)) for name in names}, by="policy")
                case _:
                    hold(ledger, dice.choice([WorkPackageId(1), WorkPackageId(2)]), **BY)
                    for ticket in map(WorkPackageId, (1, 2)):
                        release(ledger, ticket, **BY)
    assert verify(url).findings == ()

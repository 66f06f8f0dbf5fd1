"""A bundle convinces somebody who has nothing but Python and the public key, and no changed bundle does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import venv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import UserId, WorkPackageId
from bridge.errors import ConfigError
from bridge.store import verify_bundle
from bridge.store.bundle import export_consistency, export_ledger, export_ticket
from bridge.store.checkpoint import SigningKey, VerifyKey
from bridge.store.erasure import redact_person, retire
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from tests.store import outsider
from tests.store.lives import T0, Clock, live

TICKET = WorkPackageId(1)


class Proved:
    """A sealed ledger, and the checkpoints that were handed out on the way."""

    def __init__(self, url: str, directory: Path, seed: int = 1) -> None:
        self.url, self.directory = url, directory
        self.key = SigningKey(Ed25519PrivateKey.generate())
        self.notes: list[str] = []
        self.sizes: list[int] = []
        clock, dice, seen = Clock(), random.Random(seed), directory / "seen"
        with Ledger.open(url, now=clock) as ledger:
            for _ in range(3):
                with ledger.batch():
                    live(ledger, clock, dice)
                    ledger.record(EntryKind.HOLD, {"why": "é"}, clock.now, TICKET)
                head = seal(ledger, self.key, seen)
                self.notes.append(seen.read_text())
                self.sizes.append(head.size)
                self.public: VerifyKey = self.key.verify_key(head.origin)
                clock.now += timedelta(hours=1)
            ledger.record(EntryKind.HOLD, {"why": "after the last checkpoint"}, clock.now, TICKET)

    def path(self, name: str) -> Path:
        return self.directory / name

    def note(self, number: int) -> Path:
        path = self.path(f"note-{number}")
        path.write_text(self.notes[number])
        return path


@pytest.fixture
def proved(url: str, tmp_path: Path) -> Proved:
    return Proved(url, tmp_path)


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object]]:
    code = verify_bundle.main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_whole_record_is_proved(proved: Proved, capsys: pytest.CaptureFixture[str]) -> None:
    exported = export_ledger(proved.url, proved.path("out"), T0)
    assert (exported.entries, exported.size, exported.left_out) == (proved.sizes[-1], proved.sizes[-1], 1)
    code, verdict = check(
        capsys, proved.path("out/bundle.jsonl"), "--key", proved.public, "--checkpoint", proved.note(1)
    )
    assert (code, verdict["holds"]) == (0, True)
    assert (verdict["entries"], verdict["checkpoints"]) == (exported.size, 3)
    assert (verdict["continues"], verdict["key_given"]) == (proved.sizes[1], True)


def test_one_ticket_is_proved_without_the_others(proved: Proved, capsys: pytest.CaptureFixture[str]) -> None:
    exported = export_ticket(proved.url, proved.path("out"), TICKET, T0, since=proved.sizes[0])
    assert exported.left_out == 1
    code, verdict = check(
        capsys, proved.path("out/bundle.jsonl"), "--key", proved.public, "--checkpoint", proved.note(0)
    )
    assert (code, verdict["work_package"]) == (0, TICKET)
    lines = [json.loads(line) for line in proved.path("out/bundle.jsonl").read_text().splitlines()]
    tickets = {line.get("work_package") for line in lines if line["is"] == "entry"}
    assert tickets <= {TICKET, None}
    assert verdict["about"] == sum(line.get("work_package") == TICKET for line in lines if line["is"] == "entry")
    code, verdict = check(capsys, proved.path("out/bundle.jsonl"), "--checkpoint", proved.note(1))
    assert code == 1
    assert "does not prove that it continues" in str(verdict["reason"])


def test_two_checkpoints_are_proved_to_be_of_one_record(proved: Proved, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = proved.sizes
    export_consistency(proved.url, proved.path("a"), first, None, T0)
    export_consistency(proved.url, proved.path("b"), first, second, T0)
    for name, size in (("a", third), ("b", second)):
        code, verdict = check(capsys, proved.path(f"{name}/bundle.jsonl"), "--checkpoint", proved.note(0))
        assert (code, verdict["from"], verdict["size"]) == (0, first, size)


def test_an_old_bundle_is_told_from_a_new_one(proved: Proved, capsys: pytest.CaptureFixture[str]) -> None:
    export_consistency(proved.url, proved.path("out"), proved.sizes[0], proved.sizes[1], T0)
    code, verdict = check(capsys, proved.path("out/bundle.jsonl"), "--checkpoint", proved.note(2))
    assert code == 1
    assert "the bundle is old" in str(verdict["reason"])


def test_another_key_does_not_do(proved: Proved, capsys: pytest.CaptureFixture[str]) -> None:
    export_ledger(proved.url, proved.path("out"), T0)
    other = SigningKey(Ed25519PrivateKey.generate())
    code, verdict = check(capsys, proved.path("out/bundle.jsonl"), "--key", other.verify_key(proved.public.name))
    assert (code, verdict["reason"]) == (
        1,
        f"the checkpoint of {proved.sizes[0]} entries is not signed by a key that was given",
    )
    code, verdict = check(capsys, proved.path("out/bundle.jsonl"), "--key", other.verify_key("bridge/elsewhere"))
    assert "the key is of bridge/elsewhere" in str(verdict["reason"])


def test_a_bundle_holds_after_redaction_and_retention(
    fresh: Callable[..., str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, clock, key, dice = fresh(kind), Clock(), SigningKey(Ed25519PrivateKey.generate()), random.Random(5)
    with Ledger.open(url, now=clock) as ledger:
        with ledger.batch():
            live(ledger, clock, dice)
            for _ in range(300):
                ledger.record(EntryKind.CYCLE, {}, clock.now)
        clock.now += timedelta(days=90)
        seal(ledger, key)
        redact_person(ledger, UserId(1), by="an admin", reason="a letter")
        assert retire(ledger, {"cycle": timedelta(days=30)}, by="policy", cut=True).cut == 256
        live(ledger, clock, dice)
        head = seal(ledger, key)
    export_ledger(url, tmp_path / "out", T0)
    export_ticket(url, tmp_path / "ticket", TICKET, T0)
    for name in ("out", "ticket"):
        code, verdict = check(capsys, tmp_path / name / "bundle.jsonl", "--key", key.verify_key(head.origin))
        assert (code, verdict.get("reason")) == (0, None)
        outsider.verify(tmp_path / name / "bundle.jsonl", str(key.verify_key(head.origin)))


def test_a_clock_that_was_set_back_can_be_accepted_where_it_was_explained(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, key = Clock(), SigningKey(Ed25519PrivateKey.generate())
    with Ledger.open(url, now=clock) as ledger:
        clock.now -= timedelta(days=1)
        ledger.record(EntryKind.CYCLE, {}, clock.now)
        public = key.verify_key(seal(ledger, key).origin)
    export_ledger(url, tmp_path / "out", T0)
    bundle = tmp_path / "out/bundle.jsonl"
    code, verdict = check(capsys, bundle, "--key", public)
    assert (code, verdict["reason"]) == (
        1,
        "the clock was set back before entry 2 (--accept-clock 2 once that is explained)",
    )
    assert check(capsys, bundle, "--key", public, "--accept-clock", "3")[0] == 1
    code, verdict = check(capsys, bundle, "--key", public, "--accept-clock", "2")
    assert (code, verdict["holds"]) == (0, True)


def test_nothing_is_exported_that_nothing_proves(url: str, tmp_path: Path) -> None:
    with Ledger.open(url, now=Clock()):
        pass
    with pytest.raises(ConfigError, match="nothing is signed yet"):
        export_ledger(url, tmp_path / "out", T0)


def test_a_directory_that_is_there_is_left_alone(proved: Proved) -> None:
    proved.path("out").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        export_ledger(proved.url, proved.path("out"), T0)
    with pytest.raises(ConfigError, match="no checkpoint of 1 entries"):
        export_consistency(proved.url, proved.path("new"), 1, None, T0)
    with pytest.raises(ConfigError, match="nothing about ticket 4711"):
        export_ticket(proved.url, proved.path("new"), WorkPackageId(4711), T0)


# --- Every lie ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[VerifyKey, Path, dict[str, bytes]]:
    directory = tmp_path_factory.mktemp("bundles")
    proved = Proved(f"sqlite:///{directory}/bridge.db", directory)
    export_ledger(proved.url, proved.path("ledger"), T0)
    export_ticket(proved.url, proved.path("ticket"), TICKET, T0, since=proved.sizes[0])
    export_consistency(proved.url, proved.path("consistency"), proved.sizes[0], None, T0)
    names = ("ledger", "ticket", "consistency")
    return proved.public, directory, {name: proved.path(f"{name}/bundle.jsonl").read_bytes() for name in names}


def test_a_verifier_that_was_written_from_the_documentation_agrees(
    bundles: tuple[VerifyKey, Path, dict[str, bytes]],
) -> None:
    public, directory, contents = bundles
    for name in contents:
        outsider.verify(directory / name / "bundle.jsonl", str(public))


@given(st.data())
@settings(max_examples=60)
def test_no_changed_byte_goes_unnoticed(bundles: tuple[VerifyKey, Path, dict[str, bytes]], data: st.DataObject) -> None:
    public, directory, contents = bundles
    whole = bytearray(contents[data.draw(st.sampled_from(sorted(contents)))])
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path = directory / "changed.jsonl"
    path.write_bytes(whole)
    assert verify_bundle.main([str(path), "--key", str(public)]) == 1


@given(st.data())
@settings(max_examples=40)
def test_no_changed_value_goes_unnoticed_though_the_sum_is_made_anew(
    bundles: tuple[VerifyKey, Path, dict[str, bytes]], data: st.DataObject
) -> None:
    public, directory, contents = bundles
    lines = [json.loads(line) for line in contents[data.draw(st.sampled_from(sorted(contents)))].splitlines()[:-1]]
    victims = [n for n, line in enumerate(lines) if line["is"] in ("entry", "consistency")]
    victim = data.draw(st.sampled_from(victims))
    match data.draw(st.sampled_from(["change", "drop", "repeat"])):
        case "change":
            name = data.draw(st.sampled_from(sorted(lines[victim].keys() - {"is"})))
            value = lines[victim][name]
            lines[victim][name] = {int: 1, str: "00", list: ["00" * 32]}[type(value)]
            if lines[victim][name] == value or (name == "chain" and "path" in lines[victim]):
                return  # unchanged; or the chain value, which a single entry cannot prove and the verifier does not use
        case "drop":
            if any("path" in line for line in lines):
                return  # fewer entries of a ticket are no lie, nor is one proof less that does not bear them
            del lines[victim]
        case _:
            if lines[victim]["is"] == "consistency" or "path" in lines[victim]:
                return  # the same proof twice is no lie
            lines.insert(victim, lines[victim])
    path = directory / "forged.jsonl"
    path.write_bytes(_summed(lines))
    assert verify_bundle.main([str(path), "--key", str(public)]) == 1
    with pytest.raises((outsider.Lie, ValueError, KeyError, TypeError)):
        outsider.verify(path, str(public))


def _summed(lines: list[dict[str, object]]) -> bytes:
    import hashlib

    body = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    end = {"is": "end", "lines": len(lines), "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def test_a_byte_moved_from_the_content_to_the_salt_is_noticed(
    bundles: tuple[VerifyKey, Path, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    public, directory, contents = bundles
    for name in ("ledger", "ticket"):
        lines = [json.loads(line) for line in contents[name].splitlines()[:-1]]
        victim = next(line for line in lines if line.get("payload"))
        victim["salt"] += victim["payload"][:1].encode().hex()
        victim["payload"] = victim["payload"][1:]
        path = directory / "moved.jsonl"
        path.write_bytes(_summed(lines))
        code, verdict = check(capsys, path, "--key", public)
        assert (code, verdict["reason"]) == (1, f"the salt of entry {victim['seq']} is not of 16 bytes")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "its end is missing"),
        (b"{}\n", "line 1 is damaged"),
        (b"\xff\xfe", "line 1 is damaged"),
        (b'{"is":"header","format":1}\n', "does not hold what a bundle holds"),
        (b'{"is":"header","format":2}\n', "format 2"),
        (b"[" * 100_000, "damaged"),
    ],
)
def test_what_is_no_bundle_gets_a_verdict_too(
    content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    code, verdict = check(capsys, path)
    assert code == 1
    assert words in str(verdict["reason"])
    assert check(capsys, tmp_path / "none.jsonl")[0] == 1
    (tmp_path / "x.jsonl.gz").write_bytes(content)
    assert check(capsys, tmp_path / "x.jsonl.gz")[0] == 1


# --- By itself ------------------------------------------------------------------------------------------------------


def test_the_verifier_runs_in_an_empty_environment(proved: Proved) -> None:
    export_ledger(proved.url, proved.path("out"), T0)
    venv.create(proved.path("empty"), with_pip=False)
    python = str(proved.path("empty/bin/python"))
    command = [python, "-I", "verify_bundle.py", "bundle.jsonl", "--key", str(proved.public)]
    run = subprocess.run(command, cwd=proved.path("out"), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"HOLDS: {proved.sizes[-1]} entries and 3 checkpoints")
    shown = subprocess.run([*command, "--show"], cwd=proved.path("out"), capture_output=True, text=True, check=False)
    assert len(shown.stdout.splitlines()) == proved.sizes[-1] + 1
    path = proved.path("out/bundle.jsonl")
    path.write_bytes(path.read_bytes().replace(b"genesis", b"Genesis"))
    run = subprocess.run(command, cwd=proved.path("out"), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "")
    assert run.stdout.startswith("DOES NOT HOLD: ")


def test_the_verifier_imports_nothing_but_the_standard_library() -> None:
    source = Path(verify_bundle.__file__).read_text()
    imported = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - {"__future__"} <= sys.stdlib_module_names


@given(st.binary(max_size=40), st.data())
@settings(max_examples=25)
def test_its_ed25519_agrees_with_the_library(text: bytes, data: st.DataObject) -> None:
    private = Ed25519PrivateKey.from_private_bytes(data.draw(st.binary(min_size=32, max_size=32)))
    public = private.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    signature = private.sign(text)
    assert verify_bundle.signed(raw, text, signature)
    changed = bytearray(signature)
    changed[data.draw(st.integers(0, 63))] ^= 1 << data.draw(st.integers(0, 7))
    for forged in (
        bytes(changed),
        signature[:63],
        bytes(64),
        signature[:32] + (verify_bundle.L).to_bytes(32, "little"),
    ):
        try:
            public.verify(forged, text)
        except InvalidSignature:
            assert not verify_bundle.signed(raw, text, forged)
        else:
            assert verify_bundle.signed(raw, text, forged)
    assert not verify_bundle.signed(raw, text + b"!", signature)

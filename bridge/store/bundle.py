"""Proof bundles: what somebody needs who trusts neither this machine nor this program. Reads the record, writes a file.

A bundle is lines of JSON: a header, signed checkpoints, entries or proofs, and the sum of all bytes before. The format
is in docs/audit.md; ``verify_bundle`` reads it, and lies beside every bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import IO, Any

import orjson
from sqlalchemy import Connection, or_, select

from bridge.domain.model import WorkPackageId
from bridge.errors import ConfigError
from bridge.store import merkle, schema
from bridge.store.checkpoint import VerifyKey, read
from bridge.store.database import believing, parse, snapshot
from bridge.store.projection import iso
from bridge.store.record import Entry, entries, stored_tree
from bridge.store.schema import EntryKind
from bridge.store.views import fact

FORMAT = 1

_README = """\
bundle.jsonl      the proof: entries of the record, checkpoints, signatures
verify_bundle.py  checks it. Needs Python 3.9 or newer and nothing else, and no network:

    python3 verify_bundle.py bundle.jsonl --key KEY

KEY is the public key as it was given to you by the publisher, not as it stands in the bundle. You may
fetch verify_bundle.py from elsewhere, or write your own verifier: the format is in docs/audit.md of
openproject-bridge.

bundle.jsonl      la preuve : entrées du registre, points de contrôle, signatures
verify_bundle.py  la vérifie. Il ne faut que Python 3.9 ou plus récent, et aucun réseau :

    python3 verify_bundle.py bundle.jsonl --key CLE

CLE est la clé publique telle que l'éditeur vous l'a remise, et non celle que contient la preuve.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a bundle holds."""

    directory: Path
    entries: int
    size: int
    """Entries of the signed record that it proves things about."""
    left_out: int
    """Entries that are newer than the last checkpoint, so that nothing proves them yet."""


def export_ledger(url: str, directory: Path, now: datetime) -> Exported:
    """The whole record up to its last checkpoint. Raises ConfigError where there is none, or the directory is there."""
    with snapshot(url) as connection, believing(parse(url)):
        notes = _notes(connection)
        size = read(notes[-1]).size
        header: dict[str, object] = {"scope": "ledger"}
        anchor = _anchor(connection)
        if anchor is not None:
            header["anchor"] = anchor
        entry = schema.entry.c
        chosen = entries(connection, select(schema.entry).where(entry.seq <= size).order_by(entry.seq))
        written = _write(connection, directory, now, header, notes, map(_line, chosen))
        return Exported(directory, written, size, _size(connection) - size)


def export_ticket(
    url: str, directory: Path, work_package: WorkPackageId, now: datetime, since: int | None = None
) -> Exported:
    """All about one ticket, each entry with its proof under the last checkpoint; and what those entries refer to.

    ``since`` adds the proof that the record continues the checkpoint of that many entries. Raises ConfigError where
    there is no checkpoint, or nothing about the ticket.
    """
    with snapshot(url) as connection, believing(parse(url)):
        notes = _notes(connection)
        size = read(notes[-1]).size
        tree = stored_tree(connection)
        entry = schema.entry.c
        about = select(schema.entry).where(entry.work_package == work_package).order_by(entry.seq)
        own = list(entries(connection, about))
        if not own:
            raise ConfigError(f"the record holds nothing about ticket {work_package}")
        chosen = sorted(
            [*own, *_referred(connection, own)],
            key=lambda each: each.seq,
        )
        lines: list[dict[str, object]] = [
            _line(each) | {"path": [step.hex() for step in tree.inclusion(each.seq - 1, size)]}
            for each in chosen
            if each.seq <= size
        ]
        kept = [notes[-1]]
        if since is not None and since != size:
            kept.insert(0, _note_of(notes, since))
            lines.insert(0, _consistency(tree, since, size))
        header = {"scope": "ticket", "work_package": work_package}
        _write(connection, directory, now, header, kept, lines)
        return Exported(directory, len(lines), size, sum(each.seq > size for each in own))


def export_consistency(url: str, directory: Path, since: int, until: int | None, now: datetime) -> Exported:
    """That the checkpoint of ``until`` entries (None: the last one) continues that of ``since``.

    Raises ConfigError where one of the checkpoints is not there.
    """
    with snapshot(url) as connection, believing(parse(url)):
        notes = _notes(connection)
        later = notes[-1] if until is None else _note_of(notes, until)
        size = read(later).size
        if since >= size:
            raise ConfigError(f"the checkpoint of {since} entries is not older than that of {size}")
        tree = stored_tree(connection)
        lines = [_consistency(tree, since, size)]
        _write(connection, directory, now, {"scope": "consistency"}, [_note_of(notes, since), later], lines)
        return Exported(directory, 0, size, 0)


# --- Inside ---------------------------------------------------------------------------------------------------------


def _notes(connection: Connection) -> list[str]:
    checkpoint = schema.checkpoint.c
    notes = list(connection.scalars(select(checkpoint.note).order_by(checkpoint.size)))
    if not notes:
        raise ConfigError("nothing is signed yet, so nothing can be proved: run bridge audit seal first")
    return notes


def _note_of(notes: Iterable[str], size: int) -> str:
    for note in notes:
        if read(note).size == size:
            return note
    raise ConfigError(f"there is no checkpoint of {size} entries: bridge audit checkpoints lists them")


def _size(connection: Connection) -> int:
    entry = schema.entry.c
    return connection.scalar(select(entry.seq).order_by(entry.seq.desc()).limit(1)) or 0


def _anchor(connection: Connection) -> dict[str, object] | None:
    row = connection.execute(select(schema.anchor).order_by(schema.anchor.c.size.desc()).limit(1)).first()
    if row is None:
        return None
    peaks = stored_tree(connection).tree(row.size).peaks()
    return {
        "size": row.size,
        "chain": row.chain.hex(),
        "root": row.root.hex(),
        "peaks": [peak.hex() for peak in peaks],
    }


def _referred(connection: Connection, own: Iterable[Entry]) -> list[Entry]:
    """Entries that those about the ticket can only be read with: policies, and the names of people and statuses."""
    seqs: set[int] = {1}
    people: set[int] = set()
    for each in own:
        said: Any = orjson.loads(each.payload or "{}")
        said = said.get("payload", said) if each.stands_for is not None else said
        if each.kind == EntryKind.DECISION.value:
            seqs.add(said["policy"])
        people |= {who for who in (said.get("person"), said.get("received", {}).get("user")) if isinstance(who, int)}
    person, key, project = schema.person.c, schema.event.c, schema.project_name.c
    seqs |= set(connection.scalars(select(person.seq).where(person.person.in_(people))))
    seqs |= set(connection.scalars(select(schema.status_name.c.seq)))
    seqs |= set(connection.scalars(select(project.seq)))
    seqs |= set(connection.scalars(select(key.seq).where(key.kind == EntryKind.KEY.value)))
    have = {each.seq for each in own}
    entry = schema.entry.c
    query = select(schema.entry).where(or_(entry.seq.in_(seqs), entry.stands_for.in_(seqs))).order_by(entry.seq)
    return [each for each in entries(connection, query) if each.seq not in have]


def _line(entry: Entry) -> dict[str, object]:
    line: dict[str, object] = {"is": "entry", "seq": entry.seq, "at": entry.at, "kind": entry.kind}
    line["chain"] = entry.chain.hex()
    if entry.work_package is not None:
        line["work_package"] = entry.work_package
    if entry.payload is None or entry.salt is None:
        line["commitment"] = entry.committed().hex()
    else:
        line |= {"payload": entry.payload, "salt": entry.salt.hex()}
    return line


def _consistency(tree: merkle.Reader, since: int, size: int) -> dict[str, object]:
    path = [step.hex() for step in tree.consistency(since, size)]
    return {"is": "consistency", "from": since, "to": size, "path": path}


def _write(
    connection: Connection,
    directory: Path,
    now: datetime,
    header: dict[str, object],
    notes: list[str],
    lines: Iterable[dict[str, object]],
) -> int:
    """The files of a bundle. Returns how many lines follow the checkpoints."""
    head = read(notes[-1])
    whole = {
        "is": "header",
        "format": FORMAT,
        "made_at": iso(now),
        "ledger": head.origin,
        "size": head.size,
        "keys": _keys(connection),
        "checkpoints": len(notes),
        **header,
    }
    try:
        directory.mkdir(parents=True)
        (directory / "README.txt").write_text(_README, "utf-8")
        verifier = resources.files("bridge.store").joinpath("verify_bundle.py").read_bytes()
        (directory / "verify_bundle.py").write_bytes(verifier)
        with (directory / "bundle.jsonl").open("wb") as file:
            return _stream(file, whole, notes, lines)
    except FileExistsError:
        raise ConfigError(f"{directory} is there already: name a directory that is to be made") from None
    except OSError as error:
        raise ConfigError(f"the bundle cannot be written to {directory}: {error.strerror}") from None


def _stream(file: IO[bytes], header: dict[str, object], notes: list[str], lines: Iterable[dict[str, object]]) -> int:
    digest, count, more = sha256(), 0, 0

    def all_lines() -> Iterator[dict[str, object]]:
        nonlocal more
        yield header
        for note in notes:
            yield {"is": "checkpoint", "note": note}
        for line in lines:
            more += 1
            yield line

    for line in all_lines():
        text = orjson.dumps(line, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        digest.update(text)
        file.write(text)
        count += 1
    end = {"is": "end", "lines": count, "sha256": digest.hexdigest()}
    file.write(orjson.dumps(end, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    return more


def _keys(connection: Connection) -> list[str]:
    """The public keys that the record names. A reader must have them from elsewhere as well."""
    event = schema.event.c
    seqs = select(event.seq).where(event.kind == EntryKind.KEY.value)
    payloads = connection.scalars(select(fact.c.payload).where(fact.c.seq.in_(seqs)).order_by(fact.c.seq))
    return [str(VerifyKey.parse(orjson.loads(payload)["key"])) for payload in payloads]

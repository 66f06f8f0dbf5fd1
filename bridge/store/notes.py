"""What other processes want in the record while one of them holds it: a file for each fact, until it is taken in.

The files lie beside the pause file: who may write there can stop the bridge as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import orjson

from bridge.errors import ConfigError
from bridge.store.canonical import canonical
from bridge.store.ledger import Ledger
from bridge.store.projection import iso, parse_iso
from bridge.store.schema import EntryKind, microseconds

NOTED = frozenset({EntryKind.PAUSE, EntryKind.RESUME, EntryKind.EXPORT, EntryKind.REPORT, EntryKind.LOGIN})
"""What people do beside the daemon. Everything else is for the daemon alone to say."""


def leave(directory: Path, kind: EntryKind, facts: Mapping[str, object], at: datetime) -> None:
    """Have a fact recorded by whoever writes the ledger next. Raises ConfigError where that cannot be done."""
    path = directory / f"note-{microseconds(at):017d}-{os.urandom(4).hex()}.json"
    fresh = path.with_suffix(".new")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_bytes(canonical({"at": iso(at), "facts": facts, "kind": kind.value}))
        fresh.chmod(0o644)  # the daemon may be another user; the directory is its own
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def take_in(ledger: Ledger, directory: Path) -> list[str]:
    """Record what was left, oldest first, each once. Returns the names of what is no note, which is put aside."""
    strange = []
    for path in sorted(directory.glob("note-*.json")):
        try:
            said = orjson.loads(path.read_bytes())
            kind, at, facts = EntryKind(said["kind"]), parse_iso(said["at"]), said["facts"]
            if kind not in NOTED or at.tzinfo is None or not isinstance(facts, dict):
                raise ValueError(said)
            canonical(facts)
        except (OSError, ValueError, KeyError, TypeError):
            strange.append(path.name)
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".strange"))
            continue
        with ledger.batch():
            if not ledger.recorded(kind, at):  # a crash may have left the file behind
                ledger.record(kind, facts, at)
        with contextlib.suppress(OSError):
            path.unlink()
    return strange

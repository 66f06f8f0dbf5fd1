"""What is hashed and how: commitment, leaf, chain. docs/audit.md says the same in words. Pure."""

from __future__ import annotations

from hashlib import sha256

START = bytes(32)
"""The chain value before the first entry."""

SALT = 16
"""Bytes of salt: enough that nobody guesses an erased text from its commitment by trying likely ones."""


def commitment(salt: bytes, payload: bytes) -> bytes:
    """Binds an entry to its payload, and survives it."""
    return sha256(salt + payload).digest()


def leaf_hash(seq: int, at: int, kind: str, work_package: int | None, committed: bytes) -> bytes:
    """RFC 6962 leaf hash of an entry. ``at`` is in microseconds since the epoch; the leaf is canonical JSON itself."""
    ticket = "" if work_package is None else f',"work_package":{work_package}'
    return sha256(
        f'\0{{"at":{at},"commitment":"{committed.hex()}","kind":"{kind}","seq":{seq}{ticket}}}'.encode()
    ).digest()


def link(previous: bytes, leaf: bytes) -> bytes:
    """The chain value of an entry from that of the one before."""
    return sha256(previous + leaf).digest()

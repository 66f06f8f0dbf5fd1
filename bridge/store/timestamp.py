"""Outside proof of when a checkpoint existed: RFC 3161 time-stamps, asked for and answered by files. Needs an extra.

It speaks to no server itself: whoever runs the bridge sends the request and fetches the reply, with curl for instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from sqlalchemy import select, update

from bridge.errors import ConfigError
from bridge.store import schema
from bridge.store.database import snapshot
from bridge.store.ledger import Ledger


def request(url: str) -> bytes:
    """The query for the last checkpoint, as DER. Raises ConfigError where nothing is signed or the extra is missing."""
    client = _client()
    checkpoint = schema.checkpoint.c
    with snapshot(url) as connection:
        note: str | None = connection.scalar(select(checkpoint.note).order_by(checkpoint.size.desc()).limit(1))
    if note is None:
        raise ConfigError("nothing is signed yet: run bridge audit seal first")
    builder = client.TimestampRequestBuilder().data(note.encode()).hash_algorithm(client.HashAlgorithm.SHA256)
    # No nonce: it would have to be kept between two commands, and the note itself is never the same twice.
    return bytes(builder.nonce(nonce=False).cert_request(cert_request=True).build().as_bytes())


def accept(ledger: Ledger, reply: bytes, roots: Sequence[x509.Certificate]) -> tuple[int, datetime]:
    """Check a reply against the authority's root certificates and keep it. Returns the checkpoint's size and the time.

    Raises ConfigError for a reply that is none, that does not hold, or that is about none of the checkpoints.
    """
    response = _read(reply)
    imprint = response.tst_info.message_imprint.message
    checkpoint = schema.checkpoint.c
    with ledger.batch():
        notes = ledger.writer.read(select(checkpoint.size, checkpoint.note).order_by(checkpoint.size.desc()))
        for size, note in notes:
            if sha256(note.encode()).digest() == imprint:
                problem = why_not(reply, note, roots)
                if problem:
                    raise ConfigError(f"the time-stamp does not hold: {problem}")
                ledger.writer.execute(update(schema.checkpoint).where(checkpoint.size == size).values(token=reply))
                at: datetime = response.tst_info.gen_time
                return size, at
    raise ConfigError("the time-stamp is about none of the checkpoints")


def why_not(reply: bytes, note: str, roots: Sequence[x509.Certificate]) -> str:
    """Why a kept reply does not prove a checkpoint; empty when it does. Raises ConfigError without the extra."""
    client = _client()
    builder = client.VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify_message(client.decode_timestamp_response(reply), note.encode())
    except (client.VerificationError, ValueError) as error:
        return str(error) or "it does not fit"
    return ""


def certificates(path: Path) -> list[x509.Certificate]:
    """Root certificates in PEM. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} holds no certificates in PEM") from None


def _read(reply: bytes) -> Any:
    client = _client()
    try:
        return client.decode_timestamp_response(reply)
    except ValueError:
        raise ConfigError("this is no reply of a time-stamping authority") from None


def _client() -> Any:
    """The library of the extra."""
    try:
        import rfc3161_client  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigError("time-stamps need the extra: pip install 'openproject-bridge[timestamp]'") from None
    return rfc3161_client

"""Signed tree heads in the C2SP text forms (signed-note, tlog-checkpoint), and the Ed25519 key that signs them.

The key is a file outside the database that its owner alone may read: who can change the record must not sign it.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridge.errors import ConfigError
from bridge.store.database import unwritable

_ED25519 = b"\x01"
_DASH = "\u2014 "  # an em dash and a space begin each signature line


class WrongKey(ValueError):
    """The note is signed, but by none of the keys that were expected."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: so many entries, under this root."""

    origin: str
    size: int
    root: bytes
    at: datetime
    chain: bytes
    """Chain value of the last entry."""
    polls_done: int
    polls_missed: int
    """Since the checkpoint before."""

    def text(self) -> str:
        """The part that is signed."""
        lines = (
            self.origin,
            str(self.size),
            base64.b64encode(self.root).decode(),
            f"time {self.at.isoformat().replace('+00:00', 'Z')}",
            f"chain {self.chain.hex()}",
            f"polls {self.polls_done} {self.polls_missed}",
        )
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key under its name, as C2SP signed-note writes it: ``name+id+base64``."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for anything that ``str`` did not write."""
        name, _, rest = text.strip().partition("+")
        id_, _, encoded = rest.partition("+")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            decoded = b""
        key = cls(name, decoded[1:])
        if not name or len(decoded) != 33 or decoded[:1] != _ED25519 or key.id.hex() != id_:
            raise ValueError("this is no public key of the form name+id+base64")
        return key

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key signed the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key. Its ``repr`` shows the public part alone."""

    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new key in a new file that only this user may read, whole or not at all.

        Raises ConfigError where the file is there already or cannot be made, Stop where there is no room for it.
        """
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        fresh = path.with_name(f"{path.name}.new")
        try:
            fresh.unlink(missing_ok=True)  # of a process that was killed here
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, path)  # unlike a rename, never over another
        except OSError as error:
            raise unwritable(path, error, f"the signing key {path} cannot be created") from None
        finally:
            fresh.unlink(missing_ok=True)
        return cls(key)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The key in the file; a new one where there is no file. Raises ConfigError as ``load`` and ``create`` do."""
        return cls.load(path) if path.exists() else cls.create(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ConfigError for a file that is missing, no Ed25519 key, or readable by others."""
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise ConfigError(f"the signing key {path} can be read by others: chmod 600 {path}")
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise ConfigError(f"the signing key {path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError):
            raise ConfigError(f"{path} is no signing key: an Ed25519 private key as PEM, without a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} holds a key of another kind: an Ed25519 key is needed")
        return cls(key)

    def verify_key(self, name: str) -> VerifyKey:
        """The public part under the name of a ledger."""
        public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return VerifyKey(name, public)

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note."""
        text = checkpoint.text()
        key = self.verify_key(checkpoint.origin)
        signature = base64.b64encode(key.id + self.private.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{key.name} {signature}\n"


def read(note: str) -> Checkpoint:
    """What a note says, whoever signed it. Raises ValueError for a text of another form."""
    text, _ = _split(note)
    lines = text.split("\n")[:-1]
    try:
        origin, size, root, *extensions = lines
        said = dict(line.split(" ", 1) for line in extensions)
        done, missed = said["polls"].split(" ")
        checkpoint = Checkpoint(
            origin,
            int(size),
            base64.b64decode(root, validate=True),
            datetime.fromisoformat(said["time"]),
            bytes.fromhex(said["chain"]),
            int(done),
            int(missed),
        )
    except (ValueError, KeyError, binascii.Error):
        raise ValueError("this is no checkpoint of a bridge") from None
    if checkpoint.text() != text:
        raise ValueError("this is no checkpoint of a bridge: it is not written the way a bridge writes it")
    return checkpoint


def verify(note: str, keys: Iterable[VerifyKey]) -> Checkpoint:
    """What a note says, if one of the keys signed it. Raises WrongKey, or ValueError for a changed or damaged note."""
    checkpoint = read(note)
    text, signatures = _split(note)
    known: Mapping[tuple[str, bytes], VerifyKey] = {(key.name, key.id): key for key in keys}
    signed_by = [(known[name, id_], signature) for name, id_, signature in signatures if (name, id_) in known]
    if not signed_by:
        others = ", ".join(f"{name}+{id_.hex()}" for name, id_, _ in signatures)
        raise WrongKey(f"the checkpoint of {checkpoint.size} entries is signed by another key ({others})")
    if not all(key.accepts(text, signature) for key, signature in signed_by):
        raise ValueError(f"the signature of the checkpoint of {checkpoint.size} entries does not fit its text")
    return checkpoint


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    text, gap, tail = note.partition("\n\n")
    signatures = []
    for line in tail.split("\n")[:-1]:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            decoded = b""
        if not line.startswith(_DASH) or len(decoded) != 68:
            raise ValueError("this is no signed note")
        signatures.append((name, decoded[:4], decoded[4:]))
    if not gap or not signatures or not tail.endswith("\n"):
        raise ValueError("this is no signed note")
    return f"{text}\n", signatures

"""Time-stamps of an authority made with openssl, kept and checked again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from bridge.errors import ConfigError
from bridge.store.audit import checkpoints, verify
from bridge.store.checkpoint import SigningKey
from bridge.store.ledger import Ledger
from bridge.store.seal import seal
from bridge.store.timestamp import accept, certificates, request
from tests.store.databases import connected
from tests.store.lives import Clock

pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for an authority")

CONFIG = """
[ tsa ]
default_tsa = here
[ here ]
serial = ./serial
signer_cert = ./tsa.pem
signer_key = ./tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
[ root ]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[ stamp ]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ req ]
distinguished_name = name
[ name ]
"""


class Authority:
    """A time-stamping authority with a root of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        (directory / "serial").write_text("01\n")
        (directory / "tsa.cnf").write_text(CONFIG)
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days",
                  "9", "-subj", "/CN=root", "-config", "tsa.cnf", "-extensions", "root")  # fmt: skip
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=tsa",
                  "-config", "tsa.cnf")  # fmt: skip
        self._run("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out",
                  "tsa.pem", "-days", "9", "-extfile", "tsa.cnf", "-extensions", "stamp")  # fmt: skip

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    @property
    def root(self) -> Path:
        return self.directory / "root.pem"

    def answer(self, query: bytes) -> bytes:
        (self.directory / "query.tsq").write_bytes(query)
        self._run("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        return (self.directory / "reply.tsr").read_bytes()


def test_a_checkpoint_is_stamped_and_the_stamp_is_checked_again(url: str, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "tsa"), Authority(tmp_path / "other")
    roots = certificates(authority.root)
    with Ledger.open(url, now=Clock()) as ledger:
        with pytest.raises(ConfigError, match="nothing is signed yet"):
            request(url)
        key = SigningKey(Ed25519PrivateKey.generate())
        head = seal(ledger, key)
        reply = authority.answer(request(url))
        with pytest.raises(ConfigError, match="does not hold"):
            accept(ledger, reply, certificates(other.root))
        with pytest.raises(ConfigError, match="no reply"):
            accept(ledger, b"nothing", roots)
        size, _ = accept(ledger, reply, roots)
        assert size == head.size
        seal(ledger, key)
    assert [each.timestamped for each in checkpoints(url)] == [True, False]
    assert verify(url, roots=roots).findings == ()
    assert [finding.kind for finding in verify(url, roots=certificates(other.root)).findings] == ["timestamp"]
    changed = bytearray(reply)
    changed[len(changed) // 2] ^= 1
    with connected(url) as connection:
        connection.execute(
            text("UPDATE checkpoint SET token = :token WHERE size = :size"), {"token": bytes(changed), "size": size}
        )
    assert [finding.kind for finding in verify(url, roots=roots).findings] == ["timestamp"]


def test_a_stamp_for_something_else_is_not_kept(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    first, second = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    for url in (first, second):
        with Ledger.open(url, now=Clock()) as ledger:
            seal(ledger, SigningKey(Ed25519PrivateKey.generate()))
    with Ledger.open(second, now=Clock()) as ledger, pytest.raises(ConfigError, match="about none of the checkpoints"):
        accept(ledger, authority.answer(request(first)), certificates(authority.root))
    with pytest.raises(ConfigError, match="holds no certificates"):
        certificates(tmp_path / "tsa" / "serial")
    with pytest.raises(ConfigError, match="cannot be read"):
        certificates(tmp_path / "none.pem")

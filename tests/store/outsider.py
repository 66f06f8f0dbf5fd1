"""A second verifier of bundles, made to docs/audit.md, that shares no code with the bridge's own.

It checks what the page says, in the page's order, and raises Lie. Ed25519 is the cryptography package's.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Line = Mapping[str, Any]


class Lie(Exception):
    """The bundle does not hold."""


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def must(holds: object, what: str) -> None:
    if not holds:
        raise Lie(what)


def verify(path: Path, key: str) -> None:
    header, *lines = read(path)
    must(header["is"] == "header" and header["format"] == 1, "header")
    count = header["checkpoints"]
    heads = dict(checkpoint(line, key, header["ledger"]) for line in lines[:count])
    must(max(heads) == header["size"], "size")
    rest = lines[count:]
    if header["scope"] == "ledger":
        every_entry(header, heads, rest)
        return
    for line in rest:
        if line["is"] == "entry":
            must(header["scope"] == "ticket", "scope")
            root = heads[header["size"]][0]
            must(included(leaf_hash(line), line["seq"] - 1, header["size"], steps(line)) == root, "inclusion")
        else:
            must(line["is"] == "consistency", "kind of line")
            (old, _), (new, _) = heads[line["from"]], heads[line["to"]]
            must(continued(line["from"], line["to"], steps(line), old) == (old, new), "consistency")


def read(path: Path) -> list[Line]:
    *lines, last = path.read_bytes().splitlines(keepends=True)
    body = b"".join(lines)
    end = f'{{"is":"end","lines":{len(lines)},"sha256":"{sha(body).hex()}"}}\n'
    must(last == end.encode(), "end")
    return [json.loads(line) for line in lines]


def checkpoint(line: Line, key: str, ledger: str) -> tuple[int, tuple[bytes, bytes]]:
    name, id_, encoded = key.split("+", 2)
    public = base64.b64decode(encoded)
    must(public[0] == 1 and sha(name.encode() + b"\n" + public)[:4].hex() == id_, "key")
    must(line["is"] == "checkpoint", "kind of line")
    text, signatures = line["note"].split("\n\n")
    text += "\n"
    signed = False
    for signature in signatures.splitlines():
        _, signer, blob = signature.split(" ")
        raw = base64.b64decode(blob)
        if signer == name and raw[:4].hex() == id_:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
            except InvalidSignature:
                raise Lie("signature") from None
            signed = True
    must(signed, "no signature")
    origin, size, root, *extensions = text.splitlines()
    must(origin == ledger == name, "origin")
    said = dict(extension.split(" ", 1) for extension in extensions)
    return int(size), (base64.b64decode(root), bytes.fromhex(said["chain"]))


def leaf_hash(entry: Line) -> bytes:
    if entry.get("payload") is None:
        committed = bytes.fromhex(entry["commitment"])
    else:
        salt = bytes.fromhex(entry["salt"])
        must(len(salt) == 16, "salt")
        committed = sha(salt + entry["payload"].encode())
    ticket = "" if entry.get("work_package") is None else f',"work_package":{entry["work_package"]}'
    leaf = (
        f'{{"at":{entry["at"]},"commitment":"{committed.hex()}","kind":"{entry["kind"]}","seq":{entry["seq"]}{ticket}}}'
    )
    return sha(b"\0" + leaf.encode())


def steps(line: Line) -> list[bytes]:
    return [bytes.fromhex(step) for step in line["path"]]


def node(left: bytes, right: bytes) -> bytes:
    return sha(b"\1" + left + right)


def root_over(peaks: Sequence[bytes]) -> bytes:
    *others, root = peaks or [sha(b"")]
    for peak in reversed(others):
        root = node(peak, root)
    return root


def every_entry(header: Line, heads: dict[int, tuple[bytes, bytes]], lines: Sequence[Line]) -> None:
    anchor = header.get("anchor") or {"size": 0, "chain": bytes(32).hex(), "root": sha(b"").hex(), "peaks": []}
    size, chain, peaks = anchor["size"], bytes.fromhex(anchor["chain"]), [bytes.fromhex(p) for p in anchor["peaks"]]
    must(root_over(peaks).hex() == anchor["root"], "peaks")
    at = 0
    erased, explained, ranges, anchors = [], set(), [], []
    for entry in lines:
        size += 1
        must(entry["is"] == "entry" and entry["seq"] == size, "seq")
        must(entry["at"] >= at, "clock")
        at = entry["at"]
        leaf = leaf_hash(entry)
        chain = sha(chain + leaf)
        must(chain.hex() == entry["chain"], "chain")
        before = size - 1
        while before & 1:
            leaf, before = node(peaks.pop(), leaf), before >> 1
        peaks.append(leaf)
        if size in heads:
            must(heads.pop(size) == (root_over(peaks), chain), "root")
        if entry.get("payload") is None:
            erased.append(size)
        elif entry["kind"] in ("redaction", "carried", "retention"):
            kind, said = entry["kind"], json.loads(entry["payload"])
            if kind != "retention":
                explained |= {said["of"], said["erases"]}
                kind, said = said["kind"], said["payload"]
            if kind == "retention":
                ranges += said["erased"]
                anchors.append(said.get("anchor"))
    must(size == header["size"] and not heads, "size")
    for seq in erased:
        must(seq in explained or any(first <= seq <= last for first, last in ranges), "erased")
    must(not anchor["size"] or {name: anchor[name] for name in ("size", "chain", "root")} in anchors, "anchor")


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.3.2."""
    last, root = size - 1, leaf
    must(index <= last, "index")
    for step in path:
        must(last, "path")
        if index & 1 or index == last:
            root = node(step, root)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            root = node(root, step)
        index, last = index >> 1, last >> 1
    must(last == 0, "path")
    return root


def continued(earlier: int, size: int, path: list[bytes], before: bytes) -> tuple[bytes, bytes]:
    """RFC 9162 §2.1.4.2, for 0 < earlier < size."""
    must(0 < earlier < size, "sizes")
    if earlier & (earlier - 1) == 0:
        path = [before, *path]
    must(path, "path")
    index, last = earlier - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        must(last, "path")
        if index & 1 or index == last:
            old, new = node(step, old), node(step, new)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            new = node(new, step)
        index, last = index >> 1, last >> 1
    must(last == 0, "path")
    return old, new

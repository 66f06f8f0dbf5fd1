#!/usr/bin/env python3
"""Verifies a proof bundle of a bridge, offline: one file, Python 3.9 or newer, nothing else. It trusts only the key.

    python3 verify_bundle.py bundle.jsonl [--key KEY] [--checkpoint FILE] [--accept-clock ENTRY] [--show] [--json]

KEY is the public key as you were given it, not from the bundle. FILE is a checkpoint that you were sent earlier: the
bundle must continue it. Exit code 0: everything holds; 1: it does not, and the output says why; 2: wrong usage.
It shares no code with the program that made the bundle. docs/audit.md describes the format and every check.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Point = tuple[int, int, int, int]
    Key = tuple[str, bytes, bytes]
    Value = dict[str, Any]
    Checkpoints = dict[int, Value]
    Lines = Iterator[tuple[str, Value]]

FORMAT = 1


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


class Failed(Exception):
    """The bundle does not hold, and why."""


# --- Ed25519 (RFC 8032, 5.1) ----------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(encoded: bytes) -> Point | None:
    """A point of the curve in extended coordinates; None where the bytes are none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def add(p: Point, q: Point) -> Point:
    """Extended coordinates, RFC 8032 §5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n: int, p: Point) -> Point:
    """``n`` times a point."""
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p = add(p, p)
        n >>= 1
    return q


BASE: Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
    1,
    46827403850823179245072216630277197565144205554125654976674165829533817101731,
)


def signed(public: bytes, text: bytes, signature: bytes) -> bool:
    """Whether the key signed the text."""
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# --- Hashes (RFC 6962) ----------------------------------------------------------------------------------------------


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """An inner node of the tree."""
    return sha(b"\1" + left + right)


def leaf_of(entry: Value) -> bytes:
    """The leaf hash of an entry."""
    payload = entry.get("payload")
    if payload is None:
        committed = bytes.fromhex(entry["commitment"])
    else:
        salt = bytes.fromhex(entry["salt"])
        if len(salt) != 16:  # else bytes could move from the one to the other
            raise Failed(f"the salt of entry {entry['seq']} is not of 16 bytes")
        committed = sha(salt + payload.encode())
    leaf = {"at": entry["at"], "commitment": committed.hex(), "kind": entry["kind"], "seq": entry["seq"]}
    if entry.get("work_package") is not None:
        leaf["work_package"] = entry["work_package"]
    return sha(b"\0" + json.dumps(leaf, separators=(",", ":"), sort_keys=True).encode())


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that an audit path leads to (RFC 9162, 2.1.3.2); None where it cannot be of that tree."""
    hashed, last = leaf, size - 1
    if index > last:
        return None
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            hashed = node(sibling, hashed)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            hashed = node(hashed, sibling)
        index, last = index >> 1, last >> 1
    return hashed if last == 0 else None


def consistent(earlier: int, size: int, path: list[bytes], before: bytes, after: bytes) -> bool:
    """RFC 9162, 2.1.4.2."""
    if earlier == size:
        return not path and before == after
    if not 0 < earlier < size:
        return False
    path = list(path)
    if earlier & (earlier - 1) == 0:
        path.insert(0, before)
    if not path:
        return False
    index, last = earlier - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node(step, old), node(step, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node(new, step)
        index, last = index >> 1, last >> 1
    return last == 0 and (old, new) == (before, after)


class Tree:
    """A growing RFC 6962 tree: the roots of its complete subtrees, largest first."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size, self.peaks = size, list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add the next leaf."""
        size = self.size
        while size & 1:
            leaf, size = node(self.peaks.pop(), leaf), size >> 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root so far."""
        root: bytes | None = None
        for peak in reversed(self.peaks):
            root = peak if root is None else node(peak, root)
        return sha(b"") if root is None else root


# --- Checkpoints (C2SP signed-note, tlog-checkpoint) ----------------------------------------------------------------


def read_key(text: str) -> Key:
    """Name, id and public key of ``name+id+base64``."""
    try:
        name, id_, encoded = text.strip().split("+", 2)
        decoded = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise Failed("the key is not of the form name+id+base64") from None
    if len(decoded) != 33 or decoded[0] != 1 or sha(name.encode() + b"\n" + decoded)[:4].hex() != id_:
        raise Failed("the key is damaged: its id does not fit")
    return name, bytes.fromhex(id_), decoded[1:]


def read_checkpoint(note: str, keys: list[Key]) -> Value:
    """What a signed note says. Raises Failed where none of the keys has signed it."""
    text, _, tail = note.partition("\n\n")
    text += "\n"
    lines = text.split("\n")[:-1]
    try:
        said = dict(line.split(" ", 1) for line in lines[3:])
        size = int(lines[1])
        head: Value = {
            "origin": lines[0],
            "size": size,
            "root": base64.b64decode(lines[2], validate=True),
            "chain": bytes.fromhex(said["chain"]),
            "time": said["time"],
        }
    except (ValueError, KeyError, IndexError, binascii.Error):
        raise Failed("a checkpoint is damaged: it is not of the form of one") from None
    for line in tail.split("\n"):
        name, _, encoded = line[2:].partition(" ")
        try:
            signature = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            continue
        for key in keys:
            if line.startswith("\u2014 ") and key[:2] == (name, signature[:4]):
                if signed(key[2], text.encode(), signature[4:]):
                    return {**head, "key": f"{name}+{key[1].hex()}"}
                raise Failed(f"the signature of the checkpoint of {size} entries does not fit its text")
    raise Failed(f"the checkpoint of {size} entries is not signed by a key that was given")


# --- Reading the bundle ---------------------------------------------------------------------------------------------


def lines_of(path: str) -> Lines:
    """The bundle's lines as values. Raises Failed where a byte was changed or the end is missing."""
    digest, count = hashlib.sha256(), 0
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:  # noqa: PTH123 - one way for both
        for line in file:
            try:
                value = json.loads(line)
                what = value["is"]
            except (ValueError, KeyError, TypeError):
                raise Failed(f"line {count + 1} is damaged") from None
            if what == "end":
                whole = {"is": "end", "lines": count, "sha256": digest.hexdigest()}
                if line != json.dumps(whole, separators=(",", ":"), sort_keys=True).encode() + b"\n":
                    raise Failed("the bundle is damaged: its bytes do not have the sum that it ends with")
                if file.read(1):
                    raise Failed("something stands behind the end of the bundle")
                return
            digest.update(line)
            count += 1
            yield what, value
    raise Failed("the bundle is incomplete: its end is missing")


def only(lines: Lines, *kinds: str) -> Lines:
    """The lines, which must be of these kinds."""
    for what, value in lines:
        if what not in kinds:
            raise Failed(f"a line of kind {what!r} does not belong here")
        yield what, value


def sentence(entry: Value) -> str:
    """An entry in one line, for people."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry["at"] // 1_000_000))
    ticket = entry.get("work_package")
    about = "" if ticket is None else f" ticket {ticket}"
    text = "(erased)" if entry.get("payload") is None else entry["payload"]
    return f"{entry['seq']:7}  {at} UTC  {entry['kind']}{about}  {text}"


# --- The checks -----------------------------------------------------------------------------------------------------


def verify(path: str, key_texts: list[str], earlier_note: str | None, show: bool, accepted: list[int]) -> Value:
    """The verdict. ``accepted`` are entries at which a set back clock is explained. Raises Failed."""
    lines = lines_of(path)
    _, header = next(lines, ("", {}))
    if header.get("format") != FORMAT:
        raise Failed(
            f"this verifier reads bundles of format {FORMAT}, and this is none (format {header.get('format')})"
        )
    ledger, size = header["ledger"], header["size"]
    keys = [read_key(text) for text in key_texts or header["keys"]]
    for key in keys:
        if key[0] != ledger:
            raise Failed(f"the bundle is of the ledger {ledger}, but the key is of {key[0]}")
    checkpoints: Checkpoints = {}
    for _ in range(header["checkpoints"]):
        _, value = next(only(lines, "checkpoint"), ("", {}))
        head = read_checkpoint(value["note"], keys)
        if head["origin"] != ledger:
            raise Failed(f"a checkpoint is of another ledger ({head['origin']})")
        checkpoints[head["size"]] = head
    if size not in checkpoints or size != max(checkpoints):
        raise Failed(f"the bundle lacks the checkpoint of {size} entries that it speaks of")
    earlier = None if earlier_note is None else compare(read_checkpoint(earlier_note, keys), checkpoints)
    check = {"ledger": check_ledger, "ticket": check_ticket, "consistency": check_consistency}[header["scope"]]
    verdict = check(header, checkpoints, lines, show)
    for seq in verdict.pop("set_back", ()):
        if seq not in accepted:
            raise Failed(f"the clock was set back before entry {seq} (--accept-clock {seq} once that is explained)")
    if earlier is not None and earlier not in verdict.pop("proven") | {size}:
        raise Failed(f"the bundle does not prove that it continues the checkpoint of {earlier} entries that you have")
    return {
        **{name: value for name, value in verdict.items() if name != "proven"},
        "holds": True,
        "scope": header["scope"],
        "ledger": ledger,
        "key": checkpoints[size]["key"],
        "key_given": bool(key_texts),
        "size": size,
        "signed_at": checkpoints[size]["time"],
        "continues": earlier,
    }


def compare(earlier: Value, checkpoints: Checkpoints) -> int:
    """Put the checkpoint that the reader has among those of the bundle. Returns its size."""
    last = max(checkpoints)
    if earlier["size"] > last:
        raise Failed(
            f"the bundle is old: it ends at {last} entries, and the checkpoint that you have covers {earlier['size']}"
        )
    if checkpoints.setdefault(earlier["size"], earlier)["root"] != earlier["root"]:
        raise Failed(f"the bundle contradicts the checkpoint of {earlier['size']} entries that you have")
    return int(earlier["size"])


def check_ledger(header: Value, checkpoints: Checkpoints, lines: Lines, show: bool) -> Value:
    """Every entry, the chain and every root."""
    anchor = header.get("anchor") or {"size": 0, "chain": bytes(32).hex(), "root": Tree().root().hex(), "peaks": []}
    tree = Tree(anchor["size"], [bytes.fromhex(peak) for peak in anchor["peaks"]])
    if tree.root().hex() != anchor["root"]:
        raise Failed("the hashes of the part that retention has cut off do not have its root")
    chain, before, compared, set_back, special = bytes.fromhex(anchor["chain"]), 0, 0, [], Special()
    for _, entry in only(lines, "entry"):
        seq = tree.size + 1
        if entry["seq"] != seq:
            raise Failed(f"entry {seq} is missing")
        leaf = leaf_of(entry)
        chain = sha(chain + leaf)
        if chain.hex() != entry["chain"]:
            raise Failed(f"entry {seq} does not follow from the one before: it was changed, put in or moved")
        if entry["at"] < before:
            set_back.append(seq)
        before = entry["at"]
        tree.append(leaf)
        special.read(entry)
        head = checkpoints.get(seq)
        if head is not None:
            compared += 1
            if (head["root"], head["chain"]) != (tree.root(), chain):
                raise Failed(f"the first {seq} entries are not those that were signed at {head['time']}")
        if show:
            say(sentence(entry))
    if tree.size != header["size"]:
        raise Failed(f"the bundle ends at entry {tree.size}, but {header['size']} are signed")
    if compared != len(checkpoints):
        raise Failed("some checkpoints cover a part that the bundle does not hold")
    special.judge(anchor)
    return {
        "entries": tree.size - anchor["size"],
        "checkpoints": compared,
        "erased": len(special.erased),
        "set_back": set_back,
        "proven": set(checkpoints),
    }


class Special:
    """What the entries say about the record itself: which contents were erased, and why."""

    def __init__(self) -> None:
        self.erased: list[int] = []
        self.explained: set[int] = set()
        self.ranges: list[list[int]] = []
        self.anchors: list[Value] = []

    def read(self, entry: Value) -> None:
        """Take note of an entry, if it is such a one."""
        kind = entry["kind"]
        if entry.get("payload") is None:
            self.erased.append(entry["seq"])
        elif kind in ("redaction", "carried", "retention"):
            said = json.loads(entry["payload"])
            if kind != "retention":
                self.explained |= {said["of"], said["erases"]}
                kind, said = said["kind"], said["payload"]
            if kind == "retention":
                self.ranges += said["erased"]
                self.anchors.append(said.get("anchor"))

    def judge(self, anchor: Value) -> None:
        """Each erased content and each cut must have an entry that says why."""
        for seq in self.erased:
            if seq not in self.explained and not any(first <= seq <= last for first, last in self.ranges):
                raise Failed(f"the content of entry {seq} was erased, and no entry says why")
        if anchor["size"] and {name: anchor[name] for name in ("size", "chain", "root")} not in self.anchors:
            raise Failed(f"the entries up to {anchor['size']} are missing, and no entry says why")


def check_ticket(header: Value, checkpoints: Checkpoints, lines: Lines, show: bool) -> Value:
    """Each entry against the signed root."""
    head = checkpoints[header["size"]]
    entries = about = 0
    proven: set[int] = set()
    for what, value in only(lines, "entry", "consistency"):
        if what == "consistency":
            proven.add(check_path(value, checkpoints))
            continue
        path = [bytes.fromhex(step) for step in value["path"]]
        if root_by_path(leaf_of(value), value["seq"] - 1, head["size"], path) != head["root"]:
            raise Failed(f"entry {value['seq']} is not in the record that was signed at {head['time']}")
        entries += 1
        about += value.get("work_package") == header["work_package"]
        if show:
            say(sentence(value))
    return {"entries": entries, "work_package": header["work_package"], "about": about, "proven": proven}


def check_consistency(header: Value, checkpoints: Checkpoints, lines: Lines, show: bool) -> Value:
    """That the later checkpoint continues the earlier one."""
    proven = {check_path(value, checkpoints) for _, value in only(lines, "consistency")}
    if not proven:
        raise Failed("the bundle holds no proof")
    return {"from": min(proven), "proven": proven}


def check_path(value: Value, checkpoints: Checkpoints) -> int:
    """That one checkpoint continues another, whose size it returns."""
    old, new = checkpoints.get(value["from"]), checkpoints.get(value["to"])
    if old is None or new is None:
        raise Failed("the proof speaks of checkpoints that the bundle does not hold")
    path = [bytes.fromhex(step) for step in value["path"]]
    if not consistent(old["size"], new["size"], path, old["root"], new["root"]):
        raise Failed(f"the record of {new['size']} entries does not continue that of {old['size']}")
    return int(old["size"])


# --- The command ----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description="Verify a proof bundle of a bridge, offline.")
    parser.add_argument("bundle", help="the file bundle.jsonl, or the same as .gz")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        help="the public key as you were given it: name+id+base64, or a file that holds it; once more for each key",
    )
    parser.add_argument("--checkpoint", help="a file with a checkpoint that you were sent earlier")
    parser.add_argument(
        "--accept-clock",
        metavar="ENTRY",
        type=int,
        action="append",
        default=[],
        help="an entry at which a set back clock was explained to you; once more for each",
    )
    parser.add_argument("--show", action="store_true", help="print every entry")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args(arguments)
    try:
        keys = [key if "+" in key else text_of(key) for key in options.key]
        note = None if options.checkpoint is None else text_of(options.checkpoint).strip() + "\n"
        verdict = verify(options.bundle, keys, note, options.show, options.accept_clock)
    except Failed as error:
        verdict = {"holds": False, "reason": str(error)}
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        verdict = {"holds": False, "reason": f"the file cannot be read: {error}"}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
        verdict = {"holds": False, "reason": "the bundle is damaged: it does not hold what a bundle holds"}
    if options.json:
        say(json.dumps(verdict, indent=2, sort_keys=True))
    elif verdict["holds"]:
        say("HOLDS: " + describe(verdict))
    else:
        say("DOES NOT HOLD: " + verdict["reason"])
    return 0 if verdict["holds"] else 1


def text_of(path: str) -> str:
    """A small file."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - no need of more
        return file.read()


def describe(verdict: Value) -> str:
    """The verdict in words."""
    ledger = verdict["ledger"]
    if verdict["scope"] == "ledger":
        said = (
            f"{verdict['entries']} entries and {verdict['checkpoints']} checkpoints of {ledger}, unchanged and complete"
        )
    elif verdict["scope"] == "ticket":
        said = f"{verdict['about']} entries about ticket {verdict['work_package']} are in the record of {ledger}"
    else:
        said = f"the record of {ledger} with {verdict['size']} entries continues the one with {verdict['from']}"
    said += f", signed at {verdict['signed_at']} by {verdict['key']}."
    if verdict["continues"] is not None:
        said += f" It continues the checkpoint of {verdict['continues']} entries that you have."
    if not verdict["key_given"]:
        said += "\nThe key was taken from the bundle itself. Compare it with the one that you were given (--key)."
    return said


if __name__ == "__main__":
    sys.exit(main())

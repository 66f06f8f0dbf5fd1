"""The RFC 6962 tree over the entries' leaf hashes: growing it, its roots and proofs. Pure: it stores nothing itself.

What the ledger stores are *tiles*: the 16 hashes of one level that lie under one node. Level 1 is the roots of 16
leaves each, level 2 of 256, and so on; the leaves themselves follow from the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

WIDTH = 16
"""Hashes in a tile."""

_KEPT = 4096
"""Tiles, groups and nodes that a reader remembers."""

EMPTY = sha256(b"").digest()
"""Root of the tree without leaves."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 §2.1."""
    return sha256(b"\1" + left + right).digest()


def complete(hashes: Sequence[bytes]) -> bytes:
    """The node above 2^k nodes of one level."""
    while len(hashes) > 1:
        hashes = [sha256(b"\1" + hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes), 2)]
    return hashes[0]


def split(tile: bytes) -> list[bytes]:
    """The hashes in a stored tile."""
    return [tile[i : i + 32] for i in range(0, len(tile), 32)]


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile, to be stored: the hashes ``WIDTH * number`` and following of its level."""

    level: int
    number: int
    hashes: bytes


class Tree:
    """A growing tree, reduced to the hashes that the next leaves need: at most 15 a level."""

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._levels = [list(level) for level in levels] or [[]]

    def append(self, leaf: bytes) -> Iterator[Tile]:
        """Add a leaf. Yields the tiles that this completes; must be exhausted."""
        self.size += 1
        return self._push(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> Iterator[Tile]:
        """Add many leaves, at a fraction of the cost. Yields the tiles that they complete; must be exhausted."""
        waiting = [*self._levels[0], *leaves]
        self.size -= len(self._levels[0])
        self._levels[0].clear()
        groups = len(waiting) // WIDTH * WIDTH
        for first in range(0, groups, WIDTH):
            yield from self.append_group(complete(waiting[first : first + WIDTH]))
        self._levels[0] += waiting[groups:]
        self.size += len(waiting) - groups

    def append_group(self, node: bytes) -> Iterator[Tile]:
        """Add 16 leaves by their common node, where the tree ends with a complete group."""
        self.size += WIDTH
        return self._push(1, node)

    def _push(self, level: int, node: bytes) -> Iterator[Tile]:
        while True:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(node)
            if len(hashes) < WIDTH:
                return
            if level:
                yield Tile(level, self.size // WIDTH ** (level + 1) - 1, b"".join(hashes))
            node = complete(hashes)
            hashes.clear()
            level += 1

    def peaks(self, more: Sequence[bytes] = ()) -> list[bytes]:
        """Roots of the complete subtrees, largest first; with ``more`` leaves where the tree ends with a full group."""
        peaks = []
        for hashes in [more or self._levels[0], *self._levels[1:]]:
            end = len(hashes)
            for bit in (1, 2, 4, 8):
                if len(hashes) & bit:
                    peaks.append(complete(hashes[end - bit : end]))
                    end -= bit
        return peaks[::-1]

    def root(self, more: Sequence[bytes] = ()) -> bytes:
        """RFC 6962 root; ``more`` as for ``peaks``."""
        root: bytes | None = None
        for peak in reversed(self.peaks(more)):
            root = peak if root is None else node_hash(peak, root)
        return EMPTY if root is None else root


class Reader:
    """Roots and proofs of a stored tree, of the present size or any earlier one."""

    def __init__(self, tile: Callable[[int, int], bytes | None], leaves: Callable[[int, int], Sequence[bytes]]) -> None:
        """``tile(level, number)`` gives a stored tile; ``leaves(first, count)`` leaf hashes, counted from 0.

        What was read is kept for the next proof: a reader is for one state of the tree, not for a growing one.
        """
        self._tile = lru_cache(_KEPT)(tile)
        self._group = lru_cache(_KEPT)(lambda number: leaves(number * WIDTH, WIDTH))
        self._node = lru_cache(_KEPT)(self._read_node)

    def tree(self, size: int) -> Tree:
        """The tree of that size, ready to grow."""
        levels = []
        level = 0
        while size >> 4 * level:
            count = (size >> 4 * level) % WIDTH
            levels.append(self._nodes(level, (size >> 4 * level) - count, count))
            level += 1
        return Tree(size, levels)

    def root(self, size: int) -> bytes:
        """RFC 6962 root of the first ``size`` leaves."""
        return self._range(0, size) if size else EMPTY

    def inclusion(self, leaf: int, size: int) -> list[bytes]:
        """RFC 6962 §2.1.1: the audit path of a leaf, counted from 0."""
        low, high = 0, size
        path = []
        while high - low > 1:
            middle = low + _half(high - low)
            if leaf < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, earlier: int, size: int) -> list[bytes]:
        """RFC 6962 §2.1.2: that the first ``earlier`` leaves are those of the tree of that size."""
        low, high = 0, size
        known = True
        proof = []
        while earlier != high:
            middle = low + _half(high - low)
            if earlier <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
                known = False
        return ([] if known or not earlier else [self._range(low, high)]) + proof[::-1]

    def _range(self, low: int, high: int) -> bytes:
        """The node over the leaves from ``low`` to ``high``, which is a node of the tree of size ``high``."""
        size = high - low
        half = _half(size) if size > 1 else 1
        if size == half * 2 or size == 1:
            height = size.bit_length() - 1
            return self._node(height, low >> height)
        return node_hash(self._range(low, low + half), self._range(low + half, high))

    def _read_node(self, height: int, index: int) -> bytes:
        level, extra = divmod(height, 4)
        if extra or height == 0 or self._tile(level, index // WIDTH) is not None:
            return complete(self._nodes(level, index << extra, 1 << extra))
        return complete(self._nodes(level - 1, index * WIDTH, WIDTH))  # its tile is not full yet

    def _nodes(self, level: int, first: int, count: int) -> list[bytes]:
        """``count`` nodes of a level that lie within one tile."""
        if not count:
            return []
        number, place = divmod(first, WIDTH)
        if level == 0:
            return list(self._group(number)[place : place + count])
        tile = self._tile(level, number)
        if tile is not None:
            return split(tile)[place : place + count]
        return [self._node(4 * level, index) for index in range(first, first + count)]


def _half(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    node, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        index >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(earlier: int, size: int, proof: Sequence[bytes], before: bytes, after: bytes) -> bool:
    """RFC 9162 §2.1.4.2."""
    if earlier == size:
        return not proof and before == after
    if not 0 < earlier < size:
        return earlier == 0 and not proof and before == EMPTY
    steps = list(proof)
    if earlier & (earlier - 1) == 0:
        steps.insert(0, before)
    if not steps:
        return False
    index, last = earlier - 1, size - 1
    while index & 1:
        index >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        index >>= 1
        last >>= 1
    return last == 0 and old == before and new == after

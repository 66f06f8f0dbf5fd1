"""Our RFC 6962 tree against pymerkle's, and its proofs against every lie."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from bridge.store import merkle


class Stored:
    """A tree and what a ledger would store of it."""

    def __init__(self, size: int) -> None:
        self.leaves = [sha256(b"\0%d" % n).digest() for n in range(size)]
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.tree = merkle.Tree()
        for leaf in self.leaves:
            for tile in self.tree.append(leaf):
                assert (tile.level, tile.number) not in self.tiles
                self.tiles[tile.level, tile.number] = tile.hashes
        self.reader = merkle.Reader(lambda level, number: self.tiles.get((level, number)), self._range)

    def _range(self, first: int, count: int) -> Sequence[bytes]:
        assert count <= 256, "a proof must not read more than a few entries"
        return self.leaves[first : first + count]

    def root(self, size: int) -> bytes:
        return self.reader.root(size)


LARGE = Stored(5000)
ORACLE = InmemoryTree(algorithm="sha256")
for number in range(5000):
    ORACLE.append_entry(b"%d" % number)

sizes = st.integers(1, 5000) | st.sampled_from([1, 2, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 5000])


@given(sizes)
def test_the_root_is_the_oracles(size: int) -> None:
    assert LARGE.root(size) == ORACLE.get_root(size)


@given(sizes, st.data())
def test_an_inclusion_proof_proves_its_leaf_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = LARGE.reader.inclusion(index, size)
    assert len(path) <= (size - 1).bit_length()
    root, leaf = LARGE.root(size), LARGE.leaves[index]
    assert merkle.verify_inclusion(leaf, index, size, path, root)
    assert not merkle.verify_inclusion(bytes(32), index, size, path, root)
    assert not merkle.verify_inclusion(leaf, index, size, path, bytes(32))
    assert not merkle.verify_inclusion(leaf, size, size, path, root)
    assert not merkle.verify_inclusion(leaf, index, size, [*path, bytes(32)], root)
    if path:
        assert not merkle.verify_inclusion(leaf, index, size, path[:-1], root)
        assert not merkle.verify_inclusion(leaf, index ^ 1, size, path, root)
        at = data.draw(st.integers(0, len(path) - 1))
        assert not merkle.verify_inclusion(leaf, index, size, [*path[:at], bytes(32), *path[at + 1 :]], root)


@given(sizes, st.data())
def test_a_consistency_proof_proves_that_nothing_was_rewritten(size: int, data: st.DataObject) -> None:
    earlier = data.draw(st.integers(1, size))
    proof = LARGE.reader.consistency(earlier, size)
    before, after = LARGE.root(earlier), LARGE.root(size)
    assert merkle.verify_consistency(earlier, size, proof, before, after)
    assert not merkle.verify_consistency(earlier, size, proof, bytes(32), after)
    assert not merkle.verify_consistency(earlier, size, proof, before, bytes(32))
    assert not merkle.verify_consistency(earlier, size, [*proof, bytes(32)], before, after)
    if proof:
        assert not merkle.verify_consistency(earlier, size, proof[:-1], before, after)
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not merkle.verify_consistency(earlier, size, [*proof[:at], bytes(32), *proof[at + 1 :]], before, after)


@pytest.mark.parametrize(("earlier", "size"), [(1, 1), (1, 8), (3, 7), (4, 7), (6, 7), (255, 4097)])
def test_the_oracle_proves_the_same_way(earlier: int, size: int) -> None:
    theirs = ORACLE.prove_inclusion(earlier, size).serialize()["path"]
    ours = LARGE.reader.inclusion(earlier - 1, size)
    assert [bytes.fromhex(step) for step in theirs][1:] == ours


@given(st.integers(0, 700), st.integers(0, 400))
@settings(max_examples=25)
def test_a_tree_read_back_grows_like_one_that_was_never_put_away(size: int, more: int) -> None:
    stored = Stored(size)
    again = stored.reader.tree(size)
    assert again.root() == stored.root(size)
    for leaf in LARGE.leaves[size : size + more]:
        ours = [(tile.level, tile.number, tile.hashes) for tile in again.append(leaf)]
        assert all(LARGE.tiles[level, number] == hashes for level, number, hashes in ours)
    assert again.root() == ORACLE.get_root(size + more)


def test_the_empty_tree_has_the_hash_of_nothing_for_its_root() -> None:
    assert merkle.Tree().root() == LARGE.root(0) == sha256(b"").digest()
    assert merkle.verify_consistency(0, 5, [], merkle.EMPTY, LARGE.root(5))

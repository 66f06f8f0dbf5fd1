"""The short form of ``./run torture``: the same worlds each time, so that a broken promise is heard of first here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.torture.__main__ import MEMORY, play
from tests.torture.world import Terms

BATCH = 8


@pytest.mark.parametrize("first", range(1, 65, BATCH))
def test_every_promise_holds_in_these_worlds(first: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        for seed in range(first, first + BATCH):
            played = play(Terms.of(seed), Path(directory))
            assert played.broken is None, f"{played.terms}; again: ./run torture --trace --seed {seed}"
            assert played.tally.counts["cycles"] > 0


def test_the_worlds_are_the_same_worlds_each_time() -> None:
    """Otherwise a seed would replay nothing."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        once, again = (play(Terms.of(7), Path(directory)) for _ in range(2))
    assert once == again

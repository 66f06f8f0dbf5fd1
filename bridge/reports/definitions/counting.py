"""Counting rows by what they have in common, so that each count knows its rows; and the statistics reports use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from bridge.reports.values import Tally

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def grouped(rows: Sequence[R], indices: Iterable[int], key: Callable[[R], K]) -> dict[K, list[int]]:
    """Positions of rows by what ``key`` says of each, in the order of first appearance."""
    groups: dict[K, list[int]] = defaultdict(list)
    for index in indices:
        groups[key(rows[index])].append(index)
    return groups


def largest_first(groups: dict[K, list[int]]) -> list[tuple[K, list[int]]]:
    """Groups by size, those of one size by name."""
    return sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))


def tally(indices: Sequence[int], test: Callable[[int], bool] | None = None) -> Tally:
    """The rows at these positions for which the test holds."""
    rows = indices if test is None else [index for index in indices if test(index)]
    return Tally(len(rows), rows)


def share(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None


def percentile(values: Sequence[timedelta], percent: int) -> timedelta | None:
    """The smallest of the sorted values that at least ``percent`` % of them do not exceed. None when there are none.

    Nearest rank, so that it is a value that occurred and has a row.
    """
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return values[max(rank, 1) - 1]

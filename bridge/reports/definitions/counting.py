"""Counting rows by what they have in common, so that each count knows its rows; and the statistics reports use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
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


def distinct(rows: Sequence[R], indices: Iterable[int], key: Callable[[R], Hashable]) -> Tally:
    """How many different things ``key`` says of these rows; behind it the first row of each."""
    first: dict[Hashable, int] = {}
    for index in indices:
        first.setdefault(key(rows[index]), index)
    return Tally(len(first), list(first.values()))


def added(indices: Iterable[int], amount: Callable[[int], int]) -> Tally:
    """The sum of what these rows say; behind it those that say more than nothing."""
    amounts = {index: amount(index) for index in indices}
    return Tally(sum(amounts.values()), [index for index, each in amounts.items() if each])


def share(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None


V = TypeVar("V", timedelta, int)


def percentile(values: Sequence[V], percent: int) -> V | None:
    """The smallest of the sorted values that at least ``percent`` % of them do not exceed. None when there are none.

    Nearest rank, so that it is a value that occurred and has a row.
    """
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return values[max(rank, 1) - 1]


def span(microseconds: float | None) -> timedelta | None:
    """A duration that was counted in microseconds."""
    return None if microseconds is None else timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """Natural process limits of single durations (Wheeler's XmR chart); the lower one would be no duration."""

    mean: float
    upper: float


NATURAL = 2.66
"""3 / d2 for ranges of two values, d2 = 1.128."""


def limits(values: Sequence[int]) -> Limits | None:
    """Limits of values in the order in which they happened. None of fewer than two."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    moving_range = sum(abs(one - other) for one, other in pairwise(values)) / (len(values) - 1)
    return Limits(mean, mean + NATURAL * moving_range)

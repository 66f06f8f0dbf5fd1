"""What a report is before it has a form: figures, tables, charts, and the definition that lets a reader check them.

Every renderer takes a ``Report`` and nothing else, so that no format knows more than another. Texts are in the
reader's language already; values are not formatted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, overload


class Kind(StrEnum):
    """What a value is, and so how each format writes it."""

    TEXT = "text"
    COUNT = "count"
    """A whole number, or a ``Tally`` that knows the rows behind it."""
    NUMBER = "number"
    SHARE = "share"
    """0 to 1."""
    DURATION = "duration"
    WORKTIME = "worktime"
    """A duration in business hours: shown in hours, since its days are not 24 hours long."""
    TIME = "time"
    DATE = "date"
    TICKET = "ticket"
    """A work package's number, with a link to it."""
    DECISION = "decision"
    """A decision's id; names the row."""
    ENTRY = "entry"
    """The number of an entry in the ledger."""


class Tally(NamedTuple):
    """A count, and where the counted rows stand in the report's table of rows.

    Of different people or tickets, one row each; of a sum, the rows that say its parts.
    """

    total: int
    rows: Sequence[int]


Cell = str | int | float | dt.date | dt.datetime | dt.timedelta | Tally | None
"""None is "there is none", which is never the same as zero."""


class LazyRows(Sequence[Sequence[Cell]]):
    """Rows that are made when somebody looks at them: a table may have 100,000 of which a page shows 500."""

    def __init__(self, count: int, make: Callable[[int], Sequence[Cell]]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Sequence[Cell]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[Cell]]: ...

    def __getitem__(self, place: int | slice) -> Sequence[Cell] | Sequence[Sequence[Cell]]:
        if isinstance(place, slice):
            return [self._make(number) for number in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return self._make(place % self._count)


@dataclass(frozen=True, slots=True)
class Column:
    """``key`` is for programs and never changes; ``title`` is for people."""

    key: str
    title: str
    kind: Kind = Kind.TEXT
    minor: bool = False
    """Left out where there is little room: on a terminal."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of a chart."""

    name: str
    values: Sequence[float | None]
    colour: int | None = None
    """Number of its colour; None: its place among the series."""
    dashed: bool = False
    """For lines that say what is usual and not what was."""


class Shape(StrEnum):
    """How a chart is drawn."""

    BARS = "bars"
    """Horizontal, for names."""
    COLUMNS = "columns"
    """Vertical and stacked, for time."""
    AREAS = "areas"
    """Stacked areas, for quantities that add up over time."""
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of numbers that also stand under it as a table."""

    key: str
    title: str
    shape: Shape
    label_title: str
    """What the labels are: the first column of its table."""
    labels: Sequence[str]
    series: Sequence[Series]
    kind: Kind = Kind.COUNT
    """Durations are given in hours."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values. In a table of rows each row is one fact of the ledger and says which."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    charts: Sequence[Chart] = ()
    open: bool = False
    """Shown beside its charts; otherwise a page folds it away under the first of them."""
    none: str = ""
    """What to say when there are no rows."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A headline number, with what it is a part of."""

    key: str
    title: str
    kind: Kind
    value: Cell
    note: str = ""
    before: Cell = None
    """The same number for the period before, where it was asked for."""
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the definition: "Time zone: Europe/Paris"."""

    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a reader sees, in the order in which they see it."""

    name: str
    title: str
    summary: str
    """What question it answers, in one sentence."""
    period: str
    """In words."""
    first: dt.date
    last: dt.date
    """Included."""
    language: str
    zone: str
    """Name of the time zone in which times are shown."""
    ticket_url: str
    """Address of the OpenProject, to link tickets; empty for no links."""
    made_at: dt.datetime
    figures: Sequence[Figure]
    tables: Sequence[Table]
    rows: Table
    """The rows behind the numbers. A ``Tally`` points into it."""
    definition: Sequence[Fact]
    notices: Sequence[str] = field(default=())
    """What the reader must know before the numbers: nothing recorded, a gap, a mode."""
    rows_first: bool = False
    """Whether the rows are what the report is about, and so come before the other tables."""

    @property
    def all_tables(self) -> tuple[Table, ...]:
        """Every table in the order of reading."""
        return (self.rows, *self.tables) if self.rows_first else (*self.tables, self.rows)

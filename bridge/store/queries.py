"""Reading the store, on a connection that cannot write. What reports and the dashboard stand on.

A ``Snapshot`` is one read transaction, so that all numbers taken from it agree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Self

from bridge.store.database import check_ledger, parse, reading_engine, shown, translated
from bridge.store.snapshot import Snapshot


class Queries:
    """The reading side of the store. Safe for threads: each snapshot has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that cannot be used and where there is no ledger yet."""
        self.url = parse(url)
        self._engine = reading_engine(self.url)

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store as it is at this moment, however long the reading takes.

        Raises RetryLater when the database does not answer, ConfigError or Stop when it is not the bridge's or of
        another version.
        """
        with translated(self.url), self._engine.connect() as connection, connection.begin():
            check_ledger(connection, shown(self.url))
            yield Snapshot(connection)

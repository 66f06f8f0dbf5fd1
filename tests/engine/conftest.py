from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.desk import Desk
from tests.engine.undertaker import Undertaker

Open = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Open]:
    """Opens desks, each with a bridge that has looked once, so that enforcement has begun; closes them all."""
    opened: list[Desk] = []

    def open_desk(*arguments: Any, **options: Any) -> Desk:
        directory = tmp_path / str(len(opened))
        directory.mkdir()
        one = Desk(directory, *arguments, **options)
        opened.append(one)
        one.cycle(0)
        one.clock.advance(120)
        return one

    yield open_desk
    for one in opened:
        one.stop()


@pytest.fixture(scope="module")
def undertaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undertaker]:
    one = Undertaker(tmp_path_factory.mktemp("undertaker"))
    yield one
    one.close()

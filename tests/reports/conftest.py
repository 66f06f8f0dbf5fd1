"""A migrated, empty ledger for the tests to copy: making one takes half a second, copying it none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports import world


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "empty.db"
    world.empty(f"sqlite:///{path}")
    return path

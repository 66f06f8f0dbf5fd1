from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.soak import soak


@pytest.mark.timeout(600)  # two processes and a cycle for each of 60 minutes; a tenth of this on an idle machine
def test_an_hour_passes_and_every_poll_that_was_missed_is_reported(tmp_path: Path) -> None:
    soaked = soak(1, tmp_path, minutes=60)
    assert soaked.put_back > 0
    assert soaked.missed <= soaked.reported

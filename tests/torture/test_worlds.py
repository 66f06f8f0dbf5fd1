"""The short form of ``./run torture``: fixed worlds, so that a change that breaks a promise fails here first."""

from __future__ import annotations

import pytest

from tests.torture.__main__ import main


@pytest.mark.timeout(300)
def test_every_promise_holds_in_sixty_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--seed", "1", "--worlds", "60"])
    assert status == 0, capsys.readouterr().out

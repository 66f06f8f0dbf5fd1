"""Which statuses an account may set, by the forms that real OpenProjects gave to different people (recording 13)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import responses

from bridge.domain.model import StatusId
from bridge.openproject.client import Client
from bridge.openproject.credentials import ApiKey
from bridge.openproject.resources import ticket
from bridge.openproject.tracker import Refused, Tracker

RECORDINGS = Path(__file__).parents[1] / "recordings"
URL = "http://openproject.test"


def steps(version: str) -> list[dict[str, Any]]:
    text = (RECORDINGS / f"openproject-{version}" / "13-forms.json").read_text(encoding="utf-8")
    recorded: list[dict[str, Any]] = json.loads(text)["steps"]
    return recorded


@pytest.mark.parametrize("version", ["17.6", "15.4"])
@pytest.mark.parametrize(("who", "refused"), [("form as bridge", False), ("form as sup", False), ("form as ro", True)])
def test_a_form_tells_what_its_reader_may_set(version: str, who: str, refused: bool) -> None:
    recorded = steps(version)
    created = ticket(recorded[0]["response"]["body"])
    form = next(step for step in recorded if step.get("note") == who)
    with responses.RequestsMock() as server, Client(URL, ApiKey("0" * 64), dry_run=True) as client:
        asked = server.post(
            f"{URL}/api/v3/work_packages/{created.id}/form",
            json=form["response"]["body"],
            status=form["response"]["status"],
        )
        told = Tracker(client).settable(created)
    body = json.loads(asked.calls[0].request.body or "")
    assert body == {"lockVersion": created.lock_version}
    if refused:
        assert isinstance(told, Refused)
        assert told.identifier == "MissingPermission"
        return
    links = form["response"]["body"]["_embedded"]["schema"]["status"]["_links"]["allowedValues"]
    assert told == frozenset(StatusId(int(link["href"].rpartition("/")[2])) for link in links)
    assert isinstance(told, frozenset)
    assert created.status in told

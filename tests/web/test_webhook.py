from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from bridge.web import webhook
from tests.web.conftest import Visit, Visitor
from tests.web.world import SECRET

BODY = b'{"action":"work_package:updated","work_package":{"id":3,"subject":"secret"}}'
RECORDINGS = Path(__file__).parents[1] / "recordings"


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def send(made: Visitor, body: bytes, **headers: str) -> TestResponse:
    given = {"X-OP-Signature": signature(body), "Content-Type": "application/json"}
    return made.client.post("/webhook", data=body, headers=given | {k.replace("_", "-"): v for k, v in headers.items()})


def test_a_signed_delivery_wakes_the_poller_for_its_ticket_alone(visit: Visit) -> None:
    made = visit()
    answer = send(made, BODY)
    assert (answer.status_code, answer.data) == (204, b"")
    assert made.desk.hints == [3]


def test_a_repeated_delivery_only_looks_again(visit: Visit) -> None:
    made = visit()
    size = (made.desk.folder / "bridge.db").stat().st_size
    for _ in range(3):
        assert send(made, BODY).status_code == 204
    assert made.desk.hints == [3, 3, 3]
    assert (made.desk.folder / "bridge.db").stat().st_size == size


@pytest.mark.parametrize(
    "wrong",
    ["", "sha1=", "sha1=" + "0" * 40, signature(BODY)[5:], signature(BODY + b" "), signature(BODY, "other"), "é"],
)
def test_a_wrong_signature_is_refused_without_a_word(visit: Visit, wrong: str) -> None:
    made = visit()
    answer = send(made, BODY, X_OP_Signature=wrong)
    assert (answer.status_code, answer.data) == (403, b"")
    assert made.desk.hints == []


def test_the_content_type_does_not_matter(visit: Visit) -> None:
    """OpenProject 17.2.0 and 17.2.1 send a wrong one (contract §10.2)."""
    made = visit()
    assert send(made, BODY, Content_Type="application/x-www-form-urlencoded").status_code == 204
    assert made.desk.hints == [3]


def test_a_body_beyond_a_mebibyte_is_refused_before_it_is_read(visit: Visit) -> None:
    made = visit()
    assert send(made, b" " * (webhook.LARGEST + 1)).status_code == 413
    assert send(made, BODY + b" " * (webhook.LARGEST - len(BODY))).status_code == 204
    assert made.desk.hints == [3]


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"project":{"id":3}}', b'{"work_package":{"id":"3"}}'])
def test_what_is_about_no_ticket_is_taken_and_ignored(visit: Visit, body: bytes) -> None:
    made = visit()
    assert send(made, body).status_code == 204
    assert made.desk.hints == []


def test_without_a_secret_or_a_daemon_there_is_no_webhook(visit: Visit) -> None:
    assert send(visit(webhook_secret=None), BODY).status_code == 404
    assert send(visit(with_ledger=False), BODY).status_code == 404


@pytest.mark.parametrize("version", ["15.4", "17.6"])
def test_deliveries_of_a_real_openproject_are_accepted_and_name_their_ticket(version: str) -> None:
    recorded = json.loads((RECORDINGS / f"openproject-{version}/20-webhooks.json").read_bytes())
    deliveries = [each for step in recorded["steps"] for each in step.get("deliveries", ())]
    assert deliveries
    for each in deliveries:
        body = each["raw_body"].encode()
        assert webhook.signed(body, each["headers"]["X-Op-Signature"], b"secret-webhook")
        ticket = json.loads(body).get("work_package") or json.loads(body)["activity"]["_embedded"]["workPackage"]
        assert webhook.work_package(body) == ticket["id"]


@given(st.binary(max_size=200), st.text(max_size=60))
def test_only_the_signature_of_these_bytes_with_this_secret_is_right(body: bytes, other: str) -> None:
    assert webhook.signed(body, signature(body), SECRET.encode())
    assert not webhook.signed(body + b"x", signature(body), SECRET.encode())
    assert webhook.signed(body, other, SECRET.encode()) == (other == signature(body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: (
            st.dictionaries(st.sampled_from(["work_package", "id", "activity", "_embedded", "workPackage"]), c)
            | st.lists(c)
        ),
        max_leaves=8,
    )
)
def test_no_payload_breaks_the_reading(payload: object) -> None:
    found = webhook.work_package(json.dumps(payload).encode())
    assert found is None or 0 < found < 2**31

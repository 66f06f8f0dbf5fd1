"""API tokens and OAuth client credentials: when a token is fetched, renewed and given up, and that none is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests
import responses

from bridge.errors import ConfigError, RetryLater, Stop
from bridge.openproject.client import Client, Timeouts
from bridge.openproject.credentials import MARGIN, ApiKey, ClientCredentials

RECORDINGS = Path(__file__).parents[1] / "recordings"
OAUTH = json.loads((RECORDINGS / "openproject-17.6" / "18-oauth.json").read_text())["steps"]
URL = "http://op.example.org"
SECRET = "s3cr3t"


class Issuer:
    """Gives numbered tokens, and moves the clock only when told."""

    def __init__(self, life: object = 7200) -> None:
        self.life = life
        self.now = 0.0
        self.forms: list[bytes] = []

    def __call__(self, form: bytes) -> Mapping[str, object]:
        self.forms.append(form)
        return {"access_token": f"token-{len(self.forms)}", "token_type": "Bearer", "expires_in": self.life}

    def credentials(self) -> ClientCredentials:
        return ClientCredentials("the-id", SECRET, monotonic=lambda: self.now)


def test_a_token_is_fetched_once_and_used_until_shortly_before_its_end() -> None:
    issuer = Issuer()
    credentials = issuer.credentials()
    assert {credentials.authorization(issuer) for _ in range(3)} == {"Bearer token-1"}
    issuer.now = 7200 - MARGIN - 1
    assert credentials.authorization(issuer) == "Bearer token-1"
    issuer.now = 7200 - MARGIN
    assert credentials.authorization(issuer) == "Bearer token-2"
    assert parse_qs(issuer.forms[0].decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["api_v3"],
        "client_id": ["the-id"],
        "client_secret": [SECRET],
    }


@pytest.mark.parametrize(("life", "used_for"), [(100, 50), (None, 7200 - MARGIN), ("long", 7200 - MARGIN)])
def test_a_strange_life_is_used_carefully(life: object, used_for: float) -> None:
    issuer = Issuer(life)
    credentials = issuer.credentials()
    credentials.authorization(issuer)
    issuer.now = used_for - 1
    assert credentials.authorization(issuer) == "Bearer token-1"
    issuer.now = used_for
    assert credentials.authorization(issuer) == "Bearer token-2"


def test_two_threads_fetch_one_token() -> None:
    issuer = Issuer()
    credentials = issuer.credentials()
    together = threading.Barrier(2)

    def ask() -> str:
        together.wait()
        return credentials.authorization(issuer)

    with ThreadPoolExecutor(2) as pool:
        got = [future.result() for future in [pool.submit(ask), pool.submit(ask)]]
    assert got == ["Bearer token-1", "Bearer token-1"]
    assert len(issuer.forms) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": 5},
        {"access_token": "a b"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": ""},
    ],
)
def test_an_answer_that_is_no_bearer_token_is_refused_without_showing_it(answer: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as error:
        ClientCredentials("id", SECRET).authorization(lambda form: answer)
    assert "a b" not in str(error.value)


@pytest.mark.parametrize("secret", ["", "two words", "line\nend", "clé", "tab\t"])
def test_a_secret_that_no_header_can_hold_is_refused_without_showing_it(secret: str) -> None:
    for make in (ApiKey, lambda text: ClientCredentials("id", text), lambda text: ClientCredentials(text, "secret")):
        with pytest.raises(ConfigError) as error:
            make(secret)
        assert not secret or secret not in str(error.value)


def test_secrets_do_not_show() -> None:
    credentials = ClientCredentials("id", SECRET)
    for one in (ApiKey(SECRET), credentials, Client(URL, ApiKey(SECRET)), Client(URL, credentials)):
        assert SECRET not in repr(one)


@responses.activate
def test_a_recorded_token_is_used_as_bearer() -> None:
    """Recording 18; the token itself was never recorded."""
    granted = OAUTH[0]["response"]["body"] | {"access_token": "abc"}
    posted = responses.post(f"{URL}/oauth/token", json=granted)
    me = responses.get(f"{URL}/api/v3/users/me", json=OAUTH[1]["response"]["body"])
    client = Client(URL, ClientCredentials("id", SECRET))
    assert client.get("/users/me").ok
    assert client.get("/users/me").ok
    assert [call.request.headers["Authorization"] for call in me.calls] == ["Bearer abc"] * 2
    assert len(posted.calls) == 1
    recorded = OAUTH[0]["request"]["headers"]
    assert {name: posted.calls[0].request.headers[name] for name in recorded} == recorded
    assert "Authorization" not in posted.calls[0].request.headers


@responses.activate
def test_a_recorded_refusal_of_the_secret_stops_the_bridge_without_showing_it() -> None:
    refused = OAUTH[2]["response"]
    responses.post(f"{URL}/oauth/token", json=refused["body"], status=refused["status"])
    with pytest.raises(Stop, match="client id and secret") as error:
        Client(URL, ClientCredentials("id", SECRET)).get("")
    assert SECRET not in str(error.value)


@responses.activate
def test_a_revoked_token_is_replaced_once_even_under_a_write() -> None:
    """A 401 is given before anything is done, so that asking once more repeats nothing."""
    responses.post(f"{URL}/oauth/token", json={"access_token": "old", "token_type": "Bearer"})
    responses.post(f"{URL}/oauth/token", json={"access_token": "new", "token_type": "Bearer"})

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        return (200 if request.headers["Authorization"] == "Bearer new" else 401), {}, "{}"

    responses.add_callback(
        responses.PATCH, f"{URL}/api/v3/work_packages/1", answer, content_type="application/hal+json"
    )
    assert Client(URL, ClientCredentials("id", SECRET)).write("PATCH", "/work_packages/1", {}).ok
    assert [call.request.method for call in responses.calls] == ["POST", "PATCH", "POST", "PATCH"]


@responses.activate
def test_a_new_token_that_is_refused_as_well_stops_the_bridge() -> None:
    responses.post(f"{URL}/oauth/token", json={"access_token": "any", "token_type": "Bearer"})
    asked = responses.get(f"{URL}/api/v3", status=401, json={})
    with pytest.raises(Stop, match="401"):
        Client(URL, ClientCredentials("id", SECRET)).get("")
    assert len(asked.calls) == 2


@responses.activate
def test_a_token_address_that_is_down_is_asked_again_for_a_reading_request_alone() -> None:
    posted = responses.post(f"{URL}/oauth/token", status=503)
    client = Client(URL, ClientCredentials("id", SECRET), sleep=lambda seconds: None, timeouts=Timeouts(attempts=3))
    with pytest.raises(RetryLater, match="/oauth/token"):
        client.get("")
    assert len(posted.calls) == 3
    with pytest.raises(RetryLater):
        client.write("PATCH", "/work_packages/1", {})
    assert len(posted.calls) == 4

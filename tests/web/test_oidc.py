"""Signing in by OpenID Connect, against a provider on loopback that signs, checks PKCE and can misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import logging
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cheroot import wsgi
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.test import TestResponse

from bridge import logs
from bridge.errors import ConfigError
from bridge.store.schema import EntryKind
from bridge.web.access import SESSION, TRIES, WINDOW
from bridge.web.oidc import admitted
from tests.web.conftest import Visit, Visitor
from tests.web.world import NAME, settings_for

CLIENT, SECRET = "bridge-client", "s3cr3t-of-the-client"
EMAIL, SUBJECT = "alice@example.org", "user-4711"
KEY, STRANGE = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class Provider:
    """What it says of itself and of people. Tests change that."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": SUBJECT, "email": EMAIL, "email_verified": True})
    told: dict[str, Any] | None = None
    """What the userinfo endpoint says; None where it is not offered."""
    key: Any = field(default_factory=lambda: KEY)
    """Signs; KEY is what is published."""
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "one"})
    discovery: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[], Response] | None = None
    """Instead of a token."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    """Every secret that was given out."""
    asked: list[str] = field(default_factory=list)


def _in_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _digest(verifier: str) -> str:
    return _in_base64(hashlib.sha256(verifier.encode()).digest())


def _by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """What no library signs: HMAC with a key that is public, or nothing at all."""
    text = ".".join(_in_base64(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}." + (_in_base64(hmac.digest(key, text.encode(), "sha256")) if key else "")


def application(made: Provider) -> Flask:
    app = Flask("provider")

    @app.before_request
    def _note() -> None:
        made.asked.append(request.path)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        offered = {
            "issuer": made.url,
            "authorization_endpoint": f"{made.url}/authorize",
            "token_endpoint": f"{made.url}/token",
            "jwks_uri": f"{made.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        if made.told is not None:
            offered["userinfo_endpoint"] = f"{made.url}/userinfo"
        return jsonify(offered | made.discovery)

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(KeySet([KEY]).as_dict(private=False))

    @app.get("/authorize")
    def authorize() -> Any:
        asked = request.args
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        assert set(asked["scope"].split()) == {"openid", "email"}
        code = secrets.token_urlsafe(24)
        made.codes[code] = {name: asked[name] for name in ("nonce", "code_challenge", "redirect_uri")}
        made.sent.append(code)
        return redirect(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    @app.post("/token")
    def token() -> Any:
        if made.answer is not None:
            return made.answer()
        sent, known = request.form, made.codes.pop(request.form["code"], None)
        if known is None:
            return jsonify({"error": "invalid_grant", "error_description": f"no code {sent['code']}"}), 400
        by_post = made.discovery.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]
        who = request.authorization
        in_header = (who and who.username, who and who.password)
        given = (sent.get("client_id"), sent.get("client_secret")) if by_post else in_header
        assert given == (CLIENT, SECRET)
        assert _digest(sent["code_verifier"]) == known["code_challenge"]
        assert sent["redirect_uri"] == known["redirect_uri"]
        now = int(time.time())
        base = {"iss": made.url, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": known["nonce"]}
        claims = {name: value for name, value in (base | made.claims).items() if value is not None}
        if isinstance(made.key, bytes):
            signed = _by_hand(made.header, claims, made.key)
        else:
            signed = jwt.encode(made.header, claims, made.key, algorithms=[made.header["alg"]])
        access = secrets.token_urlsafe(24)
        made.sent += [signed, access, sent["code_verifier"]]
        return jsonify({"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": signed})

    @app.get("/userinfo")
    def userinfo() -> Response:
        assert request.headers["Authorization"].removeprefix("Bearer ") in made.sent
        return jsonify(made.told)

    return app


@contextmanager
def served(made: Provider) -> Iterator[Provider]:
    server = wsgi.Server(("127.0.0.1", 0), application(made), numthreads=4, shutdown_timeout=1)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.bind_addr[1]}"
    try:
        yield made
    finally:
        server.stop()
        thread.join(timeout=10)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with served(Provider()) as made:
        yield made


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, from debug on, without being told which secrets to strike out."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.set_up("debug", as_json=True, stream=stream)
    yield stream
    root.handlers[:], root.level = before


def web(provider: Provider, allowed: str = EMAIL, **more: Any) -> dict[str, Any]:
    given = {"oidc_issuer": provider.url, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return given | {"oidc_allowed": allowed} | more


Open = Callable[..., Visitor]


@pytest.fixture
def opened(visit: Visit, provider: Provider) -> Open:
    def made(allowed: str = EMAIL, **more: Any) -> Visitor:
        visitor = visit(**web(provider, allowed, **more))
        visitor.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        return visitor

    return made


def to_provider(visitor: Visitor, path: str = "/login/oidc") -> str:
    """Goes to the provider as a browser does. Returns the path and query that it is sent back to."""
    answer = visitor.get(path)
    assert answer.status_code == 303, answer.text
    there = requests.get(answer.location, allow_redirects=False, timeout=10)
    assert there.status_code == 302
    back = urlsplit(there.headers["Location"])
    assert (back.scheme, back.netloc, back.path) == ("http", "localhost", "/login/oidc/back")
    return f"{back.path}?{back.query}"


def signed_in(visitor: Visitor) -> TestResponse:
    return visitor.get(to_provider(visitor))


def assert_refused(visitor: Visitor, answer: TestResponse, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert visitor.get("/").status_code == 303


def recorded(visitor: Visitor) -> list[tuple[object, object]]:
    from bridge.store.queries import Queries

    with Queries(f"sqlite:///{visitor.desk.folder}/bridge.db") as queries, queries.snapshot() as snapshot:
        return [(each.details["by"], each.details["from"]) for each in snapshot.events([EntryKind.LOGIN])]


UNPROVED = "The provider&#39;s answer does not prove who you are."
UNLISTED = "you are not on the list"
DOWN = "The provider does not answer as it should."


def test_a_verified_address_on_the_list_comes_in_and_is_recorded(opened: Open) -> None:
    made = opened("bob@example.org, Alice@Example.ORG")
    back = to_provider(made, "/login/oidc?next=/tickets/3")
    answer = made.get(back)
    assert (answer.status_code, answer.location) == (303, "/tickets/3")
    assert EMAIL in made.get("/").text
    assert recorded(made) == [(EMAIL, "127.0.0.1")]


def test_a_subject_on_the_list_comes_in(opened: Open, provider: Provider) -> None:
    provider.claims = {"sub": SUBJECT}
    made = opened(f"bob@example.org {SUBJECT}")
    assert signed_in(made).status_code == 303
    assert SUBJECT in made.get("/").text
    assert recorded(made) == [(SUBJECT, "127.0.0.1")]


def test_an_address_that_only_the_other_endpoint_tells_counts_if_it_tells_of_the_same_person(
    opened: Open, provider: Provider
) -> None:
    provider.claims = {"sub": SUBJECT}
    provider.told = {"sub": SUBJECT, "email": EMAIL, "email_verified": True}
    made = opened()
    assert signed_in(made).status_code == 303
    made.post("/logout")
    provider.told = provider.told | {"sub": "somebody-else"}
    assert_refused(made, signed_in(made), 403, UNLISTED)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_unverified_address_is_refused(opened: Open, provider: Provider, verified: object) -> None:
    provider.claims["email_verified"] = verified
    made = opened()
    assert_refused(made, signed_in(made), 403, UNLISTED)
    assert recorded(made) == []


def test_who_is_not_on_the_list_is_refused(opened: Open) -> None:
    made = opened("bob@example.org,user-4712")
    assert_refused(made, signed_in(made), 403, UNLISTED)


def test_what_only_looks_like_an_entry_is_none() -> None:
    allowed = frozenset({"alice@example.org", "kim@example.org", "user"})
    verified = {"email_verified": True}
    assert admitted({"sub": "alice@example.org"}, allowed) is None
    assert admitted({"sub": "x", "email": "user", **verified}, allowed) is None
    assert admitted({"sub": "x", "email": "\u212aim@example.org", **verified}, allowed) is None
    assert admitted({"sub": "USER"}, allowed) is None
    assert admitted({"sub": ["user"], "email": ["kim@example.org"], **verified}, allowed) is None
    assert admitted({"sub": "x", "email": "KIM@example.org", **verified}, allowed) == "kim@example.org"


def test_an_answer_to_another_browsers_login_is_refused_unread(opened: Open, provider: Provider) -> None:
    made = opened()
    back = to_provider(made)
    wrong = re.sub(r"state=[^&]+", "state=wrong", back)
    for _ in range(TRIES + 1):  # links of somebody else must not lock this address out
        assert_refused(made, made.get(wrong), 400, "was not begun in this browser")
    assert_refused(made, made.get("/login/oidc/back"), 400, "was not begun in this browser")
    assert "/token" not in provider.asked
    made.client.delete_cookie("bridge")
    assert_refused(made, made.get(back), 400, "was not begun in this browser")


def test_an_answer_counts_once(opened: Open) -> None:
    made = opened()
    back = to_provider(made)
    assert made.get(back).status_code == 303
    made.post("/logout")
    assert_refused(made, made.get(back), 400, "was not begun in this browser")


def test_somebody_who_says_no_at_the_provider_is_not_signed_in(opened: Open) -> None:
    made = opened()
    back = re.sub(r"code=[^&]+", "error=access_denied", to_provider(made))
    assert_refused(made, made.get(back), 401, "The provider did not sign you in.")


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"aud": "another-client"},
        {"aud": "another-client", "azp": CLIENT},
        {"aud": ["another-client", "bridge-clients"]},
        {"aud": None},
        {"iss": "https://another.example.org"},
        {"sub": None},
        {"azp": "another-client"},
    ],
    ids=str,
)
def test_a_token_for_somebody_else_or_another_time_is_refused(
    opened: Open, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims |= claims
    made = opened()
    assert_refused(made, signed_in(made), 401, UNPROVED)
    assert recorded(made) == []


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (STRANGE, {"alg": "RS256", "kid": "one"}),
        (STRANGE, {"alg": "RS256", "kid": "two"}),
        (SECRET.encode(), {"alg": "HS256", "kid": "one"}),
        (KEY.as_pem(private=False), {"alg": "HS256", "kid": "one"}),
        (b"", {"alg": "none", "kid": "one"}),
    ],
    ids=["another key", "an unknown key", "the secret", "the public key as a secret", "none"],
)
def test_a_token_that_the_provider_did_not_sign_is_refused(
    opened: Open, provider: Provider, key: Any, header: dict[str, str]
) -> None:
    provider.key, provider.header = key, header
    made = opened()
    assert_refused(made, signed_in(made), 401, UNPROVED)


def test_a_code_that_the_provider_does_not_know_is_refused_and_guessing_is_slowed_down(opened: Open) -> None:
    made = opened()
    for _ in range(TRIES):
        back = re.sub(r"code=[^&]+", "code=guessed", to_provider(made))
        assert_refused(made, made.get(back), 401, UNPROVED)
    for path in ("/login/oidc", "/login/oidc/back?code=guessed&state=x"):
        refused = made.get(path)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= WINDOW.total_seconds()
    assert made.log_in().status_code == 429
    made.desk.now += WINDOW
    assert signed_in(made).status_code == 303


def test_the_session_is_a_fresh_one_and_ends_as_others_do(opened: Open) -> None:
    made = opened()
    made.post("/language", page="/login", language="fr")
    token = made.token()
    back = to_provider(made)
    before = made.client.get_cookie("bridge")
    assert made.get(back).status_code == 303
    after = made.client.get_cookie("bridge")
    assert before is not None
    assert after is not None
    assert (after.http_only, after.same_site) == (True, "Lax")
    assert made.token("/") != token
    assert 'lang="fr"' in made.get("/").text
    made.client.set_cookie("bridge", before.value)
    assert made.get("/").status_code == 303
    made.client.set_cookie("bridge", after.value)
    made.desk.now += SESSION
    assert made.get("/").status_code == 303


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/" + "x" * 2000])
def test_a_login_leads_nowhere_else(opened: Open, wanted: str) -> None:
    made = opened()
    assert made.get(to_provider(made, f"/login/oidc?next={wanted}")).location == "/"


def test_the_cookie_stays_small_however_often_somebody_begins(opened: Open) -> None:
    made = opened()
    for _ in range(5):
        to_provider(made)
    cookie = made.client.get_cookie("bridge")
    assert cookie is not None
    assert len(cookie.value) < 1000
    assert signed_in(made).status_code == 303


@pytest.mark.parametrize(("language", "words"), [("en", DOWN), ("fr", "Le fournisseur ne répond pas")])
def test_a_provider_that_is_down_has_a_page_that_says_so(
    visit: Visit, logged: io.StringIO, language: str, words: str
) -> None:
    with served(Provider()) as gone:
        made = visit(**web(gone))
        made.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        back = to_provider(made)
    for path in (back, "/login/oidc"):
        assert_refused(made, made.get(path), 503, words)
    assert made.log_in().status_code == 303
    assert "the provider cannot be used" in logged.getvalue()
    assert "Traceback" not in logged.getvalue()


WRONG: dict[str, Callable[[], Any]] = {
    "no JSON": lambda: Response("<html>"),
    "a list": lambda: jsonify([1]),
    "a number": lambda: jsonify(1),
    "no token": lambda: jsonify({"access_token": "x", "token_type": "Bearer"}),
    "an error of its own": lambda: Response("out of order", 500),
    "a redirect": lambda: redirect("/elsewhere", 307),
}


@pytest.mark.parametrize("answer", WRONG)
def test_a_provider_that_answers_nonsense_signs_nobody_in(opened: Open, provider: Provider, answer: str) -> None:
    provider.answer = WRONG[answer]
    made = opened()
    assert_refused(made, signed_in(made), 503, DOWN)
    assert "/elsewhere" not in provider.asked


@pytest.mark.parametrize("token", [5, "", "a.b.c", None])
def test_what_is_no_token_proves_nothing(opened: Open, provider: Provider, token: object) -> None:
    provider.answer = lambda: jsonify({"access_token": "x", "token_type": "Bearer", "id_token": token})
    made = opened()
    assert signed_in(made).status_code in (401, 503)
    assert made.get("/").status_code == 303


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://another.example.org"},
        {"issuer": None},
        {"token_endpoint": "http://id.example.org/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": ["x"]},
        {"id_token_signing_alg_values_supported": ["HS256", "none"]},
        {"id_token_signing_alg_values_supported": 5},
    ],
    ids=str,
)
def test_a_provider_that_describes_itself_wrongly_is_not_used(
    opened: Open, provider: Provider, discovery: dict[str, Any]
) -> None:
    provider.discovery = discovery
    made = opened()
    assert_refused(made, made.get("/login/oidc"), 503, DOWN)
    assert provider.asked == ["/.well-known/openid-configuration"]


def test_a_provider_that_takes_the_secret_in_the_form_gets_it_there(opened: Open, provider: Provider) -> None:
    provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert signed_in(opened()).status_code == 303


def test_no_secret_is_in_logs_or_pages(opened: Open, provider: Provider, logged: io.StringIO) -> None:
    made = opened()
    pages = [made.get("/login").text, signed_in(made).text, made.get("/").text]
    made.post("/logout")
    for broken in ({"nonce": "another"}, {"email_verified": False}):
        provider.claims |= broken
        pages.append(signed_in(made).text)
    back = re.sub(r"code=[^&]+", "code=a-guessed-code", to_provider(made))
    pages.append(made.get(back).text)
    pages.append(made.get(to_provider(made) + "x").text)
    provider.answer = WRONG["an error of its own"]
    pages.append(signed_in(made).text)
    said = logged.getvalue()
    assert "a login was not proved" in said
    assert "invalid_grant" in said
    assert len(provider.sent) > 10
    for kept in (*provider.sent, SECRET, "a-guessed-code", parse_qs(urlsplit(back).query)["state"][0]):
        assert kept not in said
        assert not any(kept in page for page in pages)


def test_the_login_page_has_the_button_in_both_languages(opened: Open) -> None:
    made = opened()
    page = made.get("/login?next=/tickets/3").text
    assert "Log in with 127.0.0.1" in page
    assert 'href="/login/oidc?next=/tickets/3"' in page
    assert 'name="password"' in page
    made.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "fr"
    assert "Se connecter avec 127.0.0.1" in made.get("/login").text


def test_without_passwords_the_provider_is_the_one_way_in(opened: Open) -> None:
    made = opened(users=None)
    assert 'name="password"' not in made.get("/login").text
    assert made.log_in(NAME, "").status_code == 401
    assert signed_in(made).status_code == 303


def test_without_a_provider_there_is_neither_button_nor_address(visit: Visit) -> None:
    made = visit()
    assert "/login/oidc" not in made.get("/login").text
    assert made.get("/login/oidc").location.startswith("/login?")


def test_whoever_is_signed_in_is_not_sent_to_the_provider(opened: Open, provider: Provider) -> None:
    made = opened()
    assert made.log_in().status_code == 303
    assert made.get("/login/oidc?next=/tickets").location == "/tickets"
    assert provider.asked == []


def test_a_dead_provider_does_not_hold_every_thread(opened: Open, provider: Provider) -> None:
    made = opened()
    hold, reached = threading.Event(), threading.Semaphore(0)

    def slow() -> Any:
        reached.release()
        hold.wait(20)
        return Response("too late", 500)

    provider.answer = slow
    backs = []
    for _ in range(2):
        other = Visitor(made.client.application.test_client(), made.desk)
        backs.append((other, to_provider(other)))
    threads = [threading.Thread(target=other.get, args=(back,)) for other, back in backs]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert reached.acquire(timeout=20)
        assert_refused(made, made.get("/login/oidc"), 503, DOWN)
        assert made.get("/healthz").status_code == 200
    finally:
        hold.set()
        for thread in threads:
            thread.join(timeout=20)
    provider.answer = None
    assert signed_in(made).status_code == 303


WHOLE = {
    "oidc_issuer": "https://id.example.org",
    "oidc_client_id": CLIENT,
    "oidc_client_secret": SECRET,
    "oidc_allowed": EMAIL,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"oidc_allowed": ""}, "oidc_allowed names nobody"),
        ({"oidc_allowed": " , "}, "oidc_allowed names nobody"),
        ({"oidc_issuer": None}, "belong together; missing: oidc_issuer"),
        ({"oidc_client_id": None, "oidc_client_secret": None}, "missing: oidc_client_id, oidc_client_secret"),
        ({"oidc_client_id": " "}, "missing: oidc_client_id"),
        ({"oidc_issuer": "http://id.example.org"}, "must begin with https://"),
        ({"oidc_issuer": "id.example.org"}, "must be the provider's address"),
        ({"oidc_issuer": "https://me:pw@id.example.org"}, "must be a bare address"),
        ({"oidc_issuer": "https://id.example.org/?x=1"}, "must be a bare address"),
        ({"oidc_issuer": "https://id.example.org/.well-known/openid-configuration"}, "before /.well-known/"),
        ({"oidc_ca_file": "/no/such/file"}, "there is no file"),
    ],
)
def test_settings_that_let_nobody_in_say_what_is_missing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    from bridge import settings as module

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "DOCKER_SECRETS", tmp_path / "none")
    (tmp_path / "policy.yaml").write_text("policy: 1\n")
    for name, value in {
        "POLICY": "policy.yaml",
        "OPENPROJECT__URL": "https://op.example.org",
        "OPENPROJECT__API_KEY": "k" * 20,
        **{f"WEB__{name.upper()}": value for name, value in (WHOLE | change).items()},
    }.items():
        if value is not None:
            monkeypatch.setenv(f"BRIDGE_{name}", value)
    with pytest.raises(ConfigError) as caught:
        module.load()
    assert words in str(caught.value)
    assert "web" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_whole_settings_are_taken_and_show_no_secret(tmp_path: Any) -> None:
    made = settings_for(tmp_path, **WHOLE)
    assert made.web.oidc_issuer == "https://id.example.org"
    assert SECRET in made.secrets
    assert SECRET not in repr(made)


def test_without_the_extra_the_remedy_is_told(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'openproject-bridge\[oidc\]'"):
        visit(**WHOLE)
    visit()


def test_nobody_could_sign_in_without_users_header_or_provider(visit: Visit) -> None:
    with pytest.raises(ConfigError, match="nobody could sign in"):
        visit(users=None)

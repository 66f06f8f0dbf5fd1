from __future__ import annotations

from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from bridge.web.access import SESSION, TRIES, WINDOW, hashed, safe_next
from tests.web.conftest import Visit, Visitor
from tests.web.world import NAME, PASSWORD

PAGES = ("/", "/violations", "/tickets", "/tickets/3", "/people", "/people/61", "/policy", "/reports", "/integrity")
ADDRESSES = (*PAGES, "/reports/violations", "/reports/violations.csv", "/report.css", "/no/such/page")


def test_without_a_login_every_page_leads_to_the_login_and_shows_nothing(visit: Visit) -> None:
    made = visit()
    for address in ADDRESSES:
        answer = made.get(address)
        assert answer.status_code == 303, address
        assert answer.location.startswith("/login")
        assert "CEGAPE" not in answer.text


def test_nothing_is_done_for_whoever_is_not_signed_in(visit: Visit) -> None:
    made = visit()
    for address in ("/pause", "/resume", "/acknowledge"):
        assert made.post(address, page="/login").status_code == 403
    assert not (made.desk.folder / "paused").exists()


def test_whoever_signs_in_comes_where_they_wanted_to_go(visit: Visit) -> None:
    made = visit()
    answer = made.log_in(next="/tickets/3")
    assert (answer.status_code, answer.location) == (303, "/tickets/3")
    assert made.get("/tickets/3").status_code == 200


@pytest.mark.parametrize(
    ("name", "password"), [(NAME, "wrong"), ("nobody", PASSWORD), (NAME, ""), ("", ""), (NAME, "x" * 9999)]
)
def test_a_wrong_login_lets_nobody_in_and_does_not_say_what_was_wrong(visit: Visit, name: str, password: str) -> None:
    made = visit()
    made.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    answer = made.log_in(name, password)
    assert answer.status_code == 401
    assert "Name and password do not belong together." in answer.text
    assert made.get("/").status_code == 303


def test_guessing_is_slowed_down_by_address_and_forgiven_after_a_while(visit: Visit) -> None:
    made = visit()
    for _ in range(TRIES):
        assert made.log_in(password="wrong").status_code == 401
    refused = made.log_in()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= WINDOW.total_seconds()
    assert made.get("/metrics", auth=(NAME, PASSWORD)).status_code == 401
    made.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert made.log_in().status_code == 303
    made.post("/logout")
    made.client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    made.desk.now += WINDOW
    assert made.log_in().status_code == 303


def test_a_logout_ends_the_session_even_for_a_stolen_cookie(visitor: Visitor) -> None:
    cookie = visitor.client.get_cookie("bridge")
    assert cookie is not None
    assert visitor.post("/logout").status_code == 303
    visitor.client.set_cookie("bridge", cookie.value)
    assert visitor.get("/").status_code == 303


def test_a_session_ends_by_itself(visitor: Visitor) -> None:
    visitor.desk.now += SESSION
    assert visitor.get("/").status_code == 303


def test_the_cookie_is_for_this_site_alone_and_out_of_reach_of_scripts(visit: Visit) -> None:
    made = visit()
    header = made.get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Secure" not in header


@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_a_form_without_its_token_does_nothing(visitor: Visitor, token: str | None) -> None:
    for address in ("/pause", "/resume", "/acknowledge", "/logout", "/language", "/login"):
        answer = visitor.client.post(address, data={} if token is None else {"csrf": token})
        assert answer.status_code == 403, address
    assert visitor.get("/").status_code == 200
    assert not (visitor.desk.folder / "paused").exists()


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "", "evil", "/\n/x"])
def test_a_login_leads_to_no_other_host(wanted: str) -> None:
    assert safe_next(wanted) == "/"


def test_a_trusted_proxy_names_who_is_there(visit: Visit) -> None:
    made = visit(user_header="X-Remote-User", trusted_proxies="10.0.0.0/8, 127.0.0.1")
    assert made.get("/", headers={"X-Remote-User": "bob"}).status_code == 200
    assert "bob" in made.get("/", headers={"X-Remote-User": "bob"}).text
    assert made.get("/").status_code == 303
    made.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert made.get("/", headers={"X-Remote-User": "bob"}).status_code == 303


def test_only_a_trusted_proxy_can_say_where_a_request_came_from(visit: Visit) -> None:
    made = visit(trusted_proxies="127.0.0.1")
    forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    answer = made.get("/login", headers=forwarded)
    assert "Strict-Transport-Security" in answer.headers
    assert "Secure" in answer.headers["Set-Cookie"]
    made.client.environ_base["REMOTE_ADDR"] = "192.0.2.8"
    assert "Strict-Transport-Security" not in made.get("/login", headers=forwarded).headers


def assert_safe(answer: TestResponse) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy or "sandbox" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_every_answer_has_the_headers_that_keep_it_safe(visitor: Visitor) -> None:
    for address in (*ADDRESSES, "/healthz", "/metrics", "/static/style.css", "/tickets/999"):
        answer = visitor.get(address)
        assert_safe(answer)
        if answer.mimetype == "text/html":
            assert "no-store" in answer.headers["Cache-Control"]
            assert "<script" not in answer.text
            assert " style=" not in answer.text
            assert " onclick" not in answer.text


def test_a_hash_is_salted_scrypt() -> None:
    assert hashed(PASSWORD) != hashed(PASSWORD)
    assert hashed(PASSWORD).startswith("scrypt:")


def test_logins_are_recorded_with_their_address(visitor: Visitor) -> None:
    page = visitor.get("/metrics", auth=(NAME, PASSWORD))
    assert page.status_code == 200
    visitor.desk.now += timedelta(seconds=1)
    from bridge.store.queries import Queries
    from bridge.store.schema import EntryKind

    with Queries(f"sqlite:///{visitor.desk.folder}/bridge.db") as queries, queries.snapshot() as snapshot:
        [event] = snapshot.events([EntryKind.LOGIN])
    assert (event.details["by"], event.details["from"]) == (NAME, "127.0.0.1")

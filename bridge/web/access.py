"""Who comes in: passwords, sessions, a trusted proxy's word, and the gate that every request passes.

Nothing but /healthz, the login page, the style sheet and the signed webhook is answered without a login.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, abort, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.security import check_password_hash, generate_password_hash

from bridge.web.site import Doors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

SESSION = timedelta(hours=12)
"""A working day; a closed browser ends it earlier."""

OPEN = frozenset(
    {
        "probes.healthz",
        "login.form",
        "login.enter",
        "login.language",
        "oidc.leave",
        "oidc.back",
        "static",
        "webhook.receive",
    }
)
"""Endpoints that answer without a login; the webhook has its signature."""

PROBES = frozenset({"probes.readyz", "probes.metrics"})
"""Endpoints that a setting can open, and that take HTTP Basic instead of a session."""

UNFORGEABLE = frozenset({"webhook.receive"})
"""POSTs that need no token of ours: no browser sends them a person's cookie's authority."""

TRIES = 5
WINDOW = timedelta(minutes=15)
"""Wrong passwords from one address before it has to wait: 480 guesses a day get nowhere with a password worth it."""

ADDRESSES = 10_000
"""Addresses that are remembered; the longest silent are forgotten first, so that memory is bounded."""

LONGEST_PASSWORD = 1024
"""Characters; a longer one is wrong, and is not worth the processor's time."""

TRUSTED = "bridge.trusted_proxy"
"""In the WSGI environment: the request came from a trusted proxy's own address."""


def hashed(password: str) -> str:
    """A password as settings hold it: scrypt with a salt, in werkzeug's form."""
    return generate_password_hash(password, method="scrypt")


class Doorkeeper:
    """Checks names and passwords, and makes whoever guesses wait."""

    def __init__(self, doors: Doors, now: Callable[[], datetime]) -> None:
        self._users = doors.users
        self._now = now
        self._wrong: OrderedDict[str, list[datetime]] = OrderedDict()
        self._lock = threading.Lock()
        self._decoy = next(iter(doors.users.values()), "")
        """What an unknown name's password is compared with, in vain: it takes as long as a known one's."""

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0 when it may now."""
        with self._lock:
            tries = self._recent(address)
            if len(tries) < TRIES:
                return 0
            return max(1, round((tries[0] + WINDOW - self._now()).total_seconds()))

    def admits(self, name: str, password: str, address: str) -> bool:
        """Whether name and password belong together. A wrong pair counts against the address."""
        # One at a time: a hash takes 32 MiB and a core, and guesses must not have many of them.
        with self._lock:
            known = self._users.get(name)
            right = check_password_hash(known or self._decoy, password[:LONGEST_PASSWORD])
            if right and known is not None and len(password) <= LONGEST_PASSWORD:
                self._wrong.pop(address, None)
                return True
            self._count(address)
            return False

    def failed(self, address: str) -> None:
        """Somebody from this address could not sign in with the provider: it counts as a wrong password does."""
        with self._lock:
            self._count(address)

    def _count(self, address: str) -> None:
        tries = self._recent(address)
        tries.append(self._now())
        self._wrong[address] = tries
        self._wrong.move_to_end(address)
        while len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> list[datetime]:
        since = self._now() - WINDOW
        return [at for at in self._wrong.get(address, ()) if at > since]


@dataclass(frozen=True, slots=True)
class _Open:
    """A session on the server's side: what a cookie stands for, until it is ended here."""

    user: str
    until: datetime


class Sessions:
    """Who is signed in. In memory: a restart, a logout and the end of the day sign people out for good."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._open: dict[str, _Open] = {}

    def begin(self, user: str) -> None:
        """Sign somebody in, in a fresh session: nobody can have known its token before."""
        now = self._now()
        self._open = {token: each for token, each in self._open.items() if each.until > now}
        chosen = session.get("language")
        session.clear()
        if chosen:
            session["language"] = chosen
        token = secrets.token_urlsafe(32)
        self._open[token] = _Open(user, now + SESSION)
        session["token"] = token

    def end(self) -> None:
        """Sign out."""
        self._open.pop(session.get("token", ""), None)
        session.pop("token", None)

    def user(self) -> str | None:
        """Who this request's cookie belongs to."""
        opened = self._open.get(session.get("token", ""))
        return opened.user if opened is not None and opened.until > self._now() else None


def csrf_token() -> str:
    """What a form of this session must send back."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    token: str = session["csrf"]
    return token


class _Cookies(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - its interface
        return request.is_secure


def guard(app: Flask, doors: Doors, keeper: Doorkeeper, sessions: Sessions) -> None:
    """Put the gate before every request of the application."""
    app.secret_key = secrets.token_bytes(32)
    app.session_interface = _Cookies()
    app.config.update(
        SESSION_COOKIE_NAME="bridge", SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax", TRUSTED_HOSTS=None
    )
    app.wsgi_app = Proxied(app.wsgi_app, doors)  # type: ignore[method-assign]  # Flask's documented way

    @app.before_request
    def _gate() -> Response | None:
        # Somebody from the office's proxy is let in by its word, others by their own session.
        g.user = proxy_user(request, doors) or sessions.user()
        if request.method == "POST" and request.endpoint not in UNFORGEABLE:
            sent = request.form.get("csrf", "")
            if not hmac.compare_digest(sent.encode(), csrf_token().encode()):
                abort(403, "csrf")
        if g.user is not None or request.endpoint in OPEN:
            return None
        if request.endpoint in PROBES:
            if doors.open_probes or _basic(keeper):
                return None
            return Response("a login is needed\n", 401, {"WWW-Authenticate": 'Basic realm="bridge"'})
        if request.method != "GET":
            abort(403, "login")
        wanted = request.full_path.rstrip("?")
        there = url_for("login.form", next=wanted) if wanted != "/" else url_for("login.form")
        return redirect(there, 303)  # type: ignore[return-value]  # werkzeug's base class of Flask's


def _basic(keeper: Doorkeeper) -> bool:
    sent = request.authorization
    address = request.remote_addr or ""
    if sent is None or sent.type != "basic" or keeper.wait(address):
        return False
    return keeper.admits(sent.username or "", sent.password or "", address)


def proxy_user(request: Request, doors: Doors) -> str | None:
    """The person whom a trusted proxy names; None from any other address."""
    if not doors.user_header or not request.environ.get(TRUSTED):
        return None
    return request.headers.get(doors.user_header, "").strip()[:200] or None


class Proxied:
    """Believes X-Forwarded-* of trusted proxies, and of nobody else."""

    def __init__(self, application: WSGIApplication, doors: Doors) -> None:
        self._direct = application
        self._through = ProxyFix(application, x_for=1, x_proto=1, x_host=1)
        self._trusted = doors.trusted_proxies

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """WSGI."""
        environ[TRUSTED] = self._is_trusted(environ)
        application = self._through if environ[TRUSTED] else self._direct
        return application(environ, start_response)

    def _is_trusted(self, environ: Mapping[str, Any]) -> bool:
        try:
            address = ip_address(environ.get("REMOTE_ADDR", ""))
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def safe_next(wanted: str) -> str:
    """Where to go after a login: a path of ours, never another host."""
    if not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or any(ord(c) < 32 for c in wanted):
        return "/"
    return wanted

"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE, by Authlib (extra ``oidc``).

The provider is asked anew at each login, so that new addresses and keys of its need no restart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import FlaskIntegration, FlaskOAuth2App
from authlib.integrations.requests_client import OAuth2Session
from flask import Blueprint, g, redirect, render_template, request, session, url_for
from joserfc.errors import JoseError
from werkzeug.wrappers import Response as AnyResponse

from bridge.errors import RetryLater
from bridge.web.access import Doorkeeper, Sessions, safe_next
from bridge.web.site import Provider, Site

TIMEOUTS = (5, 10)
"""Seconds to connect, and between two parts of an answer: somebody waits before a white page."""

AT_ONCE = 2
"""Requests that may wait for the provider, of the server's four threads: a dead one must not silence the probes."""

SKEW = 60
"""Seconds by which the provider's clock may differ."""

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""What the provider signs with a key of its own. Neither "none" nor a secret that we share."""

NAME = "oidc"
LONGEST_NEXT = 1000
"""Characters; where to go waits in the cookie, and browsers take 4 KB."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
NONSENSE = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)
"""What Authlib raises for a provider that does not answer (requests' errors are OSErrors), or in another form."""


class Problem(StrEnum):
    """Why nobody was signed in; the login page has the words."""

    REFUSED = "refused"
    INVALID = "invalid"
    DENIED = "denied"
    STALE = "stale"
    DOWN = "down"


CODES = {Problem.REFUSED: 403, Problem.INVALID: 401, Problem.DENIED: 401, Problem.STALE: 400, Problem.DOWN: 503}


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who may come in, by the name that is on the list, and where they wanted to go."""

    name: str
    there: str


def blueprint(site: Site, provider: Provider, keeper: Doorkeeper, sessions: Sessions) -> Blueprint:
    """``/login/oidc``, which leads to the provider, and ``/login/oidc/back``, where it sends people back to."""
    pages = Blueprint(NAME, __name__)
    log = structlog.get_logger("bridge.web.oidc")
    line = threading.BoundedSemaphore(AT_ONCE)

    def problem(what: Problem) -> tuple[str, int]:
        # The address of this page holds the code: the page must lead back to another.
        return render_template("login.html", next="/", name="", problem=what.value, here="/login"), CODES[what]

    def waiting(address: str) -> tuple[str, int, dict[str, str]] | None:
        if not (wait := keeper.wait(address)):
            return None
        page = render_template("login.html", next="/", name="", problem="wait", minutes=-(-wait // 60), here="/login")
        return page, 429, {"Retry-After": str(wait)}

    @pages.get("/login/oidc")
    def leave() -> AnyResponse | tuple[str, int] | tuple[str, int, dict[str, str]]:
        there = safe_next(request.args.get("next", "/"))
        if g.user is not None:
            return redirect(there, 303)
        if (wait := waiting(request.remote_addr or "")) is not None:
            return wait
        try:
            with _asking(line):
                return redirect(_begin(provider, there if len(there) <= LONGEST_NEXT else "/"), 303)
        except RetryLater as error:
            log.warning("the provider cannot be used", issuer=provider.issuer, reason=str(error))
            return problem(Problem.DOWN)

    @pages.get("/login/oidc/back")
    def back() -> AnyResponse | tuple[str, int] | tuple[str, int, dict[str, str]]:
        address = request.remote_addr or ""
        if (wait := waiting(address)) is not None:
            return wait
        try:
            with _asking(line):
                found = _end(provider)
        except RetryLater as error:
            log.warning("the provider cannot be used", issuer=provider.issuer, reason=str(error))
            return problem(Problem.DOWN)
        except (OAuthError, JoseError) as error:
            # Their texts may quote what the provider sent; the kind tells enough.
            log.warning("a login was not proved", issuer=provider.issuer, reason=_kind(error), address=address)
            keeper.failed(address)
            return problem(Problem.INVALID)
        if isinstance(found, Problem):
            # A stale answer was checked against nothing: others' links could lock this address out by it.
            if found is Problem.REFUSED:
                log.warning("a login was refused", issuer=provider.issuer, address=address)
                keeper.failed(address)
            return problem(found)
        sessions.begin(found.name)
        if site.actions.record_login is not None:
            site.actions.record_login(found.name, address)
        return redirect(found.there, 303)

    return pages


def admitted(claims: Mapping[str, object], allowed: frozenset[str]) -> str | None:
    """The entry of the list by which somebody comes in: a verified e-mail address, else the subject."""
    email, subject = claims.get("email"), claims.get("sub")
    if isinstance(email, str) and "@" in email and claims.get("email_verified") is True:
        # Only ASCII: a letter that merely becomes another in lower case is another mailbox.
        names = {each.lower(): each.lower() for each in allowed if "@" in each and each.isascii()}
        names |= {each: each for each in allowed if "@" in each}
        found = names.get(email.lower() if email.isascii() else email)
        if found is not None:
            return found
    # A subject may be anything, also an address that nobody verified.
    if isinstance(subject, str) and "@" not in subject and subject in allowed:
        return subject
    return None


@contextmanager
def _asking(line: threading.BoundedSemaphore) -> Iterator[None]:
    """While the provider is asked. Raises RetryLater for all that is wrong on its side."""
    if not line.acquire(blocking=False):
        raise RetryLater("other logins are waiting for its answer")
    try:
        yield
    except (OAuthError, JoseError):
        raise
    except NONSENSE as error:
        raise RetryLater(_kind(error)) from None
    finally:
        line.release()


def _kind(error: Exception) -> str:
    """An error without what it quotes: codes, secrets and addresses with both are in its text."""
    code = getattr(error, "error", "")
    known = isinstance(code, str) and code.replace("_", "").isalpha() and len(code) <= 40
    claim = getattr(error, "claim", "")
    return " ".join(filter(None, (type(error).__name__, code if known else "", claim if known else "")))


def _begin(provider: Provider, there: str) -> str:
    """The address at the provider; what must come back waits in the session."""
    client = _client(provider)
    back = url_for("oidc.back", _external=True)
    made = client.create_authorization_url(back)
    for key in [key for key in session if key.startswith(f"_state_{NAME}_")]:
        session.pop(key)  # one login at a time: the cookie must stay small
    kept = {name: made[name] for name in ("state", "nonce", "code_verifier")}
    client.save_authorize_data(redirect_uri=back, there=there, **kept)
    return str(made["url"])


def _end(provider: Provider) -> Admitted | Problem:
    """Who came back. Raises OAuthError or JoseError where that is not proved."""
    state = request.args.get("state", "")
    begun = FlaskIntegration(NAME).get_state_data(session, state)
    if not begun:
        return Problem.STALE
    if "error" in request.args or "code" not in request.args:
        FlaskIntegration(NAME).clear_state_data(session, state)
        return Problem.DENIED
    client = _client(provider)
    token = client.authorize_access_token(
        claims_options={
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
        },
        leeway=SKEW,
    )
    claims = token.get("userinfo")
    if not claims:
        raise RetryLater("its answer holds no id_token")
    name = admitted(claims, provider.allowed)
    if name is None and "email" not in claims and "userinfo_endpoint" in client.server_metadata:
        # Where a provider keeps the address for its other endpoint (OpenID Connect Core 5.4).
        told = client.userinfo(token=token)
        if told.get("sub") == claims["sub"]:
            name = admitted(told, provider.allowed)
    return Problem.REFUSED if name is None else Admitted(name, begun["there"])


def _client(provider: Provider) -> Any:
    """Authlib's client of this provider, as it describes itself now. Raises as ``_asking`` expects."""
    # The environment's proxies, certificates and .netrc are not used; a redirect could carry the secret elsewhere.
    manners: dict[str, Any] = {"default_timeout": TIMEOUTS, "trust_env": False, "max_redirects": 0}
    if provider.ca is not None:
        manners["verify"] = provider.ca
    with OAuth2Session(**manners) as asking:
        answer = asking.request(
            "GET", provider.issuer.rstrip("/") + "/.well-known/openid-configuration", withhold_token=True
        )
        answer.raise_for_status()
        known = _checked(answer.json(), provider.issuer)
    method = known.pop("method")
    return FlaskOAuth2App(
        FlaskIntegration(NAME),
        NAME,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        client_kwargs={
            "scope": "openid email",
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": method,
            **manners,
        },
        **known,
    )


def _checked(told: object, issuer: str) -> dict[str, Any]:
    """What is used of a discovery document. Raises RetryLater where it is another's, or leads out of encryption."""
    if not isinstance(told, dict):
        raise RetryLater("its discovery document is none")
    if told.get("issuer") != issuer:
        raise RetryLater(f"it calls itself {str(told.get('issuer'))[:200]!r}, and oidc_issuer must be exactly that")
    known: dict[str, Any] = {"issuer": issuer}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        address = told.get(name)
        if address is None and name == "userinfo_endpoint":
            continue
        parts = urlsplit(address if isinstance(address, str) else "")
        if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
            raise RetryLater(f"its discovery document has no {name} with https")
        known[name] = address
    offered = told.get("id_token_signing_alg_values_supported") or ["RS256"]
    known["id_token_signing_alg_values_supported"] = [each for each in SIGNATURES if each in offered]
    if not known["id_token_signing_alg_values_supported"]:
        raise RetryLater("it signs with none of " + ", ".join(SIGNATURES))
    methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    only_post = "client_secret_post" in methods and "client_secret_basic" not in methods
    known["method"] = "client_secret_post" if only_post else "client_secret_basic"
    return known

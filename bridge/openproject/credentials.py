"""Who the bridge is to OpenProject: an API token, or an OAuth application that fetches its own. Secrets never show in
``repr``, errors or logs.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

from bridge.errors import ConfigError

AskForToken = Callable[[bytes], Mapping[str, object]]
"""Posts a form to the server's token address and gives its answer."""

LIFE = 7200.0
"""Seconds that a token lives where the server does not say (contract §1.4)."""

MARGIN = 120.0
"""Seconds before its end from which a token is not used any more: longer than the longest request (contract §11)."""


class Credentials(Protocol):
    """What the client needs of either kind."""

    def authorization(self, ask: AskForToken) -> str:
        """The Authorization header."""
        ...

    def refused(self) -> bool:
        """The server answered 401. True when it is worth asking once more with another token."""
        ...


class ApiKey:
    """An API token over Basic: the one form that 15.4 and 17 both take (contract §1.2)."""

    def __init__(self, token: str) -> None:
        _printable("API token", token)
        self._header = "Basic " + base64.b64encode(f"apikey:{token}".encode("ascii")).decode("ascii")

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def authorization(self, ask: AskForToken) -> str:  # noqa: ARG002  the same for both kinds
        """The Authorization header; it never changes."""
        return self._header

    def refused(self) -> bool:
        """A refused API token stays refused."""
        return False


class ClientCredentials:
    """An OAuth application acting as its "client credentials user" (contract §1.4). Safe for two threads."""

    def __init__(self, client_id: str, client_secret: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        _printable("OAuth client id", client_id)
        _printable("OAuth client secret", client_secret)
        self._form = urlencode(
            {
                "grant_type": "client_credentials",
                "scope": "api_v3",
                "client_id": client_id,
                "client_secret": client_secret,
            }
        ).encode("ascii")
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._header = ""
        self._usable_until = float("-inf")

    def __repr__(self) -> str:
        return "ClientCredentials(…)"

    def authorization(self, ask: AskForToken) -> str:
        """The Authorization header, with a new token when the last one is about to end. Raises what ``ask`` raises."""
        with self._lock:
            if self._monotonic() >= self._usable_until:
                asked_at = self._monotonic()
                answer = ask(self._form)
                token, life = answer.get("access_token"), answer.get("expires_in")
                if not isinstance(token, str) or str(answer.get("token_type", "bearer")).lower() != "bearer":
                    raise ConfigError(
                        "The OAuth token address gave no bearer token: check the application in OpenProject"
                    )
                _printable("OAuth access token", token)
                seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else LIFE
                # A token that lives shorter than the margin is used for half its life, rather than never.
                self._usable_until = asked_at + max(seconds - MARGIN, seconds / 2)
                self._header = f"Bearer {token}"
            return self._header

    def refused(self) -> bool:
        """Forget the token: it may have been revoked, or the server's clock differs. A new one is worth a try."""
        with self._lock:
            had = self._usable_until > float("-inf")
            self._usable_until = float("-inf")
            return had


def _printable(what: str, secret: str) -> None:
    """A header cannot hold anything else, and the HTTP library would print the value in its complaint."""
    if not (secret and secret.isascii() and secret.isprintable() and " " not in secret):
        raise ConfigError(f"The {what} is empty, or holds a character that no {what} has (a space, a line end?)")

"""A simulated OpenProject as a WSGI application: the door, where credentials and oddities of requests are met.

What is behind the door is in ``tickets`` and ``directory``.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterable
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson

from bridge.simulator import directory, represent, texts, tickets
from bridge.simulator.call import HAL, Answer, Call, Endpoint, Request
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Person, Refusal, not_found

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PREFIX = "/api/v3"
JSON = "application/json; charset=utf-8"
TOKEN_LIFETIME = timedelta(hours=2)
SMALLEST_ZIPPED = 1024
"""Bodies below this many bytes are not worth compressing."""

_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved Permanently",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    500: "Internal Server Error",
}


class Api:
    """The WSGI application.

    ``zipped`` compresses where the client accepts it, as the real one does. ``dated`` sends ``Date``: the recorded
    servers sent none themselves, the proxy in front of a real one does.
    """

    def __init__(self, instance: Instance, *, zipped: bool = False, dated: bool = True) -> None:
        self.instance = instance
        self.zipped = zipped
        self.dated = dated
        places = "(?:projects|workspaces)" if instance.version == "17.6" else "projects"
        self._endpoints: dict[str, list[tuple[re.Pattern[str], Endpoint]]] = {}
        for method, pattern, endpoint in (*tickets.table(places), *directory.table(places)):
            self._endpoints.setdefault(method, []).append((re.compile(PREFIX + pattern), endpoint))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; one at a time, as the instance has one lock."""
        request = _request(environ)
        with self.instance.lock:
            self.instance.run_due()
            answer = self._answer(request)
            now = self.instance.now()
        body = answer.body
        headers = {name.title(): value for name, value in answer.headers.items()}
        if self.dated:
            headers["Date"] = format_datetime(now, usegmt=True)
        if self.zipped and len(body) >= SMALLEST_ZIPPED and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        start_response(f"{answer.status} {_REASONS[answer.status]}", list(headers.items()))
        return [body]

    def _answer(self, request: Request) -> Answer:
        instance = self.instance
        if instance.hosts and request.headers.get("host", "").partition(":")[0] not in instance.hosts:
            return Answer.plain(400, "Invalid host_name configuration")
        path = re.sub("/+", "/", request.path).rstrip("/")
        if path == "/oauth/token":
            return self._oauth(request)
        lang = texts.language(instance.language)
        try:
            reader = self._reader(request)
            if reader is not None:
                lang = texts.language(reader.language)
            elif path != f"{PREFIX}/configuration":  # the one page for everybody (contract §1.9)
                raise Refusal(401, "Unauthenticated", "unauthenticated")
            odd = _odd(request)
            if odd is not None:
                return odd
            answer = self._behind_the_door(request, path, reader or instance.deleted_person, lang)
        except Refusal as refusal:
            headers = {"www-authenticate": self._challenge(request, refusal)} if refusal.status == 401 else {}
            return Answer.of(represent.error(refusal, lang), refusal.status, **headers)
        return _revalidated(request, answer)

    def _behind_the_door(self, request: Request, path: str, reader: Person, lang: str) -> Answer:
        for pattern, endpoint in self._endpoints.get(request.method, ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return endpoint(Call(self.instance, request, reader, lang, match.groupdict()))
        raise not_found()

    def _reader(self, request: Request) -> Person | None:
        header = request.headers.get("authorization")
        if not header:
            return None
        scheme, _, credential = header.partition(" ")
        person = None
        if scheme.lower() == "basic":
            try:
                user, _, token = base64.b64decode(credential, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                user, token = "", ""
            person = self.instance.authenticated("basic", token) if user == "apikey" else None
        elif scheme.lower() == "bearer":
            person = self.instance.authenticated("bearer", credential)
        if person is None:
            raise Refusal(401, "Unauthenticated", "wrong_credentials")
        return person

    def _challenge(self, request: Request, refusal: Refusal) -> str:
        scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
        newer = self.instance.version == "17.6"
        if scheme == "basic" or (not scheme and not newer):
            return 'Basic realm="OpenProject API"'
        said = 'Bearer realm="OpenProject API"'
        if newer:
            host = request.headers.get("host", "127.0.0.1")
            said += f', resource_metadata="http://{host}/.well-known/oauth-protected-resource", scope="api_v3"'
        return said + (', error="invalid_token"' if refusal.text == "wrong_credentials" else "")

    def _oauth(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
        token = None
        if form.get("grant_type") == "client_credentials":
            token = self.instance.bearer(form.get("client_id", ""), form.get("client_secret", ""), TOKEN_LIFETIME)
        if token is None:
            said = texts.message("oauth_client", texts.language(self.instance.language))
            refused = orjson.dumps({"error": "invalid_client", "error_description": said})
            challenge = 'Bearer realm="Doorkeeper", error="invalid_client"'
            return Answer(401, refused, {"content-type": JSON, "www-authenticate": challenge})
        granted = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
            "scope": "api_v3",
            "created_at": int(self.instance.now().timestamp()),
        }
        return Answer(200, orjson.dumps(granted), {"content-type": JSON})


def _odd(request: Request) -> Answer | None:
    """What Rails' and Grape's middleware answers before anything is looked at (A.7, recording 12)."""
    if request.method == "HEAD":
        return Answer.plain(406, "")
    if request.method == "OPTIONS":
        return Answer(204, b"", {"allow": "OPTIONS, GET, PATCH, DELETE, HEAD"})
    if request.method in ("POST", "PATCH", "PUT"):
        found = request.content_type
        if not found:
            return Answer.plain(406, "Missing content-type header")
        if found == "application/x-www-form-urlencoded":
            raise Refusal(415, "TypeNotSupported", "wrong_type", found=found)
        if found not in ("application/json", "application/hal+json"):
            return Answer.plain(415, f"The provided content-type '{found}' is not supported.", HAL)
        request.json()
    return None


def _revalidated(request: Request, answer: Answer) -> Answer:
    """With a weak ETag, and without a body when the client has it already (A.1: it costs the server the same)."""
    if request.method != "GET" or answer.status != 200:
        return answer
    etag = f'W/"{zlib.crc32(answer.body):08x}{len(answer.body):08x}"'
    if request.headers.get("if-none-match") == etag:
        return Answer(304, b"", {"etag": etag})
    return Answer(200, answer.body, {**answer.headers, "etag": etag})


def _request(environ: WSGIEnvironment) -> Request:
    length = environ.get("CONTENT_LENGTH") or "0"
    body = environ["wsgi.input"].read(int(length)) if length != "0" else b""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    query = environ.get("QUERY_STRING", "")
    parameters = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    return Request(environ["REQUEST_METHOD"], path, parameters, headers, body)

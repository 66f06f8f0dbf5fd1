"""Two ways to a simulated OpenProject: over loopback, and without sockets from inside ``requests``.

Both count what was asked of the server and estimate what a real one would have spent on it (contract A.1).
"""

from __future__ import annotations

import gzip
import io
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from cheroot.wsgi import Server as CherootServer
from requests.adapters import BaseAdapter, HTTPAdapter

from bridge.simulator.api import Api
from bridge.simulator.call import Answer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_GZIP_MAGIC = b"\x1f\x8b"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

# Milliseconds that one server process spent on a page of full tickets, by page size (A.1).
_FULL_PAGE_MS = {
    "17.6": ((0, 100.0), (20, 336.0), (100, 836.0), (500, 4614.0), (1000, 13837.0)),
    "15.4": ((0, 100.0), (20, 528.0), (100, 2437.0), (500, 8897.0), (1000, 11700.0)),
}


@dataclass(slots=True)
class Usage:
    """What clients asked of the server so far."""

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    server_ms: float = 0.0
    """What a real server process would have spent on the same, by the measurements of contract A.1."""
    by_kind: Counter[str] = field(default_factory=Counter)
    """Number of requests by kind: ``list``, ``select``, ``activities``, ``ticket``, ``write``, ``comment``, …"""

    def count(self, kind: str, *, bytes_in: int, bytes_out: int, server_ms: float) -> None:
        """Add one request."""
        self.requests += 1
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.server_ms += server_ms
        self.by_kind[kind] += 1


def estimate(version: str, method: str, path: str, query: str, body: bytes) -> tuple[str, float]:
    """(kind, milliseconds that a real server would have spent) of a request, from A.1's figures."""
    parts = [part for part in path.split("/") if part][2:]
    if method == "GET" and parts[-1:] == ["work_packages"]:
        shown = gzip.decompress(body) if body[:2] == _GZIP_MAGIC else body
        if "select=" in query:
            wide = "elements/subject" in unquote(query)
            return "select", 40.0 + shown.count(b'"id":') * (0.067 if wide else 0.0133)
        return "list", _interpolated(_FULL_PAGE_MS[version], shown.count(b'"_type":"WorkPackage"'))
    if parts[:1] == ["work_packages"] and parts[-1] == "activities":
        return ("activities", 45.0) if method == "GET" else ("comment", 90.0)
    if parts[:1] == ["work_packages"] and method in ("PATCH", "DELETE"):
        return "write", 200.0
    if parts[-1:] == ["work_packages"] and method == "POST":
        return "create", 200.0
    if parts[:1] == ["work_packages"]:
        return "ticket", 120.0
    return "other", 35.0


def _interpolated(points: tuple[tuple[int, float], ...], at: int) -> float:
    index = min(max(1, bisect_left(points, (at, 0.0))), len(points) - 1)
    (x0, y0), (x1, y1) = points[index - 1], points[index]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)


Before = Callable[[requests.PreparedRequest], None]
"""Called before the server sees a request: let people act in between, or raise what the network would."""
After = Callable[[requests.PreparedRequest, Answer], Answer | None]
"""Called when the server has done it: let people act, raise (the answer is lost), or give another answer."""


class InProcess(BaseAdapter):
    """Mount it in a ``requests.Session`` and requests reach the WSGI application as function calls.

    Deterministic: nothing happens between two requests but what the hooks do.
    """

    def __init__(
        self, app: Api, *, version: str | None = None, before: Before | None = None, after: After | None = None
    ) -> None:
        super().__init__()
        self.app = app
        self.version = version or app.instance.version
        self.before = before
        self.after = after
        self.usage = Usage()
        self._builder = HTTPAdapter()

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        """Answer a request without a socket."""
        if self.before is not None:
            self.before(request)
        url = urlsplit(request.url or "")
        sent = request.body or b""
        raw = sent.encode() if isinstance(sent, str) else bytes(sent)
        environ: dict[str, object] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": unquote(url.path, "latin-1"),
            "QUERY_STRING": url.query,
            "CONTENT_LENGTH": str(len(raw)),
            "HTTP_HOST": url.netloc,
            "wsgi.input": io.BytesIO(raw),
        }
        for name, value in request.headers.items():
            key = name.upper().replace("-", "_")
            environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        answer = self._call(environ)
        kind, spent = estimate(self.version, request.method or "", url.path, url.query, answer.body)
        self.usage.count(kind, bytes_in=len(raw), bytes_out=len(answer.body), server_ms=spent)
        if self.after is not None:
            answer = self.after(request, answer) or answer
        response = urllib3.HTTPResponse(
            body=io.BytesIO(answer.body),
            headers=answer.headers,
            status=answer.status,
            preload_content=False,
            request_method=request.method,
        )
        return self._builder.build_response(request, response)

    def _call(self, environ: dict[str, object]) -> Answer:
        started: list[tuple[int, dict[str, str]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], object]:
            started.append((int(status[:3]), dict(headers)))
            return lambda _: None

        body = b"".join(self.app(environ, start_response))
        status, headers = started[-1]
        return Answer(status, body, headers)

    def close(self) -> None:
        """Nothing is held."""


class Counting:
    """A WSGI application around another that counts; for ``serve``, where there is no adapter to count."""

    def __init__(self, app: Api, *, version: str | None = None) -> None:
        self.app = app
        self.version = version or app.instance.version
        self.usage = Usage()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass on and count."""
        body = b"".join(self.app(environ, start_response))
        kind, spent = estimate(
            self.version,
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("QUERY_STRING", ""),
            body,
        )
        length = int(environ.get("CONTENT_LENGTH") or 0)
        with self._lock:
            self.usage.count(kind, bytes_in=length, bytes_out=len(body), server_ms=spent)
        return [body]


class Serving:
    """A running server. ``url`` is its base URL; ``close`` ends it and waits for its threads."""

    def __init__(self, app: WSGIApplication, host: str, port: int, threads: int) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the simulator runs on loopback only, not on {host!r}")
        self._server = CherootServer((host, port), app, numthreads=threads, server_name="simulator", timeout=10)
        self._server.prepare()
        bound = self._server.bind_addr
        assert isinstance(bound, tuple)
        self.port: int = bound[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve, name="simulator", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.stop()
        self._thread.join(timeout=10)


@contextmanager
def serve(app: WSGIApplication, host: str = "127.0.0.1", port: int = 0, *, threads: int = 4) -> Iterator[Serving]:
    """Serve on loopback until the block ends; port 0 takes a free one."""
    serving = Serving(app, host, port, threads)
    try:
        yield serving
    finally:
        serving.close()

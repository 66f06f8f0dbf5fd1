"""Serves the application from a thread of this process, and stops without leaving anybody in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cheroot import wsgi
from flask import Flask

from bridge.errors import ConfigError
from bridge.web.webhook import LARGEST

THREADS = 4
"""Pages are read from a local store in milliseconds; more threads would only hold more memory."""

TIMEOUT = 10
"""Seconds that a silent connection may hold a thread."""

HEADERS = 64 * 1024
"""Bytes of request line and headers together."""


@contextmanager
def serving(app: Flask, host: str, port: int) -> Iterator[str]:
    """The application's address while it is served. Port 0 takes a free one.

    Raises ConfigError when the address is taken or not this machine's.
    """
    server = wsgi.Server(
        (host, port), app, numthreads=THREADS, server_name="bridge", timeout=TIMEOUT, shutdown_timeout=1
    )
    server.max_request_body_size = LARGEST
    server.max_request_header_size = HEADERS
    try:
        server.prepare()
    except OSError as error:
        cause = error.__cause__  # cheroot's own error only says that no socket could be made
        reason = (cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)).lower()
        raise ConfigError(
            f"web: {host} port {port} cannot be opened ({reason}): "
            "choose another with BRIDGE_WEB__HOST and BRIDGE_WEB__PORT"
        ) from None
    thread = threading.Thread(target=server.serve, name="web", daemon=True)
    thread.start()
    bound_host, bound_port = server.bind_addr[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    try:
        yield f"http://{shown}:{bound_port}"
    finally:
        server.stop()
        thread.join(timeout=TIMEOUT)

"""Log lines on standard error: for people on a terminal, JSON everywhere else, with every secret struck out.

Libraries' lines go the same way. A cycle is one line; what happened in it is in the ledger.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

STRUCK = "***"
_SECRET_NAMES = re.compile(r"authorization|cookie|password|secret|token|api_?key", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?i)\b(basic|bearer)\s+[\w.~+/=-]{8,}|\bopapi-[0-9a-f]+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
"""An Authorization header, OpenProject's own tokens (contract §1.2), user and password in a URL."""

_QUIET = ("alembic", "apscheduler", "asyncio", "authlib", "cheroot", "procrastinate", "psycopg", "urllib3")
"""Libraries that talk about their everyday life at INFO, or of secrets at DEBUG; heard from WARNING on."""


def set_up(level: str, *, as_json: bool, stream: TextIO, secrets: Iterable[str] = ()) -> None:
    """Send all logging of this process to ``stream``. ``secrets`` are struck out wherever they appear."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # as text, so that secrets in it are struck out too
    ]
    last: Processor
    if as_json:
        last = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    else:
        last = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    strike = _Strike(secrets)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, strike, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # tests set logging up again
    )


class _Strike:
    """Takes secrets out of a log line, by the name they stand under and by what they are."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first: one secret may be part of another. Very short ones would strike out ordinary words.
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        return {key: STRUCK if _SECRET_NAMES.search(key) else self._clean(value) for key, value in event.items()}

    def _clean(self, value: object) -> object:
        match value:
            case str():
                text = _CREDENTIALS.sub(STRUCK, value)
                return self._known.sub(STRUCK, text) if self._known else text
            case dict():
                return {
                    key: STRUCK if _SECRET_NAMES.search(str(key)) else self._clean(inner)
                    for key, inner in value.items()
                }
            case list() | tuple():
                return [self._clean(inner) for inner in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return self._clean(str(value))

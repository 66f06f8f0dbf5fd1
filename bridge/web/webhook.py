"""OpenProject's webhook: a hint where to look, and never a source of truth (contract §10, A.8).

Only the number of the work package is read, and nothing of the payload is kept: it is rendered for the system account
and may hold what the bridge's account must not see. A repeated delivery makes the bridge look once more, no more.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import orjson
from flask import Blueprint, Response, request
from prometheus_client import Counter

from bridge.domain.model import WorkPackageId
from bridge.web.site import Site

LARGEST = 1024 * 1024
"""Bytes; a ticket's payload has some 40 KB."""

HEADER = "X-OP-Signature"


def signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Whether OpenProject's signature fits the raw body. Takes the same time whatever is wrong."""
    expected = "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()  # OpenProject's choice
    return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))


def work_package(body: bytes) -> WorkPackageId | None:
    """The ticket that a payload is about; None when it is about something else, or is no payload."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    found = _at(told, "work_package", "id")
    if found is None:  # a comment event holds the activity, with its ticket inside
        found = _at(told, "activity", "_embedded", "workPackage", "id")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 2**31:
        return None
    return WorkPackageId(found)


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def blueprint(site: Site, deliveries: Counter) -> Blueprint:
    """``POST /webhook``. Without a secret or a daemon there is no such address."""
    pages = Blueprint("webhook", __name__)
    secret, hint = site.doors.webhook_secret, site.actions.hint

    @pages.post("/webhook")
    def receive() -> Response:
        if not secret or hint is None:
            return Response(status=404)
        if request.content_length is not None and request.content_length > LARGEST:
            deliveries.labels("refused").inc()
            return Response(status=413)
        body = request.get_data(cache=False, parse_form_data=False)  # cut off by MAX_CONTENT_LENGTH
        if not signed(body, request.headers.get(HEADER, ""), secret):
            deliveries.labels("refused").inc()
            return Response(status=403)
        about = work_package(body)
        if about is None:
            deliveries.labels("ignored").inc()
        else:
            deliveries.labels("accepted").inc()
            hint(about)
        return Response(status=204)

    return pages

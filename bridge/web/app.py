"""Puts the web application together: the gate, the headers, the probes, the webhook and the pages."""

from __future__ import annotations

from flask import Flask, Response, request
from prometheus_client import Counter
from secure import (
    CacheControl,
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    CrossOriginResourcePolicy,
    ReferrerPolicy,
    Secure,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)

from bridge.web import pages, probes, webhook
from bridge.web.access import Doorkeeper, Sessions, guard
from bridge.web.site import Site

CODES = ("2xx", "3xx", "4xx", "5xx")
DELIVERIES = ("accepted", "ignored", "refused")


def create_app(site: Site) -> Flask:
    """The WSGI application of one site."""
    app = Flask("bridge.web")
    app.config.update(MAX_CONTENT_LENGTH=webhook.LARGEST, MAX_FORM_MEMORY_SIZE=64 * 1024)
    keeper, sessions = Doorkeeper(site.doors, site.now), Sessions(site.now)
    guard(app, site.doors, keeper, sessions)
    requests = Counter("bridge_web_requests", "Answers of the web server.", ["code"], registry=None)
    deliveries = Counter("bridge_webhooks", "Webhooks, by what came of them.", ["result"], registry=None)
    for code in CODES:
        requests.labels(code)
    for result in DELIVERIES:
        deliveries.labels(result)
    app.register_blueprint(probes.blueprint(site, requests, deliveries))
    app.register_blueprint(webhook.blueprint(site, deliveries))
    pages.register(app, site, keeper, sessions)
    if site.doors.provider is not None:
        from bridge.web import oidc  # noqa: PLC0415 - an extra

        app.register_blueprint(oidc.blueprint(site, site.doors.provider, keeper, sessions))
    plain, encrypted = _headers(encrypted=False), _headers(encrypted=True)

    @app.after_request
    def _finish(response: Response) -> Response:
        requests.labels(f"{response.status_code // 100}xx").inc()
        for name, value in (encrypted if request.is_secure else plain).items():
            response.headers.setdefault(name, value)
        return response

    return app


def _headers(*, encrypted: bool) -> dict[str, str]:
    """No script, nothing from elsewhere, in nobody's frame, kept in no cache."""
    policy = (
        ContentSecurityPolicy()
        .default_src("'none'")
        .style_src("'self'")
        .img_src("'self'", "data:")
        .form_action("'self'")
        .base_uri("'none'")
        .frame_ancestors("'none'")
    )
    made = Secure(
        csp=policy,
        cache=CacheControl().no_store(),
        coop=CrossOriginOpenerPolicy().same_origin(),
        corp=CrossOriginResourcePolicy().same_origin(),
        referrer=ReferrerPolicy().same_origin(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        # A year. Only where the connection is encrypted already: else it would lock people out.
        hsts=StrictTransportSecurity().max_age(31536000) if encrypted else None,
    )
    return dict(made.header_items())

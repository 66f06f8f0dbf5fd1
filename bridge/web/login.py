"""The login page, logging out, and the choice of language."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from bridge.reports.language import LANGUAGES
from bridge.web.access import Doorkeeper, Sessions, proxy_user, safe_next
from bridge.web.site import Site


def blueprint(site: Site, keeper: Doorkeeper, sessions: Sessions) -> Blueprint:
    """``/login``, ``/logout`` and ``/language``."""
    pages = Blueprint("login", __name__)

    @pages.get("/login")
    def form() -> AnyResponse | str:
        if g.user is not None:
            return redirect(safe_next(request.args.get("next", "/")), 303)
        return render_template("login.html", next=request.args.get("next", "/"), name="", problem="")

    @pages.post("/login")
    def enter() -> AnyResponse | tuple[str, int, dict[str, str]]:
        name, password = request.form.get("name", "").strip(), request.form.get("password", "")
        there, address = safe_next(request.form.get("next", "/")), request.remote_addr or ""
        if wait := keeper.wait(address):
            page = render_template("login.html", next=there, name=name, problem="wait", minutes=-(-wait // 60))
            return page, 429, {"Retry-After": str(wait)}
        if not keeper.admits(name, password, address):
            return render_template("login.html", next=there, name=name, problem="wrong"), 401, {}
        sessions.begin(name)
        if site.actions.record_login is not None:
            site.actions.record_login(name, address)
        return redirect(there, 303)

    @pages.post("/logout")
    def leave() -> AnyResponse:
        sessions.end()
        return redirect(url_for("login.form"), 303)

    @pages.post("/language")
    def language() -> AnyResponse:
        chosen = request.form.get("language", "")
        if chosen in LANGUAGES:
            session["language"] = chosen
        return redirect(safe_next(request.form.get("next", "/")), 303)

    @pages.app_context_processor
    def _doors() -> dict[str, object]:
        provider = site.doors.provider
        return {
            # Whoever a proxy signed in cannot sign out here.
            "by_proxy": proxy_user(request, site.doors) is not None,
            "provider_name": urlsplit(provider.issuer).hostname if provider is not None else "",
        }

    return pages

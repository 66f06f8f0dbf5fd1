"""The dashboard's own texts in French and English; dates and numbers as in reports."""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from flask import request, session

from bridge.reports import language as reports
from bridge.reports.language import LANGUAGES, Language

LOCALES = Path(__file__).parent / "locales"
DOMAIN = "web"
NAMES = {"fr": "Français", "en": "English"}


@dataclass(frozen=True, slots=True)
class Voice:
    """One language: the pages' own texts, and those of the reports, which may say the same word of another thing."""

    pages: Language
    reports: Language


def voices(zone: ZoneInfo) -> dict[str, Voice]:
    """Each language of the dashboard, by code."""
    return {code: _voice(code, zone) for code in LANGUAGES}


def _voice(code: str, zone: ZoneInfo) -> Voice:
    if code == "en":
        english = reports.language(code, zone)
        return Voice(english, english)
    own, told = gettext.translation(DOMAIN, LOCALES, [code]), _told(code)
    locale = Locale(code)
    return Voice(
        Language(code, zone, locale, own.gettext, own.ngettext),
        Language(code, zone, locale, told.gettext, told.ngettext),
    )


def _told(code: str) -> gettext.NullTranslations:
    # What reports have no words for they say in English; their own tests see to it that there is nothing.
    return gettext.translation(reports.DOMAIN, reports.LOCALES, [code], fallback=True)


def wanted(default: str) -> str:
    """The language this reader chose, else the browser's, else the site's."""
    chosen = session.get("language")
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(LANGUAGES, default) or default

"""French and English: texts by gettext, dates and numbers by CLDR, and the spaces that typography asks for."""

from __future__ import annotations

import datetime as dt
import gettext
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, parse_pattern

from bridge.errors import ConfigError

LOCALES = Path(__file__).parent / "locales"
DOMAIN = "reports"
LANGUAGES = ("fr", "en")
"""The language of the source texts is English."""

NO_BREAK = "\N{NO-BREAK SPACE}"
NARROW_NO_BREAK = "\N{NARROW NO-BREAK SPACE}"
_TIME = {"fr": "%d/%m/%Y %H:%M", "en": "%Y-%m-%d %H:%M"}
_DATE = {"fr": "%d/%m/%Y", "en": "%Y-%m-%d"}
_LOCALES = {"fr": "fr_FR", "en": "en_GB"}
_SHORT_DATE = {"fr": "%d/%m", "en": "%d %b"}
_NUMBER = parse_pattern("#,##0.#")
_UNITS = {"fr": ("j", "h", "min", "s"), "en": ("d", "h", "min", "s")}


@dataclass(frozen=True, slots=True)
class Language:
    """How a report speaks to its reader. Times are shown in ``zone``."""

    code: str
    zone: ZoneInfo
    locale: Locale
    _translate: Callable[[str], str]
    _translate_plural: Callable[[str, str, int], str]

    def text(self, message: str, /, **values: object) -> str:
        """A message in this language, its ``{names}`` filled in."""
        text = self._translate(message)
        return text.format(**values) if values else text

    def plural(self, one: str, many: str, count: int, /, **values: object) -> str:
        """A message that depends on a count, which it may show as ``{count}``."""
        return self._translate_plural(one, many, count).format(count=self.number(count), **values)

    def number(self, value: float) -> str:
        """With the separators of the language, at most one digit after the decimal."""
        if isinstance(value, int) and 0 <= value < 1000:
            return str(value)  # most are so: a page has thousands, and CLDR takes its time
        return format_decimal(value, _NUMBER, locale=self.locale)

    def share(self, value: float) -> str:
        """A percentage with one digit after the decimal. Never 0 % for some, and never 100 % for not all."""
        percent = value * 100
        bound = ""
        if 0 < percent < 0.1:
            bound, percent = "<" + NO_BREAK, 0.1
        elif 99.9 < percent < 100:
            bound, percent = ">" + NO_BREAK, 99.9
        return f"{bound}{self.number(percent)}{NO_BREAK if self.code == 'fr' else ''}%"

    @property
    def colon(self) -> str:
        """Between a name and its value."""
        return f"{NO_BREAK}: " if self.code == "fr" else ": "

    @property
    def semicolon(self) -> str:
        """Between the parts of a list whose parts hold commas."""
        return f"{NARROW_NO_BREAK}; " if self.code == "fr" else "; "

    def time(self, at: dt.datetime) -> str:
        """A moment, for tables."""
        return at.astimezone(self.zone).strftime(_TIME[self.code])

    def date(self, day: dt.date) -> str:
        """A day, for tables."""
        return day.strftime(_DATE[self.code])

    def short_date(self, day: dt.date) -> str:
        """A day, under a chart: without its year, which the chart's period tells."""
        return day.strftime(_SHORT_DATE[self.code])

    def long_date(self, day: dt.date) -> str:
        """A day, for sentences."""
        text = format_date(day, "long", locale=self.locale)
        # CLDR does not know that the first of a month is an ordinal in French.
        return f"1er{text[1:]}" if self.code == "fr" and day.day == 1 else text

    def duration(self, span: dt.timedelta) -> str:
        """The two largest units; what is below a second is 0 s."""
        return self._units(span, 86400)

    def worktime(self, span: dt.timedelta) -> str:
        """A duration in business hours, in hours and minutes."""
        return self._units(span, None)

    def _units(self, span: dt.timedelta, day: int | None) -> str:
        seconds = int(span.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        days, seconds = divmod(seconds, day) if day else (0, seconds)
        amounts = (days, seconds // 3600, seconds // 60 % 60, seconds % 60)
        units = _UNITS[self.code]
        first = next((index for index, amount in enumerate(amounts) if amount), 3)
        shown = [first] if first == 3 or not amounts[first + 1] else [first, first + 1]
        parts = (f"{self.number(amounts[index])}{NO_BREAK}{units[index]}" for index in shown)
        return sign + NO_BREAK.join(parts)


def language(code: str, zone: ZoneInfo) -> Language:
    """A language by its code. Raises ConfigError for one that there is no translation into."""
    if code not in LANGUAGES:
        raise ConfigError(f"there are reports in {' and '.join(LANGUAGES)}, not in {code!r}")
    if code == "en":
        translations: gettext.NullTranslations = gettext.NullTranslations()
    else:
        translations = gettext.translation(DOMAIN, LOCALES, [code])
    return Language(code, zone, Locale.parse(_LOCALES[code]), translations.gettext, translations.ngettext)

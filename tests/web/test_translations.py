"""The French of the dashboard: complete, in the form that is loaded, with the spaces that typography asks for."""

from __future__ import annotations

import io
import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tests.reports.catalogue import french as reports

WEB = Path(__file__).parents[2] / "bridge/web"
PO = WEB / "locales/fr/LC_MESSAGES/web.po"
KEYWORDS = {"_": None, "text": None, "plural": (1, 2)}


def wanted() -> set[str]:
    """Every message of the code and of the templates."""
    found: set[str] = set()
    for path in (*WEB.glob("*.py"), *WEB.glob("templates/*.html")):
        method = "python" if path.suffix == ".py" else "jinja2"
        options = {"trim_blocks": "true", "lstrip_blocks": "true"}
        with path.open("rb") as file:
            for _, message, _, _ in extract(method, file, keywords=KEYWORDS, options=options):
                found.add(message if isinstance(message, str) else message[0])
    return found - {""}


def french() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def translations() -> dict[str, tuple[str, ...]]:
    pairs = ((m.id, m.string) for m in french() if m.id)
    return {i if isinstance(i, str) else i[0]: (s,) if isinstance(s, str) else tuple(s or ()) for i, s in pairs}


def test_every_message_has_its_french_and_none_is_left_over() -> None:
    found = translations()
    assert wanted() == found.keys()
    assert all(text for texts in found.values() for text in texts)


def test_the_form_that_is_loaded_is_made_from_the_one_that_is_written() -> None:
    written = io.BytesIO()
    write_mo(written, french())
    assert PO.with_suffix(".mo").read_bytes() == written.getvalue()


def test_the_dashboard_and_the_reports_on_it_call_a_thing_by_one_name() -> None:
    told = {str(m.id): m.string for m in reports() if m.id}
    # In the reports an end that may be a measure's; and moves, which are masculine, where rules are feminine here.
    apart = {"Until", "observed"}
    ours = {str(m.id): m.string for m in french() if m.id and str(m.id) not in apart}
    assert {key: ours[key] for key in ours.keys() & told.keys()} == {
        key: told[key] for key in ours.keys() & told.keys()
    }


def test_placeholders_are_kept() -> None:
    for message, texts in translations().items():
        for text in texts:
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", message)), message


def test_french_typography_has_its_spaces_and_apostrophes() -> None:
    for texts in translations().values():
        for text in texts:
            assert not re.search(r"(?<![\u00a0\u202f]):(?=\s|$)|(?<!\u202f)[;!?]", text), text
            assert "'" not in text

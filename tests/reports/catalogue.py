"""The messages of the reports, as the code has them; ``python -m tests.reports.catalogue`` updates the French.

Read from the syntax tree, which also knows what stands inside f-strings.
"""

from __future__ import annotations

import ast
import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

REPORTS = Path(__file__).parents[2] / "bridge/reports"
PO = REPORTS / "locales/fr/LC_MESSAGES/reports.po"
MO = PO.with_suffix(".mo")
ONE, MANY = ("text", "sentence"), "plural"

Message = str | tuple[str, str]


def messages() -> set[Message]:
    """Every message of the code and the templates; those with a plural as a pair."""
    found: set[Message] = set()
    for path in REPORTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= _of(node, path)
    for path in REPORTS.glob("templates/*.html"):
        with path.open("rb") as file:
            options = {"trim_blocks": "true", "lstrip_blocks": "true"}
            for _, message, _, _ in extract("jinja2", file, keywords={"text": None}, options=options):
                found.add(message if isinstance(message, str) else (message[0], message[1]))
    return found


def _of(call: ast.Call, path: Path) -> set[Message]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if name == MANY:
        assert len(texts) == 2, f"{path}:{call.lineno}: a plural whose messages cannot be read"
        return {(texts[0], texts[1])}
    return set(texts[:1]) if name in ONE else set()


def french() -> Catalog:
    """The translations as written."""
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def compiled(catalogue: Catalog) -> bytes:
    """As gettext loads them."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def main() -> None:
    known = french()
    fresh = Catalog(
        locale="fr",
        domain="reports",
        project="bridge",
        version="1",
        header_comment=known.header_comment,
        msgid_bugs_address="see SECURITY.md and CONTRIBUTING.md",
        last_translator="the maintainers",
        language_team="French",
        fuzzy=False,
    )
    for message in sorted(messages(), key=str):
        old = known.get(message[0] if isinstance(message, tuple) else message)
        fresh.add(message, old.string if old else "")
    fresh.creation_date, fresh.revision_date = known.creation_date, known.revision_date
    with PO.open("wb") as file:
        write_po(file, fresh, width=120, sort_output=True, omit_header=False)
    MO.write_bytes(compiled(fresh))
    print(*(m.id for m in fresh if m.id and not (all(m.string) if isinstance(m.string, tuple) else m.string)), sep="\n")


if __name__ == "__main__":
    main()

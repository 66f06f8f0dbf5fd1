"""Reports speak French and English completely, with the spaces and words that each asks for."""

from __future__ import annotations

import ast
import re
import string
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bridge.errors import ConfigError
from bridge.reports import reasons, titles
from bridge.reports.catalog import REPORTS
from bridge.reports.language import LANGUAGES, Language, language
from tests.reports.catalogue import MO, compiled, french, messages

PARIS = ZoneInfo("Europe/Paris")
FR, EN = language("fr", PARIS), language("en", PARIS)
BRIDGE = Path(__file__).parents[2] / "bridge"


def translations() -> dict[object, tuple[str, ...]]:
    return {m.id: (m.string,) if isinstance(m.string, str) else tuple(m.string or ()) for m in french() if m.id}


def test_every_message_has_its_french_and_no_french_is_left_over() -> None:
    told = translations()
    assert set(told) == messages()
    assert [id_ for id_, strings in told.items() if not all(strings)] == []
    assert [m.id for m in french() if m.fuzzy] == []


def test_what_is_loaded_is_what_is_written() -> None:
    assert MO.read_bytes() == compiled(french())


def test_french_fills_in_the_same_names() -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for id_, strings in translations().items():
        allowed = [names(each) for each in (id_ if isinstance(id_, tuple) else (str(id_),))]
        assert all(names(text) in allowed for text in strings), id_


def test_french_has_the_spaces_that_its_typography_asks_for() -> None:
    texts = [text for strings in translations().values() for text in strings]
    for text in texts:
        assert not re.search(r"(?<![\u00a0/h]):(?!\d)", text.replace("` :", "")), text
        assert not re.search(r"(?<!\u202f)[;!?]", text), text
        assert "'" not in text, text
        assert not re.search(r"«(?!\u00a0)|(?<!\u00a0)»", text), text
        assert "  " not in text, text


def test_every_report_is_titled_in_every_language() -> None:
    assert set(titles.titles(FR)) == set(titles.titles(EN)) == set(REPORTS)
    assert not {t.title for t in titles.titles(FR).values()} & {t.title for t in titles.titles(EN).values()}


@pytest.mark.parametrize("code", ["de", "", "FR", "../en"])
def test_a_language_that_there_is_not_is_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="fr and en"):
        language(code, PARIS)


@pytest.mark.parametrize(
    ("span", "english", "french_"),
    [
        (timedelta(0), "0 s", "0 s"),
        (timedelta(seconds=59.9), "59 s", "59 s"),
        (timedelta(minutes=3), "3 min", "3 min"),
        (timedelta(hours=2, minutes=5), "2 h 5 min", "2 h 5 min"),
        (timedelta(hours=2, seconds=30), "2 h", "2 h"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h", "3 j 4 h"),
        (timedelta(days=1234), "1,234 d", "1 234 j"),
        (-timedelta(hours=1), "-1 h", "-1 h"),
    ],
)
def test_durations_have_two_units_at_most(span: timedelta, english: str, french_: str) -> None:
    def plain(text: str) -> str:
        return re.sub(r"[\u00a0\u202f]", " ", text)

    assert plain(EN.duration(span)) == english
    assert plain(FR.duration(span)) == french_


def test_business_hours_never_become_days() -> None:
    assert FR.worktime(timedelta(days=2, minutes=30)) == "48\u00a0h\u00a030\u00a0min"


@pytest.mark.parametrize(
    ("value", "english", "french_"),
    [
        (0.0, "0%", "0 %"),
        (1.0, "100%", "100 %"),
        (0.304, "30.4%", "30,4 %"),
        (0.00001, "< 0.1%", "< 0,1 %"),
        (0.99999, "> 99.9%", "> 99,9 %"),
    ],
)
def test_a_share_is_never_nothing_of_some_nor_all_of_most(value: float, english: str, french_: str) -> None:
    assert EN.share(value).replace("\u00a0", " ") == english
    assert FR.share(value).replace("\u00a0", " ") == french_


def test_the_first_of_a_month_is_an_ordinal_in_french_alone() -> None:
    assert FR.long_date(date(2026, 11, 1)) == "1er novembre 2026"
    assert FR.long_date(date(2026, 11, 11)) == "11 novembre 2026"
    assert EN.long_date(date(2026, 11, 1)) == "1 November 2026"


def test_times_are_those_of_the_zone() -> None:
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert (FR.time(summer), EN.time(summer)) == ("02/07/2026 00:30", "2026-07-02 00:30")


@pytest.mark.parametrize("spoken", [FR, EN], ids=LANGUAGES)
def test_plurals_follow_the_language(spoken: Language) -> None:
    def moves(count: int) -> str:
        return spoken.plural("of {count} move", "of {count} moves", count)

    assert moves(0).endswith({"fr": "changement", "en": "moves"}[spoken.code])
    assert moves(1).endswith({"fr": "changement", "en": "move"}[spoken.code])
    assert moves(2).endswith({"fr": "changements", "en": "moves"}[spoken.code])


# --- What the ledger keeps in English -------------------------------------------------------------------------------

_WHY_NOT = ("guard", "breaker", "_held", "_ask_control_ticket")
"""Functions that return the reason why nothing is put back now."""
_TOLD = {"Undecided": 0, "Unknown": 0, "Standing": 1, "Gone": 1, "Allowed": 0}


def written() -> set[str]:
    """Every sentence that the program can write into the ledger as the reason of a verdict, as far as it is literal."""
    found: set[str] = set()
    for path in (*BRIDGE.glob("domain/*.py"), *BRIDGE.glob("domain/policy/*.py"), *BRIDGE.glob("engine/*.py")):
        if path.name in ("cases.py", "survey.py", "replay.py", "advice.py", "picture.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _TOLD:
                place = _TOLD[getattr(node.func, "id", "")]
                found |= _literal(node.args[place : place + 1])
                found |= _literal([k.value for k in node.keywords if k.arg in ("doubt", "reason", "note")])
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("doubt", "reason"):
                found |= _literal([node.value])
            elif isinstance(node, ast.FunctionDef) and node.name in _WHY_NOT:
                returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
                found |= _literal([each.orelse if isinstance(each, ast.IfExp) else each for each in returned])
    return found


def _literal(nodes: list[ast.expr]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.add("".join(str(v.value) if isinstance(v, ast.Constant) else "something" for v in node.values))
    return found


def test_every_reason_that_the_program_writes_is_known_to_the_translator() -> None:
    assert len(written()) > 20
    assert {text for text in written() if not _known(text)} == set()


def _known(text: str) -> bool:
    """Of a sentence that names something, as far as its words before are concerned."""
    begin = text.partition("something")[0]
    return reasons.known(text) or (begin != text and any(each.startswith(begin) for each in reasons.SENTENCES))


def test_a_reason_is_translated_with_what_it_names_and_a_strange_one_stays() -> None:
    said = reasons.translated("the ticket has no custom field 'Gravité'", FR)
    assert said == "la demande n’a pas de champ personnalisé 'Gravité'"
    assert reasons.translated("reopening; exemption night-work", FR) == "réouverture\u202f; dérogation night-work"
    assert reasons.translated("something new", FR) == "something new"
    paused = reasons.translated("paused by alice in the dashboard on 2026-11-24 16:30 UTC: why: not", FR)
    assert paused == "pause demandée par alice dans le tableau de bord le 2026-11-24 16:30 UTC\u00a0: why: not"
    limit = reasons.translated("the limit is 5 reverts in an hour; it was reached less than 1:00:00 ago", FR)
    assert limit.startswith("la limite est de 5 annulations en une heure\u202f; ")
    assert reasons.translated("reopening", EN) == "reopening"

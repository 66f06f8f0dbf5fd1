"""A policy as pictures to put on a wall: the life of a ticket, and who may go from where to where. SVG and Mermaid.

Everything shown comes from the survey, so a picture cannot say something else than the judge. SVG uses presentation
attributes alone, so that it looks the same in a browser, in a page and on paper.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from math import ceil
from xml.sax.saxutils import escape, quoteattr

from bridge.domain.model import PartyName, RuleId, StatusName
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.rules import Exemption, Party, Rule
from bridge.domain.policy.survey import Answer, Pair, Survey, ways
from bridge.domain.policy.terms import exemption_terms, mode_terms, survey_terms

COLOURS = ("#0072b2", "#bf5300", "#007a59", "#ad4f83", "#806500")
"""Okabe and Ito's, which the colour-blind can tell apart, dark enough to be read on white (4.5 to 1 and more). One a
party, and round again; no colour stands without the party's letter or name.
"""
INK, GREY, LINE, PAPER = "#1d2733", "#5b6876", "#c9d1da", "#ffffff"
FONT = "DejaVu Sans, Verdana, Arial, sans-serif"

FILL = {
    Answer.ALLOWED: "#d5efdf",
    Answer.ASKED: "#e4f3c6",
    Answer.LATER: "#d7e8f7",
    Answer.REPORTED: "#fdebc0",
    Answer.PUT_BACK: "#f8d3cc",
}
STROKE = {
    Answer.ALLOWED: "#1b7a43",
    Answer.ASKED: "#5c7a12",
    Answer.LATER: "#1f5f99",
    Answer.REPORTED: "#95640a",
    Answer.PUT_BACK: "#b3261e",
}
ICON = {
    Answer.ALLOWED: "M-7 0 L-2 5 L7 -6",
    Answer.ASKED: "M-7 -6 H7 V3 H0 L-4 7 V3 H-7 Z",
    Answer.LATER: "M-7 -6 H7 M-7 6 H7 M-6 -6 L6 6 M6 -6 L-6 6",
    Answer.REPORTED: "M0 -8 V2 M0 6 V7",
    Answer.PUT_BACK: "M-6 -6 L6 6 M6 -6 L-6 6",
}

WORDS = {
    "en": {
        "graph": "The life of a ticket",
        "matrix": "Who may move a ticket from where to where",
        "from": "from",
        "to": "to",
        "creation": "creation",
        "anywhere": "from anywhere",
        "open": "from any open status",
        "but": "from anywhere but {}",
        "these": "from {}",
        "after": "after {}",
        "only at creation": "only at creation, by",
        "nobody": "nobody enters",
        "closes": "closes the ticket",
        "is put back": "illegal moves are put back",
        "is reported": "illegal moves are reported",
        "or": " or ",
        "arrow": "solid: a step further, by that party · dashed: the way out of a closed ticket · "
        "the cards say all the rest",
        Answer.ALLOWED: "allowed",
        Answer.ASKED: "allowed if the rule's facts are there",
        Answer.LATER: "allowed later on",
        Answer.REPORTED: "reported",
        Answer.PUT_BACK: "put back",
        "rules": "The rules (the numbers in the cells)",
        "alone": "Each cell is a move by itself: the ticket has been nowhere but in the status before it.",
        "exemptions": "Exemptions",
    },
    "fr": {
        "graph": "La vie d’une demande",
        "matrix": "Qui peut faire passer une demande d’un statut à l’autre",
        "from": "de",
        "to": "vers",
        "creation": "création",
        "anywhere": "de partout",
        "open": "de tout statut ouvert",
        "but": "de partout sauf {}",
        "these": "depuis {}",
        "after": "après {}",
        "only at creation": "à la création seulement, par",
        "nobody": "personne n’y entre",
        "closes": "clôture la demande",
        "is put back": "ses écarts sont annulés",
        "is reported": "ses écarts sont signalés",
        "or": " ou ",
        "arrow": "plein\u00a0: un pas de plus, par cet acteur · tireté\u00a0: la sortie d’une demande close · "
        "les cartes disent tout le reste",
        Answer.ALLOWED: "permis",
        Answer.ASKED: "permis si la règle est satisfaite",
        Answer.LATER: "permis plus tard",
        Answer.REPORTED: "signalé",
        Answer.PUT_BACK: "annulé",
        "rules": "Les règles (les numéros dans les cases)",
        "alone": "Chaque case est un changement pris seul\u00a0: la demande n’a connu que le statut de départ.",
        "exemptions": "Dérogations",
    },
}


def matrix_svg(policy: Policy, table: Survey, language: str) -> str:
    """One table a party: rows are where a ticket is, columns where it goes; the rules below, by number."""
    words = WORDS[language]
    numbers = {rule.id: number for number, rule in enumerate(policy.rules, 1)}
    head, cell_height, gap = 190, 44, 46
    cell_width = max(104.0, 860 / len(policy.statuses))
    width = head + cell_width * len(policy.statuses) + 80
    page = _Page(width)
    page.title(policy.name, words["matrix"], survey_terms(policy, table, language))
    by_party = {
        party.name: {(p.origin, p.target): p for p in table.pairs if p.party == party.name} for party in policy.parties
    }
    for number, party in enumerate(policy.parties):
        _party_heading(page, party, number, language)
        top = page.y
        page.text(40 + head - 12, top + 34, f"{words['from']} ↓   {words['to']} →", 11, GREY, "end")
        for column, status in enumerate(policy.statuses):
            x = 40 + head + column * cell_width + cell_width / 2
            lines = _wrapped(status, int(cell_width / 7.9))
            for row, line in enumerate(lines):
                page.text(x, top + 38 - 14 * (len(lines) - 1 - row), line, 11, INK, "middle", bold=True)
        top += 48
        for row, origin in enumerate((None, *policy.statuses)):
            y = top + row * cell_height
            label = _wrapped(words["creation"] if origin is None else origin, int((head - 12) / 7.9))
            middle = y + cell_height / 2 + 4
            for place, line in enumerate(label):
                below = (place - (len(label) - 1) / 2) * 13
                style = {"bold": origin is not None, "italic": origin is None}
                page.text(40 + head - 12, middle + below, line, 11, INK, "end", **style)
            for column, target in enumerate(policy.statuses):
                x = 40 + head + column * cell_width
                _cell(page, x, y, cell_width, cell_height, by_party[party.name].get((origin, target)), numbers, words)
        page.y = top + (1 + len(policy.statuses)) * cell_height + gap
    _matrix_legend(page, words)
    _rules(page, policy.rules, numbers, language)
    _exemptions(page, policy.exemptions, language)
    return page.svg(f"{words['matrix']} – {policy.name}")


def graph_svg(policy: Policy, table: Survey, language: str) -> str:
    """Every status as a card that says who may enter it and from where; arrows for the way of a ticket."""
    words = WORDS[language]
    cards = _cards(policy, table, language)
    columns = _columns(policy, table, cards)
    links = _links(policy, table, cards)
    page = _Page()
    page.title(policy.name, words["graph"], survey_terms(policy, table, language))
    page.width, page.y = _place(columns, page.y, sum(len(link.numbers) for link in links if link.turns))
    start = cards[policy.initial]
    page.add(f'<circle cx="52" cy="{start.middle:.1f}" r="9" fill="{INK}"/>')
    page.arrow(f"M64 {start.middle:.1f} L{start.x - 3:.1f} {start.middle:.1f}", INK)
    _draw_links(page, links, cards.values())
    for card in cards.values():
        _draw_card(page, card, words)
    page.y += 58
    for number, party in enumerate(policy.parties):
        page.badge(49, page.y - 5, number)
        treatment = words["is put back" if party.reverted else "is reported"]
        page.text(66, page.y, f"{_upper(party.label[language])} – {treatment}", 14, INK)
        page.y += 26
    for line in _wrapped(words["arrow"], int(page.width / 8)):
        page.text(40, page.y + 2, line, 13, GREY)
        page.y += 19
    return page.svg(f"{words['graph']} – {policy.name}")


def graph_mermaid(policy: Policy, table: Survey, language: str) -> str:
    """The same for tools that draw Mermaid's state diagrams: the way of a ticket, and a note a status."""
    cards = _cards(policy, table, language)
    _columns(policy, table, cards)
    ids = {status: f"s{number}" for number, status in enumerate(policy.statuses)}
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{_plain(status)}" as {ids[status]}' for status in policy.statuses]
    lines.append(f"    [*] --> {ids[policy.initial]}")
    for link in _links(policy, table, cards):
        who = ", ".join(_plain(_upper(policy.party(party).label[language])) for party in link.parties)
        lines.append(f"    {ids[link.origin.status]} --> {ids[link.target.status]} : {who}")
    lines += [f"    {ids[status]} --> [*]" for status in policy.statuses if policy.is_closed(status)]
    for status, card in cards.items():
        lines.append(f"    note right of {ids[status]}")
        lines += ["        " + _plain(" ".join(run.word for run in line)) for line in card.lines]
        lines.append("    end note")
    return "\n".join(lines) + "\n"


# --- The graph ------------------------------------------------------------------------------------------------------

_CARD_WIDTH, _COLUMN_GAP, _ROW_GAP, _LINE = 300, 96, 28, 19
_NAME_SIZE, _NAME_LINE, _TEXT_SIZE = 17, 21, 13
_MOST_COLUMNS, _BAND_GAP, _LANE = 4, 56, 11
"""More columns go on below: a wall is not a ribbon, and at A3 letters stay 3 mm high."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A word of a card; a party's name has its colour."""

    word: str
    number: int | None = None

    @property
    def width(self) -> float:
        return len(self.word) * (9.0 if self.number is not None else 7.9) + 4.2


@dataclass(slots=True)
class _Card:
    status: StatusName
    closed: bool
    entering: tuple[int, ...]
    """The numbers of the parties that may enter."""
    lines: list[list[_Run]]
    column: int = 0
    band: int = 0
    x: float = 0
    y: float = 0

    @property
    def name(self) -> list[str]:
        return _wrapped(self.status, int((_CARD_WIDTH - 36) / (0.66 * _NAME_SIZE)))

    @property
    def height(self) -> float:
        return 26 + _NAME_LINE * len(self.name) + _LINE * (len(self.lines) + self.closed)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class _Link:
    origin: _Card
    target: _Card
    parties: tuple[PartyName, ...]
    numbers: tuple[int, ...]
    reopening: bool = False

    @property
    def turns(self) -> bool:
        """Whether it leads to another band of columns."""
        return self.origin.band != self.target.band


_Point = tuple[float, float]
_POSSIBLE = (Answer.ALLOWED, Answer.ASKED, Answer.LATER)


def _cards(policy: Policy, table: Survey, language: str) -> dict[StatusName, _Card]:
    words = WORDS[language]
    names = [party.label[language] for party in policy.parties]
    cards: dict[StatusName, _Card] = {}
    for status in policy.statuses:
        notes: dict[str, list[int]] = {}
        creating: list[int] = []
        for number, party in enumerate(policy.parties):
            entering = [
                p for p in table.pairs if p.party == party.name and p.target == status and p.answer in _POSSIBLE
            ]
            if any(pair.origin is not None for pair in entering):
                notes.setdefault(_entrance(policy, status, entering, words), []).append(number)
            elif entering:
                creating.append(number)
        lines: list[list[_Run]] = []
        for text, parties in notes.items():
            first, *others = _listed(parties, names)
            lines += _broken([_Run(_upper(first.word), first.number), *others, *map(_Run, text.split())])
        if not notes:
            text = words["only at creation" if creating else "nobody"]
            lines += _broken([*map(_Run, text.split()), *_listed(creating, names)])
        everybody = [number for parties in notes.values() for number in parties]
        cards[status] = _Card(status, policy.is_closed(status), tuple(dict.fromkeys(everybody)), lines)
    return cards


def _listed(parties: Sequence[int], names: Sequence[str]) -> list[_Run]:
    runs: list[_Run] = []
    for place, number in enumerate(parties):
        words = names[number].split()
        comma = "," if place < len(parties) - 1 else ""
        runs += [_Run(word + (comma if word is words[-1] else ""), number) for word in words]
    return runs


def _broken(runs: Sequence[_Run]) -> list[list[_Run]]:
    lines: list[list[_Run]] = [[]]
    for run in runs:
        if lines[-1] and sum(one.width for one in lines[-1]) + run.width > _CARD_WIDTH - 34:
            lines.append([])
        lines[-1].append(run)
    return lines


def _entrance(policy: Policy, status: StatusName, entering: Sequence[Pair], words: Mapping[str, str]) -> str:
    """From where a party may enter, in as few words as are true."""
    origins = {pair.origin for pair in entering if pair.origin is not None}
    others = [other for other in policy.statuses if other != status]
    lacking = [other for other in others if other not in origins]
    still_open = [other for other in others if not policy.is_closed(other)]
    if not lacking:
        text = words["anywhere"]
    elif origins == set(still_open):
        text = words["open"]
    elif len(lacking) <= 2 and len(lacking) < len(origins):
        text = words["but"].format(words["or"].join(lacking))
    else:
        text = words["these"].format(words["or"].join(other for other in others if other in origins))
    first = sorted({needed for pair in entering for needed in pair.after}, key=policy.statuses.index)
    if first:
        text += ", " + words["after"].format(words["or"].join(first))
    return text


def _columns(policy: Policy, table: Survey, cards: Mapping[StatusName, _Card]) -> list[list[_Card]]:
    """Cards by how many moves it takes to get there from the initial status; what cannot be reached comes last."""
    found = ways(policy, policy.initial, project=table.project, type=table.type, at=table.at)
    distance = {status: len(found.get(status, ())) for status in policy.statuses}
    last = max(distance.values()) + 1
    by_distance: dict[int, list[_Card]] = {0: [cards[policy.initial]]}
    for status in policy.statuses:
        if status != policy.initial:
            by_distance.setdefault(distance[status] or last, []).append(cards[status])
    columns = [by_distance[key] for key in sorted(by_distance)]
    bands = ceil(len(columns) / _MOST_COLUMNS)
    for number, column in enumerate(columns):
        for card in column:
            card.column, card.band = number, number // ceil(len(columns) / bands)
    return columns


def _place(columns: Sequence[Sequence[_Card]], top: float, turning: int) -> tuple[float, float]:
    """Give each card its place, and return how wide the page is and where the cards end."""
    right = bottom = 0.0
    for band in range(columns[-1][0].band + 1):
        here = [column for column in columns if column[0].band == band]
        heights = [sum(card.height for card in column) + _ROW_GAP * (len(column) - 1) for column in here]
        for place, (column, height) in enumerate(zip(here, heights, strict=True)):
            y = top + (max(heights) - height) / 2
            for card in column:
                card.x, card.y = 100 + place * (_CARD_WIDTH + _COLUMN_GAP), y
                y += card.height + _ROW_GAP
        right = max(right, here[-1][0].x + _CARD_WIDTH + 84)
        bottom = top + max(heights)
        top = bottom + _BAND_GAP + turning * _LANE
    return right, bottom


def _links(policy: Policy, table: Survey, cards: Mapping[StatusName, _Card]) -> list[_Link]:
    """One move further on from each status, and the ways out of closed ones where a party has but one or two."""
    number_of = {party.name: number for number, party in enumerate(policy.parties)}
    moves = [pair for pair in table.pairs if pair.answer in _POSSIBLE and pair.origin is not None]
    exits: dict[tuple[PartyName, StatusName | None], int] = {}
    for pair in moves:
        exits[pair.party, pair.origin] = exits.get((pair.party, pair.origin), 0) + 1
    now = [
        pair
        for pair in moves
        if pair.answer is not Answer.LATER and cards[pair.origin or policy.initial].column < cards[pair.target].column
    ]
    reached_from_closed_alone = {pair.target for pair in now} - {
        pair.target for pair in now if pair.origin is not None and not policy.is_closed(pair.origin)
    }
    found: dict[tuple[StatusName, StatusName, bool], list[PartyName]] = {}
    for pair in moves:
        assert pair.origin is not None
        step = cards[pair.target].column - cards[pair.origin].column
        leaves_closed = policy.is_closed(pair.origin)
        only_from_closed = pair.target in reached_from_closed_alone
        if step == 1 and pair.answer is not Answer.LATER and (not leaves_closed or only_from_closed):
            found.setdefault((pair.origin, pair.target, False), []).append(pair.party)
        elif leaves_closed and step != 1 and exits[pair.party, pair.origin] <= 2:
            found.setdefault((pair.origin, pair.target, True), []).append(pair.party)
    return [
        _Link(cards[origin], cards[target], tuple(parties), tuple(number_of[party] for party in parties), reopening)
        for (origin, target, reopening), parties in found.items()
    ]


def _draw_links(page: _Page, links: Sequence[_Link], cards: Collection[_Card]) -> None:
    """Arrows that leave or reach one card are spread over its side, in the order of where they come from or go."""
    leaving: dict[StatusName, list[tuple[float, int, int]]] = {}
    reaching: dict[StatusName, list[tuple[float, int, int]]] = {}
    for index, link in enumerate(links):
        for number in link.numbers:
            leaving.setdefault(link.origin.status, []).append((link.target.middle, index, number))
            reaching.setdefault(link.target.status, []).append((link.origin.middle, index, number))

    def port(card: _Card, side: dict[StatusName, list[tuple[float, int, int]]], index: int, number: int) -> float:
        ports = [(i, n) for _, i, n in sorted(side[card.status])]
        spread = min(19.0, (card.height - 20) / max(1, len(ports) - 1))
        return card.middle + (ports.index((index, number)) - (len(ports) - 1) / 2) * spread

    turning: list[tuple[float, float, _Link, int]] = []
    for index, link in enumerate(links):
        for number in link.numbers:
            y1, y2 = port(link.origin, leaving, index, number), port(link.target, reaching, index, number)
            if link.turns:
                turning.append((y1, y2, link, number))
            else:
                curve = _curve(link, y1, y2)
                path = "M{:.1f} {:.1f} C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}".format(*chain(*curve))
                page.arrow(path, _colour(number), dashed=link.reopening)
                page.badge(*_on_curve(0.76, *curve), number)
    turning.sort(key=lambda one: one[:2])
    spread = min(_LANE, 60 / max(1, len(turning)))
    for place, (y1, y2, link, number) in enumerate(turning):
        lane = spread * (len(turning) - 1 - place)  # the upper ones go around the lower ones
        band = [card for card in cards if card.band == link.origin.band]
        below = max(card.y + card.height for card in band) + 24 + lane
        run = below if link.target.band > link.origin.band else min(card.y for card in band) - 24 - lane
        x1, x2 = link.origin.x + _CARD_WIDTH, link.target.x - 3
        right, left = x1 + 20 + lane, x2 - 24 - spread * place
        corners = ((x1, y1), (right, y1), (right, run), (left, run), (left, y2), (x2, y2))
        page.arrow(_rounded(corners), _colour(number), dashed=link.reopening)
        page.badge((left + right) / 2 + 26 * place, run, number)


def _curve(link: _Link, y1: float, y2: float) -> tuple[_Point, _Point, _Point, _Point]:
    """Start, two points that bend it, and end of an arrow within a band."""
    x1, x2 = link.origin.x + _CARD_WIDTH, link.target.x - 3
    bend = (x1 + x2) / 2
    if link.target.x == link.origin.x:
        x2, bend = link.target.x + _CARD_WIDTH + 3, x1 + 56
    elif link.target.x < link.origin.x:
        x1, x2 = link.origin.x, link.target.x + _CARD_WIDTH + 3
        bend = (x1 + x2) / 2
    return (x1, y1), (bend, y1), (bend, y2), (x2, y2)


def _on_curve(t: float, *points: _Point) -> _Point:
    """A point of a Bézier curve; ``t`` goes from 0 at its start to 1 at its end."""
    while len(points) > 1:
        points = tuple((x + t * (x2 - x), y + t * (y2 - y)) for (x, y), (x2, y2) in pairwise(points))
    return points[0]


def _rounded(corners: Sequence[_Point], radius: float = 10) -> str:
    """A path from corner to corner, upright or level, that goes around each in a curve."""
    path = "M{:.1f} {:.1f}".format(*corners[0])
    for before, here, after in zip(corners, corners[1:], corners[2:], strict=False):
        path += " L{:.1f} {:.1f} Q{:.1f} {:.1f} {:.1f} {:.1f}".format(
            *_towards(here, before, radius), *here, *_towards(here, after, radius)
        )
    return path + " L{:.1f} {:.1f}".format(*corners[-1])


def _towards(here: _Point, there: _Point, distance: float) -> _Point:
    """A point at most that far on the way, and at most half of it."""
    length = abs(there[0] - here[0]) + abs(there[1] - here[1])
    return _on_curve(min(0.5, distance / length) if length else 0, here, there)


def _draw_card(page: _Page, card: _Card, words: Mapping[str, str]) -> None:
    page.rect(card.x, card.y, _CARD_WIDTH, card.height, PAPER, stroke=INK if card.closed else LINE, radius=8)
    if card.closed:
        page.rect(card.x + 3, card.y + 3, _CARD_WIDTH - 6, card.height - 6, "none", stroke=INK, radius=6)
    colours = card.entering or (-1,)
    stripe = (card.height - 16) / len(colours)
    for row, number in enumerate(colours):
        page.rect(card.x + 8, card.y + 8 + row * stripe, 6, stripe, _colour(number))
    y = card.y + 29
    for part in card.name:
        page.text(card.x + 24, y, part, _NAME_SIZE, INK, bold=True)
        y += _NAME_LINE
    y += 1
    for line in card.lines:
        words_of_line = " ".join(
            escape(run.word)
            if run.number is None
            else f'<tspan fill="{_colour(run.number)}" font-weight="bold">{escape(run.word)}</tspan>'
            for run in line
        )
        page.add(
            f'<text x="{card.x + 24:.1f}" y="{y:.1f}" font-size="{_TEXT_SIZE}" fill="{GREY}">{words_of_line}</text>'
        )
        y += _LINE
    if card.closed:
        page.text(card.x + 24, y, words["closes"], _TEXT_SIZE, INK, italic=True)


# --- The matrix -----------------------------------------------------------------------------------------------------


def _party_heading(page: _Page, party: Party, number: int, language: str) -> None:
    page.badge(50, page.y - 5, number, 11)
    treatment = WORDS[language]["is put back" if party.reverted else "is reported"]
    page.add(
        f'<text x="70" y="{page.y + 1:.1f}" font-size="18" font-weight="bold" fill="{INK}">'
        f"{escape(_upper(party.label[language]))}"
        f'<tspan dx="14" font-size="12" font-weight="normal" fill="{GREY}">{escape(treatment)}</tspan></text>'
    )
    page.y += 14


def _cell(
    page: _Page,
    x: float,
    y: float,
    width: float,
    height: float,
    pair: Pair | None,
    numbers: dict[RuleId, int],
    words: Mapping[str, str],
) -> None:
    if pair is None:
        page.rect(x + 1.5, y + 1.5, width - 3, height - 3, "#eef1f4", radius=4)
        return
    told = ", ".join(map(str, sorted(numbers[rule] for rule in (*pair.objecting, *pair.asking))))
    lines = _wrapped(told, int((width - 50) / 7.4))
    title = f"{pair.origin or words['creation']} → {pair.target}: {words[pair.answer]} {told}".strip()
    page.add(f"<g><title>{escape(title)}</title>")
    page.rect(x + 1.5, y + 1.5, width - 3, height - 3, FILL[pair.answer], radius=4)
    page.icon(x + (width / 2 if not told else 26), y + height / 2, pair.answer)
    for row, line in enumerate(lines if told else ()):
        below = (row - (len(lines) - 1) / 2) * 14
        page.text(x + 44, y + height / 2 + 4 + below, line, 12, STROKE[pair.answer], bold=True)
    page.add("</g>")


def _matrix_legend(page: _Page, words: Mapping[str, str]) -> None:
    x: float = 40
    for answer in Answer:
        needed = 42 + 7.4 * len(words[answer]) + 28
        if x + needed > page.width:
            x, page.y = 40, page.y + 36
        page.rect(x, page.y - 18, 34, 26, FILL[answer], radius=4)
        page.icon(x + 17, page.y - 5, answer)
        page.text(x + 42, page.y, words[answer], 12, INK)
        x += needed
    page.text(40, page.y + 28, words["alone"], 12, GREY)
    page.y += 66


def _rules(page: _Page, rules: Iterable[Rule], numbers: dict[RuleId, int], language: str) -> None:
    page.text(40, page.y, WORDS[language]["rules"], 15, INK, bold=True)
    page.y += 26
    for rule in rules:
        page.text(64, page.y, str(numbers[rule.id]), 12, INK, "end", bold=True)
        _paragraph(page, 76, f"{rule.sentence[language]}  ({mode_terms(rule, language)})")


def _exemptions(page: _Page, exemptions: Sequence[Exemption], language: str) -> None:
    if not exemptions:
        return
    page.y += 18
    page.text(40, page.y, WORDS[language]["exemptions"], 15, INK, bold=True)
    page.y += 26
    for one in exemptions:
        page.text(64, page.y, "–", 12, INK, "end", bold=True)
        _paragraph(page, 76, exemption_terms(one, language))


def _paragraph(page: _Page, x: float, text: str) -> None:
    for line in _wrapped(text, int((page.width - x - 40) / 7)):
        page.text(x, page.y, line, 12, INK)
        page.y += 17
    page.y += 4


# --- SVG ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Page:
    width: float = 0
    y: float = 0
    parts: list[str] = field(default_factory=list)
    heads: set[str] = field(default_factory=set)

    def title(self, name: str, title: str, terms: str) -> None:
        self.text(40, 56, title, 28, INK, bold=True)
        self.text(40, 82, f"{name} – {terms}", 14, GREY)
        self.y = 128

    def add(self, part: str) -> None:
        self.parts.append(part)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str,
        anchor: str = "start",
        *,
        bold: bool = False,
        italic: bool = False,
    ) -> None:
        style = (' font-weight="bold"' if bold else "") + (' font-style="italic"' if italic else "")
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{where}{style}>{escape(text)}</text>')

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str, *, stroke: str = "", radius: float = 0
    ) -> None:
        line = f' stroke="{stroke}" stroke-width="1.5"' if stroke else ""
        where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self.add(f'<rect {where} rx="{radius}" fill="{fill}"{line}/>')

    def icon(self, x: float, y: float, answer: Answer) -> None:
        self.add(
            f'<path transform="translate({x:.1f} {y:.1f})" d="{ICON[answer]}" fill="none" stroke="{STROKE[answer]}" '
            'stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/>'
        )

    def badge(self, x: float, y: float, number: int, radius: float = 9) -> None:
        """A party's letter on its colour: as large as its place allows, and readable without the colour."""
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{_colour(number)}" stroke="{PAPER}"/>')
        self.text(x, y + 0.4 * radius, _letter(number), 1.25 * radius, PAPER, "middle", bold=True)

    def arrow(self, path: str, colour: str, *, dashed: bool = False) -> None:
        self.heads.add(colour)
        dash = ' stroke-dasharray="7 5"' if dashed else ""
        self.add(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.4"{dash} '
            f'marker-end="url(#head-{colour[1:]})"/>'
        )

    def svg(self, label: str) -> str:
        markers = "".join(
            f'<marker id="head-{colour[1:]}" viewBox="0 0 10 10" refX="9" refY="5" '
            'markerWidth="5.5" markerHeight="5.5" orient="auto">'
            f'<path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
            for colour in sorted(self.heads)
        )
        height = self.y + 24
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={quoteattr(label)} '
            f'viewBox="0 0 {self.width:.0f} {height:.0f}" width="{self.width:.0f}" height="{height:.0f}" '
            f'font-family="{FONT}">\n<title>{escape(label)}</title>\n<defs>{markers}</defs>\n'
            f'<rect width="100%" height="100%" fill="#f6f8fa"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)] if number >= 0 else "#9aa5b1"


def _letter(number: int) -> str:
    return chr(ord("A") + number % 26)


def _upper(label: str) -> str:
    return label[:1].upper() + label[1:]


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in filter(None, text.split(" ")):  # not at spaces that do not break
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


_TO_MERMAID = str.maketrans({'"': "'", ":": " ", ";": ",", "#": "", "<": "‹", ">": "›"})


def _plain(text: str) -> str:
    """Without what means something to Mermaid."""
    return text.translate(_TO_MERMAID).replace("%%", "%")

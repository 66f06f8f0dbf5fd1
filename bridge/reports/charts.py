"""Charts as SVG for a page: drawn by pygal, then stripped of its script, styles and tooltips.

Colours are presentation attributes, which a page's style sheet overrides (dark mode) and a PDF takes as they are. What
a chart shows also stands under it as a table, so the picture itself is one image with a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from math import ceil
from xml.etree import ElementTree

from bridge.reports.cells import clipped
from bridge.reports.language import Language
from bridge.reports.values import Chart, Kind, Series, Shape

WIDTH, HEIGHT = 920, 220
ROW = 26
"""Height of a horizontal bar."""
MOST_LABELS = 16
"""Labels that fit along the axis; of more, only some are written."""
LABEL = 28
"""Characters of a label that are written."""
MOST_TICKS = 6
"""Steps between the lines of an axis of counts."""

COLOURS = ("#1f6ea8", "#c8741f", "#35835f", "#7d57a3", "#b0434c", "#66727f", "#a98a1c", "#2f8f95")
"""In the light page and on paper; the style sheet has the dark ones. Lightness and hue set neighbours apart."""
INK, GRID = "#5b6672", "#d6dbe0"

_DECIMALS = re.compile(r"-?\d+\.\d+")


def svg(chart: Chart, language: Language) -> str:
    """The chart as an ``svg`` element. Empty when there is nothing to draw."""
    if not chart.labels or not chart.series:
        return ""
    drawn = _draw(chart, lambda value: value_text(value, chart.kind, language))
    _strip(drawn)
    _colour(drawn, chart)
    height = HEIGHT if chart.shape is not Shape.BARS else _bars_height(chart)
    drawn.attrib = {
        "viewBox": f"0 0 {WIDTH} {height}",
        "role": "img",
        "aria-label": chart.title,
        "class": f"chart {chart.shape.value}",
        "font-family": "sans-serif",
        "font-size": "11",
    }
    text = ElementTree.tostring(drawn, encoding="unicode")
    return _DECIMALS.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), text)


def value_text(value: float | None, kind: Kind, language: Language) -> str:
    """One value of a chart as it stands in the table under it."""
    if value is None:
        return "\N{EM DASH}"
    if kind is Kind.SHARE:
        return language.share(value)
    number = language.number(value)
    return f"{number}\N{NO-BREAK SPACE}h" if kind in (Kind.DURATION, Kind.WORKTIME) else number


def _bars_height(chart: Chart) -> int:
    return ROW * len(chart.labels) * len(chart.series) + 44


def _draw(chart: Chart, form: Callable[[float], str]) -> ElementTree.Element:
    import pygal  # noqa: PLC0415 - an eighth of a second that only charts need
    from pygal.style import Style  # noqa: PLC0415

    kinds = {
        Shape.BARS: pygal.HorizontalBar,
        Shape.COLUMNS: pygal.StackedBar,
        Shape.AREAS: pygal.StackedLine,
        Shape.LINES: pygal.Line,
    }
    upwards = -1 if chart.shape is Shape.BARS else 1  # pygal begins at the bottom; people read from the top
    labels = [clipped(label, LABEL) for label in chart.labels][::upwards]
    every = -(-len(labels) // MOST_LABELS)
    options: dict[str, object] = {
        "width": WIDTH,
        "height": HEIGHT if chart.shape is not Shape.BARS else _bars_height(chart),
        "show_legend": False,
        "js": (),
        "margin": 8,
        "margin_right": 34,  # half of the last label
        "style": Style(label_font_size=12, major_label_font_size=12),  # what room is left for labels
        "spacing": 6,
        "value_formatter": form,
        "x_labels": labels,
        "x_labels_major_every": every,
        "show_minor_x_labels": every == 1,
        "include_x_axis": True,
        "max_scale": 6,
        "truncate_label": -1,
        "no_data_text": "",
        "allow_interruptions": True,
    }
    if chart.kind is Kind.COUNT:
        options["y_labels"] = _whole(chart)
    if chart.shape in (Shape.AREAS, Shape.LINES):
        options |= {"show_dots": chart.shape is Shape.LINES and len(labels) <= 62, "dots_size": 2}
    if chart.shape is Shape.AREAS:
        options["fill"] = True
    drawing = kinds[chart.shape](**options)
    for series in chart.series:
        drawing.add(series.name, list(series.values)[::upwards], formatter=form)
    tree: ElementTree.Element = drawing.render_tree()
    return tree


def _whole(chart: Chart) -> list[int]:
    """Where an axis of counts is labelled: at most seven whole numbers, from zero to no less than the largest value."""
    stacked = chart.shape in (Shape.COLUMNS, Shape.AREAS)
    heights = [[value or 0 for value in values] for values in zip(*(s.values for s in chart.series), strict=True)]
    top = ceil(max((sum(some) if stacked else max(some) for some in heights), default=0))
    step = next(step for step in _steps() if step * MOST_TICKS >= top)
    return list(range(0, max(top, 1) + step, step))


def _steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, and so on."""
    return (digit * 10**zeros for zeros in count() for digit in (1, 2, 5))


_KEPT = frozenset({"svg", "g", "path", "rect", "circle", "text"})
_UNWANTED = frozenset({"background", "overlay", "text-overlay", "tooltip-overlay", "titles", "legends"})


def _strip(element: ElementTree.Element) -> None:
    """Remove what acts, what is invisible, and what repeats the table under the chart."""
    for child in list(element):
        _strip(child)
        empty = (child.tag == "g" and not len(child)) or (
            child.tag == "rect" and 0 in (float(child.get("width", 1)), float(child.get("height", 1)))
        )
        if child.tag not in _KEPT or not _UNWANTED.isdisjoint(_classes(child)) or empty:
            element.remove(child)


def _classes(element: ElementTree.Element) -> list[str]:
    return (element.get("class") or "").split()


def colour_of(series: Series, place: int) -> int:
    """The number of a series' colour."""
    return (place if series.colour is None else series.colour) % len(COLOURS)


def _colour(drawn: ElementTree.Element, chart: Chart) -> None:
    """Colours as attributes, and a short class by which the page's style sheet gives another in the dark."""
    values_along = "x" if chart.shape is Shape.BARS else "y"
    for element in drawn.iter("g"):
        classes = _classes(element)
        element.attrib.pop("class", None)
        if "axis" in classes:
            _axis(element, labels="y" in classes, guides=values_along in classes)
        elif "series" in classes:
            place = next(int(name[6:]) for name in classes if name.startswith("serie-"))
            _series(element, chart.series[place], colour_of(chart.series[place], place), chart.shape)


def _axis(axis: ElementTree.Element, *, labels: bool, guides: bool) -> None:
    axis.attrib |= {"class": "ink", "fill": INK, "text-anchor": "end" if labels else "middle"}
    for guide in axis.iter("g"):
        for line in guide.findall("path"):
            if guides:
                line.attrib = {"class": "grid", "d": line.attrib["d"], "fill": "none", "stroke": GRID}
            else:
                guide.remove(line)
    for text in axis.iter("text"):
        text.attrib.pop("class", None)


def _series(group: ElementTree.Element, series: Series, number: int, shape: Shape) -> None:
    colour = COLOURS[number]
    group.attrib |= {"class": f"s{number}", "fill": colour}
    for part in group.iter():
        if part is not group:
            part.attrib = {name: part.attrib[name] for name in _GEOMETRY if name in part.attrib}
        if part.tag == "path" and shape is Shape.LINES:
            part.attrib |= {"class": f"l{number}", "fill": "none", "stroke": colour, "stroke-width": "2"}
            if series.dashed:
                part.attrib |= {"stroke-width": "1.5", "stroke-dasharray": "6 4"}


_GEOMETRY = ("d", "x", "y", "width", "height", "cx", "cy", "r", "transform")

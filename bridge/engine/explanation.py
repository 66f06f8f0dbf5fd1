"""The comment that tells a person why their move was put back, and the invisible marker to find it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from bridge.domain.model import DecisionId

_QUOTES = {"fr": "« {} »", "en": "“{}”"}  # French quotes take a no-break space inside


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the comment says; see "The explanation" in the rules. No name beyond the one who moved."""

    language: str
    person: str
    created: bool
    origin: str
    """Where the ticket stood after the illegal move."""
    to: str
    """Where it was put back to."""
    sentence: str
    parties: Sequence[str]
    alternatives: Sequence[str]
    appeal: str
    guide: str
    decision: DecisionId


def marker(what: str) -> str:
    """What a comment of the bridge is found by again: it survives in ``comment.raw`` and does not show (A.6)."""
    return f"<!-- bridge:{what} -->"


def render(explanation: Explanation) -> str:
    """The comment as Markdown, with its marker at the end."""
    language = explanation.language if explanation.language in _QUOTES else "en"
    environment = Environment(
        loader=PackageLoader("bridge.engine"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML; OpenProject sanitises what it renders
        keep_trailing_newline=False,
    )
    environment.filters["quoted"] = _QUOTES[language].format
    text = environment.get_template(f"explanation.{language}.md").render(
        person=_plain(explanation.person),
        created=explanation.created,
        **{"from": explanation.origin},
        to=explanation.to,
        sentence=explanation.sentence,
        parties=explanation.parties,
        alternatives=explanation.alternatives,
        appeal=explanation.appeal,
        guide=explanation.guide,
        decision=explanation.decision,
    )
    return f"{text.strip()}\n\n{marker(explanation.decision)}"


def _plain(name: str) -> str:
    """A person's name can neither mention, link nor format: people choose their names themselves."""
    return "".join(c for c in name if c.isalnum() or c in " -'’.,()").strip()

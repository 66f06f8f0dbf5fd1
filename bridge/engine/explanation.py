"""What the bridge writes into tickets, in the language of their readers, and the invisible marker to find it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined

from bridge.domain.model import DecisionId
from bridge.domain.policy.rules import ModeFor

_QUOTES = {"fr": "« {} »", "en": "“{}”"}  # French quotes take a no-break space inside

_DAYS = {"fr": "%d/%m/%Y", "en": "%Y-%m-%d"}


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
    exception: ModeFor | None = None
    """By which the rule is enforced here and now, where it is not always and everywhere."""
    exempted: bool = False
    """Whether an exemption covers another rule that would object as well."""


def marker(what: str) -> str:
    """What a comment of the bridge is found by again: it survives in ``comment.raw`` and does not show (A.6)."""
    return f"<!-- bridge:{what} -->"


def render(explanation: Explanation) -> str:
    """The comment as Markdown, with its marker at the end."""
    language, environment = _environment(explanation.language)
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
        exempted=explanation.exempted,
        **_where_and_when(explanation.exception, language),
    )
    return f"{text.strip()}\n\n{marker(explanation.decision)}"


def render_checkpoint(language: str, size: int, at: datetime, note: str) -> str:
    """A signed note as a comment, for whoever may one day doubt the record; with its marker."""
    language, environment = _environment(language)
    template = environment.get_template(f"checkpoint.{language}.md")
    text = template.render(size=size, day=f"{at:{_DAYS[language]}}", time=f"{at:%H:%M}", note=note.strip())
    return f"{text.strip()}\n\n{marker(f'checkpoint-{size}')}"


def _environment(language: str) -> tuple[str, Environment]:
    """The templates' language, which is English where the wanted one is not there, and its environment."""
    language = language if language in _QUOTES else "en"
    environment = Environment(
        loader=PackageLoader("bridge.engine"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML; OpenProject sanitises what it renders
        keep_trailing_newline=False,
    )
    environment.filters["quoted"] = _QUOTES[language].format
    return language, environment


def _where_and_when(exception: ModeFor | None, language: str) -> dict[str, object]:
    if exception is None:
        return {"here": False, "since": "", "until": ""}
    days = {
        "since": exception.since,
        "until": exception.until and exception.until - timedelta(days=1),
    }
    shown = {name: f"{day:{_DAYS[language]}}" if day is not None else "" for name, day in days.items()}
    return {"here": exception.projects is not None, **shown}


def _plain(name: str) -> str:
    """A person's name can neither mention, link nor format: people choose their names themselves."""
    return "".join(c for c in name if c.isalnum() or c in " -'’.,()").strip()

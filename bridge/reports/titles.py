"""What each report is called and what question it answers, without making it: for lists and menus."""

from __future__ import annotations

from typing import NamedTuple

from bridge.reports.language import Language

NAMES = (
    "violations",
    "reverts",
    "time-in-status",
    "ages",
    "reopened",
    "closed",
    "service-times",
    "without-reason",
    "whose-clock",
    "flow",
    "policy",
    "completeness",
    "my-requests",
    "my-reverted-moves",
)
"""Every report, in the order of docs/reports.md."""


class Title(NamedTuple):
    """A report's name for people."""

    title: str
    question: str


def titles(language: Language) -> dict[str, Title]:
    """The titles of all reports, by name."""
    text = language.text
    return {
        "violations": Title(
            text("Illegal moves"), text("Who moved tickets against which rules, and what became of it.")
        ),
        "reverts": Title(
            text("Moves put back"),
            text("What the bridge put back, how long the illegal moves stood, and what it could not put back."),
        ),
        "time-in-status": Title(
            text("Time in status"),
            text("How long tickets stay in each status, and which stays are out of the ordinary."),
        ),
        "ages": Title(text("Age of open tickets"), text("What is open, how long it has been waiting, and on whom.")),
        "reopened": Title(
            text("Reopened"), text("Which resolved tickets came back, and how many were right the first time.")
        ),
        "closed": Title(
            text("Who closed what"),
            text("Who closed which tickets, and how often it was another than the one who asked."),
        ),
        "service-times": Title(
            text("Service times"), text("How long until requests are answered, taken up and resolved.")
        ),
        "without-reason": Title(
            text("Without a reason"), text("Which moves want a reason in the comments, and do not have one.")
        ),
        "whose-clock": Title(
            text("Whose clock"),
            text("How long tickets waited on each party, and how often they went back and forth."),
        ),
        "flow": Title(
            text("Flow"), text("What arrives, what is closed, what comes back, and what is open in between.")
        ),
        "policy": Title(
            text("The policy at work"),
            text("Which rules objected, which never did, which exemptions were used, what enforcing more would do."),
        ),
        "completeness": Title(
            text("Completeness and integrity"),
            text("Whether the bridge saw everything, and whether the record is whole."),
        ),
        "my-requests": Title(text("My requests"), text("Where my open requests stand, and on whom they wait.")),
        "my-reverted-moves": Title(
            text("My moves that were put back"), text("Which of my moves were put back, why, and what to do instead.")
        ),
    }

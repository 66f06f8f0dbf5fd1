"""What the ledger knows of rules and exemptions: is a rule fit to be enforced, and who leans on what. Reads only.

The policy file belongs to its owner, who reviews and versions it; so a promotion is shown as the edit to make, and
nothing here writes one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bridge.domain.model import DecisionId, Mode
from bridge.domain.policy.yamltext import did_you_mean
from bridge.errors import ConfigError
from bridge.store.schema import EntryKind

if TYPE_CHECKING:
    from bridge.domain.policy import Policy
    from bridge.domain.policy.rules import Exemption, Rule
    from bridge.store.ledger import Ledger
    from bridge.store.rows import Ruled
    from bridge.store.snapshot import Snapshot

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every ledger."""

WRONG = "wrong:"
"""An acknowledgement of this and a decision's id says that the decision was a mistake."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How right a rule was about the moves that it objected to.

    Its *precision* is the share of its objections that nobody found wrong: neither by an appeal of the person, nor by
    an acknowledgement that says so, nor by whoever asks. An objection counts once a move, when the rule objects, alone
    or beside others, the party is one that is put back, and the move was made in the days asked for.
    """

    rule: str
    since: datetime
    until: datetime
    objections: int
    wrong: tuple[DecisionId, ...]
    watched_since: datetime | None
    """When the bridge first looked; None when it never did."""

    @property
    def precision(self) -> float | None:
        """None where there is nothing to go by."""
        return (self.objections - len(self.wrong)) / self.objections if self.objections else None

    def against(self, threshold: float, least: int) -> list[str]:
        """Why the rule is not fit to be enforced; empty when it is."""
        reasons = []
        if self.watched_since is None or self.watched_since > self.since:
            told = "never" if self.watched_since is None else f"since {self.watched_since:%Y-%m-%d %H:%M} UTC"
            reasons.append(f"the bridge has not watched for so long: {told}, and not {self.since:%Y-%m-%d %H:%M} UTC")
        if self.objections < least:
            reasons.append(f"it objected to {self.objections} moves, and {least} are the least to judge it by")
        if self.precision is not None and self.precision < threshold:
            reasons.append(f"its precision is {self.precision:.1%}, below {threshold:.1%}")
        return reasons


def evidence(
    snapshot: Snapshot, policy: Policy, rule: Rule, days: int, now: datetime, wrong: Collection[str]
) -> Evidence:
    """What the last ``days`` say about a rule. Raises ConfigError for a ``wrong`` that it never decided."""
    since = now - timedelta(days=days)
    illegal = snapshot.ruled(["illegal"], since, now)
    objections = {str(one.id) for one in illegal if rule.id in one.rules and _put_back(one, policy)}
    if strange := sorted(set(wrong) - objections):
        raise ConfigError(f"no objection of {rule.id} in these {days} days is called {', '.join(strange)}")
    found = set(wrong)
    found |= {str(event.details.get("decision")) for event in snapshot.events([EntryKind.APPEAL])}
    for event in snapshot.events([EntryKind.ACKNOWLEDGEMENT]):
        matter = str(event.details.get("matter", ""))
        if matter.startswith(WRONG):
            found.add(matter.removeprefix(WRONG))
    first = min((event.at for event in snapshot.events([EntryKind.CYCLE])), default=None)
    mistakes = tuple(map(DecisionId, sorted(objections & found)))
    return Evidence(rule.id, since, now, len(objections), mistakes, first)


def objection(snapshot: Snapshot, name: str) -> Ruled:
    """The decision of this id, which found a move illegal. Raises ConfigError when there is none."""
    for ruled in snapshot.ruled(["illegal"]):
        if ruled.id == name:
            return ruled
    raise ConfigError(
        f"no decision {name!r} that found a move illegal is in the ledger: `bridge report violations` lists them"
    )


def call_wrong(ledger: Ledger, decision: DecisionId, by: str, reason: str, at: datetime) -> None:
    """Write down that a person finds a decision wrong, and why."""
    ledger.record(EntryKind.ACKNOWLEDGEMENT, {"by": by, "matter": f"{WRONG}{decision}", "reason": reason}, at)


def _put_back(ruled: Ruled, policy: Policy) -> bool:
    return any(party.name == ruled.party and party.reverted for party in policy.parties)


def observed_rule(policy: Policy, name: str) -> Rule:
    """The rule of this name, which is only observed yet. Raises ConfigError."""
    rule = next((rule for rule in policy.rules if rule.id == name), None)
    if rule is None:
        hint = did_you_mean(name, tuple(rule.id for rule in policy.rules))
        raise ConfigError(f"the policy has no rule {name!r}{f': {hint}' if hint else ''}")
    if rule.mode is not Mode.OBSERVE:
        raise ConfigError(f"the rule {name} is not observed: its mode is {rule.mode}")
    return rule


def edit(text: str, name: str, rule: str) -> str:
    """The edit that enforces a rule, as a patch of the policy's text."""
    from difflib import unified_diff

    from ruamel.yaml import YAML

    line, column = YAML(typ="rt").load(text)["rules"][rule].lc.value("mode")
    before = text.splitlines(keepends=True)
    after = before.copy()
    after[line] = before[line][:column] + before[line][column:].replace(Mode.OBSERVE, Mode.ENFORCE, 1)
    return "".join(unified_diff(before, after, name, name, n=2))


@dataclass(frozen=True, slots=True)
class ExemptionUse:
    """An exemption of the policy, and how often it was leant on."""

    id: str
    owner: str
    reason: str
    until: datetime
    in_force: bool
    uses: int
    """Moves that it allowed since the ledger began."""
    last_used: datetime | None


def exemption_uses(snapshot: Snapshot, policy: Policy, now: datetime) -> list[ExemptionUse]:
    """Every exemption of the policy in its order."""
    uses: dict[str, list[datetime]] = {}
    for ruled in snapshot.exempted(EVER, now):
        uses.setdefault(str(ruled.exemption), []).append(ruled.latest)
    return [_use(one, uses.get(one.id, []), now) for one in policy.exemptions]


def _use(one: Exemption, times: list[datetime], now: datetime) -> ExemptionUse:
    return ExemptionUse(one.id, one.owner, one.reason, one.until, now < one.until, len(times), max(times, default=None))

"""What the judgement of one ticket may use besides its timeline. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.model import RuleId, StatusId, StatusName, UserId
from bridge.domain.policy import Policy
from bridge.domain.standing import Standing


@dataclass(frozen=True, slots=True)
class Present:
    """What a ticket is like now. Only fit to judge the last move by: nobody can tell what it was like before."""

    assignee: str
    """The person's number as text; empty for nobody."""
    fields: Mapping[str, str]
    """Custom fields by label."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything besides the timeline that the judgement of one ticket may use."""

    policy: Policy
    spelling: Mapping[StatusId, StatusName]
    """The server's statuses as the policy spells them; a status that is missing here is not in the policy."""
    ids: Mapping[StatusName, StatusId]
    standing: Callable[[UserId, datetime, datetime], Standing]
    own: UserId
    """The bridge's account: its moves are recorded and never judged."""
    now: datetime
    """The server's time, taken once a cycle."""
    enforced_since: Mapping[RuleId, datetime]
    """When each rule began to be enforced in this ticket's project; a rule that is missing here is only observed."""
    project: str = ""
    type: str = ""
    present: Present | None = None
    """None when the ticket itself was not read."""
    saves_creation_twice: bool = False
    """True for servers like 15.4 (contract A.3)."""

    def name(self, status: StatusId | None) -> StatusName | None:
        """As the policy spells it; None when the policy does not know it, or nobody knows the status."""
        return self.spelling.get(status) if status is not None else None

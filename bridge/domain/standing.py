"""Whose side a person was on when they moved a ticket: the roles held then, or why they cannot be told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.model import PartyName, RoleSpell
from bridge.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Standing:
    """A party, or the reason why there is none to name."""

    party: PartyName | None
    reason: str = ""


def standing(spells: Sequence[RoleSpell], earliest: datetime, latest: datetime, policy: Policy) -> Standing:
    """The party of a person in a project during ``[earliest, latest]``.

    ``spells`` are that person's, oldest first. Certain in two cases only: the membership was last changed before the
    move and read after it, or it was read unchanged both before and after. Anything else is doubt, also when the parties
    before and after agree: between two readings a person may change sides and back.
    """
    if not spells:
        return Standing(None, "the person holds no role in this project that the bridge can see")
    for spell in reversed(spells):
        if spell.last_read < latest:
            break
        if spell.first_read <= earliest or (spell.changed_at is not None and spell.changed_at < earliest):
            party = policy.party_of(spell.roles)
            if party is None:
                return Standing(None, "the person holds no role of a party in this project")
            return Standing(party)
    if spells[-1].last_read < latest:
        return Standing(None, "the memberships have not been read since the move")
    return Standing(None, "the person's roles changed around the time of the move")

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

    ``spells`` are that person's, oldest first. Certain only when the membership was last changed before the move and
    read after it. Anything else is doubt, also when the parties before and after agree: between two readings a person
    may change sides and back.
    """
    if not spells:
        return Standing(None, "the person holds no role in this project that the bridge can see")
    if spells[-1].last_read < latest:
        return Standing(None, "the memberships have not been read since the move")
    for index in range(len(spells) - 1, -1, -1):
        spell = spells[index]
        if spell.last_read < latest:
            break
        if not spell.roles:
            continue
        if _since(spell, spells[index - 1] if index else None) < earliest:
            party = policy.party_of(spell.roles)
            if party is None:
                return Standing(None, "the person holds no role of a party in this project")
            return Standing(party)
    if not spells[-1].roles and len(spells) == 1:
        return Standing(None, "the person is no member of this project")
    return Standing(None, "the person's roles changed around the time of the move")


def _since(spell: RoleSpell, before: RoleSpell | None) -> datetime:
    """From when on the roles were these. ``updatedAt`` tells, unless it did not move when the roles did."""
    if spell.changed_at is None or (before is not None and before.last_read > spell.changed_at):
        return spell.first_read
    return spell.changed_at

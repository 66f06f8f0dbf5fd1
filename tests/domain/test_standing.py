"""A party is named only for roles that were provably held during the whole of the move, and then always."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import RoleSpell
from bridge.domain.policy import Policy, load
from bridge.domain.standing import standing

CEGAPE_YAML = Path(__file__).parents[2] / "config" / "cegape.yaml"
BEGIN = datetime(2026, 11, 2, 8, tzinfo=UTC)

CLIENT, CEGAPE, BOTH, READER, NONE = ("Client",), ("CEGAPE",), ("CEGAPE", "Client"), ("Lecteur",), ()
NO_ROLE = "the person holds no role in this project that the bridge can see"
NO_PARTY = "the person holds no role of a party in this project"
NO_MEMBER = "the person is no member of this project"
NOT_READ = "the memberships have not been read since the move"
CHANGED = "the person's roles changed around the time of the move"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(CEGAPE_YAML.read_bytes(), "config/cegape.yaml")


def minute(number: float) -> datetime:
    return BEGIN + timedelta(minutes=number)


def spell(roles: tuple[str, ...], changed: float | None, first_read: float, last_read: float) -> RoleSpell:
    return RoleSpell(roles, None if changed is None else minute(changed), minute(first_read), minute(last_read))


# --- One spell against the bounds of a move, at minutes 20 to 30 ----------------------------------------------------


@pytest.mark.parametrize(
    ("spells", "party", "reason"),
    [
        pytest.param([], None, NO_ROLE, id="never seen"),
        pytest.param([spell(CLIENT, 0, 10, 40)], "client", "", id="read before and after"),
        pytest.param(
            [spell(CLIENT, 0, 30, 30)], "client", "", id="first read at the end of the move, changed long before"
        ),
        pytest.param([spell(CLIENT, 19.9, 40, 50)], "client", "", id="changed right before"),
        pytest.param([spell(CLIENT, 20, 40, 50)], None, CHANGED, id="changed in the millisecond in which it may begin"),
        pytest.param([spell(CLIENT, 25, 40, 50)], None, CHANGED, id="changed during the move"),
        pytest.param([spell(CLIENT, 35, 40, 50)], None, CHANGED, id="changed after it"),
        pytest.param([spell(CLIENT, 0, 10, 29.9)], None, NOT_READ, id="not read since"),
        pytest.param([spell(CEGAPE, 0, 10, 40)], "cegape", "", id="of the other party"),
        pytest.param([spell(BOTH, 0, 10, 40)], "cegape", "", id="of both parties counts as the first"),
        pytest.param([spell(READER, 0, 10, 40)], None, NO_PARTY, id="of neither party"),
        pytest.param([spell(NONE, None, 10, 40)], None, NO_MEMBER, id="no member"),
        pytest.param(
            [spell(CLIENT, 0, 5, 40), spell(CEGAPE, 42, 45, 50)],
            "client",
            "",
            id="changed sides after the next reading",
        ),
        pytest.param(
            [spell(CLIENT, 0, 5, 15), spell(CEGAPE, 17, 40, 50)], "cegape", "", id="changed sides before, read after"
        ),
        pytest.param([spell(CLIENT, 0, 5, 15), spell(CEGAPE, 25, 40, 50)], None, CHANGED, id="changed sides meanwhile"),
        pytest.param([spell(CLIENT, 0, 5, 15), spell(CLIENT, 25, 40, 50)], None, CHANGED, id="changed sides and back"),
        pytest.param(
            [spell(CLIENT, 0, 5, 35), spell(NONE, None, 40, 50)], "client", "", id="left after the next reading"
        ),
        pytest.param([spell(CLIENT, 0, 5, 15), spell(NONE, None, 40, 50)], None, CHANGED, id="left before it was read"),
        pytest.param([spell(NONE, None, 5, 15), spell(CLIENT, 18, 40, 50)], "client", "", id="joined before"),
        pytest.param([spell(NONE, None, 5, 15), spell(CLIENT, 22, 40, 50)], None, CHANGED, id="joined meanwhile"),
        pytest.param(
            [spell(CLIENT, 0, 5, 15), spell(NONE, None, 35, 36), spell(CEGAPE, 38, 40, 50)],
            None,
            CHANGED,
            id="left, and came back on the other side",
        ),
        pytest.param(
            [spell(CLIENT, 0, 5, 15), spell(CEGAPE, 0, 18, 40)],
            "cegape",
            "",
            id="other roles, same updatedAt, read before",
        ),
        pytest.param(
            [spell(CLIENT, 0, 5, 15), spell(CEGAPE, 0, 20, 40)],
            None,
            CHANGED,
            id="other roles, same updatedAt, read late",
        ),
        pytest.param(
            [spell(CLIENT, 0, 5, 15), spell(CEGAPE, 15, 25, 40)], "cegape", "", id="changed right after a reading"
        ),
    ],
)
def test_the_party_during_a_move_or_why_there_is_none_to_name(
    policy: Policy, spells: Sequence[RoleSpell], party: str | None, reason: str
) -> None:
    found = standing(spells, minute(20), minute(30), policy)
    assert (found.party, found.reason) == (party, reason)


# --- Against a true history -----------------------------------------------------------------------------------------

_roles = st.sampled_from([CLIENT, CEGAPE, BOTH, READER, NONE])


def membership(history: Sequence[tuple[int, tuple[str, ...]]], moment: int) -> tuple[tuple[str, ...], int | None]:
    """Roles at a moment, and since when; OpenProject tells the latter of members only."""
    since, roles = [(since, roles) for since, roles in history if since <= moment][-1]
    return roles, since if roles else None


def spells_of(history: Sequence[tuple[int, tuple[str, ...]]], readings: Sequence[int]) -> list[RoleSpell]:
    """What a reader keeps: a new spell whenever something differs from the last reading."""
    spells: list[RoleSpell] = []
    for reading in readings:
        roles, since = membership(history, reading)
        changed = None if since is None else minute(since)
        if spells and (spells[-1].roles, spells[-1].changed_at) == (roles, changed):
            last = spells.pop()
            spells.append(RoleSpell(roles, changed, last.first_read, minute(reading)))
        elif roles or spells:  # of somebody who never was a member nothing is kept
            spells.append(RoleSpell(roles, changed, minute(reading), minute(reading)))
    return spells


@settings(max_examples=200)
@given(
    born=_roles,
    changes=st.dictionaries(st.integers(1, 99), _roles, max_size=6),
    readings=st.sets(st.integers(0, 99), max_size=8),
    first=st.integers(0, 99),
    length=st.integers(0, 20),
)
def test_a_party_is_named_exactly_when_a_later_reading_proves_the_roles_for_the_whole_move(
    policy: Policy,
    born: tuple[str, ...],
    changes: dict[int, tuple[str, ...]],
    readings: set[int],
    first: int,
    length: int,
) -> None:
    history = [(-1, born)]
    for moment, roles in sorted(changes.items()):
        if roles != history[-1][1]:  # what changes nothing does not touch the membership
            history.append((moment, roles))
    last = first + length
    found = standing(spells_of(history, sorted(readings)), minute(first), minute(last), policy)

    held = {roles for since, roles in history if first < since <= last} | {membership(history, first)[0]}
    if found.party is not None:
        assert [policy.party_of(roles) for roles in held] == [found.party]
    after = [membership(history, reading) for reading in sorted(readings) if reading >= last]
    proven = bool(after) and after[0][1] is not None and after[0][1] < first
    assert found.party == (policy.party_of(after[0][0]) if proven else None)
    assert (found.reason == "") is (found.party is not None)

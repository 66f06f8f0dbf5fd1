"""Decisions with their full explanation, beside a state machine and an access-control engine in the same run.

``transitions`` and ``casbin`` answer yes or no; the bridge answers with every rule that objects, its sentence, who may
make the move and what the mover may do instead. Figures are the best of many rounds in which all take turns.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bridge.domain.model import Illegal, Mode, Move, PartyName, RuleId, StatusName
from bridge.domain.policy import Party, Policy, Rule, judge, load
from bridge.domain.policy.rules import After, OnlyBy
from bridge.domain.policy.survey import survey

CEGAPE = Path(__file__).parents[1] / "config" / "cegape.yaml"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ROUNDS = 30

Decide = Callable[[], int]
"""Makes some decisions and returns how many."""


def rates(contenders: Mapping[str, Decide]) -> dict[str, float]:
    """Decisions a second of each. They take turns, so that a slow moment of the machine hits all of them."""
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(ROUNDS):
        for name, decide in contenders.items():
            start = time.perf_counter()
            count = decide()
            best[name] = max(best[name], count / (time.perf_counter() - start))
    return best


def all_moves(policy: Policy, projects: tuple[str, ...] = ("alpha",), limit: int = 2_000) -> list[Move]:
    """Every pair of statuses for every party, tested and not, in projects that rules name and others."""
    tested = policy.statuses[3]
    moves = [
        Move(
            party=party.name,
            origin=origin,
            target=target,
            visited=frozenset({origin, *([tested] if was_tested else [])}),
            at=NOW,
            now=NOW,
            project=project,
        )
        for party, origin, target, was_tested, project in itertools.product(
            policy.parties, policy.statuses, policy.statuses, (False, True), projects
        )
        if origin != target
    ]
    return moves[:: max(1, len(moves) // limit)]


def judged(policy: Policy, moves: list[Move]) -> Decide:
    def decide() -> int:
        for _ in range(repeats):
            for move in moves:
                judge(move, policy)
        return repeats * len(moves)

    repeats = max(1, 20_000 // len(moves))
    return decide


def with_rules(number: int) -> Policy:
    """A policy of this many rules: who may set which of 20 statuses, and then order and exceptions by project."""
    statuses = tuple(StatusName(f"STATUS {n}") for n in range(20))
    parties = tuple(
        Party(PartyName(name), {"fr": name, "en": name}, frozenset({name}), name == "client")
        for name in ("staff", "client")
    )
    sentence = {"fr": "Une règle.", "en": "A rule."}
    who = [
        Rule(
            RuleId(f"who-{n}"), sentence, "a benchmark", Mode.ENFORCE, OnlyBy(frozenset({parties[n % 2].name})),
            into=frozenset({status}),
        )
        for n, status in enumerate(statuses)
    ]  # fmt: skip
    more = (
        Rule(
            RuleId(f"order-{n}"), sentence, "a benchmark", Mode.OBSERVE, After(frozenset({statuses[(n + 7) % 20]})),
            into=frozenset({statuses[n % 20]}), projects=frozenset({f"project-{n // 20}"}),
        )
        for n in itertools.count()
    )  # fmt: skip
    rules = (*who, *itertools.islice(more, number - len(who)))
    return Policy("", "benchmark", parties, statuses, statuses[0], frozenset({statuses[-1]}), rules)


def asked_of_transitions(policy: Policy, moves: list[Move]) -> Decide:
    """The same table as a ``transitions`` machine: one trigger a party and target, may_trigger says whether."""
    from transitions import Machine

    machine = Machine(states=list(policy.statuses), initial=policy.statuses[0], auto_transitions=False)
    for move in moves:
        if not isinstance(judge(move, policy), Illegal):
            machine.add_transition(f"{move.party} {move.target}", str(move.origin), move.target)

    def decide() -> int:
        for move in moves:
            machine.set_state(str(move.origin))
            machine.may_trigger(f"{move.party} {move.target}")
        return len(moves)

    return decide


def asked_of_casbin(policy: Policy, moves: list[Move]) -> Decide:
    """The same table as ``casbin`` policy lines: party, status before, status after."""
    import casbin

    model = casbin.Enforcer.new_model(
        text="""
        [request_definition]
        r = sub, obj, act
        [policy_definition]
        p = sub, obj, act
        [policy_effect]
        e = some(where (p.eft == allow))
        [matchers]
        m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
        """
    )
    enforcer = casbin.Enforcer(model)
    for line in {(m.party, m.origin, m.target) for m in moves if not isinstance(judge(m, policy), Illegal)}:
        enforcer.add_policy(*line)
    some = moves[:: max(1, len(moves) // 60)]

    def decide() -> int:
        for move in some:
            enforcer.enforce(move.party, move.origin, move.target)
        return len(some)

    return decide


def main() -> None:
    policy = load(CEGAPE.read_bytes(), CEGAPE.name)
    moves = all_moves(policy)
    illegal = sum(isinstance(judge(move, policy), Illegal) for move in moves)
    print(f"decisions, {CEGAPE.name}: {len(policy.rules)} rules, {len(moves)} kinds of move, {illegal} of them illegal")
    found = rates(
        {
            "bridge, with rules, sentences and alternatives": judged(policy, moves),
            "transitions, yes or no": asked_of_transitions(policy, moves),
            "casbin, yes or no": asked_of_casbin(policy, moves),
        }
    )
    ours = next(iter(found.values()))
    for name, theirs in found.items():
        print(f"  {name:<46}  {theirs:>12,.0f} /s   1/{ours / theirs:,.1f} of the bridge's")

    print("decisions by the number of rules (half of the moves in projects that rules name)")
    sizes = (60, 600, 10_000)
    policies = {f"{size:>6,} rules": with_rules(size) for size in sizes}
    found = rates({name: judged(many, all_moves(many, ("project-0", "elsewhere"))) for name, many in policies.items()})
    first = next(iter(found.values()))
    for name, rated in found.items():
        print(f"  {name}  {rated:>12,.0f} /s   {first / rated:.2f} times the time of {sizes[0]}")

    print("from the text to every verdict")
    for path in (CEGAPE, CEGAPE.parent / "examples" / "release.yaml"):
        text = path.read_bytes()
        found = rates({"load": lambda: bool(load(text, "")), "all": lambda: bool(survey(load(text, "")))})  # noqa: B023
        loading, surveying = (1000 / each for each in found.values())
        print(f"  {path.name}: load and validate {loading:.1f} ms, and judge its whole table {surveying:.1f} ms")


if __name__ == "__main__":
    main()

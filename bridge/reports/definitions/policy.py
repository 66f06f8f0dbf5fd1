"""R11, the policy at work: rules that object and rules that never do, exemptions, and what enforcing more would do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.domain.model import Mode, PartyName
from bridge.domain.policy.rules import Rule
from bridge.domain.policy.terms import exemption_bounds, mode_terms
from bridge.reports.definitions.counting import distinct, grouped, largest_first, tally
from bridge.reports.definitions.violations import origin_name, outcome
from bridge.reports.desk import Desk
from bridge.reports.values import Cell, Column, Figure, Kind, LazyRows, Report, Table
from bridge.store.rows import Ruled

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, tzinfo=UTC)


def policy(desk: Desk) -> Report:
    """Every rule of the present policy and what it did in the period."""
    text = desk.language.text
    snapshot = desk.source.snapshot
    since, until = desk.period.since, desk.period.until
    illegal = snapshot.ruled(["illegal"], since, until, desk.projects)
    exempted = [
        ruled
        for ruled in snapshot.exempted(since, until)
        if ruled.verdict != "illegal" and (desk.projects is None or ruled.project in desk.projects)
    ]
    found = sorted([*illegal, *exempted], key=lambda ruled: (ruled.latest, ruled.seq), reverse=True)
    used = snapshot.rules_used()
    never = [rule for rule in desk.policy.rules if rule.id not in used]
    would = [n for n, ruled in enumerate(found) if _would_be_put_back(desk, ruled)]
    in_force = [each for each in desk.policy.exemptions if desk.now < each.until]
    return desk.report(
        "policy",
        counted=(
            text(
                "The rules of the present policy, and each move of the period that a rule objected to. A move that "
                "several rules object to is counted with each."
            ),
            text(
                "Would be put back: moves of parties whose moves are put back, that only observed rules objected to. "
                "Enforcing those rules would have put them back."
            ),
            text("Never: in the whole ledger, whichever policy was in use."),
            text(
                "How many rules and exemptions there are is counted in the policy, and how often an exemption was ever "
                "used in the whole ledger: none of these has rows here."
            ),
        ),
        figures=[
            Figure("rules", text("Rules"), Kind.COUNT, len(desk.policy.rules)),
            Figure("never", text("Rules that never objected"), Kind.COUNT, len(never)),
            Figure(
                "would", text("Would be put back"), Kind.COUNT, tally(would), text("if observed rules were enforced")
            ),
            Figure("exemptions", text("Exemptions in force"), Kind.COUNT, len(in_force)),
            Figure(
                "exempted",
                text("Exempted moves"),
                Kind.COUNT,
                tally([n for n, ruled in enumerate(found) if ruled.exemption is not None]),
            ),
        ],
        tables=[
            _rules(desk, found, used),
            _observed(desk, found, would),
            _exemptions(desk, found),
            _enforced(desk),
        ],
        rows=_rows(desk, found),
        notices=_other_policies(desk),
    )


def _would_be_put_back(desk: Desk, ruled: Ruled) -> bool:
    if ruled.verdict != "illegal" or ruled.mode is not Mode.OBSERVE or ruled.party is None:
        return False
    return any(party.name == ruled.party and party.reverted for party in desk.policy.parties)


def _other_policies(desk: Desk) -> list[str]:
    """A warning where moves of the period were judged under another policy than the present one."""
    used = desk.source.snapshot.policies(desk.period.since, desk.period.until)
    others = sum(count for hash_, count in used.items() if hash_ != desk.policy.hash)
    if not others:
        return []
    return [
        desk.language.plural(
            "{count} move of the period was judged under another policy than the present one.",
            "{count} moves of the period were judged under another policy than the present one.",
            others,
        )
    ]


def _rules(desk: Desk, found: Sequence[Ruled], used: dict[str, datetime]) -> Table:
    text = desk.language.text
    known = {str(rule.id): rule for rule in desk.policy.rules}
    gone = sorted({rule for ruled in found for rule in ruled.rules} - known.keys())
    rows: list[Sequence[Cell]] = []
    for id_ in [*known, *gone]:
        rule = known.get(id_)
        mine = [n for n, ruled in enumerate(found) if id_ in ruled.rules]
        rows.append(
            (
                id_,
                rule.sentence[desk.language.code] if rule is not None else text("(no longer in the policy)"),
                _modes(desk, rule) if rule is not None else None,
                tally(mine),
                tally([n for n in mine if found[n].rule == id_]),
                tally([n for n in mine if found[n].reverted_at is not None]),
                used.get(id_),
            )
        )
    return Table(
        "rules",
        text("The rules"),
        (
            Column("rule", text("Rule")),
            Column("sentence", text("What it says"), minor=True),
            Column("mode", text("Mode")),
            Column("objected", text("Objected"), Kind.COUNT),
            Column("strictest", text("As the strictest"), Kind.COUNT, minor=True),
            Column("put-back", text("Put back"), Kind.COUNT),
            Column("last", text("Last ever"), Kind.TIME),
        ),
        rows,
        none=text("The policy has no rules."),
    )


def _modes(desk: Desk, rule: Rule) -> str:
    return mode_terms(rule, desk.language.code) if rule.mode_for else _mode(desk, rule.mode)


def _mode(desk: Desk, mode: Mode) -> str:
    text = desk.language.text
    return {Mode.OFF: text("off"), Mode.OBSERVE: text("observe"), Mode.ENFORCE: text("enforce")}[mode]


def _observed(desk: Desk, found: Sequence[Ruled], would: Sequence[int]) -> Table:
    text = desk.language.text
    groups = grouped(found, would, lambda ruled: ruled.rule or "")
    return Table(
        "observed",
        text("What observed rules would have done"),
        (
            Column("rule", text("Rule")),
            Column("moves", text("Would be put back"), Kind.COUNT),
            Column("people", text("People"), Kind.COUNT),
            Column("tickets", text("Tickets"), Kind.COUNT),
            Column("last", text("Last"), Kind.TIME),
        ),
        [
            (
                rule,
                tally(mine),
                distinct(found, mine, lambda ruled: ruled.person),
                distinct(found, mine, lambda ruled: ruled.work_package),
                max(found[n].latest for n in mine),
            )
            for rule, mine in largest_first(groups)
        ],
        none=text("Nothing more would have been put back."),
    )


def _exemptions(desk: Desk, found: Sequence[Ruled]) -> Table:
    text = desk.language.text
    ever: dict[str, int] = {}
    for ruled in desk.source.snapshot.exempted(_BEGINNING, _END):
        ever[ruled.exemption or ""] = ever.get(ruled.exemption or "", 0) + 1
    rows: list[Sequence[Cell]] = []
    for each in desk.policy.exemptions:
        mine = [n for n, ruled in enumerate(found) if ruled.exemption == each.id]
        count = ever.pop(each.id, 0)
        state = text("in force") if desk.now < each.until else text("expired")
        bounds = exemption_bounds(each, desk.language.code)
        rows.append((each.id, state, bounds, each.owner, each.reason, each.until, tally(mine), count))
    for id_, count in sorted(ever.items()):
        mine = [n for n, ruled in enumerate(found) if ruled.exemption == id_]
        rows.append((id_, text("removed"), None, None, text("(no longer in the policy)"), None, tally(mine), count))
    return Table(
        "exemptions",
        text("Exemptions"),
        (
            Column("exemption", text("Exemption")),
            Column("state", text("State")),
            Column("covers", text("Covers"), minor=True),
            Column("owner", text("Answered for by")),
            Column("reason", text("Why")),
            Column("until", text("Until"), Kind.TIME),
            Column("used", text("Used"), Kind.COUNT),
            Column("ever", text("Ever used"), Kind.COUNT),
        ),
        rows,
        none=text("There are no exemptions."),
    )


def _enforced(desk: Desk) -> Table:
    text = desk.language.text
    rows = [
        (row.rule, desk.project_name(row.project), row.since, row.until)
        for row in desk.source.snapshot.enforced()
        if desk.projects is None or row.project in desk.projects
    ]
    return Table(
        "enforced",
        text("When rules were enforced"),
        (
            Column("rule", text("Rule")),
            Column("project", text("Project")),
            Column("since", text("From"), Kind.TIME),
            Column("until", text("Until"), Kind.TIME),
        ),
        sorted(rows, key=lambda row: (row[0], row[1], row[2])),
        note=text("Moves made before a rule was enforced in a project are never put back."),
        none=text("No rule has ever been enforced."),
    )


def _rows(desk: Desk, found: Sequence[Ruled]) -> Table:
    text = desk.language.text

    def row(number: int) -> Sequence[Cell]:
        ruled = found[number]
        party: PartyName | str | None = ruled.party
        return (
            ruled.id,
            ruled.latest,
            ruled.work_package,
            desk.project_name(ruled.project),
            desk.person_name(ruled.person),
            desk.party_name(party),
            origin_name(desk, ruled),
            desk.status_name(ruled.target, ruled.target_name),
            ", ".join(ruled.rules) or None,
            None if ruled.mode is None else _mode(desk, ruled.mode),
            outcome(desk, ruled),
            ruled.exemption,
            ruled.seq,
        )

    return Table(
        "moves",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("person", text("Person")),
            Column("party", text("Party"), minor=True),
            Column("from", text("From")),
            Column("to", text("To")),
            Column("rules", text("Rules")),
            Column("mode", text("Mode"), minor=True),
            Column("outcome", text("Outcome")),
            Column("exemption", text("Exemption"), minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("No rule objected in this period, and no exemption was used."),
    )

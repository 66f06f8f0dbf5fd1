"""``bridge policy``: everything that the owner of the rules does with them. Nothing here writes to OpenProject."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame, quick
from bridge.errors import EXIT_FINDINGS, EXIT_USAGE, ConfigError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bridge.cli.doctor import Check
    from bridge.domain.model import Move, PartyName, StatusName, Verdict
    from bridge.domain.policy import Policy
    from bridge.domain.policy.survey import Survey

    Draw = Callable[[Policy, Survey, str], str]

app = typer.Typer(
    cls=quick.Group,
    help="Read, test and draw the policy.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

PolicyFile = Annotated[
    Path | None,
    typer.Argument(metavar="[POLICY]", envvar="BRIDGE_POLICY", help="The policy file.", show_default="the settings'"),
]
Language = Annotated[str | None, typer.Option("--language", "-l", help="fr or en.", show_default="the policy's")]
Day = Annotated[
    str | None, typer.Option("--on", metavar="DAY", help="As on this day, such as 2026-12-31.", show_default="now")
]
Project = Annotated[str, typer.Option("--project", metavar="PROJECT", help="In which project, by its identifier.")]
TicketType = Annotated[str, typer.Option("--type", metavar="TYPE", help="For which type of ticket.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write.", show_default="standard output")]


@app.callback()
def group() -> None:
    """Read, test and draw the policy."""


@app.command(cls=quick.Command)
def check(
    context: typer.Context,
    policy: PolicyFile = None,
    live: Annotated[bool, typer.Option("--live", help="Compare it with OpenProject as well.")] = False,
    as_json: frame.Json = False,
) -> None:
    """Find every mistake in the policy, each with its line and column. Exit code 2 when there is one.

    Exit code 1 when the policy can be read, and something about it is odd: a status that nobody reaches or leaves, an
    exemption that is over, or with --live something that OpenProject has otherwise.
    """
    path = _path(context, policy)
    try:
        rules = _load(path)
    except PolicyError as error:
        # The complaints are the result: bare, so that editors find file, line and column.
        if as_json:
            frame.put_json({"policy": str(path), "complaints": error.complaints})
        else:
            frame.put(str(error))
        raise typer.Exit(EXIT_USAGE) from None
    odd = _odd(rules)
    if not as_json:
        frame.put(
            f"{path}: {len(rules.rules)} rules, {len(rules.statuses)} statuses, {len(rules.parties)} parties, "
            f"policy {rules.hash[:12]}"
        )
        for one in odd:
            frame.put(f"  {one}")
    checks: list[Check] = []
    if live:
        from bridge.cli.doctor import show
        from bridge.cli.policy_live import compare

        for check in compare(context, rules):
            checks.append(check)
            if not as_json:
                show(check)
    if as_json:
        frame.put_json({"policy": str(path), "hash": rules.hash, "complaints": [], "odd": odd, "live": checks})
    raise typer.Exit(EXIT_FINDINGS if odd or any(check.remedy for check in checks) else 0)


@app.command(cls=quick.Command)
def schema(
    cases: Annotated[bool, typer.Option("--tests", help="That of the file of cases.")] = False,
    output: Output = None,
) -> None:
    """Print the JSON Schema, by which editors complete and check while you type."""
    import json

    from bridge.domain.policy import schema as policy_schema
    from bridge.domain.policy.cases import cases_schema

    _write(output, json.dumps(cases_schema() if cases else policy_schema(), ensure_ascii=False, indent=1) + "\n")


@app.command("test", cls=quick.Command)
def run_cases(
    context: typer.Context,
    policy: PolicyFile = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", help="The file of cases.", show_default="NAME.tests.yaml beside it")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML here.")] = None,
    cover: Annotated[int, typer.Option("--cover", min=0, max=100, help="Fail below this share of all moves.")] = 0,
    as_json: frame.Json = False,
) -> None:
    """Judge the cases that are written beside the policy. Exit code 1 when one is judged otherwise.

    A case must say every rule that objects: one that it does not say fails it like one that does not object.
    """
    from bridge.domain.policy.cases import load_cases, run

    path = _path(context, policy)
    rules = _load(path)
    beside = cases or path.with_name(f"{path.stem}.tests.yaml")
    outcome = run(load_cases(_read(beside), str(beside), rules), rules)
    covered = outcome.percent
    if junit is not None:
        from bridge.cli.policy_output import junit_xml

        _write(junit, junit_xml(outcome, str(beside), cover))
    if as_json:
        failures = [
            {"case": f.case.name, "line": f.case.line, "message": f.message, "move": f.move and _move(f.move)}
            for f in outcome.failures
        ]
        frame.put_json(
            {
                "cases": len(outcome.cases),
                "failures": failures,
                "coverage": {
                    "percent": covered,
                    "moves": outcome.pairs,
                    "missing": [_pair(p) for p in outcome.missing],
                },
                "untested": outcome.untested,
            }
        )
    else:
        for failure in outcome.failures:
            where = (
                f" [{_arrow(failure.move.origin, failure.move.target)} by {failure.move.party}]" if failure.move else ""
            )
            frame.put(f"{beside}:{failure.case.line}: {failure.case.name}{where}: {failure.message}")
        for pair in outcome.missing if covered < cover else ():
            frame.put(f"no case asks about {_arrow(pair[1], pair[2])} by {pair[0]}")
        for rule in outcome.untested:
            frame.put(f"no case expects the rule {rule} to object")
        failed = len({failure.case for failure in outcome.failures})
        frame.put(
            f"{len(outcome.cases)} cases, {failed} failed; they ask about {covered} % of all {outcome.pairs} moves"
            " (party × from × to)"
        )
    wrong = outcome.failures or outcome.untested or covered < cover
    raise typer.Exit(EXIT_FINDINGS if wrong else 0)


@app.command(cls=quick.Command)
def explain(
    context: typer.Context,
    move: Annotated[str, typer.Argument(metavar="MOVE", help="'New → Done', or 'creation -> Done'.")],
    policy: PolicyFile = None,
    party: Annotated[str, typer.Option("--as", metavar="PARTY", help="Who moves.")] = "",
    been: Annotated[
        list[str] | None, typer.Option("--been", metavar="STATUS", help="Where the ticket has been before.")
    ] = None,
    project: Project = "",
    ticket_type: TicketType = "",
    on: Day = None,
    person: Annotated[str, typer.Option(help="The number of who moves it, where an exemption names people.")] = "",
    ticket: Annotated[int, typer.Option(help="The ticket's number, where an exemption names tickets.")] = 0,
    language: Language = None,
    as_json: frame.Json = False,
) -> None:
    """Say what comes of a move, by which rule and why, and what would be allowed. Exit code 1 when it is illegal."""
    from datetime import UTC, datetime

    from bridge.cli.policy_output import depends_on, explanation
    from bridge.domain.model import Illegal, Move
    from bridge.domain.policy import judge

    rules = _load(_path(context, policy))
    who = _party(rules, party)
    origin, target = _statuses(rules, move)
    now = _day(on) or datetime.now(UTC)
    visited = {_status(rules, name) for name in been or ()} | ({origin} if origin is not None else set())
    asked = Move(who, origin, target, frozenset(visited), now, now, project, ticket_type, person, ticket)
    verdict = judge(asked, rules)
    if as_json:
        depends = [rule.id for rule in depends_on(rules, asked, verdict)]
        told = {"move": _move(asked), "verdict": type(verdict).__name__, **_verdict(verdict), "depends_on": depends}
        frame.put_json(told)
    else:
        frame.put(explanation(rules, asked, verdict, _language(rules, language, project)))
    raise typer.Exit(EXIT_FINDINGS if isinstance(verdict, Illegal) else 0)


@app.command(cls=quick.Command)
def graph(
    context: typer.Context,
    policy: PolicyFile = None,
    form: Annotated[str, typer.Option("--format", "-f", help="svg or mermaid.")] = "svg",
    language: Language = None,
    project: Project = "",
    ticket_type: TicketType = "",
    on: Day = None,
    output: Output = None,
) -> None:
    """Draw the life of a ticket: every status, who may enter it and from where."""
    from datetime import UTC, datetime

    from bridge.domain.policy import picture
    from bridge.domain.policy.survey import survey

    rules = _load(_path(context, policy))
    draw = _chosen(form, {"svg": picture.graph_svg, "mermaid": picture.graph_mermaid})
    table = survey(rules, project=project, type=ticket_type, at=_day(on) or datetime.now(UTC))
    _write(output, draw(rules, table, _language(rules, language)))


@app.command(cls=quick.Command)
def matrix(
    context: typer.Context,
    policy: PolicyFile = None,
    form: Annotated[str, typer.Option("--format", "-f", help="text or svg.")] = "text",
    language: Language = None,
    project: Project = "",
    ticket_type: TicketType = "",
    on: Day = None,
    output: Output = None,
    as_json: frame.Json = False,
) -> None:
    """Decide every move of every party, and find dead ends. Exit code 1 when something is odd."""
    from datetime import UTC, datetime

    from bridge.cli.policy_output import matrix_text
    from bridge.domain.policy.picture import matrix_svg
    from bridge.domain.policy.survey import survey

    rules = _load(_path(context, policy))
    spoken = _language(rules, language)
    table = survey(rules, project=project, type=ticket_type, at=_day(on) or datetime.now(UTC))
    if as_json:
        frame.put_json(table)
    else:
        draw = _chosen(form, {"text": matrix_text, "svg": matrix_svg})
        _write(output, draw(rules, table, spoken))
    raise typer.Exit(EXIT_FINDINGS if table.odd else 0)


@app.command(cls=quick.Command)
def replay(
    context: typer.Context,
    policy: PolicyFile = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another policy.", show_default="what was decided at the time")
    ] = None,
    as_json: frame.Json = False,
) -> None:
    """Judge every move in the ledger anew, and show what becomes of it. Exit code 1 when anything differs.

    Facts that the ledger does not keep (assignee, custom fields) leave a move undecided where a rule asks for them; the
    result names those rules, and says for each reason how many moves it leaves undecided.
    """
    from datetime import UTC, datetime

    from bridge.cli.policy_output import replay_json, replay_text
    from bridge.cli.policy_replay import replay as judge_anew
    from bridge.store.queries import Queries

    rules = _load(_path(context, policy))
    other = _load(against) if against is not None else None
    with Queries(frame.settings(context).store_url) as queries, queries.snapshot() as snapshot:
        came_of_it = judge_anew(snapshot, rules, other, datetime.now(UTC))
    if as_json:
        frame.put_json(replay_json(came_of_it))
    else:
        frame.put(replay_text(came_of_it))
    raise typer.Exit(EXIT_FINDINGS if came_of_it.differences else 0)


@app.command(cls=quick.Command)
def advise(context: typer.Context, policy: PolicyFile = None, as_json: frame.Json = False) -> None:
    """List the boxes to untick in OpenProject's own workflow, and what that workflow cannot express."""
    from datetime import UTC, datetime

    from bridge.cli.policy_output import advice_text
    from bridge.domain.policy.advice import advise as advice

    rules = _load(_path(context, policy))
    given = advice(rules, datetime.now(UTC))
    if as_json:
        frame.put_json(given)
    else:
        frame.put(advice_text(rules, given))


@app.command(cls=quick.Command)
def promote(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule that shall be enforced.")],
    policy: PolicyFile = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days to look back.")] = 14,
    threshold: Annotated[
        int, typer.Option("--threshold", min=0, max=100, help="The least precision, in percent.")
    ] = 99,
    least: Annotated[int, typer.Option("--least", min=1, help="The least number of objections to judge by.")] = 20,
    wrong: Annotated[
        list[str] | None, typer.Option("--wrong", metavar="DECISION", help="A decision that you find wrong.")
    ] = None,
    as_json: frame.Json = False,
) -> None:
    """Show the edit that enforces a rule, or refuse. Exit code 1 when the rule has not proven itself.

    Its precision is the share of its objections, in these days, that nobody found wrong: by an appeal, by an
    acknowledgement that says so, or by --wrong. Nothing is written: the policy is its owner's to change.
    """
    from datetime import UTC, datetime

    from bridge.cli.policy_evidence import edit, evidence, observed_rule
    from bridge.store.queries import Queries

    path = _path(context, policy)
    rules = _load(path)
    candidate = observed_rule(rules, rule)
    with Queries(frame.settings(context).store_url) as queries, queries.snapshot() as snapshot:
        found = evidence(snapshot, rules, candidate, days, datetime.now(UTC), wrong or ())
    reasons = found.against(threshold / 100, least)
    patch = "" if reasons else edit(_read(path).decode(), str(path), rule)
    if as_json:
        frame.put_json({"evidence": found, "precision": found.precision, "against": reasons, "edit": patch})
    else:
        precise = "unknown" if found.precision is None else f"{found.precision:.1%}"
        frame.put(
            f"{rule}: {found.objections} objections in {days} days, {len(found.wrong)} found wrong, precision {precise}"
        )
        for decision in found.wrong:
            frame.put(f"  wrong: {decision}")
        for reason in reasons:
            frame.put(f"not fit to be enforced: {reason}")
        if patch:
            frame.put(patch.rstrip("\n"))
            frame.put("enforcement begins with the first cycle after this edit, and never reaches back")
    raise typer.Exit(EXIT_FINDINGS if reasons else 0)


@app.command("wrong", cls=quick.Command)
def call_wrong(
    context: typer.Context,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Its number, such as 2026-11-24-0042.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it was wrong; kept in the ledger.")],
    by: Annotated[str, typer.Option("--by", help="Who says so.", show_default="your login")] = "",
    as_json: frame.Json = False,
) -> None:
    """Say that a decision was wrong: it counts against its rules when one is to be promoted.

    Nothing else follows from it. It is written into the ledger, so the bridge must be stopped meanwhile.
    """
    from datetime import UTC, datetime

    from bridge.cli.audit import login, writing
    from bridge.cli.policy_evidence import call_wrong, objection
    from bridge.store.queries import Queries

    if not reason.strip():
        raise ConfigError("--reason is empty: say why the decision was wrong")
    with Queries(frame.settings(context).store_url) as queries, queries.snapshot() as snapshot:
        found = objection(snapshot, decision)
    with writing(context, None) as ledger:
        call_wrong(ledger, found.id, by or login(), reason.strip(), datetime.now(UTC))
    if as_json:
        frame.put_json({"decision": found.id, "rules": found.rules, "reason": reason.strip()})
    else:
        frame.put(f"decision {found.id} is called wrong; it counts against {', '.join(found.rules)}")


@app.command(cls=quick.Command)
def exemptions(context: typer.Context, policy: PolicyFile = None, as_json: frame.Json = False) -> None:
    """List the exemptions: who answers for each and why, until when, and how often it was used.

    Exit code 1 when one is over and should be removed.
    """
    from datetime import UTC, datetime

    from bridge.cli.policy_evidence import exemption_uses
    from bridge.store.queries import Queries

    rules = _load(_path(context, policy))
    with Queries(frame.settings(context).store_url) as queries, queries.snapshot() as snapshot:
        uses = exemption_uses(snapshot, rules, datetime.now(UTC))
    if as_json:
        frame.put_json(uses)
    else:
        rows = [
            (
                one.id,
                one.owner,
                f"{one.until:%Y-%m-%d %H:%M}",
                "in force" if one.in_force else "over",
                one.uses,
                f"{one.last_used:%Y-%m-%d %H:%M}" if one.last_used else "never",
                one.reason,
            )
            for one in uses
        ]
        frame.put_table(("exemption", "owner", "until (UTC)", "state", "uses", "last used (UTC)", "reason"), rows)
    raise typer.Exit(EXIT_FINDINGS if not all(one.in_force for one in uses) else 0)


# --- What all of them share -----------------------------------------------------------------------------------------


def _path(context: typer.Context, given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        return frame.settings(context).policy
    except ConfigError as error:
        raise ConfigError(
            f"name the policy's file behind the command, or in settings that can be read:\n{error}"
        ) from None


def _load(path: Path) -> Policy:
    from bridge.domain.policy import load

    return load(_read(path), str(path))


def _read(path: Path) -> bytes:
    """The file, or as much of it as shows that it is no policy. Raises ConfigError."""
    import os

    from bridge.domain.policy.yamltext import MAX_BYTES

    def at_once(path: str, flags: int) -> int:
        return os.open(path, flags | os.O_NONBLOCK)

    try:
        # A pipe into which nobody writes is empty, and not waited for.
        with open(path, "rb", opener=at_once) as file:
            os.set_blocking(file.fileno(), True)
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _write(path: Path | None, text: str) -> None:
    if path is None:
        frame.put(text.rstrip("\n"))
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _odd(policy: Policy) -> list[str]:
    """What should be looked at though it is no mistake."""
    from datetime import UTC, datetime

    from bridge.domain.policy.survey import survey

    now = datetime.now(UTC)
    table = survey(policy, at=now)
    odd = [f"nobody can ever reach {status!r}" for status in table.unreachable]
    odd += [f"{status!r} closes no ticket, and nobody may leave it" for status in table.dead_ends]
    odd += [
        f"{policy.party(party).name} may enter {status!r}, and nobody may leave it" for party, status in table.traps
    ]
    odd += [
        f"the exemption {one.id!r} of {one.owner} is over since {one.until:%Y-%m-%d}: remove it"
        for one in policy.exemptions
        if one.until <= now
    ]
    return odd


def _party(policy: Policy, name: str) -> PartyName:
    from bridge.domain.policy.yamltext import did_you_mean

    by_name = {party.name.casefold(): party.name for party in policy.parties}
    for party in policy.parties:
        by_name |= {label.casefold(): party.name for label in (*party.label.values(), *party.roles)}
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    names = ", ".join(party.name for party in policy.parties)
    if not name:
        raise ConfigError(f"say who moves the ticket, with --as: the parties are {names}")
    hint = did_you_mean(name, tuple(by_name)) or ""
    raise ConfigError(
        f"--as {name!r}: the parties are {names} {f'({hint})' if hint.startswith('did') else ''}".rstrip()
    )


def _statuses(policy: Policy, move: str) -> tuple[StatusName | None, StatusName]:
    from bridge.domain.policy.cases import CREATION

    for arrow in ("→", "->", ">"):
        before, found, after = move.partition(arrow)
        if found:
            start = None if before.strip().casefold() == CREATION else _status(policy, before)
            return start, _status(policy, after)
    raise ConfigError(f"{move!r} is no move: write it as 'New -> Done', or 'creation -> Done'")


def _status(policy: Policy, name: str) -> StatusName:
    from bridge.domain.policy.yamltext import did_you_mean

    for status in policy.statuses:
        if status.casefold() == name.strip().casefold():
            return status
    raise ConfigError(f"the policy has no status {name.strip()!r}: {did_you_mean(name.strip(), policy.statuses)}")


def _language(policy: Policy, wanted: str | None, project: str = "") -> str:
    from bridge.domain.policy.rules import LANGUAGES

    if wanted is not None and wanted not in LANGUAGES:
        raise ConfigError(f"--language {wanted!r}: the policy speaks {' and '.join(LANGUAGES)}")
    return wanted or policy.language(project)


def _day(written: str | None) -> datetime | None:
    from datetime import UTC, datetime

    if written is None:
        return None
    try:
        return datetime.strptime(written, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"--on {written!r} is no day: write it as 2026-12-31") from None


def _chosen(name: str, forms: Mapping[str, Draw]) -> Draw:
    if name not in forms:
        raise ConfigError(f"--format {name!r}: choose {' or '.join(forms)}")
    return forms[name]


def _arrow(origin: StatusName | None, target: StatusName) -> str:
    return f"{origin or 'creation'} → {target}"


def _pair(pair: tuple[PartyName, StatusName | None, StatusName]) -> dict[str, str]:
    return {"by": pair[0], "from": pair[1] or "creation", "into": pair[2]}


def _move(move: Move) -> dict[str, object]:
    return {**_pair((move.party, move.origin, move.target)), "been": sorted(move.visited), "project": move.project}


def _verdict(verdict: Verdict) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(verdict)

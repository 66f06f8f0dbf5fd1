"""``bridge audit``: whether the record is whole, proofs for others, and what the law asks for."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, ConfigError

if TYPE_CHECKING:
    from bridge.store.audit import Verdict
    from bridge.store.bundle import Exported
    from bridge.store.checkpoint import VerifyKey
    from bridge.store.ledger import Ledger

app = typer.Typer(help="The record: verify, prove, erase.", no_args_is_help=True, rich_markup_mode=None)

Store = Annotated[
    str | None,
    typer.Option("--store", help="Database of the ledger, where it is not that of the settings.", show_default=False),
]
Reason = Annotated[str, typer.Option(help="Why; written into the record.")]
By = Annotated[str, typer.Option(help="On whose behalf; written into the record.", show_default="the user's login")]


@app.callback()
def group() -> None:
    """The record: verify, prove, erase."""


def url_of(context: typer.Context, store: str | None) -> str:
    """The ledger's database: the option's, or that of the settings."""
    return store if store is not None else frame.settings(context).store_url


def key_file(context: typer.Context) -> Path:
    """Where the signing key lies."""
    from bridge import wiring

    return wiring.signing_key(frame.settings(context))


def last_seen(context: typer.Context) -> Path:
    """Where the last signed checkpoint is kept."""
    from bridge import wiring

    return wiring.last_checkpoint(frame.settings(context))


@contextmanager
def writing(context: typer.Context, store: str | None) -> Iterator[Ledger]:
    """The ledger, for commands that write; they need the bridge to be stopped."""
    from bridge.store.ledger import Ledger

    with Ledger.open(url_of(context, store), now=lambda: datetime.now(UTC)) as ledger:
        yield ledger


# --- Verify ---------------------------------------------------------------------------------------------------------


@app.command()
def verify(
    context: typer.Context,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Public key that must have signed (name+id+base64, or a file with it); else the record's own."
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="File with a checkpoint from elsewhere, which the record must continue.")
    ] = None,
    tables: Annotated[
        bool, typer.Option(help="Compare every row of the report tables with the record as well.")
    ] = True,
    timestamp_ca: Annotated[
        Path | None, typer.Option(help="Root certificates (PEM) to check the kept time-stamps with.")
    ] = None,
    accept_clock: Annotated[
        list[int] | None, typer.Option(help="Entry at which a set back clock is known and explained.")
    ] = None,
    store: Store = None,
    as_json: frame.Json = False,
) -> None:
    """Check that nothing in the record was changed, removed, put in, moved or cut off. Exit code 1 if something was."""
    from bridge.store import audit
    from bridge.store import timestamp as stamps

    url = url_of(context, store)
    notes = [_note(path) for path in checkpoint or ()]
    if store is None and not checkpoint and (kept := last_seen(context)).exists():
        notes.append(_text(kept))
    keys = [_public(each) for each in key or ()]
    verdict = audit.verify(
        url,
        keys=keys,
        own=None if store is not None or keys else _own_key(context, url),
        notes=notes,
        tables=tables,
        accepted=accept_clock or (),
        roots=stamps.certificates(timestamp_ca) if timestamp_ca is not None else (),
        progress=_progress(),
    )
    if as_json:
        frame.put_json(
            {
                "holds": verdict.holds,
                "first_bad": verdict.first_bad,
                "ledger": verdict.origin,
                "entries": verdict.entries,
                "covered": verdict.covered,
                "checkpoints": verdict.checkpoints,
                "last_entry": verdict.last_at,
                "last_checkpoint": verdict.last_checkpoint,
                "keys": verdict.keys,
                "keys_given": bool(keys),
                "tables_checked": verdict.tables_checked,
                "findings": verdict.findings,
            }
        )
    else:
        _put_verdict(verdict, keys_given=bool(keys))
    if not verdict.holds:
        raise typer.Exit(EXIT_FINDINGS)


def _own_key(context: typer.Context, url: str) -> VerifyKey | None:
    """The public part of the key that signs on this machine."""
    from bridge.store import audit
    from bridge.store.checkpoint import SigningKey
    from bridge.store.database import Damaged, NoLedger

    path = key_file(context)
    if not path.exists():
        return None
    try:
        origin = audit.origin(url)
    except (Damaged, NoLedger):
        return None  # the verification will say so
    return None if origin is None else SigningKey.load(path).verify_key(origin)


def _put_verdict(verdict: Verdict, *, keys_given: bool) -> None:
    if verdict.holds:
        frame.put(f"HOLDS: {verdict.entries} entries of {verdict.origin}, unchanged and complete")
        if verdict.last_checkpoint is None:
            frame.put("Nothing is signed yet: run `bridge audit seal`, or let `bridge run` do it")
        else:
            frame.put(
                f"{verdict.covered} of them lie under {verdict.checkpoints} signed checkpoints, "
                f"the last of {verdict.last_checkpoint:%Y-%m-%d %H:%M:%S} UTC"
            )
        for each in verdict.keys:
            origin = "given" if keys_given else "named by the record itself; compare it with the one you were given"
            frame.put(f"Key {each} ({origin})")
        if not verdict.tables_checked:
            frame.put("The tables of the reports were not compared (--tables)")
        return
    first = "" if verdict.first_bad is None else f", first at entry {verdict.first_bad}"
    frame.put(f"DOES NOT HOLD: {len(verdict.findings)} findings{first}")
    for finding in verdict.findings:
        frame.put(f"{finding.kind}: {finding.message}")


def _progress() -> Callable[[int], None]:
    """Counts entries on the terminal; says nothing to programs and files."""
    read = 0

    def more(entries: int) -> None:
        nonlocal read
        read += entries
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{read} entries …\r")
            sys.stderr.flush()

    return more


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _note(path: Path) -> str:
    """A signed note, whatever empty lines a mail or a comment has put around it."""
    return _text(path).strip() + "\n"


def _public(text: str) -> VerifyKey:
    from bridge.store.checkpoint import VerifyKey

    try:
        return VerifyKey.parse(text if "+" in text else _text(Path(text)))
    except ValueError as error:
        raise ConfigError(f"--key {text}: {error}") from None


# --- Checkpoints ----------------------------------------------------------------------------------------------------


@app.command()
def seal(context: typer.Context) -> None:
    """Sign a checkpoint now. Makes the key where there is none. The bridge itself does this at every interval."""
    from bridge.store.checkpoint import SigningKey
    from bridge.store.seal import seal as sign

    path = key_file(context)
    with writing(context, None) as ledger:
        head = sign(ledger, SigningKey.load_or_create(path), last_seen(context))
    frame.say(f"{head.size} entries signed with {path}")
    frame.put(_text(last_seen(context)).rstrip())


@app.command()
def key(context: typer.Context) -> None:
    """Print the public key, for those who verify. Makes the key where there is none."""
    from bridge.store import audit
    from bridge.store.checkpoint import SigningKey

    origin = audit.origin(url_of(context, None))
    if origin is None:
        raise ConfigError("the ledger's first entry is unreadable: run bridge audit verify")
    frame.put(str(SigningKey.load_or_create(key_file(context)).verify_key(origin)))


@app.command()
def checkpoints(context: typer.Context, store: Store = None, as_json: frame.Json = False) -> None:
    """List the signed checkpoints."""
    from bridge.store import audit

    found = audit.checkpoints(url_of(context, store))
    if as_json:
        frame.put_json(found)
        return
    frame.put_table(
        ("ENTRIES", "SIGNED AT", "POLLS", "MISSED", "TIME-STAMPED", "ROOT"),
        [
            (
                each.size,
                f"{each.at:%Y-%m-%d %H:%M:%S}",
                each.polls_done,
                each.polls_missed,
                "yes" if each.timestamped else "no",
                each.root,
            )
            for each in found
        ],
    )


@app.command()
def timestamp(
    context: typer.Context,
    request: Annotated[Path | None, typer.Argument(help="File to write the query for the last checkpoint to.")] = None,
    reply: Annotated[Path | None, typer.Option(help="File with the authority's reply, to be checked and kept.")] = None,
    ca: Annotated[Path | None, typer.Option(help="With --reply: the authority's root certificates (PEM).")] = None,
    store: Store = None,
) -> None:
    """Have a time-stamping authority (RFC 3161) attest when a checkpoint existed. Needs the extra `timestamp`."""
    from bridge.store import timestamp as stamps

    if request is not None and reply is None:
        query = stamps.request(url_of(context, store))
        try:
            request.write_bytes(query)
        except OSError as error:
            raise ConfigError(f"{request} cannot be written: {error.strerror}") from None
        frame.put(f"{request}: post it to the authority as application/timestamp-query, then --reply")
        return
    if request is not None or reply is None or ca is None:
        raise ConfigError("name a file for the query, or --reply and --ca")
    roots = stamps.certificates(ca)
    try:
        answer = reply.read_bytes()
    except OSError as error:
        raise ConfigError(f"{reply} cannot be read: {error.strerror}") from None
    with writing(context, store) as ledger:
        size, at = stamps.accept(ledger, answer, roots)
    frame.put(f"the checkpoint of {size} entries existed at {at:%Y-%m-%d %H:%M:%S} UTC")


# --- Proofs for others ----------------------------------------------------------------------------------------------


@app.command()
def export(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Directory to make.")],
    ticket: Annotated[
        int | None, typer.Option(help="Only what is about this ticket, each entry with its proof.")
    ] = None,
    since: Annotated[
        int | None, typer.Option(help="Only the proof that the record continues the checkpoint of so many entries.")
    ] = None,
    until: Annotated[int | None, typer.Option(help="With --since: up to this checkpoint, not the last one.")] = None,
    store: Store = None,
    as_json: frame.Json = False,
) -> None:
    """Write a bundle that others can verify offline, with the single file that does it."""
    from bridge.domain.model import WorkPackageId
    from bridge.store import bundle

    url, now = url_of(context, store), datetime.now(UTC)
    if ticket is not None:
        exported = bundle.export_ticket(url, directory, WorkPackageId(ticket), now, since)
    elif since is not None:
        exported = bundle.export_consistency(url, directory, since, until, now)
    else:
        exported = bundle.export_ledger(url, directory, now)
    _record_export(context, store, exported, now)
    if as_json:
        frame.put_json(exported)
        return
    frame.put(
        f"{exported.directory}/bundle.jsonl: {exported.entries} entries, proved by the checkpoint of {exported.size}"
    )
    if exported.left_out:
        frame.say(f"{exported.left_out} newer entries were left out: nothing proves them before the next checkpoint")
    frame.say(f"To verify: python3 {exported.directory}/verify_bundle.py {exported.directory}/bundle.jsonl --key KEY")


def _record_export(context: typer.Context, store: str | None, exported: Exported, now: datetime) -> None:
    """Who took what out is written down, by the bridge where one is at work."""
    from bridge import wiring
    from bridge.errors import BridgeError
    from bridge.store.database import Occupied
    from bridge.store.schema import EntryKind

    facts = {"by": login(), "entries": exported.entries, "size": exported.size}
    try:
        with writing(context, store) as ledger:
            ledger.record(EntryKind.EXPORT, facts, now)
    except BridgeError as error:
        if store is None and isinstance(error, Occupied):
            wiring.leave_note(frame.settings(context), EntryKind.EXPORT, facts, lambda: now)
            return
        frame.say(f"warning: the export itself was not written into the record: {error}")


# --- What the law asks for ------------------------------------------------------------------------------------------


@app.command()
def person(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="The person's number in OpenProject.")],
    store: Store = None,
    as_json: frame.Json = False,
) -> None:
    """Everything that the record holds about one person (right of access)."""
    from bridge.domain.model import UserId
    from bridge.store.personal import about

    who, mentions = about(url_of(context, store), UserId(number))
    if as_json:
        frame.put_json({"person": who, "entries": mentions})
        return
    frame.say(f"{len(mentions)} entries about {', '.join(who.names) or 'a person whose name the record does not hold'}")
    frame.put_table(
        ("ENTRY", "KIND", "TICKET", "CONTENT"),
        [
            (each.seq, each.kind, "" if each.work_package is None else each.work_package, dict(each.payload))
            for each in mentions
        ],
    )


@app.command()
def redact(
    context: typer.Context,
    reason: Reason,
    person: Annotated[int | None, typer.Option(help="A person's names and what they wrote.")] = None,
    text: Annotated[str | None, typer.Option(help="A text, wherever it stands.")] = None,
    by: By = "",
    store: Store = None,
) -> None:
    """Take a person's names and words, or a text, out of the record for good. Stop the bridge first."""
    from bridge.domain.model import UserId
    from bridge.store import erasure

    if (person is None) == (text is None):
        raise ConfigError("name one of --person and --text")
    with writing(context, store) as ledger:
        if person is not None:
            found = erasure.redact_person(ledger, UserId(person), by=by or login(), reason=reason)
        else:
            found = erasure.redact_text(ledger, text or "", by=by or login(), reason=reason)
        remains = erasure.scrub(ledger)
    frame.put(f"{found} entries redacted, their old bytes overwritten")
    for each in (*remains, "Backups and bundles made before still hold the text: expire them as well"):
        frame.say(each)


@app.command()
def hold(
    context: typer.Context,
    reason: Reason,
    ticket: Annotated[int | None, typer.Option(help="The ticket; without it, everything.")] = None,
    by: By = "",
    store: Store = None,
) -> None:
    """Lay a legal hold on a ticket or on everything: nothing of it is erased until it is released."""
    from bridge.domain.model import WorkPackageId
    from bridge.store import erasure

    with writing(context, store) as ledger:
        erasure.hold(ledger, None if ticket is None else WorkPackageId(ticket), by=by or login(), reason=reason)
    frame.put(f"{'everything' if ticket is None else f'ticket {ticket}'} is under legal hold")


@app.command()
def release(
    context: typer.Context,
    reason: Reason,
    ticket: Annotated[int | None, typer.Option(help="The ticket; without it, the hold on everything.")] = None,
    by: By = "",
    store: Store = None,
) -> None:
    """End a legal hold."""
    from bridge.domain.model import WorkPackageId
    from bridge.store import erasure

    with writing(context, store) as ledger:
        erasure.release(ledger, None if ticket is None else WorkPackageId(ticket), by=by or login(), reason=reason)
    frame.put(f"{'the hold on everything' if ticket is None else f'the hold on ticket {ticket}'} is released")


@app.command()
def retain(
    context: typer.Context,
    keep: Annotated[list[str], typer.Option(help="KIND=DAYS, such as activity=1825; once more for each kind.")],
    cut: Annotated[bool, typer.Option("--cut", help="Drop the oldest entries altogether, where that pays.")] = False,
    by: By = "",
    store: Store = None,
) -> None:
    """Erase what is older than its kind may be kept. All proofs over the rest stay valid. Stop the bridge first."""
    from bridge.store import erasure

    periods = dict(map(_period, keep))
    with writing(context, store) as ledger:
        retired = erasure.retire(ledger, periods, by=by or login(), cut=cut)
        remains = erasure.scrub(ledger) if retired.erased or retired.cut else ()
    frame.put(f"{retired.erased} entries erased" + (f", entries 1 to {retired.cut} cut off" if retired.cut else ""))
    for each in remains:
        frame.say(each)


def _period(text: str) -> tuple[str, timedelta]:
    kind, _, days = text.partition("=")
    if not days.isdecimal():
        raise ConfigError(f"--keep {text}: write KIND=DAYS, such as activity=1825")
    try:
        return kind, timedelta(days=int(days))
    except OverflowError:
        raise ConfigError(f"--keep {text}: so many days are more than the calendar has") from None


def login() -> str:
    """Who is at the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"

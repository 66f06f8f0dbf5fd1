"""From settings to objects: the only place that constructs clients, stores and cycles.

Everything heavy is imported where it is made, so that a command that needs no ledger does not pay for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.domain.model import Mode, WorkPackageId
from bridge.errors import BridgeError, ConfigError, RetryLater
from bridge.settings import OpenProject, Settings, Web

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from requests.adapters import BaseAdapter

    from bridge.alerts import Alerts
    from bridge.domain.policy import Policy
    from bridge.engine.cycle import Cycle
    from bridge.inspection import Inspection
    from bridge.openproject.client import Client
    from bridge.store.ledger import Ledger
    from bridge.store.schema import EntryKind
    from bridge.web.site import Actions, Doors, Provider, Site

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of everything that is not told another."""
    return datetime.now(UTC)


def policy(path: Path) -> Policy:
    """The policy in a file. Raises PolicyError with every mistake, ConfigError when it cannot be read."""
    from bridge.domain.policy import load
    from bridge.domain.policy.yamltext import MAX_BYTES

    try:
        with path.open("rb") as file:
            return load(file.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise ConfigError(f"the policy {path} cannot be read: {error.strerror}") from None


def client(
    openproject: OpenProject,
    *,
    stop: threading.Event | None = None,
    now: Now = utc_now,
    adapter: BaseAdapter | None = None,
    dry_run: bool = False,
    patience: float | None = None,
) -> Client:
    """A session to OpenProject that speaks as the service account. Nothing is sent yet.

    ``patience`` bounds, in seconds, what the settings let an answer take, and has a GET repeated once at most.
    """
    from bridge.openproject.client import Client, Timeouts
    from bridge.openproject.credentials import ApiKey, ClientCredentials, Credentials

    timeouts = Timeouts(connect=openproject.connect_timeout, read=openproject.read_timeout)
    if patience is not None:
        timeouts = Timeouts(
            connect=min(timeouts.connect, patience), read=min(timeouts.read, patience), whole=3 * patience, attempts=2
        )
    credentials: Credentials
    if openproject.api_key is not None:
        credentials = ApiKey(openproject.api_key.get_secret_value())
    else:
        assert openproject.client_id is not None  # settings have made sure of one or the other
        assert openproject.client_secret is not None
        credentials = ClientCredentials(openproject.client_id, openproject.client_secret.get_secret_value())
    return Client(
        openproject.url,
        credentials,
        public_url=openproject.public_url,
        timeouts=timeouts,
        ca=str(openproject.ca_file) if openproject.ca_file is not None else None,
        proxy=openproject.proxy.get_secret_value() if openproject.proxy is not None else None,
        clock=now,
        stop=stop,
        adapter=adapter,
        dry_run=dry_run,
    )


def state_dir(settings: Settings) -> Path:
    """The state directory, made if it is missing, for the bridge's user alone. Raises ConfigError."""
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"state_dir: {settings.state_dir} cannot be made ({error.strerror}): "
            "make it writable for this user, or set BRIDGE_STATE_DIR"
        ) from None
    return settings.state_dir


@contextmanager
def ledger(settings: Settings, now: Now = utc_now) -> Iterator[Ledger]:
    """The ledger, open for writing. Raises as ``Ledger.open`` does."""
    from bridge.store.ledger import Ledger

    state_dir(settings)
    with Ledger.open(settings.store_url, now=now) as opened:
        yield opened


def leave_note(settings: Settings, kind: EntryKind, facts: Mapping[str, object], now: Now = utc_now) -> None:
    """Have something recorded that was done beside the daemon: by it, or by whoever writes the ledger next.

    What was done is done: where no note can be left, the log says so.
    """
    from structlog import get_logger

    from bridge.store import notes

    try:
        notes.leave(settings.state_dir, kind, facts, now())
    except ConfigError as error:
        get_logger("bridge").warning("not recorded", what=kind.value, reason=str(error))


def _take_notes(settings: Settings, ledger: Ledger) -> None:
    from structlog import get_logger

    from bridge.store import notes

    for name in notes.take_in(ledger, settings.state_dir):
        get_logger("bridge").warning("what is no note was put aside", file=name)


def _record_settings(settings: Settings, ledger: Ledger, now: Now) -> None:
    """Write down the settings where they are others than the last ones; of secrets, that they are set."""
    from bridge.settings import values
    from bridge.store.schema import EntryKind

    told = {name: _plain(value) for name, value in values(settings) if value is not None}
    last = ledger.last_event(EntryKind.SETTINGS)
    if last is None or {name: value for name, value in last.items() if name != "at"} != {"settings": told}:
        ledger.record(EntryKind.SETTINGS, {"settings": told}, now())


def _plain(value: object) -> object:
    """A setting as the record spells it: exact, and the same after any reading."""
    return value if isinstance(value, bool | int) else str(value)  # SecretStr shows stars


def signing_key(settings: Settings) -> Path:
    """Where the key lies that signs the record."""
    return settings.audit.signing_key or settings.state_dir / "signing-key.pem"


def last_checkpoint(settings: Settings) -> Path:
    """Where the last signed checkpoint is kept, outside the database."""
    return settings.state_dir / "last-checkpoint.txt"


def sealing(settings: Settings, ledger: Ledger) -> Callable[[], None]:
    """Signs a checkpoint when it is time. Raises ConfigError for a key that cannot be used, Stop for a cut ledger."""
    from bridge.store.checkpoint import SigningKey
    from bridge.store.seal import is_due, seal

    state_dir(settings)
    key = SigningKey.load_or_create(signing_key(settings))
    interval = timedelta(seconds=settings.audit.interval)

    send = _mailing_checkpoints(settings, ledger)

    def seal_when_due() -> None:
        if is_due(ledger, interval):
            seal(ledger, key, last_checkpoint(settings))
            send()

    return seal_when_due


def inspection(
    settings: Settings, calls: Alerts, now: Now = utc_now, *, paused: Callable[[str], None] = lambda reason: None
) -> Inspection | None:
    """What checks the record of these settings; None where they want no checks. Raises ConfigError.

    ``paused`` is told why nothing is put back any more.
    """
    from subprocess import Popen

    from bridge.alerts import Alert
    from bridge.inspection import Inspection, Means
    from bridge.store.checkpoint import SigningKey
    from bridge.store.inspection import Found, Task, inspect_apart, last_signed
    from bridge.store.seal import kept

    every = timedelta(seconds=settings.audit.verify_interval)
    if not every:
        return None
    state_dir(settings)
    key = SigningKey.load_or_create(signing_key(settings))
    brake, at_work, ended = Pause(settings.state_dir), list[Popen[bytes]](), threading.Event()

    def note() -> str:
        return kept(last_checkpoint(settings)) or ""

    def last() -> int | None:
        signed = last_signed(note(), key)
        return None if signed is None else signed[0].size

    def check(since: tuple[int, bytes] | None) -> Found:
        text = note()
        signed = last_signed(text, key)
        if signed is None:
            raise RetryLater("the last checkpoint is signed by another key")
        return inspect_apart(Task(settings.store_url, text, signed[1], since), began)

    def began(process: Popen[bytes]) -> None:
        at_work[:] = [process]
        if ended.is_set():
            process.kill()

    def stop_acting(said: str) -> None:
        brake.begin(f"the record is broken: {said}")
        paused(f"the record is broken: {said}")

    def tell(said: str) -> bool:
        text = f"The record is broken, and nothing is put back any more: {said}. See: bridge audit verify"
        return calls.tell(Alert("broken_chain", text))

    def end() -> None:
        ended.set()
        for process in at_work:
            process.kill()

    return Inspection(Means(last, check, stop_acting, tell, now, end), inspection_file(settings), every)


@contextmanager
def inspecting(settings: Settings, ledger: Ledger, calls: Alerts, now: Now = utc_now) -> Iterator[Callable[[], None]]:
    """Has the record checked beside the cycles; what is yielded is called before each. Raises ConfigError."""
    from structlog import get_logger

    from bridge.inspection import Inspector
    from bridge.store.schema import EntryKind

    def record(reason: str) -> None:
        try:
            ledger.record(EntryKind.PAUSE, {"by": "bridge", "reason": reason}, now())
        except BridgeError as error:  # the brake holds all the same
            get_logger("bridge.inspection").warning("the pause was not recorded", reason=str(error))

    made = inspection(settings, calls, now, paused=record)
    if made is None:
        yield lambda: None
        return
    inspector = Inspector()
    try:
        yield lambda: inspector.look(made)
    finally:
        inspector.close()


def inspection_file(settings: Settings) -> Path:
    """What the checks of the record have found."""
    return settings.state_dir / "inspection.json"


def _record_holds(settings: Settings) -> bool | None:
    """What the last check said; None before the first, and where there are none."""
    from bridge.inspection import read_state

    if not settings.audit.verify_interval:
        return None
    state = read_state(inspection_file(settings))
    return None if state is None else not state.broken


_LETTER = """\
Point de contrôle du registre. Gardez ce texte signé : tout registre présenté plus tard doit le prolonger.
Checkpoint of the record. Keep this signed text: a record that is shown later must continue it.

{note}"""


def _mailing_checkpoints(settings: Settings, ledger: Ledger) -> Callable[[], None]:
    """Mails the last checkpoint to whom the settings name. One that does not get out is tried again."""
    from bridge.alerts import Alert, Alerts, mail
    from bridge.store.schema import EntryKind
    from bridge.store.seal import unpublished

    given, to = settings.alerts, settings.audit.mail_to
    if not to or given.mail_server is None:
        return lambda: None
    source = settings.openproject.public_url or settings.openproject.url
    letter = mail(given.mail_server.get_secret_value(), given.mail_from, to, source, ledger.writer.at)
    post = Alerts([letter])
    every = timedelta(seconds=settings.audit.publish_interval)

    def send_when_due() -> None:
        due = unpublished(ledger, "mail", every)
        if due is not None and post.tell(Alert("checkpoint", _LETTER.format(note=due[1]))):
            ledger.record(EntryKind.PUBLICATION, {"size": due[0], "to": "mail"}, ledger.writer.at())

    return send_when_due


@contextmanager
def cycle(
    settings: Settings,
    rules: Policy,
    ledger: Ledger,
    *,
    stop: threading.Event | None = None,
    now: Now = utc_now,
    progress: Callable[[int, int], None] = lambda done, total: None,
    patience: float | None = None,
    pool: Executor | None = None,
) -> Iterator[Cycle]:
    """Cycles over the OpenProject of the settings, by these rules, into this ledger. Raises ConfigError.

    ``patience`` is as for ``client``; ``pool`` as for ``Cycle``.
    """
    from bridge.engine.cycle import Cycle, Options
    from bridge.openproject.tracker import Tracker

    _record_settings(settings, ledger, now)
    # In observe mode nothing can be written, whatever the engine decides: the session itself refuses it.
    dry_run = settings.mode is not Mode.ENFORCE
    with client(settings.openproject, stop=stop, now=now, dry_run=dry_run, patience=patience) as session:
        made = Cycle(
            Tracker(session),
            ledger,
            rules,
            Options(
                mode=settings.mode,
                overlap=timedelta(seconds=settings.poll.overlap),
                snapshot_every=timedelta(seconds=settings.poll.snapshot_interval),
                control_ticket=WorkPackageId(settings.control_ticket) if settings.control_ticket is not None else None,
                checkpoint_ticket=WorkPackageId(settings.audit.post_to) if settings.audit.post_to is not None else None,
                checkpoint_every=timedelta(seconds=settings.audit.publish_interval),
            ),
            clock=now,
            brake=Pause(settings.state_dir),
            requests=lambda: session.usage.requests,
            progress=progress,
            take_notes=lambda: _take_notes(settings, ledger),
            pool=pool,
        )
        try:
            yield made
        finally:
            made.close()


@contextmanager
def web(
    settings: Settings,
    rules: Policy,
    *,
    ledger: Ledger | None = None,
    hint: Callable[[int], None] | None = None,
    now: Now = utc_now,
    port: int | None = None,
) -> Iterator[str]:
    """The dashboard's address while it is served. ``port`` overrides the setting's; 0 takes a free one.

    With the daemon's ``ledger``, matters can be acknowledged and logins, pauses and downloads are recorded at once;
    without it, by the daemon's next cycle. Raises ConfigError when there is no
    ledger to show, nobody could sign in, or the port is taken.
    """
    from bridge.web.app import create_app
    from bridge.web.serving import serving

    with site(settings, rules, ledger=ledger, hint=hint, now=now) as made:
        address = settings.web.port if port is None else port
        with serving(create_app(made), settings.web.host, address) as url:
            yield url


@contextmanager
def site(
    settings: Settings,
    rules: Policy,
    *,
    ledger: Ledger | None = None,
    hint: Callable[[int], None] | None = None,
    now: Now = utc_now,
) -> Iterator[Site]:
    """All that the dashboard shows and may ask for. Raises ConfigError when there is no ledger to show."""
    from bridge import __version__
    from bridge.daemon import read_heartbeat
    from bridge.openproject import activity_text
    from bridge.reports import conventions
    from bridge.store.queries import Queries
    from bridge.web.site import Site

    made = doors(settings.web)
    heartbeat = heartbeat_file(settings)
    with Queries(settings.store_url) as queries:
        yield Site(
            queries=queries,
            policy=rules,
            conventions=conventions.beside(settings.policy, rules),
            mode=settings.mode.value,
            ticket_url=settings.openproject.public_url or settings.openproject.url,
            version=__version__,
            doors=made,
            actions=_actions(settings, ledger, hint, now),
            pulse=lambda: read_heartbeat(heartbeat),
            paused=Pause(settings.state_dir).reason,
            now=now,
            is_note=lambda comment: activity_text.is_automatic(comment) or activity_text.is_retracted(comment),
            record_holds=lambda: _record_holds(settings),
        )


def doors(given: Web) -> Doors:
    """Who may come in to the dashboard. Raises ConfigError where nobody could."""
    from ipaddress import ip_network

    from bridge.web.site import Doors

    users = given.users.get_secret_value().split() if given.users is not None else []
    provider = _provider(given)
    if not users and not given.user_header and provider is None:
        raise ConfigError(
            "web.users (env BRIDGE_WEB__USERS) is not set, so nobody could sign in: "
            "run `bridge web-user NAME` and set what it prints"
        )
    return Doors(
        users=dict(line.split(":", 1) for line in users),
        user_header=given.user_header,
        trusted_proxies=tuple(map(ip_network, given.trusted_proxies.replace(",", " ").split())),
        open_probes=given.open_probes,
        webhook_secret=given.webhook_secret.get_secret_value().encode() if given.webhook_secret is not None else b"",
        provider=provider,
    )


def _provider(given: Web) -> Provider | None:
    """Who may say who somebody is. Raises ConfigError without the extra that it takes."""
    from importlib.util import find_spec

    from bridge.web.site import Provider

    if given.oidc_issuer is None:
        return None
    if find_spec("authlib") is None:
        raise ConfigError(
            "web.oidc_issuer (env BRIDGE_WEB__OIDC_ISSUER) needs the extra 'oidc': "
            "pip install 'openproject-bridge[oidc]'"
        )
    assert given.oidc_client_id is not None  # settings have made sure of both
    assert given.oidc_client_secret is not None
    return Provider(
        issuer=given.oidc_issuer,
        client_id=given.oidc_client_id.strip(),
        client_secret=given.oidc_client_secret.get_secret_value().strip(),
        allowed=frozenset(given.oidc_allowed.replace(",", " ").split()),
        ca=str(given.oidc_ca_file) if given.oidc_ca_file is not None else None,
    )


def _actions(settings: Settings, ledger: Ledger | None, hint: Callable[[int], None] | None, now: Now) -> Actions:
    """What the dashboard may bring about. Where another process holds the ledger, it is left a note."""
    from bridge.store.schema import EntryKind
    from bridge.web.site import Actions

    brake = Pause(settings.state_dir)

    def record(kind: EntryKind, details: dict[str, object]) -> None:
        if ledger is not None:
            ledger.record(kind, details, now())
        else:
            leave_note(settings, kind, details, now)

    def pause(who: str, reason: str) -> None:
        at = now()
        brake.begin(f"paused by {who} in the dashboard on {at:%Y-%m-%d %H:%M} UTC" + (f": {reason}" if reason else ""))
        record(EntryKind.PAUSE, {"by": who, "reason": reason})

    def resume(who: str) -> None:
        if brake.end():
            record(EntryKind.RESUME, {"by": who})

    def acknowledge(who: str, matter: str) -> None:
        record(EntryKind.ACKNOWLEDGEMENT, {"by": who, "matter": matter})

    return Actions(
        pause,
        resume,
        # By the ledger, and at once: who has pressed the button must not see the matter again.
        acknowledge=acknowledge if ledger is not None else None,
        record_login=lambda who, address: record(EntryKind.LOGIN, {"by": who, "from": address}),
        record_export=lambda who, what: record(EntryKind.EXPORT, {"by": who, "what": what}),
        hint=hint,
    )


def alerts(settings: Settings, now: Now = utc_now) -> Alerts:
    """Whom to call, by the settings; nobody where none are set."""
    from bridge.alerts import Alerts, mail, ping, webhook

    given, source = settings.alerts, settings.openproject.public_url or settings.openproject.url
    channels = []
    if given.webhook is not None:
        channels.append(webhook(given.webhook.get_secret_value(), source))
    if given.mail_server is not None:
        channels.append(mail(given.mail_server.get_secret_value(), given.mail_from, given.mail_to, source, now))
    if given.ping is None:
        return Alerts(channels)
    return Alerts(channels, ping(given.ping.get_secret_value()))


def heartbeat_file(settings: Settings) -> Path:
    """Where the daemon writes how it is."""
    return settings.state_dir / "heartbeat.json"


class Pause:
    """The kill switch: while a file lies in the state directory, the bridge judges and puts nothing back.

    A file works without the ledger, without the daemon, and with ``touch``.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "paused"

    def reason(self) -> str | None:
        """Why nothing is put back now; None when it may be."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").strip() or "paused without a reason"
        except FileNotFoundError:
            return None
        except OSError as error:
            # It is there and cannot be read: doubt never acts.
            return f"paused; {self.path} cannot be read ({error.strerror})"

    def begin(self, reason: str) -> None:
        """Pause. Raises ConfigError when the file cannot be written."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.write_text(reason + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error.strerror}: set BRIDGE_STATE_DIR to a folder that this user may "
                "write to"
            ) from None

    def end(self) -> bool:
        """Go on. False when it was not paused. Raises ConfigError when the file cannot be removed."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be removed: {error.strerror}") from None
        return True

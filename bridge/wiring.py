"""From settings to objects: the only place that constructs clients, stores and cycles.

Everything heavy is imported where it is made, so that a command that needs no ledger does not pay for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.domain.model import Mode, WorkPackageId
from bridge.errors import ConfigError
from bridge.settings import OpenProject, Settings

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

    from bridge.domain.policy import Policy
    from bridge.engine.cycle import Cycle
    from bridge.openproject.client import Client
    from bridge.store.ledger import Ledger

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of everything that is not told another."""
    return datetime.now(UTC)


def policy(path: Path) -> Policy:
    """The policy in a file. Raises PolicyError with every mistake, ConfigError when it cannot be read."""
    from bridge.domain.policy import load

    try:
        return load(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"the policy {path} cannot be read: {error.strerror}") from None


def client(
    openproject: OpenProject,
    *,
    stop: threading.Event | None = None,
    now: Now = utc_now,
    adapter: BaseAdapter | None = None,
    dry_run: bool = False,
) -> Client:
    """A session to OpenProject that speaks as the service account. Nothing is sent yet."""
    from bridge.openproject.client import Client, Timeouts
    from bridge.openproject.credentials import ApiKey, ClientCredentials, Credentials

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
        timeouts=Timeouts(connect=openproject.connect_timeout, read=openproject.read_timeout),
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


@contextmanager
def cycle(
    settings: Settings,
    rules: Policy,
    ledger: Ledger,
    *,
    stop: threading.Event | None = None,
    now: Now = utc_now,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Cycle]:
    """Cycles over the OpenProject of the settings, by these rules, into this ledger. Raises ConfigError."""
    from bridge.engine.cycle import Cycle, Options
    from bridge.openproject.tracker import Tracker

    # In observe mode nothing can be written, whatever the engine decides: the session itself refuses it.
    with client(settings.openproject, stop=stop, now=now, dry_run=settings.mode is not Mode.ENFORCE) as session:
        made = Cycle(
            Tracker(session),
            ledger,
            rules,
            Options(
                mode=settings.mode,
                overlap=timedelta(seconds=settings.poll.overlap),
                snapshot_every=timedelta(seconds=settings.poll.snapshot_interval),
                control_ticket=WorkPackageId(settings.control_ticket) if settings.control_ticket is not None else None,
            ),
            clock=now,
            brake=Pause(settings.state_dir),
            requests=lambda: session.usage.requests,
            progress=progress,
        )
        try:
            yield made
        finally:
            made.close()


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
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None

    def end(self) -> bool:
        """Go on. False when it was not paused. Raises ConfigError when the file cannot be removed."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be removed: {error.strerror}") from None
        return True

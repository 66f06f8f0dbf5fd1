"""A ledger filled by the demo's day, and the dashboard over it at the end of that day."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from werkzeug.security import generate_password_hash

from bridge import __version__, wiring
from bridge.cli import rehearsal
from bridge.daemon import Heartbeat
from bridge.reports.catalog import REPORTS
from bridge.settings import Settings
from bridge.simulator import Api, serve
from bridge.store.ledger import Ledger
from bridge.web.site import Site

ROOT = Path(__file__).parents[2]
NAME, PASSWORD = "alice", "a long enough password"
USERS = f"{NAME}:{generate_password_hash(PASSWORD, method='scrypt:1024:8:1')}"  # little work: there are many logins
READABLE = tuple(f"/reports/{name}?person=61" for name in REPORTS)
"""Every report, those about somebody too."""
SECRET = "a secret of the webhook"


def fill(folder: Path) -> datetime:
    """Play the day, with a cycle after each act. Returns the moment at which it ends."""
    player, instance, clock = rehearsal._world()
    with serve(Api(instance)) as serving:
        settings = rehearsal._settings(serving.url, instance, folder)
        rules = wiring.policy(settings.policy)
        with wiring.ledger(settings, clock) as ledger, wiring.cycle(settings, rules, ledger, now=clock) as cycle:
            cycle.run()
            for act in player.script.acts:
                if act.at <= clock():
                    continue
                player.until(act.at)
                cycle.run()
                clock.advance(timedelta(seconds=20))
                cycle.run()
            player.until(player.script.ends)
            cycle.run()
    return clock()


def settings_for(folder: Path, **web: Any) -> Settings:
    return Settings.model_validate(
        {
            "openproject": {"url": "https://openproject.example.org", "api_key": "k" * 20},
            "policy": ROOT / "config/cegape.yaml",
            "mode": "enforce",
            "state_dir": folder,
            "web": {"users": USERS, "webhook_secret": SECRET} | web,
        }
    )


@dataclass
class Desk:
    """What a dashboard is made from; tests turn its clock and its heartbeat."""

    folder: Path
    now: datetime
    pulse: Heartbeat | None = None
    hints: list[int] = field(default_factory=list)
    ledger: Ledger | None = None
    """While the dashboard is open: only one may write."""
    version = __version__

    def __post_init__(self) -> None:
        started = self.now - timedelta(hours=8)
        self.pulse = Heartbeat(
            pid=1, interval=60, started_at=started, cycles=480, missed=1, last_cycle=self.now, last_success=self.now
        )

    @contextmanager
    def site(self, *, with_ledger: bool = True, **web: Any) -> Iterator[Site]:
        settings = settings_for(self.folder, **web)
        rules = wiring.policy(settings.policy)
        if not with_ledger:
            with wiring.site(settings, rules, now=lambda: self.now) as made:
                yield replace(made, pulse=lambda: self.pulse)
            return
        with (
            wiring.ledger(settings, lambda: self.now) as ledger,
            wiring.site(settings, rules, ledger=ledger, hint=self.hints.append, now=lambda: self.now) as made,
        ):
            self.ledger = ledger
            yield replace(made, pulse=lambda: self.pulse)


def desk(filled: Path, folder: Path, now: datetime) -> Desk:
    """A copy of the filled ledger, for one test to write to."""
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    return Desk(folder, now)

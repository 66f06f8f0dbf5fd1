"""Every page of the dashboard over the ledger of ``bench.reports``: 20,000 tickets and 100,000 transitions.

The first opening and the best of five after it, in this process and without a socket. Pages that are a whole report
have the reports' own limit of a second, and are measured by ``bench.reports``.
"""

from __future__ import annotations

import tempfile
import time
from ipaddress import ip_network
from pathlib import Path

from bench.reports import CLIENTS, CONFIG, NOW, TICKETS, TRANSITIONS, seed
from bridge.domain.policy import load
from bridge.reports import conventions
from bridge.store.queries import Queries
from bridge.web.app import create_app
from bridge.web.site import Actions, Doors, Site

PAGES = (
    "/",
    "/violations",
    "/violations?period=this-year&page=9",
    "/tickets",
    "/tickets?q=client+7",
    "/tickets/4711",
    "/people",
    f"/people/{next(iter(CLIENTS))}",
    "/policy",
    "/reports",
    "/integrity",
    "/integrity?check=newest",
)
LIMIT = 100
"""Milliseconds."""


def main() -> None:
    policy_file = CONFIG / "cegape.yaml"
    policy = load(policy_file.read_bytes(), policy_file.name)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bridge.db'}"
        seed(url)
        with Queries(url) as queries:
            site = Site(
                queries=queries,
                policy=policy,
                conventions=conventions.beside(policy_file, policy),
                mode="observe",
                ticket_url="https://openproject.example.org",
                version="0",
                doors=Doors(user_header="X-Remote-User", trusted_proxies=(ip_network("127.0.0.1"),)),
                actions=Actions(pause=lambda _who, _why: None, resume=lambda _who: None),
                pulse=lambda: None,
                paused=lambda: None,
                now=lambda: NOW,
            )
            client = create_app(site).test_client()
            client.environ_base["HTTP_X_REMOTE_USER"] = "bench"
            print(f"pages: {TICKETS:,} tickets, {TRANSITIONS:,} transitions; each below {LIMIT} ms")
            print(f"  {'':<38} {'first':>9} {'after':>9} {'size':>9}")
            for path in PAGES:
                times, size = [], 0
                for _ in range(6):
                    start = time.perf_counter()
                    answer = client.get(path)
                    times.append((time.perf_counter() - start) * 1000)
                    assert answer.status_code == 200, (path, answer.status)
                    size = len(answer.data)
                print(f"  {path:<38} {times[0]:>6,.0f} ms {min(times[1:]):>6,.0f} ms {size / 1024:>5,.0f} KiB")


if __name__ == "__main__":
    main()

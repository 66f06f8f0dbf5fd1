"""For machines that watch: /healthz, /readyz and /metrics. Every figure is read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.errors import BridgeError
from bridge.web.matters import open_matters
from bridge.web.site import Pulse, Site

MISSED = 2
"""Intervals without a good cycle after which the bridge is not ready: one may be a slow answer, two are a finding."""

VERDICTS = ("allowed", "illegal", "undecided")
"""What metrics are labelled with; fixed, so that an instance always has the same few series."""


def unready(pulse: Pulse | None, now: datetime) -> str:
    """Why the watch over OpenProject cannot be relied on now; empty when it can."""
    if pulse is None:
        return "the daemon never ran here"
    if pulse.stopped_at is not None:
        return "the daemon is stopped"
    last = pulse.last_success or pulse.started_at
    if now - last > timedelta(seconds=MISSED * pulse.interval):
        return f"no good cycle since {last:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def blueprint(site: Site, *counters: Counter) -> Blueprint:
    """The three addresses. What the counters count elsewhere is shown here."""
    pages = Blueprint("probes", __name__)
    registry = CollectorRegistry()
    registry.register(_Watch(site))
    for counter in counters:
        registry.register(counter)
    ProcessCollector(registry=registry)

    @pages.get("/healthz")
    def healthz() -> Response:
        """That this process answers; says nothing about anything else."""
        return Response("ok\n", mimetype="text/plain")

    @pages.get("/readyz")
    def readyz() -> Response:
        """503 with the reason when cycles stay away or the ledger cannot be read."""
        reason = unready(site.pulse(), site.now()) or _unreadable(site)
        return Response(f"{reason or 'ready'}\n", status=503 if reason else 200, mimetype="text/plain")

    @pages.get("/metrics")
    def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return pages


def _unreadable(site: Site) -> str:
    try:
        with site.queries.snapshot() as snapshot:
            snapshot.watermark()
    except BridgeError as error:
        return str(error)
    return ""


class _Watch(Collector):
    """The daemon's heartbeat and the ledger's state. No ticket, no person and no project is a label."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[Metric]:
        return []  # collecting at registration would read the ledger

    def collect(self) -> Iterator[Metric]:
        site = self._site
        now, pulse = site.now(), site.pulse()
        info = GaugeMetricFamily("bridge_info", "Always 1; the labels say what runs.", labels=("version", "mode"))
        info.add_metric([site.version, site.mode], 1)
        yield info
        yield _gauge("bridge_ready", "1 while cycles succeed in time.", not unready(pulse, now))
        yield _gauge("bridge_paused", "1 while nothing is put back because somebody paused it.", site.paused())
        if pulse is not None:
            yield from _beat(pulse)
        if (holds := site.record_holds()) is not None:
            yield _gauge("bridge_record_holds", "1 when the last check of the record found nothing wrong.", holds)
        try:
            yield from self._ledger()
            readable = True
        except BridgeError:
            readable = False
        yield _gauge("bridge_ledger_readable", "1 when the figures from the ledger are there.", readable)

    def _ledger(self) -> list[Metric]:
        """All or nothing: half of them would look like zeros in a sum."""
        with self._site.queries.snapshot() as snapshot:
            view = snapshot.overview()
            matters, verdicts = open_matters(snapshot, view), snapshot.verdicts()
        moves = GaugeMetricFamily("bridge_moves", "Status changes that count, by verdict.", labels=("verdict",))
        for verdict in VERDICTS:
            moves.add_metric([verdict], verdicts.get(verdict, 0))
        tickets = GaugeMetricFamily("bridge_tickets", "Tickets ever seen, by what is known now.", labels=("state",))
        tickets.add_metric(["read"], view.tickets - view.vanished - view.unsynced)
        tickets.add_metric(["unread"], view.unsynced)
        tickets.add_metric(["vanished"], view.vanished)
        waiting = GaugeMetricFamily("bridge_matters", "What waits for a person, by kind.", labels=("kind",))
        for kind, count in matters.counts().items():
            waiting.add_metric([kind.value], count)
        enforced = len({row.rule for row in view.enforced})
        found: list[Metric] = [
            moves,
            tickets,
            waiting,
            _gauge("bridge_open_reverts", "Reverts that are begun and not finished.", len(view.open_actions)),
            _gauge("bridge_enforced_rules", "Rules that are enforced in at least one project.", enforced),
            CounterMetricFamily("bridge_ledger_entries", "Entries of the ledger.", value=view.entries),
        ]
        if view.watermark is not None:
            found.append(_moment("bridge_watermark", "Changes until then have been read.", view.watermark))
        if view.checkpoint is not None:
            found.append(_moment("bridge_checkpoint", "When the ledger was last signed.", view.checkpoint.at))
        return found


def _beat(pulse: Pulse) -> Iterator[Metric]:
    yield _gauge("bridge_poll_interval_seconds", "Seconds between cycles.", pulse.interval)
    yield CounterMetricFamily("bridge_cycles", "Cycles since the start, failed ones included.", value=pulse.cycles)
    yield CounterMetricFamily(
        "bridge_cycles_missed", "Cycles that were due while another was still running.", value=pulse.missed
    )
    yield _gauge("bridge_cycle_failures", "Cycles that failed since the last good one.", pulse.failures)
    yield _moment("bridge_start", "When the daemon started.", pulse.started_at)
    if pulse.last_success is not None:
        yield _moment("bridge_last_success", "When the last good cycle ended.", pulse.last_success)


def _gauge(name: str, help: str, value: object) -> Metric:
    number = value if isinstance(value, int | float) else bool(value)
    return GaugeMetricFamily(name, help, value=number)


def _moment(name: str, help: str, at: datetime) -> Metric:
    return GaugeMetricFamily(f"{name}_timestamp_seconds", f"{help} Unix time.", value=at.timestamp())

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import Visit, Visitor
from tests.web.world import NAME, PASSWORD


def test_healthz_answers_anybody(visit: Visit) -> None:
    answer = visit().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readyz_is_red_after_two_missed_intervals_and_green_again_after_a_good_cycle(visit: Visit) -> None:
    made = visit(open_probes=True)
    pulse = made.desk.pulse
    assert pulse is not None
    assert made.get("/readyz").status_code == 200
    made.desk.now += timedelta(seconds=2 * pulse.interval)
    assert made.get("/readyz").status_code == 200
    made.desk.now += timedelta(seconds=1)
    red = made.get("/readyz")
    assert (red.status_code, "no good cycle since" in red.text) == (503, True)
    made.desk.pulse = replace(pulse, last_success=made.desk.now)
    assert made.get("/readyz").status_code == 200


def test_readyz_is_red_before_the_first_good_cycle_is_due_and_did_not_come(visit: Visit) -> None:
    made = visit(open_probes=True)
    assert made.desk.pulse is not None
    made.desk.pulse = replace(made.desk.pulse, last_success=None, started_at=made.desk.now)
    assert made.get("/readyz").status_code == 200
    made.desk.now += timedelta(seconds=121)
    assert made.get("/readyz").status_code == 503


@pytest.mark.parametrize("state", ["never ran", "stopped"])
def test_readyz_says_why_it_is_red(visit: Visit, state: str) -> None:
    made = visit(open_probes=True)
    assert made.desk.pulse is not None
    made.desk.pulse = replace(made.desk.pulse, stopped_at=made.desk.now) if state == "stopped" else None
    answer = made.get("/readyz")
    assert (answer.status_code, state in answer.text) == (503, True)


def metrics(made: Visitor) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = made.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_agree_with_the_ledger_and_the_heartbeat(visit: Visit) -> None:
    found = metrics(visit(open_probes=True))
    assert found["bridge_moves", (("verdict", "illegal"),)] == 14
    assert found["bridge_moves", (("verdict", "undecided"),)] == 0
    assert found["bridge_matters", (("kind", "appeal"),)] == 1
    assert found["bridge_tickets", (("state", "read"),)] == 12
    assert found["bridge_cycles_total", ()] == 480
    assert found["bridge_cycles_missed_total", ()] == 1
    assert (found["bridge_ready", ()], found["bridge_paused", ()], found["bridge_ledger_readable", ()]) == (1, 0, 1)


def test_metrics_tell_a_pause_and_missed_cycles(visit: Visit) -> None:
    made = visit(open_probes=True)
    (made.desk.folder / "paused").write_text("by hand")
    made.desk.now += timedelta(minutes=5)
    found = metrics(made)
    assert (found["bridge_ready", ()], found["bridge_paused", ()]) == (0, 1)


def test_an_instance_has_few_series_and_none_is_about_a_ticket_or_a_person(visit: Visit) -> None:
    made = visit(open_probes=True)
    found = metrics(made)
    assert len(found) < 60
    values = {value for _, labels in found for _, value in labels}
    assert values <= {
        *("2xx", "3xx", "4xx", "5xx", "accepted", "ignored", "refused", "read", "unread", "vanished"),
        *("allowed", "illegal", "undecided", "breaker", "failed", "appeal", "enforce"),
        made.desk.version,
    }
    assert found.keys() == metrics(made).keys()


def test_names_follow_prometheus_conventions(visit: Visit) -> None:
    answer = visit(open_probes=True).get("/metrics")
    for family in text_string_to_metric_families(answer.text):
        assert family.name.startswith(("bridge_", "process_"))
        assert family.documentation
        if family.type == "gauge" and "timestamp" in family.name:
            assert family.name.endswith("_timestamp_seconds")


@pytest.mark.parametrize("address", ["/readyz", "/metrics"])
def test_probes_want_a_login_unless_a_setting_opens_them(visit: Visit, address: str) -> None:
    made = visit()
    assert made.get(address).status_code == 401
    assert made.get(address, auth=(NAME, "wrong")).status_code == 401
    assert made.get(address, auth=(NAME, PASSWORD)).status_code == 200


def test_a_ledger_that_cannot_be_read_is_red_and_told(visit: Visit) -> None:
    made = visit(with_ledger=False, open_probes=True)
    (made.desk.folder / "bridge.db").write_bytes(b"no database" * 1000)
    assert made.get("/readyz").status_code == 503
    found = metrics(made)
    assert found["bridge_ledger_readable", ()] == 0
    assert "bridge_open_reverts" not in {name for name, _ in found}

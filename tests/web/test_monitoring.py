"""What deploy/ gives to Prometheus and Grafana asks for metrics that there are, in a language that they read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from bridge.inspection import State, write_state
from tests.web.conftest import Visit, Visitor

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS, DASHBOARD = DEPLOY / "alerts.yml", DEPLOY / "grafana-dashboard.json"
PROMTOOL = shutil.which("promtool") or ""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="no promtool: apt-get install prometheus")


def alerts() -> list[dict[str, str]]:
    groups = YAML(typ="safe").load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def exposed(visitor: Visitor) -> str:
    visitor.client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    return visitor.get("/metrics").text


def checked(visitor: Visitor, state: State) -> None:
    """As the daemon's check leaves it."""
    write_state(visitor.desk.folder / "inspection.json", state)


def test_alerts_and_panels_ask_for_metrics_that_there_are(visit: Visit) -> None:
    visitor = visit(open_probes=True)
    checked(visitor, State())
    text = exposed(visitor)
    there = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    asked = {
        name
        for expression in (*queries(), *(rule["expr"] for rule in alerts()))
        for name in re.findall(r"\b(?:bridge|process)_[a-z_]+\b", expression)
    }
    assert len(asked) > 10
    assert asked <= there


def test_whether_the_record_holds_is_said_from_its_first_check_on(visit: Visit) -> None:
    visitor = visit(open_probes=True)
    assert "bridge_record_holds" not in exposed(visitor)
    for state, value in ((State(), 1), (State(broken="entry 7 is missing"), 0)):
        checked(visitor, state)
        assert f"bridge_record_holds {value}.0\n" in exposed(visitor)


def test_every_alert_says_what_to_do() -> None:
    for rule in alerts():
        told = rule["annotations"]
        assert isinstance(told, dict)
        assert told["summary"]
        assert len(told["description"]) > 40


def test_panels_lie_beside_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for g in (panel["gridPos"] for panel in panels)
        for x in range(g["x"], g["x"] + g["w"])
        for y in range(g["y"], g["y"] + g["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in panels}) == len(panels)


@needs_promtool
def test_promtool_accepts_the_alerts() -> None:
    ran = subprocess.run([PROMTOOL, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(alerts())} rules found" in ran.stdout


@needs_promtool
def test_promtool_accepts_every_panels_query(tmp_path: Path) -> None:
    rules = [{"record": f"panel_{number}", "expr": _concrete(each)} for number, each in enumerate(queries())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    ran = subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _concrete(expression: str) -> str:
    return expression.replace("$job", "bridge").replace("$instance", ".*")


@needs_promtool
def test_promtool_finds_nothing_to_improve_in_the_metrics(visit: Visit) -> None:
    text = "".join(
        line for line in exposed(visit(open_probes=True)).splitlines(keepends=True) if "process_" not in line
    )
    ran = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")

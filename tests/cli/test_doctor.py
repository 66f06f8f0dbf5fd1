from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.daemon import Heartbeat, write_heartbeat
from tests.cli.conftest import ROOT, Bridge, World


@pytest.fixture(autouse=True)
def _at_the_same_time(world: World) -> None:
    world.clock.set(datetime.now(UTC))


def findings(bridge: Bridge) -> dict[str, tuple[str, str, str]]:
    ran = bridge("doctor", "--json")
    told = json.loads(ran.out)
    assert ran.code == (0 if told["well"] else 1)
    for check in told["checks"]:
        assert bool(check["remedy"]) == (check["state"] != "ok"), check
    return {check["name"]: (check["state"], check["found"], check["remedy"]) for check in told["checks"]}


def test_all_is_well_and_nothing_is_changed(bridge: Bridge, world: World) -> None:
    world.instance.create("ca", "client-alpha", "Bulletin en erreur")
    found = findings(bridge)
    assert {state for state, _, _ in found.values()} == {"ok"}
    assert {"settings", "state_dir", "ledger", "policy", "openproject", "projects", "statuses", "roles"} <= found.keys()
    assert list(Path().iterdir()) == []
    assert world.server.usage.by_kind["write"] == 0


def test_the_plain_form_names_a_remedy(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "0" * 64)
    ran = bridge("doctor")
    assert ran.code == 1
    assert "failed   openproject: " in ran.out
    assert "\n         -> " in ran.out


def test_missing_settings_are_findings(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_OPENPROJECT__URL")
    assert findings(bridge)["settings"][0] == "failed"


def test_a_token_file_that_others_can_read(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_OPENPROJECT__API_KEY")
    token = Path("token")
    token.write_text(world.instance.token("bridge"))
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY_FILE", "token")
    token.chmod(0o644)
    assert findings(bridge)["secrets"] == ("warning", "token can be read by other users", "chmod 600 token")
    token.chmod(0o600)
    assert "secrets" not in findings(bridge)


def test_any_secret_in_a_file_that_others_can_read(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("BRIDGE_ALERTS__WEBHOOK=https://chat.example.org/hooks/secret\n")
    Path(".env").chmod(0o644)
    assert findings(bridge)["secrets"] == ("warning", ".env can be read by other users", "chmod 600 .env")


def test_a_broken_policy(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken.yaml").write_text("policy: 1\npolicy: 2\n")
    monkeypatch.setenv("BRIDGE_POLICY", "broken.yaml")
    state, found, remedy = findings(bridge)["policy"]
    assert (state, remedy) == ("failed", "bridge policy check broken.yaml")
    assert found.startswith("broken.yaml:1:1:")


def test_a_state_directory_that_is_none(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("BRIDGE_STATE_DIR", "file/state")
    assert findings(bridge)["state_dir"][0] == "failed"


def test_a_ledger_elsewhere_is_looked_at_and_not_made(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_STORE", "sqlite:///other.db")
    assert findings(bridge)["ledger"] == ("ok", "other.db will be made at the first start", "")
    assert list(Path().iterdir()) == []
    assert bridge("once").code == 0
    assert findings(bridge)["ledger"][1].startswith("holds everything up to ")
    before = Path("other.db").read_bytes()
    with closing(sqlite3.connect("other.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '0'")
    older = Path("other.db").read_bytes()
    state, found, remedy = findings(bridge)["ledger"]
    assert (state, "of another version" in found, bool(remedy)) == ("failed", True, True)
    assert Path("other.db").read_bytes() == older != before
    Path("other.db").write_text("somebody's text" * 1000)
    assert findings(bridge)["ledger"][0] == "failed"


def test_a_ledger_that_a_bridge_has_in_use_and_one_whose_bridge_was_killed(bridge: Bridge, world: World) -> None:
    assert bridge("once").code == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid, found in ((os.getpid(), "in use by the bridge that runs here"), (gone.pid, "holds everything up to")):
        write_heartbeat(Path("bridge-state/heartbeat.json"), Heartbeat(pid, 60, datetime.now(UTC)))
        assert findings(bridge)["ledger"][1].startswith(found)


def test_a_ledger_where_none_can_be_made(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_STORE", "sqlite:///nowhere/other.db")
    state, found, _ = findings(bridge)["ledger"]
    assert (state, found) == ("failed", "nowhere/other.db cannot be written by this user")


def test_a_signing_key_that_is_none_or_that_others_can_read(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bridge("once").code == 0
    Path("key.pem").write_text("no key")
    monkeypatch.setenv("BRIDGE_AUDIT__SIGNING_KEY", "key.pem")
    for mode, told in ((0o644, "can be read by others"), (0o600, "is no signing key")):
        Path("key.pem").chmod(mode)
        state, found, remedy = findings(bridge)["signing key"]
        assert state == "failed"
        assert told in found
        assert "BRIDGE_AUDIT__SIGNING_KEY" in remedy


def test_a_dashboard_that_nobody_could_open(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "web" not in findings(bridge)
    monkeypatch.setenv("BRIDGE_WEB__ENABLED", "true")
    state, found, _ = findings(bridge)["web"]
    assert (state, "web-user" in found) == ("failed", True)
    monkeypatch.setenv("BRIDGE_WEB__USERS", "lea:scrypt:1:1:1$a$b")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("BRIDGE_WEB__PORT", str(taken.getsockname()[1]))
        state, found, remedy = findings(bridge)["web"]
        assert state == "failed"
        assert f"port {taken.getsockname()[1]}" in found
        assert "BRIDGE_WEB__PORT" in remedy
    assert findings(bridge)["web"][0] == "ok"


def test_an_account_without_view_members(bridge: Bridge, world: World) -> None:
    role = world.instance.role("Pont")
    world.instance.roles[role.id] = type(role)(role.id, role.name, role.permissions - {"view_members"})
    state, found, remedy = findings(bridge)["projects"]
    assert state == "failed"
    assert "client-alpha" in found
    assert "View members" in remedy


def test_an_account_that_is_a_member_of_nothing(bridge: Bridge, world: World) -> None:
    for project in ("client-alpha", "client-beta"):
        world.instance.leave(project, "bridge")
    found = findings(bridge)
    assert "failed" in {found[name][0] for name in ("projects", "openproject") if name in found}


def test_a_status_that_openproject_does_not_have(bridge: Bridge, world: World) -> None:
    world.instance.rename_status("EN COURS", "EN COURS (bis)")
    told = json.loads(bridge("doctor", "--json").out)["checks"]
    statuses = {check["found"]: check["state"] for check in told if check["name"] == "statuses"}
    assert statuses["OpenProject has no 'EN COURS'"] == "failed"


def test_another_default_status(bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "config/demo/instance.yaml").read_text(encoding="utf-8")
    assert "isDefault" in text
    for status in world.instance.statuses.values():
        status.default = status.name == "EN COURS"
    state, found, _ = findings(bridge)["statuses"]
    assert state == "warning"
    assert "new tickets start in 'EN COURS'" in found


def test_a_role_that_nobody_has(bridge: Bridge, world: World) -> None:
    for person in ("sup", "dev"):
        for project in ("client-alpha", "client-beta"):
            world.instance.leave(project, person)
    ran = json.loads(bridge("doctor", "--json").out)
    roles = [check for check in ran["checks"] if check["name"] == "roles" and check["state"] == "warning"]
    assert len(roles) == 1
    assert "'CEGAPE'" in roles[0]["found"]


def test_clocks_that_differ(bridge: Bridge, world: World) -> None:
    world.clock.advance(timedelta(minutes=10))
    state, found, remedy = findings(bridge)["clock"]
    assert state == "warning"
    assert "+" in found
    assert "NTP" in remedy


def test_a_custom_field_that_is_called_like_the_status(bridge: Bridge, world: World) -> None:
    from bridge.simulator.nouns import CustomField

    world.instance.custom_fields[4] = CustomField(4, "Statut", "string")
    world.instance.create("ca", "client-alpha", "Bulletin en erreur")
    state, found, _ = findings(bridge)["fields"]
    assert state == "warning"
    assert "'Statut'" in found


def test_an_account_that_may_not_put_back_what_it_would_have_to(bridge: Bridge, world: World) -> None:
    world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    assert findings(bridge)["transitions"][0] == "ok"
    pont, back = world.instance.role("Pont").id, world.instance.status("NOUVEAU").id
    workflow = world.instance.workflows
    for key in [key for key in workflow if pont in key]:
        workflow[key] = frozenset(move for move in workflow[key] if move[1] != back)
    state, found, remedy = findings(bridge)["transitions"]
    assert state == "failed"
    assert "back from RESOLU to NOUVEAU" in found
    assert "Workflows" in remedy
    assert world.server.usage.by_kind["write"] == 0


def test_an_account_that_may_not_edit(bridge: Bridge, world: World) -> None:
    world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    role = world.instance.role("Pont")
    world.instance.roles[role.id] = type(role)(role.id, role.name, role.permissions - {"edit_work_packages"})
    told = json.loads(bridge("doctor", "--json").out)["checks"]
    refused = [check for check in told if check["name"] == "transitions" and check["state"] == "failed"]
    assert len(refused) == 1
    assert "edit work packages" in refused[0]["remedy"]

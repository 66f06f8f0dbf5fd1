from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge import __version__
from tests.cli.conftest import ROOT, Bridge, World


def test_the_version_is_told(bridge: Bridge) -> None:
    assert bridge("--version").out == f"bridge {__version__}\n"


@pytest.mark.parametrize("arguments", [["confg"], ["once", "--jsn"], ["--env-fil", "x"], ["pause", "--reason"]])
def test_a_usage_mistake_is_exit_code_2(bridge: Bridge, arguments: list[str]) -> None:
    ran = bridge(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Error" in ran.err


def test_every_command_helps(bridge: Bridge) -> None:
    top = bridge("--help")
    assert top.code == 0
    commands = [line.split()[0] for line in top.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert {"run", "once", "status", "demo", "simulate", "pause", "resume", "config"} <= set(commands)
    for command in commands:
        ran = bridge(command, "--help")
        assert ran.code == 0
        assert "Usage: bridge" in ran.out


def test_settings_are_shown_with_their_origin_and_without_secrets(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.instance.token("bridge")
    monkeypatch.setenv("BRIDGE_MODEE", "enforce")
    Path("other.env").write_text("BRIDGE_POLL__INTERVAL=30\n")
    ran = bridge("--env-file", "other.env", "config", "show", "--json")
    assert ran.code == 0
    rows = {row["name"]: row for row in json.loads(ran.out)["settings"]}
    assert (rows["openproject.api_key"]["value"], rows["openproject.api_key"]["origin"]) == ("***", "environment")
    assert (rows["poll.interval"]["value"], rows["poll.interval"]["origin"]) == (30, "other.env")
    assert rows["mode"]["origin"] == "default"
    assert "did you mean BRIDGE_MODE?" in ran.err
    plain = bridge("config", "show")
    assert "openproject.api_key\t***\tenvironment\tBRIDGE_OPENPROJECT__API_KEY" in plain.out
    assert token not in ran.out + ran.err + plain.out + plain.err


@contextmanager
def somebody_else() -> Iterator[None]:
    """Whom the modes of files keep out: who runs the tests is often root."""
    if os.geteuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    "command", ["status", "pause", "resume", "doctor", "once", "report violations", "audit verify", "db backup copy"]
)
def test_who_may_not_look_into_the_state_directory_is_told_so(
    bridge: Bridge, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    shutil.copy(ROOT / "config/cegape.yaml", "policy.yaml")
    monkeypatch.setenv("BRIDGE_POLICY", "policy.yaml")
    monkeypatch.setenv("BRIDGE_STATE_DIR", "closed/state")
    monkeypatch.setattr("bridge.settings.DOCKER_SECRETS", Path("no-secrets"))
    assert bridge("once").code == 0
    bridge(*command.split())  # what it imports may be closed to that user as well
    Path("copy").unlink(missing_ok=True)
    tmp_path.chmod(0o777)
    Path("closed").chmod(0)
    try:
        with somebody_else():
            ran = bridge(*command.split())
    finally:
        Path("closed").chmod(0o700)
    assert ran.code == (1 if command == "doctor" else 2)
    assert "closed/state" in ran.out + ran.err
    assert "this user" in ran.out + ran.err or "Permission denied" in ran.err


def test_the_demo_finds_exactly_what_its_script_made(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = bridge("demo", "--pace", "0", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["missing"], told["too_many"]) == ([], [])
    script = (ROOT / "config/demo/day.yaml").read_text(encoding="utf-8")
    assert len(told["made"]) == script.count(", illegal: ")
    assert script.count("ends: put back") > 5
    page = Path(told["report"]).read_text(encoding="utf-8")
    for one in told["made"]:
        assert one["rule"] in page
    assert Path(told["ledger"]).is_file()
    assert told["entries"] > 100


def test_the_demo_empties_no_folder_but_its_own(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("42")
    ran = bridge("demo", "--folder", "mine")
    assert ran.code == 2
    assert "--folder" in ran.err
    assert Path("mine/thesis.txt").exists()

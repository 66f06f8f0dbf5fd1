from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.settings import load
from tests.cli.conftest import ROOT, Bridge, World


@pytest.fixture
def token(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """The account's token; no setting is made yet."""
    world.clock.set(datetime.now(UTC))
    for name in ("BRIDGE_OPENPROJECT__URL", "BRIDGE_OPENPROJECT__API_KEY", "BRIDGE_POLICY"):
        monkeypatch.delenv(name)
    Path("given").write_text(world.instance.token("bridge") + "\n")
    return world.instance.token("bridge")


def test_with_all_options_it_asks_nothing_and_the_bridge_runs_with_what_it_wrote(
    bridge: Bridge, world: World, token: str
) -> None:
    ran = bridge("init", "--url", world.url + "/", "--token-file", "given")
    assert ran.code == 0, ran.err + ran.out
    assert "answers to Pont CEGAPE" in ran.err
    assert "ok       openproject: " in ran.out
    assert [Path(name).stat().st_mode & 0o777 for name in ("token", ".env")] == [0o600, 0o600]
    assert Path("policy.yaml").read_bytes() == (ROOT / "config/cegape.yaml").read_bytes()
    for name in ("policy.yaml", "policy.tests.yaml"):
        _, _, schema = Path(name).read_text(encoding="utf-8").splitlines()[0].partition("$schema=")
        assert Path(schema).read_bytes() == (ROOT / "config" / schema).read_bytes()
    assert bridge("policy", "test", "policy.yaml", "--cover", "100").code == 0
    settings = load().settings
    assert settings.openproject.url == world.url
    assert settings.openproject.api_key is not None
    assert settings.openproject.api_key.get_secret_value() == token
    assert token not in ran.out + ran.err + Path(".env").read_text()
    assert "# Every line may also be" in Path(".env").read_text()
    assert bridge("once").code == 0
    assert world.server.usage.by_kind["write"] == 0


def test_for_the_service_the_token_is_left_to_systemd(bridge: Bridge, world: World, token: str) -> None:
    options = ("--service", "--folder", "etc", "--state-dir", "/var/lib/bridge")
    ran = bridge("init", "--url", world.url, "--token-file", "given", *options)
    assert ran.code == 0, ran.err
    assert "ok       openproject: " in ran.out
    assert "sudo bridge doctor" in ran.err
    written = Path("etc/bridge.env").read_text()
    assert "\nBRIDGE_STATE_DIR=/var/lib/bridge\n" in written
    assert "\nBRIDGE_OPENPROJECT__API_KEY" not in written
    assert Path("etc/secrets/openproject__api_key").read_text().strip() == token
    assert Path("etc/secrets").stat().st_mode & 0o777 == 0o700
    assert Path("etc/bridge.env").stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_not_written_over(bridge: Bridge, world: World, token: str) -> None:
    Path("policy.yaml").write_text("ours")
    ran = bridge("init", "--url", world.url, "--token-file", "given")
    assert ran.code == 2
    assert "policy.yaml" in ran.err
    assert Path("policy.yaml").read_text() == "ours"
    assert bridge("init", "--url", world.url, "--token-file", "given", "--force").code == 0
    assert Path("policy.yaml").read_text() != "ours"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--url", "openproject.example.org", "--token-file", "given"), "must be the address"),
        (("--url", "http://127.0.0.1:9", "--token-file", "nothing"), "--token-file: nothing cannot be read"),
        (("--url", "http://127.0.0.1:9", "--token-file", "given", "--policy", "none.yaml"), "none.yaml cannot be read"),
    ],
)
def test_a_wrong_option_writes_nothing(
    bridge: Bridge, world: World, token: str, options: tuple[str, ...], told: str
) -> None:
    ran = bridge("init", *options)
    assert ran.code == 2
    assert told in ran.err
    assert [path.name for path in Path().iterdir()] == ["given"]


@pytest.mark.parametrize("options", [(), ("--service",)])
def test_a_folder_that_cannot_be_written_is_named(
    bridge: Bridge, world: World, token: str, options: tuple[str, ...]
) -> None:
    ran = bridge("init", "--url", world.url, "--token-file", "given", "--folder", "given/etc", *options)
    assert ran.code == 2
    assert "given/etc cannot be written: " in ran.err


def test_a_token_that_openproject_refuses_writes_nothing(bridge: Bridge, world: World, token: str) -> None:
    Path("given").write_text("0" * 64)
    ran = bridge("init", "--url", world.url, "--token-file", "given")
    assert ran.code == 2
    assert "token" in ran.err
    assert [path.name for path in Path().iterdir()] == ["given"]


@pytest.mark.parametrize("options", [(), ("--service", "--state-dir", "/var/lib/bridge")])
def test_what_the_account_lacks_is_told_and_the_exit_code_says_so(
    bridge: Bridge, world: World, token: str, options: tuple[str, ...]
) -> None:
    role = world.instance.role("Pont")
    world.instance.roles[role.id] = type(role)(role.id, role.name, role.permissions - {"view_members"})
    ran = bridge("init", "--url", world.url, "--token-file", "given", *options)
    assert ran.code == 1
    assert "View members" in ran.out
    assert Path("bridge.env" if options else ".env").is_file()


def test_a_person_is_asked_until_the_answer_is_right(world: World, token: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "init"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"not an address\n{world.url}\n".encode())
    assert process.stderr is not None
    said = ""
    while "API token of its account: " not in said:  # by its last space the echo is off, and what was typed is gone
        said += process.stderr.read(1)
    os.write(ours, f"{token}\n".encode())
    out, rest = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, said + rest
    assert "must be the address" in said
    assert "ok       openproject: " in out
    assert token not in said + rest + out

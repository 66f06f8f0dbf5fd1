"""Every setting by its name, set to what it cannot mean: one message that names it, exit code 2 and no secret."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import settings as module
from bridge import wiring
from bridge.errors import ConfigError
from bridge.settings import FleetSettings, Settings, fields, load, load_fleet, values, variable
from tests.cli.conftest import Bridge, bridge  # noqa: F401 - a fixture

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "5e" * 32
HUSH = "hush-hush"
"""A password within what cannot be meant: no message may repeat it."""

NAMES = dict.fromkeys(name for root in (Settings, FleetSettings) for name, _ in fields(root))

ADDRESS = (
    "nonsense",
    "ftp://example.org",
    "https://",
    "https://[example.org",
    "https://example.org:99999",
    f"https://me:{HUSH}/more@example.org",
    "https://exa mple.org",
)
NUMBER = ("nonsense", "-1", "nan", "inf", "1e400", "99999999999")
NO_FILE = ("nowhere", ".", "x" * 300, "policy.yaml/more")
YES_OR_NO = ("nonsense", "2")
DATABASE = ("nonsense", "mysql://h/n", "postgresql://", f"postgresql://me:{HUSH}@h:99999/n", "sqlite")
TICKET = ("nonsense", "0", "-1", "1.5", "#12")
PEOPLE = ("nonsense person", "a@example.org, ,b@example.org", "a@example.org\nBcc: b@example.org")

CANNOT_MEAN: dict[str, tuple[str, ...]] = {
    "openproject.url": (*ADDRESS, f"https://me:{HUSH}@example.org", "https://example.org/api/v3"),
    "openproject.api_key": ("\x1b", "é", f"apikey:{HUSH}", f"Bearer {HUSH}", "https://example.org", "  "),
    "openproject.client_secret": (f"secret:{HUSH}", "https://example.org", HUSH),
    "openproject.client_id": ("nonsense",),  # beside a token
    "openproject.ca_file": NO_FILE,
    "openproject.proxy": (*ADDRESS, "socks5://example.org:1080"),
    "openproject.public_url": ADDRESS,
    "openproject.connect_timeout": NUMBER,
    "openproject.read_timeout": NUMBER,
    "policy": NO_FILE,
    "mode": ("nonsense", "off"),
    "control_ticket": TICKET,
    "state_dir": ("policy.yaml", "policy.yaml/more", "x" * 300),
    "store": DATABASE,
    "poll.interval": NUMBER,
    "poll.jitter": NUMBER,
    "poll.overlap": NUMBER,
    "poll.snapshot_interval": NUMBER,
    "web.enabled": YES_OR_NO,
    "web.port": (*NUMBER, "0", "80.5"),
    "web.users": ("nonsense", f"lea:{HUSH}"),
    "web.user_header": ("X Remote User", "X-User"),  # the second without its proxy
    "web.trusted_proxies": ("nonsense", "10.0.0.0/99"),
    "web.open_probes": YES_OR_NO,
    "web.oidc_issuer": (*ADDRESS, "http://example.org", "https://example.org"),
    "web.oidc_client_id": ("nonsense",),  # without the rest
    "web.oidc_client_secret": (HUSH,),
    "web.oidc_allowed": ("lea@example.org",),
    "web.oidc_ca_file": NO_FILE,
    "alerts.webhook": ADDRESS,
    "alerts.mail_server": (*ADDRESS, f"smtps://me:{HUSH}@example.org:smtp", "smtp://example.org"),
    "alerts.mail_from": (*PEOPLE, "a@example.org"),
    "alerts.mail_to": (*PEOPLE, "a@example.org"),
    "alerts.ping": ADDRESS,
    "audit.interval": NUMBER,
    "audit.post_to": TICKET,
    "audit.mail_to": (*PEOPLE, "a@example.org"),
    "audit.publish_interval": NUMBER,
    "audit.verify_interval": NUMBER,
    "log.level": ("nonsense", "loud"),
    "log.format": ("nonsense", "xml"),
    "fleet.database": (*DATABASE, "sqlite:///queue.db"),
    "fleet.sites": ("nowhere", "policy.yaml"),
    "fleet.beat": (*NUMBER, "7"),
    "fleet.patience": NUMBER,
}

ANYTHING = {
    "web.host": "any name may be this machine's; tests/cli/test_web.py",
    "web.webhook_secret": "the other side chooses it",
    "audit.signing_key": "is made when it is missing; tests/cli/test_audit.py",
}
"""Settings that no text is nonsense for, and why."""

SECTIONS = {name.partition(".")[0] for name in NAMES if "." in name}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and the least that must be set."""
    monkeypatch.chdir(tmp_path)
    least(monkeypatch, tmp_path)
    return tmp_path


def least(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(module, "DOCKER_SECRETS", folder / "no-secrets")
    (folder / "policy.yaml").write_text("policy: 1\n")
    (folder / "sites").mkdir()
    for name, value in {
        "OPENPROJECT__URL": "https://op.example.org",
        "OPENPROJECT__API_KEY": TOKEN,
        "POLICY": str(folder / "policy.yaml"),
        "FLEET__DATABASE": "postgresql://fleet@127.0.0.1:1/fleet",
        "FLEET__SITES": str(folder / "sites"),
    }.items():
        monkeypatch.setenv(f"BRIDGE_{name}", value)


def test_every_setting_has_its_nonsense() -> None:
    assert CANNOT_MEAN.keys() | ANYTHING.keys() == NAMES.keys()


def command(name: str) -> tuple[str, ...]:
    """One that needs this setting."""
    return ("fleet", "check") if name.startswith("fleet.") else ("pause",) if name == "state_dir" else ("status",)


def named(name: str, said: str) -> bool:
    """By itself, or as a part of the section that contradicts itself."""
    return variable(name) in said or name.rpartition(".")[2] in said


@pytest.mark.parametrize("name", CANNOT_MEAN)
def test_a_setting_that_cannot_be_meant_is_named_and_ends_the_command_with_2(
    name: str,
    place: Path,
    bridge: Bridge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for nonsense in CANNOT_MEAN[name]:
        monkeypatch.setenv(variable(name), nonsense)
        ran = bridge(*command(name))  # fails at a traceback
        assert ran.code == 2, (nonsense, ran)
        assert ran.out == ""
        assert named(name, ran.err), (nonsense, ran.err)
        assert HUSH not in ran.err, nonsense
        assert TOKEN not in ran.err


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_holds_no_text_or_is_none_is_named_with_its_setting(
    name: str,
    place: Path,
    bridge: Bridge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (place / "binary").write_bytes(b"\0\1\2")
    (place / "latin").write_bytes("é".encode("latin-1"))
    monkeypatch.delenv(variable(name), raising=False)
    for file in ("binary", "latin", "nowhere", ".", "secrets/nowhere"):
        monkeypatch.setenv(f"{variable(name)}_FILE", file)
        ran = bridge(*command(name))
        assert ran.code == 2
        assert f"{variable(name)}_FILE names {file}: " in ran.err


SECRET = [name for root in (Settings, FleetSettings) for name, field in fields(root) if "SecretStr" in repr(field)]


@pytest.mark.parametrize("name", dict.fromkeys(SECRET))
def test_a_secret_where_the_name_of_its_file_belongs_is_not_repeated(
    name: str,
    place: Path,
    bridge: Bridge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(variable(name), raising=False)
    for secret in (TOKEN, f"opapi-{TOKEN}", "Zk3_" * 11, f"postgresql://me:{HUSH}@h/n", TOKEN * 10):
        monkeypatch.setenv(f"{variable(name)}_FILE", secret)
        ran = bridge(*command(name))
        assert ran.code == 2
        assert f"{variable(name)}_FILE names no such file (" in ran.err
        assert f"the value itself belongs into {variable(name)}\n" in ran.err
        assert secret not in ran.err


LIKE = ("", "https://", "http://h:", "smtp://", "postgresql://h:", "sqlite:///", "lea:scrypt:", "10.0.0.0/")
texts = st.one_of(
    st.text(max_size=30),
    st.builds(str.__add__, st.sampled_from(LIKE), st.text(max_size=20)),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from([text for each in CANNOT_MEAN.values() for text in each]),
)


@given(name=st.sampled_from(list(NAMES)), text=texts)
def test_whatever_stands_in_a_setting_is_refused_by_name_or_can_be_used(name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        least(patch, Path(folder))
        Path("value").write_text(text, encoding="utf-8", errors="replace")
        patch.delenv(variable(name), raising=False)
        patch.setenv(f"{variable(name)}_FILE", "value")
        try:
            loaded = load_fleet() if name.startswith("fleet.") else load().settings
        except ConfigError as refused:
            # A section that contradicts itself, or another, is named as a whole.
            whole = (f"{name.partition('.')[0]}: ", "audit.mail_to needs ")
            for line in str(refused).splitlines():
                assert line.startswith((f"{name} (env {variable(name)}): ", *whole))
            return
    for _, value in values(loaded):
        if isinstance(value, float):
            assert NOON + timedelta(seconds=value) >= NOON
    if isinstance(loaded, Settings):
        wiring.alerts(loaded)
        wiring.client(loaded.openproject).close()

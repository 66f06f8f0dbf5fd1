from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge import settings as module
from bridge.domain.model import Mode
from bridge.errors import EXIT_USAGE, ConfigError
from bridge.settings import Settings, fields, load, values, variable

EXAMPLE = Path("config/bridge.example.env")
TOKEN = "opapi-" + "5e" * 32


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and the least that must be set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "DOCKER_SECRETS", tmp_path / "no-secrets")
    (tmp_path / "policy.yaml").write_text("policy: 1\n")
    monkeypatch.setenv("BRIDGE_POLICY", "policy.yaml")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "https://op.example.org")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", TOKEN)
    return tmp_path


def complaint() -> str:
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.exit_code == EXIT_USAGE
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def test_the_example_is_complete_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOCKER_SECRETS", Path("/nonexistent"))
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", TOKEN)
    loaded = load(EXAMPLE)
    assert loaded.warnings == ()
    named = EXAMPLE.read_text(encoding="utf-8")
    assert [name for name, _ in fields() if f"{variable(name)}=" not in named] == []


def test_what_the_example_shows_as_default_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOCKER_SECRETS", Path("/nonexistent"))
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", TOKEN)
    plain = load(EXAMPLE).settings
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    shown = [line.removeprefix("#") for line in lines if line.startswith("#BRIDGE_") and not line.endswith("=")]
    sets_a_default = [line for line in shown if "_FILE=" not in line and "OPENPROJECT__C" not in line]
    uncommented = tmp_path / "all.env"
    uncommented.write_text("\n".join([*(line for line in lines if line.startswith("BRIDGE_")), *sets_a_default]))
    assert len(sets_a_default) > 5
    assert load(uncommented).settings == plain


def test_every_setting_says_what_it_is_and_every_limit_its_reason() -> None:
    for name, field in fields():
        assert field.description, name


def test_later_sources_win(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_OPENPROJECT__API_KEY")
    secrets, credentials = place / "secrets", place / "credentials"
    for folder, token in ((secrets, "from-docker"), (credentials, "from-systemd")):
        folder.mkdir()
        (folder / "bridge_openproject__api_key").write_text(token + "\n")
    monkeypatch.setattr(module, "DOCKER_SECRETS", secrets)

    def key() -> tuple[str, str]:
        loaded = load()
        assert loaded.settings.openproject.api_key is not None
        return loaded.settings.openproject.api_key.get_secret_value(), loaded.origins["openproject.api_key"]

    assert key() == ("from-docker", f"secret in {secrets}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert key() == ("from-systemd", f"secret in {credentials}")
    (place / ".env").write_text("BRIDGE_OPENPROJECT__API_KEY=from-dot-env\n")
    assert key() == ("from-dot-env", ".env")
    (place / "token").write_text("from-a-file\n")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY_FILE", "token")
    assert key() == ("from-a-file", "file token")
    monkeypatch.delenv("BRIDGE_OPENPROJECT__API_KEY_FILE")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "from-environment")
    assert key() == ("from-environment", "environment")


def test_any_setting_can_come_from_a_named_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "url").write_text("postgresql://bridge:hush@db/bridge\n")
    monkeypatch.setenv("BRIDGE_STORE_FILE", "url")
    assert load().settings.store_url == "postgresql://bridge:hush@db/bridge"


def test_a_postgresql_without_its_extra_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setenv("BRIDGE_STORE", "postgresql://bridge@db/bridge")
    assert "pip install 'openproject-bridge[postgres]'" in complaint()


def test_a_setting_and_its_file_contradict_each_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "token").write_text("abc")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY_FILE", "token")
    assert "give it or BRIDGE_OPENPROJECT__API_KEY_FILE, not both" in complaint()


def test_a_named_file_that_is_not_there_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_STORE_FILE", "/no/such/file")
    assert "store (env BRIDGE_STORE): BRIDGE_STORE_FILE names /no/such/file: No such file or directory" in complaint()


def test_an_empty_variable_is_not_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_POLL__INTERVAL", "")
    monkeypatch.setenv("BRIDGE_STORE", "")
    assert load().settings.poll.interval == 60
    assert load().settings.store is None


def test_the_ledger_lies_in_the_state_directory_that_systemd_gives(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().settings.store_url == "sqlite:///bridge-state/bridge.db"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/bridge:/var/lib/other")
    assert load().settings.store_url == "sqlite:////var/lib/bridge/bridge.db"
    monkeypatch.setenv("BRIDGE_STATE_DIR", "/srv/bridge")
    assert load().settings.store_url == "sqlite:////srv/bridge/bridge.db"


def test_all_mistakes_are_told_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "op.example.org")
    monkeypatch.setenv("BRIDGE_POLL__INTERVAL", "often")
    monkeypatch.setenv("BRIDGE_POLL__PAGESIZE", "100")
    monkeypatch.delenv("BRIDGE_POLICY")
    assert [line.split(":")[0] for line in complaint().splitlines()] == [
        "BRIDGE_POLL__PAGESIZE (environment)",
        "openproject.url (env BRIDGE_OPENPROJECT__URL)",
        "policy (env BRIDGE_POLICY)",
        "poll.interval (env BRIDGE_POLL__INTERVAL)",
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("OPENPROJECT__URL", "ftp://op.example.org", "like https://openproject.example.org"),
        ("OPENPROJECT__URL", "https://op.example.org/api/v3", "without /api/v3"),
        ("OPENPROJECT__URL", "https://apikey:abc@op.example.org", "the token goes into openproject.api_key"),
        ("OPENPROJECT__URL", "https://op.example.org/?a=b", "without ? or #"),
        ("OPENPROJECT__API_KEY", "apikey:abc", "the bare token"),
        ("OPENPROJECT__API_KEY", "Bearer abc", "the bare token"),
        ("OPENPROJECT__API_KEY", "https://op.example.org", "looks like an address"),
        ("OPENPROJECT__API_KEY", "   ", "is empty; create a token"),
        ("OPENPROJECT__CLIENT_ID", "abc", "not both"),
        ("OPENPROJECT__CA_FILE", "/no/such.pem", "there is no file /no/such.pem"),
        ("OPENPROJECT__READ_TIMEOUT", "0", "greater than or equal to 1"),
        ("POLICY", "missing.yaml", "there is no file missing.yaml"),
        ("MODE", "enforced", "'observe'"),
        ("POLL__OVERLAP", "10", "greater than or equal to 120"),
        ("LOG__FORMAT", "xml", "'auto', 'json' or 'console'"),
    ],
)
def test_a_wrong_value_is_told_with_its_remedy(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(f"BRIDGE_{name}", text)
    assert said in complaint()


@pytest.mark.parametrize("given", [{"client_id": "abc"}, {"client_secret": "abc"}, {}])
def test_half_a_sign_in_is_none(place: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    monkeypatch.delenv("BRIDGE_OPENPROJECT__API_KEY")
    for name, text in given.items():
        monkeypatch.setenv(f"BRIDGE_OPENPROJECT__{name.upper()}", text)
    assert complaint().startswith("openproject: ")


def test_a_mistyped_name_is_pointed_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_MODEE", "enforce")
    loaded = load()
    assert loaded.settings.mode is Mode.OBSERVE
    assert loaded.warnings == ("BRIDGE_MODEE (environment): there is no such setting; did you mean BRIDGE_MODE?",)


def test_a_token_over_plain_http_is_pointed_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://op.example.org")
    assert "use https" in load().warnings[0]
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://127.0.0.1:8080")
    assert load().warnings == ()


@pytest.mark.parametrize(
    "line", ["BRIDGE_MODE enforce", "BRIDGE_MODE", "BRIDGE_MODE='enforce", "BRIDGE_MODE='a'b", "=x"]
)
def test_a_line_of_the_env_file_that_sets_nothing_is_named_and_not_shown(place: Path, line: str) -> None:
    (place / ".env").write_text(f"# ours\n\nexport OTHER=1\n{line}\nBRIDGE_CONTROL_TICKET=7\n")
    told = complaint()
    assert told.startswith(".env:4: ")
    assert "NAME=value" in told
    assert line not in told


def test_an_env_file_that_is_no_text_is_named(place: Path) -> None:
    (place / ".env").write_bytes("BRIDGE_POLICY=caf\xe9.yaml\n".encode("latin-1"))
    assert complaint() == ".env cannot be read: it is not UTF-8 text"


def test_a_named_env_file_that_is_not_there_is_an_error(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no env file other\.env"):
        load(Path("other.env"))


@given(path=st.sampled_from(["", "/", "/openproject", "/openproject/"]), port=st.none() | st.integers(1, 65535))
def test_the_url_is_kept_without_its_last_slash(path: str, port: int | None) -> None:
    host = "op.example.org" if port is None else f"op.example.org:{port}"
    raw = {"openproject": {"url": f"https://{host}{path}", "api_key": "abc"}, "policy": __file__}
    assert Settings.model_validate(raw).openproject.url == f"https://{host}{path.rstrip('/')}"


def test_no_secret_shows_in_any_form(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_STORE", "postgresql://bridge:hush-hush@db/bridge")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__PROXY", "http://me:proxy-word@proxy:3128")
    loaded = load()
    shown = f"{loaded!r} {loaded} {loaded.settings.model_dump()} {loaded.settings.model_dump_json()}"
    for secret in (TOKEN, "hush-hush", "proxy-word"):
        assert secret not in shown
    assert len(loaded.settings.secrets) == 3


def test_every_secret_is_known_to_be_one(place: Path) -> None:
    suspicious = ("api_key", "secret", "token", "password", "proxy", "store")
    for name, field in fields():
        if any(word in name.rsplit(".", maxsplit=1)[-1] for word in suspicious):
            assert "SecretStr" in str(field.annotation) + str(field.metadata), name
    assert dict(values(load().settings))["openproject.api_key"] == SecretStr(TOKEN)

"""What the operator decides, read once at start from secrets, ``.env`` and the environment. Every check is here.

It reads files and the environment and nothing else: whether the URL answers is asked by ``bridge doctor``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parseaddr
from enum import StrEnum
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import Binding, parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from bridge.domain.model import Mode
from bridge.errors import ConfigError

PREFIX = "BRIDGE_"
DOCKER_SECRETS = Path("/run/secrets")
YEAR = 366 * 86400
"""Seconds. What is to happen less often than once a year was mistyped."""
SHORTEST_TOKEN = 32
"""Characters; OpenProject's tokens are 64, its clients' secrets 43. Names of files are shorter."""
NOT_SETTINGS = frozenset({"bridge_env_file"})
"""Variables with the prefix that are not settings: where to find them."""


def _parts(text: str, *schemes: str) -> SplitResult | None:
    """An address in its parts; None where it is none, or of another scheme."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port  # looked at when it is asked for
    except ValueError:
        return None
    plain = all(c.isprintable() and not c.isspace() for c in text)
    return parts if plain and parts.scheme in schemes and parts.hostname else None


def _base_url(text: str) -> str:
    parts = _parts(text, "http", "https")
    if parts is None:
        raise ValueError("must be the address of the OpenProject, like https://openproject.example.org")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; the token goes into openproject.api_key")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path, without ? or #")
    path = parts.path.rstrip("/")
    if path.endswith("/api/v3"):
        raise ValueError("must be the address that people open in a browser, without /api/v3")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _token(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError("is empty; create a token in OpenProject: My account, Access tokens, API")
    if text.startswith(("http://", "https://")):
        raise ValueError("looks like an address; the token is a line of letters and digits")
    if ":" in text or any(c.isspace() or not (c.isascii() and c.isprintable()) for c in text):
        raise ValueError("must be the bare token: one word, without 'apikey:' or 'Bearer' before it")
    return SecretStr(text)


def _existing(path: Path) -> Path:
    try:
        there = path.is_file()
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read by this user ({error.strerror})") from None
    if not there:
        raise ValueError(f"there is no file {path}")
    if not os.access(path, os.R_OK):
        raise ValueError(f"the file {path} cannot be read by this user")
    return path


_ENCODED = " (with %2F for / in the password, %3A for :, %40 for @)"


def _proxy(secret: SecretStr) -> SecretStr:
    if _parts(secret.get_secret_value(), "http", "https") is None:
        raise ValueError(
            f"must be like http://proxy.example.org:3128 or http://USER:PASSWORD@proxy.example.org:3128{_ENCODED}"
        )
    return secret


def _database(secret: SecretStr) -> SecretStr:
    scheme, _, rest = secret.get_secret_value().partition("://")
    if scheme not in ("sqlite", "postgresql") or not rest:
        raise ValueError("must be like sqlite:////var/lib/bridge/bridge.db or postgresql://USER:PASSWORD@HOST/NAME")
    if scheme == "postgresql":
        rest = rest.rpartition("@")[2]  # before it, a password may hold everything
        if not rest.startswith("/") and _parts(f"postgresql://{rest}", "postgresql") is None:
            raise ValueError("must be like postgresql://USER:PASSWORD@HOST:5432/NAME")
        if find_spec("psycopg") is None:
            raise ValueError("on PostgreSQL needs the extra 'postgres': pip install 'openproject-bridge[postgres]'")
    return secret


def _addressees(text: str) -> str:
    for part in text.split(",") if text.strip() else ():
        address = parseaddr(part)[1]
        if not address or any(map(str.isspace, address)) or not part.isprintable():
            raise ValueError("must be mail addresses, separated by commas, like support@example.org")
    return text


Token = Annotated[SecretStr, AfterValidator(_token)]
Database = Annotated[SecretStr, AfterValidator(_database)]
Addressees = Annotated[str, AfterValidator(_addressees)]
ExistingFile = Annotated[Path, AfterValidator(_existing)]


class Section(BaseModel):
    """A group of settings. A name that it does not know is a typing error, and an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class OpenProject(Section):
    """Which OpenProject, and as whom."""

    url: Annotated[str, AfterValidator(_base_url)] = Field(description="Address of the OpenProject, as in a browser.")
    api_key: Token | None = Field(default=None, description="API token of the service account.")
    client_id: str | None = Field(default=None, description="OAuth client credentials instead of a token.")
    client_secret: Token | None = Field(default=None, description="Secret that belongs to client_id.")
    ca_file: ExistingFile | None = Field(
        default=None,
        description="Certificates to trust instead of the public ones (PEM). The environment's are not used.",
    )
    proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = Field(
        default=None, description="HTTP proxy, with its password where it has one. HTTPS_PROXY is not used."
    )
    public_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None,
        description="The address that people use, where url is an internal one: OpenProject checks its host name.",
    )
    connect_timeout: float = Field(
        default=5,
        ge=0.1,
        le=60,
        description="Seconds; more than TCP's first repetition at 3 s: a lost packet is no outage.",
    )
    read_timeout: float = Field(
        default=130,
        ge=1,
        le=600,
        description="Seconds; OpenProject itself gives up at 120 s, and a request that is left earlier goes on there.",
    )

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> OpenProject:
        if self.api_key is not None and (self.client_id is not None or self.client_secret is not None):
            raise ValueError("give either api_key or client_id and client_secret, not both")
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together; one of them is missing")
        if self.api_key is None and self.client_id is None:
            raise ValueError("a token is missing: set api_key, or client_id and client_secret")
        return self


class Poll(Section):
    """How often OpenProject is asked. An idle poll costs it one request of about 40 ms (contract A.1)."""

    interval: float = Field(
        default=60,
        ge=1,
        le=3600,
        description="Seconds between polls; below 1 s polls overtake each other, beyond 1 h nobody is 'watching'.",
    )
    jitter: float = Field(default=5, ge=0, le=300, description="Seconds, at most: many bridges must not ask in step.")
    overlap: float = Field(
        default=180,
        ge=120,
        le=86400,
        description="Seconds that a poll looks back behind the last one. A change is stamped before it is visible: up "
        "to OpenProject's own request limit of 120 s earlier (contract §2.4).",
    )
    snapshot_interval: float = Field(
        default=900,
        ge=1,
        le=86400,
        description="Seconds between comparisons of every ticket's status: finds deletions and what a poll missed.",
    )


def _users(secret: SecretStr) -> SecretStr:
    for line in secret.get_secret_value().split():
        name, colon, hashed = line.partition(":")
        if not (name and colon and hashed.startswith("scrypt:")):
            raise ValueError("must be lines like NAME:scrypt:…; `bridge web-user NAME` makes one")
    return secret


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _issuer(text: str) -> str:
    parts = _parts(text, "http", "https")
    if parts is None:
        raise ValueError("must be the provider's address, like https://id.example.org/realms/office")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must begin with https://; http is for a provider on this machine alone")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be a bare address, without user, password, ? or #")
    if "/.well-known/" in parts.path:
        raise ValueError("must be what stands before /.well-known/")
    return text.strip()


def _networks(text: str) -> str:
    for part in text.replace(",", " ").split():
        try:
            ip_network(part)
        except ValueError:
            raise ValueError(f"{part} is no IP address or network, like 127.0.0.1 or 172.18.0.0/16") from None
    return text


class Web(Section):
    """The dashboard, the probes and the webhook."""

    enabled: bool = Field(default=False, description="Whether `bridge run` serves them too.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; beyond loopback, put a TLS proxy before it.",
    )
    port: int = Field(default=8480, ge=1, le=65535, description="Port to listen on.")
    users: Annotated[SecretStr, AfterValidator(_users)] | None = Field(
        default=None, description="Who may sign in: NAME:HASH, one a line, as `bridge web-user NAME` prints."
    )
    user_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header in which a proxy that signs people in says who it is, like X-Remote-User.",
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="Addresses or networks of proxies whose headers are believed."
    )
    open_probes: bool = Field(default=False, description="Whether /readyz and /metrics answer without a login.")
    webhook_secret: SecretStr | None = Field(
        default=None, description="The secret of OpenProject's webhook to /webhook; without it there is none."
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] | None = Field(
        default=None, description="Address of the OpenID Connect provider that people may sign in with, its issuer."
    )
    oidc_client_id: str | None = Field(default=None, description="What the provider calls the bridge.")
    oidc_client_secret: SecretStr | None = Field(default=None, description="The secret that belongs to it.")
    oidc_allowed: str = Field(
        default="", description="Who may come in: e-mail addresses, and subjects of the provider. Nobody else may."
    )
    oidc_ca_file: ExistingFile | None = Field(
        default=None, description="Certificates to trust at the provider instead of the public ones (PEM)."
    )

    @model_validator(mode="after")
    def _a_header_has_its_proxy(self) -> Web:
        if self.user_header and not self.trusted_proxies.split():
            raise ValueError("user_header needs trusted_proxies: else anybody could say who they are")
        return self

    @model_validator(mode="after")
    def _a_provider_is_whole(self) -> Web:
        secret = self.oidc_client_secret.get_secret_value() if self.oidc_client_secret is not None else ""
        given = {
            "oidc_issuer": self.oidc_issuer,
            "oidc_client_id": (self.oidc_client_id or "").strip(),
            "oidc_client_secret": secret.strip(),
            "oidc_allowed": self.oidc_allowed.replace(",", " ").split(),
        }
        missing = [name for name, value in given.items() if not value]
        if len(missing) == len(given) and self.oidc_ca_file is None:
            return self
        if missing == ["oidc_allowed"]:
            raise ValueError("oidc_allowed names nobody, so nobody could sign in with the provider of oidc_issuer")
        if missing:
            raise ValueError(f"{', '.join(given)} belong together; missing: {', '.join(missing)}")
        return self


class Audit(Section):
    """How the record is signed."""

    signing_key: Path | None = Field(
        default=None,
        description="Ed25519 key (PEM, mode 600) that signs the record. Without it, signing-key.pem in state_dir, made "
        "when it is missing.",
    )
    interval: float = Field(
        default=3600, ge=60, le=86400, description="Seconds between two signed checkpoints, also when nothing happened."
    )
    post_to: int | None = Field(
        default=None,
        ge=1,
        description="Number of a ticket that gets the last checkpoint as a comment, in enforce mode.",
    )
    mail_to: Addressees = Field(
        default="",
        description="Who gets the last checkpoint by mail, separated by commas; by alerts.mail_server.",
    )
    publish_interval: float = Field(
        default=86400, ge=3600, le=YEAR, description="Seconds between two checkpoints that are posted or mailed."
    )
    # A day: what changes an old entry is found within one, and reading everything costs the disk minutes.
    verify_interval: float = Field(
        default=86400,
        ge=0,
        le=YEAR,
        description="Seconds between two checks of the whole record by the service; 0 for none at all. What is new is "
        "checked after each checkpoint.",
    )


def _web_address(secret: SecretStr) -> SecretStr:
    if _parts(secret.get_secret_value(), "http", "https") is None:
        raise ValueError("must be an address that begins with https://")
    return secret


def _mail_server(secret: SecretStr) -> SecretStr:
    if _parts(secret.get_secret_value(), "smtp", "smtps") is None:
        raise ValueError(f"must be like smtps://USER:PASSWORD@mail.example.org or smtp://localhost{_ENCODED}")
    return secret


class Alerts(Section):
    """Who is called when something needs a person."""

    webhook: Annotated[SecretStr, AfterValidator(_web_address)] | None = Field(
        default=None, description="Address that alerts are posted to as JSON; chat systems show its text."
    )
    mail_server: Annotated[SecretStr, AfterValidator(_mail_server)] | None = Field(
        default=None, description="smtp://HOST or smtps://USER:PASSWORD@HOST that takes alerts by mail."
    )
    mail_from: Addressees = Field(default="", description="Sender of these mails.")
    mail_to: Addressees = Field(default="", description="Who gets them, separated by commas.")
    ping: Annotated[SecretStr, AfterValidator(_web_address)] | None = Field(
        default=None, description="Address asked for after each good cycle, at a service that misses a sign of life."
    )

    @model_validator(mode="after")
    def _mail_is_whole(self) -> Alerts:
        if len({self.mail_server is None, not self.mail_from, not self.mail_to}) > 1:
            raise ValueError("mail_server, mail_from and mail_to belong together; one of them is missing")
        return self


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class Log(Section):
    """Log lines, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is logged.")
    format: LogFormat = Field(
        default=LogFormat.AUTO, description="auto: for people on a terminal, JSON everywhere else."
    )


class Settings(Section):
    """Everything that the operator decides outside the policy."""

    openproject: OpenProject
    policy: ExistingFile = Field(description="The policy file; config/cegape.yaml is one.")
    mode: Literal[Mode.OBSERVE, Mode.ENFORCE] = Field(
        default=Mode.OBSERVE,
        description="observe: judge and report. enforce: put back as well, where the policy's rules say so.",
    )
    control_ticket: int | None = Field(
        default=None,
        ge=1,
        description="Number of a ticket in OpenProject that stops everything from being put back while it is closed.",
    )
    state_dir: Path = Field(
        default=Path("bridge-state"),
        description="Folder of the ledger, the heartbeat and the reports. Under systemd, its StateDirectory.",
    )
    store: Database | None = Field(
        default=None,
        description="Database of the ledger: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. "
        "Without it, a SQLite file in state_dir.",
    )
    poll: Poll = Poll()
    web: Web = Web()
    alerts: Alerts = Alerts()
    audit: Audit = Audit()
    log: Log = Log()

    @model_validator(mode="after")
    def _mail_needs_its_server(self) -> Settings:
        if self.audit.mail_to and self.alerts.mail_server is None:
            raise ValueError("audit.mail_to needs alerts.mail_server, mail_from and mail_to")
        return self

    @property
    def store_url(self) -> str:
        """The database's URL, password included: for the store alone."""
        if self.store is not None:
            return self.store.get_secret_value()
        return f"sqlite:///{self.state_dir / 'bridge.db'}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, so that the log can strike them out."""
        return tuple(value.get_secret_value() for _, value in values(self) if isinstance(value, SecretStr))


def _divides_a_minute(seconds: int) -> int:
    if 60 % seconds:
        raise ValueError("must divide a minute, like 1, 5 or 30")
    return seconds


class Fleet(Section):
    """Many OpenProjects from one installation (``bridge fleet``)."""

    database: Database = Field(
        description="PostgreSQL of the fleet's own, for its jobs: postgresql://USER:PASSWORD@HOST/NAME."
    )
    sites: Path = Field(
        default=Path("/etc/bridge/sites"),
        description="Folder with a folder for each OpenProject, named as the site is called, with its .env.",
    )
    beat: Annotated[int, AfterValidator(_divides_a_minute)] = Field(
        default=5,
        ge=1,
        le=30,
        description="Seconds between two looks at which sites are due; their poll intervals are multiples of it. Sites "
        "of one interval are spread over its beats.",
    )
    patience: float = Field(
        default=20,
        ge=1,
        le=130,
        description="Seconds that a site's answer may take: a dead one must not hold its place long. What a site's own "
        "settings allow less is less.",
    )


class FleetSettings(Section):
    """What the operator decides about a fleet as a whole."""

    fleet: Fleet
    log: Log = Log()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what somebody who debugs them needs to know."""

    settings: Settings
    origins: Mapping[str, str]
    """Where each value that is not a default came from, by dotted name."""
    warnings: tuple[str, ...]


def load(env_file: Path | None = None) -> Loaded:
    """Read the settings. Raises ConfigError with every mistake at once, each with its name and variable.

    Later sources win: Docker's secrets, systemd's credentials, the env file (``.env`` unless one is named), the
    environment. In each, ``NAME_FILE`` names a file that holds the value of ``NAME``.
    """
    settings, origins, warnings = _load(Settings, _everywhere(env_file), _given_state_dir())
    return Loaded(settings, origins, (*warnings, *_cautions(settings)))


def load_site(env_file: Path) -> Settings:
    """The settings of one OpenProject of a fleet, from this file alone: what is around it would be every site's.

    Raises ConfigError as ``load`` does, and where a path depends on the folder that the program was started in.
    """
    _must_be_there(env_file)
    settings, _, _ = _load(Settings, [(str(env_file), _env_file(env_file))], {})
    for name, value in values(settings):
        if isinstance(value, Path) and not value.is_absolute():
            raise ConfigError(f"{_label(name)}: {value} must be a whole path, from / on [from {env_file}]")
    return settings


def load_fleet(env_file: Path | None = None) -> FleetSettings:
    """Read the settings of the fleet itself, from where ``load`` reads. Raises ConfigError."""
    return _load(FleetSettings, _everywhere(env_file), {})[0]


_Sources = Iterable[tuple[str, EnvSettingsSource]]
_Root = TypeVar("_Root", bound=Section)


def _must_be_there(env_file: Path) -> None:
    with _legible(env_file):
        if not env_file.is_file():
            raise ConfigError(f"there is no env file {env_file}")


def _everywhere(env_file: Path | None) -> _Sources:
    if env_file is not None:
        _must_be_there(env_file)
    return _sources(env_file or Path(".env"))


def _given_state_dir() -> dict[str, tuple[str, str]]:
    given = os.environ.get("STATE_DIRECTORY")
    return {"state_dir": (given.split(":")[0], "systemd's STATE_DIRECTORY")} if given else {}


def _load(
    root: type[_Root], sources: _Sources, least: Mapping[str, tuple[str, str]]
) -> tuple[_Root, dict[str, str], list[str]]:
    """Settings, origins and warnings; ``least`` are texts with their origins that every source overrides."""
    texts = {name: text for name, (text, _) in least.items()}
    origins = {name: origin for name, (_, origin) in least.items()}
    complaints: list[str] = []
    warnings: list[str] = []
    for origin, source in sources:
        read = _read(source.env_vars, origin, root)
        texts |= {name: value for name, (value, _) in read.values.items()}
        origins |= {name: where for name, (_, where) in read.values.items()}
        complaints += read.complaints
        warnings += read.warnings
    try:
        settings = root.model_validate(_nested(texts, root))
    except ValidationError as error:
        raise ConfigError("\n".join((*complaints, *_complaints(error, origins, root)))) from None
    if complaints:
        raise ConfigError("\n".join(complaints))
    return settings, origins, warnings


def variable(name: str) -> str:
    """The environment variable of a setting: ``poll.interval`` is ``BRIDGE_POLL__INTERVAL``."""
    return PREFIX + name.upper().replace(".", "__")


def fields(section: type[BaseModel] = Settings, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every single setting with its dotted name, in order of declaration."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{above}{name}.")
        else:
            yield above + name, field


def values(section: BaseModel, above: str = "") -> Iterator[tuple[str, object]]:
    """Every single setting's value with its dotted name."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from values(value, f"{above}{name}.")
        else:
            yield above + name, value


# --- Reading --------------------------------------------------------------------------------------------------------


class _Named(BaseSettings):
    """How pydantic-settings finds our names; what they mean is ``Settings``' business."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True)


def _sources(env_file: Path) -> Iterator[tuple[str, EnvSettingsSource]]:
    for folder in (DOCKER_SECRETS, Path(os.environ.get("CREDENTIALS_DIRECTORY") or "/nonexistent")):
        with _legible(folder):
            if folder.is_dir():
                yield f"secret in {folder}", NestedSecretsSettingsSource(SecretsSettingsSource(_Named, folder))
    yield str(env_file), _env_file(env_file)
    yield "environment", EnvSettingsSource(_Named)


def _env_file(path: Path) -> DotEnvSettingsSource:
    with _legible(path):
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                wrong = [line.original.line for line in parse_stream(file) if line.error or _sets_nothing(line)]
            if wrong:  # which would be passed over, with what the operator meant
                told = "must be like NAME=value, with quotes only around the whole value"
                raise ConfigError("\n".join(f"{path}:{number}: {told}" for number in wrong))
        return DotEnvSettingsSource(_Named, env_file=path)


def _sets_nothing(line: Binding) -> bool:
    return line.key is not None and line.key.startswith(PREFIX) and line.value is None


@contextmanager
def _legible(path: Path) -> Iterator[None]:
    """Raises ConfigError for what cannot be read in ``path``."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{error.filename or path} cannot be read by this user: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class _Read:
    values: dict[str, tuple[str, str]]
    """Text and origin by dotted name."""
    complaints: list[str]
    warnings: list[str]


def _read(variables: Mapping[str, str | None], origin: str, root: type[Section]) -> _Read:
    """What one source says. Its names are in lower case."""
    names = {variable(name).lower(): name for name, _ in fields(root)}
    secret = {name for name, field in fields(root) if "SecretStr" in str(field.annotation)}
    other = FleetSettings if root is Settings else Settings
    others = {variable(name).lower() for name, _ in fields(other)} - names.keys()
    read = _Read({}, [], [])
    for key, text in variables.items():
        if not key.startswith(PREFIX.lower()) or not text or key in NOT_SETTINGS:
            continue
        if key in others or key.removesuffix("_file") in others:
            continue  # one env file may hold both
        if key in names:
            if f"{key}_file" in variables:
                read.complaints.append(f"{_label(names[key])}: give it or {key.upper()}_FILE, not both")
            read.values[names[key]] = (text, origin)
        elif (stem := key.removesuffix("_file")) in names:
            try:
                read.values[names[stem]] = (_content(text), f"file {text}")
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not plain text in UTF-8"
                named = f"{text}: {reason}"
                if names[stem] in secret and _may_be_a_secret(text):
                    named = (
                        f"no such file ({reason}); the value itself belongs into {key.upper().removesuffix('_FILE')}"
                    )
                read.complaints.append(f"{_label(names[stem])}: {key.upper()} names {named}")
        else:
            _unknown(key, names, origin, read)
    return read


def _may_be_a_secret(path: str) -> bool:
    """Whether what should name a file is rather what should stand in it: that must not be repeated."""
    return "://" in path or any(len(part) >= SHORTEST_TOKEN for part in path.split("/"))


def _content(path: str) -> str:
    text = Path(path).read_text(encoding="utf-8").strip()
    if "\0" in text:
        raise ValueError("a binary file")
    return text


def _unknown(key: str, names: Mapping[str, str], origin: str, read: _Read) -> None:
    """A wrong name in a section is an error; any other may belong to another program and is only pointed out."""
    close = difflib.get_close_matches(key, names, 1)
    hint = f"; did you mean {close[0].upper()}?" if close else ""
    sections = {name.split(".")[0] for name in names.values() if "." in name}
    in_section = any(key.startswith(f"{PREFIX.lower()}{section}__") for section in sections)
    (read.complaints if in_section else read.warnings).append(
        f"{key.upper()} ({origin}): there is no such setting{hint}"
    )


def _nested(texts: Mapping[str, str], root: type[Section]) -> dict[str, object]:
    """Dotted names as sections; a section without values is there all the same, so that each missing name is told."""
    sections: dict[str, dict[str, str]] = {name.split(".")[0]: {} for name, _ in fields(root) if "." in name}
    plain: dict[str, str] = {}
    for name, text in texts.items():
        section, dot, leaf = name.partition(".")
        if dot:
            sections[section][leaf] = text
        else:
            plain[name] = text
    return {**plain, **sections}


# --- Telling --------------------------------------------------------------------------------------------------------


def _label(name: str) -> str:
    return f"{name} (env {variable(name)})"


def _complaints(error: ValidationError, origins: Mapping[str, str], root: type[Section]) -> Iterator[str]:
    leaves = {name for name, _ in fields(root)}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in detail["loc"])
        message = " ".join(detail["msg"].removeprefix("Value error, ").split())  # a path may hold a line end
        if detail["type"] == "missing":
            message = "is not set, and has no default"
        origin = origins.get(name)
        where = f" [from {origin}]" if origin not in (None, "environment") else ""
        # Where a section contradicts itself, its name; where two of them do, none.
        label = f"{_label(name) if name in leaves else name}: " if name else ""
        yield f"{label}{message[:1].lower()}{message[1:]}{where}"


def _cautions(settings: Settings) -> Iterable[str]:
    """What is allowed and probably not meant."""
    url = urlsplit(settings.openproject.url)
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        yield f"{_label('openproject.url')}: http sends the token unencrypted; use https"

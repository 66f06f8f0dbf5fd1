"""The files in deploy/, read as those read them who will run them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.settings import fields, load, variable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("bridge.service", "bridge-report.service", "bridge-fleet@.service", "bridge-report.timer")
SERVICES = UNITS[:3]
VARIABLES = {variable(name) for name, _ in fields()}
CREDENTIALS = {name.lower() for name in VARIABLES}


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / name)
    return parser


def documents(name: str) -> list[Any]:
    return list(YAML(typ="safe").load_all((DEPLOY / name).read_text(encoding="utf-8")))


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd")


# --- systemd --------------------------------------------------------------------------------------------------------


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_exposed_no_more_than_it_must_be(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15"]
    ran = subprocess.run([*command, DEPLOY / "systemd" / name], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", ran.stdout)
    assert found is not None
    assert float(found[1]) <= 1.5


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_in_a_unit_but_the_program_that_is_not_here(name: str) -> None:
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(DEPLOY / "systemd" / name)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    faults = [line for line in ran.stderr.splitlines() if "/opt/bridge/bin/bridge is not executable" not in line]
    assert faults == []


def test_the_service_tells_systemd_what_it_waits_for() -> None:
    service = unit("bridge.service")["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "15min"
    assert service["RestartPreventExitStatus"] == "2"  # usage or configuration: bridge/errors.py


@pytest.mark.parametrize("name", SERVICES[:2])
def test_credentials_are_named_like_settings_and_the_token_is_not_in_the_environment(name: str) -> None:
    service = unit(name)["Service"]
    credential, _, source = service["LoadCredential"].partition(":")
    # systemd.exec(5): of a folder, each file is a credential of its own, with its name after the folder's.
    assert source == "/etc/bridge/secrets"
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    told = re.findall(r"\b[a-z]+(?:__[a-z_]+)?\b", text.partition("by its name: ")[2].partition(".")[0])
    assert len(told) == 3
    assert {f"{credential}_{file}" for file in told} <= CREDENTIALS
    assert "Environment" not in service


def test_the_administrators_command_is_the_services_own_user_settings_and_token() -> None:
    script = (DEPLOY / "systemd/bridge").read_text(encoding="utf-8")
    subprocess.run(["sh", "-n", DEPLOY / "systemd/bridge"], check=True)
    service = unit("bridge.service")["Service"]
    for name in ("DynamicUser", "User", "StateDirectory", "UMask", "EnvironmentFile", "LoadCredential"):
        assert f"--property={name}={service[name]}" in script


def test_the_administrators_command_passes_on_what_was_typed_where_and_by_whom(tmp_path: Path) -> None:
    (tmp_path / "systemd-run").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "systemd-run").chmod(0o755)
    folder = tmp_path / "a folder"
    folder.mkdir()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SUDO_USER": "lea"}
    typed = ["pause", "--reason", "the migration of Tuesday"]
    ran = subprocess.run(
        ["sh", DEPLOY / "systemd/bridge", *typed],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    told = ran.stdout.splitlines()
    assert told[-4:] == ["/opt/bridge/bin/bridge", *typed]
    assert {"--pipe", "--setenv=LOGNAME=lea", f"--property=WorkingDirectory=-{folder}"} <= set(told)


# --- Containers -----------------------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_special_and_looks_after_itself() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    assert len(stages) == 2
    assert all(":" in image and not image.endswith(":latest") for image in stages)
    final = text[text.rindex("\nFROM ") :]
    user = re.search(r"(?m)^USER (\d+):(\d+)$", final)
    assert user is not None
    assert int(user[1]) > 0
    assert 'CMD ["bridge", "status"]' in final
    assert 'ENTRYPOINT ["bridge"]' in final
    assert set(re.findall(r"BRIDGE_\w+", final)) <= VARIABLES


def test_hadolint_finds_nothing_to_improve_in_the_image() -> None:
    subprocess.run([Path(sys.executable).parent / "hadolint", DEPLOY / "Dockerfile"], check=True)


def test_the_image_has_one_base_and_holds_no_secret() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    instructions = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    assert len(set(re.findall(r"(?m)^FROM \S+:(\d+\.\d+\S*)", text))) == 1
    named = [line for line in instructions if line.startswith(("ARG ", "ENV ", "LABEL "))]
    assert named
    assert not re.search(r"(?i)key|token|secret|passw|credential", " ".join(named))
    (health,) = (line for line in instructions if line.startswith("HEALTHCHECK"))
    assert {"--interval=60s", "--timeout=10s"} <= set(health.split())


def test_the_context_of_the_image_is_what_is_named_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"  # so that .git, .venv, a ledger and a .env stay outside, whatever they are called
    assert not any(line.startswith("!.") or "*" in line for line in lines if line.startswith("!"))


def test_the_image_holds_what_the_pins_name_and_is_built_with_nothing_else() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install (.+?)(?:&&|\n)", text)
    assert len(installs) == 3
    assert all("--require-hashes" in install or "--no-index" in install for install in installs)


def test_the_image_is_built_from_files_that_are_there() -> None:
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert name in let_in


def test_compose_puts_the_bridge_beside_an_openproject_and_a_postgresql() -> None:
    (compose,) = documents("compose.yaml")
    bridge = compose["services"]["bridge"]
    assert set(compose["services"]) == {"openproject", "database", "bridge"}
    assert bridge["read_only"] is True
    assert bridge["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in bridge["security_opt"]
    assert set(bridge["environment"]) <= VARIABLES
    assert set(bridge["secrets"]) <= CREDENTIALS & set(compose["secrets"])
    assert (DEPLOY / bridge["build"]["context"] / bridge["build"]["dockerfile"]).is_file()
    assert (DEPLOY / compose["configs"]["policy"]["file"]).is_file()
    for service in compose["services"].values():
        assert ":" in service["image"] or "build" in service
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert named <= set(compose["volumes"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])


def test_compose_publishes_on_loopback_only() -> None:
    (compose,) = documents("compose.yaml")
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize(("mistyped", "code"), [("", 0), ("healthchek", 1)])
def test_compose_follows_the_specification(mistyped: str, code: int, tmp_path: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("healthcheck", mistyped) if mistyped else text)
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command: list[str | Path] = [sys.executable, "-m", "check_jsonschema", *schema, tmp_path / "compose.yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stdout + ran.stderr
    # Docker's own client says the same, where there is one.
    client = ["docker", "compose"]
    if (
        shutil.which("docker")
        and subprocess.run([*client, "version"], capture_output=True, check=False).returncode == 0
    ):
        environment = {"OPENPROJECT_SECRET_KEY_BASE": "x", "PATH": os.environ["PATH"]}
        command = [*client, "-f", tmp_path / "compose.yaml", "config", "--quiet"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert bool(ran.returncode) == bool(code), ran.stdout + ran.stderr


# --- Prometheus -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
def test_a_broken_record_calls_at_once_and_one_that_holds_or_was_never_checked_does_not(tmp_path: Path) -> None:
    def case(values: str | None, fires: bool) -> dict[str, object]:
        series = [] if values is None else [{"series": 'bridge_record_holds{job="bridge"}', "values": values}]
        labels = {"severity": "critical", "job": "bridge"}
        (rule,) = (
            rule
            for group in documents("alerts.yml")[0]["groups"]
            for rule in group["rules"]
            if rule["alert"] == "BridgeRecordBroken"
        )
        alert = {"exp_labels": labels, "exp_annotations": rule["annotations"]}
        asked = {"eval_time": "3m", "alertname": "BridgeRecordBroken", "exp_alerts": [alert] if fires else []}
        return {"interval": "1m", "input_series": series, "alert_rule_test": [asked]}

    tests = [case("1 1 1 0", True), case("0 0 0 1", False), case("1 1 1 1", False), case(None, False)]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(DEPLOY / "alerts.yml")], "tests": tests}))
    ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- Kubernetes -----------------------------------------------------------------------------------------------------


def kind(name: str) -> Any:
    (found,) = [document for document in documents("kubernetes/bridge.yaml") if document["kind"] == name]
    return found


def test_kubernetes_runs_one_bridge_without_rights_and_with_probes() -> None:
    deployment = kind("Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    named = {port["name"] for port in container["ports"]}
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in paths.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {get["port"] for get in paths.values()} <= named
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_what_belongs_together_in_kubernetes_has_the_same_names() -> None:
    pod = kind("Deployment")["spec"]["template"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": kind("ConfigMap")["metadata"]["name"]}}]
    claim = kind("PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["state"]["persistentVolumeClaim"] == {"claimName": claim}
    assert kind("Service")["spec"]["selector"] == pod["metadata"]["labels"]


def test_the_settings_of_the_pod_are_good_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kind("ConfigMap")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BRIDGE_POLICY", str(ROOT / "config/cegape.yaml"))
    # As Kubernetes mounts a secret: a link to a link into a folder that it swaps for the next version.
    version = tmp_path / "..2026_11_24"
    version.mkdir()
    (tmp_path / "..data").symlink_to(version.name)
    for name, value in (("bridge_openproject__api_key", "0" * 64), ("bridge_web__users", "lea:scrypt:1:1:1$a$b\n")):
        (version / name).write_text(value)
        (tmp_path / name).symlink_to(f"..data/{name}")
    monkeypatch.setattr("bridge.settings.DOCKER_SECRETS", tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = load().settings
    assert settings.web.enabled
    assert settings.web.open_probes
    assert settings.openproject.api_key is not None
    assert settings.web.users is not None

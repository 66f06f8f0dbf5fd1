"""The repository as a whole: what must hold for every file of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bridge.domain.policy import load

ROOT = Path(__file__).parents[1]
HEAVY = (
    "alembic",
    "apscheduler",
    "cryptography",
    "flask",
    "jinja2",
    "pydantic",
    "requests",
    "rich.console",
    "ruamel",
    "sqlalchemy",
    "structlog",
)


@cache
def files() -> tuple[Path, ...]:
    """Every file that git knows or would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:  # an unpacked archive
        pytest.skip("not a git checkout")
    return tuple(path for name in listed.stdout.decode().splitlines() if (path := ROOT / name).is_file())


def texts(*suffixes: str) -> list[tuple[Path, str]]:
    return [
        (path.relative_to(ROOT), path.read_text(encoding="utf-8"))
        for path in files()
        if "recordings" not in path.parts and path.suffix in suffixes and path != Path(__file__)
    ]


def test_no_file_names_a_registry_or_a_machine() -> None:
    forbidden = re.compile(
        r"pythonhosted|pypi\.org|--(extra-)?index-url|--find-links|/work/|/root/|/home/\w+/|registry\.npmjs"
    )
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts(".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".env", ".sh", "", ".service", ".timer")
        for number, line in enumerate(text.splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_the_program_knows_no_status_and_no_role_of_any_policy() -> None:
    policy = load((ROOT / "config/cegape.yaml").read_bytes(), "config/cegape.yaml")
    names = set(policy.statuses) | {role for party in policy.parties for role in party.roles} - {"Client"}
    word = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w-])")
    found = [
        f"{path}: {match[0]}"
        for path, text in texts(".py", ".md", ".j2", ".html", ".txt")
        if path.parts[0] == "bridge"
        for match in word.finditer(text)
    ]
    assert found == []


def test_every_dependency_is_pinned_and_the_pins_satisfy_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    runtime = [*project["project"]["dependencies"], *extras["postgres"], *extras["scale"], *extras["oidc"]]
    runtime += extras["timestamp"]
    groups = project["dependency-groups"]
    dev = [each for each in groups["dev"] if each != {"include-group": "build"}]
    for name, wanted in (
        ("requirements.txt", runtime),
        ("requirements-dev.txt", [*runtime, *groups["build"], *dev]),
        ("requirements-build.txt", groups["build"]),
    ):
        text = (ROOT / name).read_text(encoding="utf-8")
        entries = re.split(r"(?m)^(?=[\w.\[\]-]+[=<>~!])", text)[1:]
        pins = {}
        for entry in entries:
            package, version = entry.split(maxsplit=1)[0].split("==")  # an exact version, or this fails
            assert "--hash=sha256:" in entry, package
            pins[canonicalize_name(package)] = Version(version)
        assert len(entries) >= len(wanted)
        for requirement in map(Requirement, wanted):
            if requirement.name != project["project"]["name"]:
                assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_the_scripts_are_plain_sh(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", path], check=True)


def test_run_tells_its_commands() -> None:
    helped = subprocess.run([ROOT / "run"], capture_output=True, text=True, check=True)
    for command in ("demo", "test", "bench", "lint", "torture"):
        assert f"\n  {command} " in helped.stdout
    wrong = subprocess.run([ROOT / "run", "tset"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_help_pays_for_nothing_that_it_does_not_show() -> None:
    code = (
        "import sys; sys.argv = ['bridge', '--help']\n"
        "from bridge.cli.app import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage: bridge" in ran.stdout
    assert ran.stderr.strip() == "[]"

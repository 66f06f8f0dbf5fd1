"""What README and docs/ tell people to type or to write is run, or loaded, page by page from top to bottom."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bridge.settings import FleetSettings, Settings, fields, variable
from bridge.simulator import wall_clock
from tests.cli.conftest import ROOT, World, world  # noqa: F401 - a fixture

PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NOT_HERE = {
    r"sudo(?! bridge | sh )": "needs root on a machine with systemd",
    "systemctl": "needs systemd",
    "docker": "needs a Docker daemon and the network",
    "kubectl": "needs a cluster",
    "pipx": "needs the network",
    "pip": "needs the network; tests/deploy/test_wheel.py does the same without",
    "./run demo": "needs the network for its own environment; tests/cli does the same without",
    "./run test": "is this test",
    "./run lint": "is the check beside this test",
    "./run torture": "takes longer than all tests",
    "./run bench": "takes longer than all tests",
    "git": "needs the network",
    "curl": "needs the service of that page",
    "promtool": "tested with the files it checks",
    "web-user": "asks on a terminal for a password; tests/web does the same",
    "psql": "needs a PostgreSQL of one's own",
    "pg_dump": "needs a PostgreSQL of one's own",
    "BRIDGE_LIVE": "needs a real OpenProject",
}
"""Why a shell block with that pattern is not run but only parsed."""

HERE = {"/etc/bridge/": "etc/", "/var/lib/bridge/": "bridge-state/"}
"""Where, in the folder of the test, the service's files are; its settings are those of the folder itself."""

SHIM = f"""#!{sys.executable}
# The program in this test's Python. What serves is stopped when it has begun; findings (1) are no failure.
import sys
signs = {{"run": (2, '"event":"cycle"'), "simulate": (1, ""), "web": (2, "")}}
if len(sys.argv) > 1 and sys.argv[1] in signs:
    import signal, subprocess
    descriptor, sign = signs[sys.argv[1]]
    pipes = {{"stdout": subprocess.PIPE}} if descriptor == 1 else {{"stderr": subprocess.PIPE}}
    with subprocess.Popen([sys.executable, "-m", "bridge", *sys.argv[1:]], text=True, **pipes) as process:
        for line in process.stdout or process.stderr:
            if sign in line.replace(": ", ":"):
                process.send_signal(signal.SIGTERM)
                break
        (process.stdout or process.stderr).read()
    sys.exit(max(process.returncode, 0))
from bridge.cli.app import main
try:
    main()
except SystemExit as ended:
    sys.exit(0 if ended.code == 1 else ended.code)
"""


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run; None when it is."""
        found = (why for words, why in NOT_HERE.items() if re.search(rf"(?<![\w.-]){words}(?![\w.]*/)", self.text))
        return next(found, None)


def blocks(page: Path) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], textwrap.dedent(found[3]))
        for found in re.finditer(r"(?ms)^( *)```(\w*)\n(.*?)^\1```$", text)
    ]


@pytest.fixture
def folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A checkout without a development environment, an OpenProject that has seen some work, and its token at hand."""
    place = tmp_path / "checkout"
    shutil.copytree(ROOT / "config", place / "config")
    (place / "etc").mkdir()
    for name in ("yaml", "tests.yaml"):  # as init writes them
        shutil.copy(ROOT / f"config/cegape.{name}", place / f"etc/policy.{name}")
    programs = tmp_path / "bin"
    programs.mkdir()
    token = world.instance.token("bridge")
    (place / "token-from-openproject").write_text(token)
    for path, text in (
        (programs / "bridge", SHIM),
        (programs / "sudo", '#!/bin/sh\nexec "$@"\n'),
        (programs / "editor", f'#!/bin/sh\necho {token} >"$1"\n'),
        (place / "run", f'#!/bin/sh\nshift\nexec {programs}/bridge "$@"\n'),
    ):
        path.write_text(text)
        path.chmod(0o755)
    world.instance.now = wall_clock
    world.instance.create("ca", "client-alpha", "Fermée d'emblée", status="RESOLU")
    monkeypatch.chdir(place)
    for name in ("BRIDGE_OPENPROJECT__API_KEY", "BRIDGE_POLICY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ADDRESS", world.url)
    monkeypatch.setenv("BRIDGE_POLL__INTERVAL", "1")
    monkeypatch.setenv("BRIDGE_POLL__JITTER", "0")
    return place


@pytest.mark.timeout(300)  # a page of commands is a process for each
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_tells_people_to_type_works(page: Path, folder: Path, world: World) -> None:  # noqa: F811
    todo = [block for block in blocks(page) if block.language == "sh"]
    (folder / ".env").write_text(
        "BRIDGE_OPENPROJECT__API_KEY_FILE=token-from-openproject\nBRIDGE_POLICY=config/cegape.yaml\n"
    )
    if any(block.reason is None for block in todo):
        subprocess.run(["bridge", "once"], capture_output=True, check=True)
    for block in todo:
        if block.reason is not None:
            subprocess.run(["sh", "-n", "-c", block.text], check=True)
            continue
        text = block.text
        for there, here in HERE.items():
            text = text.replace(there, f"{folder}/{here}")
        ran = subprocess.run(
            ["sh", "-eu", "-c", text], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert ran.returncode == 0, f"{page}:{block.line}\n{block.text}\n{ran.stdout}{ran.stderr}"


def test_what_is_not_run_here_has_its_reason_and_the_rest_is_most_of_it() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.language == "sh"]
    assert sum(block.reason is None for block in found) >= 10
    for block in found:
        if block.reason is not None:
            print(f"{block.page}:{block.line}: {block.reason}")


def settings_exist(text: str) -> None:
    known = {variable(name) for root in (Settings, FleetSettings) for name, _ in fields(root)}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, equals, _ = line.partition("=")
            assert equals
            assert name in known or name.removesuffix("_FILE") in known


def yaml_reads(text: str) -> None:
    assert YAML(typ="safe").load(text) is not None


def unit_reads(text: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.read_string(text)
    assert parser.sections()


LOADED: dict[str, Callable[[str], object]] = {
    "env": settings_exist,
    "yaml": yaml_reads,
    "ini": unit_reads,
    "json": json.loads,
    "python": lambda text: compile(text, "docs", "exec"),
}


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page)], ids=str)
def test_what_a_page_tells_people_to_write_can_be_read(block: Block) -> None:
    # sh is run above; console and sql are run by their page's own test; without a language it is a picture.
    if block.language not in ("sh", "console", "sql", ""):
        LOADED[block.language](block.text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text):
        assert (ROOT / page.parent / target).exists(), target


def test_commands_in_tables_and_sentences_exist() -> None:
    """``bridge NAME`` in running text."""
    helped = subprocess.run(
        [sys.executable, "-m", "bridge", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = set(re.findall(r"(?m)^  ([a-z-]+)  ", helped.stdout.partition("Commands:")[2]))
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"`bridge ([a-z][a-z-]+)", text):
            assert name in commands, f"{page}: bridge {name}"

"""The wheel that people install, in an environment of its own: it works without the checkout, nothing is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder. Its dependencies are this one's; the program is the wheel's."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, symlinks=True)
    place = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(home / "bin/python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    (Path(place) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def ran(home: Path, folder: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [home / "bin" / command[0], *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_program_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    where = ran(installed, tmp_path, "python", "-c", "import bridge; print(bridge.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    assert ran(installed, tmp_path, "bridge", "--version").startswith("bridge ")


def test_every_file_of_the_program_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "bridge"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # an unpacked archive
        pytest.skip("not a git checkout")
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in listed.stdout.split() if (ROOT / name).exists()} <= set(archive.namelist())


def test_it_is_set_up_and_makes_a_ledger_and_a_report_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    """That takes the shipped policy, migrations, the reports' templates and words, and the simulator's data."""
    with subprocess.Popen(
        [installed / "bin/bridge", "simulate", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        told = ""
        while not told.endswith("}\n}\n") and (line := server.stdout.readline()):
            told += line
        there = json.loads(told)
        (tmp_path / "given").write_text(there["tokens"]["pont"])
        ran(installed, tmp_path, "bridge", "init", "--url", there["url"], "--token-file", "given")
        ran(installed, tmp_path, "bridge", "once")
        ran(installed, tmp_path, "bridge", "report", "violations", "--out", "report.html")
        server.terminate()
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_it_brings_what_init_writes(installed: Path, tmp_path: Path) -> None:
    share = installed / "share/openproject-bridge/config"
    assert {path.name for path in share.iterdir()} >= {"cegape.yaml", "bridge.example.env", "demo"}
    assert "cegape" in ran(installed, tmp_path, "bridge", "policy", "check", str(share / "cegape.yaml")).lower()

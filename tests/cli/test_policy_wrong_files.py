"""Every kind of wrong file, given to every command that reads one: words with a place, exit code 2, no traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Bridge

CEGAPE = ROOT / "config" / "cegape.yaml"
RIGHT = CEGAPE.read_bytes()

LAUGHS = "policy: 1\nname: &a ha\n" + "".join(
    f"l{n}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
DEEP = "policy: 1\nrules: " + "[" * 5_000 + "]" * 5_000
FILES: dict[str, bytes] = {
    "empty": b"",
    "only a comment": b"# to be written\n",
    "not UTF-8": "policy: 1\nname: Équipe\n".encode("latin-1"),
    "UTF-16": RIGHT.decode().encode("utf-16"),
    "a tab": RIGHT.replace(b"  cegape:\n", b"\tcegape:\n", 1),
    "a key twice": b"policy: 1\n" + RIGHT,
    "an anchor": RIGHT.replace(b"initial: NOUVEAU", b"initial: &first NOUVEAU", 1),
    "an alias": RIGHT.replace(b"initial: NOUVEAU", b"initial: *first", 1),
    "a tag": RIGHT.replace(b"initial: NOUVEAU", b"initial: !!python/object/apply:os.system [id]", 1),
    "a merge key": RIGHT + b"<<: {policy: 1}\n",
    "two documents": RIGHT + b"---\n" + RIGHT,
    "more than a megabyte": RIGHT + b"# " + b"x" * 1_100_000,
    "one long line": b"name: " + b"x" * 1_100_000,
    "binary": bytes(range(256)) * 40,
    "zeros": b"\0" * 5000,
    "deep nesting": DEEP.encode(),
    "deep braces": b"{" * 5_000,
    "billion laughs": LAUGHS.encode(),
    "an unfinished quote": RIGHT + b'name: "x\n',
    "a list": b"- 1\n- 2\n",
    "JSON": b'{"policy": 1}',
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(200),
}

Arguments = Callable[[str], list[str]]
COMMANDS: dict[str, Arguments] = {
    "check": lambda path: ["check", path],
    "test": lambda path: ["test", path],
    "test, its cases": lambda path: ["test", str(CEGAPE), "--cases", path],
    "explain": lambda path: ["explain", "NOUVEAU > RESOLU", path, "--as", "client"],
    "matrix": lambda path: ["matrix", path],
    "graph": lambda path: ["graph", path],
    "replay": lambda path: ["replay", path],
    "replay, against": lambda path: ["replay", str(CEGAPE), "--against", path],
    "advise": lambda path: ["advise", path],
    "promote": lambda path: ["promote", "resolu-apres-test", path],
    "exemptions": lambda path: ["exemptions", path],
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_OPENPROJECT__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_OPENPROJECT__API_KEY", "unused")
    monkeypatch.setenv("BRIDGE_STATE_DIR", str(tmp_path))


@pytest.mark.parametrize("kind", FILES)
def test_every_command_refuses_it_in_words(bridge: Bridge, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(FILES[kind])
    for command, arguments in COMMANDS.items():
        ran = bridge("policy", *arguments(str(path)))  # it fails at a traceback
        assert ran.code == 2, (command, ran)
        told = ran.out + ran.err
        assert f"{path.name}:" in told, (command, told)
        assert max(map(len, told.splitlines())) < 500, "a hostile file does not fill the terminal"


def test_a_pipe_into_which_nobody_writes_is_not_waited_for(bridge: Bridge, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    os.mkfifo(path)
    for command, arguments in COMMANDS.items():
        ran = bridge("policy", *arguments(str(path)))
        assert ran.code == 2, (command, ran)
        assert "the file is empty" in ran.out + ran.err, (command, ran)


def test_a_policy_may_come_through_a_pipe(bridge: Bridge) -> None:
    reading, writing = os.pipe()
    os.write(writing, RIGHT)
    os.close(writing)
    assert bridge("policy", "check", f"/dev/fd/{reading}").code == 0
    os.close(reading)


@pytest.mark.parametrize("kind", ["a directory", "a file that is not there", "a dangling link", "a loop of links"])
def test_what_cannot_be_read_is_refused_by_every_command(bridge: Bridge, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrong.yaml"
    match kind:
        case "a directory":
            path.mkdir()
        case "a dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "a loop of links":
            path.symlink_to(path)
        case _:
            pass
    for command, arguments in COMMANDS.items():
        ran = bridge("policy", *arguments(str(path)))
        assert (ran.code, ran.out) == (2, ""), (command, ran)
        assert "cannot be read" in ran.err, (command, ran.err)


def test_all_mistakes_of_a_file_are_told_at_once_by_every_command(bridge: Bridge, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    text = CEGAPE.read_text(encoding="utf-8")
    for old, new in (("initial: NOUVEAU", "initial: NOUVAU"), ("mode: observe", "mode: observed"), ("guide:", "gide:")):
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    for command, arguments in COMMANDS.items():
        if command != "test, its cases":
            ran = bridge("policy", *arguments(str(path)))
            told = ran.out + ran.err
            assert all(word in told for word in ("'NOUVAU'", "'observed'", "'gide'", "lacks 'guide'")), (command, told)


def test_the_file_of_cases_that_lies_beside_may_be_wrong_too(bridge: Bridge, tmp_path: Path) -> None:
    shutil.copy(CEGAPE, tmp_path / "own.yaml")
    ran = bridge("policy", "test", str(tmp_path / "own.yaml"))
    assert (ran.code, ran.out) == (2, "")
    assert "own.tests.yaml cannot be read" in ran.err

"""Every block of docs/policy.md is run: files are written, commands give what the page says, pieces fit a policy."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.cli.app import main
from bridge.domain.policy import load
from bridge.domain.policy.cases import cases_schema
from bridge.domain.policy.reading import DOCUMENT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(.*?)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    kind: str
    options: dict[str, str]
    text: str


def blocks() -> Iterator[Block]:
    for kind, options, text in BLOCK.findall(PAGE):
        yield Block(kind, dict((f"{word}=".split("=")[:2]) for word in options.split()), text)


def write(block: Block, before: dict[Path, str]) -> None:
    """A file; more of it at the end, or that in place of what came last; or another file with the lines of these keys
    replaced, where they come last. ``before`` keeps each file as it was before its last addition.
    """
    path = Path(block.options["file"])
    if "append" in block.options or "instead" in block.options:
        if "append" in block.options:
            before[path] = path.read_text(encoding="utf-8")
        path.write_text(before[path] + "\n" + block.text, encoding="utf-8")
    elif "from" in block.options:
        lines = Path(block.options["from"]).read_text(encoding="utf-8").splitlines()
        for line in block.text.splitlines():
            key = line.partition(":")[0]
            last = max(number for number, old in enumerate(lines) if old.startswith(f"{key}:"))
            lines[last] = line
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        path.write_text(block.text, encoding="utf-8")


def said(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    return told.out + told.err


def test_the_page_can_be_followed_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = {"written": 0, "said": 0, "fits": 0}
    before: dict[Path, str] = {}
    for block in blocks():
        match block.kind, block.options:
            case "yaml", {"file": _}:
                write(block, before)
                seen["written"] += 1
            case "console", _:
                for typed in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
                    command, _, expected = typed.partition("\n")
                    assert said(command, monkeypatch, capsys) == expected
                    seen["said"] += 1
            case "yaml", {"part": part}:
                text = Path("desk.yaml").read_text(encoding="utf-8")
                if part == "rule":
                    start, _, end = text.rpartition("    mode: enforce\n")
                    text = start + block.text + end
                else:
                    text += "\n" + block.text
                load(text, part)
                seen["fits"] += 1
            case _:
                pytest.fail(f"a block of docs/policy.md that no test runs: {block}")
    assert seen == {"written": 6, "said": 9, "fits": 2}
    for name in ("desk.yaml", "desk.tests.yaml"):
        _, _, named = Path(name).read_text(encoding="utf-8").splitlines()[0].partition("$schema=")
        assert Path(named).is_file()
    assert BLOCK.sub("", PAGE).count("```") == 0


def keys(schema: object) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", {}))
        for value in schema.values():
            found |= keys(value)
    elif isinstance(schema, list):
        for value in schema:
            found |= keys(value)
    return found


def test_the_page_tells_every_word_of_policies_and_cases() -> None:
    told = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    assert keys(DOCUMENT.schema()) - told == set()
    assert keys(cases_schema()) - told == set()


def test_the_page_tells_every_command() -> None:
    from bridge.cli.policy import app

    names = {
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    }
    for name in names:
        assert f"`bridge policy {name}`" in PAGE

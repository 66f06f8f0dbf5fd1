from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge import logs

TOKEN = "opapi-0123456789abcdef"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(level: str = "info", secrets: tuple[str, ...] = (), **fields: object) -> list[dict[str, Any]]:
    stream = io.StringIO()
    logs.set_up(level, as_json=True, stream=stream, secrets=secrets)
    structlog.get_logger("bridge.test").info("cycle", **fields)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_time_and_origin() -> None:
    (line,) = lines(changed=3, project="Été")
    assert {key: line[key] for key in ("event", "level", "logger", "changed", "project")} == {
        "event": "cycle",
        "level": "info",
        "logger": "bridge.test",
        "changed": 3,
        "project": "Été",
    }
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_not_written() -> None:
    assert lines("warning", changed=3) == []


@given(
    secret=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=40),
    around=st.tuples(st.text(max_size=8), st.text(max_size=8)),
)
def test_a_known_secret_never_comes_through(secret: str, around: tuple[str, str]) -> None:
    stream = io.StringIO()
    logs.set_up("info", as_json=True, stream=stream, secrets=[secret])
    text = f"{around[0]}{secret}{around[1]}"
    structlog.get_logger("x").info("e", text=text, deep={"a": [text, (text,)]}, error=ValueError(text))
    said = json.loads(stream.getvalue())
    for value in (said["text"], *said["deep"]["a"][:1], said["deep"]["a"][1][0], said["error"]):
        assert secret not in value.replace(logs.STRUCK, " ")


@pytest.mark.parametrize("as_json", [True, False])
def test_credentials_are_struck_out_by_their_looks(as_json: bool) -> None:
    stream = io.StringIO()
    logs.set_up("info", as_json=as_json, stream=stream)
    log = structlog.get_logger("x")
    log.info("e", headers={"Authorization": "Basic YXBpa2V5OmFiYw=="}, api_key="plain-word")
    log.info("e", text=f"sent {TOKEN} and Bearer abcdefgh.ijk to postgresql://me:hush@db/x")
    try:
        raise ValueError(TOKEN)
    except ValueError:
        log.exception("e")
    logging.getLogger("urllib3").warning("retry %s", TOKEN)
    said = stream.getvalue()
    assert said.count(logs.STRUCK) >= 6
    for secret in ("YXBpa2V5", "plain-word", TOKEN, "abcdefgh", "hush"):
        assert secret not in said


def test_libraries_speak_the_same_form() -> None:
    stream = io.StringIO()
    logs.set_up("info", as_json=True, stream=stream)
    logging.getLogger("some.library").warning("gave up after %d tries", 3)
    logging.getLogger("apscheduler.scheduler").info("added job")
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["logger"], line["level"]) == ("gave up after 3 tries", "some.library", "warning")

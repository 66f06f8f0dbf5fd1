"""The check that the daemon has made of its own record: in a process of its own, of the lowest priority, reading only.

What was added since a checkpoint that was found good is soon read; for the whole record it is ``audit.verify``.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from bridge.errors import BridgeError, RetryLater
from bridge.store import audit, checkpoint, schema
from bridge.store.audit import Finding
from bridge.store.checkpoint import Checkpoint, SigningKey, VerifyKey
from bridge.store.database import address, snapshot
from bridge.store.walk import Stretch, walk_part

LEAST = 19
"""Niceness: cycles and pages come first, however long the check takes then."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to check."""

    url: str
    note: str
    """The last signed checkpoint, which the record must continue."""
    key: VerifyKey
    """The key that signed it."""
    since: tuple[int, bytes] | None = None
    """Size and chain value of a checkpoint that was found good. None: check everything."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check says of the record up to a checkpoint."""

    size: int
    chain: bytes
    whole: bool
    first: Finding | None
    """The first thing that is wrong; None when the record holds."""


def last_signed(note: str, key: SigningKey) -> tuple[Checkpoint, VerifyKey] | None:
    """The checkpoint in a note; None where this key has not signed it, as after a change of the key."""
    try:
        public = key.verify_key(checkpoint.read(note).origin)
        return checkpoint.verify(note, [public]), public
    except ValueError:
        return None


def inspect(task: Task) -> Found:
    """Raises as ``audit.verify``. A clock that was set back is no finding here: work goes on by the server's time."""
    head = checkpoint.verify(task.note, [task.key])
    if task.since is not None and not _was_cut(task.url, task.since[0]):
        return Found(head.size, head.chain, False, _first_since(task.url, head, *task.since))
    verdict = audit.verify(task.url, own=task.key, notes=[task.note], processes=1)
    wrong = [finding for finding in verdict.findings if finding.kind != "clock"]
    return Found(head.size, head.chain, True, wrong[0] if wrong else None)


def _was_cut(url: str, size: int) -> bool:
    """Whether retention has cut off more than that many entries, so that there is nothing to go on from."""
    with snapshot(url) as connection:
        cut: int | None = connection.scalar(select(func.max(schema.anchor.c.size)))
    return cut is not None and cut > size


def _first_since(url: str, head: Checkpoint, size: int, chain: bytes) -> Finding | None:
    """Every entry from there to the checkpoint, one by one, and the signed chain value at the end."""
    first = size + 1
    # The time of the entry before is not known here: a clock that was set back is not looked for.
    stretch = Stretch(first, head.size, first, (0, chain), (head.size,), frozenset())
    walked = walk_part(address(url), stretch)
    for what, seq, more, text in walked.problems:
        if what != "clock":
            return Finding(what, seq, audit.told(what, seq, more, text))
    if walked.damage:
        return Finding("damaged", walked.last + 1, f"the file is damaged after entry {walked.last}: {walked.damage}")
    if walked.chains.get(head.size) != head.chain:
        said = f"some of the entries {first} to {head.size} are not what was signed at {head.at:%Y-%m-%d %H:%M} UTC"
        return Finding("rewritten", first, said)
    return None


# --- In a process of its own ----------------------------------------------------------------------------------------


def inspect_apart(task: Task, began: Callable[[subprocess.Popen[bytes]], None] = lambda process: None) -> Found:
    """``inspect``, without a thread of this process. ``began`` is given the process, to end it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    # A session of its own: what is typed at the terminal is for the daemon, which ends this one.
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        began(process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                # Not among the arguments, where everybody on the machine could read the database's password.
                pickle.dump(task, process.stdin)
                process.stdin.close()
            found: Found | BridgeError = pickle.load(process.stdout)  # noqa: S301 - our own child's
        except EOFError:
            raise RetryLater("the process that checked the record was ended") from None
        finally:
            process.kill()
    if isinstance(found, BridgeError):
        raise found
    return found


def serve() -> None:
    """What such a process does."""
    os.nice(LEAST)
    task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that made this one
    try:
        found: object = inspect(task)
    except BridgeError as error:
        found = error
    pickle.dump(found, sys.stdout.buffer)
    sys.stdout.buffer.flush()

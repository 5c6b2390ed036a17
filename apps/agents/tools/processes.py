"""Running a command: no shell, a scrubbed environment, limits, capped output, and an end for all that it started.

`run` returns when the command has ended and nothing of it is left; that holds for its cancellation too, which first
asks the processes to stop and kills them `GRACE` seconds later. The work is done by `supervisor.py`, which also ends
the command when this worker dies.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.agents.tools.outcomes import Refused

GRACE: Final = 2.0
OUTPUT_LIMIT: Final = 64 * 1024  # bytes; the first and the last half of it are kept
_CHUNK: Final = 16 * 1024
_SUPERVISOR: Final = str(Path(__file__).with_name("supervisor.py"))
UNLIMITED: Final = -1


@dataclass(frozen=True)
class Limits:
    """What one command may use: processor seconds, bytes of address space, bytes in a file."""

    cpu: int
    memory: int
    file_size: int


@dataclass(frozen=True)
class Ended:
    exit_code: int  # 128 + n when signal n ended it
    output: str  # what it wrote to stdout and stderr, in the order it did


class _Output:
    """The beginning and the end of a stream, however long it is."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = OUTPUT_LIMIT // 2 - len(self._head)
        self._head += data[:room]
        if rest := data[room:] if room > 0 else data:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while self._tail and self._tail_size - len(self._tail[0]) >= OUTPUT_LIMIT // 2:
            self._tail_size -= len(self._tail[0])
            self._dropped += len(self._tail.popleft())

    def text(self) -> str:
        tail = b"".join(self._tail)
        excess = max(0, len(tail) - OUTPUT_LIMIT // 2)
        dropped = self._dropped + excess
        note = f"\n[… {dropped} bytes left out …]\n".encode() if dropped else b""
        return (bytes(self._head) + note + tail[excess:]).decode(errors="replace")


async def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], limits: Limits) -> Ended:
    """Runs `argv`, whose first item is the program's absolute path."""
    process = await _start(argv, cwd, env, limits)
    assert process.stdin is not None and process.stdout is not None
    output = _Output()
    try:
        while data := await process.stdout.read(_CHUNK):
            output.add(data)
        return Ended(await process.wait(), output.text())
    finally:
        process.stdin.close()  # lets go of the leash
        if process.returncode is None:
            await _ended(process)


def supervised(argv: Sequence[str], limits: Limits, *, leash: str, grace: float = GRACE) -> list[str]:
    """The command line that runs `argv` under the supervisor."""
    numbers = [str(limits.cpu), str(limits.memory), str(limits.file_size), str(grace)]
    return [sys.executable, "-I", "-S", _SUPERVISOR, leash, *numbers, *argv]


async def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], limits: Limits) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *supervised(argv, limits, leash="stdin"),
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise Refused("the arguments are too long") from error
        raise
    except ValueError as error:  # a NUL, or text that has no bytes
        raise Refused("an argument holds a character that no command line can") from error


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), GRACE + 5)
    except TimeoutError:  # it hangs in the kernel; the supervisor's death is what remains to be had
        process.kill()

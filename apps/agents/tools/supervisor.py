"""Starts one command and takes it down with everything that it started. A script of its own, not to be imported:

    python -I -S supervisor.py stdin|parent CPU_SECONDS MEMORY_BYTES FILE_BYTES GRACE_SECONDS PROGRAM [ARGUMENT ...]

With `stdin`, standard input is the leash: the worker holds its other end and never writes. When it closes, because
the call timed out, was cancelled, or the worker is gone (kill -9 included), the command's process group gets SIGTERM
and, GRACE later, SIGKILL. With `parent` the command reads standard input itself, and its end comes with a SIGTERM to
this process, which Linux also sends when the worker dies. A limit of -1 is none.

However the command ends, its group is killed before this process exits; on Linux so are those that left the group,
for this process adopts them. Only a kill -9 of this very process leaves more than the command's first process to
chance.

The exit status is the command's, 128 + n after signal n, 127 when it could not be started. Between fork and exec only
this single-threaded process runs Python, so limits are set without `preexec_fn`, which a threaded worker cannot use.
"""

# It starts with every command, so it imports little: neither pathlib nor contextlib.
# ruff: noqa: PTH110, PTH123, SIM105
from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time

STDIN = 0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CHILDREN = f"/proc/self/task/{os.getpid()}/children"


def main() -> int:
    leashed = sys.argv[1] == "stdin"
    cpu, memory, file_size = (int(text) for text in sys.argv[2:5])
    grace = float(sys.argv[5])
    if os.path.exists(CHILDREN):
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    signals = watched_signals()
    if not leashed and sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    command = os.fork()
    if command == 0:
        become(sys.argv[6:], {"CPU": cpu, "AS": memory, "FSIZE": file_size, "CORE": 0}, reads_stdin=not leashed)
    status = watch(command, [signals, STDIN] if leashed else [signals], grace)
    kill_group(command, signal.SIGKILL)  # its number is still the group's while a member lives
    kill_adopted()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def watched_signals() -> int:
    """A file descriptor that becomes readable when a child ends or somebody asks this process to stop."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def become(argv: list[str], limits: dict[str, int], *, reads_stdin: bool) -> None:
    """Turns the forked child into the command."""
    try:
        os.setsid()
        if sys.platform == "linux":
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if not reads_stdin:
            os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for name, limit in limits.items():
            kind = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(kind)[1]
            if limit >= 0 and (hard == resource.RLIM_INFINITY or limit < hard):
                resource.setrlimit(kind, (limit, limit))
        os.execv(argv[0], argv)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def watch(command: int, sources: list[int], grace: float) -> int:
    """Waits for the command to end, and ends it when a signal (the first source) or the leash (the second) says so."""
    signals, *leash = sources
    kill_at = None
    while True:
        ended, status = os.waitpid(command, os.WNOHANG)
        if ended:
            return status
        if kill_at is None:
            ready = select.select(sources, [], [])[0]
            received = os.read(signals, 100) if signals in ready else b""
            if set(leash) & set(ready) or received.strip(bytes([signal.SIGCHLD])):
                kill_group(command, signal.SIGTERM)
                kill_at = time.monotonic() + grace
        elif (left := kill_at - time.monotonic()) > 0:
            if select.select([signals], [], [], left)[0]:
                os.read(signals, 100)
        else:
            kill_group(command, signal.SIGKILL)
            return os.waitpid(command, 0)[1]


def kill_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # nobody is left in it, or (macOS) only the dead
        pass


def kill_adopted() -> None:
    """Kills what became this process's child when its parent died, until nothing is left."""
    while True:
        if os.path.exists(CHILDREN):
            with open(CHILDREN) as children:
                for child in children.read().split():
                    os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())

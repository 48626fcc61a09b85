"""Run one program so that no process of it outlives the supervisor.

Usage: `python leash.py PARENT GRACE SIGNAL USER -- COMMAND`

The leash is the reaper of everything that the program starts, so even a grandchild that moved to another
session is found. It ends the whole tree when

- the program itself has ended (its exit status is passed on; 128 + n after signal n),
- the leash receives SIGINT or SIGTERM, or
- its supervisor (process PARENT) has ended, even by SIGKILL.

To stop the tree, it sends SIGNAL to the program, waits up to GRACE seconds, then sends SIGKILL to what is left.
USER is a system user to become, or `-`. Standard library only: it runs under `python -I -S`, and stays small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM}
POLL_S = 0.5

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def main(argv: list[str]) -> int:
    """Run the command to its end.

    Returns:
        The exit status to leave with.
    """
    parent, grace_s, stop_signal, user = int(argv[0]), float(argv[1]), int(argv[2]), argv[3]
    command = argv[5:]
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = os.fork()
    if program == 0:
        _become(user, command)

    deadline: float | None = None
    while True:
        received = signal.sigtimedwait(WATCHED, POLL_S)
        status = _reap(program)
        if status is not None:
            break
        asked = received is not None and received.si_signo != signal.SIGCHLD
        if deadline is None and (asked or os.getppid() != parent):
            deadline = time.monotonic() + grace_s
            os.kill(program, stop_signal)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(program, signal.SIGKILL)
    _kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(user: str, command: list[str]) -> None:
    """Become the program in the forked child: take a process group of its own and the wanted user, then execute it."""
    try:
        os.setpgid(0, 0)
        if user != "-":
            import pwd

            entry = pwd.getpwnam(user)
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
        # This must come after setuid, which would clear it. It covers the case that the leash itself is killed.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        # A supervisor started in the background of a shell ignores SIGINT, and the program would inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvpe(command[0], command, os.environ)
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr, flush=True)
    os._exit(127)


def _reap(program: int) -> int | None:
    """Collect every ended child.

    Returns:
        The program's wait status once it has ended, else None.
    """
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == program:
            ended = status


def _kill_descendants() -> None:
    """Send SIGKILL until no child is left; orphans arrive here as children, so children are enough."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        _reap(0)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run a program in a terminal of its own, and read what it draws."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A program that runs in a terminal.

    Attributes:
        process: the program.
        drawn: everything that it has written so far.
    """

    process: subprocess.Popen[bytes]
    drawn: bytes = b""
    _reader: threading.Thread | None = field(default=None, repr=False)

    def frames(self) -> list[str]:
        """Return what was drawn between two returns of the cursor, without colours and other control sequences."""
        text = self.drawn.decode(errors="replace")
        return [plain for each in re.split(r"[\r\n]+", text) if (plain := _CONTROL.sub("", each).rstrip())]

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for the program's end, and return its exit status."""
        status = self.process.wait(timeout_s)
        if self._reader:
            self._reader.join(timeout_s)
        return status


def in_terminal(command: Sequence[str], environment: dict[str, str], *, columns: int = 80) -> Terminal:
    """Start a program in a terminal of this width, in a session whose Ctrl-C it hears."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    plain = {name: value for name, value in environment.items() if name not in unset} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command],
        env=plain,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    terminal = Terminal(process)

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                terminal.drawn += data
        except OSError:  # the program has closed its side
            pass
        finally:
            os.close(ours)

    terminal._reader = threading.Thread(target=read, daemon=True)
    terminal._reader.start()
    return terminal

"""A Feishu sandbox process for one test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from mindguard.feishu.client import HookClient
from tests.processes import free_port
from tests.waiting import wait_until

TOKEN = "sandbox-token-0123456789"
SECRET = "sandbox-secret-0123456789"
APP_ID = "cli_sandbox0123456789"
APP_SECRET = "app-secret-0123456789"
CHAT_ID = "oc_sandbox0123456789"


class Running:
    """A sandbox process, and the controls that a test uses.

    Args:
        state: file in which the sandbox keeps what it has received.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.process = self.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "devstack.feishu_sandbox", "--port", str(self.port), "--state", str(self.state)],
            cwd=Path(__file__).parents[1],
            env={
                **os.environ,
                "MINDGUARD_SANDBOX_TOKEN": TOKEN,
                "MINDGUARD_SANDBOX_SECRET": SECRET,
                "MINDGUARD_SANDBOX_APP_ID": APP_ID,
                "MINDGUARD_SANDBOX_APP_SECRET": APP_SECRET,
                "MINDGUARD_SANDBOX_CHAT_ID": CHAT_ID,
            },
        )
        try:
            wait_until(self._answers, 30, "the sandbox does not answer", poll_s=0.05)
        except AssertionError:
            process.kill()
            raise
        return process

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.base}/_messages", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(10)

    def client(self, *, token: str = TOKEN, secret: str = SECRET, **options: Any) -> HookClient:
        return HookClient(f"{self.base}/open-apis/bot/v2/hook/{token}", secret, **options)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self) -> None:
        """Kill the process and start it again, as after a power cut."""
        self.end()
        self.process = self.start()

    def fail(self, mode: str, count: int = 1, *, seconds: float | None = None) -> None:
        how_long = {"count": count} if seconds is None else {"seconds": seconds}
        httpx.post(f"{self.base}/_control/fail", json={"mode": mode, **how_long}).raise_for_status()

    def clock(self, ahead_s: float) -> None:
        """Set the sandbox's clock ahead by so many seconds."""
        httpx.post(f"{self.base}/_control/clock", json={"ahead_s": ahead_s}).raise_for_status()

    def received(self) -> list[dict[str, Any]]:
        return list(httpx.get(f"{self.base}/_messages").json()["messages"])

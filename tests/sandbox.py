"""A Feishu sandbox process for one test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from mindguard.feishu.client import HookClient

TOKEN = "sandbox-token-0123456789"
SECRET = "sandbox-secret-0123456789"
APP_ID = "cli_sandbox0123456789"
APP_SECRET = "app-secret-0123456789"
CHAT_ID = "oc_sandbox0123456789"


class Running:
    """A sandbox process and what a test asks of it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
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
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.base}/_messages")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return process
        process.kill()
        raise AssertionError("the sandbox did not start")

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
        """As after a power cut."""
        self.end()
        self.process = self.start()

    def fail(self, mode: str, count: int = 1, *, seconds: float | None = None) -> None:
        how_long = {"count": count} if seconds is None else {"seconds": seconds}
        httpx.post(f"{self.base}/_control/fail", json={"mode": mode, **how_long}).raise_for_status()

    def clock(self, ahead_s: float) -> None:
        """Let the sandbox live in the future."""
        httpx.post(f"{self.base}/_control/clock", json={"ahead_s": ahead_s}).raise_for_status()

    def received(self) -> list[dict[str, Any]]:
        return list(httpx.get(f"{self.base}/_messages").json()["messages"])

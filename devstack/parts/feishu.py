"""The Feishu sandbox as a supervised part."""

from __future__ import annotations

import sys

from devstack.parts.base import Part, http_status, python_path


class FeishuSandbox(Part):
    """The substitute for Feishu, with its web page: a custom bot's webhook, and an app's bot, in one group."""

    name = "feishu"
    port_names = ("feishu",)
    app_id = "cli_sandbox"
    chat_id = "oc_sandbox"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        module = [sys.executable, "-m", "devstack.feishu_sandbox"]
        return [*module, "--port", str(self.port), "--state", str(self.folder / "state.json")]

    def environment(self) -> dict[str, str]:
        """Return the environment with the secrets of the bots."""
        own = {
            "MINDGUARD_SANDBOX_TOKEN": self.token,
            "MINDGUARD_SANDBOX_SECRET": self.secret,
            "MINDGUARD_SANDBOX_APP_ID": self.app_id,
            "MINDGUARD_SANDBOX_APP_SECRET": self.app_secret,
            "MINDGUARD_SANDBOX_CHAT_ID": self.chat_id,
            "PYTHONPATH": python_path(),
        }
        return super().environment() | own

    @property
    def token(self) -> str:
        """The last part of the bot's webhook URL."""
        return self.state.secret("feishu:token")

    @property
    def secret(self) -> str:
        """The key that signs messages."""
        return self.state.secret("feishu:secret")

    @property
    def app_secret(self) -> str:
        """The secret for which the app gets its access token."""
        return self.state.secret("feishu:app-secret")

    @property
    def url(self) -> str:
        """The address of the sandbox's page."""
        return f"http://127.0.0.1:{self.port}"

    def probe(self) -> bool:
        """Return whether the page answers."""
        return http_status(f"{self.url}/") == 200
